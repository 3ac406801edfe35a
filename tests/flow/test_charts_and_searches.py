"""The whole daemon, in virtual time, takes channels in from the simulator's charts and searches, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
import trio.testing

from daemon.app import Running, run_daemon
from daemon.config import load
from daemon.evaluation.virtual_time import VirtualThreads
from daemon.simulator.app import create_simulator, serve_simulator
from daemon.simulator.faults import Faults
from daemon.simulator.quota import DEFAULT_LIMITS
from daemon.simulator.world import Channel, Video, World
from proto.ids import Platform
from proto.records import JobKind, StoredRaw
from stores.codec import decode
from stores.env import Environment
from stores.suppression import Suppression
from tests.conftest import EPOCH, QUIET_SECONDS

DAY_SECONDS = 86_400
GERMAN = range(60, 64)
"""Numbers of the channels that are; the others, below, are American."""
FORGOTTEN = (0, 56)
"""At the head of the American chart, and found by the search."""
LISTS = {
    "PLATFORMS__YOUTUBE__CHART_REGIONS": '["US", "DE"]',
    "PLATFORMS__YOUTUBE__SEARCH_QUERIES": '["garden design"]',
}
ON = {"INGESTION__DISCOVER_FROM_CHARTS_PER_DAY": "5", "INGESTION__DISCOVER_FROM_SEARCHES_PER_DAY": "3"}


def channel_id(number: int) -> str:
    return f"UC{number:021d}Q"


def grown_world() -> World:
    """64 channels with a recent video each, the more views the smaller the number; every eighth is about gardens."""
    channels = [
        Channel(
            id=channel_id(number),
            title=f"channel {number}",
            handle=f"channel{number}",
            country="DE" if number in GERMAN else "US",
            keywords="garden" if number % 8 == 0 else "",
        )
        for number in range(64)
    ]
    videos = [
        Video(
            id=f"video{number:05d}A",
            channel_id=channel_id(number),
            title="a day",
            published_at=EPOCH - 1_000,
            category_id="26",
            duration_seconds=200,
            views=10_000 - number,
        )
        for number in range(64)
    ]
    return World(now=EPOCH, channels={one.id: one for one in channels}, videos={one.id: one for one in videos}).link()


class Story:
    """One data directory, one simulated project; daemons come and go."""

    def __init__(self, folder: Path, url: str, threads: VirtualThreads) -> None:
        self._folder, self._url, self._threads = folder, url, threads
        self.suppression_file = folder / "suppression"

    async def day(self, day: int, **settings: str) -> dict[str, Any]:
        """A daemon runs on this day until nothing happens any more; returns the simulator's books so far."""
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            running: Running = await nursery.start(self._run, self._environ(day, settings), stop)
            books = await self._quiet(running)
            stop.set()
        return books

    async def _quiet(self, running: Running) -> dict[str, Any]:
        before: dict[str, Any] | None = None
        while True:
            await trio.sleep(0.6)
            now = await self.books()
            if now == before and (await running.control.ready()).counts.work_pending == 0:
                return now
            before = now

    async def books(self) -> dict[str, Any]:
        async with httpx2.AsyncClient(trust_env=False) as client:
            found: dict[str, Any] = (await client.get(f"{self._url}/_simulator/accounting")).json()
            return found

    def accounts(self) -> set[int]:
        """Numbers of the channels that were taken in."""
        return {int(stored.decode()[-22:-1]) for stored, _ in self.rows("accounts")}

    def rows(self, database: str) -> list[tuple[bytes, bytes]]:
        """What the data directory holds; for when no daemon has it."""
        env = Environment(self._folder / "data", map_size_bytes=1 << 30)
        try:
            with env.snapshot() as txn:
                return list(txn.scan(database))
        finally:
            env.close()

    async def _run(self, environ: dict[str, str], stop: trio.Event, task_status: trio.TaskStatus[Running]) -> None:
        loaded = load(None, environ, {})
        await run_daemon(
            loaded,
            data_dir=self._folder / "data",
            suppression_file=self.suppression_file,
            admin_socket=self._folder / "admin.sock",
            stop=stop,
            reload=lambda: loaded,
            run_sync=self._threads,
            task_status=task_status,
        )

    def _environ(self, day: int, settings: dict[str, str]) -> dict[str, str]:
        at = datetime.fromtimestamp(EPOCH + day * DAY_SECONDS, UTC).isoformat()
        stated = {
            "HTTP__PORT": "0",
            "PLATFORMS__YOUTUBE__BASE_URL": f"{self._url}/youtube/v3",
            "PLATFORMS__YOUTUBE__KEY": "demo-key",
            "PLATFORMS__YOUTUBE__DERIVED_DATA": "denied",
            "PLATFORMS__YOUTUBE__FEEDS_ENABLED": "false",
            "PLATFORMS__YOUTUBE__REQUESTS_PER_SECOND": "100000",
            "PLATFORMS__INSTAGRAM__ENABLED": "false",
            "MODEL__DIR": str(self._folder / "no-model"),
            "STORAGE__MAP_SIZE_GIB": "1",
            "DAEMON__CLOCK_AT": at,
            "DAEMON__CLOCK_FROZEN": "true",
        }
        return {f"POKEDEXD_{name}": value for name, value in (stated | settings).items()}


@pytest.fixture
async def story(tmp_path: Path, threads: VirtualThreads) -> AsyncIterator[Story]:
    app = create_simulator(grown_world(), clock=lambda: EPOCH, faults=Faults(), limits=DEFAULT_LIMITS, key="demo-key")
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(lambda task_status: serve_simulator(app, port=0, stop=stop, task_status=task_status))
        yield Story(tmp_path, url, threads)
        stop.set()


async def test_channels_are_taken_in_within_the_budgets_until_they_are_nothing(
    story: Story, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = QUIET_SECONDS
    suppression = Suppression.open(story.suppression_file)
    suppression.add([(Platform.YOUTUBE, channel_id(number)) for number in FORGOTTEN])
    suppression.close()

    first = await story.day(0, **LISTS, **ON)
    assert (chart_reads(first), first["calls"]["search"]) == (1, 1)
    taken = story.accounts()
    by_search = {number for number in taken if number % 8 == 0}
    assert (len(taken), len(by_search)) == (5 + 3, 3)
    assert not taken & set(FORGOTTEN)

    assert story.rows("dead_letters") == []
    kept = {decode(StoredRaw, value).kind for _, value in story.rows("raw")}
    assert kept
    assert not kept & {JobKind.CHART, JobKind.SEARCH}

    assert await story.day(0, **LISTS, **ON) == first
    assert story.accounts() == taken

    off = await story.day(30, **LISTS)
    assert off["calls"]["channels"] > first["calls"]["channels"]
    assert (chart_reads(off), off["calls"]["search"]) == (1, 1)
    assert story.accounts() == taken

    again = await story.day(30, **LISTS, **ON)
    assert (chart_reads(again), again["calls"]["search"]) == (2, 2)
    assert len(story.accounts() - taken) == 5 + 3


def chart_reads(books: dict[str, Any]) -> int:
    """How often the head of the American chart was shown: its video is of a channel that is never taken in here."""
    return int(books["served"]["videos"]["video00000A"])
