"""Instagram Graph API, Business Discovery, as it answers (platform-apis 3)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from daemon.simulator.faults import FaultDraw, fraction
from daemon.simulator.graph_fields import Field, parse_fields
from daemon.simulator.present import PresentWorld
from daemon.simulator.tokens import GraphToken, TokenBook
from daemon.simulator.world import Post, Profile

USERNAME = re.compile(r"[A-Za-z0-9._]{1,30}")
USER_FIELDS = {"id", "username", "followers_count", "media_count", "biography", "website", "media"}
PRIVATE_FIELDS = {"name", "profile_picture_url", "follows_count"}
"""Not marked public in the field table (platform-apis 3.2)."""
MEDIA_FIELDS = {
    "id", "caption", "like_count", "comments_count", "view_count", "timestamp", "media_type", "media_product_type",
    "permalink", "media_url", "thumbnail_url", "children", "username",
}  # fmt: skip
CHILD_FIELDS = {"id", "media_type", "media_url"}
DEFAULT_LIMIT, REACHABLE_MEDIA = 25, 10_000
OLDEST_VERSION, NEWEST_VERSION = 21, 26
"""Calls to an expired version are served as the oldest live one (platform-apis 3.3)."""

_KINDS = (("IMAGE", "FEED", 0.45), ("CAROUSEL_ALBUM", "FEED", 0.25), ("VIDEO", "REELS", 0.25), ("VIDEO", "FEED", 0.05))


class GraphError(Exception):
    """An error as the API words it; callers branch on ``code``, whatever the HTTP status."""

    def __init__(
        self, code: int, message: str, *, subcode: int | None = None, transient: bool = False, status: int = 400
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.subcode, self.transient, self.status = code, message, subcode, transient, status

    @property
    def reason(self) -> str:
        return f"graph_{self.code}" + (f"_{self.subcode}" if self.subcode else "")

    def body(self) -> dict[str, Any]:
        trace = hashlib.blake2b(self.message.encode(), digest_size=8).digest()
        error: dict[str, Any] = {"message": self.message, "type": "OAuthException", "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.transient:
            error["is_transient"] = True
        return {"error": error | {"fbtrace_id": "A" + base64.urlsafe_b64encode(trace).decode().rstrip("=")}}


class Instagram:
    """Answers to GET of a caller's node; which media kind a post has and what is missing follows from its id."""

    def __init__(self, present: PresentWorld, book: TokenBook, draw: FaultDraw) -> None:
        self._present, self._book, self._draw = present, book, draw

    def authorise(self, text: str, proof: str) -> GraphToken:
        """The caller's token. Raises GraphError 190, 100, 10."""
        token = self._book.find(text) if text else None
        if token is None:
            raise GraphError(190, "Invalid OAuth access token - Cannot parse access token", status=401)
        if token.revoked:
            raise GraphError(
                190,
                "Error validating access token: The user has not authorized application 1.",
                subcode=458,
                status=401,
            )
        if token.expires_at is not None and self._present.clock() >= token.expires_at:
            raise GraphError(190, "Error validating access token: Session has expired.", subcode=463, status=401)
        if token.app_secret and not hmac.compare_digest(token.proof(), proof):
            raise GraphError(100, "Invalid appsecret_proof provided in the API argument")
        if not token.permitted:
            raise GraphError(10, "(#10) Application does not have permission for this action", status=403)
        return token

    def answer(self, token: GraphToken, node: str, params: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
        """The reply and the ids it serves. Raises GraphError 100, 110, 1."""
        if node != token.ig_user_id:
            raise GraphError(
                100,
                f"Unsupported get request. Object with ID '{node}' does not exist, cannot be loaded due to missing"
                " permissions, or does not support this operation.",
                subcode=33,
            )
        asked = _parsed(params.get("fields", "id"))
        _refuse_unknown(asked, {"id", "username", "business_discovery"})
        reply: dict[str, Any] = {}
        served: list[str] = []
        if "business_discovery" in asked:
            profile = self._profile(asked["business_discovery"])
            reply["business_discovery"] = self._user(profile, asked["business_discovery"].fields)
            served = [profile.id]
        return reply | {"id": token.ig_user_id}, served

    def _profile(self, field: Field) -> Profile:
        username = field.modifiers.get("username", "")
        if not USERNAME.fullmatch(username):
            raise GraphError(100, "(#100) Invalid parameter: username")
        profile = self._present.profile_named(username)
        if profile is None:
            raise GraphError(110, "Invalid user id", subcode=2_207_013)
        return profile

    def _user(self, profile: Profile, asked: dict[str, Field]) -> dict[str, Any]:
        faults = self._draw.faults
        _refuse_unknown(asked, USER_FIELDS | (set() if faults.private_fields_refused else PRIVATE_FIELDS))
        posts = self._present.posts_of(profile)
        user: dict[str, Any] = {
            "username": profile.username,
            "name": profile.name,
            "biography": profile.biography,
            "website": profile.website,
            "profile_picture_url": f"https://scontent.cdninstagram.com/v/simulated/{profile.id}.jpg",
            "followers_count": profile.followers,
            "follows_count": int(100 + 900 * fraction("follows", profile.id)),
            "media_count": len(posts),
        }
        reply: dict[str, Any] = {
            name: value for name, value in user.items() if name in asked and value not in (None, "")
        }
        if "media" in asked:
            reply["media"] = self._media(profile, posts, asked["media"])
        return reply | {"id": profile.id}

    def _media(self, profile: Profile, posts: list[Post], field: Field) -> dict[str, Any]:
        asked = field.fields or {"id": Field(name="id")}
        _refuse_unknown(asked, MEDIA_FIELDS)
        limit = self._limit(field.modifiers.get("limit", str(DEFAULT_LIMIT)))
        posts = posts[:REACHABLE_MEDIA]
        begin = _place_after(posts, field.modifiers["after"]) if "after" in field.modifiers else 0
        if "before" in field.modifiers:
            begin = max(_place_after(posts, field.modifiers["before"]) - 1 - limit, 0)
        page = posts[begin : begin + limit]
        if not page:
            return {"data": []}
        cursors = {"before": cursor(page[0]), "after": cursor(page[-1])}
        return {"data": [self._item(profile, post, asked) for post in page], "paging": {"cursors": cursors}}

    def _limit(self, text: str) -> int:
        if not text.isdecimal() or not int(text):
            raise GraphError(100, "(#100) Param limit must be a positive integer")
        most = self._draw.faults.reduce_data_above
        if most and int(text) > most:
            raise GraphError(
                1, "Please reduce the amount of data you're asking for, then retry your request", status=500
            )
        return int(text)

    def _item(self, profile: Profile, post: Post, asked: dict[str, Field]) -> dict[str, Any]:
        media_type, product_type = kind_of(post)
        draw, faults = self._draw, self._draw.faults
        address = f"https://scontent.cdninstagram.com/v/simulated/{post.id}"
        video = media_type == "VIDEO"
        item: dict[str, Any] = {
            "caption": post.caption,
            "like_count": None if draw.chosen(faults.hidden_likes_share, "likes", profile.id) else post.likes,
            "comments_count": post.comments,
            "view_count": _views(post) if video else None,
            "timestamp": datetime.fromtimestamp(post.taken_at, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000"),
            "media_type": media_type,
            "media_product_type": product_type,
            "permalink": f"https://www.instagram.com/{'reel' if product_type == 'REELS' else 'p'}/{_shortcode(post.id)}/",
            "media_url": "" if draw.chosen(faults.missing_media_url_share, "url", post.id) else f"{address}.{'mp4' if video else 'jpg'}",
            "thumbnail_url": f"{address}.jpg" if video else "",
            "username": profile.username,
        }  # fmt: skip
        reply: dict[str, Any] = {
            name: value for name, value in item.items() if name in asked and value not in (None, "")
        }
        if "children" in asked and media_type == "CAROUSEL_ALBUM":
            reply["children"] = _children(post, address, asked["children"].fields or {"id": Field(name="id")})
        return reply | {"id": post.id}


def rate_limited(*, user: bool = False) -> GraphError:
    if user:
        return GraphError(17, "(#17) User request limit reached", status=400)
    return GraphError(4, "(#4) Application request limit reached", status=403)


def served_version(asked: int) -> str:
    """The value of ``facebook-api-version``."""
    return f"v{min(max(asked, OLDEST_VERSION), NEWEST_VERSION)}.0"


def kind_of(post: Post) -> tuple[str, str]:
    """(media_type, media_product_type); where the world does not say, one of several kinds by the post's id."""
    if post.media_type:
        return post.media_type, post.product_type
    at = fraction("kind", post.id)
    for media_type, product_type, share in _KINDS:
        if at < share:
            return media_type, product_type
        at -= share
    return "IMAGE", "FEED"


def cursor(post: Post) -> str:
    return base64.urlsafe_b64encode(f"{post.taken_at}:{post.id}".encode()).decode().rstrip("=")


def _place_after(posts: list[Post], text: str) -> int:
    """Where the page after this cursor begins; it holds though newer posts came or this one went."""
    try:
        at, _, post_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(":")
        place = (-int(at), post_id)
    except (ValueError, binascii.Error) as error:
        raise GraphError(100, "(#100) Invalid cursors values are sent") from error
    return sum((-post.taken_at, post.id) <= place for post in posts)


def _parsed(text: str) -> dict[str, Field]:
    try:
        return parse_fields(text)
    except ValueError as error:
        raise GraphError(100, f"(#100) Syntax error: {error}") from error


def _refuse_unknown(asked: dict[str, Field], known: set[str]) -> None:
    unknown = sorted(set(asked) - known)
    if unknown:
        raise GraphError(100, f"(#100) Tried accessing nonexisting field ({unknown[0]})")


def _views(post: Post) -> int | None:
    return post.views if post.views is not None else None if post.likes is None else post.likes * 20


def _children(post: Post, address: str, asked: dict[str, Field]) -> dict[str, Any]:
    _refuse_unknown(asked, CHILD_FIELDS)
    data = []
    for number in range(1, (post.children or 3) + 1):
        child = {"media_type": "IMAGE", "media_url": f"{address}_{number}.jpg"}
        data.append(
            {name: value for name, value in child.items() if name in asked} | {"id": f"{post.id[:-1]}{number % 10}"}
        )
    return {"data": data}


def _shortcode(post_id: str) -> str:
    return base64.urlsafe_b64encode(hashlib.blake2b(post_id.encode(), digest_size=8).digest()).decode().rstrip("=")
