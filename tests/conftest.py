"""Fixtures that every test may use: a virtual clock that knows about threads, real stores, the shared data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from daemon.evaluation.virtual_time import VirtualThreads
from stores.env import Environment

EPOCH = 1_790_000_000
"""Wall time at which virtual time starts: 2026-09-21."""

LONGEST = ("test_real_world.py", "test_ingestion.py", "test_lifecycle.py", "test_identity.py", "test_faults.py")
"""Modules of minutes, which begin first."""

CAMPAIGNS = ("long", "llm")
"""Markers of what runs only with ``POKEDEXD_TEST_LONG=1``, ``POKEDEXD_TEST_LLM=1``."""

QUIET_SECONDS = 0.01
"""Real idle time before the virtual clock jumps: long enough for bytes on a loopback socket to arrive."""

# Hundreds of processes import the product: it is compiled once, not in each of them, in a container too.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture
def threads(autojump_clock: trio.testing.MockClock) -> VirtualThreads:
    return VirtualThreads(autojump_clock, QUIET_SECONDS)


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
    """Campaigns run only when asked for, each kind by itself, and are deselected (not skipped) otherwise."""
    wanted = {kind for kind in CAMPAIGNS if os.environ.get(f"POKEDEXD_TEST_{kind.upper()}") == "1"}
    chosen = [item for item in items if {kind for kind in CAMPAIGNS if item.get_closest_marker(kind)} == wanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = sorted(chosen, key=lambda item: item.path.name not in LONGEST)  # a stable order: both cores end together
