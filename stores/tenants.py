"""Who uses this daemon, and by which weights they search. Functions of a transaction."""

from __future__ import annotations

import re
from itertools import islice

import msgspec

from proto.errors import Conflict, Malformed, NotFound
from proto.records import DEFAULT_TENANT, SearchWeights, Tenant
from stores.codec import decode, encode
from stores.env import Txn
from stores.lists import CHANGES
from stores.ports import Weights

TENANT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
MAX_NAME_CHARS = 100
OWNED = ("lists", "list_steps", "list_visits", "hidden", "notes", "saved_searches", "query_log")
"""Databases whose keys begin with a tenant's id and a zero byte."""
PIECE = 1_000


def tenants(txn: Txn) -> list[Tenant]:
    """Those that are there."""
    return [one for one in _all(txn) if not one.removed_at]


def is_tenant(txn: Txn, tenant_id: str) -> bool:
    return any(one.tenant_id == tenant_id for one in tenants(txn))


def create_tenant(txn: Txn, tenant_id: str, name: str, now: int) -> Tenant:
    """Raises Malformed for an id that is none, Conflict for one that is or was somebody's."""
    if not TENANT_ID.fullmatch(tenant_id):
        raise Malformed(
            f"{tenant_id[:60]!r} is no id of a tenant: 1 to 40 small letters, digits, - and _, a letter or digit first"
        )
    if len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise Malformed(f"a tenant's name has {MAX_NAME_CHARS} printable characters at most")
    stored = txn.get("tenants", tenant_id.encode())
    if stored is not None:
        gone = ": it was removed, and the audit trail still has its id" if decode(Tenant, stored).removed_at else ""
        raise Conflict(f"there is a tenant {tenant_id!r} already{gone}")
    fresh = Tenant(tenant_id=tenant_id, name=name or tenant_id, created_at=now)
    txn.put("tenants", tenant_id.encode(), encode(fresh))
    return fresh


def remove_tenant(txn: Txn, tenant_id: str, now: int) -> Tenant:
    """Its keys and sessions go at once, what it noted by `drop_owned`. Raises NotFound, Conflict for the default one."""
    tenant = get_tenant(txn, tenant_id)
    if tenant_id == DEFAULT_TENANT:
        raise Conflict("the default tenant stays: whoever comes without a key belongs to it")
    gone = msgspec.structs.replace(tenant, removed_at=now, search_weights=None, name="")
    txn.put("tenants", tenant_id.encode(), encode(gone))
    return gone


def drop_owned(txn: Txn, tenant_id: str, limit: int = PIECE) -> int:
    """A piece of what a tenant that is gone left behind; 0 once there is nothing more."""
    dropped = 0
    for database in OWNED:
        keys = [key for key, _ in islice(txn.scan(database, tenant_id.encode() + b"\0"), limit - dropped)]
        for key in keys:
            txn.delete(database, key)
        dropped += len(keys)
    if dropped:
        txn.add(CHANGES + tenant_id)
    return dropped


def removed_tenants(txn: Txn) -> list[str]:
    return [one.tenant_id for one in _all(txn) if one.removed_at]


def get_tenant(txn: Txn, tenant_id: str) -> Tenant:
    """Raises NotFound, for one that is gone too."""
    tenant = _ever(txn, tenant_id)
    if tenant is None or tenant.removed_at:
        raise NotFound(_unknown(tenant_id))
    return tenant


def check_ever_tenant(txn: Txn, tenant_id: str) -> None:
    """Raises NotFound for who never was a tenant; of one that is gone the keys and the audit trail stay."""
    if tenant_id != DEFAULT_TENANT and _ever(txn, tenant_id) is None:
        raise NotFound(_unknown(tenant_id))


def set_weights(txn: Txn, tenant_id: str, weights: Weights | None) -> None:
    """None: those of the settings. Raises NotFound."""
    kept = stored_weights(weights) if weights is not None else None
    tenant = msgspec.structs.replace(get_tenant(txn, tenant_id), search_weights=kept)
    txn.put("tenants", tenant_id.encode(), encode(tenant))


def stored_weights(weights: Weights) -> SearchWeights:
    return SearchWeights(
        keyword=weights.keyword, vector=weights.vector, quality=weights.quality, fields=dict(weights.fields)
    )


def weights_in(stored: SearchWeights) -> Weights:
    return Weights(keyword=stored.keyword, vector=stored.vector, quality=stored.quality, fields=dict(stored.fields))


def _ever(txn: Txn, tenant_id: str) -> Tenant | None:
    stored = txn.get("tenants", tenant_id.encode(errors="replace")[:100]) if tenant_id else None
    return decode(Tenant, stored) if stored is not None else None


def _unknown(tenant_id: str) -> str:
    return f"no tenant {tenant_id[:60]!r}; `pokedexd tenants list` shows them"


def _all(txn: Txn) -> list[Tenant]:
    return [decode(Tenant, value) for _, value in txn.scan("tenants")]
