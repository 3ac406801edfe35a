"""Accounts whose place among creators is to be looked at when there is time, such as those of an import."""

from __future__ import annotations

from collections.abc import Callable

import trio

from actors import Meter, Outbox
from proto.messages import AccountGiven, AnyWork
from stores.env import Environment, Txn
from stores.identity import first_put_off, take_back
from stores.work import enqueue, has_work

PAGE = 256
LOOK_SECONDS = 2.0


class Backlog:
    """A page at a time, as long as nothing more urgent is under way (``busy``)."""

    def __init__(
        self,
        outbox: Outbox[AnyWork],
        *,
        env: Environment,
        busy: Callable[[], bool],
        now: Callable[[], float],
        stop: trio.Event,
        meter: Meter,
    ) -> None:
        self._outbox, self._env, self._busy = outbox, env, busy
        self._now, self._stop, self._meter = now, stop, meter

    async def run(self) -> None:
        while not self._stop.is_set():
            messages = [] if self._busy() else await self._take()
            for message in messages:
                await self._outbox.send(message)
                self._meter.handled += 1
            if not messages:
                with trio.move_on_after(LOOK_SECONDS):
                    await self._stop.wait()

    async def _take(self) -> list[AnyWork]:
        if not await self._env.read(lambda txn: first_put_off(txn, 1)):
            return []
        with self._meter.working():
            return await self._env.write(self._begin)

    def _begin(self, txn: Txn) -> list[AnyWork]:
        """What waits for the identity stage already does more than this asks for."""
        begun: list[AnyWork] = []
        for account in first_put_off(txn, PAGE):
            take_back(txn, account)
            message = AccountGiven(account_key=account)
            if not has_work(txn, message):
                begun.append(enqueue(txn, message, self._now()))
        return begun
