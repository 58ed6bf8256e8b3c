"""Where the demo's owners live: at any moment somebody of either language is up, and every number is nobody's."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.demo import demo_fleet
from firmware_sim.plan import RIPENING
from firmware_sim.region import DAY_MS, HOUR_MS, REGIONS, awake
from gateway.model import Contact, CustomerId
from gateway.outreach.zone import quiet_until

NEW_YEAR_MS = 1_767_225_600_000  # 2026
MOMENTS = st.integers(NEW_YEAR_MS, NEW_YEAR_MS + 3 * 366 * DAY_MS)


def languages_up(at_ms: int) -> set[str]:
    return {region.language for region in REGIONS if awake(region, at_ms)}


def test_at_every_quarter_of_an_hour_of_three_years_both_languages_are_up() -> None:
    quarters = range(NEW_YEAR_MS, NEW_YEAR_MS + 3 * 366 * DAY_MS, HOUR_MS // 4)

    assert [at_ms for at_ms in quarters if languages_up(at_ms) != {"en", "zh"}] == []


@given(MOMENTS)
def test_who_is_up_is_not_in_quiet_hours(at_ms: int) -> None:
    for region in REGIONS:
        contact = Contact(
            contact_id="c", customer_id=CustomerId("c"), channel="sms", address=region.numbers[0], zone=region.zone
        )
        assert not awake(region, at_ms) or quiet_until(contact, at_ms) is None


@pytest.mark.parametrize("hour", range(24))
def test_the_faults_of_the_show_ripen_with_owners_who_are_up(hour: int) -> None:
    live_ms = NEW_YEAR_MS + 100 * DAY_MS + hour * HOUR_MS
    fleet = demo_fleet(7, 200, 30, begun_ms=live_ms, live_ms=live_ms)
    ripe = [held for held in fleet.faults if live_ms < held.failed_ms <= live_ms + HOUR_MS]
    regions = [REGIONS[fleet.region[held.device]] for held in ripe]

    assert len(ripe) >= len(RIPENING)
    assert sum(awake(region, live_ms) for region in regions) >= len(RIPENING)
    assert {region.language for region in regions if awake(region, live_ms)} == {"en", "zh"}


def test_every_number_is_valid_and_of_one_region_alone() -> None:
    numbers = [number for region in REGIONS for number in region.numbers]

    assert len(numbers) == len(set(numbers))
    assert [number for number in numbers if not phonenumbers.is_valid_number(phonenumbers.parse(number))] == []


@pytest.mark.parametrize("seed", range(7, 12))
def test_every_household_of_the_demo_has_a_telephone_of_its_own(seed: int) -> None:
    owners = {unit.owner for unit in demo_fleet(seed, 200, 30, begun_ms=NEW_YEAR_MS, live_ms=NEW_YEAR_MS).registry()}

    assert len(owners) == 100
    assert len({owner.phone for owner in owners}) == 100
