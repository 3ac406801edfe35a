"""Graphs that hold fewer dimensions than their field's vectors have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import trio

import stores.vectors
from daemon.evaluation.virtual_time import VirtualThreads
from proto.errors import IndexBroken
from proto.ids import Row
from stores.blocking import Blocking
from stores.ports import Rows, Vector
from stores.vector_graph import Graph
from stores.vector_snapshot import Sidecar, sidecar_path
from stores.vectors import HnswVectorIndex
from tests.stores.conformance.vector_index_suite import random_units

DIMS, KEPT = 32, 16
LEARNS_FROM = 300
Open = Callable[..., HnswVectorIndex]


def units(count: int, seed: int, directions: int = 1) -> Vector:
    """Mostly within 12 directions, as texts' vectors mostly are within few."""
    basis = np.linalg.qr(np.random.default_rng(directions).standard_normal((DIMS, 12)))[0]
    dice = np.random.default_rng((seed, 9))
    made = dice.standard_normal((count, 12)) @ basis.T + 0.1 * dice.standard_normal((count, DIMS))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


@pytest.fixture
def stored() -> dict[int, Vector]:
    """What the store holds, row by row."""
    return {}


@pytest.fixture
def open_index(
    tmp_path: Path, threads: VirtualThreads, stored: dict[int, Vector], monkeypatch: pytest.MonkeyPatch
) -> Open:
    monkeypatch.setattr(stores.vectors, "FITTED_ROWS", LEARNS_FROM)

    def vectors() -> Iterator[tuple[Rows, Vector]]:
        rows = list(stored)
        for begin in range(0, len(rows), 100):
            part = rows[begin : begin + 100]
            yield np.array(part, np.uint32), np.stack([stored[row] for row in part])

    def vectors_of(rows: Rows) -> tuple[Rows, Vector]:
        having = [row for row in rows.tolist() if row in stored]
        return np.array(having, np.uint32), np.stack([stored[row] for row in having])

    def opened(*, graph_share: float = 0.5, ef: int = 100, **settings: Any) -> HnswVectorIndex:
        return HnswVectorIndex.open(
            tmp_path / "field.hnsw",
            field="field",
            dims=DIMS,
            model_id="model",
            vectors=vectors,
            vectors_of=vectors_of,
            changed_since=lambda _: set(),
            sequence=100,
            exact_scan_below=0,
            ef=ef,
            graph_share=graph_share,
            blocking=lambda name, limit: Blocking(name, limit, threads),
            **settings,
        )

    return opened


async def put(index: HnswVectorIndex, stored: dict[int, Vector], vectors: Vector, first: int = 0) -> None:
    rows = [Row(first + at) for at in range(len(vectors))]
    stored.update(zip(map(int, rows), vectors, strict=True))
    for begin in range(0, len(rows), 50):
        await index.upsert(rows[begin : begin + 50], vectors[begin : begin + 50])


async def recall(index: HnswVectorIndex, stored: dict[int, Vector], queries: Vector) -> float:
    """Of the true twenty; what is found has its true likeness."""
    rows = np.array(sorted(stored))
    matrix = np.stack([stored[row] for row in rows.tolist()])
    found = 0
    for query in queries:
        near, scores = await index.nearest(query, 20)
        true = matrix @ query
        assert scores == pytest.approx(true[np.searchsorted(rows, near)], abs=0.01)
        assert (np.diff(scores) <= 0).all()
        found += len(set(near.tolist()) & set(rows[np.argsort(-true)[:20]].tolist()))
    return found / (20 * len(queries))


@pytest.mark.parametrize("kind", ["float32", "int8"])
async def test_directions_are_learnt_once_there_are_enough_vectors(
    open_index: Open, stored: dict[int, Vector], kind: str
) -> None:
    index = open_index(rows=kind)
    await put(index, stored, units(LEARNS_FROM - 1, seed=1))
    assert index._graph.dims == DIMS
    await put(index, stored, units(700, seed=2), LEARNS_FROM - 1)
    assert (index._graph.dims, index._graph.live, await index.count()) == (KEPT, 999, 999)
    assert await recall(index, stored, units(30, seed=3)) >= 0.97
    assert await index.wear() == ""
    assert f"{KEPT} of {DIMS} dimensions in the graph" in index.plan(20)


async def test_it_is_saved_and_loaded_with_its_directions(open_index: Open, stored: dict[int, Vector]) -> None:
    index = open_index()
    await put(index, stored, units(500, seed=1))
    await index.save(50)
    again = open_index()
    assert (again.rebuilt_because, again._graph.dims, again.changed) == ("", KEPT, False)
    queries = units(20, seed=3)
    for query in queries:
        assert (await again.nearest(query, 20))[0].tolist() == (await index.nearest(query, 20))[0].tolist()
    await put(again, stored, units(300, seed=4), 500)
    assert await recall(again, stored, queries) >= 0.97


