"""When a stage counts as hanging: at work for long, and nothing of it moves."""

from __future__ import annotations

import trio
import trio.testing

from actors import Outbox
from daemon.supervisor import RestartPolicy, StageEntry, supervise
from proto.errors import DiskFull

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
