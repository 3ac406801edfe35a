"""Fusion and scoring of candidates, with every addend kept: pure functions over numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from proto.ids import Platform
from proto.records import Activity, Creator
from stores.ports import Addend, Scores

EXACT_BONUS = 1.0
"""Added when the query equals a name or handle; all other addends together stay below it, so such a creator leads."""

FOLLOWERS_FULL = 10_000_000
"""Followers at which the audience part of quality is full; the scale is logarithmic."""
ENGAGEMENT_FULL = 0.10
UNKNOWN = 0.5
"""Quality part of what is not known: neither praise nor blame."""
ACTIVITY_QUALITY = {Activity.ACTIVE: 1.0, Activity.SEMI_ACTIVE: 0.6, Activity.LONG_TAIL: 0.2}


class Weights(msgspec.Struct, kw_only=True, frozen=True):
    """``score = keyword·k + vector·Σ wᵢ·simᵢ + quality·q`` (+ 1 for an exact match); the three sum to at most 1."""

    keyword: float
    vector: float
    quality: float
    fields: dict[str, float]


class Candidates(msgspec.Struct, kw_only=True, frozen=True):
    """Arrays of one length: what is known of each candidate for this query."""

    creator_ids: NDArray[np.int64]
    keyword: Scores
    """0..1, 0 for a candidate found by vectors alone."""
    exact: NDArray[np.bool_]
    similarities: dict[str, Scores]
    """Per field, cosine; 0 where the candidate lacks the field."""
    having: dict[str, NDArray[np.bool_]]
    quality: Scores


class Ranked(msgspec.Struct, kw_only=True, frozen=True):
    """Candidate positions, best first, with all scores."""

    order: NDArray[np.intp]
    scores: NDArray[np.float64]
    shares: dict[str, NDArray[np.float64]]
    """Per field, the weight of its similarity for each candidate: fields a creator lacks take no share."""


def quality_of(creator: Creator, derives: Collection[Platform] = tuple(Platform)) -> float:
    """0..1: half audience (log scale), a quarter engagement, a quarter activity.

    ``derives``: the platforms of whose data a figure may be made; what others say is as if it were unknown.
    """
    whole = all(key.partition(":")[0] in derives for key in creator.account_keys)
    allowed = [count for platform, count in creator.followers_by_platform.items() if platform in derives]
    followers = creator.total_followers if whole else sum(allowed) if allowed else None
    engagement = creator.engagement_rate
    audience = UNKNOWN if followers is None else min(math.log1p(followers) / math.log1p(FOLLOWERS_FULL), 1.0)
    engaged = UNKNOWN if engagement is None else min(engagement / ENGAGEMENT_FULL, 1.0)
    lively = ACTIVITY_QUALITY[creator.activity] if whole else UNKNOWN
    return 0.5 * audience + 0.25 * engaged + 0.25 * lively


def rank(candidates: Candidates, weights: Weights) -> Ranked:
    """All candidates, ties by creator id."""
    shares = _shares(candidates, weights)
    scores = weights.keyword * candidates.keyword.astype(np.float64) + weights.quality * candidates.quality
    for field, share in shares.items():
        scores = scores + share * _positive(candidates.similarities[field])
    scores = scores + EXACT_BONUS * candidates.exact
    return Ranked(order=np.lexsort((candidates.creator_ids, -scores)), scores=scores, shares=shares)


def addends_of(candidates: Candidates, ranked: Ranked, weights: Weights, at: int) -> tuple[Addend, ...]:
    """The parts of one candidate's score; they add up to it."""
    parts = [
        _addend("keyword", candidates.keyword[at], weights.keyword),
        _addend("quality", candidates.quality[at], weights.quality),
    ]
    for field, share in ranked.shares.items():
        if candidates.having[field][at]:
            parts.append(_addend(field, _positive(candidates.similarities[field])[at], share[at]))
    if candidates.exact[at]:
        parts.append(_addend("exact", 1.0, EXACT_BONUS))
    return tuple(parts)


def _shares(candidates: Candidates, weights: Weights) -> dict[str, NDArray[np.float64]]:
    wanted: Mapping[str, float] = {field: weights.fields.get(field, 0.0) for field in candidates.similarities}
    total = np.zeros(len(candidates.creator_ids))
    for field, weight in wanted.items():
        total = total + weight * candidates.having[field]
    total[total == 0] = 1.0
    return {
        field: weights.vector * weight * candidates.having[field] / total for field, weight in wanted.items() if weight
    }


def _positive(similarities: Scores) -> NDArray[np.float64]:
    return np.clip(similarities.astype(np.float64), 0.0, 1.0)


def _addend(name: str, value: float, weight: float) -> Addend:
    return Addend(name=name, value=float(value), weight=float(weight), contribution=float(value) * float(weight))
