"""Text and vector candidates in one ranked, explained page. Engines are asked in one thread a search."""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from proto.errors import IndexBroken, ModelMissing, Unavailable
from proto.ids import CreatorId, Row
from stores.blocking import Blocking, Passage
from stores.columns import Columns
from stores.filter_ast import In, Node
from stores.filter_columns import HIDDEN
from stores.filter_masks import MaskContext
from stores.filters import columns_of, conditions_of, relaxable, without_column
from stores.match_set import TEXT, Asked, MatchSet, Observe, match_set, observed
from stores.ports import (
    RELEVANCE,
    RRF,
    CandidateFeatures,
    RankedHit,
    Relaxation,
    Rows,
    Scores,
    SearchPage,
    SearchQuery,
    Standing,
    TextIndex,
    TextLookup,
    Vector,
    VectorIndex,
    Weights,
)
from stores.query_text import parse_query
from stores.ranking import NICHE_BONUS, Candidates, Mask, Ranked, addends_of, diversified, rank
from stores.rankings import KeptRankings, Ranking
from stores.row_sets import rows_of

T = TypeVar("T")

Embed = Callable[[str], Awaitable[Vector]]

NO_MODEL = "keyword search only: no embedding model (pokedexd model build --from DIR)"
LOADING_MODEL = "keyword search only: the embedding model is still being loaded"
QUERY_VECTOR = "query_vector"
"""What making a query's vector is observed as."""
DIVERSE = 100
"""So many of the first hits are spread over what they are about, where that is asked for."""
NOT_COMPARED = "nobody is like these creators: none of them has texts whose meaning is searched now"
MOST_RELAXED = 24
"""Conditions of an empty page that are tried to be left out, the first of them: each is a search of its own."""
SHARED_FROM = 500
"""Creators to be compared from which on another thread takes half of the work; with fewer, to hand it over takes longer."""
SEARCHES_AT_ONCE, SEARCHES_BESIDE_IMPORT = 2, 4
"""Searches at once: one a core; and while creators are imported, when each waits for graphs that are being written, and an
equal share of the cores must do for all (a million creators, 20 searches a second: p95 3.8 s with two, 0.6 s with four)."""
READING_AT_ONCE = 4
"""So many threads more, for those that read the creators of their page meanwhile, which a store that is not in memory has to
bring from the disk."""
SHARPENED, CROWDED = 40, 10_000
"""Up to so many, about the last hit that is wanted, are ranked by their vectors as they are stored, where more than that pass
a filter and all are compared: codes confuse who is nearest of so many (a million creators, 5 % pass: recall of twenty 0.979;
tests/bench/NOTES.md)."""
CODE_ERROR = 0.002
"""Of a similarity by codes, at most (see `stores.vector_rows`)."""
LATELY_SECONDS = 1.0
"""After so long without a search nobody searches."""
UNLIKE = 0.5
"""How much what a hit must not be like counts against what it is to be like (Rocchio's weights, in that order)."""


class Meaning:
    """A model, the vectors that it made and its vectors of recent queries. They go together, so one search uses one."""

    def __init__(self, embed: Embed | None, expected: tuple[str, ...]) -> None:
        self.embed, self.expected = embed, expected
        self.fields: dict[str, VectorIndex] = {}
        self.cache: OrderedDict[str, Vector] = OrderedDict()


