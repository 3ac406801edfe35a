"""Makes the permitted call; raw pages, the schedule's next step and the work that follows are one transaction."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import lmdb
import msgspec
import trio

from actors import Inbox, Meter, Outbox
from actors.cadence import MISSES_UNTIL_GONE, not_found_due
from actors.discovery import DiscoveryBudgets, bare, left_today, look_again, note_missed, renewed_at, take_in
from actors.lane import Lane
from actors.platforms.adapter import Fetched, PlatformAdapter
from proto.errors import AuthFailed, Malformed, PokedexError, Rejected, Throttled, Unavailable
from proto.ids import AccountKey
from proto.messages import AccountUpserted, AnyWork, FetchPermitted, RawStored
from proto.records import LISTINGS, AccountStatus, DeadLetter, Event, Job, JobKind
from stores.catalog import get_account, remove_content, write_account
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.ledger import Ledger
from stores.raw import put_raw, seal
from stores.schedule import Schedule, content_pending, put_job, settle_job
from stores.suppression import Suppression
from stores.work import enqueue, put_dead_letter

MAX_TRIES = 4
"""Tries of one call on passing faults, and later of one job that keeps failing."""

RETRY_LATER_SECONDS = 900
LONG_SECONDS = 60.0
"""A pause of this length closes the bucket instead of slowing the lane."""
COME_BACK_SECONDS = 7 * 86_400
"""When a job that became a dead letter is tried again by itself."""

LEGACY_SECONDS = 28 * 86_400
"""A user's name of old is no handle, so that only its look-up tells whose it is: kept, and made again after so long."""

FAILURES = (PokedexError, ValueError, ArithmeticError, lmdb.BadValsizeError)
"""What a call ends in that is not answered, an absurd reply included."""
_SEVERITIES = {"key_disabled": "error"}
"""Of what an adapter notes; the rest are warnings."""


class _NoBudget(PokedexError):
    """A call that would be repeated finds nothing to pay it before ``until``."""

    def __init__(self, until: int) -> None:
        super().__init__(f"no budget before {until}")
        self.until = until


