"""What a mistyped word may have been: pure rules over a dictionary that is passed in."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence

from rapidfuzz.distance import OSA
from rapidfuzz.process import extract

ONE_EDIT_FROM, TWO_EDITS_FROM = 5, 9
"""Letters from which on one and two edits are forgiven: an insertion, a deletion, a substitution or two neighbours swapped.
Shorter words are too close to one another (the lengths that Meilisearch and Elasticsearch's AUTO use, to a letter)."""
WRITTEN_LETTERS = 2
"""A syllable (Hangul) or a character (Han, kana) stands for so many letters: one edit of three of them is forgiven."""
MOST = 8
"""Corrections of a word at most, the most frequent first."""
LISTED = 2_000
"""Words of one beginning that are compared, the most frequent first."""

_ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz",
    "абвгдежзийклмнопрстуфхцчшщъыьэюяіїєґ",
    "αβγδεζηθικλμνξοπρσςτυφχψω",
    "".join(map(chr, range(0x0621, 0x064B))) + "پچژگ",  # Arabic, Persian
    "".join(map(chr, range(0x05D0, 0x05EB))),  # Hebrew
    "".join(map(chr, range(0x0901, 0x0950))),  # Devanagari
)

Frequency = Callable[[str], int]
"""How many creators hold a word."""
Listing = Callable[[str, int], Sequence[tuple[str, int]]]
"""Words that begin so, with how many creators hold them, the most frequent first, at most so many."""


def edits_forgiven(word: str) -> int:
    """By length: 0, 1 or 2. A number is no word: 2023 is not 2024."""
    if word.isdecimal():
        return 0
    letters = sum(WRITTEN_LETTERS if _is_syllable(char) else 1 for char in word)
    return 0 if letters < ONE_EDIT_FROM else 1 if letters < TWO_EDITS_FROM or _is_syllable(word[0]) else 2


def corrections(word: str, frequency: Frequency, listing: Listing) -> tuple[str, ...]:
    """Known words within the edits that are forgiven: of one edit where there are any, else of two.

    One edit is looked for at every place of a word of an alphabet (some 500 look-ups), behind the first character of
    other scripts; two edits behind the first three letters.
    """
    forgiven = edits_forgiven(word)
    if not forgiven:
        return ()
    alphabet = next((letters for letters in _ALPHABETS if all(char in letters for char in word)), None)
    if alphabet is not None:
        known = {one: count for one in set(one_edit(word, alphabet)) if (count := frequency(one))}
    else:
        known = _near(word, listing(word[0], LISTED), 1)
    if not known and forgiven == 2:
        known = _near(word, listing(word[:3], LISTED), 2)
    return tuple(sorted(known, key=lambda one: (-known[one], one))[:MOST])


def one_edit(word: str, alphabet: str) -> Iterator[str]:
    """Every text within one edit, some of them several times."""
    for at in range(len(word) + 1):
        head, tail = word[:at], word[at:]
        yield from (head + char + tail for char in alphabet)
        if tail:
            yield head + tail[1:]
            yield from (head + char + tail[1:] for char in alphabet)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]


def within_edits(word: str, other: str, edits: int) -> bool:
    return OSA.distance(word, other, score_cutoff=edits) <= edits


def _near(word: str, listed: Sequence[tuple[str, int]], edits: int) -> dict[str, int]:
    counts = dict(listed)
    found = extract(word, list(counts), scorer=OSA.distance, processor=None, score_cutoff=edits, limit=MOST)
    return {one: counts[one] for one, _, _ in found}


def _is_syllable(char: str) -> bool:
    """Of a script in which a character stands for several letters."""
    return unicodedata.name(char, "").startswith(("HANGUL", "CJK", "HIRAGANA", "KATAKANA"))
