"""When which account is to be asked for what: durable, leased, ordered by priority and then by due time."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import islice

import msgspec

from proto.ids import AccountKey, Platform, split_account_key
from proto.records import Job, JobKind, Priority
from stores.codec import decode, encode, pack_id, unpack_id
from stores.env import Environment, Txn
from stores.scan import Pair, scan_tables

PENDING = "jobs_pending"
"""Kept counter: jobs never answered yet, part of ``work_pending``."""

_PLATFORMS = list(Platform)
_KINDS = list(JobKind)


class PackRule(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs of a kind share one call, and how long a part-filled pack may wait for company."""

    kind: JobKind
    size: int
    wait_seconds: float = 300.0
    alone: bool = False
    """Whether the next pack is only taken once the one before is answered, since that decides whether it is wanted."""


TABLES = ("schedule", "schedule_due", "schedule_by_account", "leases")
"""Databases of the environment that this store owns."""


class Schedule:
    """Jobs by (platform, kind, entity). A leased job is out of reach until settled, released or its lease ends."""

    def __init__(self, env: Environment, *, lease_seconds: int = 600) -> None:
        self._env, self._lease_seconds = env, lease_seconds

    async def scan(self, cursor: bytes, limit: int) -> tuple[list[Pair], bytes | None]:
        """See `stores.ports.Scannable`."""
        return await scan_tables(self._env, TABLES, cursor, limit)

    async def lease(
        self,
        platform: Platform,
        rules: Sequence[PackRule],
        now: float,
        *,
        packs: int,
        flush: bool,
        no_bulk_of: Collection[JobKind] = (),
        priorities: Collection[Priority] = tuple(Priority),
    ) -> list[tuple[Job, ...]]:
        """Takes up to ``packs`` packs of due jobs of these priorities, highest first; of ``no_bulk_of`` only such as hold
        a job that is not bulk.

        A pack smaller than its rule's size is only taken with ``flush``, and then only when it holds a first read or
        an order, or has waited ``wait_seconds``.
        """

        def ready(txn: Txn, rule: PackRule) -> list[Job]:
            due = _due(txn, platform, rule, int(now), priorities)
            return _ready(txn, platform, rule, now, due, flush=flush, bulk=rule.kind not in no_bulk_of)

        def change(txn: Txn) -> list[tuple[Job, ...]]:
            taken: list[tuple[Job, ...]] = []
            for rule in rules:
                while len(taken) < packs and (pack := ready(txn, rule)):
                    for job in pack:
                        self._lease(txn, job, int(now))
                    taken.append(tuple(pack))
            return taken

        if not await self._env.read(lambda txn: any(ready(txn, rule) for rule in rules)):
            return []  # most looks find nothing, and a write would hold up others
        return await self._env.write(change)

    async def late(self, platform: Platform, kinds: Collection[JobKind], before: Mapping[Priority, float]) -> bool:
        """Whether a visit of one of these kinds, and of a priority that is named, has been due since before then."""

        def look(txn: Txn) -> bool:
            return any(
                _first_due_at(txn, _queue(platform, kind, priority), moment) < moment
                for kind in kinds
                for priority, moment in before.items()
            )

        return await self._env.read(look)

    async def put(self, jobs: Sequence[Job]) -> None:
        await self._env.write(lambda txn: [put_job(txn, job) for job in jobs])

    async def get(self, platform: Platform, kind: JobKind, entity: str) -> Job | None:
        return await self._env.read(lambda txn: find_job(txn, platform, kind, entity))

    async def settle(self, job: Job, following: Job | None) -> None:
        await self._env.write(lambda txn: settle_job(txn, job, following))

    async def release(self, jobs: Sequence[Job], due_at: int | None = None) -> None:
        """Puts leased jobs back unanswered, due at ``due_at`` or when they were before."""

        def change(txn: Txn) -> None:
            for job in jobs:
                settle_job(txn, job, msgspec.structs.replace(job, due_at=job.due_at if due_at is None else due_at))

        await self._env.write(change)

    def release_all(self) -> int:
        """Voids every lease of an earlier process, which is gone since this one holds the data directory."""

        def change(txn: Txn) -> int:
            leases = list(txn.scan("leases"))
            for state_key, lease_end in leases:
                stored = txn.get("schedule", state_key)
                assert stored is not None, "a lease without its job"
                txn.delete("leases", state_key)
                job = txn.if_whole(partial(decode, Job, stored, "schedule", state_key))
                if job is None:
                    continue
                txn.delete("schedule_due", _due_key(job, unpack_id(lease_end)))
                txn.put("schedule_due", _due_key(job, job.due_at), b"")
            return len(leases)

        return self._env.write_now(change)

    async def pending(self) -> int:
        return await self._env.read(lambda txn: txn.counter(PENDING))

    async def next_due_at(self, platform: Platform) -> int | None:
        """The earliest due time over all kinds and priorities; a handful of look-ups."""

        def look(txn: Txn) -> int | None:
            heads = [
                next(txn.scan("schedule_due", _queue(platform, kind, priority)), None)
                for kind in JobKind
                for priority in Priority
            ]
            return min((unpack_id(head[0][3:11]) for head in heads if head), default=None)

        return await self._env.read(look)

    def _lease(self, txn: Txn, job: Job, now: int) -> None:
        state_key = _state_key(job.platform, job.kind, job.entity)
        end = now + self._lease_seconds
        txn.delete("schedule_due", _due_key(job, _index_time(txn, state_key, job)))
        txn.put("schedule_due", _due_key(job, end), b"")
        txn.put("leases", state_key, pack_id(end))


