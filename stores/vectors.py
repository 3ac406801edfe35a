"""Nearest creators of one vector field: a matrix for exact answers and an hnswlib graph for large sets."""

from __future__ import annotations

import errno
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hnswlib
import msgspec
import numpy as np
from numpy.typing import NDArray

from proto.errors import IndexBroken, Unavailable
from proto.ids import Row
from stores.blocking import Blocking
from stores.files import sha256_of, sync_file, sync_folder, write_atomic
from stores.ports import Rows, Scores, Vector

M = 16
EF_CONSTRUCTION = 100
"""200 costs half as much again to build for 0.004 more recall (measured on 100,000 vectors)."""
SLICE = 50
"""Vectors inserted at once while queries wait: about 10 ms."""
GROWTH = 1.25
FIRST_CAPACITY = 1_024
UNIT_TOLERANCE = 1e-2

EXACT, GRAPH = "exact", "graph"
GATHER_ALWAYS_BELOW = 10_000
"""Up to so many that pass a filter each is compared: 0.2 to 0.3 ms a thousand, whatever the set's size."""
GATHER_BLOCK = 512
"""Rows copied out of the matrix at once: 1 MB of 512 dimensions stays in the cache until it is multiplied (5,000 rows: 1.9 ms,
of 4,096 at once 2.5)."""
OVERSAMPLE = 1.5
"""How many more the graph is asked for than a filter leaves of them on average."""
GATHER_ROWS_PER_BREADTH = 6.5
"""So many rows are compared in the time in which the graph finds one more (1.6 against 0.25 microseconds, measured on
100,000 to 300,000 vectors of 384 dimensions)."""


class Sidecar(msgspec.Struct, kw_only=True):
    """What must hold before a graph file is handed to hnswlib, which checks nothing itself."""

    sha256: str
    size: int
    dims: int
    model_id: str
    m: int
    hnswlib: str
    checkpoint: int
    count: int


