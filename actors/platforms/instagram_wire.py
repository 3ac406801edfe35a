"""The parts of the Graph API's Business Discovery replies that are read (platform-apis 3.2, 3.5). Absent means absent."""

from __future__ import annotations

import msgspec


class Media(msgspec.Struct):
    id: str
    caption: str = ""
    like_count: int | None = None
    comments_count: int | None = None
    view_count: int | None = None
    timestamp: str = ""
    media_type: str = ""
    media_product_type: str = ""
    permalink: str = ""


class Cursors(msgspec.Struct):
    after: str = ""


class Paging(msgspec.Struct):
    cursors: Cursors = msgspec.field(default_factory=Cursors)


class MediaEdge(msgspec.Struct):
    data: list[msgspec.Raw] = []
    """Decoded one by one, so that a broken item does not take the page with it."""
    paging: Paging = msgspec.field(default_factory=Paging)


class User(msgspec.Struct):
    id: str
    username: str = ""
    name: str = ""
    biography: str = ""
    website: str = ""
    profile_picture_url: str = ""
    followers_count: int | None = None
    media_count: int | None = None
    media: MediaEdge = msgspec.field(default_factory=MediaEdge)


class DiscoveryReply(msgspec.Struct):
    business_discovery: User


class ErrorBody(msgspec.Struct):
    message: str = ""
    code: int = 0
    error_subcode: int | None = None
    is_transient: bool = False


class ErrorReply(msgspec.Struct):
    error: ErrorBody


class AppUsage(msgspec.Struct):
    """Percent of the rolling hour."""

    call_count: float = 0
    total_time: float = 0
    total_cputime: float = 0


class BusinessUsage(AppUsage):
    estimated_time_to_regain_access: float = 0
    """Minutes."""
