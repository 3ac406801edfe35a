"""Fusion and scoring of candidates, with every addend kept: pure functions over numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from proto.ids import Platform
from proto.records import Activity, Creator
from stores.ports import RRF, Addend, Scores, Weights

EXACT_BONUS = 1.0
"""Added when the query equals a name or handle; it outweighs whatever meaning and quality add, so such a creator leads."""
NICHE_BONUS = 0.05
"""Added to creators of a niche that a brief prefers: as much as quality at most, so that it decides between likes."""
RRF_CONSTANT = 60
"""Of reciprocal rank fusion: a place p counts 1 / (60 + p) (Cormack, Clarke and Büttcher, SIGIR 2009)."""
FIRST_PLACE = 1.0 / (RRF_CONSTANT + 1)
"""What quality and a preferred niche are measured by there, as they are by 1 where scores are weighted."""

FOLLOWERS_FULL = 10_000_000
"""Followers at which the audience part of quality is full; the scale is logarithmic."""
ENGAGEMENT_FULL = 0.10
UNKNOWN = 0.5
"""Quality part of what is not known: neither praise nor blame."""
ACTIVITY_QUALITY = {Activity.ACTIVE: 1.0, Activity.SEMI_ACTIVE: 0.6, Activity.LONG_TAIL: 0.2}

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


class Candidates(msgspec.Struct, kw_only=True, frozen=True):
    """Arrays of one length: what is known of each candidate for this query."""

    creator_ids: NDArray[np.int64]
    keyword: Scores
    """0..1, 0 for a candidate found by vectors alone."""
    exact: Mask
    similarities: dict[str, Scores]
    """Per field, cosine; 0 where the candidate lacks the field, or was not compared."""
    having: dict[str, Mask]
    quality: Scores
    preferred: Mask
    """Of a niche that is preferred."""


class Part(msgspec.Struct, kw_only=True, frozen=True):
    """One addend of all candidates' scores: value · weight, where it is shown, 0 elsewhere."""

    name: str
    values: Numbers
    weights: Numbers
    shown: Mask


class Ranked(msgspec.Struct, kw_only=True, frozen=True):
    """Candidate positions, best first, with all scores and what they are made of."""

    order: NDArray[np.intp]
    scores: Numbers
    parts: tuple[Part, ...]


def quality_of(creator: Creator, derives: Collection[Platform] = tuple(Platform)) -> float:
    """0..1: half audience (log scale), a quarter engagement, a quarter activity.

    ``derives``: the platforms of whose data a figure may be made; what others say is as if it were unknown.
    """
    followers, engagement = audience_of(creator, derives), creator.engagement_rate
    audience = UNKNOWN if followers is None else min(math.log1p(followers) / math.log1p(FOLLOWERS_FULL), 1.0)
    engaged = UNKNOWN if engagement is None else min(engagement / ENGAGEMENT_FULL, 1.0)
    lively = ACTIVITY_QUALITY[creator.activity] if _whole(creator, derives) else UNKNOWN
    return 0.5 * audience + 0.25 * engaged + 0.25 * lively


def audience_of(creator: Creator, derives: Collection[Platform]) -> int | None:
    """Followers of which a figure may be made; None where none are known."""
    if _whole(creator, derives):
        return creator.total_followers
    allowed = [count for platform, count in creator.followers_by_platform.items() if platform in derives]
    return sum(allowed) if allowed else None


def rank(candidates: Candidates, weights: Weights, fusion: str = "weighted") -> Ranked:
    """All candidates, ties by creator id."""
    by_places = fusion == RRF
    made = _places(candidates, weights) if by_places else _weighted(candidates, weights)
    parts = (*made, *_bonuses(candidates, NICHE_BONUS * FIRST_PLACE if by_places else NICHE_BONUS))
    scores = np.zeros(len(candidates.creator_ids))
    for part in parts:
        scores += part.values * part.weights
    return Ranked(order=np.lexsort((candidates.creator_ids, -scores)), scores=scores, parts=parts)


