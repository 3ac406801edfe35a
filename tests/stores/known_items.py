"""Real creators as keyword search sees them, and queries that mean one of them: by title, by handle, with a typo."""

from __future__ import annotations

import math
import random
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.documents import BIO_CHARS, TITLES_CHARS
from daemon.simulator.files import load_world
from daemon.simulator.world import Channel, Profile
from proto.ids import CreatorId, Row
from stores.keyword_match import match_keywords
from stores.ports import TextDocument
from stores.text_index import TantivyTextIndex

MISTYPED_FROM = 6
"""Letters of a title that is mistyped."""
KINDS = ("insert", "delete", "substitute", "transpose")


class Item(msgspec.Struct, frozen=True):
    document: TextDocument
    platform: str
    title: str
    handle: str
    followers: int


def load_items(folder: Path) -> list[Item]:
    """Every channel and profile of the files; rows in their order."""
    world = load_world([folder])
    found: list[Item] = []
    for channel in world.channels.values():
        titles = [world.videos[video].title for video in channel.videos]
        found.append(_item(len(found), channel, channel.title, "", channel.id, channel.description, titles))
    for profile in world.profiles.values():
        captions = [post.caption for post in profile.posts]
        name = profile.name or profile.username
        found.append(_item(len(found), profile, name, profile.username, profile.id, profile.biography, captions))
    return found


def _item(
    row: int, account: Channel | Profile, name: str, handle: str, user_id: str, bio: str, titles: Sequence[str]
) -> Item:
    document = TextDocument(
        row=Row(row),
        creator_id=CreatorId(row + 1),
        name=name,
        handles=tuple(filter(None, (handle, user_id))),
        bio=bio[:BIO_CHARS],
        titles=" \n".join(titles)[:TITLES_CHARS],
    )
    if isinstance(account, Channel):
        return Item(document, "youtube", name, handle, account.subscribers or 0)
    return Item(document, "instagram", name, handle, account.followers or 0)


def mistyped(text: str, chosen: random.Random) -> str:
    """One insertion, deletion, substitution or swap of neighbours at any place; letters are of the text's main script.

    ``text`` has at least two different letters.
    """
    letters = [char for char in text if char.isalpha() and script_of(char) == script_of(text)]
    while True:
        kind, at, other = chosen.choice(KINDS), chosen.randrange(len(text)), chosen.choice(letters)
        head, tail = text[:at], text[at:]
        typed = {
            "insert": head + other + tail,
            "delete": head + tail[1:],
            "substitute": head + other + tail[1:],
            "transpose": head + tail[1:2] + tail[:1] + tail[2:],
        }[kind]
        if typed != text:
            return typed


def may_be_mistyped(text: str) -> bool:
    return len(text) >= MISTYPED_FROM and sum(map(str.isalpha, text)) >= MISTYPED_FROM


def script_of(text: str) -> str:
    """The most frequent script among the letters, by the first word of their names."""
    counts = Counter(unicodedata.name(char, "?").split()[0] for char in text if char.isalpha())
    return counts.most_common(1)[0][0] if counts else "NONE"


def rank_of(index: TantivyTextIndex, text: str, wanted: int, quality: NDArray[np.float64]) -> int:
    """From 1, by keyword score, then quality, then row; 0 where it is not found."""
    match = match_keywords(index.lookup(text), None, every=False)
    order = np.lexsort((match.rows, -quality[match.rows], -match.scores))
    at = np.flatnonzero(match.rows[order] == wanted)
    return int(at[0]) + 1 if len(at) else 0


def qualities(items: Sequence[Item]) -> NDArray[np.float64]:
    """By row."""
    found = np.zeros(max(item.document.row for item in items) + 1)
    for item in items:
        found[item.document.row] = math.log1p(item.followers)
    return found
