"""How many accounts are inside their window, and how many creators have vectors."""

from __future__ import annotations

from functools import partial

import trio

from daemon.stock import PAGE, Coverage, Stock, take_stock, take_stock_again
from proto.ids import Platform
from proto.records import AccountStatus, Activity, CreatorAccount, Job, JobKind, Priority
from stores.catalog import write_account
from stores.env import Environment, Txn
from stores.schedule import _state_key, put_job

NOW = 1_790_000_000
HOUR = 3_600
TOUCHES = {Platform.YOUTUBE: JobKind.FEED, Platform.INSTAGRAM: JobKind.PROFILE}


def put(
    txn: Txn,
    name: str,
    hours: float,
    *,
    priority: Priority = Priority.ACTIVE,
    first: bool = False,
    status: AccountStatus = AccountStatus.ACTIVE,
    platform: Platform = Platform.YOUTUBE,
) -> None:
    """An account that was looked at so many hours ago."""
    looked_at = int(NOW - hours * HOUR)
    account = CreatorAccount(
        platform=platform,
        platform_user_id=name,
        handle=name,
        fetched_at=looked_at - 5 * HOUR,
        touched_at=looked_at,
        status=status,
    )
    write_account(txn, account)
    for kind in (TOUCHES[platform], JobKind.BACKFILL):
        put_job(
            txn,
            Job(
                platform=platform,
                kind=kind,
                entity=name,
                account_key=account.key,
                priority=priority,
                due_at=NOW,
                first=first,
            ),
        )


async def coverage() -> Coverage:
    return Coverage(searchable=9, embedded=7, vectors={"yt_bio": 5})


async def taken(env: Environment) -> Stock | None:
    return await take_stock(env, TOUCHES, coverage, lambda: NOW, trio.Event())


async def test_each_kind_of_account_has_its_window(env: Environment) -> None:
    def fill(txn: Txn) -> None:
        put(txn, "a", 23)
        put(txn, "b", 25)
        put(txn, "c", 71, priority=Priority.SEMI_ACTIVE)
        put(txn, "d", 73, priority=Priority.SEMI_ACTIVE)
        put(txn, "e", 167, priority=Priority.LONG_TAIL)
        put(txn, "f", 169, priority=Priority.LONG_TAIL)
        put(txn, "g", 1, platform=Platform.INSTAGRAM)

    await env.write(fill)
    stock = await taken(env)
    assert stock is not None
    for activity in Activity:
        group = (Platform.YOUTUBE, activity)
        assert (stock.accounts[group], stock.fresh[group]) == (2, 1), activity
    assert stock.accounts[Platform.INSTAGRAM, Activity.ACTIVE] == 1
    assert stock.accounts[Platform.INSTAGRAM, Activity.LONG_TAIL] == 0  # said, not left out
    assert (stock.searchable, stock.embedded, stock.vectors) == (9, 7, {"yt_bio": 5})


async def test_who_is_not_looked_at_again_and_again_is_not_counted(env: Environment) -> None:
    def fill(txn: Txn) -> None:
        put(txn, "new", 1_000, first=True)
        put(txn, "gone", 1_000, status=AccountStatus.GONE)
        put(txn, "asked", 1_000, priority=Priority.ON_DEMAND)

    await env.write(fill)
    stock = await taken(env)
    assert stock is not None
    assert sum(stock.accounts.values()) == 0


async def test_many_are_walked_in_pages(env: Environment) -> None:
    def fill(txn: Txn) -> None:
        for number in range(PAGE + 3):
            put(txn, f"{number:05}", 23 if number % 3 else 25)

    await env.write(fill)
    stock = await taken(env)
    assert stock is not None
    group = (Platform.YOUTUBE, Activity.ACTIVE)
    assert (stock.accounts[group], stock.fresh[group]) == (PAGE + 3, sum(1 for n in range(PAGE + 3) if n % 3))


async def test_it_goes_on_until_the_stop(env: Environment, autojump_clock: object) -> None:
    published: list[Stock] = []
    stop = trio.Event()
    await env.write(partial(put, name="a", hours=1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_stock_again, env, TOUCHES, coverage, published.append, lambda: NOW, stop)
        await trio.sleep(100)
        stop.set()
    assert len(published) == 10  # at once, and every ten seconds


async def test_who_cannot_be_read_is_passed_over_and_noted(env: Environment) -> None:
    def fill(txn: Txn) -> None:
        for name in ("a", "b", "c"):
            put(txn, name, 1)
        txn.put("accounts", b"youtube:b", (txn.get("accounts", b"youtube:b") or b"")[:9])
        txn.put("schedule", _state_key(Platform.YOUTUBE, JobKind.FEED, "c"), b"\x01\x90")

    await env.write(fill)
    stock = await taken(env)
    assert stock is not None
    assert stock.accounts[Platform.YOUTUBE, Activity.ACTIVE] == 1
    assert [database for database, _ in env.damaged] == ["schedule", "accounts"]
