"""Where a text holds the words of a query: a pure function for pages and the API."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from stores.analysis import fold, spans, stem
from stores.typos import edits_forgiven, within_edits

PREFIX_CHARS = 3
"""From this length on a query's word is also shown where it begins a word."""
MAX_CHARS = 20_000
"""Of a text; what lies behind is not looked at."""


def highlights(text: str, words: Sequence[str]) -> list[tuple[int, int]]:
    """Spans (begin, end) in characters of ``text``, ascending, apart from one another.

    ``words`` are folded, as in `stores.ports.TextMatch`. A word of the text is met by a query's word, by its singular or
    plural, by one that begins it, or else, where a query's word is met nowhere in the text, by one that is mistyped.
    """
    if not words:
        return []
    found = list(_words_of(text[:MAX_CHARS]))
    stems = {stem(word) for word in words}
    beginnings = tuple(word for word in words if len(word) >= PREFIX_CHARS)
    met = [one for one in found if stem(one[0]) in stems or one[0].startswith(beginnings)]
    seen = {stem(word) for word, _, _ in met}
    unmet = [word for word in words if stem(word) not in seen and not any(one.startswith(word) for one in seen)]
    for word in unmet:
        edits = edits_forgiven(word)
        met += [one for one in found if edits and within_edits(word, one[0], edits)]
    return _joined(sorted({(begin, end) for _, begin, end in met}))


def _words_of(text: str) -> Iterator[tuple[str, int, int]]:
    """Folded words with where they stand in the text as it is written."""
    if text.isascii():
        yield from spans(text.lower())
        return
    folded: list[str] = []
    places: list[tuple[int, int]] = []
    for begin, end in _clusters(text):
        part = fold(text[begin:end])
        folded.append(part)
        places += [(begin, end)] * len(part)
    for word, begin, end in spans("".join(folded)):
        yield word, places[begin][0], places[end - 1][1]


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    """Characters with the marks that belong to them: what is folded together."""
    begin = 0
    for at in range(1, len(text) + 1):
        if at == len(text) or not _goes_on(text[at]):
            yield begin, at
            begin = at


def _goes_on(char: str) -> bool:
    """Combining marks, half-width voicing marks, and vowels and finals of Hangul written in parts."""
    return unicodedata.category(char)[0] == "M" or char in "\uff9e\uff9f" or "\u1160" <= char <= "\u11ff"


def _joined(met: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Overlapping spans, as pairs of characters make them, become one."""
    joined: list[tuple[int, int]] = []
    for begin, end in met:
        if joined and begin < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined
