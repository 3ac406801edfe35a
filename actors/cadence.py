"""How often an account is worth a visit: pure functions."""

from __future__ import annotations

from proto.records import Activity, CreatorAccount, Priority

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


def next_due(account: CreatorAccount, activity: Activity) -> int:
    """When the account is to be touched again."""
    return account.fetched_at + TOUCH_SECONDS[activity]


def not_found_due(misses: int, now: float) -> int:
    """``misses`` counts this one."""
    return int(now) + NOT_FOUND_SECONDS[min(misses, len(NOT_FOUND_SECONDS)) - 1]
