"""Large files that are gone through once. The system keeps nothing of them in memory, where they would take the place of what
searches read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

SLICE_BYTES = 1 << 20
KEPT_BYTES = 16 << 20
"""At most so much is in memory, and not on the disk yet."""
_to_the_disk = getattr(os, "fdatasync", os.fsync)
"""macOS has the latter alone."""


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
        _to_the_disk(self._file.fileno())
        let_go(self._file, self._written)
        self._let_go = self._written


def passing(file: IO[bytes]) -> Iterator[bytes]:
    """What is in a file, from its beginning."""
    read = 0
    while data := file.read(SLICE_BYTES):
        read += len(data)
        let_go(file, read)
        yield data


def let_go_of(path: Path) -> None:
    """Of a whole file; nothing where it cannot be opened any more."""
    with suppress(OSError), path.open("rb") as file:
        let_go(file, path.stat().st_size)


def let_go(file: IO[bytes], end: int) -> None:
    """Of what is on the disk up to there. From the beginning each time: Linux keeps what lies together as one piece of up to
    some megabytes, and lets none go of which a part is not meant. Nothing where the system knows no such advice."""
    if end and hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, end, os.POSIX_FADV_DONTNEED)
