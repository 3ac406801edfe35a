"""Accounts whose place among creators is looked at when there is time."""

from __future__ import annotations

from collections.abc import Callable

import trio
import trio.testing

from actors import Meter, Outbox
from actors.backlog import LOOK_SECONDS, PAGE, Backlog
from proto.ids import AccountKey
from proto.messages import AccountEmbedded, AccountGiven, AnyWork
from stores.env import Environment, Txn
from stores.identity import first_put_off, put_off
from stores.work import Work, enqueue

NOW = 1_790_000_000


def keys(count: int) -> list[AccountKey]:
    return [AccountKey(f"youtube:UC{number:05d}") for number in range(count)]


async def put_all_off(env: Environment, accounts: list[AccountKey]) -> None:
    def change(txn: Txn) -> None:
        for account in accounts:
            put_off(txn, account)

    await env.write(change)


class Running:
    """A backlog with its outbox."""

    def __init__(self, env: Environment, *, room: int = 2 * PAGE, busy: Callable[[], bool] = lambda: False) -> None:
        self._sender, self.sent = trio.open_memory_channel[AnyWork](room)
        self.stop = trio.Event()
        self.backlog = Backlog(
            Outbox(self._sender, Meter()), env=env, busy=busy, now=lambda: NOW, stop=self.stop, meter=Meter()
        )

    def received(self) -> list[AnyWork]:
        found: list[AnyWork] = []
        while self.sent.statistics().current_buffer_used:
            found.append(self.sent.receive_nowait())
        return found


async def left(env: Environment) -> int:
    return len(await env.read(lambda txn: first_put_off(txn, 10_000)))


async def test_all_are_taken_up_a_page_at_a_time_and_once(
    env: Environment, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    await put_all_off(env, keys(PAGE + 3))
    running = Running(env)
    assert await Work(env).pending() == PAGE + 3
    nursery.start_soon(running.backlog.run)
    await trio.sleep(LOOK_SECONDS)
    said = running.received()
    assert [one.entity for one in said] == keys(PAGE + 3)
    assert {type(one) for one in said} == {AccountGiven}
    assert await left(env) == 0
    assert await Work(env).current(said) == said, "each is stored work"
    assert await Work(env).pending() == PAGE + 3
    await trio.sleep(3 * LOOK_SECONDS)
    assert running.received() == []
    running.stop.set()


async def test_what_comes_later_is_taken_up_as_well(
    env: Environment, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    running = Running(env)
    nursery.start_soon(running.backlog.run)
    await trio.sleep(5 * LOOK_SECONDS)
    await put_all_off(env, keys(1))
    await trio.sleep(2 * LOOK_SECONDS)
    assert len(running.received()) == 1
    running.stop.set()


async def test_nothing_is_begun_while_others_are_busy(
    env: Environment, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    await put_all_off(env, keys(2))
    busy = [True]
    running = Running(env, busy=lambda: busy[0])
    nursery.start_soon(running.backlog.run)
    await trio.sleep(20 * LOOK_SECONDS)
    assert running.received() == []
    assert await left(env) == 2
    busy[0] = False
    await trio.sleep(2 * LOOK_SECONDS)
    assert len(running.received()) == 2
    running.stop.set()


async def test_what_waits_for_the_identity_stage_anyway_is_not_weakened(
    env: Environment, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """An embedded account's creator is computed anew, which a given one's is not."""
    first, second = keys(2)
    await put_all_off(env, [first, second])
    waiting = await env.write(lambda txn: enqueue(txn, AccountEmbedded(account_key=first), NOW))
    running = Running(env)
    nursery.start_soon(running.backlog.run)
    await trio.sleep(LOOK_SECONDS)
    assert [one.entity for one in running.received()] == [second]
    assert await Work(env).current([waiting]) == [waiting]
    assert await left(env) == 0
    running.stop.set()


async def test_what_was_begun_and_not_sent_is_work_for_the_sweeper(
    env: Environment, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    await put_all_off(env, keys(PAGE))
    running = Running(env, room=1)
    with trio.move_on_after(5):
        await running.backlog.run()
    assert await left(env) == 0
    found = await Work(env).after(b"", PAGE)
    assert len(found) == PAGE


async def test_it_ends_while_it_waits(env: Environment, autojump_clock: trio.testing.MockClock) -> None:
    running = Running(env)
    running.stop.set()
    with trio.fail_after(1):
        await running.backlog.run()
