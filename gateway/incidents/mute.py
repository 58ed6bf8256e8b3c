"""Why an incident makes no ticket and no message, decided anew at each folding: what mutes it may end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
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
    by_person = _by_person(incidents, view.mutes, fleet, now_ms)
    room = tickets_per_hour - view.tickets_last_hour
    result = dict(incidents)
    for key, incident in sorted(incidents.items(), key=lambda item: (item[1].opened_ms, item[0])):
        if incident.state != "open":
            continue
        muted = (
            by_person.get(incident.incident_id, "")
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


def _by_person(incidents: Mapping[Key, Incident], mutes: tuple[Mute, ...], fleet: Fleet, now_ms: int) -> dict[str, str]:
    """The kind of mute by incident id; a parent is muted while all that fires under it is."""
    lasting = [mute for mute in mutes if mute.from_ms <= now_ms < mute.until_ms]
    if not lasting:
        return {}
    still_open = [incident for incident in incidents.values() if incident.state == "open"]
    found = {i.incident_id: kind for i in still_open if (kind := _matched(i, fleet, lasting))}
    children = [i for i in still_open if i.firing and i.parent_id]
    heard = {i.parent_id for i in children if i.incident_id not in found}
    parents = {i.parent_id: found[i.incident_id] for i in children if i.parent_id and i.incident_id in found}
    return found | {parent: kind for parent, kind in parents.items() if parent not in heard}


def _matched(incident: Incident, fleet: Fleet, mutes: Sequence[Mute]) -> str:
    labels = fleet.labels.get(incident.device_id, {})
    labels = {**labels, "firmware": labels.get("version", ""), "device_id": incident.device_id, "cause": incident.cause}
    for mute in mutes:
        if all(
            (value in incident.rules) if name == "rule" else labels.get(name) == value
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
