"""Turns each stored page into accounts and content in the catalogue, and plans what the page makes worth fetching."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import lmdb
import msgspec

from actors import CurrentBatches, Inbox, Meter, Outbox
from actors.cadence import KEPT_ITEMS, VisitPolicy, activity_at, visits
from actors.discovery import DiscoveryBudgets, discover
from actors.follow_ups import follow_ups
from actors.platforms.adapter import PlatformAdapter
from actors.reading import with_extracted
from proto.errors import Malformed, NotFound
from proto.ids import AccountKey, Platform, split_account_key
from proto.messages import AccountUpserted, AnyWork, RawStored
from proto.records import (
    LISTINGS,
    Activity,
    ContentItem,
    CreatorAccount,
    DeadLetter,
    Job,
    JobKind,
    Normalised,
    RawPage,
)
from stores.catalog import get_account, put_normalised, write_account
from stores.content import known_ids, recent_items
from stores.env import Environment, Txn
from stores.raw import drop_raw, get_raw, raw_id_of
from stores.schedule import content_pending, jobs_of, plan_job, put_job, settle_job
from stores.subscriptions import count_polled
from stores.suppression import Suppression
from stores.work import Work, bury, complete, enqueue, put_dead_letter

UNREADABLE = (ValueError, ArithmeticError, TypeError, lmdb.BadValsizeError)
"""What absurd values of a page end in: numbers too great, bytes that are no text, names too long for a key."""

MOST_JOBS = 100
"""Of an account that never came in; it has one or two."""

LISTS = LISTINGS | {JobKind.FEED}
"""Kinds of page that tell what content there is."""

Read = tuple[RawStored, RawPage | None, Normalised | str]
"""A message, its page, and what that says or why it says nothing."""


class Normaliser:
    """Several may run: a write keeps the newer ``fetched_at``, so the order of pages does not matter.

    A page of somebody who asked to be forgotten is dropped unread by anybody else.
    """

    def __init__(
        self,
        inbox: Inbox[AnyWork],
        outbox: Outbox[AnyWork],
        *,
        env: Environment,
        work: Work,
        adapters: Mapping[Platform, PlatformAdapter],
        now: Callable[[], float],
        suppression: Suppression,
        visits_of: Mapping[Platform, VisitPolicy],
        backfill_items: Mapping[Platform, int],
        discovery: DiscoveryBudgets,
        discovered_on: Iterable[Platform],
        batch: int,
        meter: Meter,
    ) -> None:
        self._inbox, self._outbox = inbox, outbox
        self._env, self._work, self._adapters = env, work, adapters
        self._visits, self._backfill_items, self._suppression = visits_of, backfill_items, suppression
        self._now, self._batch, self._meter = now, batch, meter
        self._discovery, self._discovered_on = discovery, frozenset(discovered_on)
        self._listening_since = int(now())

    async def run(self) -> None:
        async for messages in CurrentBatches(self._inbox, self._batch, self._work):
            with self._meter.working():
                following = await self._handle([m for m in messages if isinstance(m, RawStored)])
            self._meter.handled += len(messages)
            for message in following:
                await self._outbox.send(message)

    async def _handle(self, messages: list[RawStored]) -> list[AnyWork]:
        pages = await self._env.read(lambda txn: [self._read(txn, message) for message in messages])
        read = [(message, *one) for message, one in zip(messages, pages, strict=True)]
        try:
            return await self._store(read)
        except UNREADABLE:
            return [following for one in read for following in await self._store_alone(one)]

    async def _store_alone(self, one: Read) -> list[AnyWork]:
        """Of a batch that cannot be stored only the guilty page is given up."""
        message, page, _ = one
        try:
            return await self._store([one])
        except UNREADABLE as error:
            return await self._store([(message, page, f"{type(error).__name__}: {error}"[:500])])

    async def _store(self, read: Sequence[Read]) -> list[AnyWork]:
        def change(txn: Txn) -> list[AnyWork]:
            upserted: dict[AccountKey, None] = {}
            for message, page, said in read:
                if page is not None and self._forbidden(page, said):
                    complete(txn, message)
                    drop_raw(txn, message.raw_id)
                    _ask_no_more(txn, page.account_key)
                elif isinstance(said, str):
                    bury(txn, message, "malformed", said, int(self._now()))
                elif complete(txn, message):
                    assert page is not None
                    if self._apply(txn, page, said):
                        upserted[said.account_key] = None
                    for place, reason in said.refused:
                        put_dead_letter(txn, _refused(page, message, place, reason, int(self._now())))
            return [enqueue(txn, AccountUpserted(account_key=key), self._now()) for key in upserted]

        return await self._env.write(change)

    def _read(self, txn: Txn, message: RawStored) -> tuple[RawPage | None, Normalised | str]:
        """The page and what it says, or why it says nothing. In a thread, many at a time: each hop there costs more
        than a page does."""
        page: RawPage | None = None
        try:
            page = get_raw(txn, message.raw_id)
            return page, with_extracted(self._adapters[message.platform].normalise(page))
        except (Malformed, NotFound) as error:
            return page, str(error)
        except UNREADABLE as error:
            return page, f"{type(error).__name__}: {error}"[:500]

    def _forbidden(self, page: RawPage, said: Normalised | str) -> bool:
        account = None if isinstance(said, str) else said.account
        return self._suppression.forbids(page.account_key, account.handle if account else "")

    def _apply(self, txn: Txn, page: RawPage, said: Normalised) -> bool:
        """Stores what the page says; returns whether the account is to travel on now."""
        key, now = said.account_key, int(self._now())
        before = get_account(txn, key)
        known = known_ids(txn, key) if said.listed else {}
        if page.kind in LISTS:
            found = [item for item in said.items if item.content_id not in known]
            count_polled(txn, split_account_key(key)[1], found, now, listening_since=self._listening_since)
        changed = put_normalised(txn, said, page.fetched_at)
        if page.kind in LISTS:
            _note_listing(txn, page)
        recent = recent_items(txn, key, KEPT_ITEMS[Activity.ACTIVE])
        self._plan_visits(txn, key, recent, now)
        discover(
            txn, said, budgets=self._discovery, platforms=self._discovered_on, suppression=self._suppression, now=now
        )
        for job in self._follow_ups(page, said, before, known, recent, now):
            put_job(txn, job)
        if page.kind is JobKind.FEED and not changed:
            drop_raw(txn, raw_id_of(page))
        if page.kind in LISTINGS or page.kind is JobKind.CONTENT:
            return get_account(txn, key) is not None and not content_pending(txn, key)
        if page.kind is JobKind.PROFILE:
            return changed
        return changed and not content_pending(txn, key)

    def _follow_ups(
        self,
        page: RawPage,
        said: Normalised,
        before: CreatorAccount | None,
        known: Mapping[str, bool],
        recent: Sequence[ContentItem],
        now: int,
    ) -> list[Job]:
        return follow_ups(
            page,
            said,
            before,
            known,
            now=now,
            backfill_items=self._backfill_items[page.platform],
            feeds=self._visits[page.platform].feeds,
            recent=_kept(recent, now),
        )

    def _plan_visits(self, txn: Txn, key: AccountKey, recent: Sequence[ContentItem], now: int) -> None:
        """When the account is looked at next follows from how lively it is as of what is known by now."""
        account = get_account(txn, key)
        if account is None:
            return
        planned = visits(account, [item.published_at for item in recent], self._visits[account.platform], now)
        for job in planned:
            plan_job(txn, job)
        if account.next_due_at != planned[0].due_at:
            write_account(txn, msgspec.structs.replace(account, next_due_at=planned[0].due_at))


def _ask_no_more(txn: Txn, key: AccountKey) -> None:
    """Of somebody who asked to be forgotten, by whatever way the page came; who is in the catalogue is taken out of it."""
    for job in jobs_of(txn, key, MOST_JOBS) if get_account(txn, key) is None else []:
        settle_job(txn, job, None)


def _kept(recent: Sequence[ContentItem], now: int) -> dict[str, ContentItem]:
    """The items whose details are kept fresh: more of a lively account."""
    activity = activity_at(max((item.published_at for item in recent), default=None), now)
    return {item.content_id: item for item in recent[: KEPT_ITEMS[activity]]}


def _refused(page: RawPage, message: RawStored, place: str, reason: str, now: int) -> DeadLetter:
    """An item that cannot be read; the page is kept, so that a mended reader can take it in."""
    return DeadLetter(
        letter_id="",
        stage="normaliser",
        entity=f"{page.account_key} {page.kind.value} {place}",
        reason="malformed_item",
        detail=reason,
        request=page.request,
        payload=msgspec.msgpack.encode(message),
        first_seen_at=now,
        last_seen_at=now,
    )


def _note_listing(txn: Txn, page: RawPage) -> None:
    account = get_account(txn, page.account_key)
    if account is None:
        return
    listed_at = max(account.content_fetched_at or 0, page.fetched_at)
    touched_at = max(account.touched_at or 0, page.fetched_at)
    failures = 0 if page.kind is JobKind.FEED else account.feed_failures
    fresh = msgspec.structs.replace(
        account, content_fetched_at=listed_at, touched_at=touched_at, feed_failures=failures
    )
    if fresh != account:
        write_account(txn, fresh)
