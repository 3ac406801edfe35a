"""What the simulated platforms show: channels, videos, profiles and posts, and the truth behind them."""

from __future__ import annotations

import msgspec


class Truth(msgspec.Struct, kw_only=True):
    """What a generator knows and no platform says."""

    person: str
    niche: str = ""
    topic: str = ""
    language: str = ""
    activity: str = ""


class Channel(msgspec.Struct, kw_only=True):
    """A YouTube channel; None and empty mean that the API leaves the field out."""

    id: str
    title: str
    handle: str = ""
    description: str = ""
    country: str = ""
    default_language: str = ""
    keywords: str = ""
    published_at: int | None = None
    subscribers: int | None = None
    """None: hidden."""
    hidden_as_zero: bool = False
    """How a hidden count is shown: as "0" instead of not at all; the API does both."""
    view_count: int | None = None
    video_count: int | None = None
    """None: counted from the videos."""
    topics: list[str] = []
    videos: list[str] = []
    """Newest first."""
    truth: Truth | None = None


class Video(msgspec.Struct, kw_only=True):
    id: str
    channel_id: str
    title: str
    published_at: int
    description: str = ""
    tags: list[str] = []
    category_id: str = ""
    duration_seconds: int | None = None
    views: int | None = None
    likes: int | None = None
    """None: hidden."""
    comments: int | None = None
    """None: switched off."""
    language: str = ""
    hidden: str = ""
    """``private`` or ``deleted``: stays in the playlist, without details."""
    live: bool = False
    paid_promotion: bool = False
    history: list[tuple[int, int]] = []
    """Older observations: (epoch seconds, views)."""


class Post(msgspec.Struct, kw_only=True):
    id: str
    taken_at: int
    caption: str = ""
    likes: int | None = None
    comments: int | None = None
    views: int | None = None
    """Of videos; None: not stated."""
    media_type: str = ""
    """Empty: one of several kinds, by the id."""
    product_type: str = "FEED"
    children: int = 0
    """Of a carousel."""


class Profile(msgspec.Struct, kw_only=True):
    """An Instagram professional account."""

    id: str
    username: str
    synthetic_id: bool = False
    """True when the origin states no id and one was made from the username."""
    name: str = ""
    biography: str = ""
    website: str = ""
    followers: int | None = None
    category: str = ""
    posts: list[Post] = []
    truth: Truth | None = None


class World(msgspec.Struct, kw_only=True):
    """Times are epoch seconds (UTC); ``now`` is when the world stands still unless it is played live."""

    now: int
    channels: dict[str, Channel] = {}
    videos: dict[str, Video] = {}
    profiles: dict[str, Profile] = {}
    """By username."""

    def link(self) -> World:
        """Fills each channel's list of videos, newest first; returns itself."""
        for channel in self.channels.values():
            channel.videos = []
        for video in sorted(self.videos.values(), key=lambda one: (-one.published_at, one.id)):
            if video.channel_id in self.channels:
                self.channels[video.channel_id].videos.append(video.id)
        return self
