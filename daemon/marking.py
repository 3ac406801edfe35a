"""Where words of a query stand in a text as it was written. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from stores.analysis import fold

Mark = tuple[int, int, str]
MIN_PREFIX_CHARS = 2
"""From this length on the last word also marks words that begin with it."""


def marker(words: Sequence[str]) -> Callable[[str], list[Mark]]:
    """``words``: folded, in their order. What it returns gives begin, end (in code points) and word of each place."""
    if not words:
        return lambda _: []
    last = words[-1]
    parts = [
        re.escape(word) + ("" if word == last and len(word) >= MIN_PREFIX_CHARS else r"(?![^\W_])") for word in words
    ]
    pattern = re.compile("|".join(sorted(parts, key=len, reverse=True)))

    def marks(text: str) -> list[Mark]:
        if text.isascii():
            return _found(pattern, text.lower(), None)
        if not pattern.search(fold(text)):  # of most texts this is all there is to do
            return []
        return _found(pattern, *_folded(text))

    return marks


def _found(pattern: re.Pattern[str], folded: str, places: Sequence[int] | None) -> list[Mark]:
    found: list[Mark] = []
    for one in pattern.finditer(folded):
        begin, end = one.span()
        spaced = folded[begin].isascii()
        if spaced and begin and folded[begin - 1].isalnum():
            continue
        if places is not None:
            begin, end = places[begin], places[end - 1] + 1
        found.append((begin, end, one[0]))
    return found


def _folded(text: str) -> tuple[str, list[int]]:
    """The folded text, and of each of its characters the place in the text that it comes from. Letter by letter, so that a
    letter whose folding depends on its neighbours may be missed."""
    parts = [fold(one) for one in text]
    return "".join(parts), [at for at, part in enumerate(parts) for _ in part]
