from itertools import pairwise

import pytest

from edge.buffer import Buffer
from edge.outbox import EXTRA, Outbox
from edge.record import ALARM, ROUTINE, Record


@pytest.fixture
def buffer(tmp_path):
    buffer = Buffer(tmp_path, max_bytes=1 << 20, sync="never")
    yield buffer
    buffer.close()


def made(buffer, *, window=4):
    return Outbox(buffer, window=window, mark_timeout_s=10, draw=lambda: 1.0)


def put(buffer, outbox, seqs, *, kind=ROUTINE):
    for seq in seqs:
        record = Record(kind, 1, seq, seq, b"x")
        buffer.append(record, now_s=0)
        outbox.added(record)


def taken(outbox, now_s=0.0):
    found = []
    while (record := outbox.take(now_s)) is not None:
        found.append(record.seq)
    return found


def store(buffer, outbox, *seqs):
    outbox.stored(buffer.stored([(1, seq, seq) for seq in seqs]))


def test_alarms_go_first_then_the_newest_within_the_window(buffer):
    outbox = made(buffer)
    put(buffer, outbox, range(6))
    put(buffer, outbox, [6, 7], kind=ALARM)

    assert taken(outbox) == [7, 6, 5, 4]
    store(buffer, outbox, 5, 6)
    assert taken(outbox) == [3, 2]


def test_an_alarm_does_not_wait_for_the_window(buffer):
    outbox = made(buffer)
    put(buffer, outbox, range(10))
    taken(outbox)
    put(buffer, outbox, range(100, 100 + EXTRA + 5), kind=ALARM)

    assert len(taken(outbox)) == EXTRA


def test_what_is_not_marked_goes_again_later_and_ever_less_often(buffer):
    outbox = made(buffer)
    put(buffer, outbox, [0])
    times = []
    for now_s in range(200):
        times += [now_s] * len(taken(outbox, now_s))

    waits = [later - earlier for earlier, later in pairwise(times)]
    assert times[0] == 0
    assert waits == sorted(waits)
    assert waits[0] >= 10
    assert waits[-1] >= 2 * waits[0]
    assert outbox.republished == len(waits)


def test_an_unmarked_batch_does_not_hold_up_the_others(buffer):
    outbox = made(buffer, window=2)
    put(buffer, outbox, range(8))
    seen = set()
    for now_s in range(60):
        seen.update(taken(outbox, now_s))

    assert seen == set(range(8))


def test_after_a_lost_link_everything_unmarked_goes_again(buffer):
    outbox = made(buffer, window=50)
    put(buffer, outbox, range(10))
    put(buffer, outbox, [10], kind=ALARM)
    taken(outbox)
    store(buffer, outbox, 3, 4)

    outbox.lost()

    again = taken(outbox)
    assert again[0] == 10
    assert sorted(again) == [0, 1, 2, 5, 6, 7, 8, 9, 10]


def test_a_backlog_of_an_earlier_run_is_sent_once_each_oldest_first_but_alarms(buffer, tmp_path):
    put(buffer, made(buffer), range(200))
    put(buffer, made(buffer), [200], kind=ALARM)
    outbox = made(buffer, window=500)

    assert taken(outbox) == [200, *range(200)]


def test_nothing_is_left_out_however_long_the_backlog_grows(buffer):
    outbox = made(buffer, window=5)
    sent = set()
    for start in range(0, 1000, 100):
        put(buffer, outbox, range(start, start + 100))
        found = taken(outbox)
        sent.update(found)
        store(buffer, outbox, *found)
    while found := taken(outbox):
        sent.update(found)
        store(buffer, outbox, *found)

    assert sent == set(range(1000))
    assert len(buffer) == 0