class Fetcher:
    """Several run on one lane. ``silent`` takes accounts that change without a page, past the Normaliser."""

    def __init__(
        self,
        inbox: Inbox[FetchPermitted],
        outbox: Outbox[RawStored],
        silent: Outbox[AccountUpserted],
        *,
        adapter: PlatformAdapter,
        discovery: DiscoveryBudgets,
        suppression: Suppression,
        env: Environment,
        schedule: Schedule,
        ledger: Ledger,
        journal: Journal,
        lane: Lane,
        now: Callable[[], float],
        jitter: random.Random,
        stop: trio.Event,
        meter: Meter,
    ) -> None:
        self._inbox, self._outbox, self._silent = inbox, outbox, silent
        self._adapter, self._env, self._schedule = adapter, env, schedule
        self._ledger, self._journal, self._lane = ledger, journal, lane
        self._discovery, self._suppression = discovery, suppression
        self._now, self._jitter, self._stop, self._meter = now, jitter, stop, meter

    async def run(self) -> None:
        async for permit in self._inbox:
            with self._meter.working():
                following = await self._fetch(permit)
            self._meter.handled += 1
            for message in following:
                if isinstance(message, RawStored):
                    await self._outbox.send(message)
                elif isinstance(message, AccountUpserted):
                    await self._silent.send(message)

    async def _fetch(self, permit: FetchPermitted) -> list[AnyWork]:
        if self._must_wait(permit.jobs):
            await self._schedule.release(permit.jobs)
            return []
        try:
            return await self._ask(permit.jobs, permit.bucket)
        except FAILURES as error:
            if isinstance(error, Rejected) and len(permit.jobs) > 1:
                return await self._ask_alone(permit.jobs)
            await self._fail(permit.jobs, error)
        return []

    def _must_wait(self, jobs: Sequence[Job]) -> bool:
        resting = self._lane.held(self._adapter.cost(jobs[0].kind).buckets, self._now())
        return bool(self._lane.closed_because) or self._stop.is_set() or resting

    async def _ask(self, jobs: Sequence[Job], bucket: str) -> list[AnyWork]:
        """Raises one of `FAILURES`, and then has settled nothing."""
        if jobs[0].kind in (JobKind.CHART, JobKind.SEARCH):
            await self._discover(jobs[0], bucket)
            return []
        return await self._store(jobs, await self._perform(jobs, bucket))

    async def _discover(self, job: Job, bucket: str) -> None:
        """Once the day's budget is spent, charts or searches that are due wait for the next as they are: then the one that
        was read longest ago goes first."""
        now = int(self._now())
        left = await self._env.read(lambda txn: left_today(txn, job, self._discovery, now))
        if left:
            left = await self._take_in(job, await self._perform([job], bucket))
        else:
            await self._schedule.release([job])
        if not left:
            self._lane.rest(job.kind, renewed_at(now))

    async def _ask_alone(self, jobs: Sequence[Job]) -> list[AnyWork]:
        """A hard refusal of a pack says nothing of its members: each is asked alone, and only the guilty one falls.

        What says "not now" or "not with this key" says it to the rest as well.
        """
        following: list[AnyWork] = []
        for number, job in enumerate(jobs):
            rest = jobs[number:]
            if self._must_wait(rest):
                await self._schedule.release(rest)
                break
            try:
                following += await self._ask([job], await self._pay_again([job]))
            except (Throttled, AuthFailed) as error:
                await self._fail(rest, error)
                break
            except FAILURES as error:
                await self._fail([job], error)
        return following

    async def _fail(self, asked: Sequence[Job], error: Exception) -> None:
        """What becomes of jobs whose call ended so."""
        jobs = [job for job in asked if not self._is_forgotten(job)]
        if not jobs:
            return
        match error:
            case _NoBudget():
                await self._schedule.release(jobs, error.until)
            case Throttled():
                await self._throttled(jobs, error)
            case AuthFailed():
                await self._disable(jobs, error)
            case Rejected():
                for job in jobs:
                    await self._refused(job, error)
            case Unavailable():
                await self._unanswered(jobs, error)
            case PokedexError():
                await self._try_later(jobs, error)
            case _:  # an absurd reply
                await self._try_later(jobs, Malformed(f"{type(error).__name__}: {error}"[:300]))

    async def _unanswered(self, jobs: Sequence[Job], error: Unavailable) -> None:
        """One call's failure is the jobs' own; when no call gets an answer it is the platform's, and the jobs wait."""
        circuit, platform = self._lane.circuit, self._adapter.platform.value
        if self._adapter.cost(jobs[0].kind).buckets:
            if circuit.failed(self._now()):
                await self._event("platform_down", "error", platform, f"no call is answered, the last: {error}")
            if circuit.open:
                await self._schedule.release(jobs)
                return
        await self._try_later(jobs, error)

    async def _perform(self, jobs: Sequence[Job], bucket: str) -> Fetched:
        """The call, repeated with jittered exponential backoff while the fault is a passing one."""
        for attempt in range(1, MAX_TRIES):
            try:
                return await self._call(jobs, bucket)
            except Unavailable:
                await trio.sleep(self._jitter.uniform(0.5, 1.0) * 2 ** (attempt - 1))
                bucket = await self._pay_again(jobs)
        return await self._call(jobs, bucket)

    async def _call(self, jobs: Sequence[Job], bucket: str) -> Fetched:
        try:
            fetched = await self._adapter.perform(jobs, bucket)
        except (Throttled, AuthFailed, Rejected):
            await self._note_answer(jobs)
            raise
        finally:
            self._meter.moved()
        await self._note_answer(jobs)
        for kind, detail in fetched.notes:
            await self._event(kind, _SEVERITIES.get(kind, "warning"), self._adapter.platform.value, detail)
        if fetched.usage is not None:
            await self._ledger.note_usage(self._adapter.platform, bucket, fetched.usage, self._now())
        return fetched

    async def _note_answer(self, jobs: Sequence[Job]) -> None:
        """A feed that answers says nothing of the API."""
        if self._adapter.cost(jobs[0].kind).buckets and self._lane.circuit.answered():
            await self._event("platform_up", "info", self._adapter.platform.value, "calls are answered again")

    async def _pay_again(self, jobs: Sequence[Job]) -> str:
        """A repeated call costs again; returns the bucket that pays. Without budget the jobs wait like any others."""
        cost = self._adapter.cost(jobs[0].kind)
        if not cost.buckets:
            return ""
        asked = (cost.buckets, cost.units, all(job.bulk for job in jobs))
        (grant,) = await self._ledger.reserve(self._adapter.platform, [asked], self._now())
        if not grant.granted:
            raise _NoBudget(grant.closed_until)
        return grant.bucket

    async def _store(self, jobs: Sequence[Job], fetched: Fetched) -> list[AnyWork]:
        sealed = [(page, *seal(page)) for page in fetched.pages]
        now = int(self._now())

        def change(txn: Txn) -> list[AnyWork]:
            following: list[AnyWork] = []
            for page, raw_id, body in sealed:
                if self._suppression.covers(page.account_key):
                    continue
                put_raw(txn, page, raw_id, body)
                following.append(enqueue(txn, RawStored(raw_id=raw_id, platform=page.platform), now))
            missing = {job.entity for job in fetched.missing}
            for job in jobs:
                if self._is_forgotten(job, fetched.looked_up.get(job.entity)):
                    settle_job(txn, job, None)
                elif job.entity in missing:
                    _settle_missing(txn, job, now)
                else:
                    _settle_answered(txn, job, fetched, now)
            following.extend(_release_silent(txn, fetched.missing, now))
            return following

        return await self._env.write(change)

    def _is_forgotten(self, job: Job, found: AccountKey | None = None) -> bool:
        """Whether it is about somebody who asked to be forgotten, be it while the call was under way: nothing that names
        them is written then. ``found``: whom a look-up led to."""
        key = job.account_key or found
        named = job.kind is JobKind.LOOKUP and self._suppression.contains(job.platform, bare(job.entity))
        return named or (key is not None and self._suppression.covers(key))

    async def _take_in(self, job: Job, fetched: Fetched) -> int:
        """What a chart or search names: ids of accounts, of which the new ones are scheduled.

        Returns how much is left of the day's budget.
        """
        now = int(self._now())

        def change(txn: Txn) -> tuple[int, int]:
            budgets = self._discovery
            taken = take_in(txn, job, fetched.found, budgets=budgets, suppression=self._suppression, now=now)
            left = left_today(txn, job, budgets, now)
            settle_job(txn, job, look_again(job, fetched.next_page_token, now, left=left))
            return taken, left

        taken, left = await self._env.write(change)
        detail = f"{taken} new accounts of {len(fetched.found)} found"
        await self._event("discovered", "info", f"{job.kind.value} {job.entity}", detail)
        return left

    async def _throttled(self, jobs: Sequence[Job], error: Throttled) -> None:
        """A bucket that the platform closed may be one of several: the jobs go on as soon as any of them pays."""
        now, seconds = self._now(), error.retry_after_seconds or 5.0
        if error.bucket and (error.daily or seconds >= LONG_SECONDS):
            reopens_at = await self._ledger.close(
                self._adapter.platform, error.bucket, now, None if error.daily else seconds
            )
            others = len(self._adapter.cost(jobs[0].kind).buckets) > 1
            await self._schedule.release(jobs, None if others else reopens_at)
            await self._event("quota_exceeded", "warning", error.bucket, str(error))
            return
        self._lane.penalise(trio.current_time(), seconds)
        await self._schedule.release(jobs)
        await self._event("rate_limited", "info", error.bucket, str(error))

    async def _disable(self, jobs: Sequence[Job], error: AuthFailed) -> None:
        """A key or token is out; once none is left the lane closes."""
        await self._schedule.release(jobs)
        platform = self._adapter.platform
        if not self._ledger.disable(platform, error.bucket, str(error)):
            self._lane.closed_because = str(error)
        if error.bucket not in self._lane.told:
            self._lane.told.add(error.bucket)
            await self._event("key_disabled", "error", f"{platform.value}/{error.bucket}", str(error))

    async def _refused(self, job: Job, error: Rejected) -> None:
        """A page token dies with time: the list is walked anew, once (platform-apis 1.10)."""
        if job.kind not in LISTINGS or not job.page_token or job.walked:
            await self._give_up(job, error.reason, str(error))
            return
        walked = max(job.listed_before, 1)
        anew = msgspec.structs.replace(_from_the_start(job), walked=walked, last_error=str(error)[:300])
        await self._schedule.settle(job, anew)
        await self._event("listed_anew", "info", job.entity, str(error))

    async def _try_later(self, jobs: Sequence[Job], error: PokedexError) -> None:
        now = int(self._now())
        await self._event("fetch_failed", "warning", jobs[0].entity, f"{len(jobs)} jobs: {error}")
        for job in jobs:
            if job.attempts + 1 >= MAX_TRIES:
                await self._give_up(job, type(error).__name__, str(error))
                continue
            again = msgspec.structs.replace(
                job,
                attempts=job.attempts + 1,
                due_at=now + RETRY_LATER_SECONDS * 2**job.attempts,
                last_error=str(error)[:300],
            )
            await self._schedule.settle(job, again)

    async def _give_up(self, job: Job, reason: str, detail: str) -> None:
        now = int(self._now())
        letter = DeadLetter(
            letter_id="",
            stage="fetcher",
            entity=f"{job.kind.value}:{job.entity}",
            reason=reason,
            detail=detail,
            payload=msgspec.msgpack.encode(job),
            first_seen_at=now,
            last_seen_at=now,
        )

        def change(txn: Txn) -> None:
            if self._is_forgotten(job):
                return
            put_dead_letter(txn, letter)
            back = msgspec.structs.replace(_from_the_start(job), first=False, due_at=now + COME_BACK_SECONDS)
            comes_back = job.kind in (JobKind.PROFILE, JobKind.CHART, JobKind.SEARCH)
            settle_job(txn, job, back if comes_back else None)
            _release_silent(txn, [job], now)  # the Sweeper sends it

        await self._env.write(change)
        await self._event("dead_letter", "error", job.entity, f"{reason}: {detail}")

    async def _event(self, kind: str, severity: str, subject: str, detail: str) -> None:
        await self._journal.event(
            Event(at=int(self._now()), kind=kind, severity=severity, subject=subject, detail=detail[:500])
        )


