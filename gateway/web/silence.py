"""Silences and maintenance windows, for pages and API: who mutes what, for how long, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.errors import Refused
from gateway.ledger import mutes
from gateway.ledger.database import Record
from gateway.ledger.mutes import DEVICE_LABELS, LABELS, MuteRecord
from gateway.web.deps import WebDeps
from gateway.web.session import Who
from gateway.web.words import DAY_MS, HOUR_MS

Kind: TypeAlias = Literal["silence", "maintenance"]
LENGTHS = {"1h": HOUR_MS, "4h": 4 * HOUR_MS, "1d": DAY_MS, "3d": 3 * DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS}
ORDER = ("device_id", "site", "type", "firmware", "rule", "cause")
LONGEST_MS = 400 * DAY_MS  # a mute is for a while: a year's maintenance plan, and a little more
KEPT_MS = 14 * DAY_MS  # how long one that is over is still shown
MAX_REASON = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A mute as lists show it."""

    mute: MuteRecord
    state: Literal["active", "planned", "over"]
    labels: tuple[tuple[str, str], ...]
    devices: int


def add(
    deps: WebDeps, who: Who, *, kind: Kind, labels: Mapping[str, str], from_ms: int | None, until_ms: int, reason: str
) -> str:
    """Mute what matches all labels, from `from_ms` (None: now); the id of the mute.

    Raises:
        Refused: `no_reason`, `bad_mute`, `too_long`, `over_already`, `unknown_rule`, `unknown_cause`,
            `matches_nothing`.
    """
    now_ms, reason = deps.now_ms(), reason.strip()
    labels = {name: value.strip() for name, value in labels.items() if value.strip()}
    if not reason:
        raise Refused("no_reason", "say why, for those who wonder about the quiet")
    if until_ms <= now_ms:
        raise Refused("over_already", "it would end before now")
    if until_ms - now_ms > LONGEST_MS:
        raise Refused("too_long", "a mute lasts a year at most; switch a rule off in its file instead")
    _check_labels(deps, labels)
    mute_id = mutes.add_mute(
        deps.engine, kind, labels, from_ms=now_ms if from_ms is None else from_ms, until_ms=until_ms, author=who.login,
        reason=reason[:MAX_REASON], now_ms=now_ms,
    )  # fmt: skip
    deps.hub.publish("silence", mute_id)
    return mute_id


def end(deps: WebDeps, who: Who, mute_id: str) -> None:
    """End a mute now. Raises NotFound (`mute`)."""
    mutes.end_mute(deps.engine, mute_id, author=who.login, now_ms=deps.now_ms())
    deps.hub.publish("silence", mute_id)


def listed(deps: WebDeps) -> list[Listed]:
    """Active ones first, soonest to end first; then planned ones, then those that are over."""
    now_ms = deps.now_ms()
    found = [_listed(deps, mute, now_ms) for mute in mutes.list_mutes(deps.engine, now_ms=now_ms - KEPT_MS)]
    rank = {"active": 0, "planned": 1, "over": 2}
    return sorted(found, key=lambda m: (rank[m.state], -m.mute.until_ms if m.state == "over" else m.mute.until_ms))


def over_device(deps: WebDeps, device: Record) -> list[Listed]:
    """Active mutes that speak of a device: all of its alerts, or those of a rule or cause."""
    now_ms = deps.now_ms()
    return [
        _listed(deps, mute, now_ms)
        for mute in mutes.list_mutes(deps.engine, now_ms=now_ms)
        if mute.from_ms <= now_ms and all(device._mapping[n] == v for n, v in mute.labels.items() if n in DEVICE_LABELS)
    ]


def at_local(text: str, zone: str) -> int:
    """Unix ms of a local date and time such as `2026-11-24T20:30` in a zone.

    Raises:
        Refused: `bad_time`.
    """
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)
    except (ValueError, OverflowError, ZoneInfoNotFoundError, OSError) as exc:
        raise Refused("bad_time", f"{text[:40]!r} in {zone[:40]!r} is no date and time") from exc


def _check_labels(deps: WebDeps, labels: Mapping[str, str]) -> None:
    if set(labels) <= LABELS and mutes.reach(deps.engine, labels) == 0:
        told = ", ".join(f"{name} {value}" for name, value in labels.items() if name in DEVICE_LABELS)
        raise Refused("matches_nothing", f"there is no device of {told}")
    if deps.rules and (rule := labels.get("rule")) and rule not in deps.rules:
        raise Refused("unknown_rule", f"there is no rule {rule}")
    if deps.rules and (cause := labels.get("cause")) and cause not in deps.rules.values():
        raise Refused("unknown_cause", f"no rule has the cause {cause}")


def _listed(deps: WebDeps, mute: MuteRecord, now_ms: int) -> Listed:
    state: Literal["active", "planned", "over"] = "active" if mute.until_ms > now_ms else "over"
    return Listed(
        mute=mute,
        state="planned" if mute.from_ms > now_ms else state,
        labels=tuple((name, mute.labels[name]) for name in ORDER if name in mute.labels),
        devices=mutes.reach(deps.engine, mute.labels),
    )
