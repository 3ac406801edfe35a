"""Of whom a store holds anything at all: to find those in it who are not to be there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from proto.ids import AccountKey, Platform, split_account_key
from proto.records import CreatorAccount, Job, JobKind
from stores.belonging import Founder
from stores.codec import decode
from stores.env import Txn
from stores.erasure import MENTIONED_IN, _text

BY_ACCOUNT = (
    "account_vectors",
    "avatars",
    "avatars_due",
    "content_months",
    "former_by_account",
    "handle_history",
    "identity_backlog",
    "identity_decisions",
    "identity_facts",
    "identity_links",
    "identity_pairs",
    "metrics",
    "raw_by_account",
    "schedule_by_account",
)
"""Databases whose keys begin with an account's, followed by a zero byte or nothing."""
_NAME = re.compile(r"[\w-]+(?:\.[\w-]+)*")


class Trace(NamedTuple):
    """Somebody by the id, the handle or both; the other is empty."""

    platform: Platform
    user_id: str
    handle: str


def traces(txn: Txn) -> Iterator[Trace]:
    """Everybody whom a database is about, several times over."""
    for _, value in txn.scan("accounts"):
        account = decode(CreatorAccount, value)
        yield Trace(account.platform, account.platform_user_id, account.handle)
    for database in BY_ACCOUNT:
        for key in _owners(txn, database):
            platform, user_id = split_account_key(key)
            yield Trace(platform, user_id, "")
    for _, value in txn.scan("founders"):
        platform, user_id = split_account_key(decode(Founder, value).account_key)
        yield Trace(platform, user_id, "")
    for _, value in txn.scan("schedule"):
        yield from _of_job(decode(Job, value))
    for channel, _ in txn.scan("subscriptions"):
        yield Trace(Platform.YOUTUBE, channel.decode(), "")


def mentioned(txn: Txn) -> set[str]:
    """Every word of what happened and what failed that may be a name."""
    return {
        name for database in MENTIONED_IN for _, value in txn.scan(database) for name in _NAME.findall(_text(value))
    }


def _owners(txn: Txn, database: str) -> Iterator[AccountKey]:
    start = b""
    while (entry := next(txn.scan(database, start=start), None)) is not None:
        owner = entry[0].partition(b"\0")[0]
        yield AccountKey(owner.decode())
        start = owner + b"\1"


def _of_job(job: Job) -> Iterator[Trace]:
    if job.account_key:
        yield Trace(job.platform, split_account_key(job.account_key)[1], job.handle)
    elif job.kind is JobKind.LOOKUP:
        yield Trace(job.platform, "", job.entity.removeprefix("user/").lstrip("@"))
    else:
        yield Trace(job.platform, job.entity, job.handle)
