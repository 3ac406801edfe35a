"""What a policy of visits would spend and how fresh it keeps accounts: weeks of a living world in virtual time.

The real schedule, ledger, limiter, fetcher, adapters and normaliser run against the simulated platforms; only what
comes after a creator is stored is left out. Time jumps over idle hours.
"""

from __future__ import annotations

import math
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import httpx2
import msgspec
import trio
import trio.testing
from quart_trio import QuartTrio

from actors import Meter, Outbox
from actors.cadence import KEPT_ITEMS, TOUCH_SECONDS, VisitPolicy, activity_at, visits
from actors.discovery import DiscoveryBudgets
from actors.fetcher import Fetcher
from actors.lane import Lane
from actors.limiter import Limiter
from actors.normaliser import Normaliser
from actors.platforms.adapter import PlatformAdapter
from actors.platforms.instagram import InstagramAdapter, Token
from actors.platforms.youtube import YouTubeAdapter
from actors.scheduler import Scheduler
from actors.token_bucket import TokenBucket
from daemon.evaluation.virtual_time import VirtualThreads
from daemon.pipeline import pack_rules
from daemon.simulator.app import create_simulator
from daemon.simulator.events import scheduled_events
from daemon.simulator.faults import Faults
from daemon.simulator.generator import generate
from daemon.simulator.posting import HABITUAL_HOURS, HABITUAL_SHARE, Habit, Posting
from daemon.simulator.tokens import GraphToken, made_tokens
from daemon.simulator.world import World
from proto.ids import Platform, account_key
from proto.messages import AccountUpserted, AnyWork, FetchPermitted, RawStored, RefreshDue
from proto.records import AccountStatus, Activity, CreatorAccount, Job, JobKind, Normalised, Priority, RawPage
from stores.catalog import write_account
from stores.codec import decode
from stores.content import recent_items
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.ledger import Budget, Ledger
from stores.schedule import Schedule, plan_job
from stores.suppression import Suppression
from stores.windows import Window
from stores.work import Work, complete

T = TypeVar("T")

DAY_SECONDS = 86_400
QUIET_SECONDS = 0.001
"""Everything runs in this process, so that nothing is under way when all tasks wait."""
POLL_SECONDS = 300.0
SAMPLE_SECONDS = 6 * 3_600
WORKERS = 8
MAP_BYTES = 16 << 30
BEFORE_DAYS = 12
"""The world begins so long before the generator's day, so that a month holds the end of summer time (1 November)."""
INSTAGRAM_CALLS = 200
TOKEN_SHARE = 0.6
"""How full the tokens are on average; a busy hour needs room."""
LIMITS = {"general": 10_000, "search": 100, "stats": 10_000}
UNLIMITED = dict.fromkeys(LIMITS, 1_000_000_000)
BACKFILL_SHARE = 0.2
KEYS = ("one", "another")
"""Of one project."""
SINK_BATCH = 500

FAULTS = Faults(unavailable_share=0.01, throttle_share=0.001, malformed_share=0.001)


class Outcome(msgspec.Struct, kw_only=True):
    """What one policy came to."""

    units: int
    """Of YouTube's general bucket."""
    stats_units: int
    calls: int
    """To all endpoints of both platforms, feeds included."""
    instagram_calls: int
    posts: int
    """Published during the simulated days by accounts that could be seen."""
    detected: int
    units_per_post: float
    mean_delay_hours: float
    fresh: dict[str, float]
    """Share of looks at which an account was inside its window, by activity."""
    calls_over_limit: int
    throttled: int
    """Refusals for pace that the fault injector made; not over any limit."""


class Report(msgspec.Struct, kw_only=True):
    accounts: int
    days: float
    seed: int
    naive: Outcome
    buckets: Outcome
    adaptive: Outcome
    adaptive_feeds: Outcome
    calls_over_limit: int

    def outcomes(self) -> dict[str, Outcome]:
        return {name: getattr(self, name) for name in ("naive", "buckets", "adaptive", "adaptive_feeds")}


