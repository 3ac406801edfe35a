"""The one LMDB environment: whoever writes hands over a function of a transaction; one thread at a time commits."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import lmdb
import msgspec
import trio

from proto.errors import DiskFull, StoreBusy, Unavailable, Unreadable
from stores.blocking import Blocking, RunSync
from stores.codec import SCHEMA_VERSION, pack_id, unpack_id
from stores.damage import DAMAGE, damage_told, damaged, open_environment
from stores.files import is_disk_full
from stores.passing import PassingSink

T = TypeVar("T")

DATABASES = (
    "accounts",
    "account_by_handle",
    "account_by_creator",
    "creators",
    "rows",
    "content",
    "content_months",
    "metrics",
    "account_vectors",
    "embeddings",
    "raw",
    "raw_by_account",
    "schedule",
    "schedule_due",
    "schedule_by_account",
    "leases",
    "ledger",
    "subscriptions",
    "subscriptions_due",
    "subscription_by_token",
    "push_tally",
    "work",
    "dead_letters",
    "identity_links",
    "identity_facts",
    "identity_keys",
    "identity_words",
    "identity_pairs",
    "identity_review",
    "identity_decisions",
    "identity_backlog",
    "handle_history",
    "founders",
    "former_creators",
    "former_by_account",
    "retired_creators",
    "avatars",
    "avatars_due",
    "labellings",
    "labellings_due",
    "llm_spend",
    "index_log",
    "index_sequence",
    "tenants",
    "keys",
    "sessions",
    "lists",
    "list_steps",
    "list_visits",
    "hidden",
    "notes",
    "saved_searches",
    "query_log",
    "pauses",
    "tasks",
    "audit",
    "events",
    "meta",
)
"""All are opened at start: opening one inside a write transaction would freeze the process."""

SCHEMA = b"schema_version"
"""Meta entry: of the version that made the store; one without it is of version 1."""

RESTORING = "restoring"
"""Folder in the data directory where a restore is under way: until it is done nothing may be served from there."""

LOCK = "pokedexd.lock"
"""File in the data directory that the process which has it holds."""

COPYING = "backup-copy"
"""Folder in the data directory for the copy that a backup is made of; what a crash leaves of it goes at the next start,
since it may hold somebody who was forgotten since."""

Damaged = dict[tuple[str, str], str]
"""Database and key of records that cannot be read, as `Unreadable` has them → why."""

FULL_SECONDS = 2.0
"""Between tries of a change for which there was no room."""

ROOM_BYTES, ROOM_SHARE = 32 << 20, 0.05
"""So much of a map that was full, or this share of a small one, must be free before it has room again."""
ROOM_FILLER = bytes(4_000)
"""Takes a page of its own."""

COPIED_BYTES = 1 << 20
"""Of a copy, taken at once at most from the thread that reads the store."""

INTERRUPTING = signal.valid_signals() - {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
"""Signals but those that tell of a fault in the very thread."""

MAX_FOLDED = 1_000
"""Changes folded into one transaction at most."""


class Txn:
    """A transaction as the stores see it: named databases, prefix scans, kept counters."""

    __slots__ = ("_counters", "_damaged", "_databases", "_txn")

    def __init__(self, txn: Any, databases: dict[str, Any], damaged: Damaged | None = None) -> None:
        """``damaged``: where `if_whole` notes what it passes over."""
        self._txn, self._databases = txn, databases
        self._counters: dict[str, int] = {}
        self._damaged = {} if damaged is None else damaged

    def if_whole(self, look: Callable[[], T]) -> T | None:
        """For whoever goes through all records: what ``look`` reads, or None where a record that it needs cannot be
        read. That is noted, so that an operator is told, and everybody else is gone through all the same."""
        try:
            return look()
        except Unreadable as error:
            _note_in(self._damaged, error)
            return None

    def get(self, database: str, key: bytes) -> bytes | None:
        value: bytes | None = self._txn.get(key, db=self._databases[database])
        return value

    def put(self, database: str, key: bytes, value: bytes) -> None:
        self._txn.put(key, value, db=self._databases[database])

    def delete(self, database: str, key: bytes) -> bool:
        removed: bool = self._txn.delete(key, db=self._databases[database])
        return removed

    def scan(self, database: str, prefix: bytes = b"", start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with this key prefix in key order, from ``start`` (inclusive). Do not change the database meanwhile."""
        with self._txn.cursor(db=self._databases[database]) as cursor:
            first = prefix if start is None else start
            if not (cursor.set_range(first) if first else cursor.first()):
                return
            for key, value in cursor:
                if not key.startswith(prefix):
                    return
                yield key, value

    def pass_over(self, database: str, start: bytes, most: int) -> bytes | None:
        """Goes over ``most`` keys from ``start`` (inclusive) on, which brings the pages that they lie in into memory, not those
        behind the first of a value that is larger than a page; the key behind them, None where there is none."""
        with self._txn.cursor(db=self._databases[database]) as cursor:
            if not (cursor.set_range(start) if start else cursor.first()):
                return None
            keys: Iterator[bytes] = cursor.iternext(keys=True, values=False)
            return next(islice(keys, most, None), None)

    def pages(self, database: str) -> int:
        """Of a database; kept by LMDB, no scan."""
        stat = self._txn.stat(db=self._databases[database])
        return int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])

    def entries(self, database: str) -> int:
        """How many pairs a database holds; kept by LMDB, no scan."""
        count: int = self._txn.stat(db=self._databases[database])["entries"]
        return count

    def counter(self, name: str) -> int:
        if name not in self._counters:
            stored = self.get("meta", b"counter:" + name.encode())
            self._counters[name] = unpack_id(stored) if stored else 0
        return self._counters[name]

    def add(self, name: str, delta: int = 1) -> int:
        """Adds to a kept counter and returns its new value."""
        self._counters[name] = self.counter(name) + delta
        return self._counters[name]

    def end_reading(self) -> None:
        """Nothing can be read any more, and whoever still holds this, such as the traceback of an error, holds no reader
        slot: LMDB's binding frees that with the transaction's object, and a traceback may wait for the collector."""
        self._txn.abort()
        self._txn = None

    def copy(self, env: Any, take: Callable[[bytes], object]) -> int:
        """Hands the whole store, compacted, to ``take`` a piece at a time; the number of the last commit in it.

        LMDB walks through it in another thread, which ends when ``take`` raises. Raises lmdb.Error, and what ``take`` does.
        """
        reading, writing = os.pipe()
        failed: list[Exception] = []

        def walk() -> None:
            try:
                signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTING)  # LMDB takes an interrupted write for a failure
                env.copyfd(writing, compact=True, txn=self._txn)
            except Exception as error:
                failed.append(error)
            finally:
                os.close(writing)

        walker = threading.Thread(target=walk, name="store-copy")
        try:
            with os.fdopen(reading, "rb", 0) as pipe:
                with suppress(OSError, AttributeError):  # a system that has no other sizes of pipes
                    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, COPIED_BYTES)
                _start(walker)
                while data := pipe.read(COPIED_BYTES):
                    take(data)
        finally:
            if walker.ident is None:
                os.close(writing)
            else:
                walker.join()  # without a reader it ends at its next piece
        if failed:
            raise failed.pop()
        return int(self._txn.id())

    def flush_counters(self) -> None:
        for name, value in self._counters.items():
            self.put("meta", b"counter:" + name.encode(), pack_id(value))


