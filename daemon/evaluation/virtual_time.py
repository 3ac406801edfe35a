"""Time that jumps over what nobody does: for simulations of weeks in minutes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import trio
import trio.testing


class VirtualThreads:
    """``run_sync`` for ``Blocking`` under a virtual clock: time does not jump while a thread is at work."""

    def __init__(self, clock: trio.testing.MockClock, quiet_seconds: float) -> None:
        """``quiet_seconds``: real idle time before the clock jumps; long enough for bytes on a socket to arrive."""
        self._clock, self._quiet_seconds, self._out = clock, quiet_seconds, 0

    async def __call__(
        self, sync_fn: Callable[..., Any], *args: object, limiter: trio.CapacityLimiter, thread_name: str | None = None
    ) -> Any:
        self._out += 1
        self._clock.autojump_threshold = math.inf
        try:
            return await trio.to_thread.run_sync(sync_fn, *args, limiter=limiter, thread_name=thread_name)
        finally:
            self._out -= 1
            if self._out == 0:
                self._clock.autojump_threshold = self._quiet_seconds
