from __future__ import annotations

import os
from pathlib import Path

import pytest

from stores.passing import KEPT_BYTES, SLICE_BYTES, PassingSink, let_go, passing


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    data = os.urandom(KEPT_BYTES + 3 * SLICE_BYTES + 5)
    with file.open("wb") as out:
        sink = PassingSink(out)
        assert sum(sink.write(data[begin : begin + 100_000]) for begin in range(0, len(data), 100_000)) == len(data)
        sink.sync()
    assert file.read_bytes() == data
    with file.open("rb") as reading:
        assert b"".join(passing(reading)) == data


def test_no_more_than_a_part_of_what_is_written_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda handle: synced.append(os.fstat(handle).st_size))
    with (tmp_path / "file").open("wb") as out:
        sink = PassingSink(out)
        for _ in range(80):
            sink.write(bytes(1 << 20))
        assert synced == [KEPT_BYTES, 2 * KEPT_BYTES]
        sink.sync()
    assert synced[-1] == 80 << 20


def test_the_system_is_told_to_keep_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advice: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, begin, size, kind: advice.append((begin, size, kind)))
    (tmp_path / "file").write_bytes(bytes(2 * SLICE_BYTES + 7))
    with (tmp_path / "file").open("rb") as reading:
        assert sum(map(len, passing(reading))) == 2 * SLICE_BYTES + 7
    kind = os.POSIX_FADV_DONTNEED
    assert advice == [(0, SLICE_BYTES, kind), (SLICE_BYTES, SLICE_BYTES, kind), (2 * SLICE_BYTES, 7, kind)]
    monkeypatch.delattr(os, "posix_fadvise")
    with (tmp_path / "file").open("rb") as reading:
        let_go(reading, 0, 1)  # a system without such advice
