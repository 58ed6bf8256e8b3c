"""Sequences of templates: sessions that are put together as no others are, and templates that come before failures.

Both are bounded, learn online, and score before they learn.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_SIGNATURES = 65_536  # kinds of sessions remembered; the rarest half goes when they are full
RARE_DIGITS = 2.0  # one session in a hundred scores 1.0
MAX_TOKENS = 65_536  # templates and pairs of templates remembered
LEAST_CASES = 3  # failures before which a template must have come
DOUBT = 5.0  # sightings that a template's own failure rate is shrunk by towards the fleet's

Signature = tuple[tuple[int, int], ...]  # events of a session and how often each came, in order of their numbers
Token = tuple[int, ...]  # a template's number, or those of two in a row


@dataclass(slots=True)
class Sessions:
    """How seldom a session (a boot, a job, a block) holds just these templates, just so often.

    Source: event count vectors of W. Xu et al. (2009), Detecting large-scale system problems by mining console logs,
    SOSP; here their frequency itself is the score, as in J. Lou et al. (2010), Mining invariants, USENIX ATC, a session
    that breaks an invariant is one that others do not share.
    """

    seen: Counter[Signature] = field(default_factory=Counter)
    total: int = 0

    def score(self, events: Sequence[int]) -> float:
        """Rarity among the sessions so far, 1.0 being the threshold; then remembers it."""
        rarity = self.rarity(events)
        self.remember(events)
        return rarity

    def rarity(self, events: Sequence[int]) -> float:
        """Rarity among the sessions so far, 1.0 being the threshold."""
        return max(math.log10((self.total + 1.0) / (self.seen[_signature(events)] + 0.5)) / RARE_DIGITS, 0.0)

    def remember(self, events: Sequence[int]) -> None:
        """Take a session in."""
        self.seen[_signature(events)] += 1
        self.total += 1
        _bound(self.seen, MAX_SIGNATURES)

    def rename(self, old: int, new: int) -> None:
        """Know one event by another number from now on."""
        for signature in [s for s in self.seen if any(event == old for event, _ in s)]:
            events = [new if event == old else event for event, count in signature for _ in range(count)]
            self.seen[_signature(events)] += self.seen.pop(signature)


@dataclass(slots=True)
class Precursors:
    """Which templates, and which pairs of consecutive ones, are followed by failure within a horizon.

    A window is what one device logged in some hours; its outcome is known when the horizon has passed. Evidence of the
    templates in a window is joined as the strongest of their shrunken log odds over the base rate, since templates of
    one fault come together and their evidence is not independent. One failure makes everything logged before it look
    like a sign; only what came before LEAST_CASES failures is one.

    Source: pairs and lift after R. Vaarandi (2002), SEC; shrinkage is the beta-binomial of A. Gelman et al. (2013),
    Bayesian data analysis, section 5.3.
    """

    sightings: Counter[Token] = field(default_factory=Counter)  # windows by token
    failures: Counter[Token] = field(default_factory=Counter)  # those before failures
    cases: Counter[Token] = field(default_factory=Counter)  # failures
    windows: int = 0
    failed: int = 0
    known: int = 0  # failures

    @property
    def knows(self) -> bool:
        """Whether enough failures are known for anything to be a sign."""
        return self.known >= LEAST_CASES

    def learn(self, windows: Sequence[Sequence[int]], *, failed: bool) -> None:
        """Take in windows, oldest line first, that one outcome ended: all those before a failure, or a healthy one."""
        found = [_tokens(window) for window in windows]
        for tokens in found:
            self.sightings.update(tokens)
            if failed:
                self.failures.update(tokens)
        self.windows += len(found)
        if failed:
            self.failed += len(found)
            self.known += 1
            self.cases.update(set().union(*found))
        for counter in (self.sightings, self.failures, self.cases):
            _bound(counter, MAX_TOKENS)

    def log_odds(self, templates: Sequence[int]) -> float:
        """Natural log odds of failure within the horizon over the base rate; 0 where nothing is known."""
        return max((odds for _, odds in self.reasons(templates)), default=0.0)

    def reasons(self, templates: Sequence[int]) -> list[tuple[Token, float]]:
        """The tokens of a window that speak for failure, with their log odds over the base rate, strongest first."""
        base = (self.failed + 0.5) / (self.windows + 1.0)
        found = []
        for token in _tokens(templates):
            rate = (self.failures[token] + DOUBT * base) / (self.sightings[token] + DOUBT)
            odds = _log_odds(rate) - _log_odds(base)
            if odds > 0 and self.cases[token] >= LEAST_CASES:
                found.append((token, odds))
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    def snapshot(self) -> list[Any]:
        """All that it remembers, fit for JSON."""
        rows = [[n, self.failures[t], self.cases[t], *t] for t, n in self.sightings.items()]
        return [self.windows, self.failed, self.known, rows]

    @staticmethod
    def restore(held: list[Any]) -> Precursors:
        """One that goes on where `snapshot` was taken."""
        windows, failed, known, rows = held
        found = Precursors(windows=windows, failed=failed, known=known)
        for sightings, failures, cases, *token in rows:
            counts = ((found.sightings, sightings), (found.failures, failures), (found.cases, cases))
            for counter, count in counts:
                if count:
                    counter[tuple(token)] = count
        return found


def _signature(events: Sequence[int]) -> Signature:
    return tuple(sorted(Counter(events).items()))


def _tokens(templates: Sequence[int]) -> set[Token]:
    pairs = ((a, b) for a, b in itertools.pairwise(templates) if a != b)
    return {*((t,) for t in templates), *pairs}


def _log_odds(rate: float) -> float:
    cut = min(max(rate, 1e-9), 1.0 - 1e-9)
    return math.log(cut / (1.0 - cut))


def _bound(counter: Counter[Any], most: int) -> None:
    if len(counter) > most:
        kept = counter.most_common(most // 2)
        counter.clear()
        counter.update(dict(kept))
