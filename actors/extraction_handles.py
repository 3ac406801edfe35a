"""Accounts a text names: by URL, by ``Instagram: name`` and by ``@name on Instagram``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from actors.extraction_fused import cut_name
from actors.extraction_links import Url, without_urls
from actors.extraction_tables import (
    FACEBOOK,
    HANDLE_RULES,
    LABELS,
    NEVER_HANDLES,
    POST_PATHS,
    RESERVED_PATHS,
    SHORT_LABELS,
    SNAPCHAT,
    YOUTUBE,
)

_RULES = {platform: re.compile(rule) for platform, rule in HANDLE_RULES.items()}
_PLATFORM_OF_LABEL = {
    variant: platform
    for platform, labels in LABELS.items()
    for label in labels.split()
    for variant in {label, label.replace("-", " "), label.replace("-", "")}
}
_LABEL = "|".join(re.escape(label) for label in sorted(_PLATFORM_OF_LABEL, key=len, reverse=True))
_ONE = rf"(?:{_LABEL})(?![a-z0-9_])"
_AND = r"[^\w@#.:：;!?\n\-–—>►➤→]{1,6}(?:(?:and|und|et|y|e|и)[ ])?"
_MARK = r"[^\w@.,;!?/#\n]{0,8}"
_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{1,60}"
_PHRASE = re.compile(
    rf"(?P<labels>{_ONE}(?:{_AND}{_ONE}){{0,4}})"
    rf"(?:(?P<before>{_MARK}\n?|(?:[ ](?!{_ONE})\w{{1,20}}){{0,2}}[ ]?[:：\-–>→][ ]?)@(?P<mention>{_NAME})"
    rf"|(?P<mark>{_MARK})(?P<name>{_NAME}))",
    re.IGNORECASE,
)
_EACH = re.compile(_ONE, re.IGNORECASE)
_ON = re.compile(rf"@(?P<mention>{_NAME})[ ](?:on|auf|en|sur|no|su|в|in)[ ](?P<labels>{_ONE})", re.IGNORECASE)
_SEPARATOR = re.compile(r"[:：\-–—~|=>•·→➜➤►▶▷⇒👉➭»➡⇨(\[]")
_COLON = re.compile(r"[:：]")
_ENDS = re.compile(rf"\s*(?:$|\n|[|•·,;/()\[\]&+~►▶➤➜→\-–—#@\u2000-\U0010ffff]|\.\s|\.$|{_ONE})", re.IGNORECASE)
_AFTER = 40


class Handle(msgspec.Struct, frozen=True, order=True):
    """An account as its platform would look it up.

    Instagram, TikTok, X, Twitch, Threads, Snapchat: lower case, without ``@``. Facebook: also without dots, which it
    ignores, or a page's number. YouTube: ``UC…`` with its case, or in lower case ``@handle``, ``user/name`` or
    ``c/name``, which are three separate name spaces.
    """

    platform: str
    handle: str


def handle_of(platform: str, name: str) -> Handle | None:
    """The account of that name; None when the platform could not have given it."""
    if not (platform == YOUTUBE and name.startswith("UC") and len(name) == 24):
        name = name.lower()
    if platform == FACEBOOK:
        name = name.replace(".", "")
    if name in RESERVED_PATHS[platform] or name.startswith("www.") or not _RULES[platform].fullmatch(name):
        return None
    return Handle(platform, name)


def profile_of(url: Url) -> Handle | None:
    """The account whose page the URL is; None for posts, playlists, searches and other hosts."""
    if url.platform is None or url.cut_short:
        return None
    path, _, query = url.tail.partition("#")[0].partition("?")
    parts = [part for part in path.split("/") if part]
    if url.platform == FACEBOOK and parts[:1] == ["profile.php"]:
        number = re.search(r"(?:^|&)id=(\d{3,20})", query)
        return handle_of(FACEBOOK, number[1]) if number else None
    if not parts or (len(parts) > 2 and parts[1].lower() in POST_PATHS):
        return None
    return handle_of(url.platform, name) if (name := _name_in(url.platform, parts)) else None


def _name_in(platform: str, parts: list[str]) -> str | None:
    """The name in the path of a profile, in the form ``handle_of`` takes."""
    first, second = parts[0], parts[1] if len(parts) > 1 else ""
    if platform == YOUTUBE:
        return _youtube_name(first, second)
    if platform == FACEBOOK and first.lower() in ("pages", "people"):
        return parts[2] if len(parts) > 2 else None
    if platform == SNAPCHAT:
        return second if first.lower() == "add" else first.removeprefix("@") if first[0] == "@" else None
    if first.lower() in ("stories", "_u"):
        return second
    return None if first.lower() in RESERVED_PATHS[platform] else first.removeprefix("@")


def _youtube_name(first: str, second: str) -> str | None:
    kind = first.lower()
    if kind == "channel":
        return second
    if kind in ("user", "c"):
        return f"{kind}/{second}"
    if kind.startswith("@"):
        return first
    return None if kind in RESERVED_PATHS[YOUTUBE] else f"c/{first}"


def phrases(text: str, urls: Iterable[Url]) -> Iterator[tuple[int, Handle]]:
    """Accounts named in words, with where; ``urls`` are those of the text, and are read as blanks."""
    prose = without_urls(text, urls)
    position = 0
    while match := _PHRASE.search(prose, position):
        position = match.start() + 1
        if _stands_alone(prose, match.start(), short=match["labels"].lower() in SHORT_LABELS):
            for start, end, handle in _announced(prose, match):
                yield start, handle
                position = end
    for match in _ON.finditer(prose):
        yield from ((match.start(), handle) for handle in _on_all(match["labels"], match["mention"]))


def _announced(prose: str, match: re.Match[str]) -> Iterator[tuple[int, int, Handle]]:
    """Each name behind the labels, for each platform of the labels."""
    labels = match["labels"]
    short = labels.lower() in SHORT_LABELS
    if match["name"] is not None:
        if labels.lower() == "x" or not (_COLON if short else _SEPARATOR).search(match["mark"]):
            return
        start, name, sure = match.start("name"), match["name"], False
    else:
        if short and not _SEPARATOR.search(match["before"]) and labels.lower() != "ig":
            return
        start, name, sure = match.start("mention"), match["mention"], True
    after = prose[match.end() : match.end() + _AFTER]
    name = cut_name(name, after, whole_line=after[:1] in ("", "\n"))
    end = start + len(name)
    if sure or _looks_like_a_handle(name, prose[end : end + _AFTER]):
        yield from ((start, end, handle) for handle in _on_all(labels, f"@{name}" if sure else name))


def _on_all(labels: str, name: str) -> Iterator[Handle]:
    """The name on each platform that the labels say."""
    for label in _EACH.findall(labels):
        platform = _PLATFORM_OF_LABEL.get(label.lower())
        # Without case a "ſ" is an "s", yet no label has it; what follows "YouTube:" without "@" is a title.
        if platform is None or (platform == YOUTUBE and name[0] != "@"):
            continue
        handle = handle_of(platform, name if platform == YOUTUBE else name.removeprefix("@"))
        if handle is not None:
            yield handle


def _stands_alone(prose: str, start: int, *, short: bool) -> bool:
    """Whether a label begins here: at a word's start, or with a capital where newlines were lost."""
    before, first = prose[start - 1 : start], prose[start]
    if before in ("_", "@", "#"):
        return before == "_" and first.isupper()
    if not before.isalnum() or first > "\u0900":  # kana and Hangul are written without spaces
        return True
    return first.isupper() and not before.isupper() and not short


def _looks_like_a_handle(name: str, after: str) -> bool:
    """Whether a word without ``@`` is a name and not the next sentence."""
    if name.lower() in NEVER_HANDLES:
        return False
    return bool(re.search(r"[\d_]|\w\.\w", name) or _ENDS.match(after))
