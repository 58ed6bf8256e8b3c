"""What may come in, and what becomes of it."""

from __future__ import annotations

import numpy as np
import pytest

from edge import wire
from gateway.ingest import Limits
from gateway.model import Device, DeviceId
from gateway.ports import BatchKey, Delivery
from tests.unit.ingest.fleet import NOW_MS, Door, batch, delivery

DAY_MS = 86_400_000


def test_a_window_becomes_columns_sorted_by_series_then_time():
    door = Door()
    first = batch(0, t_ms=[NOW_MS - 2000, NOW_MS - 1000], load_1m_tasks=[1.0, 2.0], cpu_busy_ratio=[0.1, None])
    second = batch(1, t_ms=[NOW_MS - 500], cpu_busy_ratio=[0.3])

    columns = door.take(delivery(second, device="b"), delivery(second), delivery(first)).columns

    names = [(door.roster.devices[door.roster.series_device[s]].device_id,
              door.roster.metrics[door.roster.series_metric[s]]) for s in columns.series]  # fmt: skip
    assert sorted(columns.series.tolist()) == columns.series.tolist()
    found = set(zip(names, columns.t_ms.tolist(), columns.value.tolist(), strict=True))
    assert found == {
        (("a", "load_1m_tasks"), NOW_MS - 2000, 1.0), (("a", "load_1m_tasks"), NOW_MS - 1000, 2.0),
        (("a", "cpu_busy_ratio"), NOW_MS - 2000, 0.1), (("a", "cpu_busy_ratio"), NOW_MS - 500, 0.3),
        (("b", "cpu_busy_ratio"), NOW_MS - 500, 0.3),
    }  # fmt: skip
    assert not columns.late.any()


def test_a_repeat_is_dropped_and_still_marked():
    door = Door()
    door.take(delivery(batch(7)))

    harvest = door.take(delivery(batch(7)), delivery(batch(8)), delivery(batch(8)))

    assert harvest.keys == [BatchKey(0, 1, 8)]
    assert harvest.duplicates == 2
    assert harvest.columns.value.size == 1
    assert set(harvest.marks["a"]) == {(1, 7), (1, 8)}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (delivery(batch(), device="nobody"), "unknown_device"),
        (delivery(batch(), device="gone"), "revoked_device"),
        (delivery(b"junk"), "bad_form"),
        (delivery(b"{"), "not_json"),
        (delivery(b'{"v":2,"boot":1,"seq":0,"sent":1}'), "bad_version"),
        (delivery(b'{"v":1,"boot":1,"seq":0,"sent":1,"m":{"Bad Name":[]}}'), "bad_field"),
        (delivery(b'{"v":1,"boot":1,"seq":0,"sent":1,"t":[1],"m":{"x":[1,2]}}'), "bad_field"),
        (delivery(b"{}" * 200_000), "too_large"),
        (delivery(batch(), kind="stored"), "wrong_topic"),
        (delivery(batch(), kind="nonsense"), "bad_topic"),
        (Delivery("elsewhere/x", b"1", None), "bad_topic"),
        (delivery(batch(boot=2, sent_ms=NOW_MS - 9 * DAY_MS)), "clock_off"),
        (delivery(b"!", kind="birth"), "bad_form"),
    ],
)
def test_what_is_refused_has_a_code_and_costs_the_others_nothing(sent, code):
    door = Door()
    door.roster.put_device(Device(device_id=DeviceId("gone"), number=2, type="router", revoked=True))

    harvest = door.take(delivery(batch(1)), sent, delivery(batch(2), device="b"))

    assert [letter.code for letter in harvest.dead] == [code]
    assert len(harvest.keys) == 2


def test_a_hopeless_batch_is_marked_so_that_the_device_lets_it_go():
    door = Door()

    off = door.take(delivery(batch(3, sent_ms=NOW_MS - 9 * DAY_MS)))
    bad = door.take(delivery(b'{"v":1,"boot":4,"seq":9,"sent":1,"m":{"x":[1]}}'))

    assert off.marks == {"a": [(1, 3)]}
    assert bad.marks == {"a": [(4, 9)]}


def test_samples_that_cannot_be_are_left_out_and_counted():
    door = Door()
    sent = batch(
        t_ms=[NOW_MS - 500 * DAY_MS, NOW_MS - 1000, NOW_MS, NOW_MS + DAY_MS], cpu_busy_ratio=[0.1, 7.0, 0.2, 0.3]
    )

    harvest = door.take(delivery(sent))

    assert harvest.columns.value.tolist() == [0.2]
    assert harvest.dropped == {"too_old": 1, "out_of_range": 1, "in_future": 1}


