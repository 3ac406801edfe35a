"""How often an account is worth a visit: pure functions."""

from __future__ import annotations

import math
import zlib
from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from proto.records import Activity, CreatorAccount, Job, JobKind, Priority

DAY_SECONDS = 86_400

TOUCH_SECONDS = {
    Activity.ACTIVE: DAY_SECONDS,
    Activity.SEMI_ACTIVE: 3 * DAY_SECONDS,
    Activity.LONG_TAIL: 7 * DAY_SECONDS,
}
"""The freshness promise: active daily, semi-active every 72 h, long tail weekly."""

PRIORITY = {
    Activity.ACTIVE: Priority.ACTIVE,
    Activity.SEMI_ACTIVE: Priority.SEMI_ACTIVE,
    Activity.LONG_TAIL: Priority.LONG_TAIL,
}

SLACK_SECONDS = {
    Activity.ACTIVE: 1_800,
    Activity.SEMI_ACTIVE: 3_600,
    Activity.LONG_TAIL: 3 * 3_600,
}
"""How much before the end of its window a touch falls due, so that waiting for company and for a turn stays inside."""

MIN_TOUCH_SECONDS = 3_600
BAND_SECONDS = 3 * 3_600
"""A look this long after the best time of day is as good as on it: looks of 23 h 45 drift through the band in 12 days."""
HABIT_ITEMS = 5
"""Fewer items show no habit."""

PRIOR_RATE, PRIOR_DAYS = 0.1, 14.0
"""What is believed of an account of which nothing is known, and how many days of history weigh as much."""
LOW_IMPORTANCE = 0.5
LOOK_DAYS = (1, 3, 7, 28)
"""Ages at which an item's counts are read again."""
REVISIT_SECONDS = (21 * DAY_SECONDS, 27 * DAY_SECONDS)
"""Details are read again at an age between these, before they would have to be deleted; spread, so that what was first
read together is not read again together."""
KEPT_ITEMS = {Activity.ACTIVE: 20, Activity.SEMI_ACTIVE: 15, Activity.LONG_TAIL: 10}
"""How many of an account's newest items are kept fresh so."""
DEEP_SECONDS_AT_ONE = 3.5 * DAY_SECONDS
"""Interval of an account of importance 1 with an item a day."""
DEEP_FLOOR_SECONDS, DEEP_CEILING_SECONDS = DAY_SECONDS, 28 * DAY_SECONDS
"""Never above 28 days: what is kept must be refreshed or deleted within 30 (platform-apis 5.1)."""

NOT_FOUND_SECONDS = (7 * DAY_SECONDS, 30 * DAY_SECONDS)
"""Back-off after the first and every further miss."""

MISSES_UNTIL_GONE = 3


def activity_at(last_content_at: int | None, now: float) -> Activity:
    """Active: content within 7 days; semi-active: within 30."""
    if last_content_at is None:
        return Activity.LONG_TAIL
    age_days = (now - last_content_at) / DAY_SECONDS
    if age_days <= 7:
        return Activity.ACTIVE
    return Activity.SEMI_ACTIVE if age_days <= 30 else Activity.LONG_TAIL


def posting_rate(published_at: Sequence[int], now: float) -> float:
    """Items a day, drawn towards `PRIOR_RATE` as far as the history is short: the mean of a gamma posterior.

    ``published_at``: epoch seconds of the newest items known, in any order; later than ``now`` counts as ``now``.
    """
    days = max((now - min(published_at)) / DAY_SECONDS, 0.0) if published_at else 0.0
    return (len(published_at) + PRIOR_RATE * PRIOR_DAYS) / (days + PRIOR_DAYS)


def deep_interval_seconds(rate: float, importance: float) -> int:
    """How long the profile of an account that is touched otherwise may stay as it is: ∝ 1/√(importance · rate)."""
    wished = DEEP_SECONDS_AT_ONE / math.sqrt(max(importance, 1e-6) * max(rate, 1e-6))
    return int(min(max(wished, DEEP_FLOOR_SECONDS), DEEP_CEILING_SECONDS))


