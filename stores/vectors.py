"""Nearest creators of one vector field: rows for exact answers and an hnswlib graph for large sets."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from proto.errors import IndexBroken, PokedexError, Unavailable
from proto.ids import Row
from stores.blocking import Blocking
from stores.gate import Gate
from stores.ports import Rows, Scores, Vector
from stores.principal import dims_kept, fitted, share_of_length
from stores.row_sets import distinct, passes, rows_of
from stores.unit_vectors import of_unit_length
from stores.vector_graph import FIRST_CAPACITY, GROWTH, Graph
from stores.vector_rows import AUTO, FLOAT32, INT8, Made, VectorRows, kind_for, make_rows, part_of
from stores.vector_snapshot import Contents, Saving, drop_unfinished, load

SLICE, QUIET_SLICE, QUIET_SECONDS = 24, 96, 1.0
"""Vectors inserted at once while queries wait: about 10 ms; and where none has come for so long, when one that comes may
wait 40 ms. Between two slices a writer waits for the interpreter as often as for a core."""
REPLACING_COST = 4
"""To replace a vector that a graph holds, or to take it out, takes so much longer at least (1.1 instead of 0.14 ms at 15,000)."""
BUILD_SLICE = 1_000
RENEWAL_SLICE = 250
"""Vectors put into a new graph at once while other writes wait: about 50 ms."""
DECAYED_SHARE = 0.2
"""A graph of which more slots are deleted is built anew. With so many a breadth of 60 finds 0.95 of the nearest twenty
where a new graph finds all (12,000 vectors; at 600 both do). Overwriting slots costs 0.01, however often."""

FITTED_ROWS = 20_000
"""From so many vectors the directions are learnt that a graph keeps; with fewer it keeps the vectors as they are."""
COMPARED_PER_WANTED = 5
"""So many of what such a graph finds are compared as they are, for each that is wanted. With half of the dimensions kept it
then finds what a graph of all of them finds (real texts and the million-world; tests/bench/NOTES.md)."""
HASTY_SHARE = 0.4
"""So much of its breadth, and of what is compared of what it finds, has a graph beside an import, where nobody is filtered out.
Then a search of a million made-up creators finds as many of the true first twenty as at the whole breadth (0.979 and 0.980 of
200 queries), in 21 instead of 28 ms of processor time. Of 17,339 real texts the nearest 20 and 200 are found to 0.998 and
0.988, at the whole breadth to 1.000 and 0.998 (measured; tests/bench/NOTES.md)."""
WATCHED_ROWS, LOST_SHARE = 4_000, 0.05
"""A graph whose directions keep so much less of the vectors' length than those would that are learnt now is built anew."""

EXACT, GRAPH = "exact", "graph"
GATHER_ALWAYS_BELOW = 10_000
"""Up to so many that pass a filter each is compared: 0.1 to 0.2 ms a thousand, whatever the set's size."""
OVERSAMPLE = 1.5
"""How many more the graph is asked for than a filter leaves of them on average."""
COMPARING_WORTH = 2.0
"""How many times as long as the graph a comparison may take: of the twenty nearest of 200,000 codes that pass of a million
it finds 0.998, the graph 0.8 (measured; tests/bench/NOTES.md)."""
GATHER_ROWS_PER_BREADTH = 6.5
"""So many rows are compared in the time in which the graph finds one more (1.6 against 0.25 microseconds, measured on
100,000 to 300,000 vectors of 384 dimensions as float32); what `calibrate` finds on this machine takes its place."""
CALIBRATED_ROWS, CALIBRATED_ROUNDS = 50_000, 5
"""About as many rows as where either way takes as long: of codes only many are cheap, since few of them are compared."""
PLAUSIBLE_RATIO = (1.0, 200.0)
"""Beyond, the machine was doing something else, and what holds stays."""


