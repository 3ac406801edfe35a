"""Arrays by dense row, one kind of column each: one writer, and readers in other threads that take no lock.

An array is replaced whole when it grows or its codes need more bits, and a name gets its code before any row has it; so
what a reader took stays whole, and at worst a row that is being written shows half of its change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores.ports import Rows

Mask = NDArray[np.bool_]
Where = slice | Rows
"""Which rows are read: a stretch, or these in their order."""
Codes = NDArray[Any]
"""Unsigned, of as few bytes as the names need."""

UNKNOWN, NONE = 0, 1
COMPARED = 16
"""Values that are compared one by one; a table is looked up for more. Either takes a millisecond for a million rows."""


class Numbers:
    """float64, exact for whole numbers up to 2**53; NaN where unknown."""

    def __init__(self, capacity: int) -> None:
        self.values = np.full(capacity, np.nan)

    def put(self, rows: Rows, values: Sequence[float | None]) -> None:
        self.values[rows] = np.array(values, np.float64)

    def clear(self, rows: Rows) -> None:
        self.values[rows] = np.nan

    def grow(self, capacity: int) -> None:
        self.values = _grown(self.values, capacity, np.nan)

    def exists(self, where: Where) -> Mask:
        mask: Mask = ~np.isnan(self.values[where])
        return mask

    def bytes_a_row(self) -> int:
        return self.values.itemsize


class Category:
    """A code for the one value; 0 where unknown."""

    def __init__(self, capacity: int) -> None:
        self._names = [""]
        self._code_of: dict[str, int] = {}
        self._codes: Codes = np.zeros(capacity, np.uint8)

    def put(self, rows: Rows, values: Sequence[str | None]) -> None:
        codes = [_code(self._names, self._code_of, value) if value else UNKNOWN for value in values]
        self._codes = _wide_enough(self._codes, len(self._names))
        self._codes[rows] = codes

    def clear(self, rows: Rows) -> None:
        self._codes[rows] = UNKNOWN

    def grow(self, capacity: int) -> None:
        self._codes = _grown(self._codes, capacity, UNKNOWN)

    def values(self) -> tuple[str, ...]:
        """Every value that a row has or had."""
        return tuple(self._names[1:])

    def any_of(self, values: Iterable[str], where: Where) -> Mask:
        return _any_of(self._codes[where], [self._code_of[value] for value in values if value in self._code_of])

    def known(self, where: Where) -> Mask:
        mask: Mask = self._codes[where] != UNKNOWN
        return mask

    exists = known

    def counts(self, rows: Rows) -> dict[str, int]:
        counted = np.bincount(self._codes.take(rows), minlength=1)
        return {self._names[code]: int(counted[code]) for code in np.flatnonzero(counted) if code != UNKNOWN}

    def bytes_a_row(self) -> int:
        return self._codes.itemsize


class Slots:
    """A few codes a row, each value once, from the first slot on; there are as many slots as the richest row needs.

    0 in the first slot: unknown; 1: known to have none.
    """

    def __init__(self, capacity: int) -> None:
        self._names = ["", ""]
        self._code_of: dict[str, int] = {}
        self._slots: tuple[Codes, ...] = (np.zeros(capacity, np.uint8),)

    def put(self, rows: Rows, values: Sequence[Sequence[str] | None]) -> None:
        """None: unknown."""
        coded = [None if one is None else self._codes_of(one) for one in values]
        width = max((len(one) for one in coded if one), default=1)
        added = tuple(np.zeros(len(self._slots[0]), np.uint8) for _ in range(width - len(self._slots)))
        slots = tuple(_wide_enough(slot, len(self._names)) for slot in self._slots) + added
        self._slots = slots
        for at, slot in enumerate(slots):
            empty = [UNKNOWN if at or one is None else NONE for one in coded]
            slot[rows] = [one[at] if one and at < len(one) else other for one, other in zip(coded, empty, strict=True)]

    def clear(self, rows: Rows) -> None:
        for slot in self._slots:
            slot[rows] = UNKNOWN

    def grow(self, capacity: int) -> None:
        self._slots = tuple(_grown(slot, capacity, UNKNOWN) for slot in self._slots)

    def values(self) -> tuple[str, ...]:
        """Every value that a row has or had."""
        return tuple(self._names[2:])

    def any_of(self, values: Iterable[str], where: Where) -> Mask:
        first, *others = self._slots
        codes = [self._code_of[value] for value in values if value in self._code_of]
        mask = _any_of(first[where], codes)
        for slot in others:
            mask |= _any_of(slot[where], codes)
        return mask

    def known(self, where: Where) -> Mask:
        mask: Mask = self._slots[0][where] != UNKNOWN
        return mask

    def exists(self, where: Where) -> Mask:
        mask: Mask = self._slots[0][where] > NONE
        return mask

    def counts(self, rows: Rows) -> dict[str, int]:
        slots = self._slots
        names = list(self._names)
        counted = sum((np.bincount(slot.take(rows), minlength=len(names)) for slot in slots), np.zeros(len(names), int))
        return {names[code]: int(counted[code]) for code in np.flatnonzero(counted) if code > NONE}

    def bytes_a_row(self) -> int:
        return sum(slot.itemsize for slot in self._slots)

    def _codes_of(self, values: Sequence[str]) -> list[int]:
        return [_code(self._names, self._code_of, value) for value in dict.fromkeys(values)]


class Bits:
    """Any of at most eight values that never change, a bit each; no bit: unknown."""

    def __init__(self, capacity: int, values: Sequence[str]) -> None:
        self._bit_of = {value: 1 << at for at, value in enumerate(values)}
        self._bits = np.zeros(capacity, np.uint8)

    def put(self, rows: Rows, values: Sequence[Iterable[str]]) -> None:
        self._bits[rows] = [self._bits_of(one) for one in values]

    def clear(self, rows: Rows) -> None:
        self._bits[rows] = 0

    def grow(self, capacity: int) -> None:
        self._bits = _grown(self._bits, capacity, 0)

    def values(self) -> tuple[str, ...]:
        return tuple(self._bit_of)

    def any_of(self, values: Iterable[str], where: Where) -> Mask:
        mask: Mask = (self._bits[where] & np.uint8(self._bits_of(values))) != 0
        return mask

    def known(self, where: Where) -> Mask:
        mask: Mask = self._bits[where] != 0
        return mask

    exists = known

    def counts(self, rows: Rows) -> dict[str, int]:
        counted = np.bincount(self._bits.take(rows), minlength=256)
        having = {value: int(counted[(np.arange(256) & bit) != 0].sum()) for value, bit in self._bit_of.items()}
        return {value: count for value, count in having.items() if count}

    def bytes_a_row(self) -> int:
        return self._bits.itemsize

    def _bits_of(self, values: Iterable[str]) -> int:
        bits = 0
        for value in values:
            bits |= self._bit_of.get(value, 0)
        return bits


Labels = Category | Slots | Bits
Stored = Numbers | Labels


def _code(names: list[str], code_of: dict[str, int], value: str) -> int:
    code = code_of.get(value)
    if code is None:
        code = len(names)
        names.append(value)
        code_of[value] = code
    return code


def _any_of(codes: Codes, wanted: Sequence[int]) -> Mask:
    if len(wanted) > COMPARED:
        table = np.zeros(max(wanted) + 1, bool)
        table[list(wanted)] = True
        return table.take(codes, mode="clip") & (codes <= max(wanted))
    mask = np.zeros(len(codes), bool)
    for code in wanted:
        mask |= codes == code
    return mask


def _wide_enough(codes: Codes, names: int) -> Codes:
    kind = np.min_scalar_type(names - 1)
    return codes if kind.itemsize <= codes.itemsize else codes.astype(kind)


def _grown(array: NDArray[Any], capacity: int, fill: float) -> NDArray[Any]:
    return np.concatenate([array, np.full(capacity - len(array), fill, array.dtype)])
