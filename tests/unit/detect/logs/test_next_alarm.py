"""Forecasts of alarm codes: they find what follows what, and see nothing of the windows they are asked about."""

import numpy as np

from gateway.detect.logs.next_alarm import STRETCHES, Past, forecast
from gateway.detect.logs.sequence import Precursors, Sessions

CODES = 12


def machine(learn=600, test=200, seed=0):
    """After code 3, code 7 sounds; all else is chance."""
    rng = np.random.default_rng(seed)
    windows = np.zeros((learn + test, 10), np.int64)
    outcomes = rng.random((learn + test, CODES)) < 0.05
    outcomes[:, 0] = False
    for w in windows:
        codes = rng.integers(1, 7, rng.integers(1, 10))
        w[: codes.size] = codes
    three = (windows == 3).any(1)
    outcomes[:, 7] = three ^ (rng.random(learn + test) < 0.05)
    stretch = np.r_[np.arange(learn) * STRETCHES // learn, np.full(test, STRETCHES)]
    return Past(windows=windows, outcomes=outcomes, stretch=stretch), three


def test_a_code_that_follows_another_is_forecast():
    past, three = machine()
    asked = past.stretch == STRETCHES

    found = forecast(past)

    assert found[asked & three, 7].min() > 0.5 > found[asked & ~three, 7].max()
    assert (found[~asked] == 0).all()


def test_outcomes_of_the_windows_asked_about_are_never_looked_at():
    past, _ = machine()
    asked = past.stretch == STRETCHES
    blind = Past(windows=past.windows, outcomes=past.outcomes & ~asked[:, None], stretch=past.stretch)

    np.testing.assert_array_equal(forecast(blind), forecast(past))


def test_cutting_later_windows_off_changes_no_forecast():
    past, _ = machine()
    first = slice(0, 700)
    cut = Past(windows=past.windows[first], outcomes=past.outcomes[first], stretch=past.stretch[first])

    np.testing.assert_array_equal(forecast(cut), forecast(past)[first])


def test_a_machine_without_a_past_has_no_forecast():
    past, _ = machine(learn=0, test=20)

    assert (forecast(past) == 0).all()


def test_a_session_unlike_all_others_is_rare():
    sessions = Sessions()
    usual = [sessions.score([1, 2, 2, 3]) for _ in range(300)]

    odd = sessions.score([1, 2, 9])

    assert max(usual[1:]) < 1.0 <= odd


def test_a_pair_of_templates_before_failures_is_told():
    known = Precursors()
    for k in range(200):
        known.learn(
            ["boot", "ok", "fan slow", "temp high"] if k % 10 == 0 else ["boot", "temp high", "ok"], failed=k % 10 == 0
        )

    reasons = known.reasons(["boot", "fan slow", "temp high"])

    assert reasons[0][0] in {"fan slow", ("fan slow", "temp high")}
    assert known.log_odds(["boot", "temp high"]) < known.log_odds(["fan slow"])
