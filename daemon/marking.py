"""Where words of a query stand in a text as it was written. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stores.analysis import fold

Mark = tuple[int, int, str]
"""Begin and end in code points, and which of the words stands there."""
MIN_PREFIX_CHARS = 2
"""From this length on the last word also marks words that begin with it."""


class Marker:
    """Finds the words of one query."""

    def __init__(self, words: Sequence[str]) -> None:
        """``words``: folded, in their order."""
        last = words[-1] if words else ""
        parts = [
            re.escape(word) + ("" if word == last and len(word) >= MIN_PREFIX_CHARS else r"(?![^\W_])")
            for word in words
        ]
        self._pattern = re.compile("|".join(sorted(parts, key=len, reverse=True))) if words else None

    def may_meet(self, text: str) -> bool:
        """False where none of the words is anywhere in the text. Quick: most texts hold none."""
        if self._pattern is None:
            return False
        return self._pattern.search(text.lower() if text.isascii() else fold(text)) is not None

    def marks(self, text: str) -> list[Mark]:
        """In the order of the text."""
        if self._pattern is None or not self.may_meet(text):
            return []
        folded, places = (text.lower(), None) if text.isascii() else _folded(text)
        return [mark for one in self._pattern.finditer(folded) if (mark := _mark(one, folded, places)) is not None]


def _mark(one: re.Match[str], folded: str, places: Sequence[int] | None) -> Mark | None:
    """None for what stands within another word of a script that parts its words."""
    begin, end = one.span()
    if begin and folded[begin].isascii() and folded[begin - 1].isalnum():
        return None
    return (begin, end, one[0]) if places is None else (places[begin], places[end - 1] + 1, one[0])


def _folded(text: str) -> tuple[str, list[int]]:
    """The folded text, and of each of its characters the place in the text that it comes from. Letter by letter, so that a
    letter whose folding depends on its neighbours may be missed."""
    parts = [fold(one) for one in text]
    return "".join(parts), [at for at, part in enumerate(parts) for _ in part]
