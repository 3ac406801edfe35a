"""Accounts → creators: here each account founds a creator of its own."""

from __future__ import annotations

from collections.abc import Callable

from actors import CurrentBatches, Inbox, Meter, Outbox
from proto.messages import AccountEmbedded, AnyWork, CreatorResolved
from stores.catalog import found_creator, get_account
from stores.env import Environment, Txn
from stores.work import Work, complete, enqueue


class IdentityResolver:
    """Single: the only writer of which account belongs to whom."""

    def __init__(
        self,
        inbox: Inbox[AnyWork],
        outbox: Outbox[AnyWork],
        *,
        env: Environment,
        work: Work,
        now: Callable[[], float],
        batch: int,
        meter: Meter,
    ) -> None:
        self._inbox, self._outbox = inbox, outbox
        self._env, self._work, self._now, self._batch, self._meter = env, work, now, batch, meter

    async def run(self) -> None:
        async for messages in CurrentBatches(self._inbox, self._batch, self._work):
            with self._meter.working():
                following = await self._handle([m for m in messages if isinstance(m, AccountEmbedded)])
            self._meter.handled += len(messages)
            for message in following:
                await self._outbox.send(message)

    async def _handle(self, messages: list[AccountEmbedded]) -> list[AnyWork]:
        def change(txn: Txn) -> list[AnyWork]:
            following: list[AnyWork] = []
            for message in messages:
                account = get_account(txn, message.account_key)
                if not complete(txn, message) or account is None:
                    continue
                creator_id = account.creator_id
                if creator_id is None:
                    creator_id = found_creator(txn, account, int(self._now())).creator_id
                following.append(enqueue(txn, CreatorResolved(creator_id=creator_id), self._now()))
            return following

        return await self._env.write(change)
