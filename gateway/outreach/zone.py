"""Local time of a recipient: in which zones it may be, and when its quiet hours end there.

The stored zone is the person's own. Without one, the number tells candidate zones (of the area code, not of the
person; a toll-free number has dozens): a message goes only when all of them are inside the window. Where the number
tells nothing, or its zones are so far apart that no moment suits all, the zone of the device decides.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from phonenumbers import timezone

from gateway.model import Contact

UNKNOWN_ZONE = "Etc/Unknown"
ROUNDS = 60  # more moves from zone to zone than a day has quiet-hour ends


def quiet_until(contact: Contact, now_ms: int, *, device_zone: str | None = None) -> int | None:
    """When the quiet hours that rule now end, in Unix ms, or None where none do."""
    zones = candidate_zones(contact, device_zone=device_zone)
    until_ms = _first_open(contact, zones, now_ms)
    if until_ms is None:  # no moment suits all zones
        until_ms = _first_open(contact, _known(device_zone) or _known("UTC"), now_ms)
    return None if until_ms is None or until_ms == now_ms else until_ms


def candidate_zones(contact: Contact, *, device_zone: str | None = None) -> tuple[ZoneInfo, ...]:
    """Zones in which the contact may be; at least one."""
    return _known(contact.zone) or _zones_of_number(contact) or _known(device_zone) or _known("UTC")


def _known(*names: str | None) -> tuple[ZoneInfo, ...]:
    found = []
    for name in names:
        try:
            if name and name != UNKNOWN_ZONE:
                found.append(ZoneInfo(name))
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Europe", a folder of zones
            continue
    return tuple(found)


def _zones_of_number(contact: Contact) -> tuple[ZoneInfo, ...]:
    if contact.channel != "sms":
        return ()
    try:
        number = phonenumbers.parse(contact.address)
    except phonenumbers.NumberParseException:
        return ()
    return _known(*timezone.time_zones_for_number(number))


def _first_open(contact: Contact, zones: tuple[ZoneInfo, ...], now_ms: int) -> int | None:
    """The first moment from now on that is outside quiet hours in every zone, or None where there is none."""
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    start = moment
    for _ in range(ROUNDS):
        ends = [end for zone in zones if (end := _quiet_end(contact, moment.astimezone(zone))) is not None]
        if not ends:
            return now_ms if moment == start else int(moment.timestamp() * 1000)
        moment = max(ends)
    return None


def _quiet_end(contact: Contact, local: datetime) -> datetime | None:
    """The end of the quiet hours that `local` lies in, in UTC, or None where it lies in none."""
    start, end = time.fromisoformat(contact.quiet_from), time.fromisoformat(contact.quiet_to)
    at = local.time()
    quiet = start <= at < end if start <= end else at >= start or at < end
    if not quiet:
        return None
    day = local.date() + timedelta(days=1 if at >= end else 0)
    return datetime.combine(day, end, local.tzinfo).astimezone(UTC)
