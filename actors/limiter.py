"""Holds each fetch back until the ledger has granted its cost and the pace allows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from actors import Batches, Inbox, Meter, Outbox
from actors.lane import Lane
from actors.platforms.adapter import CallCost, PlatformAdapter
from proto.messages import FetchPermitted, RefreshDue
from proto.records import Event
from stores.journal import Journal
from stores.ledger import Grant, Ledger
from stores.schedule import Schedule

BATCH = 32
"""Reservations folded into one transaction."""
SAME_SECONDS = 3_600
"""Closings that end this close together are one."""
FREE = Grant(granted=True, bucket="")


class Limiter:
    """One permit a call; a call that the budget refuses goes back into the schedule at the reset."""

    def __init__(
        self,
        inbox: Inbox[RefreshDue],
        outbox: Outbox[FetchPermitted],
        *,
        adapter: PlatformAdapter,
        ledger: Ledger,
        schedule: Schedule,
        journal: Journal,
        lane: Lane,
        now: Callable[[], float],
        meter: Meter,
    ) -> None:
        self._inbox, self._outbox = inbox, outbox
        self._adapter, self._ledger, self._schedule, self._journal = adapter, ledger, schedule, journal
        self._lane, self._now, self._meter = lane, now, meter
        self._dry: dict[str, int] = {}

    async def run(self) -> None:
        async for batch in Batches(self._inbox, BATCH):
            costs = [self._adapter.cost(due.jobs[0].kind) for due in batch]
            with self._meter.working():
                grants = await self._grants(costs, [all(job.bulk for job in due.jobs) for due in batch])
            for due, cost, grant in zip(batch, costs, grants, strict=True):
                await self._pass_on(due, cost, grant)

    async def _grants(self, costs: Sequence[CallCost], bulk: Sequence[bool]) -> list[Grant]:
        """What costs nothing is granted without asking."""
        paid = [
            (cost.buckets, cost.units, all_bulk) for cost, all_bulk in zip(costs, bulk, strict=True) if cost.buckets
        ]
        answers = iter(await self._ledger.reserve(self._adapter.platform, paid, self._now()) if paid else [])
        return [next(answers) if cost.buckets else FREE for cost in costs]

    async def _pass_on(self, due: RefreshDue, cost: CallCost, grant: Grant) -> None:
        if not grant.granted:
            # what bulk is refused says nothing of the visits to known accounts
            self._lane.hold(cost.buckets, grant.closed_until, bulk=all(job.bulk for job in due.jobs))
            await self._schedule.release(due.jobs, grant.closed_until)
            if grant.spent:
                await self._tell_once(grant)
            elif grant.bulk_spent:
                await self._tell_of_share(grant)
            return
        wait_seconds = self._lane.paces[cost.pace].take(trio.current_time())
        if wait_seconds > 0:
            await trio.sleep(wait_seconds)
        self._meter.handled += 1
        await self._outbox.send(FetchPermitted(platform=due.platform, jobs=due.jobs, bucket=grant.bucket))

    async def _tell_of_share(self, grant: Grant) -> None:
        """Once, since it is spent time and again while a long list is taken in."""
        share = f"{grant.bucket}+bulk"
        if share in self._lane.told:
            return
        self._lane.told.add(share)
        await self._tell(
            "backfill_share_spent",
            "info",
            grant,
            "new accounts and history had their share (ingestion.backfill_share), as they may in every window; they go "
            f"on at {grant.closed_until} at the soonest",
        )

    async def _tell_once(self, grant: Grant) -> None:
        """Once for each time a bucket runs dry."""
        if self._dry.get(grant.bucket, 0) >= grant.closed_until - SAME_SECONDS:
            return
        self._dry[grant.bucket] = grant.closed_until
        await self._tell("budget_dry", "warning", grant, f"the budget is spent; calls go on at {grant.closed_until}")

    async def _tell(self, kind: str, severity: str, grant: Grant, detail: str) -> None:
        subject = f"{self._adapter.platform.value}/{grant.bucket}"
        await self._journal.event(
            Event(at=int(self._now()), kind=kind, severity=severity, subject=subject, detail=detail)
        )
