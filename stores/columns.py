"""Attributes of creators as numpy columns by dense row, for ranking and filtering without the store."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from proto.ids import Platform, Row
from proto.records import Creator
from stores.ports import Rows
from stores.ranking import quality_of

FIRST_CAPACITY = 1_024
GROWTH = 1.25
UNKNOWN = -1


class Columns:
    """One writer; readers take the arrays as they are, since growing replaces them whole."""

    def __init__(self, derives: Collection[Platform] = tuple(Platform)) -> None:
        """``derives``: the platforms of whose data quality may be computed."""
        self._derives = derives
        self.creator_id = np.zeros(FIRST_CAPACITY, np.int64)
        self.followers = np.full(FIRST_CAPACITY, UNKNOWN, np.int64)
        self.quality = np.zeros(FIRST_CAPACITY, np.float32)
        self.present = np.zeros(FIRST_CAPACITY, bool)

    def upsert(self, row: Row, creator: Creator) -> None:
        if row >= len(self.present):
            self._grow(row + 1)
        self.creator_id[row] = creator.creator_id
        self.followers[row] = UNKNOWN if creator.total_followers is None else creator.total_followers
        self.quality[row] = quality_of(creator, self._derives)
        self.present[row] = True

    def remove(self, row: Row) -> None:
        """A row that is not there is no error."""
        if row < len(self.present):
            self.present[row] = False
            self.creator_id[row], self.followers[row], self.quality[row] = 0, UNKNOWN, 0.0

    def rows(self) -> Rows:
        """Every present row, ascending."""
        return np.flatnonzero(self.present).astype(np.uint32)

    def known(self, rows: Rows) -> Rows:
        """Those rows that stand for a creator; an index may be a moment ahead or behind."""
        inside = rows[rows < len(self.present)]
        known: NDArray[np.uint32] = inside[self.present[inside]]
        return known

    def count(self) -> int:
        return int(self.present.sum())

    def _grow(self, needed: int) -> None:
        more = max(needed, int(len(self.present) * GROWTH)) - len(self.present)
        self.creator_id = np.concatenate([self.creator_id, np.zeros(more, np.int64)])
        self.followers = np.concatenate([self.followers, np.full(more, UNKNOWN, np.int64)])
        self.quality = np.concatenate([self.quality, np.zeros(more, np.float32)])
        self.present = np.concatenate([self.present, np.zeros(more, bool)])
