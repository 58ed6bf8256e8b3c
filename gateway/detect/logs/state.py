"""What the logs of a fleet say, advanced block by block: facts of every device, and episodes of its templates.

Lines become templates (`miner`), templates become counts per device and ten minutes (`tally`), and each new template is
weighed by who else knows it (`novelty`). Lines are counted by event time; lines older than the device's present bucket
teach the past and raise nothing. A block's distinct texts are mined in the order of their text, so that the order of
devices in a block changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.detect.logs import novelty, tally
from gateway.detect.logs.ahead import Ahead
from gateway.detect.logs.miner import MAX_BURST, MAX_TEMPLATES, Miner
from gateway.detect.logs.session import Keyed
from gateway.detect.logs.tally import BUCKET_MS, Counts
from gateway.model import SEVERITIES, Episode, Floats, Integers, LogLines, Roster

HOUR = 6  # buckets
CALM = 6  # buckets below CLOSE that end an episode
OPEN, CLOSE = 1.0, 0.5
DAY_MS = 86_400_000
GROWN_UP_MS = DAY_MS  # a device heard for less has no habits yet; a type of fewer such devices than ENOUGH has none
ENOUGH = 20
WARNING, ERROR = SEVERITIES.index("warning"), SEVERITIES.index("error")
FACTS = ("errors", "new", "burst", "novelty")
COLUMNS = {
    "log.error_rate_1h": "errors",
    "log.new_templates_1h": "new",
    "log.burst_score": "burst",
    "log.novelty": "novelty",
}
"""Facts by name: lines of severity error or worse, and templates new to the device and rare in its type, within the
last hour; the highest burst score and the highest novelty within the last hour, 1.0 being the threshold."""
SESSION = "log.session_score"  # 1.0: of a hundred sessions of the type none was like the rarest of the last hour
PRECURSOR = "log.precursor_score"  # 1.0: what was logged since yesterday makes failure ten times as likely

_SLOTS = MAX_TEMPLATES + MAX_BURST + 1
_DEVICE = np.dtype(
    [
        *(("first_ms", np.int64), ("kind", np.int32), ("fresh", np.float32), ("lines", np.float32)),
        ("stamp", np.int64, HOUR),
        *((name, np.float32, HOUR) for name in FACTS),
        ("known", np.uint8, novelty.BITS // 8),
    ]
)
_DETECTOR = ("", "log_burst", "log_new")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFindings:
    """Episodes of templates that one advance opened, saw grow by half, and closed."""

    opened: tuple[Episode, ...] = ()
    changed: tuple[Episode, ...] = ()
    closed: tuple[Episode, ...] = ()


class LogState:
    """Log analysis over one fleet. One thread at a time."""

    def __init__(self, roster: Roster, *, session_key: str = "") -> None:
        self.roster = roster
        self.sessions = Keyed(session_key)
        self.now_ms = 0
        self.miner = Miner()
        self.ahead = Ahead()
        self.warnings: tuple[str, ...] = ()  # (lines,) of the newest block: names of warnings' templates; "" for others
        self._kinds: list[str] = []
        self._devices = np.zeros(0, _DEVICE)
        self._table = tally.init(0)
        self._holders = np.zeros((0, _SLOTS), np.int32)  # devices of a type that wrote a template
        self._total = np.zeros((0, _SLOTS))  # lines of a type and template

    def advance(self, logs: LogLines, now_ms: int) -> LogFindings:
        """What the log lines of one block begin, change and end.

        Lines are sorted by device, then time, and are of devices that the roster knows.
        """
        self.now_ms = now_ms
        told: list[Episode] = []
        changed: list[Episode] = []
        self.warnings = ("",) * len(logs)
        if len(logs):
            self._make_room()  # a fleet that logs nothing costs nothing
            slot = self._mine(logs.text)
            self._hear(logs, slot)
            for counts in tally.buckets(logs, slot):
                self._count(counts, told, changed)
        self.sessions.look(now_ms)
        self.ahead.look(now_ms)
        told += self._expire(now_ms)
        return LogFindings(
            opened=tuple(e for e in told if e.end_ms is None),
            changed=tuple(changed),
            closed=tuple(e for e in told if e.end_ms is not None),
        )

    def column(self, name: str) -> Floats:
        """A fact of COLUMNS for every device, (devices,): 0 where nothing was logged, NaN for a name that is none.

        PRECURSOR and SESSION are two more; they are NaN until enough failures, or sessions, are known.
        """
        if name == SESSION:
            return self.sessions.scores(len(self.roster.devices), self.now_ms)
        if name == PRECURSOR:
            return self.ahead.scores(len(self.roster.devices), self.now_ms)
        self._make_room()
        devices = self._devices[: len(self.roster.devices)]
        if name not in COLUMNS:
            return np.full(devices.size, np.nan)
        fact = COLUMNS[name]
        recent = np.where(devices["stamp"] > self.now_ms // BUCKET_MS - HOUR, devices[fact].astype(np.float64), 0.0)
        found: Floats = recent.sum(1) if fact in ("errors", "new") else recent.max(1, initial=0.0)
        return found

    def text_of(self, name: str) -> str | None:
        """The template of a name as in an episode's `log:<name>`; None where it was forgotten."""
        found = (i for i, t in enumerate(self.miner.templates) if t and t.name == name)
        slot = next(found, None)
        return None if slot is None else self.miner.text(slot)

    def counts(self, device: int) -> list[tuple[str, float, float]]:
        """(template name, lines in the present bucket, lines an hour before it) of the templates a device writes."""
        rows = self._table[device]
        rows = rows[rows["slot"] >= 0]
        return [
            (self.miner.at(int(r["slot"])).name, float(r["count"]), float(r["past"] / max(r["span"], 1.0)) * HOUR)
            for r in rows
        ]

    def outlook(self, device: int) -> list[str]:
        """Sentences on what the device's warnings say of its future, for a ticket."""
        said = []
        for token, cases in self.ahead.reasons(device, self.now_ms):
            texts = [self.text_of(f"{name:010x}") for name in token]
            if None not in texts:
                lines = " and then ".join(f'"{text[:120]}"' for text in texts if text)
                said.append(f"{lines} came before {cases} of {self.ahead.precursors.known} confirmed failures")
                break
        likely = [(self.text_of(f"{name:010x}"), p) for name, p in self.ahead.likely(device, self.now_ms)]
        coming = ", ".join(f'"{text[:80]}" ({100 * p:.0f} %)' for text, p in likely if text)
        return [*said, f"Likely within 8 h: {coming}"] if coming else said

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All that it remembers, as named arrays that are copies."""
        return {
            "now_ms": np.array([self.now_ms]),
            "miner": np.frombuffer(self.miner.snapshot(), np.uint8),
            "sessions": np.frombuffer(self.sessions.snapshot(), np.uint8),
            "kinds": np.frombuffer("\n".join(self._kinds).encode(), np.uint8),
            **{name: getattr(self, f"_{name}").copy() for name in ("devices", "table", "holders", "total")},
            **{f"ahead/{name}": array for name, array in self.ahead.snapshot().items()},
        }

    @staticmethod
    def restore(roster: Roster, held: dict[str, NDArray[Any]], *, session_key: str = "") -> LogState:
        """A state that goes on where `snapshot` was taken; afresh where it was taken by another version's layout."""
        state = LogState(roster, session_key=session_key)
        if held["devices"].dtype != _DEVICE or held["table"].dtype != tally.ROW or held["total"].shape[1] != _SLOTS:
            return state
        state.now_ms = int(held["now_ms"][0])
        state.miner = Miner.restore(held["miner"].tobytes())
        if "sessions" in held:
            state.sessions.restore(held["sessions"].tobytes())
        kinds = held["kinds"].tobytes().decode()
        state._kinds = kinds.split("\n") if held["holders"].shape[0] else []
        for name in ("devices", "table", "holders", "total"):
            setattr(state, f"_{name}", held[name].copy())
        ahead = {name.removeprefix("ahead/"): array for name, array in held.items() if name.startswith("ahead/")}
        state.ahead = Ahead.restore(ahead) if ahead else state.ahead
        return state

    def _make_room(self) -> None:
        needed, held = len(self.roster.devices), self._devices.size
        if needed <= held:
            return
        size = max(needed, held + held // 2)
        fresh = np.zeros(size - held, _DEVICE)
        fresh["first_ms"], fresh["stamp"], fresh["kind"] = -1, -1, -1
        self._devices = np.concatenate([self._devices, fresh])
        self._table = np.concatenate([self._table, tally.init(size - held)])

    def _kind_of(self, device: Integers) -> Integers:
        """(pairs,) the numbers of the devices' types, given on first sight."""
        kind = self._devices["kind"]
        for d in np.unique(device[kind[device] < 0]).tolist():
            name = self.roster.devices[d].type
            if name not in self._kinds:
                self._kinds.append(name)
                self._holders = np.concatenate([self._holders, np.zeros((1, _SLOTS), np.int32)])
                self._total = np.concatenate([self._total, np.zeros((1, _SLOTS))])
            kind[d] = self._kinds.index(name)
        return kind[device].astype(np.int64)

    def _mine(self, texts: tuple[str, ...]) -> Integers:
        """(lines,) the slots of the lines' templates; merges and evictions are carried over to all tables."""
        distinct = sorted(set(texts))
        slots = self.miner.mine(distinct)
        for slot in self.miner.forgotten:
            self._holders[:, slot] = 0
            self._total[:, slot] = 0
            self._table["slot"][self._table["slot"] == slot] = -1
        self._carry_merges()
        self.miner.forgotten.clear()
        self.miner.merged.clear()
        at = dict(zip(distinct, map(self.miner.root, slots), strict=True))
        return np.fromiter(map(at.__getitem__, texts), np.int64, len(texts))

    def _hear(self, logs: LogLines, slot: Integers) -> None:
        """Tell the warnings, device by device."""
        warns = logs.severity >= WARNING
        grave = np.flatnonzero(warns)
        if self.sessions.wanted:
            self._follow(logs, slot)
        known = {s: self.miner.at(s).name for s in np.unique(slot[grave]).tolist()}
        self.warnings = tuple(known[s] if w else "" for s, w in zip(slot.tolist(), warns.tolist(), strict=True))
        names = {s: int(name, 16) for s, name in known.items()}
        for part in np.split(grave, np.flatnonzero(np.diff(logs.device[grave])) + 1):
            if part.size:
                self.ahead.hear(int(logs.device[part[0]]), [names[s] for s in slot[part].tolist()], logs.t_ms[part])

    def _follow(self, logs: LogLines, slot: Integers) -> None:
        """Put the lines of sessions together."""
        names = {s: int(self.miner.at(s).name, 16) for s in np.unique(slot).tolist()}
        for part in np.split(np.arange(slot.size), np.flatnonzero(np.diff(logs.device)) + 1):
            device, lines = int(logs.device[part[0]]), slice(int(part[0]), int(part[-1]) + 1)
            numbers = [names[s] for s in slot[lines].tolist()]
            kind = self.roster.devices[device].type
            self.sessions.hear(device, kind, logs.t_ms[lines].tolist(), logs.text[lines], numbers)

    def _carry_merges(self) -> None:
        for child, _ in self.miner.merged:
            root = self.miner.root(child)
            self._holders[:, root] += self._holders[:, child]
            self._total[:, root] += self._total[:, child]
            self._holders[:, child] = self._total[:, child] = 0
            young = self.miner.templates[child]
            if young:
                self.sessions.merged(int(young.name, 16), int(self.miner.at(root).name, 16))
                novelty.inherit(self._devices["known"], young.name, self.miner.at(root).name)
            device, column = np.nonzero(self._table["slot"] == child)
            doubled = (self._table["slot"][device] == root).any(1)
            self._table["slot"][device, column] = np.where(doubled, -1, root)

    def _count(self, counts: Counts, told: list[Episode], changed: list[Episode]) -> None:
        """Score the lines of one bucket and open what they call for."""
        devices, device = self._devices, counts.device
        kind = self._kind_of(device)
        first = devices["first_ms"]
        unheard = first[device] < 0
        np.minimum.at(first, device[unheard], 0)
        first[device[unheard]] = counts.bucket * BUCKET_MS
        age = np.minimum((counts.bucket * BUCKET_MS - first[device]) / BUCKET_MS, 1 / (1 - tally.FORGET))
        column, lost = tally.place(self._table, counts, np.maximum(age, 0.0))
        told += [self._close(d, row) for d, row in lost]
        kept = column >= 0
        counts, column, device, kind = tally.only(counts, kept), column[kept], device[kept], kind[kept]
        tally.roll(self._table, device, column, counts.bucket)
        burst, mean = tally.add(self._table, counts, column, self._fleet_rate(kind, counts.slot))
        np.add.at(self._total, (kind, counts.slot), counts.lines)
        new, fresh = self._novelty(counts, kind)
        errors = np.where(counts.severity >= ERROR, counts.lines, 0.0)
        self._note(counts, {"errors": errors, "new": fresh, "burst": burst, "novelty": new})
        self._raise(counts, column, np.stack([burst, new]), mean, told=told, changed=changed)

    def _fleet_rate(self, kind: Integers, slot: Integers) -> Floats:
        """(pairs,) lines a bucket that a device of the type writes of the template."""
        heard = self._devices[self._devices["first_ms"] >= 0]
        spans = np.maximum(self.now_ms - heard["first_ms"], 0) / BUCKET_MS + 1.0
        exposure = np.bincount(heard["kind"], spans, minlength=len(self._kinds))
        rate: Floats = self._total[kind, slot] / exposure[kind]
        return rate

    def _novelty(self, counts: Counts, kind: Integers) -> tuple[Floats, Floats]:
        """Novelty scores, (pairs,), and 1.0 where a template is new to its device and rare in its type."""
        devices, device = self._devices, counts.device
        names = [self.miner.at(s).name for s in counts.slot.tolist()]
        unknown = ~novelty.knows(devices["known"], device, names)
        novelty.learn(devices["known"], device, names)
        np.add.at(self._holders, (kind[unknown], counts.slot[unknown]), 1)
        grown = (devices["first_ms"] >= 0) & (devices["first_ms"] <= self.now_ms - GROWN_UP_MS)
        population = np.bincount(devices["kind"][grown], minlength=len(self._kinds))[kind]
        fresh, lines = devices["fresh"][device], devices["lines"][device]
        score = novelty.surprise(
            fresh.astype(np.float64),
            lines.astype(np.float64),
            self._holders[kind, counts.slot].astype(np.float64),
            np.maximum(population, 1).astype(np.float64),
            counts.severity,
        )
        keep = 1.0 - np.minimum(counts.lines / novelty.FORGET_LINES, 1.0)
        for name, amount in (("fresh", unknown * 1.0), ("lines", counts.lines)):
            np.multiply.at(devices[name], device, keep.astype(np.float32))
            np.add.at(devices[name], device, amount.astype(np.float32))
        judged = unknown & (grown[device] | (population >= ENOUGH))
        score = np.where(judged, score, 0.0)
        return score, np.where(score > 0, 1.0, 0.0)

    def _note(self, counts: Counts, facts: dict[str, Floats]) -> None:
        """Put what was found into the devices' last hour."""
        devices, device, place = self._devices, counts.device, counts.bucket % HOUR
        behind = devices["stamp"][device, place] < counts.bucket
        old = np.unique(device[behind])
        for name in FACTS:
            devices[name][old, place] = 0.0
        devices["stamp"][old, place] = counts.bucket
        now = devices["stamp"][device, place] == counts.bucket
        for name, values in facts.items():
            put = np.add if name in ("errors", "new") else np.maximum
            put.at(devices[name], (device[now], place), values[now].astype(np.float32))

    def _raise(
        self,
        counts: Counts,
        column: Integers,
        scores: Floats,
        mean: Floats,
        *,
        told: list[Episode],
        changed: list[Episode],
    ) -> None:
        """Open an episode where a score reaches the threshold, and keep open ones going."""
        device, rows = counts.device, self._table[counts.device, column]
        best, which = scores.max(0), scores.argmax(0) + 1
        opening = (best >= OPEN) & (rows["open"] == 0)
        going = (rows["open"] > 0) & ((best >= CLOSE) | (rows["open"] == 2))
        growing = (rows["open"] > 0) & (best > 1.5 * rows["peak"])
        rows["open"] = np.where(opening, which, rows["open"])
        rows["onset_ms"] = np.where(opening, counts.first_ms, rows["onset_ms"])
        rows["hot_ms"] = np.where(opening | going, counts.last_ms, rows["hot_ms"])
        rows["peak"] = np.where(opening | growing, best, rows["peak"])
        self._table[device, column] = rows
        for k in np.flatnonzero(opening | growing).tolist():
            episode = self._episode(int(device[k]), rows[k], end_ms=None, expected=float(mean[k]))
            (told if opening[k] else changed).append(episode)

    def _expire(self, now_ms: int) -> list[Episode]:
        late = self._table["hot_ms"] // BUCKET_MS <= now_ms // BUCKET_MS - CALM
        device, column = np.nonzero((self._table["open"] > 0) & late)
        ended = [
            self._close(d, self._table[d, c].copy()) for d, c in zip(device.tolist(), column.tolist(), strict=True)
        ]
        self._table["open"][device, column] = 0
        return ended

    def _close(self, device: int, row: Any) -> Episode:
        return self._episode(device, row, end_ms=int(row["hot_ms"]), expected=None)

    def _episode(self, device: int, row: Any, *, end_ms: int | None, expected: float | None) -> Episode:
        slot, count = int(row["slot"]), float(row["count"])
        text = self.miner.text(slot)
        kind = int(row["open"])
        reason = f'"{text[:120]}" was never logged by this device before'
        if kind == 1:
            usual = "" if expected is None else f", usually {expected:.2g}"
            reason = f'"{text[:120]}" was logged {count:.0f} times within 10 min{usual}'
        return Episode(
            device_id=self.roster.devices[device].device_id,
            metric=f"log:{self.miner.at(slot).name}",
            detector=_DETECTOR[kind],
            onset_ms=int(row["onset_ms"]),
            end_ms=end_ms,
            peak=float(row["peak"]),
            expected=expected,
            observed=count,
            reason=reason,
        )
