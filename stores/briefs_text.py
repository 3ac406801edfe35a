"""A brief's text as parts: numbers, known phrases and other words, each with its place and what it can mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from stores.analysis import fold
from stores.briefs_words import JOINTS, MAX_JOINT, WORD, BriefVocabulary, Senses

NO_SENSES: Senses = {}
MAX_DIGITS = 12
LITERAL = re.compile(r'"[^"]*"|(?<!\S)-(?=[^\W\d])\S+')
"""Quoted phrases and excluded words: they are meant for the search for text, as they are."""
LANGUAGES = frozenset(("en", "pt", "es", "de", "fr"))


class Part:
    """A piece of the text, ``text[begin:end]``."""

    __slots__ = ("after", "begin", "end", "folded", "gap", "multiplied", "number", "raw", "senses")

    def __init__(self, begin: int, end: int, raw: str, gap: str, folded: str, senses: Senses) -> None:
        self.begin, self.end, self.raw, self.gap, self.folded, self.senses = begin, end, raw, gap, folded, senses
        self.after = ""
        """The text between it and the next part, or the end."""
        self.number: float | None = None
        self.multiplied = False
        """A word or letter says thousands or millions."""

    def is_a(self, *kinds: str) -> bool:
        return not self.senses.keys().isdisjoint(kinds)

    @property
    def joined(self) -> bool:
        """No punctuation that parts clauses stands before it."""
        gap = self.gap.strip()
        return not gap or (gap in JOINTS and gap != ".")


def parts_of(text: str, vocabulary: BriefVocabulary) -> list[Part]:
    """In their order, without overlap; every word of the text is in one of them."""
    found: list[Part] = []
    begin = 0
    for match in vocabulary.number.finditer(text):
        if match.start() - begin > 1:
            found.extend(_worded(text, begin, match.start(), vocabulary))
        value, multiplied = _value(match, vocabulary)
        part = _part(text, match.start(), match.end(), "", NO_SENSES)
        part.number, part.multiplied = value, multiplied
        found.append(part)
        begin = match.end()
    found.extend(_worded(text, begin, len(text), vocabulary))
    last = 0
    for part in found:
        part.gap = text[last : part.begin]
        last = part.end
    for part, following in pairwise(found):
        part.after = following.gap
    if found:
        found[-1].after = text[last:]
    _keep_literals(text, found)
    return _with_spelled_numbers(found, vocabulary)


def _keep_literals(text: str, parts: list[Part]) -> None:
    at = 0
    for match in LITERAL.finditer(text):
        while at < len(parts) and parts[at].begin < match.end():
            if parts[at].end > match.start():
                parts[at].senses, parts[at].number = NO_SENSES, None
            at += 1


def looks_like_a_title(parts: list[Part]) -> bool:
    """Every word of some length begins with a capital, or none of the scripts has any."""
    words = [part.raw for part in parts if part.number is None and (len(part.raw) > 3 or not part.is_a("filler"))]
    return bool(words) and not any(word[0].islower() for word in words)


def language_of(parts: list[Part]) -> str:
    """The one language that most of the telling words are of; "" when two have as many."""
    counts: dict[str, int] = {}
    for part in parts:
        for kind in ("telling", "creator", "spoken"):
            languages = part.senses.get(kind, ())
            if languages and (kind == "telling" or len(languages) == 1):
                for language in languages:
                    counts[language] = counts.get(language, 0) + 1
    best = sorted(counts.items(), key=lambda item: -item[1])[:2]
    return best[0][0] if best and best[0][0] in LANGUAGES and (len(best) == 1 or best[0][1] > best[1][1]) else ""


def _part(text: str, begin: int, end: int, folded: str, senses: Senses) -> Part:
    return Part(begin, end, text[begin:end], "", folded, senses)


def _worded(text: str, begin: int, end: int, vocabulary: BriefVocabulary) -> Iterator[Part]:
    """The longest known phrase at each place, else the word alone."""
    words = [(match.start(), match.end(), fold(match.group())) for match in WORD.finditer(text, begin, end)]
    phrases, longest = vocabulary.phrases, vocabulary.longest
    at = 0
    while at < len(words):
        first, last, folded = words[at]
        limit, count = longest.get(folded, 1), 1
        if limit > 1:
            count, folded = _longest(text, words[at : at + limit], phrases)
            last = words[at + count - 1][1]
        yield from _known(text, first, last, folded, phrases.get(folded), vocabulary)
        at += count


def _longest(text: str, words: list[tuple[int, int, str]], phrases: dict[str, Senses]) -> tuple[int, str]:
    """(how many of the words the longest phrase takes that they begin with, the phrase); one word if none is known."""
    for count in range(_run(text, words), 1, -1):
        folded = " ".join([word for _, _, word in words[:count]])
        if folded in phrases:
            return count, folded
    return 1, words[0][2]


def _run(text: str, words: list[tuple[int, int, str]]) -> int:
    """How many of the words stand together as those of a phrase do."""
    for count in range(1, len(words)):
        before, after = words[count - 1][1], words[count][0]
        if after - before > MAX_JOINT or text[before:after].strip() not in JOINTS:
            return count
    return len(words)


def _known(
    text: str, begin: int, end: int, folded: str, senses: Senses | None, vocabulary: BriefVocabulary
) -> Iterator[Part]:
    parted = vocabulary.parted(folded) if senses is None and len(folded) == end - begin else None
    if parted is None:
        yield _part(text, begin, end, folded, senses or NO_SENSES)
        return
    at, first, second = parted
    yield _part(text, begin, begin + at, folded[:at], first)
    yield _part(text, begin + at, end, folded[at:], second)


def _value(match: re.Match[str], vocabulary: BriefVocabulary) -> tuple[float | None, bool]:
    """(number, whether it was multiplied); None for what is no count: too many digits."""
    digits, multiplier = match.group(1), match.group(2)
    pieces = re.split("[.,]", re.sub("[ \u00a0\u202f'’]", "", digits))
    if sum(map(len, pieces)) > MAX_DIGITS:
        return None, False
    grouped = all(len(piece) == 3 for piece in pieces[1:]) and len(pieces[0]) <= 3
    if len(pieces) == 1 or (grouped and not (multiplier and len(pieces) == 2)):
        value = float("".join(pieces))
    else:
        value = float(f"{''.join(pieces[:-1])}.{pieces[-1]}")
    size = vocabulary.multipliers[fold(multiplier)] if multiplier else 1.0
    return value * size, multiplier is not None


def _with_spelled_numbers(parts: list[Part], vocabulary: BriefVocabulary) -> list[Part]:
    """ "medio millón" and "mil seguidores" are numbers too."""
    found: list[Part] = []
    for part in parts:
        size = vocabulary.multipliers.get(part.folded) if len(part.folded) > 2 else None
        if size is not None and found and found[-1].is_a("number") and found[-1].number is None and part.joined:
            _spell(found[-1], part, float(found[-1].senses["number"][0]) * size)
        elif (
            part.is_a("unit") and found and found[-1].number is None and found[-1].folded in ("mil", "mille", "tausend")
        ):
            found[-1].number, found[-1].multiplied = 1000.0, True
            found.append(part)
        else:
            if part.is_a("number") and float(part.senses["number"][0]) >= 1000:
                part.number, part.multiplied = float(part.senses["number"][0]), True
            found.append(part)
    return found


def _spell(first: Part, second: Part, value: float) -> None:
    first.raw = f"{first.raw}{second.gap}{second.raw}"
    first.end, first.after, first.number, first.multiplied, first.senses = (
        second.end,
        second.after,
        value,
        True,
        NO_SENSES,
    )
