"""How good a ranking is, by judgments: pure functions. ``gains``: document → worth; what is not in it is worth nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Gains = Mapping[str, float]
Values = NDArray[np.float64]
"""One figure a query."""

RESAMPLES, SEED = 2_000, 7
INTERVAL = (2.5, 97.5)
"""Percentiles between which 95 % of the resampled means lie."""


def ndcg(ranked: Sequence[str], gains: Gains, depth: int = 10) -> float:
    """Discounted cumulative gain of the first ``depth`` against the best order's (Järvelin and Kekäläinen 2002): the
    gain at place p is divided by log2(p + 1). 0 where nothing is relevant."""
    found = _discounted([gains.get(one, 0.0) for one in ranked[:depth]])
    best = _discounted(sorted(gains.values(), reverse=True)[:depth])
    return found / best if best > 0 else 0.0


def average_precision(ranked: Sequence[str], gains: Gains) -> float:
    """Mean over what is relevant of the precision at its place; what was not found counts as 0."""
    hits, total = 0, 0.0
    for place, one in enumerate(ranked, 1):
        if gains.get(one, 0.0) > 0:
            hits += 1
            total += hits / place
    relevant = _relevant(gains)
    return total / relevant if relevant else 0.0


def recall(ranked: Sequence[str], gains: Gains, depth: int = 100) -> float:
    """Share of what is relevant among the first ``depth``."""
    relevant = _relevant(gains)
    return sum(gains.get(one, 0.0) > 0 for one in set(ranked[:depth])) / relevant if relevant else 0.0


def reciprocal_rank(ranked: Sequence[str], gains: Gains) -> float:
    """One by the place of the first that is relevant; 0 where there is none."""
    return next((1 / place for place, one in enumerate(ranked, 1) if gains.get(one, 0.0) > 0), 0.0)


def interval_of_mean(groups: Sequence[Values]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over groups (sets) of the mean over their queries; queries are drawn anew
    within each group. Seeded, so that the same figures give the same interval."""
    dice = np.random.default_rng(SEED)
    means = [_resampled(values, dice) for values in groups]
    low, high = np.percentile(np.mean(means, axis=0), INTERVAL)
    return float(low), float(high)


def _resampled(values: Values, dice: np.random.Generator) -> Values:
    drawn: Values = values[dice.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    return drawn


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))


def _relevant(gains: Gains) -> int:
    return sum(gain > 0 for gain in gains.values())
