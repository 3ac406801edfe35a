"""Rules of `stores.checking` for what is to be done and what happened: jobs, work, budgets, subscriptions, labels, events."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from proto.ids import CreatorId, split_account_key
from proto.labelling import Labelling, Spend
from proto.records import AuditEvent, DeadLetter, Event, Job, Pause, TaskRecord, Tenant, WorkItem
from stores.checking_links import Row, Rule, has, missing, owner_of
from stores.codec import decode, pack_id, unpack_id
from stores.env import SCHEMA
from stores.erasure import _MARK, Mark
from stores.imports import _PIECE, Remembered
from stores.labels import get_labelling
from stores.schedule import _KINDS, _account_index, _due_key, _index_time, _state_key, find_job
from stores.subscriptions import Mode, Subscription, Tally
from stores.subscriptions import _due_key as _action_key
from stores.work import _key, _letter_id, decode_message

NUMBER_BYTES = 8


def _number(value: bytes) -> Iterator[str]:
    if len(value) != NUMBER_BYTES:
        yield f"is a number of {len(value)} bytes; expected {NUMBER_BYTES}"


def _schedule(row: Row) -> Iterator[str]:
    job = decode(Job, row.value)
    row.seen["first_jobs"] += job.first
    if _state_key(job.platform, job.kind, job.entity) != row.key:
        yield f"is of {job.platform.value} {job.kind.value} {job.entity}"
    yield from missing(row.txn, "schedule_due", _due_key(job, _index_time(row.txn, row.key, job)))
    if job.account_key:
        yield from missing(row.txn, "schedule_by_account", _account_index(job))


def _due(row: Row) -> Iterator[str]:
    state_key = row.key[:2] + row.key[11:]
    stored = row.txn.get("schedule", state_key)
    job = decode(Job, stored, "schedule", state_key) if stored else None
    if job is None or _due_key(job, _index_time(row.txn, state_key, job)) != row.key:
        yield "is the due time of a job that is not there, or due at another"


def _by_account(row: Row) -> Iterator[str]:
    account, _, rest = row.key.partition(b"\0")
    platform, _ = split_account_key(owner_of(account))
    job = find_job(row.txn, platform, _KINDS[rest[0]], rest[1:].decode())
    if job is None or not job.account_key or _account_index(job) != row.key:
        yield "is a job of the account's that is not there"


def _leases(row: Row) -> Iterator[str]:
    yield from _number(row.value)
    yield from missing(row.txn, "schedule", row.key)


def _pauses(row: Row) -> Iterator[str]:
    if decode(Pause, row.value).name.encode() != row.key:
        yield "is of something else"


def _tasks(row: Row) -> Iterator[str]:
    if decode(TaskRecord, row.value).number != unpack_id(row.key):
        yield "is another task"


def _ledger(row: Row) -> Iterator[str]:
    yield from _number(row.value)
    if row.key.decode().count(":") < 2:
        yield "names no platform, bucket and slot"


def _subscriptions(row: Row) -> Iterator[str]:
    one = decode(Subscription, row.value)
    row.seen["subscribed"] += one.mode is Mode.SUBSCRIBE
    if one.channel_id.encode() != row.key:
        yield f"is of {one.channel_id}"
    yield from missing(row.txn, "subscriptions_due", _action_key(one))
    if row.txn.get("subscription_by_token", one.token.encode()) != row.key:
        yield "is not found by its token"


def _subscriptions_due(row: Row) -> Iterator[str]:
    stored = row.txn.get("subscriptions", row.key[8:])
    if stored is None or _action_key(decode(Subscription, stored, "subscriptions", row.key[8:])) != row.key:
        yield "is due of a subscription that is not there, or due at another time"


def _by_token(row: Row) -> Iterator[str]:
    stored = row.txn.get("subscriptions", row.value)
    if stored is None or decode(Subscription, stored, "subscriptions", row.value).token.encode() != row.key:
        yield "leads to no subscription"


def _tally(row: Row) -> Iterator[str]:
    if pack_id(decode(Tally, row.value).hour_at) != row.key:
        yield "is of another hour"


def _work(row: Row) -> Iterator[str]:
    item = decode(WorkItem, row.value)
    message = decode_message(item.message)
    if _key(message) != row.key or message.revision != item.revision:
        yield f"holds a message of {message.stage.value} {message.entity}, revision {message.revision}"
    row.seen["revision"] = max(row.seen["revision"], item.revision)


def _dead_letters(row: Row) -> Iterator[str]:
    letter = decode(DeadLetter, row.value)
    if (
        _letter_id(letter.stage, letter.entity, letter.reason).encode() != row.key
        or letter.letter_id.encode() != row.key
    ):
        yield f"is letter {letter.letter_id} of {letter.stage} {letter.entity}"


def _labellings(row: Row) -> Iterator[str]:
    labelling = decode(Labelling, row.value)
    yield from missing(row.txn, "creators", row.key)
    if labelling.due_at:
        yield from missing(row.txn, "labellings_due", pack_id(labelling.due_at) + row.key)


def _labellings_due(row: Row) -> Iterator[str]:
    labelling = get_labelling(row.txn, CreatorId(unpack_id(row.key[8:])))
    if labelling is None or pack_id(labelling.due_at) != row.key[:8]:
        yield "is due of a creator that is not to be asked about then"


def _spend(row: Row) -> Iterator[str]:
    decode(Spend, row.value)
    if not row.key[8:].decode():
        yield "names no model"


def _tenants(row: Row) -> Iterator[str]:
    if decode(Tenant, row.value).tenant_id.encode() != row.key:
        yield "is another tenant"


def _audit(row: Row) -> Iterator[str]:
    row.seen["audit"] = max(row.seen["audit"], unpack_id(row.key))
    entry = decode(AuditEvent, row.value)
    if not has(row.txn, "tenants", entry.tenant_id.encode()):
        yield f"is of {entry.tenant_id}, who is no tenant"


def _events(row: Row) -> Iterator[str]:
    row.seen["events"] = max(row.seen["events"], unpack_id(row.key))
    decode(Event, row.value)
    yield from ()


def _meta(row: Row) -> Iterator[str]:
    if row.key.startswith(b"counter:") or row.key == SCHEMA:
        yield from _number(row.value)
    elif row.key.startswith(_MARK):
        msgspec.msgpack.decode(row.value, type=Mark)
    elif row.key.startswith(_PIECE):
        decode(Remembered, row.value)


RULES: dict[str, Rule] = {
    "schedule": _schedule,
    "schedule_due": _due,
    "schedule_by_account": _by_account,
    "leases": _leases,
    "ledger": _ledger,
    "pauses": _pauses,
    "tasks": _tasks,
    "subscriptions": _subscriptions,
    "subscriptions_due": _subscriptions_due,
    "subscription_by_token": _by_token,
    "push_tally": _tally,
    "work": _work,
    "dead_letters": _dead_letters,
    "labellings": _labellings,
    "labellings_due": _labellings_due,
    "llm_spend": _spend,
    "tenants": _tenants,
    "audit": _audit,
    "events": _events,
    "meta": _meta,
}
