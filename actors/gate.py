"""A stage that an operator holds back: it finishes what is in hand and takes nothing more until it is let go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Gate:
    """Open until it is held."""

    def __init__(self) -> None:
        self.held = False
        self._ended = False
        self._changed = trio.Event()

    def set(self, *, held: bool) -> None:
        self.held = held
        self._wake()

    def end(self) -> None:
        """For the end of the daemon: whoever waits goes on, and what a held stage is sent is let go of."""
        self._ended = True
        self._wake()

    async def passed(self) -> bool:
        """Waits while the gate is held; False where the end came first."""
        while self.held and not self._ended:
            await self._changed.wait()
        return not self.held

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class GatedInbox(Generic[T]):
    """A receiving end behind a gate. What it lets go of at the end is stored as work, and sent at the next start."""

    def __init__(self, inbox: trio.MemoryReceiveChannel[T], gate: Gate) -> None:
        self._inbox, self._gate = inbox, gate

    async def receive(self) -> T:
        while True:
            await self._gate.passed()
            message = await self._inbox.receive()
            if await self._gate.passed():  # held while it waited: the message stays in hand
                return message

    def receive_nowait(self) -> T:
        if self._gate.held:
            raise trio.WouldBlock
        return self._inbox.receive_nowait()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
