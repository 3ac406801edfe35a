"""Every reply that was recorded from the platforms: read to the last field, or refused with a reason that names it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from actors.platforms.instagram import InstagramAdapter, Token
from actors.platforms.youtube import YouTubeAdapter, duration_seconds
from actors.platforms.youtube_feed import parse_feed
from proto.errors import PokedexError, Rejected
from proto.ids import Platform, account_key
from proto.records import ContentItem, ContentType, CreatorAccount, Job, JobKind, Normalised, Priority, RawPage

pytestmark = pytest.mark.shared
NOW = 1_790_000_000
YOUTUBE_KINDS = [kind for kind in JobKind if kind is not JobKind.FEED]
INSTAGRAM_KINDS = [JobKind.LOOKUP, JobKind.PROFILE, JobKind.UPLOADS, JobKind.NEWS, JobKind.BACKFILL]
CHANNEL = "UC" + "a" * 21 + "A"


def fixtures(shared_data: Path, platform: str) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in sorted((shared_data / "api_fixtures" / platform).iterdir())}
    assert found
    return found


def youtube(body: bytes = b"{}", status: int = 200) -> YouTubeAdapter:
    return YouTubeAdapter(
        answering(body, status),
        base_url="http://a",
        feeds_url="http://a",
        keys=["a-key"],
        now=lambda: NOW,
        timeout_seconds=5,
    )


def instagram(body: bytes = b"{}", status: int = 200) -> InstagramAdapter:
    tokens = {"token:a": Token(access_token="t", ig_user_id="1")}
    return InstagramAdapter(
        answering(body, status), base_url="http://a", tokens=tokens, now=lambda: NOW, timeout_seconds=5
    )


def answering(body: bytes, status: int) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: httpx2.Response(status, content=body)))


def job(platform: Platform, kind: JobKind, entity: str, account: str) -> Job:
    return Job(
        platform=platform,
        kind=kind,
        entity=entity,
        account_key=account_key(platform, account),
        priority=Priority.ACTIVE,
        due_at=0,
        handle="some.one",
    )


async def outcome(adapter: YouTubeAdapter | InstagramAdapter, asked: Job, bucket: str) -> str:
    """In short; what is neither a page that can be read nor a refusal in words is let out."""
    try:
        fetched = await adapter.perform([asked], bucket)
        said = [adapter.normalise(page) for page in fetched.pages]
    except PokedexError as error:
        assert len(str(error)) > 10, error
        return f"{type(error).__name__} {error.reason if isinstance(error, Rejected) else ''}".strip()
    assert all(reason for one in said for _, reason in one.refused)
    return f"{len(said)} pages"


@pytest.mark.parametrize("kind", YOUTUBE_KINDS)
async def test_any_youtube_reply_to_any_question_is_read_or_refused(kind: JobKind, shared_data: Path) -> None:
    for name, body in fixtures(shared_data, "youtube").items():
        told = await outcome(youtube(body), job(Platform.YOUTUBE, kind, CHANNEL, CHANNEL), "general")
        assert told.endswith("pages") or told == "Malformed", name


@pytest.mark.parametrize("kind", INSTAGRAM_KINDS)
async def test_any_instagram_reply_to_any_question_is_read_or_refused(kind: JobKind, shared_data: Path) -> None:
    for name, body in fixtures(shared_data, "instagram").items():
        told = await outcome(
            instagram(body), job(Platform.INSTAGRAM, kind, "17841407673135339", "17841407673135339"), "token:a"
        )
        wanted = {"1 pages", "Malformed"} if name == "discovery__user_fields.json" else {"Malformed"}
        assert told in wanted, name


async def test_recorded_refusals_say_why(shared_data: Path) -> None:
    found = fixtures(shared_data, "youtube")
    told = {
        name: await outcome(
            youtube(found[name], status), job(Platform.YOUTUBE, JobKind.PROFILE, CHANNEL, CHANNEL), "general"
        )
        for name, status in (("error_response.json", 400), ("error_permission_resp.json", 403))
    }
    assert told == {"error_response.json": "AuthFailed", "error_permission_resp.json": "Unavailable"}


async def read(kind: JobKind, items: list[dict[str, Any]], owner: str, body: bytes) -> Normalised:
    """What the adapter makes of a whole reply, for one account."""
    adapter = youtube(body)
    jobs = [job(Platform.YOUTUBE, kind, item["id"], owner) for item in items]
    pages = (await adapter.perform(jobs, "general")).pages
    (page,) = [page for page in pages if page.account_key == account_key(Platform.YOUTUBE, owner)]
    return adapter.normalise(page)


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def number(part: dict[str, Any], name: str) -> int | None:
    return int(part[name]) if name in part else None


@pytest.mark.parametrize("name", ["channels__info_multiple.json", "channel_info_multi.json"])
async def test_every_field_of_recorded_channels(name: str, shared_data: Path) -> None:
    body = fixtures(shared_data, "youtube")[name]
    items = json.loads(body)["items"]
    for item in items:
        said = await read(JobKind.PROFILE, items, item["id"], body)
        snippet, statistics = item["snippet"], item.get("statistics", {})
        branding = item.get("brandingSettings", {}).get("channel", {})
        hidden = statistics.get("hiddenSubscriberCount", False)
        followers = None if hidden else number(statistics, "subscriberCount")
        assert said.account is not None
        assert said.account == CreatorAccount(
            platform=Platform.YOUTUBE,
            platform_user_id=item["id"],
            handle=snippet.get("customUrl", "").removeprefix("@"),
            display_name=snippet["title"],
            bio=snippet["description"],
            profile_image_url=snippet["thumbnails"]["high"]["url"],
            followers=followers,
            followers_step=None if followers is None else 10 ** max(len(str(followers)) - 3, 0),
            media_count=number(statistics, "videoCount"),
            total_views=number(statistics, "viewCount"),
            country=snippet.get("country", branding.get("country")),
            language=snippet.get("defaultLanguage", branding.get("defaultLanguage")),
            keywords=said.account.keywords,
            topics=[url.rpartition("/")[2] for url in item.get("topicDetails", {}).get("topicCategories", [])],
            created_at=instant(snippet["publishedAt"]),
            fetched_at=NOW,
        )
        assert " ".join(said.account.keywords) == branding.get("keywords", "").replace('"', "")


VIDEOS = [
    "videos__videos_info_multi.json",
    "videos__videos_info_single.json",
    "videos__videos_chart_paged_1.json",
    "videos__videos_chart_paged_2.json",
]


@pytest.mark.parametrize("name", VIDEOS)
async def test_every_field_of_recorded_videos(name: str, shared_data: Path) -> None:
    body = fixtures(shared_data, "youtube")[name]
    for item in json.loads(body)["items"]:
        snippet, statistics = item["snippet"], item.get("statistics", {})
        said = await read(JobKind.CONTENT, [item], snippet["channelId"], body)
        assert said.refused == []
        (found,) = said.items
        seconds = duration_seconds(item.get("contentDetails", {}).get("duration", ""))
        assert found == ContentItem(
            content_id=item["id"],
            account_key=account_key(Platform.YOUTUBE, snippet["channelId"]),
            content_type=ContentType.SHORT if seconds and seconds <= 60 else ContentType.VIDEO,
            title_or_caption=snippet["title"],
            description=snippet["description"],
            published_at=instant(snippet["publishedAt"]),
            views=number(statistics, "viewCount"),
            likes=number(statistics, "likeCount"),
            comments=number(statistics, "commentCount"),
            duration_seconds=seconds,
            tags=snippet.get("tags", []),
            platform_category=snippet["categoryId"],
            permalink=f"https://www.youtube.com/watch?v={item['id']}",
            language=snippet.get("defaultAudioLanguage", snippet.get("defaultLanguage")),
            fetched_at=NOW,
            detailed=True,
        )


@pytest.mark.parametrize(
    "name",
    [
        "playlist_items__playlist_items_paged_1.json",
        "playlist_items__playlist_items_paged_2.json",
        "playlist_items__playlist_items_multi.json",
        "playlist_items__playlist_items_filter_video.json",
    ],
)
async def test_every_field_of_recorded_lists(name: str, shared_data: Path) -> None:
    body = fixtures(shared_data, "youtube")[name]
    recorded = json.loads(body)
    adapter = youtube(body)
    (page,) = (await adapter.perform([job(Platform.YOUTUBE, JobKind.UPLOADS, CHANNEL, CHANNEL)], "general")).pages
    said = adapter.normalise(page)
    public = [item for item in recorded["items"] if item["snippet"]["title"] not in ("Private video", "Deleted video")]
    assert (said.refused, said.listed, said.next_page_token) == (
        [],
        len(recorded["items"]),
        recorded.get("nextPageToken", ""),
    )
    assert said.items == [
        ContentItem(
            content_id=item["snippet"]["resourceId"]["videoId"],
            account_key=account_key(Platform.YOUTUBE, CHANNEL),
            title_or_caption=item["snippet"]["title"],
            description=item["snippet"]["description"],
            published_at=instant(
                item.get("contentDetails", {}).get("videoPublishedAt", item["snippet"]["publishedAt"])
            ),
            permalink=f"https://www.youtube.com/watch?v={item['snippet']['resourceId']['videoId']}",
            fetched_at=NOW,
        )
        for item in public
    ]


async def test_recorded_searches_and_charts_name_their_channels(shared_data: Path) -> None:
    found = fixtures(shared_data, "youtube")
    for name in (one for one in found if one.startswith("search__") or "chart" in one):
        recorded = json.loads(found[name])
        kind = JobKind.SEARCH if name.startswith("search__") else JobKind.CHART
        fetched = await youtube(found[name]).perform([job(Platform.YOUTUBE, kind, "US", CHANNEL)], "general")
        channels = dict.fromkeys(item["snippet"]["channelId"] for item in recorded["items"])
        assert fetched.found == [account_key(Platform.YOUTUBE, channel) for channel in channels]
        assert fetched.next_page_token == recorded.get("nextPageToken", "")


def test_every_field_of_the_recorded_profile(shared_data: Path) -> None:
    body = fixtures(shared_data, "instagram")["discovery__user_fields.json"]
    stated = json.loads(body)["business_discovery"]
    key = account_key(Platform.INSTAGRAM, stated["id"])
    page = RawPage(
        platform=Platform.INSTAGRAM, kind=JobKind.PROFILE, account_key=key, fetched_at=NOW, request="", body=body
    )
    assert instagram().normalise(page).account == CreatorAccount(
        platform=Platform.INSTAGRAM,
        platform_user_id=stated["id"],
        handle=stated["username"],
        display_name=stated.get("name", stated["username"]),
        bio=stated["biography"],
        profile_image_url=stated.get("profile_picture_url", ""),
        website=stated.get("website", ""),
        followers=stated["followers_count"],
        media_count=stated["media_count"],
        fetched_at=NOW,
        content_fetched_at=NOW,
    )


TYPES = {"IMAGE": ContentType.POST, "VIDEO": ContentType.VIDEO, "CAROUSEL_ALBUM": ContentType.CAROUSEL}


@pytest.mark.parametrize("name", ["users__medias_p1.json", "users__medias_p2.json", "users__tagged_medias.json"])
def test_every_field_of_recorded_media(name: str, shared_data: Path) -> None:
    """As they come within a profile; the same fields were recorded by themselves."""
    recorded = json.loads(fixtures(shared_data, "instagram")[name])
    profile = {"business_discovery": {"id": "17841407673135339", "username": "a", "media": recorded}}
    key = account_key(Platform.INSTAGRAM, "17841407673135339")
    page = RawPage(
        platform=Platform.INSTAGRAM,
        kind=JobKind.UPLOADS,
        account_key=key,
        fetched_at=NOW,
        request="",
        body=json.dumps(profile).encode(),
    )
    said = instagram().normalise(page)
    whole = [media for media in recorded["data"] if "timestamp" in media]
    assert len(said.refused) == len(recorded["data"]) - len(whole)
    assert said.items == [
        ContentItem(
            content_id=media["id"],
            account_key=key,
            content_type=TYPES[media["media_type"]],
            title_or_caption=media.get("caption", ""),
            published_at=instant(media["timestamp"]),
            likes=media.get("like_count"),
            comments=media.get("comments_count"),
            permalink=media.get("permalink", ""),
            fetched_at=NOW,
            detailed=True,
        )
        for media in whole
    ]


def test_every_entry_of_the_recorded_feed(shared_data: Path) -> None:
    (body,) = fixtures(shared_data, "youtube_atom").values()
    read = parse_feed(body)
    assert len(read.entries) == body.count(b"<entry>") == 15
    assert all(one.video_id and one.channel_id and one.title and one.published_at and one.views for one in read.entries)
