"""YouTube Data API v3: requests, quota cost, error mapping, normalisation (platform-apis 1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx2
import msgspec
import trio

from actors.platforms.adapter import CallCost, Fetched, read_each
from actors.platforms.feed_health import FeedHealth, FeedNews
from actors.platforms.youtube_feed import FeedEntry, parse_feed
from actors.platforms.youtube_wire import (
    CHANNEL_ID,
    PLATFORM_ID,
    Channel,
    ChannelReply,
    ErrorBody,
    ErrorReply,
    FoundItem,
    FoundReply,
    PlaylistItem,
    PlaylistReply,
    Thumbnail,
    Video,
    VideoReply,
    VideoStats,
)
from proto.errors import AuthFailed, Malformed, PokedexError, Rejected, Throttled, Unavailable
from proto.ids import AccountKey, Platform, account_key, split_account_key
from proto.records import (
    LISTINGS,
    ContentCounts,
    ContentItem,
    ContentType,
    CreatorAccount,
    Job,
    JobKind,
    Normalised,
    RawPage,
)

PAGE_SIZE = 50
"""Most ids or entries a list call takes (platform-apis 1.4 to 1.6)."""

MAX_REPLY_BYTES = 20_000_000

_PATHS = {
    JobKind.LOOKUP: "channels",
    JobKind.PROFILE: "channels",
    JobKind.UPLOADS: "playlistItems",
    JobKind.NEWS: "playlistItems",
    JobKind.BACKFILL: "playlistItems",
    JobKind.CONTENT: "videos",
    JobKind.REVISIT: "videos",
    JobKind.BACKFILL_CONTENT: "videos",
    JobKind.CHART: "videos",
    JobKind.SEARCH: "search",
    JobKind.STATS: "videos:batchGetStats",
}
_OF_VIDEOS = {JobKind.CONTENT, JobKind.BACKFILL_CONTENT, JobKind.REVISIT, JobKind.STATS}
_PACKED = {JobKind.PROFILE, *_OF_VIDEOS}
_BUCKETS = {JobKind.STATS: "stats", JobKind.SEARCH: "search"}
_DISCOVERIES = {JobKind.CHART, JobKind.SEARCH}
_PAGE_KINDS = {JobKind.BACKFILL_CONTENT: JobKind.CONTENT}
"""How details are read does not depend on why they were asked for."""
_VIDEO_PARTS = "snippet,contentDetails,statistics,status,liveStreamingDetails,paidProductPlacementDetails"
_PARTS = {
    JobKind.LOOKUP: "snippet,statistics,brandingSettings,topicDetails",
    JobKind.PROFILE: "snippet,statistics,brandingSettings,topicDetails",
    JobKind.UPLOADS: "snippet,contentDetails,status",
    JobKind.NEWS: "snippet,contentDetails,status",
    JobKind.BACKFILL: "snippet,contentDetails,status",
    JobKind.CONTENT: _VIDEO_PARTS,
    JobKind.REVISIT: _VIDEO_PARTS,
    JobKind.BACKFILL_CONTENT: _VIDEO_PARTS,
    JobKind.CHART: "snippet",
    JobKind.SEARCH: "snippet",
    JobKind.STATS: "id,statistics",
}
_DAILY = {"quotaExceeded", "dailyLimitExceeded"}
_RATE = {"rateLimitExceeded", "userRateLimitExceeded"}
_TRANSIENT = {"backendError", "internalError", "SERVICE_UNAVAILABLE"}
_AUTH = {
    "keyInvalid",
    "API_KEY_INVALID",
    "API_KEY_SERVICE_BLOCKED",
    "API_KEY_IP_ADDRESS_BLOCKED",
    "API_KEY_HTTP_REFERRER_BLOCKED",
    "accessNotConfigured",
    "SERVICE_DISABLED",
    "CONSUMER_SUSPENDED",
    "authError",
}
_HIDDEN_TITLES = {"Private video", "Deleted video"}
_DURATION = re.compile(r"P(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?", re.ASCII)
_TERM = re.compile(r'"([^"]*)"|(\S+)')

Reply = TypeVar("Reply")

_NEWS = {
    FeedNews.DOWN: "most feeds fail, the last with {reason}; the API is asked for an hour",
    FeedNews.FAILING: "many feeds fail, the last with {reason}; the API is asked for those",
    FeedNews.WELL: "feeds answer again",
}


class YouTubeAdapter:
    """One API project, be it with several keys: they share its quota (platform-apis 5, III.D.1.c).

    A key travels in a header, so that no URL in a log or a stored request holds it.
    """

    platform = Platform.YOUTUBE

    def __init__(
        self,
        client: httpx2.AsyncClient,
        *,
        base_url: str,
        feeds_url: str,
        keys: Sequence[str],
        now: Callable[[], float],
        timeout_seconds: float,
    ) -> None:
        self._client, self._base_url = client, base_url.rstrip("/")
        self._keys = {f"key {number} of {len(keys)}": key for number, key in enumerate(keys, 1)}
        self._calls, self._notes = 0, list[tuple[str, str]]()
        self._feeds_url, self._now, self._timeout_seconds = feeds_url, now, timeout_seconds
        self._feed_health = FeedHealth()

    def call_size(self, kind: JobKind) -> int:
        return PAGE_SIZE if kind in _PACKED else 1

    def cost(self, kind: JobKind) -> CallCost:
        """A list call costs one unit of the general bucket, batched counts and searches one of theirs, a feed nothing."""
        if kind is JobKind.FEED:
            return CallCost(buckets=(), units=0, pace="feed")
        return CallCost(buckets=(_BUCKETS.get(kind, "general"),), units=1)

    async def perform(self, jobs: Sequence[Job], bucket: str) -> Fetched:
        kind = jobs[0].kind
        if kind is JobKind.FEED:
            return await self._feed(jobs[0])
        params = _params(kind, jobs)
        request = f"GET /{_PATHS[kind]}?" + "&".join(f"{name}={value}" for name, value in params.items())
        try:
            body = await self._get(_PATHS[kind], params, bucket)
        except Rejected as error:
            if kind in LISTINGS and error.reason in ("playlistNotFound", "playlistItemsNotAccessible"):
                return Fetched(pages=[], missing=[])  # a channel without public uploads (platform-apis 1.5)
            if kind is JobKind.LOOKUP and error.reason in ("channelNotFound", "invalidCriteria"):
                return Fetched(pages=[], missing=list(jobs))
            if kind in _DISCOVERIES and jobs[0].page_token and error.reason == "invalidPageToken":
                return Fetched(pages=[], missing=[])  # it begins anew next time (platform-apis 1.10)
            raise
        fetched = _split(kind, jobs, body, request, int(self._now()))
        fetched.notes, self._notes = self._notes, []
        return fetched

    def normalise(self, page: RawPage) -> Normalised:
        if page.kind in (JobKind.PROFILE, JobKind.LOOKUP):
            return _normalise_channel(page)
        if page.kind in LISTINGS:
            return _normalise_uploads(page)
        if page.kind is JobKind.FEED:
            return _normalise_feed(page)
        if page.kind is JobKind.STATS:
            return _normalise_stats(page)
        return _normalise_videos(page)

    async def _feed(self, job: Job) -> Fetched:
        """A feed that fails says nothing of its channel: the job counts as missing, and the API is asked instead."""
        now = self._now()
        if self._feed_health.resting(now):
            return Fetched(pages=[], missing=[job])
        body, reason = await self._feed_body(job.entity)
        news = self._feed_health.note(not reason, now)
        notes = [(news.value, _NEWS[news].format(reason=reason))] if news is not None else []
        if reason:
            return Fetched(pages=[], missing=[job], notes=notes)
        assert job.account_key is not None
        page = _page(JobKind.FEED, job.account_key, body, f"GET feed of {job.entity}", int(now))
        return Fetched(pages=[page], missing=[], notes=notes)

    async def _feed_body(self, channel_id: str) -> tuple[bytes, str]:
        """The body, or why there is none."""
        try:
            with trio.fail_after(self._timeout_seconds):
                reply = await self._client.get(self._feeds_url, params={"channel_id": channel_id})
            parse_feed(reply.content) if reply.status_code == 200 else None
        except (httpx2.HTTPError, httpx2.InvalidURL, Malformed) as error:
            return b"", f"{type(error).__name__}: {error}"
        except trio.TooSlowError:
            return b"", f"no answer within {self._timeout_seconds:g} s"
        return (reply.content, "") if reply.status_code == 200 else (b"", f"status {reply.status_code}")

    async def _get(self, path: str, params: dict[str, str], bucket: str) -> bytes:
        """By the keys in turn; one that is refused is left out from then on. Raises AuthFailed once none is left."""
        while len(self._keys) > 1:
            name = self._next_key()
            try:
                return await self._get_by(self._keys[name], path, params, bucket)
            except AuthFailed as error:
                if name in self._keys and len(self._keys) > 1:  # others may have met refusals meanwhile
                    del self._keys[name]
                    self._notes.append(("key_disabled", f"{name}: {error}; the others go on"))
        return await self._get_by(next(iter(self._keys.values()), ""), path, params, bucket)

    def _next_key(self) -> str:
        self._calls += 1
        return list(self._keys)[self._calls % len(self._keys)]

    async def _get_by(self, key: str, path: str, params: dict[str, str], bucket: str) -> bytes:
        try:
            with trio.fail_after(self._timeout_seconds):
                reply = await self._client.get(
                    f"{self._base_url}/{path}",
                    params=params,
                    headers={"X-goog-api-key": key, "User-Agent": "pokedexd (gzip)"},
                )
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unavailable(f"youtube {path}: {type(error).__name__}: {error}") from error
        except trio.TooSlowError:
            raise Unavailable(f"youtube {path}: no answer within {self._timeout_seconds:g} s") from None
        if reply.status_code != 200:
            body = reply.content.replace(key.encode(), b"(key)") if key else reply.content  # some refusals repeat it
            raise _failure(path, bucket, reply.status_code, body, reply.headers.get("retry-after"))
        if len(reply.content) > MAX_REPLY_BYTES:
            raise Malformed(f"youtube {path}: a reply of {len(reply.content)} bytes")
        return reply.content


def _params(kind: JobKind, jobs: Sequence[Job]) -> dict[str, str]:
    params = {"part": _PARTS[kind], "maxResults": str(PAGE_SIZE)}
    if kind in LISTINGS:
        params["playlistId"] = "UU" + jobs[0].entity[2:]
        if jobs[0].page_token:
            params["pageToken"] = jobs[0].page_token
    elif kind in _DISCOVERIES:
        params |= _discovery_filter(jobs[0])
    elif kind is JobKind.LOOKUP:
        name, value = _lookup_filter(jobs[0].entity)
        params[name] = value
    else:
        params["id"] = ",".join(job.entity for job in jobs)
    if kind in _OF_VIDEOS:
        del params["maxResults"]  # not usable together with id (platform-apis 1.6)
    return params


def _discovery_filter(job: Job) -> dict[str, str]:
    wanted = (
        {"chart": "mostPopular", "regionCode": job.entity}
        if job.kind is JobKind.CHART
        else {"type": "channel", "q": job.entity}
    )
    return wanted | ({"pageToken": job.page_token} if job.page_token else {})


def _lookup_filter(entity: str) -> tuple[str, str]:
    """``@handle`` or ``user/legacy``."""
    if entity.startswith("user/"):
        return "forUsername", entity.removeprefix("user/")
    return "forHandle", entity


def _split(kind: JobKind, jobs: Sequence[Job], body: bytes, request: str, fetched_at: int) -> Fetched:
    """Cuts a reply into one page per account, so that an account's raw data can be kept and erased by itself."""
    if kind in LISTINGS:
        job = jobs[0]
        assert job.account_key is not None
        _decode(PlaylistReply, body, "playlistItems")
        page = _page(kind, job.account_key, body, request, fetched_at)
        page.listed_before, page.walked = job.listed_before, job.walked
        return Fetched(pages=[page], missing=[])
    if kind in _DISCOVERIES:
        return _found(_decode(FoundReply, body, _PATHS[kind]))
    envelope: dict[str, Any] = _decode(dict[str, Any], body, _PATHS[kind])
    items = envelope.get("items", [])
    if not isinstance(items, list) or not all(
        isinstance(item, dict) and isinstance(item.get("id"), str) for item in items
    ):
        raise Malformed(f"youtube {_PATHS[kind]}: $.items is not a list of things with an id")
    if kind in _OF_VIDEOS:
        return _split_videos(kind, jobs, items, fetched_at)
    return _split_channels(kind, jobs, items, request, fetched_at)


