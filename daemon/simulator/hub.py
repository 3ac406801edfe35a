"""The WebSub hub: verified leases, signed notifications, and all that goes wrong with them (platform-apis 2.2, 2.3)."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import random
from collections import Counter
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import httpx2
import msgspec
import trio

from daemon.simulator.events import DeleteVideo, VideoEvent
from daemon.simulator.faults import FaultDraw
from daemon.simulator.feeds import HUB, TOPIC, notification, tombstone
from daemon.simulator.present import PresentWorld
from daemon.simulator.world import Video

LONGEST_LEASE_SECONDS = 864_000
MAX_SECRET_BYTES = 200
PLAN_SECONDS = 3_600
"""The schedule of every subscribed channel is laid out this far ahead."""
RETRY_SECONDS = (30.0, 300.0, 1_800.0)
"""Waits before a delivery that was not answered by 2xx is tried again."""
TIMEOUT_SECONDS = 20.0


class HubFailed(Exception):
    """Answered by this status and a plain text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Subscription(msgspec.Struct, kw_only=True):
    channel_id: str
    topic: str
    callback: str
    secret: str
    lease_seconds: int
    expires_at: float = 0.0
    """Epoch seconds; set when the callback has confirmed."""


class Hub:
    """Subscriptions by (topic, callback). ``run`` must be going for anything to be verified or delivered."""

    def __init__(self, present: PresentWorld, draw: FaultDraw, client: httpx2.AsyncClient) -> None:
        self._present, self._draw, self._client = present, draw, client
        self._random = random.Random(f"{draw.faults.seed}/hub")
        self._planned_until = 0.0
        self._awaited: set[tuple[str, str, str]] = set()
        """(topic, callback, video) that a task waits for, so that who subscribes again is not told twice."""
        self._tasks: trio.Nursery | None = None
        self.subscriptions: dict[tuple[str, str], Subscription] = {}
        self.counts: Counter[str] = Counter()
        """verified, refused, denied, delivered, failed, swallowed, duplicated, late, missigned, unsigned."""
        self.dead = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            self._tasks = nursery
            task_status.started()
            while True:
                begin = self._planned_until or self._present.clock()
                self._planned_until = begin + PLAN_SECONDS
                self._forget_expired()
                for subscription in self.subscriptions.values():
                    self._plan(subscription, begin)
                await trio.sleep(max(self._planned_until - self._present.clock(), 1.0))

    def _forget_expired(self) -> None:
        now = self._present.clock()
        self.subscriptions = {key: one for key, one in self.subscriptions.items() if one.expires_at > now}

    def stop(self) -> None:
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    async def request(self, form: Mapping[str, str]) -> int:
        """The status of the answer to a subscribe or unsubscribe request. Raises HubFailed."""
        mode, topic, callback = (form.get(f"hub.{name}", "") for name in ("mode", "topic", "callback"))
        if mode not in ("subscribe", "unsubscribe"):
            raise HubFailed(400, f"Invalid value for hub.mode: {mode}")
        if not is_loopback(callback):
            raise HubFailed(400, "Invalid parameter: hub.callback; this hub only calls loopback addresses")
        if len(form.get("hub.secret", "").encode()) >= MAX_SECRET_BYTES:
            raise HubFailed(400, "Invalid parameter: hub.secret must be less than 200 bytes")
        lease = form.get("hub.lease_seconds") or str(LONGEST_LEASE_SECONDS)
        if not lease.isdecimal():
            raise HubFailed(400, f"Invalid value for hub.lease_seconds: {lease}")
        subscription = Subscription(
            channel_id=channel_of(topic),
            topic=topic,
            callback=callback,
            secret=form.get("hub.secret", ""),
            lease_seconds=min(int(lease), LONGEST_LEASE_SECONDS, self._draw.faults.hub_lease_seconds),
        )
        if form.get("hub.verify") == "sync":
            if not await self._verify(mode, subscription):
                raise HubFailed(409, "Verification failed")
            return 204
        if self._tasks is None:
            raise HubFailed(503, "the hub does not run")
        self._tasks.start_soon(self._verify, mode, subscription)
        return 202

    def posted(self, video: Video) -> None:
        """A post beside the schedule; one that lies beyond the plan will be in the next."""
        for subscription in self._of_channel(video.channel_id):
            if video.published_at < self._planned_until:
                self._await(subscription, video)

    def changed(self, video: Video, event: VideoEvent) -> None:
        """A title edited, a video deleted or made private."""
        for subscription in self._of_channel(video.channel_id):
            if self._tasks is not None:
                self._tasks.start_soon(self._deliver, subscription, video, event)

    def _of_channel(self, channel_id: str) -> list[Subscription]:
        return [one for one in self.subscriptions.values() if one.channel_id == channel_id]

    async def deny(self, subscription: Subscription, reason: str) -> None:
        """May come at any time; the subscription ends."""
        self.subscriptions.pop((subscription.topic, subscription.callback), None)
        self.counts["denied"] += 1
        params = {"hub.mode": "denied", "hub.topic": subscription.topic, "hub.reason": reason}
        await self._get(subscription.callback, params)

    async def _verify(self, mode: str, subscription: Subscription) -> bool:
        """Whether the callback echoed the challenge; only then the subscription counts. Its lease begins here."""
        denied_share = self._draw.faults.hub_denied_share
        if mode == "subscribe" and self._draw.chosen(denied_share, "denied", subscription.topic):
            await self.deny(subscription, "not allowed")
            return False
        challenge = f"{self._random.getrandbits(96):024x}"
        params = {"hub.mode": mode, "hub.topic": subscription.topic, "hub.challenge": challenge}
        if mode == "subscribe":
            params["hub.lease_seconds"] = str(subscription.lease_seconds)
        reply = await self._get(subscription.callback, params)
        if reply is None or not reply.is_success or reply.content != challenge.encode():
            self.counts["refused"] += 1
            return False
        self.counts["verified"] += 1
        key = (subscription.topic, subscription.callback)
        if mode == "unsubscribe":
            self.subscriptions.pop(key, None)
            return True
        known = key in self.subscriptions
        subscription.expires_at = self._present.clock() + subscription.lease_seconds
        self.subscriptions[key] = subscription
        if not known:
            self._plan(subscription, self._present.clock() + 1)
        return True

    async def _get(self, callback: str, params: dict[str, str]) -> httpx2.Response | None:
        try:
            with trio.fail_after(TIMEOUT_SECONDS):
                return await self._client.get(httpx2.URL(callback).copy_merge_params(params))
        except (httpx2.HTTPError, trio.TooSlowError):
            return None

    def _plan(self, subscription: Subscription, begin: float) -> None:
        """Awaits each scheduled post of the channel from ``begin`` until the plan ends."""
        for video in self._present.videos_between(subscription.channel_id, begin, self._planned_until):
            self._await(subscription, video)

    def _await(self, subscription: Subscription, video: Video) -> None:
        awaited = (subscription.topic, subscription.callback, video.id)
        if self._tasks is not None and awaited not in self._awaited:
            self._awaited.add(awaited)
            self._tasks.start_soon(self._deliver_when_out, subscription, video)

    async def _deliver_when_out(self, subscription: Subscription, video: Video) -> None:
        """In a frozen world that time never comes."""
        await trio.sleep(max(video.published_at - self._present.clock(), 0.0))
        self._awaited.discard((subscription.topic, subscription.callback, video.id))
        if self._present.clock() >= video.published_at - 1:
            await self._deliver(subscription, video, None)

    async def _deliver(self, subscription: Subscription, video: Video, event: VideoEvent | None) -> None:
        key, now = (subscription.topic, subscription.callback), self._present.clock()
        current = self.subscriptions.get(key)
        if current is None or current.expires_at <= now:
            self.subscriptions.pop(key, None)
            return
        if self.dead or self._draw.faults.hub_dead:
            self.counts["swallowed"] += 1
            return
        body = self._body(video, event)
        if body is None:
            return
        faults = self._draw.faults
        wait_seconds = faults.hub_delay_seconds
        if self._chance(faults.hub_late_share, "late"):
            wait_seconds += faults.hub_late_seconds
        for _ in range(2 if self._chance(faults.hub_duplicate_share, "duplicated") else 1):
            await trio.sleep(wait_seconds)
            await self._send(current, body)

    def _body(self, video: Video, event: VideoEvent | None) -> bytes | None:
        channel = self._present.channel(video.channel_id)
        if channel is None:
            return None
        now = int(self._present.clock())
        if isinstance(event, DeleteVideo):
            return tombstone(channel, video.id, now)
        if event is not None:
            video = msgspec.structs.replace(video, title=event.title)
        return notification(channel, video, now if event is not None else video.published_at)

    async def _send(self, subscription: Subscription, body: bytes) -> None:
        """Until the callback answers 2xx; after the last retry the notification is lost."""
        headers = {
            "Content-Type": "application/atom+xml",
            "Link": f'<{HUB}>; rel="hub", <{TOPIC}{subscription.channel_id}>; rel="self"',
        } | self._signature(subscription.secret, body)
        for wait_seconds in (*RETRY_SECONDS, None):
            if await self._post(subscription.callback, body, headers):
                self.counts["delivered"] += 1
                return
            self.counts["failed"] += 1
            if wait_seconds is not None:
                await trio.sleep(wait_seconds)

    async def _post(self, callback: str, body: bytes, headers: dict[str, str]) -> bool:
        try:
            with trio.fail_after(TIMEOUT_SECONDS):
                return (await self._client.post(callback, content=body, headers=headers)).is_success
        except (httpx2.HTTPError, trio.TooSlowError):
            return False

    def _signature(self, secret: str, body: bytes) -> dict[str, str]:
        faults = self._draw.faults
        if not secret or self._chance(faults.hub_unsigned_share, "unsigned"):
            return {}
        if self._chance(faults.hub_wrong_signature_share, "missigned"):
            secret += "?"
        return {"X-Hub-Signature": f"sha1={hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()}"}

    def _chance(self, share: float, name: str) -> bool:
        hit = share > 0 and self._random.random() < share
        self.counts[name] += hit
        return hit


def channel_of(topic: str) -> str:
    """Both forms of the address are topics (platform-apis 2.2). Raises HubFailed for any other."""
    parts = urlsplit(topic)
    channel_id = parse_qs(parts.query).get("channel_id", [""])[0]
    if not parts.path.endswith("/feeds/videos.xml") or not channel_id.startswith("UC"):
        raise HubFailed(400, f"Invalid parameter: hub.topic: {topic[:200]}")
    return channel_id


def is_loopback(callback: str) -> bool:
    """The simulator calls nobody outside this machine."""
    host = urlsplit(callback).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
