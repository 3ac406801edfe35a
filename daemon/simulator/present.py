"""The world as it is at this instant: every endpoint reads it here, so a frozen and a living world share their code."""

from __future__ import annotations

import base64
import binascii
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from daemon.simulator.authoring import Author
from daemon.simulator.events import (
    AccountEvent,
    ChangeBio,
    ChangeNiche,
    Delete,
    DeleteVideo,
    EditVideo,
    PostNow,
    Rename,
    Restore,
    VideoEvent,
)
from daemon.simulator.faults import fraction
from daemon.simulator.posting import DAY_SECONDS, Habit, Posting, Slot
from daemon.simulator.world import Channel, Post, Profile, Video, World
from models.taxonomy import Taxonomy

HALF_LIFE_SECONDS = 2 * DAY_SECONDS
"""At this age a post has half of the views that it will ever have."""
GROWTH_PER_DAY = (-0.0005, 0.003)
"""Of the followers: from, to."""
EXTRA_BLOCK = 0
"""Posts beside the schedule are numbered in a block of their own; the schedule's are those since 2026."""

_MARK, _SCATTER = 0xA5, 0x9E3779B97F4A7C15
_INSTAGRAM_POST = "179{:08d}{:06d}"

_E = TypeVar("_E", Channel, Profile)


class PresentWorld:
    """``world`` as of ``clock`` (epoch seconds). With ``posting`` it lives on after its ``now``: accounts post by
    schedule and counts grow; without, what its files hold appears at its time and counts stand still.
    """

    def __init__(
        self,
        world: World,
        clock: Callable[[], float],
        *,
        posting: Posting | None = None,
        events: Iterable[AccountEvent] = (),
    ) -> None:
        self.world, self.clock = world, clock
        self._posting = posting
        niches = {niche.id: niche for niche in Taxonomy.load().niches} if posting else {}
        self._author = Author(posting.seed if posting else 0, niches)
        self._numbers = {one: number for number, one in enumerate([*world.channels, *_ids(world)])}
        self._channels = list(world.channels.values())
        self._profiles = {profile.id: profile for profile in world.profiles.values()}
        self._named: defaultdict[str, set[str]] = defaultdict(set)
        for channel in self._channels:
            self._named["@" + channel.handle.casefold()].add(channel.id)
        for profile in world.profiles.values():
            self._named[profile.username.casefold()].add(profile.id)
        self._habits: dict[str, Habit] = {}
        self._changes: defaultdict[str, list[AccountEvent]] = defaultdict(list)
        self._video_changes: defaultdict[str, list[VideoEvent]] = defaultdict(list)
        self._extras: defaultdict[str, list[PostNow]] = defaultdict(list)
        self.version = 0
        """Grows with each event."""
        self._written: dict[tuple[str, int, int], Video | Post] = {}
        for event in events:
            self.happen(event)

    def happen(self, event: AccountEvent) -> None:
        """Takes an event in. Raises KeyError for an account that never was."""
        if event.account not in self._numbers:
            raise KeyError(event.account)
        if event.at is None:
            event = msgspec.structs.replace(event, at=self.clock())
        self.version += 1
        if isinstance(event, PostNow):
            self._extras[event.account].append(event)
            return
        insort(self._changes[event.account], event, key=_at)
        if isinstance(event, Rename):
            mark = "@" if event.account in self.world.channels else ""
            self._named[mark + event.name.casefold()].add(event.account)

    def happen_to_video(self, event: VideoEvent) -> Video:
        """The video as it was. Raises KeyError for one that is not out."""
        if event.at is None:
            event = msgspec.structs.replace(event, at=self.clock())
        self.version += 1
        video = self.video(event.video)
        if video is None:
            raise KeyError(event.video)
        insort(self._video_changes[event.video], event, key=_at)
        return video

    # accounts

    def channel(self, channel_id: str) -> Channel | None:
        channel = self.world.channels.get(channel_id)
        return None if channel is None or self.gone(channel_id) else self._now(channel, channel_id)

    def channel_named(self, handle: str) -> Channel | None:
        name = handle.removeprefix("@").casefold()
        for one in self._named.get("@" + name, ()) if name else ():
            channel = self.channel(one)
            if channel is not None and channel.handle.casefold() == name:
                return channel
        return None

    def channels(self) -> list[Channel]:
        return [channel for one in self._channels if (channel := self.channel(one.id))]

    def profile_named(self, username: str) -> Profile | None:
        """By the name that it has now."""
        for one in self._named.get(username.casefold(), ()):
            profile = self._profiles.get(one)
            if profile is not None and not self.gone(one):
                present = self._now(profile, one)
                if present.username.casefold() == username.casefold():
                    return present
        return None

    def profiles(self) -> list[Profile]:
        return [self._now(profile, one) for one, profile in self._profiles.items() if not self.gone(one)]

    def gone(self, account: str) -> bool:
        last = self._last(account, (Delete, Restore))
        return isinstance(last, Delete)

    # videos and posts

    def videos_of(self, channel_id: str) -> list[Video]:
        """What is out, newest first; private and deleted ones are among them, marked ``hidden``."""
        channel = self.world.channels.get(channel_id)
        if channel is None or self.gone(channel_id):
            return []
        now = self.clock()
        until = self._preset_until()
        preset = [video for one in channel.videos if (video := self.world.videos[one]).published_at <= until]
        new = [self._scheduled_video(channel, slot) for slot in self._slots(channel_id, 0, now + 1)]
        found = sorted([*new, *preset], key=_video_order) if new else preset
        return [self._video_now(video) for video in found]

    def videos_between(self, channel_id: str, begin: float, end: float) -> list[Video]:
        """Published at ``begin <= t < end``, oldest first, also when that lies ahead; none when the channel is gone."""
        channel = self.world.channels.get(channel_id)
        if channel is None or self.gone(channel_id):
            return []
        until = self.world.now if self._posting else end
        preset = [self.world.videos[one] for one in channel.videos]
        found = [video for video in preset if begin <= video.published_at < end and video.published_at <= until]
        found += [self._scheduled_video(channel, slot) for slot in self._slots(channel_id, begin, end)]
        return sorted(found, key=lambda video: video.published_at)

    def video(self, video_id: str) -> Video | None:
        """None when it is not out or its channel is gone; a private or deleted one says so by ``hidden``."""
        video = self.world.videos.get(video_id)
        if video is not None and video.published_at > self._preset_until():
            return None
        video = video or self._by_number(video_id)
        if video is None or self.gone(video.channel_id):
            return None
        return self._video_now(video)

    def video_count(self, channel: Channel) -> int:
        """Public videos; a count that the world states grows by what came since."""
        if channel.video_count is None:
            return sum(not video.hidden for video in self.videos_of(channel.id))
        return channel.video_count + len(self._slots(channel.id, 0, self.clock() + 1))

    def posts_of(self, profile: Profile) -> list[Post]:
        """What is out, newest first."""
        now, until = self.clock(), self._preset_until()
        preset = [post for post in profile.posts if post.taken_at <= until]
        new = [self._scheduled_post(profile, slot) for slot in self._slots(profile.id, 0, now + 1)]
        return [self._post_now(post) for post in sorted([*preset, *new], key=lambda post: (-post.taken_at, post.id))]

    def _preset_until(self) -> float:
        """What a living world's files hold beyond its ``now`` gives way to the schedule."""
        return min(self.clock(), self.world.now) if self._posting else self.clock()

    def _slots(self, account: str, begin: float, end: float) -> list[Slot]:
        """Scheduled and extra posts of ``begin <= t < end``, oldest first."""
        slots: list[Slot] = []
        since = max(begin, self.world.now)
        if self._posting is not None and end > since:
            slots = self._posting.posts_between(self._habit(account), since, end)
        slots += self._extra_slots(account)
        return sorted(slot for slot in slots if begin <= slot.at < end)

    def _extra_slots(self, account: str) -> list[Slot]:
        extras = self._extras.get(account, ())
        return [Slot(int(_at(event)), EXTRA_BLOCK, place) for place, event in enumerate(extras)]

    def _habit(self, account: str) -> Habit:
        assert self._posting is not None
        if account not in self._habits:
            self._habits[account] = self._posting.habit(account, self._activity(account))
        return self._habits[account]

    def _activity(self, account: str) -> str:
        """What the generator says, else by the age of the newest that the files hold (the buckets of 7 and 30 days)."""
        known = self.world.channels.get(account) or self._profiles[account]
        if known.truth:
            return known.truth.activity
        if isinstance(known, Channel):
            instants = [self.world.videos[one].published_at for one in known.videos]
        else:
            instants = [post.taken_at for post in known.posts]
        age_days = (self.world.now - max(instants, default=0)) / DAY_SECONDS
        return "active" if age_days < 7 else "semi_active" if age_days < 30 else "long_tail"

    def _scheduled_video(self, channel: Channel, slot: Slot) -> Video:
        key = (channel.id, slot.block, slot.place)
        if key not in self._written:
            video_id = video_id_of(self._numbers[channel.id], slot.block, slot.place)
            then = msgspec.structs.replace(channel, description=self._bio(channel, slot.at))
            video = self._author.video(then, slot, video_id, self._niche(channel.id, slot.at))
            title = self._extra_title(channel.id, slot)
            self._written[key] = msgspec.structs.replace(video, title=title) if title else video
        written = self._written[key]
        assert isinstance(written, Video)
        return written

    def _scheduled_post(self, profile: Profile, slot: Slot) -> Post:
        key = (profile.id, slot.block, slot.place)
        if key not in self._written:
            post_id = _INSTAGRAM_POST.format(self._numbers[profile.id], slot.block * 500 + slot.place)
            post = self._author.post(profile, slot, post_id, self._niche(profile.id, slot.at))
            title = self._extra_title(profile.id, slot)
            self._written[key] = msgspec.structs.replace(post, caption=title) if title else post
        written = self._written[key]
        assert isinstance(written, Post)
        return written

    def _extra_title(self, account: str, slot: Slot) -> str:
        return self._extras[account][slot.place].title if slot.block == EXTRA_BLOCK else ""

    def _by_number(self, video_id: str) -> Video | None:
        place = place_of(video_id)
        if place is None or place[0] >= len(self._channels):
            return None
        channel = self._channels[place[0]]
        slots = self._slots(channel.id, 0, self.clock() + 1) if place[1] == EXTRA_BLOCK else self._block(channel, place)
        found = [slot for slot in slots if (slot.block, slot.place) == place[1:]]
        return self._scheduled_video(channel, found[0]) if found else None

    def _block(self, channel: Channel, place: tuple[int, int, int]) -> list[Slot]:
        if self._posting is None:
            return []
        slots = self._posting.block(self._habit(channel.id), place[1])
        return [slot for slot in slots if self.world.now <= slot.at <= self.clock()]

    def last_extra(self, account: str) -> Video | Post:
        """What the latest PostNow of this account made."""
        slot = self._extra_slots(account)[-1]
        channel = self.world.channels.get(account)
        return self._scheduled_video(channel, slot) if channel else self._scheduled_post(self._profiles[account], slot)

    # states

    def _last(
        self, account: str, kinds: tuple[type[AccountEvent], ...], at: float | None = None
    ) -> AccountEvent | None:
        if account not in self._changes:
            return None
        until = self.clock() if at is None else at
        past = [event for event in self._changes[account] if _at(event) <= until and isinstance(event, kinds)]
        return past[-1] if past else None

    def _niche(self, account: str, at: float) -> str:
        last = self._last(account, (ChangeNiche,), at)
        return last.niche if isinstance(last, ChangeNiche) else ""

    def _bio(self, account: Channel | Profile, at: float) -> str:
        """As the last event until then left it."""
        text = account.description if isinstance(account, Channel) else account.biography
        for event in self._changes.get(account.id, ()):
            if _at(event) <= at and isinstance(event, ChangeBio):
                text = event.text
            if _at(event) <= at and isinstance(event, ChangeNiche) and event.bio:
                text = self._author.bio(account, text, event.niche)
        return text

    def _now(self, account: _E, account_id: str) -> _E:
        """With its present name, its present text and its grown counts."""
        changes: dict[str, object] = {}
        renamed = self._last(account_id, (Rename,))
        if isinstance(renamed, Rename):
            changes["handle" if isinstance(account, Channel) else "username"] = renamed.name
        if account_id in self._changes:
            changes["description" if isinstance(account, Channel) else "biography"] = self._bio(account, self.clock())
        days = (self.clock() - self.world.now) / DAY_SECONDS
        if self._posting and days > 0:
            low, high = GROWTH_PER_DAY
            factor = 1 + days * (low + (high - low) * fraction(self._posting.seed, "growth", account_id))
            count = "subscribers" if isinstance(account, Channel) else "followers"
            changes[count] = _times(getattr(account, count), factor)
            if isinstance(account, Channel):
                changes["view_count"] = _times(account.view_count, 1 + days * 0.002)
        return msgspec.structs.replace(account, **changes) if changes else account

    def _video_now(self, video: Video) -> Video:
        share = self._grown(video.published_at)
        changes: dict[str, object] = {}
        if share != 1.0:
            changes = {name: _times(getattr(video, name), share) for name in ("views", "likes", "comments")}
        for event in self._video_changes.get(video.id, ()):
            if _at(event) <= self.clock():
                changes |= _change(event)
        return msgspec.structs.replace(video, **changes) if changes else video

    def _post_now(self, post: Post) -> Post:
        share = self._grown(post.taken_at)
        if share == 1.0:
            return post
        counts = {name: _times(getattr(post, name), share) for name in ("views", "likes", "comments")}
        return msgspec.structs.replace(post, **counts)

    def _grown(self, published_at: int) -> float:
        """The factor on a post's counts: of the final ones for scheduled posts, of those at ``now`` for older ones."""
        if self._posting is None:
            return 1.0
        reached = maturity(self.clock() - published_at)
        if published_at >= self.world.now:
            return reached
        before = maturity(self.world.now - published_at)
        return reached / before


