"""Finds cue words of many languages: exact words, phrases, beginnings of words, and pieces of unspaced scripts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

MAX_WORDS = 4
"""Words in the longest phrase."""
MIN_PREFIX = 3
MIN_JOINED = 4
"""Letters of a cue that is found in words written together: shorter ones stand in too many others."""

_UNSPACED = (
    "\u0600-\u06ff\u0900-\u0e7f\u1100-\u11ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    # Arabic, Indic and Thai, kana, Han, Hangul: written without spaces, or with articles and endings glued on.
)
_WORD = re.compile(rf"[^\W_{_UNSPACED}]+")
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_LATIN_MARKS = re.compile("[\u0300-\u036f]")


def fold(text: str) -> str:
    """Case, styled letters and Latin (and Cyrillic) diacritics removed: ``Café`` and ``𝓒𝓪𝓯é`` → ``cafe``."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", _LATIN_MARKS.sub("", decomposed))


class CueIndex:
    """Cues as in the taxonomy: ``word``, ``two words``, ``begin*``; answers with the cues as they were given."""

    def __init__(self, cues: Iterable[str]) -> None:
        self._exact: dict[str, str] = {}
        self._prefixes: dict[str, str] = {}
        self._anywhere: dict[str, str] = {}
        for cue in cues:
            self._add(cue)
        words = {**self._prefixes, **self._exact}
        self._joined = {word: cue for word, cue in words.items() if len(word) >= MIN_JOINED and " " not in word}
        self._joined_lengths = sorted({len(word) for word in self._joined}, reverse=True)
        self._phrase_starts = {key.partition(" ")[0] for key in [*self._exact, *self._prefixes] if " " in key}
        longest_first = sorted(self._anywhere, key=lambda piece: (-len(piece), piece))
        self._pieces = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def find(self, text: str) -> set[str]:
        """Each cue at most once. The longest phrase wins: "game of thrones" is not also "game"."""
        folded = fold(text)
        found: set[str] = set()
        if self._pieces is not None and _HAS_UNSPACED.search(folded):
            found.update(self._anywhere[match.group()] for match in self._pieces.finditer(folded))
        words = _WORD.findall(folded)
        position = 0
        while position < len(words):
            cue, length = self._longest_at(words, position)
            if cue is not None:
                found.add(cue)
            position += length
        return found

    def find_joined(self, text: str) -> set[str]:
        """As in hashtags and handles, where words are written together: "#travelphotography", "thefoodie".

        The longest cue that a word begins with and the longest that it ends with; a word that is a cue is that alone.
        """
        found: set[str] = set()
        for word in _WORD.findall(fold(text)):
            known, _ = self._longest_at([word], 0)
            found.update([known] if known is not None else self._at_the_ends(word))
        return found

    def _at_the_ends(self, word: str) -> Iterator[str]:
        lengths = [length for length in self._joined_lengths if length < len(word)]
        for parts in ((word[:length] for length in lengths), (word[-length:] for length in lengths)):
            known = next((part for part in parts if part in self._joined), None)
            if known is not None:
                yield self._joined[known]

    def _add(self, cue: str) -> None:
        folded = fold(cue)
        if _HAS_UNSPACED.search(folded):
            self._anywhere[folded.rstrip("*")] = cue
            return
        key = " ".join(_WORD.findall(folded))
        (self._prefixes if cue.endswith("*") else self._exact)[key] = cue

    def _longest_at(self, words: list[str], position: int) -> tuple[str | None, int]:
        """(cue or None, how many words it took)."""
        longest = min(MAX_WORDS, len(words) - position) if words[position] in self._phrase_starts else 1
        for length in range(longest, 0, -1):
            cue = self._lookup(" ".join(words[position : position + length]), length)
            if cue is not None:
                return cue, length
        return None, 1

    def _lookup(self, phrase: str, length: int) -> str | None:
        exact = self._exact.get(phrase)
        if exact is not None:
            return exact
        shortest = MIN_PREFIX if length == 1 else phrase.rindex(" ") + 2
        for end in range(len(phrase), shortest - 1, -1):
            cue = self._prefixes.get(phrase[:end])
            if cue is not None:
                return cue
        return None
