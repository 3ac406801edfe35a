"""What an operator does to a running daemon: holding parts of it back, long work, and a look inside."""

from __future__ import annotations

from daemon.pausing import Pausing


class Operations:
    """One place for the admin endpoint and for a page."""

    def __init__(self, pausing: Pausing) -> None:
        self.pausing = pausing

    async def load(self) -> None:
        """Before anything flows."""
        await self.pausing.load()
