"""Scores of log parsers and of forecasts of codes, as the field defines them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.model import Flags, Floats

LEAST_POSITIVES = 20  # windows in which a code must sound for its precision to count


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateScore:
    """Grouping and template accuracy of one system.

    `ga`: lines whose group holds exactly the lines of their true group; `fga`: F1 of groups; `pa`: lines whose template
    text is the true one; `fta`: F1 of templates that are right in group purity and text. Source: Z. Jiang et al.
    (2024), A large-scale evaluation for log parsing techniques, ISSTA, section 4.
    """

    ga: float
    fga: float
    pa: float
    fta: float


def score_templates(truth: Sequence[str], found: Sequence[str]) -> TemplateScore:
    """The scores of found templates against true ones, line by line; equal texts are one group."""
    pairs: defaultdict[str, set[str]] = defaultdict(set)
    truths: defaultdict[str, set[str]] = defaultdict(set)
    for t, f in zip(truth, found, strict=True):
        pairs[t].add(f)
        truths[f].add(t)
    size, true_size = Counter(found), Counter(truth)
    right = [t for t, fs in pairs.items() if len(fs) == 1 and size[next(iter(fs))] == true_size[t]]
    exact = sum(1 for f, ts in truths.items() if ts == {f})
    return TemplateScore(
        ga=sum(true_size[t] for t in right) / len(truth),
        fga=2 * len(right) / (len(pairs) + len(truths)),
        pa=sum(t == f for t, f in zip(truth, found, strict=True)) / len(truth),
        fta=2 * exact / (len(pairs) + len(truths)),
    )


def average_precision(positive: Flags, score: Floats) -> float:
    """Step-wise area under precision and recall; ties are one step."""
    order = np.argsort(-score, kind="mergesort")
    hits, ranked = np.cumsum(positive[order]), score[order]
    last = np.r_[ranked[1:] != ranked[:-1], True]
    hits, ranks = hits[last], (np.arange(score.size) + 1)[last]
    return float(np.sum(np.diff(np.r_[0.0, hits / positive.sum()]) * hits / ranks))


def mean_average_precision(positive: Flags, score: Floats) -> float:
    """Over the columns with enough positives and not nothing else."""
    total = positive.sum(0)
    columns = np.flatnonzero((total >= LEAST_POSITIVES) & (total < len(positive)))
    return float(np.mean([average_precision(positive[:, c], score[:, c]) for c in columns]))


def f1(positive: Flags, called: Flags) -> float:
    """Of all cells together (micro)."""
    return float(2 * int(np.sum(positive & called)) / max(int(np.sum(positive)) + int(np.sum(called)), 1))