def _found(reply: FoundReply) -> Fetched:
    """The channels of a search or chart, each once, in its order; items that name none are of no use."""
    items, _ = read_each(reply.items, FoundItem, lambda item: item.snippet.channel_id or None)
    ids = dict.fromkeys(channel for channel in items if CHANNEL_ID.fullmatch(channel))
    keys = [account_key(Platform.YOUTUBE, channel) for channel in ids]
    return Fetched(pages=[], missing=[], found=keys, next_page_token=reply.next_page_token)


def _split_channels(
    kind: JobKind, jobs: Sequence[Job], items: list[dict[str, Any]], request: str, fetched_at: int
) -> Fetched:
    asked = {job.entity for job in jobs}
    items = [
        item for item in items if (kind is JobKind.LOOKUP or item["id"] in asked) and PLATFORM_ID.fullmatch(item["id"])
    ]
    keys = {item["id"]: account_key(Platform.YOUTUBE, item["id"]) for item in items}
    masked = request if kind is JobKind.LOOKUP else f"GET /channels?part={_PARTS[kind]}&id=(pack of {len(jobs)})"
    pages = [
        _page(JobKind.PROFILE, keys[item["id"]], msgspec.json.encode({"items": [item]}), masked, fetched_at)
        for item in items
    ]
    if kind is JobKind.LOOKUP:
        if not keys:
            return Fetched(pages=[], missing=list(jobs))
        return Fetched(pages=pages, missing=[], looked_up={jobs[0].entity: keys[items[0]["id"]]})
    return Fetched(pages=pages, missing=[job for job in jobs if job.entity not in keys])


