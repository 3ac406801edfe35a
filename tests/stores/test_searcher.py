from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import stores.searcher
from daemon.evaluation.virtual_time import VirtualThreads
from proto.errors import IndexBroken, ModelMissing, Unavailable
from proto.ids import CreatorId, Row
from proto.records import Creator
from stores import keyword_match
from stores.blocking import Blocking, RunSync
from stores.columns import Columns
from stores.filter_ast import And, In, Range
from stores.ports import RankedHit, Rows, Scores, SearchPage, SearchQuery, Vector, Weights
from stores.ranking import EXACT_BONUS, Ranked
from stores.searcher import (
    LOADING_MODEL,
    MOST_RELAXED,
    NO_MODEL,
    NOT_COMPARED,
    SEARCHES_AT_ONCE,
    SEARCHES_BESIDE_IMPORT,
    SHARPENED,
    Searcher,
)
from stores.text_index import TantivyTextIndex
from stores.text_lookup import TextLookup
from stores.vectors import HnswVectorIndex
from tests.stores.conformance.text_index_suite import document, taken_in
from tests.stores.conformance.vector_index_suite import DIMS, EAST, NORTH, NORTH_EAST, WEST, put

WEIGHTS = Weights(keyword=0.4, vector=0.4, quality=0.2, fields={"bio": 1.0, "content": 1.0})
FIELDS = ("bio", "content")
MEANINGS = {"cooking": EAST, "games": NORTH, "silence": np.zeros(DIMS, np.float32)}


