"""Large files that nobody reads any more, removed a piece at a time.

A file system that tells its disk what is free (mounted with ``discard``, as many images of virtual machines are) has it do
so for all of a file at once: while one of 10 GB went, each read of the same disk took 9 instead of 0.2 ms, for more than a
second (tests/bench/NOTES.md). A piece takes some milliseconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

PIECE_BYTES = 32 << 20
REST_SECONDS = 0.05
"""After a piece: a gigabyte takes two seconds."""
BLOCK_BYTES = 512
"""In which stat(2) counts what a file takes."""


def remove_gently(path: Path, tell: Callable[[int], None] = lambda _: None) -> None:
    """Blocking. Nothing where there is no such file. ``tell``: bytes that are gone so far; what it raises leaves the rest of the
    file. One that cannot be shortened goes at once, and so does a name of one that has others, which keeps its bytes under
    those. Raises OSError where it cannot be removed."""
    with closing(_shortened(path)) as pieces:
        for gone in pieces:
            tell(gone)
            time.sleep(REST_SECONDS)
    path.unlink(missing_ok=True)


def _shortened(path: Path) -> Generator[int]:
    """Bytes that are gone, after each piece, as far as it can be shortened."""
    with suppress(OSError):
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            size = left = os.fstat(handle).st_size
            while left > PIECE_BYTES and _is_worth_it(os.fstat(handle)):
                left -= PIECE_BYTES
                os.ftruncate(handle, left)
                os.fsync(handle)  # else the pieces of some seconds are told of at once
                yield size - left
        finally:
            os.close(handle)


def _is_worth_it(state: os.stat_result) -> bool:
    """Nobody else's, also meanwhile, and not empty for the most part."""
    return state.st_nlink == 1 and state.st_blocks * BLOCK_BYTES > PIECE_BYTES


def empty_gently(folder: Path, tell: Callable[[int, int], None] = lambda *_: None) -> None:
    """Removes all files below. ``tell``: bytes that are gone so far, of how many. Raises OSError, and what ``tell`` does."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    sizes = [path.stat().st_size for path in files]
    before, total = 0, sum(sizes)

    def gone(of_this_one: int) -> None:
        tell(before + of_this_one, total)

    gone(0)
    for path, size in zip(files, sizes, strict=True):
        remove_gently(path, gone)
        before += size
        gone(0)


@contextmanager
def emptied(folder: Path, tell: Callable[[int, int], None] = lambda *_: None) -> Iterator[Path]:
    """A folder whose files are removed gently at the end, before somebody removes the folder; at once after an error, such as
    that it is to end now. ``tell``: as of `empty_gently`."""
    yield folder
    with suppress(OSError):
        empty_gently(folder, tell)
