"""Room on the disk and in memory: what is held back when it runs out, and what goes on when it is back."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest
import trio
import trio.testing

from daemon.access import Access, note_uses
from daemon.doctor_settings import open_files_of
from daemon.evaluation.virtual_time import VirtualThreads
from daemon.resources import LONGEST_PATIENCE_SECONDS, MIB, MOST_OPEN_FILES, Limits, Resources, raise_open_files
from proto.errors import DiskFull
from proto.records import DEFAULT_TENANT, Event
from stores.blocking import Blocking, RunSync
from stores.env import SCHEMA, Environment, Txn
from stores.journal import Journal

FLOOR, CEILING = 100 * MIB, 1_000 * MIB


class Machine:
    """What there is, and what was told."""

    def __init__(self, env: Environment, run_sync: RunSync = trio.to_thread.run_sync) -> None:
        self.free, self.resident = 10 * FLOOR, 0
        self.events: list[Event] = []
        self.intake: dict[str, str] = {}
        env.waits_for_room = True
        self.resources = Resources(
            Path("/"),
            env=env,
            journal=Journal(env, self.events.append),
            limits=Limits(floor=FLOOR, ceiling=CEILING),
            set_intake=self.intake.__setitem__,
            threads=Blocking("resources", 1, run_sync),
            now=lambda: 1_000.0,
            disk_free=lambda _: self.free,
            resident=lambda: self.resident,
        )

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


async def written(env: Environment, key: bytes) -> bool:
    return await env.read(lambda txn: txn.get("meta", key) is not None)


async def put_into(env: Environment, key: bytes, size: int = 1, *, synced: bool = False) -> None:
    def change(txn: Txn) -> None:
        txn.put("meta", key, b"x" * size)

    await env.write(change, synced=synced)


def size_of_store(folder: Path) -> int:
    return next(folder.rglob("data.mdb")).stat().st_size


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The system itself refuses what would make a file larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_below_the_floor_only_what_operators_do_is_written(env: Environment) -> None:
    machine = Machine(env)
    await machine.resources.look()
    assert machine.resources.refuses == ""
    machine.free = FLOOR - 1
    await machine.resources.look()
    assert "storage.disk_floor_mib" in machine.resources.refuses
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put_into, env, b"of a stage")
        with trio.fail_after(5):
            await put_into(env, b"of an operator", synced=True)
        assert not await written(env, b"of a stage")
        machine.free = FLOOR  # not enough to go on: it would stop again at once
        await machine.resources.look()
        assert env.held_because
        machine.free = 2 * FLOOR
        await machine.resources.look()
    assert await written(env, b"of a stage")
    assert machine.kinds() == ["disk_full", "disk_has_room"]


async def test_what_the_system_refuses_is_written_once_there_is_room(
    env: Environment, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    machine = Machine(env)
    await put_into(env, b"before", synced=True)
    size = size_of_store(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(machine.resources.watch)
        async with trio.open_nursery() as stages:
            with files_no_larger_than(size):
                with pytest.raises(DiskFull, match="full"):
                    await put_into(env, b"of an operator", 1 << 20, synced=True)
                for number in range(3):
                    stages.start_soon(put_into, env, b"stage %d" % number, 1 << 20)
                await trio.sleep(600)
                assert "intake waits" in env.held_because or env.full_because
                assert [await written(env, b"stage %d" % number) for number in range(3)] == [False] * 3
                assert await written(env, b"before")
        nursery.cancel_scope.cancel()
    assert [await written(env, b"stage %d" % number) for number in range(3)] == [True] * 3
    tries = machine.kinds().count("disk_full")
    assert 2 <= tries <= 10  # further and further apart


async def test_a_full_map_is_told_with_its_remedy_and_harms_nothing(tmp_path: Path) -> None:
    env = Environment(tmp_path / "small", map_size_bytes=4 * MIB)
    try:
        await put_into(env, b"before")
        with pytest.raises(DiskFull, match=r"storage\.map_size_gib"):
            await put_into(env, b"large", 8 * MIB)
        assert env.full_because
        await put_into(env, b"after")
        assert env.full_because, "what is small finds room where what is large does not"
        assert await env.find_room()
        assert env.full_because == ""
        assert [await written(env, key) for key in (b"before", b"large", b"after")] == [True, False, True]
    finally:
        env.close()


async def test_a_full_map_holds_intake_until_pages_of_it_come_free(
    tmp_path: Path, threads: VirtualThreads, autojump_clock: trio.testing.MockClock
) -> None:
    env = Environment(tmp_path / "small", map_size_bytes=4 * MIB, run_sync=threads)
    try:
        machine = Machine(env, threads)
        with pytest.raises(DiskFull):
            for number in range(100):
                await put_into(env, b"piece %d" % number, 100_000, synced=True)
        await put_into(env, b"of an operator", synced=True)
        for _ in range(10):  # the disk has room all the time
            await machine.resources.look()
            await trio.sleep(LONGEST_PATIENCE_SECONDS)
        assert "raise storage.map_size_gib and restart" in env.held_because
        assert machine.resources.refuses == env.held_because
        assert machine.kinds() == ["map_full"]
        assert "storage.map_size_gib" in machine.events[0].detail
        await env.write(lambda txn: [txn.delete("meta", b"piece %d" % number) for number in range(20)], synced=True)
        for _ in range(3):
            await machine.resources.look()
            await trio.sleep(LONGEST_PATIENCE_SECONDS)
        assert (env.held_because, machine.resources.refuses) == ("", "")
        await put_into(env, b"of a stage", 100_000)
        await machine.resources.look()
        assert machine.kinds() == ["map_full", "map_has_room"]
        assert await written(env, b"of a stage") and not await written(env, b"room:0")
    finally:
        env.close()


async def test_at_the_end_nothing_waits_for_room(env: Environment) -> None:
    machine = Machine(env)
    machine.free = 0
    await machine.resources.look()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put_into, env, b"waits")
        await trio.testing.wait_all_tasks_blocked()
        env.stop_waiting()
    assert await written(env, b"waits")


async def test_what_keys_were_used_for_is_no_reason_to_end_by_an_error(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    Journal(env, lambda _: None).ensure_default_tenant(1_000)
    access, stop = Access(env, now=lambda: 1_000.0, clock=lambda: 0.0), trio.Event()
    await access.load()
    key, _ = await access.create_key(DEFAULT_TENANT, actor="anna")
    access.spend(access.by_key(key))
    env.waits_for_room = True

    def refuse(_: object) -> None:
        raise lmdb.MapFullError("no room")

    monkeypatch.setattr(env, "_run_together", refuse)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(note_uses, access, stop)
        await trio.testing.wait_all_tasks_blocked()
        env.stop_waiting()
        stop.set()


async def test_above_the_ceiling_nothing_is_fetched_until_memory_is_given_back(env: Environment) -> None:
    machine = Machine(env)
    seen = []
    for share in (0.5, 0.95, 1.1, 0.95, 0.8):
        machine.resident = int(share * CEILING)
        await machine.resources.look()
        seen.append((machine.resources.memory_state, bool(machine.intake.get("memory"))))
    assert seen == [("ok", False), ("near", False), ("above", True), ("above", True), ("ok", False)]
    assert machine.kinds() == ["memory_near_ceiling", "memory_full", "memory_has_room"]


def test_a_daemon_allows_itself_as_many_files_as_it_may() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 120), hard))
    try:
        most = open_files_of(-1)
        raise_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(hard, MOST_OPEN_FILES), hard)
        assert most == open_files_of(os.getpid()) > 120
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_looking_for_room_leaves_a_store_of_the_first_version_as_it_is(tmp_path: Path) -> None:
    env = Environment(tmp_path / "first")
    await env.write(lambda txn: txn.delete("meta", SCHEMA))
    assert await env.find_room()
    env.close()
    Environment(tmp_path / "first").close()