class Embedder:
    """Made-up meanings, and a note of what was asked; any other text means WEST."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails_with: Exception | None = None

    async def __call__(self, text: str) -> Vector:
        self.asked.append(text)
        if self.fails_with is not None:
            raise self.fails_with
        return MEANINGS.get(text, WEST)


def unit(vector: NDArray[np.float64]) -> Vector:
    made: NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype(np.float32)
    return made


class World:
    """A searcher over real indexes, filled by ``add``."""

    def __init__(
        self, text: TantivyTextIndex, fields: dict[str, HnswVectorIndex], threads: RunSync, candidates: int = 100
    ) -> None:
        self.text, self.fields, self.columns, self.embedder = text, fields, Columns(), Embedder()
        self.threads = threads
        self.observed: list[tuple[str, bool]] = []
        self.searcher = Searcher(
            columns=self.columns,
            weights=WEIGHTS,
            candidates=candidates,
            query_cache=2,
            threads=Blocking("search", 2, threads),
            now=lambda: 0.0,
            observe=self._observe,
        )
        self.searcher.set_text(text)

    def _observe(self, index: str, seconds: float, failed: bool) -> None:
        assert seconds >= 0
        self.observed.append((index, failed))

    def with_model(self) -> None:
        self.searcher.set_embedder(self.embedder, FIELDS)
        for name, index in self.fields.items():
            self.searcher.set_field(name, index)

    async def add(
        self,
        row: int,
        name: str,
        *,
        followers: int | None = None,
        niche: str | None = None,
        text: str = "",
        **vectors: Vector,
    ) -> None:
        creator = Creator(
            creator_id=CreatorId(1_000 + row),
            row=Row(row),
            name=name,
            total_followers=followers,
            primary_niche=niche,
        )
        self.columns.upsert(Row(row), creator)
        await taken_in(self.text, [document(row, name, bio=text)])
        for field, vector in vectors.items():
            await put(self.fields[field], {row: vector})

    async def search(self, text: str, limit: int = 20, offset: int = 0, **more: Any) -> SearchPage:
        return await self.searcher.search(SearchQuery(text=text, limit=limit, offset=offset, **more))

    async def rows(self, text: str, limit: int = 20, offset: int = 0) -> list[int]:
        return [hit.row for hit in (await self.search(text, limit, offset)).hits]


def nothing_stored(rows: Rows) -> tuple[Rows, Vector]:
    return rows[:0], np.zeros((0, DIMS), np.float32)


def opened(
    folder: Path,
    name: str,
    blocking: Callable[[str, int], Blocking],
    *,
    rows: str = "float32",
    vectors_of: Callable[[Rows], tuple[Rows, Vector]] = nothing_stored,
) -> HnswVectorIndex:
    """An empty field, of which only a graph is asked."""
    return HnswVectorIndex.open(
        folder / f"{name}.hnsw",
        field=name,
        dims=DIMS,
        model_id="m",
        vectors=list,
        vectors_of=vectors_of,
        changed_since=lambda _: set(),
        sequence=0,
        exact_scan_below=0,
        ef=50,
        rows=rows,
        blocking=blocking,
    )


@pytest.fixture
async def world(tmp_path: Path, threads: VirtualThreads) -> AsyncIterator[World]:
    def blocking(name: str, limit: int) -> Blocking:
        return Blocking(name, limit, threads)

    text = await TantivyTextIndex.create_empty(tmp_path, blocking=blocking)
    fields = {name: opened(tmp_path, name, blocking) for name in FIELDS}
    yield World(text, fields, threads)
    await text.close()


@asynccontextmanager
async def coded_world(
    folder: Path, threads: VirtualThreads, stored: Vector, lost: Sequence[int] = ()
) -> AsyncIterator[World]:
    """Creators by row, with 9 followers and more, whose bios are kept as codes; those who ``lost`` theirs in the store."""

    def blocking(name: str, limit: int) -> Blocking:
        return Blocking(name, limit, threads)

    def vectors_of(rows: Rows) -> tuple[Rows, Vector]:
        having = rows[~np.isin(rows, lost)]
        return having, stored[having]

    text = await TantivyTextIndex.create_empty(folder, blocking=blocking)
    index = opened(folder, "bio", blocking, rows="int8", vectors_of=vectors_of)
    world = World(text, {"bio": index}, threads)
    for row, vector in enumerate(stored):
        await world.add(row, f"creator {row}", followers=9 + row, bio=vector)
    world.with_model()
    world.searcher.weights = Weights(keyword=0.0, vector=1.0, quality=0.0, fields={"bio": 1.0})
    try:
        yield world
    finally:
        await text.close()


async def test_while_loading_it_says_so() -> None:
    searcher = Searcher(
        columns=Columns(), weights=WEIGHTS, candidates=10, query_cache=10, threads=Blocking("search", 2), now=float
    )
    for text in ("anything", ""):
        with pytest.raises(Unavailable, match="loading"):
            await searcher.search(SearchQuery(text=text))


async def test_without_a_model_keywords_are_searched_and_the_page_says_so(world: World) -> None:
    await world.add(0, "Alice", text="cooking with fire", bio=EAST)
    await world.add(1, "Bob", bio=EAST)
    page = await world.search("cooking")
    assert ([hit.row for hit in page.hits], page.total, page.words) == ([0], 1, ("cooking",))
    assert page.warnings == (LOADING_MODEL,)
    world.searcher.set_no_embedder()
    assert (await world.searcher.search(SearchQuery(text="nova", limit=5))).warnings == (NO_MODEL,)


async def test_words_and_meaning_are_fused(world: World) -> None:
    await world.add(0, "Word", text="cooking")
    await world.add(1, "Meaning", bio=EAST, content=NORTH_EAST)
    await world.add(2, "Both", text="cooking", bio=EAST, content=EAST)
    await world.add(3, "Opposite", bio=WEST)
    world.with_model()
    page = await world.search("cooking")
    assert page.hits[0].row == 2
    assert {hit.row for hit in page.hits} == {0, 1, 2, 3}
    assert (page.total, page.warnings) == (4, ())
    assert page.hits[-1].row == 3


async def test_a_hit_is_explained_by_addends_that_sum_to_its_score(world: World) -> None:
    await world.add(0, "Cooking", followers=5_000, bio=NORTH_EAST, content=EAST)
    world.with_model()
    (hit,) = (await world.search("cooking")).hits
    assert hit.exact
    assert hit.creator_id == 1_000
    parts = {addend.name: addend for addend in hit.addends}
    assert set(parts) == {"keyword", "quality", "bio", "content", "exact"}
    assert parts["bio"].value == pytest.approx(0.5**0.5)
    assert parts["bio"].weight == pytest.approx(0.2)
    assert parts["exact"].contribution == EXACT_BONUS
    assert sum(addend.contribution for addend in hit.addends) == pytest.approx(hit.score, abs=1e-6)


async def test_an_exact_name_leads(world: World) -> None:
    await world.add(0, "Cooking Show Cooking", followers=10_000_000, text="cooking", bio=EAST, content=EAST)
    await world.add(1, "cooking", followers=0)
    world.with_model()
    assert (await world.rows("@Cooking"))[0] == 1


async def test_an_empty_text_shows_everyone_by_quality(world: World) -> None:
    for row, followers in enumerate((10, 1_000_000, 1_000, 1_000_000)):
        await world.add(row, f"creator {row}", followers=followers)
    world.with_model()
    page = await world.search("  ")
    assert [hit.row for hit in page.hits] == [1, 3, 2, 0]
    assert (page.total, page.words, page.warnings) == (4, (), ())
    assert world.embedder.asked == []
    assert world.searcher.searchable() == 4


@pytest.mark.parametrize("text", ["", "games", "nothing like it"])
async def test_pages_have_no_gaps_and_no_repeats(world: World, text: str) -> None:
    for row in range(23):
        vectors: dict[str, Any] = {"bio": NORTH_EAST} if row % 3 else {}
        await world.add(row, f"creator {row}", followers=row % 4, text="games" if row % 2 else "", **vectors)
    world.with_model()
    whole = await world.search(text, limit=100)
    assert len(whole.hits) == whole.total > 10
    paged: list[RankedHit] = []
    for offset in range(0, 100, 5):
        page = await world.search(text, limit=5, offset=offset)
        assert page.total == whole.total
        paged += page.hits
    assert paged == list(whole.hits)
    assert all(first.score >= second.score for first, second in itertools.pairwise(paged))


async def test_creators_that_left_the_columns_are_not_shown(world: World) -> None:
    await world.add(0, "Alice", text="cooking", bio=EAST)
    await taken_in(world.text, [document(5, "Ghost", bio="cooking"), document(90_000, "Far", bio="cooking")])
    await put(world.fields["bio"], {6: EAST})
    world.with_model()
    page = await world.search("cooking")
    assert ([hit.row for hit in page.hits], page.total) == ([0], 1)


async def test_fields_may_join_while_it_serves(world: World) -> None:
    await world.add(0, "Alice", bio=EAST)
    await world.add(1, "Bob", content=EAST)
    world.searcher.set_embedder(world.embedder, FIELDS)
    assert (await world.search("cooking")).warnings == ("still loading: bio, content",)
    world.searcher.set_field("bio", world.fields["bio"])
    page = await world.search("cooking")
    assert ([hit.row for hit in page.hits], page.warnings) == ([0], ("still loading: content",))
    world.searcher.set_field("content", world.fields["content"])
    page = await world.search("cooking")
    assert ([hit.row for hit in page.hits], page.warnings) == ([0, 1], ())


@pytest.mark.parametrize("error", [ModelMissing("no files"), Unavailable("busy")])
async def test_a_model_that_fails_leaves_keyword_search(world: World, error: Exception) -> None:
    await world.add(0, "Alice", text="cooking")
    world.with_model()
    world.embedder.fails_with = error
    page = await world.search("cooking")
    assert [hit.row for hit in page.hits] == [0]
    assert page.warnings == (f"keyword search only: {error}",)
    world.embedder.fails_with = None
    assert (await world.search("cooking")).warnings == ()


async def test_a_text_without_meaning_is_searched_by_its_words(world: World) -> None:
    await world.add(0, "Silence", bio=EAST)
    await world.add(1, "Other", bio=EAST)
    world.with_model()
    page = await world.search("silence")
    assert ([hit.row for hit in page.hits], page.warnings) == ([0], ())


async def test_a_query_is_embedded_once_while_it_is_among_the_latest(world: World) -> None:
    await world.add(0, "Alice", bio=EAST)
    world.with_model()
    first = await world.search("cooking")
    assert await world.search("cooking") == first
    assert world.embedder.asked == ["cooking"]
    for text in ("games", "cooking", "third", "cooking"):
        await world.search(text)
    assert world.embedder.asked == ["cooking", "games", "third"]
    await world.search("games")
    assert world.embedder.asked[3:] == ["games"]


async def test_only_the_nearest_candidates_join_by_meaning_alone(world: World) -> None:
    few = World(world.text, world.fields, world.threads, candidates=2)
    for row, vector in enumerate((NORTH, EAST, NORTH_EAST, WEST)):
        await few.add(row, f"creator {row}", bio=vector)
    few.with_model()
    page = await few.search("cooking")
    assert ([hit.row for hit in page.hits], page.total) == ([1, 2], 2)


async def test_new_weights_count_from_the_next_search(world: World) -> None:
    await world.add(0, "Word", text="cooking")
    await world.add(1, "Meaning", bio=EAST)
    world.with_model()
    world.searcher.weights = Weights(keyword=1, vector=0, quality=0, fields={})
    assert await world.rows("cooking") == [0, 1]
    world.searcher.weights = Weights(keyword=0, vector=1, quality=0, fields={"bio": 1.0})
    assert await world.rows("cooking") == [1, 0]


async def test_a_failing_index_is_told_as_it_is(world: World) -> None:
    class Broken(TantivyTextIndex):
        def lookup(self, text: str) -> TextLookup:
            raise IndexBroken(f"cannot answer {text}")

    world.text.__class__ = Broken
    with pytest.raises(IndexBroken, match="cannot answer cooking"):
        await world.search("cooking")
    assert world.observed == [("text", True)]


async def test_each_look_up_of_a_search_is_observed(world: World) -> None:
    await world.add(0, "Anna", text="cooking", bio=EAST, content=EAST)
    world.with_model()
    await world.search("cooking")
    assert sorted(world.observed) == [("bio", False), ("content", False), ("query_vector", False), ("text", False)]
    world.observed.clear()
    world.embedder.fails_with = Unavailable("the endpoint is down")
    await world.search("games")
    assert sorted(world.observed) == [("query_vector", True), ("text", False)]


SMALL = Range(column="followers", lte=1_000)
FOOD = In(column="niche", values=("food",))


async def test_filters_hold_for_words_and_for_meaning(world: World) -> None:
    await world.add(0, "Small Word", text="cooking", followers=100)
    await world.add(1, "Big Word", text="cooking", followers=100_000)
    await world.add(2, "Small Meaning", bio=EAST, followers=100)
    await world.add(3, "Big Meaning", bio=EAST, followers=100_000)
    await world.add(4, "Unknown", text="cooking", bio=EAST)
    world.with_model()
    page = await world.search("cooking", filters=SMALL)
    assert ({hit.row for hit in page.hits}, page.total) == ({0, 2}, 2)
    page = await world.search("", filters=SMALL)
    assert ({hit.row for hit in page.hits}, page.total) == ({0, 2}, 2)


async def test_the_nearest_are_taken_from_those_that_pass(world: World) -> None:
    few = World(world.text, world.fields, world.threads, candidates=2)
    for row in range(6):
        await few.add(row, f"creator {row}", followers=row, bio=EAST if row < 4 else NORTH_EAST)
    few.with_model()
    page = await few.search("cooking", filters=Range(column="followers", gte=4))
    assert {hit.row for hit in page.hits} == {4, 5}


async def test_an_empty_page_says_which_condition_alone_leaves_something(world: World) -> None:
    await world.add(0, "Alice", niche="food", followers=5_000, bio=EAST)
    await world.add(1, "Bob", niche="games", followers=50, bio=EAST)
    world.with_model()
    page = await world.search("cooking", filters=And(of=(SMALL, FOOD)))
    assert (page.total, page.hits) == (0, ())
    assert {(relaxation.dropped, relaxation.total) for relaxation in page.relaxations} == {(SMALL, 1), (FOOD, 1)}


async def test_no_more_conditions_are_tried_than_a_person_asks_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.add(0, "Big", followers=10_000)
    masks = itertools.count()
    mask = world.columns.mask
    monkeypatch.setattr(world.columns, "mask", lambda *given: (next(masks), mask(*given))[1])
    small = tuple(Range(column="followers", lt=float(most)) for most in range(1, 251))
    page = await world.search("", filters=And(of=(In(column="niche", values=("food",)), *small)))
    assert (page.total, page.relaxations, next(masks)) == (0, (), MOST_RELAXED + 1)


async def test_facets_count_the_match_set_and_leave_out_their_own_condition(world: World) -> None:
    for row, niche in enumerate(("food", "food", "games", None)):
        await world.add(row, f"creator {row}", niche=niche, followers=10, text="cooking")
    await world.add(4, "other", niche="games")
    page = await world.search("cooking", facets=("niche",))
    assert (page.total, page.facets) == (4, {"niche": {"food": 2, "games": 1}})
    page = await world.search("cooking", facets=("niche", "tier"), filters=FOOD)
    assert (page.total, page.facets) == (2, {"niche": {"food": 2, "games": 1}, "tier": {"nano": 2}})


@pytest.mark.parametrize(("ascending", "order"), [(False, [2, 1, 0, 3]), (True, [0, 1, 2, 3])])
async def test_hits_are_sorted_by_a_column_with_the_unknown_last(
    world: World, ascending: bool, order: list[int]
) -> None:
    for row, followers in enumerate((10, 20, 30, None)):
        await world.add(row, f"creator {row}", followers=followers, text="cooking")
    page = await world.search("cooking", sort="followers", ascending=ascending)
    assert [hit.row for hit in page.hits] == order


async def test_a_hidden_creator_counts_nowhere(world: World) -> None:
    for row in range(3):
        await world.add(row, f"creator {row}", niche="food", text="cooking", bio=EAST)
    world.with_model()
    hidden = np.array([1], np.uint32)
    for text in ("cooking", ""):
        page = await world.search(text, hidden=hidden, facets=("niche",))
        assert ([hit.row for hit in page.hits], page.total, page.facets) == ([0, 2], 2, {"niche": {"food": 2}})


async def test_further_pages_go_on_in_the_ranking_of_the_first(world: World) -> None:
    for row in range(9):
        await world.add(row, f"creator {row}", followers=10 * row, text="cooking")
    first = await world.search("cooking", limit=3)
    await world.add(9, "latest", followers=10_000_000, text="cooking")
    met, page = [hit.row for hit in first.hits], first
    while len(met) < first.total:
        page = await world.search("cooking", limit=3, offset=len(met), snapshot=page.snapshot)
        assert page.total == 9
        met += [hit.row for hit in page.hits]
    assert sorted(met) == list(range(9))
    assert (await world.search("cooking", limit=3)).hits[0].row == 9
    forged = await world.search("games", limit=3, offset=3, snapshot=first.snapshot)
    assert forged.total < 9


async def test_a_broad_search_is_the_same_whether_its_best_or_all_are_fetched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(3)
    for row in range(60):
        vectors: dict[str, Any] = {} if row % 3 else {"bio": unit(generator.standard_normal(DIMS))}
        await world.add(
            row,
            f"creator {row}",
            followers=int(generator.integers(1, 10**6)),
            text="cooking " * (1 + row % 7),
            **vectors,
        )
    few = World(world.text, world.fields, world.threads, candidates=5)
    few.columns, few.searcher._columns = world.columns, world.columns
    few.with_model()
    monkeypatch.setattr(keyword_match, "HEAD", 20)
    whole = await few.search("cooking", limit=100)
    monkeypatch.setattr(keyword_match, "ALL_BELOW", 10)
    met: list[RankedHit] = []
    page = None
    while page is None or len(met) < page.total:
        page = await few.search("cooking", limit=5, offset=len(met), snapshot=page.snapshot if page else "")
        assert page.total == whole.total
        met += page.hits
    assert [hit.row for hit in met] == [hit.row for hit in whole.hits]
    assert [hit.score for hit in met] == pytest.approx([hit.score for hit in whole.hits])


async def test_creators_like_others_are_found_field_by_field(world: World) -> None:
    await world.add(0, "Seed", bio=EAST)
    await world.add(1, "Like", bio=NORTH_EAST)
    await world.add(2, "Like elsewhere", content=EAST)
    await world.add(3, "Unlike", bio=WEST)
    world.with_model()
    page = await world.search("", positive=(Row(0),))
    assert [hit.row for hit in page.hits] == [2, 1, 3]
    page = await world.search("", positive=(Row(0),), negative=(Row(2),))
    assert [hit.row for hit in page.hits] == [1, 3]


async def test_nobody_is_like_creators_whose_meaning_is_unknown(world: World) -> None:
    await world.add(0, "Seed")
    await world.add(1, "Other", bio=EAST)
    for _ in range(2):  # without vectors at all, then without any of the seed
        page = await world.search("", positive=(Row(0),), facets=("niche",))
        assert ([hit.row for hit in page.hits], page.total, page.warnings) == ([], 0, (NOT_COMPARED,))
        world.with_model()


async def test_a_column_sorts_whatever_diversity_is_asked_for(world: World) -> None:
    for row in range(6):
        await world.add(row, f"creator {row}", followers=10**row, bio=EAST if row > 2 else NORTH)
    world.with_model()
    page = await world.search("", sort="followers", diversity=0.9)
    assert [hit.row for hit in page.hits] == [5, 4, 3, 2, 1, 0]


async def test_likeness_is_told_while_vectors_come_and_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for row in range(4):
        await world.add(row, f"creator {row}", followers=10**row, bio=EAST)
    world.with_model()
    index = world.fields["bio"]
    looked = itertools.count()
    vectors_of = index.vectors_of

    def fleeting(rows: Sequence[Row]) -> Vector:
        if next(looked) == 2:
            index._delete([Row(2), Row(3)])
        return vectors_of(rows)

    monkeypatch.setattr(index, "vectors_of", fleeting)
    page = await world.search("", diversity=0.5)
    assert sorted(hit.row for hit in page.hits) == [0, 1, 2, 3]


async def test_a_page_that_outgrows_its_ranking_again_repeats_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the best of a broad search are ranked at first; what changes meanwhile moves where they end."""
    monkeypatch.setattr(keyword_match, "HEAD", 4)
    monkeypatch.setattr(keyword_match, "ALL_BELOW", 8)
    for row in range(20):
        await world.add(row, f"creator {row}", followers=5, text="cooking " * (20 - row))
    words = Weights(keyword=1.0, vector=0.0, quality=0.0, fields={})
    met: list[int] = []
    page: SearchPage | None = None
    while page is None or (page.hits and len(met) < page.total):
        snapshot = page.snapshot if page else ""
        page = await world.search("cooking", limit=3, offset=len(met), snapshot=snapshot, weights=words)
        met += [hit.row for hit in page.hits]
        if len(met) == 3:
            monkeypatch.setattr(keyword_match, "HEAD", 7)  # another ranking that is not whole
        if len(met) == 6:
            for row in (0, 19):
                world.columns.remove(Row(row))  # one that was shown, and one that was not
    assert sorted(met) == list(range(19))


