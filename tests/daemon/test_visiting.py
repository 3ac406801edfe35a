from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from actors.cadence import VisitPolicy, visits
from actors.platforms.adapter import PlatformAdapter
from actors.platforms.instagram import InstagramAdapter, Token
from actors.platforms.youtube import YouTubeAdapter
from daemon.visiting import schedule_of
from proto.api import AccountSchedule, CreatorSchedule
from proto.ids import CreatorId, Platform, account_key
from proto.records import ContentItem, CreatorAccount, Job, JobKind, Priority
from stores.catalog import get_account, put_account
from stores.content import put_items, recent_items
from stores.env import Environment, Txn
from stores.schedule import plan_job, put_job
from tests.founding import found_creator

NOW = 1_790_000_000
DAY = 86_400
POLICIES = {Platform.YOUTUBE: VisitPolicy(feeds=True), Platform.INSTAGRAM: VisitPolicy()}
ADAPTERS: dict[Platform, PlatformAdapter] = {
    Platform.YOUTUBE: YouTubeAdapter(
        httpx2.AsyncClient(), base_url="http://x", feeds_url="http://x", keys=["k"], now=lambda: NOW, timeout_seconds=1
    ),
    Platform.INSTAGRAM: InstagramAdapter(
        httpx2.AsyncClient(),
        base_url="http://x",
        tokens={"token:a": Token(access_token="t", ig_user_id="1")},
        now=lambda: NOW,
        timeout_seconds=1,
    ),
}


@pytest.fixture
def store(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "data", map_size_bytes=1 << 28)


def known(txn: Txn, platform: Platform, posted_days_ago: list[float], **fields: float) -> CreatorId:
    """An account read two hours ago, with posts, its visits planned as the Normaliser plans them."""
    account = CreatorAccount(platform=platform, platform_user_id="1234", handle="ana", fetched_at=NOW - 7_200, **fields)  # type: ignore[arg-type]
    put_account(txn, account)
    stored = get_account(txn, account.key)
    assert stored is not None
    items = [
        ContentItem(content_id=f"v{n}", account_key=account.key, published_at=int(NOW - days * DAY), detailed=True)
        for n, days in enumerate(posted_days_ago)
    ]
    put_items(txn, account.key, items)
    published = [item.published_at for item in recent_items(txn, account.key, 50)]
    for job in visits(stored, published, POLICIES[platform], NOW):
        plan_job(txn, job)
    return found_creator(txn, stored, NOW).creator_id


def asked(store: Environment, creator_id: CreatorId, *, off: bool = False) -> CreatorSchedule | None:
    adapters = {} if off else ADAPTERS
    with store.snapshot() as txn:
        return schedule_of(txn, creator_id, adapters=adapters, policies=POLICIES, now=NOW)


def only_account(store: Environment, creator_id: CreatorId, *, off: bool = False) -> AccountSchedule:
    found = asked(store, creator_id, off=off)
    assert found is not None
    (account,) = found.accounts
    return account


def test_a_lively_channel_is_looked_at_daily_by_its_free_feed(store: Environment) -> None:
    one = only_account(store, store.write_now(lambda txn: known(txn, Platform.YOUTUBE, [1, 2, 3, 4, 5])))
    assert one.activity == "active"
    assert "daily" in one.why
    assert "free feed" in one.why
    assert one.fresh_until == "2026-09-22T12:13:20Z"
    assert one.next_touch_at is not None
    assert one.next_touch_at <= one.fresh_until < (one.next_fetch_at or "")
    assert {call.kind: call.units for call in one.planned} == {"feed": 0.0, "profile": 0.02}
    assert one.units_per_day is not None
    assert 0 < one.units_per_day < 0.1


def test_a_profile_of_instagram_costs_a_call_each_time(store: Environment) -> None:
    one = only_account(store, store.write_now(lambda txn: known(txn, Platform.INSTAGRAM, [1, 2, 3])))
    assert (one.activity, one.units_per_day) == ("active", 1.0)
    assert one.next_touch_at == one.next_fetch_at


def test_an_account_of_little_importance_is_looked_at_weekly_however_lively(store: Environment) -> None:
    quiet = only_account(store, store.write_now(lambda txn: known(txn, Platform.INSTAGRAM, [1, 2], importance=0.1)))
    assert (quiet.activity, quiet.importance) == ("long_tail", 0.1)
    assert "importance 0.1" in quiet.why


def test_what_waits_to_be_fetched_is_listed_with_its_last_error(store: Environment) -> None:
    creator_id = store.write_now(lambda txn: known(txn, Platform.YOUTUBE, []))
    job = Job(
        platform=Platform.YOUTUBE,
        kind=JobKind.CONTENT,
        entity="v9",
        account_key=account_key(Platform.YOUTUBE, "1234"),
        priority=Priority.ACTIVE,
        due_at=NOW,
        attempts=2,
        last_error="503",
    )
    store.write_now(lambda txn: put_job(txn, job))
    one = only_account(store, creator_id)
    first = one.planned[0]
    told = (first.kind, first.entity, first.priority, first.attempts, first.last_error)
    assert told == ("content", "v9", "active", 2, "503")


def test_a_platform_that_is_off_has_plans_and_no_costs(store: Environment) -> None:
    one = only_account(store, store.write_now(lambda txn: known(txn, Platform.YOUTUBE, [40])), off=True)
    assert (one.activity, one.units_per_day) == ("long_tail", None)
    assert {call.units for call in one.planned} == {None}


def test_an_account_that_the_platform_denies_says_so(store: Environment) -> None:
    one = only_account(store, store.write_now(lambda txn: known(txn, Platform.YOUTUBE, [1], misses=2)))
    assert "did not know it 2 times" in one.why


def test_an_unknown_creator_has_none(store: Environment) -> None:
    assert asked(store, CreatorId(7)) is None
