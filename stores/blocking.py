"""Runs a store's blocking calls in threads, under a limit of its own."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Protocol, TypeVar

import trio

T = TypeVar("T")

GIVING_WAY_NICE = 5
"""A quarter of the processor time of a thread that wants it too (the kernel's weights: 335 to 1,024). With a tenth, whoever
waits for what such a thread holds waits too long."""


class RunSync(Protocol):
    """The part of ``trio.to_thread.run_sync`` that is used; tests pass one that tells the virtual clock."""

    def __call__(
        self, sync_fn: Callable[..., Any], *args: object, limiter: trio.CapacityLimiter, thread_name: str | None = None
    ) -> Awaitable[Any]: ...


class Blocking:
    """A named set of at most ``limit`` threads."""

    def __init__(self, name: str, limit: int, run_sync: RunSync = trio.to_thread.run_sync) -> None:
        self._name, self._limit, self._run_sync = name, limit, run_sync
        self._limiter = trio.CapacityLimiter(limit)

    def giving_way(self) -> Blocking:
        """The same, in threads that take what processor time others leave. For long work that mostly runs without the
        interpreter: whoever holds that is waited for."""
        threads = ThreadPoolExecutor(self._limit, self._name, initializer=_give_way)
        return Blocking(self._name, self._limit, partial(_elsewhere, threads, self._run_sync))

    def allow(self, threads: int) -> None:
        """Another limit from now on; calls that are under way go on."""
        self._limiter.total_tokens = threads

    @property
    def busy(self) -> bool:
        """Whether a call is under way. Of the moment, from any thread."""
        return self._limiter.borrowed_tokens > 0

    async def call(self, function: Callable[..., T], *args: object) -> T:
        """``function(*args)`` in a thread. Not abandoned on cancel: a write that began is finished."""
        result: T = await self._run_sync(function, *args, limiter=self._limiter, thread_name=self._name)
        return result


class Passage:
    """A part of what threads do that only so many do at once. The others wait for it in the order in which they came."""

    def __init__(self, limit: int) -> None:
        self._limit, self._within = limit, 0
        self._lock, self._waiting = threading.Lock(), deque[threading.Event]()

    def allow(self, limit: int) -> None:
        """Another limit from now on; who is within stays there."""
        with self._lock:
            self._limit = limit
            self._admit()

    @contextmanager
    def within(self) -> Iterator[None]:
        mine = threading.Event()
        with self._lock:
            self._waiting.append(mine)
            self._admit()
        mine.wait()
        try:
            yield
        finally:
            with self._lock:
                self._within -= 1
                self._admit()

    def _admit(self) -> None:
        while self._waiting and self._within < self._limit:
            self._within += 1
            self._waiting.popleft().set()


async def _elsewhere(
    threads: ThreadPoolExecutor,
    run_sync: RunSync,
    sync_fn: Callable[..., Any],
    *args: object,
    limiter: trio.CapacityLimiter,
    thread_name: str | None = None,
) -> Any:
    """A thread of ``run_sync`` waits for another that is ours: those are shared, and a priority once lowered stays so."""
    return await run_sync(lambda: threads.submit(sync_fn, *args).result(), limiter=limiter, thread_name=thread_name)


def _give_way() -> None:
    with suppress(OSError):  # a system without priorities of threads
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + GIVING_WAY_NICE)
