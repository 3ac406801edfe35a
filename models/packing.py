"""Text preparation for embedding: pure functions from records to the few words that say what a creator is about."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from statistics import median

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from proto.records import ContentItem, CreatorAccount

PACK_BYTES = 480
"""Bytes of UTF-8 in a text to embed: about 128 tokens in Latin script, a little more in others (cut by the model)."""
MAX_PACKS = 2
TITLE_BYTES = 120
OPENING_BYTES = 160
"""The rest of a description is links and boilerplate."""
READ_CHARS = 400
"""How much of a description or caption is looked at to find its opening."""
BIO_READ_CHARS = 3_000
HIT_FACTOR = 2.0
"""An item with this many times the account's median engagement is moved up …"""
HIT_PLACES = 5
"""… by so many places. Coarse on purpose: counts that creep must not make a new text of the same content."""
WALL_WORDS = 4
"""Hashtags kept of a run of them, as words: the first ones name the topic, the rest fishes for reach."""
BIO_KEYWORDS = 10
"""The account's own keywords stand in for what a bio leaves unsaid …"""
SHORT_BIO_CHARS = 120
"""… when it is shorter than this."""

_NETWORKS = "instagram|insta|ig|twitter|facebook|fb|tiktok|snapchat|snap|twitch|discord|patreon|spotify|website|vk"
_URL = re.compile(r"https?:\S*|www\.\S+", re.IGNORECASE)
_BARE_URL = re.compile(
    r"(?<![A-Za-z0-9-])[A-Za-z0-9-]{1,60}(?:\.[a-z0-9-]{1,60}){0,2}?"
    r"\.(?:[a-z]{2,10}/\S+|(?:com|net|org|gg|tv|co\.uk|co\.jp|com\.br|de|fr|ru)(?![a-z])\S*)"
)
"""``site.com``, ``smarturl.it/x``. The ending in lower case only: "the end.In the next" is a lost line break."""
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]+\.[\w.-]+|\[(?:e-?mail|phone)\]", re.IGNORECASE)
_PHONE = re.compile(r"\+?\(?\d(?:[\s().-]{0,3}\d){7,}")
_MENTION = re.compile(r"@[\w.]+")
_LABEL = re.compile(
    rf"\b(?:my )?(?:{_NETWORKS})\b\s{{0,5}}(?:page|account|profile)?\s{{0,5}}[:：→►▶>=-]+", re.IGNORECASE
)
_CALL = re.compile(
    r"(?:like[, ]+(?:share[, ]+)?(?:and|&) )?(?<![^\W\d])subscribe(?![a-z])"
    r"(?: (?:to|for|here|now|and)\b[^.!?\n:|]{0,60})?"
    r"|follow (?:me|us|him|her|them)\b[^.!?\n:|]{0,40}"
    r"|(?:inscreva-se|se inscreva|suscr[ií]b[ea]te|abonne[z-]|abonnier|iscriviti|abone ol|subskrybuj)[^.!?\n:|]{0,40}"
    r"|подпи(?:сывай|ши)[^.!?\n:|]{0,40}|チャンネル登録[^。!！\n]{0,20}|구독[^.!?\n]{0,15}|اشترك[^.!؟\n]{0,30}",
    re.IGNORECASE,
)
"""Calls to subscribe or follow, up to the end of the sentence, in the languages that most channels use."""
_HASHTAGS = re.compile(r"#[^\s#]+(?:[\s,.]*#[^\s#]+)*")
_SYMBOLS = re.compile(
    r"[\u2190-\u2bff\u3004\u3012\u3030\ufe00-\ufe0f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffd\U0001f000-\U0001faff\U000e0000-\U000e007f]+"
)
_RULES = re.compile(r"([^\w\s])\1{2,}|[_|~*=•·‣<>\\^`]+|(?<=\s)[-–—:.,]+(?=\s)")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\s]+")


class Pack(msgspec.Struct, frozen=True):
    """A text to embed and its share in the account's content (the shares of one account add up to 1)."""

    text: str
    weight: float


def clean(text: str) -> str:
    """One line of words: without links, addresses, phone numbers, calls to subscribe, hashtag walls and symbols.

    Line breaks may have been lost at the origin, so nothing here relies on them.
    """
    text = unicodedata.normalize("NFKC", text)  # styled letters (𝐅𝐢𝐭𝐧𝐞𝐬𝐬) are words to a reader, unknown to a tokenizer
    text = _EMAIL.sub(" ", text) if "@" in text or "[" in text else text
    text = _URL.sub(" ", text)
    text = _BARE_URL.sub(" ", text) if "." in text else text
    text = _PHONE.sub(" ", text)
    text = _MENTION.sub(" ", text) if "@" in text else text
    text = _LABEL.sub(" ", text)
    text = _CALL.sub(" ", text)
    text = _HASHTAGS.sub(_first_hashtags, text) if "#" in text else text
    text = _SYMBOLS.sub(" ", text)
    text = _RULES.sub(" ", f" {text} ")
    return _CONTROLS.sub(" ", text).strip(" -–—:,;/")


def bio_text(account: CreatorAccount) -> str:
    """What an account says of itself, at most ``PACK_BYTES``; empty when it says nothing."""
    bio = clean(account.bio[:BIO_READ_CHARS])
    if len(bio) < SHORT_BIO_CHARS:
        bio = ", ".join(filter(None, [bio, clean(", ".join(account.keywords[:BIO_KEYWORDS]))]))
    return _cut(bio, PACK_BYTES)


def content_packs(items: Sequence[ContentItem], *, limit_items: int = 20, now: float) -> list[Pack]:
    """At most two texts of ``PACK_BYTES`` from the newest ``limit_items``: titles first, then openings of descriptions.

    The same items give the same texts in whatever order they come. A date after ``now`` counts as ``now``.
    """
    packs: list[list[str]] = [[]]
    room = PACK_BYTES
    for fragment in _fragments(_ordered(items, limit_items, now)):
        size = len(fragment.encode()) + 2
        if size > room and packs[-1]:
            if len(packs) == MAX_PACKS:
                break
            packs.append([])
            room = PACK_BYTES
        packs[-1].append(fragment)
        room -= size
    texts = [". ".join(pack) for pack in packs if pack]
    total = sum(len(text.encode()) for text in texts)
    return [Pack(text, round(len(text.encode()) / total, 3)) for text in texts]


def input_hash(text: str, model_id: str) -> str:
    """Hex of 128 bits over the text and who embeds it: equal means the stored vector still stands."""
    return hashlib.blake2b(f"{model_id}\0{text}".encode("utf-8", "replace"), digest_size=16).hexdigest()


def weighted_mean(vectors: ArrayLike, weights: ArrayLike) -> NDArray[np.float32]:
    """``vectors`` [n, d], ``weights`` [n] → [d] of unit length; zeros when nothing is left to point anywhere."""
    mean = np.asarray(weights, np.float32) @ np.asarray(vectors, np.float32)
    length = float(np.linalg.norm(mean))
    return np.asarray(mean / length if 0 < length < np.inf else np.zeros_like(mean), np.float32)


def _first_hashtags(match: re.Match[str]) -> str:
    words = re.split(r"[\s,.#]+", match.group())
    return " " + " ".join([word for word in words if word][:WALL_WORDS]) + " "


def _ordered(items: Sequence[ContentItem], limit_items: int, now: float) -> list[ContentItem]:
    """Newest first, those that did far better than the account's others moved up."""
    newest = sorted(items, key=lambda item: (-min(item.published_at, now), item.content_id))[:limit_items]
    known = [views for views in map(_engagement, newest) if views is not None]
    bar = HIT_FACTOR * median(known) if known else float("inf")

    def place(entry: tuple[int, ContentItem]) -> tuple[int, int]:
        index, item = entry
        engagement = _engagement(item)
        return (index - HIT_PLACES if engagement is not None and engagement >= max(bar, 1) else index), index

    return [item for _, item in sorted(enumerate(newest), key=place)]


def _engagement(item: ContentItem) -> int | None:
    return item.views if item.views is not None else item.likes


def _fragments(items: Sequence[ContentItem]) -> Iterator[str]:
    """Titles, then openings, each once: series share their titles and channels their description.

    Cleaned as they are asked for: most accounts fill their packs with titles.
    """
    seen: set[str] = set()
    yield from (title for title in map(_title, items) if _is_new(title, seen))
    yield from (opening for opening in map(_opening, items) if _is_new(opening, seen))


def _title(item: ContentItem) -> str:
    return _cut(clean(item.title_or_caption[:READ_CHARS]), TITLE_BYTES)


def _opening(item: ContentItem) -> str:
    """Of the description; where a platform has only a caption, what the title left of it."""
    if item.description:
        return _cut(clean(item.description[:READ_CHARS]), OPENING_BYTES)
    caption = clean(item.title_or_caption[:READ_CHARS])
    return _cut(caption[len(_cut(caption, TITLE_BYTES)) :].strip(), OPENING_BYTES)


def _is_new(fragment: str, seen: set[str]) -> bool:
    key = fragment.casefold()
    if not key or key in seen:
        return False
    seen.add(key)
    return True


def _cut(text: str, size: int) -> str:
    """At most ``size`` bytes of UTF-8, at a space where there is one near."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= size:
        return text
    short = raw[:size].decode("utf-8", "ignore")
    head, space, _ = short.rpartition(" ")
    return (head if space and len(head) > len(short) // 2 else short).strip()
