"""Takes stock now and then: how many accounts are inside their window, and how many creators have vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import msgspec
import trio

from actors.cadence import PRIORITY, TOUCH_SECONDS
from proto.ids import Platform
from proto.records import AccountStatus, Activity, CreatorAccount, Job, JobKind
from stores.catalog import get_account
from stores.env import Environment, Txn
from stores.schedule import jobs_page

PAGE = 500
"""Accounts looked at in one snapshot: 3 ms of a core."""
BEAT_SECONDS = 0.25
"""Between pages: a million accounts are walked in nine minutes."""
REST_SECONDS = 10.0
"""Between walks at least, and twice as long as one takes."""

BUCKETS = {priority: activity for activity, priority in PRIORITY.items()}
Group = tuple[Platform, Activity]


class Coverage(msgspec.Struct, kw_only=True, frozen=True):
    """Creators that can be found, those of them that have any vector, and those that have each."""

    searchable: int
    embedded: int
    vectors: Mapping[str, int]


class Stock(msgspec.Struct, kw_only=True, frozen=True):
    """``accounts``: those that are looked at again and again; ``fresh``: those of them that were looked at within the
    window that their activity promises (`actors.cadence.TOUCH_SECONDS`)."""

    at: float
    accounts: Mapping[Group, int]
    fresh: Mapping[Group, int]
    searchable: int
    embedded: int
    vectors: Mapping[str, int]


async def take_stock_again(
    env: Environment,
    touches: Mapping[Platform, JobKind],
    coverage: Callable[[], Awaitable[Coverage]],
    publish: Callable[[Stock], None],
    now: Callable[[], float],
    stop: trio.Event,
) -> None:
    """Until ``stop``. ``touches``: by which kind of job each platform's accounts are looked at."""
    while not stop.is_set():
        began = trio.current_time()
        stock = await take_stock(env, touches, coverage, now, stop)
        if stock is not None:
            publish(stock)
        with trio.move_on_after(max(REST_SECONDS, 2 * (trio.current_time() - began))):
            await stop.wait()


async def take_stock(
    env: Environment,
    touches: Mapping[Platform, JobKind],
    coverage: Callable[[], Awaitable[Coverage]],
    now: Callable[[], float],
    stop: trio.Event,
) -> Stock | None:
    """One walk; None when it was stopped on the way."""
    accounts: Counter[Group] = Counter({(one, activity): 0 for one in touches for activity in Activity})
    fresh: Counter[Group] = Counter()
    for platform, kind in touches.items():
        after: str | None = ""
        while after is not None:
            look = partial(_look, platform=platform, kind=kind, after=after, now=now(), accounts=accounts, fresh=fresh)
            after = await env.read(look)
            with trio.move_on_after(BEAT_SECONDS if after is not None else 0):
                await stop.wait()
            if stop.is_set():
                return None
    found = await coverage()
    return Stock(
        at=now(),
        accounts=accounts,
        fresh=fresh,
        searchable=found.searchable,
        embedded=found.embedded,
        vectors=found.vectors,
    )


def _look(
    txn: Txn,
    platform: Platform,
    kind: JobKind,
    after: str,
    now: float,
    accounts: Counter[Group],
    fresh: Counter[Group],
) -> str | None:
    """Counts a page of accounts; returns where to go on, None at the end. One that was never read yet is not counted."""
    jobs, last = jobs_page(txn, platform, kind, after, PAGE)
    for job in jobs:
        activity = BUCKETS.get(job.priority)
        account = _account_of(txn, job)
        if activity is None or account is None or job.first or account.status is not AccountStatus.ACTIVE:
            continue
        accounts[platform, activity] += 1
        touched_at = max(account.touched_at or 0, account.fetched_at)
        fresh[platform, activity] += now - touched_at <= TOUCH_SECONDS[activity]
    return last


def _account_of(txn: Txn, job: Job) -> CreatorAccount | None:
    """None also for one that cannot be read."""
    key = job.account_key
    return txn.if_whole(lambda: get_account(txn, key)) if key else None
