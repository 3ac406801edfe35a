"""Evidence → log-odds: the weights that are shipped, and the score of a pair."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from actors.identity_evidence import Evidence

Weights = Mapping[str, float]
"""``kind:level`` → log-odds (natural logarithm); `PRIOR` → those of two accounts that share a block."""

PRIOR = "prior"

BELIEFS: Weights = MappingProxyType(
    {
        PRIOR: -4.0,
        "handle:same_rare": 6.5,
        "handle:same_common": 4.0,
        "handle:same_everyday": 3.0,
        "handle:same_few": 3.5,
        "handle:same_many": 1.0,
        "handle:same_short_rare": 4.5,
        "handle:same_short_few": 2.0,
        "handle:same_short_many": 0.0,
        "handle:core_rare": 4.8,
        "handle:core_common": 2.5,
        "handle:core_everyday": 1.5,
        "handle:core_few": 2.0,
        "handle:core_many": 0.0,
        "handle:core_short_rare": 3.0,
        "handle:core_short_few": 0.5,
        "handle:core_short_many": -0.5,
        "handle:named": 3.0,
        "handle:within": 2.5,
        "handle:near": 2.0,
        "handle:partly": 0.8,
        "handle:other": -2.5,
        "name:same": 2.5,
        "name:same_word": 0.5,
        "name:near": 0.8,
        "name:partly": 0.0,
        "name:other": -1.5,
        "name:conflict": -3.0,
        "link:mutual": 8.0,
        "link:mutual_among": 5.0,
        "link:bio_sole": 5.5,
        "link:bio_among": 2.5,
        "link:bio_popular": 0.5,
        "link:content_steady": 5.0,
        "link:content_again": 4.0,
        "link:content_mostly": 3.0,
        "link:content_sole": 3.0,
        "link:content_first": 2.5,
        "link:content_among": 0.0,
        "link:content_popular": -0.5,
        "link:disputed": 0.5,
        "accord:link_and_name": 1.0,
        "elsewhere:bio": -4.0,
        "elsewhere:content_again": -2.5,
        "elsewhere:content": -0.7,
        "alias:same": 3.5,
        "alias:core": 1.5,
        "alias:other": -0.5,
        "site:same_rare": 3.5,
        "site:same_few": 1.5,
        "site:same_many": 0.0,
        "site:other": -1.0,
        "email:same_rare": 4.0,
        "email:same_few": 1.5,
        "email:same_many": 0.0,
        "email:other": -0.5,
        "bio:same": 4.0,
        "bio:like": 1.5,
        "bio:neutral": 0.0,
        "bio:unlike": -1.0,
        "avatar:same_rare": 2.5,
        "avatar:same_few": 1.0,
        "avatar:same_many": 0.0,
        "language:same": 0.2,
        "language:other": -1.2,
        "country:same": 0.4,
        "country:other": -1.5,
        "fan:one": -5.0,
        "fan:perhaps": -2.0,
    }
)
"""What is believed before any data: the centre that a fit starts from and is drawn to."""


def score_of(evidence: Evidence, weights: Weights) -> tuple[float, list[tuple[str, float]]]:
    """Log-odds of a pair and what each part adds, the weightiest first; they add up with the prior.

    Fellegi and Sunter's sum over comparisons (JASA 1969), with weights fitted together, so that kinds of evidence that
    go hand in hand do not count twice.
    """
    parts = [(f"{kind}:{level}", weights[f"{kind}:{level}"]) for kind, level in evidence]
    parts.sort(key=lambda part: (-abs(part[1]), part[0]))
    return weights[PRIOR] + sum(weight for _, weight in parts), parts


def probability(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(min(log_odds, 500.0), -500.0)))


def log_odds(share: float) -> float:
    """Of a probability between 0 and 1."""
    return math.log(share / (1.0 - share))
