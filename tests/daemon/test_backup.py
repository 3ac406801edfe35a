"""A backup is the state of one commit, whatever is written meanwhile; it takes no secret along, and harms nobody."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
import trio
import trio.testing

from daemon.backup import STEPS, Backups, Made, back_up_now_and_then, make_backup, name_at, own_backups
from daemon.config import BackupConfig, DaemonConfig
from daemon.evaluation.ingestion import MAP_BYTES, UNLIMITED
from daemon.evaluation.virtual_time import VirtualThreads
from daemon.figures import last_backup_at
from daemon.restoring import examine, restore
from daemon.simulator.faults import Faults
from proto.errors import Malformed, Unavailable
from stores.backup_file import Tell
from stores.blocking import Blocking
from stores.env import COPYING, DATABASES, Environment
from stores.journal import Journal
from stores.subscriptions import get_subscription, want
from tests.conftest import EPOCH
from tests.flow.played import POLICY, Played, small_world

BACKUPS = 6
HOUR_SECONDS = 3_600
SIZE = 1 << 30


def silent(_: str, __: int, ___: int) -> None:
    """Nobody is told."""


def made(
    env: Environment,
    data_dir: Path,
    file: Path,
    *,
    map_size_bytes: int = SIZE,
    create: Callable[[Path], IO[bytes]] | None = None,
) -> Made:
    return make_backup(
        env,
        data_dir,
        file,
        settings="[daemon]\n",
        created_at=EPOCH,
        map_size_bytes=map_size_bytes,
        tell=silent,
        create=create,
    )


def digests(env: Environment) -> dict[str, str]:
    """Of the rows of each database."""
    found = {}
    with env.snapshot() as txn:
        for name in DATABASES:
            digest = hashlib.blake2b(digest_size=16)
            for key, value in txn.scan(name):
                digest.update(len(key).to_bytes(4, "big") + key + len(value).to_bytes(4, "big") + value)
            found[name] = digest.hexdigest()
    return found


class Recorder:
    """Remembers the state after every commit, by the commit's number."""

    def __init__(self, env: Environment) -> None:
        self._env, self._commit = env, env._commit
        self.states: dict[int, dict[str, str]] = {}
        self._note()
        env._commit = self._committing  # type: ignore[method-assign]

    def _committing(self, batch: Any) -> None:
        self._commit(batch)
        self._note()

    def _note(self) -> None:
        self.states[int(self._env._env.info()["last_txnid"])] = digests(self._env)


async def keep_writing(env: Environment) -> None:
    while True:
        await env.write(lambda txn: txn.put("meta", b"written", b"%d" % txn.add("written")))
        await trio.lowlevel.checkpoint()  # a write cannot be cancelled


def restored(file: Path, folder: Path) -> Environment:
    restore(
        file,
        folder,
        journal=None,
        journal_place=None,
        map_size_bytes=MAP_BYTES,
        daemon=DaemonConfig(),
        tell=silent,
    )
    return Environment(folder, map_size_bytes=MAP_BYTES)


