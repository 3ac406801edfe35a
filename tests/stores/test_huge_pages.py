from __future__ import annotations

import ctypes
import mmap
import os
import re
from pathlib import Path

import pytest

from stores.forked import Forked
from stores.huge_pages import PAGE_BYTES, anonymous, asked_for, put_together

MAPS = """\
00400000-00c00000 rw-p 00000000 00:00 0
0c400000-1d280000 rw-p 00000000 00:00 0                                  [heap]
7f04f6af4000-7f0506af5000 rw-p 00000000 00:00 0
7f0600000000-7f0610000000 r--p 00000000 00:00 0
7f0700000000-7f0710000000 rw-s 00000000 fe:00 1234                       /srv/a folder/data.mdb
7f0800000000-7f0810000000 rw-p 00000000 fe:00 1234                       /srv/copied
7f0900000000-7f0910000000 ---p 00000000 00:00 0
"""


def test_memory_of_a_process_that_is_its_own_in_whole_pages() -> None:
    assert list(anonymous(MAPS, 128 << 20)) == [(0x7F04F6C00000, 0x7F0506A00000)]
    assert next(anonymous(MAPS, 8 << 20)) == (0x400000, 0xC00000)
    assert list(anonymous("", 1)) == []


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
def test_it_is_done_where_such_pages_are_asked_for(tunables: str, asked: bool) -> None:
    assert asked_for({"GLIBC_TUNABLES": tunables}) is asked
    assert not asked_for({})


def test_what_a_fork_left_in_pieces_is_put_together_and_says_the_same() -> None:
    size = 16 * PAGE_BYTES
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, size, mmap.PAGESIZE):
            memory[at : at + 8] = at.to_bytes(8, "big")
        write_beside_a_child(memory)
        broken = in_huge_pages(memory)
        done = put_together(size)
        assert in_huge_pages(memory) >= broken
        if done:  # the kernel can, and has such pages left
            assert in_huge_pages(memory) > broken
        assert all(memory[at : at + 8] == (at + 1).to_bytes(8, "big") for at in range(0, size, mmap.PAGESIZE))


def write_beside_a_child(memory: mmap.mmap) -> None:
    """Which sees what was there before."""
    with mmap.mmap(-1, mmap.PAGESIZE) as shared:

        def stay() -> None:
            while not shared[0]:
                os.sched_yield()

        child = Forked(stay)
        for at in range(0, len(memory), mmap.PAGESIZE):
            memory[at : at + 8] = (at + 1).to_bytes(8, "big")
        shared[0] = 1
        child.wait(20)


def in_huge_pages(memory: mmap.mmap) -> int:
    """Bytes, as the kernel tells of this piece, or of that which it is a part of."""
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    told = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    for part in told[1:]:
        first, last = (int(one, 16) for one in part.split(maxsplit=1)[0].split("-"))
        if first <= begin < last:
            found = re.search(r"AnonHugePages: +(\d+) kB", part)
            return int(found[1]) * 1024 if found else 0
    raise AssertionError("it is not mapped")