class Searcher:
    """See `match_set` for what is found and `rank` for its order. Parts may join while it serves.

    Likeness in meaning is computed for the best keyword matches and for what the vector fields found; other keyword
    matches score by keyword and quality alone. There is one order for all, by score and then by creator id, and a page
    is a piece of it: of a broad search only so much is fetched as cannot be outdone by the rest.
    """

    def __init__(
        self,
        *,
        columns: Columns,
        weights: Weights,
        candidates: int,
        query_cache: int,
        threads: Blocking,
        now: Callable[[], float],
        kept_bytes: int = 64_000_000,
        side: ThreadPoolExecutor | None = None,
        observe: Observe = lambda *_: None,
    ) -> None:
        self._columns, self.weights, self._candidates = columns, weights, candidates
        self._threads, self._now = threads, now
        self._text: TextIndex | None = None
        self._meaning = Meaning(None, ())
        self._without_model = LOADING_MODEL
        self._cache_size = query_cache
        self._kept = KeptRankings(kept_bytes)
        self._side, self._running, self._searched_at = side, 0, -math.inf
        self._engines = Passage(SEARCHES_AT_ONCE)
        self._importing: Callable[[], bool] = lambda: False
        self._observe = observe

    def set_importing(self, importing: Callable[[], bool]) -> None:
        """``importing``: whether creators are imported at the moment; asked in the event loop."""
        self._importing = importing

    def searched_lately(self) -> bool:
        return self._running > 0 or time.monotonic() - self._searched_at < LATELY_SECONDS

    def set_text(self, text: TextIndex) -> None:
        self._text = text

    def set_embedder(self, embed: Embed, expected_fields: tuple[str, ...]) -> None:
        """From the next search on this model's fields answer, as they are set."""
        self._meaning = Meaning(embed, expected_fields)

    def set_no_embedder(self) -> None:
        """There is no model, and none is on its way."""
        self._without_model = NO_MODEL

    def set_field(self, name: str, index: VectorIndex) -> None:
        self._meaning.fields[name] = index

    def searchable(self) -> int:
        """Creators that can be found now."""
        return self._columns.count()

    async def is_known(self, text: str) -> bool:
        """Whether it equals a creator's name, handle or platform user id. Raises as `search` does."""
        index = self._ready()
        return await self._in_turn(lambda: bool(len(index.lookup(text).exact())))

    async def search(self, query: SearchQuery) -> SearchPage:
        """Raises Unavailable while keyword search is still loading, IndexBroken when an index fails."""
        return await self.search_and(query, lambda page: page)

    async def search_and(self, query: SearchQuery, then: Callable[[SearchPage], T]) -> T:
        """What ``then`` makes of the page, in the thread of the search: another one would have to be woken for it. Meanwhile
        the next search begins. Raises as `search` does."""
        index = self._ready()
        self._searched_at = time.monotonic()  # also of its text's vector an import is not to be in the way
        warnings: list[str] = []
        meaning = self._meaning
        vector = await self._query_vector(meaning, query.text, warnings)
        importing = self._importing()
        self._allow(SEARCHES_BESIDE_IMPORT if importing else SEARCHES_AT_ONCE)
        side = self._side if self._running == 0 else None
        self._running += 1

        def found() -> T:
            with self._engines.within():
                page = _Session(self, index, meaning, query, vector, side, importing).page(tuple(warnings))
            return then(page)

        try:
            return await self._threads.call(found)
        finally:
            self._running -= 1

    def _allow(self, at_once: int) -> None:
        self._engines.allow(at_once)
        self._threads.allow(at_once + READING_AT_ONCE)

    async def standing(self, query: SearchQuery, row: Row) -> Standing:
        """Where a creator stands in that search, or what keeps it out. Raises as `search` does."""
        index = self._ready()
        self._searched_at = time.monotonic()
        meaning = self._meaning
        vector = await self._query_vector(meaning, query.text, [])
        importing = self._importing()
        return await self._in_turn(lambda: _Session(self, index, meaning, query, vector, None, importing).standing(row))

    async def _in_turn(self, look: Callable[[], T]) -> T:
        """In a thread, when the engines are free for it."""

        def ask() -> T:
            with self._engines.within():
                return look()

        return await self._threads.call(ask)

    def _ready(self) -> TextIndex:
        if self._text is None:
            raise Unavailable("search is still loading")
        return self._text

    async def _query_vector(self, meaning: Meaning, typed: str, warnings: list[str]) -> Vector | None:
        """Of what is wanted; what is excluded would draw the creators near that are not."""
        text = " ".join(parse_query(typed).wanted.split())
        if not text:
            return None
        if meaning.embed is None:
            warnings.append(self._without_model)
            return None
        loading = [field for field in meaning.expected if field not in meaning.fields]
        if loading:
            warnings.append(f"still loading: {', '.join(loading)}")
        if text in meaning.cache:
            meaning.cache.move_to_end(text)
            return meaning.cache[text]
        try:
            with observed(self._observe, QUERY_VECTOR):
                vector = await meaning.embed(text)
        except (ModelMissing, Unavailable) as error:
            warnings.append(f"keyword search only: {error}")
            return None
        if not vector.any():
            return None
        meaning.cache[text] = vector
        if len(meaning.cache) > self._cache_size:
            meaning.cache.popitem(last=False)
        return vector


