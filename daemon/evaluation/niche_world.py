"""Creators whose subject is known, as the daemon would see them: what labels are measured on."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from actors.labelling import creator_texts
from actors.reading import with_extracted
from daemon.simulator.files import POSTS, PROFILES, VIDEOS, load_world
from models.language import language_of
from models.local_classifier import CreatorTexts
from models.packing import Pack, bio_text, content_packs
from proto.errors import Malformed
from proto.ids import CreatorId, Platform, Row
from proto.records import ContentItem, Creator, CreatorAccount, Normalised
from stores.catalog import AccountBundle, CreatorBundle

OLDER_VIDEOS = "youtube_videos_trending.jsonl.gz"
"""Titles and tags of further channels, which it knows by their titles alone."""
LINKS = "cross_platform_links.jsonl.gz"
RECENT_ITEMS = 20
YOUTUBE, INSTAGRAM, BRANDS = "youtube_category", "instagram_category", "brand_category"
"""Where labels come from."""
NO_NICHE = {"": "", "22": "People & Blogs", "24": "Entertainment", "29": "Nonprofits & Activism", "43": "Shows"}
"""YouTube's categories that are no subject."""
INSTAGRAM_NICHES: dict[str, tuple[str, ...]] = {
    "beauty": ("beauty",),
    "family": ("family", "kids"),
    "fashion": ("fashion",),
    "fitness": ("fitness",),
    "food": ("food",),
    "interior": ("home", "diy"),
    "pet": ("pets",),
    "travel": ("travel", "outdoors"),
}
"""Which niches are right for a category of the list of influencers; "other" is none."""
BRAND_NICHES: dict[str, tuple[str, ...]] = {
    "shop/clothes": ("fashion",),
    "shop/shoes": ("fashion",),
    "shop/jewelry": ("fashion",),
    "shop/watches": ("fashion",),
    "shop/bag": ("fashion",),
    "shop/cosmetics": ("beauty",),
    "shop/perfumery": ("beauty",),
    "shop/hairdresser": ("beauty",),
    "shop/beauty": ("beauty",),
    "amenity/restaurant": ("food",),
    "amenity/fast_food": ("food",),
    "amenity/cafe": ("food",),
    "shop/bakery": ("food",),
    "shop/supermarket": ("food",),
    "amenity/bank": ("finance",),
    "office/insurance": ("finance",),
    "shop/car": ("autos",),
    "shop/car_repair": ("autos",),
    "shop/electronics": ("technology",),
    "shop/mobile_phone": ("technology",),
    "shop/computer": ("technology",),
    "tourism/hotel": ("travel",),
    "shop/travel_agency": ("travel",),
    "shop/furniture": ("home",),
    "shop/houseware": ("home",),
    "shop/doityourself": ("home", "diy"),
    "leisure/fitness_centre": ("fitness",),
    "shop/sports": ("sports", "fitness", "outdoors"),
    "shop/outdoor": ("outdoors",),
    "shop/books": ("books",),
    "shop/pet": ("pets",),
    "amenity/cinema": ("film-tv",),
    "shop/toys": ("kids", "family"),
}
"""Of the kinds of the name-suggestion-index; a brand of several kinds is left out."""


class Labelled(msgspec.Struct, kw_only=True, frozen=True):
    """``label``: what is known of it, by its source's own word; ``country``: where its videos trend, or empty."""

    source: str
    key: str
    label: str
    texts: CreatorTexts
    platform: str
    bio: str
    packs: list[Pack]
    language: str
    country: str = ""


def labelled_creators(folders: Sequence[Path]) -> list[Labelled]:
    """Of all files that the folders have, by key, each once. Raises Malformed for files that cannot be read, and when
    there is none."""

    def those_with(name: str) -> list[Path]:
        return [folder / name for folder in folders if (folder / name).exists()]

    found: list[Labelled] = []
    if videos := those_with(VIDEOS):
        found += _channels(folders, videos)
    found += _older_channels(those_with(OLDER_VIDEOS))
    if those_with(POSTS) and those_with(PROFILES):
        found += _profiles(folders)
    found += _brands(those_with(LINKS))
    if not found:
        places = ", ".join(map(str, folders))
        raise Malformed(
            f"{places}: no labelled creators here; expected any of {VIDEOS}, {OLDER_VIDEOS}, {POSTS}, {LINKS}"
        )
    each = {(one.source, one.key, one.label, one.bio): one for one in found}  # brands of one kind may share an account
    return sorted(each.values(), key=lambda one: (one.source, one.key))


