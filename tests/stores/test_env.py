from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import lmdb
import pytest
import trio

from proto.errors import StoreBusy, Unavailable
from stores.codec import SCHEMA_VERSION, pack_id
from stores.env import COPYING, RESTORING, SCHEMA, Environment, Txn, look_on


async def test_waiting_writes_share_a_commit(env: Environment) -> None:
    before = env.commits

    async def put(number: int) -> None:
        await env.write(lambda txn: txn.put("meta", str(number).encode(), b"x"))

    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(put, number)
    assert env.commits - before < 20
    assert await env.read(lambda txn: sum(key.isdigit() for key, _ in txn.scan("meta"))) == 200


async def test_one_failing_change_spares_its_neighbours(env: Environment) -> None:
    async def good(number: int) -> None:
        def change(txn: Txn) -> None:
            txn.put("meta", str(number).encode(), b"x")
            txn.add("count")

        await env.write(change)

    def bad(txn: Txn) -> None:
        txn.put("meta", b"99", b"never")
        txn.add("count", 1_000)
        raise ValueError("mine alone")

    async def failing() -> None:
        with pytest.raises(ValueError, match="mine alone"):
            await env.write(bad)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(good, number)
        nursery.start_soon(failing)
    assert await env.read(lambda txn: txn.get("meta", b"99")) is None
    assert await env.read(lambda txn: txn.counter("count")) == 10


