from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from actors.discovery import (
    DAY_SECONDS,
    SEARCH_AGAIN_SECONDS,
    DiscoveryBudgets,
    discover,
    look_again,
    note_missed,
    plan_discovery,
    take_in,
)
from proto.ids import Platform, account_key
from proto.records import ContentItem, CreatorAccount, DeadLetter, Job, JobKind, Normalised, Priority
from stores.catalog import put_account
from stores.codec import decode
from stores.env import Environment, Txn
from stores.schedule import find_job, jobs_of_kind, settle_job
from stores.suppression import Suppression

NOW = 1_790_000_000
KEY = account_key(Platform.INSTAGRAM, "7")
CHANNEL = "UC" + "a" * 21 + "A"
BOTH = DiscoveryBudgets(bios=10, captions=10)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Environment]:
    opened = Environment(tmp_path / "data", map_size_bytes=1 << 28)
    yield opened
    opened.close()


@pytest.fixture
def suppression(tmp_path: Path) -> Iterator[Suppression]:
    opened = Suppression.open(tmp_path / "suppression")
    yield opened
    opened.close()


def saying(*named: str, caption: str = "") -> Normalised:
    account = CreatorAccount(platform=Platform.INSTAGRAM, platform_user_id="7", named_accounts=list(named))
    items = [ContentItem(content_id="a", account_key=KEY, title_or_caption=caption)] if caption else []
    return Normalised(account_key=KEY, account=account, items=items)


def taken(
    store: Environment,
    suppression: Suppression,
    said: Normalised,
    budgets: DiscoveryBudgets = BOTH,
    *,
    now: int = NOW,
    platforms: tuple[Platform, ...] = (Platform.YOUTUBE, Platform.INSTAGRAM),
) -> int:
    return store.write_now(
        lambda txn: discover(txn, said, budgets=budgets, platforms=platforms, suppression=suppression, now=now)
    )


def job(store: Environment, platform: Platform, kind: JobKind, entity: str) -> Job | None:
    with store.snapshot() as txn:
        return find_job(txn, platform, kind, entity)


def test_named_accounts_are_scheduled_in_the_form_in_which_they_are_found(
    store: Environment, suppression: Suppression
) -> None:
    named = ("instagram:bo", "youtube:@cy", "youtube:c/dee", "youtube:user/Old", f"youtube:{CHANNEL}", "tiktok:ann")
    assert taken(store, suppression, saying(*named)) == 5
    assert job(store, Platform.INSTAGRAM, JobKind.LOOKUP, "bo") is not None
    for entity in ("@cy", "@dee", "user/Old"):
        assert job(store, Platform.YOUTUBE, JobKind.LOOKUP, entity) is not None, entity
    found = job(store, Platform.YOUTUBE, JobKind.PROFILE, CHANNEL)
    assert found is not None
    assert found.account_key == account_key(Platform.YOUTUBE, CHANNEL)


def test_nobody_is_taken_where_the_budget_is_nothing(store: Environment, suppression: Suppression) -> None:
    assert taken(store, suppression, saying("instagram:bo", caption="with @cy"), DiscoveryBudgets()) == 0
    assert taken(store, suppression, saying("instagram:bo", caption="with @cy"), DiscoveryBudgets(captions=5)) == 1
    assert job(store, Platform.INSTAGRAM, JobKind.LOOKUP, "bo") is None


def test_the_budget_of_a_day_is_kept_and_comes_back_with_the_next(store: Environment, suppression: Suppression) -> None:
    budgets = DiscoveryBudgets(bios=3, captions=1)
    assert taken(store, suppression, saying("instagram:a", "instagram:b"), budgets) == 2
    assert taken(store, suppression, saying("instagram:c", "instagram:d", caption="@e @f"), budgets) == 2
    assert taken(store, suppression, saying("instagram:g"), budgets) == 0
    assert taken(store, suppression, saying("instagram:g"), budgets, now=NOW + DAY_SECONDS) == 1


def test_whom_we_have_or_await_is_not_new(store: Environment, suppression: Suppression) -> None:
    known = CreatorAccount(platform=Platform.INSTAGRAM, platform_user_id="9", handle="Known", fetched_at=NOW)
    store.write_now(lambda txn: put_account(txn, known))
    assert taken(store, suppression, saying("instagram:known", "instagram:new")) == 1
    assert taken(store, suppression, saying("instagram:known", "instagram:new")) == 0


def test_whom_the_platform_does_not_know_is_left_alone_for_a_week_then_a_month(
    store: Environment, suppression: Suppression
) -> None:
    """Their mention comes back with every visit: they would have each day's budget before anybody else."""
    budgets, said = DiscoveryBudgets(bios=2, captions=1), saying("instagram:bo", f"youtube:{CHANNEL}", caption="by @cy")
    asked = (
        (Platform.INSTAGRAM, JobKind.LOOKUP, "bo"),
        (Platform.INSTAGRAM, JobKind.LOOKUP, "cy"),
        (Platform.YOUTUBE, JobKind.PROFILE, CHANNEL),
    )
    now = NOW
    for days in (7, 30, 30):
        assert taken(store, suppression, said, budgets, now=now) == 3
        for one in asked:
            missed = job(store, *one)
            assert missed is not None
            store.write_now(partial(settle_missed, job=missed, now=now))
        for day in (0, 1, days - 1):
            assert taken(store, suppression, said, budgets, now=now + day * DAY_SECONDS) == 0
        now += days * DAY_SECONDS
    with store.snapshot() as txn:
        assert [decode(DeadLetter, value).count for _, value in txn.scan("dead_letters")] == [3, 3, 3]