Progress = Callable[[str, float], None]
"""Told the name of the policy and the share of its days done."""


POLICIES = {
    "buckets": VisitPolicy(cadence="buckets"),
    "adaptive": VisitPolicy(cadence="adaptive"),
    "adaptive_feeds": VisitPolicy(cadence="adaptive", feeds=True),
}


def evaluate(accounts: int, days: float, seed: int, progress: Progress) -> Report:
    """Runs every policy on the same world, posts and faults; takes minutes for tens of thousands of accounts."""
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="pokedexd-eval-") as folder:
        loaded = Path(folder) / "loaded"
        _in_virtual_time(_load, accounts, seed, loaded)
        progress("load", 1.0)
        for name, policy in POLICIES.items():
            data = Path(folder) / name
            shutil.copytree(loaded, data)
            outcomes[name] = _in_virtual_time(_live, policy, accounts, days, seed, data, partial(progress, name))
            shutil.rmtree(data)
    return Report(
        accounts=accounts,
        days=days,
        seed=seed,
        naive=naive(accounts, days, seed),
        calls_over_limit=sum(one.calls_over_limit for one in outcomes.values()),
        **outcomes,
    )


def naive(accounts: int, days: float, seed: int) -> Outcome:
    """By arithmetic: every visit at the end of the window asks for profile, list and details in calls of their own
    (platform-apis 6.1 A); of Instagram for profile and media (6.2)."""
    world = make_world(accounts, seed)
    posting = Posting(seed)
    calls = instagram = posts = 0
    delays = 0.0
    for account, activity, platform in _members(world):
        window = TOUCH_SECONDS[Activity(activity)]
        visits = int(days * DAY_SECONDS / window)
        calls += visits * 3 if platform is Platform.YOUTUBE else 0
        instagram += visits * 2 if platform is Platform.INSTAGRAM else 0
        offset = random.Random(f"{seed}/naive/{account}").uniform(0, window)
        habit = posting.habit(account, activity)
        for slot in posting.posts_between(habit, world.now, world.now + days * DAY_SECONDS):
            posts += 1
            delays += (offset - (slot.at - world.now)) % window
    return Outcome(
        units=calls,
        stats_units=0,
        calls=calls + instagram,
        instagram_calls=instagram,
        posts=posts,
        detected=posts,
        units_per_post=round(calls / max(posts, 1), 4),
        mean_delay_hours=round(delays / max(posts, 1) / 3_600, 3),
        fresh={activity.value: 1.0 for activity in Activity},
        calls_over_limit=0,
        throttled=0,
    )


def _in_virtual_time(function: Callable[..., Awaitable[T]], *args: object) -> T:
    clock = trio.testing.MockClock(autojump_threshold=QUIET_SECONDS)
    return trio.run(partial(function, *args, clock=clock), clock=clock)


def make_world(accounts: int, seed: int) -> World:
    """About ``accounts`` accounts on both platforms, whose past posts keep the hours that their future ones will."""
    world = generate(max(int(accounts / ACCOUNTS_PER_CREATOR), 1), seed)
    world.now -= BEFORE_DAYS * DAY_SECONDS
    posting = Posting(seed)
    habits = {account: posting.habit(account, activity) for account, activity, _ in _members(world)}
    for video in world.videos.values():
        video.published_at = _at_habitual_hour(video.id, video.published_at, habits[video.channel_id], world.now)
    for profile in world.profiles.values():
        for post in profile.posts:
            post.taken_at = _at_habitual_hour(post.id, post.taken_at, habits[profile.id], world.now)
    return world.link()


def _at_habitual_hour(item: str, published_at: int, habit: Habit, now: int) -> int:
    """The same number of days before the world's day as before the generator's, at one of the account's hours."""
    dice = random.Random(item)
    midnight = (published_at - BEFORE_DAYS * DAY_SECONDS) // DAY_SECONDS * DAY_SECONDS
    hour = habit.first_hour + dice.randrange(HABITUAL_HOURS) if dice.random() < HABITUAL_SHARE else dice.randrange(24)
    at = midnight + hour % 24 * 3_600 + dice.randrange(3_600)
    return at if at < now else at - DAY_SECONDS


