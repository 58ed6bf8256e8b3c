"""What others are known not to see, or to alarm about: one case each."""

from __future__ import annotations

import numpy as np

from gateway.detect.engine import Engine, Findings
from gateway.model import Episode
from tests.unit.detect.fleet import START_MS, block, fleet

HOUR_MS = 3_600_000
DAY = 48  # half hours


def play(engine: Engine, given: np.ndarray, *, size: int = DAY, told: str = "opened") -> list[Episode]:
    """Half-hourly samples of (series, samples), a day a block; every episode that opened, or `closed`."""
    found: list[Episode] = []
    for k in range(0, given.shape[1], size):
        start_ms = START_MS + k * HOUR_MS // 2
        part = block(given[:, k : k + size], window=k + 1, start_ms=start_ms, interval_ms=HOUR_MS // 2)
        found += getattr(engine.advance(part, start_ms + size * HOUR_MS // 2), told)
    return found


def noise(series: int, days: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(series, days * DAY))


def test_a_sunday_without_its_weekly_rest_is_seen_though_its_level_is_every_days() -> None:
    day = np.arange(8 * 7 * DAY) // DAY
    load = np.where(day % 7 == 6, 20.0, 60.0) + noise(1, 8 * 7)[0]
    load[day == 55] = 60.0 + noise(1, 1, seed=1)[0]  # the last day is a Sunday at work

    found = play(Engine(fleet(1, ("load",))), load[None, :])

    last = [e for e in found if e.onset_ms >= START_MS + 55 * 24 * HOUR_MS - HOUR_MS]
    assert any(e.detector == "rhythm" for e in last)


def test_a_weekly_rest_is_no_anomaly_once_it_is_known() -> None:
    day = np.arange(8 * 7 * DAY) // DAY
    load = np.where(day % 7 == 6, 55.0, 60.0) + noise(1, 8 * 7)[0]

    found = play(Engine(fleet(1, ("load",))), load[None, :])

    assert len([e for e in found if e.onset_ms > START_MS + 3 * 7 * 24 * HOUR_MS]) <= 2


def test_a_drift_over_three_weeks_is_told_as_a_drift() -> None:
    given = 50.0 + noise(1, 45)
    given[0, 21 * DAY :] += np.linspace(0.0, 6.0, 24 * DAY)  # a quarter of the noise a day

    found = play(Engine(fleet(1, ("pressure",))), given)

    drift = [e for e in found if e.detector == "drift"]
    assert drift
    assert drift[0].onset_ms < START_MS + 33 * 24 * HOUR_MS
    assert "has climbed" in drift[0].reason
    assert "from its usual 50" in drift[0].reason
    assert drift[0].reason.endswith("on average over a day.")


def test_a_drift_that_is_over_is_called_over_within_two_days() -> None:
    given = 50.0 + noise(1, 40)
    given[0, 21 * DAY : 24 * DAY] += 5.0

    closed = play(Engine(fleet(1, ("pressure",))), given, told="closed")

    over_ms = START_MS + 24 * 24 * HOUR_MS
    ended = [e.end_ms for e in closed if e.detector == "drift" and e.onset_ms < over_ms < (e.end_ms or 0)]
    assert len(ended) == 1
    assert (ended[0] or 0) < over_ms + 48 * HOUR_MS


def test_missing_data_is_told_and_what_follows_a_gap_is_judged_as_before() -> None:
    given = 50.0 + noise(2, 20)
    given[:, 10 * DAY : 13 * DAY] = np.nan

    found = play(Engine(fleet(1)), given, size=12)

    assert [e.metric for e in found if e.detector == "silence"] == [""]
    behind_ms = START_MS + 13 * 24 * HOUR_MS
    assert not [
        e for e in found if e.metric and behind_ms - 4 * 24 * HOUR_MS < e.onset_ms < behind_ms + 4 * 24 * HOUR_MS
    ]


def test_a_level_fault_lasts_as_long_as_it_lasts() -> None:
    given = 50.0 + noise(1, 24)
    given[0, 14 * DAY : 16 * DAY] += 15.0
    engine = Engine(fleet(1, ("temperature",)))
    play(engine, given[:, : 14 * DAY])
    first = DAY * 14

    lasting = []
    for k in range(first, given.shape[1], 6):
        start_ms = START_MS + k * HOUR_MS // 2
        part = block(given[:, k : k + 6], start_ms=start_ms, interval_ms=HOUR_MS // 2)
        engine.advance(part, start_ms + 5 * HOUR_MS // 2)
        lasting.append(engine.column("episode.temperature_s")[0] > 0)

    assert all(lasting[1:12])  # a day and a half of two
    assert not lasting[-1]


def test_a_fault_present_since_birth_stands_out_of_its_cohort() -> None:
    given = 50.0 + noise(60, 6)
    given[2 * 11] += 25.0
    engine = Engine(fleet(30))
    play(engine, given)

    standing = engine.column("cohort.score")

    assert standing[11] >= 1.0
    assert (np.delete(standing, 11) < 1.0).all()


def test_a_cohort_that_shifts_at_once_alarms_nobody() -> None:
    given = 50.0 + noise(20, 20)
    given[:, 15 * DAY :] += 30.0
    engine = Engine(fleet(20, ("outside_celsius",)))
    play(engine, given[:, : 15 * DAY])

    found = play_from(engine, given, 15 * DAY)

    assert not found
    assert np.nanmax(engine.column("score.outside_celsius")) < 1.0
    assert np.nanmax(engine.column("score.device")) < 1.0
    assert np.nanmax(engine.column("cohort.score")) < 1.0


def test_a_device_with_a_fault_of_its_own_is_told_at_once_while_its_cohort_shifts() -> None:
    given = 50.0 + noise(20, 20)
    given[:, 15 * DAY :] += 30.0
    given[7, 15 * DAY + 12 :] += 15.0  # six hours into the tide; all the others are as far from their past as ever
    engine = Engine(fleet(20, ("outside_celsius",)))
    play(engine, given[:, : 15 * DAY])

    before = play_from(engine, given[:, : 15 * DAY + 12], 15 * DAY)
    found = play_from(engine, given[:, : 16 * DAY], 15 * DAY + 12)

    assert not before
    assert {e.device_id for e in found} == {"d7"}
    level = next(e for e in found if e.detector == "level")
    assert level.onset_ms >= START_MS + (15 * DAY + 12) * HOUR_MS // 2  # of its own fault, not of the tide


def test_a_sensor_that_sticks_in_the_midst_of_a_tide_is_told() -> None:
    given = 50.0 + noise(20, 20)
    given[:, 15 * DAY :] += 30.0
    given[7, 15 * DAY + 12 :] = 80.0  # where all the others are: only that it stands still is odd
    engine = Engine(fleet(20, ("outside_celsius",)))
    play(engine, given[:, : 15 * DAY + 12])

    found = play_from(engine, given[:, : 16 * DAY], 15 * DAY + 12)

    assert {(e.device_id, e.detector) for e in found if e.detector == "stuck"} == {("d7", "stuck")}


def test_a_whole_cohort_that_stands_still_at_once_is_a_tide() -> None:
    given = 50.0 + noise(20, 20)
    given[:, 15 * DAY :] = 80.0
    engine = Engine(fleet(20, ("outside_celsius",)))
    play(engine, given[:, : 15 * DAY])

    found = play_from(engine, given[:, : 16 * DAY], 15 * DAY)

    assert not [e for e in found if e.detector == "stuck"]


def test_what_a_tide_has_muted_is_muted_over_a_restart_and_its_end_is_not_told() -> None:
    given = 50.0 + noise(20, 20)
    given[:, 15 * DAY : 16 * DAY] += 30.0
    engine = Engine(fleet(20, ("outside_celsius",)))
    play(engine, given[:, : 15 * DAY])
    play_from(engine, given[:, : 15 * DAY + 12], 15 * DAY)
    engine = Engine.restore(engine.roster, engine.snapshot())

    closed = [e for f in advances(engine, given[:, : 18 * DAY], 15 * DAY + 12) for e in (*f.opened, *f.closed)]

    assert len(closed) <= 2


def test_one_device_that_shifts_while_its_cohort_stays_does_alarm() -> None:
    given = 50.0 + noise(20, 20)
    given[7, 15 * DAY :] += 30.0
    engine = Engine(fleet(20, ("outside_celsius",)))
    play(engine, given[:, : 15 * DAY])

    found = play_from(engine, given, 15 * DAY)

    level = [e for e in found if e.detector == "level"]
    assert level[0].device_id == "d7"
    assert max(level, key=lambda e: e.peak).device_id == "d7"
    assert len(level) <= 4  # 100 days of series: two false alarms are promised


def test_a_counter_that_climbs_as_ever_is_no_drift_and_one_that_climbs_faster_is_told() -> None:
    steps = np.random.default_rng(0).poisson(2.0, (1, 30 * DAY)).astype(float)
    steps[0, 28 * DAY :] += 60.0
    given = np.cumsum(steps, axis=1)

    found = play(Engine(fleet(1, ("jams_total",))), given)

    assert not [e for e in found if e.detector in ("level", "drift", "rhythm")]
    last = START_MS + 28 * 24 * HOUR_MS
    assert [e for e in found if e.detector == "variance" and e.onset_ms >= last]
    assert len([e for e in found if e.onset_ms < last]) <= 2


def play_from(engine: Engine, given: np.ndarray, first: int) -> list[Episode]:
    return [episode for findings in advances(engine, given, first) for episode in findings.opened]


def advances(engine: Engine, given: np.ndarray, first: int) -> list[Findings]:
    found = []
    for k in range(first, given.shape[1], 6):
        start_ms = START_MS + k * HOUR_MS // 2
        part = block(given[:, k : k + 6], start_ms=start_ms, interval_ms=HOUR_MS // 2)
        found.append(engine.advance(part, start_ms + 5 * HOUR_MS // 2))
    return found
