"""The surprise of devices: what it hears, and how alarms are thinned."""

from __future__ import annotations

import numpy as np

from gateway.detect import surprise
from gateway.detect.engine import Engine
from gateway.detect.excursion import EXCURSION
from gateway.detect.habit import MEMBERS
from gateway.detect.tail import threshold
from tests.unit.detect.fleet import block, fleet, samples


def noise(series: int, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(50.0, 1.0, size=(series, count))


def thinned(event: np.ndarray) -> np.ndarray:
    return surprise._thin(np.zeros(event.size, np.int64), event, surprise.init(1)["alarm"])


def test_an_excursion_is_a_mean_that_stays_away_though_every_value_is_in_range() -> None:
    given = noise(1, 3_000)
    given[0, 2_500:] += 1.5
    given = np.clip(given, 47.5, 52.5)

    score = EXCURSION.step(EXCURSION.init(1), samples(given))

    assert score[2_500:2_560].max() > 1.5 * np.quantile(score[1_000:2_500], 0.99)


def test_an_excursion_is_a_value_beyond_all_that_were() -> None:
    given = noise(1, 3_000)
    given[0, 2_500] += 12.0

    score = EXCURSION.step(EXCURSION.init(1), samples(given))

    assert score[2_500] > 1.5 * score[1_000:2_500].max()


def test_one_event_is_one_alarm_until_it_is_half_as_large_again() -> None:
    event = np.zeros(400)
    event[100:140] = 0.8
    event[120] = 1.3

    assert np.flatnonzero(thinned(event)).tolist() == [100, 120]


def test_what_is_slight_hides_nothing() -> None:
    event = np.zeros(400)
    event[100:140] = 0.9 * surprise.SLIGHT
    event[130] = 1.1 * surprise.SLIGHT

    assert np.flatnonzero(thinned(event)).tolist() == [130]


def test_the_more_a_device_has_alarmed_the_less_the_next_alarm_counts() -> None:
    event = np.zeros(2_000)
    event[[100, 800, 1_500]] = 0.9

    alarm = thinned(event)[[100, 800, 1_500]]

    assert alarm[0] == 0.9
    assert (np.diff(alarm) < 0.0).all()


def test_a_lasting_shift_surprises_more_in_a_device_of_one_series_than_in_one_of_many() -> None:
    given = noise(1, 3_000)
    given[0, 2_500:] += 1.5
    alone, among = Engine(fleet(1, ("a",))), Engine(fleet(1, tuple("abcdefghij")))

    one = alone.advance(block(given), 0).rows.event
    many = among.advance(block(np.concatenate([given, noise(9, 3_000, seed=1)])), 0).rows.event

    assert one[2_510:2_560].max() / np.quantile(one[1_000:2_500], 0.99) > 1.2
    assert one[2_510:2_560].max() > many[2_510:2_560].max()


def judged(rarity: np.ndarray) -> surprise.DeviceScores:
    """Scores of one device whose series say nothing and whose habit says the same by all its members."""
    rows = np.arange(rarity.size)
    given = surprise.Rows(device=np.zeros(rarity.size, np.int64), t_ms=rows * 60_000, first=rows, order=rows)
    members = np.tile(rarity[:, None], (1, MEMBERS))
    return surprise.combine(surprise.init(1), given, np.zeros(rarity.size), members, np.full(rarity.size, 60.0))


def test_a_habit_that_calls_much_rare_is_believed_the_less() -> None:
    rng = np.random.default_rng(0)
    calm, restless = rng.exponential(1.0, 4_000), rng.exponential(5.0, 4_000)
    calm[-1] = restless[-1] = 40.0

    trusted, doubted = judged(calm), judged(restless)

    assert doubted.event[-1] < 0.7 * trusted.event[-1]
    assert doubted.state[-1] < 0.85 * trusted.state[-1]


def test_a_quiet_habit_is_never_believed_more_than_it_says_of_a_condition() -> None:
    rarity = np.random.default_rng(0).exponential(0.3, 4_000)

    state = judged(rarity).state

    said = np.expm1(surprise.lasting(np.tile(rarity[:, None], (1, MEMBERS)))) / threshold(np.array([60.0]))
    assert (state <= said + 1e-12).all()