def touch_due(touched_at: int, activity: Activity, published_at: Sequence[int], policy: str) -> int:
    """When an account is to be touched again, within its window.

    ``buckets``: as late as the promise allows. ``adaptive``: at the hour of the day at which posts are found soonest
    after they appear, if the account has such habits; never later than ``buckets``.
    """
    latest = touched_at + TOUCH_SECONDS[activity] - SLACK_SECONDS[activity]
    if policy == "buckets" or len(published_at) < HABIT_ITEMS:
        return latest
    return _before_at(latest, touched_at + MIN_TOUCH_SECONDS, best_second_of_day(published_at))


class VisitPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How a platform's accounts are visited."""

    cadence: str = "adaptive"
    """``buckets`` or ``adaptive``, see `touch_due`."""
    feeds: bool = False
    """Whether a free feed tells of new content, so that profiles can wait."""


def visits(account: CreatorAccount, published_at: Sequence[int], policy: VisitPolicy, now: float) -> list[Job]:
    """The jobs that come back for an account, the touch first; ``published_at`` of its newest items."""
    activity = activity_of(account, max(published_at, default=None), now)
    touched_at = max(account.touched_at or 0, account.fetched_at)
    touch_at = touch_due(touched_at, activity, published_at, policy.cadence)
    if not policy.feeds:
        return [_visit(account, JobKind.PROFILE, activity, touch_at)]
    wait = deep_interval_seconds(posting_rate(published_at, now), account.importance)
    return [
        _visit(account, JobKind.FEED, activity, touch_at),
        _visit(account, JobKind.PROFILE, activity, account.fetched_at + wait),
    ]


def activity_of(account: CreatorAccount, last_content_at: int | None, now: float) -> Activity:
    """As lively as its content says, unless it was marked as of little importance."""
    return Activity.LONG_TAIL if account.importance < LOW_IMPORTANCE else activity_at(last_content_at, now)


def _visit(account: CreatorAccount, kind: JobKind, activity: Activity, due_at: int) -> Job:
    return Job(
        platform=account.platform,
        kind=kind,
        entity=account.platform_user_id,
        account_key=account.key,
        priority=PRIORITY[activity],
        due_at=due_at,
        first=False,
        handle=account.handle,
    )


def next_look_at(published_at: int, now: float) -> int | None:
    """When an item's counts are read again: at ages of 1, 3, 7 and 28 days; None once it is older."""
    later = (published_at + days * DAY_SECONDS for days in LOOK_DAYS)
    return next((moment for moment in later if moment > now + MIN_TOUCH_SECONDS), None)


def revisit_at(content_id: str, fetched_at: int) -> int:
    """When an item's details are read again; a function of the item, so that nothing depends on the order of things."""
    low, high = REVISIT_SECONDS
    return fetched_at + low + zlib.crc32(content_id.encode()) % (high - low)


def best_second_of_day(published_at: Sequence[int]) -> int:
    """The time of day (UTC seconds) at which one daily look finds posts soonest: the mean wait is least there.

    The least mean is reached just at the time of day of one of the posts, since the wait grows between them.
    """
    times = sorted(moment % DAY_SECONDS for moment in published_at)
    n, total = len(times), sum(times)
    waits = (look * n - total + DAY_SECONDS * (n - bisect_right(times, look)) for look in times)
    return min(zip(waits, times, strict=True))[1]


def _before_at(latest: int, earliest: int, second_of_day: int) -> int:
    """The last instant up to ``latest`` within `BAND_SECONDS` after this time of day, else ``latest``'s own time."""
    since = (latest - second_of_day) % DAY_SECONDS
    if since <= BAND_SECONDS:
        return latest
    moved = latest - since + BAND_SECONDS
    return moved if moved >= earliest else latest


def not_found_due(misses: int, now: float) -> int:
    """``misses`` counts this one."""
    return int(now) + NOT_FOUND_SECONDS[min(misses, len(NOT_FOUND_SECONDS)) - 1]
