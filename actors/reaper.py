"""Walks the accounts and takes out what their platform lets us keep no longer, whether or not anything is ingested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
import trio

from actors import Meter, Outbox
from actors.policy import Policy
from proto.errors import Unreadable
from proto.ids import AccountKey, Platform, RawId
from proto.messages import AnyWork
from proto.records import CreatorAccount, Event
from stores.catalog import accounts_page
from stores.env import Environment, Txn
from stores.erasure import Expired, Limits, drop_pages, erase_expired, expire_letters, expired_of, stray_raw
from stores.imports import KEPT_SECONDS, expire_pieces, old_pieces
from stores.journal import Journal

PAGE = 200
"""Accounts looked at in one snapshot: about 20 ms."""
STRAYS = 1_000
"""Accounts that never came in, of which pages are looked at in the same."""
FOLDED = 50
"""Accounts taken out of in one transaction."""
FOLDED_PAGES = 1_000
"""Pages of accounts that never came in, likewise."""
FOLDED_LETTERS = 1_000
"""Dead letters looked at in one transaction."""
BEAT_SECONDS = 2.0
"""Between pages. A million accounts are walked in under three hours, and policies leave a day or more."""
REST_SECONDS = 3_600.0
"""Between walks."""


class Tally(msgspec.Struct):
    """What a walk took out so far."""

    accounts: int = 0
    items: int = 0
    raw_pages: int = 0
    snapshots: int = 0
    letters: int = 0
    refreshed: int = 0

    def add(self, expired: Expired) -> None:
        self.accounts += expired.fields
        self.items += expired.items
        self.raw_pages += expired.raw_pages
        self.snapshots += expired.snapshots
        self.refreshed += expired.refreshed

    @property
    def erased(self) -> int:
        return self.accounts + self.items + self.raw_pages + self.snapshots + self.letters


class Reaper:
    """What nears its end is put at the head of the schedule; what has reached it goes.

    Creators whose data went are work for the Embedder. The cursor is not kept: a walk that a
    restart cut short begins anew.
    """

    def __init__(
        self,
        outbox: Outbox[AnyWork],
        *,
        env: Environment,
        journal: Journal,
        policies: Mapping[Platform, Policy],
        now: Callable[[], float],
        stop: trio.Event,
        meter: Meter,
    ) -> None:
        self._outbox = outbox
        self._env, self._journal, self._policies = env, journal, policies
        self._now, self._stop, self._meter = now, stop, meter
        self._after: AccountKey | None = None
        self._tally = Tally()

    async def run(self) -> None:
        """The source of its own work; returns once asked to stop."""
        while not self._stop.is_set():
            ended = await self.beat()
            with trio.move_on_after(REST_SECONDS if ended else BEAT_SECONDS):
                await self._stop.wait()

    async def beat(self) -> bool:
        """Looks at the next page of accounts; True when the walk has come to its end."""
        with self._meter.working():
            until, due, stray = await self._env.read(partial(self._look, after=self._after))
            for begin in range(0, len(due), FOLDED):
                await self._erase(due[begin : begin + FOLDED])
            for begin in range(0, len(stray), FOLDED_PAGES):
                await self._env.write(partial(drop_pages, raw_ids=stray[begin : begin + FOLDED_PAGES]))
            self._tally.raw_pages += len(stray)
            self._meter.handled += len(due)
            self._after = until
            if self._after is None:
                await self._end_walk()
        return self._after is None

    async def _erase(self, due: Sequence[tuple[AccountKey, Limits]]) -> None:
        now = self._now()

        def change(txn: Txn) -> list[Expired]:
            return [erase_expired(txn, key, limits, now) for key, limits in due]

        try:
            done = await self._env.write(change)
        except Unreadable as error:  # of one of them; nothing was taken out of any
            if len(due) == 1:
                self._env.note_damage(error)
                return
            for one in due:
                await self._erase([one])
            return
        for expired in done:
            self._tally.add(expired)
            if expired.following is not None:
                await self._outbox.send(expired.following)

    def _look(
        self, txn: Txn, after: AccountKey | None
    ) -> tuple[AccountKey | None, list[tuple[AccountKey, Limits]], list[RawId]]:
        """Up to where this page goes (None: the end), those of its accounts that have something to take out or to read
        again, and expired pages of accounts between them that are in no catalogue."""
        now = self._now()
        seen, accounts = accounts_page(txn, b"", after, PAGE)
        judged = [(account.key, limits_of(self._policies[account.platform], account, now)) for account in accounts]
        expired = [txn.if_whole(partial(expired_of, txn, key, limits, now)) for key, limits in judged]
        due = [one for one, what in zip(judged, expired, strict=True) if what not in (None, Expired())]
        before = {platform: policy.fields_before(now) for platform, policy in self._policies.items()}
        last = seen[-1] if len(seen) == PAGE else None
        stray, reached = stray_raw(txn, seen, after, last, before, limit=STRAYS)
        return (last if reached is None else reached), due, stray

    async def _end_walk(self) -> None:
        await self._expire_imports()
        before = {platform: policy.fields_before(self._now()) for platform, policy in self._policies.items()}
        after: bytes | None = b""
        while after is not None:
            letters, after = await self._env.write(
                partial(expire_letters, before=before, after=after, limit=FOLDED_LETTERS)
            )
            self._tally.letters += letters
        if self._tally.erased:
            await self._journal.event(_event(self._tally, int(self._now())))
        self._tally = Tally()

    async def _expire_imports(self) -> None:
        before = self._now() - KEPT_SECONDS
        while await self._env.read(partial(old_pieces, before=before, limit=1)):
            await self._env.write(partial(expire_pieces, before=before))


def limits_of(policy: Policy, account: CreatorAccount, now: float) -> Limits:
    """What of this account is too old now: everything, when the platform knows it no more."""
    gone = policy.deletes(account)
    tomorrow = int(now) // 86_400 + 1
    return Limits(
        fields_before=int(now) + 1 if gone else policy.fields_before(now),
        refresh_before=0 if gone else policy.refresh_before(now),
        statistics_before=tomorrow if gone else policy.statistics_before(now),
        derives=policy.derives,
        asked_by_handle=policy.asked_by_handle,
    )


def _event(tally: Tally, now: int) -> Event:
    counts = msgspec.structs.asdict(tally)
    told = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    return Event(at=now, kind="policy_erasure", severity="info", subject="retention", detail=told)
