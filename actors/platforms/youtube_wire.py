"""The parts of the YouTube Data API v3 replies that are read (platform-apis 1.3 to 1.6). Absent means absent."""

from __future__ import annotations

import re

import msgspec

PLATFORM_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
"""Ids of channels and videos, which become parts of keys and URLs."""

CHANNEL_ID = re.compile(r"UC[\w-]{22}", re.ASCII)


class Wire(msgspec.Struct, rename="camel"):
    """Base of every wire struct; unknown fields are ignored, since the API grows."""


class Thumbnail(Wire):
    url: str = ""
    width: int = 0


class ChannelSnippet(Wire):
    title: str = ""
    description: str = ""
    custom_url: str = ""
    published_at: str = ""
    thumbnails: dict[str, Thumbnail] = {}
    default_language: str = ""
    country: str = ""


class ChannelStatistics(Wire):
    view_count: str | None = None
    subscriber_count: str | None = None
    hidden_subscriber_count: bool = False
    video_count: str | None = None


class BrandingChannel(Wire):
    keywords: str = ""
    country: str = ""
    default_language: str = ""


class BrandingSettings(Wire):
    channel: BrandingChannel = msgspec.field(default_factory=BrandingChannel)


class TopicDetails(Wire):
    topic_categories: list[str] = []


class Channel(Wire):
    id: str
    snippet: ChannelSnippet = msgspec.field(default_factory=ChannelSnippet)
    statistics: ChannelStatistics = msgspec.field(default_factory=ChannelStatistics)
    branding_settings: BrandingSettings = msgspec.field(default_factory=BrandingSettings)
    topic_details: TopicDetails = msgspec.field(default_factory=TopicDetails)


class ResourceId(Wire):
    video_id: str = ""


class PlaylistSnippet(Wire):
    published_at: str = ""
    title: str = ""
    description: str = ""
    resource_id: ResourceId = msgspec.field(default_factory=ResourceId)


class PlaylistContent(Wire):
    video_id: str = ""
    video_published_at: str = ""


class PlaylistItem(Wire):
    snippet: PlaylistSnippet = msgspec.field(default_factory=PlaylistSnippet)
    content_details: PlaylistContent = msgspec.field(default_factory=PlaylistContent)


class VideoSnippet(Wire):
    published_at: str = ""
    channel_id: str = ""
    title: str = ""
    description: str = ""
    tags: list[str] = []
    category_id: str = ""
    default_language: str = ""
    default_audio_language: str = ""


class VideoContent(Wire):
    duration: str = ""


class VideoStatistics(Wire):
    view_count: str | None = None
    like_count: str | None = None
    comment_count: str | None = None


class PaidPlacement(Wire):
    has_paid_product_placement: bool = False


class LiveDetails(Wire):
    actual_start_time: str = ""


class Video(Wire):
    id: str
    snippet: VideoSnippet = msgspec.field(default_factory=VideoSnippet)
    content_details: VideoContent = msgspec.field(default_factory=VideoContent)
    statistics: VideoStatistics = msgspec.field(default_factory=VideoStatistics)
    paid_product_placement_details: PaidPlacement = msgspec.field(default_factory=PaidPlacement)
    live_streaming_details: LiveDetails | None = None


class VideoStats(Wire):
    """An item of videos:batchGetStats (platform-apis 1.7)."""

    id: str
    statistics: VideoStatistics = msgspec.field(default_factory=VideoStatistics)


class ChannelReply(Wire):
    items: list[Channel] = []


class PlaylistReply(Wire):
    """Items are decoded one by one, so that a broken one does not take the page with it."""

    items: list[msgspec.Raw] = []
    next_page_token: str = ""


class VideoReply(Wire):
    items: list[msgspec.Raw] = []


class ErrorEntry(Wire):
    reason: str = ""
    domain: str = ""
    message: str = ""


class ErrorDetail(Wire):
    reason: str = ""
    metadata: dict[str, str] = {}


class ErrorBody(Wire):
    code: int = 0
    message: str = ""
    errors: list[ErrorEntry] = []
    status: str = ""
    details: list[ErrorDetail] = []


class ErrorReply(Wire):
    error: ErrorBody


class FoundSnippet(Wire):
    channel_id: str = ""


class FoundItem(Wire):
    snippet: FoundSnippet = msgspec.field(default_factory=FoundSnippet)


class FoundReply(Wire):
    """Of search.list, and of videos.list for a chart (platform-apis 1.6, 1.8)."""

    items: list[msgspec.Raw] = []
    next_page_token: str = ""
