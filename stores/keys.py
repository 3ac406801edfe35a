"""Keys of the API and sessions of browsers, of both of which only digests are kept. Functions of a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from proto.errors import Conflict, Malformed, NotFound
from proto.records import ApiKey, WebSession
from stores.codec import decode, encode
from stores.env import Txn
from stores.tenants import get_tenant

SCOPES = ("search", "lists", "export", "admin")
DEFAULT_SCOPES = ("search", "lists", "export")
ID_DIGITS = 12
"""Of the digest, by which people speak of a key."""
MAX_KEYS = 10_000
MAX_SESSIONS = 10_000
MAX_NAME_CHARS = 100
MAX_PER_MINUTE = 1_000_000
MAX_YEARS = 100
"""Of a key that ends."""


def keys_of(txn: Txn, tenant_id: str = "") -> list[ApiKey]:
    """Oldest first, revoked ones included; of a tenant, or all."""
    found = [decode(ApiKey, value) for _, value in txn.scan("keys")]
    return sorted(
        (one for one in found if not tenant_id or one.tenant_id == tenant_id),
        key=lambda one: (one.created_at, one.key_id),
    )


def create_key(
    txn: Txn,
    key_hash: str,
    tenant_id: str,
    *,
    name: str = "",
    scopes: Iterable[str] = DEFAULT_SCOPES,
    expires_at: int | None = None,
    requests_per_minute: int = 0,
    now: int,
) -> ApiKey:
    """Raises NotFound for a tenant that is none, Malformed for what no key has."""
    get_tenant(txn, tenant_id)
    wanted = list(dict.fromkeys(scopes))
    _check(wanted, name, expires_at, requests_per_minute, now)
    if txn.entries("keys") >= MAX_KEYS:
        raise Conflict(f"there are {MAX_KEYS} keys already")
    fresh = ApiKey(
        key_hash=key_hash,
        key_id=key_hash[:ID_DIGITS],
        tenant_id=tenant_id,
        scopes=[one for one in SCOPES if one in wanted],
        expires_at=expires_at,
        name=name,
        created_at=now,
        requests_per_minute=requests_per_minute,
    )
    txn.put("keys", key_hash.encode(), encode(fresh))
    return fresh


def revoke_key(txn: Txn, key_id: str, now: int) -> ApiKey:
    """It stays in the list, so that the daemon does not stand open again once the last one is revoked; its sessions go.

    Raises NotFound for what is no id or name of a key, Conflict for a name that several have.
    """
    every = keys_of(txn)
    found = [one for one in every if one.key_id == key_id] or [
        one for one in every if one.name == key_id and key_id and not one.revoked_at
    ]
    if not found:
        raise NotFound(f"no key {key_id!r}; `keys list` shows their ids")
    if len(found) > 1:
        raise Conflict(
            f"{len(found)} keys are named {key_id!r}; say which by its id: {', '.join(one.key_id for one in found)}"
        )
    (old,) = found
    if old.revoked_at:
        return old
    fresh = msgspec.structs.replace(old, revoked_at=now)
    txn.put("keys", old.key_hash.encode(), encode(fresh))
    drop_sessions(txn, [one for one in sessions_of(txn) if one.key_hash == old.key_hash])
    return fresh


def drop_access(txn: Txn, tenant_id: str, now: int) -> None:
    """No key or session of the tenant holds any more."""
    for key in keys_of(txn, tenant_id):
        revoke_key(txn, key.key_id, now)
    drop_sessions(txn, [one for one in sessions_of(txn) if one.tenant_id == tenant_id])


def note_use(txn: Txn, used: Mapping[str, int]) -> None:
    """When keys were last used, by their digests."""
    for key_hash, at in used.items():
        stored = txn.get("keys", key_hash.encode())
        if stored is not None:
            txn.put("keys", key_hash.encode(), encode(msgspec.structs.replace(decode(ApiKey, stored), last_used_at=at)))


def sessions_of(txn: Txn) -> list[WebSession]:
    return [decode(WebSession, value) for _, value in txn.scan("sessions")]


def put_session(txn: Txn, session: WebSession, now: int) -> None:
    """Those that have run out go meanwhile. Raises NotFound for a tenant that is gone, Conflict when there are too many."""
    get_tenant(txn, session.tenant_id)
    found = sessions_of(txn)
    over = [one for one in found if one.expires_at <= now]
    if len(found) - len(over) >= MAX_SESSIONS:
        raise Conflict(f"{MAX_SESSIONS} people have logged in already; log out somewhere else first")
    drop_sessions(txn, over)
    txn.put("sessions", session.session_hash.encode(), encode(session))


def drop_sessions(txn: Txn, sessions: Iterable[WebSession]) -> None:
    for one in sessions:
        txn.delete("sessions", one.session_hash.encode())


def _check(scopes: list[str], name: str, expires_at: int | None, requests_per_minute: int, now: int) -> None:
    strange = [one for one in scopes if one not in SCOPES]
    if strange or not scopes:
        said = f"not {strange[0][:40]!r}" if strange else "none is named"
        raise Malformed(f"scopes are some of {', '.join(SCOPES)}; {said}")
    if len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise Malformed(f"a key's name has {MAX_NAME_CHARS} printable characters at most")
    if expires_at is not None and expires_at <= now:
        raise Malformed("a key that has run out already is none; expected a time to come")
    if expires_at is not None and expires_at > now + MAX_YEARS * 365 * 86_400:
        raise Malformed(f"a key that ends does so within {MAX_YEARS} years; leave the end out for one that never does")
    if not 0 <= requests_per_minute <= MAX_PER_MINUTE:
        raise Malformed(f"requests a minute are 0 (no limit) to {MAX_PER_MINUTE:,}, not {requests_per_minute}")