def _split_videos(kind: JobKind, jobs: Sequence[Job], items: list[dict[str, Any]], fetched_at: int) -> Fetched:
    wanted = {job.entity: job for job in jobs}
    by_account: dict[AccountKey, list[dict[str, Any]]] = {}
    for item in items:
        job = wanted.pop(item["id"], None)
        if job is not None and job.account_key is not None:
            by_account.setdefault(job.account_key, []).append(item)
    masked = f"GET /{_PATHS[kind]}?part={_PARTS[kind]}&id=(pack of {len(jobs)})"
    pages = [
        _page(kind, key, msgspec.json.encode({"items": videos}), masked, fetched_at)
        for key, videos in by_account.items()
    ]
    return Fetched(pages=pages, missing=list(wanted.values()))


def _page(kind: JobKind, key: AccountKey, body: bytes, request: str, fetched_at: int) -> RawPage:
    return RawPage(
        platform=Platform.YOUTUBE,
        kind=_PAGE_KINDS.get(kind, kind),
        account_key=key,
        fetched_at=fetched_at,
        request=request,
        body=body,
    )


def _failure(path: str, bucket: str, status: int, body: bytes, retry_after: str | None) -> PokedexError:
    """The kind of failure, by reason, then details, then HTTP status (platform-apis 1.10)."""
    try:
        error = msgspec.json.decode(body, type=ErrorReply).error
    except (ValueError, RecursionError):
        error = ErrorBody(code=status, message=body[:200].decode(errors="replace"))
    reasons = [entry.reason for entry in error.errors if entry.reason]
    reasons += [detail.reason for detail in error.details if detail.reason]
    reason = reasons[0] if reasons else error.status or f"http {status}"
    text = f"youtube {path}: {status} {reason}: {error.message[:300]}"
    if any(name in _DAILY for name in reasons) or (status == 429 and _says_daily(error)):
        return Throttled(text, bucket=bucket, daily=True)
    if status == 429 or any(name in _RATE for name in reasons):
        return Throttled(text, bucket=bucket, daily=False, retry_after_seconds=_seconds(retry_after))
    if status == 401 or any(name in _AUTH for name in reasons):
        return AuthFailed(text, bucket=bucket)
    if status >= 500 or any(name in _TRANSIENT for name in reasons):  # a 403 was recorded that says so
        return Unavailable(text)
    return Rejected(text, reason=reason, status=status)


