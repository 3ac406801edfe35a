"""Instagram Graph API, Business Discovery: requests, token use, error mapping, normalisation (platform-apis 3)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NoReturn

import httpx2
import msgspec
import trio

from actors.platforms.adapter import CallCost, Fetched, read_each
from actors.platforms.instagram_wire import (
    AppUsage,
    BusinessUsage,
    DiscoveryReply,
    ErrorBody,
    ErrorReply,
    Media,
    User,
)
from proto.errors import AuthFailed, Malformed, Rejected, Throttled, Unavailable
from proto.ids import Platform, account_key
from proto.records import LISTINGS, ContentItem, ContentType, CreatorAccount, Job, JobKind, Normalised, RawPage

LIMIT = re.compile(r"\.limit\((\d+)\)")
USERNAME = re.compile(r"[a-z0-9._]{1,30}")
PLATFORM_ID = re.compile(r"[0-9A-Za-z_]{1,40}")
PUBLIC_FIELDS = ("id", "username", "biography", "website", "followers_count", "media_count")
OTHER_FIELDS = ("name", "profile_picture_url")
"""Not marked public in the field table, yet widely returned: asked for unless they were refused (platform-apis 3.2)."""
PUBLIC_SECONDS = 86_400.0
"""How long only public fields are asked for after a call went through without the others."""
MEDIA_FIELDS = (
    "id", "caption", "like_count", "comments_count", "view_count", "timestamp", "media_type", "media_product_type", "permalink",
)  # fmt: skip
MAX_REPLY_BYTES = 20_000_000
PARK_SECONDS = 3_600.0
"""How long a token rests after a rate error: its window is a rolling hour (platform-apis 3.4)."""

_RATE = {4, 17, 32, 613, 80_002}
_GONE = {24, 110}
_TOKEN = {10, 102, 190, 341, 368, *range(200, 300)}
_UNKNOWN_FIELD, _TRANSIENT = 100, {1, 2}
_TYPES = {"IMAGE": ContentType.POST, "VIDEO": ContentType.VIDEO, "CAROUSEL_ALBUM": ContentType.CAROUSEL}
_NO_CONTENT = {"STORY", "AD"}


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A user's or system user's access, and the professional account on whose behalf it asks."""

    access_token: str
    ig_user_id: str
    app_secret: str = ""
    """Signs each call where the app requires it."""


class _CallFailed(Exception):
    """An error body, for those who branch on its code."""

    def __init__(self, error: ErrorBody, status: int) -> None:
        super().__init__(error.message)
        self.error, self.status = error, status


