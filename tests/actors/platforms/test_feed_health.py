from __future__ import annotations

from actors.platforms.feed_health import ENOUGH, REST_SECONDS, FeedHealth


def test_a_few_failures_say_nothing() -> None:
    health = FeedHealth()
    assert not any(health.note(False, 0.0) for _ in range(ENOUGH - 1))
    assert not health.resting(0.0)


def test_thirty_percent_failing_is_lived_with() -> None:
    health = FeedHealth()
    assert not any(health.note(number % 10 >= 3, 0.0) for number in range(500))


def test_feeds_rest_once_when_most_fail_and_get_another_chance() -> None:
    health = FeedHealth()
    tripped = [health.note(False, 5.0) for _ in range(ENOUGH)]
    assert tripped.count(True) == 1
    assert health.resting(5.0 + REST_SECONDS - 1)
    assert not health.resting(5.0 + REST_SECONDS)
    assert not health.note(False, 5.0 + REST_SECONDS)
