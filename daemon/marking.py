"""Where the words of a query stand in a creator's texts, quickly: most texts hold none of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from stores.analysis import fold, stem, tokens
from stores.highlight import PREFIX_CHARS, highlights
from stores.typos import edits_forgiven, within_edits

Span = tuple[int, int]
"""Begin and end in code points."""


class Marker:
    """Finds the words of one query."""

    def __init__(self, words: Sequence[str]) -> None:
        """``words``: folded, in their order."""
        self._words = tuple(words)
        self._hints = {word: stem(word).removesuffix("y") for word in words}
        """What a text must hold to hold the word, or its singular or plural."""

    def may_meet(self, text: str) -> bool:
        """False where none of the words is anywhere in the text."""
        folded = _folded(text)
        return any(hint in folded for hint in self._hints.values())

    def marks(self, text: str) -> list[Span]:
        """Of the words as they are, in singular and plural, and as beginnings of others."""
        folded = _folded(text)
        present = [word for word, hint in self._hints.items() if hint in folded]
        return highlights(text, present) if present else []

    def mistyped(self, text: str) -> list[Span]:
        """Also of words that are mistyped in the query; slower."""
        return highlights(text, self._words)

    def words_at(self, text: str, spans: Sequence[Span]) -> set[str]:
        """Which of the words stand at these places."""
        there = {one for begin, end in spans for one in tokens(text[begin:end])}
        return {word for word in self._words if any(_is(word, one) for one in there)}


def _is(word: str, there: str) -> bool:
    if stem(word) == stem(there) or (len(word) >= PREFIX_CHARS and there.startswith(word)):
        return True
    edits = edits_forgiven(word)
    return bool(edits) and within_edits(word, there, edits)


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else fold(text)
