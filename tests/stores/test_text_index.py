from __future__ import annotations

import gc
import json
import resource
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import trio

from daemon.evaluation.virtual_time import VirtualThreads
from proto.errors import DiskFull, IndexBroken
from proto.ids import Row
from stores.blocking import Blocking
from stores.files import is_disk_full
from stores.ports import TextDocument
from stores.text_index import TantivyTextIndex
from stores.text_lookup import TextLookup
from tests.stores.conformance.text_index_suite import TextIndexConformance, document, rows_of, taken_in

MakeBlocking = Callable[[str, int], Blocking]


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Locks of an index are given back at once, not when the collector comes by."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def blocking(threads: VirtualThreads) -> MakeBlocking:
    return lambda name, limit: Blocking(name, limit, threads)


@pytest.fixture
async def text_index(tmp_path: Path, blocking: MakeBlocking) -> AsyncIterator[TantivyTextIndex]:
    index = await TantivyTextIndex.create_empty(tmp_path, blocking=blocking)
    yield index
    await index.close()


class TestTantivy(TextIndexConformance):
    """The fixture above."""


@pytest.fixture
async def closed(tmp_path: Path, blocking: MakeBlocking) -> Path:
    """The folder of an index of three creators, at checkpoint 5."""
    index = await TantivyTextIndex.create_empty(tmp_path, blocking=blocking)
    await taken_in(index, [document(0, "Alice"), document(1, "Bob"), document(2, "Gone")], 4)
    await index.delete([Row(2)])
    await index.commit(5)
    await index.close()
    return folder_of(tmp_path)


def folder_of(base: Path) -> Path:
    (folder,) = base.iterdir()
    return folder


def engine_files(folder: Path) -> list[Path]:
    """The files that hold the index itself."""
    return sorted(
        path for path in folder.iterdir() if path.suffix not in (".json", ".lock", "") and path.name[0] != "."
    )


def put_in_place(path: Path, data: bytes | bytearray) -> None:
    """A file of its own under that name: a thread of the engine may still have the one before mapped, and where that were
    cut it would end the process."""
    other = path.with_name(f".{path.name}.new")
    other.write_bytes(data)
    other.replace(path)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x80
    put_in_place(path, data)


async def broken(base: Path, blocking: MakeBlocking) -> bool:
    try:
        index = await TantivyTextIndex.open(base, blocking=blocking)
    except IndexBroken:
        return True
    await index.close()
    return False


async def parts(*given: Sequence[TextDocument]) -> AsyncIterator[Sequence[TextDocument]]:
    for part in given:
        yield part


async def test_what_was_committed_is_there_after_reopening(closed: Path, blocking: MakeBlocking) -> None:
    index = await TantivyTextIndex.open(closed.parent, blocking=blocking)
    assert index.checkpoint == 5
    assert await index.count() == 2
    assert await rows_of(index, "alice") == [0]
    assert await rows_of(index, "gone") == []
    await taken_in(index, [document(3, "Carol")], 6)
    assert await rows_of(index, "carol") == [3]
    await index.close()


async def test_what_was_not_committed_is_not(closed: Path, blocking: MakeBlocking) -> None:
    index = await TantivyTextIndex.open(closed.parent, blocking=blocking)
    await index.upsert([document(3, "Carol")])
    await index.delete([Row(0)])
    await index.close()
    again = await TantivyTextIndex.open(closed.parent, blocking=blocking)
    assert again.checkpoint == 5
    assert await rows_of(again, "carol") == []
    assert await rows_of(again, "alice") == [0]
    await again.close()