async def test_a_creator_that_is_not_found_learns_why(world: World) -> None:
    few = World(world.text, world.fields, world.threads, candidates=1)
    await few.add(0, "Near", followers=10, bio=EAST)
    await few.add(1, "Behind", followers=10, bio=NORTH_EAST)
    await few.add(2, "Big", followers=10_000, text="cooking", bio=EAST)
    few.with_model()
    query = SearchQuery(text="cooking", filters=SMALL)
    near = await few.searcher.standing(query, Row(0))
    assert (near.found, near.rank, near.failed, near.vector_ranks) == (True, 1, (), {"bio": 1})
    behind = await few.searcher.standing(query, Row(1))
    assert (behind.found, behind.missing_words, behind.vector_ranks) == (False, ("cooking",), {"bio": 2})
    big = await few.searcher.standing(query, Row(2))
    assert (big.found, big.failed, big.missing_words) == (False, (SMALL,), ())
    hides = SearchQuery(text="cooking", filters=SMALL, hidden=np.array([0], np.uint32))
    hidden = await few.searcher.standing(hides, Row(0))
    assert (hidden.found, hidden.failed) == (False, ())
    asks = SearchQuery(text="", filters=In(column="hidden", values=("true",)), hidden=np.array([0], np.uint32))
    assert [bool((await few.searcher.standing(asks, Row(row))).failed) for row in (0, 1)] == [False, True]