def put_job(txn: Txn, job: Job) -> bool:
    """Adds a job, or brings a waiting one forward: the sooner due time and the higher priority win.

    One that is asked for anew counts as pending again.

    A job that is leased stays as it is: its answer is on the way. Returns whether anything changed.
    """
    state_key = _state_key(job.platform, job.kind, job.entity)
    stored = txn.get("schedule", state_key)
    if stored is None:
        _write_job(txn, state_key, job)
        return True
    if txn.get("leases", state_key) is not None:
        return False
    old = decode(Job, stored, "schedule", state_key)
    merged = msgspec.structs.replace(
        old,
        due_at=min(old.due_at, job.due_at),
        priority=min(old.priority, job.priority, key=int),
        first=old.first or job.first,
    )
    return _replace(txn, state_key, old, merged)


def plan_job(txn: Txn, job: Job) -> bool:
    """Sets a job's due time and priority, later ones included.

    A leased job stays as it is, and one that somebody asked for and that was not answered yet is not put off.
    """
    state_key = _state_key(job.platform, job.kind, job.entity)
    stored = txn.get("schedule", state_key)
    if stored is None:
        _write_job(txn, state_key, job)
        return True
    if txn.get("leases", state_key) is not None:
        return False
    old = decode(Job, stored, "schedule", state_key)
    if old.first:
        job = msgspec.structs.replace(
            job, due_at=min(old.due_at, job.due_at), priority=min(old.priority, job.priority, key=int)
        )
    merged = msgspec.structs.replace(
        old, due_at=job.due_at, priority=job.priority, account_key=job.account_key, handle=job.handle
    )
    return _replace(txn, state_key, old, merged)


def settle_job(txn: Txn, job: Job, following: Job | None) -> None:
    """Ends a lease: the job is removed, or replaced by ``following`` (same identity, later due time)."""
    state_key = _state_key(job.platform, job.kind, job.entity)
    stored = txn.get("schedule", state_key)
    if stored is None:
        return
    old = decode(Job, stored, "schedule", state_key)
    txn.delete("schedule_due", _due_key(old, _index_time(txn, state_key, old)))
    txn.delete("leases", state_key)
    if old.first:
        txn.add(PENDING, -1)
    if following is None:
        txn.delete("schedule", state_key)
        if old.account_key:
            txn.delete("schedule_by_account", _account_index(old))
    else:
        _write_job(txn, state_key, following)


def find_job(txn: Txn, platform: Platform, kind: JobKind, entity: str) -> Job | None:
    stored = txn.get("schedule", _state_key(platform, kind, entity))
    return decode(Job, stored, "schedule", _state_key(platform, kind, entity)) if stored else None


def jobs_of(txn: Txn, account: AccountKey, limit: int) -> list[Job]:
    """An account's jobs, leased ones included, by kind; at most ``limit``."""
    platform, _ = split_account_key(account)
    prefix = account.encode() + b"\0"
    entries = (key for key, _ in txn.scan("schedule_by_account", prefix))
    named = [(_KINDS[entry[len(prefix)]], entry[len(prefix) + 1 :].decode()) for entry in islice(entries, limit)]
    return [job for kind, entity in named if (job := find_job(txn, platform, kind, entity)) is not None]


def jobs_of_kind(txn: Txn, platform: Platform, kind: JobKind) -> list[Job]:
    """All of them, for kinds of which there are few."""
    pairs = txn.scan("schedule", _state_key(platform, kind, ""))
    return [decode(Job, stored, "schedule", key) for key, stored in pairs]


