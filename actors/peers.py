"""How a creator's engagement compares with that of its peers: a distribution for each platform, niche and size."""

from __future__ import annotations

import math
from collections import defaultdict

import msgspec
import numpy as np
from numpy.typing import NDArray

from proto.records import Creator, Unknown, VitalSign, VitalSigns
from proto.tiers import tier_of

MIN_PEERS = 20
"""Among fewer a rank says nothing, and could tell of single ones."""
LEAST_RATE, STEP = 1e-5, 1.02
"""Rates are told apart by 2 % from 0.001 % on; below it they are equal."""
BINS = 900
"""Up to rates of 540."""


class Rank(msgspec.Struct, kw_only=True, frozen=True):
    """Where an account's engagement stands among its peers."""

    percentile: VitalSign[float]
    """0..100: the share of peers below it, and half of those equal to it; n: how many peers there are."""
    platform: str
    niche: str | None
    tier: str | None


class Peers:
    """Counts of engagement rates in bins: one addition a creator, and no more than a few megabytes for any number.

    A cell is of one platform, since engagement is by views here and by followers there.
    """

    def __init__(self) -> None:
        self._cells: defaultdict[tuple[str, str, str], NDArray[np.int64]] = defaultdict(
            lambda: np.zeros(BINS, np.int64)
        )

    def add(self, creator: Creator, signs: VitalSigns) -> None:
        for platform, group in signs.by_platform.items():
            rate, tier = group.engagement_rate.value, tier_of(creator.followers_by_platform.get(platform))
            if rate is not None and tier is not None and creator.primary_niche is not None:
                self._cells[platform, creator.primary_niche, tier][_bin(rate)] += 1

    def rank(self, creator: Creator, signs: VitalSigns, platform: str) -> Rank:
        """Raises KeyError for a platform of which there are no vital signs."""
        engagement = signs.by_platform[platform].engagement_rate
        niche, tier = creator.primary_niche, tier_of(creator.followers_by_platform.get(platform))
        if engagement.why is Unknown.NOT_PERMITTED:
            return Rank(percentile=engagement, platform=platform, niche=None, tier=None)
        counts = self._cells.get((platform, niche, tier)) if niche and tier else None
        n = 0 if counts is None else int(counts.sum())
        if engagement.value is None:
            percentile: VitalSign[float] = engagement
        elif counts is None or n < MIN_PEERS:
            percentile = VitalSign(why=Unknown.INSUFFICIENT, n=n, window_days=engagement.window_days)
        else:
            value = _percentile(counts, _bin(engagement.value))
            percentile = VitalSign(value=value, n=n, window_days=engagement.window_days)
        return Rank(percentile=percentile, platform=platform, niche=niche, tier=tier)


def _bin(rate: float) -> int:
    if rate <= LEAST_RATE:
        return 0
    return min(1 + int(math.log(rate / LEAST_RATE) / math.log(STEP)), BINS - 1)


def _percentile(counts: NDArray[np.int64], at: int) -> float:
    return round(100 * float(counts[:at].sum() + counts[at] / 2) / float(counts.sum()), 1)