async def test_what_is_restored_equals_the_state_of_the_backups_commit_database_by_database(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Backups while a world is taken in; with every commit the whole state is remembered."""
    world, data = small_world(60), tmp_path / "data"
    played = Played(world, data, autojump_clock, policy=POLICY, tokens=1, calls=10_000_000)
    platform = played._platform(UNLIMITED, 10_000_000, Faults(), living=False)
    backups: list[Made] = []
    meanwhile = 0
    async with played._flow(platform, UNLIMITED, 10_000_000) as flow:
        recorder = Recorder(flow.env)
        await flow.import_world(world)
        threads = Blocking("backup", 1, VirtualThreads(autojump_clock, 0.01))
        while len(backups) < BACKUPS and await flow.schedule.pending():
            before = flow.env.commits
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keep_writing, flow.env)  # besides the stages, for which time stands still meanwhile
                backups.append(await threads.call(made, flow.env, data, tmp_path / f"{len(backups)}.backup"))
                nursery.cancel_scope.cancel()
            meanwhile += flow.env.commits - before
            await trio.sleep(0.05)
    assert meanwhile > BACKUPS
    assert len({one.manifest.commit for one in backups}) > 1
    for number, one in enumerate([backups[0], backups[len(backups) // 2], backups[-1]]):
        env = restored(Path(one.file), tmp_path / f"restored-{number}")
        assert digests(env) == recorder.states[one.manifest.commit]
        env.close()


def test_the_secrets_of_subscriptions_do_not_leave_the_data_directory(env: Environment, tmp_path: Path) -> None:
    for number in range(300):
        env.write_now(lambda txn, one=f"UC{number}": want(txn, one, EPOCH, token=f"tokenof{one}", secret=f"hush{one}"))  # type: ignore[misc]
    made(env, tmp_path / "data", tmp_path / "one.backup")
    (tmp_path / "unpacked").mkdir()
    examined = examine(tmp_path / "one.backup", tmp_path / "unpacked", map_size_bytes=SIZE, tell=silent)
    assert examined.faults == []
    assert examined.manifest.counts["subscriptions"] == 0
    data = (tmp_path / "unpacked" / "store" / "data.mdb").read_bytes()
    assert b"hushUC" not in data
    assert b"tokenofUC" not in data
    with env.snapshot() as txn:
        assert get_subscription(txn, "UC7") is not None


@pytest.mark.parametrize("wanted", [step for step in STEPS if step != "removing"])
def test_each_step_tells_how_far_it_is_and_can_be_called_off(env: Environment, tmp_path: Path, wanted: str) -> None:
    env.write_now(lambda txn: want(txn, "UC1", EPOCH, token="token", secret="hush"))
    env.write_now(lambda txn: txn.put("meta", b"large", os.urandom(3 << 20)))
    told: list[tuple[int, float]] = []

    def tell(step: str, done: int, total: int) -> None:
        told.append((STEPS.index(step), done / total))

    def call_off(step: str, done: int, total: int) -> None:
        if step == wanted and done == total:
            raise KeyboardInterrupt

    def back_up(tell: Tell) -> Made:
        data, file = tmp_path / "data", tmp_path / "one.backup"
        return make_backup(env, data, file, settings="[daemon]\n", created_at=EPOCH, map_size_bytes=SIZE, tell=tell)

    with pytest.raises(KeyboardInterrupt):
        back_up(call_off)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert not (tmp_path / "data" / COPYING).exists()
    back_up(tell)
    assert told == sorted(told), "never back"
    shares = [share for step, share in told if step == STEPS.index(wanted)]
    assert len(shares) >= 3
    assert shares[-1] == 1


@pytest.mark.parametrize("trouble", [True, False])
def test_a_copy_that_cannot_be_removed_gently_costs_no_backup(
    env: Environment, tmp_path: Path, *, trouble: bool
) -> None:
    told: list[tuple[int, int]] = []

    def tell(step: str, done: int, total: int) -> None:
        if step == "removing":
            told.append((done, total))
            assert (tmp_path / "one.backup").exists()
            if trouble:
                raise OSError(errno.EIO, "Input/output error")

    data, file = tmp_path / "data", tmp_path / "one.backup"
    one = make_backup(
        env, data, file, settings="[daemon]\n", created_at=EPOCH, map_size_bytes=SIZE, tell=tell, gently=True
    )
    assert one.size == file.stat().st_size
    assert not (data / COPYING).exists()
    assert len(told) == 1 if trouble else told[-1][0] == told[-1][1]
    (tmp_path / "unpacked").mkdir()
    assert examine(file, tmp_path / "unpacked", map_size_bytes=SIZE, tell=silent).faults == []


class Filling(io.FileIO):
    """A file on a disk with room for so many bytes."""

    def __init__(self, path: Path, room: int) -> None:
        super().__init__(path, "xb")
        self._room = room

    def write(self, data: Any, /) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data) or 0


@pytest.mark.parametrize("room", [0, 10, 1_000, 3_000])
def test_a_disk_that_fills_up_costs_the_backup_and_nothing_else(env: Environment, tmp_path: Path, room: int) -> None:
    for number in range(900):
        env.write_now(lambda txn, n=number: txn.put("meta", b"%d" % n, b"x" * n), synced=False)  # type: ignore[misc]
    file, data = tmp_path / "one.backup", tmp_path / "data"
    with pytest.raises(Unavailable, match="No space left on device; nothing of it is left"):
        made(env, data, file, create=lambda path: Filling(path, room))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert not (data / COPYING).exists()
    env.write_now(lambda txn: txn.put("meta", b"after", b"1"))
    assert made(env, data, file).manifest.counts["meta"] == 902  # the schema's version is one
    with pytest.raises(Malformed, match="exists already"):
        made(env, data, file)


@pytest.fixture
def backups(env: Environment, tmp_path: Path, threads: VirtualThreads) -> Backups:
    return Backups(
        env,
        tmp_path / "data",
        settings=lambda: "",
        map_size_bytes=SIZE,
        journal=Journal(env, lambda _: None),
        threads=Blocking("backup", 1, threads),
        now=now,
        clock=now,
    )


def now() -> float:
    return EPOCH + trio.current_time()


async def events(env: Environment) -> list[tuple[str, str, str]]:
    """Oldest first."""
    found = await Journal(env, lambda _: None).recent_events(100)
    return [(event.kind, event.severity, event.subject) for event in reversed(found)]


async def test_one_that_is_called_off_while_its_copy_is_removed_was_made(
    env: Environment,
    backups: Backups,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
) -> None:
    file = tmp_path / "one.backup"
    with trio.CancelScope() as scope:

        def remove(_: Path, tell: Callable[[int, int], None]) -> None:
            trio.from_thread.run_sync(scope.cancel)
            tell(0, 1)
            raise AssertionError("it was not called off")

        monkeypatch.setattr("daemon.backup.empty_gently", remove)
        await backups.make(file)
    assert scope.cancel_called
    assert await events(env) == [("backup_made", "info", str(file))]
    assert file.exists()
    assert not (tmp_path / "data" / COPYING).exists()


async def test_what_became_of_a_backup_is_an_event(
    env: Environment, backups: Backups, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    await backups.make(tmp_path / "one.backup")
    with pytest.raises(Unavailable, match="No such file"):
        await backups.make(tmp_path / "absent" / "two.backup")
    with pytest.raises(Malformed, match="exists already"):
        await backups.make(tmp_path / "one.backup")
    assert await events(env) == [
        ("backup_made", "info", str(tmp_path / "one.backup")),
        ("backup_failed", "error", str(tmp_path / "absent" / "two.backup")),
        ("backup_refused", "info", str(tmp_path / "one.backup")),
    ]
    assert backups.progress.step == ""


async def test_a_backup_is_made_and_told_while_nothing_else_is_written(
    env: Environment, backups: Backups, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    env.waits_for_room = True
    env.hold("the disk is full")
    with trio.fail_after(600):
        await backups.make(tmp_path / "one.backup")
    assert await events(env) == [("backup_made", "info", str(tmp_path / "one.backup"))]


async def test_one_backup_at_a_time(backups: Backups, tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(backups.make, tmp_path / "one.backup")
        await trio.testing.wait_all_tasks_blocked()
        assert backups.progress.step
        with pytest.raises(Unavailable, match="another backup is being made"):
            await backups.make(tmp_path / "two.backup")
    assert (tmp_path / "one.backup").exists()


async def test_backups_by_the_clock_and_only_the_newest_stay(
    env: Environment, backups: Backups, tmp_path: Path, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    folder, stop = tmp_path / "kept" / "here", trio.Event()
    config = BackupConfig(folder=str(folder), every_hours=6, keep=2)
    nursery.start_soon(back_up_now_and_then, backups, config, now, stop)
    await trio.sleep(1)
    (folder / "mine.backup").write_text("the operator's")
    (folder / "pokedexd-before-the-move.backup").write_text("likewise")
    (folder / f"{name_at(EPOCH)}.unfinished").write_text("of a crash")
    await trio.sleep(20 * HOUR_SECONDS)
    assert [at - EPOCH for at, _ in own_backups(folder)] == [12 * HOUR_SECONDS, 18 * HOUR_SECONDS]
    assert len(list(folder.iterdir())) == 4
    assert [kind for kind, _, _ in await events(env)] == ["backup_made"] * 4
    assert await env.read(last_backup_at) is not None
    stop.set()
    await trio.testing.wait_all_tasks_blocked()


async def test_a_restart_makes_none_too_early_and_a_failure_is_tried_again_within_an_hour(
    env: Environment, backups: Backups, tmp_path: Path, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    folder, stop = tmp_path / "kept", trio.Event()
    config = BackupConfig(folder=str(folder), every_hours=6, keep=2)
    folder.mkdir()
    (folder / name_at(EPOCH - 5 * HOUR_SECONDS)).write_text("made by the process before")
    nursery.start_soon(back_up_now_and_then, backups, config, now, stop)
    await trio.sleep(HOUR_SECONDS - 1)
    assert await events(env) == []
    folder.rename(tmp_path / "unmounted")
    folder.write_text("no folder")
    await trio.sleep(2)
    folder.unlink()
    (tmp_path / "unmounted").rename(folder)
    await trio.sleep(HOUR_SECONDS + 60)
    assert [kind for kind, _, _ in await events(env)] == ["backup_failed", "backup_made"]
    stop.set()
    await trio.testing.wait_all_tasks_blocked()
