"""search.list and the chart of popular videos (platform-apis 1.6, 1.8)."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from daemon.regions import REGIONS
from daemon.simulator.feeds import SHORT_SECONDS
from daemon.simulator.posting import DAY_SECONDS
from daemon.simulator.present import PresentWorld
from daemon.simulator.world import Channel, Video
from daemon.simulator.youtube import (
    CATEGORIES,
    VIDEO_PARTS,
    ApiError,
    YouTube,
    etag_of,
    instant,
    list_reply,
    page_size,
    page_start,
    page_token,
    parts_of,
)

REACHABLE_HITS = 500
CHART_DAYS, CHART_SIZE = 14, 200
LAG_SECONDS = 3_600
"""How far search and chart may lag behind the schedule; events show at once."""
DESCRIPTION_CHARACTERS = 160

_VIDEO_FILTERS = ("videoCategoryId", "videoDuration", "eventType")
_DURATIONS = {"any": (0, 10**9), "short": (0, 239), "medium": (240, 1_200), "long": (1_201, 10**9)}


class _Hit(msgspec.Struct):
    """A channel, or a video of one."""

    channel: Channel
    video: Video | None
    published_at: int
    views: int
    rank: int
    """How many of the asked words it holds."""


class _Listed(NamedTuple):
    channel: Channel
    video: Video
    text: str
    """Where words are sought, casefolded."""


class Search:
    """Linear scans over what was out within the last hour: a hundred searches a day need no better index."""

    def __init__(self, present: PresentWorld, youtube: YouTube) -> None:
        self._present, self._youtube = present, youtube
        self._listed: tuple[float, int, list[_Listed]] = (float("-inf"), 0, [])
        self._popular: list[_Listed] = []

    def search(self, params: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
        """The reply and the ids it serves; each page is a call."""
        parts_of(params, {"snippet", "id"})
        kinds = _kinds(params)
        size, begin = page_size(params), page_start(params)
        hits = sorted(self._hits(params, kinds), key=_order(params.get("order", "relevance")))[:REACHABLE_HITS]
        page = hits[begin : begin + size]
        reply = list_reply("youtube#searchListResponse", [_item(hit) for hit in page], total=len(hits), size=size)
        reply["regionCode"] = params.get("regionCode", "US")
        if begin + size < len(hits):
            reply["nextPageToken"] = page_token(begin + size)
        return reply, [_identity(hit)[2] for hit in page]

    def chart(self, params: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
        """``videos?chart=mostPopular``, of one region and category or of all."""
        parts = parts_of(params, VIDEO_PARTS)
        region, category = params.get("regionCode", ""), params.get("videoCategoryId", "0")
        if params["chart"] != "mostPopular" or category not in (*CATEGORIES, "0"):
            raise ApiError(400, "videoChartNotFound", "The requested video chart is not supported or is not available.", domain="youtube.video")  # fmt: skip
        if region and region not in REGIONS:
            raise ApiError(400, "invalidRegionCode", "The region code is invalid.", domain="youtube.parameter")
        self._refresh()
        found = [
            listed.video
            for listed in self._popular
            if region in ("", listed.channel.country) and category in ("0", listed.video.category_id)
        ][:CHART_SIZE]
        size, begin = page_size(params), page_start(params)
        page = [video for one in found[begin : begin + size] if (video := self._present.video(one.id))]
        page = [video for video in page if not video.hidden]
        items = [self._youtube.video_item(video, parts) for video in page]
        reply = list_reply("youtube#videoListResponse", items, total=len(found), size=size)
        if begin + size < len(found):
            reply["nextPageToken"] = page_token(begin + size)
        return reply, [video.id for video in page]

    def _refresh(self) -> list[_Listed]:
        """All public videos; ``_popular`` are the recent ones by views, most first."""
        made_at, version, listed = self._listed
        now = self._present.clock()
        if now - made_at < LAG_SECONDS and version == self._present.version:
            return listed
        listed = [
            _Listed(channel, video, f"{video.title} {' '.join(video.tags)}".casefold())
            for channel in self._present.channels()
            for video in self._present.videos_of(channel.id)
            if not video.hidden
        ]
        recent = [one for one in listed if one.video.published_at >= now - CHART_DAYS * DAY_SECONDS]
        self._popular = sorted(recent, key=lambda one: (-(one.video.views or 0), one.video.id))
        self._listed = (now, self._present.version, listed)
        return listed

    def _hits(self, params: Mapping[str, str], kinds: set[str]) -> list[_Hit]:
        words = params.get("q", "").casefold().split()
        only = params.get("channelId", "").split(",")[0]
        fits = _filter(params)
        hits: list[_Hit] = []
        if "channel" in kinds:
            hits += [_of_channel(channel, words) for channel in self._present.channels() if only in ("", channel.id)]
        if "video" in kinds:
            for channel, video, text in self._refresh():
                rank = sum(word in text for word in words)
                if (rank or not words) and only in ("", channel.id):
                    hits.append(_Hit(channel, video, video.published_at, video.views or 0, rank))
        return [hit for hit in hits if (hit.rank or not words) and fits(hit)]


def _kinds(params: Mapping[str, str]) -> set[str]:
    kinds = {kind for kind in params.get("type", "video,channel,playlist").split(",") if kind}
    if kinds - {"video", "channel", "playlist"}:
        raise ApiError(400, "invalidParameter", "Invalid value for type.", domain="global")
    if kinds != {"video"} and any(name in params for name in _VIDEO_FILTERS):
        raise ApiError(400, "invalidSearchFilter", "The request contains an invalid combination of search filters: the <code>type</code> must be <code>video</code>.", domain="youtube.search")  # fmt: skip
    return kinds


def _of_channel(channel: Channel, words: list[str]) -> _Hit:
    text = f"{channel.title} {channel.description} {channel.keywords}".casefold()
    rank = sum(word in text for word in words)
    return _Hit(channel, None, channel.published_at or 0, channel.view_count or 0, rank)


def _filter(params: Mapping[str, str]) -> Callable[[_Hit], bool]:
    """Region and language only prefer, on the platform; here the language decides, so that a test can see it."""
    after, before = _bound(params, "publishedAfter", 0), _bound(params, "publishedBefore", 1 << 40)
    language, category = params.get("relevanceLanguage"), params.get("videoCategoryId")
    name = params.get("videoDuration", "any")
    if name not in _DURATIONS:
        raise ApiError(400, "invalidParameter", f"Invalid value '{name}' for videoDuration.", domain="global")
    shortest, longest = _DURATIONS[name]

    def fits(hit: _Hit) -> bool:
        video = hit.video
        if not after <= hit.published_at < before:
            return False
        if video is None:
            return language in (None, "", hit.channel.default_language)
        seconds = SHORT_SECONDS if video.duration_seconds is None else video.duration_seconds
        return (
            language in (None, "", video.language)
            and category in (None, "", video.category_id)
            and shortest <= seconds <= longest
        )

    return fits


def _bound(params: Mapping[str, str], name: str, otherwise: int) -> float:
    if name not in params:
        return otherwise
    try:
        return datetime.fromisoformat(params[name]).timestamp()
    except ValueError as error:
        raise ApiError(
            400, "invalidParameter", f"Invalid value '{params[name]}' for {name}.", domain="global"
        ) from error


def _order(name: str) -> Callable[[_Hit], tuple[Any, ...]]:
    orders: dict[str, Callable[[_Hit], tuple[Any, ...]]] = {
        "relevance": lambda hit: (-hit.rank, -hit.views, _identity(hit)[2]),
        "date": lambda hit: (-hit.published_at, _identity(hit)[2]),
        "viewCount": lambda hit: (-hit.views, _identity(hit)[2]),
        "title": lambda hit: ((hit.video or hit.channel).title, _identity(hit)[2]),
    }
    orders["rating"] = orders["videoCount"] = orders["viewCount"]
    if name not in orders:
        raise ApiError(400, "invalidParameter", f"Invalid value '{name}' for order.", domain="global")
    return orders[name]


def _identity(hit: _Hit) -> tuple[str, str, str]:
    """(kind, name of the id, id)."""
    if hit.video is None:
        return "youtube#channel", "channelId", hit.channel.id
    return "youtube#video", "videoId", hit.video.id


def _item(hit: _Hit) -> dict[str, Any]:
    """Titles are HTML-escaped here and nowhere else; descriptions are cut."""
    kind, name, identity = _identity(hit)
    shown = hit.video or hit.channel
    snippet = {
        "publishedAt": instant(hit.published_at),
        "channelId": hit.channel.id,
        "title": html.escape(shown.title),
        "description": shown.description[:DESCRIPTION_CHARACTERS],
        "thumbnails": {},
        "channelTitle": html.escape(hit.channel.title),
        "liveBroadcastContent": "none",
        "publishTime": instant(hit.published_at),
    }
    item = {"kind": "youtube#searchResult", "id": {"kind": kind, name: identity}, "snippet": snippet}
    return {"kind": item["kind"], "etag": etag_of(item)} | item