def _says_daily(error: ErrorBody) -> bool:
    limits = [detail.metadata.get("quota_limit", "") for detail in error.details]
    return any("PerDay" in limit for limit in limits) or "per day" in error.message.lower()


def _seconds(retry_after: str | None) -> float | None:
    """At most a day, after which every budget begins anew; None for what is no number."""
    if not retry_after or not (retry_after.isascii() and retry_after.isdecimal()):
        return None
    return float(min(int(retry_after[:9]), 86_400))


def _normalise_channel(page: RawPage) -> Normalised:
    items = _decode(ChannelReply, page.body, "channels").items
    if len(items) != 1:
        raise Malformed(f"youtube channels: a page of {page.account_key} with {len(items)} items")
    channel = items[0]
    key = account_key(Platform.YOUTUBE, channel.id)
    if key != page.account_key:
        raise Malformed(f"youtube channels: asked for {page.account_key}, got {key}")
    return Normalised(account_key=key, account=_account(channel, page.fetched_at))


def _account(channel: Channel, fetched_at: int) -> CreatorAccount:
    snippet, statistics = channel.snippet, channel.statistics
    branding = channel.branding_settings.channel
    followers = None if statistics.hidden_subscriber_count else _count(statistics.subscriber_count, "subscriberCount")
    return CreatorAccount(
        platform=Platform.YOUTUBE,
        platform_user_id=channel.id,
        handle=snippet.custom_url.removeprefix("@"),
        display_name=snippet.title,
        bio=snippet.description,
        profile_image_url=_largest(snippet.thumbnails),
        followers=followers,
        followers_step=None if followers is None else rounding_step(followers),
        media_count=_count(statistics.video_count, "videoCount"),
        total_views=_count(statistics.view_count, "viewCount"),
        country=snippet.country or branding.country or None,
        language=snippet.default_language or branding.default_language or None,
        keywords=[quoted or plain for quoted, plain in _TERM.findall(branding.keywords)],
        topics=[url.rsplit("/", 1)[-1] for url in channel.topic_details.topic_categories],
        created_at=_instant(snippet.published_at, "publishedAt") if snippet.published_at else None,
        fetched_at=fetched_at,
    )


