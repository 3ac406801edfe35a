from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import trio

from actors import Meter, Outbox
from actors.lane import Lane
from actors.scheduler import FLUSH_ROUNDS, Scheduler
from proto.ids import Platform, account_key
from proto.messages import RefreshDue
from proto.records import Job, JobKind, Priority
from stores.env import Environment
from stores.schedule import PackRule, Schedule

NOW = 1_790_000_000
PACKS = 4
RULES = [PackRule(kind=JobKind.PROFILE, size=50), PackRule(kind=JobKind.FEED, size=1)]


def job(kind: JobKind, number: int, priority: Priority) -> Job:
    channel = f"UC{number:022}"
    return Job(
        platform=Platform.YOUTUBE,
        kind=kind,
        entity=channel,
        account_key=account_key(Platform.YOUTUBE, channel),
        priority=priority,
        due_at=NOW - 1,
        first=False,
    )


def free(_: JobKind) -> Sequence[str]:
    return ()


async def test_a_backlog_of_feeds_does_not_keep_an_order_waiting(env: Environment) -> None:
    """An ordered look goes out soon, although its pack is part-filled and there is no quiet moment."""
    schedule, stop = Schedule(env), trio.Event()
    feeds = [job(JobKind.FEED, number, Priority.LONG_TAIL) for number in range(FLUSH_ROUNDS * PACKS * 3)]
    await schedule.put([*feeds, job(JobKind.PROFILE, 7, Priority.ON_DEMAND)])
    out, due = trio.open_memory_channel[RefreshDue](0)
    scheduler = Scheduler(
        Outbox(out, Meter()),
        platform=Platform.YOUTUBE,
        rules=RULES,
        buckets_of=free,
        packs=PACKS,
        schedule=schedule,
        lane=Lane({}),
        now=lambda: float(NOW),
        stop=stop,
        meter=Meter(),
    )
    before = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(scheduler.run))
        async for message in due:
            if message.jobs[0].kind is JobKind.PROFILE:
                break
            before += 1
        nursery.cancel_scope.cancel()
    assert before <= FLUSH_ROUNDS * PACKS
