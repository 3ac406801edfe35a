"""Files that are whole or not there: temp file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

from proto.errors import DiskFull

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space, no quota, a limit on the size of files."""
FULL_WORDS = tuple(os.strerror(number) for number in FULL)


def is_disk_full(error: BaseException) -> bool:
    """Whether it, or what caused it, says that there is no room. Libraries tell by words alone."""
    left, known = [error], {id(error)}  # the context of an error may be the group that holds it
    while left:
        error = left.pop()
        if isinstance(error, DiskFull) or (isinstance(error, OSError) and error.errno in FULL):
            return True
        if isinstance(error, BaseExceptionGroup):  # of a nursery: its own words say nothing
            causes = list(error.exceptions)
        elif any(words in str(error) for words in FULL_WORDS):
            return True
        else:
            causes = [one for one in (error.__cause__ or error.__context__,) if one is not None]
        left += [one for one in causes if id(one) not in known]
        known |= {id(one) for one in causes}
    return False


def write_atomic(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        rest = memoryview(data)
        while rest:  # a disk that fills up takes a part, and refuses the next one
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    temporary.replace(path)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder durable."""
    sync_file(folder)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