def _from_the_start(job: Job) -> Job:
    """The same job as if it had never been tried: a page token may be what it fails by."""
    return msgspec.structs.replace(job, page_token="", listed_before=0, attempts=0)


def _settle_answered(txn: Txn, job: Job, fetched: Fetched, now: int) -> None:
    """Visits come back at their cadence, which the Normaliser sets once it knows it; the rest ran its course."""
    if job.kind in (JobKind.PROFILE, JobKind.FEED):
        again = msgspec.structs.replace(job, first=False, attempts=0, last_error="", due_at=now + COME_BACK_SECONDS)
        settle_job(txn, job, again)
        return
    key = fetched.looked_up.get(job.entity) if job.kind is JobKind.LOOKUP else None
    legacy = msgspec.structs.replace(job, account_key=key, first=False, attempts=0, due_at=now + LEGACY_SECONDS)
    settle_job(txn, job, legacy if key is not None and job.entity.startswith("user/") else None)
    if key is not None:
        put_job(
            txn,
            Job(
                platform=job.platform,
                kind=JobKind.PROFILE,
                entity=key.partition(":")[2],
                account_key=key,
                priority=job.priority,
                due_at=now + COME_BACK_SECONDS,
                first=False,
                handle=job.entity,
            ),
        )


def _settle_missing(txn: Txn, job: Job, now: int) -> None:
    """The platform does not know it: back off 7, then 30 days; an account is gone after repeated misses."""
    if job.kind is JobKind.FEED:
        _ask_the_api_instead(txn, job, now)
        return
    if job.kind is not JobKind.PROFILE:
        settle_job(txn, job, None)
        if job.kind is JobKind.REVISIT and job.account_key is not None:
            remove_content(txn, job.account_key, [job.entity])
        if job.kind is JobKind.LOOKUP:
            note_missed(txn, job, now)
        return
    assert job.account_key is not None
    account = get_account(txn, job.account_key)
    misses = account.misses + 1 if account else job.attempts + 1
    if account is not None:
        status = AccountStatus.GONE if misses >= MISSES_UNTIL_GONE else account.status
        write_account(txn, msgspec.structs.replace(account, misses=misses, status=status))
    else:  # an id that was imported or named by somebody, and leads nowhere
        note_missed(txn, job, now)
        if misses >= MISSES_UNTIL_GONE:
            settle_job(txn, job, None)
            return
    settle_job(txn, job, msgspec.structs.replace(job, first=False, attempts=misses, due_at=not_found_due(misses, now)))


def _ask_the_api_instead(txn: Txn, job: Job, now: int) -> None:
    """A failed feed is no sign that the channel is gone: its profile is read, and tells whether there is news."""
    again = msgspec.structs.replace(job, first=False, attempts=0, due_at=now + COME_BACK_SECONDS)
    settle_job(txn, job, again)
    account = get_account(txn, job.account_key) if job.account_key else None
    if account is not None:
        write_account(txn, msgspec.structs.replace(account, feed_failures=account.feed_failures + 1))
    put_job(txn, msgspec.structs.replace(job, kind=JobKind.PROFILE, due_at=now, attempts=0))


def _release_silent(txn: Txn, missing: Sequence[Job], now: int) -> list[AnyWork]:
    """An account whose last awaited content is missing has no page to carry its earlier changes on."""
    accounts: set[AccountKey] = {
        job.account_key
        for job in missing
        if job.kind in (JobKind.CONTENT, JobKind.UPLOADS, JobKind.NEWS, JobKind.REVISIT) and job.account_key is not None
    }
    return [
        enqueue(txn, AccountUpserted(account_key=key), now)
        for key in sorted(accounts)
        if get_account(txn, key) is not None and not content_pending(txn, key)
    ]
