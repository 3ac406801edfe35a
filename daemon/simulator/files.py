"""A world from files of real data (JSON lines, gzip); see `data/README.md` beside such files for their fields."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from daemon.simulator.world import Channel, Post, Profile, Video, World
from proto.errors import Malformed

VIDEOS = "youtube_videos_trending_desc.jsonl.gz"
CHANNELS = "youtube_channels.jsonl.gz"
PROFILES = "instagram_accounts.jsonl.gz"
POSTS = "instagram_posts.jsonl.gz"
OLDEST = 1_000_000_000
"""Instants before 2001-09-09 in the files are damage, not dates."""


def load_world(folders: Sequence[Path]) -> World:
    """The union of all folders by key; a missing file is an empty set. Raises Malformed naming file and line."""
    world = World(now=0)
    observed = _Observed({}, {})
    for folder in folders:
        _read_channels(world, folder / CHANNELS)
        _read_videos(world, folder / VIDEOS, observed)
        _read_profiles(world, folder / PROFILES)
        _read_posts(world, folder / POSTS)
    for channel in world.channels.values():
        channel.title = channel.title or channel.id
    instants = [video.published_at for video in world.videos.values()]
    instants += [post.taken_at for profile in world.profiles.values() for post in profile.posts]
    world.now = max([world.now, *instants])
    if not world.channels and not world.profiles:
        names = ", ".join((CHANNELS, VIDEOS, PROFILES, POSTS))
        raise Malformed(f"{', '.join(map(str, folders))}: no world here; expected any of {names}")
    return world.link()


class _Observed(NamedTuple):
    """When what is known of each video, and of each channel's title, was seen: over all folders."""

    video: dict[str, int]
    title: dict[str, int]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not path.exists():
        return
    number = 0
    try:
        with gzip.open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"{path}, line {number}: {error}; mend or remove the line") from error
    except (OSError, EOFError, zlib.error) as error:
        raise Malformed(f"{path}: not a whole gzip file ({error}); fetch it again") from error


def _read_channels(world: World, path: Path) -> None:
    for _, row in _rows(path):
        channel_id = _text(row, "channel_id") or _id_in_url(_text(row, "url"))
        if not channel_id:
            continue
        channel = _channel(world, channel_id)
        channel.title = _text(row, "title") or channel.title
        channel.description = _text(row, "description") or channel.description
        channel.country = _country(row) or channel.country
        channel.keywords = _text(row, "keywords_raw") or channel.keywords
        channel.topics = row.get("topic_categories") or channel.topics
        channel.subscribers = _count(row, "subscriber_count", "subscribers") or channel.subscribers
        channel.view_count = _count(row, "view_count", "views") or channel.view_count
        world.now = max(world.now, _instant(_text(row, "stats_at")) or 0)
        created = _instant(_text(row, "published_at"))
        channel.published_at = created or channel.published_at


def _read_videos(world: World, path: Path, seen: _Observed) -> None:
    """The newest row of a video wins, older ones are its metric history; a channel's newest title wins."""
    seen_at, titled_at = seen
    for _, row in _rows(path):
        channel_id, video_id = _text(row, "channel_id"), _video_id(row)
        observed = _instant(_text(row, "trending_date")) or 0
        published = _instant(_text(row, "published_at")) or observed
        if not channel_id or not video_id or not published:
            continue
        channel = _channel(world, channel_id)
        if observed >= titled_at.get(channel_id, -1):
            channel.title = _text(row, "channel_title") or channel.title
            titled_at[channel_id] = observed
        world.now = max(world.now, observed)
        known = world.videos.get(video_id)
        history = [*known.history] if known else []
        if known and observed < seen_at[video_id]:
            known.history = sorted([*history, (observed, row.get("view_count") or 0)])
            continue
        if known:
            history.append((seen_at[video_id], known.views or 0))
        world.videos[video_id] = _video(row, video_id, channel_id, published, sorted(history))
        seen_at[video_id] = observed


def _video_id(row: dict[str, Any]) -> str:
    """A spreadsheet took some ids that begin with a dash for formulas; the thumbnail's address still holds them."""
    video_id = _text(row, "video_id")
    if video_id != "#NAME?":
        return video_id
    return _text(row, "thumbnail_link").partition("/vi/")[2].partition("/")[0]


