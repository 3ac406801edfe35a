"""Runs a store's blocking calls in threads, under a limit of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import trio

T = TypeVar("T")


class RunSync(Protocol):
    """The part of ``trio.to_thread.run_sync`` that is used; tests pass one that tells the virtual clock."""

    def __call__(
        self, sync_fn: Callable[..., Any], *args: object, limiter: trio.CapacityLimiter, thread_name: str | None = None
    ) -> Awaitable[Any]: ...


class Blocking:
    """A named set of at most ``limit`` threads."""

    def __init__(self, name: str, limit: int, run_sync: RunSync = trio.to_thread.run_sync) -> None:
        self._name, self._run_sync = name, run_sync
        self._limiter = trio.CapacityLimiter(limit)

    async def call(self, function: Callable[..., T], *args: object) -> T:
        """``function(*args)`` in a thread. Not abandoned on cancel: a write that began is finished."""
        result: T = await self._run_sync(function, *args, limiter=self._limiter, thread_name=self._name)
        return result
