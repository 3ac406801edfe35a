from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest
import trio
from quart_trio import QuartTrio

from actors.platforms.youtube_feed import parse_feed
from daemon.simulator.feeds import notification, tombstone
from daemon.simulator.world import Channel, Video
from daemon.web import guard, hub, problems
from daemon.web.hub import MAX_PUSH_BYTES, QUIET_SECONDS, Callback, HubServices, is_signed
from proto.errors import Malformed, NotFound
from proto.ids import AccountKey, Platform, account_key
from proto.records import AccountStatus, ContentItem, CreatorAccount, Event, Job, JobKind, Priority
from stores.catalog import put_account
from stores.content import put_items
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.schedule import find_job, settle_job
from stores.subscriptions import (
    AGAIN_SECONDS,
    TOPICS,
    PushCounts,
    State,
    Subscription,
    Subscriptions,
    begin_request,
    forget_subscription,
    get_subscription,
    tallies,
    unwant,
    verify,
    want,
)
from tests.daemon.web.conftest import Connect

NOW = 1_790_000_000
CHANNEL = "UC" + "a" * 22
KEY = account_key(Platform.YOUTUBE, CHANNEL)
CATS = Channel(id=CHANNEL, title="Cats")
TOKEN, SECRET = "t" * 43, "s" * 43
PATH = f"/websub/{TOKEN}"
LEASE = 432_000
CHALLENGE = "a challenge <b>&amp;</b>"


class Listening:
    """A callback over a real store, with a clock that is set by hand."""

    def __init__(self, env: Environment) -> None:
        self.env, self.at = env, float(NOW)
        self.suppressed: set[AccountKey] = set()
        self.outcomes: list[str] = []
        self.events: list[Event] = []
        self.services = HubServices(
            env=env,
            journal=Journal(env, self.events.append),
            covers=lambda key: key in self.suppressed,
            now=lambda: self.at,
            observe=self.outcomes.append,
        )
        self.store = Subscriptions(env)

    def app(self) -> QuartTrio:
        app = QuartTrio("hub", static_folder=None)
        guard.register(app, lambda: ["push.example.org"], any_host=False)
        problems.register(app)
        hub.register(app, self.services)
        return app

    async def subscription(self) -> Subscription:
        found = await self.store.get(CHANNEL)
        assert found is not None
        return found

    async def push(self, body: bytes) -> list[str]:
        """What became of it."""
        self.outcomes.clear()
        await Callback(self.services).receive(TOKEN, signature(body), body)
        return self.outcomes

    async def job(self, kind: JobKind, video_id: str) -> Job | None:
        return await self.env.read(lambda txn: find_job(txn, Platform.YOUTUBE, kind, video_id))

    async def stored(self, video_id: str, *, published_at: int = NOW - 900, fetched_at: int = NOW - 600) -> None:
        """The video's details are read."""
        item = ContentItem(
            content_id=video_id, account_key=KEY, published_at=published_at, fetched_at=fetched_at, detailed=True
        )
        await self.env.write(lambda txn: put_items(txn, KEY, [item]))


def video(video_id: str = "v1", published_at: int = NOW - 30, channel: str = CHANNEL) -> Video:
    return Video(id=video_id, channel_id=channel, title="<new> & old", published_at=published_at, views=5)


def posted(video_id: str = "v1", published_at: int = NOW - 30) -> bytes:
    return notification(CATS, video(video_id, published_at), published_at)


def signature(body: bytes, secret: str = SECRET, algorithm: str = "sha1") -> str:
    return f"{algorithm}={hmac.new(secret.encode(), body, getattr(hashlib, algorithm)).hexdigest()}"


def fill(txn: Txn) -> None:
    """A channel whose subscription was granted some time ago."""
    put_account(txn, CreatorAccount(platform=Platform.YOUTUBE, platform_user_id=CHANNEL, fetched_at=NOW - 9_000))
    ask(txn, NOW - 7_200)
    assert verify(txn, TOKEN, CHANNEL, "subscribe", LEASE, NOW - 7_200)