async def test_a_disk_that_refuses_is_told_to_all_of_the_commit(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing:
        """The open environment, whose disk is broken."""

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def sync(self, *_: bool) -> None:
            raise lmdb.DiskError("fsync: Input/output error")

    real = env._env
    monkeypatch.setattr(env, "_env", Refusing())
    refused = list[str]()

    async def put(number: int) -> None:
        try:
            await env.write(lambda txn: txn.put("meta", str(number).encode(), b"x"), synced=number == 0)
        except Unavailable as error:
            refused.append(str(error))

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(put, number)
    assert refused
    assert all("cannot be written to the disk: fsync" in one for one in refused)
    monkeypatch.undo()
    await env.write(lambda txn: txn.put("meta", b"after", b"x"), synced=True)


async def test_a_cancelled_writer_still_writes(env: Environment) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await env.write(lambda txn: txn.put("meta", b"kept", b"1"))
    assert await env.read(lambda txn: txn.get("meta", b"kept")) == b"1"


async def test_scan_keeps_to_its_prefix_and_start(env: Environment) -> None:
    def change(txn: Txn) -> None:
        for key in (b"a", b"b1", b"b2", b"b3", b"c"):
            txn.put("accounts", key, key)

    await env.write(change)
    assert await env.read(lambda txn: [key for key, _ in txn.scan("accounts", b"b")]) == [b"b1", b"b2", b"b3"]
    assert await env.read(lambda txn: [key for key, _ in txn.scan("accounts", b"b", b"b2")]) == [b"b2", b"b3"]


def test_a_second_process_is_refused_by_name(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from stores.env import Environment\n"
        "env = Environment(pathlib.Path(sys.argv[1]), map_size_bytes=1 << 24)\n"
        "print('open', flush=True); sys.stdin.read(); env.close()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "open\n"
    with pytest.raises(StoreBusy, match=str(other.pid)):
        Environment(tmp_path, map_size_bytes=1 << 24)
    other.communicate("")
    Environment(tmp_path, map_size_bytes=1 << 24).close()


def test_files_are_private(tmp_path: Path) -> None:
    Environment(tmp_path / "data", map_size_bytes=1 << 24).close()
    for path in (tmp_path / "data").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_store_knows_its_schema_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    env = Environment(tmp_path, map_size_bytes=1 << 30)
    with env.snapshot() as txn:
        assert txn.get("meta", SCHEMA) == pack_id(SCHEMA_VERSION)
    env.write_now(lambda txn: txn.put("meta", SCHEMA, pack_id(SCHEMA_VERSION + 1)))
    env.close()
    for _ in range(2):  # the directory is let go of
        with pytest.raises(Unavailable, match=f"schema version {SCHEMA_VERSION + 1}"):
            Environment(tmp_path, map_size_bytes=1 << 30)


def test_a_half_restored_directory_is_refused_and_the_copy_of_a_backup_that_died_is_removed(tmp_path: Path) -> None:
    (tmp_path / COPYING / "store").mkdir(parents=True)
    Environment(tmp_path, map_size_bytes=1 << 30).close()
    assert not (tmp_path / COPYING).exists()
    (tmp_path / RESTORING / "store").mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(Unavailable, match="was not finished"):
            Environment(tmp_path, map_size_bytes=1 << 30)


def test_a_store_that_was_cut_off_is_refused_and_does_not_end_the_process(tmp_path: Path) -> None:
    env = Environment(tmp_path, map_size_bytes=1 << 30)
    for number in range(50):
        env.write_now(lambda txn, number=number: txn.put("raw", bytes((number,)), b"x" * 30_000))  # type: ignore[misc]
    env.close()
    file = tmp_path / "store" / "data.mdb"
    os.truncate(file, file.stat().st_size // 2)
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"cut off.*restore a backup"):
            Environment(tmp_path, map_size_bytes=1 << 30)


READER = """
import sys, time
from pathlib import Path
from stores.env import look_into
with look_into(Path(sys.argv[1]), shared=True) as seen:
    seen.txn.get("meta", b"x")
    print("reading", flush=True)
    time.sleep(600)
"""


def rewrite(env: Environment, rounds: int) -> int:
    """Replaces the same values again and again; how many bytes the store takes more afterwards."""

    def change(txn: Txn) -> None:
        txn.put("meta", b"big", os.urandom(200_000))

    before = env.disk_bytes()
    for _ in range(rounds):
        env.write_now(change, synced=False)
    return env.disk_bytes() - before


def test_a_reader_that_was_killed_keeps_no_pages(tmp_path: Path) -> None:
    env = Environment(tmp_path / "data", map_size_bytes=1 << 28, durable=False)
    rewrite(env, 3)
    reader = subprocess.Popen([sys.executable, "-c", READER, str(tmp_path / "data")], stdout=subprocess.PIPE)
    assert reader.stdout is not None
    with reader.stdout:
        assert reader.stdout.readline() == b"reading\n"
        reader.kill()
        reader.wait()
    assert rewrite(env, 20) > 3_000_000, "whatever it was reading stays"
    assert env.drop_dead_readers() == 1
    rewrite(env, 3)
    assert rewrite(env, 20) == 0
    env.close()


async def test_a_read_that_fails_gives_its_reader_slot_back_while_its_error_lives(env: Environment) -> None:
    """Errors of threads are in cycles that only the collector ends: each unknown creator that was asked for kept a slot
    until then, and 64 of them ended the daemon."""
    await env.write(lambda txn: txn.put("meta", b"a", b"b"))

    def missing(txn: Txn) -> None:
        unfinished = txn.scan("meta")
        assert next(unfinished)
        raise KeyError("nobody")

    errors = []
    for _ in range(200):
        with pytest.raises(KeyError) as caught:
            await env.read(missing)
        errors.append(caught.value)  # and with it the frames that it went through
    assert len(errors) == 200
    assert await env.read(lambda txn: txn.get("meta", b"a")) == b"b"


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _no_room(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_copy_tells_how_far_it_is_and_holds_what_was_committed(tmp_path: Path) -> None:
    env = Environment(tmp_path / "data", map_size_bytes=1 << 28, durable=False)
    for number in range(48):
        env.write_now(lambda txn, n=number: txn.put("meta", b"%d" % n, bytes(1 << 20)), synced=False)  # type: ignore[misc]
    told: list[int] = []
    (_empty(tmp_path / "copied") / "store").mkdir()
    env.copy_to(tmp_path / "copied" / "store", told.append)
    env.close()
    size = (tmp_path / "copied" / "store" / "data.mdb").stat().st_size
    assert told == sorted(set(told))
    assert told[-1] == size > 48 << 20
    assert len(told) > 40, "a piece at a time"
    copy = Environment(tmp_path / "copied", map_size_bytes=1 << 28, durable=False)
    with copy.snapshot() as txn:
        assert all(txn.get("meta", b"%d" % number) == bytes(1 << 20) for number in range(48))
    copy.close()


def test_a_copy_that_is_called_off_ends_at_once_and_so_does_its_thread(tmp_path: Path) -> None:
    env = Environment(tmp_path / "data", map_size_bytes=1 << 28, durable=False)
    for number in range(48):
        env.write_now(lambda txn, n=number: txn.put("meta", b"%d" % n, bytes(1 << 20)), synced=False)  # type: ignore[misc]
    told: list[int] = []

    def call_off(done: int) -> None:
        told.append(done)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        env.copy_to(_empty(tmp_path / "copy"), call_off)
    assert len(told) == 3
    assert not [thread for thread in threading.enumerate() if thread.name == "store-copy"]
    assert env.copy_to(_empty(tmp_path / "copy")) >= 48
    env.close()


def test_who_walks_through_a_store_for_a_copy_is_interrupted_by_nothing_but_its_own_faults(tmp_path: Path) -> None:
    class Walked:
        masked: set[signal.Signals | int] = set()

        def copyfd(self, descriptor: int, **_: object) -> None:
            self.masked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
            os.write(descriptor, b"walked")

    env, walked = Environment(tmp_path / "data", map_size_bytes=1 << 26, durable=False), Walked()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    taken: list[bytes] = []
    with env.snapshot() as txn:
        txn.copy(walked, taken.append)
    env.close()
    assert taken == [b"walked"]
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD} <= walked.masked
    assert not {signal.SIGBUS, signal.SIGSEGV} & walked.masked
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted as Linux tells them")
def test_a_copy_without_room_for_a_thread_fails_as_one_without_room_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    env = Environment(tmp_path / "data", map_size_bytes=1 << 26, durable=False)
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(20):
            with pytest.raises(OSError, match="unavailable"):
                env.copy_to(_empty(tmp_path / "copy"))
    assert len(os.listdir("/proc/self/fd")) < before + 20
    assert env.copy_to(_empty(tmp_path / "copy")) >= 0
    env.close()


def test_a_copy_that_fails_gives_its_reader_slot_back_while_its_error_lives(tmp_path: Path) -> None:
    env = Environment(tmp_path / "data", map_size_bytes=1 << 26, durable=False)
    errors = []
    for _ in range(100):
        with pytest.raises(OSError, match="No space left") as caught:
            env.copy_to(_empty(tmp_path / "copy"), _no_room)
        errors.append(caught.value)
    assert len(errors) == 100
    assert env.copy_to(_empty(tmp_path / "copy")) >= 0
    env.close()


async def test_looks_from_outside_that_fail_give_their_reader_slots_back(tmp_path: Path) -> None:
    Environment(tmp_path / "data", map_size_bytes=1 << 26, durable=False).close()

    def missing(txn: Txn) -> None:
        raise KeyError("nobody")

    errors = []
    with look_on(tmp_path / "data") as onlooker:
        for _ in range(200):
            with pytest.raises(KeyError) as caught:
                await onlooker.read(missing)
            errors.append(caught.value)
        assert len(errors) == 200
        assert await onlooker.read(lambda txn: txn.entries("accounts")) == 0
