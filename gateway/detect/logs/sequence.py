"""Sequences of templates: sessions that are put together as no others are, and templates that come before failures.

Both are bounded, learn online, and score before they learn.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

MAX_SIGNATURES = 65_536  # kinds of sessions remembered; the rarest half goes when they are full
RARE_DIGITS = 2.0  # one session in a hundred scores 1.0
MAX_TOKENS = 65_536  # templates and pairs of templates remembered
DOUBT = 5.0  # sightings that a template's own failure rate is shrunk by towards the fleet's


@dataclass(slots=True)
class Sessions:
    """How seldom a session (a boot, a job, a block) holds just these templates, just so often.

    Source: event count vectors of W. Xu et al. (2009), Detecting large-scale system problems by mining console logs,
    SOSP; here their frequency itself is the score, as in J. Lou et al. (2010), Mining invariants, USENIX ATC, a session
    that breaks an invariant is one that others do not share.
    """

    seen: Counter[Hashable] = field(default_factory=Counter)
    total: int = 0

    def score(self, events: Sequence[int]) -> float:
        """Rarity among the sessions so far, 1.0 being the threshold; then remembers it."""
        signature = tuple(sorted(Counter(events).items()))
        rarity = math.log10((self.total + 1.0) / (self.seen[signature] + 0.5)) / RARE_DIGITS
        self.seen[signature] += 1
        self.total += 1
        _bound(self.seen, MAX_SIGNATURES)
        return max(rarity, 0.0)


@dataclass(slots=True)
class Precursors:
    """Which templates, and which pairs of consecutive ones, are followed by failure within a horizon.

    A window is what one device logged in some hours; its outcome is known when the horizon has passed. Evidence of the
    templates in a window is joined as the strongest of their shrunken log odds over the base rate, since templates of
    one fault come together and their evidence is not independent.

    Source: pairs and lift after R. Vaarandi (2002), SEC; shrinkage is the beta-binomial of A. Gelman et al. (2013),
    Bayesian data analysis, section 5.3.
    """

    sightings: Counter[Hashable] = field(default_factory=Counter)
    failures: Counter[Hashable] = field(default_factory=Counter)
    windows: int = 0
    failed: int = 0

    def learn(self, templates: Sequence[str], *, failed: bool) -> None:
        """Take in a window, oldest line first, whose outcome is known."""
        tokens = _tokens(templates)
        self.sightings.update(tokens)
        self.windows += 1
        if failed:
            self.failures.update(tokens)
            self.failed += 1
        _bound(self.sightings, MAX_TOKENS)

    def log_odds(self, templates: Sequence[str]) -> float:
        """Natural log odds of failure within the horizon over the base rate; 0 where nothing is known."""
        return max((odds for _, odds in self.reasons(templates)), default=0.0)

    def reasons(self, templates: Sequence[str]) -> list[tuple[Hashable, float]]:
        """The tokens of a window that speak for failure, with their log odds over the base rate, strongest first."""
        base = (self.failed + 0.5) / (self.windows + 1.0)
        found = []
        for token in _tokens(templates):
            rate = (self.failures[token] + DOUBT * base) / (self.sightings[token] + DOUBT)
            odds = math.log(rate / (1.0 - min(rate, 1.0 - 1e-9))) - math.log(base / (1.0 - base))
            if odds > 0:
                found.append((token, odds))
        return sorted(found, key=lambda pair: (-pair[1], str(pair[0])))


def _tokens(templates: Sequence[str]) -> set[Hashable]:
    pairs: Iterable[Hashable] = (p for p in itertools.pairwise(templates) if p[0] != p[1])
    return {*templates, *pairs}


def _bound(counter: Counter[Hashable], most: int) -> None:
    if len(counter) > most:
        kept = counter.most_common(most // 2)
        counter.clear()
        counter.update(dict(kept))
