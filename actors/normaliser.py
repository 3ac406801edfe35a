"""Turns each stored page into accounts and content in the catalogue, and plans what the page makes worth fetching."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from actors import Inbox, Meter, Outbox, current_batches
from actors.cadence import PRIORITY, activity_at, next_due
from actors.follow_ups import follow_ups
from actors.platforms.adapter import PlatformAdapter
from proto.errors import Malformed, NotFound
from proto.ids import AccountKey, Platform, split_account_key
from proto.messages import AccountUpserted, AnyWork, RawStored
from proto.records import Job, JobKind, Normalised, RawPage
from stores.catalog import get_account, put_normalised, write_account
from stores.content import known_ids, recent_items
from stores.env import Environment, Txn
from stores.raw import RawStore
from stores.schedule import content_pending, plan_job, put_job
from stores.work import Work, bury, complete, enqueue


class Normaliser:
    """Several may run: a write keeps the newer ``fetched_at``, so the order of pages does not matter."""

    def __init__(
        self,
        inbox: Inbox[AnyWork],
        outbox: Outbox[AnyWork],
        *,
        env: Environment,
        raw: RawStore,
        work: Work,
        adapters: Mapping[Platform, PlatformAdapter],
        now: Callable[[], float],
        backfill_items: int,
        batch: int,
        meter: Meter,
    ) -> None:
        self._inbox, self._outbox = inbox, outbox
        self._env, self._raw, self._work, self._adapters = env, raw, work, adapters
        self._now, self._backfill_items, self._batch, self._meter = now, backfill_items, batch, meter

    async def run(self) -> None:
        async for messages in current_batches(self._inbox, self._batch, self._work):
            with self._meter.working():
                following = await self._handle([m for m in messages if isinstance(m, RawStored)])
            self._meter.handled += len(messages)
            for message in following:
                await self._outbox.send(message)

    async def _handle(self, messages: list[RawStored]) -> list[AnyWork]:
        read = [(message, *(await self._read(message))) for message in messages]

        def change(txn: Txn) -> list[AnyWork]:
            upserted: dict[AccountKey, None] = {}
            for message, page, said in read:
                if isinstance(said, str):
                    bury(txn, message, "malformed", said, int(self._now()))
                elif complete(txn, message):
                    assert page is not None
                    if self._apply(txn, page, said):
                        upserted[said.account_key] = None
            return [enqueue(txn, AccountUpserted(account_key=key), self._now()) for key in upserted]

        return await self._env.write(change)

    async def _read(self, message: RawStored) -> tuple[RawPage | None, Normalised | str]:
        """The page and what it says, or why it says nothing."""
        try:
            page = await self._raw.get(message.raw_id)
            return page, self._adapters[message.platform].normalise(page)
        except (Malformed, NotFound) as error:
            return None, str(error)

    def _apply(self, txn: Txn, page: RawPage, said: Normalised) -> bool:
        """Stores what the page says; returns whether the account is to travel on now."""
        now = int(self._now())
        before = get_account(txn, said.account_key)
        changed = put_normalised(txn, said)
        if page.kind is JobKind.UPLOADS:
            _note_listing(txn, page)
        known = known_ids(txn, said.account_key) if page.kind is JobKind.UPLOADS else {}
        for job in follow_ups(page, said, before, known, now=now, backfill_items=self._backfill_items):
            put_job(txn, job)
        self._plan_visit(txn, said.account_key, now)
        if page.kind is JobKind.PROFILE:
            return changed
        return get_account(txn, said.account_key) is not None and not content_pending(txn, said.account_key)

    def _plan_visit(self, txn: Txn, key: AccountKey, now: int) -> None:
        """The next touch follows from how lively the account is as of what is known by now."""
        account = get_account(txn, key)
        if account is None:
            return
        newest = recent_items(txn, key, 1)
        activity = activity_at(newest[0].published_at if newest else None, now)
        due_at = next_due(account, activity)
        _, user_id = split_account_key(key)
        plan_job(
            txn,
            Job(
                platform=account.platform,
                kind=JobKind.PROFILE,
                entity=user_id,
                account_key=key,
                priority=PRIORITY[activity],
                due_at=due_at,
                first=False,
            ),
        )
        if account.next_due_at != due_at:
            write_account(txn, msgspec.structs.replace(account, next_due_at=due_at))


def _note_listing(txn: Txn, page: RawPage) -> None:
    account = get_account(txn, page.account_key)
    if account is not None and (account.content_fetched_at or 0) < page.fetched_at:
        write_account(txn, msgspec.structs.replace(account, content_fetched_at=page.fetched_at))
