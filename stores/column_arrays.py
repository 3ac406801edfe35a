"""Arrays by dense row, one kind of column each: one writer, and readers in other threads that take no lock.

An array is replaced whole when it grows or its codes need more bits, and a name gets its code before any row has it; so
what a reader took stays whole, and at worst a row that is being written shows half of its change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain, repeat, zip_longest
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

    def put(self, rows: Rows, values: NDArray[np.float64]) -> None:
        self.values[rows] = values

    def clear(self, rows: Rows) -> None:
        self.values[rows] = np.nan

    def grow(self, capacity: int) -> None:
        self.values = _grown(self.values, capacity, np.nan)

    def arrays(self) -> tuple[NDArray[Any], ...]:
        return (self.values,)

    def names(self) -> tuple[str, ...]:
        return ()

    def restore(self, arrays: Sequence[NDArray[Any]], names: Sequence[str]) -> None:
        """What `arrays` and `names` gave, at another time; likewise of every kind of column."""
        del names
        (self.values,) = arrays

    def exists(self, where: Where) -> Mask:
        mask: Mask = ~np.isnan(self.values[where])
        return mask

    def bytes_a_row(self) -> int:
        return self.values.itemsize


class Names:
    """Codes of names, given in the order in which they are first met. What comes in several spellings has one name."""

    def __init__(self, reserved: int, spelt: Callable[[Any], str], given: Sequence[str] = ()) -> None:
        """``given``: names that have the first codes."""
        self.names = [""] * reserved + list(given)
        self._reserved, self._spelt = reserved, spelt
        self._code_of: dict[str, int] = {name: reserved + at for at, name in enumerate(given)}
        self._code_as_met: dict[Any, int] = {None: UNKNOWN, "": UNKNOWN}

    def codes(self, values: Collection[Any]) -> list[int]:
        """Of values as creators have them; what is new gets a code."""
        codes = list(map(self._code_as_met.get, values))
        return codes if None not in codes else [self._coded(value) for value in values]  # type: ignore[return-value]

    def wanted(self, names: Iterable[str]) -> list[int]:
        """Of those names that there are."""
        return [self._code_of[name] for name in names if name in self._code_of]

    def told(self) -> tuple[str, ...]:
        """In the order of their codes."""
        return tuple(self.names[self._reserved :])

    def of(self, given: Sequence[str]) -> Names:
        """The same spelling with these names."""
        return Names(self._reserved, self._spelt, given)

    def _coded(self, value: Any) -> int:
        if value in self._code_as_met:
            return self._code_as_met[value]
        name = self._spelt(value)
        if name not in self._code_of:
            self.names.append(name)
            self._code_of[name] = len(self.names) - 1
        self._code_as_met[value] = self._code_of[name]
        return self._code_of[name]


class Category:
    """A code for the one value; 0 where unknown. ``spelt``: a value's name."""

    def __init__(self, capacity: int, spelt: Callable[[Any], str] = str) -> None:
        self._names = Names(1, spelt)
        self._codes: Codes = np.zeros(capacity, np.uint8)

    def put(self, rows: Rows, values: Collection[Any]) -> None:
        """None, or an empty text: unknown."""
        codes = self._names.codes(values)
        self._codes = _wide_enough(self._codes, len(self._names.names))
        self._codes[rows] = codes

    def clear(self, rows: Rows) -> None:
        self._codes[rows] = UNKNOWN

    def grow(self, capacity: int) -> None:
        self._codes = _grown(self._codes, capacity, UNKNOWN)

    def arrays(self) -> tuple[NDArray[Any], ...]:
        return (self._codes,)

    def names(self) -> tuple[str, ...]:
        return self._names.told()

    def restore(self, arrays: Sequence[NDArray[Any]], names: Sequence[str]) -> None:
        self._names = self._names.of(names)
        (self._codes,) = arrays

    def values(self) -> tuple[str, ...]:
        """Every value that a row has or had."""
        return self._names.told()

    def any_of(self, values: Iterable[str], where: Where) -> Mask:
        return _any_of(self._codes[where], self._names.wanted(values))

    def known(self, where: Where) -> Mask:
        mask: Mask = self._codes[where] != UNKNOWN
        return mask

    exists = known

    def counts(self, rows: Rows) -> dict[str, int]:
        counted = np.bincount(self._codes.take(rows), minlength=1)
        return {self._names.names[code]: int(counted[code]) for code in np.flatnonzero(counted) if code != UNKNOWN}

    def bytes_a_row(self) -> int:
        return self._codes.itemsize


class Slots:
    """A few codes a row, each value once, from the first slot on; there are as many slots as the richest row needs.

    0 in the first slot: unknown; 1: known to have none.
    """

    def __init__(self, capacity: int) -> None:
        self._names = Names(2, str)
        self._slots: tuple[Codes, ...] = (np.zeros(capacity, np.uint8),)

    def put(self, rows: Rows, values: Iterable[Sequence[str] | None]) -> None:
        """None: unknown."""
        codes = self._names.codes
        coded = [codes(_once(one)) if one else [UNKNOWN if one is None else NONE] for one in values]
        width = max(map(len, coded))
        added = tuple(np.zeros(len(self._slots[0]), np.uint8) for _ in range(width - len(self._slots)))
        slots = tuple(_wide_enough(slot, len(self._names.names)) for slot in self._slots + added)
        self._slots = slots
        filled = chain(zip_longest(*coded, fillvalue=UNKNOWN), repeat(UNKNOWN))
        for slot, one in zip(slots, filled, strict=False):
            slot[rows] = one

    def clear(self, rows: Rows) -> None:
        for slot in self._slots:
            slot[rows] = UNKNOWN

    def grow(self, capacity: int) -> None:
        self._slots = tuple(_grown(slot, capacity, UNKNOWN) for slot in self._slots)

    def arrays(self) -> tuple[NDArray[Any], ...]:
        return self._slots

    def names(self) -> tuple[str, ...]:
        return self._names.told()

    def restore(self, arrays: Sequence[NDArray[Any]], names: Sequence[str]) -> None:
        self._names = self._names.of(names)
        self._slots = tuple(arrays)

    def values(self) -> tuple[str, ...]:
        """Every value that a row has or had."""
        return self._names.told()

    def any_of(self, values: Iterable[str], where: Where) -> Mask:
        first, *others = self._slots
        codes = self._names.wanted(values)
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
        names = list(self._names.names)
        counted = sum((np.bincount(slot.take(rows), minlength=len(names)) for slot in slots), np.zeros(len(names), int))
        return {names[code]: int(counted[code]) for code in np.flatnonzero(counted) if code > NONE}

    def bytes_a_row(self) -> int:
        return sum(slot.itemsize for slot in self._slots)


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

    def arrays(self) -> tuple[NDArray[Any], ...]:
        return (self._bits,)

    def names(self) -> tuple[str, ...]:
        return ()

    def restore(self, arrays: Sequence[NDArray[Any]], names: Sequence[str]) -> None:
        del names
        (self._bits,) = arrays

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


def _once(values: Sequence[str]) -> Collection[str]:
    return values if len(values) == 1 else dict.fromkeys(values)


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
