from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import trio

from daemon.evaluation.virtual_time import VirtualThreads
from proto.errors import Unavailable
from proto.ids import Row
from stores.blocking import Blocking
from stores.ports import Rows, Vector
from stores.vector_graph import Graph
from stores.vectors import REPLACING_COST, SLICE, HnswVectorIndex
from tests.stores.conformance.vector_index_suite import (
    DIMS,
    EAST,
    NORTH,
    NORTH_EAST,
    WEST,
    VectorIndexConformance,
    nearest_rows,
    put,
    random_units,
)

GRAPH_ALWAYS, SCAN_ALWAYS = 0, 1_000_000
Open = Callable[..., HnswVectorIndex]


@pytest.fixture
def open_index(tmp_path: Path, threads: VirtualThreads) -> Open:
    """Opens the index over what the store holds (``stored``: row → vector)."""

    def opened(
        stored: dict[int, Vector] | None = None,
        *,
        dims: int = DIMS,
        model_id: str = "model",
        changed: Callable[[int], set[Row]] = lambda _: set(),
        sequence: int = 100,
        exact_scan_below: int = GRAPH_ALWAYS,
        **settings: Any,
    ) -> HnswVectorIndex:
        def vectors() -> Iterator[tuple[Rows, Vector]]:
            if stored:
                yield np.array(list(stored), np.uint32), np.stack(list(stored.values()))

        def vectors_of(rows: Rows) -> tuple[Rows, Vector]:
            having = [row for row in rows.tolist() if row in (stored or {})]
            return np.array(having, np.uint32), np.array([(stored or {})[row] for row in having], np.float32).reshape(
                -1, dims
            )

        return HnswVectorIndex.open(
            tmp_path / "field.hnsw",
            field="field",
            dims=dims,
            model_id=model_id,
            vectors=vectors,
            vectors_of=vectors_of,
            changed_since=changed,
            sequence=sequence,
            exact_scan_below=exact_scan_below,
            ef=100,
            blocking=lambda name, limit: Blocking(name, limit, threads),
            **settings,
        )

    return opened


class TestGraph(VectorIndexConformance):
    @pytest.fixture
    def vector_index(self, open_index: Open) -> HnswVectorIndex:
        return open_index()


class TestCodes(VectorIndexConformance):
    tolerance = 0.01

    @pytest.fixture
    def vector_index(self, open_index: Open) -> HnswVectorIndex:
        return open_index(exact_scan_below=SCAN_ALWAYS, rows="int8")


class TestExactScan(VectorIndexConformance):
    @pytest.fixture
    def vector_index(self, open_index: Open) -> HnswVectorIndex:
        return open_index(exact_scan_below=SCAN_ALWAYS)


STORED = {0: EAST, 3: NORTH, 7: WEST}


@pytest.fixture
async def saved(open_index: Open, tmp_path: Path) -> Path:
    """The graph file of three vectors, saved at checkpoint 50."""
    index = open_index()
    await put(index, STORED)
    await index.save(50)
    return tmp_path / "field.hnsw"


async def test_a_sound_snapshot_is_loaded(open_index: Open, saved: Path) -> None:
    index = open_index(STORED)
    assert (index.rebuilt_because, index.checkpoint, index.changed) == ("", 50, False)
    assert await nearest_rows(index, EAST) == [0, 3, 7]


async def test_the_graph_takes_in_what_changed_after_its_snapshot(open_index: Open) -> None:
    """Moved, new and removed rows, each asked for alone so that only the graph can know."""
    before, after = random_units(300, 16, seed=8), random_units(300, 16, seed=9)
    first = open_index({row: before[row] for row in range(200)}, dims=16)
    await first.save(50)
    now = {row: after[row] if row < 100 else before[row] for row in range(50, 300)}
    asked: list[int] = []

    def changed(checkpoint: int) -> set[Row]:
        asked.append(checkpoint)
        return {Row(row) for row in (*range(100), *range(200, 300))}

    index = open_index(now, dims=16, changed=changed)
    assert (index.rebuilt_because, index.changed, asked) == ("", True, [50])
    nearest = [(await nearest_rows(index, vector, 1))[0] for vector in now.values()]
    assert sum(found == row for found, row in zip(nearest, now, strict=True)) >= 0.98 * len(now)
    gone = [(await nearest_rows(index, before[row], 1))[0] for row in range(50)]
    assert set(gone) <= set(now)


