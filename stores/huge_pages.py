"""Pages of 2 MB that a fork has left in pieces, put together again.

Where a page is written to while a forked child sees it too, the kernel makes pieces of 4 KB of it, and puts them together
again at some 16 MB in ten seconds. Graphs are read here and there, so each look waits for the table of pages then as well: a
million creators are imported a twelfth slower after the first snapshot (tests/bench/NOTES.md).
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

MADV_COLLAPSE = 25
"""Of madvise(2), since Linux 6.1."""
PAGE_BYTES = 2 << 20
LEAST_BYTES = 128 << 20
"""Of a piece of memory that is looked after: graphs and rows of some hundred thousand creators. glibc keeps what threads
allocate in pieces of 64 MB, of which most may lie empty."""
STEP_BYTES = 16 << 20
"""Put together by one call: 1 to 25 ms, within which others get their turn after each page."""
TUNABLES, ASKED_FOR = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"

_libc = ctypes.CDLL(None, use_errno=True)


def asked_for(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether memory is to lie in such pages, as `pokedexd deploy systemd` arranges."""
    return ASKED_FOR in environ.get(TUNABLES, "").split(":")


def put_together(least_bytes: int = LEAST_BYTES) -> int:
    """Blocking, without the interpreter: half a second for four fields of a million. Bytes that lie in such pages now, 0
    where the system cannot; what fails stays as it is."""
    maps = Path("/proc/self/maps")
    done = 0
    for begin, end in anonymous(maps.read_text(), least_bytes) if maps.exists() else ():
        for at in range(begin, end, STEP_BYTES):
            size = min(STEP_BYTES, end - at)
            if _libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(size), MADV_COLLAPSE) == 0:
                done += size
            elif ctypes.get_errno() == errno.ENOMEM:  # no such memory is left, or it is mapped no more
                break
    return done


def anonymous(maps: str, least_bytes: int) -> Iterator[tuple[int, int]]:
    """Whole pages of what a process maps, may write to and has from no file (proc_pid_maps(5)): first byte, and behind the
    last."""
    for line in maps.splitlines():
        addresses, rights, *rest = line.split()
        begin, end = (int(one, 16) for one in addresses.split("-"))
        if rights == "rw-p" and len(rest) == 3 and end - begin >= least_bytes:
            yield -(-begin // PAGE_BYTES) * PAGE_BYTES, end // PAGE_BYTES * PAGE_BYTES
