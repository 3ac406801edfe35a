"""Vector fields over a real store, over starts: what a snapshot holds, and what the store says since."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
import trio

from daemon import indexing
from daemon.config import SearchConfig
from daemon.evaluation.virtual_time import VirtualThreads
from daemon.housekeeping import save_now_and_then
from daemon.indexing import FIELD_NAMES, IndexKeeper
from daemon.readiness import Readiness
from proto.errors import ConfigError, Unavailable
from proto.ids import CreatorId, Platform, Row
from proto.records import Creator, EmbeddingRecord
from stores.blocking import Blocking
from stores.catalog import Catalog, delete_creator, log_indexed, put_creator, put_creator_embeddings
from stores.codec import pack_id
from stores.env import Environment, Txn
from stores.erasure import Mark, Subject, mark_erasure
from stores.journal import Journal
from stores.ports import Rows, Vector
from stores.schedule import Schedule
from stores.vectors import HnswVectorIndex
from stores.work import Work
from tests.stores.conformance.vector_index_suite import random_units

DIMS = 8
VECTORS = random_units(60, DIMS, seed=21)
FIELD = FIELD_NAMES[0]


def put(txn: Txn, number: int, vector: Vector | None, *, model_id: str = "m", log: bool = True) -> None:
    """A creator, of row and id ``number``, as the stages leave it."""
    if txn.get("creators", pack_id(number)) is None:
        txn.add("creators")
    put_creator(txn, Creator(creator_id=CreatorId(number), row=Row(number), created_at=1, name=f"creator {number}"))
    txn.put("rows", number.to_bytes(4, "big"), pack_id(number))
    record = [] if vector is None else [embedding(vector, model_id)]
    put_creator_embeddings(txn, CreatorId(number), record)
    if log:
        log_indexed(txn, CreatorId(number))


def embedding(vector: Vector, model_id: str) -> EmbeddingRecord:
    stored = vector.astype("<f2").tobytes()
    return EmbeddingRecord(field=FIELD, model_id=model_id, dims=DIMS, input_hash="", vector=stored, updated_at=1)


def erase(txn: Txn, number: int) -> None:
    """As an erasure does: nothing is left in the index log, and a mark stands until it is done."""
    subject = Subject(platform=Platform.YOUTUBE, user_id=f"UC{number}", handle="", alias=f"{number:016x}")
    mark_erasure(txn, Mark(subject=subject, row=Row(number)))
    put_creator_embeddings(txn, CreatorId(number), [])
    txn.delete("rows", number.to_bytes(4, "big"))
    delete_creator(txn, CreatorId(number))
    txn.delete("index_log", txn.get("index_sequence", pack_id(number)) or b"")
    txn.delete("index_sequence", pack_id(number))


class Starts:
    """One data directory, opened again and again."""

    def __init__(self, folder: Path, env: Environment, threads: VirtualThreads) -> None:
        self._folder, self.env, self._threads = folder, env, threads
        self.readiness = Readiness()

    async def open(
        self, model_id: str = "m", *, replacing: bool = False, rows: str = "auto", capacity: int = 0
    ) -> IndexKeeper:
        self.readiness = Readiness()
        keeper = IndexKeeper(
            self._folder,
            env=self.env,
            catalog=Catalog(self.env),
            niche_words=lambda _: "",
            synonyms={},
            derives=tuple(Platform),
            recent_items=5,
            config=SearchConfig(vector_rows=rows, capacity_creators=capacity),
            readiness=self.readiness,
            blocking=lambda name, limit: Blocking(name, limit, self._threads),
        )
        await keeper.open_text()
        await keeper.close()
        await keeper.open_fields(model_id, DIMS, lambda *_: None, replacing=replacing)
        return keeper


@pytest.fixture
async def starts(tmp_path: Path, env: Environment, threads: VirtualThreads) -> Starts:
    def fill(txn: Txn) -> None:
        for number in range(1, 51):
            put(txn, number, VECTORS[number])

    await env.write(fill)
    return Starts(tmp_path / "data", env, threads)


def nearest(keeper: IndexKeeper, vector: Vector, limit: int = 1) -> list[int]:
    rows, _ = keeper.fields[FIELD].nearest_now(vector, limit)
    return [int(row) for row in rows]


def refuse(what: str) -> partial[None]:
    def read(*_: object) -> None:
        raise AssertionError(f"{what} is read")

    return partial(read)


@pytest.mark.parametrize("rows", ["float32", "int8"])
async def test_a_start_reads_only_what_changed_since_the_snapshot(
    starts: Starts, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await starts.open(rows=rows)
    await first.save()

    def change(txn: Txn) -> None:
        put(txn, 3, VECTORS[53])
        put(txn, 4, None)
        put(txn, 51, VECTORS[51])
        put(txn, 5, VECTORS[5])  # of which something else changed
        put(txn, 6, VECTORS[6], model_id="another")

    await starts.env.write(change)
    asked: list[int] = []

    def noted(txn: Txn, field: str, model_id: str, wanted: Rows, dims: int) -> tuple[Rows, Vector]:
        asked.extend(wanted.tolist() if field == FIELD else [])
        return read(txn, field, model_id, wanted, dims)

    read = indexing.stored_vectors_of
    monkeypatch.setattr(indexing, "stored_vectors", refuse("every vector"))
    monkeypatch.setattr(indexing, "replaceable_rows", refuse("every vector"))
    monkeypatch.setattr(indexing, "stored_vectors_of", noted)
    again = await starts.open(rows=rows)
    index = again.fields[FIELD]
    assert (index.rebuilt_because, index.rows_kind, asked) == ("", rows, [3, 4, 5, 6, 51])
    assert await index.count() == 50, "6 answers by its vector of this model until all have new ones; 4 has none"
    assert [nearest(again, VECTORS[at]) for at in (53, 51, 5, 6, 50)] == [[3], [51], [5], [6], [50]]
    assert not {4} & set(nearest(again, VECTORS[4], 50))
    assert {name: part.state for name, part in starts.readiness.dependencies.items() if "/" in name} == dict.fromkeys(
        (f"vectors/{name}" for name in FIELD_NAMES), "ok"
    )


@pytest.mark.parametrize("rows", ["float32", "int8"])
async def test_room_for_more_than_memory_holds_names_the_setting(starts: Starts, rows: str) -> None:
    with pytest.raises(ExceptionGroup) as refused:
        await starts.open(rows=rows, capacity=10**12)
    said = r"search\.capacity_creators = 1,000,000,000,000: there is no memory .* lower it"
    assert refused.group_contains(ConfigError, match=said)


async def test_memory_that_is_short_is_no_fault_of_room_for_fewer_than_there_are(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(indexing, "stored_vectors", short)
    for capacity, kind in ((50, MemoryError), (51, ConfigError)):
        with pytest.raises(ExceptionGroup) as failed:
            await starts.open(capacity=capacity)
        assert failed.group_contains(kind)


@pytest.mark.parametrize("snapshot", [True, False])
@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
async def test_stored_vectors_that_point_nowhere_are_none(starts: Starts, snapshot: bool, bad: float) -> None:
    if snapshot:
        await (await starts.open()).save()
    odd = np.full(DIMS, bad, np.float32)
    for number in (3, 51):
        await starts.env.write(partial(put, number=number, vector=odd))
    keeper = await starts.open()
    index = keeper.fields[FIELD]
    assert index.rebuilt_because == "" if snapshot else index.rebuilt_because
    assert await index.count() == 49
    assert not {3, 51} & set(nearest(keeper, VECTORS[3], 50))
    assert nearest(keeper, VECTORS[4]) == [4]


async def test_likeness_as_stored_is_known_of_sound_vectors_of_the_model_alone(starts: Starts) -> None:
    index = (await starts.open(rows="int8")).fields[FIELD]

    def change(txn: Txn) -> None:
        put(txn, 3, VECTORS[3], model_id="another")
        put(txn, 4, VECTORS[4][: DIMS // 2])
        put(txn, 5, None)
        put(txn, 6, np.zeros(DIMS, np.float32))
        cut_short = msgspec.structs.replace(embedding(VECTORS[7], "m"), vector=b"\0" * 15)
        put_creator_embeddings(txn, CreatorId(7), [cut_short])
        shorter = msgspec.structs.replace(embedding(VECTORS[9][: DIMS // 2], "m"), dims=DIMS // 2)
        put_creator_embeddings(txn, CreatorId(9), [shorter])

    await starts.env.write(change)
    rows = np.array([2, 3, 4, 5, 6, 7, 8, 9, 70], np.uint32)
    scores, known = index.stored_similarities_now(VECTORS[2], rows)
    assert rows[known].tolist() == [2, 3, 8], "of 3 the vector of this model is kept until all have another"
    stored = VECTORS[[2, 3, 8]].astype("<f2").astype(np.float32)
    assert scores[known] == pytest.approx(stored @ VECTORS[2], abs=1e-6)
    assert not scores[~known].any()
    assert len(starts.env.damaged) == 2, "those that are not as long as they say are told of"
    assert index.confuses(50, 10)
    plain = (await starts.open(rows="float32")).fields[FIELD]
    assert not plain.confuses(50, 10)


async def test_the_erased_are_not_in_a_snapshot_that_is_older(starts: Starts) -> None:
    first = await starts.open()
    await first.save()
    await starts.env.write(lambda txn: erase(txn, 7))
    again = await starts.open()
    assert (again.fields[FIELD].rebuilt_because, again.fields[FIELD].changed) == ("", True)
    assert 7 not in nearest(again, VECTORS[7], 50)
    stored = again.fields[FIELD].path
    await again.save()
    vector = VECTORS[7].astype("<f2").astype(np.float32).tobytes()
    files = [stored, stored.with_name(stored.name + ".rows")]
    assert [vector in file.read_bytes() for file in files] == [False, False]


async def test_what_another_model_made_is_counted_only_while_it_is_replaced(starts: Starts) -> None:
    await (await starts.open("another")).save()
    calm = await starts.open("another")
    assert await calm.embedded() == (0, 0)
    changing = await starts.open("another", replacing=True)
    assert await changing.embedded() == (0, 50)


async def test_a_model_that_is_given_up_leaves_no_snapshot(starts: Starts) -> None:
    """Were it to come back, its vectors of before would answer, of whom the index log says nothing."""
    keeper = await starts.open("another")
    await keeper.open_earlier("m", DIMS, lambda *_: None)
    await keeper.save()
    (earlier,) = {index.path for name, index in keeper.earlier.items() if name == FIELD}
    assert earlier.exists()
    keeper.drop_earlier()
    assert sorted(path.name for path in earlier.parent.glob(earlier.name + "*")) == []


async def test_a_decayed_graph_is_built_anew(starts: Starts) -> None:
    keeper = await starts.open(rows="int8")
    index = keeper.fields[FIELD]
    await index.delete([Row(row) for row in range(1, 11)])
    assert not await keeper.renew_graphs(lambda: False)
    assert index.decay == 0.2, "no more than that"
    await index.delete([Row(11)])
    assert not await keeper.renew_graphs(lambda: True)
    assert index.decay > 0.2
    assert await keeper.renew_graphs(lambda: False)
    assert (index.decay, await index.count()) == (0, 39)
    assert [nearest(keeper, VECTORS[at]) for at in (12, 50)] == [[12], [50]]


async def test_the_store_is_on_the_disk_before_a_snapshot_says_how_far_it_is(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, happened = await starts.open(), list[str]()
    sync, save = starts.env._sync, HnswVectorIndex.save

    def synced() -> object:
        happened.append("synced")
        return sync()

    async def saved(index: HnswVectorIndex, checkpoint: int) -> None:
        happened.append(f"saved at {checkpoint}")
        await save(index, checkpoint)

    monkeypatch.setattr(starts.env, "_sync", synced)
    monkeypatch.setattr(HnswVectorIndex, "save", saved)
    keeper.columns.changed = False
    await keeper.save()
    assert happened == ["synced", *["saved at 50"] * len(FIELD_NAMES)]


async def nothing_to_compact() -> bool:
    return False


async def keep_house(env: Environment, keeper: IndexKeeper, seconds: float) -> None:
    """With a save every five seconds."""
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        stores = (Work(env), Schedule(env), Journal(env, lambda _: None))
        nursery.start_soon(save_now_and_then, keeper, *stores, 5.0, lambda: 0.0, stop)
        await trio.sleep(seconds)
        stop.set()


async def test_graphs_are_built_anew_one_at_a_time_each_saved_before_the_next(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = await starts.open()
    worn, seen = dict.fromkeys(keeper.fields, "it has worn"), list[str]()

    for name, index in keeper.fields.items():

        async def wear(name: str = name) -> str:
            return worn.get(name, "")

        async def renew(_: Callable[[], bool], name: str = name) -> bool:
            seen.append(f"renew {name}")
            del worn[name]
            return True

        monkeypatch.setattr(index, "wear", wear)
        monkeypatch.setattr(index, "renew", renew)

    async def save() -> None:
        seen.append("save")

    monkeypatch.setattr(keeper, "save", save)
    monkeypatch.setattr(keeper, "compact_text", nothing_to_compact)
    await keep_house(starts.env, keeper, 9)
    assert seen == [step for name in keeper.fields for step in ("save", f"renew {name}")] + ["save"]


async def test_nothing_is_built_anew_while_nothing_can_be_saved(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be lost with the next crash, and the next field's would be built all the same."""
    keeper = await starts.open()
    seen: list[str] = []

    async def save() -> None:
        seen.append("save")
        raise Unavailable("the disk is full")

    async def renew(_: Callable[[], bool]) -> bool:
        seen.append("renew")
        return True

    monkeypatch.setattr(keeper, "save", save)
    monkeypatch.setattr(keeper, "renew_graphs", renew)
    monkeypatch.setattr(keeper, "compact_text", nothing_to_compact)
    await keep_house(starts.env, keeper, 12)
    assert seen == ["save", "save"]


