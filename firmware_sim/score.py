"""How well tickets meet the truth: recall, false tickets per device-month, and lead time, by fault mode.

- A ticket is *true* if its device has a fault that had begun; *false* otherwise. Of a bad firmware's cohort one ticket
  is enough, for it is one occasion. A ticket of no device stands for what many share: it is true if it names the cause
  of a bad firmware that had begun.
- An occasion is *due* if its owner would have noticed it before the end. Recall is the share of due occasions with a
  true ticket before failure; *beforehand* is the share with one before the owner noticed.
- Lead time is from the first true ticket to the moment at which the owner would have noticed.
- Device-months are those of healthy life: 30 days of one device that has no fault yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from firmware_sim.fault import BY_NAME
from firmware_sim.fleet import Truth
from firmware_sim.region import HOUR_MS

MONTH_MS: Final = 30 * 24 * HOUR_MS
COHORT_MODES: Final = ("bad_firmware",)


@dataclass(frozen=True, slots=True)
class Opened:
    """A ticket as far as scoring goes."""

    device: str  # empty where many share the cause
    t_ms: int
    cause: str


@dataclass(frozen=True, slots=True)
class ModeScore:
    """One fault mode. Hours are None where nothing was found."""

    mode: str
    due: int  # occasions the owner would have noticed before the end
    found: int  # of these, with a ticket before failure
    beforehand: int  # of these, with a ticket before the owner noticed
    right_cause: int  # of those found, with a ticket that names a right cause
    median_lead_hours: float | None
    shortest_lead_hours: float | None
    lead_hours: tuple[float, ...] = ()  # of every occasion found, ascending; what several reports are merged from


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """What came out. Ratios are 0 to 1; None where there was nothing to count."""

    devices: int
    device_months: float
    due: int
    recall: float | None
    beforehand_ratio: float | None
    tickets: int
    false_tickets: int
    false_per_100_device_months: float
    median_lead_hours: float | None
    modes: tuple[ModeScore, ...]
    false_causes: tuple[tuple[str, int], ...]  # of false tickets, the commonest first

    def to_json(self) -> dict[str, Any]:
        """The report as documented in docs/simulator.md."""
        return asdict(self)

    def table(self) -> list[str]:
        """The report for a terminal."""
        lines = [f"{'fault mode':<20}{'due':>5}{'found':>7}{'before':>8}{'cause':>7}{'median lead h':>15}{'least':>8}"]
        lines += [
            f"{m.mode:<20}{m.due:>5}{m.found:>7}{m.beforehand:>8}{m.right_cause:>7}"
            f"{_hours(m.median_lead_hours):>15}{_hours(m.shortest_lead_hours):>8}"
            for m in self.modes
        ]
        told = ", ".join(f"{cause} {count}" for cause, count in self.false_causes)
        lines.append(
            f"recall {_ratio(self.recall)} of {self.due}, before the owner noticed {_ratio(self.beforehand_ratio)}, "
            f"median lead {_hours(self.median_lead_hours)} h"
        )
        lines.append(
            f"{self.false_tickets} of {self.tickets} tickets false in {self.device_months:.0f} device-months: "
            f"{self.false_per_100_device_months:.2f} per 100" + (f" ({told})" if told else "")
        )
        return lines


@dataclass(frozen=True, slots=True)
class _Occasion:
    mode: str
    noticed_ms: int
    failed_ms: int
    tickets: tuple[Opened, ...]  # true ones, by time


def score(
    truth: Sequence[Truth], tickets: Sequence[Opened], *, devices: int, start_ms: int, end_ms: int
) -> ScoreReport:
    """Compare tickets with the truth.

    Args:
        truth: what broke; one fault a device at most.
        tickets: what was opened, in any order.
        devices: how many there were, faulty ones among them.
        start_ms: first moment at which a ticket could be opened.
        end_ms: last such moment.
    """
    by_device = {held.device: held for held in truth}
    tickets = sorted(tickets, key=lambda ticket: (ticket.t_ms, ticket.device, ticket.cause))
    true = [t for t in tickets if _is_true(t, by_device)]
    false = [t for t in tickets if not _is_true(t, by_device)]
    due = [held for held in _occasions(truth, true) if held.noticed_ms <= end_ms]
    modes = tuple(_mode_score(mode, due) for mode in BY_NAME if any(held.mode == mode for held in due))
    sick_ms = sum(max(0, end_ms - max(held.onset_ms, start_ms)) for held in truth)
    months = (devices * (end_ms - start_ms) - sick_ms) / MONTH_MS
    counts: dict[str, int] = {}
    for ticket in false:
        counts[ticket.cause] = counts.get(ticket.cause, 0) + 1
    leads = [lead for held in due if (lead := _lead_hours(held)) is not None]
    return ScoreReport(
        devices=devices,
        device_months=round(months, 2),
        due=len(due),
        recall=sum(m.found for m in modes) / len(due) if due else None,
        beforehand_ratio=sum(m.beforehand for m in modes) / len(due) if due else None,
        tickets=len(tickets),
        false_tickets=len(false),
        false_per_100_device_months=round(100 * len(false) / months, 3) if months else 0.0,
        median_lead_hours=round(float(np.median(leads)), 2) if leads else None,
        modes=modes,
        false_causes=tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
    )


def _is_true(ticket: Opened, by_device: Mapping[str, Truth]) -> bool:
    if ticket.device:
        return ticket.device in by_device and ticket.t_ms >= by_device[ticket.device].onset_ms
    shared = [held for held in by_device.values() if held.mode in COHORT_MODES and ticket.t_ms >= held.onset_ms]
    return any(ticket.cause.split()[0] in BY_NAME[held.mode].causes for held in shared)


def _occasions(truth: Sequence[Truth], true: Sequence[Opened]) -> list[_Occasion]:
    """One for each fault, and one for the whole cohort of a bad firmware."""
    groups: dict[tuple[str, str], list[Truth]] = {}
    for held in truth:
        groups.setdefault((held.mode, "" if held.mode in COHORT_MODES else held.device), []).append(held)
    found = []
    for (mode, _), members in groups.items():
        names = {held.device for held in members}
        noticed, failed = min(held.noticed_ms for held in members), min(held.failed_ms for held in members)
        found.append(_Occasion(mode, noticed, failed, tuple(t for t in true if t.device in names)))
    return found


def _lead_hours(held: _Occasion) -> float | None:
    """From the first ticket to the owner's own notice; None where there was none before failure."""
    if not held.tickets or held.tickets[0].t_ms > held.failed_ms:
        return None
    return (held.noticed_ms - held.tickets[0].t_ms) / HOUR_MS


def _mode_score(mode: str, due: Sequence[_Occasion]) -> ModeScore:
    mine = [held for held in due if held.mode == mode]
    found = [held for held in mine if _lead_hours(held) is not None]
    leads = [lead for held in found if (lead := _lead_hours(held)) is not None]
    causes = BY_NAME[mode].causes
    return ModeScore(
        mode=mode,
        due=len(mine),
        found=len(found),
        beforehand=sum(lead > 0 for lead in leads),
        right_cause=sum(any(ticket.cause in causes for ticket in held.tickets) for held in found),
        median_lead_hours=round(float(np.median(leads)), 2) if leads else None,
        shortest_lead_hours=round(min(leads), 2) if leads else None,
        lead_hours=tuple(sorted(round(lead, 2) for lead in leads)),
    )


def _hours(hours: float | None) -> str:
    return "-" if hours is None else f"{hours:.1f}"


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{100 * ratio:.0f} %"
