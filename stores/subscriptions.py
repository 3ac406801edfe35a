"""Which channels a hub pushes news of: leases, what was pushed lately, and how often push was first."""

from __future__ import annotations

import enum

import msgspec

from proto.records import ContentItem, Record
from stores.codec import decode, encode, pack_id, unpack_id
from stores.env import Environment, Txn
from stores.scan import Pair, scan_tables

SUBSCRIBED = "push_subscribed"
"""Kept counter: channels that are or shall be subscribed."""
HITS, MISSES = "push_hits", "push_misses"
"""Kept counters: posts first seen by push, and posts that a poll found although the hub should have told."""

TABLES = ("subscriptions", "subscriptions_due", "subscription_by_token", "push_tally")
"""Databases of the environment that this store owns."""

TOPICS = (
    "https://www.youtube.com/xml/feeds/videos.xml?channel_id=",
    "https://www.youtube.com/feeds/videos.xml?channel_id=",
)
"""Both forms of a topic, up to the channel's id: the documented one is the latter (platform-apis 2.2)."""
LONGEST_LEASE_SECONDS = 864_000
"""No hub grants more (platform-apis 2.2)."""
RENEW_SHARE = 0.8
"""Of the lease, after which it is renewed: its end is told by nobody."""
SHORTEST_RENEWAL_SECONDS = 60
"""A hub that grants seconds is not asked every few."""
AGAIN_SECONDS = 86_400
"""How long a channel that the hub refused is left alone."""
MAX_FAREWELLS = 3
"""Requests to unsubscribe; the lease ends by itself."""
SEEN_KEPT, SEEN_SECONDS = 32, 7 * 86_400
"""Pushes remembered of a channel, and how long, to know duplicates before the details are read."""
PATIENCE_SECONDS = 1_800
"""A post younger than this that a poll finds first says nothing: its push may be on the way."""
HOUR_SECONDS = 3_600
TALLY_SECONDS = 7 * 86_400
"""How long the hours' tallies are kept."""

_TRUSTED = b"push_trusted"


class Mode(enum.StrEnum):
    """What is asked of the hub, in its words."""

    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"


class State(enum.StrEnum):
    WANTED = "wanted"
    """To be asked for."""
    PENDING = "pending"
    """Asked for; the hub's verification is awaited."""
    ACTIVE = "active"
    REFUSED = "refused"


class Subscription(Record):
    """One channel's. Instants are epoch seconds, 0 for never."""

    channel_id: str
    token: str
    """Last part of the callback's path: who knows it is the hub."""
    secret: str
    """The hub signs with it."""
    mode: Mode = Mode.SUBSCRIBE
    state: State = State.WANTED
    covered_since: int = 0
    """When the present unbroken row of leases began."""
    lease_ends_at: int = 0
    requested_at: int = 0
    attempts: int = 0
    """Requests since the hub last verified one."""
    next_action_at: int = 0
    seen: list[tuple[str, int]] = []
    """(video id, when it was published or edited) of what was pushed, the latest last."""

    def pushed_at(self, video_id: str) -> int | None:
        """The stamp of the latest push of a video."""
        return next((stamp for name, stamp in reversed(self.seen) if name == video_id), None)

    def covers(self, published_at: int) -> bool:
        """Whether the hub had to tell of a post of this time."""
        return self.covered_since < published_at < self.lease_ends_at


class Tally(Record):
    """Posts that came out within one hour, by who told first."""

    hour_at: int
    """When the hour began, epoch seconds."""
    pushed: int = 0
    polled: int = 0


class PushCounts(msgspec.Struct, frozen=True, kw_only=True):
    """For status pages."""

    subscribed: int
    hits: int
    misses: int
    trusted: bool


