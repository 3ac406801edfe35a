"""A vector field on disk: the graph, the rows beside it, and a sidecar that says what both must be."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from proto.errors import IndexBroken
from stores.files import sha256_of, sync_file, sync_folder, write_atomic
from stores.forked import Forked, may_fork
from stores.passing import let_go_of
from stores.vector_graph import FIRST_CAPACITY, Graph, M
from stores.vector_rows import KINDS, VectorRows, make_rows

FORMAT = 3
READ_FORMATS = (2, FORMAT)
"""Before 3 a graph held vectors as they are."""
SAVE_SECONDS = 600.0
"""A million vectors take 4 s on a fast disk; a child that takes longer than this hangs."""
PRESENT, HELD, HIDDEN = 1, 2, 4
"""Bits of a row's state: it has a vector; it has a slot in the graph; that slot is deleted."""


NotNegative = Annotated[int, msgspec.Meta(ge=0)]


class Sidecar(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What must hold before files are handed to hnswlib, which checks nothing itself."""

    format: int = 1
    sha256: str
    size: int
    rows_sha256: str = ""
    rows_size: int = 0
    rows_kind: str = ""
    end: NotNegative = 0
    """Behind the last row that has a state."""
    dims: int
    graph_dims: NotNegative = 0
    """Of what the graph holds, by the basis at the end of the rows' file; 0: vectors as they are."""
    model_id: str
    m: int
    hnswlib: str
    checkpoint: int
    count: int
    """Slots of the graph."""


class Contents(msgspec.Struct, kw_only=True):
    """A field at one moment."""

    graph: Graph
    present: NDArray[np.bool_]
    rows: VectorRows


class Saving:
    """Writes a snapshot in a forked child, since hnswlib holds the interpreter while it saves.

    Made while nothing writes to ``contents``; that may go on as soon as it is made. Queries wait for the fork alone: of
    four fields of a million 8 ms with huge pages (`daemon/deploy/pokedexd.service` asks for them) and 170 to 340 ms without,
    against 0.7 to 1 s for each field that is saved here. That is done where forking is not safe, or the system
    refuses it. Raises OSError or RuntimeError.
    """

    def __init__(self, path: Path, contents: Contents) -> None:
        self._path, self._slots, self._basis = path, contents.graph.slots, contents.graph.basis
        self._graph_file, self._rows_file = _temporary(path), _temporary(rows_path(path))
        drop_unfinished(path)  # whoever still writes to one for a process before writes to a file without a name
        states = _states(contents)
        self._end, self._kind = len(states), contents.rows.kind
        parts = [states, *contents.rows.parts(self._end), *([] if self._basis is None else [self._basis])]
        self._sizes = (contents.graph.file_size, sum(part.nbytes for part in parts))
        self._child = self._started(contents.graph, parts)

    def _started(self, graph: Graph, parts: Sequence[NDArray[Any]]) -> Forked | None:
        def write() -> None:
            graph.save(self._graph_file)
            _write(self._rows_file, parts)

        if may_fork():
            try:
                return Forked(write)
            except OSError as error:
                if error.errno not in (errno.ENOMEM, errno.EAGAIN):
                    raise
        write()
        return None

    def finish(self, *, dims: int, model_id: str, checkpoint: int) -> None:
        """Blocking. The sidecar is renamed last: files without their own sidecar fail the checksum."""
        if self._child is not None:
            self._child.wait(SAVE_SECONDS)
        for file, size in zip((self._graph_file, self._rows_file), self._sizes, strict=True):
            if file.stat().st_size != size:  # hnswlib does not notice that a disk is full
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
            file.chmod(0o600)
            sync_file(file)
        sidecar = Sidecar(
            format=FORMAT,
            sha256=sha256_of(self._graph_file),
            size=self._sizes[0],
            rows_sha256=sha256_of(self._rows_file),
            rows_size=self._sizes[1],
            rows_kind=self._kind,
            end=self._end,
            dims=dims,
            graph_dims=0 if self._basis is None else self._basis.shape[1],
            model_id=model_id,
            m=M,
            hnswlib=version("hnswlib"),
            checkpoint=checkpoint,
            count=self._slots,
        )
        self._rows_file.replace(rows_path(self._path))
        self._graph_file.replace(self._path)
        sync_folder(self._path.parent)
        write_atomic(sidecar_path(self._path), msgspec.json.encode(sidecar))


def load(
    path: Path, *, dims: int, model_id: str, sequence: int, capacity: int, trouble: str | None
) -> tuple[Contents, Sidecar]:
    """Blocking. ``trouble``: what `snapshot_trouble` found, None if it was not asked. Raises IndexBroken with the reason
    why the field must be rebuilt; nothing of the store is read."""
    sidecar = _read_sidecar(path)
    if (sidecar.dims, sidecar.model_id, sidecar.m, sidecar.hnswlib) != (dims, model_id, M, version("hnswlib")):
        raise IndexBroken(f"{path.name}: made for {sidecar.model_id}, {sidecar.dims} dimensions")
    if sidecar.checkpoint > sequence:
        raise IndexBroken(f"{path.name}: ahead of the store")
    trouble = snapshot_trouble(path) if trouble is None else trouble
    if trouble:
        raise IndexBroken(trouble)
    if sidecar.end > sidecar.rows_size or sidecar.graph_dims > dims:
        raise IndexBroken(f"{path.name}: its rows are of another length than its sidecar says")
    rows = make_rows(sidecar.rows_kind, max(capacity, sidecar.end, FIRST_CAPACITY), dims)
    states = np.zeros(sidecar.end, np.uint8)
    basis = np.zeros((dims, sidecar.graph_dims), np.float32) if sidecar.graph_dims else None
    parts = [states, *rows.parts(sidecar.end), *([] if basis is None else [basis])]
    if sum(part.nbytes for part in parts) != sidecar.rows_size:
        raise IndexBroken(f"{path.name}: its rows are of another length than its sidecar says")
    _read(rows_path(path), parts)
    rows.refilled(sidecar.end)
    held, hidden = (states & HELD) > 0, (states & HIDDEN) > 0
    if int(held.sum()) != sidecar.count or not (held & ~hidden == ((states & PRESENT) > 0)).all():
        raise IndexBroken(f"{path.name}: rows and graph differ")
    present = np.zeros(rows.size, bool)
    present[: sidecar.end] = (states & PRESENT) > 0
    graph = Graph.load(path, dims=dims, basis=basis, capacity=capacity, held=held, hidden=hidden)
    for one in (path, rows_path(path)):  # the memory that the next field takes is found the sooner
        let_go_of(one)
    return Contents(graph=graph, present=present, rows=rows), sidecar


def snapshot_trouble(path: Path) -> str:
    """Blocking: what is wrong with a saved field by its own sidecar; empty for a sound one. Both files are read, without
    holding the interpreter."""
    try:
        sidecar = _read_sidecar(path)
        _check_sum(path, sidecar.size, sidecar.sha256)
        _check_sum(rows_path(path), sidecar.rows_size, sidecar.rows_sha256)
    except IndexBroken as error:
        return str(error)
    return ""


def drop_snapshot(path: Path) -> None:
    """The sidecar first: what is left without it is rebuilt."""
    for one in (sidecar_path(path), path, rows_path(path)):
        one.unlink(missing_ok=True)


def drop_unfinished(path: Path) -> None:
    for file in (_temporary(path), _temporary(rows_path(path))):
        file.unlink(missing_ok=True)


def sidecar_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def rows_path(path: Path) -> Path:
    return path.with_name(path.name + ".rows")


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def _states(contents: Contents) -> NDArray[np.uint8]:
    """[end]: each row's bits."""
    graph = contents.graph
    marks = ((PRESENT, contents.present), (HELD, graph.held), (HIDDEN, graph.hidden))
    end = max((int(np.flatnonzero(marked)[-1]) + 1 for _, marked in marks if marked.any()), default=0)
    states = np.zeros(end, np.uint8)
    for bit, marked in marks:
        states[: min(end, len(marked))] |= marked[:end].astype(np.uint8) * np.uint8(bit)
    return states


def _write(path: Path, parts: Sequence[NDArray[Any]]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for part in parts:
            rest = part.reshape(-1).view(np.uint8).data
            while rest:  # a disk that fills up takes a part, and refuses the next one
                rest = rest[os.write(handle, rest) :]
    finally:
        os.close(handle)


def _read(path: Path, parts: Sequence[NDArray[Any]]) -> None:
    with path.open("rb", buffering=0) as file:
        for part in parts:
            rest = part.reshape(-1).view(np.uint8).data
            while rest:
                taken = file.readinto(rest)
                if not taken:
                    raise IndexBroken(f"{path.name}: ends too early")
                rest = rest[taken:]


def _check_sum(path: Path, size: int, sha256: str) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise IndexBroken(f"{path.name}: the file is gone") from error
    if found != size or _mapped_sum(path) != sha256:
        raise IndexBroken(f"{path.name}: checksum differs")


def _mapped_sum(path: Path) -> str:
    """Of a file taken as a whole: reading it piece by piece would take the interpreter between pieces, which a graph that
    is being loaded holds for seconds."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return hashlib.sha256().hexdigest()
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            mapped.madvise(mmap.MADV_SEQUENTIAL)
            return hashlib.sha256(mapped).hexdigest()


def _read_sidecar(path: Path) -> Sidecar:
    try:
        sidecar = msgspec.json.decode(sidecar_path(path).read_bytes(), type=Sidecar)
    except OSError as error:
        raise IndexBroken(f"{path.name}: no snapshot") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IndexBroken(f"{path.name}: its sidecar is damaged: {error}") from error
    if sidecar.format not in READ_FORMATS or sidecar.rows_kind not in KINDS[1:]:
        raise IndexBroken(f"{path.name}: its format is {sidecar.format}, this version reads {FORMAT}")
    return sidecar
