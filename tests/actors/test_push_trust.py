from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.push_trust import (
    DAY_SECONDS,
    SILENT,
    STRETCH,
    TRUST_HITS,
    WINDOW_SECONDS,
    Verdict,
    judge,
    notice_seconds,
    poll_stretch,
)
from stores.subscriptions import HOUR_SECONDS, PATIENCE_SECONDS, Subscription, Tally

NOW = 1_790_000_000 // HOUR_SECONDS * HOUR_SECONDS


def tally(hours_ago: int, pushed: int = 0, polled: int = 0) -> Tally:
    return Tally(hour_at=NOW - hours_ago * HOUR_SECONDS, pushed=pushed, polled=polled)


def trusted(*tallies: Tally, before: bool = False) -> bool:
    return judge(tallies, NOW, trusted=before).trusted


def test_a_hub_of_which_nothing_is_known_is_not_trusted() -> None:
    assert judge([], NOW, trusted=False) == Verdict(trusted=False, hits=0, misses=0, silent=False)
    assert not trusted(before=True)


def test_trust_needs_so_many_hits() -> None:
    assert not trusted(tally(1, pushed=TRUST_HITS - 1))
    assert trusted(tally(1, pushed=TRUST_HITS))


def test_a_hub_that_delivers_nothing_any_more_is_distrusted_at_the_tenth_miss() -> None:
    before = tally(5, pushed=1_000)
    assert trusted(before, tally(3, polled=SILENT - 1), before=True)
    verdict = judge([before, tally(3, polled=SILENT)], NOW, trusted=True)
    assert (verdict.trusted, verdict.silent) == (False, True)


def test_misses_that_came_out_before_the_last_push_are_no_silence() -> None:
    assert trusted(tally(5, polled=50), tally(4, pushed=500), before=True)
    assert trusted(tally(4, pushed=500, polled=50), before=True)


def test_a_hub_that_delivers_in_part_is_distrusted() -> None:
    assert trusted(tally(2, pushed=75, polled=25), before=True)
    assert not trusted(tally(2, pushed=74, polled=26), before=True)


def test_few_misses_do_not_end_trust() -> None:
    assert trusted(tally(2, pushed=1, polled=2), before=True)


def test_trust_is_regained_at_a_smaller_share_of_misses_than_it_is_lost_at() -> None:
    between = tally(2, pushed=80, polled=20)
    assert trusted(between, before=True)
    assert not trusted(between, before=False)
    assert trusted(tally(2, pushed=90, polled=10), before=False)


def test_what_came_out_before_the_window_counts_no_more() -> None:
    hours = WINDOW_SECONDS // HOUR_SECONDS
    assert trusted(tally(hours, pushed=TRUST_HITS))
    assert not trusted(tally(hours + 1, pushed=TRUST_HITS))
    assert trusted(tally(hours + 1, polled=500), tally(1, pushed=TRUST_HITS))


@given(
    st.lists(
        st.builds(tally, st.integers(0, 60), st.integers(0, 30), st.integers(0, 30)),
        max_size=20,
        unique_by=lambda one: one.hour_at,
    ),
    st.booleans(),
    st.randoms(),
)
def test_the_order_of_the_hours_is_irrelevant(hours: list[Tally], before: bool, shuffle: random.Random) -> None:
    verdict = judge(hours, NOW, trusted=before)
    shuffle.shuffle(hours)
    assert judge(hours, NOW, trusted=before) == verdict
    assert not (verdict.silent and verdict.trusted)


def test_only_channels_under_a_running_lease_of_a_trusted_hub_are_polled_less() -> None:
    told = Subscription(channel_id="UC", token="t", secret="s", covered_since=NOW - 9, lease_ends_at=NOW + 9)
    assert poll_stretch(told, NOW, trusted=True) == STRETCH
    assert poll_stretch(told, NOW, trusted=False) == 1.0
    assert poll_stretch(told, NOW + 9, trusted=True) == 1.0
    assert poll_stretch(None, NOW, trusted=True) == 1.0


def test_the_notice_time_is_as_stated() -> None:
    assert round(notice_seconds(500, DAY_SECONDS) / 3_600, 1) == 4.8
    assert round(notice_seconds(500, 3 * DAY_SECONDS) / 3_600, 1) == 8.3
    assert notice_seconds(10, DAY_SECONDS) == 1.5 * DAY_SECONDS
    assert notice_seconds(0, DAY_SECONDS) == notice_seconds(1, DAY_SECONDS) == WINDOW_SECONDS


def played(posts_per_day: float, poll_days: float, seed: int) -> float:
    """Seconds from the death of a hub to the first verdict against it, judged every five minutes."""
    draw = random.Random(seed)
    dies_at, ends_at = NOW + 2 * DAY_SECONDS, NOW + 12 * DAY_SECONDS
    told: list[tuple[float, Tally]] = []
    moment = float(NOW)
    while moment < ends_at:
        moment += draw.expovariate(posts_per_day / DAY_SECONDS)
        hour_at = int(moment) // HOUR_SECONDS * HOUR_SECONDS
        if moment < dies_at:
            told.append((moment, Tally(hour_at=hour_at, pushed=1)))
        else:
            wait = draw.uniform(0, poll_days * DAY_SECONDS)
            if wait > PATIENCE_SECONDS:
                told.append((moment + wait, Tally(hour_at=hour_at, polled=1)))
    believed, at = True, dies_at
    while believed:
        at += 300
        believed = judge([one for known_at, one in told if known_at <= at], at, trusted=True).trusted
    return at - dies_at


@pytest.mark.parametrize(("posts_per_day", "poll_days"), [(500, 1), (500, 3), (100, 1), (10, 1), (1, 1)])
def test_a_hub_that_dies_is_noticed_in_the_stated_time(posts_per_day: float, poll_days: float) -> None:
    times = [played(posts_per_day, poll_days, seed) for seed in range(12)]
    stated = notice_seconds(posts_per_day, poll_days * DAY_SECONDS) + HOUR_SECONDS
    assert sum(times) / len(times) <= 1.1 * stated
    assert max(times) <= WINDOW_SECONDS + HOUR_SECONDS
