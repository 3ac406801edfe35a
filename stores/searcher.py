"""Text and vector candidates in one ranked, explained page."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial

import numpy as np
import trio

from proto.errors import ModelMissing, PokedexError, Unavailable
from proto.ids import CreatorId, Row
from stores.columns import Columns
from stores.ports import (
    RankedHit,
    Rows,
    Scores,
    SearchPage,
    SearchQuery,
    TextHits,
    TextIndex,
    Vector,
    VectorIndex,
    Weights,
)
from stores.ranking import Candidates, Ranked, addends_of, rank

Embed = Callable[[str], Awaitable[Vector]]

KEYWORD_MATCHES = 10_000
"""Keyword matches ranked at most; a broader query's total counts the rest, but they are not paged: nobody counts twice."""

NO_MODEL = "keyword search only: no embedding model (pokedexd model build --from DIR)"
LOADING_MODEL = "keyword search only: the embedding model is still being loaded"


class Meaning:
    """A model, the vectors that it made and its vectors of recent queries. They go together, so one search uses one."""

    def __init__(self, embed: Embed | None, expected: tuple[str, ...]) -> None:
        self.embed, self.expected = embed, expected
        self.fields: dict[str, VectorIndex] = {}
        self.cache: OrderedDict[str, Vector] = OrderedDict()


class Searcher:
    """Match set: keyword matches ∪ the top ``candidates`` of each vector field. Parts may join while it serves."""

    def __init__(self, *, columns: Columns, weights: Weights, candidates: int, query_cache: int) -> None:
        self._columns, self.weights, self._candidates = columns, weights, candidates
        self._text: TextIndex | None = None
        self._meaning = Meaning(None, ())
        self._without_model = LOADING_MODEL
        self._cache_size = query_cache

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

    async def search(self, query: SearchQuery) -> SearchPage:
        """Raises Unavailable while keyword search is still loading, IndexBroken when an index fails."""
        if self._text is None:
            raise Unavailable("search is still loading")
        if not query.text.strip():
            return self._browse(query)
        try:
            return await self._hybrid(self._text, query)
        except BaseExceptionGroup as group:
            failed, other = group.split(PokedexError)
            if failed is None or other is not None:
                raise
            raise _first(failed) from group

    async def _hybrid(self, text: TextIndex, query: SearchQuery) -> SearchPage:
        warnings: list[str] = []
        meaning = self._meaning
        text_hits, vector = await self._look_up(text, meaning, query.text, warnings)
        nearest = await self._nearest(meaning, vector) if vector is not None else {}
        rows = self._columns.known(_union(text_hits.rows, [found for found, _ in nearest.values()]))
        candidates = await self._candidates_of(meaning, rows, text_hits, vector)
        unseen = text_hits.total > len(text_hits.rows)  # and some of those found by meaning may be among them
        total = max(len(rows), text_hits.total) if unseen else len(rows)
        return self._page(query, candidates, rows, total, text_hits.words, warnings)

    def _browse(self, query: SearchQuery) -> SearchPage:
        """No words: everyone, by quality."""
        rows = self._columns.rows()
        nothing = np.zeros(len(rows), np.float32)
        candidates = Candidates(
            creator_ids=self._columns.creator_id[rows],
            keyword=nothing,
            exact=np.zeros(len(rows), bool),
            similarities={},
            having={},
            quality=self._columns.quality[rows],
        )
        return self._page(query, candidates, rows, len(rows), (), [])

    async def _look_up(
        self, text_index: TextIndex, meaning: Meaning, text: str, warnings: list[str]
    ) -> tuple[TextHits, Vector | None]:
        """Keyword matches and the query's vector, at the same time."""
        found: dict[str, TextHits] = {}

        async def keywords() -> None:
            found["text"] = await text_index.query(text, KEYWORD_MATCHES)

        vector = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keywords)
            vector = await self._query_vector(meaning, text, warnings)
        return found["text"], vector

    async def _query_vector(self, meaning: Meaning, text: str, warnings: list[str]) -> Vector | None:
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

    async def _nearest(self, meaning: Meaning, vector: Vector) -> dict[str, tuple[Rows, Scores]]:
        """The top K of every field, the fields side by side."""
        found: dict[str, tuple[Rows, Scores]] = {}

        async def one(name: str, index: VectorIndex) -> None:
            found[name] = await index.nearest(vector, self._candidates)

        async with trio.open_nursery() as nursery:
            for name, index in meaning.fields.items():
                nursery.start_soon(one, name, index)
        return found

    async def _candidates_of(self, meaning: Meaning, rows: Rows, hits: TextHits, vector: Vector | None) -> Candidates:
        similarities: dict[str, Scores] = {}
        having: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]] = {}

        async def one(name: str, index: VectorIndex, query: Vector) -> None:
            similarities[name], having[name] = await index.similarities(query, rows)

        if vector is not None:
            async with trio.open_nursery() as nursery:
                for name, index in meaning.fields.items():
                    nursery.start_soon(partial(one, name, index, vector))
        keyword, exact = _spread(rows, hits)
        return Candidates(
            creator_ids=self._columns.creator_id[rows],
            keyword=keyword,
            exact=exact,
            similarities={name: similarities[name] for name in sorted(similarities)},
            having=having,
            quality=self._columns.quality[rows],
        )

    def _page(
        self,
        query: SearchQuery,
        candidates: Candidates,
        rows: Rows,
        total: int,
        words: tuple[str, ...],
        warnings: list[str],
    ) -> SearchPage:
        weights = self.weights
        ranked = rank(candidates, weights)
        chosen = ranked.order[query.offset : query.offset + query.limit]
        hits = tuple(self._hit(candidates, ranked, weights, rows, int(at)) for at in chosen)
        return SearchPage(hits=hits, total=total, words=words, warnings=tuple(warnings))

    def _hit(self, candidates: Candidates, ranked: Ranked, weights: Weights, rows: Rows, at: int) -> RankedHit:
        return RankedHit(
            creator_id=CreatorId(int(candidates.creator_ids[at])),
            row=Row(int(rows[at])),
            score=float(ranked.scores[at]),
            addends=addends_of(candidates, ranked, weights, at),
            exact=bool(candidates.exact[at]),
        )


def _first(group: BaseExceptionGroup[PokedexError]) -> PokedexError:
    """A leaf of a group: what look-ups that run side by side raise comes wrapped."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _union(first: Rows, others: list[Rows]) -> Rows:
    return np.unique(np.concatenate([first, *others])).astype(np.uint32)


def _spread(rows: Rows, hits: TextHits) -> tuple[Scores, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Keyword scores and exactness laid out along ``rows`` (ascending)."""
    keyword, exact = np.zeros(len(rows), np.float32), np.zeros(len(rows), bool)
    order = np.argsort(hits.rows)
    at = np.searchsorted(hits.rows[order], rows)
    at[at == len(order)] = 0
    found = hits.rows[order][at] == rows if len(order) else np.zeros(len(rows), bool)
    if len(order):
        keyword[found] = hits.scores[order][at][found]
        exact[found] = hits.exact[order][at][found]
    return keyword, exact
