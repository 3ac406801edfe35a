"""When a stage counts as hanging: at work for long, and nothing of it moves."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from actors import Outbox, side_by_side
from daemon.supervisor import ActorFailed, RestartPolicy, StageEntry, supervise
from proto.errors import DiskFull, IndexBroken
from stores.files import is_disk_full

LIMIT = 60.0


async def test_work_that_gets_nowhere_is_trouble_and_one_piece_after_another_is_none(
    autojump_clock: trio.testing.MockClock,
) -> None:
    entry = StageEntry("embedder", lambda: 3)
    await trio.sleep(2 * LIMIT)  # idle, however long, is no trouble
    assert entry.trouble(LIMIT) == ""
    for _ in range(4):
        with entry.meter.working():
            await trio.sleep(LIMIT - 1)
            assert entry.trouble(LIMIT) == ""
    with entry.meter.working():
        await trio.sleep(LIMIT + 1)
        assert entry.trouble(LIMIT) == "embedder hangs: no step for 61 s"
        entry.meter.moved()  # as a stage does whose piece of work has many calls
        assert entry.trouble(LIMIT) == ""
    assert entry.still_seconds() == 0


async def test_one_of_several_workers_may_be_slow_while_others_go_on(autojump_clock: trio.testing.MockClock) -> None:
    entry = StageEntry("fetcher/youtube", lambda: 0)
    with entry.meter.working():
        await trio.sleep(LIMIT - 1)
        with entry.meter.working():
            await trio.sleep(10)
        assert entry.trouble(LIMIT) == ""
        await trio.sleep(LIMIT + 1)  # the others have nothing to do any more, and it has not come back
        assert "hangs" in entry.trouble(LIMIT)


async def test_who_waits_to_hand_on_does_not_hang(autojump_clock: trio.testing.MockClock) -> None:
    entry = StageEntry("reaper", lambda: 0)
    send, receive = trio.open_memory_channel[int](0)

    async def hand_on() -> None:
        with entry.meter.working():
            await Outbox(send, entry.meter).send(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hand_on)
        await trio.sleep(2 * LIMIT)
        assert entry.trouble(LIMIT) == ""
        assert await receive.receive() == 1
    assert entry.meter.blocked_seconds == 2 * LIMIT


async def test_a_stage_that_has_ended_is_trouble_and_one_that_is_restarted_is_none() -> None:
    entry = StageEntry("reaper", lambda: 0)
    entry.state = "restarting"
    assert entry.trouble(LIMIT) == ""
    entry.state = "stopped"
    assert entry.trouble(LIMIT) == "reaper has ended"


async def test_a_stage_that_finds_no_room_within_a_nursery_waits_for_it(autojump_clock: trio.testing.MockClock) -> None:
    class Writer:
        tries = 0

        async def run(self) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)

        async def _write(self) -> None:
            Writer.tries += 1
            if Writer.tries < 9:
                raise DiskFull("no room")

    entry = StageEntry("bulk", lambda: 0)
    await supervise(entry, Writer, RestartPolicy(max_restarts=3), [])
    assert (Writer.tries, entry.restarts) == (9, 0)


async def raising(error: Exception) -> None:
    raise error


class IndexWriting:
    """As the stage that writes the indexes: text and vectors at once, and the first ``failures`` times one fails."""

    def __init__(self, failures: int, error: type[Exception]) -> None:
        self.tries, self._failures, self._error = 0, failures, error

    async def run(self) -> None:
        self.tries += 1
        steps = [self._write_text] if self.tries <= self._failures else []
        await side_by_side(*steps, trio.lowlevel.checkpoint)

    async def _write_text(self) -> None:
        raise self._error("the index is damaged")


@pytest.mark.parametrize(("error", "full"), [(IndexBroken("damaged"), False), (DiskFull("no room"), True)])
async def test_an_error_of_steps_side_by_side_is_told_from_a_full_disk(error: Exception, full: bool) -> None:
    with pytest.raises(type(error)) as caught:
        await side_by_side(lambda: raising(error), trio.sleep_forever)
    assert caught.value is error and error.__context__ is None
    assert is_disk_full(error) is full


def test_an_error_that_caused_itself_is_looked_at_once() -> None:
    error = ValueError("odd")
    group = ExceptionGroup("of a nursery", [error, ExceptionGroup("again", [error])])
    error.__context__ = group
    assert not is_disk_full(error) and not is_disk_full(group)
    error.__cause__ = OSError(28, "No space left on device")
    assert is_disk_full(group)


async def test_a_stage_whose_index_write_fails_is_restarted(autojump_clock: trio.testing.MockClock) -> None:
    stage, entry = IndexWriting(3, IndexBroken), StageEntry("indexer", lambda: 0)
    await supervise(entry, lambda: stage, RestartPolicy(max_restarts=3), [])
    assert (stage.tries, entry.restarts) == (4, 3)
    stage, entry = IndexWriting(9, IndexBroken), StageEntry("indexer", lambda: 0)
    with pytest.raises(ActorFailed, match="indexer: failed 4 times"):
        await supervise(entry, lambda: stage, RestartPolicy(max_restarts=3), [])
    stage, entry = IndexWriting(9, DiskFull), StageEntry("indexer", lambda: 0)
    await supervise(entry, lambda: stage, RestartPolicy(max_restarts=3), [])
    assert (stage.tries, entry.restarts) == (10, 0)