def rounding_step(followers: int) -> int:
    """Public counts are floored to three significant figures (platform-apis 1.4)."""
    return int(10 ** max(len(str(followers)) - 3, 0))


def _normalise_uploads(page: RawPage) -> Normalised:
    reply = _decode(PlaylistReply, page.body, "playlistItems")
    items, refused = read_each(reply.items, PlaylistItem, lambda entry: _listed(entry, page))
    return Normalised(
        account_key=page.account_key,
        items=items,
        next_page_token=reply.next_page_token,
        listed=len(reply.items),
        refused=refused,
    )


def _listed(entry: PlaylistItem, page: RawPage) -> ContentItem | None:
    """None for deleted and private entries, which stay in the list without a videoPublishedAt (platform-apis 1.5).

    A reply without the part contentDetails says the time of the upload in its snippet only.
    """
    video_id = entry.content_details.video_id or entry.snippet.resource_id.video_id
    published = entry.content_details.video_published_at
    if not published and not entry.content_details.video_id and entry.snippet.title not in _HIDDEN_TITLES:
        published = entry.snippet.published_at
    if not video_id or not published:
        return None
    return ContentItem(
        content_id=_video_id(video_id),
        account_key=page.account_key,
        title_or_caption=entry.snippet.title,
        description=entry.snippet.description,
        published_at=_instant(published, "videoPublishedAt"),
        permalink=_permalink(video_id),
        fetched_at=page.fetched_at,
    )


def _normalise_videos(page: RawPage) -> Normalised:
    raws = _decode(VideoReply, page.body, "videos").items
    _, channel_id = split_account_key(page.account_key)
    items, refused = read_each(
        raws, Video, lambda video: _content(video, page) if video.snippet.channel_id in ("", channel_id) else None
    )
    return Normalised(account_key=page.account_key, items=items, refused=refused)


