"""Sizes of audiences, as the trade names them."""

from __future__ import annotations

TIERS = ((10_000, "nano"), (100_000, "micro"), (500_000, "mid"), (1_000_000, "macro"))
"""Followers below which an account belongs to a tier, as is usual in the trade."""
LARGEST = "mega"
TIER_NAMES = (*(name for _, name in TIERS), LARGEST)
"""The smallest first."""


def tier_of(followers: int | None) -> str | None:
    """None where they are not known."""
    if followers is None:
        return None
    return next((name for below, name in TIERS if followers < below), LARGEST)
