from __future__ import annotations

import numpy as np

from gateway.prognosis.kept import Kept

HORIZON, DAY = 10, 1


def lived(*, devices: int, days: int, room: int, worn: int = 0) -> Kept:
    """Daily rows [device, day] of a fleet; the first `worn` devices show wear, and device 0 fails on day 40."""
    kept = Kept(HORIZON, room=room)
    device = np.arange(devices)
    for day in range(days):
        rows = np.stack([device, np.full(devices, day)], 1).astype(np.float32)
        if day == 40:
            kept.failed(np.array([0]), np.array([40]))
        kept.keep(device, day, rows, np.ones(devices), device < worn)
    return kept


def test_what_is_kept_stays_within_its_room_and_stands_for_all_there_was():
    kept = lived(devices=50, days=200, room=2_000)

    assert kept.count <= 2_000
    assert abs(kept.stands.sum() - 50 * 200) < 0.02 * 50 * 200
    assert np.array_equal(kept.rows[:, 0].astype(int), kept.device)
    assert np.array_equal(kept.rows[:, 1].astype(int), kept.t_ms)


def test_rows_before_a_failure_and_young_ones_outlive_all_others():
    kept = lived(devices=50, days=200, room=2_000)

    before = (kept.device == 0) & (kept.t_ms >= 30) & (kept.t_ms < 40)
    assert before.sum() == 10
    assert (kept.stands[before] == 1.0).all()
    assert (kept.t_ms > 189).sum() == 50 * 10


def test_rows_that_show_wear_are_forgotten_later_than_plain_ones():
    kept = lived(devices=50, days=200, room=3_000, worn=5)

    old = kept.t_ms < 180
    assert (old & (kept.device < 5)).sum() > 5 * 170
    assert (old & (kept.device >= 5)).sum() < 45 * 180 / 3


def test_a_sample_is_drawn_from_all_that_was_and_not_from_what_is_kept():
    kept = lived(devices=50, days=200, room=3_000, worn=5)

    drawn = kept.sample(1_000)

    assert abs((drawn[:, 0] < 5).mean() - 0.1) < 0.02


def test_a_fleet_larger_than_its_room_is_kept_in_part():
    kept = lived(devices=500, days=50, room=1_000)

    assert kept.count <= 1_000
    assert ((kept.device == 0) & (kept.t_ms >= 30) & (kept.t_ms < 40)).sum() >= 1


def test_of_what_was_taken_away_only_days_whose_outcome_is_known_are_learned_from():
    kept = lived(devices=3, days=60, room=2_000)
    kept.gone(np.array([1, 0]), np.array([30, 45]))

    decided = [kept.t_ms[(kept.device == n) & kept.decided(59)].tolist() for n in range(3)]
    assert decided[1] == [*range(20), *range(30, 50)]
    assert decided[0] == [*range(40), *range(45, 50)]
    assert decided[2] == [*range(50)]


def test_causes_of_failures_outlive_a_restart_and_parts_are_those_that_are_replaced_and_fail_often():
    kept = Kept(HORIZON)
    for day, cause in enumerate(["fan", "pump"] * 10 + ["valve"] * 2):
        kept.failed(np.array([day]), np.array([day]), (cause,))
    kept.keep(np.arange(2), 0, np.zeros((2, 1), np.float32), np.ones(2), np.zeros(2, bool))

    again = Kept.restore(kept.snapshot(), HORIZON)

    assert again.parts(["fan", "pump", "valve"]) == ("fan", "pump")
    assert again.parts(["fan", "valve"]) == ()
    assert again.left_ms("pump").tolist() == [np.inf, 1.0]
    again.failed(np.arange(9), np.full(9, 99))
    assert again.parts(["fan", "pump", "valve"]) == ()
