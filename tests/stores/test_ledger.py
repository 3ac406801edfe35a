from __future__ import annotations

import datetime
import itertools

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from proto.ids import Platform
from stores.env import Environment
from stores.ledger import Budget, Grant, Ledger, forecast
from stores.windows import PACIFIC, Window, oldest_slot, resets_at, slot_of, slot_returns_at, started_at

DAILY = Budget(platform=Platform.YOUTUBE, bucket="general", units=100)
HOURLY = Budget(platform=Platform.INSTAGRAM, bucket="token:a", units=100, window=Window.ROLLING_HOUR)
OTHER = Budget(platform=Platform.INSTAGRAM, bucket="token:b", units=100, window=Window.ROLLING_HOUR)
NOW = 1_790_000_000.0


def at(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


async def ask(ledger: Ledger, now: float, *buckets: str, units: int = 1) -> Grant:
    platform = Platform.INSTAGRAM if buckets[0].startswith("token") else Platform.YOUTUBE
    (grant,) = await ledger.reserve(platform, [(buckets, units, False)], now)
    return grant


async def spend(ledger: Ledger, now: float, bucket: str, until: float) -> list[float]:
    """Asks whenever a grant may come, until an instant; returns when grants came."""
    granted: list[float] = []
    while now < until:
        grant = await ask(ledger, now, bucket)
        if grant.granted:
            granted.append(now)
        else:
            now = max(grant.closed_until, now + 1)
    return granted


async def test_a_bucket_slows_at_three_quarters_and_stops_at_nine_tenths(env: Environment) -> None:
    midnight = at("2026-06-10T00:00:00-07:00")
    ledger = Ledger(env, [DAILY])
    granted = await spend(ledger, midnight, "general", midnight + 86_400)
    assert len(granted) == 90
    assert granted[74] == midnight
    gaps = [after - before for before, after in itertools.pairwise(granted[75:])]
    assert min(gaps) > 3_600
    assert max(gaps) - min(gaps) < 120


async def test_what_is_spent_survives_a_restart_and_ends_at_the_reset(env: Environment) -> None:
    now = at("2026-06-10T12:00:00-07:00")
    await ask(Ledger(env, [DAILY]), now, "general", units=90)
    again = Ledger(env, [DAILY])
    refused = await ask(again, now, "general")
    assert (refused.granted, refused.spent) == (False, True)
    assert refused.closed_until == at("2026-06-11T00:00:00-07:00")
    assert not (await ask(again, refused.closed_until - 1, "general")).granted
    assert (await ask(again, refused.closed_until, "general")).granted


async def test_closing_a_bucket_leaves_nothing_until_the_reset(env: Environment) -> None:
    ledger = Ledger(env, [DAILY])
    now = at("2026-06-10T12:00:00-07:00")
    reopens_at = await ledger.close(Platform.YOUTUBE, "general", now)
    assert reopens_at == at("2026-06-11T00:00:00-07:00")
    assert (await ask(Ledger(env, [DAILY]), now, "general")).closed_until == reopens_at
    assert (await ask(ledger, reopens_at, "general")).granted


async def test_units_of_a_rolling_hour_come_back_an_hour_after_they_were_spent(env: Environment) -> None:
    ledger = Ledger(env, [HOURLY])
    await ask(ledger, NOW, "token:a", units=50)
    await ask(ledger, NOW + 1_800, "token:a", units=40)
    refused = await ask(ledger, NOW + 1_900, "token:a", units=10)
    assert NOW + 3_600 <= refused.closed_until <= NOW + 3_720
    assert (await ask(ledger, refused.closed_until, "token:a", units=10)).granted
    assert not (await ask(ledger, refused.closed_until, "token:a", units=41)).granted


async def test_never_more_than_the_limit_in_any_hour(env: Environment) -> None:
    granted = await spend(Ledger(env, [HOURLY]), NOW, "token:a", NOW + 4 * 3_600)
    for start in granted:
        assert sum(start <= one < start + 3_600 for one in granted) <= 90
    assert len(granted) > 300


async def test_the_least_used_token_pays_and_a_disabled_one_never(env: Environment) -> None:
    ledger = Ledger(env, [HOURLY, OTHER])
    paid = [(await ask(ledger, NOW, "token:a", "token:b")).bucket for _ in range(6)]
    assert sorted(paid) == ["token:a"] * 3 + ["token:b"] * 3
    assert ledger.disable(Platform.INSTAGRAM, "token:a", "code 190")
    assert {(await ask(ledger, NOW, "token:a", "token:b")).bucket for _ in range(6)} == {"token:b"}
    assert not ledger.disable(Platform.INSTAGRAM, "token:b", "code 190")
    refused = await ask(ledger, NOW, "token:a", "token:b")
    assert (refused.granted, refused.spent) == (False, False)
    ledger.enable_all()
    assert (await ask(ledger, NOW, "token:a", "token:b")).granted


async def test_a_parked_token_leaves_the_work_to_the_other(env: Environment) -> None:
    ledger = Ledger(env, [HOURLY, OTHER])
    assert await ledger.close(Platform.INSTAGRAM, "token:a", NOW, 3_600) == NOW + 3_600
    assert {(await ask(ledger, NOW, "token:a", "token:b")).bucket for _ in range(4)} == {"token:b"}
    assert (await ask(ledger, NOW + 3_600, "token:a", "token:b")).bucket == "token:a"


async def test_the_platforms_own_count_is_believed_where_it_is_greater(env: Environment) -> None:
    ledger = Ledger(env, [HOURLY])
    await ask(ledger, NOW, "token:a", units=10)
    await ledger.note_usage(Platform.INSTAGRAM, "token:a", 0.05, NOW)
    assert [one.used for one in await ledger.standings(NOW)] == [10]
    await ledger.note_usage(Platform.INSTAGRAM, "token:a", 0.95, NOW)
    (standing,) = await ledger.standings(NOW)
    assert standing.used == 95
    assert not (await ask(ledger, NOW, "token:a")).granted


async def test_old_minutes_are_dropped_and_days_are_kept(env: Environment) -> None:
    ledger = Ledger(env, [HOURLY, DAILY])
    for hour in range(30):
        await ask(ledger, NOW + hour * 3_600, "token:a")
        await ask(ledger, NOW + hour * 3_600, "general")
    keys = [key.decode() for key in await env.read(lambda txn: [key for key, _ in txn.scan("ledger")])]
    assert sum(key.startswith("instagram:token:a:0") for key in keys) <= 2
    assert sum(key.startswith("youtube:general:2") for key in keys) == 2


def test_a_forecast_names_when_a_budget_runs_dry() -> None:
    noon = at("2026-06-10T12:00:00-07:00")
    assert forecast(DAILY, 0, noon) is None
    assert forecast(DAILY, 30, noon) is None
    assert forecast(DAILY, 60, noon) == at("2026-06-10T18:00:00-07:00")
    assert forecast(DAILY, 95, noon) == noon


@pytest.mark.parametrize(("day", "hours"), [("2026-03-08T00:00:00-08:00", 23), ("2026-11-01T00:00:00-07:00", 25)])
def test_days_of_23_and_25_hours_end_at_midnight_pacific(day: str, hours: int) -> None:
    ends_at = resets_at(Window.PACIFIC_DAY, at(day))
    assert ends_at - at(day) == hours * 3_600
    assert datetime.datetime.fromtimestamp(ends_at, PACIFIC).hour == 0


@given(st.sampled_from(Window), st.floats(1.6e9, 2.2e9))
def test_a_window_holds_its_instant_and_names_sort_by_time(window: Window, now: float) -> None:
    assert started_at(window, now) <= now < resets_at(window, now)
    assert oldest_slot(window, now) <= slot_of(window, now) <= slot_of(window, now + 90_000)
    if window is not Window.ROLLING_HOUR:
        assert slot_of(window, started_at(window, now)) == slot_of(window, now)
        assert slot_of(window, resets_at(window, now)) != slot_of(window, now)
    else:
        assert slot_returns_at(slot_of(window, now)) > now + 3_600 - 60


@given(
    asks=st.lists(st.tuples(st.booleans(), st.integers(1, 5), st.floats(0, 7_200)), max_size=60),
    share=st.sampled_from([0.0, 0.1, 0.2, 0.5]),
    window=st.sampled_from([Window.PACIFIC_DAY, Window.ROLLING_HOUR, Window.QUARTER_HOUR]),
)
def test_bulk_keeps_to_its_share_and_never_stands_in_the_way(
    asks: list[tuple[bool, int, float]], share: float, window: Window, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of any window at most its share goes to bulk; what is fresh is refused only when the whole is spent."""
    budget = Budget(platform=Platform.YOUTUBE, bucket="general", units=100, window=window, bulk_share=share)
    env = Environment(tmp_path_factory.mktemp("ledger"), map_size_bytes=1 << 24, durable=False)
    now, spent = NOW, list[tuple[float, int, bool]]()

    async def run() -> None:
        nonlocal now
        for bulk, units, later in asks:
            now += later
            (grant,) = await Ledger(env, [budget]).reserve(Platform.YOUTUBE, [(("general",), units, bulk)], now)
            counted = [one for one in spent if slot_of(window, one[0]) >= oldest_slot(window, now)]
            used, bulk_used = sum(one[1] for one in counted), sum(one[1] for one in counted if one[2])
            if grant.granted:
                spent.append((now, units, bulk))
                assert not bulk or bulk_used + units <= 100 * share
            elif grant.bulk_spent:
                assert bulk
                assert bulk_used + units > 100 * share
                assert grant.closed_until > now
            else:
                assert used + units > 90 or used >= 75

    trio.run(run)
    env.close()


async def test_the_share_survives_a_restart_and_comes_back_with_the_window(env: Environment) -> None:
    now = at("2026-06-10T12:00:00-07:00")
    budget = Budget(platform=Platform.YOUTUBE, bucket="general", units=100, bulk_share=0.2)

    async def ask_bulk(now: float, units: int) -> Grant:
        (grant,) = await Ledger(env, [budget]).reserve(Platform.YOUTUBE, [(("general",), units, True)], now)
        return grant

    assert (await ask_bulk(now, 20)).granted
    refused = await ask_bulk(now + 60, 1)
    assert (refused.granted, refused.bulk_spent, refused.spent) == (False, True, False)
    assert refused.closed_until == at("2026-06-11T00:00:00-07:00")
    assert (await ask(Ledger(env, [budget]), now + 60, "general")).granted
    assert (await ask_bulk(refused.closed_until, 1)).granted


@given(units=st.integers(1, 50), share=st.floats(0.001, 0.999))
def test_a_share_of_few_units_is_one_at_least_unless_it_is_nothing(units: int, share: float) -> None:
    budget = Budget(platform=Platform.YOUTUBE, bucket="general", units=units, bulk_share=share)
    assert 1 <= budget.bulk.units <= max(1, units * share)
    assert msgspec.structs.replace(budget, bulk_share=0.0).bulk.units == 0
