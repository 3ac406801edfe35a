"""YouTube Data API v3 as it answers (platform-apis 1.3 to 1.10)."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from daemon.simulator.faults import FaultDraw, Faults
from daemon.simulator.present import PresentWorld
from daemon.simulator.world import Channel, Video, World

MAX_RESULTS = 50
DEFAULT_RESULTS = 5
CATEGORIES = {
    "1": "Film & Animation", "2": "Autos & Vehicles", "10": "Music", "15": "Pets & Animals", "17": "Sports",
    "19": "Travel & Events", "20": "Gaming", "22": "People & Blogs", "23": "Comedy", "24": "Entertainment",
    "25": "News & Politics", "26": "Howto & Style", "27": "Education", "28": "Science & Technology",
    "29": "Nonprofits & Activism",
}  # fmt: skip
VIDEO_PARTS = {
    "snippet",
    "contentDetails",
    "statistics",
    "status",
    "liveStreamingDetails",
    "topicDetails",
    "paidProductPlacementDetails",
}


class ApiError(Exception):
    """An error as the API words it."""

    def __init__(self, code: int, reason: str, message: str, *, domain: str = "youtube", **extra: Any) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.domain, self.extra = code, reason, message, domain, extra

    def body(self) -> dict[str, Any]:
        entry = {"message": self.message, "domain": self.domain, "reason": self.reason}
        return {"error": {"code": self.code, "message": self.message, "errors": [entry]} | self.extra}


class YouTube:
    """Answers to list calls, as plain dicts; ``clock`` decides which videos are out.

    ``present`` and ``draw`` stand in for a world that lives and for faults; without them nothing but ``world`` shows.
    """

    def __init__(
        self,
        world: World,
        clock: Callable[[], float],
        seed: int,
        *,
        present: PresentWorld | None = None,
        draw: FaultDraw | None = None,
    ) -> None:
        self._present = present or PresentWorld(world, clock)
        self._draw = draw or FaultDraw(Faults(seed=seed))
        self._shuffle = random.Random(seed)

    def channels(self, params: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
        """The reply and the ids it serves."""
        parts = parts_of(
            params, {"snippet", "statistics", "contentDetails", "brandingSettings", "topicDetails", "status"}
        )
        found = self._find_channels(params)
        self._shuffle.shuffle(found)
        items = [self._channel(channel, parts) for channel in found]
        return list_reply("youtube#channelListResponse", items, omit_empty=True), [one.id for one in found]

    def playlist_items(self, params: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
        parts = parts_of(params, {"snippet", "contentDetails", "status", "id"})
        playlist = params.get("playlistId", "")
        if not playlist:
            raise ApiError(400, "missingRequiredParameter", "No filter selected.", domain="youtube.parameter")
        channel = self._present.channel("UC" + playlist[2:]) if playlist.startswith("UU") else None
        videos = self._present.videos_of(channel.id) if channel else []
        if channel is None or not videos:
            raise ApiError(
                404,
                "playlistNotFound",
                "The playlist identified with the request's <code>playlistId</code> parameter cannot be found.",
                domain="youtube.playlistItem",
            )
        size, begin = page_size(params), page_start(params)
        page = videos[begin : begin + size]
        items = [_playlist_item(video, channel, playlist, begin + at, parts) for at, video in enumerate(page)]
        reply = list_reply("youtube#playlistItemListResponse", items, total=len(videos), size=size)
        if begin + size < len(videos):
            reply["nextPageToken"] = page_token(begin + size)
        return reply, [f"{playlist}|{begin}"]

    def videos(self, params: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
        parts = parts_of(params, VIDEO_PARTS)
        found = self._find_videos(params)
        self._shuffle.shuffle(found)
        items = [self.video_item(video, parts) for video in found]
        return list_reply("youtube#videoListResponse", items), [one.id for one in found]

    def stats(self, params: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
        """``videos:batchGetStats`` (platform-apis 1.7): not atomic, so some items may be missing."""
        parts = parts_of(params, {"id", "snippet", "contentDetails", "statistics"})
        missing_share = self._draw.faults.stats_missing_share
        found = [video for video in self._find_videos(params) if not self._draw.chance(missing_share)]
        self._shuffle.shuffle(found)
        reply = list_reply("youtube#batchGetStatsResponse", [_stats_item(video, parts) for video in found])
        del reply["pageInfo"]
        return reply, [one.id for one in found]

    def categories(self, params: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
        parts_of(params, {"snippet"})
        items = [
            {"kind": "youtube#videoCategory", "etag": etag_of([number, title]), "id": number, "snippet": {"title": title, "assignable": True, "channelId": "UCBR8-60-B28hp2BmDPdntcQ"}}
            for number, title in CATEGORIES.items()
        ]  # fmt: skip
        return list_reply("youtube#videoCategoryListResponse", items), []

    def _find_channels(self, params: Mapping[str, str]) -> list[Channel]:
        if "forHandle" in params or "forUsername" in params:
            channel = self._present.channel_named(params.get("forHandle", params.get("forUsername", "")))
            return [channel] if channel else []
        return [channel for one in _ids(params) if (channel := self._present.channel(one))]

    def _find_videos(self, params: Mapping[str, str]) -> list[Video]:
        found = [video for one in _ids(params) if (video := self._present.video(one))]
        return [video for video in found if not video.hidden]

    def _channel(self, channel: Channel, parts: set[str]) -> dict[str, Any]:
        thumbnail = f"https://yt3.ggpht.com/simulated/{channel.id}=s{{0}}"
        snippet: dict[str, Any] = {
            "title": channel.title,
            "description": channel.description,
            "thumbnails": {
                name: {"url": thumbnail.format(size), "width": size, "height": size}
                for name, size in (("default", 88), ("medium", 240), ("high", 800))
            },
            "localized": {"title": channel.title, "description": channel.description},
        }
        if channel.published_at:
            snippet["publishedAt"] = instant(channel.published_at)
        if channel.handle:
            snippet["customUrl"] = "@" + channel.handle.lower()
        if channel.country:
            snippet["country"] = channel.country
        if channel.default_language:
            snippet["defaultLanguage"] = channel.default_language
        branding = {
            "channel": {"title": channel.title, "keywords": channel.keywords}
            if channel.keywords
            else {"title": channel.title}
        }
        item = {
            "snippet": snippet,
            "statistics": self._statistics(channel),
            "contentDetails": {"relatedPlaylists": {"likes": "", "uploads": "UU" + channel.id[2:]}},
            "brandingSettings": branding,
            "topicDetails": {"topicCategories": channel.topics} if channel.topics else {},
            "status": {"privacyStatus": "public", "isLinked": True, "longUploadsStatus": "longUploadsUnspecified"},
        }
        return _with_etag({"kind": "youtube#channel", "id": channel.id}, item, parts)

    def _statistics(self, channel: Channel) -> dict[str, Any]:
        statistics: dict[str, Any] = {
            "viewCount": str(channel.view_count or 0),
            "hiddenSubscriberCount": channel.subscribers is None,
            "videoCount": str(self._present.video_count(channel)),
        }
        if channel.subscribers is not None:
            statistics["subscriberCount"] = str(floor_to_three_figures(channel.subscribers))
        elif channel.hidden_as_zero:
            statistics["subscriberCount"] = "0"
        return statistics

    def video_item(self, video: Video, parts: set[str]) -> dict[str, Any]:
        channel = self._present.channel(video.channel_id)
        assert channel is not None  # a gone channel has no videos
        snippet: dict[str, Any] = {
            "publishedAt": instant(video.published_at),
            "channelId": video.channel_id,
            "title": video.title,
            "description": video.description,
            "thumbnails": {
                "default": {"url": f"https://i.ytimg.com/vi/{video.id}/default.jpg", "width": 120, "height": 90}
            },
            "channelTitle": channel.title,
            "liveBroadcastContent": "none",
            "localized": {"title": video.title, "description": video.description},
        }
        if video.tags:
            snippet["tags"] = video.tags
        if video.category_id:
            snippet["categoryId"] = video.category_id
        if video.language:
            snippet["defaultAudioLanguage"] = video.language
        statistics = {"viewCount": video.views, "likeCount": video.likes, "commentCount": video.comments}
        content: dict[str, Any] = {"dimension": "2d", "definition": "hd", "caption": "false", "licensedContent": True, "projection": "rectangular", "contentRating": {}}  # fmt: skip
        if video.duration_seconds is not None:
            content["duration"] = iso_duration(video.duration_seconds)
        item: dict[str, Any] = {
            "snippet": snippet,
            "contentDetails": content,
            "statistics": {name: str(count) for name, count in statistics.items() if count is not None} | {"favoriteCount": "0"},
            "status": {"uploadStatus": "processed", "privacyStatus": "public", "license": "youtube", "embeddable": True, "publicStatsViewable": True, "madeForKids": False},
            "paidProductPlacementDetails": {"hasPaidProductPlacement": video.paid_promotion},
        }  # fmt: skip
        if video.live:
            item["liveStreamingDetails"] = {"actualStartTime": instant(video.published_at)}
        return _with_etag({"kind": "youtube#video", "id": video.id}, item, parts)


def floor_to_three_figures(count: int) -> int:
    step = 10 ** max(len(str(count)) - 3, 0)
    return int(count // step * step)


def iso_duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = "".join(f"{value}{letter}" for value, letter in ((hours, "H"), (minutes, "M"), (rest, "S")) if value)
    return f"PT{text}" if text else "P0D"


def _stats_item(video: Video, parts: set[str]) -> dict[str, Any]:
    """The duration is a google-duration (``213s``), not ISO 8601."""
    counts = {"viewCount": video.views, "likeCount": video.likes, "commentCount": video.comments}
    duration = video.duration_seconds
    item: dict[str, Any] = {
        "snippet": {"publishTime": instant(video.published_at)},
        "contentDetails": {} if duration is None else {"duration": f"{duration}s", "durationMillis": str(duration * 1_000)},
        "statistics": {name: str(count) for name, count in counts.items() if count is not None},
    }  # fmt: skip
    return _with_etag({"kind": "youtube#videoStats", "id": video.id}, item, parts)


def _with_etag(head: dict[str, Any], item: dict[str, Any], parts: set[str]) -> dict[str, Any]:
    """The parts asked for; the etag changes with what they say."""
    whole = head | {part: value for part, value in item.items() if part in parts and value}
    return {"kind": whole["kind"], "etag": etag_of(whole)} | whole


def _playlist_item(video: Video, channel: Channel, playlist: str, position: int, parts: set[str]) -> dict[str, Any]:
    title = {"private": "Private video", "deleted": "Deleted video"}.get(video.hidden, video.title)
    content: dict[str, Any] = {"videoId": video.id}
    snippet: dict[str, Any] = {
        "publishedAt": instant(video.published_at),
        "channelId": channel.id,
        "title": title,
        "description": "" if video.hidden else video.description,
        "thumbnails": {},
        "channelTitle": channel.title,
        "playlistId": playlist,
        "position": position,
        "resourceId": {"kind": "youtube#video", "videoId": video.id},
    }
    if not video.hidden:
        content["videoPublishedAt"] = instant(video.published_at)
        snippet |= {"videoOwnerChannelTitle": channel.title, "videoOwnerChannelId": channel.id}
    item = {
        "snippet": snippet,
        "contentDetails": content,
        "status": {"privacyStatus": "private" if video.hidden == "private" else "public"},
    }
    identity = base64.b64encode(f"{playlist}.{video.id}".encode()).decode()
    return _with_etag({"kind": "youtube#playlistItem", "id": identity}, item, parts)


def list_reply(
    kind: str,
    items: list[dict[str, Any]],
    *,
    total: int | None = None,
    size: int | None = None,
    omit_empty: bool = False,
) -> dict[str, Any]:
    reply: dict[str, Any] = {
        "kind": kind,
        "etag": etag_of([kind, total, sorted(item["etag"] for item in items)]),
        "pageInfo": {
            "totalResults": len(items) if total is None else total,
            "resultsPerPage": len(items) if size is None else size,
        },
    }
    if items or not omit_empty:
        reply["items"] = items
    return reply


def parts_of(params: Mapping[str, str], known: set[str]) -> set[str]:
    parts = {part for part in params.get("part", "").split(",") if part}
    if not parts:
        raise ApiError(
            400, "missingRequiredParameter", "Required parameter: <code>part</code>", domain="youtube.parameter"
        )
    unknown = parts - known
    if unknown:
        raise ApiError(400, "unknownPart", f"'{sorted(unknown)[0]}'", domain="youtube.part")
    return parts


def _ids(params: Mapping[str, str]) -> list[str]:
    ids = [one for one in params.get("id", "").split(",") if one]
    if not ids:
        raise ApiError(
            400, "missingRequiredParameter", "No filter selected. Expected one of: id", domain="youtube.parameter"
        )
    if len(ids) > MAX_RESULTS:
        raise ApiError(
            400, "invalidFilters", "The request specifies an invalid filter: too many ids.", domain="youtube.parameter"
        )
    return list(dict.fromkeys(ids))


def page_size(params: Mapping[str, str]) -> int:
    text = params.get("maxResults", str(DEFAULT_RESULTS))
    if not text.isdecimal() or int(text) > MAX_RESULTS:
        raise ApiError(400, "invalidParameter", f"Invalid value '{text}' for maxResults.", domain="global")
    return max(int(text), 1)


def page_start(params: Mapping[str, str]) -> int:
    token = params.get("pageToken")
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token.encode()).decode().removeprefix("page:"))
    except ValueError as error:
        raise ApiError(
            400, "invalidPageToken", "The request specifies an invalid page token.", domain="youtube.parameter"
        ) from error


def page_token(begin: int) -> str:
    return base64.urlsafe_b64encode(f"page:{begin}".encode()).decode()


def etag_of(content: Any) -> str:
    """27 characters of base64url, a function of the content."""
    digest = hashlib.blake2b(msgspec.json.encode(content), digest_size=20).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