def ask(txn: Txn, at: int) -> None:
    want(txn, CHANNEL, at, token=TOKEN, secret=SECRET)
    found = get_subscription(txn, CHANNEL)
    assert found is not None
    begin_request(txn, found, at, at + 600)


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    env = Environment(tmp_path / "data", map_size_bytes=1 << 28)
    env.write_now(fill)
    yield Listening(env)
    env.close()


@pytest.fixture
async def client(listening: Listening, connect: Connect) -> AsyncIterator[httpx2.AsyncClient]:
    yield await connect(listening.app())


def asking(mode: str = "subscribe", topic: str = TOPICS[0] + CHANNEL, **more: str) -> dict[str, str]:
    given = {"mode": mode, "topic": topic, "challenge": CHALLENGE, "lease_seconds": str(LEASE)} | more
    return {f"hub.{name}": value for name, value in given.items() if value}


async def test_without_room_the_hub_is_told_to_come_again(listening: Listening, client: httpx2.AsyncClient) -> None:
    listening.env.waits_for_room = True
    listening.env.hold("the disk is full")
    body = posted()
    with trio.fail_after(5):
        assert (await client.post(PATH, content=body, headers={"X-Hub-Signature": signature(body)})).status_code == 503
        assert (await client.get(PATH, params=asking())).status_code == 503
    listening.env.release()
    assert (await client.post(PATH, content=body, headers={"X-Hub-Signature": signature(body)})).status_code == 204
    assert await listening.job(JobKind.CONTENT, "v1") is not None


@pytest.mark.parametrize("form", TOPICS)
async def test_a_pending_request_is_confirmed_by_its_challenge_in_either_form_of_the_topic(
    listening: Listening, client: httpx2.AsyncClient, form: str
) -> None:
    await listening.env.write(lambda txn: ask(txn, NOW))
    reply = await client.get(PATH, params=asking(topic=form + CHANNEL))
    assert (reply.status_code, reply.content) == (200, CHALLENGE.encode())
    assert reply.headers["content-type"].startswith("text/plain")
    assert reply.headers["x-content-type-options"] == "nosniff"
    found = await listening.subscription()
    assert (found.state, found.lease_ends_at) == (State.ACTIVE, NOW + LEASE)
    assert listening.outcomes == ["verified"]


@pytest.mark.parametrize(
    "params",
    [
        asking("unsubscribe"),
        asking("publish"),
        asking(topic=TOPICS[0] + "UCb"),
        asking(topic=f"https://example.org/xml/feeds/videos.xml?channel_id={CHANNEL}"),
        asking(topic=""),
        asking(challenge=""),
        asking(challenge="x" * 2_000),
        {},
    ],
)
async def test_what_does_not_fit_the_pending_request_is_not_found(
    listening: Listening, client: httpx2.AsyncClient, params: dict[str, str]
) -> None:
    await listening.env.write(lambda txn: ask(txn, NOW))
    reply = await client.get(PATH, params=params)
    assert reply.status_code == 404
    assert (await listening.subscription()).state is State.PENDING


async def test_nothing_is_confirmed_that_was_not_asked_for(listening: Listening, client: httpx2.AsyncClient) -> None:
    before = await listening.subscription()
    assert (await client.get(PATH, params=asking())).status_code == 404
    assert (await client.get("/websub/" + "x" * 43, params=asking())).status_code == 404
    assert await listening.subscription() == before
    assert listening.outcomes == ["unasked", "unasked"]


async def test_a_farewell_is_confirmed_and_leaves_nothing(listening: Listening, client: httpx2.AsyncClient) -> None:
    def leave(txn: Txn) -> None:
        unwant(txn, CHANNEL, NOW)
        found = get_subscription(txn, CHANNEL)
        assert found is not None
        begin_request(txn, found, NOW, NOW + 600)

    await listening.env.write(leave)
    reply = await client.get(PATH, params=asking("unsubscribe", lease_seconds=""))
    assert (reply.status_code, reply.content) == (200, CHALLENGE.encode())
    assert await listening.store.get(CHANNEL) is None
    assert (await client.post(PATH, content=posted())).status_code == 404


