"""Fixtures that every test may use: a virtual clock that knows about threads, real stores, the shared data."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from stores.env import Environment

EPOCH = 1_790_000_000
"""Wall time at which virtual time starts: 2026-09-21."""

QUIET_SECONDS = 0.01
"""Real idle time before the virtual clock jumps: long enough for bytes on a loopback socket to arrive."""


class VirtualThreads:
    """``run_sync`` for ``Blocking`` under a virtual clock: time does not jump while a thread is at work."""

    def __init__(self, clock: trio.testing.MockClock) -> None:
        self._clock, self._out = clock, 0

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
                self._clock.autojump_threshold = QUIET_SECONDS


@pytest.fixture
def threads(autojump_clock: trio.testing.MockClock) -> VirtualThreads:
    return VirtualThreads(autojump_clock)


@pytest.fixture
def env(tmp_path: Path, threads: VirtualThreads) -> Iterator[Environment]:
    """A real store under the virtual clock."""
    opened = Environment(tmp_path / "data", map_size_bytes=1 << 30, run_sync=threads)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data set; a test that needs it skips where it is absent, and CI has it."""
    folder = Path(__file__).parents[1] / ".." / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("shared data absent")
    return folder.resolve()


@pytest.fixture(scope="session")
def long_run() -> bool:
    """Whether the long campaigns run."""
    return os.environ.get("POKEDEXD_TEST_LONG") == "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Campaigns run only when asked for, and are deselected (not skipped) otherwise."""
    wanted = os.environ.get("POKEDEXD_TEST_LONG") == "1"
    chosen = [item for item in items if bool(item.get_closest_marker("long")) == wanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen
