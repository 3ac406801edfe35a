"""The stages, one a file. Each knows its inbox, its outbox and the stores it needs, and no other stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import trio

from proto.messages import AnyWork
from stores.work import Work

T = TypeVar("T")
Inbox = trio.MemoryReceiveChannel


class Meter:
    """What a stage did and waited for; read by the status board."""

    def __init__(self) -> None:
        self.handled = 0
        self.busy_seconds = 0.0
        self.blocked_seconds = 0.0

    @contextmanager
    def working(self) -> Iterator[None]:
        started = trio.current_time()
        try:
            yield
        finally:
            self.busy_seconds += trio.current_time() - started


class Outbox(Generic[T]):
    """The sending end of a bounded channel; the wait in ``send`` is the backpressure, and is counted."""

    def __init__(self, channel: trio.MemorySendChannel[T], meter: Meter) -> None:
        self._channel, self._meter = channel, meter

    async def send(self, message: T) -> None:
        try:
            self._channel.send_nowait(message)
        except trio.WouldBlock:
            started = trio.current_time()
            try:
                await self._channel.send(message)
            finally:
                self._meter.blocked_seconds += trio.current_time() - started


class Batches(Generic[T]):
    """What waits in the inbox, at least one and at most ``limit`` messages; ends once every sender has closed.

    No generator: one that a cancelled stage leaves in the middle is closed by the garbage collector at some time.
    """

    def __init__(self, inbox: Inbox[T], limit: int) -> None:
        self._inbox, self._limit = inbox, limit

    def __aiter__(self) -> Batches[T]:
        return self

    async def __anext__(self) -> list[T]:
        try:
            batch = [await self._inbox.receive()]
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        while len(batch) < self._limit:
            try:
                batch.append(self._inbox.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                break
        return batch


class CurrentBatches:
    """Batches without what is already done or was enqueued again since: ten changes to one entity are one piece."""

    def __init__(self, inbox: Inbox[AnyWork], limit: int, work: Work) -> None:
        self._batches, self._work = Batches(inbox, limit), work

    def __aiter__(self) -> CurrentBatches:
        return self

    async def __anext__(self) -> list[AnyWork]:
        while True:
            batch = await anext(self._batches)
            current = await self._work.current(list({(m.entity, m.revision): m for m in batch}.values()))
            if current:
                return current
