from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
from pathlib import Path

import numpy as np
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
    monkeypatch.setattr("stores.passing._to_the_disk", lambda handle: synced.append(os.fstat(handle).st_size))
    with (tmp_path / "file").open("wb") as out:
        sink = PassingSink(out)
        for _ in range(80):
            sink.write(bytes(1 << 20))
        assert synced == [KEPT_BYTES * time for time in range(1, 6)]
        sink.sync()
    assert synced[-1] == 80 << 20


def resident_pages(file: Path) -> int:
    """Of the file, in the system's memory (mincore)."""
    libc = ctypes.CDLL(None, use_errno=True)
    with (
        file.open("rb") as reading,
        mmap.mmap(reading.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as mapped,
    ):
        size = len(mapped)
        first = np.frombuffer(mapped, np.uint8)
        found = np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
        told = libc.mincore(
            ctypes.c_void_p(first.ctypes.data), ctypes.c_size_t(size), ctypes.c_void_p(found.ctypes.data)
        )
        del first
    assert told == 0, os.strerror(ctypes.get_errno())
    return int((found & 1).sum())


@pytest.mark.skipif(sys.platform != "linux", reason="mincore and advice to the system are Linux's here")
def test_the_system_keeps_nothing_of_it(tmp_path: Path) -> None:
    """As little as it can: where files live in memory alone, all of it stays."""
    file = tmp_path / "file"
    with file.open("wb") as out:
        sink = PassingSink(out)
        for _ in range(96):
            sink.write(os.urandom(1 << 20))
        sink.sync()
    written = resident_pages(file)
    with file.open("rb") as reading:
        let_go(reading, 96 << 20)
    least = resident_pages(file)
    with file.open("rb") as reading:
        assert sum(map(len, passing(reading))) == 96 << 20
    assert written <= least + 64
    assert resident_pages(file) <= least + 64


def test_a_system_without_such_advice_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    with (tmp_path / "file").open("rb") as reading:
        monkeypatch.setattr(os, "posix_fadvise", _unknown)
        assert list(passing(reading)) == [b"abc"]
        monkeypatch.delattr(os, "posix_fadvise")
        let_go(reading, 3)


def _unknown(*_: int) -> None:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
