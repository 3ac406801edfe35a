from __future__ import annotations

import httpx2
import pytest
import trio

from actors import Meter, Outbox
from actors.lane import Lane
from actors.limiter import Limiter
from actors.platforms.instagram import InstagramAdapter, Token
from proto.ids import Platform, account_key
from proto.messages import FetchPermitted, RefreshDue
from proto.records import Event, Job, JobKind, Priority
from stores.env import Environment
from stores.journal import Journal
from stores.ledger import Budget, Ledger
from stores.schedule import Schedule
from stores.windows import Window

NOW = 1_790_000_000
TOKENS = ("token:a", "token:b")


def budget(bucket: str, bulk_share: float) -> Budget:
    return Budget(
        platform=Platform.INSTAGRAM, bucket=bucket, units=100, window=Window.ROLLING_HOUR, bulk_share=bulk_share
    )


def due(priority: Priority) -> RefreshDue:
    one = Job(
        platform=Platform.INSTAGRAM,
        kind=JobKind.PROFILE,
        entity="1234",
        account_key=account_key(Platform.INSTAGRAM, "1234"),
        priority=priority,
        due_at=NOW,
    )
    return RefreshDue(platform=Platform.INSTAGRAM, jobs=(one,))


async def limited(env: Environment, ledger: Ledger, lane: Lane, *dues: RefreshDue) -> None:
    """What is due passes the Limiter, and all of it is refused."""
    told = list[Event]()
    into, inbox = trio.open_memory_channel[RefreshDue](len(dues))
    out, permitted = trio.open_memory_channel[FetchPermitted](len(dues))
    limiter = Limiter(
        inbox,
        Outbox(out, Meter()),
        adapter=InstagramAdapter(
            httpx2.AsyncClient(),
            base_url="http://x",
            tokens={name: Token(access_token="t", ig_user_id="1") for name in TOKENS},
            now=lambda: NOW,
            timeout_seconds=1,
        ),
        ledger=ledger,
        schedule=Schedule(env),
        journal=Journal(env, told.append),
        lane=lane,
        now=lambda: float(NOW),
        meter=Meter(),
    )
    for one in dues:
        await into.send(one)
    into.close()
    await limiter.run()
    assert permitted.statistics().current_buffer_used == 0


@pytest.mark.parametrize(("priority", "all_held"), [(Priority.BACKFILL, False), (Priority.ACTIVE, True)])
async def test_a_refusal_of_bulk_holds_bulk_alone(env: Environment, priority: Priority, all_held: bool) -> None:
    """One token rests, of the other only the share for bulk is spent: the first to come back is no bulk's refusal."""
    ledger, lane = Ledger(env, [budget("token:a", 0.0), budget("token:b", 1.0)]), Lane({})
    await ledger.close(Platform.INSTAGRAM, "token:b", NOW, 60)
    if all_held:
        await ledger.close(Platform.INSTAGRAM, "token:a", NOW, 60)
    await limited(env, ledger, lane, due(priority))
    assert lane.held(TOKENS, NOW) is all_held
    assert lane.bulk_held(TOKENS, NOW) is not all_held
