"""Tells operators of records that cannot be read: whoever goes through all of them passes over these (`Txn.if_whole`)."""

from __future__ import annotations

from collections.abc import Callable

import trio

from proto.records import Event
from stores.env import Environment
from stores.journal import Journal

LOOK_SECONDS = 2.0
NAMED = 20
"""Records that are told of one by one; then by how many at a time, since a disk that fails damages thousands."""
REMEDY = "restore a backup from before (pokedexd restore); what came in since is fetched again"


async def tell_of_damage(env: Environment, journal: Journal, now: Callable[[], float], stop: trio.Event) -> None:
    """An event for each, once, until ``stop``."""
    told = 0
    while not stop.is_set():
        fresh = list(env.damaged.items())[told:]
        named = fresh[: max(NAMED - told, 0)]
        for (database, key), reason in named:
            await journal.event(_event(now(), f"{database} {key}", f"{reason}; passed over; {REMEDY}"), synced=True)
        if len(fresh) > len(named):
            detail = f"{len(fresh) - len(named):,} more records cannot be read (pokedexd doctor); {REMEDY}"
            await journal.event(_event(now(), "store", detail), synced=True)
        told += len(fresh)
        with trio.move_on_after(LOOK_SECONDS):
            await stop.wait()


def _event(now: float, subject: str, detail: str) -> Event:
    return Event(at=int(now), kind="record_damaged", severity="error", subject=subject, detail=detail)
