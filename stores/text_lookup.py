"""One parsed query against one state of the keyword index: plain blocking look-ups, for use within a search thread."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar

import msgspec
import numpy as np
import tantivy

from proto.errors import IndexBroken
from proto.ids import Row
from stores.analysis import MAX_QUERY_CHARS, exact_key, stem
from stores.ports import Rows, Scores
from stores.query_text import QueryText, parse_query, typed_key
from stores.row_sets import Mask, passes
from stores.typos import corrections, edits_forgiven

T = TypeVar("T")

EVERYTHING = "all"
"""Every text of a creator: here a word is looked for, counted and scored as plain BM25 has it."""
BOOSTS = {"name": 2.0, "handle": 1.5, "niche": 1.0, "summary": 0.5, "bio": 0.0, "titles": 0.0}
"""What BM25 within a field adds for a word, over its plain count in everything; 0: nothing."""

UNSTEMMED = ("name", "handle")

BEGIN = "begin"
"""Beginnings of the words of names and handles."""
BEGIN_CHARS = 4
"""Beginnings of words up to this length are words of the index themselves: a letter begins too many words to go through."""

PREFIX_TERMS = 24
"""Of the words that begin like the last one, the most frequent."""
PREFIX_CHARS = 3
"""The last word also stands for words that begin with it, from this length on."""
PREFIX_BOOST = 0.4
WHOLE_FROM = 1_000
"""A word of more than BEGIN_CHARS letters that so many creators hold is no unfinished one, and saves listing what begins
like it (2 ms at 100,000 creators)."""
PREFIX_FIELDS = ("name", "handle")

HANDLE_MARK = "@"
HANDLE_MARKS = ("@", "\uff20")
"""How a handle is marked: as it is, and in full width."""
MOST_EXACT = 1_000
"""Creators of one name taken at most."""

_HANGUL = re.compile("[\uac00-\ud7a3]{2,}")
"""Korean nouns carry their particles: a word of two syllables or more stands for whatever begins with it, everywhere."""

LONG_WORDS = 6
"""From so many words on a query is a question or a description, of which hardly anybody holds every word."""
SYNONYM_BOOST = 0.5
"""A niche that a word stands for counts by this share of what the niche's own name would."""
TYPO_BOOST = 0.5

Synonyms = Mapping[str, Sequence[str]]
"""By stemmed word: stemmed words of the names of niches that it stands for."""


def demands(words: int) -> tuple[int, ...]:
    """How many of the words a creator must hold, from all of them on down: two thirds, a third, one.

    Of a long query, all, then two, then one: BM25 tells best how much of it a creator answers (nDCG@10 of three sets
    of questions was 3 to 14 points lower where a third was demanded).
    """
    if words >= LONG_WORDS:
        return (words, 2, 1)
    steps = (words, math.ceil(words * 2 / 3), math.ceil(words / 3), 1)
    return tuple(dict.fromkeys(steps)) if words else (0,)


