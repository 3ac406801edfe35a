from __future__ import annotations

from actors.cadence import DAY_SECONDS, activity_at, next_due, not_found_due
from proto.ids import Platform
from proto.records import Activity, CreatorAccount

NOW = 1_790_000_000


def test_activity_follows_the_age_of_the_newest_content() -> None:
    ages = {
        0: Activity.ACTIVE,
        7: Activity.ACTIVE,
        8: Activity.SEMI_ACTIVE,
        30: Activity.SEMI_ACTIVE,
        31: Activity.LONG_TAIL,
    }
    assert {days: activity_at(NOW - days * DAY_SECONDS, NOW) for days in ages} == ages
    assert activity_at(None, NOW) is Activity.LONG_TAIL


def test_visits_keep_the_freshness_promise() -> None:
    account = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id="UCa", fetched_at=NOW)
    days = {activity: (next_due(account, activity) - NOW) / DAY_SECONDS for activity in Activity}
    assert days == {Activity.ACTIVE: 1, Activity.SEMI_ACTIVE: 3, Activity.LONG_TAIL: 7}


def test_misses_back_off_7_then_30_days() -> None:
    assert [(not_found_due(misses, NOW) - NOW) // DAY_SECONDS for misses in (1, 2, 3)] == [7, 30, 30]