class HnswVectorIndex:
    """Cosine similarity over unit vectors; labels are dense rows. Readers share, a writer is alone."""

    def __init__(
        self,
        path: Path,
        *,
        field: str,
        dims: int,
        model_id: str,
        exact_scan_below: int,
        ef: int,
        search: Blocking,
        write: Blocking,
    ) -> None:
        self.field, self.dims, self.model_id = field, dims, model_id
        self.path, self._exact_scan_below, self._ef = path, exact_scan_below, ef
        self._search, self._write = search, write
        self._matrix = np.zeros((FIRST_CAPACITY, dims), np.float32)
        self._present = np.zeros(FIRST_CAPACITY, bool)
        self._count = self._end = 0
        """How many vectors there are, and the row behind the last."""
        self._graph = _graph(dims, FIRST_CAPACITY, ef)
        self._labels: set[int] = set()
        self._gate = _Gate()
        self.checkpoint = 0
        self.changed = False
        self.rebuilt_because = ""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        field: str,
        dims: int,
        model_id: str,
        vectors: Callable[[], Iterable[tuple[Rows, Vector]]],
        changed_since: Callable[[int], set[Row]],
        sequence: int,
        exact_scan_below: int,
        ef: int,
        blocking: Callable[[str, int], Blocking],
    ) -> HnswVectorIndex:
        """Blocking. The matrix comes from the stored vectors; the graph from its snapshot where that is sound.

        Rows in ``changed_since(checkpoint)`` are inserted again. A snapshot that is absent, damaged, of another
        model or ahead of ``sequence`` is rebuilt from the vectors (``rebuilt_because`` says why).
        """
        index = cls(
            path,
            field=field,
            dims=dims,
            model_id=model_id,
            exact_scan_below=exact_scan_below,
            ef=ef,
            search=blocking(f"search-{field}", 2),
            write=blocking(f"write-{field}", 1),
        )
        index._fill_matrix(vectors())
        try:
            checkpoint = index._load_graph(sequence)
        except IndexBroken as broken:
            index.rebuilt_because, index.changed = str(broken), True  # also an empty one is saved, once
            index._insert(np.flatnonzero(index._present).astype(np.uint32))
        else:
            index._repair(changed_since(checkpoint))
        return index

    async def upsert(self, rows: Sequence[Row], vectors: Vector) -> None:
        if vectors.shape != (len(rows), self.dims) or vectors.dtype != np.float32:
            raise ValueError(f"expected float32 ({len(rows)}, {self.dims}), got {vectors.dtype} {vectors.shape}")
        if not np.isfinite(vectors).all() or (np.abs(np.linalg.norm(vectors, axis=1) - 1) > UNIT_TOLERANCE).any():
            raise ValueError("vectors must be finite and of unit length")
        await self._write.call(self._upsert, np.array(rows, np.uint32), vectors)

    async def delete(self, rows: Sequence[Row]) -> None:
        await self._write.call(self._delete, rows)

    async def nearest(self, vector: Vector, limit: int) -> tuple[Rows, Scores]:
        return await self._search.call(self.nearest_now, vector, limit)

    async def similarities(self, vector: Vector, rows: Rows) -> tuple[Scores, NDArray[np.bool_]]:
        return await self._search.call(self.similarities_now, vector, rows)

    async def save(self, checkpoint: int) -> None:
        await self._write.call(self._save, checkpoint)

    async def count(self) -> int:
        return self._count

    def holds(self, rows: Rows) -> NDArray[np.bool_]:
        """[n]: which of these rows have this field. Of the moment: a writer may be at work."""
        present = self._present
        inside = rows < len(present)
        held = np.zeros(len(rows), bool)
        held[inside] = present[rows[inside]]
        return held

    def _upsert(self, rows: Rows, vectors: Vector) -> None:
        """Vectors that stand already are left alone: most changes to a creator do not touch them."""
        self._grow(int(rows.max(initial=0)) + 1)
        same = self._present[rows] & (self._matrix[rows] == vectors).all(axis=1)
        rows, vectors = rows[~same], vectors[~same]
        for begin in range(0, len(rows), SLICE):
            part = rows[begin : begin + SLICE]
            with self._gate.writing():
                self._put(part, vectors[begin : begin + SLICE])
                self._add(part)

    def _delete(self, rows: Sequence[Row]) -> None:
        with self._gate.writing():
            for row in rows:
                if row < len(self._present) and self._present[row]:
                    self._present[row] = False
                    self._count -= 1
                    self._matrix[row] = 0.0
                    self._overwrite(row)
                    self._graph.mark_deleted(row)
                    self.changed = True

    def _overwrite(self, row: int) -> None:
        """A slot that is marked stays in the graph, and in its file, with the vector that it has."""
        self._graph.add_items(_any_vector(row, self.dims), np.array([row], np.uint64), num_threads=1)

    def nearest_now(
        self, vector: Vector, limit: int, within: NDArray[np.bool_] | None = None, passing: int | None = None
    ) -> tuple[Rows, Scores]:
        """Blocking. The ``limit`` nearest, best first, of all or of those ``within`` (a mask by row; rows beyond its end
        do not pass). ``passing``: how many it lets pass, where that is known.

        Few vectors are compared one and all, and so are few that pass; else a graph is searched, for as many more as do
        not pass. What that finds too few of is compared one and all as well.
        """
        with self._gate.reading():
            count = self._count
            if within is not None:
                passing = int(within.sum()) if passing is None else passing
                if passing <= GATHER_ALWAYS_BELOW:
                    return self._gathered(vector, limit, within)
            if count < self._exact_scan_below:
                return self._scanned(vector, limit, within)
            wanted = self._breadth(limit, count if passing is None else min(passing, count), count)
            if within is not None and passing is not None and scan_is_cheaper(passing, wanted):
                return self._gathered(vector, limit, within)
            found = self._from_graph(vector, limit, wanted, within)
            if found is not None:
                return found
            return self._scanned(vector, limit, within) if within is None else self._gathered(vector, limit, within)

    def plan_of(self, within: NDArray[np.bool_] | None, limit: int) -> str:
        """``exact`` or ``graph``: how `nearest_now` would look for them."""
        count = self._count
        passing = count if within is None else int(within.sum())
        if count < self._exact_scan_below or passing <= GATHER_ALWAYS_BELOW:
            return EXACT
        return EXACT if within is not None and scan_is_cheaper(passing, self._breadth(limit, passing, count)) else GRAPH

    def _breadth(self, limit: int, passing: int, count: int) -> int:
        return max(graph_breadth(limit, passing, count), self._ef)

    def _gathered(self, vector: Vector, limit: int, within: NDArray[np.bool_]) -> tuple[Rows, Scores]:
        """Those that pass, and no others, are read."""
        size = min(len(within), len(self._present))
        rows = np.flatnonzero(within[:size] & self._present[:size]).astype(np.uint32)
        return _best(rows, self._compared(rows, vector), min(limit, len(rows)))

    def _compared(self, rows: Rows, vector: Vector) -> Scores:
        scores = np.empty(len(rows), np.float32)
        for begin in range(0, len(rows), GATHER_BLOCK):
            part = rows[begin : begin + GATHER_BLOCK]
            scores[begin : begin + GATHER_BLOCK] = self._matrix[part] @ vector
        return scores

    def _scanned(self, vector: Vector, limit: int, within: NDArray[np.bool_] | None) -> tuple[Rows, Scores]:
        """The whole matrix is read, in its order."""
        size = self._end
        scores = self._matrix[:size] @ vector
        passing = self._present[:size]
        if within is not None:
            inside = min(size, len(within))
            passing = passing[:inside] & within[:inside]
        rows = np.flatnonzero(passing).astype(np.uint32)
        return _best(rows, scores[rows], min(limit, len(rows)))

    def _from_graph(
        self, vector: Vector, limit: int, wanted: int, within: NDArray[np.bool_] | None
    ) -> tuple[Rows, Scores] | None:
        """None when the graph does not reach ``limit`` live vectors that pass; the caller then compares them all."""
        limit = min(limit, self._count)
        asked = limit if within is None else max(limit, min(wanted, self._count))
        try:
            labels, distances = self._graph.knn_query(vector[None, :], k=asked, num_threads=1)
        except RuntimeError:
            return None
        rows, scores = labels[0].astype(np.uint32), 1.0 - distances[0]
        if within is not None:
            passes = rows < len(within)
            passes[passes] = within[rows[passes]]
            rows, scores = rows[passes], scores[passes]
            if len(rows) < limit:
                return None
        return _best(rows, scores, limit)

    def vectors_of(self, rows: Sequence[Row]) -> Vector:
        """Blocking. [m, dims] of those of ``rows`` that have this field."""
        with self._gate.reading():
            having = [row for row in rows if row < len(self._present) and self._present[row]]
            vectors: Vector = self._matrix[having]
            return vectors

    def similarities_now(self, vector: Vector, rows: Rows) -> tuple[Scores, NDArray[np.bool_]]:
        """Blocking. See `VectorIndex.similarities`."""
        with self._gate.reading():
            having = self.holds(rows)
            scores = np.zeros(len(rows), np.float32)
            scores[having] = self._compared(rows[having], vector)
            return scores, having

    def _save(self, checkpoint: int) -> None:
        """The sidecar is renamed last: a graph without its own sidecar fails the checksum and is rebuilt. Raises
        Unavailable; then the snapshot before stands, and another try is due."""
        temporary = self.path.with_name(self.path.name + ".tmp")
        try:
            with self._gate.reading():
                self._graph.save_index(str(temporary))
                count, size = len(self._labels), self._graph.index_file_size()
                self.changed = False
            if temporary.stat().st_size != size:  # hnswlib does not notice that a disk is full
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(temporary))
            temporary.chmod(0o600)
            sync_file(temporary)
            self._put_in_place(temporary, count, checkpoint)
        except (OSError, RuntimeError) as error:
            self.changed = True
            temporary.unlink(missing_ok=True)
            raise Unavailable(f"{self.path.name}: the graph cannot be saved: {error}") from error

    def _put_in_place(self, temporary: Path, count: int, checkpoint: int) -> None:
        sidecar = Sidecar(
            sha256=sha256_of(temporary),
            size=temporary.stat().st_size,
            dims=self.dims,
            model_id=self.model_id,
            m=M,
            hnswlib=version("hnswlib"),
            checkpoint=checkpoint,
            count=count,
        )
        temporary.replace(self.path)
        sync_folder(self.path.parent)
        write_atomic(_sidecar_path(self.path), msgspec.json.encode(sidecar))
        self.checkpoint = checkpoint

    def _load_graph(self, sequence: int) -> int:
        sidecar = _read_sidecar(self.path)
        expected = (self.dims, self.model_id, M, version("hnswlib"))
        if (sidecar.dims, sidecar.model_id, sidecar.m, sidecar.hnswlib) != expected:
            raise IndexBroken(f"{self.path.name}: made for {sidecar.model_id}, {sidecar.dims} dimensions")
        if sidecar.checkpoint > sequence:
            raise IndexBroken(f"{self.path.name}: ahead of the store")
        if not self.path.exists():
            raise IndexBroken(f"{self.path.name}: the graph is gone")
        _check_sum(self.path, sidecar)
        graph = hnswlib.Index("ip", self.dims)
        graph.load_index(str(self.path), max_elements=max(len(self._present), sidecar.count))
        graph.set_ef(self._ef)
        self._graph, self._labels = graph, {int(label) for label in graph.get_ids_list()}
        self.checkpoint = sidecar.checkpoint
        return sidecar.checkpoint

    def _repair(self, changed: set[Row]) -> None:
        """Brings a loaded graph to the matrix: changed and lacking rows in, rows without a vector out."""
        present = {int(row) for row in np.flatnonzero(self._present)}
        again = (present & changed) | (present - self._labels)
        self._insert(np.array(sorted(again), np.uint32))
        for label in self._labels - present:
            try:
                self._graph.mark_deleted(label)
            except RuntimeError:
                continue  # was marked, and overwritten, when it was saved
            self._overwrite(label)
            self._graph.mark_deleted(label)

    def _insert(self, rows: Rows) -> None:
        for begin in range(0, len(rows), 1_000):
            self._add(rows[begin : begin + 1_000])

    def _add(self, rows: Rows) -> None:
        """Adding a label again replaces its vector, and revives a deleted one."""
        fresh = [int(row) for row in rows if int(row) not in self._labels]
        needed = len(self._labels) + len(fresh)
        if needed > self._graph.max_elements:
            self._graph.resize_index(max(needed, int(self._graph.max_elements * GROWTH)))
        self._graph.add_items(self._matrix[rows], rows.astype(np.uint64), num_threads=1)
        self._labels.update(fresh)
        self.changed = True

    def _fill_matrix(self, slices: Iterable[tuple[Rows, Vector]]) -> None:
        for rows, vectors in slices:
            self._grow(int(rows.max(initial=0)) + 1)
            self._put(rows, vectors)

    def _put(self, rows: Rows, vectors: Vector) -> None:
        self._count += int((~self._present[np.unique(rows)]).sum())
        self._end = max(self._end, int(rows.max(initial=0)) + 1)
        self._matrix[rows] = vectors
        self._present[rows] = True

    def _grow(self, rows: int) -> None:
        have = len(self._present)
        if rows <= have:
            return
        size = max(rows, int(have * GROWTH))
        matrix, present = np.zeros((size, self.dims), np.float32), np.zeros(size, bool)
        with self._gate.writing():
            matrix[:have], present[:have] = self._matrix, self._present
            self._matrix, self._present = matrix, present


