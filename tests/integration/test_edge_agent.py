"""The agent on a clock and a link of the test's own: what it reads, closes, sends and remembers."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from edge import wire
from edge.assembly import HostSide, make_agent
from edge.config import (
    BufferSettings,
    Collect,
    CommandSettings,
    Device,
    ExecSensor,
    LinkSettings,
    LogFile,
    Settings,
)
from edge.network import Network
from edge.record import ALARM, CRASH
from edge.schedule import Clock
from edge.state import State

T0 = 1_700_000_000_000
DEVICE = "dev-1"


class Time:
    """Both clocks, moved by hand."""

    def __init__(self):
        self.ms, self.s = T0, 100.0

    def pass_(self, seconds):
        self.ms += round(seconds * 1000)
        self.s += seconds

    @property
    def clock(self):
        return Clock(now_ms=lambda: self.ms, monotonic=lambda: self.s)


class Wire:
    """A link that notes what is published."""

    def __init__(self):
        self.up = False
        self.sent = []

    def start(self, listener, *, will):
        self.listener, self.will = listener, will

    def publish(self, kind, payload):
        if self.up:
            self.sent.append((kind, payload))
        return self.up

    def step(self, now_s):
        return now_s + 60

    def stop(self):
        self.up = False

    def rise(self):
        self.up = True
        self.listener.link_up()

    def batches(self):
        """Each as it was first sent."""
        first = {}
        for payload in self.of("batch"):
            batch = wire.decode_batch(payload)
            first.setdefault(batch.seq, batch)
        return list(first.values())

    def of(self, kind):
        return [payload for one, payload in self.sent if one == kind]


class Steady:
    name = "steady"

    def __init__(self):
        self.fails = False

    def read(self, now_s):
        if self.fails:
            raise OSError("no such device")
        return {"temperature_celsius": 20.0 + now_s % 7, "uptime_s": now_s}


class Bench:
    def __init__(self, folder):
        self.time, self.link, self.network, self.sensor = Time(), Wire(), Network(), Steady()
        self.settings = Settings(
            device=Device(id=DEVICE),
            link=LinkSettings(host="h", window=100),
            buffer=BufferSettings(folder=folder / "state", sync="never"),
            command=CommandSettings(key=b"k" * 32),
        )

    def agent(self, *, sensors=True, **changes):
        found = [self.sensor] if sensors else []
        return make_agent(
            replace(self.settings, **changes), self.network,
            sensors=lambda _: found, clock=self.time.clock, link=self.link,
        )  # fmt: skip

    def live(self, agent, seconds, *, step_s=1.0):
        for _ in range(round(seconds / step_s)):
            agent.step()
            self.time.pass_(step_s)


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.network.close()


def test_readings_stand_on_an_even_grid_and_go_out_each_minute(bench):
    agent = bench.agent()
    bench.link.rise()
    bench.live(agent, 300, step_s=0.7)

    batches = [batch for batch in bench.link.batches() if len(batch.t_ms) > 1]
    times = [t_ms for batch in batches for t_ms in batch.t_ms][1:]
    assert {later - earlier for earlier, later in pairwise(times)} == {10_000}
    assert {len(batch.t_ms) for batch in batches[1:]} == {6}
    assert [batch.seq for batch in bench.link.batches()] == list(range(len(bench.link.batches())))
    assert not any(batch.historical for batch in batches)


def test_what_a_simulator_feeds_of_the_past_is_historical_and_sent_with_todays_time(bench):
    agent = bench.agent(sensors=False)
    bench.link.rise()
    day_ms = 86_400_000
    for row in range(48):
        agent.add(T0 - 2 * day_ms + row * 1_800_000, {"battery_volts": 5.7})
    agent.flush()

    agent.step()

    batches = bench.link.batches()
    assert sum(len(batch.t_ms) for batch in batches) == 48
    assert all(batch.historical and batch.sent_at_ms == T0 for batch in batches)


def test_a_clock_that_is_set_moves_what_was_not_sent_yet(bench):
    agent = bench.agent()
    bench.live(agent, 90)
    bench.time.ms += 3_600_000
    bench.live(agent, 30)
    agent.flush()
    bench.link.rise()
    agent.step()

    batches = sorted(bench.link.batches(), key=lambda batch: batch.seq)
    times = [t_ms for batch in batches for t_ms in batch.t_ms]
    assert times[0] == T0 + 3_600_000
    assert max(later - earlier for earlier, later in pairwise(times)) <= 20_000
    assert any("clock moved by 3600.0 s" in line.text for batch in batches for line in batch.logs)


def test_a_failing_sensor_is_told_once_and_the_others_go_on(bench):
    agent = bench.agent()
    bench.sensor.fails = True
    bench.live(agent, 61)
    bench.sensor.fails = False
    bench.live(agent, 61)
    agent.flush()
    bench.link.rise()
    agent.step()

    lines = [line.text for batch in bench.link.batches() for line in batch.logs if "steady" in line.text]
    assert lines == ["sensor steady failed: no such device"]
    assert agent.counts["sensor_failures"] >= 6
    assert agent.last["temperature_celsius"] >= 20


def test_alarms_and_crashes_are_batches_of_their_own(bench):
    agent = bench.agent(sensors=False)
    agent.add(T0, {"battery_volts": 5.7})
    agent.say(4, "door", "forced", kind=ALARM)
    agent.say(4, "main", "SIGSEGV password=1234", kind=CRASH)
    bench.link.rise()
    agent.step()

    assert [(batch.alarm, [line.text for line in batch.logs]) for batch in bench.link.batches()] == [
        (True, ["SIGSEGV password=<secret>"]),
        (True, ["forced"]),
    ]


def test_drops_are_reported_as_metrics(bench):
    agent = bench.agent(collect=Collect(log_lines_per_minute=2))
    for n in range(7):
        agent.say(1, "app", f"line {n}")
    agent.take([], ["bad"])
    bench.link.rise()
    bench.live(agent, 70)

    columns = {name: column for batch in bench.link.batches() for name, column in batch.columns.items()}
    assert columns["agent_dropped_log_rate_total"][-1] == 5
    assert columns["agent_dropped_bad_line_total"][-1] == 1
    assert columns["agent_buffer_bytes"][-1] >= 0
    assert columns["agent_memory_bytes"][-1] > 1e6


def test_a_metric_flood_does_not_make_a_batch_nobody_takes(bench):
    agent = bench.agent(sensors=False)
    for row in range(40):
        agent.add(T0 + row, {f"m{row}_{n}": float(n) for n in range(60)})
    agent.flush()
    bench.link.rise()
    agent.step()

    names = {name for batch in bench.link.batches() for name in batch.columns}
    assert len(names) == wire.MAX_METRICS
    assert agent.counts["too_many_metrics"] == 40 * 60 - wire.MAX_METRICS


def test_rubbish_from_the_gateway_is_counted_and_changes_nothing(bench):
    agent = bench.agent(sensors=False)
    bench.link.rise()
    for kind in wire.DOWN:
        for payload in (b"", b"{}", b'{"v":1}', b"\xff" * 9, b'{"v":1,"r":[[1,2]]}'):
            agent.received(kind, payload)

    assert agent.counts["bad_message"] >= 9
    assert agent.counts["command_bad_form"] == 2


def test_a_boot_never_comes_again(bench, tmp_path):
    boots = []
    for _ in range(3):
        agent = bench.agent(sensors=False)
        boots.append(agent.run.boot)
        agent.add(T0, {"uptime_s": 1})
        agent.stop()
    for name in ("run", "run.copy"):
        (tmp_path / "state" / f"{name}.json").write_text("{damaged")
    bench.time.pass_(-3600 * 24 * 365)  # and the clock is wrong too
    agent = bench.agent(sensors=False)
    boots.append(agent.run.boot)

    assert boots == sorted(set(boots))
    assert agent.waiting == 3


def test_how_the_last_run_ended_is_known(tmp_path):
    first = State(tmp_path).begin(now_ms=T0, kernel="a")
    second = State(tmp_path)
    after_kill = second.begin(now_ms=T0, kernel="a")
    second.end()
    after_end = State(tmp_path).begin(now_ms=T0, kernel="b")

    assert (first.same_kernel, first.clean) == (False, False)
    assert (after_kill.same_kernel, after_kill.clean) == (True, False)
    assert (after_end.same_kernel, after_end.clean) == (False, True)


def test_desired_settings_outlive_a_restart(bench):
    agent = bench.agent(sensors=False)
    agent.received("desired", wire.encode_desired(wire.Desired(version=3, settings={"sample_every": "2m"})))
    agent.stop()

    again = bench.agent(sensors=False)
    bench.link.rise()

    assert again.collect.sample_every == 120
    assert wire.decode_birth(bench.link.of("birth")[-1]).config_version == 3
    assert wire.decode_reported(bench.link.of("reported")[-1]).version == 3


def test_a_repeated_command_is_refused_after_a_restart_too(bench):
    def order():
        command = wire.Command(command_id="c", name="ping", expires_ms=T0 + 60_000, nonce="n" * 32)
        return wire.encode_command(command, device_id=DEVICE, key=b"k" * 32)

    codes = []
    for _ in range(2):
        agent = bench.agent(sensors=False)
        bench.link.rise()
        agent.received("command", order())
        codes.append(wire.decode_reply(bench.link.of("reply")[-1]).code)
        agent.stop()

    assert codes == ["done", "repeated"]


def test_programs_and_log_files_feed_the_agent(bench, tmp_path):
    log = tmp_path / "app.log"
    log.write_text("before\n")
    programs = (
        ExecSensor(name="fan", argv=("/bin/sh", "-c", "echo metric fan_speed_rpm=900")),
        ExecSensor(name="slow", argv=("/bin/sleep", "5"), timeout=0.2),
    )
    agent = bench.agent(sensors=False, log=(LogFile(path=log),), exec=programs)
    host = HostSide(agent, agent.settings, bench.network)
    with log.open("a") as file:
        file.write("[error] pump at 10.0.0.7 stuck\n")
    bench.live(agent, 12)
    for _ in range(100):
        bench.network.poll(0.05)
        if any("slow" in line.source for line in agent.recorder.lines) and "fan_speed_rpm" in agent.last:
            break
    host.close()
    agent.stop()

    assert agent.last["fan_speed_rpm"] == 900
    lines = {(line.source, line.severity, line.text) for line in agent.recent}
    assert lines == {("app", 3, "[error] pump at <ip> stuck"), ("slow", 2, "program timed_out")}
    assert json.loads((tmp_path / "state" / "tails.json").read_text())[str(log)][1] == log.stat().st_size
