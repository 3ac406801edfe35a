"""A store whose file is not as it was written: refused before it can end the process, or told of once that shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
from lmdb.verify import VerifyError, verify

from proto.errors import StoreDamaged

DAMAGE = (
    lmdb.BadTxnError,  # after one of the others, or in place of it
    lmdb.CorruptedError,
    lmdb.CursorFullError,  # pages that lead in a circle
    lmdb.IncompatibleError,
    lmdb.InvalidError,
    lmdb.PageFullError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
)
"""What LMDB says of pages that it has not written so. Others end the process: its assertions cannot be caught."""
REMEDY = "restore a backup (pokedexd restore) into an empty folder"


def damaged(path: Path, error: lmdb.Error) -> StoreDamaged:
    """``path``: the folder of the store."""
    if isinstance(error, lmdb.PanicError):  # a write broke off; what the file holds may be whole
        return StoreDamaged(f"{path}: the store must be opened anew: restart, and if that fails {REMEDY} ({error})")
    return StoreDamaged(f"{path}: the store is damaged: {REMEDY} ({error})")


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Raises StoreDamaged in the place of LMDB's word for it."""
    try:
        yield
    except DAMAGE as error:
        raise damaged(path, error) from error


def open_environment(path: Path, **options: Any) -> Any:
    """Blocking: as `lmdb.open`, for a folder. Every store that was here before is opened by this alone, since reading
    behind the end of one that was cut off ends the process. Raises StoreDamaged, and lmdb.Error and OSError."""
    with damage_told(path):
        env = lmdb.open(str(path), **options)
        try:
            _refuse_cut_off(env, path)
        except BaseException:
            env.close()
            raise
    return env


def _refuse_cut_off(env: Any, path: Path) -> None:
    """Pages that were freed before they were written may lie behind the end of a sound one."""
    data = path / "data.mdb"
    used, size = int(env.info()["last_pgno"] + 1) * int(env.stat()["psize"]), data.stat().st_size
    if size < used and page_faults(path):
        raise StoreDamaged(f"{path}: the store is cut off, {size:,} bytes of {used:,}: {REMEDY}")


def page_faults(path: Path) -> list[str]:
    """Blocking, some 300 MB a second: what is wrong with the pages of a store that nobody writes to."""
    try:
        found: list[str] = verify(str(path / "data.mdb"), subdir=False)  # type: ignore[no-untyped-call]
    except VerifyError as error:
        return [str(error)]
    return found
