"""Episodes: runs of anomalies with onset and end, by hysteresis, for all series of one detector at once.

    quiet -score >= OPEN-> open -score < CLOSE for `CALM` intervals-> quiet

The onset is the first sample of the unbroken run at or over CLOSE which led to the opening, so a slow climb is dated
from its foot. State: four numbers a series and detector. `since_ms` is -1 while nothing stirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gateway.detect.detector import Samples, State
from gateway.model import Flags, Floats, Integers

OPEN, CLOSE = 1.0, 0.5  # scores; half of the threshold in log-rarity, as a Schmitt trigger
CALM = 6.0  # intervals below CLOSE that end an episode
CALM_LEAST_MS = 60_000
GROWN = 1.25  # an episode is told again when its peak has grown by so much


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Openings and endings of episodes, (turns,) each, in the order of the samples."""

    row: Integers  # series numbers, or device numbers
    opened: Flags  # False: ended
    onset_ms: Integers
    at_ms: Integers  # the sample that opened it; the last hot sample of one that ended
    peak: NDArray[np.float32]


RECORD = np.dtype(
    [
        *(("since_ms", np.int64), ("hot_ms", np.int64), ("open", np.bool_)),
        *((name, np.float32) for name in ("peak", "told")),
    ]
)
TURN = np.dtype([("kind", np.int8), ("onset_ms", np.int64), ("at_ms", np.int64), ("peak", np.float32)])


def init(count: int) -> State:
    """No episodes."""
    episodes = np.zeros(count, RECORD)
    episodes["since_ms"] = -1
    return {"episodes": episodes}


@njit(cache=True)
def _fold(series: Integers, t_ms: Integers, interval_s: Floats, score: Floats, memory: NDArray[Any]) -> NDArray[Any]:
    turns = np.zeros(series.size, TURN)
    for i in range(series.size):
        x, t, m, turn = score[i], t_ms[i], memory[series[i]], turns[i]
        if x >= CLOSE:
            if m.since_ms < 0:
                m.since_ms = t
                m.peak = 0.0
            m.hot_ms = t
            m.peak = max(m.peak, x)
            if x >= OPEN and not m.open:
                m.open = True
                turn.kind, turn.onset_ms, turn.at_ms, turn.peak = 1, m.since_ms, t, m.peak
        elif m.since_ms >= 0:
            calm_ms = max(CALM * 1000.0 * (interval_s[i] if interval_s[i] > 0.0 else 0.0), CALM_LEAST_MS)
            if m.open and t - m.hot_ms >= calm_ms:
                m.open = False
                turn.kind, turn.onset_ms, turn.at_ms, turn.peak = -1, m.since_ms, m.hot_ms, m.peak
            if not m.open:
                m.since_ms = -1
    return turns


def fold(state: State, samples: Samples, score: Floats) -> Turns:
    """Advance the episodes of one detector through its scores.

    Source: two thresholds, as O. H. Schmitt (1938), A thermionic trigger, Journal of Scientific Instruments 15, 24-26.

    Args:
        state: of `init`; advanced in place.
        samples: sorted by series, then time.
        score: (samples,); 1.0 is the threshold. Give 0 for samples that may raise no alarm.
    """
    turns = _fold(samples.series, samples.t_ms, samples.interval_s, score, state["episodes"])
    turned = np.flatnonzero(turns["kind"])
    return _turns(state, samples.series[turned], turns[turned])


def fold_levels(state: State, score: Floats, onset_ms: Integers, *, now_ms: int) -> Turns:
    """Advance episodes whose score exists at every moment, as silence has, without samples.

    Args:
        state: of `init`, of at least as many rows as there are scores; advanced in place.
        score: (rows,) at `now_ms`.
        onset_ms: (rows,) or more; when the present condition began.
        now_ms: the present.
    """
    held = state["episodes"][: score.size]
    hot = score >= OPEN
    opened, ended = hot & ~held["open"], ~hot & held["open"]
    held["since_ms"][opened] = onset_ms[: score.size][opened]
    held["peak"][opened] = 0.0
    held["peak"][hot] = np.maximum(held["peak"][hot], score[hot])
    held["hot_ms"][hot | ended] = now_ms
    held["open"] = hot
    turned = np.flatnonzero(opened | ended)
    turns = np.zeros(turned.size, TURN)
    turns["kind"] = np.where(opened[turned], 1, -1)
    turns["onset_ms"], turns["at_ms"], turns["peak"] = (held[name][turned] for name in ("since_ms", "hot_ms", "peak"))
    held["since_ms"][ended] = -1
    return _turns(state, turned, turns)


def mute(state: State, row: int) -> None:
    """Let an open episode not be told before it surfaces."""
    state["episodes"]["told"][row] = np.inf


def muted(state: State, rows: Integers) -> Flags:
    """(rows,) whether the newest episode of a row is muted and open."""
    held = state["episodes"][rows]
    found: Flags = held["open"] & np.isinf(held["told"])
    return found


def is_muted(state: State, row: int) -> bool:
    """Whether the newest episode of a row is muted."""
    return bool(np.isinf(state["episodes"]["told"][row]))


def surface(state: State, rows: Integers) -> Turns:
    """Open the muted episodes among `rows` to be told, as of their newest sample that is not calm."""
    held = state["episodes"]
    rows = rows[muted(state, rows)]
    held["since_ms"][rows], held["told"][rows] = held["hot_ms"][rows], held["peak"][rows]
    return _as_they_are(held, rows)


def grown(state: State) -> Turns:
    """Open episodes that have grown so much since they were last told that they are worth telling again."""
    held = state["episodes"]
    rows = np.flatnonzero(held["open"] & (held["peak"] > GROWN * held["told"]))
    held["told"][rows] = held["peak"][rows]
    return _as_they_are(held, rows)


def _turns(state: State, rows: Integers, turns: NDArray[Any]) -> Turns:
    opened = turns["kind"] > 0
    new = rows[opened]
    state["episodes"]["told"][new] = np.maximum(state["episodes"]["peak"][new], turns["peak"][opened])
    return Turns(row=rows, opened=opened, onset_ms=turns["onset_ms"], at_ms=turns["at_ms"], peak=turns["peak"])


def _as_they_are(held: NDArray[Any], rows: Integers) -> Turns:
    """Open episodes as of their newest sample that is not calm."""
    return Turns(
        row=rows,
        opened=np.ones(rows.size, np.bool_),
        onset_ms=held["since_ms"][rows],
        at_ms=held["hot_ms"][rows],
        peak=held["peak"][rows],
    )
