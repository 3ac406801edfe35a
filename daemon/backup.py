"""Backups of a store that is in use: one file with a consistent copy of the store and the settings, no secret in it."""

from __future__ import annotations

import calendar
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import IO

import lmdb
import msgspec
import structlog
import trio

from daemon.config import BackupConfig
from daemon.tasks import Tasks
from daemon.tasks import Tell as TellTask
from proto.errors import Malformed, PokedexError, Unavailable
from proto.records import Event
from stores.backup_file import FORMAT_VERSION, Manifest, Tell, parts_of, write_backup_file
from stores.blocking import Blocking
from stores.codec import SCHEMA_VERSION
from stores.content import ITEMS
from stores.env import COPYING, DATABASES, Environment
from stores.files import sync_folder
from stores.journal import Journal
from stores.passing import PassingSink
from stores.removal import empty_gently
from stores.subscriptions import withhold_subscriptions

log = structlog.get_logger("backup")

STORE, SETTINGS = "store/data.mdb", "pokedexd.toml"
"""Parts of a backup."""
PREFIX, STAMP, SUFFIX, UNFINISHED = "pokedexd-", "%Y%m%dT%H%M%SZ", ".backup", ".unfinished"
"""Of the names of what is made by the clock."""
RETRY_SECONDS = 3_600.0
"""After a backup that failed, unless the next one is due before."""


LAST_BACKUP_AT = "last_backup_at"
"""Meta entry: the daemon's time, in epoch seconds, at which the last complete backup was begun."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was made."""

    file: str
    size: int
    """Bytes."""
    seconds: float
    manifest: Manifest


STEPS = ("copying", "cleaning", "summing", "packing", "removing")
"""Of a backup, in their order. Cleaned is only a copy with what must not leave the machine; removing it is a step where others
search meanwhile."""
STEP_PARTS = 10_000
"""In which a task tells how far a step is: their bytes differ."""


class Progress(msgspec.Struct, kw_only=True):
    """How far the step under way is; ``step`` empty while there is none."""

    step: str = ""
    done: int = 0
    total: int = 0


def make_backup(
    env: Environment,
    data_dir: Path,
    file: Path,
    *,
    settings: str,
    created_at: float,
    map_size_bytes: int,
    tell: Tell,
    create: Callable[[Path], IO[bytes]] | None = None,
    schema_version: int = SCHEMA_VERSION,
    gently: bool = False,
) -> Made:
    """Blocking; nobody who writes waits for it. Needs room for a copy of the store in the data directory.

    ``settings``: the configuration's text without secrets; ``create``: opens the file that is written; ``gently``: the copy is
    removed a piece at a time, for those who search meanwhile, unless it is called off or fails. Raises
    Malformed when the file exists, Unavailable when it cannot be written; then nothing of it is left.
    """
    began = time.perf_counter()
    if os.path.lexists(file):
        raise Malformed(f"{file}: exists already; choose another name")
    work, unfinished = data_dir / COPYING, file.with_name(file.name + UNFINISHED)
    with _nothing_left_of(file, work, unfinished):
        commit, store, counts, items = _copy(env, work, map_size_bytes, tell, schema_version)
        (work / SETTINGS).write_text(settings, encoding="utf-8")
        files = {SETTINGS: work / SETTINGS, STORE: store}
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            schema_version=schema_version,
            product_version=version("pokedexd"),
            created_at=int(created_at),
            commit=commit,
            counts=counts,
            content_items=items,
            parts=parts_of(files, tell),
        )
        with (create or _create)(unfinished) as out:
            sink = PassingSink(out)
            write_backup_file(sink, manifest, files, tell)
            sink.sync()
        size = unfinished.stat().st_size
        unfinished.replace(file)
        sync_folder(file.parent)
        seconds = round(time.perf_counter() - began, 2)
        if gently:
            with suppress(OSError, trio.Cancelled):  # the backup is there; what is left goes at once
                empty_gently(work, partial(tell, "removing"))
    return Made(file=str(file), size=size, seconds=seconds, manifest=manifest)


