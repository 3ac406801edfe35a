"""Tells operators of records that cannot be read: whoever goes through all of them passes over these (`Txn.if_whole`)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import trio

from proto.records import Event
from stores.env import Environment
from stores.journal import Journal

LOOK_SECONDS = 2.0
NAMED = 20
"""Records that are told of one by one; then by how many at a time, since a disk that fails damages thousands."""
REMEDY = "restore a backup from before (pokedexd restore); what came in since is fetched again"


class DamageTeller:
    """An event for each record, once, also where a write of one fails and this is started again."""

    def __init__(self, env: Environment, journal: Journal, now: Callable[[], float]) -> None:
        self._env, self._journal, self._now = env, journal, now
        self._told = 0

    async def tell_until(self, stop: trio.Event) -> None:
        while not stop.is_set():
            await self._tell_of_fresh()
            with trio.move_on_after(LOOK_SECONDS):
                await stop.wait()

    async def _tell_of_fresh(self) -> None:
        fresh = list(islice(self._env.damaged.items(), self._told, None))
        for (database, key), reason in fresh[: max(NAMED - self._told, 0)]:
            await self._tell(f"{database} {key}", f"{reason}; passed over; {REMEDY}", 1)
            fresh = fresh[1:]
        if fresh:
            detail = f"{len(fresh):,} more records cannot be read (pokedexd doctor); {REMEDY}"
            await self._tell("store", detail, len(fresh))

    async def _tell(self, subject: str, detail: str, records: int) -> None:
        await self._journal.event(_event(self._now(), subject, detail), synced=True)
        self._told += records


def _event(now: float, subject: str, detail: str) -> Event:
    return Event(at=int(now), kind="record_damaged", severity="error", subject=subject, detail=detail)