def test_samples_behind_their_series_and_historical_ones_are_late():
    door = Door()
    door.take(delivery(batch(0, t_ms=[NOW_MS], cpu_busy_ratio=[0.1])))

    columns = door.take(
        delivery(batch(1, t_ms=[NOW_MS - 5], cpu_busy_ratio=[0.2])),
        delivery(batch(2, t_ms=[NOW_MS + 1, NOW_MS + 2], cpu_busy_ratio=[0.3, 0.4])),
        delivery(batch(3, t_ms=[NOW_MS + 3], cpu_busy_ratio=[0.5], historical=True)),
    ).columns

    assert dict(zip(columns.value.tolist(), columns.late.tolist(), strict=True)) == {
        0.2: True, 0.3: False, 0.4: False, 0.5: True
    }  # fmt: skip


def test_the_backlog_after_live_data_does_not_make_live_data_late():
    door = Door()
    door.take(delivery(batch(0, t_ms=[NOW_MS + 50], cpu_busy_ratio=[0.1], historical=True)))

    columns = door.take(delivery(batch(1, t_ms=[NOW_MS + 10], cpu_busy_ratio=[0.2]))).columns

    assert columns.late.tolist() == [False]


def test_a_clock_that_is_off_is_corrected_by_the_brokers_time():
    door = Door()
    wrong = NOW_MS - 3_600_000

    columns = door.take(
        delivery(batch(0, sent_ms=wrong, t_ms=[wrong]), at_ms=NOW_MS + 400),
        delivery(batch(1, sent_ms=wrong + 1000, t_ms=[wrong + 1000]), at_ms=NOW_MS + 1040),
    ).columns

    assert columns.t_ms.tolist() == [NOW_MS + 400, NOW_MS + 1040]


def test_time_in_a_queue_is_not_taken_for_a_slow_clock():
    door = Door()
    earlier = NOW_MS - 3_600_000

    columns = door.take(delivery(batch(sent_ms=earlier, t_ms=[earlier]), at_ms=0)).columns

    assert columns.t_ms.tolist() == [earlier]


def test_a_new_boot_has_a_clock_of_its_own():
    door = Door()
    wrong = NOW_MS - 3_600_000
    door.take(delivery(batch(0, boot=1, sent_ms=wrong, t_ms=[wrong])))

    columns = door.take(delivery(batch(0, boot=2, t_ms=[NOW_MS]))).columns

    assert columns.t_ms.tolist() == [NOW_MS]


def test_a_device_over_its_quota_is_put_off_unmarked_and_the_others_are_not():
    door = Door(limits=Limits(values_per_minute=10))
    flood = [delivery(batch(seq, x=[1.0] * 40)) for seq in range(5)]

    harvest = door.take(*flood, delivery(batch(0), device="b"))

    assert [letter.code for letter in harvest.dead] == ["over_quota"] * 3
    assert harvest.marks == {"a": [(1, 0), (1, 1)], "b": [(1, 0)]}
    later = door.take(flood[2], now_ms=NOW_MS + 600_000)
    assert later.keys == [BatchKey(0, 1, 2)]


def test_a_device_cannot_grow_the_roster_without_bound():
    door = Door()
    codes = []
    for seq in range(4):
        columns = {f"m{seq}_{k}": [1.0] for k in range(400)}
        codes += door.codes(delivery(batch(seq, t_ms=[NOW_MS], **columns)))

    assert codes == ["too_many_metrics"] * 2
    assert door.roster.series_count == 800


def test_births_deaths_and_log_lines_come_through():
    door = Door()
    birth = wire.Birth(boot=3, t_ms=NOW_MS, type="router", firmware="2.1", metrics={"x_count": "count"})
    lines = [wire.LogLine(NOW_MS - 10, 3, "kernel", "boom"), wire.LogLine(NOW_MS - 90, 1, "net", "up")]

    harvest = door.take(
        delivery(wire.encode_birth(birth), kind="birth"),
        delivery(wire.encode_death(wire.Death(boot=3)), kind="death", device="b"),
        delivery(batch(logs=lines)),
        delivery(wire.encode_reported(wire.Reported(version=1)), kind="reported"),
    )

    assert [(b.device_id, b.boot, b.firmware, b.metrics) for b in harvest.births] == [
        ("a", 3, "2.1", (("x_count", "count"),))
    ]
    assert [(p.device_id, p.online) for p in harvest.presence] == [("a", True), ("b", False)]
    assert harvest.logs.text == ("up", "boom")
    assert harvest.logs.t_ms.tolist() == [NOW_MS - 90, NOW_MS - 10]
    assert [(kind, device.device_id) for kind, device, _ in harvest.messages] == [("reported", "a")]


def test_an_empty_window_is_an_empty_harvest():
    harvest = Door().take()

    assert harvest.keys == []
    assert harvest.columns.value.size == 0
    assert np.array_equal(harvest.columns.late, np.empty(0, np.bool_))


def test_a_window_without_samples_has_columns_of_the_same_types():
    """Compiled detectors take no others: a window of births alone would stop the turn."""
    columns = Door().take(delivery(b"rubbish")).columns

    kinds = [str(column.dtype) for column in (columns.series, columns.t_ms, columns.value, columns.late)]
    assert kinds == ["int64", "int64", "float64", "bool"]