def _video(
    row: dict[str, Any], video_id: str, channel_id: str, published: int, history: list[tuple[int, int]]
) -> Video:
    """likes and comment_count are 0 where they were hidden (the files' README)."""
    return Video(
        id=video_id,
        channel_id=channel_id,
        title=_text(row, "title") or video_id,
        published_at=published,
        description=_text(row, "description"),
        tags=[str(tag) for tag in row.get("tags") or []],
        category_id=str(row.get("category_id") or ""),
        views=_count(row, "view_count"),
        likes=None if row.get("ratings_disabled") else _count(row, "likes"),
        comments=None if row.get("comments_disabled") else _count(row, "comment_count"),
        history=history,
    )


def _read_profiles(world: World, path: Path) -> None:
    for _, row in _rows(path):
        username = _text(row, "username")
        if username:
            profile = _profile(world, username)
            profile.followers = _count(row, "followers") or profile.followers
            profile.category = _text(row, "category") or profile.category


def _read_posts(world: World, path: Path) -> None:
    """An account whose posts stand under two handles is one: the id says so."""
    _rename_listed(world, path)
    by_id = {profile.id: profile for profile in world.profiles.values() if not profile.synthetic_id}
    for _, row in _rows(path):
        username = _text(row, "username")
        if not username:
            continue
        user_id = str(row.get("user_id") or "")
        profile = by_id.get(user_id) or _profile(world, username)
        if user_id and profile.synthetic_id:
            profile.id, profile.synthetic_id = user_id, False
            by_id[user_id] = profile
        profile.name = _text(row, "full_name") or profile.name
        profile.followers = _count(row, "account_followers") or profile.followers
        profile.category = _text(row, "account_category") or profile.category
        taken = row.get("taken_at")
        at = int(taken) if isinstance(taken, (int, float)) else _instant(str(taken or "")) or 0
        post_id = str(row.get("media_id") or row.get("shortcode") or _made_id(f"{username}/{at}"))
        if at >= OLDEST and all(post.id != post_id for post in profile.posts):
            profile.posts.append(
                Post(
                    id=post_id,
                    taken_at=at,
                    caption=_text(row, "caption"),
                    likes=_not_hidden(_count(row, "like_count")),
                    comments=_count(row, "comments_count"),
                    views=_count(row, "play_count", "view_count") or None,
                    media_type=_media_type(row),
                    children=_count(row, "children_count") or 0,
                )
            )


def _channel(world: World, channel_id: str) -> Channel:
    return world.channels.setdefault(channel_id, Channel(id=channel_id, title=""))


def _profile(world: World, username: str) -> Profile:
    if username not in world.profiles:
        world.profiles[username] = Profile(id=_made_id(username), username=username, synthetic_id=True)
    return world.profiles[username]


def _rename_listed(world: World, path: Path) -> None:
    """The list knows some accounts under an older handle, which their posts state.

    Where both handles are on the list, or both have posts, they are two people (25 of 187 such statements).
    """
    posters = {_text(row, "username"): _text(row, "list_username") for _, row in _rows(path)}
    for username, old_name in posters.items():
        if old_name in world.profiles and old_name not in posters and username not in world.profiles:
            profile = world.profiles.pop(old_name)
            profile.username = username
            world.profiles[username] = profile


def _not_hidden(count: int | None) -> int | None:
    """One origin writes -1 where likes are hidden."""
    return None if count is not None and count < 0 else count


def _media_type(row: dict[str, Any]) -> str:
    """The Graph API's word for what one origin names by its GraphQL type, the other by a number."""
    if row.get("media_typename") == "GraphSidecar" or row.get("media_type") == 8:
        return "CAROUSEL_ALBUM"
    return "VIDEO" if row.get("is_video") or row.get("media_type") == 2 else "IMAGE"


def _made_id(name: str) -> str:
    """For what the files state without an id; the same name has the same one."""
    return str(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big"))


def _id_in_url(url: str) -> str:
    _, found, rest = url.partition("/channel/")
    return rest.split("/")[0].split("?")[0] if found else ""


def _country(row: dict[str, Any]) -> str:
    """The API states two letters; what is longer is a name that some origin wrote."""
    country = _text(row, "country")
    return country.upper() if len(country) == 2 and country.isascii() and country.isalpha() else ""


def _count(row: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = row.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return int(value)
        if isinstance(value, str) and value.isascii() and value.isdecimal():
            return int(value)
    return None


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _instant(text: str) -> int | None:
    """RFC 3339, a date, or the trending files' ``YY.DD.MM``; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = datetime.strptime(text, "%y.%d.%m").replace(tzinfo=UTC)
        except ValueError:
            return None
    seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    return seconds if seconds >= OLDEST else None