async def test_a_flipped_byte_in_any_engine_file_is_noticed(closed: Path, blocking: MakeBlocking) -> None:
    files = engine_files(closed)
    assert len(files) > 5
    for path in files:
        size = path.stat().st_size
        for at in {0, size // 2, size - 12, size - 1}:
            flip(path, at)
            assert await broken(closed.parent, blocking), (path.suffix, at - size)
            flip(path, at)
    assert not await broken(closed.parent, blocking)


async def test_a_cut_or_missing_engine_file_is_noticed(closed: Path, blocking: MakeBlocking) -> None:
    for path in engine_files(closed):
        whole = path.read_bytes()
        for kept in (len(whole) // 2, 3, 0):
            put_in_place(path, whole[:kept])
            assert await broken(closed.parent, blocking), (path.suffix, kept)
        path.unlink()
        assert await broken(closed.parent, blocking), path.suffix
        put_in_place(path, whole)
    assert not await broken(closed.parent, blocking)


@pytest.mark.parametrize("name", ["meta.json", "checkpoint"])
async def test_without_its_small_files_an_index_is_broken(closed: Path, blocking: MakeBlocking, name: str) -> None:
    for content in (b"", b"{}", b"not json", b'{"checkpoint": "\xff"}', b'{"segments": "\xff"}'):
        (closed / name).write_bytes(content)
        assert await broken(closed.parent, blocking), content
    (closed / name).unlink()
    assert await broken(closed.parent, blocking)


async def test_a_meta_that_names_an_unknown_segment_is_broken(closed: Path, blocking: MakeBlocking) -> None:
    meta = json.loads((closed / "meta.json").read_text())
    meta["segments"][0]["segment_id"] = "00000000-0000-0000-0000-000000000000"
    (closed / "meta.json").write_text(json.dumps(meta))
    assert await broken(closed.parent, blocking)


async def test_no_index_is_broken_and_an_empty_one_is_not(tmp_path: Path, blocking: MakeBlocking) -> None:
    assert await broken(tmp_path, blocking)
    index = await TantivyTextIndex.create_empty(tmp_path, blocking=blocking)
    await index.close()
    assert not await broken(tmp_path, blocking)


async def test_unfinished_and_foreign_indexes_are_swept_away(closed: Path, blocking: MakeBlocking) -> None:
    unfinished = closed.with_name(closed.name[:-1] + "2")
    foreign = closed.with_name("text-0123456789ab.00000009")
    for folder in (unfinished, foreign):
        folder.mkdir()
    (foreign / "checkpoint").write_bytes(b'{"checkpoint":9,"documents":9}')
    index = await TantivyTextIndex.open(closed.parent, blocking=blocking)
    assert index.checkpoint == 5
    assert folder_of(closed.parent) == closed
    await index.close()


async def test_create_empty_forgets_what_was_there(closed: Path, blocking: MakeBlocking) -> None:
    flip(engine_files(closed)[0], 0)
    index = await TantivyTextIndex.create_empty(closed.parent, blocking=blocking)
    assert (index.checkpoint, await index.count()) == (0, 0)
    assert await rows_of(index, "alice") == []
    await index.close()
    assert not await broken(closed.parent, blocking)


async def test_replace_swaps_while_queries_go_on(
    text_index: TantivyTextIndex, tmp_path: Path, blocking: MakeBlocking
) -> None:
    await taken_in(text_index, [document(row, "Old") for row in range(20)], 1)
    answers: list[tuple[int, int]] = []

    async def fresh() -> AsyncIterator[Sequence[TextDocument]]:
        for row in range(10):
            answers.append((len(await rows_of(text_index, "old")), len(await rows_of(text_index, "new"))))
            yield [document(row, "New")]

    await text_index.replace(fresh(), 9)
    assert answers == [(20, 0)] * 10
    assert await rows_of(text_index, "old") == []
    assert await rows_of(text_index, "new") == list(range(10))
    assert (text_index.checkpoint, await text_index.count()) == (9, 10)

    await taken_in(text_index, [document(50, "Later")], 10)
    await text_index.close()
    folder_of(tmp_path)
    again = await TantivyTextIndex.open(tmp_path, blocking=blocking)
    assert again.checkpoint == 10
    assert len(await rows_of(again, "new")) == 10
    assert await rows_of(again, "later") == [50]
    await again.close()


async def test_a_replace_that_fails_leaves_the_index_as_it_was(text_index: TantivyTextIndex) -> None:
    await taken_in(text_index, [document(0, "Old")], 1)

    async def failing() -> AsyncIterator[Sequence[TextDocument]]:
        yield [document(1, "New")]
        raise RuntimeError("the store went away")

    for _ in range(2):
        with pytest.raises(RuntimeError):
            await text_index.replace(failing(), 9)
    assert (text_index.checkpoint, await rows_of(text_index, "old")) == (1, [0])
    await text_index.replace(parts([document(1, "New")]), 9)
    assert await rows_of(text_index, "new") == [1]


class PanicException(BaseException):
    """As tantivy's bindings raise one."""


async def test_of_an_index_that_cannot_be_closed_nothing_is_left_once_another_answers(
    text_index: TantivyTextIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await taken_in(text_index, [document(0, "Old")], 1)
    before = folder_of(tmp_path)

    def panic(_: object) -> None:
        raise PanicException("merging")

    with monkeypatch.context() as patched:
        patched.setattr(type(text_index._engine), "close", panic)
        await text_index.replace(parts([document(1, "New")]), 9)
    assert not before.exists()
    assert (await rows_of(text_index, "old"), await rows_of(text_index, "new")) == ([], [1])
    await taken_in(text_index, [document(2, "New")], 10)
    assert await rows_of(text_index, "new") == [1, 2]


@pytest.mark.parametrize(("said", "kind"), [("merging", IndexBroken), ("An index writer was killed", DiskFull)])
async def test_a_panic_while_an_index_is_written_anew_leaves_the_one_that_answers(
    text_index: TantivyTextIndex, said: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    await taken_in(text_index, [document(0, "Old")], 1)

    def panic(*_: object) -> None:
        raise PanicException(said)

    with monkeypatch.context() as patched:
        patched.setattr(type(text_index._engine), "upsert", panic)
        with pytest.raises(kind, match=said):
            await text_index.replace(parts([document(1, "New")]), 9)
    assert (text_index.checkpoint, await rows_of(text_index, "old")) == (1, [0])


async def test_replace_drops_the_deleted(text_index: TantivyTextIndex) -> None:
    await taken_in(text_index, [document(row) for row in range(10)], 1)
    assert text_index.removed == 0
    await text_index.delete([Row(row) for row in range(4)])
    await text_index.commit(2)
    assert text_index.removed == 4
    await taken_in(text_index, [document(8), document(9), document(9), document(10)], 3)
    assert text_index.removed == 7
    await text_index.replace(parts([document(row) for row in range(4, 10)]), 4)
    assert text_index.removed == 0


async def test_what_was_replaced_is_known_after_a_restart(
    text_index: TantivyTextIndex, tmp_path: Path, blocking: Callable[[str, int], Blocking]
) -> None:
    await taken_in(text_index, [document(row) for row in range(4)], 1)
    await taken_in(text_index, [document(2)], 2)
    await text_index.close()
    again = await TantivyTextIndex.open(tmp_path, blocking=blocking)
    assert again.removed == 1
    await again.close()


async def test_readers_and_a_writer_do_not_disturb_one_another(text_index: TantivyTextIndex) -> None:
    counts: list[int] = []
    written = trio.Event()

    async def write() -> None:
        for batch in range(15):
            documents = [document(batch * 10 + number, bio="common") for number in range(10)]
            await taken_in(text_index, documents, batch + 1)
        written.set()

    async def read() -> None:
        seen = 0
        while not written.is_set():
            hits = await text_index.query("common", 1_000)
            assert hits.total % 10 == 0, "a half-taken batch was visible"
            assert len(set(hits.rows.tolist())) == hits.total >= seen
            seen = hits.total
            counts.append(seen)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        for _ in range(3):
            nursery.start_soon(read)
    assert len(set(counts)) > 1
    assert (await text_index.query("common", 1_000)).total == 150


async def test_a_document_the_engine_refuses_leaves_its_batch_alone(text_index: TantivyTextIndex) -> None:
    await taken_in(text_index, [document(0, "\udcff"), document(1, "Alice")])
    assert await rows_of(text_index, "alice") == [1]


async def test_a_writer_that_met_a_full_disk_is_replaced_and_queries_go_on(tmp_path: Path) -> None:
    index = await TantivyTextIndex.create_empty(tmp_path, blocking=Blocking)
    await index.upsert([document(1, "before")])
    await index.commit(1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for _ in range(3):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            with pytest.raises((DiskFull, OSError, IndexBroken)) as refused:
                await index.upsert([document(2, "after")])
                await index.commit(2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert is_disk_full(refused.value), refused.value
        assert [int(row) for row in (await index.query("before", 5)).rows] == [1]
        assert index.checkpoint == 1
    await until_written(index, [document(2, "after")])
    assert [int(row) for row in (await index.query("after", 5)).rows] == [2]
    await index.close()


async def until_written(index: TantivyTextIndex, documents: list[TextDocument]) -> None:
    """The writer before may take a moment to give its lock back."""
    with trio.fail_after(30):
        while True:
            try:
                await index.upsert(documents)
                return await index.commit(2)
            except DiskFull:
                await trio.sleep(0.05)


def outcomes(index: TantivyTextIndex, text: str) -> set[str]:
    """Of every look-up; one that raises anything but IndexBroken fails the test."""
    rows = np.arange(5, dtype=np.uint32)
    lookups: list[Callable[[TextLookup], object]] = [
        TextLookup.exact,
        TextLookup.near,
        TextLookup.estimate,
        TextLookup.every,
        lambda lookup: lookup.among(rows),
        lambda lookup: lookup.admitted(rows),
        lambda lookup: lookup.barring(Row(1)),
        lambda _: index._engine.suggest(text[:3], 5),
    ]
    found = set()
    for look in lookups:
        try:
            look(index.lookup(text))
        except IndexBroken:
            found.add("broken")
        else:
            found.add("answered")
    return found


@pytest.mark.parametrize(("suffix", "step"), [(".fast", 8), (".term", 150), (".store", 40)])
async def test_a_file_damaged_while_it_is_open_breaks_the_index_and_nothing_else(
    text_index: TantivyTextIndex, tmp_path: Path, suffix: str, step: int
) -> None:
    named = [document(row, f"Creator {row} of the kitchen", handles=[f"cook.{row}"]) for row in range(60)]
    await taken_in(text_index, named)
    (file,) = (path for path in engine_files(folder_of(tmp_path)) if path.suffix == suffix)
    whole = file.read_bytes()
    found = set()
    with file.open("r+b", buffering=0) as open_file:
        for at in range(0, len(whole) - 100, step):
            open_file.seek(at)
            open_file.write(b"\xff\x13\x80\xfe" * 4)
            for text in ("creator 7", "@cook.7", '"creator of" -kitchen', "kitchem"):
                found |= outcomes(text_index, text)
            open_file.seek(0)
            open_file.write(whole)
    assert found == {"broken", "answered"}
