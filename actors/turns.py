"""How much of an import runs at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio


class Turns:
    """Steps of an import go on side by side, as many as there are; while somebody searches one at a time, in the order in
    which they come, so that searches find a core that is free. A step is some tenths of a second, and never holds
    another within it."""

    def __init__(self, searched: Callable[[], bool]) -> None:
        """``searched``: whether somebody searches at the moment."""
        self._searched, self._one = searched, trio.Lock()

    @asynccontextmanager
    async def step(self) -> AsyncIterator[None]:
        if not self._searched():
            yield
            return
        async with self._one:
            yield