class InstagramAdapter:
    """One call brings a profile with its newest media. Accounts are found by username only; ids tell who answered."""

    platform = Platform.INSTAGRAM

    def __init__(
        self,
        client: httpx2.AsyncClient,
        *,
        base_url: str,
        tokens: Mapping[str, Token],
        now: Callable[[], float],
        timeout_seconds: float,
        media_limit: int = 25,
    ) -> None:
        """``base_url`` holds the version; ``tokens`` by the ledger bucket that pays for their calls."""
        self._client, self._base_url, self._tokens = client, base_url.rstrip("/"), dict(tokens)
        self._now, self._timeout_seconds, self._media_limit = now, timeout_seconds, media_limit
        self._smaller: dict[str, int] = {}
        self._doubted = set[str]()
        """Usernames of which a call was refused that asked for `OTHER_FIELDS`."""
        self._public_until = 0.0

    def call_size(self, _kind: JobKind) -> int:
        """One profile a call; several in one request are not documented (platform-apis 3.4)."""
        return 1

    def cost(self, _kind: JobKind) -> CallCost:
        return CallCost(buckets=tuple(self._tokens), units=1)

    async def perform(self, jobs: Sequence[Job], bucket: str) -> Fetched:
        (job,) = jobs
        username = job.handle if job.kind is not JobKind.LOOKUP else job.entity.removeprefix("@").lower()
        if not USERNAME.fullmatch(username):
            raise Rejected(f"instagram: {username[:60]!r} is no username", reason="invalid_username", status=0)
        fields = self._query(job, username)
        try:
            reply = await self._get(fields, self._tokens[bucket])
            body = _checked(reply)
        except _CallFailed as failed:
            if failed.error.code in _GONE:
                return Fetched(pages=[], missing=[job])
            self._raise(failed, bucket, job, username)
        self._smaller.pop(username, None)
        fetched = _fetched(job, body, f"GET /{{token}}?fields={fields}", int(self._now()), _usage(reply.headers))
        fetched.notes = [] if job.kind in LISTINGS else self._clear_doubt(username)
        return fetched

    def normalise(self, page: RawPage) -> Normalised:
        user = _decode(page.body).business_discovery
        if account_key(Platform.INSTAGRAM, user.id) != page.account_key:
            raise Malformed(f"instagram: a page of {page.account_key} that speaks of {user.id}")
        listed = user.media.data
        items, refused = read_each(listed, Media, lambda media: _content(media, page))
        return Normalised(
            account_key=page.account_key,
            account=_account(user, page.fetched_at) if page.kind is JobKind.PROFILE else None,
            items=items,
            next_page_token=user.media.paging.cursors.after if _more_behind(page, len(listed)) else "",
            listed=len(listed),
            refused=refused,
        )

    def _query(self, job: Job, username: str) -> str:
        limit = self._smaller.get(username, self._media_limit)
        after = f".after({job.page_token})" if job.page_token else ""
        fields = ("id", "username") if job.kind in LISTINGS else self._fields(username)
        media = f"media{after}.limit({limit}){{{','.join(MEDIA_FIELDS)}}}"
        return f"business_discovery.username({username}){{{','.join(fields)},{media}}}"

    def _fields(self, username: str) -> tuple[str, ...]:
        public = username in self._doubted or self._now() < self._public_until
        return PUBLIC_FIELDS if public else PUBLIC_FIELDS + OTHER_FIELDS

    def _clear_doubt(self, username: str) -> list[tuple[str, str]]:
        """What goes through once the other fields are left out was refused for their sake: the rest is spared it."""
        if username not in self._doubted:
            return []
        self._doubted.clear()
        self._public_until = self._now() + PUBLIC_SECONDS
        return [("fields_refused", f"{' and '.join(OTHER_FIELDS)} are not returned; only public fields for a day")]

    async def _get(self, fields: str, token: Token) -> httpx2.Response:
        params = {"fields": fields}
        if token.app_secret:
            params["appsecret_proof"] = appsecret_proof(token)
        try:
            with trio.fail_after(self._timeout_seconds):
                return await self._client.get(
                    f"{self._base_url}/{token.ig_user_id}",
                    params=params,
                    headers={"Authorization": f"Bearer {token.access_token}"},
                )
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unavailable(f"instagram: {type(error).__name__}: {error}") from error
        except trio.TooSlowError:
            raise Unavailable(f"instagram: no answer within {self._timeout_seconds:g} s") from None

    def _raise(self, failed: _CallFailed, bucket: str, job: Job, username: str) -> NoReturn:
        """The kind of failure, by code whatever the HTTP status (platform-apis 3.5)."""
        error = failed.error
        text = f"instagram: {failed.status} code {error.code}/{error.error_subcode or '-'}: {error.message[:300]}"
        if error.code in _RATE:
            raise Throttled(text, bucket=bucket, daily=False, retry_after_seconds=PARK_SECONDS)
        if error.code in _TOKEN:
            raise AuthFailed(text, bucket=bucket)
        if error.code == _UNKNOWN_FIELD and job.kind not in LISTINGS and self._doubt(username):
            raise Unavailable(f"{text}; the next call asks for public fields only")
        if error.code == 1 and "reduce the amount of data" in error.message.lower():
            self._halve(username)
        if error.is_transient or error.code in _TRANSIENT or failed.status >= 500:
            raise Unavailable(text)
        raise Rejected(text, reason=f"code_{error.code}", status=failed.status)

    def _doubt(self, username: str) -> bool:
        """Whether leaving out fields may help: where that was tried it was something else, such as the username."""
        if self._fields(username) == PUBLIC_FIELDS:
            self._doubted.discard(username)
            return False
        self._doubted.add(username)
        return True

    def _halve(self, username: str) -> None:
        if len(self._smaller) > 10_000:
            self._smaller.clear()
        self._smaller[username] = max(1, self._smaller.get(username, self._media_limit) // 2)


def appsecret_proof(token: Token) -> str:
    """HMAC-SHA256 of the token under the app's secret, in hex (platform-apis 3.6)."""
    return hmac.new(token.app_secret.encode(), token.access_token.encode(), hashlib.sha256).hexdigest()


def _checked(reply: httpx2.Response) -> bytes:
    """The body of a good reply. Raises _CallFailed for an error body, which also comes with status 200."""
    body = reply.content
    if len(body) > MAX_REPLY_BYTES:
        raise Malformed(f"instagram: a reply of {len(body)} bytes")
    try:
        error = msgspec.json.decode(body, type=ErrorReply).error
    except (ValueError, RecursionError):
        if reply.status_code == 200:
            return body
        error = ErrorBody(message=body[:200].decode(errors="replace"))
    raise _CallFailed(error, reply.status_code)


def _fetched(job: Job, body: bytes, request: str, fetched_at: int, usage: float | None) -> Fetched:
    user = _decode(body).business_discovery
    if not PLATFORM_ID.fullmatch(user.id):
        raise Malformed(f"instagram: {user.id[:60]!r} is no account id")
    key = account_key(Platform.INSTAGRAM, user.id)
    taken_over = job.kind is not JobKind.LOOKUP and user.id != job.entity
    if taken_over and job.kind in LISTINGS:
        return Fetched(pages=[], missing=[job], usage=usage)
    page = RawPage(
        platform=Platform.INSTAGRAM,
        kind=job.kind if job.kind in LISTINGS else JobKind.PROFILE,
        account_key=key,
        fetched_at=fetched_at,
        request=request,
        body=body,
        listed_before=job.listed_before,
        walked=job.walked,
    )
    looked_up = {job.entity: key} if job.kind is JobKind.LOOKUP else {}
    return Fetched(pages=[page], missing=[job] if taken_over else [], looked_up=looked_up, usage=usage)


def _usage(headers: Mapping[str, str]) -> float | None:
    """The greatest share of any limit that the reply speaks of; None when it says nothing."""
    shares: list[float] = []
    try:
        if text := headers.get("x-app-usage"):
            shares.append(_share(msgspec.json.decode(text, type=AppUsage)))
        if text := headers.get("x-business-use-case-usage"):
            for entries in msgspec.json.decode(text, type=dict[str, list[BusinessUsage]]).values():
                shares += [1.0 if one.estimated_time_to_regain_access else _share(one) for one in entries]
    except (ValueError, RecursionError):
        return max(shares, default=None)
    return max(shares, default=None)


def _share(usage: AppUsage) -> float:
    return max(usage.call_count, usage.total_time, usage.total_cputime) / 100


def _decode(body: bytes) -> DiscoveryReply:
    try:
        return msgspec.json.decode(body, type=DiscoveryReply)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"instagram: {error or type(error).__name__}") from error


