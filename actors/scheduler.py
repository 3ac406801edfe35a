"""Leases due jobs of one platform and sends them down its lane, one message a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from actors import Meter, Outbox
from actors.cadence import PRIORITY, SLACK_SECONDS
from actors.lane import Lane
from proto.ids import Platform
from proto.messages import RefreshDue
from proto.records import Job, JobKind, Priority
from stores.schedule import PackRule, Schedule

VISITS = (JobKind.PROFILE, JobKind.FEED)
"""Kinds by which known accounts are kept fresh."""

POLL_SECONDS = 0.2
QUIET_ROUNDS = 2
"""Rounds without a full pack before part-filled ones go out: company may be on its way."""

FLUSH_ROUNDS = 20
"""So many rounds are the longest that a pack which may go as it is waits for a quiet moment."""

LATE_SECONDS = {PRIORITY[activity]: slack for activity, slack in SLACK_SECONDS.items()}
"""A visit falls due so long before its window ends (actors/cadence.py)."""

LOOK_SECONDS = 60.0
"""How often it is looked whether visits are late; while they are, all the time."""

TRICKLE_SECONDS = 3_600.0
"""How often a pack of each kind of bulk goes out although visits are late: more accounts than the budget keeps fresh are
late for ever. Seven kinds come to 168 calls a day, of YouTube's 10,000 and of 4,800 a token of Instagram."""

BULK = [priority for priority in Priority if priority >= Priority.BACKFILL]


class Scheduler:
    """The source of its lane; returns when asked to stop."""

    def __init__(
        self,
        outbox: Outbox[RefreshDue],
        *,
        platform: Platform,
        rules: Sequence[PackRule],
        buckets_of: Callable[[JobKind], Sequence[str]],
        packs: int,
        schedule: Schedule,
        lane: Lane,
        now: Callable[[], float],
        stop: trio.Event,
        meter: Meter,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._outbox, self._platform, self._rules, self._packs = outbox, platform, rules, packs
        self._buckets_of, self._poll_seconds = buckets_of, poll_seconds
        self._schedule, self._lane, self._now, self._stop, self._meter = schedule, lane, now, stop, meter

        self._looked_at: float | None = None
        self._trickled_at = now()

    async def run(self) -> None:
        quiet, rounds = 0, 0
        while not self._stop.is_set():
            rounds += 1  # a steady stream of one kind must not keep part-filled packs of another waiting
            taken = await self._round(flush=quiet >= QUIET_ROUNDS or rounds % FLUSH_ROUNDS == 0)
            if taken:
                quiet = 0
                continue
            quiet += 1
            with trio.move_on_after(self._poll_seconds):
                await self._stop.wait()

    async def _round(self, *, flush: bool) -> int:
        if self._lane.closed_because or self._lane.paused_by:
            return 0
        now = self._now()
        lane = self._lane
        rules = [
            rule
            for rule in self._rules
            if not lane.held(self._buckets_of(rule.kind), now) and not lane.rests(rule.kind, now)
        ]
        with self._meter.working():
            await self._look(now)
            no_bulk_of = [rule.kind for rule in rules if self._paused(rule.kind) or self._spent(rule.kind, now)]
            packs = await self._schedule.lease(
                self._platform, rules, now, packs=self._packs, flush=flush, no_bulk_of=no_bulk_of
            )
            packs += await self._trickle(rules, now)
        for jobs in packs:
            await self._outbox.send(RefreshDue(platform=self._platform, jobs=jobs))
            self._meter.handled += len(jobs)
        return len(packs)

    async def _look(self, now: float) -> None:
        """Bulk is paused while known accounts are looked at too late; the lateness of what costs nothing says nothing."""
        if self._looked_at is None or self._looked_at + LOOK_SECONDS <= now or self._lane.bulk_paused:
            visits = [kind for kind in VISITS if self._buckets_of(kind)]
            before = {priority: now - seconds for priority, seconds in LATE_SECONDS.items()}
            self._lane.bulk_paused = await self._schedule.late(self._platform, visits, before)
            self._looked_at = now

    def _paused(self, kind: JobKind) -> bool:
        """Of a kind that visits do not pay for bulk takes nothing from them."""
        paying = {bucket for visit in VISITS for bucket in self._buckets_of(visit)}
        return self._lane.bulk_paused and not paying.isdisjoint(self._buckets_of(kind))

    def _spent(self, kind: JobKind, now: float) -> bool:
        return self._lane.bulk_held(self._buckets_of(kind), now)

    async def _trickle(self, rules: Sequence[PackRule], now: float) -> list[tuple[Job, ...]]:
        """See `TRICKLE_SECONDS`."""
        if not self._lane.bulk_paused:
            self._trickled_at = now
        if now - self._trickled_at < TRICKLE_SECONDS:
            return []
        self._trickled_at = now
        packs: list[tuple[Job, ...]] = []
        for rule in rules:
            if self._paused(rule.kind) and not self._spent(rule.kind, now):
                packs += await self._schedule.lease(self._platform, [rule], now, packs=1, flush=True, priorities=BULK)
        return packs
