"""Why an incident makes no ticket and no message, decided anew at each folding: what mutes it may end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from gateway.incidents.view import Fleet, Key, Mute, RuleInfo, View
from gateway.model import Incident


def set_mutes(
    incidents: Mapping[Key, Incident],
    view: View,
    *,
    rules: Mapping[str, RuleInfo],
    fleet: Fleet,
    now_ms: int,
    tickets_per_hour: int,
) -> dict[Key, Incident]:
    """All incidents with `muted` as it is now; the storm breaker lets the oldest through first."""
    firing_on: dict[str, set[str]] = defaultdict(set)
    for incident in incidents.values():
        firing_on[incident.device_id].update(incident.firing if incident.state == "open" else ())
    room = tickets_per_hour - view.tickets_last_hour
    result = dict(incidents)
    for key, incident in sorted(incidents.items(), key=lambda item: (item[1].opened_ms, item[0])):
        if incident.state != "open":
            continue
        labels = fleet.labels.get(incident.device_id, {})
        muted = (
            _by_person(incident, labels, view.mutes, now_ms)
            or _by_parent(incident)
            or _by_inhibition(incident, rules, firing_on[incident.device_id])
        )
        if (
            not muted
            and incident.firing
            and incident.incident_id not in view.tickets
            and incident.severity != "critical"
        ):
            room -= 1
            muted = "storm" if room < 0 else ""
        if muted != incident.muted:
            result[key] = replace(incident, muted=muted)
    return result


def _by_person(incident: Incident, labels: Mapping[str, str], mutes: tuple[Mute, ...], now_ms: int) -> str:
    of_incident = {**labels, "device_id": incident.device_id, "cause": incident.cause}
    for mute in mutes:
        if mute.from_ms <= now_ms < mute.until_ms and all(
            (value in incident.rules) if name == "rule" else of_incident.get(name) == value
            for name, value in mute.labels.items()
        ):
            return mute.kind
    return ""


def _by_parent(incident: Incident) -> str:
    return "shared_cause" if incident.parent_id else ""


def _by_inhibition(incident: Incident, rules: Mapping[str, RuleInfo], firing: set[str]) -> str:
    """`inhibited` while every firing rule of the incident is explained by another rule firing on the device."""
    explained = [bool(firing & set(rules[r].inhibited_by)) if r in rules else False for r in incident.firing]
    return "inhibited" if explained and all(explained) else ""
