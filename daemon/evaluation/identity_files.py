"""A world from files, and which YouTube channel and Instagram account are known to be one person's."""

from __future__ import annotations

import gzip
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from actors.extraction import handles
from actors.identity_clusters import Pair, pair_of
from actors.identity_names import likeness, skeleton
from actors.identity_resolution import Rules
from actors.reading import with_extracted
from daemon.evaluation.identity import (
    Figure,
    Known,
    Mistake,
    Speed,
    Tell,
    World,
    by_evidence,
    curve,
    measure,
    mistakes,
    take_in_world,
)
from daemon.simulator.files import load_world
from daemon.simulator.world import Channel, Profile, Video
from proto.errors import Malformed
from proto.ids import AccountKey, Platform, account_key
from proto.records import ContentItem, CreatorAccount, Normalised

RECENT_ITEMS = 20
"""As many newest items of an account are read as the daemon reads by default."""
LIKE_NAMES = 0.85
"""Of the rule that the resolver is measured against: a link in the text, and name and handle as alike as this."""
CURATED, HIGH, MEDIUM, LOW, SELF_DECLARED = "curated", "high", "medium", "low", "self_declared"


class Link(msgspec.Struct, kw_only=True):
    """A row of the truth: which channel and which Instagram account, and how sure that is."""

    instagram_handle: str
    label_quality: str
    youtube_channel_id: str = ""
    youtube_username: str = ""
    name: str = ""
    description: str = ""

    @property
    def channel_id(self) -> str:
        """Where the truth knows but a legacy name, that stands in the id's place."""
        return self.youtube_channel_id or f"user.{self.youtube_username}"


class Report(msgspec.Struct, kw_only=True):
    """``low_merged``: share of the rows of low quality that were merged; they are no truth."""

    self_declared_and_high: Figure
    high_and_medium: Figure
    curated: Figure
    low_merged: float
    low_pairs: list[tuple[str, str]]
    """Those merged, by name, to be read by a person."""
    extraction: dict[str, float | int]
    """Of the handles that descriptions name, how many were read off them."""
    by_evidence: dict[str, dict[str, dict[str, float | int]]]
    curves: dict[str, dict[str, Figure]]
    """At other thresholds."""
    plain_rules: dict[str, Figure]
    """What simple rules would have found."""
    worst: dict[str, list[Mistake]]
    speed: Speed


def read_truth(path: Path) -> list[Link]:
    """JSON lines, gzip or not. Raises Malformed naming file and line."""
    number = 0
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as lines:
            found = []
            for number, line in enumerate(lines, 1):  # noqa: B007 - the complaint names the line
                found.append(msgspec.json.decode(line, type=Link))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"{path}, line {number}: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise Malformed(f"{path}: cannot be read: {error}") from error
    without = [number for number, one in enumerate(found, 1) if not (one.youtube_channel_id or one.youtube_username)]
    if without or not found:
        raise Malformed(f"{path}: {f'line {without[0]} names no channel' if without else 'holds no pair'}")
    return found


def evaluate(folders: Sequence[Path], truth: Path, rules: Rules, tell: Tell) -> Report:
    """Raises Malformed for files that cannot be read."""
    links = read_truth(truth)
    known = known_accounts(folders, links)
    world = take_in_world(known, rules, tell)
    return _report(world, known, links, rules)


def known_accounts(folders: Sequence[Path], links: Iterable[Link]) -> list[Known]:
    """Every account of the files, and those that only the truth names; no account knows of its pair.

    Of the truth a channel may take its title where the pair is curated, and its own description where it declared
    itself; handles and names stand on their own side.
    """
    world = load_world(folders)
    for link in links:
        channel = world.channels.setdefault(link.channel_id, Channel(id=link.channel_id, title=link.channel_id))
        if link.label_quality == CURATED:
            channel.title = link.name if channel.title == channel.id else channel.title
            channel.handle = channel.handle or link.youtube_username
        if link.label_quality == SELF_DECLARED:
            channel.description = channel.description or link.description
        name = link.instagram_handle.lower()
        world.profiles.setdefault(name, Profile(id=f"named.{name}", username=name))
    known = [_of_channel(one, [world.videos[video] for video in one.videos]) for one in world.channels.values()]
    return known + [_of_profile(one) for one in world.profiles.values()]


def _of_channel(channel: Channel, videos: Sequence[Video]) -> Known:
    """A channel without a title has its id in the title's place, which is no name."""
    account = CreatorAccount(
        platform=Platform.YOUTUBE,
        platform_user_id=channel.id,
        handle=channel.handle,
        display_name="" if channel.title == channel.id else channel.title,
        bio=channel.description,
        country=channel.country or None,
    )
    items = [
        ContentItem(
            content_id=video.id,
            account_key=account.key,
            title_or_caption=video.title,
            description=video.description,
            published_at=video.published_at,
        )
        for video in videos[:RECENT_ITEMS]
    ]
    return _known(account, items)


def _of_profile(profile: Profile) -> Known:
    account = CreatorAccount(
        platform=Platform.INSTAGRAM,
        platform_user_id=profile.id,
        handle=profile.username,
        display_name=profile.name,
        bio=profile.biography,
        website=profile.website,
    )
    posts = sorted(profile.posts, key=lambda post: -post.taken_at)[:RECENT_ITEMS]
    items = [
        ContentItem(
            content_id=post.id, account_key=account.key, title_or_caption=post.caption, published_at=post.taken_at
        )
        for post in posts
    ]
    return _known(account, items)


