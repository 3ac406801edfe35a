"""The windows in which platforms count calls, as pure arithmetic on instants (platform-apis 1.2, 3.4, 4)."""

from __future__ import annotations

import datetime
import enum
import zoneinfo

PACIFIC = zoneinfo.ZoneInfo("America/Los_Angeles")
MINUTE_SECONDS, QUARTER_SECONDS, HOUR_SECONDS, DAY_SECONDS = 60, 900, 3_600, 86_400


class Window(enum.StrEnum):
    """How a budget comes back."""

    PACIFIC_DAY = "pacific_day"
    """All at once at midnight in Los Angeles; days of 23 and 25 hours included."""
    UTC_DAY = "utc_day"
    QUARTER_HOUR = "quarter_hour"
    """All at once every 15 minutes of the clock."""
    ROLLING_HOUR = "rolling_hour"
    """Each unit an hour after it was spent, counted by the minute."""


def slot_of(window: Window, now: float) -> str:
    """The name under which spending now is booked; of a rolling hour, the minute. Names sort by time."""
    if window is Window.PACIFIC_DAY:
        return datetime.datetime.fromtimestamp(now, PACIFIC).date().isoformat()
    if window is Window.UTC_DAY:
        return datetime.datetime.fromtimestamp(now, datetime.UTC).date().isoformat()
    size = QUARTER_SECONDS if window is Window.QUARTER_HOUR else MINUTE_SECONDS
    return f"{int(now) // size * size:012}"


def oldest_slot(window: Window, now: float) -> str:
    """The first slot that still counts now: a rolling hour and the minute it began in, else the present slot."""
    if window is Window.ROLLING_HOUR:
        return slot_of(window, now - HOUR_SECONDS)
    return slot_of(window, now)


def started_at(window: Window, now: float) -> int:
    """When the present window began."""
    if window is Window.PACIFIC_DAY:
        local = datetime.datetime.fromtimestamp(now, PACIFIC)
        return int(datetime.datetime.combine(local.date(), datetime.time(), PACIFIC).timestamp())
    if window is Window.UTC_DAY:
        return int(now) // DAY_SECONDS * DAY_SECONDS
    return int(now) // QUARTER_SECONDS * QUARTER_SECONDS if window is Window.QUARTER_HOUR else int(now) - HOUR_SECONDS


def resets_at(window: Window, now: float) -> int:
    """When everything spent by now has come back at the latest."""
    if window is Window.PACIFIC_DAY:
        tomorrow = datetime.datetime.fromtimestamp(now, PACIFIC).date() + datetime.timedelta(days=1)
        return int(datetime.datetime.combine(tomorrow, datetime.time(), PACIFIC).timestamp())
    if window is Window.UTC_DAY:
        return started_at(window, now) + DAY_SECONDS
    if window is Window.QUARTER_HOUR:
        return started_at(window, now) + QUARTER_SECONDS
    return int(now) + HOUR_SECONDS + MINUTE_SECONDS


def slot_returns_at(slot: str) -> int:
    """When a minute's spending of a rolling hour has come back."""
    return int(slot) + HOUR_SECONDS + MINUTE_SECONDS