@pytest.mark.parametrize(("stated", "believed"), [("", 86_400), ("long", 86_400), ("99999999", 864_000), ("0", 1)])
async def test_a_lease_that_is_not_stated_well_is_believed_little(
    listening: Listening, client: httpx2.AsyncClient, stated: str, believed: int
) -> None:
    await listening.env.write(lambda txn: ask(txn, NOW))
    assert (await client.get(PATH, params=asking(lease_seconds=stated))).status_code == 200
    assert (await listening.subscription()).lease_ends_at == NOW + believed


async def test_a_denial_is_taken_at_any_time_and_told(listening: Listening, client: httpx2.AsyncClient) -> None:
    assert (await client.get(PATH, params=asking("denied", topic=TOPICS[0] + "UCb"))).status_code == 404
    reply = await client.get(PATH, params=asking("denied", challenge="", reason="no <such> thing"))
    assert (reply.status_code, reply.content) == (200, b"")
    found = await listening.subscription()
    assert (found.state, found.next_action_at) == (State.REFUSED, NOW + AGAIN_SECONDS)
    (event,) = listening.events
    assert (event.kind, event.subject) == ("push_denied", CHANNEL)
    assert "no <such> thing" in event.detail


async def test_a_new_video_becomes_a_job_for_its_details_and_is_seen_by_push(
    listening: Listening, client: httpx2.AsyncClient
) -> None:
    body = posted()
    reply = await client.post(PATH, content=body, headers={"X-Hub-Signature": signature(body)})
    assert (reply.status_code, reply.content) == (204, b"")
    job = await listening.job(JobKind.CONTENT, "v1")
    assert job is not None
    assert (job.account_key, job.priority, job.due_at, job.first) == (KEY, Priority.ACTIVE, NOW, True)
    assert (await listening.subscription()).pushed_at("v1") == NOW - 30
    assert await listening.store.counts() == PushCounts(subscribed=1, hits=1, misses=0, trusted=False)
    assert listening.outcomes == ["new"]


@pytest.mark.parametrize("algorithm", hub.ALGORITHMS)
def test_the_header_names_the_algorithm_of_the_signature(algorithm: str) -> None:
    assert is_signed(b"body", signature(b"body", algorithm=algorithm), SECRET)
    assert is_signed(
        b"body", signature(b"body", algorithm=algorithm).upper().replace(algorithm.upper(), algorithm), SECRET
    )
    assert not is_signed(b"body!", signature(b"body", algorithm=algorithm), SECRET)


@pytest.mark.parametrize(
    "claimed",
    [
        "",
        "sha1=",
        "sha1",
        "md5=" + hmac.new(SECRET.encode(), b"body", hashlib.md5).hexdigest(),
        "new=" + "0" * 40,
        "sha256=" + signature(b"body").partition("=")[2],
        signature(b"body", "other"),
        signature(b"body") + "0",
        "sha1=\u00e9",
    ],
)
def test_what_is_no_signature_of_the_body_is_refused(claimed: str) -> None:
    assert not is_signed(b"body", claimed, SECRET)


