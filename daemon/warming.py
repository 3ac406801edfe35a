"""Brings what a page of hits shows into memory, after a start and after an import.

Hits lie here and there in the store. Of one that is larger than memory, or was not in use yet, each creator and each account
of a page is a wait for the disk: of a million, a third of a search's time (tests/bench/NOTES.md).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import trio

from daemon.readiness import Readiness
from stores.blocking import Blocking
from stores.env import Environment

SHOWN = ("creators", "accounts")
"""Databases that a hit is read from."""
STORE = "store"
"""The dependency that says how far it is."""
AT_ONCE = 1_000
"""Keys passed over in one snapshot: 10 ms where each of their pages is on the disk."""
LOOK_SECONDS = 1.0
RESTS_BESIDE_SEARCHES, RESTS_ELSE = 3.0, 0.1
"""How many times as long as a step took it is rested after it."""
MOST_OF_FREE = 0.5
"""Of the memory that is to be had: where it would take more, it would drive out what else is in use."""
MEMINFO = Path("/proc/meminfo")


class _Size(msgspec.Struct, frozen=True, kw_only=True):
    bytes: int
    keys: int


class Warmer:
    """``importing``: whether creators are taken in; ``searched``: whether somebody searches; ``available``: bytes of memory that
    are to be had, None where the system does not say."""

    def __init__(
        self,
        env: Environment,
        *,
        threads: Blocking,
        readiness: Readiness,
        importing: Callable[[], bool],
        searched: Callable[[], bool],
        available: Callable[[], int | None],
        stop: trio.Event,
    ) -> None:
        self._env, self._threads, self._readiness = env, threads, readiness
        self._importing, self._searched, self._available = importing, searched, available
        self._stop = stop

    async def run(self) -> None:
        """Until ``stop``: once, and again after each import."""
        done = False
        while not self._stop.is_set():
            if self._importing():
                done = False
                self._tell(0.0)
            elif not done:
                done = await self.bring()
            await self._rest(LOOK_SECONDS)

    async def bring(self) -> bool:
        """All of it, or nothing where memory is short; False where an import or the end of the daemon comes in between."""
        size, available = await self._threads.call(self._size), self._available()
        if available is None or size.bytes > available * MOST_OF_FREE:
            self._readiness.set(
                STORE, "ok", detail="too large for the memory that is free: hits are read from the disk"
            )
            return True
        passed = 0
        for database in SHOWN:
            at: bytes | None = b""
            while at is not None:
                if self._importing() or self._stop.is_set():
                    return False
                self._tell(passed / max(size.keys, 1))
                began = trio.current_time()
                at = await self._threads.call(self._pass_over, database, at)
                passed += AT_ONCE
                rests = RESTS_BESIDE_SEARCHES if self._searched() else RESTS_ELSE
                await self._rest((trio.current_time() - began) * rests)
        self._readiness.set(STORE, "ok")
        return True

    def _pass_over(self, database: str, start: bytes) -> bytes | None:
        with self._env.snapshot() as txn:
            return txn.pass_over(database, start, AT_ONCE)

    def _size(self) -> _Size:
        with self._env.snapshot() as txn:
            pages, keys = (sum(map(count, SHOWN)) for count in (txn.pages, txn.entries))
        return _Size(bytes=pages * self._env.page_bytes, keys=keys)

    def _tell(self, share: float) -> None:
        self._readiness.set(STORE, "ok", detail="what hits show is brought into memory", loaded=min(share, 0.999))

    async def _rest(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._stop.wait()


def available_bytes(meminfo: Path = MEMINFO) -> int | None:
    """Of memory, without swapping (proc(5), MemAvailable); None where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None
