"""Searches against the oracle: totals, every facet count, explanations and paging, on exact scans and on graphs."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from daemon.evaluation.virtual_time import VirtualThreads
from proto.ids import CreatorId, Platform, Row
from proto.records import Activity, Creator
from stores import vectors as vector_engine
from stores.blocking import Blocking
from stores.columns import Columns
from stores.filter_ast import And, Exists, In, Node, Not, Or, Range
from stores.filter_masks import MaskContext
from stores.filters import check_filter, without_column
from stores.ports import SearchPage, SearchQuery, TextDocument, Weights
from stores.searcher import Searcher
from stores.text_index import TantivyTextIndex
from stores.vectors import HnswVectorIndex
from tests.stores.search_oracle import Known, count_facet, found_rows, nearest

SEED = 11
DIMS, CANDIDATES = 16, 25
FIELDS = ("yt_bio", "yt_content", "ig_bio")
FACETS = ("niche", "style", "country", "language", "activity", "tier", "platform")
WEIGHTS = Weights(keyword=0.5, vector=0.4, quality=0.1, fields=dict.fromkeys(FIELDS, 1.0))
NICHES, COUNTRIES, LANGUAGES = ("gaming", "food", "fitness", "music"), ("US", "BR", "DE", "JP"), ("en", "pt", "de")
STYLES = ("review", "educational")


def made_up_words(count: int) -> list[str]:
    """All alike to no other: two differ in four letters at least, so that no typo leads from one to another."""
    chosen, words = random.Random(SEED), list[str]()
    while len(words) < count:
        word = "".join(chosen.choices("bcdfghklmnprtvz", k=7))
        if all(sum(a != b for a, b in zip(word, other, strict=True)) > 3 for other in words):
            words.append(word)
    return words


VOCABULARY = made_up_words(160)


def made_up(row: int, chosen: random.Random, centres: NDArray[np.float32]) -> Known:
    accounts = chosen.choice(([Platform.YOUTUBE], [Platform.INSTAGRAM], [Platform.YOUTUBE, Platform.INSTAGRAM]))
    followers = {one.value: int(10 ** chosen.uniform(2, 7)) for one in accounts if chosen.random() < 0.9}
    creator = Creator(
        creator_id=CreatorId(chosen.getrandbits(62)),
        row=Row(row),
        name=" ".join(word(chosen) for _ in range(2)),
        account_keys=[f"{one.value}:{row}" for one in accounts],  # type: ignore[misc]
        primary_niche=chosen.choice((*NICHES, None)),
        content_style=chosen.choice((*STYLES, None)),
        language=chosen.choice((*LANGUAGES, None)),
        country=chosen.choice((*COUNTRIES, None)),
        total_followers=sum(followers.values()) if followers else None,
        followers_by_platform=followers,
        engagement_rate=chosen.choice((None, round(chosen.random() / 5, 3))),
        posts_per_week=chosen.choice((None, round(chosen.random() * 9, 1))),
        derived_activity=chosen.choice((*Activity, None)),
    )
    document = TextDocument(
        row=Row(row),
        creator_id=creator.creator_id,
        name=creator.name,
        handles=(f"{row:05}{word(chosen)}",),
        bio=" ".join(word(chosen) for _ in range(12)),
        titles=" ".join(word(chosen) for _ in range(20)),
    )
    noise = np.random.default_rng(row)
    held = {field: unit(centres[row % len(centres)] + 0.7 * noise.standard_normal(DIMS)) for field in FIELDS}
    return Known(
        row=row,
        creator=creator,
        document=document,
        vectors={field: vector for field, vector in held.items() if chosen.random() < 0.7},
    )


def word(chosen: random.Random) -> str:
    """The first are common, the last are rare."""
    return VOCABULARY[int(len(VOCABULARY) * chosen.random() ** 3)]


def unit(vector: NDArray[Any]) -> NDArray[np.float32]:
    made: NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype(np.float32)
    return made


def made_up_filter(chosen: random.Random, depth: int = 0) -> Node:
    kind = chosen.randrange(7 if depth < 2 else 4)
    match kind:
        case 0:
            column, values = chosen.choice((("niche", NICHES), ("country", COUNTRIES), ("language", LANGUAGES)))
            return In(column=column, values=tuple(chosen.sample(values, chosen.randint(1, 2))))
        case 1:
            low = float(int(10 ** chosen.uniform(2, 6)))
            column = chosen.choice(("followers", "followers.youtube", "followers.instagram"))
            return Range(column=column, gte=low, lt=low * chosen.choice((3, 100)), unknown=chosen.random() < 0.2)
        case 2:
            return chosen.choice(
                (
                    In(column="platform", values=(chosen.choice(("youtube", "instagram")),)),
                    In(column="tier", values=(chosen.choice(("nano", "micro", "mid", "macro")),)),
                    In(column="activity", values=("active", "semi_active")),
                    Exists(column=chosen.choice(("niche", "country", "followers.youtube"))),
                )
            )
        case 3:
            return Range(column=chosen.choice(("engagement_rate", "posts_per_week")), gt=0.05)
        case 4:
            return Not(of=made_up_filter(chosen, depth + 1))
        case _:
            parts = tuple(made_up_filter(chosen, depth + 1) for _ in range(chosen.randint(2, 3)))
            return And(of=parts) if kind == 5 else Or(of=parts)


class World:
    def __init__(self, creators: list[Known], columns: Columns, fields: dict[str, HnswVectorIndex], searcher: Searcher):
        self.creators, self.columns, self.fields, self.searcher = creators, columns, fields, searcher
        self.by_row = {one.row: one for one in creators}
        self.vector = np.zeros(DIMS, np.float32)

    async def embed(self, _: str) -> NDArray[np.float32]:
        return self.vector

    async def checked(self, query: SearchQuery, words: list[str], *, graph: bool) -> SearchPage:
        """Compares one answer with the oracle in everything that is stated exactly."""
        page = await self.searcher.search(query)
        near = {field: self._finder(field, graph=graph) for field in self.fields} if words else {}
        found: dict[Node | None, set[int]] = {}

        def rows_within(filters: Node | None) -> set[int]:
            if filters not in found:
                found[filters] = found_rows(self.creators, words, near, filters)
            return found[filters]

        expected = rows_within(query.filters)
        assert page.total == len(expected), query
        for facet in query.facets:
            rows = rows_within(without_column(query.filters, facet))
            counts = count_facet((self.by_row[row] for row in rows), facet)
            assert (page.facets or {})[facet] == counts, (query, facet)
        for hit in page.hits:
            assert hit.row in expected
            assert sum(addend.contribution for addend in hit.addends) == pytest.approx(hit.score, abs=1e-6)
        return page

    def _finder(self, field: str, *, graph: bool) -> Any:
        if not graph:
            return lambda within: nearest(within, field, self.vector, CANDIDATES)

        def of_graph(within: list[Known]) -> set[int]:
            """What it brings is taken as given."""
            mask = np.zeros(len(self.creators), bool)
            mask[[one.row for one in within]] = True
            some = None if mask.all() else mask
            return set(self.fields[field].nearest_now(self.vector, CANDIDATES, some, None)[0].tolist())

        return of_graph

    async def all_pages(self, query: SearchQuery) -> list[int]:
        met: list[int] = []
        snapshot = ""
        while True:
            page = await self.searcher.search(
                SearchQuery(text=query.text, filters=query.filters, limit=37, offset=len(met), snapshot=snapshot)
            )
            if not page.hits:
                return met
            met += [int(hit.row) for hit in page.hits]
            snapshot = page.snapshot


@pytest.fixture
async def world(
    tmp_path: Path, threads: VirtualThreads, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    size, exact_scan_below = request.param
    if not exact_scan_below:
        monkeypatch.setattr(vector_engine, "GATHER_ALWAYS_BELOW", 50)

    def blocking(name: str, limit: int) -> Blocking:
        return Blocking(name, limit, threads)

    chosen = random.Random(SEED)
    centres = np.random.default_rng(SEED).standard_normal((12, DIMS)).astype(np.float32)
    creators = [made_up(row, chosen, centres) for row in range(size)]
    text = await TantivyTextIndex.create_empty(tmp_path, blocking=blocking)
    columns = Columns()
    await text.upsert([one.document for one in creators])
    await text.commit(1)
    columns.upsert_all([Row(one.row) for one in creators], [one.creator for one in creators])
    fields = {}
    for field in FIELDS:
        having = [one for one in creators if field in one.vectors]
        rows, held = np.array([one.row for one in having], np.uint32), np.stack([one.vectors[field] for one in having])
        fields[field] = HnswVectorIndex.open(
            tmp_path / f"{field}.hnsw",
            field=field,
            dims=DIMS,
            model_id="m",
            vectors=lambda rows=rows, held=held: [(rows, held)],  # type: ignore[misc]
            vectors_of=lambda rows: (rows[:0], np.zeros((0, DIMS), np.float32)),
            changed_since=lambda _: set(),
            sequence=0,
            exact_scan_below=exact_scan_below,
            ef=50,
            blocking=blocking,
        )
    searcher = Searcher(
        columns=columns,
        weights=WEIGHTS,
        candidates=CANDIDATES,
        query_cache=0,
        threads=blocking("search", 2),
        now=lambda: 0.0,
    )
    searcher.set_text(text)
    made = World(creators, columns, fields, searcher)
    searcher.set_embedder(made.embed, FIELDS)
    for field, index in fields.items():
        searcher.set_field(field, index)
    yield made
    await text.close()


async def compare(world: World, queries: int, *, graph: bool) -> None:
    chosen, generator = random.Random(SEED + 1), np.random.default_rng(SEED + 1)
    context = MaskContext(now=0)
    for number in range(queries):
        words = list(dict.fromkeys(word(chosen) for _ in range(chosen.randrange(4))))
        filters = check_filter(made_up_filter(chosen)) if chosen.random() < 0.8 else None
        world.vector = unit(generator.standard_normal(DIMS))
        query = SearchQuery(
            text=" ".join(words),
            filters=filters,
            facets=tuple(chosen.sample(FACETS, 3)) if number % 2 else FACETS,
            limit=10,
        )
        page = await world.checked(query, words, graph=graph)
        if number % 5 == 0:
            met = await world.all_pages(query)
            assert len(met) == len(set(met)) == page.total
        assert page.total <= world.columns.mask(filters, context).sum()


@pytest.mark.parametrize("world", [(1_500, 50_000)], indirect=True, ids=["exact"])
async def test_totals_and_facets_are_exact(world: World) -> None:
    await compare(world, 60, graph=False)


@pytest.mark.parametrize("world", [(1_500, 0)], indirect=True, ids=["graph"])
async def test_totals_and_facets_are_exact_for_what_the_graphs_bring(world: World) -> None:
    await compare(world, 60, graph=True)


@pytest.mark.long
@pytest.mark.parametrize("world", [(20_000, 50_000), (20_000, 0)], indirect=True, ids=["exact", "graph"])
async def test_five_hundred_searches_of_twenty_thousand(world: World, request: pytest.FixtureRequest) -> None:
    await compare(world, 500, graph="graph" in request.node.name)
