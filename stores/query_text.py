"""What a person types into a search field: words, "phrases" and what is -excluded. Pure, and nothing typed is an error."""

from __future__ import annotations

import re

import msgspec

from stores.analysis import MAX_QUERY_CHARS, MAX_QUERY_WORDS, fold, tokens
from stores.stop_words import STOP_WORDS

_QUOTES = str.maketrans(dict.fromkeys("“”„«»＂", '"'))
_PART = re.compile(r'(?:(?<=\s)|^)(?:(-?)"([^"]*)"|-(?=[^\s"-])(\S+))')
"""A phrase, a phrase after a minus, or a word after one: each where a word begins. A quote that nobody closes, and a
minus that stands alone or within a word, are signs between words like any other."""


class QueryText(msgspec.Struct, kw_only=True, frozen=True):
    """Everything folded, in the order of the text, within the caps of `stores.analysis`."""

    wanted: str
    """The text without what is excluded: this may be a name or a handle."""
    words: tuple[str, ...] = ()
    """Outside of phrases, each once, without words that say nothing (unless there are no others)."""
    phrases: tuple[tuple[str, ...], ...] = ()
    """The words of each, which must follow one another."""
    excluded: tuple[tuple[str, ...], ...] = ()
    """Likewise, of what must not be there; most are of one word."""


def typed_key(text: str) -> str:
    """A second key of a name that would be read as an exclusion ("Ann -Coach"): as it is typed; empty for any other."""
    if "-" not in text or not any(part[3] is not None or part[1] for part in _PART.finditer(text)):
        return ""
    return " ".join(fold(text).split())[:MAX_QUERY_CHARS]


def parse_query(text: str) -> QueryText:
    text = text[:MAX_QUERY_CHARS].translate(_QUOTES)
    loose: list[str] = []
    wanted: list[str] = []
    phrases: list[tuple[str, ...]] = []
    excluded: list[tuple[str, ...]] = []
    begin = 0
    for part in _PART.finditer(text):
        words = tuple(tokens(part[2] if part[3] is None else part[3]))[:MAX_QUERY_WORDS]
        if not words:
            continue
        loose.append(text[begin : part.start()])
        begin = part.end()
        if part[3] is not None or part[1]:
            excluded.append(words)
            wanted.append(loose[-1])
        else:
            phrases.append(words)
            wanted += [loose[-1], part[0]]
    loose.append(text[begin:])
    wanted.append(loose[-1])
    room = max(MAX_QUERY_WORDS - sum(map(len, phrases)), 0)
    return QueryText(
        wanted=" ".join(wanted) if phrases or excluded else text,
        words=_telling(dict.fromkeys(tokens(" ".join(loose))), bool(phrases))[:room],
        phrases=tuple(dict.fromkeys(phrases)),
        excluded=tuple(dict.fromkeys(excluded)),
    )


def _telling(words: dict[str, None], has_phrases: bool) -> tuple[str, ...]:
    """Without function words; a query of nothing else ("The Who") keeps them."""
    telling = tuple(word for word in words if word not in STOP_WORDS)
    return telling if telling or has_phrases else tuple(words)