class _Session:
    """One search in its thread, where it is made too: reading the query asks the engines already."""

    def __init__(
        self,
        searcher: Searcher,
        index: TextIndex,
        meaning: Meaning,
        query: SearchQuery,
        vector: Vector | None,
        side: ThreadPoolExecutor | None,
        importing: bool,
    ) -> None:
        self._columns, self._kept, self._index, self._query = searcher._columns, searcher._kept, index, query
        self._weights = query.weights or searcher.weights
        fields = dict(meaning.fields)
        self._context = MaskContext(
            now=int(searcher._now()),
            lists=query.lists,
            hidden=np.zeros(0, np.uint32) if query.hidden is None else query.hidden,
        )
        lookup = _parsed(index, query.text, searcher._observe) if query.text.strip() else None
        self._asked = Asked(
            lookup=lookup,
            vectors=_directions(fields, vector, query),
            fields=fields,
            candidates=searcher._candidates,
            seeds=(*query.positive, *query.negative),
            hasty=importing,
            observe=searcher._observe,
        )
        self._executor = side

    def page(self, warnings: tuple[str, ...]) -> SearchPage:
        query = self._query
        asked = signature(query, self._weights)
        before = self._kept.get(query.snapshot, asked) if query.snapshot else None
        name, ranking = query.snapshot, before
        if before is not None:  # who is near enough is the same on all pages
            self._asked = msgspec.structs.replace(self._asked, hasty=before.hasty)
        if ranking is None or not ranking.serves(query.offset, query.limit):
            ranking = self._ranking(query.offset + query.limit)
            if before is not None:
                ranking = ranking.without(before.served(query.offset), query.offset)
            more = ranking.total > query.offset + query.limit
            name = self._kept.put(asked, ranking) if more else ""
        if query.positive and not self._asked.vectors:
            warnings = (*warnings, NOT_COMPARED)
        places = ranking.rows(query.offset, query.limit)
        return SearchPage(
            hits=tuple(self._hit(ranking, int(at)) for at in places),
            total=ranking.total,
            words=ranking.found.words,
            warnings=warnings,
            facets=ranking.facets,
            relaxations=() if ranking.found.total else self._relaxations(),
            snapshot=name,
            plan=ranking.found.plan,
            candidates=_features(ranking, query.features),
        )

    def standing(self, row: Row) -> Standing:
        query = self._query
        ranking = self._ranking(query.offset + query.limit, every=True)
        rows = ranking.found.rows
        at = int(np.searchsorted(rows, row))
        found = at < len(rows) and rows[at] == row
        within = self._mask(query.filters)
        lookup = self._asked.lookup
        return Standing(
            found=bool(found),
            rank=int(np.flatnonzero(ranking.order == at)[0]) + 1 if found else None,
            total=ranking.found.total,
            hit=self._hit(ranking, at) if found else None,
            failed=tuple(part for part in conditions_of(query.filters) if not self._meets(part, row)),
            keyword_match=bool(found and ranking.found.keyword[at] > 0),
            missing_words=() if lookup is None else self._missing(lookup.words, row),
            barring=() if lookup is None else lookup.barring(row),
            vector_ranks=self._vector_ranks(within, row),
            candidates=self._asked.candidates,
        )

    def _meets(self, part: Node, row: Row) -> bool:
        """Whether the creator is hidden is another matter, unless it is asked about."""
        hidden = self._context.hidden if HIDDEN in columns_of(part) else np.zeros(0, np.uint32)
        mask = self._columns.mask(part, msgspec.structs.replace(self._context, hidden=hidden))
        return row < len(mask) and bool(mask[row])

    def _missing(self, words: Sequence[str], row: Row) -> tuple[str, ...]:
        one = np.array([row], np.uint32)
        return tuple(word for word in words if not len(self._index.lookup(word).among(one)[0]))

    def _vector_ranks(self, within: Mask, row: Row) -> dict[str, int]:
        """By exact comparison of all that pass."""
        ranks: dict[str, int] = {}
        everyone = rows_of(within)
        for name, vector in self._asked.vectors.items():
            index = self._asked.fields[name]
            scores, having = index.similarities_now(vector, everyone)
            own, has = index.similarities_now(vector, np.array([row], np.uint32))
            if has[0]:
                ranks[name] = int((scores[having] > own[0]).sum()) + 1
        return ranks

    def _ranking(self, reach: int, *, every: bool = False) -> Ranking:
        """``reach``: how many hits are wanted from the first on."""
        query = self._query
        every = every or query.sort != RELEVANCE or query.fusion == RRF or bool(query.facets) or query.diversity > 0
        found = self._found(query.filters, every=every)
        ranking = self._ranked(found, reach)
        if not found.complete and ranking.sure < reach:
            ranking = self._ranked(self._found(query.filters, every=True), reach)
        return ranking

    def _found(self, filters: Node | None, *, every: bool) -> MatchSet:
        within = self._mask(filters)
        hidden = self._query.hidden is not None and len(self._query.hidden) > 0
        passing = rows_of(within) if filters is not None or hidden else None
        executor = None if passing is not None and len(passing) < SHARED_FROM else self._executor
        return match_set(self._asked, within, passing, every=every, side=lambda calls: _run(executor, calls))

    def _mask(self, filters: Node | None) -> Mask:
        return self._columns.mask(filters, self._context)

    def _ranked(self, found: MatchSet, reach: int) -> Ranking:
        query = self._query
        candidates = self._candidates_of(found)
        ranked = rank(candidates, self._weights, query.fusion)
        doubtful = _doubtful(ranked, reach, 2 * CODE_ERROR * self._weights.vector)
        if query.sort == RELEVANCE and len(doubtful) and self._sharpened(found, candidates, doubtful):
            ranked = rank(candidates, self._weights, query.fusion)
        if query.sort != RELEVANCE:
            order = self._sorted(found, candidates)
        elif query.diversity > 0:
            order = self._diverse(found, ranked)
        else:
            order = ranked.order
        return Ranking(
            found=found,
            candidates=candidates,
            ranked=ranked,
            order=order,
            sure=len(order) if found.complete else _sure(found, ranked, self._weights, query),
            hasty=self._asked.hasty,
            facets=self._facets(found) if query.facets else None,
        )

    def _candidates_of(self, found: MatchSet) -> Candidates:
        rows, count = found.rows, len(found.rows)
        compared = np.flatnonzero(found.compared)
        compared_rows = rows[compared]
        similarities = {name: np.zeros(count, np.float32) for name in sorted(self._asked.vectors)}
        having = {name: np.zeros(count, bool) for name in sorted(self._asked.vectors)}

        def one(name: str) -> Callable[[], None]:
            def compare() -> None:
                scores, has = self._asked.fields[name].similarities_now(self._asked.vectors[name], compared_rows)
                similarities[name][compared], having[name][compared] = scores, has

            return compare

        _run(self._executor if len(compared) >= SHARED_FROM else None, [one(name) for name in similarities])
        return Candidates(
            creator_ids=self._columns.creator_id[rows],
            keyword=found.keyword,
            exact=found.exact,
            similarities=similarities,
            having=having,
            quality=self._columns.quality[rows],
            preferred=self._preferred(rows),
        )

    def _sharpened(self, found: MatchSet, candidates: Candidates, some: NDArray[np.intp]) -> bool:
        """Whether the similarities of these are those of their stored vectors now, in any field."""
        passing, asked = found.passing, self._asked
        if passing is None or passing <= CROWDED:
            return False
        crowded = [
            name
            for name in candidates.similarities
            if self._weights.fields.get(name) and asked.fields[name].confuses(passing, asked.candidates)
        ]
        compared = np.sort(some[found.compared[some]])

        def one(name: str) -> Callable[[], None]:
            def compare() -> None:
                places = compared[candidates.having[name][compared]]
                scores, known = asked.fields[name].stored_similarities_now(asked.vectors[name], found.rows[places])
                candidates.similarities[name][places[known]] = scores[known]

            return compare

        _run(self._executor, [one(name) for name in crowded])
        return bool(crowded)

    def _preferred(self, rows: Rows) -> Mask:
        if not self._query.niches:
            return np.zeros(len(rows), bool)
        return self._columns.passing(In(column="any_niche", values=self._query.niches), rows, self._context)

    def _sorted(self, found: MatchSet, candidates: Candidates) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """By a column, unknown values last whichever way, ties by creator id."""
        values = self._columns.sort_values(self._query.sort, found.rows)
        keys = values if self._query.ascending else -values
        return np.lexsort((candidates.creator_ids, keys, np.isnan(values)))

    def _diverse(self, found: MatchSet, ranked: Ranked) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        first = ranked.order[:DIVERSE]
        likeness = _likeness(self._asked.fields, found.rows[first])
        chosen = diversified(first.tolist(), ranked.scores[first], likeness, self._query.diversity)
        return np.concatenate([first[chosen], ranked.order[DIVERSE:]])

    def _facets(self, found: MatchSet) -> dict[str, dict[str, int]]:
        """A facet leaves out conditions on its own column, so that other choices show what they would bring."""
        facets: dict[str, dict[str, int]] = {}
        for name in self._query.facets:
            filters = without_column(self._query.filters, name) if self._query.filters is not None else None
            same = filters == self._query.filters
            rows = found.rows if same else self._found(filters, every=True).rows
            facets[name] = self._columns.facet(name, rows)
        return facets

    def _relaxations(self) -> tuple[Relaxation, ...]:
        if self._query.filters is None:
            return ()
        parts = relaxable(self._query.filters)[:MOST_RELAXED]
        tried = [(dropped, self._found(rest, every=False).total) for dropped, rest in parts]
        helping = [Relaxation(dropped=dropped, total=total) for dropped, total in tried if total]
        return tuple(sorted(helping, key=lambda relaxation: -relaxation.total))

    def _hit(self, ranking: Ranking, at: int) -> RankedHit:
        return RankedHit(
            creator_id=CreatorId(int(ranking.candidates.creator_ids[at])),
            row=Row(int(ranking.found.rows[at])),
            score=float(ranking.ranked.scores[at]),
            addends=addends_of(ranking.ranked, at),
            exact=bool(ranking.found.exact[at]),
            compared=bool(ranking.found.compared[at]),
        )


