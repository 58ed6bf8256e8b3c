"""The first hour of a new device of a known model."""

from __future__ import annotations

import numpy as np

from gateway.detect.engine import Engine
from gateway.model import Device, DeviceId, Episode, Roster
from tests.unit.detect.fleet import START_MS, block

STEP_MS = 300_000  # five minutes
HOUR, DAY = 12, 288  # samples
OLD, DAYS = 12, 4
METRICS = ("heat", "signal")  # devices agree on the first; each has its own level of the second


def roster_of(names: list[str]) -> Roster:
    roster = Roster()
    for name in names:
        meet(roster, name)
    return roster


def meet(roster: Roster, name: str) -> int:
    number = len(roster.devices)
    roster.put_device(Device(device_id=DeviceId(name), number=number, type="router", model="R1"))
    for metric in METRICS:
        roster.series(number, roster.metric(metric))
    return number


def lives(devices: int, samples: int, *, seed: int = 0) -> np.ndarray:
    """(2 x devices, samples): heat with a daily cycle about 50, signal about a level of the device's own."""
    rng = np.random.default_rng(seed)
    given = rng.normal(size=(2 * devices, samples))
    given[::2] += 50.0 + 2.0 * np.sin(np.arange(samples) / DAY * 2.0 * np.pi)
    given[1::2] += rng.normal(-60.0, 12.0, size=devices)[:, None]
    return given


def play(engine: Engine, given: np.ndarray, first: int = 0, *, size: int = HOUR) -> list[Episode]:
    """(series, samples) from sample number `first` on, an hour a block; every episode that opened."""
    found: list[Episode] = []
    for k in range(0, given.shape[1], size):
        start_ms = START_MS + (first + k) * STEP_MS
        part = block(given[:, k : k + size], start_ms=start_ms, interval_ms=STEP_MS)
        found += engine.advance(part, start_ms + size * STEP_MS).opened
    return found


def settled(*, newcomers: int = 0) -> tuple[Engine, np.ndarray]:
    """A fleet that has run for some days, and a day to come of it and of devices that join it."""
    roster = roster_of([f"d{n}" for n in range(OLD)])
    given = lives(OLD + newcomers, (DAYS + 1) * DAY)
    engine = Engine(roster)
    play(engine, given[: 2 * OLD, : DAYS * DAY], size=6 * HOUR)
    for n in range(newcomers):
        meet(roster, f"new{n}")
    return engine, given[:, DAYS * DAY :]


def of(found: list[Episode], *names: str) -> set[tuple[str, str]]:
    return {(e.device_id, e.metric) for e in found if e.device_id in names}


def test_a_new_device_that_is_ill_is_told_in_its_first_hour_and_a_healthy_one_is_not() -> None:
    engine, given = settled(newcomers=2)
    given[2 * OLD] += 15.0

    found = play(engine, given[:, :HOUR], DAYS * DAY)

    assert of(found, "new0", "new1") == {("new0", "heat")}


def test_healthy_new_devices_are_no_louder_on_their_first_day_than_old_ones() -> None:
    engine, given = settled(newcomers=24)

    found = play(engine, given, DAYS * DAY)

    young = [e for e in found if e.device_id.startswith("new")]
    assert len(young) <= 24  # 48 series and six detectors for a day: five are promised


def test_a_level_of_its_own_is_no_fault_but_a_jump_from_it_is() -> None:
    engine, given = settled(newcomers=2)
    given[2 * OLD + 1] = given[2 * OLD + 1] - given[2 * OLD + 1].mean() - 30.0  # two and a half spreads off the fleet's
    given[2 * OLD + 3, HOUR - 2 :] += 60.0

    found = play(engine, given[:, : 2 * HOUR], DAYS * DAY)

    assert of(found, "new0", "new1") == {("new1", "signal")}


def test_a_new_fleet_is_silent() -> None:
    engine = Engine(roster_of(["a", "b"]))
    given = lives(2, 24)
    given[0, 6:] += 40.0

    assert not play(engine, given)


def test_what_the_fleet_knows_survives_a_restart() -> None:
    engine, given = settled(newcomers=2)
    given[2 * OLD] += 15.0
    restored = Engine.restore(engine.roster, engine.snapshot())

    one, two = (play(e, given, DAYS * DAY) for e in (engine, restored))

    assert of(one, "new0")
    assert one == two


def test_the_order_of_devices_changes_no_prior() -> None:
    given = lives(OLD, DAYS * DAY)
    one, two = Engine(roster_of([f"d{n}" for n in range(OLD)])), Engine(roster_of([f"d{n}" for n in range(OLD)]))
    play(one, given, size=6 * HOUR)
    play(two, given.reshape(OLD, 2, -1)[::-1].reshape(given.shape), size=6 * HOUR)

    mine, other = ({k: v for k, v in e.snapshot().items() if k.startswith("shared/priors/")} for e in (one, two))
    assert mine["shared/priors/rows"].size == 2
    for name, array in mine.items():
        assert array.tobytes() == other[name].tobytes(), name


def test_a_new_device_depends_on_the_prior_it_met_and_on_nobody_after() -> None:
    engine, given = settled(newcomers=1)
    alone = Engine.restore(engine.roster, engine.snapshot())
    own = np.full_like(given, np.nan)
    own[2 * OLD :] = given[2 * OLD :]

    play(engine, given, DAYS * DAY)
    play(alone, own, DAYS * DAY)

    one, two = (e.snapshot()["series.level/level"][2 * OLD :][:2] for e in (engine, alone))
    assert one.tobytes() == two.tobytes()


def test_devices_of_another_model_or_of_no_type_get_no_prior() -> None:
    engine, given = settled()
    for number, (kind, model) in enumerate((("router", "R9"), ("", "R1")), OLD):
        engine.roster.put_device(Device(device_id=DeviceId(f"x{number}"), number=number, type=kind, model=model))
        engine.roster.series(number, engine.roster.metric("heat"))
    odd = np.full((2, HOUR), 500.0)

    found = play(engine, np.concatenate([given[:, :HOUR], odd]), DAYS * DAY)

    assert not of(found, f"x{OLD}", f"x{OLD + 1}")
