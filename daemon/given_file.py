"""A file of whole creators, one a line, read in pieces: JSON lines, plain or compressed by zstd."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import zstandard

from actors.given import MAX_LINE_BYTES
from proto.errors import Malformed

BOM = b"\xef\xbb\xbf"
MAGIC = b"\x28\xb5\x2f\xfd"
"""Of zstd frames."""
PIECE_LINES, PIECE_BYTES = 500, 8 << 20
"""A piece is one transaction and one batch of the indexes."""
HEAD_BYTES = 1 << 20
WINDOW_BYTES = 128 << 20
"""Memory that a compressed file may ask for."""


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
            compressed = file.read(len(MAGIC)) == MAGIC
            file.seek(0)
            source: io.BufferedReader | io.BufferedIOBase = file
            if compressed:
                reader = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).stream_reader(
                    file, read_across_frames=True
                )
                source = stack.enter_context(io.BufferedReader(reader, 1 << 20))
            number = 0
            while line := source.readline(MAX_LINE_BYTES + 1):
                number += 1
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
        raise Malformed(f"{path}: is damaged: {error}") from error
