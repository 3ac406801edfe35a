"""What hits show is gone over once after a start, and again after each import, within its budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from daemon.evaluation.virtual_time import VirtualThreads
from daemon.readiness import Readiness
from daemon.warming import AT_ONCE, RESTS_BESIDE_SEARCHES, SHOWN, STORE, Warmer, available_bytes
from stores.blocking import Blocking
from stores.env import Environment, Txn

CREATORS, ACCOUNTS = 2 * AT_ONCE + 7, 3 * AT_ONCE
PLENTY = 1 << 40


class World:
    """``steps``: the databases that were gone over, a step each."""

    def __init__(self, env: Environment, threads: VirtualThreads) -> None:
        self.env, self.readiness, self.stop = env, Readiness(), trio.Event()
        self.importing, self.searched, self.available = False, False, PLENTY
        self.steps: list[str] = []
        self.warmer = Warmer(
            env,
            threads=Blocking("warming", 1, threads),
            readiness=self.readiness,
            importing=lambda: self.importing,
            searched=lambda: self.searched,
            available=lambda: self.available,
            stop=self.stop,
        )
        self._pass_over = self.warmer._pass_over

    @contextmanager
    def watched(self, beside: Callable[[int], None] = lambda _: None) -> Iterator[None]:
        """``beside``: called with the number of each step that is done."""

        def step(database: str, start: bytes) -> bytes | None:
            self.steps.append(database)
            following = self._pass_over(database, start)
            beside(len(self.steps))
            return following

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.warmer, "_pass_over", step)
            yield

    @property
    def loaded(self) -> float:
        return self.readiness.dependencies[STORE].loaded


@pytest.fixture
def world(env: Environment, threads: VirtualThreads) -> World:
    def fill(txn: Txn) -> None:
        for database, count in zip(SHOWN, (CREATORS, ACCOUNTS), strict=True):
            for number in range(count):
                txn.put(database, number.to_bytes(8, "big"), bytes(100))

    env.write_now(fill, synced=False)
    return World(env, threads)


STEPS = 3 + 3


async def test_every_key_is_gone_over_and_it_says_how_far_it_is(world: World) -> None:
    shares: list[float] = []
    with world.watched(lambda _: shares.append(world.loaded)):
        assert await world.warmer.bring()
    assert world.steps == ["creators"] * 3 + ["accounts"] * 3
    assert shares == sorted(shares)
    assert shares[0] == 0 and 0.5 < shares[-1] < 1
    assert world.loaded == 1
    assert world.readiness.dependencies[STORE].state == "ok"


def test_a_step_ends_where_the_next_begins(world: World) -> None:
    with world.env.snapshot() as txn:
        first = txn.pass_over("creators", b"", AT_ONCE)
        assert first == AT_ONCE.to_bytes(8, "big")
        second = txn.pass_over("creators", first, AT_ONCE)
        assert second == (2 * AT_ONCE).to_bytes(8, "big")
        assert txn.pass_over("creators", second, AT_ONCE) is None
        assert txn.pass_over("creators", b"\xff", AT_ONCE) is None
        assert txn.pass_over("notes", b"", AT_ONCE) is None
        assert txn.pages("creators") > 2_007 * 100 // 4_096
        assert txn.pages("notes") == 0


async def test_beside_searches_it_rests_longer_than_it_works(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0

    def now() -> float:
        nonlocal clock
        clock += 0.5  # each step takes so long: it is looked at before and after it
        return clock

    rests: list[float] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr("daemon.warming.trio.current_time", now)
    monkeypatch.setattr(world.warmer, "_rest", rest)
    world.searched = True
    assert await world.warmer.bring()
    assert rests == [pytest.approx(0.5 * RESTS_BESIDE_SEARCHES)] * STEPS
    rests.clear()
    world.searched = False
    assert await world.warmer.bring()
    assert all(0 < seconds < 0.5 for seconds in rests)


@pytest.mark.parametrize("available", [0, 1 << 20, None])
async def test_where_memory_is_short_nothing_is_brought_in(world: World, available: int | None) -> None:
    world.warmer._available = lambda: available
    with world.watched():
        assert await world.warmer.bring()
    assert world.steps == []
    assert "hits are read from the disk" in world.readiness.dependencies[STORE].detail
    assert world.loaded == 1


async def test_an_import_comes_first_and_after_it_all_is_gone_over_again(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    def begin(step: int) -> None:
        world.importing = world.importing or step == 2

    with world.watched(begin):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.warmer.run)
            await trio.sleep(10)
            assert len(world.steps) == 2
            assert world.loaded == 0
            world.importing = False
            await trio.sleep(10)
            assert len(world.steps) == 2 + STEPS
            assert world.loaded == 1
            await trio.sleep(20)
            assert len(world.steps) == 2 + STEPS  # once is enough
            world.stop.set()


async def test_it_ends_with_the_daemon(world: World) -> None:
    def end(step: int) -> None:
        if step == 2:
            trio.from_thread.run_sync(world.stop.set)

    with world.watched(end):
        with trio.fail_after(10):
            await world.warmer.run()
    assert len(world.steps) == 2


def test_memory_is_read_as_the_system_tells_it(tmp_path: Path) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:  24684012 kB\nMemFree:  100 kB\nMemAvailable:   17500000 kB\n")
    assert available_bytes(told) == 17_500_000 * 1024
    told.write_text("MemTotal:  24684012 kB\n")
    assert available_bytes(told) is None
    assert available_bytes(tmp_path / "none") is None
    told.write_text("MemAvailable:\n")
    assert available_bytes(told) is None
