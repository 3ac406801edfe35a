"""A filter's tree → who meets it, by three-valued logic over the columns.

A node is asked either for whom it is known to hold or for whom it is known not to; a negation swaps the question, so
no third array is carried along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from proto.errors import FilterError
from stores.column_arrays import Labels, Mask, Numbers, Stored, Where
from stores.filter_ast import And, Exists, In, Node, Not, Or, Range
from stores.filter_columns import COLUMNS, FALSE, FRESH, HIDDEN, LAST_POSTED, LIST, TRUE, Kind, seconds_of
from stores.ports import Rows

INSTANTS = {LAST_POSTED: "last_posted", FRESH: "fresh"}
"""Columns of days, and the stored instants (epoch seconds) since which they are counted."""
PARTS = {"any_niche": ("niche", "secondary_niche")}
"""Columns that are others taken together."""


class MaskContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a filter means beside the creators: the moment, and what is the asking tenant's own."""

    now: int
    lists: Mapping[str, Rows] = msgspec.field(default_factory=dict)
    """Members by list id."""
    hidden: Rows = msgspec.field(default_factory=lambda: np.zeros(0, np.uint32))


class Reading:
    """The columns at some rows, for one filter."""

    def __init__(self, stored: Mapping[str, Stored], where: Where, length: int, context: MaskContext) -> None:
        self._stored, self._where, self._length, self._context = stored, where, length, context

    def holds(self, node: Node) -> Mask:
        """Along the rows: who is known to meet it. A fresh array. Raises FilterError for what is no column's."""
        match node:
            case And(of=parts):
                return self._all(self.holds, parts)
            case Or(of=parts):
                return self._any(self.holds, parts)
            case Not(of=inner):
                return self.fails(inner)
            case In(column=column, values=values):
                return self._any_of(column, values)
            case Exists(column=column):
                return self._exists(column)
            case Range():
                return self._within(node)

    def fails(self, node: Node) -> Mask:
        """Along the rows: who is known not to meet it."""
        match node:
            case And(of=parts):
                return self._any(self.fails, parts)
            case Or(of=parts):
                return self._all(self.fails, parts)
            case Not(of=inner):
                return self.holds(inner)
            case In(column=column, values=values):
                return self._known(column) & ~self._any_of(column, values)
            case Exists(column=column):
                return ~self._exists(column)
            case Range():
                return self._without(node)

    def members(self, rows: Rows) -> Mask:
        """Along the rows read: which are among these."""
        if not isinstance(self._where, slice):
            return np.isin(self._where, rows)
        mask = np.zeros(self._length, bool)
        mask[rows[rows < self._length]] = True
        return mask

    def _all(self, ask: Callable[[Node], Mask], parts: Sequence[Node]) -> Mask:
        if not parts:
            return np.ones(self._length, bool)
        mask = ask(parts[0])
        for part in parts[1:]:
            mask &= ask(part)
        return mask

    def _any(self, ask: Callable[[Node], Mask], parts: Sequence[Node]) -> Mask:
        mask = np.zeros(self._length, bool)
        for part in parts:
            mask |= ask(part)
        return mask

    def _any_of(self, column: str, values: Iterable[str]) -> Mask:
        if column == LIST:
            return self._on_lists([value for value in values if value in self._context.lists])
        if column == HIDDEN:
            return self._hidden_as(frozenset(values))
        return self._together(column, lambda part: part.any_of(values, self._where))

    def _known(self, column: str) -> Mask:
        if column in (LIST, HIDDEN):
            return np.ones(self._length, bool)
        return self._together(column, lambda part: part.known(self._where))

    def _exists(self, column: str) -> Mask:
        if column == LIST:
            return self._on_lists(self._context.lists)
        if column == HIDDEN:
            return np.ones(self._length, bool)
        if _kind(column) is Kind.NUMBER:
            return ~np.isnan(self._numbers(column))
        return self._together(column, lambda part: part.exists(self._where))

    def _hidden_as(self, values: frozenset[str]) -> Mask:
        """``values``: of ``true`` and ``false``, any or both."""
        if len(values & {TRUE, FALSE}) != 1:
            return np.full(self._length, bool(values))
        hidden = self.members(self._context.hidden)
        return hidden if TRUE in values else ~hidden

    def _on_lists(self, lists: Iterable[str]) -> Mask:
        mask = np.zeros(self._length, bool)
        for one in lists:
            mask |= self.members(self._context.lists[one])
        return mask

    def _together(self, column: str, ask: Callable[[Labels], Mask]) -> Mask:
        first, *others = (self._labels(part) for part in PARTS.get(column, (column,)))
        mask = ask(first)
        for part in others:
            mask |= ask(part)
        return mask

    def _within(self, node: Range) -> Mask:
        values, (gte, gt, lte, lt) = self._numbers(node.column), self._bounds(node)
        tests = [values >= bound for bound in gte] + [values > bound for bound in gt]
        tests += [values <= bound for bound in lte] + [values < bound for bound in lt]
        mask = tests[0]
        for test in tests[1:]:
            mask &= test
        return mask | np.isnan(values) if node.unknown else mask

    def _without(self, node: Range) -> Mask:
        values, (gte, gt, lte, lt) = self._numbers(node.column), self._bounds(node)
        tests = [values < bound for bound in gte] + [values <= bound for bound in gt]
        tests += [values > bound for bound in lte] + [values >= bound for bound in lt]
        mask = tests[0]
        for test in tests[1:]:
            mask |= test
        return mask

    def _bounds(self, node: Range) -> tuple[list[float], list[float], list[float], list[float]]:
        """gte, gt, lte, lt, each of one bound at most; of days as instants, where the longer ago is the less."""
        gte, gt, lte, lt = ([] if one is None else [one] for one in (node.gte, node.gt, node.lte, node.lt))
        if not (gte or gt or lte or lt):
            raise FilterError(f"the range of {node.column} has no bound", column=node.column)
        if node.column not in INSTANTS:
            return gte, gt, lte, lt
        since = [[float(self._context.now - seconds_of(days)) for days in one] for one in (lte, lt, gte, gt)]
        return since[0], since[1], since[2], since[3]

    def _numbers(self, column: str) -> NDArray[np.float64]:
        stored = self._stored.get(INSTANTS.get(column, column))
        if not isinstance(stored, Numbers):
            raise FilterError(f"{column} is no column of numbers", column=column)
        return stored.values[self._where]

    def _labels(self, column: str) -> Labels:
        stored = self._stored.get(column)
        if stored is None or isinstance(stored, Numbers):
            raise FilterError(f"{column} is no column of values", column=column)
        return stored


def _kind(column: str) -> Kind | None:
    known = COLUMNS.get(column)
    return known.kind if known else None
