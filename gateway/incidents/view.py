"""What folding must know of the world: rules, labels of devices, mutes, and incidents that are open or just over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gateway.model import Device, Incident, Severity, TicketPriority

Reach: TypeAlias = Literal["record", "ticket", "message"]
Key: TypeAlias = tuple[str, str]
"""Device id ("" for a parent) and cause: what there is one open incident of."""

_SEVERITY_RANK: Mapping[Severity, int] = {"info": 0, "warning": 1, "critical": 2}


def worst(severities: Iterable[Severity]) -> Severity:
    """The highest of one or more severities."""
    return max(severities, key=_SEVERITY_RANK.__getitem__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleInfo:
    """What casework needs of a rule. `reach` is how far its evidence carries: a record, a ticket, or a message."""

    name: str
    severity: Severity = "warning"
    inhibited_by: tuple[str, ...] = ()
    title: str = ""  # of the ticket; "" for the rule's name in words
    priority: TicketPriority = "normal"
    template: str = ""  # what the customer is told; "" for nothing
    urgent: bool = False
    reach: Reach = "ticket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """A silence or a maintenance window: alerts whose labels match all of `labels` raise nothing while it lasts."""

    kind: Literal["silence", "maintenance"]
    labels: Mapping[str, str]  # device_id, site, type, firmware, rule, cause
    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """Labels of every device, and how many devices share each: what a shared cause is looked for in."""

    labels: Mapping[str, Mapping[str, str]]  # by device id; `firmware` is told with its model, `version` by itself
    sizes: Mapping[tuple[str, str], int]  # (scope, value) -> devices

    @staticmethod
    def of(devices: Iterable[Device]) -> Fleet:
        """The fleet of these devices, without the revoked ones."""
        labels: dict[str, Mapping[str, str]] = {}
        for d in devices:
            if not d.revoked:
                labels[str(d.device_id)] = {
                    "site": d.site, "type": d.type, "firmware": f"{d.type} {d.model} {d.firmware}", "fleet": "all",
                    "version": d.firmware,
                }  # fmt: skip
        sizes = Counter(item for one in labels.values() for item in one.items())
        return Fleet(labels, sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The casebook as folding sees it. Event times; `recent` are resolved ones that may still be reopened."""

    open: tuple[Incident, ...] = ()
    recent: tuple[Incident, ...] = ()
    tickets: Mapping[str, str] = field(default_factory=dict)  # incident id -> ticket id
    mutes: tuple[Mute, ...] = ()
    tickets_last_hour: int = 0
