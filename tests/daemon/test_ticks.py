"""What runs by the clock, or whenever somebody watches, reads no more of a store that is four times as large."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import httpx2
import pytest
import trio

from actors import Meter, Outbox
from actors.avatars import AvatarReader
from actors.backlog import Backlog
from actors.cadence import PRIORITY
from actors.lane import Lane
from actors.peers import Peers
from actors.policy import DerivedData, policies
from actors.reaper import Reaper
from actors.scheduler import Scheduler
from actors.subscriber import HubSettings, Subscriber
from actors.sweeper import Sweeper
from daemon import housekeeping, stock
from daemon.app import budgets_of, page_readers
from daemon.config import Config
from daemon.figures import read_figures
from daemon.pipeline import Pipeline, Stores, pack_rules
from daemon.readiness import Readiness, ready_answer
from daemon.reviewing import Reviewing
from proto.errors import Unavailable
from proto.ids import Platform, Row, account_key, creator_id_of
from proto.labelling import Labelling
from proto.messages import AccountUpserted, AnyWork, RefreshDue, Stage
from proto.records import (
    DEFAULT_TENANT,
    Activity,
    AuditEvent,
    ContentItem,
    Creator,
    CreatorAccount,
    DeadLetter,
    Event,
    Job,
    JobKind,
    LoggedQuery,
    RawPage,
    SearchWeights,
)
from stores import audit, labels
from stores.audit import append_audit, drop_old_audit
from stores.avatars import want_avatar
from stores.blocking import Blocking
from stores.catalog import Catalog, log_indexed, put_account, put_creator
from stores.content import put_items
from stores.env import Environment, Txn
from stores.identity import put_off
from stores.journal import Journal, append_event
from stores.labels import due_creators, put_labelling
from stores.ledger import Ledger
from stores.query_log import append_queries, expire_queries
from stores.raw import RawStore, put_raw, seal
from stores.schedule import Schedule, put_job
from stores.subscriptions import next_action_at, want
from stores.suppression import Suppression
from stores.work import Work, enqueue, put_dead_letter
from tests.reading import counted_reads

NOW = 1_790_000_000
DAY = 86_400
SMALL, LARGE = 2_600, 10_400
"""Accounts; more than anything looks at between two pauses."""
CONFIG = Config()
HUB = HubSettings(
    hub_url="",
    topic_url="",
    callback_url="",
    lease_seconds=DAY,
    max_subscriptions=100_000,
    requests_per_second=1,
    timeout_seconds=1,
)


class World:
    """A store of which all is due: work, visits, pictures, questions, subscriptions, what policies and days take out."""

    def __init__(self, folder: Path, accounts: int) -> None:
        self.inboxes: list[trio.MemoryReceiveChannel[AnyWork]] = []
        self.env = Environment(folder / "data", map_size_bytes=1 << 30, durable=False)
        journal = Journal(self.env, lambda _: None)
        journal.ensure_default_tenant(NOW)
        self.stores = Stores(
            env=self.env,
            schedule=Schedule(self.env),
            raw=RawStore(self.env),
            catalog=Catalog(self.env),
            work=Work(self.env),
            ledger=Ledger(self.env, budgets_of(CONFIG)),
            journal=journal,
            suppression=Suppression.open(folder / "suppressed"),
        )
        self.pipeline = Pipeline(CONFIG, stores=self.stores, adapters={}, readers={}, lanes={}, now=lambda: NOW, seed=1)
        for begin in range(0, accounts, 1_000):
            numbers = range(begin, min(begin + 1_000, accounts))
            self.env.write_now(partial(put_all, numbers=numbers), synced=False)

    def close(self) -> None:
        self.stores.suppression.close()
        self.env.close()


def put_all(txn: Txn, numbers: range) -> None:
    for number in numbers:
        platform, name = (Platform.YOUTUBE, Platform.INSTAGRAM)[number % 2], f"{number:06}"
        put_one(txn, number, platform, name)
        put_aside(txn, number, platform, name)


def put_one(txn: Txn, number: int, platform: Platform, name: str) -> None:
    account = CreatorAccount(
        platform=platform,
        platform_user_id=name,
        handle=f"h{name}",
        display_name="A",
        profile_image_url=f"https://example.com/{name}",
        fetched_at=NOW - 60 * DAY,
        creator_id=creator_id_of(account_key(platform, name)),
    )
    put_account(txn, account)
    put_items(
        txn, account.key, [ContentItem(content_id=name, account_key=account.key, published_at=NOW, fetched_at=NOW)]
    )
    creator_id = creator_id_of(account.key)
    put_creator(txn, Creator(creator_id=creator_id, row=Row(number), name="A", account_keys=[account.key]))
    txn.put("account_by_creator", creator_id.to_bytes(8, "big") + account.key.encode(), b"")
    log_indexed(txn, creator_id)
    put_labelling(txn, creator_id, Labelling(due_at=NOW - 1))
    want_avatar(txn, account)
    put_off(txn, account.key)
    for kind in (JobKind.PROFILE, JobKind.FEED, JobKind.BACKFILL):
        job = Job(
            platform=platform,
            kind=kind,
            entity=name,
            account_key=account.key,
            priority=PRIORITY[Activity.ACTIVE],
            due_at=NOW - 2 * DAY,
            first=False,
        )
        put_job(txn, job)
    if platform is Platform.YOUTUBE:
        want(txn, name, NOW, token=f"t{name}", secret="s")


def put_aside(txn: Txn, number: int, platform: Platform, name: str) -> None:
    """What piles up beside the accounts."""
    enqueue(txn, AccountUpserted(account_key=account_key(platform, name)), NOW)
    letter = DeadLetter(letter_id="", stage="indexer", entity=name, reason="retries", detail="", last_seen_at=NOW)
    put_dead_letter(txn, letter)
    append_event(txn, Event(at=NOW, kind="note", severity="info"))
    append_audit(txn, AuditEvent(at=NOW, tenant_id=DEFAULT_TENANT, actor="a", action="search"))
    stray = RawPage(
        platform=platform,
        kind=JobKind.PROFILE,
        account_key=account_key(platform, f"x{name}"),
        fetched_at=NOW - 60 * DAY,
        request="",
        body=name.encode(),
    )
    put_raw(txn, stray, *seal(stray))
    query = LoggedQuery(
        number=0,
        at=NOW - 60 * DAY,
        tenant_id=DEFAULT_TENANT,
        request_id="",
        text=name,
        rest="",
        filter="",
        niches=[],
        sort="relevance",
        ascending=False,
        fusion="",
        diversity=0.0,
        weights=SearchWeights(keyword=1, vector=1, quality=1, fields={}),
        total=0,
        took_ms=0.0,
    )
    append_queries(txn, [query])


def outbox_of(world: World) -> Outbox[AnyWork]:
    """Nobody has to take what is said."""
    sender, receiver = trio.open_memory_channel[AnyWork](1_000_000)
    world.inboxes.append(receiver)
    return Outbox(sender, Meter())


async def lease(world: World) -> None:
    sender, _inbox = trio.open_memory_channel[RefreshDue](1_000)
    async with httpx2.AsyncClient() as client:
        adapter = page_readers(client, lambda: NOW)[Platform.YOUTUBE]
        scheduler = Scheduler(
            Outbox(sender, Meter()),
            platform=Platform.YOUTUBE,
            rules=pack_rules(adapter),
            buckets_of=lambda kind: adapter.cost(kind).buckets,
            packs=8,
            schedule=world.stores.schedule,
            lane=Lane({}),
            now=lambda: NOW,
            stop=trio.Event(),
            meter=Meter(),
        )
        assert await scheduler._round(flush=True)


async def sweep(world: World) -> None:
    outbox = outbox_of(world)
    sweeper = Sweeper(
        dict.fromkeys(Stage, outbox),
        work=world.stores.work,
        journal=world.stores.journal,
        now=lambda: NOW,
        resend_after_seconds=0,
        max_attempts=5,
        stop=trio.Event(),
        meter=Meter(),
    )
    assert await sweeper.tick()


def reaper_of(world: World) -> Reaper:
    return Reaper(
        outbox_of(world),
        env=world.env,
        journal=world.stores.journal,
        policies=policies(DerivedData.DENIED),
        now=lambda: NOW,
        stop=trio.Event(),
        meter=Meter(),
    )


async def reap(world: World) -> None:
    await reaper_of(world).beat()


async def reap_behind_the_last(world: World) -> None:
    """Where only accounts are left that never came in."""
    reaper = reaper_of(world)
    reaper._after = account_key(Platform.INSTAGRAM, "999999")
    assert not await reaper.beat()


async def look_at_pictures(world: World) -> None:
    class Refusing:
        async def get(self, url: str) -> object:
            raise Unavailable(url)

    reader = AvatarReader(
        outbox_of(world),
        env=world.env,
        pictures=Refusing(),  # type: ignore[arg-type]
        threads=Blocking("avatars", 1),
        now=lambda: NOW,
        stop=trio.Event(),
        meter=Meter(),
    )
    assert not await reader.beat()


async def subscribe(world: World) -> None:
    async with httpx2.AsyncClient() as client:
        subscriber = Subscriber(
            client,
            HUB,
            env=world.env,
            journal=world.stores.journal,
            now=lambda: NOW,
            jitter=None,  # type: ignore[arg-type]
            stop=trio.Event(),
            meter=Meter(),
        )
        await subscriber.walk_page()
        await subscriber.judge_hub()
        assert await world.env.read(next_action_at) is not None


async def ask_about(world: World) -> None:
    assert await world.env.read(partial(due_creators, now=NOW, limit=8))


async def weigh_what_was_put_off(world: World) -> None:
    backlog = Backlog(
        outbox_of(world), env=world.env, busy=lambda: False, now=lambda: NOW, stop=trio.Event(), meter=Meter()
    )
    assert await backlog._take()


async def take_stock(world: World) -> None:
    accounts: Counter[stock.Group] = Counter()
    look = partial(stock._look, platform=Platform.YOUTUBE, kind=JobKind.FEED, after="", now=NOW)
    assert await world.env.read(partial(look, accounts=accounts, fresh=Counter()))
    assert accounts


async def survey(world: World) -> None:
    page = await world.env.read(partial(housekeeping._surveyed, peers=Peers(), after=None, renew_before=0))
    assert page.last is not None


async def tell_figures(world: World) -> None:
    """`/readyz`, `ctl status`, `/metrics` and the page of operations."""
    stores, pipeline = world.stores, world.pipeline
    ready = await ready_answer(Readiness(), pipeline.board, stores.catalog, stores.work, stores.schedule, "")
    assert ready.counts.work_pending
    await read_figures(
        stores,
        pipeline,
        ready,
        None,
        tokens=[],
        data_dir=Path("/"),
        map_bytes=0,
        memory_ceiling_bytes=0,
        refuses=False,
        now=NOW,
    )
    assert await stores.journal.recent_events()
    await Reviewing(world.env, now=lambda: NOW, hand_on=lambda _: None).count()
    await stores.catalog.index_sequence()


async def look_whether_idle(world: World) -> None:
    assert not await housekeeping._idle(world.stores.work, world.stores.schedule)


async def cut_the_log(world: World) -> None:
    assert await world.env.write(partial(expire_queries, before=NOW))


async def cut_the_trail(world: World) -> None:
    assert await world.env.write(partial(drop_old_audit, before=NOW + 1, now=NOW))


TICKS: Mapping[str, Callable[[World], Awaitable[None]]] = MappingProxyType(
    {
        one.__name__: one
        for one in (
            lease,
            sweep,
            reap,
            reap_behind_the_last,
            look_at_pictures,
            subscribe,
            ask_about,
            weigh_what_was_put_off,
            take_stock,
            survey,
            tell_figures,
            look_whether_idle,
            cut_the_log,
            cut_the_trail,
        )
    }
)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, World]]:
    made = World(tmp_path_factory.mktemp("small"), SMALL), World(tmp_path_factory.mktemp("large"), LARGE)
    yield made
    for world in made:
        world.close()


@pytest.mark.parametrize("name", TICKS)
async def test_a_tick_reads_no_more_of_a_larger_store(
    worlds: tuple[World, World], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "MOST_COUNTED", 1_000)  # bounds that are above the size of these worlds
    monkeypatch.setattr(audit, "DROPPED_AT_ONCE", 1_000)
    read: list[Counter[str]] = []
    for world in worlds:
        with counted_reads() as reads:
            await TICKS[name](world)
        read.append(reads)
    small, large = read
    assert large.total() <= 1.1 * small.total() + 20, f"{name}: {large - small}"
