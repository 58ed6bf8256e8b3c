"""The agent: reads, keeps, sends, obeys. One object a device; everything happens in the thread that calls `step`.

    sensors, socket, log tails ──► Recorder ──► Buffer (disk) ──► Outbox ──► Link ──► broker, gateway
                                                   ▲ let go only on the gateway's `stored` mark ◄──┘

A program runs one agent or hundreds on one thread:

    network = Network()
    agents = [make_agent(settings, network, tls=tls_context(settings.link)) for settings in fleet]
    serve(network, agents, until=lambda: stopped)     # or call network.poll and agent.step yourself
    for agent in agents: agent.stop()

A simulator gives `sensors=()` and feeds instead: `add(t_ms, values)` and `say(...)` with event times of its own. A
batch is closed when its rows span `flush_every` of event time; rows older than a few minutes by the agent's `clock`
are sent marked historical, so 30 days can be played in a minute. Watch `waiting` (batches not yet stored) and pause
while it is high: a full buffer thins. `flush()` closes a batch at once.
"""

from __future__ import annotations

import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edge import __version__
from edge.buffer import Buffer
from edge.config import Collect, Settings
from edge.desired import apply_desired, shown
from edge.lines import Readings, Said
from edge.link import Link
from edge.logs import WARNING, LogGate
from edge.outbox import Outbox
from edge.record import LOGS, ROUTINE, Record
from edge.recorder import Recorder
from edge.resend import as_sent
from edge.schedule import SYSTEM_CLOCK, Clock, Schedule, period_ms
from edge.sensors import Sensor, kernel_boot_id, reboot_reason
from edge.state import State
from edge.wire import (
    MAX_METRICS,
    Birth,
    Death,
    Desired,
    LogLine,
    Reported,
    WireError,
    decode_desired,
    decode_stored,
    encode_batch,
    encode_birth,
    encode_death,
    encode_reported,
    unit_of,
)

log = logging.getLogger("edge.agent")

FRESH_MS = 120_000  # a batch older than this (or two flushes) is historical
JUMP_MS = 2_000  # a clock that moves by more against the monotonic one was set
MOST_RECENT = 300  # log lines kept for the diagnostics bundle


