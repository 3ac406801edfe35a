"""YouTube's Atom feeds and the hub's notifications as they are shaped (platform-apis 2.1, 2.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from xml.sax.saxutils import escape, quoteattr

from daemon.simulator.faults import FaultDraw, fraction
from daemon.simulator.present import PresentWorld
from daemon.simulator.world import Channel, Video

MAX_ENTRIES = 15
SHORT_SECONDS = 60
CLASSES = ("UULF", "UUSH", "UULV")
"""Playlists of one class of a channel's videos: long-form, Shorts, live (platform-apis 1.11)."""
NAMESPACES = (
    'xmlns:yt="http://www.youtube.com/xml/schemas/2015" xmlns:media="http://search.yahoo.com/mrss/"'
    ' xmlns="http://www.w3.org/2005/Atom"'
)
HUB = "https://pubsubhubbub.appspot.com"
TOPIC = "https://www.youtube.com/xml/feeds/videos.xml?channel_id="

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class FeedFailed(Exception):
    """Answered by this status and an HTML page."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status, self.reason = status, reason


class Feeds:
    """The documents of ``/feeds/videos.xml``; outages strike a share of the channels for a time."""

    def __init__(self, present: PresentWorld, draw: FaultDraw) -> None:
        self._present, self._draw = present, draw
        self._outages: list[tuple[float, float, float]] = []

    def outage(self, share: float, begin: float, seconds: float) -> None:
        """Feeds of this share of the channels fail from ``begin`` (epoch seconds) on."""
        self._outages.append((share, begin, begin + seconds))

    def answer(self, params: Mapping[str, str]) -> tuple[bytes, list[str]]:
        """The document and the channel that it serves. Raises FeedFailed."""
        playlist = params.get("playlist_id", "")
        channel_id = "UC" + playlist[-22:] if playlist else params.get("channel_id", "")
        if not channel_id:
            raise FeedFailed(400, "noFilter")
        self._fail(channel_id)
        channel = self._present.channel(channel_id)
        if channel is None:
            raise FeedFailed(404, "feedNotFound")
        videos = [video for video in self._listed(channel_id) if _belongs(video, playlist)]
        if playlist and not videos:
            raise FeedFailed(404, "feedNotFound")
        return self._document(channel, videos[:MAX_ENTRIES], playlist).encode(), [channel_id]

    def _fail(self, channel_id: str) -> None:
        now = self._present.clock()
        down = any(
            begin <= now < end and self._draw.chosen(share, "feeds", channel_id) for share, begin, end in self._outages
        )
        if down:
            raise FeedFailed(404 if fraction("outage", channel_id) < 0.5 else 500, "feedsDown")
        if self._draw.chance(self._draw.faults.feed_error_share):
            raise FeedFailed(404 if self._draw.chance(0.5) else 500, "feedError")

    def _listed(self, channel_id: str) -> list[Video]:
        until = self._present.clock() - self._draw.faults.feed_delay_seconds
        videos = self._present.videos_of(channel_id)
        return [video for video in videos if not video.hidden and video.published_at <= until]

    def _document(self, channel: Channel, videos: list[Video], playlist: str) -> str:
        """At feed level a channel's id stands without its UC; a playlist's feed states it whole."""
        bare = channel.id.removeprefix("UC")
        if playlist:
            query, identity = f"playlist_id={playlist}", f"yt:playlist:{playlist}"
            names = f"<yt:playlistId>{escape(playlist)}</yt:playlistId><yt:channelId>{channel.id}</yt:channelId>"
        else:
            query, identity = f"channel_id={channel.id}", f"yt:channel:{bare}"
            names = f"<yt:channelId>{bare}</yt:channelId>"
        entries = "".join(self._entry(channel, video) for video in videos)
        return (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<feed {NAMESPACES}>\n'
            f' <link rel="self" href="http://www.youtube.com/feeds/videos.xml?{query}"/>\n'
            f" <id>{identity}</id>\n {names}\n <title>{text(channel.title)}</title>\n"
            f' <link rel="alternate" href="{channel_url(channel.id)}"/>\n {author(channel)}\n'
            f" <published>{instant(channel.published_at or 0)}</published>\n{entries}</feed>\n"
        )

    def _entry(self, channel: Channel, video: Video) -> str:
        updated = max(video.published_at, int(self._present.clock() // 3_600) * 3_600)
        return f" <entry>\n{head(channel, video, updated)}{self._media(video)} </entry>\n"

    def _media(self, video: Video) -> str:
        title = text(video.title)
        return (
            f"  <media:group>\n   <media:title>{title}</media:title>\n"
            f'   <media:content url="https://www.youtube.com/v/{video.id}?version=3" type="application/x-shockwave-flash"'
            ' width="640" height="390"/>\n'
            f'   <media:thumbnail url="https://i1.ytimg.com/vi/{video.id}/hqdefault.jpg" width="480" height="360"/>\n'
            f"   <media:description>{text(video.description)}</media:description>\n{self._community(video)}"
            "  </media:group>\n"
        )

    def _community(self, video: Video) -> str:
        if video.views is None or self._draw.chosen(self._draw.faults.community_missing_share, "community", video.id):
            return ""
        return (
            f'   <media:community><media:starRating count="{video.likes or 0}" average="5.00" min="1" max="5"/>'
            f'<media:statistics views="{video.views}"/></media:community>\n'
        )


def notification(channel: Channel, video: Video, updated_at: int) -> bytes:
    """What the hub sends of a new or edited video: no statistics, no media group."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<feed {NAMESPACES}>'
        f'<link rel="hub" href="{HUB}"/><link rel="self" href="{TOPIC}{channel.id}"/>'
        f"<title>YouTube video feed</title><updated>{instant(updated_at)}</updated>\n"
        f" <entry>\n{head(channel, video, updated_at)} </entry></feed>\n"
    ).encode()


