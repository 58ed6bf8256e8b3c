"""Sessions and precursors: what is put together as no others are, and what comes before failures."""

import json

from gateway.detect.logs.sequence import Precursors, Sessions

BOOT, OK, SLOW, HOT = range(4)


def test_a_session_unlike_all_others_is_rare():
    sessions = Sessions()
    usual = [sessions.score([1, 2, 2, 3]) for _ in range(300)]

    odd = sessions.score([1, 2, 9])

    assert max(usual[1:]) < 1.0 <= odd


def fleet() -> Precursors:
    known = Precursors()
    for k in range(200):
        window = [BOOT, OK, SLOW, HOT] if k % 10 == 0 else [BOOT, HOT, OK]
        known.learn([window], failed=k % 10 == 0)
    return known


def test_a_pair_of_templates_before_failures_is_told():
    known = fleet()

    reasons = known.reasons([BOOT, SLOW, HOT])

    assert reasons[0][0] in {(SLOW,), (SLOW, HOT)}
    assert known.log_odds([BOOT, HOT]) < known.log_odds([SLOW])


def test_one_failure_makes_no_sign_however_many_days_it_took():
    known = Precursors()
    for _ in range(100):
        known.learn([[BOOT, OK]], failed=False)

    known.learn([[BOOT, SLOW]] * 7, failed=True)
    known.learn([[BOOT, HOT]] * 7, failed=True)

    assert known.log_odds([SLOW]) == 0.0
    assert not known.knows


def test_what_is_known_outlives_a_restart():
    known = fleet()

    again = Precursors.restore(json.loads(json.dumps(known.snapshot())))

    assert again == known