async def test_what_is_rebuilt_from_the_store_learns_too(open_index: Open, stored: dict[int, Vector]) -> None:
    stored.update(enumerate(units(800, seed=1)))
    index = open_index()
    assert (index._graph.dims, index._graph.live) == (KEPT, 800)
    assert await recall(index, stored, units(30, seed=3)) >= 0.97


async def test_all_dimensions_where_that_is_asked_for(open_index: Open, stored: dict[int, Vector]) -> None:
    index = open_index(graph_share=1.0)
    await put(index, stored, units(500, seed=1))
    assert (index._graph.dims, await index.wear()) == (DIMS, "")


@pytest.mark.parametrize(("before", "after", "dims"), [(1.0, 0.5, KEPT), (0.5, 1.0, DIMS)])
async def test_another_share_is_taken_over_by_building_anew(
    open_index: Open, stored: dict[int, Vector], before: float, after: float, dims: int
) -> None:
    index = open_index(graph_share=before)
    await put(index, stored, units(900, seed=1))
    await index.save(50)
    again = open_index(graph_share=after)
    assert again.rebuilt_because == ""
    await put(again, stored, units(1, seed=7), 900)
    assert again._graph.dims != dims, "a large one is not built within a write"
    assert f"and is to hold {dims}" in await again.wear()
    assert await again.renew()
    assert (again._graph.dims, await again.wear(), again.changed) == (dims, "", True)
    assert await recall(again, stored, units(20, seed=3)) >= 0.97


async def test_a_snapshot_from_before_is_loaded(open_index: Open, stored: dict[int, Vector], tmp_path: Path) -> None:
    index = open_index(graph_share=1.0)
    await put(index, stored, units(400, seed=1))
    await index.save(50)
    file = sidecar_path(tmp_path / "field.hnsw")
    sidecar = msgspec.json.decode(file.read_bytes())
    sidecar["format"] = 2
    del sidecar["graph_dims"]
    file.write_bytes(msgspec.json.encode(sidecar))
    again = open_index()
    assert (again.rebuilt_because, again._graph.dims, again._graph.live) == ("", DIMS, 400)


async def test_a_sidecar_that_names_other_dimensions_rebuilds(
    open_index: Open, stored: dict[int, Vector], tmp_path: Path
) -> None:
    """hnswlib would read beyond its memory."""
    index = open_index()
    await put(index, stored, units(400, seed=1))
    await index.save(50)
    file = sidecar_path(tmp_path / "field.hnsw")
    for wrong, why in (
        (0, "another length"),
        (KEPT - 1, "another length"),
        (KEPT + 1, "another length"),
        (-1, "damaged"),
    ):
        sidecar = msgspec.json.decode(file.read_bytes(), type=Sidecar)
        sidecar.graph_dims = wrong
        file.write_bytes(msgspec.json.encode(sidecar))
        again = open_index()
        assert why in again.rebuilt_because
        await again.save(50)


async def test_other_subjects_than_it_learnt_from(open_index: Open, stored: dict[int, Vector]) -> None:
    index = open_index()
    await put(index, stored, units(LEARNS_FROM + 10, seed=1))
    await put(index, stored, units(1_500, seed=2, directions=5), LEARNS_FROM + 10)
    queries = units(30, seed=3, directions=5)
    before = await recall(index, stored, queries)
    assert "it keeps 0." in await index.wear()
    assert await index.renew()
    assert await index.wear() == ""
    after = await recall(index, stored, queries)
    assert after > before
    assert after >= 0.95


async def test_vectors_without_a_telling_direction_are_no_reason_to_build_anew(
    open_index: Open, stored: dict[int, Vector]
) -> None:
    """Directions always fit best what they were learnt from."""
    index = open_index()
    await put(index, stored, random_units(1_500, DIMS, seed=4))
    assert index._graph.dims == KEPT
    for _ in range(2):
        assert await index.wear() == ""
        assert await index.renew()


async def test_one_of_all_dimensions_is_not_built_anew_within_a_write(
    open_index: Open, stored: dict[int, Vector]
) -> None:
    index = open_index(graph_share=1.0)
    await put(index, stored, units(LEARNS_FROM + 50, seed=1))
    await index.save(50)
    again = open_index()
    await put(again, stored, units(10, seed=2), LEARNS_FROM + 50)
    assert again._graph.dims == DIMS
    assert await again.renew()
    assert again._graph.dims == KEPT


