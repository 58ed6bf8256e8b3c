"""Whatever alerts come, in whatever order: one open incident per device and cause; folding again changes nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.incidents import Fleet, RuleInfo, View, fold
from gateway.model import Alert, Device, DeviceId

RULES = {name: RuleInfo(name=name, inhibited_by=("C",) if name == "A" else ()) for name in "ABC"}
FLEET = Fleet.of(Device(device_id=DeviceId(f"d{n}"), number=n, type="t", site="s") for n in range(6))
HOUR = 3_600_000

alerts = st.builds(
    Alert,
    rule=st.sampled_from("ABC"),
    device_id=st.sampled_from([DeviceId(f"d{n}") for n in range(6)]),
    state=st.sampled_from(["pending", "firing", "resolved"]),
    at_ms=st.integers(0, 100).map(lambda n: n * HOUR // 4),
    since_ms=st.just(0),
    severity=st.sampled_from(["info", "warning", "critical"]),
    cause=st.sampled_from(["", "x"]),
)


def apply(kept, batch, now_ms):
    every = kept.values()
    view = View(open=tuple(i for i in every if i.state == "open"), recent=tuple(i for i in every if i.state != "open"))
    changed, _ = fold(batch, view, rules=RULES, fleet=FLEET, now_ms=now_ms)
    return kept | {i.incident_id: i for i in changed}, changed


@given(st.lists(st.lists(alerts, max_size=12), min_size=1, max_size=5))
def test_there_is_never_more_than_one_open_incident_of_a_device_and_cause(batches):
    kept, now_ms = {}, 0
    for batch in batches:
        now_ms = max([now_ms, *(a.at_ms for a in batch)])
        kept, _ = apply(kept, batch, now_ms)

        count = Counter((i.device_id, i.cause) for i in kept.values() if i.state == "open")
        assert not count or max(count.values()) == 1
        assert all(bool(i.quiet_ms is None) == bool(i.firing) for i in kept.values() if i.state == "open")


@given(st.lists(alerts, max_size=20))
def test_folding_with_nothing_new_changes_nothing(batch):
    now_ms = max([0, *(a.at_ms for a in batch)])
    kept, _ = apply({}, batch, now_ms)

    again, changed = apply(kept, [], now_ms)

    assert changed == ()
    assert again == kept


@given(st.lists(alerts, max_size=20).flatmap(lambda batch: st.tuples(st.just(batch), st.permutations(batch))))
def test_the_order_within_a_batch_does_not_matter(batches):
    batch, shuffled = batches
    now_ms = max([0, *(a.at_ms for a in batch)])

    assert apply({}, batch, now_ms)[1] == apply({}, shuffled, now_ms)[1]


@given(alerts.map(lambda a: replace(a, state="firing")), st.integers(1, 5))
def test_the_same_firing_again_and_again_is_one_change(firing, times):
    kept, _ = apply({}, [firing] * times, firing.at_ms)

    assert len([i for i in kept.values() if i.device_id]) == 1
    assert apply(kept, [firing], firing.at_ms)[1] == ()