async def test_a_phrase_and_what_is_excluded_hold_for_who_is_near_in_meaning_too(world: World) -> None:
    await world.add(0, "Word", text="cooking")
    await world.add(1, "Vegan", text="vegan dishes", bio=EAST)
    await world.add(2, "Other", text="street food", bio=EAST)
    world.with_model()
    page = await world.search("cooking -vegan -games ")
    assert ({hit.row for hit in page.hits}, page.total, world.embedder.asked) == ({0, 2}, 2, ["cooking"])
    assert set(await world.rows('cooking "street food"')) == {2}
    assert (await world.search("-vegan")).total == 2
    assert world.embedder.asked == ["cooking", 'cooking "street food"']
    vegan = await world.searcher.standing(SearchQuery(text='cooking -vegan "street food"'), Row(1))
    assert (vegan.found, vegan.barring) == (False, ('"street food"', "-vegan"))


async def test_known_names_and_handles_are_told(world: World) -> None:
    await world.add(0, "BBC News Japan")
    assert await world.searcher.is_known("bbc news japan")
    assert not await world.searcher.is_known("bbc news")


async def test_no_query_is_read_in_the_thread_of_the_event_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.add(0, "Cooking", text="cooking", bio=EAST)
    world.with_model()
    asked: list[int] = []

    def noted(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def with_note(given: Any) -> Any:
            asked.append(threading.get_ident())
            return call(given)

        return with_note

    monkeypatch.setattr(world.text, "lookup", noted(world.text.lookup))
    monkeypatch.setattr(world.fields["bio"], "vectors_of", noted(world.fields["bio"].vectors_of))
    await world.search("cooking")
    await world.search("", positive=(Row(0),))
    await world.searcher.standing(SearchQuery(text="cooking"), Row(0))
    await world.searcher.is_known("cooking")
    assert len(asked) >= 4
    assert threading.get_ident() not in asked


async def test_two_threads_find_what_one_finds(world: World) -> None:
    for row in range(12):
        await world.add(row, f"creator {row}", text="cooking" if row % 2 else "", bio=EAST, content=NORTH)
    world.with_model()
    alone = await world.search("cooking")
    with ThreadPoolExecutor(1) as side:
        world.searcher._side = side
        assert (await world.search("cooking")).hits == alone.hits


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 60))
def test_those_that_are_looked_at_again_decide_who_is_among_the_first(seed: int, reach: int, count: int) -> None:
    """Scores off by as much as codes may be: the first are those that they would be if all were looked at again."""
    dice = np.random.default_rng(seed)
    told = dice.random(count) * 0.2
    exact = told + dice.uniform(-0.002, 0.002, count)
    order = np.argsort(-told, kind="stable")
    ranked = Ranked(order=order, scores=told, parts=())
    doubtful = stores.searcher._doubtful(ranked, reach, 0.004)
    mended = told.copy()
    mended[doubtful] = exact[doubtful]
    first = set(np.argsort(-mended, kind="stable")[:reach].tolist())
    assert first == set(np.argsort(-exact, kind="stable")[:reach].tolist()) or len(doubtful) >= SHARPENED // 2
    assert len(doubtful) <= SHARPENED
    assert len(doubtful) == 0 or reach < count


