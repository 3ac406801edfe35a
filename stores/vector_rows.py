"""One field's vectors by dense row, for exact comparison: as float32, or as 8-bit codes in a quarter of the memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stores.ports import Rows, Scores, Vector
from stores.vector_signs import no_signs, shortlist, signs_of

AUTO, FLOAT32, INT8 = "auto", "float32", "int8"
KINDS = (AUTO, FLOAT32, INT8)
INT8_FROM = 200_000
"""Creators from which on ``auto`` keeps codes: four fields of float32 then take 1.2 GB beside the graphs."""
BLOCK = 512
"""Rows copied out at once: 1 MB of 512 dimensions stays in the cache until it is multiplied (5,000 rows: 1.9 ms, of
4,096 at once 2.5). ``take`` copies a row in half the time in which an index does."""
LARGEST_CODE = 127
KEPT, KEPT_PER_WANTED, KEPT_ONE_OF = 10_000, 50, 8
"""So many rows, so many for each that is wanted, and an eighth, whatever is most, are compared of those whose signs are
looked at: what recall was measured with."""
SHORTLIST_FROM = 3
"""Of less than so many times those that would be kept each is compared at once."""
SIGNED_AT_ONCE = 4_096


Made = tuple[NDArray[Any], ...]
"""Arrays of one length: what is kept of some vectors."""


def part_of(made: Made, part: slice) -> Made:
    return tuple(one[part] for one in made)


class VectorRows(Protocol):
    """Rows below ``size``; which of them hold a vector is kept elsewhere. A writer is alone, except in `grown`."""

    @property
    def kind(self) -> str: ...

    @property
    def size(self) -> int: ...

    def put(self, rows: Rows, vectors: Vector) -> None:
        """``vectors``: float32 (n, dims), unit length."""
        ...

    def made(self, vectors: Vector) -> Made:
        """What is kept of vectors; readers and writers may be at work."""
        ...

    def put_made(self, rows: Rows, made: Made) -> None: ...

    def wipe(self, row: int) -> None: ...

    def same(self, rows: Rows, vectors: Vector) -> NDArray[np.bool_]:
        """[n]: which of these vectors would change nothing."""
        ...

    def compared(self, rows: Rows, vector: Vector) -> Scores:
        """[n]: the inner product of each row with a vector."""
        ...

    def shortlist(self, rows: Rows, vector: Vector, limit: int) -> Rows:
        """In their order, those of ``rows`` that are worth comparing to find the ``limit`` nearest; all, where telling would
        take longer."""
        ...

    def scanned(self, end: int, vector: Vector) -> Scores:
        """As `compared`, of all rows below ``end``."""
        ...

    def vectors_of(self, rows: Sequence[int] | Rows) -> Vector:
        """Float32 (n, dims)."""
        ...

    def grown(self, size: int) -> VectorRows:
        """A copy with more room; readers may go on in this one meanwhile."""
        ...

    def parts(self, end: int) -> list[NDArray[Any]]:
        """The arrays below ``end``, not copied: what a snapshot holds, in its order."""
        ...

    def refilled(self, end: int) -> None:
        """To be called when `parts` were written to: makes what is kept beside them."""
        ...


class FloatRows:
    kind = FLOAT32

    def __init__(self, size: int, dims: int) -> None:
        self._vectors = np.zeros((size, dims), np.float32)

    @property
    def size(self) -> int:
        return len(self._vectors)

    def put(self, rows: Rows, vectors: Vector) -> None:
        self.put_made(rows, self.made(vectors))

    def made(self, vectors: Vector) -> Made:
        return (vectors,)

    def put_made(self, rows: Rows, made: Made) -> None:
        (self._vectors[rows],) = made

    def wipe(self, row: int) -> None:
        self._vectors[row] = 0.0

    def same(self, rows: Rows, vectors: Vector) -> NDArray[np.bool_]:
        equal: NDArray[np.bool_] = (self._vectors[rows] == vectors).all(axis=1)
        return equal

    def compared(self, rows: Rows, vector: Vector) -> Scores:
        scores = np.empty(len(rows), np.float32)
        for begin in range(0, len(rows), BLOCK):
            part = rows[begin : begin + BLOCK]
            scores[begin : begin + BLOCK] = self._vectors.take(part, axis=0) @ vector
        return scores

    def shortlist(self, rows: Rows, vector: Vector, limit: int) -> Rows:  # noqa: ARG002
        return rows

    def scanned(self, end: int, vector: Vector) -> Scores:
        scores: Scores = self._vectors[:end] @ vector
        return scores

    def vectors_of(self, rows: Sequence[int] | Rows) -> Vector:
        vectors: Vector = self._vectors[rows]
        return vectors

    def grown(self, size: int) -> FloatRows:
        larger = FloatRows(size, self._vectors.shape[1])
        larger._vectors[: self.size] = self._vectors
        return larger

    def parts(self, end: int) -> list[NDArray[Any]]:
        return [self._vectors[:end]]

    def refilled(self, end: int) -> None:
        pass


class CodeRows:
    """A code a dimension, and a scale a row by which codes become numbers again; and their signs, by which many rows are
    looked through before the likeliest are compared.

    A similarity is off by 0.002 at most where vectors are of 384 dimensions, and of the nearest twenty 0.995 are found
    (measured on a clustered mixture; ``tests/stores/test_vector_rows.py`` prints it). Signs take 0.125 of what codes take,
    and are not saved: those of a million are made in 0.1 s.
    """

    kind = INT8

    def __init__(self, size: int, dims: int) -> None:
        self._codes, self._scales = np.zeros((size, dims), np.int8), np.zeros(size, np.float32)
        self._signs = no_signs(size, dims)

    @property
    def size(self) -> int:
        return len(self._codes)

    def put(self, rows: Rows, vectors: Vector) -> None:
        self.put_made(rows, self.made(vectors))

    def made(self, vectors: Vector) -> Made:
        codes, scales = _encoded(vectors)
        return codes, scales, signs_of(codes)

    def put_made(self, rows: Rows, made: Made) -> None:
        self._codes[rows], self._scales[rows], self._signs[rows] = made

    def wipe(self, row: int) -> None:
        self._codes[row], self._scales[row], self._signs[row] = 0, 0.0, 0

    def same(self, rows: Rows, vectors: Vector) -> NDArray[np.bool_]:
        """By their codes: vectors that differ by less are as good as each other."""
        codes, scales = _encoded(vectors)
        equal: NDArray[np.bool_] = (self._codes[rows] == codes).all(axis=1) & (self._scales[rows] == scales)
        return equal

    def compared(self, rows: Rows, vector: Vector) -> Scores:
        scores = np.empty(len(rows), np.float32)
        for begin in range(0, len(rows), BLOCK):
            part = rows[begin : begin + BLOCK]
            scores[begin : begin + BLOCK] = self._codes.take(part, axis=0).astype(np.float32) @ vector
        scores *= self._scales[rows]
        return scores

    def shortlist(self, rows: Rows, vector: Vector, limit: int) -> Rows:
        kept = max(KEPT, KEPT_PER_WANTED * limit, len(rows) // KEPT_ONE_OF)
        return rows if len(rows) < SHORTLIST_FROM * kept else shortlist(self._signs, rows, vector, kept)

    def scanned(self, end: int, vector: Vector) -> Scores:
        scores = np.empty(end, np.float32)
        for begin in range(0, end, BLOCK):
            past = min(begin + BLOCK, end)
            scores[begin:past] = self._codes[begin:past].astype(np.float32) @ vector
        scores *= self._scales[:end]
        return scores

    def vectors_of(self, rows: Sequence[int] | Rows) -> Vector:
        vectors: Vector = self._codes[rows].astype(np.float32) * self._scales[rows][:, None]
        return vectors

    def grown(self, size: int) -> CodeRows:
        larger = CodeRows(size, self._codes.shape[1])
        larger._codes[: self.size], larger._scales[: self.size] = self._codes, self._scales
        larger._signs[: self.size] = self._signs
        return larger

    def parts(self, end: int) -> list[NDArray[Any]]:
        return [self._scales[:end], self._codes[:end]]

    def refilled(self, end: int) -> None:
        for begin in range(0, end, SIGNED_AT_ONCE):
            past = min(begin + SIGNED_AT_ONCE, end)
            self._signs[begin:past] = signs_of(self._codes[begin:past])


def make_rows(kind: str, size: int, dims: int) -> VectorRows:
    """Room for ``size`` rows, all zero; memory is taken as rows are written."""
    return CodeRows(size, dims) if kind == INT8 else FloatRows(size, dims)


def kind_for(setting: str, creators: int) -> str:
    """What a setting means for so many creators, held or expected."""
    if setting != AUTO:
        return setting
    return INT8 if creators >= INT8_FROM else FLOAT32


def _encoded(vectors: Vector) -> tuple[NDArray[np.int8], Scores]:
    scales = np.abs(vectors).max(axis=1, initial=0.0) / np.float32(LARGEST_CODE)
    codes = np.rint(vectors / np.where(scales > 0, scales, np.float32(1))[:, None]).astype(np.int8)
    return codes, scales.astype(np.float32)
