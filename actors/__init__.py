"""The stages, one a file. Each knows its inbox, its outbox and the stores it needs, and no other stage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

import trio

from proto.messages import AnyWork
from stores.work import Work

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Inbox(Protocol[T_co]):
    """The receiving end of a channel, as stages use it."""

    async def receive(self) -> T_co: ...

    def receive_nowait(self) -> T_co: ...

    def __aiter__(self) -> AsyncIterator[T_co]: ...


class Meter:
    """What a stage did and waited for; read by the status board."""

    def __init__(self) -> None:
        self.handled = 0
        self.busy_seconds = 0.0
        self.blocked_seconds = 0.0
        self._under_way, self._handing_on = 0, 0
        self._moved_at = 0.0

    @contextmanager
    def working(self) -> Iterator[None]:
        started = self._moved_at = trio.current_time()
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._moved_at = trio.current_time()
            self.busy_seconds += self._moved_at - started

    @contextmanager
    def handing_on(self) -> Iterator[None]:
        """Waiting for room in the next inbox: what does not move then is a stage further on."""
        started = trio.current_time()
        self._handing_on += 1
        try:
            yield
        finally:
            self._handing_on -= 1
            self._moved_at = trio.current_time()
            self.blocked_seconds += self._moved_at - started

    @property
    def is_working(self) -> bool:
        return self._under_way > 0

    def moved(self) -> None:
        """A step within a piece of work that may take many."""
        self._moved_at = trio.current_time()

    def still_seconds(self, now: float) -> float:
        """For how long there has been work under way of which nothing was begun, got on or ended; ``now``: Trio's time."""
        return now - self._moved_at if self._under_way and not self._handing_on else 0.0


class Outbox(Generic[T]):
    """The sending end of a bounded channel; the wait in ``send`` is the backpressure, and is counted."""

    def __init__(self, channel: trio.MemorySendChannel[T], meter: Meter) -> None:
        self._channel, self._meter = channel, meter

    async def send(self, message: T) -> None:
        try:
            self._channel.send_nowait(message)
        except trio.WouldBlock:
            with self._meter.handing_on():
                await self._channel.send(message)


async def side_by_side(*steps: Callable[[], Awaitable[None]]) -> None:
    """All at once. Where several fail, one of their errors is raised, by itself."""
    failed: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            for step in steps:
                nursery.start_soon(step)
    except ExceptionGroup as group:
        failed = group
    while isinstance(failed, BaseExceptionGroup):
        failed = failed.exceptions[0]
    if failed is not None:
        raise failed  # here, so that its context is not the group that holds it


class Batches(Generic[T]):
    """What waits in the inbox, at least one and at most ``limit`` messages; ends once every sender has closed.

    No generator: one that a cancelled stage leaves in the middle is closed by the garbage collector at some time.
    """

    def __init__(self, inbox: Inbox[T], limit: int, gather_seconds: float = 0.0) -> None:
        """``gather_seconds``: how long it is waited for more once there is one."""
        self._inbox, self._limit, self._gather_seconds = inbox, limit, gather_seconds

    def __aiter__(self) -> Batches[T]:
        return self

    async def __anext__(self) -> list[T]:
        try:
            batch = [await self._inbox.receive()]
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        if self._gather_seconds:
            await trio.sleep(self._gather_seconds)
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
