"""Room on the disk and in memory: what happens when one of them runs out, and when it comes back.

On a disk that fills up nothing is taken in any more: changes wait where they are (`Environment.hold`), what is left of the
disk is for what operators do, and search goes on. Above `memory.ceiling` no account is fetched and no list is imported
until memory has been given back.
"""

from __future__ import annotations

import ctypes
import gc
import math
import resource
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import lmdb
import msgspec
import structlog
import trio

from daemon.config import Config, memory_ceiling_bytes
from daemon.figures import resident_bytes
from proto.errors import PokedexError
from proto.records import Event
from stores.blocking import Blocking
from stores.env import Environment
from stores.journal import Journal

log = structlog.get_logger("resources")

MIB = 1 << 20
LOOK_SECONDS = 1.0
ROOMY_SHARE = 1.1
"""Of the floor: how much must be free before intake goes on, so that it does not stop again at once."""
FIRST_PATIENCE_SECONDS, LONGEST_PATIENCE_SECONDS = 5.0, 300.0
"""After a write was refused although the disk says that it has room: a quota, a limit, a map that is full. Doubled by
each try that fails."""
NEAR_SHARE, CALM_SHARE = 0.9, 0.85
"""Of memory.ceiling: from where on it is warned, and below which that is over."""
MEMORY = "memory"
MOST_OPEN_FILES = 65_536
"""As in the unit. Without an end, as containers have it, a child that closes all that it may have open takes minutes."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes; 0 for none."""

    floor: int
    ceiling: int


def limits_of(config: Config) -> Limits:
    return Limits(
        floor=config.storage.disk_floor_mib * MIB,
        ceiling=memory_ceiling_bytes(config),
    )


def raise_open_files() -> None:
    """As many files as this process may allow itself: with few of them open connections leave none for the indexes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with suppress(OSError, ValueError):  # where the system allows less meanwhile
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        log.debug("more files may be open", before=soft, now=wanted)


class Resources:
    """``disk_free`` and ``resident``: measures, for tests."""

    def __init__(
        self,
        data_dir: Path,
        *,
        env: Environment,
        journal: Journal,
        limits: Limits,
        set_intake: Callable[[str, str], None],
        threads: Blocking,
        now: Callable[[], float],
        disk_free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        resident: Callable[[], int] = resident_bytes,
    ) -> None:
        self._data_dir, self._env, self._journal, self.limits = data_dir, env, journal, limits
        self._set_intake, self._threads, self._now = set_intake, threads, now
        self._disk_free, self._resident = disk_free, resident
        self._try_again_at, self._patience_seconds = -math.inf, FIRST_PATIENCE_SECONDS
        self._full = self._near = self._above = False
        self.disk_free_bytes = self.resident_bytes = 0

    @property
    def refuses(self) -> str:
        """Why no list is taken in now; empty while it is."""
        if self._env.held_because:
            return self._env.held_because
        return self.memory_full

    @property
    def memory_full(self) -> str:
        """How far memory is above its ceiling; empty where it is not."""
        return self._over_words() if self._above else ""

    @property
    def memory_state(self) -> str:
        """``ok``, ``near`` the ceiling, or ``above`` it."""
        return "above" if self._above else "near" if self._near else "ok"

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.look()
            await trio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        self.disk_free_bytes = await self._threads.call(self._disk_free, self._data_dir)
        await self._threads.call(self._env.drop_dead_readers)
        self.resident_bytes = self._resident()
        await self._look_at_disk()
        await self._look_at_memory()

    async def _look_at_disk(self) -> None:
        if self._is_short():
            self._env.hold(f"{self._short_words()}; intake waits for room, search goes on")
        elif self._env.full_because and not self._full:
            self._refused()
        elif self._full and trio.current_time() >= self._try_again_at:
            of_map = self._env.map_is_full
            if of_map and not await self._env.find_room():
                self._refused()
                return
            self._full = False
            self._env.release()
            if of_map:
                await self._tell("map_has_room", "info", "the store's map has room again; intake goes on")
            else:
                free = f"{self.disk_free_bytes // MIB:,} MiB are free"
                await self._tell("disk_has_room", "info", f"{free}; intake goes on")
            return
        if self._env.held_because and not self._full:
            self._full = True
            kind = "map_full" if self._env.map_is_full else "disk_full"
            await self._tell(kind, "error", self._env.held_because)

    def _is_short(self) -> bool:
        return self.disk_free_bytes < self.limits.floor * (ROOMY_SHARE if self._full else 1)

    def _refused(self) -> None:
        """A write was, although there is room by the system's word: it is tried again now and then. Of a map that is full
        it is looked first whether pages of it came free."""
        again = trio.current_time() - self._try_again_at < 2 * self._patience_seconds
        self._patience_seconds = (
            min(2 * self._patience_seconds, LONGEST_PATIENCE_SECONDS) if again else FIRST_PATIENCE_SECONDS
        )
        self._try_again_at = trio.current_time() + self._patience_seconds
        self._env.hold(f"{self._env.full_because}; intake waits for room, search goes on")

    def _short_words(self) -> str:
        return (
            f"the disk is full: {self.disk_free_bytes // MIB:,} MiB are free, {self.limits.floor // MIB:,} are needed "
            "(storage.disk_floor_mib)"
        )

    async def _look_at_memory(self) -> None:
        used, ceiling = self.resident_bytes, self.limits.ceiling
        if not ceiling:
            return
        if used > ceiling and not self._above:
            await self._threads.call(give_back)
            used = self.resident_bytes = self._resident()
        if (used > ceiling) != self._above and (used > ceiling or used < NEAR_SHARE * ceiling):
            self._above = used > ceiling
            self._set_intake(MEMORY, self._over_words() if self._above else "")
            kind, severity = ("memory_full", "error") if self._above else ("memory_has_room", "info")
            await self._tell(kind, severity, self._over_words() if self._above else "intake goes on")
        if not self._near and used > NEAR_SHARE * ceiling:
            self._near = True
            if not self._above:
                await self._tell("memory_near_ceiling", "warning", self._share_words())
        elif self._near and used < CALM_SHARE * ceiling:
            self._near = False

    def _share_words(self) -> str:
        return f"{self.resident_bytes // MIB:,} MiB are in use, of {self.limits.ceiling // MIB:,} (memory.ceiling)"

    def _over_words(self) -> str:
        return f"{self._share_words()}; nothing is taken in until memory is given back"

    async def _tell(self, kind: str, severity: str, detail: str) -> bool:
        """Whether it could be written."""
        event = Event(at=int(self._now()), kind=kind, severity=severity, subject="resources", detail=detail)
        try:
            await self._journal.event(event, synced=True)
        except (PokedexError, lmdb.Error) as error:
            log.error(kind, detail=detail, not_noted=str(error))
            return False
        return True


def give_back() -> None:
    """Blocking: what Python and the C library hold without need goes back to the system."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library has no such thing
        ctypes.CDLL(None).malloc_trim(0)
