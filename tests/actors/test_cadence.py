from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.cadence import (
    DAY_SECONDS,
    DEEP_CEILING_SECONDS,
    DEEP_FLOOR_SECONDS,
    TOUCH_SECONDS,
    activity_at,
    best_second_of_day,
    deep_interval_seconds,
    not_found_due,
    posting_rate,
    touch_due,
)
from proto.records import Activity

NOW = 1_790_000_000
HISTORIES = st.lists(st.integers(NOW - 400 * DAY_SECONDS, NOW), max_size=20)


def test_activity_follows_the_age_of_the_newest_content() -> None:
    assert activity_at(None, NOW) is Activity.LONG_TAIL
    assert activity_at(NOW - 7 * DAY_SECONDS, NOW) is Activity.ACTIVE
    assert activity_at(NOW - 7 * DAY_SECONDS - 1, NOW) is Activity.SEMI_ACTIVE
    assert activity_at(NOW - 30 * DAY_SECONDS, NOW) is Activity.SEMI_ACTIVE
    assert activity_at(NOW - 30 * DAY_SECONDS - 1, NOW) is Activity.LONG_TAIL


def test_an_unknown_account_backs_off_7_then_30_days() -> None:
    assert [not_found_due(misses, NOW) - NOW for misses in (1, 2, 3)] == [7 * DAY_SECONDS] + [30 * DAY_SECONDS] * 2


@given(st.sampled_from(Activity), HISTORIES, st.sampled_from(["buckets", "adaptive"]))
def test_a_touch_always_falls_inside_its_window(activity: Activity, posts: list[int], policy: str) -> None:
    due_at = touch_due(NOW, activity, posts, policy)
    assert NOW + 3_600 <= due_at < NOW + TOUCH_SECONDS[activity]
    assert due_at <= touch_due(NOW, activity, posts, "buckets")


def test_looks_at_somebody_who_posts_in_the_evening_come_soon_after() -> None:
    evening = 20 * 3_600
    posts = [NOW // DAY_SECONDS * DAY_SECONDS - day * DAY_SECONDS + evening + day * 60 for day in range(1, 15)]
    touched_at, waits = NOW, []
    for _ in range(60):
        touched_at = touch_due(touched_at, Activity.ACTIVE, posts, "adaptive")
        waits.append((touched_at - evening) % DAY_SECONDS)
    settled = waits[3:]
    assert sum(wait < 4 * 3_600 for wait in settled) >= 0.9 * len(settled)


@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=20))
def test_no_time_of_day_has_a_shorter_mean_wait(posts: list[int]) -> None:
    def wait(look: int) -> int:
        return sum((look - post) % DAY_SECONDS for post in posts)

    best = wait(best_second_of_day(posts))
    assert all(best <= wait(look) for look in range(0, DAY_SECONDS, 601))


def test_the_rate_of_a_short_history_is_drawn_to_what_is_usual() -> None:
    assert posting_rate([], NOW) == 0.1
    one_today = posting_rate([NOW], NOW)
    assert 0.1 < one_today < 0.2
    daily = posting_rate([NOW - day * DAY_SECONDS for day in range(20)], NOW)
    assert 0.6 < daily < 1.0


@given(HISTORIES, st.floats(0.01, 100))
def test_profiles_are_read_between_daily_and_every_28_days(posts: list[int], importance: float) -> None:
    rate = posting_rate(posts, NOW)
    seconds = deep_interval_seconds(rate, importance)
    assert DEEP_FLOOR_SECONDS <= seconds <= DEEP_CEILING_SECONDS
    assert deep_interval_seconds(rate * 4, importance) <= seconds
    assert deep_interval_seconds(rate, importance * 4) <= seconds
