"""Pages of 2 MB that a fork has left in pieces, put together again.

Where a page is written to while a forked child sees it too, the kernel makes pieces of 4 KB of it, and puts them together
again at some 16 MB in ten seconds. Graphs are read here and there, so until then each look waits for the table of pages as
well (tests/bench/NOTES.md).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

MADV_COLLAPSE = 25
"""Of madvise(2), since Linux 6.1."""
PAGE_BYTES = 2 << 20
LEAST_BYTES = 128 << 20
"""Of a piece of memory that is looked after: graphs and rows of some hundred thousand creators. A page of which a part is in
use is filled, and what is smaller may lie empty for the most part, as what glibc keeps for threads."""
STEP_BYTES = 16 << 20
"""Put together by one call: 1 to 25 ms, within which others get their turn after each page."""
MOST_FAILED = 8
"""Calls that fail in a row, before it is given up: no such page is left, which each looks for again, or the system cannot.
One alone may be of memory that is mapped no more, or of a page that the kernel has in hand."""
TUNABLES, ASKED_FOR = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"
SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def asked_for(environ: Mapping[str, str] = os.environ, switch: Path = SWITCH) -> bool:
    """Whether memory is to lie in such pages, as `pokedexd deploy systemd` arranges, and the host has not switched them off,
    which the call alone would not heed. A switch of pages of this size alone (since Linux 6.8) is not looked at."""
    with suppress(OSError):
        if "[never]" in switch.read_text():
            return False
    return ASKED_FOR in environ.get(TUNABLES, "").split(":")


def asking(environ: Mapping[str, str] = os.environ, switch: Path = SWITCH) -> dict[str, str] | None:
    """The environment in which a process's memory lies in such pages: glibc reads it as a process begins, so that it takes
    another. None where that is decided already, the host has switched them off, or there is no glibc."""
    said = environ.get(TUNABLES, "")
    name, _, _ = ASKED_FOR.partition("=")
    if name in said or not _is_glibc():
        return None
    wished = {**environ, TUNABLES: f"{said}:{ASKED_FOR}" if said else ASKED_FOR}
    return wished if asked_for(wished, switch) else None


def _is_glibc() -> bool:
    with suppress(OSError, ValueError):
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    return False


def put_together(pieces: Iterable[tuple[int, int]], stopped: Callable[[], bool] = lambda: False) -> int:
    """Blocking, without the interpreter: half a second for four fields of a million. ``pieces``: first byte, and behind the
    last. Bytes of the calls that succeeded; what fails stays as it is."""
    madvise, done, failed = ctypes.CDLL(None).madvise, 0, 0
    for begin, end in pieces:
        for at in range(begin, end, STEP_BYTES):
            size = min(STEP_BYTES, end - at)
            if failed == MOST_FAILED or stopped():
                return done
            if madvise(ctypes.c_void_p(at), ctypes.c_size_t(size), MADV_COLLAPSE) == 0:
                done, failed = done + size, 0
            else:
                failed += 1
    return done


def large_pieces(maps: Iterable[bytes], least_bytes: int = LEAST_BYTES) -> Iterator[tuple[int, int]]:
    """Of what a process maps, may write to and has from no file and under no name: whole pages of each."""
    for line in maps:
        match line.split():
            case [addresses, b"rw-p", _, _, _]:
                begin, end = (int(one, 16) for one in addresses.split(b"-"))
                if end - begin >= least_bytes:
                    yield -(-begin // PAGE_BYTES) * PAGE_BYTES, end // PAGE_BYTES * PAGE_BYTES
            case _:
                pass