def signature(query: SearchQuery, weights: Weights) -> bytes:
    """What two pages of one search have in common."""
    return msgspec.json.encode(
        (
            query.text,
            query.filters,
            query.niches,
            query.sort,
            query.ascending,
            query.facets,
            weights,
            query.fusion,
            query.diversity,
            query.positive,
            query.negative,
            query.tenant_id,
        )
    )


def _directions(fields: Mapping[str, VectorIndex], vector: Vector | None, query: SearchQuery) -> dict[str, Vector]:
    """Where each field is searched from: the text's vector, and what the seeds have there. A field that no seed has is
    searched by what they have elsewhere, so that a creator of another platform can be like them."""
    if not query.positive:
        return {} if vector is None else dict.fromkeys(fields, vector)
    liked = {name: index.vectors_of(query.positive) for name, index in fields.items()}
    disliked = {name: index.vectors_of(query.negative) for name, index in fields.items()}
    anywhere = [vectors for vectors in liked.values() if len(vectors)]
    if not anywhere:
        return {} if vector is None else dict.fromkeys(fields, vector)
    general = np.concatenate(anywhere).mean(axis=0)
    directions: dict[str, Vector] = {}
    for name in fields:
        towards = liked[name].mean(axis=0) if len(liked[name]) else general
        if len(disliked[name]):
            towards = towards - UNLIKE * disliked[name].mean(axis=0)
        if vector is not None:
            towards = towards + vector
        length = float(np.linalg.norm(towards))
        if length > 0:
            directions[name] = (towards / length).astype(np.float32)
    return directions