@pytest.mark.parametrize("headers", [{}, {"X-Hub-Signature": signature(posted(), "guessed")}])
async def test_a_forged_push_is_answered_like_any_other_and_dropped(
    listening: Listening, client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    reply = await client.post(PATH, content=posted(), headers=headers)
    assert (reply.status_code, reply.content) == (204, b"")
    assert await listening.job(JobKind.CONTENT, "v1") is None
    assert (await listening.subscription()).seen == []
    assert listening.outcomes == ["forged"]
    assert [event.kind for event in listening.events] == ["push_forged"]


async def test_a_flood_of_forgeries_is_counted_and_told_once_an_hour(listening: Listening) -> None:
    callback = Callback(listening.services)
    for _ in range(50):
        await callback.receive(TOKEN, "", b"")
    listening.at += QUIET_SECONDS
    await callback.receive(TOKEN, "", b"")
    assert len(listening.outcomes) == 51
    assert [event.detail.split(";")[0] for event in listening.events] == ["1 since last told", "50 since last told"]


@pytest.mark.parametrize("body", [b"", b"<html/>", b"<feed", b"\xff\xfe", b'<!DOCTYPE x [<!ENTITY a "b">]><feed/>'])
async def test_a_signed_body_that_is_no_feed_is_dropped_and_told(
    listening: Listening, client: httpx2.AsyncClient, body: bytes
) -> None:
    with pytest.raises(Malformed):
        parse_feed(body)
    reply = await client.post(PATH, content=body, headers={"X-Hub-Signature": signature(body)})
    assert reply.status_code == 204
    assert [event.kind for event in listening.events] == ["push_malformed"]


async def test_a_body_beyond_the_limit_is_refused_stated_or_not(
    listening: Listening, client: httpx2.AsyncClient
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(MAX_PUSH_BYTES // 1_000 + 1):
            yield b"x" * 1_000

    assert (await client.post(PATH, content=b"x" * (MAX_PUSH_BYTES + 1))).status_code == 413
    assert (await client.post(PATH, content=pieces())).status_code == 413
    assert listening.outcomes == []
    assert (await client.post(PATH, content=b"x" * MAX_PUSH_BYTES)).status_code == 204
    assert listening.outcomes == ["forged"]


async def test_a_token_of_nobody_is_not_found(client: httpx2.AsyncClient) -> None:
    for token in ("x" * 43, TOKEN[:-1], "%00", "%C3%A9", "x" * 2_000):
        assert (await client.post(f"/websub/{token}", content=posted())).status_code == 404


async def test_the_callbacks_host_must_be_allowed(client: httpx2.AsyncClient) -> None:
    for host, status in (("push.example.org", 204), ("push.example.org:443", 204), ("evil.example.org", 421)):
        assert (await client.post(PATH, content=b"", headers={"Host": host})).status_code == status


async def test_duplicates_are_dropped(listening: Listening) -> None:
    assert await listening.push(posted()) == ["new"]
    assert await listening.push(posted()) == ["duplicate"]
    await listening.stored("v1", published_at=NOW - 30, fetched_at=NOW + 5)
    assert await listening.push(posted()) == ["duplicate"]
    assert (await listening.store.counts()).hits == 1


async def test_an_edit_has_the_details_read_again_once(listening: Listening) -> None:
    await listening.stored("v1")
    edit = notification(CATS, video(published_at=NOW - 900), NOW - 5)
    assert await listening.push(edit) == ["edited"]
    job = await listening.job(JobKind.CONTENT, "v1")
    assert job is not None
    assert not job.first
    assert await listening.push(edit) == ["duplicate"]
    assert (await listening.store.counts()).hits == 0


async def test_an_edit_that_was_read_already_costs_nothing(listening: Listening) -> None:
    await listening.stored("v1", fetched_at=NOW)
    assert await listening.push(notification(CATS, video(published_at=NOW - 900), NOW - 5)) == ["duplicate"]
    assert await listening.job(JobKind.CONTENT, "v1") is None


async def test_an_edit_that_overtakes_its_post_stands(listening: Listening) -> None:
    edit = notification(CATS, video(published_at=NOW - 900), NOW - 5)
    assert await listening.push(edit) == ["new"]
    assert await listening.push(posted(published_at=NOW - 900)) == ["duplicate"]
    assert (await listening.subscription()).seen == [("v1", NOW - 5)]


async def test_a_post_that_a_poll_found_first_is_no_hit(listening: Listening) -> None:
    await listening.stored("v1")
    assert await listening.push(posted(published_at=NOW - 900)) == ["late"]
    assert await listening.job(JobKind.CONTENT, "v1") is None
    assert (await listening.store.counts()).hits == 0


async def test_a_video_from_before_the_subscription_is_read_but_is_no_hit(listening: Listening) -> None:
    assert await listening.push(notification(CATS, video(published_at=NOW - 900_000), NOW - 5)) == ["new"]
    assert await listening.job(JobKind.CONTENT, "v1") is not None
    assert await listening.env.read(tallies) == []


async def test_a_tombstone_of_a_known_video_has_the_platform_asked(listening: Listening) -> None:
    await listening.stored("v1")
    assert await listening.push(tombstone(CATS, "v1", NOW)) == ["deleted"]
    job = await listening.job(JobKind.REVISIT, "v1")
    assert job is not None
    assert (job.due_at, job.account_key, job.first) == (NOW, KEY, False)


async def test_a_tombstone_brings_a_later_revisit_forward(listening: Listening) -> None:
    await listening.stored("v1")
    await listening.push(tombstone(CATS, "v1", NOW))
    first = await listening.job(JobKind.REVISIT, "v1")
    assert first is not None
    later = msgspec.structs.replace(first, due_at=NOW + 900_000, priority=Priority.LONG_TAIL)
    await listening.env.write(lambda txn: settle_job(txn, first, later))
    await listening.push(tombstone(CATS, "v1", NOW))
    assert await listening.job(JobKind.REVISIT, "v1") == first


async def test_tombstones_of_others_and_of_unknown_videos_are_dropped(listening: Listening) -> None:
    await listening.stored("v1")
    assert await listening.push(tombstone(Channel(id="UCother", title="x"), "v1", NOW)) == ["foreign"]
    assert await listening.push(tombstone(CATS, "v2", NOW)) == ["unknown"]
    assert await listening.job(JobKind.REVISIT, "v1") is None


async def test_an_entry_of_another_channel_is_dropped(listening: Listening) -> None:
    other = Channel(id="UC" + "b" * 22, title="Dogs")
    body = notification(other, video(channel=other.id), NOW)
    assert await listening.push(body) == ["foreign"]
    assert await listening.job(JobKind.CONTENT, "v1") is None


async def test_nothing_is_taken_in_of_somebody_forgotten(listening: Listening) -> None:
    listening.suppressed.add(KEY)
    assert await listening.push(posted()) == ["unknown"]
    assert await listening.job(JobKind.CONTENT, "v1") is None
    await listening.env.write(lambda txn: forget_subscription(txn, CHANNEL))
    with pytest.raises(NotFound):
        await listening.push(posted())


@pytest.mark.parametrize(
    "change",
    [
        lambda txn: put_account(
            txn,
            CreatorAccount(
                platform=Platform.YOUTUBE, platform_user_id=CHANNEL, fetched_at=NOW, status=AccountStatus.SUPPRESSED
            ),
        ),
        lambda txn: txn.delete("accounts", KEY.encode()),
    ],
)
async def test_a_channel_that_is_not_read_is_not_pushed_either(
    listening: Listening, change: Callable[[Txn], object]
) -> None:
    await listening.env.write(change)
    assert await listening.push(posted()) == ["unknown"]
    assert await listening.job(JobKind.CONTENT, "v1") is None


async def test_job_and_sight_are_one_transaction(listening: Listening) -> None:
    commits = listening.env.commits
    await listening.push(posted())
    assert listening.env.commits == commits + 1


async def test_a_push_is_taken_in_within_milliseconds(listening: Listening) -> None:
    """Measured at 2.3 ms with 500 items stored; the bound leaves room for a busy machine."""
    items = [
        ContentItem(
            content_id=f"old{number}", account_key=KEY, published_at=NOW - number * 3_600, description="x" * 900
        )
        for number in range(500)
    ]
    await listening.env.write(lambda txn: put_items(txn, KEY, items))
    took = []
    for number in range(20):
        started = time.perf_counter()
        await listening.push(posted(f"v{number}"))
        took.append(time.perf_counter() - started)
    assert sorted(took)[10] < 0.2