class Subscriptions:
    """Reads for everyone; writes are functions of a transaction below."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    async def scan(self, cursor: bytes, limit: int) -> tuple[list[Pair], bytes | None]:
        """See `stores.ports.Scannable`."""
        return await scan_tables(self._env, TABLES, cursor, limit)

    async def get(self, channel_id: str) -> Subscription | None:
        return await self._env.read(lambda txn: get_subscription(txn, channel_id))

    async def by_token(self, token: str) -> Subscription | None:
        return await self._env.read(lambda txn: find_by_token(txn, token))

    async def counts(self) -> PushCounts:
        """Kept counters; no scan."""
        return await self._env.read(push_counts)


def push_counts(txn: Txn) -> PushCounts:
    return PushCounts(
        subscribed=txn.counter(SUBSCRIBED),
        hits=txn.counter(HITS),
        misses=txn.counter(MISSES),
        trusted=is_trusted(txn),
    )


def get_subscription(txn: Txn, channel_id: str) -> Subscription | None:
    stored = txn.get("subscriptions", channel_id.encode())
    return decode(Subscription, stored, "subscriptions", channel_id.encode()) if stored else None


def find_by_token(txn: Txn, token: str) -> Subscription | None:
    """Any text may come from outside: one that is no token finds nothing."""
    key = token.encode(errors="replace")
    channel_id = txn.get("subscription_by_token", key) if 0 < len(key) <= 128 else None
    return get_subscription(txn, channel_id.decode()) if channel_id else None


def subscribed(txn: Txn) -> int:
    return txn.counter(SUBSCRIBED)


def is_wanted(txn: Txn, channel_id: str) -> bool:
    """Whether it is or shall be subscribed; one that is being given up is not."""
    found = get_subscription(txn, channel_id)
    return found is not None and found.mode is Mode.SUBSCRIBE


def want(txn: Txn, channel_id: str, now: float, *, token: str, secret: str) -> bool:
    """Asks for a channel, under this token and secret if it has none yet; returns whether that is news."""
    old = get_subscription(txn, channel_id)
    if old is None:
        fresh = Subscription(channel_id=channel_id, token=token, secret=secret, next_action_at=int(now))
        _write(txn, None, fresh)
        return True
    if old.mode is Mode.SUBSCRIBE:
        return False
    back = msgspec.structs.replace(old, mode=Mode.SUBSCRIBE, state=State.WANTED, attempts=0, next_action_at=int(now))
    _write(txn, old, back)
    return True


def unwant(txn: Txn, channel_id: str, now: float) -> bool:
    """Gives a channel up: forgotten at once if it was never asked for, else the hub is told. Returns whether it was
    wanted."""
    old = get_subscription(txn, channel_id)
    if old is None or old.mode is Mode.UNSUBSCRIBE:
        return False
    if not old.requested_at:
        forget_subscription(txn, channel_id)
        return True
    leaving = msgspec.structs.replace(
        old, mode=Mode.UNSUBSCRIBE, state=State.WANTED, attempts=0, next_action_at=int(now)
    )
    _write(txn, old, leaving)
    return True


def forget_subscription(txn: Txn, channel_id: str) -> bool:
    """Takes every trace of it out; what the hub still sends finds no callback. Returns whether there was one."""
    old = get_subscription(txn, channel_id)
    if old is None:
        return False
    txn.delete("subscriptions", channel_id.encode())
    txn.delete("subscriptions_due", _due_key(old))
    txn.delete("subscription_by_token", old.token.encode())
    txn.add(SUBSCRIBED, -(old.mode is Mode.SUBSCRIBE))
    return True


def next_action_at(txn: Txn) -> int | None:
    """When the first of all is due; None when there is none."""
    head = next(txn.scan("subscriptions_due"), None)
    return unpack_id(head[0][:8]) if head else None


def next_due(txn: Txn, now: float) -> Subscription | None:
    """The subscription that has been due for longest. Farewells that were said often enough are dropped on the way."""
    while (head := next(txn.scan("subscriptions_due"), None)) is not None and unpack_id(head[0][:8]) <= now:
        due = get_subscription(txn, head[0][8:].decode())
        assert due is not None, "a due entry without its subscription"
        if due.mode is Mode.SUBSCRIBE or not (due.attempts >= MAX_FAREWELLS or due.lease_ends_at <= now):
            return due
        forget_subscription(txn, due.channel_id)
    return None


def begin_request(txn: Txn, due: Subscription, now: float, again_at: float) -> Subscription:
    """To be stored before the hub is asked, since it may verify before it answers."""
    pending = msgspec.structs.replace(
        due,
        state=State.PENDING,
        requested_at=int(now),
        attempts=due.attempts + 1,
        next_action_at=int(again_at),
    )
    _write(txn, due, pending)
    return pending


def put_off(txn: Txn, asked: Subscription, again_at: float, state: State = State.PENDING) -> None:
    """The request came to nothing. One that was verified or replaced meanwhile is left alone."""
    old = get_subscription(txn, asked.channel_id)
    if (
        old is None
        or old.state is not State.PENDING
        or (old.mode, old.requested_at) != (asked.mode, asked.requested_at)
    ):
        return
    _write(txn, old, msgspec.structs.replace(old, state=state, next_action_at=int(again_at)))


def verify(txn: Txn, token: str, channel_id: str, mode: str, lease_seconds: int, now: float) -> bool:
    """The hub asks whether we asked: True for a pending request of this mode and channel, which is thereby granted.

    The lease is believed up to `LONGEST_LEASE_SECONDS`.
    """
    old = find_by_token(txn, token)
    if old is None or old.state is not State.PENDING or (old.channel_id, old.mode) != (channel_id, mode):
        return False
    if old.mode is Mode.UNSUBSCRIBE:
        forget_subscription(txn, channel_id)
        return True
    lease = min(max(lease_seconds, 1), LONGEST_LEASE_SECONDS)
    active = msgspec.structs.replace(
        old,
        state=State.ACTIVE,
        attempts=0,
        covered_since=old.covered_since if old.lease_ends_at > now else int(now),
        lease_ends_at=int(now) + lease,
        next_action_at=int(now + max(lease * RENEW_SHARE, SHORTEST_RENEWAL_SECONDS)),
    )
    _write(txn, old, active)
    return True


def deny(txn: Txn, token: str, channel_id: str, now: float) -> bool:
    """The hub ends or refuses a subscription, at any time; False when it is not one of ours."""
    old = find_by_token(txn, token)
    if old is None or old.channel_id != channel_id:
        return False
    if old.mode is Mode.UNSUBSCRIBE:
        return forget_subscription(txn, channel_id)
    refused = msgspec.structs.replace(
        old, state=State.REFUSED, attempts=0, lease_ends_at=0, next_action_at=int(now) + AGAIN_SECONDS
    )
    _write(txn, old, refused)
    return True


def note_pushed(txn: Txn, told: Subscription, video_id: str, stamp: int) -> Subscription:
    """Remembers a push; ``stamp``: when the video was published or edited."""
    kept = [one for one in told.seen if one[0] != video_id and one[1] > stamp - SEEN_SECONDS][-(SEEN_KEPT - 1) :]
    noted = msgspec.structs.replace(told, seen=[*kept, (video_id, stamp)])
    _write(txn, told, noted)
    return noted


def count_pushed(txn: Txn, told: Subscription, published_at: int, now: float) -> bool:
    """A post first seen by push; one that the hub did not have to tell of counts for nothing."""
    if not told.covers(published_at):
        return False
    _tally(txn, min(published_at, int(now)), pushed=1)
    txn.add(HITS)
    return True


def count_polled(txn: Txn, channel_id: str, found: list[ContentItem], now: float, *, listening_since: int = 0) -> int:
    """Posts that a poll found: those that the hub should have told of by now are misses, whose number is returned.

    ``found``: items not known before; ``listening_since``: when this process began to take pushes.
    """
    told = get_subscription(txn, channel_id)
    if told is None or not found:
        return 0
    missed = [
        item
        for item in found
        if told.covers(item.published_at)
        and listening_since < item.published_at <= now - PATIENCE_SECONDS
        and told.pushed_at(item.content_id) is None
    ]
    for item in missed:
        _tally(txn, item.published_at, polled=1)
    txn.add(MISSES, len(missed))
    return len(missed)


def withhold_subscriptions(txn: Txn) -> int:
    """Takes them all out, with the secrets that they hold, of a copy that leaves the data directory; returns how many.

    Where they are missing the Subscriber asks for them anew, under other secrets.
    """
    count = txn.entries("subscriptions")
    for database in ("subscriptions", "subscriptions_due", "subscription_by_token"):
        for key in [key for key, _ in txn.scan(database)]:
            txn.delete(database, key)
    txn.add(SUBSCRIBED, -txn.counter(SUBSCRIBED))
    return count


def tallies(txn: Txn) -> list[Tally]:
    """The hours kept, oldest first."""
    return [decode(Tally, value) for _, value in txn.scan("push_tally")]


def prune_tallies(txn: Txn, now: float) -> None:
    """Drops the hours that count no more."""
    for tally in tallies(txn):
        if tally.hour_at < now - TALLY_SECONDS:
            txn.delete("push_tally", pack_id(tally.hour_at))


def is_trusted(txn: Txn) -> bool:
    """The verdict on the hub so far."""
    return txn.get("meta", _TRUSTED) == b"yes"


def put_trusted(txn: Txn, trusted: bool) -> None:
    txn.put("meta", _TRUSTED, b"yes" if trusted else b"no")


def _tally(txn: Txn, moment: int, *, pushed: int = 0, polled: int = 0) -> None:
    hour_at = moment // HOUR_SECONDS * HOUR_SECONDS
    stored = txn.get("push_tally", pack_id(hour_at))
    old = decode(Tally, stored) if stored else Tally(hour_at=hour_at)
    more = msgspec.structs.replace(old, pushed=old.pushed + pushed, polled=old.polled + polled)
    txn.put("push_tally", pack_id(hour_at), encode(more))


def _write(txn: Txn, old: Subscription | None, new: Subscription) -> None:
    """Keeps the indexes and the counter in step; token and channel never change."""
    if old is not None:
        txn.delete("subscriptions_due", _due_key(old))
    else:
        txn.put("subscription_by_token", new.token.encode(), new.channel_id.encode())
    txn.put("subscriptions", new.channel_id.encode(), encode(new))
    txn.put("subscriptions_due", _due_key(new), b"")
    before = old is not None and old.mode is Mode.SUBSCRIBE
    txn.add(SUBSCRIBED, (new.mode is Mode.SUBSCRIBE) - before)


def _due_key(one: Subscription) -> bytes:
    return pack_id(one.next_action_at) + one.channel_id.encode()
