"""Leases due jobs of one platform and sends them down its lane, one message a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from actors import Meter, Outbox
from actors.lane import Lane
from proto.ids import Platform
from proto.messages import RefreshDue
from proto.records import JobKind
from stores.schedule import PackRule, Schedule

POLL_SECONDS = 0.2
QUIET_ROUNDS = 2
"""Rounds without a full pack before part-filled ones go out: company may be on its way."""

FLUSH_ROUNDS = 20
"""So many rounds are the longest that a pack which may go as it is waits for a quiet moment."""

LATE_SECONDS = 1_800.0
"""A visit to an active account falls due so long before its window ends (actors/cadence.py)."""

LOOK_SECONDS = 60.0
"""How often it is looked whether visits are late; while they are, all the time."""


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
        if self._lane.closed_because:
            return 0
        now = self._now()
        lane = self._lane
        rules = [
            rule
            for rule in self._rules
            if not lane.held(self._buckets_of(rule.kind), now) and not lane.rests(rule.kind, now)
        ]
        with self._meter.working():
            packs = await self._schedule.lease(
                self._platform, rules, now, packs=self._packs, flush=flush, no_bulk_of=await self._without_bulk(now)
            )
        for jobs in packs:
            await self._outbox.send(RefreshDue(platform=self._platform, jobs=jobs))
            self._meter.handled += len(jobs)
        return len(packs)

    async def _without_bulk(self, now: float) -> list[JobKind]:
        """Kinds of which bulk has to wait: its share is spent, or known accounts are looked at too late.

        What costs nothing competes with nobody, and its lateness says nothing.
        """
        if self._looked_at is None or self._looked_at + LOOK_SECONDS <= now or self._lane.bulk_paused:
            visits = [kind for kind in (JobKind.PROFILE, JobKind.FEED) if self._buckets_of(kind)]
            self._lane.bulk_paused = await self._schedule.late(self._platform, visits, now - LATE_SECONDS)
            self._looked_at = now
        return [
            rule.kind
            for rule in self._rules
            if self._lane.bulk_paused or self._lane.bulk_held(self._buckets_of(rule.kind), now)
        ]
