"""A look inside a running daemon: how much it says, and where its threads are."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from daemon.config import LEVELS
from daemon.logs import set_level
from daemon.profiling import check_seconds, sample
from proto.api import LogLevel
from proto.errors import Conflict, Malformed
from stores.blocking import Blocking


class Looking:
    def __init__(self, threads: Blocking, note: Callable[[str, str], Awaitable[None]]) -> None:
        """``threads``: one of its own; ``note``: writes an action and its detail into the audit trail."""
        self._threads, self._note = threads, note
        self._sampling = False

    async def set_log_level(self, level: str, by: str) -> LogLevel:
        """Until the settings are read again, or a restart. Raises Malformed."""
        if level not in LEVELS:
            raise Malformed(f"{level[:40]!r} is no log level; expected one of {', '.join(LEVELS)}")
        before = logging.getLevelName(logging.getLogger().level).lower()
        await self._note("log-level", f"{level} instead of {before} ({by})")
        set_level(level)
        return LogLevel(level=level, before=before)

    async def profile(self, seconds: float) -> str:
        """Raises Malformed, and Conflict while another is made."""
        check_seconds(seconds)
        if self._sampling:
            raise Conflict("another profile is being made; try again once it is done")
        self._sampling = True
        try:
            return await self._threads.call(partial(sample, seconds, cancelled=trio.from_thread.check_cancelled))
        finally:
            self._sampling = False
