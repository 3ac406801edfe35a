"""Searches that a tenant keeps under a name. Functions of a transaction."""

from __future__ import annotations

import msgspec

from proto.errors import Conflict, Malformed, NotFound
from proto.records import SavedSearch
from stores.codec import decode, encode
from stores.edits import check_version
from stores.env import Txn

MAX_SEARCHES = 1_000
"""Of one tenant."""
MAX_NAME_CHARS = 100


def searches_of(txn: Txn, tenant_id: str) -> list[SavedSearch]:
    """By name."""
    found = [decode(SavedSearch, value) for _, value in txn.scan("saved_searches", _prefix(tenant_id))]
    return sorted(found, key=lambda one: (one.name.casefold(), one.search_id))


def get_search(txn: Txn, tenant_id: str, search_id: str) -> SavedSearch:
    """Raises NotFound."""
    stored = txn.get("saved_searches", _key(tenant_id, search_id))
    if stored is None:
        raise NotFound(f"no saved search {search_id}")
    return decode(SavedSearch, stored)


def create_search(txn: Txn, tenant_id: str, search_id: str, name: str, query: str, now: int) -> SavedSearch:
    """Raises Conflict for a name that is taken, Malformed for one that is none."""
    if len(searches_of(txn, tenant_id)) >= MAX_SEARCHES:
        raise Conflict(f"there are {MAX_SEARCHES} saved searches already; delete one first")
    fresh = SavedSearch(
        tenant_id=tenant_id,
        search_id=search_id,
        name=_free_name(txn, tenant_id, search_id, name),
        query=query,
        at=now,
        created_at=now,
    )
    txn.put("saved_searches", _key(tenant_id, search_id), encode(fresh))
    return fresh


def change_search(
    txn: Txn,
    tenant_id: str,
    search_id: str,
    *,
    version: int | None = None,
    name: str | None = None,
    query: str | None = None,
    now: int,
) -> SavedSearch:
    """Raises NotFound, Malformed, Conflict, and Stale where ``version`` is given and another than the search's."""
    old = get_search(txn, tenant_id, search_id)
    check_version("the saved search", old.version, version, old)
    fresh = msgspec.structs.replace(
        old,
        name=old.name if name is None else _free_name(txn, tenant_id, search_id, name),
        query=old.query if query is None else query,
    )
    if fresh == old:
        return old
    fresh = msgspec.structs.replace(fresh, version=old.version + 1, at=now)
    txn.put("saved_searches", _key(tenant_id, search_id), encode(fresh))
    return fresh


def delete_search(txn: Txn, tenant_id: str, search_id: str, version: int | None = None) -> SavedSearch:
    """What is gone. Raises as `change_search`."""
    old = get_search(txn, tenant_id, search_id)
    check_version("the saved search", old.version, version, old)
    txn.delete("saved_searches", _key(tenant_id, search_id))
    return old


def _free_name(txn: Txn, tenant_id: str, search_id: str, name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise Malformed(f"a saved search's name has 1 to {MAX_NAME_CHARS} printable characters")
    for one in searches_of(txn, tenant_id):
        if one.name.casefold() == name.casefold() and one.search_id != search_id:
            raise Conflict(f"there is a saved search {one.name!r} already: {one.search_id}")
    return name


def _prefix(tenant_id: str) -> bytes:
    return tenant_id.encode() + b"\0"


def _key(tenant_id: str, search_id: str) -> bytes:
    return _prefix(tenant_id) + search_id.encode(errors="replace")[:100]