async def test_deletions_and_returns_survive_a_snapshot(open_index: Open, saved: Path) -> None:
    index = open_index(STORED)
    await index.delete([Row(0), Row(3)])
    await index.save(60)
    left = open_index({7: WEST})
    assert (left.rebuilt_because, await nearest_rows(left, EAST)) == ("", [7])
    back = open_index(STORED, changed=lambda _: {Row(0), Row(3)})
    assert (back.rebuilt_because, await nearest_rows(back, EAST)) == ("", [0, 3, 7])


async def test_vectors_that_stand_already_need_no_save(open_index: Open, saved: Path) -> None:
    index = open_index(STORED)
    await put(index, STORED)
    unchanged = index.changed
    await put(index, {0: NORTH_EAST})
    changed = index.changed
    await index.save(51)
    assert (unchanged, changed, index.changed) == (False, True, False)


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def overwrite(path: Path, data: bytes | None) -> None:
    """Puts other content there, or with None takes the file away."""
    path.unlink(missing_ok=True)
    if data is not None:
        path.write_bytes(data)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x80]) + data[at + 1 :]


async def rebuilt(open_index: Open, **settings: object) -> str:
    """Why the index was rebuilt, having checked that it answers all the same."""
    index = open_index(STORED, **settings)
    assert await nearest_rows(index, EAST) == [0, 3, 7]
    assert index.checkpoint == (0 if index.rebuilt_because else 50)
    return index.rebuilt_because


