"""What an operator orders out of turn: accounts that are looked at next, and history that is fetched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec
import trio

from daemon.naming import MAX_ID_DIGITS, find_account
from daemon.tasks import Tell
from proto.api import Ordered
from proto.errors import Malformed, NotFound
from proto.ids import CreatorId
from proto.records import DEFAULT_TENANT, AuditEvent, CreatorAccount, Job, JobKind, Priority
from stores.audit import OPERATOR, append_audit
from stores.belonging import present_id
from stores.catalog import accounts_of
from stores.env import Environment, Txn
from stores.lists import find_list, lists_of, present_ids
from stores.schedule import find_job, put_job, settle_job

FOLDED = 500
"""Jobs put in one transaction."""
LOOK_SECONDS = 2.0
"""Between looks at how much of a backfill is done."""
WALK_ON = 1 << 40
"""Entries of a list of content that are walked whatever is known of them: all."""


def accounts_named(txn: Txn, text: str) -> list[CreatorAccount]:
    """By key, id, handle or URL, or all of a creator's by its id; empty for nobody known. Raises Malformed for what names
    none, and for a handle that several have."""
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) <= MAX_ID_DIGITS:
        creator_id = present_id(txn, CreatorId(int(text)))
        return accounts_of(txn, creator_id) if creator_id is not None else []
    account = find_account(txn, text)
    return [account] if account is not None else []


def accounts_listed(txn: Txn, text: str, tenant_id: str) -> list[CreatorAccount]:
    """As `accounts_named`, or of all creators in a tenant's list, by its name or id. Raises NotFound, naming the lists."""
    wrong = "is no known account"
    try:
        found = accounts_named(txn, text)
    except Malformed as error:
        found, wrong = [], str(error)
    if found:
        return found
    listed = find_list(txn, tenant_id, text)
    if listed is None:
        names = ", ".join(one.name for one in lists_of(txn, tenant_id)[:20]) or "none"
        raise NotFound(f"{text[:100]!r} is neither a known account nor a list of {tenant_id} ({wrong}); lists: {names}")
    return [account for one in present_ids(txn, listed.creator_ids) for account in accounts_of(txn, one)]


async def refresh(env: Environment, references: Sequence[str], now: float) -> list[Ordered]:
    """Each account is looked at next, before everything that is due; durable before it returns."""

    def change(txn: Txn) -> list[Ordered]:
        ordered = [one for reference in references for one in _refresh(txn, reference, int(now))]
        done = sum(one.ordered for one in ordered)
        append_audit(txn, _entry(now, "refresh", f"{done} of {len(ordered)} accounts"))
        return ordered

    return await env.write(change, synced=True)


def _refresh(txn: Txn, reference: str, now: int) -> list[Ordered]:
    try:
        accounts = accounts_named(txn, reference)
    except Malformed as error:
        return [Ordered(account=reference, ordered=False, detail=str(error))]
    if not accounts:
        return [Ordered(account=reference, ordered=False, detail="not known: import it first")]
    return [_ordered(txn, account, _job(account, JobKind.PROFILE, Priority.ON_DEMAND, now)) for account in accounts]


def _ordered(txn: Txn, account: CreatorAccount, job: Job) -> Ordered:
    changed = put_job(txn, job)
    return Ordered(account=account.key, ordered=True, detail="" if changed else "on its way already")


class Backfills:
    """History of accounts, fetched with the budget's share for history and as far back as the settings say."""

    def __init__(self, env: Environment, *, now: Callable[[], float]) -> None:
        self._env, self._now = env, now

    async def find(self, target: str, tenant_id: str) -> list[CreatorAccount]:
        """Raises NotFound."""
        found = await self._env.read(partial(accounts_listed, text=target, tenant_id=tenant_id))
        if not found:
            raise NotFound(f"the list {target[:100]!r} has no account to ask for")
        return found

    async def run(self, accounts: Sequence[CreatorAccount], added: list[Job], tell: Tell) -> None:
        """Puts the jobs, and watches until the last is answered. ``added`` is given those that did not stand before."""
        jobs = [
            msgspec.structs.replace(
                _job(one, JobKind.BACKFILL, Priority.BACKFILL, int(self._now())), first=True, walked=WALK_ON
            )
            for one in accounts
        ]
        tell(0, len(jobs))
        for begin in range(0, len(jobs), FOLDED):
            added += await self._env.write(partial(_put_all, jobs=jobs[begin : begin + FOLDED]))
        left = jobs
        while left:
            await trio.sleep(LOOK_SECONDS)
            left = await self._env.read(partial(_waiting, jobs=left))
            tell(len(jobs) - len(left), len(jobs))

    async def take_back(self, jobs: Sequence[Job]) -> None:
        """What is under way is finished. Raises DiskFull rather than wait for room."""
        for begin in range(0, len(jobs), FOLDED):
            await self._env.write(partial(_drop_all, jobs=jobs[begin : begin + FOLDED]), synced=True)

    async def note(self, accounts: int) -> None:
        await self._env.write(
            lambda txn: append_audit(txn, _entry(self._now(), "backfill", f"{accounts} accounts")), synced=True
        )


def _put_all(txn: Txn, jobs: Sequence[Job]) -> list[Job]:
    """Returns those that did not stand before: the walk of a new account's history, say, is not this order's."""
    before = {job.account_key for job in _waiting(txn, jobs)}
    for job in jobs:
        put_job(txn, job)
    return [job for job in jobs if job.account_key not in before]


def _waiting(txn: Txn, jobs: Sequence[Job]) -> list[Job]:
    return [job for job in jobs if find_job(txn, job.platform, job.kind, job.entity) is not None]


def _drop_all(txn: Txn, jobs: Sequence[Job]) -> None:
    for job in jobs:
        settle_job(txn, job, None)


def _job(account: CreatorAccount, kind: JobKind, priority: Priority, now: int) -> Job:
    return Job(
        platform=account.platform,
        kind=kind,
        entity=account.platform_user_id,
        account_key=account.key,
        priority=priority,
        due_at=now,
        first=False,
        handle=account.handle,
    )


def _entry(now: float, action: str, detail: str) -> AuditEvent:
    return AuditEvent(at=int(now), tenant_id=DEFAULT_TENANT, actor=OPERATOR.actor, action=action, detail=detail)
