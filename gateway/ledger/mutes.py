"""Silences and maintenance windows: who muted what, from when, until when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Engine, func, insert, select, update

from gateway.errors import NotFound, Refused
from gateway.incidents import derive
from gateway.ledger import audit
from gateway.ledger.database import reading, writing
from gateway.ledger.tables import devices, mutes

DEVICE_LABELS = frozenset({"device_id", "site", "type", "firmware"})
LABELS = DEVICE_LABELS | {"rule", "cause"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteRecord:
    """One silence or maintenance window; alerts that match all of `labels` raise nothing while it lasts."""

    mute_id: str
    kind: Literal["silence", "maintenance"]
    labels: Mapping[str, str]
    from_ms: int
    until_ms: int
    author: str
    reason: str


def add_mute(
    engine: Engine,
    kind: Literal["silence", "maintenance"],
    labels: Mapping[str, str],
    *,
    from_ms: int,
    until_ms: int,
    author: str,
    reason: str,
    now_ms: int,
) -> str:
    """Mute what matches; the id of the mute.

    Raises:
        Refused: `bad_mute`: it ends before it begins, matches everything, or names a label there is not.
    """
    if until_ms <= from_ms or not labels or set(labels) - LABELS or not all(labels.values()):
        raise Refused("bad_mute", f"give an end after the start, and labels of {', '.join(sorted(LABELS))}")
    mute_id = derive("mut", kind, sorted(labels.items()), from_ms, until_ms, author, now_ms)
    row = {
        "mute_id": mute_id, "kind": kind, "labels": dict(labels), "from_ms": from_ms, "until_ms": until_ms,
        "author": author, "reason": reason,
    }  # fmt: skip
    with writing(engine) as connection:
        connection.execute(insert(mutes), row)
        audit.record(connection, at_ms=now_ms, actor=author, action=f"{kind}.add", subject=mute_id)
    return mute_id


def end_mute(engine: Engine, mute_id: str, *, author: str, now_ms: int) -> None:
    """End a mute now; one that is over stays as it was. Raises NotFound (`mute`)."""
    with writing(engine) as connection:
        known = connection.execute(select(mutes.c.until_ms).where(mutes.c.mute_id == mute_id)).scalar()
        if known is None:
            raise NotFound("mute", mute_id)
        wanted = update(mutes).where(mutes.c.mute_id == mute_id, mutes.c.until_ms > now_ms)
        connection.execute(wanted.values(until_ms=now_ms))
        audit.record(connection, at_ms=now_ms, actor=author, action="mute.end", subject=mute_id)


def list_mutes(engine: Engine, *, now_ms: int) -> tuple[MuteRecord, ...]:
    """Mutes that last or are to come, by start."""
    query = select(mutes).where(mutes.c.until_ms > now_ms).order_by(mutes.c.from_ms, mutes.c.mute_id)
    with reading(engine) as connection:
        return tuple(
            MuteRecord(**{name: row._mapping[name] for name in MuteRecord.__slots__})
            for row in connection.execute(query)
        )


def reach(engine: Engine, labels: Mapping[str, str]) -> int:
    """How many devices match what `labels` say of devices; revoked ones are left out."""
    match = [devices.c[name] == value for name, value in labels.items() if name in DEVICE_LABELS]
    query = select(func.count()).select_from(devices).where(devices.c.revoked.is_(False), *match)
    with reading(engine) as connection:
        return int(connection.execute(query).scalar_one())