def _channels(folders: Sequence[Path], videos_files: Sequence[Path]) -> Iterator[Labelled]:
    world = load_world(folders)
    regions: dict[str, Counter[str]] = defaultdict(Counter)
    for row in _rows_of(videos_files):
        regions[str(row.get("channel_id"))][str(row.get("region") or "")] += 1
    for channel in world.channels.values():
        videos = [world.videos[video] for video in channel.videos]
        label = _majority(video.category_id for video in videos)
        if not videos or label in NO_NICHE:
            continue
        account = CreatorAccount(
            platform=Platform.YOUTUBE,
            platform_user_id=channel.id,
            display_name="" if channel.title == channel.id else channel.title,
            bio=channel.description,
            keywords=channel.keywords.split(),
        )
        items = [
            _item(account, number, video.title, video.description, video.tags, video.published_at)
            for number, video in enumerate(videos[:RECENT_ITEMS])
        ]
        yield _labelled(YOUTUBE, label, account, items, country=_majority(regions[channel.id].elements()))


def _older_channels(paths: Sequence[Path]) -> Iterator[Labelled]:
    rows: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for row in _rows_of(paths):
        rows[str(row.get("channel_title") or "")].setdefault(str(row.get("video_id")), row)
    for title, videos in rows.items():
        label = _majority(str(row.get("category_id") or "") for row in videos.values())
        if not title or label in NO_NICHE:
            continue
        account = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id=f"titled.{title}", display_name=title)
        items = [
            _item(account, number, str(row.get("title") or ""), "", [str(tag) for tag in row.get("tags") or []], 0)
            for number, row in enumerate(list(videos.values())[:RECENT_ITEMS])
        ]
        country = _majority(str(row.get("region") or "") for row in videos.values())
        yield _labelled(YOUTUBE, label, account, items, country=country)


def _profiles(folders: Sequence[Path]) -> Iterator[Labelled]:
    for profile in load_world(folders).profiles.values():
        if profile.category not in INSTAGRAM_NICHES or not profile.posts:
            continue
        account = CreatorAccount(
            platform=Platform.INSTAGRAM,
            platform_user_id=profile.id,
            handle=profile.username,
            display_name=profile.name,
            bio=profile.biography,
        )
        posts = sorted(profile.posts, key=lambda post: -post.taken_at)[:RECENT_ITEMS]
        items = [_item(account, number, post.caption, "", [], post.taken_at) for number, post in enumerate(posts)]
        yield _labelled(INSTAGRAM, profile.category, account, items)


def _brands(paths: Sequence[Path]) -> Iterator[Labelled]:
    for row in _rows_of(paths):
        kinds = {kind.partition("/")[2] for kind in row.get("category_paths") or [] if kind.startswith("brands/")}
        handle, known = str(row.get("instagram_handle") or ""), kinds & set(BRAND_NICHES)
        if len(kinds) != 1 or not known or not row.get("description"):
            continue
        account = CreatorAccount(
            platform=Platform.INSTAGRAM,
            platform_user_id=handle,
            handle=handle,
            display_name=str(row.get("name") or ""),
            bio=str(row["description"]),
        )
        yield _labelled(BRANDS, known.pop(), account, [])


def _item(
    account: CreatorAccount, number: int, title: str, description: str, tags: Sequence[str], at: int
) -> ContentItem:
    return ContentItem(
        content_id=f"{number}",
        account_key=account.key,
        title_or_caption=title,
        description=description,
        tags=list(tags),
        published_at=at,
        detailed=True,
    )


def _labelled(
    source: str, label: str, account: CreatorAccount, items: list[ContentItem], *, country: str = ""
) -> Labelled:
    """As the Normaliser, the Embedder and the Enricher read it; what the platform calls it is withheld."""
    read = with_extracted(Normalised(account_key=account.key, account=account, items=items))
    assert read.account is not None
    creator = Creator(creator_id=CreatorId(0), row=Row(0), name=account.display_name or account.handle)
    bundle = CreatorBundle(
        creator=creator, accounts=[AccountBundle(account=read.account, items=read.items, vectors={})], embeddings={}
    )
    now = max((item.published_at for item in items), default=0)
    written = " ".join([account.bio, *(item.title_or_caption for item in items)])
    return Labelled(
        source=source,
        key=account.key,
        label=label,
        texts=creator_texts(bundle),
        platform=account.platform.value,
        bio=bio_text(read.account),
        packs=content_packs(read.items, limit_items=RECENT_ITEMS, now=now),
        language=language_of(written) or "",
        country=country,
    )


def _majority(words: Iterable[str]) -> str:
    """The first in alphabetical order of those that stand most often; empty when there is none."""
    counted = Counter(words)
    return min(counted, key=lambda word: (-counted[word], word), default="")


def _rows_of(paths: Sequence[Path]) -> Iterator[Mapping[str, Any]]:
    for path in paths:
        yield from _rows(path)


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    number = 0
    try:
        with gzip.open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):  # noqa: B007 - the complaint names the line
                yield msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"{path}, line {number}: {error}; mend or remove the line") from error
    except (OSError, EOFError, zlib.error) as error:
        raise Malformed(f"{path}: not a whole gzip file ({error}); fetch it again") from error
