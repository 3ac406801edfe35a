"""What a creator's numbers say: pure functions. None means "not enough data", never 0."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from proto.records import ContentItem

DAY_SECONDS = 86_400
MIN_ITEMS = 3
"""Fewer items say nothing about a habit."""


def engagement_rate(items: Sequence[ContentItem]) -> float | None:
    """Median over items of (likes + comments) / views; items with hidden likes or no views are left out."""
    rates = [
        (item.likes + (item.comments or 0)) / item.views for item in items if item.likes is not None and item.views
    ]
    return round(statistics.median(rates), 6) if len(rates) >= MIN_ITEMS else None


def posts_per_week(items: Sequence[ContentItem], now: float) -> float | None:
    """Items over the time from the oldest of them until now, at least a week."""
    if len(items) < MIN_ITEMS:
        return None
    span_seconds = max(now - min(item.published_at for item in items), 7 * DAY_SECONDS)
    return round(len(items) * 7 * DAY_SECONDS / span_seconds, 3)


def last_content_at(items: Sequence[ContentItem]) -> int | None:
    return max((item.published_at for item in items), default=None)