def jobs_page(txn: Txn, platform: Platform, kind: JobKind, after: str, limit: int) -> tuple[list[Job], str | None]:
    """Those among the next ``limit`` jobs of a kind that can be read, leased ones included, in the order of their
    entities, from the start for ``""``; and where to go on, None at the end."""
    prefix = _state_key(platform, kind, "")
    start = _state_key(platform, kind, after) + b"\0" if after else prefix
    pairs = list(islice(txn.scan("schedule", prefix, start), limit))
    jobs = (txn.if_whole(partial(decode, Job, stored, "schedule", key)) for key, stored in pairs)
    last = pairs[-1][0][len(prefix) :].decode() if len(pairs) == limit else None
    return [job for job in jobs if job is not None], last


def content_pending(txn: Txn, account: AccountKey) -> bool:
    """Whether a listing or details of this account's content are still to be fetched."""
    return any(
        next(txn.scan("schedule_by_account", _account_prefix(account, kind)), None) is not None
        for kind in (JobKind.UPLOADS, JobKind.NEWS, JobKind.CONTENT)
    )


def _due(txn: Txn, platform: Platform, rule: PackRule, now: int, priorities: Collection[Priority]) -> list[Job]:
    """The first ``rule.size`` due jobs, over the priorities in order."""
    found: list[Job] = []
    for priority in sorted(priorities):
        queue = _queue(platform, rule.kind, priority)
        for key, _ in txn.scan("schedule_due", queue):
            if len(found) == rule.size or unpack_id(key[3:11]) > now:
                break
            job = _job_at(txn, key)
            found += [job] if job is not None else []
    return found


def _job_at(txn: Txn, due_key: bytes) -> Job | None:
    """None where it cannot be read."""
    state_key = due_key[:2] + due_key[11:]
    stored = txn.get("schedule", state_key)
    assert stored is not None, "a due entry without its job"
    return txn.if_whole(partial(decode, Job, stored, "schedule", state_key))


def _first_due_at(txn: Txn, queue: bytes, before: float) -> float:
    """When the first job that can be read is due, if it is before then: one that cannot stands there for ever."""
    for key, _ in txn.scan("schedule_due", queue):
        due_at = unpack_id(key[3:11])
        if due_at >= before:
            break
        if _job_at(txn, key) is not None:
            return due_at
    return math.inf


def _ready(
    txn: Txn, platform: Platform, rule: PackRule, now: float, pack: list[Job], *, flush: bool, bulk: bool
) -> list[Job]:
    """The pack, if it is full or may go as it is. Bulk rides along with what goes anyway."""
    if rule.alone and _leased(txn, platform, rule.kind, now):
        return []
    if not bulk and all(job.bulk for job in pack):
        return []
    return pack if len(pack) == rule.size or (flush and _ripe(pack, rule, now)) else []


def _leased(txn: Txn, platform: Platform, kind: JobKind, now: float) -> bool:
    return any(unpack_id(end) > now for _, end in txn.scan("leases", _state_key(platform, kind, "")))


def _ripe(pack: Sequence[Job], rule: PackRule, now: float) -> bool:
    """News of a known account waits for company like a visit does; first reads and orders do not."""
    return any(
        job.priority <= Priority.ON_DEMAND
        or (job.first and job.priority >= Priority.BACKFILL)
        or now - job.due_at >= rule.wait_seconds
        for job in pack
    )


def _write_job(txn: Txn, state_key: bytes, job: Job) -> None:
    txn.put("schedule", state_key, encode(job))
    txn.put("schedule_due", _due_key(job, job.due_at), b"")
    if job.account_key:
        txn.put("schedule_by_account", _account_index(job), b"")
    if job.first:
        txn.add(PENDING, 1)


def _replace(txn: Txn, state_key: bytes, old: Job, new: Job) -> bool:
    if new == old:
        return False
    txn.delete("schedule_due", _due_key(old, old.due_at))
    if old.first:
        txn.add(PENDING, -1)
    _write_job(txn, state_key, new)
    return True


def _index_time(txn: Txn, state_key: bytes, job: Job) -> int:
    """Under which time the job stands in the due index: its lease's end while leased, else its due time."""
    lease = txn.get("leases", state_key)
    return unpack_id(lease) if lease else job.due_at


def _queue(platform: Platform, kind: JobKind, priority: Priority) -> bytes:
    return bytes((_PLATFORMS.index(platform), _KINDS.index(kind), int(priority)))


def _due_key(job: Job, at: int) -> bytes:
    return _queue(job.platform, job.kind, job.priority) + pack_id(at) + job.entity.encode()


def _state_key(platform: Platform, kind: JobKind, entity: str) -> bytes:
    return bytes((_PLATFORMS.index(platform), _KINDS.index(kind))) + entity.encode()


def _account_prefix(account: AccountKey, kind: JobKind) -> bytes:
    return account.encode() + b"\0" + bytes((_KINDS.index(kind),))


def _account_index(job: Job) -> bytes:
    assert job.account_key is not None
    return _account_prefix(job.account_key, job.kind) + job.entity.encode()