def graph_breadth(limit: int, passing: int, count: int) -> int:
    """How many the graph is asked for, so that ``limit`` of them pass a filter that lets ``passing`` of ``count`` pass."""
    return math.ceil(limit * OVERSAMPLE * count / max(passing, 1))


def scan_is_cheaper(passing: int, breadth: int) -> bool:
    """Whether comparing all that pass takes less time than the graph at that breadth."""
    return passing < breadth * GATHER_ROWS_PER_BREADTH


class _Gate:
    """Many readers or one writer; a waiting writer goes before new readers."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers, self._writing, self._waiting = 0, False, 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self._writing and not self._waiting)
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                self._condition.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._condition:
            self._waiting += 1
            self._condition.wait_for(lambda: not self._writing and not self._readers)
            self._waiting -= 1
            self._writing = True
        try:
            yield
        finally:
            with self._condition:
                self._writing = False
                self._condition.notify_all()


def _best(rows: Rows, scores: Scores, limit: int) -> tuple[Rows, Scores]:
    """The ``limit`` best, ties by row, so that an answer does not depend on the order of insertion."""
    if 0 < limit < len(rows):
        edge = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        kept = np.flatnonzero(scores >= edge)
        rows, scores = rows[kept], scores[kept]
    order = np.lexsort((rows, -scores))[:limit]
    return rows[order], scores[order].astype(np.float32)


def _any_vector(row: int, dims: int) -> Vector:
    """A direction that says nothing, another for each row so that graphs do not clump: (1, dims), unit length."""
    vector = np.random.default_rng(row).standard_normal((1, dims)).astype(np.float32)
    unit: Vector = vector / np.linalg.norm(vector)
    return unit


def _graph(dims: int, capacity: int, ef: int) -> Any:
    graph = hnswlib.Index("ip", dims)
    graph.init_index(capacity, M=M, ef_construction=EF_CONSTRUCTION, random_seed=7)
    graph.set_ef(ef)
    graph.set_num_threads(1)
    return graph


def snapshot_trouble(path: Path) -> str:
    """Blocking: what is wrong with a saved graph by its own sidecar; empty for a sound one."""
    try:
        _check_sum(path, _read_sidecar(path))
    except IndexBroken as error:
        return str(error)
    return ""


def _check_sum(path: Path, sidecar: Sidecar) -> None:
    if path.stat().st_size != sidecar.size or sha256_of(path) != sidecar.sha256:
        raise IndexBroken(f"{path.name}: checksum differs")


def _sidecar_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _read_sidecar(path: Path) -> Sidecar:
    try:
        return msgspec.json.decode(_sidecar_path(path).read_bytes(), type=Sidecar)
    except OSError as error:
        raise IndexBroken(f"{path.name}: no snapshot") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IndexBroken(f"{path.name}: its sidecar is damaged: {error}") from error