def _normalise_feed(page: RawPage) -> Normalised:
    entries = parse_feed(page.body).entries
    _, channel_id = split_account_key(page.account_key)
    return Normalised(
        account_key=page.account_key,
        items=[_of_feed(entry, page) for entry in entries if entry.channel_id in ("", channel_id)],
        listed=len(entries),
    )


def _of_feed(entry: FeedEntry, page: RawPage) -> ContentItem:
    return ContentItem(
        content_id=entry.video_id,
        account_key=page.account_key,
        content_type=ContentType.SHORT if entry.is_short else ContentType.VIDEO,
        title_or_caption=entry.title,
        description=entry.description,
        published_at=entry.published_at,
        views=entry.views,
        likes=entry.likes,
        permalink=_permalink(entry.video_id),
        fetched_at=page.fetched_at,
    )


def _normalise_stats(page: RawPage) -> Normalised:
    raws = _decode(VideoReply, page.body, "videos:batchGetStats").items
    counts, refused = read_each(raws, VideoStats, _counts)
    return Normalised(account_key=page.account_key, counts=counts, refused=refused)


def _counts(video: VideoStats) -> ContentCounts:
    statistics = video.statistics
    return ContentCounts(
        content_id=_video_id(video.id),
        views=_count(statistics.view_count, "viewCount"),
        likes=_count(statistics.like_count, "likeCount"),
        comments=_count(statistics.comment_count, "commentCount"),
    )


def _content(video: Video, page: RawPage) -> ContentItem:
    snippet, statistics = video.snippet, video.statistics
    seconds = duration_seconds(video.content_details.duration)
    return ContentItem(
        content_id=_video_id(video.id),
        account_key=page.account_key,
        content_type=_content_type(video, seconds),
        title_or_caption=snippet.title,
        description=snippet.description,
        published_at=_instant(snippet.published_at, "publishedAt"),
        views=_count(statistics.view_count, "viewCount"),
        likes=_count(statistics.like_count, "likeCount"),
        comments=_count(statistics.comment_count, "commentCount"),
        duration_seconds=seconds,
        tags=snippet.tags,
        platform_category=snippet.category_id or None,
        permalink=_permalink(video.id),
        sponsored=video.paid_product_placement_details.has_paid_product_placement,
        language=snippet.default_audio_language or snippet.default_language or None,
        fetched_at=page.fetched_at,
        detailed=True,
    )


def _content_type(video: Video, seconds: int | None) -> ContentType:
    """No field says "Short": up to 60 s, or up to 180 s with the hashtag, is taken for one (platform-apis 1.11)."""
    if video.live_streaming_details is not None:
        return ContentType.LIVE
    tagged = "#shorts" in f"{video.snippet.title} {video.snippet.description}".lower()
    if seconds and (seconds <= 60 or (tagged and seconds <= 180)):
        return ContentType.SHORT
    return ContentType.VIDEO


def _decode(kind: type[Reply], body: bytes, what: str) -> Reply:
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"youtube {what}: {error or type(error).__name__}") from error


def _video_id(text: str) -> str:
    if not PLATFORM_ID.fullmatch(text):
        raise Malformed(f"youtube: not an id of a video: {text[:80]!r}")
    return text


def _count(text: str | None, field: str) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise Malformed(f"youtube: {field} is not a count: {text[:30]!r}")
    return int(text)


def _instant(text: str, field: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Malformed(f"youtube: {field} is not an RFC 3339 instant: {text[:40]!r}") from error
    if not 1990 <= moment.year <= 2200:  # outside, neither the platform's nor fit for the store's month keys
        raise Malformed(f"youtube: {field} is not a plausible instant: {text[:40]!r}")
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def duration_seconds(text: str) -> int | None:
    """ISO 8601 such as ``PT1H2M3S`` or ``P1DT2H``; None when absent, and for ``P0D`` of streams to come."""
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return days * 86_400 + hours * 3_600 + minutes * 60 + seconds or None


def _largest(thumbnails: dict[str, Thumbnail]) -> str:
    return max(thumbnails.values(), key=lambda thumbnail: thumbnail.width, default=Thumbnail()).url


def _permalink(video_id: str) -> str:
    return f"https://www.youtube.com/watch?v={video_id}"