def _likeness(fields: Mapping[str, VectorIndex], rows: Rows) -> Scores:
    """[n, n]: mean cosine over the fields that two creators share, 0 where they share none."""
    total, shared = np.zeros((len(rows), len(rows)), np.float32), np.zeros((len(rows), len(rows)), np.float32)
    for index in fields.values():
        held = [index.vectors_of([Row(int(row))]) for row in rows]  # each looked at once: a writer may be at work
        at = np.flatnonzero([len(one) for one in held])
        vectors = np.concatenate([np.zeros((0, index.dims), np.float32), *held])
        total[np.ix_(at, at)] += vectors @ vectors.T
        shared[np.ix_(at, at)] += 1.0
    return np.clip(total / np.maximum(shared, 1.0), 0.0, 1.0)


def _sure(found: MatchSet, ranked: Ranked, weights: Weights, query: SearchQuery) -> int:
    """How many hits score more than any keyword match behind the head can."""
    bound = weights.keyword * found.floor + weights.quality + (NICHE_BONUS if query.niches else 0.0)
    return int(np.searchsorted(-ranked.scores[ranked.order], -bound, side="left"))


def _doubtful(ranked: Ranked, reach: int, doubt: float) -> NDArray[np.intp]:
    """Of the first ``reach`` and those behind them who might change sides, if scores differed by ``doubt`` more or less: of
    both the nearest SHARPENED / 2."""
    order, half = ranked.order, SHARPENED // 2
    if not 0 < reach < len(order):
        return order[:0]
    near = order[max(reach - half, 0) : reach + half]
    scores = ranked.scores[near]
    last, next_one = ranked.scores[order[reach - 1]], ranked.scores[order[reach]]
    doubtful: NDArray[np.intp] = near[(scores < next_one + doubt) & (scores > last - doubt)]
    return doubtful


