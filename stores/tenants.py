"""Who uses this daemon, and by which weights they search. Functions of a transaction."""

from __future__ import annotations

import msgspec

from proto.errors import NotFound
from proto.records import SearchWeights, Tenant
from stores.codec import decode, encode
from stores.env import Txn
from stores.ports import Weights


def tenants(txn: Txn) -> list[Tenant]:
    return [decode(Tenant, value) for _, value in txn.scan("tenants")]


def set_weights(txn: Txn, tenant_id: str, weights: Weights | None) -> None:
    """None: those of the settings. Raises NotFound."""
    stored = txn.get("tenants", tenant_id.encode())
    if stored is None:
        raise NotFound(f"no tenant {tenant_id!r}")
    kept = stored_weights(weights) if weights is not None else None
    tenant = msgspec.structs.replace(decode(Tenant, stored), search_weights=kept)
    txn.put("tenants", tenant_id.encode(), encode(tenant))


def stored_weights(weights: Weights) -> SearchWeights:
    return SearchWeights(
        keyword=weights.keyword, vector=weights.vector, quality=weights.quality, fields=dict(weights.fields)
    )


def weights_in(stored: SearchWeights) -> Weights:
    return Weights(keyword=stored.keyword, vector=stored.vector, quality=stored.quality, fields=dict(stored.fields))