class HnswVectorIndex:
    """Cosine similarity over unit vectors by dense row. Readers share, a writer is alone: with the graph for as long as a
    slice of vectors takes, with the rows for a moment within that, so that what is compared does not wait for graphs.

    Growth: room for a quarter more is made at a time. The graph's is moved by the kernel, not copied: of 300,000 to 590,000
    vectors, 15 to 30 ms with the interpreter held and no memory but what is used. Rows are copied while searches go on in
    the old ones. ``capacity`` rows have room from the start, which takes memory only as it is used.
    """

    def __init__(
        self,
        path: Path,
        *,
        field: str,
        dims: int,
        model_id: str,
        exact_scan_below: int,
        ef: int,
        capacity: int,
        rows_kind: str,
        graph_share: float,
        vectors_of: Callable[[Rows], tuple[Rows, Vector]],
        blocking: Callable[[str, int], Blocking],
    ) -> None:
        self.field, self.dims, self.model_id = field, dims, model_id
        self.path, self._exact_scan_below, self._ef = path, exact_scan_below, ef
        self._search, self._write = blocking(f"search-{field}", 2), blocking(f"write-{field}", 1).giving_way()
        self._saving = blocking(f"save-{field}", 1)
        self._vectors_of, self._capacity = vectors_of, max(capacity, FIRST_CAPACITY)
        self._graph_dims = dims_kept(dims, graph_share)
        self._rows = make_rows(rows_kind, self._capacity, dims)
        self._present = np.zeros(self._capacity, bool)
        self._count = self._end = 0
        """How many vectors there are, and the row behind the last."""
        self._graph = Graph(dims, self._capacity)
        self._next_graph: Graph | None = None
        """One that is being built to take the other's place; it takes in every change as well."""
        self._gate, self._row_gate = Gate(), Gate()
        """Of the graph; of the rows, for a writer within the other, so that a snapshot finds either both or neither."""
        self.checkpoint = 0
        self.changed = False
        self.rebuilt_because = ""
        self._rows_per_breadth = GATHER_ROWS_PER_BREADTH

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        field: str,
        dims: int,
        model_id: str,
        vectors: Callable[[], Iterable[tuple[Rows, Vector]]],
        vectors_of: Callable[[Rows], tuple[Rows, Vector]],
        changed_since: Callable[[int], set[Row]],
        sequence: int,
        exact_scan_below: int,
        ef: int,
        blocking: Callable[[str, int], Blocking],
        alive: Rows | None = None,
        expected: int = 0,
        capacity: int = 0,
        rows: str = FLOAT32,
        graph_share: float = 1.0,
        trouble: str | None = None,
        tell: Callable[[float], None] = lambda _: None,
    ) -> HnswVectorIndex:
        """Blocking. From its snapshot where that is sound, else from all stored ``vectors`` (``rebuilt_because`` says why:
        it is absent, damaged, of another model or format, or ahead of ``sequence``).

        Of what changed after the snapshot, ``changed_since(checkpoint)``, the stored ``vectors_of`` these rows are put in,
        and those that have none go. The index log names no one who was erased, so rows that are not among the ``alive``
        go as well. ``expected``: how many vectors there may be; ``rows``: how they are kept (`vector_rows`);
        ``graph_share``: how many of their dimensions graphs keep that are made from now on (`principal`); ``trouble``: as
        for `vector_snapshot.load`; ``tell``: what share is loaded.
        """
        index = cls(
            path,
            field=field,
            dims=dims,
            model_id=model_id,
            exact_scan_below=exact_scan_below,
            ef=ef,
            capacity=capacity,
            rows_kind=kind_for(rows, max(expected, capacity)),
            graph_share=graph_share,
            vectors_of=vectors_of,
            blocking=blocking,
        )
        try:
            checkpoint = index._restore(sequence, rows, trouble)
        except IndexBroken as broken:
            index.rebuilt_because, index.changed = str(broken), True  # also an empty one is saved, once
            index._build(vectors(), max(expected, 1), tell)
        else:
            index._repair(changed_since(checkpoint), alive)
        return index

    async def upsert(self, rows: Sequence[Row], vectors: Vector) -> None:
        if vectors.shape != (len(rows), self.dims) or vectors.dtype != np.float32:
            raise ValueError(f"expected float32 ({len(rows)}, {self.dims}), got {vectors.dtype} {vectors.shape}")
        await self._write.call(self._checked_upsert, np.array(rows, np.uint32), vectors)

    async def delete(self, rows: Sequence[Row]) -> None:
        await self._write.call(self._delete, rows)

    async def nearest(self, vector: Vector, limit: int) -> tuple[Rows, Scores]:
        return await self._search.call(self.nearest_now, vector, limit)

    async def similarities(self, vector: Vector, rows: Rows) -> tuple[Scores, NDArray[np.bool_]]:
        return await self._search.call(self.similarities_now, vector, rows)

    async def save(self, checkpoint: int) -> None:
        """Writes go on meanwhile."""
        await self._saving.call(self._save, checkpoint)

    async def count(self) -> int:
        return self._count

    @property
    def saving(self) -> bool:
        """Whether a snapshot is on its way, or looked at for wear. Of the moment, from any thread."""
        return self._saving.busy

    @property
    def rows_kind(self) -> str:
        return self._rows.kind

    @property
    def decay(self) -> float:
        """Share of the graph's slots that are deleted."""
        return self._graph.deleted / max(self._graph.slots, 1)

    async def wear(self) -> str:
        """Why the graph is to be built anew; empty where it is not."""
        return await self._saving.call(self._wear)

    def _wear(self) -> str:
        graph, wanted = self._graph, self._graph_dims
        if self.decay > DECAYED_SHARE:
            return f"{self.decay:.3f} of its slots are deleted"
        if self._count < FITTED_ROWS:
            return ""
        if graph.dims != wanted:
            return f"it holds {graph.dims} dimensions of {self.dims}, and is to hold {wanted}"
        if graph.basis is None:
            return ""
        with self._row_gate.reading():
            some = self._sample(WATCHED_ROWS)
        learnt, judged = some[::2], some[1::2]  # directions fit best what they were learnt from
        kept, possible = share_of_length(judged, graph.basis), share_of_length(judged, fitted(learnt, wanted))
        return f"it keeps {kept:.3f} of its vectors, and could {possible:.3f}" if possible - kept > LOST_SHARE else ""

    async def renew(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Builds the graph anew, in small steps, while the one before answers; False if it was stopped or given up on the way.
        Takes as much memory again as that one."""
        rows = await self._write.call(self._begin_renewal)
        done = False
        try:
            for begin in range(0, len(rows), RENEWAL_SLICE):
                if stopped():
                    return False
                await self._write.call(self._renew, rows[begin : begin + RENEWAL_SLICE])
            done = await self._write.call(self._end_renewal)
            return done
        finally:
            if not done:
                self._next_graph = None

    def holds(self, rows: Rows) -> NDArray[np.bool_]:
        """[n]: which of these rows have this field. Of the moment: a writer may be at work."""
        present = self._present
        inside = rows < len(present)
        if inside.all():
            return present.take(rows)
        held = np.zeros(len(rows), bool)
        held[inside] = present[rows[inside]]
        return held

    def _checked_upsert(self, rows: Rows, vectors: Vector) -> None:
        if not of_unit_length(vectors).all():
            raise ValueError("vectors must be finite and of unit length")
        self._upsert(rows, vectors)

    def _upsert(self, rows: Rows, vectors: Vector) -> None:
        """Vectors that stand already are left alone: most changes to a creator do not touch them."""
        self._grow(int(rows.max(initial=0)) + 1)
        rows, vectors = _last_of_each(rows, vectors)
        there, replacing = np.flatnonzero(self._present[rows]), False
        if len(there):
            new = np.ones(len(rows), bool)
            new[there] = ~(self._rows.same(rows[there], vectors[there]) & self._graph.lives(rows[there]))
            replacing = bool(new[there].any())
            rows, vectors = rows[new], vectors[new]
        made, before = self._rows.made(vectors), self._count
        begin = 0
        while begin < len(rows):
            past = begin + self._at_once(replacing=replacing)
            part = slice(begin, past)
            with self._gate.writing():
                self._put(rows[part], vectors[part], part_of(made, part))
                self.changed = True
            begin = past
        self._learn_directions(before)

    def _learn_directions(self, before: int) -> None:
        """Once, as there come to be enough vectors: an import of many would fill a graph that is to be given up. It takes
        some seconds, in which searches go on in the graph before. Where it fails, or was not done, `renew` does it."""
        unlearnt = self._graph.basis is None and self._next_graph is None and self._graph_dims < self.dims
        if not (unlearnt and before < FITTED_ROWS <= self._count):
            return
        try:
            rows = self._begin_renewal()
            for begin in range(0, len(rows), BUILD_SLICE):
                self._renew(rows[begin : begin + BUILD_SLICE])
            self._end_renewal()
        except (MemoryError, RuntimeError, PokedexError):  # of hnswlib, and of the store; the graph before answers
            self._next_graph = None

    def _put(self, rows: Rows, vectors: Vector, made: Made) -> None:
        """Each row once. The graphs get the vectors as they are, never what rows keep of them."""
        following = self._next_graph  # a renewal may be given up meanwhile
        self._graph.add(rows, vectors)
        if following is not None:
            try:
                following.add(rows, vectors)
            except (MemoryError, RuntimeError):  # `renew` finds that it was given up
                self._next_graph = None
        with self._row_gate.writing():
            self._count += len(rows) - int(np.count_nonzero(self._present[rows]))
            self._end = max(self._end, int(rows.max(initial=0)) + 1)
            self._rows.put_made(rows, made)
            self._present[rows] = True

    def _at_once(self, *, replacing: bool) -> int:
        """Vectors between two moments at which queries may come in."""
        most = QUIET_SLICE if self._gate.quiet_seconds() > QUIET_SECONDS else SLICE
        return most // REPLACING_COST if replacing else most

    def _delete(self, rows: Sequence[int]) -> None:
        begin = 0
        while begin < len(rows):
            past = begin + self._at_once(replacing=True)
            self._delete_slice(rows[begin:past])
            begin = past

    def _delete_slice(self, rows: Sequence[int]) -> None:
        following = self._next_graph
        with self._gate.writing():
            held = [row for row in rows if row < len(self._present) and self._present[row]]
            for row in rows:  # also one that only the graph holds, since a write failed half way
                self.changed |= self._graph.hide(row)
                if following is not None:
                    following.hide(row)
            with self._row_gate.writing():
                for row in dict.fromkeys(held):
                    self._present[row] = False
                    self._count -= 1
                    self._rows.wipe(row)
                    self.changed = True

    def nearest_now(
        self,
        vector: Vector,
        limit: int,
        within: NDArray[np.bool_] | None = None,
        passing: Rows | None = None,
        *,
        hasty: bool = False,
    ) -> tuple[Rows, Scores]:
        """Blocking. The ``limit`` nearest, best first, of all or of those ``within`` (a mask by row; rows beyond its end
        do not pass). ``passing``: the rows that it lets pass, ascending, where they are known. ``hasty``: see `HASTY_SHARE`.

        Few vectors are compared one and all, and so are few that pass; else a graph is searched, for as many more as do
        not pass. What that finds too few of is compared one and all as well. Of many codes that pass, only those are that
        their signs leave (recall of 20: 0.995 or more, of 200: 0.99; measured, tests/bench/NOTES.md).
        """
        count = self._count
        if within is not None and passing is None:
            passing = rows_of(within)
        if passing is not None and len(passing) <= GATHER_ALWAYS_BELOW:
            return self._gathered(vector, limit, passing)
        if count < self._exact_scan_below:
            return self._scanned(vector, limit, within)
        wanted = self._breadth(limit, count if passing is None else min(len(passing), count), count)
        if passing is not None and self._comparing_is_better(len(passing), wanted):
            return self._gathered(vector, limit, passing)
        found = self._from_graph(vector, limit, wanted, within, HASTY_SHARE if hasty and within is None else 1.0)
        if found is not None:
            return found
        return self._scanned(vector, limit, within) if passing is None else self._gathered(vector, limit, passing)

    def plan_of(self, passing: int | None, limit: int) -> str:
        """``exact`` or ``graph``: how `nearest_now` would look for them. ``passing``: None without a filter."""
        count = self._count
        if count < self._exact_scan_below or (count if passing is None else passing) <= GATHER_ALWAYS_BELOW:
            return EXACT
        if passing is None:
            return GRAPH
        return EXACT if self._comparing_is_better(passing, self._breadth(limit, passing, count)) else GRAPH

    def calibrate(self, limit: int) -> None:
        """Blocking, some tens of milliseconds: through how many rows one gets here, for the ``limit`` nearest, in the time
        in which the graph finds one more. Nothing to do where all are compared."""
        if self._count < self._exact_scan_below:
            return
        with self._gate.reading(), self._row_gate.reading():
            some = np.flatnonzero(self._present[: self._end])[:: math.ceil(self._count / CALIBRATED_ROWS)].astype(
                np.uint32
            )
            (vector,) = self._rows.vectors_of([Row(int(some[0]))])
            row = _least_seconds(lambda: self._compared(some, vector, limit)) / len(some)
            narrow, wide = self._ef, min(2 * self._ef, self._graph.live)
            if wide <= narrow:
                return
            wider = _least_seconds(lambda: self._graph.nearest(vector, wide, wide))
            step = (wider - _least_seconds(lambda: self._graph.nearest(vector, narrow, narrow))) / (wide - narrow)
        if PLAUSIBLE_RATIO[0] <= step / row <= PLAUSIBLE_RATIO[1]:
            self._rows_per_breadth = step / row

    def plan(self, limit: int) -> str:
        """In words: how vectors are kept, and when each is compared to find the ``limit`` nearest."""
        held = f"{self._rows.kind} rows"
        if self._count < self._exact_scan_below:
            return f"{held}, all compared"
        first = "" if self._rows.kind == FLOAT32 else ", of many by their signs first"
        most = self.compared_up_to(limit)
        held += f", {self._graph.dims} of {self.dims} dimensions in the graph"
        return f"{held}; where a filter lets up to {most:,} pass all are compared{first}, else the graph"

    def compared_up_to(self, limit: int) -> int:
        """The graph's breadth falls with how many pass, so that both are worth as much where passing² is the limit times all
        there are times the ratio; but for its least breadth."""
        ratio = COMPARING_WORTH * self._rows_per_breadth
        crossing = math.sqrt(limit * self._oversample * self._count * ratio)
        return int(max(GATHER_ALWAYS_BELOW, self._ef * ratio, crossing))

    def _comparing_is_better(self, passing: int, breadth: int) -> bool:
        return passing < breadth * COMPARING_WORTH * self._rows_per_breadth

    def _breadth(self, limit: int, passing: int, count: int) -> int:
        return max(graph_breadth(limit, passing, count, self._oversample), self._ef)

    @property
    def _oversample(self) -> float:
        return OVERSAMPLE if self._graph.basis is None else COMPARED_PER_WANTED

    def _gathered(self, vector: Vector, limit: int, passing: Rows) -> tuple[Rows, Scores]:
        """Those that pass, and no others, are read."""
        with self._row_gate.reading():
            return self._compared(passing[self.holds(passing)], vector, limit)

    def _compared(self, rows: Rows, vector: Vector, limit: int) -> tuple[Rows, Scores]:
        """The best of ``rows``; of many codes those that their signs leave are compared."""
        listed = self._rows.shortlist(rows, vector, limit)
        return _best(listed, self._rows.compared(listed, vector), min(limit, len(listed)))

    def _scanned(self, vector: Vector, limit: int, within: NDArray[np.bool_] | None) -> tuple[Rows, Scores]:
        """All rows are read, in their order."""
        with self._row_gate.reading():
            size = self._end
            scores = self._rows.scanned(size, vector)
            passing = self._present[:size]
            if within is not None:
                inside = min(size, len(within))
                passing = passing[:inside] & within[:inside]
            rows = rows_of(passing)
        return _best(rows, scores[rows], min(limit, len(rows)))

    def _from_graph(
        self, vector: Vector, limit: int, wanted: int, within: NDArray[np.bool_] | None, share: float
    ) -> tuple[Rows, Scores] | None:
        """With ``share`` of the breadth. None when the graph does not reach ``limit`` live vectors that pass; the caller then
        compares them all."""
        with self._gate.reading():
            graph = self._graph
            limit = min(limit, graph.live)
            asked = limit if within is None else max(limit, min(wanted, graph.live))
            if graph.basis is not None:
                asked = max(asked, min(math.ceil(COMPARED_PER_WANTED * share) * limit, graph.live))
            found = graph.nearest(vector, asked, math.ceil(self._ef * share))
        if found is None:
            return None
        rows, scores = found
        if within is not None:
            passing = passes(rows, within)
            rows, scores = rows[passing], scores[passing]
            if len(rows) < limit:
                return None
        if graph.basis is not None:
            scores, having = self.similarities_now(vector, rows)  # who lacks one has gone meanwhile
            rows, scores = rows[having], scores[having]
        return _best(rows, scores, limit)

    def confuses(self, passing: int, limit: int) -> bool:
        """See `VectorIndex.confuses`."""
        return self._rows.kind != FLOAT32 and self.plan_of(passing, limit) == EXACT

    def stored_similarities_now(self, vector: Vector, rows: Rows) -> tuple[Scores, NDArray[np.bool_]]:
        """Blocking. See `VectorIndex.stored_similarities_now`."""
        having, vectors = self._vectors_of(rows)
        scores, known = np.zeros(len(rows), np.float32), np.isin(rows, having)
        scores[known] = vectors @ vector
        return scores, known

    def vectors_of(self, rows: Sequence[Row]) -> Vector:
        """Blocking. [m, dims] of those of ``rows`` that have this field."""
        with self._row_gate.reading():
            having = [row for row in rows if row < len(self._present) and self._present[row]]
            return self._rows.vectors_of(having)

    def similarities_now(self, vector: Vector, rows: Rows) -> tuple[Scores, NDArray[np.bool_]]:
        """Blocking. See `VectorIndex.similarities`."""
        with self._row_gate.reading():
            having = self.holds(rows)
            if having.all():
                return self._rows.compared(rows, vector), having
            scores = np.zeros(len(rows), np.float32)
            scores[having] = self._rows.compared(rows[having], vector)
            return scores, having

    def _save(self, checkpoint: int) -> None:
        """Raises Unavailable; then the snapshot before stands, and another try is due."""
        try:
            with self._gate.reading(), self._row_gate.reading():
                saving = Saving(self.path, Contents(graph=self._graph, present=self._present, rows=self._rows))
                self.changed = False
            saving.finish(dims=self.dims, model_id=self.model_id, checkpoint=checkpoint)
        except (OSError, RuntimeError) as error:
            self.changed = True
            drop_unfinished(self.path)
            raise Unavailable(f"{self.path.name}: the graph cannot be saved: {error}") from error
        self.checkpoint = checkpoint

    def _restore(self, sequence: int, setting: str, trouble: str | None) -> int:
        """Returns the snapshot's checkpoint. Raises IndexBroken."""
        contents, sidecar = load(
            self.path,
            dims=self.dims,
            model_id=self.model_id,
            sequence=sequence,
            capacity=self._capacity,
            trouble=trouble,
        )
        wanted = self._rows.kind
        if contents.rows.kind == FLOAT32 and wanted == INT8:
            self.changed = True
            contents.rows = _recoded(contents, sidecar.end, self.dims)
        elif contents.rows.kind != wanted and setting != AUTO:  # codes that were chosen by size stay
            raise IndexBroken(f"{self.path.name}: its rows are {contents.rows.kind}, not {wanted}")
        self._graph, self._rows, self._present = contents.graph, contents.rows, contents.present
        self._count, self._end = int(self._present.sum()), sidecar.end
        self.checkpoint = sidecar.checkpoint
        return sidecar.checkpoint

    def _repair(self, changed: set[Row], alive: Rows | None) -> None:
        """Brings a loaded field to the store."""
        rows = np.array(sorted(changed), np.uint32)
        for begin in range(0, len(rows), BUILD_SLICE):
            part = rows[begin : begin + BUILD_SLICE]
            having, vectors = self._vectors_of(part)
            self._delete(np.setdiff1d(part, having).tolist())
            self._upsert(having, vectors)
        if alive is not None:
            self._delete(np.setdiff1d(np.flatnonzero(self._present), alive).tolist())

    def _build(self, slices: Iterable[tuple[Rows, Vector]], expected: int, tell: Callable[[float], None]) -> None:
        """Nobody reads yet."""
        for rows, vectors in slices:
            self._grow(int(rows.max(initial=0)) + 1)
            rows, vectors = _last_of_each(rows, vectors)
            made, before = self._rows.made(vectors), self._count
            for begin in range(0, len(rows), BUILD_SLICE):
                part = slice(begin, begin + BUILD_SLICE)
                self._put(rows[part], vectors[part], part_of(made, part))
            self._learn_directions(before)
            tell(min(self._count / expected, 1.0))

    def _sample(self, most: int) -> Vector:
        """[n, dims]: about so many, from everywhere; of codes what they stand for."""
        rows = np.flatnonzero(self._present[: self._end])
        return self._rows.vectors_of(rows[:: max(len(rows) // most, 1)].astype(np.uint32))

    def _empty_graph(self) -> Graph:
        learns = self._graph_dims < self.dims and self._count >= FITTED_ROWS
        basis = fitted(self._sample(FITTED_ROWS), self._graph_dims) if learns else None
        return Graph(self.dims, max(self._capacity, self._count), basis)

    def _begin_renewal(self) -> Rows:
        self._next_graph = self._empty_graph()
        return rows_of(self._present)

    def _renew(self, rows: Rows) -> None:
        """What came, or came anew, since the beginning is there already; what rows keep is not exact, the store is."""
        graph = self._next_graph
        if graph is None:
            return
        held = np.zeros(len(rows), bool)
        inside = rows < len(graph.held)
        held[inside] = graph.held[rows[inside]]
        rows = rows[self._present[rows] & ~held]
        graph.add(*((rows, self._rows.vectors_of(rows)) if self._rows.kind == FLOAT32 else self._vectors_of(rows)))

    def _end_renewal(self) -> bool:
        """False where it was given up on the way."""
        if (graph := self._next_graph) is None:
            return False
        with self._gate.writing():
            self._graph, self._next_graph, self.changed = graph, None, True
        return True

    def _grow(self, rows: int) -> None:
        """Copied before readers have to wait: nobody else writes."""
        have = len(self._present)
        if rows <= have:
            return
        size = max(rows, int(have * GROWTH))
        larger, present = self._rows.grown(size), np.zeros(size, bool)
        present[:have] = self._present
        with self._row_gate.writing():
            self._rows, self._present = larger, present


def _last_of_each(rows: Rows, vectors: Vector) -> tuple[Rows, Vector]:
    """Each row once, with the last of its vectors."""
    if len(distinct(rows)) == len(rows):
        return rows, vectors
    last = dict(zip(rows.tolist(), range(len(rows)), strict=True))
    at = np.fromiter(last.values(), np.intp)
    return rows[at], vectors[at]


def _recoded(contents: Contents, end: int, dims: int) -> VectorRows:
    """Rows that were kept as float32 until now, as codes."""
    coded = make_rows(INT8, contents.rows.size, dims)
    for begin in range(0, end, BUILD_SLICE):
        part = np.arange(begin, min(begin + BUILD_SLICE, end), dtype=np.uint32)
        coded.put(part, contents.rows.vectors_of(part))
    return coded


def graph_breadth(limit: int, passing: int, count: int, oversample: float) -> int:
    """How many the graph is asked for, so that ``oversample`` times ``limit`` of them pass a filter that lets ``passing`` of
    ``count`` pass."""
    return math.ceil(limit * oversample * count / max(passing, 1))


def _least_seconds(step: Callable[[], object]) -> float:
    spent = []
    for _ in range(CALIBRATED_ROUNDS):
        began = time.perf_counter()
        step()
        spent.append(time.perf_counter() - began)
    return min(spent)


def _best(rows: Rows, scores: Scores, limit: int) -> tuple[Rows, Scores]:
    """The ``limit`` best, ties by row, so that an answer does not depend on the order of insertion."""
    if 0 < limit < len(rows):
        edge = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        kept = np.flatnonzero(scores >= edge)
        rows, scores = rows[kept], scores[kept]
    order = np.lexsort((rows, -scores))[:limit]
    return rows[order], scores[order].astype(np.float32)
