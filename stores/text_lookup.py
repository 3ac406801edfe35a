"""One parsed query against one state of the keyword index: plain blocking look-ups, for use within a search thread."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import tantivy

from proto.errors import IndexBroken
from stores.analysis import exact_key
from stores.ports import Rows, Scores
from stores.query_text import parse_query

T = TypeVar("T")

BOOSTS = {"name": 4.0, "handle": 3.0, "niche": 2.0, "summary": 1.5, "bio": 1.0, "titles": 1.0}
"""How much a word counts by field."""
TIE_BREAKER = 0.1
"""Of a word, the best field counts fully, the others by this share."""

PREFIX_TERMS = 24
"""Of the words that begin like the last one, the most frequent."""
PREFIX_CHARS = 2
"""The last word also stands for words that begin with it, from this length on."""
PREFIX_BOOST = 0.4
PREFIX_FIELDS = ("name", "handle")

HANDLE_MARK = "@"
HANDLE_MARKS = ("@", "\uff20")
"""How a handle is marked: as it is, and in full width."""
MOST_EXACT = 1_000
"""Creators of one name taken at most."""

LONG_WORDS = 6
"""From so many words on a query is a question or a description, of which nobody holds every word."""


def demands(words: int) -> tuple[int, ...]:
    """How many of the words a creator must hold, from all of them on down: two thirds; of at most two words, one."""
    if words == 2:
        return (2, 1)
    two_thirds = math.ceil(words * 2 / 3)
    return (words,) if two_thirds >= words else (words, two_thirds)


class TextLookup:
    """Answers stay of one state of the index, whatever is committed meanwhile. Each may raise IndexBroken."""

    def __init__(self, searcher: Any, schema: Any, text: str, boosts: Mapping[str, float]) -> None:
        self._searcher, self._schema, self._boosts = searcher, schema, boosts
        self._query = parsed = parse_query(text.encode(errors="ignore").decode())  # lone surrogates are no text to it
        phrased = (word for phrase in parsed.phrases for word in phrase)
        self.words: tuple[str, ...] = tuple(dict.fromkeys((*phrased, *parsed.words)))
        """Folded, each once: those of phrases, then the others in their order."""
        self.excluded: tuple[str, ...] = tuple(dict.fromkeys(word for words in parsed.excluded for word in words))
        self.demands = demands(len(parsed.words))
        """How many of the words outside of phrases may be asked for, from all of them on down."""
        self._parts = [self._word(word, last=word == parsed.words[-1]) for word in parsed.words]
        self._counts: dict[int, int] = {}
        self._best: dict[int, tuple[Rows, Scores]] = {}

    @property
    def asks(self) -> bool:
        """Whether anything is asked for, by words or by their absence."""
        return bool(self.words or self.excluded)

    def exact(self) -> Rows:
        """Creators of exactly this name or handle, ascending; "@jess" means the handle, of which there is one, while
        many are named so."""
        wanted = self._query.wanted[:512]
        key = exact_key(wanted)
        if not key:
            return np.array([], np.uint32)
        marked = wanted.lstrip().startswith(HANDLE_MARKS)
        for one in (HANDLE_MARK + key, key) if marked else (key,):
            rows, _, _ = self._search(self._term("key", one), MOST_EXACT)
            if len(rows):
                break
        return np.sort(rows)

    def count(self, need: int | None = None) -> int:
        """Creators that hold ``need`` of the words outside of phrases (None: all), and all else that is asked."""
        need = self.demands[0] if need is None else need
        if need not in self._counts:
            self.best(1, need)
        return self._counts[need]

    def best(self, limit: int, need: int | None = None) -> tuple[Rows, Scores]:
        """Of those that `count` counts, the best by BM25, best first; equals by row, but which of them are still
        within the limit is the engine's choice. The longest answer is kept."""
        need = self.demands[0] if need is None else need
        if need not in self._best or len(self._best[need][0]) < min(limit, self._counts[need]):
            rows, scores, self._counts[need] = self._search(self._asked(need), limit, counted=True)
            order = np.lexsort((rows, -scores))
            self._best[need] = rows[order], scores[order]
        rows, scores = self._best[need]
        return rows[:limit], scores[:limit]

    def every(self, need: int | None = None) -> tuple[Rows, Scores]:
        """All of those that `count` counts, with BM25, best first; 0.3 ms a thousand."""
        return self.best(max(self.count(need), 1), need)

    def among(self, rows: Rows, need: int | None = None) -> tuple[Rows, Scores]:
        """Those of ``rows`` that `count` counts, with BM25, in any order; 3 ms for 800 rows."""
        if not len(rows):
            return np.array([], np.uint32), np.array([], np.float32)
        ids = tantivy.Query.term_set_query(self._schema, "id", [str(row) for row in rows.tolist()])
        wanted = [self._asked(self.demands[0] if need is None else need), tantivy.Query.const_score_query(ids, 0.0)]
        found, scores, _ = self._search(_all_of(wanted), len(rows))
        return found, scores

    def _search(self, query: Any, limit: int, *, counted: bool = False) -> tuple[Rows, Scores, int]:
        """Rows and BM25, best first, and how many there are where that is ``counted``."""
        found = guarded(lambda: self._searcher.search(query, limit=max(limit, 1), count=counted))
        hits = found.hits  # converted anew at each access
        rows = np.array(self._searcher.fast_field_values("row", [address for _, address in hits]), np.uint32)
        return rows, np.array([score for score, _ in hits], np.float32), found.count or 0

    def _asked(self, need: int) -> Any:
        """The whole query, with ``need`` of the words outside of phrases."""
        query = self._query
        wanted = [self._phrase(phrase) for phrase in query.phrases]
        if self._parts:
            wanted.append(_some_of(self._parts, need))
        if not wanted and not query.excluded:
            return tantivy.Query.empty_query()
        asked = _all_of(wanted) if wanted else tantivy.Query.const_score_query(tantivy.Query.all_query(), 1.0)
        if not query.excluded:
            return asked
        unwanted = [(tantivy.Occur.MustNot, self._phrase(words)) for words in query.excluded]
        return tantivy.Query.boolean_query([(tantivy.Occur.Must, asked), *unwanted])

    def _word(self, word: str, *, last: bool) -> Any:
        """The word in its best field; the last word of a query also as the beginning of a word of a name or handle."""
        options = self._in_fields(lambda field: self._term(field, word), word)
        if last and len(word) >= PREFIX_CHARS:
            for field in PREFIX_FIELDS:
                terms = [
                    term
                    for term, _ in self._searcher.terms_with_prefix(field, word, limit=PREFIX_TERMS)
                    if term != word
                ]
                if terms:
                    prefixed = tantivy.Query.term_set_query(self._schema, field, terms)
                    options.append(tantivy.Query.const_score_query(prefixed, PREFIX_BOOST))
        return _best_of(options)

    def _phrase(self, words: tuple[str, ...]) -> Any:
        """Words that follow one another within one text, in its best field; a single word as it stands."""
        if len(words) == 1:
            return _best_of(self._in_fields(lambda field: self._term(field, words[0]), words[0]))
        return _best_of(
            self._in_fields(lambda field: tantivy.Query.phrase_query(self._schema, field, list(words)), words[0])
        )

    def _in_fields(self, make: Callable[[str], Any], word: str) -> list[Any]:
        """Left out where no creator has the word, which saves the engine most of its work."""
        return [
            tantivy.Query.boost_query(make(field), boost)
            for field, boost in self._boosts.items()
            if self._searcher.doc_freq(field, word)
        ]

    def _term(self, field: str, word: str) -> Any:
        return tantivy.Query.term_query(self._schema, field, word)


def guarded(call: Callable[[], T]) -> T:
    """Turns the engine's panics, which are no ordinary exceptions, and its refusals into IndexBroken."""
    try:
        return call()
    except ValueError as error:
        raise IndexBroken(str(error)) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise IndexBroken(f"the text engine gave up: {error}") from None
        raise


def _best_of(options: Sequence[Any]) -> Any:
    if not options:
        return tantivy.Query.empty_query()
    return tantivy.Query.disjunction_max_query(options, tie_breaker=TIE_BREAKER)


def _all_of(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else tantivy.Query.boolean_query([(tantivy.Occur.Must, part) for part in parts])


def _some_of(parts: Sequence[Any], need: int) -> Any:
    """All of them where all are needed, else at least ``need``."""
    if need == len(parts):
        return _all_of(parts)
    optional = [(tantivy.Occur.Should, part) for part in parts]
    return tantivy.Query.boolean_query(optional, minimum_number_should_match=need)
