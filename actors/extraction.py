"""What a bio, description or caption says besides its words: links, accounts, addresses, tags, disclosures.

Pure and total: any string is answered, in time that grows with its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

from actors.extraction_disclosure import is_sponsored
from actors.extraction_handles import Handle, phrases, profile_of
from actors.extraction_links import Url, find_urls, host_of, normalise, without_urls
from actors.extraction_tables import LINK_PAGE_HOSTS, PROFILE_URLS

__all__ = ["Handle", "emails", "handles", "hashtags", "is_link_page", "is_sponsored", "links", "mentions"]

_One = TypeVar("_One")

_HOST_PART = r"[a-z0-9-]{1,63}"
_BRACKETED_AT = r"\s{0,2}[\[({<]\s{0,2}(?:at|@|arroba)\s{0,2}[\])}>]\s{0,2}"
_BRACKETED_DOT = r"\s{0,2}[\[({<]\s{0,2}(?:dot|\.|punkt|punto|ponto)\s{0,2}[\])}>]\s{0,2}"
_WORD_DOT = r"\s(?:dot|punkt|punto|ponto)\s"
# A bare "at" must be followed by a bare "dot": "more at ted.com" is prose.
_EMAIL = re.compile(
    r"(?<![\w.+%-])(?P<name>[\w+%-][\w.+%-]{0,63})(?:"
    rf"(?:@|{_BRACKETED_AT})(?P<host>{_HOST_PART}(?:(?:\.|{_BRACKETED_DOT}|{_WORD_DOT}){_HOST_PART}){{1,5}})"
    rf"|\s(?:at|arroba)\s(?P<spelled>{_HOST_PART}(?:{_WORD_DOT}{_HOST_PART}){{1,5}}))",
    re.ASCII | re.IGNORECASE,
)
_DOT = re.compile(rf"{_BRACKETED_DOT}|{_WORD_DOT}", re.IGNORECASE)
_TLD = re.compile(r"\.[a-z]{2,24}$")
_HASHTAG = re.compile(r"(?<![&/#＃])[#＃]([\w\u200c\u200d\u0900-\u0dff]{1,140})")
# Scripts without spaces write a name right before "@"; Latin letters there make an e-mail address.
_MENTION = re.compile(r"(?<![A-Za-z0-9_+@/-])[@＠]([A-Za-z0-9_](?:[A-Za-z0-9_]|\.(?=[A-Za-z0-9_])){0,29})")


def links(text: str) -> list[str]:
    """Every URL in order, once, normalised; an account's page in its one form (``https://instagram.com/name``)."""
    return _once(_link(url) for url in find_urls(text) if not url.cut_short)


def handles(text: str) -> list[Handle]:
    """Every account the text names, by URL or in words, once, in order."""
    urls = list(find_urls(text))
    found = [(url.start, handle) for url in urls if (handle := profile_of(url))]
    found += phrases(text, urls)
    return _once(handle for _, handle in sorted(found, key=lambda one: one[0]))


def emails(text: str) -> list[str]:
    """Every address in order, once, lower case; ``name [at] host dot com`` too."""
    found = (
        (match["name"].lower(), _DOT.sub(".", match["host"] or match["spelled"]).lower())
        for match in _EMAIL.finditer(text)
    )
    return _once(f"{name}@{host}" for name, host in found if _TLD.search(host))


def hashtags(text: str) -> list[str]:
    """Every hashtag in order, once, without ``#``, case-folded; ``#a#b`` are two, a number alone (``#1``) is none."""
    found = _HASHTAG.finditer(without_urls(text, find_urls(text)))
    return _once(match[1].casefold() for match in found if not match[1].isdigit())


def mentions(text: str) -> list[str]:
    """Every ``@name`` in order, once, without ``@``, lower case; e-mail addresses hold none."""
    return _once(match[1].lower() for match in _MENTION.finditer(text))


def is_link_page(host: str) -> bool:
    """Whether the host (or URL) collects one person's links, as linktr.ee does; many people share such a host."""
    name = host_of(host.strip().lower())
    return name in LINK_PAGE_HOSTS or any(name.endswith(f".{known}") for known in LINK_PAGE_HOSTS)


def _link(url: Url) -> str:
    handle = profile_of(url)
    return normalise(url) if handle is None else PROFILE_URLS[handle.platform].format(_path_of(handle))


def _once(found: Iterable[_One]) -> list[_One]:
    return list(dict.fromkeys(found))


def _path_of(handle: Handle) -> str:
    return (
        f"channel/{handle.handle}" if handle.handle.startswith("UC") and handle.platform == "youtube" else handle.handle
    )
