"""Finding the shared cause: many devices of one site, firmware or the whole fleet with the same rule within a time.

They become children of one parent incident, which gets the ticket; a child that had its ticket before keeps it. While
others go on to fall ill, each that does joins; who falls ill a day after the last of them is ill by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.incidents.ids import SELF, derive
from gateway.incidents.view import Fleet, Key, worst
from gateway.model import DeviceId, Incident


@dataclass(frozen=True, slots=True)
class Scope:
    """What devices may share, and within which time they must fall ill together."""

    label: str
    within_ms: int


SCOPES = (Scope("fleet", 600_000), Scope("firmware", 86_400_000), Scope("site", 600_000))
"""Widest first: a broker that is down is one cause, not one for each site."""
JOINS_MS = 86_400_000  # since the newest child, within which one more is of the same cause; later it is ill by itself
MIN_DEVICES = 5  # fewer are told one by one: a person sees that pattern unaided (judgement)
MIN_SHARE = 0.3  # of the devices in scope; chance does not strike a third of them at once (judgement)


def find_parents(incidents: Mapping[Key, Incident], *, fleet: Fleet, now_ms: int) -> dict[Key, Incident]:
    """Parents that are new or changed, and their children with `parent_id` set, by (device id, cause)."""
    changed: dict[Key, Incident] = {}
    newest = _newest_children(incidents)
    for (label, value, cause), children in _groups(incidents, fleet, now_ms):
        free = [c for c in children if c.parent_id is None and (c.device_id, c.cause) not in changed]
        parent_key = ("", f"{cause} {label}={value}")
        parent = changed.get(parent_key, incidents.get(parent_key))
        goes_on = parent is not None and parent.state == "open"
        many = len(free) >= MIN_DEVICES and len(free) >= MIN_SHARE * fleet.sizes.get((label, value), 0)
        if not many and not (parent is not None and goes_on and now_ms - newest[parent.incident_id] <= JOINS_MS):
            continue
        if parent is None or not goes_on:
            parent = _parent(parent_key[1], free)
        for child in free:
            changed[(child.device_id, child.cause)] = replace(child, parent_id=parent.incident_id)
        if free:
            changed[parent_key] = replace(parent, severity=worst(i.severity for i in (parent, *free)))
    return changed | _ended(incidents, changed)


def _newest_children(incidents: Mapping[Key, Incident]) -> dict[str, int]:
    """When the newest child of each parent was opened; a parent without any counts as opened long ago."""
    found: dict[str, int] = defaultdict(int)
    for incident in incidents.values():
        if incident.parent_id:
            found[incident.parent_id] = max(found[incident.parent_id], incident.opened_ms)
    return found


def _groups(
    incidents: Mapping[Key, Incident], fleet: Fleet, now_ms: int
) -> list[tuple[tuple[str, str, str], list[Incident]]]:
    """Open incidents that fire and share a label and a cause, widest scope first; what a person closed is closed."""
    found: dict[tuple[str, str, str], list[Incident]] = defaultdict(list)
    for incident in incidents.values():
        labels = fleet.labels.get(incident.device_id)
        firing = incident.state == "open" and incident.firing
        if labels is None or not firing or incident.device_id in ("", SELF):
            continue
        for scope in SCOPES:
            if labels[scope.label] and now_ms - incident.opened_ms <= scope.within_ms:
                found[(scope.label, labels[scope.label], incident.cause)].append(incident)
    rank = {scope.label: position for position, scope in enumerate(SCOPES)}
    return sorted(found.items(), key=lambda item: (rank[item[0][0]], item[0]))


def _parent(cause: str, children: list[Incident]) -> Incident:
    opened_ms = min(child.opened_ms for child in children)
    rules = tuple(sorted({rule for child in children for rule in child.rules}))
    return Incident(
        incident_id=derive("inc", "", cause, opened_ms),
        device_id=DeviceId(""),
        cause=cause,
        state="open",
        severity=worst(child.severity for child in children),
        opened_ms=opened_ms,
        updated_ms=opened_ms,
        rules=rules,
        firing=rules,
    )


def _ended(incidents: Mapping[Key, Incident], changed: Mapping[Key, Incident]) -> dict[Key, Incident]:
    """Parents none of whose children is open any more: they are resolved with the last of them."""
    now = {**incidents, **changed}
    alive = {i.parent_id for i in now.values() if i.state == "open" and i.parent_id}
    ended = {}
    for key, parent in now.items():
        if key[0] == "" and parent.state == "open" and parent.incident_id not in alive:
            times = [i.resolved_ms for i in now.values() if i.parent_id == parent.incident_id and i.resolved_ms]
            end = max(times, default=parent.updated_ms)
            ended[key] = replace(parent, state="resolved", firing=(), quiet_ms=end, resolved_ms=end)
    return ended