@pytest.mark.parametrize(("own", "others"), [(True, False), (False, True), (True, True)])
def test_what_fails_in_one_of_two_threads_is_told_once_both_have_ended(own: bool, others: bool) -> None:
    ended, failed = threading.Event(), threading.Event()
    both, here = threading.Barrier(2, timeout=20), threading.current_thread()

    def call() -> None:
        both.wait()  # so that each of the two has one
        if threading.current_thread() is not here:
            failed.wait(0.05 if own else 0)
            ended.set()
            if others:
                raise KeyError("there")
        elif own:
            failed.set()
            raise ValueError("here")

    with ThreadPoolExecutor(1) as side:
        with pytest.raises(ValueError if own else KeyError):
            stores.searcher._run(side, [call, call])
        assert ended.is_set()


def test_while_one_of_two_threads_is_busy_the_other_does_the_rest() -> None:
    rest = threading.Semaphore(0)

    def long() -> None:
        for _ in range(3):
            assert rest.acquire(timeout=20)

    with ThreadPoolExecutor(1) as side:
        stores.searcher._run(side, [long, rest.release, rest.release, rest.release])


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each look into a field whether it was in haste."""
    seen, nearest = list[bool](), HnswVectorIndex.nearest_now

    def watched(index: HnswVectorIndex, *asked: Any, hasty: bool) -> tuple[Rows, Scores]:
        seen.append(hasty)
        return nearest(index, *asked, hasty=hasty)

    monkeypatch.setattr(HnswVectorIndex, "nearest_now", watched)
    return seen


async def test_beside_an_import_fields_are_searched_in_haste(world: World, said: list[bool]) -> None:
    await world.add(1, "Alice", bio=EAST)
    world.with_model()
    for importing in (True, False):

        def ask(answer: bool = importing) -> bool:
            """As the lane of imports does, which tells the time by the event loop."""
            return trio.current_time() >= 0 and answer

        world.searcher.set_importing(ask)
        said.clear()
        assert await world.rows("cooking") == [1]
        assert (await world.searcher.standing(SearchQuery(text="cooking", limit=20), Row(1))).found
        assert said == [importing] * len(FIELDS) * 2


async def test_further_pages_are_searched_as_the_first_was(
    world: World, said: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else somebody who was near enough for the second page is not when it comes, and is on none."""
    monkeypatch.setattr(keyword_match, "HEAD", 4)
    monkeypatch.setattr(keyword_match, "ALL_BELOW", 8)
    for row in range(30):
        await world.add(row, f"creator {row}", text="cooking " * (30 - row), bio=EAST)
    world.with_model()
    first = await world.search("cooking", limit=2)
    world.searcher.set_importing(lambda: True)
    rows = [hit.row for hit in first.hits]
    page = first
    while page.snapshot and len(rows) < 30:
        page = await world.search("cooking", limit=10, offset=len(rows), snapshot=page.snapshot)
        rows += [hit.row for hit in page.hits]
    assert sorted(rows) == list(range(30))
    assert len(said) > len(FIELDS), "a further page needed a search of its own"
    assert not any(said)
    await world.search("cooking", limit=2)
    assert said[-1], "another search begins anew"


async def test_beside_an_import_more_searches_go_on_at_once(world: World) -> None:
    """Each waits for what is being written then, not for a core."""
    await world.add(1, "Alice")
    together = threading.Barrier(SEARCHES_BESIDE_IMPORT, timeout=20)

    def meet(*_: object) -> None:
        together.wait()  # raises where fewer are under way

    world.searcher._observe = meet
    world.searcher.set_importing(lambda: True)
    async with trio.open_nursery() as nursery:
        for _ in range(SEARCHES_BESIDE_IMPORT):
            nursery.start_soon(world.searcher.search, SearchQuery(text="alice"))
    world.searcher.set_importing(lambda: False)
    running, most = 0, 0
    lock, some = threading.Lock(), threading.Barrier(SEARCHES_AT_ONCE, timeout=20)

    def count(*_: object) -> None:
        nonlocal running, most
        with lock:
            running, most = running + 1, max(most, running + 1)
        some.wait()
        with lock:
            running -= 1

    world.searcher._observe = count
    async with trio.open_nursery() as nursery:
        for _ in range(3 * SEARCHES_AT_ONCE):
            nursery.start_soon(world.searcher.search, SearchQuery(text="alice"))
    assert most == SEARCHES_AT_ONCE


async def test_while_pages_are_read_the_next_searches_begin(world: World) -> None:
    """Their creators may have to come from a disk."""
    await world.add(1, "Alice")
    together = threading.Barrier(SEARCHES_AT_ONCE + 1, timeout=20)

    def read(page: SearchPage) -> int:
        together.wait()  # raises where a search waits for those that read
        return len(page.hits)

    found = list[int]()

    async def search() -> None:
        found.append(await world.searcher.search_and(SearchQuery(text="alice"), read))

    async with trio.open_nursery() as nursery:
        for _ in range(SEARCHES_AT_ONCE + 1):
            nursery.start_soon(search)
    assert found == [1] * (SEARCHES_AT_ONCE + 1)


async def test_of_many_that_pass_those_about_the_last_that_is_wanted_are_ranked_by_their_vectors_as_stored(
    tmp_path: Path, threads: VirtualThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores.searcher, "CROWDED", 3)
    monkeypatch.setattr(stores.searcher, "CODE_ERROR", 0.01)  # of few dimensions
    angles = 1.2 - np.arange(6) * 0.0004  # nearer to one another than codes of eight bits can tell
    stored = np.zeros((6, DIMS), np.float32)
    stored[:, 0], stored[:, 1] = np.cos(angles), np.sin(angles)
    async with coded_world(tmp_path, threads, stored) as world:
        page = await world.search("cooking", filters=Range(column="followers", gte=10), limit=3)
        assert [hit.row for hit in page.hits] == [5, 4, 3]
        told = [next(part.value for part in hit.addends if part.name == "bio") for hit in page.hits]
        assert told == pytest.approx(np.cos(angles[:2:-1]).tolist(), abs=1e-6)
        few = await world.search("cooking", filters=Range(column="followers", gte=13))
        unsharp = [next(part.value for part in hit.addends if part.name == "bio") for hit in few.hits]
        assert unsharp != pytest.approx(np.cos([angles[hit.row] for hit in few.hits]).tolist(), abs=1e-6)


async def test_who_has_no_stored_vector_keeps_the_likeness_of_its_codes(
    tmp_path: Path, threads: VirtualThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes meanwhile, or its record is damaged."""
    monkeypatch.setattr(stores.searcher, "CROWDED", 3)
    async with coded_world(tmp_path, threads, np.tile(EAST, (6, 1)), lost=(4,)) as world:
        page = await world.search("cooking", filters=Range(column="followers", gte=10))
        told = {hit.row: next(part.value for part in hit.addends if part.name == "bio") for hit in page.hits}
        assert told == pytest.approx(dict.fromkeys(range(1, 6), 1.0), abs=0.01)


async def test_whether_somebody_searches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores.searcher, "LATELY_SECONDS", 0.2)
    await world.add(0, "Cooking")
    assert not world.searcher.searched_lately()
    during = list[bool]()
    await world.searcher.search_and(
        SearchQuery(text="cooking"), lambda _: during.append(world.searcher.searched_lately())
    )
    assert during == [True]
    monkeypatch.setattr(stores.searcher, "LATELY_SECONDS", 0.0)
    assert not world.searcher.searched_lately()