async def test_of_snapshots_nothing_is_kept_in_memory_while_the_daemon_goes_on(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its end they are: the next start may come soon."""
    keeper, let_go = await starts.open(), list[str]()
    monkeypatch.setattr(keeper, "compact_text", nothing_to_compact)
    monkeypatch.setattr(indexing, "let_go_of", lambda path: let_go.append(path.name))
    await keeper.save()
    assert let_go == []
    await keep_house(starts.env, keeper, 6)
    files = [(index.path.name, index.path.name + ".rows") for index in keeper.fields.values()]
    assert let_go == [name for pair in files for name in pair]
    assert all(index.path.exists() for index in keeper.fields.values())


@pytest.mark.parametrize("asked", [True, False])
async def test_what_a_save_left_of_huge_pages_is_put_together_after_it(
    starts: Starts, monkeypatch: pytest.MonkeyPatch, *, asked: bool
) -> None:
    keeper, seen = await starts.open(), list[str]()

    async def save() -> None:
        seen.append("save")
        raise OSError("the disk is full")  # its children have been there all the same

    monkeypatch.setattr(keeper, "save", save)
    monkeypatch.setattr(keeper, "compact_text", nothing_to_compact)
    monkeypatch.setattr(indexing, "asked_for", lambda: asked)
    monkeypatch.setattr(indexing, "put_together", lambda *_: seen.append("put together"))
    await keep_house(starts.env, keeper, 6)
    assert seen == (["save", "put together"] if asked else ["save"])


async def test_nothing_is_put_together_beside_a_save_or_past_a_stop(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, seen, stop = await starts.open(), list[bool](), trio.Event()
    index = keeper.fields[FIELD]
    saving, go_on = trio.Event(), threading.Event()

    def save(_: int) -> None:
        trio.from_thread.run_sync(saving.set)
        assert go_on.wait(20)

    monkeypatch.setattr(indexing, "asked_for", lambda: True)
    monkeypatch.setattr(indexing, "put_together", lambda _, stopped: seen.append(stopped()))
    await keeper.mend_memory(stop.is_set)
    monkeypatch.setattr(index, "_save", save)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(index.save, 1)
        await saving.wait()
        await keeper.mend_memory(stop.is_set)
        go_on.set()
    await keeper.mend_memory(stop.is_set)
    stop.set()
    await keeper.mend_memory(stop.is_set)
    assert seen == [False, True, False, True]
