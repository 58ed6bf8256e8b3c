"""Where people live: zone, language, climate and the telephone numbers that no one has.

Numbers are 555-0100 to 555-0199 of each area code, kept for fiction by the North American numbering plan, and the ones
that the Australian Communications and Media Authority keeps for drama.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from firmware_sim.noise import Floats, Integers, keys, smooth

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
YEAR_MS: Final = 365.2425 * DAY_MS


@dataclass(frozen=True, slots=True)
class Region:
    """A town with one weather. Temperatures are monthly and daily means, rounded from public climate tables."""

    name: str
    zone: str  # IANA
    language: str
    mean_celsius: float  # of the year
    season_celsius: float  # half the way from coldest to warmest month; negative in the south
    day_celsius: float  # half the way from night to noon
    area_codes: tuple[str, ...]


REGIONS: Final = (
    Region("Chicago", "America/Chicago", "en", 10.0, 14.0, 4.5, ("312", "773", "630")),
    Region("New York", "America/New_York", "en", 12.8, 12.3, 4.0, ("212", "718", "914")),
    Region("Vancouver", "America/Vancouver", "zh", 10.8, 7.6, 3.5, ("604", "778")),
    Region("San Francisco", "America/Los_Angeles", "zh", 14.3, 3.5, 4.0, ("415", "628")),
    Region("Denver", "America/Denver", "en", 10.5, 12.0, 7.0, ("303", "720")),
    Region("Sydney", "Australia/Sydney", "zh", 18.4, -5.5, 4.5, ()),
)

AUSTRALIAN: Final = ("006", "156", "157", "158", "159", "110", "313", "737", "266", "491", "804")


def phone(region: Region, number: int) -> str:
    """The fictional E.164 number of the region's customer `number`, counted from 0; they repeat when used up."""
    if not region.area_codes:
        return f"+61491570{AUSTRALIAN[number % len(AUSTRALIAN)]}"
    code = region.area_codes[number % len(region.area_codes)]
    return f"+1{code}55501{(number // len(region.area_codes)) % 100:02d}"


def offset_ms(region: Region, at_ms: int) -> int:
    """Local time minus UTC at a moment; daylight saving is that of the moment asked about."""
    local = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(region.zone))
    offset = local.utcoffset()
    return int(offset.total_seconds() * 1000) if offset else 0


def outdoor_celsius(region: int, t_ms: Integers, *, seed: int, shift_ms: int) -> Floats:
    """Temperature outside: year, day, fronts that pass in days, clouds that pass in hours.

    Args:
        region: position in REGIONS.
        t_ms: (samples,) Unix ms.
        seed: of the world.
        shift_ms: local time minus UTC.

    Returns:
        (samples,) in degrees Celsius, the same for every device of the region.
    """
    here = REGIONS[region]
    local = t_ms + shift_ms
    year: Floats = -np.cos(2 * np.pi * (t_ms / YEAR_MS - 25 / 365.2425))  # coldest on 25 January in the north
    day: Floats = -np.cos(2 * np.pi * (local % DAY_MS / DAY_MS - 3 / 24))  # coldest at three, warmest at fifteen hours
    fronts = smooth(keys(seed, "fronts", np.array([region]))[:, None], t_ms, 2 * DAY_MS)[0]
    clouds = smooth(keys(seed, "clouds", np.array([region]))[:, None], t_ms, 5 * HOUR_MS)[0]
    swing = here.day_celsius * (1.0 - 0.25 * clouds)
    found: Floats = here.mean_celsius + here.season_celsius * year + swing * day + 3.5 * fronts + 0.8 * clouds
    return found
