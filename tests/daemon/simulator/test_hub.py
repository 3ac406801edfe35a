"""The WebSub hub as the simulator plays it: over real sockets, in virtual time."""

from __future__ import annotations

import hashlib
import hmac
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx2
import msgspec
import pytest
import trio
import trio.testing
from quart import Response, request
from quart_trio import QuartTrio

from actors.platforms.youtube_feed import parse_feed
from daemon.simulator.app import create_simulator, serve_simulator
from daemon.simulator.faults import Faults
from daemon.simulator.generator import generate
from daemon.simulator.hub import HubFailed, channel_of, is_loopback
from daemon.simulator.posting import DAY_SECONDS, Posting
from daemon.simulator.present import PresentWorld
from daemon.simulator.quota import DEFAULT_LIMITS
from daemon.simulator.world import Channel, Video, World
from tests.conftest import QUIET_SECONDS

NOW = 1_790_000_000
CHANNEL = "UC" + "a" * 21 + "Q"
VIDEO = "video00001A"
TOPIC = "https://www.youtube.com/xml/feeds/videos.xml?channel_id="
SECRET = "hush"


class Notified(msgspec.Struct):
    at: float
    body: bytes
    signature: str
    link: str


class Subscriber:
    """A callback on loopback that keeps what it is told."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.url = ""
        self.asked: list[dict[str, str]] = []
        self.told: list[Notified] = []
        self.echo = True
        self.refusals = 0
        """So many notifications are answered 500 first."""

    def app(self) -> QuartTrio:
        app = QuartTrio("subscriber", static_folder=None)
        app.add_url_rule("/callback", "verify", self._verify, methods=["GET"])
        app.add_url_rule("/callback", "notify", self._notify, methods=["POST"])
        return app

    async def _verify(self) -> Response:
        self.asked.append(request.args.to_dict())
        challenge = request.args.get("hub.challenge", "")
        return Response(challenge if self.echo else "something else", content_type="text/plain")

    async def _notify(self) -> Response:
        headers = request.headers
        body = await request.get_data()
        assert isinstance(body, bytes)
        self.told.append(Notified(self._clock(), body, headers.get("X-Hub-Signature", ""), headers.get("Link", "")))
        self.refusals -= 1
        return Response("", 500 if self.refusals >= 0 else 200)

    def titles(self) -> list[str]:
        return [entry.title for one in self.told for entry in parse_feed(one.body).entries]


class Played(msgspec.Struct):
    """A hub, its subscriber, and a client to speak to the hub."""

    url: str
    subscriber: Subscriber
    client: httpx2.AsyncClient

    async def subscribe(self, channel: str = CHANNEL, **form: str) -> httpx2.Response:
        fields = {
            "mode": "subscribe",
            "topic": TOPIC + channel,
            "callback": f"{self.subscriber.url}/callback",
            "secret": SECRET,
        } | form
        given = {f"hub.{name}": value for name, value in fields.items() if value}
        reply = await self.client.post(f"{self.url}/hub/subscribe", data=given)
        await trio.sleep(1)
        return reply

    async def happen(self, **event: Any) -> None:
        reply = await self.client.post(f"{self.url}/_simulator/events", json=event)
        assert reply.status_code == 200, reply.text
        await trio.sleep(1)

    async def post(self, title: str) -> None:
        await self.happen(kind="post", account=CHANNEL, title=title)

    async def books(self) -> dict[str, int]:
        reply = await self.client.get(f"{self.url}/_simulator/accounting")
        counted: dict[str, int] = reply.json()["hub"]
        return counted


def made_world() -> World:
    video = Video(id=VIDEO, channel_id=CHANNEL, title="old", published_at=NOW - 1_000, views=5)
    return World(now=NOW, channels={CHANNEL: Channel(id=CHANNEL, title="Cats")}, videos={VIDEO: video}).link()


@asynccontextmanager
async def playing(
    clock: trio.testing.MockClock, world: World | None = None, posting: Posting | None = None, **faults: Any
) -> AsyncIterator[Played]:
    """The world's clock runs with trio's virtual one."""
    clock.autojump_threshold = QUIET_SECONDS
    world = world or made_world()
    begun = trio.current_time()

    def now() -> float:
        return world.now + trio.current_time() - begun

    app = create_simulator(
        world, clock=now, faults=msgspec.convert(faults, Faults), limits=DEFAULT_LIMITS, key="demo", posting=posting
    )
    subscriber, stop = Subscriber(now), trio.Event()
    async with trio.open_nursery() as nursery, httpx2.AsyncClient(trust_env=False, timeout=None) as client:
        url = await nursery.start(partial(_serve, app, stop))
        subscriber.url = await nursery.start(partial(_serve, subscriber.app(), stop))
        yield Played(url, subscriber, client)
        stop.set()


async def _serve(
    app: QuartTrio, stop: trio.Event, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    await serve_simulator(app, port=0, stop=stop, task_status=task_status)


def signed(one: Notified, secret: str = SECRET) -> bool:
    return one.signature == "sha1=" + hmac.new(secret.encode(), one.body, hashlib.sha1).hexdigest()


async def test_a_subscription_is_verified_at_its_callback_and_then_told_of_posts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with playing(autojump_clock) as hub:
        assert (await hub.subscribe()).status_code == 202
        asked = hub.subscriber.asked[0]
        assert (asked["hub.mode"], asked["hub.topic"], asked["hub.lease_seconds"]) == (
            "subscribe",
            TOPIC + CHANNEL,
            "432000",
        )
        await hub.post("new")
        (told,) = hub.subscriber.told
        (entry,) = parse_feed(told.body).entries
        assert (entry.title, entry.channel_id, entry.views) == ("new", CHANNEL, None)
        assert entry.updated_at == entry.published_at
        assert signed(told)
        assert 'rel="hub"' in told.link
        assert f'<{TOPIC}{CHANNEL}>; rel="self"' in told.link


async def test_who_does_not_echo_the_challenge_is_told_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with playing(autojump_clock) as hub:
        hub.subscriber.echo = False
        assert (await hub.subscribe()).status_code == 202
        await hub.post("new")
        assert hub.subscriber.told == []
        assert (await hub.books())["refused"] == 1


@pytest.mark.parametrize(("asked", "granted"), [("60", 60), ("", 864_000), ("10000000", 864_000)])
async def test_a_lease_is_what_was_asked_up_to_ten_days(
    autojump_clock: trio.testing.MockClock, asked: str, granted: int
) -> None:
    async with playing(autojump_clock, hub_lease_seconds=10_000_000) as hub:
        await hub.subscribe(lease_seconds=asked)
        assert hub.subscriber.asked[0]["hub.lease_seconds"] == str(granted)


async def test_a_lease_ends_silently(autojump_clock: trio.testing.MockClock) -> None:
    async with playing(autojump_clock) as hub:
        await hub.subscribe(lease_seconds="60")
        await trio.sleep(50)
        await hub.post("in time")
        await trio.sleep(10)
        await hub.post("too late")
        assert hub.subscriber.titles() == ["in time"]
        assert len(hub.subscriber.asked) == 1


async def test_a_shorter_lease_may_be_granted_and_renewed_in_place(autojump_clock: trio.testing.MockClock) -> None:
    async with playing(autojump_clock, hub_lease_seconds=100) as hub:
        await hub.subscribe(lease_seconds="864000")
        assert hub.subscriber.asked[0]["hub.lease_seconds"] == "100"
        await trio.sleep(80)
        await hub.subscribe(secret="other")
        await trio.sleep(80)
        await hub.post("still there")
        (told,) = hub.subscriber.told
        assert signed(told, "other")


async def test_an_unsubscribed_callback_is_told_nothing_more(autojump_clock: trio.testing.MockClock) -> None:
    async with playing(autojump_clock) as hub:
        await hub.subscribe()
        await hub.subscribe(mode="unsubscribe")
        assert hub.subscriber.asked[1]["hub.mode"] == "unsubscribe"
        await hub.post("new")
        assert hub.subscriber.told == []


async def test_a_synchronous_request_is_answered_after_the_verification(autojump_clock: trio.testing.MockClock) -> None:
    async with playing(autojump_clock) as hub:
        assert (await hub.subscribe(verify="sync")).status_code == 204
        hub.subscriber.echo = False
        assert (await hub.subscribe(verify="sync")).status_code == 409


async def test_a_subscription_may_be_denied(autojump_clock: trio.testing.MockClock) -> None:
    async with playing(autojump_clock, hub_denied_share=1.0) as hub:
        assert (await hub.subscribe()).status_code == 202
        assert hub.subscriber.asked == [
            {"hub.mode": "denied", "hub.topic": TOPIC + CHANNEL, "hub.reason": "not allowed"}
        ]


async def test_an_overloaded_hub_says_when_to_come_back(autojump_clock: trio.testing.MockClock) -> None:
    async with playing(autojump_clock, unavailable_share=1.0, only=["hub"]) as hub:
        reply = await hub.subscribe()
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "120")
        assert hub.subscriber.asked == []


@pytest.mark.parametrize(
    "form",
    [
        {"mode": "publish"},
        {"topic": "https://example.org/feed"},
        {"callback": "http://example.org/callback"},
        {"callback": ""},
        {"secret": "s" * 200},
        {"lease_seconds": "long"},
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(
    autojump_clock: trio.testing.MockClock, form: dict[str, str]
) -> None:
    async with playing(autojump_clock) as hub:
        topic = form.pop("topic", None)
        reply = await hub.subscribe(**form, **({"topic": topic} if topic else {}))
        assert reply.status_code == 400
        assert hub.subscriber.asked == []


async def test_edits_come_with_a_later_update_and_deletions_as_tombstones(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with playing(autojump_clock) as hub:
        await hub.subscribe()
        await hub.happen(kind="edit_video", video=VIDEO, title="better")
        await hub.happen(kind="delete_video", video=VIDEO, private=True)
        edit, deletion = (parse_feed(one.body) for one in hub.subscriber.told)
        (entry,) = edit.entries
        assert (entry.title, entry.video_id) == ("better", VIDEO)
        assert (entry.updated_at or 0) - entry.published_at >= 1_000
        assert deletion.entries == ()
        assert deletion.deleted == ((VIDEO, CHANNEL),)


async def test_a_failed_delivery_is_tried_again_until_it_is_taken(autojump_clock: trio.testing.MockClock) -> None:
    async with playing(autojump_clock) as hub:
        await hub.subscribe()
        hub.subscriber.refusals = 2
        await hub.post("new")
        await trio.sleep(4_000)
        assert hub.subscriber.titles() == ["new"] * 3
        waits = [round(later.at - one.at) for one, later in itertools.pairwise(hub.subscriber.told)]
        assert waits == [30, 300]
        assert (await hub.books())["delivered"] == 1


async def test_a_notification_that_nobody_takes_is_lost_in_the_end(autojump_clock: trio.testing.MockClock) -> None:
    async with playing(autojump_clock) as hub:
        await hub.subscribe()
        hub.subscriber.refusals = 100
        await hub.post("new")
        await trio.sleep(DAY_SECONDS)
        assert len(hub.subscriber.told) == 4
        assert "delivered" not in await hub.books()


async def test_duplicates_come_twice(autojump_clock: trio.testing.MockClock) -> None:
    async with playing(autojump_clock, hub_duplicate_share=1.0) as hub:
        await hub.subscribe()
        await hub.post("new")
        assert hub.subscriber.titles() == ["new", "new"]


async def test_late_notifications_are_overtaken(autojump_clock: trio.testing.MockClock) -> None:
    async with playing(autojump_clock, hub_late_share=0.5, hub_late_seconds=1_000.0) as hub:
        await hub.subscribe()
        posted = [f"post {number}" for number in range(12)]
        for title in posted:
            await hub.post(title)
        await trio.sleep(2_000)
        assert sorted(hub.subscriber.titles()) == sorted(posted)
        assert hub.subscriber.titles() != posted


async def test_signatures_are_wrong_or_missing_by_switch(autojump_clock: trio.testing.MockClock) -> None:
    async with playing(autojump_clock, hub_wrong_signature_share=1.0) as hub:
        await hub.subscribe()
        await hub.post("forged")
        (told,) = hub.subscriber.told
        assert told.signature.startswith("sha1=")
        assert not signed(told)
    async with playing(autojump_clock, hub_unsigned_share=1.0) as hub:
        await hub.subscribe()
        await hub.post("bare")
        assert hub.subscriber.told[0].signature == ""


async def test_without_a_secret_nothing_is_signed(autojump_clock: trio.testing.MockClock) -> None:
    async with playing(autojump_clock) as hub:
        await hub.subscribe(secret="")
        await hub.post("new")
        assert hub.subscriber.told[0].signature == ""


async def test_a_dead_hub_accepts_and_delivers_nothing_until_it_is_revived(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with playing(autojump_clock) as hub:
        await hub.happen(kind="kill_hub")
        assert (await hub.subscribe()).status_code == 202
        assert len(hub.subscriber.asked) == 1
        await hub.post("unheard")
        assert hub.subscriber.told == []
        assert (await hub.books())["swallowed"] == 1
        await hub.happen(kind="revive_hub")
        await hub.post("heard")
        assert hub.subscriber.titles() == ["heard"]


async def test_scheduled_posts_of_a_living_world_are_told_when_they_come_out_each_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world, posting = generate(30, 4), Posting(4)
    ahead = PresentWorld(world, lambda: float(world.now), posting=posting)
    end = world.now + 3 * DAY_SECONDS
    expected = {one: ahead.videos_between(one, world.now + 60, end) for one in world.channels}
    channel = max(expected, key=lambda one: len(expected[one]))
    assert len(expected[channel]) >= 3
    async with playing(autojump_clock, world, posting, hub_delay_seconds=20.0) as hub:
        await hub.subscribe(channel)
        await trio.sleep(3 * DAY_SECONDS + 60)
        told = [(entry.video_id, round(one.at - entry.published_at)) for one in hub.subscriber.told for entry in parse_feed(one.body).entries]  # fmt: skip
    assert told == [(video.id, 20) for video in expected[channel]]


async def test_who_lets_a_lease_lapse_and_subscribes_again_is_told_once(autojump_clock: trio.testing.MockClock) -> None:
    async with playing(autojump_clock) as hub:
        for _ in range(3):
            await hub.subscribe(lease_seconds="100")
            await hub.happen(kind="post", account=CHANNEL, title="soon", at=NOW + 900.0)
            await hub.subscribe(mode="unsubscribe")
        await hub.subscribe()
        await trio.sleep(1_000)
        told = [entry.video_id for one in hub.subscriber.told for entry in parse_feed(one.body).entries]
        assert len(told) == len(set(told)) == 3
        assert (await hub.books())["subscriptions"] == 1


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("http://127.0.0.1:80/x", True),
        ("http://127.9.9.9/x", True),
        ("https://[::1]:7/x", True),
        ("http://localhost/x", True),
        ("http://localhost.example.org/x", False),
        ("http://10.0.0.1/x", False),
        ("http://127.0.0.1@example.org/x", False),
        ("nonsense", False),
    ],
)
def test_only_this_machine_is_called(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


def test_both_forms_of_a_topic_name_the_channel() -> None:
    assert (
        channel_of(TOPIC + CHANNEL)
        == channel_of(f"https://www.youtube.com/feeds/videos.xml?channel_id={CHANNEL}")
        == CHANNEL
    )
    with pytest.raises(HubFailed):
        channel_of("https://www.youtube.com/feeds/videos.xml?user=cats")