def _account(user: User, fetched_at: int) -> CreatorAccount:
    return CreatorAccount(
        platform=Platform.INSTAGRAM,
        platform_user_id=user.id,
        handle=user.username,
        display_name=user.name or user.username,
        bio=user.biography,
        profile_image_url=user.profile_picture_url,
        website=user.website,
        followers=_count(user.followers_count, "followers_count"),
        media_count=_count(user.media_count, "media_count"),
        fetched_at=fetched_at,
        content_fetched_at=fetched_at,
    )


def _content(media: Media, page: RawPage) -> ContentItem | None:
    """None for stories and advertisements, which are no content of the profile."""
    if media.media_product_type in _NO_CONTENT:
        return None
    if not PLATFORM_ID.fullmatch(media.id):
        raise Malformed(f"instagram: {media.id[:60]!r} is no media id")
    kind = _TYPES.get(media.media_type, ContentType.POST)
    return ContentItem(
        content_id=media.id,
        account_key=page.account_key,
        content_type=ContentType.REEL if media.media_product_type == "REELS" else kind,
        title_or_caption=media.caption,
        published_at=_instant(media.timestamp),
        views=_count(media.view_count, "view_count"),
        likes=_count(media.like_count, "like_count"),
        comments=_count(media.comments_count, "comments_count"),
        permalink=media.permalink,
        fetched_at=page.fetched_at,
        detailed=True,
    )


def _count(value: int | None, field: str) -> int | None:
    if value is not None and not 0 <= value < 10**18:
        raise Malformed(f"instagram: {field} is not a count: {value}")
    return value


def _instant(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Malformed(f"instagram: timestamp is not an instant: {text[:40]!r}") from error
    if not 2010 <= moment.year <= 2200:
        raise Malformed(f"instagram: timestamp is not a plausible instant: {text[:40]!r}")
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _more_behind(page: RawPage, listed: int) -> bool:
    """A cursor comes with every page, the last one too (platform-apis 3.3); a page less than half full is the last."""
    asked = LIMIT.search(page.request)
    return listed * 2 >= (int(asked[1]) if asked else 1)
