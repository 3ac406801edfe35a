"""`/websub/<token>`: where the hub verifies what we asked for and pushes news of channels (platform-apis 2.2)."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import RequestEntityTooLarge

from actors.platforms.youtube_feed import Feed, FeedEntry, parse_feed
from daemon.web.authorising import ANYBODY, needs
from proto.errors import Malformed, NotFound, Unavailable
from proto.ids import AccountKey, Platform, account_key
from proto.records import AccountStatus, ContentItem, CreatorAccount, Event, Job, JobKind, Priority
from stores.catalog import get_account
from stores.content import recent_items
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.schedule import put_job
from stores.subscriptions import (
    TOPICS,
    Subscription,
    count_pushed,
    deny,
    find_by_token,
    note_pushed,
    verify,
)

MAX_PUSH_BYTES = 65_536
"""A notification has one entry and about a kilobyte."""
MAX_CHALLENGE_CHARS = 1_024
ALGORITHMS = ("sha1", "sha256", "sha384", "sha512")
"""Of signatures (WebSub 5.2.1); YouTube's hub uses the first."""
KNOWN_ITEMS = 500
"""Newest items of a channel that a push is compared with."""
UNSTATED_LEASE_SECONDS = 86_400
"""What is believed where the hub does not say how long, which it must."""
QUIET_SECONDS = 3_600
"""Between events of one kind; each tells how many there were since the last."""


class HubServices(msgspec.Struct, kw_only=True, frozen=True):
    """What the callback needs of the daemon."""

    env: Environment
    journal: Journal
    covers: Callable[[AccountKey], bool]
    """Whether an account is suppressed."""
    now: Callable[[], float]
    observe: Callable[[str], None]
    """Told what became of each request and each pushed video; for a counter. Words as in `Callback`."""


class Callback:
    """The hub's side of the daemon.

    Outcomes: verified, unasked, denied; forged, malformed, foreign, unknown; new, edited, deleted, late, duplicate.
    """

    def __init__(self, services: HubServices) -> None:
        self._env, self._journal, self._now = services.env, services.journal, services.now
        self._covers, self._observe = services.covers, services.observe
        self._told_at: dict[str, float] = {}
        self._untold: Counter[str] = Counter()

    async def verify(self, token: str, params: Mapping[str, str]) -> str:
        """The body of the answer: the challenge, or nothing to a denial.

        Raises NotFound unless the hub speaks of a request of ours that is pending, and Unavailable without room.
        """
        self._refuse_held()
        now, channel_id = self._now(), channel_of(params.get("hub.topic", ""))
        mode, challenge = params.get("hub.mode", ""), params.get("hub.challenge", "")
        if mode == "denied":
            if not await self._env.write(lambda txn: deny(txn, token, channel_id, now)):
                raise NotFound("no such subscription")
            await self._happened("denied", channel_id, params.get("hub.reason", ""))
            return ""
        lease_seconds = lease_of(params.get("hub.lease_seconds", ""))
        if not 0 < len(challenge) <= MAX_CHALLENGE_CHARS or not await self._env.write(
            lambda txn: verify(txn, token, channel_id, mode, lease_seconds, now)
        ):
            self._observe("unasked")
            raise NotFound("no such request")
        self._observe("verified")
        return challenge

    async def receive(self, token: str, signature: str, body: bytes) -> None:
        """Takes a notification in: durable when this returns. What is not the hub's, or of no use, is dropped.

        Raises NotFound for an unknown token, and Unavailable without room.
        """
        self._refuse_held()
        told = await self._env.read(lambda txn: find_by_token(txn, token))
        if told is None:
            raise NotFound("no such subscription")
        if not is_signed(body, signature, told.secret):
            await self._happened("forged", told.channel_id, f"signature {signature[:60]!r}")
            return
        try:
            feed = parse_feed(body)
        except Malformed as error:
            await self._happened("malformed", told.channel_id, str(error))
            return
        now = int(self._now())
        for outcome in await self._env.write(lambda txn: self._take_in(txn, token, feed, now)):
            self._observe(outcome)

    def _refuse_held(self) -> None:
        """The hub comes again; what waited for room would hold a connection as long as it may."""
        if self._env.held_because:
            raise Unavailable(self._env.held_because)

    def _take_in(self, txn: Txn, token: str, feed: Feed, now: int) -> list[str]:
        """What became of each video."""
        told = find_by_token(txn, token)
        account = _account(txn, told)
        if told is None or account is None or self._covers(account.key):
            return ["unknown"]
        items = {item.content_id: item for item in recent_items(txn, account.key, KNOWN_ITEMS)}
        outcomes: list[str] = []
        for entry in feed.entries:
            outcome = judge_entry(told, entry, items.get(entry.video_id))
            if outcome in ("new", "edited", "late"):
                told = note_pushed(txn, told, entry.video_id, stamp_of(entry))
            if outcome in ("new", "edited"):
                put_job(txn, _job(account, JobKind.CONTENT, entry.video_id, now, first=outcome == "new"))
            if outcome == "new":
                count_pushed(txn, told, entry.published_at, now)
            outcomes.append(outcome)
        return outcomes + [self._bury(txn, account, *one, known=one[0] in items, now=now) for one in feed.deleted]

    def _bury(self, txn: Txn, account: CreatorAccount, video_id: str, channel_id: str, *, known: bool, now: int) -> str:
        """A tombstone is also sent for what turns private: the platform is asked, and what it denies is removed."""
        if channel_id not in ("", account.platform_user_id):
            return "foreign"
        if known:
            put_job(txn, _job(account, JobKind.REVISIT, video_id, now, first=False))
        return "deleted" if known else "unknown"

    async def _happened(self, outcome: str, channel_id: str, detail: str) -> None:
        """Counts, and tells the operator at most once in `QUIET_SECONDS`, so that a flood drowns nothing else."""
        self._observe(outcome)
        self._untold[outcome] += 1
        now = self._now()
        if outcome in self._told_at and now - self._told_at[outcome] < QUIET_SECONDS:
            return
        count, self._told_at[outcome] = self._untold.pop(outcome), now
        text = f"{count} since last told; {detail}"[:500]
        await self._journal.event(
            Event(at=int(now), kind=f"push_{outcome}", severity="warning", subject=channel_id, detail=text)
        )


