"""A file of whole creators, one a line, read in pieces: JSON lines, plain or compressed by zstd."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import zstandard

from actors.given import MAX_LINE_BYTES
from proto.errors import Malformed
from stores.passing import let_go

BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
MAGIC = b"\x28\xb5\x2f\xfd"
"""Of zstd frames."""
PIECE_LINES, PIECE_BYTES = 500, 8 << 20
"""A piece is one transaction and one batch of the indexes."""
PASSED_BYTES = 16 << 20
"""Read, before the system is told that it need not keep them: memory is wanted for the store."""
KIND_BYTES = 1_024
"""Of a file's begin, to see of what kind it is."""
HEAD_BYTES = 1 << 20
WINDOW_BYTES = 128 << 20
"""Memory that a compressed file may ask for."""
PACKED_BYTES = 4 << 10
"""Read at once: the most that they can stand for is no more than the window."""


class Lines(msgspec.Struct, kw_only=True):
    """A piece of the file."""

    at: int
    """How many lines with a creator come before."""
    numbers: list[int]
    """Where each stands in the file, from 1."""
    lines: list[bytes]
    overlong: list[int]
    """Where lines stand, among these, that are longer than any may be."""
    read_bytes: int
    """Of the file, up to here."""


def import_id_of(path: Path) -> str:
    """Of a file's beginning and its size: what its pieces hold is compared by itself."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        size = path.stat().st_size
    except OSError as error:
        raise Malformed(f"{path}: cannot be read: {error.strerror}") from error
    return hashlib.sha256(head + size.to_bytes(8, "big")).hexdigest()


def read_pieces(path: Path) -> Iterator[Lines]:
    """Raises Malformed for a file that cannot be read."""
    piece = Lines(at=0, numbers=[], lines=[], overlong=[], read_bytes=0)
    size = 0
    for number, line, position in _lines(path):
        piece.read_bytes = position
        if line is None:
            piece.overlong.append(number)
            continue
        piece.numbers.append(number)
        piece.lines.append(line)
        size += len(line) + 1
        if len(piece.lines) == PIECE_LINES or size > PIECE_BYTES - MAX_LINE_BYTES - 1:
            yield piece
            at = piece.at + len(piece.lines)
            piece, size = Lines(at=at, numbers=[], lines=[], overlong=[], read_bytes=position), 0
    if piece.lines or piece.overlong:
        yield piece


def _lines(path: Path) -> Iterator[tuple[int, bytes | None, int]]:
    """Lines with anything in them: their number, what they hold, and how far the file was read then. None: too much."""
    try:
        with ExitStack() as stack:
            file = stack.enter_context(path.open("rb"))
            begin = file.read(KIND_BYTES)
            compressed = begin.startswith(MAGIC)
            _refuse_other_kinds(path, begin)
            file.seek(0)
            source = stack.enter_context(io.BufferedReader(_Unpacked(file), 1 << 20)) if compressed else file
            number = passed = 0
            while line := source.readline(MAX_LINE_BYTES + 1):
                number += 1
                if file.tell() - passed >= PASSED_BYTES:
                    passed = file.tell()
                    let_go(file, passed)
                if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                    while line and not line.endswith(b"\n"):
                        line = source.readline(MAX_LINE_BYTES)
                    yield number, None, file.tell()
                    continue
                bare = line.removeprefix(BOM).strip()
                if bare:
                    yield number, bare, file.tell()
    except OSError as error:
        raise Malformed(f"{path}: cannot be read: {error.strerror}") from error
    except zstandard.ZstdError as error:
        raise Malformed(f"{path}: is damaged: {error}; what stands before is taken in") from error


def _refuse_other_kinds(path: Path, begin: bytes) -> None:
    """Whole, since of each line would be said that it is malformed."""
    if begin.startswith(GZIP):
        raise Malformed(f"{path}: is packed by gzip; unpack it, or pack it by zstd")
    if begin.removeprefix(BOM).lstrip().startswith(b"["):
        raise Malformed(f"{path}: is a JSON array; one creator a line is expected (jq -c '.[]' makes lines of it)")


class _Unpacked(io.RawIOBase):
    """What zstd frames hold, one after the other. Unlike the library's own reader it raises ZstdError where the last of
    them is cut off."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._frame: Any = None
        self._packed, self._plain = b"", memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._plain:
            self._packed = self._packed or self._file.read(PACKED_BYTES)
            if not self._packed and self._frame is not None:
                raise zstandard.ZstdError("it ends too early")
            if not self._packed:
                return 0
            if self._frame is None:
                self._frame = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).decompressobj()
            self._plain = memoryview(self._frame.decompress(self._packed))
            self._packed = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        size = min(len(target), len(self._plain))
        target[:size], self._plain = self._plain[:size], self._plain[size:]
        return size
