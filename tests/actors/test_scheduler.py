from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
import trio
import trio.testing

from actors import Meter, Outbox
from actors.lane import Lane
from actors.scheduler import FLUSH_ROUNDS, TRICKLE_SECONDS, Scheduler
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


BUCKETS = {JobKind.FEED: (), JobKind.SEARCH: ("search",)}


async def sent(
    env: Environment,
    jobs: Sequence[Job],
    rules: Sequence[PackRule],
    lane: Lane,
    *,
    seconds: float = 2,
    pace: float = 0,
) -> list[Job]:
    """What goes down the lane until nothing is left, or for these virtual seconds; ``pace``: how fast its clock goes."""
    began = trio.current_time()
    schedule, stop, taken = Schedule(env), trio.Event(), list[Job]()
    await schedule.put(jobs)
    out, due = trio.open_memory_channel[RefreshDue](0)
    scheduler = Scheduler(
        Outbox(out, Meter()),
        platform=Platform.YOUTUBE,
        rules=rules,
        buckets_of=lambda kind: BUCKETS.get(kind, ("general",)),
        packs=PACKS,
        schedule=schedule,
        lane=lane,
        now=lambda: NOW + pace * (trio.current_time() - began),
        stop=stop,
        meter=Meter(),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scheduler.run)
        with trio.move_on_after(seconds):
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


def overdue(kind: JobKind, number: int, priority: Priority, seconds: float) -> Job:
    return msgspec.structs.replace(job(kind, number, priority), due_at=int(NOW - seconds))


LATE = overdue(JobKind.PROFILE, 1, Priority.ACTIVE, 7_200)
STAYS = PackRule(kind=JobKind.PROFILE, size=50, wait_seconds=1e9)
"""A rule by which one visit alone never goes out."""


@pytest.mark.parametrize(
    ("priority", "hours", "paused"),
    [
        (Priority.ACTIVE, 0.4, False),
        (Priority.ACTIVE, 0.6, True),
        (Priority.SEMI_ACTIVE, 0.9, False),
        (Priority.SEMI_ACTIVE, 1.1, True),
        (Priority.LONG_TAIL, 2.9, False),
        (Priority.LONG_TAIL, 3.1, True),
    ],
)
async def test_how_late_a_visit_may_be_follows_from_its_window(
    env: Environment, autojump_clock: trio.testing.MockClock, priority: Priority, hours: float, *, paused: bool
) -> None:
    lane = Lane({})
    late = overdue(JobKind.PROFILE, 1, priority, hours * 3_600)
    taken = await sent(env, [late, *NEW_ONES], [PackRule(kind=JobKind.LOOKUP, size=1), STAYS], lane)
    assert len(taken) == (0 if paused else len(NEW_ONES))
    assert lane.bulk_paused is paused


async def test_late_visits_hold_up_nothing_that_is_paid_from_elsewhere(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    bulk = [job(kind, 2, Priority.BACKFILL) for kind in (JobKind.FEED, JobKind.SEARCH, JobKind.BACKFILL)]
    rules = [*(PackRule(kind=one.kind, size=1) for one in bulk), STAYS]
    taken = await sent(env, [LATE, *bulk], rules, Lane({}))
    assert [one.kind for one in taken] == [JobKind.FEED, JobKind.SEARCH]


async def test_however_late_the_visits_are_a_pack_of_each_kind_goes_out_now_and_then(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    """More accounts than there is budget for: the lane is never done with them, and yet something new is taken in."""
    older = [job(JobKind.BACKFILL, number, Priority.BACKFILL) for number in range(3)]
    rules = [PackRule(kind=JobKind.LOOKUP, size=1), PackRule(kind=JobKind.BACKFILL, size=1), STAYS]
    lane = Lane({})
    taken = await sent(env, [LATE, *NEW_ONES, *older], rules, lane, seconds=2.9, pace=TRICKLE_SECONDS)
    assert [one.kind for one in taken] == [JobKind.LOOKUP, JobKind.BACKFILL] * 2
    assert len({one.entity for one in taken if one.kind is JobKind.LOOKUP}) == 2


async def test_what_bulk_has_no_share_left_for_does_not_trickle(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    lane = Lane({})
    lane.hold(["general"], NOW + 10 * TRICKLE_SECONDS, bulk=True)
    rules = [PackRule(kind=JobKind.LOOKUP, size=1), STAYS]
    assert await sent(env, [LATE, *NEW_ONES], rules, lane, seconds=2.9, pace=TRICKLE_SECONDS) == []


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


async def test_a_kind_that_rests_stays_due(env: Environment, autojump_clock: trio.testing.MockClock) -> None:
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
