"""Counts over time: which days of a series are worth keeping. Pure."""

from __future__ import annotations

from collections.abc import Iterable

DAILY_DAYS, WEEKLY_DAYS = 30, 180
"""A series is kept by the day for a month, by the week for half a year, then by four weeks."""
TRACKED_DAYS = 29
"""Content so old at most is tracked: its counts are read again at 1, 3, 7 and 28 days (actors/cadence.py)."""

SECONDS_PER_DAY = 86_400


def tracked(published_at: int, read_at: int) -> bool:
    """Whether counts of an item that were read then belong to its history."""
    return 0 <= read_at - published_at <= TRACKED_DAYS * SECONDS_PER_DAY


def kept_days(days: Iterable[int], today: int) -> set[int]:
    """Of each day, week or four weeks of a series the newest day, by how long ago it was (days since 1970-01-01 UTC).

    Four weeks are whole weeks, and a week becomes part of them as a whole, so that it does not matter how often, or
    when, a series is thinned on its way there.
    """
    newest: dict[tuple[int, int], int] = {}
    for day in days:
        span = _span(day, today)
        newest[span, day // span] = max(day, newest.get((span, day // span), day))
    return set(newest.values())


def _span(day: int, today: int) -> int:
    if today - day < DAILY_DAYS:
        return 1
    last_of_week = day // 7 * 7 + 6
    return 7 if today - last_of_week < WEEKLY_DAYS else 28