class TextLookup:
    """Answers stay of one state of the index, whatever is committed meanwhile. Each may raise IndexBroken."""

    def __init__(self, searcher: Any, schema: Any, text: str, boosts: Mapping[str, float], synonyms: Synonyms) -> None:
        self._searcher, self._schema, self._boosts, self._synonyms = _Guarded(searcher), schema, boosts, synonyms
        self._frequencies: dict[str, int] = {}
        self._text = (
            text[:MAX_QUERY_CHARS].encode(errors="ignore").decode()
        )  # lone surrogates are no text to the engine
        self._query = self._lenient(parse_query(self._text))
        loose, phrases = self._query.words, self._query.phrases
        self.words: tuple[str, ...] = tuple(dict.fromkeys((*(word for phrase in phrases for word in phrase), *loose)))
        """Folded, each once: those of phrases, then the others in their order."""
        self.excluded: tuple[str, ...] = tuple(dict.fromkeys(word for one in self._query.excluded for word in one))
        self.long = len(loose) >= LONG_WORDS
        """Whether it is a question or a description, to be scored by BM25 however few of the words are held."""
        self.demands = demands(len(loose))
        """How many of the words outside of phrases may be asked for, from all of them on down."""
        self._parts = [self._word(word, last=word == loose[-1] and not self.long) for word in loose]
        self._queries: dict[int | None, Any] = {}
        self._counts: dict[int | None, int] = {}
        self._best: dict[int | None, tuple[Rows, Scores]] = {}

    @property
    def widens(self) -> bool:
        """Whether niches may stand for any of the words."""
        return any(stem(word) in self._synonyms for word in self._query.words)

    def exact(self) -> Rows:
        """Creators of exactly this name or handle, ascending; "@jess" means the handle, of which there is one, while
        many are named so."""
        wanted, typed = self._query.wanted, typed_key(self._text)
        key = exact_key(wanted)
        marked = wanted.lstrip().startswith(HANDLE_MARKS)
        rows = np.array([], np.uint32)
        for one in filter(None, (typed, HANDLE_MARK + key if key and marked else "", key)):
            if self._searcher.doc_freq("key", one):
                rows, _, _ = self._search(self._term("key", one), MOST_EXACT)
            if len(rows):
                break
        return np.sort(rows)

    def near(self) -> Rows:
        """Creators whose name or handle is the whole text but for a typo or for spaces, ascending."""
        joined = exact_key(self._query.wanted).replace(" ", "")
        if self._query.phrases or not edits_forgiven(joined):
            return np.array([], np.uint32)
        for edits in range(1, edits_forgiven(joined) + 1):
            query = tantivy.Query.fuzzy_term_query(self._schema, "joined", joined, distance=edits)
            rows, _, _ = self._search(query, MOST_EXACT)
            if len(rows):
                break
        return np.sort(rows)

    def estimate(self, need: int | None = None) -> int:
        """About how many `count` counts, at most, from the frequencies of the words alone: no search is made."""
        frequencies = [self._frequency(stem(word)) for word in self.words]
        return (min if need is None else sum)(frequencies or [self._searcher.num_docs])

    def count(self, need: int | None = None) -> int:
        """Creators that hold every word as it was typed and all else that is asked; with ``need``, so many of the words
        outside of phrases, for which their niches may stand."""
        if need not in self._counts:
            self.best(1, need)
        return self._counts[need]

    def best(self, limit: int, need: int | None = None) -> tuple[Rows, Scores]:
        """Of those that `count` counts, the best by BM25, best first; the order of equals, and which of them are still
        within the limit, is the engine's choice. The longest answer is kept."""
        if need not in self._best or len(self._best[need][0]) < min(limit, self._counts[need]):
            rows, scores, self._counts[need] = self._search(self._asked(need), limit, counted=True)
            self._best[need] = rows, scores
        rows, scores = self._best[need]
        return rows[:limit], scores[:limit]

    def every(self, need: int | None = None, within: Mask | None = None) -> tuple[Rows, Scores]:
        """All of those that `count` counts, or those of them ``within`` a mask by row, with BM25, best first; 0.2 ms a thousand.
        Mostly by one search."""
        if need not in self._counts:
            self.best(max(min(self.estimate(need), self._searcher.num_docs), 1), need)
        rows, scores = self.best(max(self.count(need), 1), need)
        if within is None:
            return rows, scores
        passing = passes(rows, within)
        return rows[passing], scores[passing]

    def among(self, rows: Rows, need: int | None = None) -> tuple[Rows, Scores]:
        """Those of ``rows`` that `count` counts, with BM25, in any order; 3 ms for 800 rows."""
        if not len(rows):
            return np.array([], np.uint32), np.array([], np.float32)
        found, scores, _ = self._search(_all_of([self._asked(need), self._among(rows)]), len(rows))
        return found, scores

    def admitted(self, rows: Rows) -> Rows:
        """Those of ``rows`` that hold every phrase and nothing that is excluded, ascending, whatever words they hold."""
        query = self._query
        if not len(rows) or not (query.phrases or query.excluded):
            return rows
        wanted = [self._among(rows), *(self._phrase(words) for words in query.phrases)]
        unwanted = [(tantivy.Occur.MustNot, self._phrase(words)) for words in query.excluded]
        asked = tantivy.Query.boolean_query([*((tantivy.Occur.Must, one) for one in wanted), *unwanted])
        return np.sort(self._search(asked, len(rows))[0])

    def barring(self, row: Row) -> tuple[str, ...]:
        """The phrases that a creator lacks, quoted, and what it holds of the excluded, after a minus."""
        here = np.array([row], np.uint32)

        def holds(words: tuple[str, ...]) -> bool:
            return bool(len(self._search(_all_of([self._among(here), self._phrase(words)]), 1)[0]))

        lacking = [f'"{" ".join(words)}"' for words in self._query.phrases if not holds(words)]
        return (*lacking, *(f"-{' '.join(words)}" for words in self._query.excluded if holds(words)))

    def engine_query(self) -> Any:
        """What `best` asks of the engine, for those who compare with it."""
        return self._asked(None)

    def _search(self, query: Any, limit: int, *, counted: bool = False) -> tuple[Rows, Scores, int]:
        """Rows and BM25, best first, and how many there are where that is ``counted``."""
        found = self._searcher.search(query, max(limit, 1), counted)
        hits = found.hits  # converted anew at each access
        rows = self._searcher.rows_at([address for _, address in hits])
        return rows, np.fromiter(map(itemgetter(0), hits), np.float32, len(hits)), found.count or 0

    def _asked(self, need: int | None) -> Any:
        """The whole query, with ``need`` as in `count`; made once."""
        if need not in self._queries:
            self._queries[need] = self._whole(need)
        return self._queries[need]

    def _whole(self, need: int | None) -> Any:
        query = self._query
        wanted = [self._phrase(phrase) for phrase in query.phrases]
        if self._parts:
            wanted.append(_all_of(self._parts) if need is None else _some_of(self._wide_parts(), need))
        if not wanted and not query.excluded:
            return tantivy.Query.empty_query()
        asked = _all_of(wanted) if wanted else tantivy.Query.const_score_query(tantivy.Query.all_query(), 1.0)
        unwanted = [(tantivy.Occur.MustNot, self._phrase(words)) for words in query.excluded]
        bonuses = [(tantivy.Occur.Should, bonus) for bonus in self._bonuses()]
        if not unwanted and not bonuses:
            return asked
        return tantivy.Query.boolean_query([(tantivy.Occur.Must, asked), *unwanted, *bonuses])

    def _lenient(self, query: QueryText) -> QueryText:
        """Phrases that nobody holds, and those of a long query, are read as words."""
        read_as_words = [
            phrase
            for phrase in query.phrases
            if len(query.words) >= LONG_WORDS or not self._search(self._phrase(phrase), 1)[0].size
        ]
        if not read_as_words:
            return query
        words = tuple(dict.fromkeys([*query.words, *(word for phrase in read_as_words for word in phrase)]))
        kept = tuple(phrase for phrase in query.phrases if phrase not in read_as_words)
        return msgspec.structs.replace(query, words=words, phrases=kept)

    def _word(self, word: str, *, last: bool) -> Any:
        """The word anywhere, or what else it may stand for."""
        options = [self._term(EVERYTHING, stem(word))]
        frequency = self._frequency(stem(word))
        unknown = frequency == 0
        unfinished = len(word) <= BEGIN_CHARS or frequency < WHOLE_FROM
        if last and len(word) >= PREFIX_CHARS and unfinished:
            options += self._beginnings(word, anywhere=unknown)
        if _HANGUL.fullmatch(word):
            options += [tantivy.Query.const_score_query(one, PREFIX_BOOST) for one in self._begun(EVERYTHING, word)]
        if unknown and len(options) == 1:
            corrected = corrections(word, self._frequency, partial(self._listing, EVERYTHING))
            options += [tantivy.Query.boost_query(self._term(EVERYTHING, one), TYPO_BOOST) for one in corrected]
        return _best_of(options)

    def _wide_parts(self) -> list[Any]:
        """For each word what it is, or a niche that it stands for."""
        niches = [self._synonyms.get(stem(word), ()) for word in self._query.words]
        return [
            _best_of([part, *(tantivy.Query.boost_query(self._term("niche", one), SYNONYM_BOOST) for one in ones)])
            for part, ones in zip(self._parts, niches, strict=True)
        ]

    def _beginnings(self, word: str, *, anywhere: bool) -> list[Any]:
        """The word as the beginning of one of a name or handle, and ``anywhere`` of any text, or of a name without its spaces
        and signs ("tseries" for "T-Series Music")."""
        found: list[Any] = []
        if len(word) <= BEGIN_CHARS and self._searcher.doc_freq(BEGIN, word):
            found.append(self._term(BEGIN, word))
        for field in PREFIX_FIELDS if len(word) > BEGIN_CHARS else ():
            found += self._begun(field, word)
        if anywhere:
            found += [*self._begun(EVERYTHING, word), *self._begun("joined", word)]
        return [tantivy.Query.const_score_query(one, PREFIX_BOOST) for one in found]

    def _begun(self, field: str, word: str) -> list[Any]:
        terms = [term for term, _ in self._listing(field, word, PREFIX_TERMS) if term != word]
        return [tantivy.Query.term_set_query(self._schema, field, terms)] if terms else []

    def _frequency(self, word: str) -> int:
        """Kept, since each segment is asked for it."""
        if word not in self._frequencies:
            self._frequencies[word] = self._searcher.doc_freq(EVERYTHING, word)
        return self._frequencies[word]

    def _listing(self, field: str, beginning: str, limit: int) -> Sequence[tuple[str, int]]:
        """Words that begin so, the most frequent first."""
        found: Sequence[tuple[str, int]] = self._searcher.terms_with_prefix(field, beginning, limit=limit)
        return found

    def _phrase(self, words: tuple[str, ...]) -> Any:
        """Words that follow one another within one text; a single word as it stands."""
        if len(words) == 1:
            return self._term(EVERYTHING, stem(words[0]))
        return tantivy.Query.phrase_query(self._schema, EVERYTHING, [stem(word) for word in words])

    def _bonuses(self) -> list[Any]:
        """For words in fields that count more; none of a long query, which says what it means by all of its words."""
        if self.long:
            return []
        return [
            tantivy.Query.boost_query(self._term(field, term), boost)
            for field, boost in self._boosts.items()
            for term in (self.words if field in UNSTEMMED else map(stem, self.words))
            if boost and self._searcher.doc_freq(field, term)
        ]

    def _among(self, rows: Rows) -> Any:
        """Whoever is one of these; adds nothing to a score."""
        ids = tantivy.Query.term_set_query(self._schema, "id", [str(row) for row in rows.tolist()])
        return tantivy.Query.const_score_query(ids, 0.0)

    def _term(self, field: str, word: str) -> Any:
        return tantivy.Query.term_query(self._schema, field, word)


