"""Rules over a fleet, one evaluation at a time: a pure step from state and facts to state and transitions.

State is sparse: of the (rules x devices) cells only those pending or firing are kept, sorted by rule, then device. So
it costs what is wrong, not what there is, and a fleet may grow at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rules.expression import Column, Flags, Floats
from rules.ruleset import RuleSet
from rules.schema import Rule

Integers: TypeAlias = NDArray[np.int64]
State: TypeAlias = Literal["pending", "firing", "resolved"]
_Change: TypeAlias = tuple[int, State, int]  # device, state, since_ms

_HOLDS: Final = -1  # in `quiet_ms`: the condition holds now


@dataclass(frozen=True, slots=True)
class Transition:
    """One rule entered a state on one device."""

    rule: str
    device: int  # device number
    state: State
    at_ms: int
    since_ms: int  # when the condition first held
    value: float  # of the first fact in the expression; NaN where unknown


@dataclass(frozen=True, slots=True)
class _Cells:
    """The devices on which one rule is pending or firing. All arrays have shape (cells,)."""

    device: Integers  # ascending
    firing: Flags  # else pending
    since_ms: Integers
    quiet_ms: Integers  # when it ceased to hold; -1 while it holds


_NONE: Final = _Cells(np.empty(0, np.int64), np.empty(0, np.bool_), np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class RuleState:
    """How far every rule has come on every device. A value: evaluation makes a new one.

    Cells of rules that a new rule set no longer has are kept until the next evaluation, which resolves those firing.
    """

    cells: Mapping[str, _Cells] = field(default_factory=dict)

    def firing(self, alert: str) -> Integers:
        """Numbers of the devices on which a rule fires."""
        cells = self.cells.get(alert, _NONE)
        return cells.device[cells.firing]

    def pending(self, alert: str) -> Integers:
        """Numbers of the devices on which a rule is pending."""
        cells = self.cells.get(alert, _NONE)
        return cells.device[~cells.firing]

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """Everything as arrays, for a file; `restore` gives an equal state."""
        names = sorted(self.cells)
        held = [self.cells[name] for name in names] or [_NONE]
        return {
            "rules": np.array(names, np.str_),
            "counts": np.array([cells.device.size for cells in held][: len(names)], np.int64),
            "device": np.concatenate([cells.device for cells in held]),
            "firing": np.concatenate([cells.firing for cells in held]),
            "since_ms": np.concatenate([cells.since_ms for cells in held]),
            "quiet_ms": np.concatenate([cells.quiet_ms for cells in held]),
        }

    @staticmethod
    def restore(arrays: Mapping[str, NDArray[np.generic]]) -> RuleState:
        """The state that `snapshot` wrote."""
        ends = np.cumsum(np.asarray(arrays["counts"], np.int64))
        cells = {}
        for name, end, count in zip(arrays["rules"], ends, arrays["counts"], strict=True):
            part = slice(int(end - count), int(end))
            cells[str(name)] = _Cells(
                np.asarray(arrays["device"][part], np.int64),
                np.asarray(arrays["firing"][part], np.bool_),
                np.asarray(arrays["since_ms"][part], np.int64),
                np.asarray(arrays["quiet_ms"][part], np.int64),
            )
        return RuleState(cells)


def evaluate(
    ruleset: RuleSet, state: RuleState, *, column: Column, device_type: Sequence[str | None], now_ms: int
) -> tuple[RuleState, tuple[Transition, ...]]:
    """Advance every rule on every device by one evaluation.

    inactive -holds-> pending -`for` elapsed-> firing -quiet for `keep_firing_for`-> resolved
                      pending -ceases-> inactive                 resolved -holds-> pending

    A rule without `for` fires at once and gives only that transition. What is unknown makes no alert, and ends none
    that fires: that a device fell silent does not show that it is well again.

    Args:
        ruleset: the rules.
        state: how far they had come; its devices may be fewer.
        column: from a fact's name to (devices,) values in its own unit, NaN where unknown.
        device_type: (devices,) product types; None where a device is out of service: no rule speaks of it, and what
            fires there is over after `keep_firing_for`.
        now_ms: event time of the evaluation; never earlier than that of the one before.

    Returns:
        The new state, and the transitions ordered by rule, then device.
    """
    facts = _Facts(column, device_type)
    cells: dict[str, _Cells] = {}
    transitions: list[Transition] = []
    for rule in ruleset.rules:
        held = state.cells.get(rule.alert, _NONE)
        devices, true, false = facts.judged(rule)
        if held.device.size or true.any():
            held, changes = _advance(rule, held, devices[true], devices[~(true | false)], now_ms)
            transitions += facts.transitions(rule, changes, now_ms)
            if held.device.size:
                cells[rule.alert] = held
    for alert in sorted(state.cells.keys() - {rule.alert for rule in ruleset.rules}):
        gone = state.cells[alert]
        for device, since in zip(gone.device[gone.firing], gone.since_ms[gone.firing], strict=True):
            transitions.append(Transition(alert, int(device), "resolved", now_ms, int(since), np.nan))
    return RuleState(cells), tuple(transitions)


class _Facts:
    """Columns of one evaluation, fetched once each and cut to the devices a rule speaks of."""

    def __init__(self, column: Column, device_type: Sequence[str | None]) -> None:
        self.column = column
        self.count = len(device_type)
        codes: dict[str | None, int] = {}
        self.code = np.fromiter((codes.setdefault(kind, len(codes)) for kind in device_type), np.int64, self.count)
        self.codes = codes
        self.scopes: dict[tuple[str, ...], Integers] = {(): np.flatnonzero(self.code != codes.get(None, -1))}
        self.whole: dict[str, Floats] = {}
        self.cut: dict[tuple[tuple[str, ...], str], Floats] = {}

    def devices(self, types: tuple[str, ...]) -> Integers:
        """Numbers of the devices of these types."""
        if types not in self.scopes:
            wanted = [self.codes[kind] for kind in types if kind in self.codes]
            self.scopes[types] = np.flatnonzero(np.isin(self.code, wanted))
        return self.scopes[types]

    def column_of(self, name: str) -> Floats:
        """The column of a fact, over all devices."""
        if name not in self.whole:
            self.whole[name] = self.column(name)
        return self.whole[name]

    def values(self, name: str, types: tuple[str, ...]) -> Floats:
        """The column of a fact, over the devices of these types; of none: over all that are in service."""
        devices = self.devices(types)
        if devices.size == self.count:
            return self.column_of(name)
        if (types, name) not in self.cut:
            self.cut[types, name] = self.column_of(name)[devices]
        return self.cut[types, name]

    def judged(self, rule: Rule) -> tuple[Integers, Flags, Flags]:
        """The devices a rule speaks of, and where among them it is true and where false."""
        devices = self.devices(rule.types)
        return devices, *rule.expr.judged(lambda name: self.values(name, rule.types), devices.size)

    def transitions(self, rule: Rule, changes: Sequence[_Change], now_ms: int) -> list[Transition]:
        """The changes of one rule, with the value of its first fact."""
        if not changes:
            return []
        values = self.column_of(rule.expr.names[0]) if rule.expr.names else np.full(self.count, np.nan)
        return [Transition(rule.alert, at, kind, now_ms, since, float(values[at])) for at, kind, since in changes]


def _advance(
    rule: Rule, held: _Cells, holding: Integers, unknown: Integers, now_ms: int
) -> tuple[_Cells, list[_Change]]:
    """One rule's cells one evaluation on, and what changed, by device.

    Args:
        rule: whose times apply.
        held: its cells before.
        holding: numbers of the devices on which it holds now, ascending.
        unknown: those on which nobody knows; an alert that fires there goes on firing.
        now_ms: event time.
    """
    holding = np.union1d(holding, np.intersect1d(held.device[held.firing], unknown))
    device = np.union1d(held.device, holding)
    before = np.isin(device, held.device, assume_unique=True)
    holds = np.isin(device, holding, assume_unique=True)
    was_firing = np.zeros(device.size, np.bool_)
    since = np.full(device.size, now_ms, np.int64)
    quiet = np.full(device.size, _HOLDS, np.int64)
    was_firing[before], since[before], quiet[before] = held.firing, held.since_ms, held.quiet_ms
    quiet = np.where(holds, _HOLDS, np.where(quiet == _HOLDS, now_ms, quiet))
    over = ~holds & (now_ms - quiet >= rule.keep_firing_for_ms)
    firing = (was_firing & ~over) | (holds & (now_ms - since >= rule.for_ms))
    kept = firing | holds
    changes: tuple[tuple[State, Flags], ...] = (
        ("pending", ~before & ~firing),
        ("firing", firing & ~was_firing),
        ("resolved", was_firing & ~firing),
    )
    found = [(int(device[at]), kind, int(since[at])) for kind, mask in changes for at in np.flatnonzero(mask)]
    return _Cells(device[kept], firing[kept], since[kept], quiet[kept]), sorted(found)
