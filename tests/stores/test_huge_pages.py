from __future__ import annotations

import ctypes
import mmap
import os
import re
import sys
from pathlib import Path

import pytest

from stores.forked import Forked
from stores.huge_pages import PAGE_BYTES, asked_for, asking, large_pieces, put_together
from stores.memory_maps import memory_maps

MAPS = b"""\
00400000-00c00000 rw-p 00000000 00:00 0
0c400000-1d280000 rw-p 00000000 00:00 0                                  [heap]
7f04f6af4000-7f0506af5000 rw-p 00000000 00:00 0
7f0600000000-7f0610000000 r--p 00000000 00:00 0
7f0700000000-7f0710000000 rw-s 00000000 fe:00 1234                       /srv/a folder/data.mdb
7f0800000000-7f0810000000 rw-p 00000000 fe:00 1234                       /srv/copied\xff\xe2\x80\xa8 from
7f0900000000-7f0910000000 ---p 00000000 00:00 0
"""
TUNED = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def test_memory_of_a_process_that_is_its_own_in_whole_pages() -> None:
    lines = MAPS.split(b"\n")
    assert list(large_pieces(lines, 128 << 20)) == [(0x7F04F6C00000, 0x7F0506A00000)]
    assert list(large_pieces(lines, 8 << 20)) == [(0x400000, 0xC00000), (0x7F04F6C00000, 0x7F0506A00000)]
    assert list(large_pieces([b"", b"no such line"], 1)) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what a process maps")
def test_a_process_has_memory_of_its_own_whatever_its_files_are_called(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode("odd\u2028name".encode() + b"\xff")
    odd.write_bytes(bytes(mmap.PAGESIZE))
    with odd.open("r+b") as file, mmap.mmap(file.fileno(), 0):
        maps = memory_maps()
    assert any(os.fsencode(odd.name) in line for line in maps)
    assert list(large_pieces(maps, mmap.PAGESIZE))


@pytest.mark.parametrize(
    ("tunables", "asked"),
    [
        ("", False),
        ("glibc.malloc.hugetlb=1", True),
        ("glibc.malloc.check=3:glibc.malloc.hugetlb=1", True),
        ("glibc.malloc.hugetlb=0", False),
        ("glibc.malloc.hugetlb=12", False),
    ],
)
def test_it_is_done_where_such_pages_are_asked_for(tunables: str, asked: bool, tmp_path: Path) -> None:
    assert asked_for({"GLIBC_TUNABLES": tunables}, tmp_path / "absent") is asked
    assert not asked_for({}, tmp_path / "absent")


@pytest.mark.parametrize(("setting", "asked"), [("always [madvise] never", True), ("always madvise [never]", False)])
def test_a_host_that_has_none_is_left_so(setting: str, asked: bool, tmp_path: Path) -> None:
    switch = tmp_path / "enabled"
    switch.write_text(setting + "\n")
    assert asked_for(TUNED, switch) is asked


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such pages")
@pytest.mark.parametrize(
    ("tunables", "wished"),
    [
        (None, "glibc.malloc.hugetlb=1"),
        ("", "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.check=3", "glibc.malloc.check=3:glibc.malloc.hugetlb=1"),
        ("glibc.malloc.hugetlb=1", None),
        ("glibc.malloc.hugetlb=0", None),
        ("glibc.malloc.check=3:glibc.malloc.hugetlb=2", None),
    ],
)
def test_they_are_asked_for_unless_somebody_has_decided(
    tunables: str | None, wished: str | None, tmp_path: Path
) -> None:
    before = {"HOME": "/root"} | ({} if tunables is None else {"GLIBC_TUNABLES": tunables})
    environ = asking(before, tmp_path / "absent")
    assert environ == (None if wished is None else before | {"GLIBC_TUNABLES": wished})
    switch = tmp_path / "enabled"
    switch.write_text("always madvise [never]\n")
    assert asking(before, switch) is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such pages")
def test_what_a_fork_left_in_pieces_is_put_together_and_says_the_same() -> None:
    size = 16 * PAGE_BYTES
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        first = address_of(memory)
        whole = (-(-first // PAGE_BYTES) * PAGE_BYTES, (first + size) // PAGE_BYTES * PAGE_BYTES)
        for at in range(0, size, mmap.PAGESIZE):
            memory[at : at + 8] = at.to_bytes(8, "big")
        able = put_together([whole]) > 0  # another kernel can not, or has no room
        before = in_huge_pages(memory)
        write_beside_a_child(memory)
        broken = in_huge_pages(memory)
        assert put_together([whole], lambda: True) == 0
        assert in_huge_pages(memory) == broken
        for _ in range(20):  # one page may be in other hands for a moment
            put_together([whole])
        assert not able or (broken < before and broken < in_huge_pages(memory))
        assert all(memory[at : at + 8] == (at + 1).to_bytes(8, "big") for at in range(0, size, mmap.PAGESIZE))


def write_beside_a_child(memory: mmap.mmap) -> None:
    """Which sees what was there before."""
    with mmap.mmap(-1, mmap.PAGESIZE) as shared:

        def stay() -> None:
            while not shared[0]:
                os.sched_yield()

        child = Forked(stay)
        try:
            for at in range(0, len(memory), mmap.PAGESIZE):
                memory[at : at + 8] = (at + 1).to_bytes(8, "big")
        finally:
            shared[0] = 1
            child.wait(20)


def address_of(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def in_huge_pages(memory: mmap.mmap) -> int:
    """Bytes, as the kernel tells of this piece, or of that which it is a part of."""
    begin = address_of(memory)
    told = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    for part in told[1:]:
        first, last = (int(one, 16) for one in part.split(maxsplit=1)[0].split("-"))
        if first <= begin < last:
            found = re.search(r"AnonHugePages: +(\d+) kB", part)
            return int(found[1]) * 1024 if found else 0
    raise AssertionError("it is not mapped")
