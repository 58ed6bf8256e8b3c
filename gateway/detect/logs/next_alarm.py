"""Which alarm codes a device will sound within the next hours, from its own past alone; streaming, of fixed size.

A *question* is asked at a moment: which codes sound within the horizon after it? Each code the device knows becomes a
row of features: how often it was the answer lately and after the codes just heard, how much of it still rings at six
lengths of memory, how long ago it sounded, how busy the device is. One logistic model, shared by all codes of the
device, weighs them; when the horizon is over the question is answered by what was heard, and the model takes one
Newton step and forgets a little. Nothing looks ahead, and a code that is new is judged as this device's codes behave.

Sources: the task is that of D. Tosato et al. (2020), Alarm logs in packaging industry (ALPI). The online Newton step
with forgetting is W. D. Penny and S. J. Roberts (1999), Dynamic logistic regression, IJCNN; to learn from answers in
the order of time is A. P. Dawid (1984), Statistical theory, the prequential approach, JRSS A 147. Best threshold for F1
is half of the best F1: Z. Lipton, C. Elkan, B. Naryanaswamy (2014), Optimal thresholding of classifiers, ECML.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.model import Flags, Floats, Integers

HORIZON_MS = 8 * 3_600_000
SOUND = 0.36  # probability from which a code counts as forecast: half of the F1 reached on ALPI
ROOM = 12  # codes of a device; the one unheard for longest makes room
PENDING = 3  # questions not answered yet

_HOUR_MS = 3_600_000
_RINGS = np.array([2.0, 8.0, 24.0, 72.0, 240.0, 720.0]) * _HOUR_MS  # half-lives of what was heard
_DAY = 2  # position of a day among them
_ANSWERS = np.array([24.0, 120.0, 720.0]) * _HOUR_MS  # half-lives of how often a code was the answer
_FADES = np.exp(-1.0 / np.array([4.0, 12.0]))  # in alarms
_RARE = (1, _DAY, 4)  # rings that mean something else of a code that seldom sounds
_PRESENT = 0.25  # of a code's ring of a day: it sounded within two days
_AFTER = 20.0  # questions that a rate after a code is shrunk by towards the code's own rate
_RARELY = ((0.03, 3.0), (0.3, 30.0))  # answers and questions before anything is known: one in a hundred
_FAR = 200.0  # alarms ago: never
_NEVER_MS = -(1 << 40)
_FEATURES = 30
_TRUSTED = 2  # the feature that all weight is on at first: the rate of the last five days
_FORGET = 0.9998  # of the model at each answer
_MOST = 1.0  # that one answer moves any log odds: a young model would leap
_LEAST = 1e-3  # rates are cut here, and one less this


def layout(room: int, pending: int) -> np.dtype[Any]:
    """All that is remembered of one device."""
    by_code = [("code", np.int64), ("last_ms", np.int64), ("last", np.float32), ("asked", np.float32)]
    by_code += [("before", np.float32), ("total", np.float32)]
    return np.dtype(
        [
            *((name, kind, room) for name, kind in by_code),
            *(("ring", np.float32, (_RINGS.size, room)), ("fade", np.float32, (_FADES.size, room))),
            *(("rate", np.float32, (_ANSWERS.size, room)), ("span", np.float32, _ANSWERS.size)),
            *(("after", np.float32, (room, room)), ("beside", np.float32, (room, room))),
            *(("now_ms", np.int64), ("heard_ms", np.int64), ("learned_ms", np.int64)),
            *(("count", np.float32), ("questions", np.float32), ("ends", np.int16, 2)),
            *(("weight", np.float64, _FEATURES), ("precision", np.float32, (_FEATURES, _FEATURES))),
            *(("q_ms", np.int64, pending), ("q_end", np.int16, pending), ("q_share", np.float32, pending)),
            *(("q_features", np.float32, (pending, room, _FEATURES)), ("q_present", np.bool_, (pending, room))),
            *(("q_known", np.bool_, (pending, room)), ("q_sounded", np.bool_, (pending, room)), ("asked_n", np.int16)),
        ]
    )


class NextAlarms:
    """The alarm codes of one device, and which of them will sound next."""

    def __init__(self, *, room: int = ROOM, pending: int = PENDING) -> None:
        self.held: NDArray[Any] = np.zeros((), layout(room, pending))
        self.held["code"], self.held["ends"] = -1, -1
        self.held["last_ms"], self.held["heard_ms"], self.held["learned_ms"] = _NEVER_MS, _NEVER_MS, _NEVER_MS
        self.held["last"] = -_FAR
        self.held["weight"][_TRUSTED] = 1.0
        self.held["precision"] = np.eye(_FEATURES)

    @staticmethod
    def of(held: NDArray[Any]) -> NextAlarms:
        """One that goes on from a copy of `held`."""
        found = object.__new__(NextAlarms)
        found.held = held.copy()
        return found

    @property
    def codes(self) -> Integers:
        """(room,) the codes by position; -1 where there is none."""
        found: Integers = self.held["code"]
        return found

    @property
    def answered(self) -> float:
        """Questions learned from so far."""
        return float(self.held["questions"])

    def hear(self, codes: Sequence[int], t_ms: Integers) -> None:
        """Take in codes that sounded, oldest first; of repeats in a row the first one counts."""
        held, heard = self.held, np.asarray(codes, np.int64)
        kept = np.flatnonzero(np.diff(heard, prepend=-1) != 0)
        heard, t_ms = heard[kept], t_ms[kept]
        if not heard.size:
            return
        at = np.array([self._position(code, ms) for code, ms in zip(heard.tolist(), t_ms.tolist(), strict=True)])
        live = held["code"][at] == heard  # what a crowd has pushed out again is gone
        at, t_ms = at[live], t_ms[live]
        n, room = at.size, held["code"].size
        back = n - 1.0 - np.arange(n)
        for k, fade in enumerate(_FADES):
            held["fade"][k] = held["fade"][k] * fade**n + np.bincount(at, fade**back, minlength=room)
        self._age(int(t_ms[-1]))
        for k, half_ms in enumerate(_RINGS):
            held["ring"][k] += np.bincount(at, 0.5 ** ((int(held["now_ms"]) - t_ms) / half_ms), minlength=room)
        np.maximum.at(held["last"], at, held["count"] + 1 + np.arange(n))
        held["count"] += n
        held["heard_ms"] = max(int(held["heard_ms"]), int(t_ms[-1]))
        held["ends"] = [at[-1], at[-2] if n > 1 else held["ends"][0]]
        for q in range(int(held["asked_n"])):
            inside = (t_ms > held["q_ms"][q]) & (t_ms <= held["q_ms"][q] + HORIZON_MS)
            held["q_sounded"][q, at[inside]] = True

    def ask(self, t_ms: int) -> Floats:
        """(room,) probability that each code sounds within the horizon after `t_ms`; 0 where there is no code.

        Questions whose horizon is over are learned from first, and this one is remembered; where none can be, the
        oldest is given up.
        """
        self._settle(t_ms)
        held = self.held
        if held["asked_n"] == held["q_ms"].size:
            self._drop()
        features, present = self._look(t_ms)
        q = int(held["asked_n"])
        held["q_ms"][q], held["q_end"][q], held["q_share"][q] = t_ms, held["ends"][0], 1.0 / (q + 1.0)
        held["q_features"][q], held["q_present"][q] = features, present
        held["q_known"][q], held["q_sounded"][q] = held["code"] >= 0, False
        held["asked_n"] += 1
        return self._chance(features)

    def chances(self, t_ms: int) -> Floats:
        """(room,) as `ask`, remembering nothing."""
        return self._chance(self._look(t_ms)[0])

    def sounded(self, asked_ms: int, codes: Sequence[int]) -> None:
        """Say what sounded after the question asked at that moment, where it is known better than by `hear`."""
        asked = np.flatnonzero(self.held["q_ms"][: int(self.held["asked_n"])] == asked_ms)
        at = np.array([self._position(code, asked_ms) for code in codes], np.int64)
        for q in asked[:1]:
            self.held["q_sounded"][q] = False
            self.held["q_sounded"][q, at] = True

    def _chance(self, features: Floats) -> Floats:
        chance = 1.0 / (1.0 + np.exp(-np.clip(features @ self.held["weight"], -15.0, 15.0)))
        return np.where(self.held["code"] >= 0, chance, 0.0)

    def _position(self, code: int, t_ms: int) -> int:
        """Where a code that sounded then is kept, made in place of the one unheard for longest."""
        held = self.held
        found = np.flatnonzero(held["code"] == code)
        if found.size:
            held["last_ms"][found[0]] = max(int(held["last_ms"][found[0]]), t_ms)
            return int(found[0])
        at = int(np.argmin(np.where(held["code"] < 0, _NEVER_MS - 1, held["last_ms"])))
        held["last_ms"][at], held["last"][at] = t_ms, -_FAR
        for name in ("asked", "before", "total"):
            held[name][at] = 0
        for name in ("ring", "fade", "rate", "after", "beside"):
            held[name][:, at] = 0
        for name in ("after", "beside"):
            held[name][at] = 0
        for name in ("q_known", "q_sounded", "q_present"):
            held[name][:, at] = False
        held["ends"] = np.where(held["ends"] == at, -1, held["ends"])
        held["q_end"] = np.where(held["q_end"] == at, -1, held["q_end"])
        held["code"][at] = code
        return at

    def _age(self, t_ms: int) -> None:
        held = self.held
        if t_ms > held["now_ms"]:
            held["ring"] *= (0.5 ** ((t_ms - int(held["now_ms"])) / _RINGS))[:, None]
            held["now_ms"] = t_ms

    def _look(self, t_ms: int) -> tuple[Floats, Flags]:
        """(room, _FEATURES) features of the codes at a moment, and which are present."""
        held = self.held
        self._age(t_ms)
        ring = held["ring"].astype(np.float64)
        lately = _logit((held["rate"] + _RARELY[0][0]) / (held["span"][:, None] + _RARELY[0][1]))
        rate = np.clip((held["total"] + _RARELY[1][0]) / (held["questions"] + _RARELY[1][1]), _LEAST, 1.0 - _LEAST)
        after = [self._after(end, rate) for end in held["ends"].tolist()]
        present = ring[_DAY] >= _PRESENT
        here = int(present.sum())
        together = held["beside"][present] + _AFTER * rate
        lift = _logit(together / (held["before"][present, None] + _AFTER)) - _logit(rate)
        lifts = [3.0 * lift.mean(0), lift.max(0)] if here else [np.zeros(rate.size)] * 2
        hours = (t_ms - np.append(held["last_ms"], held["heard_ms"])) / _HOUR_MS
        idle = np.log1p(np.clip(hours, 0.0, 20_000.0))
        ago = np.log1p(np.minimum(held["count"] - held["last"], _FAR))
        whole = [idle[-1], np.log1p(here), *np.log1p(ring.sum(1)[: _DAY + 1])]
        ones, rung = np.ones(rate.size), np.log1p(ring)
        told = [*lately, _logit(rate), *after, *lifts]
        rare = [amount * _logit(rate) / 5.0 for amount in (idle[:-1], *rung[list(_RARE)], ago, whole[2])]
        columns = [ones, *told, ago, *np.log1p(held["fade"]), *rung, idle[:-1], *rare]
        return np.stack([*columns, *(ones * amount for amount in whole)], -1), present

    def _after(self, end: int, rate: Floats) -> Floats:
        """Log odds of each code after the code at position `end`."""
        if end < 0:
            return _logit(rate)
        return _logit((self.held["after"][end] + _AFTER * rate) / (self.held["asked"][end] + _AFTER))

    def _settle(self, t_ms: int) -> None:
        held = self.held
        while held["asked_n"] and held["q_ms"][0] + HORIZON_MS <= t_ms:
            self._learn()
            self._drop()

    def _drop(self) -> None:
        held = self.held
        for name in ("q_ms", "q_end", "q_share", "q_features", "q_present", "q_known", "q_sounded"):
            held[name][:-1] = held[name][1:].copy()
        held["asked_n"] -= 1

    def _learn(self) -> None:
        """One Newton step on the oldest question, then its answer into the rates."""
        held = self.held
        sounded = held["q_sounded"][0].astype(np.float64)
        known, share, asked_ms = held["q_known"][0], float(held["q_share"][0]), int(held["q_ms"][0])
        x = held["q_features"][0][known].astype(np.float64)
        chance = 1.0 / (1.0 + np.exp(-np.clip(x @ held["weight"], -15.0, 15.0)))
        curve = share * (x * (chance * (1.0 - chance))[:, None]).T @ x
        held["precision"] = _FORGET * held["precision"] + (1.0 - _FORGET) * np.eye(_FEATURES) + curve
        step = np.linalg.solve(held["precision"].astype(np.float64), share * (sounded[known] - chance) @ x)
        held["weight"] += step * min(1.0, _MOST / max(float(np.abs(x @ step).max(initial=0.0)), _MOST))
        since = max(asked_ms - max(int(held["learned_ms"]), 0), 0) if held["learned_ms"] > 0 else 0
        keep = 0.5 ** (since / _ANSWERS)
        held["rate"] = held["rate"] * keep[:, None] + sounded
        held["span"] = held["span"] * keep + 1.0
        held["total"] += sounded
        held["questions"] += 1.0
        held["learned_ms"] = asked_ms
        present, end = held["q_present"][0], int(held["q_end"][0])
        held["beside"][present] += sounded
        held["before"][present] += 1.0
        if end >= 0:
            held["after"][end] += sounded
            held["asked"][end] += 1.0


def _logit(share: Floats) -> Floats:
    cut = np.clip(share, _LEAST, 1.0 - _LEAST)
    found: Floats = np.log(cut / (1.0 - cut))
    return found