ACCOUNTS_PER_CREATOR = 1.35
"""Of the generator: a channel each, 30 % with a twin on Instagram, 5 % more on Instagram alone."""


async def _load(accounts: int, seed: int, folder: Path, *, clock: trio.testing.MockClock) -> None:
    await Run(make_world(accounts, seed), POLICIES["buckets"], seed, folder, clock).load()


async def _live(
    policy: VisitPolicy,
    accounts: int,
    days: float,
    seed: int,
    folder: Path,
    progress: Callable[[float], None],
    *,
    clock: trio.testing.MockClock,
) -> Outcome:
    return await Run(make_world(accounts, seed), policy, seed, folder, clock).live(days, progress)


class Run:
    """One policy on one world."""

    def __init__(
        self, world: World, policy: VisitPolicy, seed: int, folder: Path, clock: trio.testing.MockClock
    ) -> None:
        self._world, self._policy, self._seed = world, policy, seed
        self._folder, self._clock, self._threads = folder, clock, VirtualThreads(clock, QUIET_SECONDS)
        self._began: float | None = None
        """When the clock started; None while everybody is loaded, which takes no time."""
        self._seen: dict[str, int] = {}
        self._looks: Counter[str] = Counter()
        self._inside: Counter[str] = Counter()
        self._delays: list[int] = []

    def now(self) -> float:
        return self._world.now + (0.0 if self._began is None else self._clock.current_time() - self._began)

    async def load(self) -> None:
        """Everybody is known before the clock starts; what that costs is not what a policy of visits costs."""
        platform = self._platform(UNLIMITED, 10_000_000, Faults(seed=self._seed), living=False)
        async with self._flow(platform, UNLIMITED, 10_000_000) as flow:
            await flow.import_world(self._world)
            while await flow.schedule.pending() or await flow.work.pending():  # noqa: ASYNC110 (nobody tells)
                await trio.sleep(POLL_SECONDS)

    async def live(self, days: float, progress: Callable[[float], None]) -> Outcome:
        """With a stop and a start in the middle, as a restart."""
        self._began = self._clock.current_time()
        tokens = max(2, math.ceil(_instagram_calls_per_hour(self._world) / (INSTAGRAM_CALLS * TOKEN_SHARE)))
        platform = self._platform(
            LIMITS, INSTAGRAM_CALLS, msgspec.structs.replace(FAULTS, seed=self._seed), living=True, tokens=tokens
        )
        await self._spread_visits()
        for half in range(2):
            until = self._world.now + days * DAY_SECONDS * (half + 1) / 2
            async with self._flow(platform, LIMITS, INSTAGRAM_CALLS, tokens) as flow:
                while self.now() < until:
                    await trio.sleep(min(SAMPLE_SECONDS, until - self.now()))
                    await self._look(flow.env)
                    progress((self.now() - self._world.now) / (days * DAY_SECONDS))
        return await self._outcome(platform, days)

    async def _spread_visits(self) -> None:
        env = Environment(self._folder, map_size_bytes=MAP_BYTES, run_sync=self._threads, durable=False)
        try:
            await env.write(partial(_spread_all, policies=policies_of(self._policy), now=self._world.now))
        finally:
            env.close()

    def _platform(
        self,
        limits: dict[str, int],
        calls: int,
        faults: Faults,
        *,
        living: bool,
        tokens: int = 1,
        hub_client: httpx2.AsyncClient | None = None,
    ) -> QuartTrio:
        return create_simulator(
            self._world,
            clock=self.now if living else lambda: float(self._world.now),
            faults=faults,
            limits=dict(limits),
            key=",".join(KEYS),
            tokens=made_tokens(tokens, calls),
            posting=Posting(self._seed) if living else None,
            events=scheduled_events(self._world, self._seed) if living else (),
            client=hub_client,
        )

    @asynccontextmanager
    async def _flow(
        self, platform: QuartTrio, limits: Mapping[str, int], calls: int, tokens: int = 1
    ) -> AsyncIterator[Flow]:
        env = Environment(self._folder, map_size_bytes=MAP_BYTES, run_sync=self._threads, durable=False)
        try:
            async with (
                AsyncExitStack() as stack,
                httpx2.AsyncClient(transport=InProcess(platform), base_url="http://platform") as client,
            ):
                nobody = Suppression.open(self._folder / "suppression")
                stack.callback(nobody.close)
                flow = Flow(env, client, self, limits, made_tokens(tokens, calls), self._policy, nobody)
                async with trio.open_nursery() as nursery:
                    flow.start(nursery)
                    yield flow
                    nursery.cancel_scope.cancel("the span is over")
        finally:
            env.close()

    def note(self, said: Normalised) -> None:
        """When an item was first met; only what was published while we watched counts."""
        now = int(self.now())
        for item in said.items:
            if item.content_id not in self._seen:
                self._seen[item.content_id] = now
                if item.published_at > self._world.now:
                    self._delays.append(now - item.published_at)

    async def _look(self, env: Environment) -> None:
        """Who is inside the window that belongs to its activity, as far as we know it."""
        now = self.now()

        def look(txn: Txn) -> list[tuple[Activity, bool]]:
            found = []
            for _, value in txn.scan("accounts"):
                account = decode(CreatorAccount, value)
                if account.status is not AccountStatus.ACTIVE or account.misses:
                    continue
                newest = recent_items(txn, account.key, 1)
                activity = activity_at(newest[0].published_at if newest else None, now)
                age = now - max(account.touched_at or 0, account.fetched_at)
                found.append((activity, age <= TOUCH_SECONDS[activity]))
            return found

        for activity, inside in await env.read(look):
            self._looks[activity.value] += 1
            self._inside[activity.value] += inside

    async def _outcome(self, platform: QuartTrio, days: float) -> Outcome:
        async with httpx2.AsyncClient(transport=InProcess(platform), base_url="http://platform") as client:
            books = msgspec.json.decode((await client.get("/_simulator/accounting")).content)
        posting, end = Posting(self._seed), self._world.now + days * DAY_SECONDS
        posts = sum(
            len(posting.posts_between(posting.habit(account, activity), self._world.now, end))
            for account, activity, _ in _members(self._world)
        )
        charged, calls = books["charged"], books["calls"]
        units = charged.get("general", 0)
        return Outcome(
            units=units,
            stats_units=charged.get("stats", 0),
            calls=sum(calls.values()),
            instagram_calls=calls.get("business_discovery", 0),
            posts=posts,
            detected=len(self._delays),
            units_per_post=round(units / max(len(self._delays), 1), 4),
            mean_delay_hours=round(sum(self._delays) / max(len(self._delays), 1) / 3_600, 3),
            fresh={one.value: round(self._inside[one.value] / max(self._looks[one.value], 1), 5) for one in Activity},
            calls_over_limit=sum(books["calls_over_limit"].values()),
            throttled=books["errors"].get("rateLimitExceeded", 0),
        )


class Flow:
    """The stages from the schedule to the catalogue; what follows them is taken as done."""

    def __init__(
        self,
        env: Environment,
        client: httpx2.AsyncClient,
        run: Run,
        limits: Mapping[str, int],
        tokens: Sequence[GraphToken],
        policy: VisitPolicy,
        suppression: Suppression,
    ) -> None:
        self.env, self.schedule, self.work = env, Schedule(env), Work(env)
        self._run, self._policy, self._suppression = run, policy, suppression
        self.schedule.release_all()
        budgets = [
            Budget(platform=Platform.YOUTUBE, bucket=name, units=units, bulk_share=BACKFILL_SHARE)
            for name, units in limits.items()
        ]
        budgets += [
            Budget(
                platform=Platform.INSTAGRAM,
                bucket=f"token:{token.name}",
                units=token.calls_per_hour,
                window=Window.ROLLING_HOUR,
            )
            for token in tokens
        ]
        self._ledger, self._journal = Ledger(env, budgets), Journal(env, lambda _: None)
        self._adapters: dict[Platform, PlatformAdapter] = {
            Platform.YOUTUBE: WatchedYouTube(run, client),
            Platform.INSTAGRAM: WatchedInstagram(run, client, tokens),
        }

    async def import_world(self, world: World) -> None:
        now = int(self._run.now())
        jobs = [_first(Platform.YOUTUBE, JobKind.PROFILE, channel, now) for channel in world.channels]
        jobs += [_first(Platform.INSTAGRAM, JobKind.LOOKUP, name, now) for name in world.profiles]
        for begin in range(0, len(jobs), 1_000):
            await self.schedule.put(jobs[begin : begin + 1_000])

    def start(self, nursery: trio.Nursery) -> None:
        pages_in, pages_out = trio.open_memory_channel[AnyWork](256)
        upserted_in, upserted_out = trio.open_memory_channel[AnyWork](256)
        for platform, adapter in self._adapters.items():
            self._start_lane(nursery, platform, adapter, pages_in, upserted_in)
        normaliser = Normaliser(
            pages_out,
            Outbox(upserted_in, Meter()),
            env=self.env,
            work=self.work,
            adapters=self._adapters,
            now=self._run.now,
            suppression=self._suppression,
            visits_of=policies_of(self._policy),
            backfill_items={Platform.YOUTUBE: 50, Platform.INSTAGRAM: 25},
            discovery=DiscoveryBudgets(),
            discovered_on=(),
            batch=64,
            meter=Meter(),
        )
        nursery.start_soon(normaliser.run)
        nursery.start_soon(self._sink, upserted_out)

    def _start_lane(
        self,
        nursery: trio.Nursery,
        platform: Platform,
        adapter: PlatformAdapter,
        pages: trio.MemorySendChannel[AnyWork],
        upserted: trio.MemorySendChannel[AnyWork],
    ) -> None:
        lane = Lane({name: TokenBucket(1e6, 1e6) for name in ("api", "feed")})
        due_in, due_out = trio.open_memory_channel[RefreshDue](64)
        permitted_in, permitted_out = trio.open_memory_channel[FetchPermitted](64)
        stop = trio.Event()
        scheduler = Scheduler(
            Outbox(due_in, Meter()),
            platform=platform,
            rules=pack_rules(adapter),
            buckets_of=lambda kind: adapter.cost(kind).buckets,
            packs=WORKERS * 2,
            schedule=self.schedule,
            lane=lane,
            now=self._run.now,
            stop=stop,
            meter=Meter(),
            poll_seconds=POLL_SECONDS,
        )
        limiter = Limiter(
            due_out,
            Outbox(permitted_in, Meter()),
            adapter=adapter,
            ledger=self._ledger,
            schedule=self.schedule,
            journal=self._journal,
            lane=lane,
            now=self._run.now,
            meter=Meter(),
        )
        nursery.start_soon(scheduler.run)
        nursery.start_soon(limiter.run)
        for number in range(WORKERS):
            fetcher = Fetcher(
                permitted_out.clone(),
                Outbox[RawStored](pages, Meter()),
                Outbox[AccountUpserted](upserted, Meter()),
                adapter=adapter,
                discovery=DiscoveryBudgets(),
                suppression=self._suppression,
                env=self.env,
                schedule=self.schedule,
                ledger=self._ledger,
                journal=self._journal,
                lane=lane,
                now=self._run.now,
                jitter=random.Random(f"{platform}/{number}"),
                stop=stop,
                meter=Meter(),
            )
            nursery.start_soon(fetcher.run)

    async def _sink(self, upserted: trio.MemoryReceiveChannel[AnyWork]) -> None:
        """Marks what would travel on as done."""
        async for first in upserted:
            batch = [first]
            while len(batch) < SINK_BATCH:
                try:
                    batch.append(upserted.receive_nowait())
                except trio.WouldBlock:
                    break
            await self.env.write(partial(_complete_all, messages=batch))


