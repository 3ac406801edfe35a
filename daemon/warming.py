"""Brings what every hit shows into memory, after a start and after a large import; titles, where they are asked for, are not.

Hits lie here and there in the store. Of one that is larger than memory, or was not in use yet, each creator and each account
of a page is a wait for the disk (a million: 36 to 42 for a page; tests/bench/NOTES.md). Surveys read creators as well, in
their own time, which is nine minutes for a million.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import trio

from daemon.readiness import Readiness
from proto.errors import PokedexError
from stores.blocking import Blocking
from stores.env import Environment

SHOWN = ("creators", "accounts")
"""Databases that every hit is read from."""
STORE = "store"
"""The dependency that says how far it is."""
AT_ONCE = 1_000
"""Keys passed over in one snapshot: 17 ms where their pages are on the disk."""
LOOK_SECONDS = 1.0
RESTS_BESIDE_SEARCHES, RESTS_ELSE = 3.0, 0.1
"""How many times as long as a step took it is rested after it."""
MOST_OF_FREE = 0.5
"""Of the memory that is to be had: where it would take more, it would drive out what else is in use."""
GROWN = 1.01
"""How many times as many keys there must be as when they were gone over, to go over them again."""
ON_ITS_WAY = "what hits show is brought into memory"
AFTER_IMPORT = "what hits show is brought into memory after the import"
IN_MEMORY = "what hits show was brought into memory"
FROM_DISK = "what hits show is read from the disk"
LITTLE_MEMORY = "it is large for the memory that is to be had"
UNKNOWN_MEMORY = "the system does not say how much memory is to be had"


class _Size(msgspec.Struct, frozen=True, kw_only=True):
    bytes: int
    keys: int


class Warmer:
    """Goes over what hits show. ``importing``: whether creators are taken in; ``searched``: whether somebody searches; ``available``: bytes of memory that
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
        """Until ``stop``: once, and again when there are a hundredth more; what brought fewer has them in memory by writing them.
        Raises StoreDamaged."""
        keys = 0
        while not self._stop.is_set():
            size = await self._threads.call(self._size)
            if size.keys > keys * GROWN and await self._bring_or_tell(size):
                keys = size.keys
            await self._rest(LOOK_SECONDS)

    async def _bring_or_tell(self, size: _Size) -> bool:
        try:
            return await self._bring(size)
        except PokedexError as error:  # the service is begun again
            self._readiness.set(STORE, "ok", detail=f"{FROM_DISK}: {error}")
            raise

    async def _bring(self, size: _Size) -> bool:
        """All of it, or nothing where memory is short; False where an import or the end of the daemon comes first."""
        available = self._available()
        if available is None or size.bytes > available * MOST_OF_FREE:
            reason = UNKNOWN_MEMORY if available is None else LITTLE_MEMORY
            self._readiness.set(STORE, "ok", detail=f"{FROM_DISK}: {reason}")
            return True
        passed = 0
        for database in SHOWN:
            at: bytes | None = b""
            while at is not None:
                if self._stop.is_set():
                    return False
                if self._importing():
                    self._readiness.set(STORE, "ok", detail=AFTER_IMPORT)
                    return False
                self._readiness.set(STORE, "ok", detail=ON_ITS_WAY, loaded=min(passed / size.keys, 0.999))
                at = await self._step(database, at)
                passed += AT_ONCE
        self._readiness.set(STORE, "ok", detail=IN_MEMORY)
        return True

    async def _step(self, database: str, start: bytes) -> bytes | None:
        began = trio.current_time()
        following = await self._threads.call(self._pass_over, database, start)
        rests = RESTS_BESIDE_SEARCHES if self._searched() else RESTS_ELSE
        await self._rest((trio.current_time() - began) * rests)
        return following

    def _pass_over(self, database: str, start: bytes) -> bytes | None:
        with self._env.snapshot() as txn:
            return txn.pass_over(database, start, AT_ONCE)

    def _size(self) -> _Size:
        with self._env.snapshot() as txn:
            pages, keys = (sum(map(count, SHOWN)) for count in (txn.pages, txn.entries))
        return _Size(bytes=pages * self._env.page_bytes, keys=keys)

    async def _rest(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._stop.wait()
