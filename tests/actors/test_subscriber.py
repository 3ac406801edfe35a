from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl

import httpx2
import msgspec
import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

from actors import Meter
from actors.push_trust import SILENT, TRUST_HITS
from actors.subscriber import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    PAGE,
    VERIFY_SECONDS,
    HubSettings,
    Subscriber,
    retry_after,
)
from daemon.evaluation.virtual_time import VirtualThreads
from daemon.simulator.app import create_simulator, serve_simulator
from daemon.simulator.faults import Faults
from daemon.simulator.quota import DEFAULT_LIMITS
from daemon.simulator.world import Channel, World
from daemon.web import hub, problems
from proto.ids import Platform, account_key
from proto.records import AccountStatus, ContentItem, CreatorAccount, Event, JobKind
from stores.catalog import get_account, put_account, write_account
from stores.content import put_items
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.schedule import find_job
from stores.subscriptions import (
    SUBSCRIBED,
    Mode,
    State,
    Subscription,
    Subscriptions,
    count_polled,
    count_pushed,
    get_subscription,
    is_trusted,
    verify,
    want,
)
from tests.conftest import EPOCH, QUIET_SECONDS

DAY = 86_400
LEASE = 432_000
SETTINGS = HubSettings(
    hub_url="https://hub.example.org/subscribe",
    topic_url="https://www.youtube.com/xml/feeds/videos.xml?channel_id=",
    callback_url="https://push.example.org/websub/",
    lease_seconds=LEASE,
    max_subscriptions=100,
    requests_per_second=4.0,
    timeout_seconds=10.0,
)
Answer = Callable[[dict[str, str]], httpx2.Response]


class Played:
    """A subscriber over a real store; the hub answers 202 and verifies at once, unless ``answer`` is replaced."""

    def __init__(self, env: Environment, settings: HubSettings = SETTINGS) -> None:
        self.env, self.store, self.stop = env, Subscriptions(env), trio.Event()
        self.settings = settings
        self.asked: list[tuple[float, dict[str, str]]] = []
        self.events: list[Event] = []
        self.answer: Answer = lambda _: httpx2.Response(202)
        self.verifies = True
        self.hangs = False
        self.minted = itertools.count()
        self.subscriber = self.make()

    def make(self) -> Subscriber:
        """As a restart would."""
        return Subscriber(
            httpx2.AsyncClient(transport=httpx2.MockTransport(self._hub)),
            self.settings,
            env=self.env,
            journal=Journal(self.env, self.events.append),
            now=self.now,
            jitter=random.Random(1),
            stop=self.stop,
            meter=Meter(),
            mint=lambda: f"minted{next(self.minted)}",
        )

    @staticmethod
    def now() -> float:
        return EPOCH + trio.current_time()

    async def _hub(self, request: httpx2.Request) -> httpx2.Response:
        form = dict(parse_qsl(request.content.decode()))
        self.asked.append((self.now(), form))
        if self.hangs:
            await trio.sleep_forever()
        reply = self.answer(form)
        if reply.is_success and self.verifies:
            token, channel = form["hub.callback"].rsplit("/", 1)[1], form["hub.topic"].rsplit("=", 1)[1]
            lease, now = int(form.get("hub.lease_seconds", "0")), self.now()
            verified = await self.env.write(lambda txn: verify(txn, token, channel, form["hub.mode"], lease, now))
            assert verified, "a hub may verify before it answers: the request must be pending by then"
        return reply

    async def account(self, channel: str, *, posted_days_ago: float = 1.0, **more: object) -> None:
        account = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id=channel, fetched_at=int(self.now()))
        account = msgspec.structs.replace(account, **more)
        published_at = int(self.now() - posted_days_ago * DAY)
        item = ContentItem(content_id=f"v{channel}", account_key=account.key, published_at=published_at)

        def change(txn: Txn) -> None:
            put_account(txn, account)
            put_items(txn, account.key, [item])

        await self.env.write(change)

    async def subscription(self, channel: str) -> Subscription:
        found = await self.store.get(channel)
        assert found is not None
        return found

    async def walk(self) -> None:
        while not await self.subscriber.walk_page():
            pass

    async def wanted(self) -> int:
        return await self.env.read(lambda txn: txn.counter(SUBSCRIBED))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.subscriber.run)
            yield
            self.stop.set()


@pytest.fixture
def played(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> Iterator[Played]:
    """Without sockets the clock may jump as soon as no thread is at work."""
    threads = VirtualThreads(autojump_clock, 0.0)
    env = Environment(tmp_path / "data", map_size_bytes=1 << 28, run_sync=threads, durable=False)
    yield Played(env)
    env.close()


async def test_lively_channels_of_youtube_are_wanted_and_no_others(
    played: Played, autojump_clock: trio.testing.MockClock
) -> None:
    await played.account("UClively", posted_days_ago=6.9)
    await played.account("UCquiet", posted_days_ago=7.1)
    await played.account("UCgone", status=AccountStatus.GONE)
    await played.account("UClow")
    await played.env.write(lambda txn: _lower(txn, "UClow"))
    await played.account("178", platform=Platform.INSTAGRAM)
    await played.walk()
    assert await played.wanted() == 1
    assert (await played.subscription("UClively")).state is State.WANTED


def _lower(txn: Txn, channel: str) -> None:
    account = get_account(txn, account_key(Platform.YOUTUBE, channel))
    assert account is not None
    write_account(txn, msgspec.structs.replace(account, importance=0.1))


async def test_a_walk_covers_every_page_and_an_idle_one_writes_nothing(
    played: Played, autojump_clock: trio.testing.MockClock
) -> None:
    for number in range(PAGE + 5):
        await played.account(f"UC{number:04}")
    played.settings = msgspec.structs.replace(SETTINGS, max_subscriptions=10_000)
    played.subscriber = played.make()
    assert [await played.subscriber.walk_page() for _ in range(2)] == [False, True]
    assert await played.wanted() == PAGE + 5
    commits = played.env.commits
    await played.walk()
    assert played.env.commits == commits


async def test_there_are_never_more_subscriptions_than_allowed(
    played: Played, autojump_clock: trio.testing.MockClock
) -> None:
    for number in range(10):
        await played.account(f"UC{number}")
    for limit in (4, 7, 3):
        played.settings = msgspec.structs.replace(SETTINGS, max_subscriptions=limit)
        played.subscriber = played.make()
        await played.walk()
        assert await played.wanted() == limit


async def test_the_request_holds_what_the_hub_asks_for(played: Played, autojump_clock: trio.testing.MockClock) -> None:
    await played.account("UCa")
    await played.walk()
    assert await played.subscriber.request_next()
    ((_, form),) = played.asked
    assert form == {
        "hub.mode": "subscribe",
        "hub.topic": SETTINGS.topic_url + "UCa",
        "hub.callback": SETTINGS.callback_url + "minted0",
        "hub.verify": "async",
        "hub.lease_seconds": str(LEASE),
        "hub.secret": "minted1",
    }
    found = await played.subscription("UCa")
    assert (found.state, found.lease_ends_at) == (State.ACTIVE, int(played.now()) + LEASE)
    assert not await played.subscriber.request_next()


async def test_tokens_and_secrets_cannot_be_guessed_and_fit_the_hub(env: Environment) -> None:
    played = Played(env)
    subscriber = Subscriber(
        httpx2.AsyncClient(),
        SETTINGS,
        env=env,
        journal=Journal(env, played.events.append),
        now=played.now,
        jitter=random.Random(1),
        stop=trio.Event(),
        meter=Meter(),
    )
    for number in range(20):
        await played.account(f"UC{number}")
    await subscriber.walk_page()
    found = [await played.subscription(f"UC{number}") for number in range(20)]
    texts = {one.token for one in found} | {one.secret for one in found}
    assert len(texts) == 40
    assert {len(text) for text in texts} == {43}
    assert all(text.replace("-", "").replace("_", "").isalnum() for text in texts)


async def test_a_lease_is_renewed_at_four_fifths_under_the_same_token(
    played: Played, autojump_clock: trio.testing.MockClock
) -> None:
    lease = 20_000
    played.settings = msgspec.structs.replace(SETTINGS, lease_seconds=lease)
    played.subscriber = played.make()
    await played.account("UCa")
    async with played.running():
        await trio.sleep(2 * lease)
    begun = [at for at, _ in played.asked]
    assert [round((at - begun[0]) / lease, 2) for at in begun] == [0.0, 0.8, 1.6]
    assert len({form["hub.callback"] for _, form in played.asked}) == 1
    assert (await played.subscription("UCa")).covered_since == pytest.approx(begun[0], abs=2)


async def test_who_posts_no_more_is_given_up(played: Played, autojump_clock: trio.testing.MockClock) -> None:
    await played.account("UCa", posted_days_ago=6)
    async with played.running():
        await trio.sleep(DAY + 2 * 3_600)
    assert [form["hub.mode"] for _, form in played.asked] == ["subscribe", "unsubscribe"]
    farewell = played.asked[1][1]
    assert "hub.secret" not in farewell
    assert await played.store.get("UCa") is None


async def test_requests_keep_to_their_rate_and_order(played: Played, autojump_clock: trio.testing.MockClock) -> None:
    for number in range(12):
        await played.account(f"UC{number:02}")
    async with played.running():
        await trio.sleep(30)
    at = [at for at, _ in played.asked]
    assert len(at) == 12
    assert all(later - one >= 0.25 - 1e-6 for one, later in itertools.pairwise(at))
    topics = [form["hub.topic"][-4:] for _, form in played.asked]
    assert topics == sorted(topics)


async def test_an_overloaded_hub_is_left_alone_for_as_long_as_it_says(
    played: Played, autojump_clock: trio.testing.MockClock
) -> None:
    for number in range(5):
        await played.account(f"UC{number}")
    played.answer = lambda _: httpx2.Response(503, headers={"retry-after": "120"}, text="Transient error")
    async with played.running():
        await trio.sleep(60)
        assert len(played.asked) == 1
        played.answer = lambda _: httpx2.Response(202)
        await trio.sleep(59)
        assert len(played.asked) == 1
        await trio.sleep(60)
        assert len(played.asked) == 6
    assert [event.kind for event in played.events] == ["hub_unavailable"]
    assert "503 Transient error" in played.events[0].detail
    assert {(await played.subscription(f"UC{number}")).state for number in range(5)} == {State.ACTIVE}


@pytest.mark.parametrize("status", [0, 408, 429, 500, 502])
async def test_a_failing_hub_is_asked_ever_more_seldom(
    played: Played, autojump_clock: trio.testing.MockClock, status: int
) -> None:
    def answer(form: dict[str, str]) -> httpx2.Response:
        if not status:
            raise httpx2.ConnectError("no route")
        return httpx2.Response(status)

    played.answer = answer
    for number in range(3):
        await played.account(f"UC{number}")
    async with played.running():
        await trio.sleep(DAY)
    waits = [later - at for (at, _), (later, _) in itertools.pairwise(played.asked)]
    assert FIRST_PAUSE_SECONDS / 2 <= waits[0] <= FIRST_PAUSE_SECONDS + 2
    assert all(LONGEST_PAUSE_SECONDS / 2 <= wait <= LONGEST_PAUSE_SECONDS + 2 for wait in waits[8:])
    assert len(set(waits)) == len(waits)
    assert len(played.asked) < 50


async def test_the_pauses_begin_anew_once_the_hub_has_answered(
    played: Played, autojump_clock: trio.testing.MockClock
) -> None:
    statuses = itertools.chain((500, 500, 500, 500, 202, 500), itertools.repeat(202))
    played.answer = lambda _: httpx2.Response(next(statuses))
    played.verifies = False
    for number in range(2):
        await played.account(f"UC{number}")
    async with played.running():
        await trio.sleep(10 * VERIFY_SECONDS)
    waits = [later - at for (at, _), (later, _) in itertools.pairwise(played.asked)]
    assert waits[3] >= FIRST_PAUSE_SECONDS * 4
    assert waits[5] <= FIRST_PAUSE_SECONDS + 2


async def test_what_a_hub_quotes_of_our_secrets_is_masked(
    played: Played, autojump_clock: trio.testing.MockClock
) -> None:
    await played.account("UCa")
    await played.walk()
    played.answer = lambda form: httpx2.Response(400, text=f"bad {form['hub.callback']} or {form['hub.secret']}")
    await played.subscriber.request_next()
    (event,) = played.events
    assert f"bad {SETTINGS.callback_url}… or …" in event.detail


async def test_a_hub_that_does_not_answer_costs_a_time_out(
    played: Played, autojump_clock: trio.testing.MockClock
) -> None:
    await played.account("UCa")
    await played.walk()
    played.hangs = True
    before = trio.current_time()
    assert await played.subscriber.request_next()
    assert trio.current_time() - before == pytest.approx(SETTINGS.timeout_seconds)
    assert "TooSlowError" in played.events[0].detail
    assert (await played.subscription("UCa")).state is State.PENDING


@pytest.mark.parametrize("status", [301, 400, 403, 404, 410])
async def test_a_refused_channel_waits_for_a_day_and_holds_up_nobody(
    played: Played, autojump_clock: trio.testing.MockClock, status: int
) -> None:
    played.answer = lambda form: httpx2.Response(status if form["hub.topic"].endswith("UC0") else 202, text="no")
    for number in range(3):
        await played.account(f"UC{number}")
    async with played.running():
        await trio.sleep(DAY / 2 - 60)
        assert len(played.asked) == 3
        assert (await played.subscription("UC0")).state is State.REFUSED
        assert (await played.subscription("UC2")).state is State.ACTIVE
        await trio.sleep(DAY / 2 + 120)
        assert len(played.asked) == 4
    assert [event.kind for event in played.events] == ["hub_refused"] * 2


async def test_an_accepted_request_that_is_never_verified_is_made_again_and_told_once_a_day(
    played: Played, autojump_clock: trio.testing.MockClock
) -> None:
    played.verifies = False
    for number in range(3):
        await played.account(f"UC{number}")
    async with played.running():
        await trio.sleep(DAY - 3_600)
    waits = [later - at for (at, _), (later, _) in itertools.pairwise(one for one in played.asked if one[1]["hub.topic"].endswith("UC0"))]  # fmt: skip
    assert [round(wait / VERIFY_SECONDS) for wait in waits[:4]] == [1, 2, 4, 8]
    assert [event.kind for event in played.events] == ["hub_unverified"]
    assert SETTINGS.callback_url in played.events[0].detail


async def test_a_stop_amid_a_request_is_obeyed_at_once_and_the_request_is_made_again(
    played: Played, autojump_clock: trio.testing.MockClock
) -> None:
    await played.account("UCa")
    played.hangs = True
    begun = trio.current_time()
    async with played.running():
        await trio.sleep(3)
        assert len(played.asked) == 1
    assert trio.current_time() - begun == pytest.approx(3, abs=0.1)
    played.stop, played.hangs = trio.Event(), False
    played.subscriber = played.make()
    async with played.running():
        await trio.sleep(VERIFY_SECONDS + 5)
    assert len(played.asked) == 2
    assert (await played.subscription("UCa")).state is State.ACTIVE


async def test_a_channel_that_comes_alive_between_walks_is_asked_for_within_minutes(
    played: Played, autojump_clock: trio.testing.MockClock
) -> None:
    async with played.running():
        await trio.sleep(5)
        await played.account("UCa")
        await trio.sleep(120)
    assert (await played.subscription("UCa")).state is State.ACTIVE


async def test_a_subscription_goes_with_its_account(played: Played, autojump_clock: trio.testing.MockClock) -> None:
    await played.env.write(lambda txn: want(txn, "UCgone", EPOCH, token="t", secret="s"))
    assert not await played.subscriber.request_next()
    assert played.asked == []
    assert await played.store.get("UCgone") is None


def _pushes(txn: Txn, number: int, now: float) -> None:
    told = get_subscription(txn, "UCa")
    assert told is not None
    for _ in range(number):
        count_pushed(txn, told, int(now) - 5, now)


def _polls(txn: Txn, number: int, now: float) -> None:
    key = account_key(Platform.YOUTUBE, "UCa")
    found = [ContentItem(content_id=f"p{one}", account_key=key, published_at=int(now) - 1_900) for one in range(number)]
    assert count_polled(txn, "UCa", found, now) == number


async def test_the_verdict_on_the_hub_is_kept_and_told_when_it_changes(
    played: Played, autojump_clock: trio.testing.MockClock
) -> None:
    await played.account("UCa")
    async with played.running():
        await trio.sleep(60)
        await played.env.write(partial(_pushes, number=TRUST_HITS, now=played.now()))
        await trio.sleep(600)
        assert await played.env.read(is_trusted)
        await trio.sleep(3 * 3_600)
        await played.env.write(partial(_polls, number=SILENT, now=played.now()))
        await trio.sleep(600)
        assert not await played.env.read(is_trusted)
    assert [event.kind for event in played.events] == ["hub_trusted", "hub_silent"]
    assert f"{TRUST_HITS} posts told by push, {SILENT} found by polls first" in played.events[1].detail


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("9" * 400, 86_400.0),
        ("Mon, 21 Sep 2026 14:13:50 GMT", 30.0),
        ("Mon, 21 Sep 2026 14:13:50", 30.0),
        ("Mon, 21 Sep 2020 14:13:50 GMT", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str, seconds: float) -> None:
    assert retry_after(header, EPOCH + 0.0) == seconds


async def _serve(
    app: QuartTrio, stop: trio.Event, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    await serve_simulator(app, port=0, stop=stop, task_status=task_status)


CHANNEL = "UC" + "a" * 21 + "Q"


@asynccontextmanager
async def simulated(env: Environment, clock: trio.testing.MockClock) -> AsyncIterator[tuple[Played, str, list[str]]]:
    """The simulator's hub, the daemon's callback and a subscriber between them, over real sockets."""
    clock.autojump_threshold = QUIET_SECONDS
    played, outcomes = Played(env), list[str]()
    channel = Channel(id=CHANNEL, title="Cats")
    world = World(now=EPOCH, channels={CHANNEL: channel}, videos={}).link()
    simulator = create_simulator(world, clock=played.now, faults=Faults(), limits=DEFAULT_LIMITS, key="demo")
    app = QuartTrio("callback", static_folder=None)
    problems.register(app)
    hub.register(
        app,
        hub.HubServices(
            env=env,
            journal=Journal(env, played.events.append),
            covers=lambda _: False,
            now=played.now,
            observe=outcomes.append,
        ),
    )
    ends = trio.Event()
    async with trio.open_nursery() as nursery, httpx2.AsyncClient(trust_env=False, timeout=None) as client:
        url = await nursery.start(partial(_serve, simulator, ends))
        callback = await nursery.start(partial(_serve, app, ends))
        played.settings = msgspec.structs.replace(
            SETTINGS, hub_url=f"{url}/hub/subscribe", callback_url=f"{callback}/websub/", timeout_seconds=600.0
        )
        played.subscriber = Subscriber(
            client,
            played.settings,
            env=env,
            journal=Journal(env, played.events.append),
            now=played.now,
            jitter=random.Random(1),
            stop=played.stop,
            meter=Meter(),
        )
        yield played, url, outcomes
        ends.set()


async def test_against_the_simulated_hub_a_post_arrives_as_a_job(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    async with simulated(env, autojump_clock) as (played, url, outcomes), httpx2.AsyncClient(timeout=None) as client:
        await played.account(CHANNEL)
        async with played.running():
            await trio.sleep(60)
            assert (await played.subscription(CHANNEL)).state is State.ACTIVE
            await client.post(f"{url}/_simulator/events", json={"kind": "post", "account": CHANNEL, "title": "new"})
            await trio.sleep(60)
        assert outcomes == ["verified", "new"]
        ((video_id, _),) = (await played.subscription(CHANNEL)).seen
        job = await env.read(lambda txn: find_job(txn, Platform.YOUTUBE, JobKind.CONTENT, video_id))
        assert job is not None
        assert job.account_key == account_key(Platform.YOUTUBE, CHANNEL)
        assert (await played.store.counts()).hits == 1
        assert played.events == []


async def test_against_the_simulated_hub_a_channel_is_given_up(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    async with simulated(env, autojump_clock) as (played, url, outcomes), httpx2.AsyncClient(timeout=None) as client:
        await played.account(CHANNEL, posted_days_ago=6.98)
        async with played.running():
            await trio.sleep(60)
            assert (await played.subscription(CHANNEL)).mode is Mode.SUBSCRIBE
            await trio.sleep(2 * 3_600)
        assert await played.store.get(CHANNEL) is None
        assert outcomes == ["verified", "verified"]
        books = (await client.get(f"{url}/_simulator/accounting")).json()["hub"]
        assert books["subscriptions"] == 0


async def test_a_channel_that_cannot_be_read_is_passed_over(
    played: Played, autojump_clock: trio.testing.MockClock
) -> None:
    for number in range(PAGE):
        await played.account(f"UC{number:04}")
    last = account_key(Platform.YOUTUBE, f"UC{PAGE - 1:04}")
    await played.env.write(lambda txn: txn.put("accounts", last.encode(), b"\x01\x90"))
    await played.account(f"UC{PAGE:04}")
    played.settings = msgspec.structs.replace(SETTINGS, max_subscriptions=10_000)
    played.subscriber = played.make()
    assert [await played.subscriber.walk_page() for _ in range(2)] == [False, True]
    assert await played.store.get(f"UC{PAGE - 1:04}") is None
    assert (await played.subscription(f"UC{PAGE:04}")).channel_id == f"UC{PAGE:04}"
    assert list(played.env.damaged) == [("accounts", last)]
