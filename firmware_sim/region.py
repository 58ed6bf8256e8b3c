"""Where people live: zone, language, climate and the telephone numbers that no one has.

At any moment somebody of either language is up: the zones of each language are spread so far over the day. Numbers are
those that regulators keep for fiction: 555-0100 to 555-0199 of each area code (North American numbering plan), 30
mobile ones in Australia (ACMA), 070-1740605 to 699 in Sweden (PTS), 0171 39200xx and 0176 040690xx in Germany
(Bundesnetzagentur, notice 148/2021). The British ones, 07700 900xxx, are not in libphonenumber's plan.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from firmware_sim.noise import Floats, Integers, keys, smooth

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
YEAR_MS: Final = 365.2425 * DAY_MS
AWAKE: Final = (time(9, 30), time(19, 30))
"""Local hours in which a message goes out at once: half an hour inside the usual quiet hours, 20:00 to 09:00."""

AUSTRALIAN: Final = (
    570006, 570156, 570157, 570158, 570159, 570110, 570313, 570737, 571266, 571491,
    571804, 572549, 572665, 572983, 573770, 573087, 574118, 574632, 575254, 575789,
    576398, 576801, 577426, 577644, 578957, 578148, 578888, 579212, 579760, 579455,
)  # fmt: skip


def _american(*area_codes: str) -> tuple[str, ...]:
    return tuple(f"+1{code}55501{last:02d}" for last in range(100) for code in area_codes)


def _numbers(prefix: str, last: Iterable[object]) -> tuple[str, ...]:
    return tuple(f"{prefix}{one}" for one in last)


@dataclass(frozen=True, slots=True)
class Region:
    """A town with one weather. Temperatures are monthly and daily means, rounded from public climate tables."""

    name: str
    zone: str  # IANA
    language: str
    mean_celsius: float  # of the year
    season_celsius: float  # half the way from coldest to warmest month; negative in the south
    day_celsius: float  # half the way from night to noon
    numbers: tuple[str, ...]  # E.164, nobody's


REGIONS: Final = (
    Region("Chicago", "America/Chicago", "en", 10.0, 14.0, 4.5, _american("312", "773", "630")),
    Region("New York", "America/New_York", "en", 12.8, 12.3, 4.0, _american("212", "718", "914")),
    Region("Vancouver", "America/Vancouver", "zh", 10.8, 7.6, 3.5, _american("604", "778")),
    Region("San Francisco", "America/Los_Angeles", "zh", 14.3, 3.5, 4.0, _american("415", "628")),
    Region("Denver", "America/Denver", "en", 10.5, 12.0, 7.0, _american("303", "720")),
    Region("Stockholm", "Europe/Stockholm", "en", 7.6, 10.5, 3.5, _numbers("+46701740", range(605, 700))),
    Region("Berlin", "Europe/Berlin", "zh", 10.2, 9.8, 4.5, _numbers("+4917", range(13920000, 13920100))),
    Region("Perth", "Australia/Perth", "en", 18.7, -5.6, 6.0, _numbers("+61491", AUSTRALIAN[::2])),
    Region("Fremantle", "Australia/Perth", "zh", 18.5, -5.2, 5.0, _numbers("+61491", AUSTRALIAN[1::2])),
)


def phone(region: Region, number: int) -> str:
    """The fictional E.164 number of the region's household `number`, counted from 0; they repeat when used up."""
    return region.numbers[number % len(region.numbers)]


def awake(region: Region, at_ms: int) -> bool:
    """Whether a message reaches people there at a reasonable hour."""
    local = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(region.zone)).time()
    return AWAKE[0] <= local < AWAKE[1]


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
