"""How text becomes words, for documents and queries alike: pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

MAX_QUERY_CHARS = 512
MAX_QUERY_WORDS = 32
STEMMED_FROM = 4

_MARKS = re.compile("[\u0300-\u036f\u0640\u064b-\u065f\u0670]")
"""Combining diacritics of Latin, Greek and Cyrillic; vowel signs, hamza above and below, and the stretched line of Arabic.
Marks of other scripts are letters of their own and stay."""
_ALIKE = str.maketrans("ىیکة", "ييكه")
"""Letters of Arabic and Persian that are written for one another."""

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # Han
)
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")
_WORD = re.compile(r"[^\W_]+(?:[\u0300-\u036f\u0900-\u0dff\u0600-\u06ff\u0e00-\u0eff\u1780-\u17ff]*[^\W_]*)*")
_ASCII_WORD = re.compile("[a-z0-9]+")
_SPACE = re.compile(r"\s+")


def fold(text: str) -> str:
    """Case, width and diacritics folded ("Pokémon" is "POKEMON"); folding twice changes nothing."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = unicodedata.normalize("NFKC", _MARKS.sub("", decomposed).translate(_ALIKE)).casefold()
    return unicodedata.normalize("NFKC", bare)


def tokens(text: str) -> list[str]:
    """Folded words; runs of scripts written without spaces become overlapping pairs of characters."""
    folded = fold(text)
    if folded.isascii():
        return _ASCII_WORD.findall(folded)
    if _UNSPACED_RUN.search(folded) is None:
        return _WORD.findall(folded)
    return [word for word, _, _ in spans(folded)]


def spans(folded: str) -> Iterator[tuple[str, int, int]]:
    """The words of a folded text, as `tokens` finds them, with where each begins and ends in it."""
    if folded.isascii():
        yield from ((match.group(), match.start(), match.end()) for match in _ASCII_WORD.finditer(folded))
        return
    for match in _WORD.finditer(folded):
        begin, end = match.span()
        for run in _UNSPACED_RUN.finditer(folded, begin, end):
            if run.start() > begin:
                yield folded[begin : run.start()], begin, run.start()
            yield from _pairs(run.group(), run.start())
            begin = run.end()
        if begin < end:
            yield folded[begin:end], begin, end


def index_text(text: str) -> str:
    """Words joined by spaces, for an index that splits at white space."""
    return " ".join(tokens(text))


def stem(word: str) -> str:
    """A folded word without the ``s`` of a plural: Harman's S-stemmer ("How effective is suffixing?", JASIS 1991), whose
    rules do for Spanish, Portuguese and French too. What is no Latin word of four letters or more stays."""
    if len(word) < STEMMED_FROM or word[-1] != "s" or not word.isascii():
        return word
    if word.endswith("ies"):
        return word if word.endswith(("eies", "aies")) else word[:-3] + "y"
    return word if word.endswith(("us", "ss")) else word[:-1]


def stemmed(folded: str) -> str:
    """The same for words joined by spaces."""
    if "s " not in folded and folded[-1:] != "s":
        return folded
    return " ".join([stem(word) if word[-1:] == "s" else word for word in folded.split(" ")])


def exact_key(text: str) -> str:
    """What two spellings of one name share: folded, one space between words, no leading @, no punctuation around.

    A name without any word (emoji, punctuation) is its own key.
    """
    folded = _SPACE.sub(" ", fold(text)).strip()
    bare = folded.removeprefix("@")
    words = " ".join(_WORD.findall(bare))
    return (words or bare)[:200]


def _pairs(run: str, begin: int) -> Iterator[tuple[str, int, int]]:
    width = min(len(run), 2)
    for at in range(len(run) - width + 1):
        yield run[at : at + width], begin + at, begin + at + width