def _known(account: CreatorAccount, items: list[ContentItem]) -> Known:
    said = with_extracted(Normalised(account_key=account.key, account=account, items=[]))
    assert said.account is not None
    return Known(account=said.account, items=items, person="")


def _report(world: World, known: Sequence[Known], links: Sequence[Link], rules: Rules) -> Report:
    keys = _Keys(known)
    right: dict[str, set[Pair]] = defaultdict(set)
    for link in links:
        right[link.label_quality].add(keys.pair(link))
    certain = set().union(*(pairs for quality, pairs in right.items() if quality != LOW))
    groups = {
        "self_declared_and_high": right[SELF_DECLARED] | right[HIGH],
        "high_and_medium": right[HIGH] | right[MEDIUM],
        "curated": right[CURATED],
    }
    touched = {name: {key for pair in pairs for key in pair} for name, pairs in groups.items()}
    figures = {name: measure(world, groups[name], touched[name], certain) for name in groups}
    low = sorted(right[LOW] & world.merged)
    return Report(
        self_declared_and_high=figures["self_declared_and_high"],
        high_and_medium=figures["high_and_medium"],
        curated=figures["curated"],
        low_merged=round(len(low) / max(len(right[LOW]), 1), 4),
        low_pairs=[(world.names[one], world.names[other]) for one, other in low],
        extraction=_extraction(known, links),
        by_evidence={name: by_evidence(world, touched[name], certain, rules) for name in groups},
        curves={name: curve(world, groups[name], touched[name], certain, rules) for name in groups},
        plain_rules={
            "curated_same_string": measure(
                world, groups["curated"], touched["curated"], certain, merged=same_strings(known)
            ),
            "high_and_medium_link_and_likeness": measure(
                world, groups["high_and_medium"], touched["high_and_medium"], certain, merged=linked_and_alike(known)
            ),
        },
        worst={name: mistakes(world, touched[name], certain, rules) for name in groups},
        speed=world.speed,
    )


class _Keys:
    """From the names of the truth to accounts."""

    def __init__(self, known: Iterable[Known]) -> None:
        self._by_handle = {
            one.account.handle.lower(): one.account.key for one in known if one.account.platform is Platform.INSTAGRAM
        }

    def pair(self, link: Link) -> Pair:
        channel = account_key(Platform.YOUTUBE, link.channel_id)
        return pair_of(channel, self._by_handle[link.instagram_handle.lower()])


def training(folders: Sequence[Path], truth: Path) -> tuple[list[Known], dict[Pair, bool | None]]:
    """The accounts, and of each pair of the truth whether it is one person's; None where the truth does not know."""
    links = read_truth(truth)
    known = known_accounts(folders, links)
    keys = _Keys(known)
    return known, {keys.pair(link): None if link.label_quality == LOW else True for link in links}


def same_strings(known: Iterable[Known]) -> set[Pair]:
    """The plain rule: a channel's title or handle is an Instagram handle, but for case, accents and marks."""
    by_name: dict[str, list[AccountKey]] = defaultdict(list)
    channels = []
    for one in known:
        if one.account.platform is Platform.INSTAGRAM:
            by_name[skeleton(one.account.handle)].append(one.account.key)
        else:
            channels.append(one.account)
    return {
        pair_of(channel.key, profile)
        for channel in channels
        for name in {skeleton(channel.display_name), skeleton(channel.handle)} - {""}
        for profile in by_name.get(name, [])
    }


def linked_and_alike(known: Iterable[Known]) -> set[Pair]:
    """The plain rule: the channel's texts link the account, and its name is like the handle."""
    known = list(known)
    profiles = {one.account.handle.lower(): one.account for one in known if one.account.platform is Platform.INSTAGRAM}
    found: set[Pair] = set()
    for one in known:
        if one.account.platform is Platform.INSTAGRAM:
            continue
        names = [skeleton(one.account.display_name), skeleton(one.account.handle)]
        for handle in _linked(one) & profiles.keys():
            if max(likeness(name, skeleton(handle)) for name in names) >= LIKE_NAMES:
                found.add(pair_of(one.account.key, profiles[handle].key))
    return found


def _linked(one: Known) -> set[str]:
    """Instagram handles that an account's texts name."""
    texts = [one.account.bio, *(item.description for item in one.items)]
    return {named.handle for text in texts for named in handles(text) if named.platform == Platform.INSTAGRAM.value}


def _extraction(known: Sequence[Known], links: Iterable[Link]) -> dict[str, float | int]:
    """Of the handles that the truth read off descriptions, how many were read off them here."""
    by_channel = {one.account.key: one for one in known if one.account.platform is Platform.YOUTUBE}
    wanted = [link for link in links if link.label_quality != CURATED]
    right = sum(
        link.instagram_handle.lower() in _linked(by_channel[account_key(Platform.YOUTUBE, link.channel_id)])
        for link in wanted
    )
    return {"n": len(wanted), "right": right, "share": round(right / max(len(wanted), 1), 4)}