async def test_a_flipped_byte_in_the_graph_rebuilds_it(open_index: Open, saved: Path) -> None:
    whole = content_of(saved)
    for at in (0, len(whole) // 2, len(whole) - 1):
        overwrite(saved, flipped(whole, at))
        assert "checksum" in await rebuilt(open_index)
    overwrite(saved, whole)
    assert await rebuilt(open_index) == ""


async def test_a_cut_empty_or_missing_graph_is_rebuilt(open_index: Open, saved: Path) -> None:
    whole = content_of(saved)
    for kept in (len(whole) - 1, len(whole) // 2, 0):
        overwrite(saved, whole[:kept])
        assert await rebuilt(open_index)
    overwrite(saved, None)
    assert await rebuilt(open_index)


async def test_a_damaged_or_missing_sidecar_rebuilds_the_graph(open_index: Open, saved: Path) -> None:
    sidecar = saved.with_name("field.hnsw.json")
    whole = content_of(sidecar)
    for at in range(len(whole)):
        overwrite(sidecar, flipped(whole, at))
        assert await rebuilt(open_index), at
    overwrite(sidecar, whole[:20])
    assert await rebuilt(open_index)
    overwrite(sidecar, None)
    assert await rebuilt(open_index)


async def test_a_graph_newer_than_its_sidecar_is_rebuilt(open_index: Open, saved: Path) -> None:
    """A crash between the two renames of a save."""
    sidecar = saved.with_name("field.hnsw.json")
    old = content_of(sidecar)
    index = open_index(STORED)
    await put(index, {8: NORTH_EAST})
    await index.save(60)
    overwrite(sidecar, old)
    assert "checksum" in await rebuilt(open_index)


async def test_damaged_rows_rebuild(open_index: Open, saved: Path) -> None:
    rows = saved.with_name("field.hnsw.rows")
    whole = content_of(rows)
    assert len(whole) == 8 + 8 * DIMS * 4
    for damaged in (flipped(whole, 0), flipped(whole, len(whole) - 1), whole[:-1], whole + b"0", b"", None):
        overwrite(rows, damaged)
        assert "field.hnsw.rows" in await rebuilt(open_index)
    overwrite(rows, whole)
    assert await rebuilt(open_index) == ""


async def test_a_snapshot_of_an_older_format_rebuilds(open_index: Open, saved: Path) -> None:
    sidecar = saved.with_name("field.hnsw.json")
    old = msgspec.json.decode(content_of(sidecar))
    for name in ("format", "rows_sha256", "rows_size", "rows_kind", "end"):
        del old[name]
    overwrite(sidecar, msgspec.json.encode(old))
    assert "its format is 1, this version reads 3" in await rebuilt(open_index)


async def test_a_sound_snapshot_is_loaded_without_the_store(open_index: Open, saved: Path) -> None:
    """Only rows that the index log names are read there."""
    index = open_index({}, alive=np.array([0, 3, 7, 9], np.uint32))
    assert await nearest_rows(index, EAST) == [0, 3, 7]
    moved = open_index({3: EAST, 0: NORTH, 9: EAST}, changed=lambda _: {Row(3), Row(7)})
    assert (moved.rebuilt_because, moved.changed) == ("", True)
    assert await nearest_rows(moved, EAST) == [0, 3]


async def test_rows_that_nobody_has_any_more_go(open_index: Open, saved: Path) -> None:
    """Of the erased nothing is in the index log."""
    index = open_index({}, alive=np.array([3], np.uint32))
    assert (index.rebuilt_because, index.changed, await nearest_rows(index, EAST)) == ("", True, [3])
    assert not index.vectors_of([Row(0), Row(7)]).any()


async def test_codes_are_saved_and_loaded(open_index: Open, tmp_path: Path) -> None:
    vectors = random_units(200, 16, seed=12)
    first = open_index(dict(enumerate(vectors)), dims=16, rows="int8")
    await first.delete([Row(5)])
    await first.save(7)
    again = open_index({}, dims=16, rows="int8")
    assert (again.rebuilt_because, again.rows_kind, again.changed) == ("", "int8", False)
    everyone = np.arange(200, dtype=np.uint32)
    for now, before in zip(
        await again.similarities(vectors[0], everyone), await first.similarities(vectors[0], everyone), strict=True
    ):
        assert (now == before).all()
    assert await nearest_rows(again, vectors[9]) == await nearest_rows(first, vectors[9])


@pytest.mark.parametrize("kept_as", ["int8", "float32"])
async def test_of_many_codes_the_nearest_are_found_by_their_signs(
    open_index: Open, tmp_path: Path, kept_as: str
) -> None:
    """Also of those that moved, that came when there was no room, and after a start; float32 rows become codes there."""
    vectors, moved = random_units(4_000, 100, seed=17), random_units(100, 100, seed=18)
    first = open_index(dict(enumerate(vectors[:1_500])), dims=100, rows=kept_as)
    await put(first, dict(enumerate(vectors[1_500:], 1_500)))
    await put(first, dict(enumerate(moved)))
    await first.delete([Row(row) for row in range(100, 150)])
    await first.save(7)
    size = 4 * 100 if kept_as == "float32" else 4 + 100
    assert (tmp_path / "field.hnsw.rows").stat().st_size == 4_000 * (1 + size), "signs are in no file"
    again = open_index({}, dims=100, rows="int8")
    assert (again.rebuilt_because, again.rows_kind) == ("", "int8")
    everyone = np.ones(4_000, bool)
    for index in (first, again):
        for row, vector in (*enumerate(moved[::10]), (150, vectors[150]), (2_999, vectors[2_999])):
            rows, scores = index.nearest_now(vector, 5, everyone)
            wanted, _ = index.similarities_now(vector, rows)
            assert rows[0] == (row * 10 if row < 10 else row)
            assert scores[0] == pytest.approx(1, abs=0.01)
            assert scores == pytest.approx(wanted, abs=1e-6), "what is left is compared as ever"
        gone = {int(row) for vector in vectors[100:150] for row in index.nearest_now(vector, 5, everyone)[0]}
        assert not gone & set(range(100, 150))


async def test_another_kind_of_rows(open_index: Open) -> None:
    vectors = dict(enumerate(random_units(50, 16, seed=13)))
    first = open_index(vectors, dims=16, rows="auto", expected=1_000)
    await first.save(7)
    coded = open_index({}, dims=16, rows="auto", expected=200_000)
    assert (coded.rebuilt_because, coded.rows_kind, coded.changed) == ("", "int8", True)
    assert (await nearest_rows(coded, vectors[9]))[0] == 9
    await coded.save(8)
    fewer = open_index({}, dims=16, rows="auto", expected=199_999)
    assert (fewer.rebuilt_because, fewer.rows_kind) == ("", "int8"), "what was chosen stays"
    floats = open_index(vectors, dims=16, rows="float32")
    assert (floats.rebuilt_because, floats.rows_kind) == ("field.hnsw: its rows are int8, not float32", "float32")


async def test_the_graph_is_given_the_vectors_as_they_are(open_index: Open) -> None:
    vectors = random_units(3, 16, seed=14)
    index = open_index(dict(enumerate(vectors)), dims=16, rows="int8")
    await index.upsert([Row(3)], vectors[1:2])
    _, scores = await index.nearest(vectors[1], 2)
    assert scores == pytest.approx([1, 1], abs=1e-6)


async def test_room_for_many_takes_no_memory_and_changes_nothing(open_index: Open) -> None:
    index = open_index(STORED, dims=DIMS, capacity=300_000)
    await put(index, {299_999: EAST})
    assert await nearest_rows(index, EAST) == [0, 299_999, 3, 7]


async def test_a_save_that_fails_leaves_the_snapshot_before(
    open_index: Open, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(number: int) -> Callable[..., None]:
        def save(*_: object) -> None:
            if number == errno.ETXTBSY:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(number, "in the child")

        return save

    index = open_index(STORED)
    await put(index, {8: NORTH_EAST})
    for number, reason in ((errno.ENOSPC, "No space left"), (errno.ETXTBSY, "killed by signal 9")):
        with monkeypatch.context() as patched:
            patched.setattr("stores.vector_graph.Graph.save", fails(number))
            with pytest.raises(Unavailable, match=reason):
                await index.save(60)
        assert (index.changed, index.checkpoint) == (True, 50)
        assert not list(saved.parent.glob("*.tmp"))
        assert await rebuilt(open_index) == ""
    await index.save(60)
    assert (index.changed, index.checkpoint) == (False, 60)


async def test_without_forks_it_is_saved_here(open_index: Open, monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    def refuse() -> int:
        raise OSError(errno.ENOMEM, "no memory for another process")

    for name, answer in (("stores.vector_snapshot.may_fork", lambda: False), ("os.fork", refuse)):
        index = open_index(STORED)
        await put(index, {8: NORTH_EAST})
        with monkeypatch.context() as patched:
            patched.setattr(name, answer)
            await index.save(60)
        again = open_index({})
        assert (again.rebuilt_because, again.checkpoint) == ("", 60)
        assert await nearest_rows(again, NORTH_EAST, 1) == [8]


async def test_a_disk_that_is_full_where_it_is_saved_here_leaves_no_file_open(
    open_index: Open, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no room")

    index = open_index(STORED)
    await put(index, {8: NORTH_EAST})
    with monkeypatch.context() as patched:
        patched.setattr("stores.vector_snapshot.may_fork", lambda: False)
        patched.setattr("stores.vector_snapshot.os.write", full)
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(Unavailable, match="no room"):
            await index.save(60)
        assert len(os.listdir("/proc/self/fd")) == before


async def test_queries_come_in_between_some_that_go_and_some_that_are_replaced(
    open_index: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes many times as long as one that is new."""
    vectors = random_units(100, 16, seed=16)
    index = open_index(dict(enumerate(vectors)), dims=16)
    writing, times = index._gate.writing, 0

    def counted() -> AbstractContextManager[None]:
        nonlocal times
        times += 1
        return writing()

    monkeypatch.setattr(index._gate, "writing", counted)
    monkeypatch.setattr(index._gate, "quiet_seconds", lambda: 0.0)
    rows = [Row(row) for row in range(48)]
    await index.upsert(rows, vectors[48:96])
    assert times == 48 * REPLACING_COST // SLICE
    await index.delete(rows)
    assert times == 2 * 48 * REPLACING_COST // SLICE
    assert await index.count() == 52
    await index.upsert([Row(row) for row in range(200, 248)], vectors[:48])
    assert times == (2 * 48 * REPLACING_COST + 48) // SLICE
    await index.upsert([Row(row) for row in range(200, 296)], vectors[[*range(48), *range(48)]])
    assert times == (2 * 48 * REPLACING_COST + 2 * 48) // SLICE, "those that stay as they are cost nothing"


async def test_a_graph_with_many_deleted_slots_is_built_anew(open_index: Open) -> None:
    vectors = random_units(1_000, 16, seed=15)
    for rows in ("float32", "int8"):
        index = open_index(dict(enumerate(vectors)), dims=16, rows=rows)
        await index.delete([Row(row) for row in range(300)])
        assert index.decay == 0.3
        changes = iter(((900, 0), (901, 1), (902, 2)))

        async def write() -> None:
            """While it is built."""
            for moved, back in changes:  # noqa: B023
                await index.upsert([Row(moved), Row(back)], vectors[[back, moved]])  # noqa: B023
                await index.delete([Row(moved + 10)])  # noqa: B023

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            renewed = await index.renew()
        assert (renewed, index.decay < 0.01, await index.count()) == (True, True, 700)
        for row, at in ((900, 0), (0, 900), (950, 950), (300, 300)):
            assert (await nearest_rows(index, vectors[at], 1)) == [row]
        assert not {910, 911, 912, 5} & set(await nearest_rows(index, vectors[910], 50))


async def test_a_renewal_that_is_stopped_leaves_the_graph_as_it_is(open_index: Open) -> None:
    vectors = random_units(600, 16, seed=16)
    index = open_index(dict(enumerate(vectors)), dims=16)
    await index.delete([Row(row) for row in range(200)])
    steps = iter((False, True))
    assert not await index.renew(lambda: next(steps))
    assert index.decay == 200 / 600
    await put(index, {0: vectors[0]})
    assert await nearest_rows(index, vectors[0], 1) == [0]


async def test_another_model_or_a_store_set_back_rebuilds(open_index: Open, saved: Path) -> None:
    assert "made for model" in await rebuilt(open_index, model_id="other")
    assert "ahead" in await rebuilt(open_index, sequence=49)
    assert await rebuilt(open_index, sequence=50) == ""


async def test_other_dimensions_rebuild(open_index: Open, saved: Path) -> None:
    vectors = random_units(3, 8, seed=2)
    index = open_index(dict(enumerate(vectors)), dims=8)
    assert "4 dimensions" in index.rebuilt_because
    assert (await nearest_rows(index, vectors[1]))[0] == 1


async def test_a_rebuilt_graph_is_saved_and_loaded_again(open_index: Open, saved: Path) -> None:
    overwrite(saved, b"")
    index = open_index(STORED)
    assert index.changed
    await index.save(70)
    again = open_index(STORED)
    assert (again.rebuilt_because, again.checkpoint) == ("", 70)


async def test_graph_and_scan_agree_on_who_is_nearest(open_index: Open) -> None:
    vectors = random_units(2_000, 32, seed=3)
    stored = dict(enumerate(vectors))
    graph = open_index(stored, dims=32)
    scan = open_index(stored, dims=32, exact_scan_below=SCAN_ALWAYS)
    found = 0
    for query in random_units(50, 32, seed=4):
        exact = await nearest_rows(scan, query)
        assert exact == np.argsort(-(vectors @ query), kind="stable")[:10].tolist()
        found += len(set(exact) & set(await nearest_rows(graph, query)))
    assert found / 500 >= 0.95


async def test_equally_near_rows_come_in_the_order_of_rows(open_index: Open) -> None:
    for below in (GRAPH_ALWAYS, SCAN_ALWAYS):
        index = open_index(exact_scan_below=below)
        await put(index, dict.fromkeys((9, 4, 6, 1), EAST))
        assert await nearest_rows(index, EAST) == [1, 4, 6, 9]
    assert await nearest_rows(index, EAST, 2) == [1, 4]


async def test_readers_and_a_writer_do_not_disturb_one_another(open_index: Open) -> None:
    before, after = random_units(400, 16, seed=5), random_units(400, 16, seed=6)
    index = open_index(dict(enumerate(before)), dims=16)
    query = random_units(1, 16, seed=7)[0]
    rows = np.arange(400, dtype=np.uint32)
    written = trio.Event()
    asked = 0

    async def write() -> None:
        for begin in range(0, 400, 40):
            part = [Row(row) for row in range(begin, begin + 40)]
            await index.delete(part[:5])
            await index.upsert(part, after[begin : begin + 40])
            await index.save(begin)
        written.set()

    async def read() -> None:
        nonlocal asked
        while not written.is_set():
            found, scores = await index.nearest(query, 20)
            assert len(set(found.tolist())) == 20
            assert (np.diff(scores) <= 0).all()
            either = np.minimum(abs(before[found] @ query - scores), abs(after[found] @ query - scores))
            assert either.max() < 1e-5, "a half-written vector was read"
            await index.similarities(query, rows)
            asked += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        for _ in range(3):
            nursery.start_soon(read)
    assert asked > 3
    scores, having = await index.similarities(query, rows)
    assert having.all()
    assert scores == pytest.approx(after @ query, abs=1e-5)


async def test_a_vector_that_went_is_in_no_file(open_index: Open, tmp_path: Path) -> None:
    """Its slot stays in the graph, with another vector."""
    stored = dict(enumerate(random_units(20, 16, seed=3)))
    index = open_index(stored, dims=16)
    await index.save(10)
    file = tmp_path / "field.hnsw"
    assert stored[4].tobytes() in file.read_bytes()
    await index.delete([Row(4)])
    await index.save(11)
    assert stored[4].tobytes() not in file.read_bytes()
    del stored[5]
    left = open_index(stored | {4: stored[4]}, dims=16, changed=lambda _: {Row(5)})  # it went after the snapshot
    await left.save(12)
    assert random_units(20, 16, seed=3)[5].tobytes() not in file.read_bytes()


async def test_from_which_filter_on_the_graph_is_asked_is_measured_here(open_index: Open) -> None:
    vectors = random_units(30_000, 16, seed=16)
    index = open_index(dict(enumerate(vectors)), dims=16)
    for ratio in (1.5, 15.0):
        index._rows_per_breadth = ratio
        most = index.compared_up_to(200)
        for passing, plan in ((int(most * 0.98), "exact"), (int(most * 1.02), "graph")):
            assert index.plan_of(passing, 200) == plan, ratio
    index.calibrate(200)
    assert index._rows_per_breadth not in (1.5, 15.0)
    assert f"{index.compared_up_to(200):,}" in index.plan(200)


async def test_where_all_are_compared_nothing_is_measured(open_index: Open) -> None:
    index = open_index(STORED, exact_scan_below=SCAN_ALWAYS)
    before = index._rows_per_breadth
    index.calibrate(200)
    assert index._rows_per_breadth == before
    assert index.plan(200) == "float32 rows, all compared"


async def test_what_is_compared_does_not_wait_for_a_graph_that_is_written(
    open_index: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = random_units(40, DIMS, seed=3)
    index = open_index(dict(enumerate(units)))
    writing, go_on = threading.Event(), threading.Event()

    def slow(graph: Graph, rows: Rows, vectors: Vector) -> None:
        writing.set()
        assert go_on.wait(20)
        added(graph, rows, vectors)

    added = Graph.add
    monkeypatch.setattr(Graph, "add", slow)
    writer = threading.Thread(target=index._upsert, args=(np.array([40], np.uint32), EAST[None, :]))
    writer.start()
    assert writing.wait(20)
    everyone = np.arange(40, dtype=np.uint32)
    scores, having = index.similarities_now(units[7], everyone)
    assert having.all()
    assert int(scores.argmax()) == 7
    few = np.zeros(41, bool)
    few[[3, 7, 40]] = True
    assert index.nearest_now(units[7], 3, few)[0].tolist()[0] == 7
    assert index.vectors_of([Row(7), Row(40)]).shape == (1, DIMS)
    reader = threading.Thread(target=index.nearest_now, args=(units[7], 3))
    reader.start()
    while not index._gate._waiting_readers:
        os.sched_yield()
    go_on.set()
    writer.join(20)
    reader.join(20)
    assert 40 in index.nearest_now(EAST, 3)[0]
    assert index.vectors_of([Row(40)]).shape == (1, DIMS)