def tombstone(channel: Channel, video_id: str, at: int) -> bytes:
    """A video deleted or made private; the channel is named by its address only."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<feed xmlns:at="http://purl.org/atompub/tombstones/1.0" xmlns="http://www.w3.org/2005/Atom">'
        f'<at:deleted-entry ref="yt:video:{video_id}" when="{instant(at)}">'
        f'<link href="https://www.youtube.com/watch?v={video_id}"/>'
        f"<at:by><name>{text(channel.title)}</name><uri>{channel_url(channel.id)}</uri></at:by>"
        "</at:deleted-entry></feed>\n"
    ).encode()


def head(channel: Channel, video: Video, updated_at: int) -> str:
    """What an entry of a feed and of a notification have in common."""
    path = f"shorts/{video.id}" if is_short(video) else f"watch?v={video.id}"
    return (
        f"  <id>yt:video:{video.id}</id>\n  <yt:videoId>{video.id}</yt:videoId>\n"
        f"  <yt:channelId>{channel.id}</yt:channelId>\n  <title>{text(video.title)}</title>\n"
        f'  <link rel="alternate" href={quoteattr(f"https://www.youtube.com/{path}")}/>\n  {author(channel)}\n'
        f"  <published>{instant(video.published_at)}</published>\n  <updated>{instant(updated_at)}</updated>\n"
    )


def author(channel: Channel) -> str:
    return f"<author><name>{text(channel.title)}</name><uri>{channel_url(channel.id)}</uri></author>"


def channel_url(channel_id: str) -> str:
    return f"https://www.youtube.com/channel/{channel_id}"


def is_short(video: Video) -> bool:
    """In this world: at most a minute long and no stream; the platform says so by the link only."""
    return not video.live and video.duration_seconds is not None and video.duration_seconds <= SHORT_SECONDS


def text(words: str) -> str:
    """Escaped, without what XML cannot hold."""
    return escape(_ILLEGAL.sub("", words))


def instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def _belongs(video: Video, playlist: str) -> bool:
    """Whether a playlist of one class holds the video; others hold all."""
    if not playlist.startswith(CLASSES):
        return True
    kind = "UULV" if video.live else "UUSH" if is_short(video) else "UULF"
    return playlist.startswith(kind)
