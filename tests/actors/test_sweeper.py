from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from actors import Meter, Outbox
from actors.sweeper import LEFTOVER_ATTEMPTS, LOOKED_AT, PAGE, SWEEP_SECONDS, Sweeper
from proto.ids import AccountKey
from proto.messages import AccountUpserted, AnyWork, Stage
from proto.records import Event
from stores.env import Environment, Txn
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


PATIENCE_SECONDS = 60.0
Sent = list[tuple[float, AnyWork]]


async def swept(env: Environment, story: Callable[[Sent], Awaitable[None]], held: set[Stage]) -> Sent:
    """What is sent, and when, counted from the start, while the story goes on."""
    out, received = trio.open_memory_channel[AnyWork](1)
    stop, sent, began = trio.Event(), Sent(), trio.current_time() + 1
    sweeper = Sweeper(
        {stage: Outbox(out, Meter()) for stage in Stage},
        work=Work(env),
        journal=Journal(env, lambda _: None),
        now=lambda: 1_790_000_000.0,
        resend_after_seconds=PATIENCE_SECONDS,
        max_attempts=3,
        stop=stop,
        meter=Meter(),
        held_up=held.__contains__,
    )

    async def note() -> None:
        async for message in received:
            sent.append((trio.current_time() - began, message))

    async def run() -> None:
        async with out:
            await sweeper.run()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(note)
        nursery.start_soon(run)
        await trio.sleep_until(began)  # it has looked at what is left of the process before
        await story(sent)
        stop.set()
    return sent


def put_all(txn: Txn, numbers: range) -> list[AnyWork]:
    return [enqueue(txn, AccountUpserted(account_key=AccountKey(f"youtube:{number:06}")), 5) for number in numbers]


async def test_what_stands_is_sent_again_and_given_up_in_the_end(env: Environment, autojump_clock: object) -> None:
    async def story(sent: Sent) -> None:
        await env.write(lambda txn: put_all(txn, range(1)))
        await trio.sleep(30)
        await env.write(lambda txn: put_all(txn, range(1)))  # enqueued again: it waits anew
        await trio.sleep(600)

    sent = await swept(env, story, set())
    times = [at for at, _ in sent]
    assert len(times) == 3
    assert 30 + PATIENCE_SECONDS <= times[0] <= 30 + PATIENCE_SECONDS + 2 * SWEEP_SECONDS
    assert all(
        PATIENCE_SECONDS <= after - before <= PATIENCE_SECONDS + SWEEP_SECONDS for before, after in pairwise(times)
    )
    assert (await Work(env).pending(), await Work(env).dead_letter_count()) == (0, 1)


async def test_what_is_held_up_is_not_sent_until_long_after(env: Environment, autojump_clock: object) -> None:
    held = {Stage.EMBEDDER}

    async def story(sent: Sent) -> None:
        await env.write(lambda txn: put_all(txn, range(1)))
        await trio.sleep(300)
        assert sent == []
        held.clear()
        await trio.sleep(100)

    ((at, _),) = await swept(env, story, held)
    assert 300 - SWEEP_SECONDS + PATIENCE_SECONDS <= at <= 300 + PATIENCE_SECONDS + SWEEP_SECONDS


async def test_more_than_is_looked_at_at_once_is_sent_all_the_same(env: Environment, autojump_clock: object) -> None:
    """Each once, as soon as it may be, since who takes it sets the pace; what came later waits for its own time."""
    many = 2 * LOOKED_AT + PAGE // 2

    async def story(sent: Sent) -> None:
        await env.write(lambda txn: put_all(txn, range(many)))
        await trio.sleep(PATIENCE_SECONDS - 20)
        await env.write(lambda txn: put_all(txn, range(many, many + 10)))
        await trio.sleep(PATIENCE_SECONDS + 20)

    sent = await swept(env, story, set())
    assert sorted(message.entity for _, message in sent) == [f"youtube:{number:06}" for number in range(many + 10)]
    early, late = sent[:many], sent[many:]
    assert all(at <= PATIENCE_SECONDS + 2 * SWEEP_SECONDS for at, _ in early)
    assert all(at >= 2 * PATIENCE_SECONDS - 20 for at, _ in late)