class WatchedYouTube(YouTubeAdapter):
    """Tells the run what it reads."""

    def __init__(self, run: Run, client: httpx2.AsyncClient) -> None:
        super().__init__(
            client,
            base_url="http://platform/youtube/v3",
            feeds_url="http://platform/feeds/videos.xml",
            keys=KEYS,
            now=run.now,
            timeout_seconds=3_600,
        )
        self._run = run

    def normalise(self, page: RawPage) -> Normalised:
        said = super().normalise(page)
        self._run.note(said)
        return said


class WatchedInstagram(InstagramAdapter):
    """Tells the run what it reads."""

    def __init__(self, run: Run, client: httpx2.AsyncClient, tokens: Sequence[GraphToken]) -> None:
        super().__init__(
            client,
            base_url="http://platform/graph/v25.0",
            tokens={
                f"token:{token.name}": Token(access_token=token.token, ig_user_id=token.ig_user_id) for token in tokens
            },
            now=run.now,
            timeout_seconds=3_600,
        )
        self._run = run

    def normalise(self, page: RawPage) -> Normalised:
        said = super().normalise(page)
        self._run.note(said)
        return said


class InProcess(httpx2.AsyncBaseTransport):
    """Hands GET and POST requests to an application in this process, without a socket.

    A request that has begun is ended: the test client's connection leaves its nursery open when it is cancelled.
    """

    def __init__(self, app: QuartTrio) -> None:
        self._client = app.test_client()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        ask = self._client.post if request.method == "POST" else self._client.get
        body = await request.aread() or None
        with trio.CancelScope(shield=True):
            reply = await ask(request.url.raw_path.decode(), headers=dict(request.headers), data=body)
            content = await reply.get_data(as_text=False)
        return httpx2.Response(reply.status_code, headers=dict(reply.headers), stream=httpx2.ByteStream(content))


