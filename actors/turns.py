"""How much of an import is brought into the indexes at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio


class Turns:
    """Graphs and keyword index are written side by side; while somebody searches one at a time, in the order in which they
    come, so that searches find a core that is free. A step is some tenths of a second (once a field, as its directions are
    learnt, some seconds), and never holds another within it. Lines are read (in a process that gives way) and stored
    meanwhile: with those in turn as well an import beside 20 searches a second kept 0.5 of its pace instead of 0.7."""

    def __init__(self, searched: Callable[[], bool]) -> None:
        """``searched``: whether somebody searches at the moment, beside an import."""
        self._searched, self._one = searched, trio.Lock()

    @asynccontextmanager
    async def step(self) -> AsyncIterator[None]:
        if not self._searched():
            yield
            return
        async with self._one:
            yield