class Agent:
    """One device's agent; see the module. `make_agent` in `edge.assembly` joins the real parts."""

    def __init__(
        self,
        settings: Settings,
        *,
        link: Link,
        buffer: Buffer,
        state: State,
        sensors: Callable[[Collect], Sequence[Sensor]] = lambda _: (),
        clock: Clock = SYSTEM_CLOCK,
        draw: Callable[[], float] = random.random,
        root: Path = Path("/"),
    ) -> None:
        self.settings = settings
        self.device_id = settings.device.id
        self.collect = settings.collect
        self.buffer = buffer
        self.link = link
        self.counts: Counter[str] = Counter()  # drops and failures by reason
        self.recent: deque[LogLine] = deque(maxlen=MOST_RECENT)
        self.last: dict[str, float] = {}  # newest readings
        self.connects = 0
        self.due_s = 0.0  # when `step` is wanted next, monotonic
        self.on_command: Callable[[bytes], None] = lambda _: None
        self.own_readings: Callable[[], Mapping[str, float]] = dict
        self.state = state
        self.run = state.begin(now_ms=clock.now_ms(), kernel=kernel_boot_id(root), at_least=buffer.last_boot)
        self.reason = reboot_reason(
            root=root, first=self.run.first, same_boot=self.run.same_kernel, clean=self.run.clean
        )
        self.clock = clock
        self.outbox = Outbox(buffer, window=settings.link.window, mark_timeout_s=settings.link.mark_timeout, draw=draw)
        self.gate = LogGate(extra=settings.collect.redact)
        self.recorder = Recorder()
        self._make_sensors = sensors
        self._sensors: Sequence[Sensor] = ()
        self._failing: set[str] = set()
        self._pollers: list[Callable[[], None]] = []
        self._seq = 0
        self._jumps: list[tuple[int, int]] = []  # (seq, ms): batches of this boot below seq carry a time so far behind
        self._offset_ms: float | None = None
        self._down_since_s: float | None = None
        self._desired = Desired(version=0)
        self._refused: dict[str, str] = {}
        self._names: set[str] = set()
        self._born_with = -1
        self.schedule = Schedule(self.device_id)
        self._configure(self._kept_desired())
        link.start(self, will=encode_death(Death(boot=self.run.boot)))

    # What others may ask and feed.

    @property
    def waiting(self) -> int:
        """Batches on disk: not yet marked stored by the gateway."""
        return len(self.buffer)

    @property
    def batches(self) -> int:
        """Batches closed in this run."""
        return self._seq

    def add(self, t_ms: int, values: Mapping[str, float]) -> None:
        """Readings of one time, event time in Unix ms."""
        values = self._known(values)
        self.last.update(values)
        self.recorder.add(t_ms, values)
        if self.recorder.full or self.recorder.span_ms >= period_ms(self.collect.flush_every):
            self.flush()

    def _known(self, values: Mapping[str, float]) -> Mapping[str, float]:
        """The readings, without new metrics beyond what a batch may hold."""
        new = [name for name in values if name not in self._names]
        if not new:
            return values
        excess = set(new[max(0, MAX_METRICS - len(self._names)) :])
        self._names.update(name for name in new if name not in excess)
        if excess:
            self.counts["too_many_metrics"] += len(excess)
        return {name: value for name, value in values.items() if name not in excess}

    def say(self, severity: int, source: str, text: str, *, t_ms: int | None = None, kind: int = LOGS) -> None:
        """A line of text, bounded and redacted here; kind ALARM or CRASH goes at once, as a batch of its own."""
        lines = self.gate.admit(self.clock.now_ms() if t_ms is None else t_ms, severity, source, text)
        self.recent.extend(lines)
        if kind == LOGS or not lines:
            self.recorder.say(lines)
        else:
            recorder = Recorder()
            recorder.say(lines)
            self._close(recorder, kind)
        if self.recorder.full:
            self.flush()

    def take(self, said: Sequence[Readings | Said], wrong: Sequence[str] = ()) -> None:
        """What lines of the protocol say (`edge.lines`), and the refusals of those that say nothing."""
        now_ms = self.clock.now_ms()
        for one in said:
            if isinstance(one, Said):
                self.say(one.severity, one.source, one.text, kind=one.kind)
            elif one.t_ms is None:
                self.add(self.schedule.planned(now_ms), one.values)
            else:
                self.add(one.t_ms, one.values)
        if wrong:
            self.counts["bad_line"] += len(wrong)
            self.say(WARNING, "agent", f"line refused: {wrong[0]}")

    def also_poll(self, poll: Callable[[], None]) -> None:
        """Call this at every sample: log tails and the like, which feed by `say` and `add`."""
        self._pollers.append(poll)

    def flush(self) -> None:
        """Close the batch under way, if there is anything in it."""
        if self.recorder:
            self._close(self.recorder, ROUTINE if self.recorder.rows else LOGS)

    # The work of a moment.

    def read_now(self) -> None:
        """Read all sensors out of turn."""
        self._sample(self.clock.monotonic(), self.clock.now_ms())

    def step(self) -> float:
        """Do all that is due; when to call again at the latest, in monotonic seconds."""
        now_s, now_ms = self.clock.monotonic(), self.clock.now_ms()
        self._watch_clock(now_ms)
        if now_ms >= self.schedule.sample_ms:
            self._sample(now_s, now_ms)
        if now_ms >= self.schedule.flush_ms:
            self._end_of_interval(now_ms)
        link_due_s = self.link.step(now_s)
        self._send(now_s, now_ms)
        wall_s = self.schedule.due_in_s(self.clock.now_ms())
        self.due_s = min(now_s + wall_s, link_due_s, max(now_s + 0.05, self.outbox.due_s()))
        return self.due_s

    def _watch_clock(self, now_ms: int) -> None:
        offset_ms = now_ms - (self.clock.awake or self.clock.monotonic)() * 1000
        before_ms, self._offset_ms = self._offset_ms, offset_ms
        if before_ms is None or abs(offset_ms - before_ms) < JUMP_MS or not (self._sensors or self._pollers):
            return
        delta_ms = round(offset_ms - before_ms)
        self.recorder.shift(delta_ms)
        self._jumps.append((self._seq, delta_ms))
        self._plan(now_ms)
        self.say(WARNING, "agent", f"clock moved by {delta_ms / 1000:.1f} s")

    def _sample(self, now_s: float, now_ms: int) -> None:
        t_ms = self.schedule.planned(now_ms)
        values: dict[str, float] = {}
        for sensor in self._sensors:
            try:
                values.update(sensor.read(now_s))
                self._failing.discard(sensor.name)
            except (OSError, ValueError, LookupError) as exc:
                self.counts["sensor_failures"] += 1
                if sensor.name not in self._failing:
                    self._failing.add(sensor.name)
                    self.say(WARNING, "agent", f"sensor {sensor.name} failed: {exc}")
        for poll in self._pollers:
            poll()
        if values:
            self.add(t_ms, values)
        self.schedule.sampled(now_ms)

    def _end_of_interval(self, now_ms: int) -> None:
        lines = self.gate.tell(now_ms)
        self.recent.extend(lines)
        self.recorder.say(lines)
        if "agent" in self.collect.sensors and self.recorder.rows:
            self.add(max(self.recorder.rows), self.own_readings())
        self.flush()
        if self.link.up and len(self._names) != self._born_with:
            self._birth()
        self.schedule.flushed(now_ms)

    def _close(self, recorder: Recorder, kind: int) -> None:
        now_ms = self.clock.now_ms()
        batch = recorder.take(boot=self.run.boot, seq=self._seq, sent_at_ms=now_ms)
        batch = replace(batch, alarm=kind > LOGS)
        newest_ms = max([*batch.t_ms[-1:], *(line.t_ms for line in batch.logs)])
        record = Record(kind, self.run.boot, self._seq, newest_ms, encode_batch(batch))
        self._seq += 1
        self.buffer.append(record, now_s=self.clock.monotonic())
        self.outbox.added(record)
        self.due_s = 0.0

    def _send(self, now_s: float, now_ms: int) -> None:
        while self.link.up and (record := self.outbox.take(now_s)) is not None:
            if not self.link.publish("batch", self._payload(record, now_ms)):
                self.outbox.refused(record)
                return

    def _payload(self, record: Record, now_ms: int) -> bytes:
        moved_ms = sum(delta for seq, delta in self._jumps if record.boot == self.run.boot and record.seq < seq)
        fresh_ms = max(FRESH_MS, 2 * period_ms(self.collect.flush_every))
        return as_sent(record, now_ms=now_ms, fresh_ms=fresh_ms, moved_ms=moved_ms)

    # What the link says.

    def link_up(self) -> None:
        """The session stands: introduce yourself, then send."""
        self.due_s = 0.0
        self.connects += 1
        now_s = self.clock.monotonic()
        if self._down_since_s is not None:
            self.say(
                WARNING, "agent", f"offline for {now_s - self._down_since_s:.0f} s, {self.waiting} batches waiting"
            )
            self._down_since_s = None
        self._birth()
        self._report()

    def link_down(self) -> None:
        """Everything under way waits again."""
        self.due_s = 0.0
        if self._down_since_s is None:
            self._down_since_s = self.clock.monotonic()
        self.outbox.lost()

    def received(self, kind: str, payload: bytes) -> None:
        """A message from the gateway. Never raises."""
        self.due_s = 0.0
        try:
            match kind:
                case "stored":
                    self.outbox.stored(self.buffer.stored(decode_stored(payload)))
                case "desired":
                    self._desire(decode_desired(payload))
                case _:
                    self.on_command(payload)
        except WireError as exc:
            self.counts["bad_message"] += 1
            log.warning("agent.bad_message", extra={"fields": {"kind": kind, "code": exc.code}})

    def _birth(self) -> None:
        device = self.settings.device
        self._born_with = len(self._names)
        birth = Birth(
            boot=self.run.boot,
            t_ms=self.clock.now_ms(),
            type=device.type,
            model=device.model,
            hardware=device.hardware,
            firmware=device.firmware,
            config_version=self._desired.version,
            reboot_reason=self.reason,
            agent=__version__,
            metrics={name: unit_of(name) for name in sorted(self._names)},
        )
        self.link.publish("birth", encode_birth(birth))

    # The configuration wanted of it.

    def _kept_desired(self) -> Desired:
        kept = self.state.load("desired")
        version, settings = kept.get("version"), kept.get("settings")
        if isinstance(version, int) and isinstance(settings, dict):
            return Desired(version=version, settings=settings)
        return Desired(version=0)

    def _desire(self, desired: Desired) -> None:
        if desired != self._desired:
            self._configure(desired)
            try:
                self.state.save("desired", {"version": desired.version, "settings": desired.settings})
            except OSError as exc:
                log.warning("agent.desired_not_kept", extra={"fields": {"reason": str(exc)}})
        self._report()

    def _configure(self, desired: Desired) -> None:
        self.collect, self._refused = apply_desired(self.settings.collect, desired.settings)
        self._desired = desired
        self.gate.level = self.collect.log_level
        self.gate.lines_per_minute = self.collect.log_lines_per_minute
        self._sensors = self._make_sensors(self.collect)
        self._plan(self.clock.now_ms())

    def _plan(self, now_ms: int) -> None:
        collect, first = self.collect, bool(self._sensors) and not self.last
        self.schedule.plan(now_ms, sample_every=collect.sample_every, flush_every=collect.flush_every, at_once=first)

    def _report(self) -> None:
        report = Reported(version=self._desired.version, settings=shown(self.collect), refused=self._refused)
        self.link.publish("reported", encode_reported(report))

    def stop(self) -> None:
        """Keep what was measured, say goodbye, let go of the files."""
        self.flush()
        self._send(self.clock.monotonic(), self.clock.now_ms())
        self.link.publish("death", encode_death(Death(boot=self.run.boot, clean=True)))
        self.link.stop()
        self.buffer.close()
        self.state.end()
