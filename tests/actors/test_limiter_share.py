from __future__ import annotations

import httpx2
import trio

from actors import Meter, Outbox
from actors.lane import Lane
from actors.limiter import Limiter
from actors.platforms.youtube import YouTubeAdapter
from actors.token_bucket import TokenBucket
from proto.ids import Platform
from proto.messages import FetchPermitted, RefreshDue
from proto.records import Event, Job, JobKind, Priority
from stores.env import Environment
from stores.journal import Journal
from stores.ledger import Budget, Ledger
from stores.schedule import Schedule

NOW = 1_790_000_000


def new_ones(count: int) -> list[RefreshDue]:
    jobs = [
        Job(
            platform=Platform.YOUTUBE,
            kind=JobKind.LOOKUP,
            entity=f"@new{number}",
            account_key=None,
            priority=Priority.DISCOVERY,
            due_at=NOW,
        )
        for number in range(count)
    ]
    return [RefreshDue(platform=Platform.YOUTUBE, jobs=(job,)) for job in jobs]


async def passed(env: Environment, asked: list[RefreshDue], share: float) -> tuple[int, list[Event]]:
    """How many calls are permitted of five units a day, of which bulk has this share; and what is told."""
    told = list[Event]()
    due, inbox = trio.open_memory_channel[RefreshDue](len(asked))
    out, permitted = trio.open_memory_channel[FetchPermitted](len(asked))
    await Schedule(env).put([job for one in asked for job in one.jobs])
    async with httpx2.AsyncClient() as client:
        for one in asked:
            await due.send(one)
        await due.aclose()
        budget = Budget(platform=Platform.YOUTUBE, bucket="general", units=5, bulk_share=share)
        await Limiter(
            inbox,
            Outbox(out, Meter()),
            adapter=YouTubeAdapter(
                client, base_url="", feeds_url="", keys=(), now=lambda: float(NOW), timeout_seconds=1
            ),
            ledger=Ledger(env, [budget]),
            schedule=Schedule(env),
            journal=Journal(env, told.append),
            lane=Lane({"api": TokenBucket(100, 100)}),
            now=lambda: float(NOW),
            meter=Meter(),
        ).run()
    return permitted.statistics().current_buffer_used, told


async def test_a_spent_share_is_told_once(env: Environment) -> None:
    """A tenth of five units is one call; the others wait, and the operator can see why."""
    count, told = await passed(env, new_ones(4), 0.1)
    assert count == 1
    assert [(event.kind, event.subject) for event in told] == [("backfill_share_spent", "youtube/general")]


async def test_a_share_of_nothing_is_told_as_well(env: Environment) -> None:
    count, told = await passed(env, new_ones(2), 0.0)
    assert (count, len(told)) == (0, 1)