def addends_of(ranked: Ranked, at: int) -> tuple[Addend, ...]:
    """The parts of one candidate's score; they add up to it."""
    return tuple(
        Addend(
            name=part.name,
            value=float(part.values[at]),
            weight=float(part.weights[at]),
            contribution=float(part.values[at]) * float(part.weights[at]),
        )
        for part in ranked.parts
        if part.shown[at]
    )


def diversified(
    order: Sequence[int], scores: Numbers, likeness: NDArray[np.float32], diversity: float
) -> NDArray[np.intp]:
    """Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): each next one is that with most of
    ``(1 - diversity) · score - diversity · likeness`` to its likest among those before. ``likeness``: [n, n] along
    ``order``, 0..1; scores are laid between 0 and 1. Positions into ``order``; what ties keeps its place."""
    chosen: list[int] = []
    spread = float(scores.max(initial=0.0) - scores.min(initial=0.0)) or 1.0
    relevance = (scores - scores.min(initial=0.0)) / spread
    nearest = np.zeros(len(order), np.float64)
    left = np.ones(len(order), bool)
    for _ in range(len(order)):
        worth = np.where(left, (1 - diversity) * relevance - diversity * nearest, -np.inf)
        at = int(np.argmax(worth))
        chosen.append(at)
        left[at] = False
        nearest = np.maximum(nearest, likeness[at])
    return np.array(chosen, np.intp)


def _weighted(candidates: Candidates, weights: Weights) -> list[Part]:
    """``keyword·k + vector·Σ wᵢ·simᵢ + quality·q``; fields that a creator lacks take no share of ``vector``."""
    everyone = np.ones(len(candidates.creator_ids), bool)
    parts = [
        _part("keyword", candidates.keyword, weights.keyword, everyone),
        _part("quality", candidates.quality, weights.quality, everyone),
    ]
    total = np.zeros(len(everyone))
    for field in candidates.similarities:
        total += weights.fields.get(field, 0.0) * candidates.having[field]
    total[total == 0] = 1.0
    for field, similarities in candidates.similarities.items():
        weight = weights.fields.get(field, 0.0)
        if weight:
            having = candidates.having[field]
            values = np.clip(similarities.astype(np.float64), 0.0, 1.0)
            parts.append(
                Part(name=field, values=values, weights=weights.vector * weight * having / total, shown=having)
            )
    return parts


def _places(candidates: Candidates, weights: Weights) -> list[Part]:
    """Reciprocal ranks: by keyword, and by each field among those that have it; quality as much as a first place."""
    everyone = np.ones(len(candidates.creator_ids), bool)
    parts = [
        _placed("keyword", candidates.keyword, candidates.creator_ids, candidates.keyword > 0, weights.keyword),
        _part("quality", candidates.quality * FIRST_PLACE, weights.quality, everyone),
    ]
    shares = sum(weights.fields.get(field, 0.0) for field in candidates.similarities) or 1.0
    for field, similarities in candidates.similarities.items():
        weight = weights.fields.get(field, 0.0) * weights.vector / shares
        if weight:
            parts.append(_placed(field, similarities, candidates.creator_ids, candidates.having[field], weight))
    return parts


def _placed(name: str, scores: Scores, creator_ids: NDArray[np.int64], shown: Mask, weight: float) -> Part:
    values = np.zeros(len(scores))
    places = np.flatnonzero(shown)
    order = places[np.lexsort((creator_ids[places], -scores[places]))]
    values[order] = 1.0 / (RRF_CONSTANT + 1 + np.arange(len(order)))
    return _part(name, values, weight, shown)


def _bonuses(candidates: Candidates, of_niche: float) -> list[Part]:
    return [
        _part(name, which, bonus, which)
        for name, which, bonus in (
            ("niche", candidates.preferred, of_niche),
            ("exact", candidates.exact, EXACT_BONUS),
        )
        if which.any()
    ]


def _part(name: str, values: NDArray[np.floating] | Mask, weight: float, shown: Mask) -> Part:
    same = np.broadcast_to(np.float64(weight), len(values))  # takes no room of its own
    return Part(name=name, values=values.astype(np.float64), weights=same, shown=shown)


def _whole(creator: Creator, derives: Collection[Platform]) -> bool:
    return all(key.partition(":")[0] in derives for key in creator.account_keys)
