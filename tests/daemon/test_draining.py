from __future__ import annotations

import pytest
import trio
import trio.testing

from daemon.operations import STOP_AFTER_SECONDS, Operations
from proto.errors import Conflict
from stores.env import Environment
from stores.work import ROWS
from tests.daemon.running import FakePipeline, operations_of


async def started(env: Environment, nursery: trio.Nursery, pipeline: FakePipeline) -> Operations:
    made = operations_of(env, pipeline)
    nursery.start_soon(made.work.serve, trio.Event())
    await trio.testing.wait_all_tasks_blocked()
    await env.write(lambda txn: txn.add(ROWS, 3))
    return made


async def test_a_drain_ends_once_nothing_is_under_way(
    autojump_clock: trio.testing.MockClock, env: Environment, nursery: trio.Nursery
) -> None:
    pipeline, stopped = FakePipeline(), trio.Event()
    operations = await started(env, nursery, pipeline)
    operations.stop = stopped.set
    await operations.drain("anna", 600, stop=True)
    with pytest.raises(Conflict, match="under way"):
        await operations.drain("anna", 600, stop=False)
    await trio.sleep(5)
    assert (operations.work.get("1").state, operations.work.get("1").total) == ("running", 3)
    assert pipeline.held() == ["youtube", "instagram"]
    await env.write(lambda txn: txn.add(ROWS, -3))
    await stopped.wait()
    assert operations.work.get("1").state == "done"  # told before the daemon ends
    assert 5 < trio.current_time() < 6 + STOP_AFTER_SECONDS
    assert pipeline.held() == ["youtube", "instagram"]
    await operations.resume("", "anna")
    assert pipeline.held() == []


async def test_a_drain_that_takes_too_long_or_is_cancelled_lets_go(
    autojump_clock: trio.testing.MockClock, env: Environment, nursery: trio.Nursery
) -> None:
    pipeline = FakePipeline()
    operations = await started(env, nursery, pipeline)
    await operations.drain("anna", 9, stop=True)
    await trio.sleep(20)
    assert operations.work.get("1").error == "3 pieces of work were left after 9 s; it goes on"
    assert pipeline.held() == []
    await operations.drain("anna", 600, stop=True)
    await trio.sleep(5)
    await operations.work.cancel("2", "anna")
    await trio.sleep(1)
    assert (operations.work.get("2").state, pipeline.held()) == ("cancelled", [])


async def test_a_drain_behind_a_paused_stage_is_refused(env: Environment, nursery: trio.Nursery) -> None:
    operations = await started(env, nursery, FakePipeline())
    await operations.pausing.pause("indexer", "anna", "")
    with pytest.raises(Conflict, match="indexer is paused"):
        await operations.drain("anna", 600, stop=False)


async def test_a_resume_ends_a_drain_and_the_daemon_goes_on(
    autojump_clock: trio.testing.MockClock, env: Environment, nursery: trio.Nursery
) -> None:
    pipeline, stopped = FakePipeline(), trio.Event()
    operations = await started(env, nursery, pipeline)
    operations.stop = stopped.set
    await operations.drain("anna", 600, stop=True)
    await trio.sleep(5)
    assert operations.drained.startswith("drained by an operator")
    await operations.resume("", "ben")
    assert operations.drained == ""
    await trio.sleep(1)
    assert (operations.work.get("1").state, operations.work.get("1").error) == ("failed", "resumed by an operator")
    await env.write(lambda txn: txn.add(ROWS, -3))
    await operations.drain("anna", 600, stop=True)
    while operations.work.get("2").state != "done":  # noqa: ASYNC110 (nobody tells)
        await trio.sleep(0.1)
    await operations.resume("", "ben")
    await trio.sleep(2 * STOP_AFTER_SECONDS)
    assert (pipeline.held(), stopped.is_set()) == ([], False)


async def test_of_two_drains_at_once_one_is_refused(env: Environment, nursery: trio.Nursery) -> None:
    operations = await started(env, nursery, FakePipeline())
    told = list[str]()

    async def ask() -> None:
        try:
            await operations.drain("anna", 600, stop=False)
        except Conflict as error:
            told.append(str(error))

    async with trio.open_nursery() as both:
        both.start_soon(ask)
        both.start_soon(ask)
    assert told == ["a drain is under way: task 1"]
    assert len(operations.tasks()) == 1
