"""How much an account matters to the operator: more is read more often, little counts as long tail."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from daemon.naming import find_account
from proto.errors import Malformed
from proto.records import Job, JobKind, Priority
from stores.catalog import write_account
from stores.env import Environment, Txn
from stores.schedule import put_job

LEAST, MOST = 0.01, 100.0
FOLDED = 1_000
"""Accounts weighed in one transaction."""


class Weighed(msgspec.Struct, kw_only=True):
    """What became of one account. ``account``: its key, or the reference that names none."""

    account: str
    before: float | None
    importance: float | None
    detail: str = ""


def check_importance(importance: float) -> None:
    """Raises Malformed."""
    if not LEAST <= importance <= MOST:  # also what is no number
        raise Malformed(f"an importance of {importance:g}: expected {LEAST:g} to {MOST:g}; 1 is everybody's")


async def set_importance(env: Environment, references: Sequence[str], importance: float, now: float) -> list[Weighed]:
    """Each account is read soon and planned anew by what it matters now; durable before it returns.

    ``references``: keys, ids, handles or URLs of accounts that are known. Raises Malformed.
    """
    check_importance(importance)
    weighed: list[Weighed] = []
    for begin in range(0, len(references), FOLDED):
        part = references[begin : begin + FOLDED]
        change = partial(_set_all, references=part, importance=importance, now=int(now))
        weighed += await env.write(change, synced=True)
    return weighed


def _set_all(txn: Txn, references: Sequence[str], importance: float, now: int) -> list[Weighed]:
    return [_set(txn, reference, importance, now) for reference in references]


def _set(txn: Txn, reference: str, importance: float, now: int) -> Weighed:
    try:
        account = find_account(txn, reference)
    except Malformed as error:
        return Weighed(account=reference, before=None, importance=None, detail=str(error))
    if account is None:
        return Weighed(account=reference, before=None, importance=None, detail="not known: import it first")
    write_account(txn, msgspec.structs.replace(account, importance=importance, importance_stated=True))
    again = Job(
        platform=account.platform,
        kind=JobKind.PROFILE,
        entity=account.platform_user_id,
        account_key=account.key,
        priority=Priority.ON_DEMAND,
        due_at=now,
        first=False,
        handle=account.handle,
    )
    put_job(txn, again)
    return Weighed(account=account.key, before=account.importance, importance=importance)