def _features(ranking: Ranking, limit: int) -> tuple[CandidateFeatures, ...]:
    """Of the first ``limit``. Each array is converted as a whole, which takes a tenth of the time."""
    order, candidates = ranking.order[:limit], ranking.candidates
    similarities: list[dict[str, float]] = [{} for _ in order]
    for name, scores in candidates.similarities.items():
        held = candidates.having[name][order].tolist()
        for features, score, has in zip(similarities, scores[order].tolist(), held, strict=True):
            if has:
                features[name] = score
    columns = zip(
        candidates.creator_ids[order].tolist(),
        candidates.keyword[order].tolist(),
        candidates.exact[order].tolist(),
        similarities,
        candidates.quality[order].tolist(),
        ranking.ranked.scores[order].tolist(),
        strict=True,
    )
    return tuple(
        CandidateFeatures(
            creator_id=CreatorId(creator_id),
            keyword=keyword,
            exact=exact,
            similarities=alike,
            quality=quality,
            score=score,
        )
        for creator_id, keyword, exact, alike, quality, score in columns
    )


def _parsed(index: TextIndex, text: str, observe: Observe) -> TextLookup:
    """Only a failure is observed, since it is the look-up in what is parsed here that takes time."""
    try:
        return index.lookup(text)
    except IndexBroken:
        observe(TEXT, 0.0, True)
        raise


def _run(executor: ThreadPoolExecutor | None, calls: Sequence[Callable[[], None]]) -> None:
    """Also in another thread, where there is one: whichever is free takes the next."""
    left = deque(calls)
    if executor is None:
        _one_after_another(left)
        return
    other = executor.submit(_one_after_another, left)
    try:
        _one_after_another(left)
    except BaseException:
        wait([other])  # it reads what is closed behind this one
        raise
    other.result()


def _one_after_another(left: deque[Callable[[], None]]) -> None:
    while True:
        try:
            call = left.popleft()
        except IndexError:  # the other thread has the last of them
            return
        try:
            call()
        except BaseException:
            left.clear()  # the other thread need not begin another
            raise
