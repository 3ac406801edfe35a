"""YouTube's Atom documents: a channel's feed and a hub's notification (platform-apis 2.1 and 2.2). Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import datetime

import msgspec

from actors.platforms.youtube_wire import PLATFORM_ID
from proto.errors import Malformed

ATOM = "{http://www.w3.org/2005/Atom}"
YT = "{http://www.youtube.com/xml/schemas/2015}"
MEDIA = "{http://search.yahoo.com/mrss/}"
TOMBSTONE = "{http://purl.org/atompub/tombstones/1.0}"

MAX_FEED_BYTES = 2_000_000
"""A feed of 15 entries has some 60 kB; a description has at most 5,000 characters."""

EDIT_SECONDS = 60
"""A notification whose ``updated`` is later than ``published`` by more tells of an edit, not of a new video."""


class FeedEntry(msgspec.Struct, kw_only=True, frozen=True):
    """One video. Instants are epoch seconds; None and empty mean that the document does not say."""

    video_id: str
    channel_id: str
    title: str
    published_at: int
    updated_at: int | None = None
    description: str = ""
    is_short: bool = False
    """The link leads to /shorts/: a strong yes, while False says little."""
    views: int | None = None
    likes: int | None = None
    """The star rating's count, which tracks likes; 0 stands for hidden, so it is None."""

    @property
    def is_edit(self) -> bool:
        return self.updated_at is not None and self.updated_at - self.published_at > EDIT_SECONDS


class Feed(msgspec.Struct, kw_only=True, frozen=True):
    """A parsed document."""

    title: str
    entries: tuple[FeedEntry, ...]
    deleted: tuple[tuple[str, str], ...] = ()
    """Tombstones of a notification: (video id, channel id or "")."""


def parse_feed(body: bytes) -> Feed:
    """Raises Malformed for what is no such document; an entry that cannot be read is left out of a feed."""
    if len(body) > MAX_FEED_BYTES:
        raise Malformed(f"youtube feed: {len(body)} bytes")
    plain = body.replace(b"\0", b"")  # as it reads in UTF-16
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise Malformed("youtube feed: declares a document type")
    try:
        root = ET.fromstring(body)  # noqa: S314 (no document type can be declared, see above)
    except (ET.ParseError, LookupError, ValueError) as error:
        raise Malformed(f"youtube feed: {error}") from error
    if root.tag != f"{ATOM}feed":
        raise Malformed(f"youtube feed: the root is {root.tag[:60]!r}")
    entries = [_entry(element) for element in root.findall(f"{ATOM}entry")]
    return Feed(
        title=_text(root, f"{ATOM}title"),
        entries=tuple(entry for entry in entries if entry is not None),
        deleted=tuple(_tombstone(element) for element in root.findall(f"{TOMBSTONE}deleted-entry")),
    )


def _entry(element: ET.Element) -> FeedEntry | None:
    video_id, channel_id = _text(element, f"{YT}videoId"), _text(element, f"{YT}channelId")
    published_at = _instant(_text(element, f"{ATOM}published"))
    if not PLATFORM_ID.fullmatch(video_id) or published_at is None:
        return None
    group = element.find(f"{MEDIA}group")
    community = None if group is None else group.find(f"{MEDIA}community")
    link = element.find(f"{ATOM}link[@rel='alternate']")
    return FeedEntry(
        video_id=video_id,
        channel_id=channel_id,
        title=_text(element, f"{ATOM}title"),
        published_at=published_at,
        updated_at=_instant(_text(element, f"{ATOM}updated")),
        description="" if group is None else _text(group, f"{MEDIA}description"),
        is_short=link is not None and "/shorts/" in link.get("href", ""),
        views=_attribute(community, f"{MEDIA}statistics", "views"),
        likes=_attribute(community, f"{MEDIA}starRating", "count") or None,
    )


def _tombstone(element: ET.Element) -> tuple[str, str]:
    """The channel is only named by the address of who deleted."""
    uri = _text(element, f"{TOMBSTONE}by/{TOMBSTONE}uri") or _text(element, f"{TOMBSTONE}by/{ATOM}uri")
    return element.get("ref", "").removeprefix("yt:video:"), uri.partition("/channel/")[2].partition("/")[0]


def _text(element: ET.Element, path: str) -> str:
    found = element.find(path)
    return (found.text or "") if found is not None else ""


def _attribute(parent: ET.Element | None, path: str, name: str) -> int | None:
    found = None if parent is None else parent.find(path)
    text = "" if found is None else found.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def _instant(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int(moment.timestamp()) if moment.tzinfo and 1990 <= moment.year <= 2200 else None
