"""An hnswlib graph, with what it lacks: who is in it, room that grows, deletions that may be repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from stores.ports import Rows, Scores, Vector

M = 16
EF_CONSTRUCTION = 100
"""200 costs half as much again to build for 0.004 more recall (measured on 100,000 vectors)."""
GROWTH = 1.25
FIRST_CAPACITY = 1_024


class Graph:
    """Inner product over unit vectors by dense row. Nothing of it may run beside `add` or `hide`.

    With a ``basis`` (`principal`) it holds what that leaves of the vectors, so that its scores are near the true ones.
    """

    def __init__(self, dims: int, capacity: int, basis: Vector | None = None) -> None:
        self.basis, self._dims = basis, dims if basis is None else basis.shape[1]
        self._index: Any = hnswlib.Index("ip", self._dims)
        self._index.init_index(max(capacity, FIRST_CAPACITY), M=M, ef_construction=EF_CONSTRUCTION, random_seed=7)
        self._index.set_num_threads(1)
        self.held, self.hidden = np.zeros(0, bool), np.zeros(0, bool)
        """[rows]: who has a slot, and who of them is deleted."""
        self.slots = self.deleted = 0

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        dims: int,
        basis: Vector | None,
        capacity: int,
        held: NDArray[Any],
        hidden: NDArray[Any],
    ) -> Graph:
        """A file that is known to be sound: hnswlib checks nothing. It holds the interpreter meanwhile (a million
        vectors of 384 dimensions: 2 s with huge pages, on a busy machine without them up to 10)."""
        graph = cls.__new__(cls)
        graph.basis, graph._dims = basis, dims if basis is None else basis.shape[1]
        graph.held, graph.hidden = held, hidden
        graph.slots, graph.deleted = int(held.sum()), int(hidden.sum())
        graph._index = hnswlib.Index("ip", graph._dims)
        graph._index.load_index(str(path), max_elements=max(capacity, graph.slots, FIRST_CAPACITY))
        graph._index.set_num_threads(1)
        return graph

    @property
    def dims(self) -> int:
        """Of what it holds of each vector."""
        return self._dims

    @property
    def live(self) -> int:
        return self.slots - self.deleted

    @property
    def file_size(self) -> int:
        return int(self._index.index_file_size())

    def save(self, path: Path) -> None:
        """Holds the interpreter; does not notice that a disk is full."""
        self._index.save_index(str(path))

    def add(self, rows: Rows, vectors: Vector) -> None:
        """Adding a row again replaces its vector, and revives a deleted one. ``rows``: each once; ``vectors``: float32
        (n, dims)."""
        if not len(rows):
            return
        self._make_room(int(rows.max()) + 1)
        needed = self.slots + len(rows) - int(np.count_nonzero(self.held[rows]))
        if needed > self._index.max_elements:
            self._index.resize_index(max(needed, int(self._index.max_elements * GROWTH)))
        self._index.add_items(self._reduced(vectors), rows.astype(np.uint64), num_threads=1)
        self.slots = needed
        self.deleted -= int(np.count_nonzero(self.hidden[rows]))
        self.held[rows], self.hidden[rows] = True, False

    def lives(self, rows: Rows) -> NDArray[np.bool_]:
        """[n]: which of these can be found."""
        inside = rows < len(self.held)
        lives = np.zeros(len(rows), bool)
        lives[inside] = self.held[rows[inside]] & ~self.hidden[rows[inside]]
        return lives

    def hide(self, row: int) -> bool:
        """Deleted: a slot that is marked stays in the graph, and in its file, so its vector is overwritten. Whether there
        was one."""
        if row >= len(self.held) or not self.held[row] or self.hidden[row]:
            return False
        self._index.add_items(_any_vector(row, self._dims), np.array([row], np.uint64), num_threads=1)
        self._index.mark_deleted(row)
        self.hidden[row] = True
        self.deleted += 1
        return True

    def nearest(self, vector: Vector, limit: int, breadth: int) -> tuple[Rows, Scores] | None:
        """With a breadth of at least ``limit``. None when the graph does not reach so many live vectors. Two look-ups of
        another breadth at once may both have the one or the other."""
        self._index.set_ef(breadth)
        try:
            labels, distances = self._index.knn_query(self._reduced(vector[None, :]), k=limit, num_threads=1)
        except RuntimeError:
            return None
        return labels[0].astype(np.uint32), 1.0 - distances[0]

    def _reduced(self, vectors: Vector) -> Vector:
        return vectors if self.basis is None else vectors @ self.basis

    def _make_room(self, rows: int) -> None:
        have = len(self.held)
        if rows > have:
            more = max(rows, int(have * GROWTH), FIRST_CAPACITY) - have
            self.held = np.concatenate([self.held, np.zeros(more, bool)])
            self.hidden = np.concatenate([self.hidden, np.zeros(more, bool)])


def _any_vector(row: int, dims: int) -> Vector:
    """A direction that says nothing, another for each row so that graphs do not clump: (1, dims), unit length."""
    vector = np.random.default_rng(row).standard_normal((1, dims)).astype(np.float32)
    unit: Vector = vector / np.linalg.norm(vector)
    return unit
