"""A snapshot of the columns, so that a start reads only the creators that changed since it was made."""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from proto.errors import IndexBroken, Unavailable
from stores.columns import Columns
from stores.files import sync_folder, write_atomic


class Contents(msgspec.Struct, kw_only=True, frozen=True):
    """``checkpoint``: index sequence; what was indexed up to it is in the arrays. ``arrays``: column and type of each, in
    the file's order; ``names``: what a column's codes stand for."""

    mark: str
    checkpoint: int
    rows: int
    arrays: list[tuple[str, str]]
    names: dict[str, tuple[str, ...]]


class Sidecar(msgspec.Struct, kw_only=True, frozen=True):
    """``crc32``: of the arrays, and of ``contents`` behind them."""

    contents: Contents
    crc32: int


class ColumnFiles:
    """Blocking. The arrays one after the other in one file, what they are in another, which is renamed last: arrays beside
    the sidecar of others fail its checksum."""

    def __init__(self, folder: Path) -> None:
        self._path, self._sidecar = folder / "columns", folder / "columns.json"
        self._fresh = folder / "columns.tmp"

    def write(self, columns: Columns, checkpoint: int) -> Sidecar:
        """Beside the snapshot that stands, while others may write to the columns: a row that is written meanwhile comes
        half done, and has to be indexed after ``checkpoint``. Raises Unavailable."""
        try:
            handle = os.open(self._fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                arrays, rows, checksum = [], 0, 0
                for name, array in columns.parts():
                    held = array.copy()  # what is summed up is what is written
                    rows, checksum = len(held), zlib.crc32(held.data, checksum)
                    arrays.append((name, held.dtype.str))
                    file.write(held.data)
                file.flush()
                os.fsync(handle)
        except OSError as error:
            with suppress(OSError):
                self._fresh.unlink()
            raise Unavailable(f"{self._path.name}: the columns cannot be saved: {error}") from error
        contents = Contents(mark=columns.mark, checkpoint=checkpoint, rows=rows, arrays=arrays, names=columns.names())
        return Sidecar(contents=contents, crc32=zlib.crc32(msgspec.json.encode(contents), checksum))

    def put_in_place(self, sidecar: Sidecar) -> None:
        """Raises Unavailable."""
        try:
            self._fresh.replace(self._path)
            sync_folder(self._path.parent)
            write_atomic(self._sidecar, msgspec.json.encode(sidecar))
        except OSError as error:
            raise Unavailable(f"{self._path.name}: the columns cannot be saved: {error}") from error

    def load(self, columns: Columns, sequence: int) -> int:
        """Fills empty columns; returns the checkpoint. ``sequence``: what the store has reached. Raises IndexBroken, and
        then the columns are as they were."""
        sidecar = self._read_sidecar()
        contents = sidecar.contents
        if contents.mark != columns.mark:
            raise IndexBroken("the snapshot holds other columns, or other creators' figures may be derived now")
        if contents.checkpoint > sequence:
            raise IndexBroken(f"the snapshot is ahead of the store ({contents.checkpoint} against {sequence})")
        columns.restore(self._read_arrays(sidecar), contents.names)
        return contents.checkpoint

    def drop(self) -> None:
        for path in (self._sidecar, self._path, self._fresh):
            path.unlink(missing_ok=True)

    def _read_sidecar(self) -> Sidecar:
        try:
            return msgspec.json.decode(self._sidecar.read_bytes(), type=Sidecar)
        except FileNotFoundError as error:
            raise IndexBroken("there is no snapshot") from error
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise IndexBroken(f"{self._sidecar.name} is unreadable") from error

    def _read_arrays(self, sidecar: Sidecar) -> dict[str, list[NDArray[np.generic]]]:
        contents, checksum = sidecar.contents, 0
        arrays: dict[str, list[NDArray[np.generic]]] = {}
        try:
            with self._path.open("rb") as file:
                for name, kind in contents.arrays:
                    array = np.fromfile(file, np.dtype(kind), contents.rows)
                    checksum = zlib.crc32(array.data, checksum)
                    arrays.setdefault(name, []).append(array)
                rest = file.read(1)
        except (OSError, ValueError, TypeError, MemoryError) as error:
            raise IndexBroken(f"{self._path.name} is unreadable: {error}") from error
        if rest or zlib.crc32(msgspec.json.encode(contents), checksum) != sidecar.crc32:
            raise IndexBroken(f"{self._path.name}: checksum differs")
        return arrays