@contextmanager
def _nothing_left_of(file: Path, work: Path, unfinished: Path) -> Iterator[None]:
    shutil.rmtree(work, ignore_errors=True)
    try:
        unfinished.unlink(missing_ok=True)
        yield
    except (OSError, lmdb.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Unavailable(f"{file}: the backup cannot be made: {reason}; nothing of it is left") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
        with suppress(OSError):  # such as of a folder that is none
            unfinished.unlink(missing_ok=True)


def _copy(
    env: Environment, work: Path, map_size_bytes: int, tell: Tell, schema_version: int
) -> tuple[int, Path, dict[str, int], int]:
    """The last commit in it, where its data is, rows by database, and content items.

    Where it holds what leaves the machine in no backup, that is taken out, and what is left copied once more: LMDB
    leaves the bytes of deleted rows where they were.
    """
    total = env.disk_bytes()
    tell("copying", 0, total)
    (work / "store").mkdir(mode=0o700, parents=True)
    commit = env.copy_to(work / "store", lambda done: tell("copying", min(done, total), total))
    tell("copying", total, total)
    copy = Environment(work, map_size_bytes=map_size_bytes, durable=False, schema_version=schema_version)
    try:
        with copy.snapshot() as txn:
            withheld = txn.entries("subscriptions")
        if withheld:
            copy.write_now(withhold_subscriptions, synced=False)
        with copy.snapshot() as txn:
            counts, items = {name: txn.entries(name) for name in DATABASES}, txn.counter(ITEMS)
        if withheld:
            (work / "clean").mkdir(mode=0o700)
            size = copy.disk_bytes()
            copy.copy_to(work / "clean", lambda done: tell("cleaning", min(done, size), size))
            tell("cleaning", size, size)
    finally:
        copy.close()
    return commit, work / ("clean" if withheld else "store") / "data.mdb", counts, items


def _create(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


class Backups:
    """Those that a running daemon makes, one at a time."""

    def __init__(
        self,
        env: Environment,
        data_dir: Path,
        *,
        settings: Callable[[], str],
        map_size_bytes: int,
        journal: Journal,
        threads: Blocking,
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """``now``: the daemon's time, for its events; ``clock``: the real one."""
        self._env, self._data_dir, self._settings, self._map_size_bytes = env, data_dir, settings, map_size_bytes
        self._journal, self._threads, self._now, self._clock = journal, threads, now, clock
        self.progress = Progress()
        self.track: Tasks | None = None
        """Where each is a task, so that it is seen and can be cancelled."""
        self._tell_task: TellTask = lambda *_: None

    async def make(self, file: Path) -> Made:
        """Raises as `make_backup`, and Unavailable while another is made. What became of it is an event."""
        if self.progress.step:
            raise Unavailable("another backup is being made; try again once it is done")
        self.progress = Progress(step="copying")
        began = self._now()
        try:
            made = await self._as_task(file)
        except PokedexError as error:
            refused = isinstance(error, Malformed)  # whoever asked for it is told; nothing is wrong here
            kind, severity = ("backup_refused", "info") if refused else ("backup_failed", "error")
            await self._event(kind, severity, file, str(error))
            raise
        finally:
            self.progress = Progress()
        detail = f"{made.size:,} bytes in {made.seconds:g} s, {made.manifest.counts['creators']:,} creators"
        await self._note(began)
        await self._event("backup_made", "info", file, detail)
        return made

    async def prune(self, folder: Path, keep: int) -> None:
        """See `prune`. In the thread, since the system frees 10 GB in one call, of a second or more. Raises OSError."""
        await self._threads.call(prune, folder, keep)

    async def _as_task(self, file: Path) -> Made:
        async def work(tell: TellTask) -> Made:
            self._tell_task = tell
            return await self._threads.call(self._make, file, self._settings(), self._clock())

        return await (self.track.run("backup", work, str(file)) if self.track else work(self._tell_task))

    def _make(self, file: Path, settings: str, created_at: float) -> Made:
        return make_backup(
            self._env,
            self._data_dir,
            file,
            settings=settings,
            created_at=created_at,
            map_size_bytes=self._map_size_bytes,
            tell=self._tell,
            gently=True,
        )

    def _tell(self, step: str, done: int, total: int) -> None:
        """From the thread; a daemon that is to end does not wait for the backup."""
        trio.from_thread.check_cancelled()
        self.progress = Progress(step=step, done=done, total=total)
        share = done * STEP_PARTS // total if total else STEP_PARTS
        self._tell_task(STEPS.index(step) * STEP_PARTS + share, len(STEPS) * STEP_PARTS)

    async def _note(self, began: float) -> None:
        """For the gauge of its age; a store that cannot be written to any more has its backup all the same."""
        with suppress(Unavailable, lmdb.Error):
            await self._env.write(
                lambda txn: txn.put("meta", LAST_BACKUP_AT.encode(), f"{began:.0f}".encode()), synced=True
            )

    async def _event(self, kind: str, severity: str, file: Path, detail: str) -> None:
        event = Event(at=int(self._now()), kind=kind, severity=severity, subject=str(file), detail=detail)
        try:
            await self._journal.event(event, synced=True)
        except (lmdb.Error, Unavailable) as error:  # a full disk must not end the daemon by way of its backups
            log.error(kind, file=str(file), detail=detail, not_noted=str(error))


async def back_up_now_and_then(
    backups: Backups, config: BackupConfig, clock: Callable[[], float], stop: trio.Event
) -> None:
    """Until ``stop``: the next backup is due ``every_hours`` after the newest one in the folder. ``clock``: the real one."""
    folder, every_seconds = folder_of(config), config.every_hours * 3_600.0
    retry_at = 0.0
    while not stop.is_set():
        newest = max((at for at, _ in own_backups(folder)), default=0.0)
        due_at = max(min(newest, clock()) + every_seconds, retry_at)
        with trio.move_on_after(max(due_at - clock(), 0.0)):
            await stop.wait()
        if stop.is_set():
            return
        try:
            make_folder(folder)  # where it cannot be made, the backup says so
            await backups.make(folder / name_at(clock()))
        except (PokedexError, OSError) as error:
            log.warning("no backup was made", reason=str(error))
            retry_at = clock() + min(every_seconds, RETRY_SECONDS)
            continue
        try:
            await backups.prune(folder, config.keep)
        except OSError as error:
            log.warning("old backups are not removed", reason=str(error))


def folder_of(config: BackupConfig) -> Path:
    return Path(config.folder).expanduser()


def make_folder(folder: Path) -> None:
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def own_backups(folder: Path) -> list[tuple[float, Path]]:
    """When each was made that this daemon made there, oldest first; other files are no concern of it."""
    found: list[tuple[float, Path]] = []
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(ValueError):
            stamp = path.name.removeprefix(PREFIX).removesuffix(SUFFIX)
            found.append((float(calendar.timegm(time.strptime(stamp, STAMP))), path))
    return sorted(found)


def name_at(now: float) -> str:
    return f"{PREFIX}{time.strftime(STAMP, time.gmtime(now))}{SUFFIX}"


def prune(folder: Path, keep: int) -> None:
    """Removes all but the newest, and what a crash left half written. Each at once, for which others wait for the disk some
    milliseconds more each time during a second (`stores.removal`): somebody may be copying it elsewhere, who keeps what he has open."""
    old = [path for _, path in own_backups(folder)[:-keep]]
    for path in [*old, *folder.glob(f"{PREFIX}*{SUFFIX}{UNFINISHED}")]:
        path.unlink(missing_ok=True)
