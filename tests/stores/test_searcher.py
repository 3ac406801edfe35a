from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from daemon.evaluation.virtual_time import VirtualThreads
from proto.errors import IndexBroken, ModelMissing, Unavailable
from proto.ids import CreatorId, Row
from proto.records import Creator
from stores.blocking import Blocking
from stores.columns import Columns
from stores.ports import RankedHit, SearchPage, SearchQuery, TextHits, Vector, Weights
from stores.ranking import EXACT_BONUS
from stores.searcher import LOADING_MODEL, NO_MODEL, Searcher
from stores.text_index import TantivyTextIndex
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


class World:
    """A searcher over real indexes, filled by ``add``."""

    def __init__(self, text: TantivyTextIndex, fields: dict[str, HnswVectorIndex], candidates: int = 100) -> None:
        self.text, self.fields, self.columns, self.embedder = text, fields, Columns(), Embedder()
        self.searcher = Searcher(columns=self.columns, weights=WEIGHTS, candidates=candidates, query_cache=2)
        self.searcher.set_text(text)

    def with_model(self) -> None:
        self.searcher.set_embedder(self.embedder, FIELDS)
        for name, index in self.fields.items():
            self.searcher.set_field(name, index)

    async def add(
        self, row: int, name: str, *, followers: int | None = None, text: str = "", **vectors: Vector
    ) -> None:
        creator = Creator(creator_id=CreatorId(1_000 + row), row=Row(row), name=name, total_followers=followers)
        self.columns.upsert(Row(row), creator)
        await taken_in(self.text, [document(row, name, bio=text)])
        for field, vector in vectors.items():
            await put(self.fields[field], {row: vector})

    async def search(self, text: str, limit: int = 20, offset: int = 0) -> SearchPage:
        return await self.searcher.search(SearchQuery(text=text, limit=limit, offset=offset))

    async def rows(self, text: str, limit: int = 20, offset: int = 0) -> list[int]:
        return [hit.row for hit in (await self.search(text, limit, offset)).hits]


@pytest.fixture
async def world(tmp_path: Path, threads: VirtualThreads) -> AsyncIterator[World]:
    def blocking(name: str, limit: int) -> Blocking:
        return Blocking(name, limit, threads)

    text = await TantivyTextIndex.create_empty(tmp_path, blocking=blocking)
    fields = {
        name: HnswVectorIndex.open(
            tmp_path / f"{name}.hnsw",
            field=name,
            dims=DIMS,
            model_id="m",
            vectors=list,
            changed_since=lambda _: set(),
            sequence=0,
            exact_scan_below=0,
            ef=50,
            blocking=blocking,
        )
        for name in FIELDS
    }
    yield World(text, fields)
    await text.close()


async def test_while_loading_it_says_so() -> None:
    searcher = Searcher(columns=Columns(), weights=WEIGHTS, candidates=10, query_cache=10)
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
    await world.add(0, "Word Only", text="cooking")
    await world.add(1, "Meaning Only", bio=EAST, content=NORTH_EAST)
    await world.add(2, "Both", text="cooking", bio=EAST, content=EAST)
    await world.add(3, "Opposite", bio=WEST)
    world.with_model()
    page = await world.search("cooking")
    assert [hit.row for hit in page.hits][:2] == [2, 0]
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
        vectors = {"bio": NORTH_EAST} if row % 3 else {}
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
    few = World(world.text, world.fields, candidates=2)
    for row, vector in enumerate((NORTH, EAST, NORTH_EAST, WEST)):
        await few.add(row, f"creator {row}", bio=vector)
    few.with_model()
    page = await few.search("cooking")
    assert ([hit.row for hit in page.hits], page.total) == ([1, 2], 2)


async def test_new_weights_count_from_the_next_search(world: World) -> None:
    await world.add(0, "Word Only", text="cooking")
    await world.add(1, "Meaning Only", bio=EAST)
    world.with_model()
    world.searcher.weights = Weights(keyword=1, vector=0, quality=0, fields={})
    assert await world.rows("cooking") == [0, 1]
    world.searcher.weights = Weights(keyword=0, vector=1, quality=0, fields={"bio": 1.0})
    assert await world.rows("cooking") == [1, 0]


async def test_a_failing_index_is_told_as_it_is(world: World) -> None:
    class Broken(TantivyTextIndex):
        async def query(self, text: str, limit: int) -> TextHits:
            raise IndexBroken(f"cannot answer {text} ({limit})")

    world.text.__class__ = Broken
    with pytest.raises(IndexBroken, match="cannot answer cooking"):
        await world.search("cooking")