def _start(walker: threading.Thread) -> None:
    """Raises OSError where the system has no room for another thread."""
    try:
        walker.start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error


def _note_in(damaged: Damaged, error: Unreadable) -> None:
    """The first word stands."""
    damaged.setdefault((error.database, error.key), str(error))


class _Change(Generic[T]):
    """A function of a transaction on its way through a group commit."""

    __slots__ = ("done", "error", "function", "result", "synced")

    def __init__(self, function: Callable[[Txn], T], synced: bool) -> None:
        self.function, self.synced = function, synced
        self.result: T | None = None
        self.error: BaseException | None = None
        self.done = False


class Environment:
    """Opens the data directory for this process alone; see ``write`` and ``read``."""

    def __init__(
        self,
        data_dir: Path,
        *,
        map_size_bytes: int = 64 << 30,
        readers: int = 6,
        run_sync: RunSync = trio.to_thread.run_sync,
        durable: bool = True,
        schema_version: int = SCHEMA_VERSION,
    ) -> None:
        """Raises StoreBusy when another process holds the directory, Unavailable when it cannot be used, be it that a
        newer version wrote it, that an older one did and it was not migrated, or that a restore into it was not finished.

        ``durable`` False spares the disk, for stores that are thrown away. ``schema_version``: the one that is expected;
        another than the present one only while migrating.
        """
        self.damaged: Damaged = {}
        """What was passed over so far since it could not be read, in the order in which it was met."""
        self._lock_file = lock_data_dir(data_dir)
        try:
            _refuse_half_restored(data_dir)
            shutil.rmtree(data_dir / COPYING, ignore_errors=True)
            self._path = data_dir / "store"
            self._path.mkdir(mode=0o700, exist_ok=True)
            self._env = open_environment(
                self._path,
                map_size=map_size_bytes,
                max_dbs=len(DATABASES),
                max_readers=64,
                max_spare_txns=readers,
                readahead=False,  # a page that is asked for would bring 31 others, and a store beyond memory nothing else
                metasync=False,
                sync=durable,
                mode=0o600,
            )
            try:
                with damage_told(self._path):
                    self._databases = {name: self._env.open_db(name.encode()) for name in DATABASES}
                    self._take_schema(data_dir, schema_version)
            except BaseException:
                self._env.close()
                raise
        except (lmdb.Error, OSError) as error:
            os.close(self._lock_file)
            raise Unavailable(f"{data_dir}: the store cannot be opened: {error}") from error
        except Unavailable:
            os.close(self._lock_file)
            raise
        self.drop_dead_readers()
        self._writer = Blocking("lmdb-writer", 1, run_sync)
        self._readers = Blocking("lmdb-reader", readers, run_sync)
        self._waiting: list[_Change[Any]] = []
        self._turn = trio.Lock()
        self.waits_for_room = False
        """Whether a change for which there is no room waits until there is, or raises DiskFull; see `write`."""
        self.full_because = ""
        """What the disk said when it refused the latest change; empty once one has been written. Of a map that is full:
        until `find_room` finds some, since a small change may find its pages where a large one does not."""
        self.map_is_full = False
        self._held_because = ""
        self._free = trio.Event()
        self.commits = 0
        self.changes = 0
        self.writer_busy_seconds = 0.0

    def close(self) -> None:
        self._env.sync(True)
        self._env.close()
        os.close(self._lock_file)

    async def room(self) -> None:
        """Waits while the store is held, where ``waits_for_room`` says so."""
        while self._held_because and self.waits_for_room:
            await self._free.wait()

    async def write(self, change: Callable[[Txn], T], *, synced: bool = False, waits: bool = True) -> T:
        """Runs ``change`` in a write transaction, folded with whatever else waits, and returns its result.

        ``change`` may run again if a neighbour in its transaction fails, so it must have no effect but on the
        transaction. ``synced`` puts the commit on the disk before returning. Never abandoned on cancel, but for waiting:
        what is not ``synced`` waits while the store is held or full where ``waits_for_room`` says so; all else raises
        DiskFull, and so does what never ``waits``: who holds a lock that an operator's change needs.
        """
        while True:
            if waits and not synced:
                await self.room()
            elif self._held_because and not synced:
                raise DiskFull(self._held_because)
            try:
                return await self._write(change, synced)
            except DiskFull:
                if synced or not waits or not self.waits_for_room:
                    raise
            await trio.sleep(FULL_SECONDS)

    async def _write(self, change: Callable[[Txn], T], synced: bool) -> T:
        mine: _Change[T] = _Change(change, synced)
        self._waiting.append(mine)
        with trio.CancelScope(shield=True):
            async with self._turn:
                while not mine.done:
                    batch = self._waiting[:MAX_FOLDED]
                    del self._waiting[:MAX_FOLDED]
                    await self._writer.call(self._commit, batch)
        if mine.error is not None:
            raise mine.error
        return mine.result  # type: ignore[return-value]

    @property
    def held_because(self) -> str:
        """Why nothing is taken in; empty while it is."""
        return self._held_because

    def hold(self, reason: str) -> None:
        """Changes that are not ``synced`` wait from now on, so that what room there is serves what operators do."""
        if not self._held_because:
            self._free = trio.Event()
        self._held_because = reason

    def release(self) -> None:
        self._held_because = ""
        self._free.set()

    def stop_waiting(self) -> None:
        """For the end of the daemon: what waits for room now, or would, raises DiskFull if there is none."""
        self.waits_for_room = False
        self.release()

    async def read(self, look: Callable[[Txn], T]) -> T:
        """Runs ``look`` on a snapshot, in a reader thread. It must return copies, not iterators."""
        return await self._readers.call(self._look, look)

    def _look(self, look: Callable[[Txn], T]) -> T:
        with self.snapshot() as txn:
            return look(txn)

    def snapshot(self) -> AbstractContextManager[Txn]:
        """A read transaction for code that already runs in a thread. Keep it short: it pins pages."""
        return _reading(self._env, self._databases, self.damaged)

    def write_now(self, change: Callable[[Txn], T], *, synced: bool = True) -> T:
        """A write while no event loop runs (at start, or without a daemon); ``synced`` as of `write`."""
        one: _Change[T] = _Change(change, synced)
        self._commit([one])
        if one.error is not None:
            raise one.error
        return one.result  # type: ignore[return-value]

    def _commit(self, batch: list[_Change[Any]]) -> None:
        started = time.perf_counter()
        try:
            self._run_together(batch)
        except Exception:
            for change in batch:  # one of them failed: each alone, so that only the guilty one is told
                self._run_alone(change)
        failed = self._sync() if any(change.synced for change in batch) else None
        for change in batch:
            change.error = change.error or failed
            change.done = True
        self._note_room(batch)
        self.commits += 1
        self.changes += len(batch)
        self.writer_busy_seconds += time.perf_counter() - started

    def _note_room(self, batch: list[_Change[Any]]) -> None:
        full = next((str(change.error) for change in batch if isinstance(change.error, DiskFull)), "")
        if full or (any(change.error is None for change in batch) and not self.map_is_full):
            self.full_because = full

    async def find_room(self) -> bool:
        """Whether the map has room again, in pages that were freed or never used; nothing is written."""
        self.map_is_full = not await self._writer.call(self._has_map_room)
        if not self.map_is_full:
            self.full_because = ""
        return not self.map_is_full

    def _has_map_room(self) -> bool:
        meta = self._databases["meta"]
        try:
            with self._env.begin(write=True, db=meta) as txn:  # what was freed can be used by the commit after the next
                txn.put(SCHEMA, txn.get(SCHEMA) or pack_id(1))  # one without the entry is of version 1
            self._fill(meta)
        except lmdb.MapFullError:
            return False
        return True

    def _fill(self, database: Any) -> None:
        pages = min(ROOM_BYTES, int(self._env.info()["map_size"] * ROOM_SHARE)) // self.page_bytes
        txn = self._env.begin(write=True, db=database)
        try:
            for number in range(pages):
                txn.put(b"room:%d" % number, ROOM_FILLER)
        finally:
            txn.abort()

    def _sync(self) -> Unavailable | None:
        """What the disk refused, if it did: then nobody of the batch may believe that it is stored."""
        try:
            self._env.sync(True)
        except lmdb.Error as error:
            kind = DiskFull if _says_full(error) else Unavailable
            return kind(f"the store cannot be written to the disk: {error}")
        return None

    def _run_together(self, batch: list[_Change[Any]]) -> None:
        with self._env.begin(write=True) as raw:
            txn = Txn(raw, self._databases, self.damaged)
            for change in batch:
                change.result = change.function(txn)
            txn.flush_counters()

    def _run_alone(self, change: _Change[Any]) -> None:
        try:
            self._run_together([change])
        except Exception as error:
            change.error = self._told(error)

    def _told(self, error: Exception) -> Exception:
        """In the words of operators, where it is about the store and not about the change."""
        if _says_full(error):
            self.map_is_full = self.map_is_full or isinstance(error, lmdb.MapFullError)
            return DiskFull(_full_words(error))
        return damaged(self._path, error) if isinstance(error, DAMAGE) else error

    def note_damage(self, error: Unreadable) -> None:
        """That it was passed over, as `Txn.if_whole` does."""
        _note_in(self.damaged, error)

    def drop_dead_readers(self) -> int:
        """Blocking, microseconds: lets go of what processes read that were killed meanwhile, such as a doctor's: no page
        that was freed since could be used again, and the file would grow with every commit. Returns how many."""
        return int(self._env.reader_check())

    @property
    def page_bytes(self) -> int:
        return int(self._env.stat()["psize"])

    def disk_bytes(self) -> int:
        """Bytes of the map that hold data."""
        return int(self._env.info()["last_pgno"] + 1) * self.page_bytes

    def copy_to(self, target: Path, tell: Callable[[int], None] = lambda _: None) -> int:
        """A consistent compacted copy into an empty directory, and the number of the last commit that is in it.

        Blocking, but no writer waits for it; what is committed meanwhile is not in it, and takes new pages. ``tell``: bytes
        so far; what it raises ends the copy. Raises lmdb.Error or OSError when the disk does not have room.
        """
        file = os.open(target / "data.mdb", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as out, self.snapshot() as txn:
            sink, done = PassingSink(out), 0

            def take(data: bytes) -> None:
                nonlocal done
                done += sink.write(data)
                tell(done)

            commit = txn.copy(self._env, take)
            sink.sync()
        return commit

    def _take_schema(self, data_dir: Path, expected: int) -> None:
        """Raises Unavailable for a store of another schema."""
        with self.snapshot() as txn:
            stored = _schema_in(txn)
        if stored is None:
            with self._env.begin(write=True) as raw:
                raw.put(SCHEMA, pack_id(expected), db=self._databases["meta"])
        elif stored != expected:
            words = newer_schema if stored > expected else older_schema
            raise Unavailable(words(data_dir, stored, expected))


@contextmanager
def _reading(env: Any, databases: dict[str, Any], noted: Damaged | None = None) -> Iterator[Txn]:
    """Raises StoreDamaged where what is read of the store cannot be."""
    with damage_told(Path(env.path())):
        txn = Txn(env.begin(), databases, noted)
        try:
            yield txn
        finally:
            txn.end_reading()


def _says_full(error: BaseException) -> bool:
    """LMDB tells of a full disk by an input/output error, where it wrote a part (stack-notes 6)."""
    if isinstance(error, lmdb.MapFullError):
        return True
    return isinstance(error, lmdb.Error) and (is_disk_full(error) or os.strerror(errno.EIO) in str(error))


def _full_words(error: BaseException) -> str:
    if isinstance(error, lmdb.MapFullError):
        return "the store's map is full: raise storage.map_size_gib and restart"
    return f"the store cannot be written: the disk is full, or broken ({error})"


def _schema_in(txn: Txn) -> int | None:
    """None for a store that was just made."""
    stored = txn.get("meta", SCHEMA)
    if stored is not None:
        return unpack_id(stored)
    return 1 if txn.entries("meta") else None


def stored_schema(data_dir: Path) -> int | None:
    """Blocking, writes nothing: the schema version of a data directory's store; None where there is no store, or an empty
    one. Raises Unavailable for what is no whole store. For a directory that no other process has."""
    try:
        if not (data_dir / "store" / "data.mdb").exists():
            return None
    except OSError as error:
        raise Unavailable(f"{data_dir}: the store cannot be opened: {error}") from error
    with look_into(data_dir, shared=False) as found:
        return found.schema_version


class Glimpse(msgspec.Struct, frozen=True, kw_only=True):
    """A store as a look from outside finds it."""

    txn: Txn
    """Of databases that a store of an older version lacks nothing can be read."""
    schema_version: int | None
    used_bytes: int
    """Of the map."""


@contextmanager
def look_into(data_dir: Path, *, shared: bool) -> Iterator[Glimpse]:
    """Blocking, writes nothing. ``shared``: while a daemon has the store. Raises Unavailable for what is no whole store."""
    path = data_dir / "store"
    try:
        with _opened_to_read(path, shared=shared) as (env, databases):
            used = int(env.info()["last_pgno"] + 1) * int(env.stat()["psize"])
            with _reading(env, databases) as txn:
                version = _schema_in(txn) if "meta" in databases else None
                yield Glimpse(txn=txn, schema_version=version, used_bytes=used)
    except (lmdb.Error, OSError) as error:
        raise Unavailable(f"{path}: the store cannot be read: {error}") from error


class Onlooker:
    """Reads a store that another process may have, a short transaction at a time, and writes nothing."""

    def __init__(self, env: Any, databases: dict[str, Any]) -> None:
        self._env, self._databases = env, databases

    async def read(self, look: Callable[[Txn], T]) -> T:
        """As `Environment.read`, but blocking."""
        with _reading(self._env, self._databases) as txn:
            return look(txn)


@contextmanager
def look_on(data_dir: Path) -> Iterator[Onlooker]:
    """Raises Unavailable for what is no whole store, or one of another schema."""
    path = data_dir / "store"
    with ExitStack() as stack:
        try:
            env, databases = stack.enter_context(_opened_to_read(path, shared=True))
            with _reading(env, databases) as txn:
                stored = (_schema_in(txn) if "meta" in databases else None) or SCHEMA_VERSION
        except (lmdb.Error, OSError) as error:
            raise Unavailable(f"{path}: the store cannot be read: {error}") from error
        if stored != SCHEMA_VERSION or len(databases) < len(DATABASES):
            words = newer_schema if stored > SCHEMA_VERSION else older_schema
            raise Unavailable(words(data_dir, stored, SCHEMA_VERSION))
        yield Onlooker(env, databases)


@contextmanager
def _opened_to_read(path: Path, *, shared: bool) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The environment with those databases that it has. Raises lmdb.Error and OSError, and StoreDamaged."""
    with (
        damage_told(path),
        open_environment(path, readonly=True, lock=shared, max_dbs=len(DATABASES), mode=0o600) as env,
    ):
        databases: dict[str, Any] = {}
        for name in DATABASES:
            with suppress(lmdb.NotFoundError):
                databases[name] = env.open_db(name.encode(), create=False)
        yield env, databases


def newer_schema(data_dir: Path, stored: int, known: int) -> str:
    return (
        f"{data_dir}: the store has schema version {stored}, of a newer pokedexd; this one knows "
        f"versions up to {known}: install the newer one again, or restore a backup made before"
    )


def older_schema(data_dir: Path, stored: int, known: int) -> str:
    return (
        f"{data_dir}: the store has schema version {stored}, this pokedexd needs {known}: "
        "start the daemon, which migrates it, or run pokedexd migrate"
    )


def _refuse_half_restored(data_dir: Path) -> None:
    if (data_dir / RESTORING / "store").exists():
        raise Unavailable(f"{data_dir}: a restore into it was not finished; run the same pokedexd restore again")


def lock_data_dir(data_dir: Path) -> int:
    """Takes the directory for this process; the kernel lets go when the process ends, however it ends."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, stat.S_IRUSR | stat.S_IWUSR)
    except OSError as error:
        raise Unavailable(f"{data_dir}: the data directory cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise StoreBusy(
            f"{data_dir}: another pokedexd (pid {holder}) uses this data directory; "
            "stop it or choose another --data-dir"
        ) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle
