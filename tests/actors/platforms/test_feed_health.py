from __future__ import annotations

import random

from actors.platforms.feed_health import ENOUGH, REST_SECONDS, WINDOW, FeedHealth, FeedNews


def told(health: FeedHealth, outcomes: list[bool], now: float = 0.0) -> list[FeedNews]:
    return [news for ok in outcomes if (news := health.note(ok, now)) is not None]


def test_a_few_failures_say_nothing() -> None:
    health = FeedHealth()
    assert told(health, [False] * (ENOUGH - 1)) == []
    assert not health.resting(0.0)


def test_one_failure_now_and_then_is_no_news() -> None:
    assert told(FeedHealth(), [number % 10 > 0 for number in range(500)]) == []


def test_thirty_percent_failing_is_told_once_and_lived_with() -> None:
    health = FeedHealth()
    assert told(health, [number % 10 >= 3 for number in range(500)]) == [FeedNews.FAILING]
    assert not health.resting(0.0)
    assert told(health, [True] * WINDOW) == [FeedNews.WELL]
    assert told(health, [True] * WINDOW) == []


def test_feeds_rest_once_when_most_fail_and_get_another_chance() -> None:
    health = FeedHealth()
    assert told(health, [False] * ENOUGH, now=5.0) == [FeedNews.DOWN]
    assert health.resting(5.0 + REST_SECONDS - 1)
    assert not health.resting(5.0 + REST_SECONDS)
    assert health.note(False, 5.0 + REST_SECONDS) is None
    assert told(health, [True] * WINDOW, now=5.0 + REST_SECONDS) == [FeedNews.WELL]


def test_what_is_told_of_a_noisy_wave_is_not_a_flood() -> None:
    dice = random.Random(1)
    assert len(told(FeedHealth(), [dice.random() > 0.3 for _ in range(2_000)])) <= 20