def register(app: QuartTrio, services: HubServices) -> None:
    """The public listener's Host allow-list must hold the host of the callback's address, as the hub sends it.

    A hub has no key: what it says counts by the token in the path and by its signature."""
    callback = Callback(services)

    @app.get("/websub/<token>")
    @needs(ANYBODY)
    async def verify_subscription(token: str) -> Response:
        return Response(await callback.verify(token, request.args.to_dict()), content_type="text/plain")

    @app.post("/websub/<token>")
    @needs(ANYBODY)
    async def receive_push(token: str) -> Response:
        await callback.receive(token, request.headers.get("X-Hub-Signature", ""), await small_body())
        return Response(b"", 204)


async def small_body() -> bytes:
    """Raises RequestEntityTooLarge beyond `MAX_PUSH_BYTES`; what comes after is not read."""
    body = bytearray()
    async for chunk in request.body:
        body += chunk
        if len(body) > MAX_PUSH_BYTES:
            raise RequestEntityTooLarge()
    return bytes(body)


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """``signature``: ``<algorithm>=<hex>``, the HMAC of the raw body; compared in constant time."""
    algorithm, _, claimed = signature.partition("=")
    if algorithm not in ALGORITHMS:
        return False
    expected = hmac.new(secret.encode(), body, getattr(hashlib, algorithm)).hexdigest()
    return hmac.compare_digest(expected.encode(), claimed.strip().lower().encode())


def judge_entry(told: Subscription, entry: FeedEntry, item: ContentItem | None) -> str:
    """What a pushed entry is, given the pushes before it and what is stored of the video.

    foreign: of another channel. duplicate: nothing that was not pushed or read already. late: a poll was first.
    """
    if entry.channel_id != told.channel_id:
        return "foreign"
    pushed_at, stamp = told.pushed_at(entry.video_id), stamp_of(entry)
    if pushed_at is not None and stamp <= pushed_at:
        return "duplicate"
    if item is None:
        return "new" if pushed_at is None else "edited"
    if entry.is_edit:
        return "duplicate" if item.detailed and stamp < item.fetched_at else "edited"
    return "late" if pushed_at is None else "duplicate"


def stamp_of(entry: FeedEntry) -> int:
    """When what the entry tells happened: notifications overtake each other, and the later stamp stands."""
    return max(entry.updated_at or 0, entry.published_at)


def channel_of(topic: str) -> str:
    """The channel that a topic names, in either form; empty for any other text."""
    return next((topic.removeprefix(form) for form in TOPICS if topic.startswith(form)), "")


def lease_of(text: str) -> int:
    """Seconds."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else UNSTATED_LEASE_SECONDS


def _account(txn: Txn, told: Subscription | None) -> CreatorAccount | None:
    """The account of a subscription, if it is one that is read."""
    found = get_account(txn, account_key(Platform.YOUTUBE, told.channel_id)) if told else None
    return found if found is not None and found.status is not AccountStatus.SUPPRESSED else None


def _job(account: CreatorAccount, kind: JobKind, video_id: str, now: int, *, first: bool) -> Job:
    return Job(
        platform=account.platform,
        kind=kind,
        entity=video_id,
        account_key=account.key,
        priority=Priority.ACTIVE,
        due_at=now,
        first=first,
        handle=account.handle,
    )