def policies_of(policy: VisitPolicy) -> dict[Platform, VisitPolicy]:
    """Instagram has no feeds."""
    return {Platform.YOUTUBE: policy, Platform.INSTAGRAM: VisitPolicy(cadence=policy.cadence)}


def _complete_all(txn: Txn, messages: Sequence[AnyWork]) -> None:
    for message in messages:
        complete(txn, message)


def _spread_all(txn: Txn, policies: Mapping[Platform, VisitPolicy], now: int) -> None:
    """As if everybody had been visited at some time of the past window: nobody imports a world in one instant."""
    for account in [decode(CreatorAccount, value) for _, value in txn.scan("accounts")]:
        published_at = [item.published_at for item in recent_items(txn, account.key, KEPT_ITEMS[Activity.ACTIVE])]
        for place, job in enumerate(visits(account, published_at, policies[account.platform], now)):
            share = random.Random(f"{account.key}/{job.kind.value}").random()
            back = max(int((job.due_at - now) * share), 0)
            plan_job(txn, msgspec.structs.replace(job, due_at=job.due_at - back))
            if place == 0:
                account.touched_at = now - back
            if job.kind is JobKind.PROFILE:
                account.fetched_at = now - back
        write_account(txn, account)


def _first(platform: Platform, kind: JobKind, entity: str, now: int) -> Job:
    key = account_key(platform, entity) if kind is JobKind.PROFILE else None
    return Job(platform=platform, kind=kind, entity=entity, account_key=key, priority=Priority.DISCOVERY, due_at=now)


def _members(world: World) -> list[tuple[str, str, Platform]]:
    """(id, activity, platform) of every account."""
    channels = [
        (one.id, _activity(one.truth.activity if one.truth else ""), Platform.YOUTUBE)
        for one in world.channels.values()
    ]
    profiles = [
        (one.id, _activity(one.truth.activity if one.truth else ""), Platform.INSTAGRAM)
        for one in world.profiles.values()
    ]
    return channels + profiles


def _activity(name: str) -> str:
    return name or Activity.LONG_TAIL.value


def _instagram_calls_per_hour(world: World) -> float:
    seconds = [
        TOUCH_SECONDS[Activity(activity)] for _, activity, platform in _members(world) if platform is Platform.INSTAGRAM
    ]
    return sum(3_600 / one for one in seconds)
