from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from stores.history import DAILY_DAYS, SECONDS_PER_DAY, TRACKED_DAYS, WEEKLY_DAYS, kept_days, tracked

DAYS = st.sets(st.integers(20_000, 20_900), max_size=120)
TODAY = 20_900


@given(DAYS, st.lists(st.integers(0, 400), max_size=6))
@example({TODAY - WEEKLY_DAYS, TODAY - WEEKLY_DAYS + 1}, [1])
def test_it_does_not_matter_when_a_series_was_thinned_on_its_way(days: set[int], before: list[int]) -> None:
    left = days
    for ago in sorted(before, reverse=True):
        today = TODAY - ago
        left = {day for day in left if day > today} | kept_days({day for day in left if day <= today}, today)
    assert kept_days(left, TODAY) == kept_days(days, TODAY)
    assert kept_days(kept_days(days, TODAY), TODAY) == kept_days(days, TODAY)


@given(DAYS)
def test_the_last_month_and_the_newest_day_stay_and_the_rest_is_bounded(days: set[int]) -> None:
    kept = kept_days(days, TODAY)
    assert kept <= days
    assert {day for day in days if TODAY - day < DAILY_DAYS} <= kept
    assert not days or max(days) in kept
    weeks = {day for day in kept if DAILY_DAYS <= TODAY - day < WEEKLY_DAYS}
    assert len(weeks) <= (WEEKLY_DAYS - DAILY_DAYS) // 7 + 2
    assert len({day for day in kept if TODAY - day >= WEEKLY_DAYS}) <= (900 - WEEKLY_DAYS) // 28 + 3


@given(DAYS)
def test_no_gap_grows_by_more_than_its_span(days: set[int]) -> None:
    kept = kept_days(days, TODAY)
    for day in days:
        assert any(day <= one < day + 28 for one in kept)


def test_what_is_tracked() -> None:
    assert tracked(100, 100)
    assert tracked(0, TRACKED_DAYS * SECONDS_PER_DAY)
    assert not tracked(0, TRACKED_DAYS * SECONDS_PER_DAY + 1)
    assert not tracked(100, 99)
