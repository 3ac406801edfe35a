"""Rules of `stores.checking` for what tenants note and ask: lists, hidden creators, the log of searches."""

from __future__ import annotations

from collections.abc import Iterator

from proto.records import ApiKey, CreatorList, ListStep, ListVisit, LoggedQuery, Note, SavedSearch, WebSession
from stores.checking_links import Row, Rule, has
from stores.codec import decode, unpack_id

ID_BYTES = 8
FEATURE_BYTES = 4
PLAIN_FEATURES = 4
"""Columns of ``features`` before those of the vector fields."""


def _keys(row: Row) -> Iterator[str]:
    key = decode(ApiKey, row.value)
    if key.key_hash.encode() != row.key:
        yield f"is key {key.key_id}"
    yield from _no_tenant(row, key.tenant_id)


def _sessions(row: Row) -> Iterator[str]:
    session = decode(WebSession, row.value)
    if session.session_hash.encode() != row.key:
        yield "is another session"
    yield from _no_tenant(row, session.tenant_id)


def _lists(row: Row) -> Iterator[str]:
    """Members may have been erased or merged since: ids are followed when they are read."""
    one = decode(CreatorList, row.value)
    if f"{one.tenant_id}\0{one.list_id}".encode() != row.key:
        yield f"is list {one.list_id} of {one.tenant_id}"
    yield from _no_tenant(row, one.tenant_id)


def _steps(row: Row) -> Iterator[str]:
    step = decode(ListStep, row.value)
    if unpack_id(row.key[-ID_BYTES:]) != step.version:
        yield f"is step {step.version}"
    yield from _no_list(row, row.key[: -ID_BYTES - 1])


def _visits(row: Row) -> Iterator[str]:
    decode(ListVisit, row.value)
    yield from _no_list(row, b"\0".join(row.key.split(b"\0", 2)[:2]))


def _notes(row: Row) -> Iterator[str]:
    note = decode(Note, row.value)
    if unpack_id(row.key[-ID_BYTES:]) != note.creator_id or row.key[: -ID_BYTES - 1].decode() != note.tenant_id:
        yield f"is of creator {note.creator_id}, by {note.tenant_id}"
    yield from _no_tenant(row, note.tenant_id)


def _searches(row: Row) -> Iterator[str]:
    one = decode(SavedSearch, row.value)
    if f"{one.tenant_id}\0{one.search_id}".encode() != row.key:
        yield f"is saved search {one.search_id} of {one.tenant_id}"
    yield from _no_tenant(row, one.tenant_id)


def _hidden(row: Row) -> Iterator[str]:
    tenant_id = row.key[: -ID_BYTES - 1].decode()
    unpack_id(row.key[-ID_BYTES:])
    unpack_id(row.value)
    yield from _no_tenant(row, tenant_id)


def _queries(row: Row) -> Iterator[str]:
    query = decode(LoggedQuery, row.value)
    row.seen["queries"] = max(row.seen["queries"], query.number)
    if unpack_id(row.key[-ID_BYTES:]) != query.number or row.key[: -ID_BYTES - 1].decode() != query.tenant_id:
        yield f"is search {query.number} of {query.tenant_id}"
    candidates = len(query.creator_ids) // ID_BYTES
    expected = candidates * (PLAIN_FEATURES + len(query.fields)) * FEATURE_BYTES
    if len(query.creator_ids) % ID_BYTES or len(query.features) != expected:
        yield f"has {len(query.features)} bytes of features for {candidates} candidates; expected {expected}"
    yield from _no_tenant(row, query.tenant_id)


def _no_tenant(row: Row, tenant_id: str) -> Iterator[str]:
    if not has(row.txn, "tenants", tenant_id.encode()):
        yield f"is of {tenant_id}, who is no tenant"


def _no_list(row: Row, key: bytes) -> Iterator[str]:
    if not has(row.txn, "lists", key):
        yield "is of a list that is not there"


RULES: dict[str, Rule] = {
    "keys": _keys,
    "sessions": _sessions,
    "lists": _lists,
    "list_steps": _steps,
    "list_visits": _visits,
    "hidden": _hidden,
    "notes": _notes,
    "saved_searches": _searches,
    "query_log": _queries,
}
