from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import lmdb
import pytest
import trio
import trio.testing

from daemon.importing import Piece
from daemon.operations import IDLE_IMPORT_SECONDS, LOOK_SECONDS, Imports
from daemon.tasks import Tasks, Tell
from proto.errors import Conflict, Malformed, NotFound, Unavailable
from proto.ids import CreatorId, Row
from proto.records import TaskRecord
from stores.blocking import Blocking
from stores.env import Environment, Txn
from stores.operations import TASKS_KEPT, put_task
from stores.ports import TextDocument
from stores.text_index import TantivyTextIndex

NOW = 1_790_000_000.0


def made(env: Environment) -> Tasks:
    return Tasks(env, now=lambda: NOW)


async def forever(tell: Tell) -> None:
    tell(3, 10)
    await trio.sleep_forever()


async def test_a_task_tells_how_far_it_is_and_what_became_of_it(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    tasks = made(env)

    async def work(tell: Tell) -> str:
        tell(1, 4)
        (seen,) = tasks.all()
        assert (seen.state, seen.progress, seen.ended_at, seen.cancellable) == ("running", 0.25, None, True)
        await trio.sleep(2)
        return "made"

    assert await tasks.run("backup", work, "file") == "made"
    with pytest.raises(Malformed):
        await tasks.run("backup", _refuse)
    with pytest.raises(Malformed):
        await tasks.run("forget", _refuse, private=True)
    private, failed, done = tasks.all()
    assert (done.state, done.progress, done.detail) == ("done", 1.0, "file")
    assert done.seconds >= 2
    assert (failed.state, failed.error) == ("failed", "anna is no account")
    assert private.error == "Malformed"  # names no account
    again = made(env)
    await again.load()
    assert again.all() == tasks.all()


async def _refuse(_: Tell) -> None:
    raise Malformed("anna is no account")


async def test_a_restart_tells_that_a_task_was_interrupted(env: Environment) -> None:
    await made(env).begin("reindex")  # and the process is gone
    tasks = made(env)
    await tasks.load()
    (one,) = tasks.all()
    assert (one.uid, one.state, one.error) == ("1", "interrupted", "the daemon ended before it was done")
    assert (await tasks.begin("backup")).record.number == 2


async def test_a_full_disk_does_not_keep_the_daemon_from_starting(
    env: Environment, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(env).begin("reindex")  # and the process is gone
    env.waits_for_room = True

    def refuse(_: object) -> None:
        raise lmdb.MapFullError("no room")

    monkeypatch.setattr(env, "_run_together", refuse)
    tasks = made(env)
    with trio.fail_after(60):
        await tasks.load()
    assert tasks.get("1").state == "interrupted"


async def test_a_cancelled_task_that_ran_several_things_at_once_ends(
    env: Environment, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    async def several(tell: Tell) -> None:
        async with trio.open_nursery() as inner:
            inner.start_soon(trio.sleep_forever)
            await trio.sleep_forever()

    tasks = made(env)
    nursery.start_soon(tasks.serve, trio.Event())
    await trio.testing.wait_all_tasks_blocked()
    begun = await tasks.start("backup", several)
    await trio.testing.wait_all_tasks_blocked()
    await tasks.cancel(begun.uid, "anna")
    with trio.fail_after(60):
        while tasks.get(begun.uid).state == "running":  # noqa: ASYNC110 (nobody tells)
            await trio.sleep(1)
    assert tasks.get(begun.uid).state == "cancelled"


async def test_a_task_begun_while_the_daemon_ends_is_refused(
    env: Environment, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    tasks, stop, told = made(env), trio.Event(), list[str]()
    nursery.start_soon(tasks.serve, stop)
    await trio.testing.wait_all_tasks_blocked()

    async def ask() -> None:
        with pytest.raises(Unavailable) as found:
            await tasks.start("reindex", forever)
        told.append(str(found.value))

    nursery.start_soon(ask)
    while not tasks.all():
        await trio.lowlevel.checkpoint()
    stop.set()  # before it is noted
    while not told:  # noqa: ASYNC110 (nobody tells)
        await trio.sleep(1)
    assert "ends" in told[0]
    assert tasks.get("1").state == "interrupted"


async def test_cancelling_and_the_end_of_the_daemon(env: Environment, nursery: trio.Nursery) -> None:
    tasks, stop = made(env), trio.Event()
    with pytest.raises(Unavailable, match="not up yet"):
        await tasks.start("reindex", forever)
    nursery.start_soon(tasks.serve, stop)
    await trio.testing.wait_all_tasks_blocked()
    first = await tasks.start("reindex", forever)
    with pytest.raises(Conflict, match="a reindex is under way: task 1"):
        tasks.refuse_second("reindex")
    await trio.testing.wait_all_tasks_blocked()
    await tasks.cancel(first.uid, "anna")
    while tasks.get(first.uid).state == "running":
        await trio.testing.wait_all_tasks_blocked()
    assert tasks.get(first.uid).state == "cancelled"
    with pytest.raises(Conflict, match="is cancelled already"):
        await tasks.cancel(first.uid, "anna")
    with pytest.raises(NotFound):
        await tasks.cancel("77", "anna")
    second = await tasks.start("reindex", forever)
    await trio.testing.wait_all_tasks_blocked()
    stop.set()
    while tasks.get(second.uid).state == "running":
        await trio.testing.wait_all_tasks_blocked()
    ended = tasks.get(second.uid)
    assert (ended.state, ended.error) == ("interrupted", "the daemon ended before it was done")


async def test_what_cannot_be_cancelled_goes_on_though_nobody_waits_for_it(
    env: Environment, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    tasks, stop = made(env), trio.Event()
    nursery.start_soon(tasks.serve, stop)
    await trio.testing.wait_all_tasks_blocked()

    async def slow(tell: Tell) -> str:
        await trio.sleep(100)
        return "erased"

    with trio.move_on_after(10):
        await tasks.run("forget", slow, cancellable=False)
    assert tasks.get("1").state == "running"
    await trio.sleep(100)
    assert tasks.get("1").state == "done"
    assert await tasks.run("forget", slow, cancellable=False) == "erased"
    with pytest.raises(Malformed):
        await tasks.run("forget", _refuse, cancellable=False)

    async def end() -> None:
        await trio.sleep(10)
        stop.set()

    nursery.start_soon(end)
    with pytest.raises(Unavailable, match="finished at the next start"):
        await tasks.run("forget", slow, cancellable=False)


async def test_whoever_waits_for_a_cancelled_task_is_told(env: Environment, nursery: trio.Nursery) -> None:
    tasks, told = made(env), list[str]()

    async def ask() -> None:
        with pytest.raises(Unavailable) as found:
            await tasks.run("backup", forever)
        told.append(str(found.value))

    nursery.start_soon(ask)
    while not tasks.all():
        await trio.testing.wait_all_tasks_blocked()
    await trio.testing.wait_all_tasks_blocked()
    await tasks.cancel("1", "anna")
    while not told:
        await trio.testing.wait_all_tasks_blocked()
    assert told == ["task 1 was cancelled by an operator"]


async def test_the_latest_are_kept(env: Environment) -> None:
    def fill(txn: Txn) -> None:
        for number in range(1, TASKS_KEPT + 1):
            put_task(txn, TaskRecord(number=number, kind="backup", state="done", started_at=NOW))

    await env.write(fill)
    tasks = made(env)
    await tasks.load()
    for _ in range(2):
        await tasks.end(await tasks.begin("backup"), "done")
    assert [tasks.all()[0].uid, tasks.all()[-1].uid] == [str(TASKS_KEPT + 2), "3"]
    again = made(env)
    await again.load()
    assert len(again.all()) == TASKS_KEPT


async def test_two_pieces_at_once_are_one_import(env: Environment) -> None:
    tasks = made(env)
    imports = Imports(tasks)
    async with trio.open_nursery() as both:
        for at in (0, 5):
            both.start_soon(imports.begin, Piece(import_id="a" * 12, at=at))
    await imports.end("a" * 12)
    assert [one.state for one in tasks.all()] == ["done"]


async def test_an_import_is_a_task_over_its_pieces(env: Environment, autojump_clock: trio.testing.MockClock) -> None:
    tasks = made(env)
    imports = Imports(tasks)
    first = Piece(import_id="a" * 12, at=0)
    await imports.begin(first)
    imports.tell(first, 5)
    await imports.begin(Piece(import_id="a" * 12, at=5))
    imports.tell(Piece(import_id="a" * 12, at=5), 2)
    assert [(one.state, one.done) for one in tasks.all()] == [("running", 7)]
    await imports.end("a" * 12)
    assert tasks.all()[0].state == "done"
    other = Piece(import_id="b" * 12, at=0)
    await imports.begin(other)
    await tasks.cancel("2", "anna")
    assert tasks.get("2").state == "cancelled"
    with pytest.raises(Conflict, match="cancelled by an operator"):
        await imports.begin(other)
    await imports.begin(other)  # sent anew, it is another import
    await trio.sleep(IDLE_IMPORT_SECONDS + 1)
    await imports.begin(Piece(import_id="c" * 12, at=0))
    assert tasks.get("3").error == "the list was not sent to its end"


async def test_an_import_that_nobody_goes_on_with_ends_by_itself(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    tasks = made(env)
    imports = Imports(tasks)
    await imports.begin(Piece(import_id="a" * 12, at=0))
    with trio.move_on_after(IDLE_IMPORT_SECONDS - 1):
        await imports.watch()
    assert tasks.get("1").state == "running"
    with trio.move_on_after(LOOK_SECONDS + 2):
        await imports.watch()
    assert (tasks.get("1").state, tasks.get("1").error) == ("interrupted", "the list was not sent to its end")


async def test_a_cancelled_import_stays_cancelled_for_longer(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    tasks = made(env)
    imports, piece = Imports(tasks), Piece(import_id="a" * 12, at=0)
    await imports.begin(piece)
    await tasks.cancel("1", "anna")
    with trio.move_on_after(2 * IDLE_IMPORT_SECONDS):
        await imports.watch()
    with pytest.raises(Conflict, match="cancelled by an operator"):
        await imports.begin(piece)


async def test_two_pieces_that_end_idle_imports_at_once_end_each_once(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    tasks = made(env)
    imports = Imports(tasks)
    for name in "abc":
        await imports.begin(Piece(import_id=name * 12, at=0))
    await trio.sleep(IDLE_IMPORT_SECONDS + 1)
    async with trio.open_nursery() as both:
        for at in (0, 5):
            both.start_soon(imports.begin, Piece(import_id="d" * 12, at=at))
    assert [one.state for one in tasks.all()] == ["running", "interrupted", "interrupted", "interrupted"]


def folders_of(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir())


async def test_a_cancelled_rebuild_leaves_the_index_that_answers(tmp_path: Path) -> None:
    index = await TantivyTextIndex.create_empty(tmp_path, blocking=Blocking)
    await index.upsert([TextDocument(row=Row(1), creator_id=CreatorId(1), name="Anna")])
    await index.commit(5)
    folders = folders_of(tmp_path)
    with trio.move_on_after(30) as scope:
        await index.replace(_withdrawn(scope), 9)
    assert scope.cancelled_caught
    assert folders_of(tmp_path) == folders
    assert (index.checkpoint, (await index.query("anna", 5)).total) == (5, 1)
    await index.close()


async def _withdrawn(scope: trio.CancelScope) -> AsyncIterator[list[TextDocument]]:
    scope.cancel("withdrawn")
    await trio.lowlevel.checkpoint()
    yield []
