"""What hits show is gone over once after a start, and again after a large import, within its budget."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from daemon.evaluation.virtual_time import VirtualThreads
from daemon.memory import available_bytes
from daemon.readiness import Readiness
from daemon.warming import (
    AFTER_IMPORT,
    AT_ONCE,
    FROM_DISK,
    IN_MEMORY,
    LITTLE_MEMORY,
    ON_ITS_WAY,
    RESTS_BESIDE_SEARCHES,
    SHOWN,
    STORE,
    UNKNOWN_MEMORY,
    Warmer,
)
from proto.api import DependencyStatus
from proto.errors import StoreDamaged
from stores.blocking import Blocking
from stores.env import Environment, Txn

CREATORS, ACCOUNTS = 2 * AT_ONCE + 7, 3 * AT_ONCE
PLENTY = 1 << 40
STEPS = 3 + 3


class World:
    """``steps``: the databases that were gone over, a step each."""

    def __init__(self, env: Environment, threads: VirtualThreads) -> None:
        self.env, self.readiness, self.stop = env, Readiness(), trio.Event()
        self.importing = self.searched = False
        self.available: int | None = PLENTY
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

    async def until_quiet(self) -> None:
        """As long as it takes to go over everything, and to look again."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.warmer.run)
            await trio.sleep(10)
            self.stop.set()

    @property
    def status(self) -> DependencyStatus:
        return self.readiness.dependencies[STORE]


def put(txn: Txn, database: str, numbers: range) -> None:
    for number in numbers:
        txn.put(database, number.to_bytes(8, "big"), bytes(100))


@pytest.fixture
def world(env: Environment, threads: VirtualThreads) -> World:
    for database, count in zip(SHOWN, (CREATORS, ACCOUNTS), strict=True):
        env.write_now(partial(put, database=database, numbers=range(count)), synced=False)
    return World(env, threads)


async def test_every_key_is_gone_over_and_it_says_how_far_it_is(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    shares: list[float] = []
    with world.watched(lambda _: shares.append(world.status.loaded)):
        await world.until_quiet()
    assert world.steps == ["creators"] * 3 + ["accounts"] * 3  # once is enough
    assert shares == sorted(shares)
    assert shares[0] == 0 and 0.5 < shares[-1] < 1
    assert (world.status.state, world.status.detail, world.status.loaded) == ("ok", IN_MEMORY, 1)
    assert autojump_clock.current_time() > 9


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
    await world.warmer._step("creators", b"")
    assert rests == [pytest.approx(0.5 * RESTS_BESIDE_SEARCHES)]
    world.searched = False
    await world.warmer._step("creators", b"")
    assert 0 < rests[1] < 0.5


@pytest.mark.parametrize(
    ("available", "reason"), [(0, LITTLE_MEMORY), (1 << 20, LITTLE_MEMORY), (None, UNKNOWN_MEMORY)]
)
async def test_where_memory_is_short_nothing_is_brought_in(
    world: World, available: int | None, reason: str, autojump_clock: trio.testing.MockClock
) -> None:
    world.available = available
    with world.watched():
        await world.until_quiet()
    assert world.steps == []
    assert world.status.detail == f"{FROM_DISK}: {reason}"
    assert world.status.loaded == 1
    assert autojump_clock.current_time() > 9


async def test_an_import_comes_first_and_after_a_large_one_all_is_gone_over_again(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    def begin(step: int) -> None:
        world.importing = world.importing or step == 2

    with world.watched(begin):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.warmer.run)
            await trio.sleep(10)
            assert (len(world.steps), world.status.detail) == (2, AFTER_IMPORT)
            world.importing = False
            await trio.sleep(10)
            assert (len(world.steps), world.status.detail) == (2 + STEPS, IN_MEMORY)
            few = range(ACCOUNTS, ACCOUNTS + 20)
            await world.env.write(partial(put, database="accounts", numbers=few))
            await trio.sleep(10)
            assert len(world.steps) == 2 + STEPS
            many = range(few.stop, few.stop + 200)
            await world.env.write(partial(put, database="accounts", numbers=many))
            await trio.sleep(10)
            assert len(world.steps) == 2 + STEPS + 3 + 4
            world.stop.set()
    assert autojump_clock.current_time() > 39


async def test_it_ends_with_the_daemon(world: World) -> None:
    def end(step: int) -> None:
        if step == 2:
            trio.from_thread.run_sync(world.stop.set)

    with world.watched(end), trio.fail_after(10):
        await world.warmer.run()
    assert len(world.steps) == 2


async def test_damage_is_told_and_what_could_not_be_gone_over_does_not_pass_for_done(world: World) -> None:
    def broken(_: int) -> None:
        assert world.status.detail == ON_ITS_WAY
        raise StoreDamaged("a page of the store cannot be read")

    with world.watched(broken), pytest.raises(StoreDamaged):
        await world.warmer.run()
    assert world.status.detail == f"{FROM_DISK}: a page of the store cannot be read"


def test_memory_is_read_as_the_system_tells_it(tmp_path: Path) -> None:
    told = tmp_path / "proc/meminfo"
    own = tmp_path / "proc" / str(os.getpid())
    own.mkdir(parents=True)
    told.write_text("MemTotal:  24684012 kB\nMemFree:  100 kB\nMemAvailable:   17500000 kB\n")
    assert available_bytes(1 << 30, tmp_path) == 17_500_000 * 1024
    unit = tmp_path / "sys/fs/cgroup/pokedexd.service"
    unit.mkdir(parents=True)
    (own / "cgroup").write_text("0::/pokedexd.service\n")
    (unit / "memory.max").write_text(f"{12 << 30}\n")
    (unit / "memory.high").write_text(f"{9 << 30}\n")
    assert available_bytes(8 << 30, tmp_path) == 1 << 30
    assert available_bytes(10 << 30, tmp_path) == 0
    told.write_text("MemTotal:  24684012 kB\n")
    assert available_bytes(0, tmp_path) is None
    told.write_text("MemAvailable:\n")
    assert available_bytes(0, tmp_path) is None
    assert available_bytes(0, tmp_path / "none") is None
