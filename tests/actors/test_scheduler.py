from __future__ import annotations

from collections.abc import Sequence

import msgspec
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


async def sent(env: Environment, jobs: Sequence[Job], rules: Sequence[PackRule], lane: Lane) -> list[Job]:
    """What goes down the lane until nothing is left, or for two virtual seconds."""
    schedule, stop, taken = Schedule(env), trio.Event(), list[Job]()
    await schedule.put(jobs)
    out, due = trio.open_memory_channel[RefreshDue](0)
    scheduler = Scheduler(
        Outbox(out, Meter()),
        platform=Platform.YOUTUBE,
        rules=rules,
        buckets_of=lambda kind: () if kind is JobKind.FEED else ("general",),
        packs=PACKS,
        schedule=schedule,
        lane=lane,
        now=lambda: float(NOW),
        stop=stop,
        meter=Meter(),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scheduler.run)
        with trio.move_on_after(2):
            async for message in due:
                taken += message.jobs
                if len(taken) == len(jobs):
                    break
        nursery.cancel_scope.cancel()
    return taken


NEW_ONES = [job(JobKind.LOOKUP, number, Priority.DISCOVERY) for number in range(6)]
LOOKUPS_FIRST = [PackRule(kind=JobKind.LOOKUP, size=1), *RULES]


async def test_new_accounts_wait_while_known_ones_are_looked_at_too_late(env: Environment) -> None:
    late = [
        msgspec.structs.replace(job(JobKind.PROFILE, number, Priority.ACTIVE), due_at=NOW - 2 * 3_600)
        for number in range(50 * PACKS * 2)
    ]
    taken = await sent(env, [*NEW_ONES, *late], LOOKUPS_FIRST, Lane({}))
    assert [one.kind for one in taken] == [JobKind.PROFILE] * len(late) + [JobKind.LOOKUP] * len(NEW_ONES)


async def test_late_feeds_hold_nobody_up(env: Environment) -> None:
    late = [
        msgspec.structs.replace(job(JobKind.FEED, number, Priority.ACTIVE), due_at=NOW - 2 * 3_600)
        for number in range(PACKS * 3)
    ]
    taken = await sent(env, [*NEW_ONES, *late], LOOKUPS_FIRST, Lane({}))
    assert [one.kind for one in taken[: len(NEW_ONES)]] == [JobKind.LOOKUP] * len(NEW_ONES)


async def test_new_accounts_without_a_share_left_hold_nothing_up(env: Environment) -> None:
    lane = Lane({})
    lane.hold(["general"], NOW + 3_600, bulk=True)
    profile = job(JobKind.PROFILE, 7, Priority.ON_DEMAND)
    taken = await sent(env, [*NEW_ONES, profile], LOOKUPS_FIRST, lane)
    assert [one.kind for one in taken] == [JobKind.PROFILE]
    assert not lane.bulk_paused


async def test_a_kind_that_rests_stays_due(env: Environment) -> None:
    lane = Lane({})
    lane.rest(JobKind.LOOKUP, NOW + 1)
    assert await sent(env, NEW_ONES, LOOKUPS_FIRST, lane) == []
    lane.rest(JobKind.LOOKUP, NOW)
    assert await sent(env, NEW_ONES, LOOKUPS_FIRST, lane) == NEW_ONES


async def test_a_backlog_of_feeds_does_not_keep_an_order_waiting(env: Environment) -> None:
    """An ordered look goes out soon, although its pack is part-filled and there is no quiet moment."""
    feeds = [job(JobKind.FEED, number, Priority.LONG_TAIL) for number in range(FLUSH_ROUNDS * PACKS * 3)]
    taken = await sent(env, [*feeds, job(JobKind.PROFILE, 7, Priority.ON_DEMAND)], RULES, Lane({}))
    assert len(taken) == len(feeds) + 1
    assert [one.kind for one in taken].index(JobKind.PROFILE) <= FLUSH_ROUNDS * PACKS
