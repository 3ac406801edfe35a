"""Writes down what searches leave to be noted: in batches, and again where that fails, so that nothing of them is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog
import trio

from actors import Batches
from daemon.supervisor import Services

log = structlog.get_logger("noting")

GATHER_SECONDS = 0.2
"""How long the first search of a batch waits for others."""
TRIES = 6
"""Within half a minute; then what cannot be written is given up, if the store takes other changes."""

T = TypeVar("T")
Write = Callable[[Sequence[T]], Awaitable[None]]


async def write_down(
    name: str,
    entries: trio.MemoryReceiveChannel[T],
    write: Write[T],
    *,
    at_once: int,
    services: Services,
    stop: trio.Event,
) -> None:
    """So that no search waits for a commit; ends once the senders have closed. Only what cannot be written once ``stop``
    is set, at the end of the daemon, is lost, and counted in the log."""
    async for batch in Batches(entries, at_once, GATHER_SECONDS):
        unwritten = _Unwritten(name, batch, write, services)
        await services.keep_going(name, unwritten.write_all, stop)
        if unwritten.entries:
            log.error("searches are not noted", where=name, searches=len(unwritten.entries))


class _Unwritten(Generic[T]):
    """What is left of a batch."""

    def __init__(self, name: str, entries: list[T], write: Write[T], services: Services) -> None:
        self._name, self.entries, self._write, self._services = name, entries, write, services
        self._tries = 0

    async def write_all(self) -> None:
        """Together, or where that failed one by one. Raises what the last that is left failed with."""
        self._tries += 1
        if self._tries == 1:
            await self._write(self.entries)
            self.entries = []
            return
        failed: Exception | None = None
        for entry in list(self.entries):
            try:
                await self._write([entry])
            except Exception as error:
                failed = error
                continue
            self.entries = [one for one in self.entries if one is not entry]
        if failed is not None:
            await self._give_up(failed)

    async def _give_up(self, failed: Exception) -> None:
        """Only where the store takes the word of it: else it is the store that fails, and what is left waits for it."""
        if self._tries < TRIES:
            raise failed
        detail = f"{len(self.entries)} searches cannot be noted: {type(failed).__name__}: {failed}"
        await self._services.tell("searches_not_noted", self._name, detail)
        self.entries = []
