from __future__ import annotations

import datetime

from proto.ids import Platform
from stores.env import Environment
from stores.ledger import PACIFIC, Budget, Ledger, reset_after

BUDGET = Budget(platform=Platform.YOUTUBE, bucket="general", units_per_day=100)


def at(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


async def grants(ledger: Ledger, count: int, now: float) -> int:
    answers = await ledger.reserve(Platform.YOUTUBE, [("general", 1)] * count, now)
    return sum(answer.granted for answer in answers)


async def test_a_tenth_is_kept_in_hand(env: Environment) -> None:
    ledger = Ledger(env, [BUDGET])
    assert await grants(ledger, 200, 1_000_000) == 90
    assert await grants(ledger, 1, 1_000_000) == 0


async def test_what_is_spent_survives_a_restart_and_ends_at_the_reset(env: Environment) -> None:
    now = at("2026-06-10T12:00:00-07:00")
    await grants(Ledger(env, [BUDGET]), 50, now)
    again = Ledger(env, [BUDGET])
    assert await grants(again, 100, now) == 40
    (refused,) = await again.reserve(Platform.YOUTUBE, [("general", 1)], now)
    assert refused.closed_until == at("2026-06-11T00:00:00-07:00")
    assert await grants(again, 100, refused.closed_until - 1) == 0
    assert await grants(again, 100, refused.closed_until) == 90


async def test_closing_a_bucket_leaves_nothing_until_the_reset(env: Environment) -> None:
    ledger = Ledger(env, [BUDGET])
    now = at("2026-06-10T12:00:00-07:00")
    reopens_at = await ledger.close(Platform.YOUTUBE, "general", now)
    assert await grants(ledger, 1, now) == 0
    assert await grants(ledger, 1, reopens_at) == 1


def test_days_of_23_and_25_hours_end_at_midnight_pacific() -> None:
    spring = at("2026-03-08T00:00:00-08:00")
    assert reset_after(spring) - spring == 23 * 3600
    autumn = at("2026-11-01T00:00:00-07:00")
    assert reset_after(autumn) - autumn == 25 * 3600
    assert datetime.datetime.fromtimestamp(reset_after(autumn), PACIFIC).hour == 0