async def test_what_cannot_be_learnt_stops_no_write(
    open_index: Open, stored: dict[int, Vector], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, tries = open_index(), 0

    def no_room(*_: object) -> Graph:
        nonlocal tries
        tries += 1
        raise MemoryError

    monkeypatch.setattr(stores.vectors, "Graph", no_room)
    await put(index, stored, units(LEARNS_FROM + 100, seed=1))
    assert (tries, await index.count(), index._graph.dims) == (1, LEARNS_FROM + 100, DIMS)
    assert "is to hold" in await index.wear()
    monkeypatch.undo()
    monkeypatch.setattr(stores.vectors, "FITTED_ROWS", LEARNS_FROM)
    assert await index.renew()
    assert index._graph.dims == KEPT


async def test_a_narrow_breadth_does_not_keep_hits_from_being_compared(
    open_index: Open, stored: dict[int, Vector]
) -> None:
    index = open_index(ef=20)
    await put(index, stored, units(1_000, seed=1))
    assert await recall(index, stored, units(30, seed=3)) >= 0.95


async def test_in_haste_a_graph_is_searched_less_broadly_but_for_filters(
    open_index: Open, stored: dict[int, Vector], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores.vectors, "GATHER_ALWAYS_BELOW", 0)
    monkeypatch.setattr(HnswVectorIndex, "_comparing_is_better", lambda *_: False)
    index, asked = open_index(ef=200), list[tuple[int, int]]()
    await put(index, stored, units(1_000, seed=1))
    nearest = Graph.nearest

    def watched(graph: Graph, vector: Vector, limit: int, breadth: int) -> tuple[Rows, Vector] | None:
        asked.append((limit, breadth))
        return nearest(graph, vector, limit, breadth)

    monkeypatch.setattr(Graph, "nearest", watched)
    query, half = units(1, seed=3)[0], np.arange(1_000) % 2 == 0
    calm, _ = index.nearest_now(query, 20)
    hasty, scores = index.nearest_now(query, 20, hasty=True)
    among, _ = index.nearest_now(query, 20, half)
    among_hasty, _ = index.nearest_now(query, 20, half, hasty=True)
    assert asked == [(100, 200), (40, 80), (200, 200), (200, 200)]
    assert scores == pytest.approx(np.stack([stored[row] for row in hasty.tolist()]) @ query, abs=1e-5)
    assert len(set(calm.tolist()) & set(hasty.tolist())) >= 17
    assert among.tolist() == among_hasty.tolist()


async def test_who_went_is_not_found(open_index: Open, stored: dict[int, Vector]) -> None:
    index = open_index()
    vectors = units(600, seed=1)
    await put(index, stored, vectors)
    gone = range(0, 600, 2)
    await index.delete([Row(row) for row in gone])
    for row in gone:
        del stored[row]
    near, _ = await index.nearest(vectors[0], 300)
    assert set(near.tolist()) == set(range(1, 600, 2))
    assert index._graph.dims == KEPT, "fewer than it learnt from do not matter"
    await index.delete([Row(row) for row in range(1, 500, 2)])
    assert "of its slots are deleted" in await index.wear()
    for row in range(1, 500, 2):
        del stored[row]
    assert await index.renew()
    near, _ = await index.nearest(vectors[0], 300)
    assert (set(near.tolist()), index._graph.dims) == (set(range(501, 600, 2)), DIMS)


async def test_of_those_that_pass_a_filter(open_index: Open, stored: dict[int, Vector], monkeypatch: Any) -> None:
    monkeypatch.setattr(stores.vectors, "GATHER_ALWAYS_BELOW", 0)
    monkeypatch.setattr(HnswVectorIndex, "_comparing_is_better", lambda *_: False)
    index = open_index()
    await put(index, stored, units(1_000, seed=1))
    within = np.arange(1_000) % 3 == 0
    rows, matrix = np.flatnonzero(within), np.stack([stored[row] for row in range(1_000)])
    for query in units(10, seed=3):
        near, scores = index.nearest_now(query, 20, within)
        true = matrix @ query
        assert within[near].all()
        assert scores == pytest.approx(true[near], abs=1e-5)
        assert len(set(near.tolist()) & set(rows[np.argsort(-true[rows])[:20]].tolist())) >= 18


async def test_searches_go_on_while_directions_are_learnt(open_index: Open, stored: dict[int, Vector]) -> None:
    index = open_index()
    await put(index, stored, units(LEARNS_FROM - 1, seed=1))
    query, learnt, asked = units(1, seed=3)[0], trio.Event(), 0

    async def read() -> None:
        nonlocal asked
        while not learnt.is_set():
            near, scores = await index.nearest(query, 20)
            assert len(set(near.tolist())) == 20
            assert scores == pytest.approx(np.stack([stored[row] for row in near.tolist()]) @ query, abs=1e-5)
            asked += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        nursery.start_soon(read)
        await put(index, stored, units(200, seed=2), LEARNS_FROM - 1)
        learnt.set()
    assert asked
    assert index._graph.dims == KEPT


async def test_a_graph_that_is_being_built_costs_no_write(
    open_index: Open, stored: dict[int, Vector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it finds no memory it is given up, and the one before has the vector."""
    index = open_index()
    await put(index, stored, units(400, seed=1))
    await index._write.call(index._begin_renewal)

    def refuse(*_: object) -> None:
        raise RuntimeError("Not enough memory: resizeIndex failed to allocate base layer")

    following = index._next_graph
    assert following is not None
    monkeypatch.setattr(following, "add", refuse)
    (extra,) = units(1, seed=5)
    await put(index, stored, extra[None, :], first=400)
    assert (await index.nearest(extra, 1))[0].tolist() == [400]
    assert not await index._write.call(index._end_renewal), "there is none any more"


async def test_what_only_the_graph_holds_goes_with_its_row(
    open_index: Open, stored: dict[int, Vector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that failed half way leaves it; who is forgotten then is in no file, and no file that differs is loaded."""
    index = open_index(graph_share=1.0)
    await put(index, stored, units(400, seed=1))

    def refuse(*_: object) -> None:
        raise MemoryError

    (extra,) = units(1, seed=5)
    with monkeypatch.context() as failing:
        failing.setattr(index._rows, "put_made", refuse)
        with pytest.raises(MemoryError):
            await index.upsert([Row(400)], extra[None, :])
    assert index._graph.lives(np.array([400, 5_000], np.uint32)).tolist() == [True, False]
    await index.save(50)
    assert "rows and graph differ" in open_index(graph_share=1.0).rebuilt_because
    index.changed = False
    await index.delete([Row(400)])
    assert index.changed
    assert 400 not in (await index.nearest(extra, 2))[0].tolist()
    await index.save(60)
    assert open_index(graph_share=1.0).rebuilt_because == ""


@pytest.mark.parametrize("rows", ["float32", "int8"])
async def test_who_was_left_out_of_a_new_graph_comes_in_with_the_same_vector(
    open_index: Open, stored: dict[int, Vector], rows: str
) -> None:
    """The store may lack, for a moment, what stands in the rows."""
    index = open_index(rows=rows)
    await put(index, stored, units(400, seed=1))
    gone = stored.pop(7)
    await index.renew()
    stored[7] = gone
    await index.upsert([Row(7)], gone[None, :])
    assert (await index.nearest(gone, 1))[0].tolist() == [7]
    assert index._graph.lives(np.array([7], np.uint32)).all()


@pytest.mark.parametrize("name", ["graph_dims", "end"])
@pytest.mark.parametrize("size", [10**12, 2**62])
async def test_a_sidecar_that_claims_the_impossible_is_a_reason_to_build(
    open_index: Open, stored: dict[int, Vector], tmp_path: Path, name: str, size: int
) -> None:
    index = open_index()
    await put(index, stored, units(400, seed=1))
    await index.save(50)
    file = sidecar_path(tmp_path / "field.hnsw")
    file.write_bytes(msgspec.json.encode(msgspec.json.decode(file.read_bytes()) | {name: size}))
    assert open_index().rebuilt_because


async def test_behind_a_filter_reduced_graphs_find_as_many(
    open_index: Open, stored: dict[int, Vector], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores.vectors, "GATHER_ALWAYS_BELOW", 0)
    monkeypatch.setattr(stores.vectors, "COMPARING_WORTH", 0.0)
    dice, count = np.random.default_rng(3), 3_000
    scale = 1 / np.sqrt(np.arange(1, DIMS + 1))
    made = (dice.standard_normal((count + 20, DIMS)) * scale).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    vectors, queries = made[:count], made[count:]
    index = open_index()
    await put(index, stored, vectors)
    assert index._graph.dims == KEPT
    mask = dice.random(count) < 0.5
    passing = np.flatnonzero(mask)
    found = 0
    for query in queries:
        rows, _ = index.nearest_now(query, 20, mask)
        true = passing[np.argsort(-(vectors[passing] @ query))[:20]]
        found += len(set(rows.tolist()) & set(true.tolist()))
    assert found / (20 * len(queries)) > 0.95


async def test_a_renewal_that_does_not_end_leaves_no_second_graph(
    open_index: Open, stored: dict[int, Vector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also right before it takes the other's place: it would take every write in as well, and its memory."""
    index = open_index()
    await put(index, stored, units(400, seed=1))

    def refuse() -> bool:
        raise IndexBroken("not now")

    monkeypatch.setattr(index, "_end_renewal", refuse)
    with pytest.raises(IndexBroken):
        await index.renew()
    assert index._next_graph is None
