"""Large files that are gone through once. The system keeps nothing of them in memory, where they would take the place of what
searches read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO

SLICE_BYTES = 1 << 20
KEPT_BYTES = 32 << 20
"""At most so much is in memory, and not on the disk yet."""


class PassingSink:
    """Writes to a file from its beginning."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._written, self._let_go = file, 0, 0

    def write(self, data: bytes) -> int:
        """Raises OSError when the disk is full."""
        self._file.write(data)
        self._written += len(data)
        if self._written - self._let_go >= KEPT_BYTES:
            self.sync()
        return len(data)

    def sync(self) -> None:
        """What was written is on the disk."""
        self._file.flush()
        os.fdatasync(self._file.fileno())
        let_go(self._file, self._let_go, self._written)
        self._let_go = self._written


def passing(file: IO[bytes]) -> Iterator[bytes]:
    """What is in a file, from its beginning."""
    read = 0
    while data := file.read(SLICE_BYTES):
        let_go(file, read, read + len(data))
        read += len(data)
        yield data


def let_go(file: IO[bytes], begin: int, end: int) -> None:
    """Of what is on the disk. Nothing where the system knows no such advice."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), begin, end - begin, os.POSIX_FADV_DONTNEED)
