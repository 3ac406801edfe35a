"""Snapshots of the columns: what comes back is what was there, and nothing comes back of what is not whole."""

from __future__ import annotations

import random
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proto.errors import IndexBroken, Unavailable
from proto.ids import Platform, Row
from stores import columns as columns_module
from stores.column_files import ColumnFiles
from stores.columns import NUMBERS, Columns
from stores.filter_columns import FACETS
from tests.stores.test_columns import creator, random_creator

ROWS = 400


def contents_of(columns: Columns, only: list[int] | None = None) -> Mapping[int, Mapping[str, object]]:
    """What the columns say of each creator, or of ``only`` these, whatever codes stand for it."""
    rows = columns.rows() if only is None else columns.known(np.array(only, np.uint32))
    numbers = [name for name in columns._stored if name in NUMBERS or name.startswith("followers.")]
    values = {name: columns.sort_values(name, rows).tolist() for name in numbers}
    return {
        int(row): {
            "creator_id": int(columns.creator_id[row]),
            "quality": float(columns.quality[row]),
            **{name: repr(column[at]) for name, column in values.items()},
            **{name: columns.facet(name, rows[at : at + 1]) for name in FACETS},
        }
        for at, row in enumerate(rows)
    }


def filled(seed: int, count: int = ROWS) -> Columns:
    dice, columns = random.Random(seed), Columns()
    rows = [row for row in range(count) if row % 7]
    columns.upsert_all([Row(row) for row in rows], [random_creator(dice, row) for row in rows])
    for row in dice.sample(rows, len(rows) // 9):
        columns.remove(Row(row))
    return columns


def saved(folder: Path, columns: Columns, checkpoint: int = 7) -> ColumnFiles:
    files = ColumnFiles(folder)
    files.put_in_place(files.write(columns, checkpoint))
    return files


def test_what_was_saved_comes_back_and_can_be_changed(tmp_path: Path) -> None:
    before = filled(1)
    files, after = saved(tmp_path, before), Columns()
    assert files.load(after, 7) == 7
    assert contents_of(after) == contents_of(before)
    assert not after.changed
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [0o600, 0o600]
    dice = random.Random(2)
    for row in dice.sample(range(ROWS * 2), 300):  # known and new rows, known and new names
        one = msgspec.structs.replace(random_creator(dice, row), country=f"{row % 40:02}")
        before.upsert(Row(row), one)
        after.upsert(Row(row), one)
    assert contents_of(after) == contents_of(before)
    assert after.changed


def test_empty_columns_come_back_too(tmp_path: Path) -> None:
    after = Columns()
    assert saved(tmp_path, Columns(), 0).load(after, 0) == 0
    after.upsert(Row(3), creator(3))
    assert after.rows().tolist() == [3]


@settings(max_examples=60, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), name=st.sampled_from(("columns", "columns.json")), by=st.integers(1, 255))
def test_no_damaged_byte_is_believed(tmp_path_factory: pytest.TempPathFactory, at: float, name: str, by: int) -> None:
    folder = tmp_path_factory.mktemp("snapshot")
    files = saved(folder, filled(3, 60))
    data = bytearray((folder / name).read_bytes())
    data[int(at * len(data))] ^= by
    (folder / name).write_bytes(data)
    columns = Columns()
    with pytest.raises(IndexBroken):
        files.load(columns, 7)
    assert not columns.count()


def _cut(folder: Path) -> None:
    path = folder / "columns"
    path.write_bytes(path.read_bytes()[:-1])


def _lengthen(folder: Path) -> None:
    with (folder / "columns").open("ab") as file:
        file.write(b"\0")


def _retype(folder: Path) -> None:
    path = folder / "columns.json"
    path.write_bytes(path.read_bytes().replace(b'"|u1"', b'"|O"', 1))


def _mix(folder: Path) -> None:
    sidecar = (folder / "columns.json").read_bytes()
    saved(folder, filled(5))
    (folder / "columns.json").write_bytes(sidecar)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "columns.json").unlink(), "there is no snapshot"),
        (lambda folder: (folder / "columns").unlink(), "unreadable"),
        (_cut, "checksum|unreadable"),
        (_lengthen, "checksum"),
        (_retype, "unreadable"),
        (_mix, "checksum"),
    ],
)
def test_a_snapshot_that_is_not_whole_is_refused(tmp_path: Path, harm: Callable[[Path], None], words: str) -> None:
    files = saved(tmp_path, filled(4))
    harm(tmp_path)
    with pytest.raises(IndexBroken, match=words):
        files.load(Columns(), 7)


def test_one_of_other_columns_or_ahead_of_the_store_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = saved(tmp_path, filled(6))
    with pytest.raises(IndexBroken, match="ahead of the store"):
        files.load(Columns(), 6)
    with pytest.raises(IndexBroken, match="other columns"):
        files.load(Columns([Platform.INSTAGRAM]), 7)
    monkeypatch.setattr(columns_module, "VERSION", columns_module.VERSION + 1)
    with pytest.raises(IndexBroken, match="other columns"):
        files.load(Columns(), 7)
    monkeypatch.undo()
    monkeypatch.setattr(columns_module, "NUMBERS", {**NUMBERS, "followers": "content_count"})
    with pytest.raises(IndexBroken, match="other columns"):
        files.load(Columns(), 7)


def test_one_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    before = filled(8)
    files = saved(tmp_path, before)
    (tmp_path / "columns.tmp").mkdir()
    with pytest.raises(Unavailable, match="cannot be saved"):
        files.write(filled(9), 8)
    after = Columns()
    assert files.load(after, 8) == 7
    assert contents_of(after) == contents_of(before)


def test_whoever_is_not_touched_while_it_is_written_is_whole_in_it(tmp_path: Path) -> None:
    """Rows that are written meanwhile, arrays that grow and codes that need more bits."""
    columns, kept = Columns(), range(0, 600, 2)
    columns.upsert_all([Row(row) for row in kept], [random_creator(random.Random(row), row) for row in kept])
    before, done = contents_of(columns), threading.Event()

    def write_on() -> None:
        dice, row = random.Random(1), 1
        while not done.is_set():
            one = msgspec.structs.replace(random_creator(dice, row % 4_000), country=str(row % 600))
            columns.upsert(Row(row % 4_000), one)
            row += 2

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        for _ in range(5):
            files, after = saved(tmp_path, columns), Columns()
            files.load(after, 7)
            assert contents_of(after, list(kept)) == before
    finally:
        done.set()
        writer.join()