class _Guarded:
    """The engine's searcher, each of whose answers may fail: a file may be damaged while it is open."""

    def __init__(self, searcher: Any) -> None:
        self._searcher = searcher

    @property
    def num_docs(self) -> int:
        return int(self._searcher.num_docs)

    def search(self, query: Any, limit: int, counted: bool) -> Any:
        return guarded(lambda: self._searcher.search(query, limit=limit, count=counted))

    def rows_at(self, addresses: Sequence[Any]) -> Rows:
        return guarded(lambda: _rows(self._searcher.fast_field_values("row", addresses)))

    def doc_freq(self, field: str, word: str) -> int:
        try:  # by itself: a word that nobody holds is asked for with hundreds of corrections
            return int(self._searcher.doc_freq(field, word))
        except BaseException as error:
            if (trouble := _trouble(error)) is None:
                raise
            raise IndexBroken(trouble) from error

    def terms_with_prefix(self, field: str, beginning: str, limit: int) -> Sequence[tuple[str, int]]:
        return guarded(lambda: self._searcher.terms_with_prefix(field, beginning, limit=limit))


def _rows(values: Sequence[int]) -> Rows:
    return np.fromiter(values, np.uint32, len(values))


def guarded(call: Callable[[], T]) -> T:
    """Turns the engine's panics, which are no ordinary exceptions, its refusals, and what is none of what was stored there
    into IndexBroken."""
    try:
        return call()
    except BaseException as error:
        if (trouble := _trouble(error)) is None:
            raise
        raise IndexBroken(trouble) from error


def _trouble(error: BaseException) -> str | None:
    if isinstance(error, (ValueError, TypeError, OverflowError, msgspec.DecodeError)):
        return str(error)
    return f"the text engine gave up: {error}" if type(error).__name__ == "PanicException" else None


def _best_of(options: Sequence[Any]) -> Any:
    return options[0] if len(options) == 1 else tantivy.Query.disjunction_max_query(options)


def _all_of(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else tantivy.Query.boolean_query([(tantivy.Occur.Must, part) for part in parts])


def _some_of(parts: Sequence[Any], need: int) -> Any:
    """All of them where all are needed, else at least ``need``."""
    if need == len(parts):
        return _all_of(parts)
    optional = [(tantivy.Occur.Should, part) for part in parts]
    return tantivy.Query.boolean_query(optional, minimum_number_should_match=need)