def settle_missed(txn: Txn, job: Job, now: int) -> None:
    note_missed(txn, job, now)
    settle_job(txn, job, None)


def test_the_forgotten_are_not_discovered(store: Environment, suppression: Suppression) -> None:
    suppression.add([(Platform.INSTAGRAM, "@bo"), (Platform.YOUTUBE, CHANNEL), (Platform.YOUTUBE, "@cy")])
    named = ("instagram:bo", f"youtube:{CHANNEL}", "youtube:@cy", "youtube:c/cy", "youtube:user/cy")
    assert taken(store, suppression, saying(*named, caption="@bo @Bo")) == 0


def test_a_platform_that_is_off_gets_no_lookups(store: Environment, suppression: Suppression) -> None:
    assert taken(store, suppression, saying("youtube:@cy", "instagram:bo"), platforms=(Platform.INSTAGRAM,)) == 1


def found(
    store: Environment,
    suppression: Suppression,
    kind: JobKind,
    names: list[str],
    budgets: DiscoveryBudgets,
    now: int = NOW,
) -> int:
    keys = [account_key(Platform.YOUTUBE, name) for name in names]
    looked = msgspec.structs.replace(CHART, kind=kind)
    return store.write_now(lambda txn: take_in(txn, looked, keys, budgets=budgets, suppression=suppression, now=now))


CHART = Job(
    platform=Platform.YOUTUBE,
    kind=JobKind.CHART,
    entity="US",
    account_key=None,
    priority=Priority.DISCOVERY,
    due_at=NOW,
    first=False,
)
CHANNELS = [f"UC{number:022}" for number in range(8)]


def test_charts_and_searches_have_a_budget_each(store: Environment, suppression: Suppression) -> None:
    budgets = DiscoveryBudgets(charts=3, searches=2)
    assert found(store, suppression, JobKind.CHART, CHANNELS[:2], budgets) == 2
    assert found(store, suppression, JobKind.CHART, CHANNELS, budgets) == 1  # the two are known by now
    assert found(store, suppression, JobKind.CHART, CHANNELS, budgets) == 0
    assert found(store, suppression, JobKind.SEARCH, CHANNELS, budgets) == 2
    assert found(store, suppression, JobKind.CHART, CHANNELS, budgets, NOW + DAY_SECONDS) == 3
    assert found(store, suppression, JobKind.SEARCH, CHANNELS, DiscoveryBudgets(), NOW + DAY_SECONDS) == 0


def test_the_forgotten_are_not_found_again(store: Environment, suppression: Suppression) -> None:
    suppression.add([(Platform.YOUTUBE, CHANNELS[0])])
    assert found(store, suppression, JobKind.SEARCH, CHANNELS[:2], DiscoveryBudgets(searches=9)) == 1
    assert job(store, Platform.YOUTUBE, JobKind.PROFILE, CHANNELS[0]) is None
    assert job(store, Platform.YOUTUBE, JobKind.PROFILE, CHANNELS[1]) is not None


def test_when_a_chart_and_a_search_are_read_again() -> None:
    search = msgspec.structs.replace(CHART, kind=JobKind.SEARCH, entity="home workout", page_token="p2")
    assert (look_again(CHART, "p2", NOW, left=1).page_token, look_again(CHART, "p2", NOW, left=1).due_at) == ("p2", NOW)
    spent = look_again(CHART, "p2", NOW, left=0)
    assert (spent.page_token, spent.due_at) == ("", NOW + DAY_SECONDS)
    assert look_again(CHART, "", NOW, left=1).due_at == NOW + DAY_SECONDS
    further = look_again(search, "p3", NOW, left=1)
    assert (further.page_token, further.listed_before, further.due_at) == ("p3", 50, NOW + DAY_SECONDS)
    for page_token, listed_before in (("", 0), ("p2", 50)):
        short = msgspec.structs.replace(search, page_token=page_token, listed_before=listed_before)
        same = look_again(short, "p3", NOW, left=0)
        assert (same.page_token, same.listed_before, same.due_at) == (page_token, listed_before, NOW + DAY_SECONDS)
    deep = msgspec.structs.replace(CHART, listed_before=150)
    assert (look_again(deep, "p5", NOW, left=9).page_token, look_again(deep, "p5", NOW, left=9).listed_before) == (
        "",
        0,
    )
    ended = look_again(search, "", NOW, left=9)
    assert (ended.page_token, ended.due_at) == ("", NOW + SEARCH_AGAIN_SECONDS)


def test_the_plan_follows_the_settings_and_keeps_its_times(store: Environment) -> None:
    def planned(regions: list[str], queries: list[str], now: int) -> dict[tuple[str, str], int]:
        def change(txn: Txn) -> list[Job]:
            plan_discovery(txn, regions, queries, now)
            kinds = (JobKind.CHART, JobKind.SEARCH)
            return [one for kind in kinds for one in jobs_of_kind(txn, Platform.YOUTUBE, kind)]

        return {(one.kind.value, one.entity): one.due_at for one in store.write_now(change)}

    assert planned(["BR", "US"], ["home workout"], NOW) == {
        ("chart", "BR"): NOW,
        ("chart", "US"): NOW,
        ("search", "home workout"): NOW,
    }
    assert planned(["US", "DE"], [], NOW + 60) == {("chart", "DE"): NOW + 60, ("chart", "US"): NOW}
    assert planned([], [], NOW + 90) == {}