def maturity(age_seconds: float) -> float:
    """The share of its final views that a post of this age has: 0 when new, one half at HALF_LIFE_SECONDS, then slowly 1."""
    age_seconds = max(age_seconds, 0.0)
    return age_seconds / (age_seconds + HALF_LIFE_SECONDS)


def video_id_of(channel_number: int, block: int, place: int) -> str:
    """A video id that tells where its video stands: 64 bits, scattered (id shape: platform-apis 1.1)."""
    number = _MARK << 56 | channel_number << 32 | block << 12 | place
    scattered = _folded(number * _SCATTER % 2**64) * _SCATTER % 2**64
    return base64.urlsafe_b64encode(scattered.to_bytes(8, "big")).decode().rstrip("=")


def place_of(video_id: str) -> tuple[int, int, int] | None:
    """(channel number, block, place) of an id that ``video_id_of`` made; None for any other."""
    try:
        scattered = int.from_bytes(base64.urlsafe_b64decode(f"{video_id}="), "big")
    except (binascii.Error, ValueError):
        return None
    back = pow(_SCATTER, -1, 2**64)
    number = _folded(scattered * back % 2**64) * back % 2**64
    if len(video_id) != 11 or number >> 56 != _MARK:
        return None
    return number >> 32 & 0xFFFFFF, number >> 12 & 0xFFFFF, number & 0xFFF


def _folded(number: int) -> int:
    """Twice is the identity; without it the low bits would not depend on the high ones."""
    return number ^ number >> 32


def _change(event: VideoEvent) -> dict[str, object]:
    if isinstance(event, EditVideo):
        return {"title": event.title}
    assert isinstance(event, DeleteVideo)
    return {"hidden": "private" if event.private else "deleted"}


def _times(count: int | None, factor: float) -> int | None:
    return None if count is None else int(count * factor)


def _at(event: AccountEvent | VideoEvent) -> float:
    assert event.at is not None
    return event.at


def _video_order(video: Video) -> tuple[int, str]:
    return -video.published_at, video.id


def _ids(world: World) -> list[str]:
    return [profile.id for profile in world.profiles.values()]
