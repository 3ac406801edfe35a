from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from actors import Meter, Outbox
from actors.sweeper import LEFTOVER_ATTEMPTS, Sweeper
from proto.ids import AccountKey
from proto.messages import AccountUpserted, AnyWork, Stage
from proto.records import Event
from stores.env import Environment
from stores.journal import Journal
from stores.work import Work, enqueue

ALICE = AccountUpserted(account_key=AccountKey("youtube:UCalice"))


@pytest.fixture
def plain_env(tmp_path: Path) -> Iterator[Environment]:
    """In real time: nothing here waits."""
    opened = Environment(tmp_path / "data", map_size_bytes=1 << 26)
    yield opened
    opened.close()


async def one_life(env: Environment) -> AnyWork | Event:
    """What a process that begins says first: it hands the work on, or gives it up. Then it dies."""
    out, received = trio.open_memory_channel[AnyWork](1)
    stop, told = trio.Event(), list[Event]()

    def tell(event: Event) -> None:
        told.append(event)
        stop.set()

    sweeper = Sweeper(
        {stage: Outbox(out, Meter()) for stage in Stage},
        work=Work(env),
        journal=Journal(env, tell),
        now=lambda: 1_790_000_000.0,
        resend_after_seconds=60.0,
        max_attempts=5,
        stop=stop,
        meter=Meter(),
    )

    async def end_at_the_first(messages: list[AnyWork]) -> None:
        async for message in received:
            messages.append(message)
            stop.set()

    messages = list[AnyWork]()
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery, out:
            nursery.start_soon(end_at_the_first, messages)
            await sweeper.run()
    assert len(messages) + len(told) == 1
    return messages[0] if messages else told[0]


async def test_restarts_bury_nothing(plain_env: Environment) -> None:
    """Of work that was never tried a restart says nothing, and an operator may restart often."""
    sealed = await plain_env.write(lambda txn: enqueue(txn, ALICE, 5))
    for _ in range(20):
        assert await one_life(plain_env) == sealed
    assert (await Work(plain_env).pending(), await Work(plain_env).dead_letter_count()) == (1, 0)


async def test_what_ends_every_process_is_given_up(plain_env: Environment) -> None:
    sealed = await plain_env.write(lambda txn: enqueue(txn, ALICE, 5))
    lives = [await one_life(plain_env) for _ in range(LEFTOVER_ATTEMPTS)]
    assert lives == [sealed] * LEFTOVER_ATTEMPTS
    last = await one_life(plain_env)
    assert isinstance(last, Event)
    assert last.kind == "dead_letter"
    assert (await Work(plain_env).pending(), await Work(plain_env).dead_letter_count()) == (0, 1)
