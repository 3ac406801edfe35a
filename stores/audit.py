"""The audit trail: records that each hold the hash of the one before, so that none is changed or taken out unnoticed.

A record's hash covers who did what when, and a keyed hash of the detail instead of the detail: where somebody is forgotten,
the name in a detail gives way to an alias and the key (a random salt) goes, while the chain still holds. What is too old is
dropped from the front; an anchor record in the chain says up to where, and with which hash it goes on.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from itertools import islice

import msgspec

from proto.errors import PokedexError
from proto.records import DEFAULT_TENANT, AuditEvent
from stores.codec import decode, encode, pack_id, unpack_id
from stores.env import Txn

AUDIT_NUMBER = "audit_number"
HEAD, ANCHOR = b"audit_head", b"audit_anchor"
"""Meta entries: the last record of the chain, and the last that is no longer there."""
BEGIN = "0" * 64
"""What the first record holds in place of a hash."""
SALT_BYTES = 16
ANCHORED = "anchor"
"""Action of a record that says what was dropped."""
ALIAS = re.compile(r"erased-(?P<alias>[0-9a-f]+)")
DROPPED_AT_ONCE = 5_000


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts, and of which tenant; by default whoever runs the daemon."""

    tenant_id: str = DEFAULT_TENANT
    actor: str = "operator"


OPERATOR = Actor()


class Link(msgspec.Struct, frozen=True, array_like=True):
    """A place in the chain."""

    number: int
    hash: str


class Verified(msgspec.Struct, kw_only=True, frozen=True):
    """What a look through the chain found."""

    records: int
    first: int
    last: int
    unchained: int
    """Older records, of a version that made no chain."""
    erased: int
    """Records in whose detail somebody was forgotten: that they say who did what when is certain, not the rest of it."""
    broken: int | None = None
    """The first record that does not hold."""
    problem: str = ""


def append_audit(txn: Txn, entry: AuditEvent) -> AuditEvent:
    """As it is stored: in the transaction of what it tells of."""
    number = txn.counter(AUDIT_NUMBER) + 1
    head = _link(txn, HEAD)
    if head is None:  # of a version that made no chain there may be records before
        head = Link(number - 1, BEGIN)
        _put_link(txn, ANCHOR, head)
    salt = secrets.token_hex(SALT_BYTES)
    fresh = msgspec.structs.replace(entry, previous=head.hash, salt=salt, detail_hash=_detail_hash(entry.detail, salt))
    txn.add(AUDIT_NUMBER)
    txn.put("audit", pack_id(number), encode(fresh))
    _put_link(txn, HEAD, Link(number, hash_of(number, fresh)))
    return fresh


def without_names(entry: AuditEvent, detail: str) -> AuditEvent:
    """The same record with somebody's name gone from its detail, and nothing left that the name could be guessed by.

    The actor is part of what is hashed: it never is a name that a platform knows.
    """
    return msgspec.structs.replace(entry, detail=detail, salt="") if detail != entry.detail else entry


def audit_after(txn: Txn, after: int, limit: int, tenant_id: str = "") -> list[tuple[int, AuditEvent]]:
    """Records behind a number, oldest first; of a tenant, or all."""
    pairs = (
        (unpack_id(key), decode(AuditEvent, value, "audit", key))
        for key, value in txn.scan("audit", start=pack_id(after + 1))
    )
    return list(islice((pair for pair in pairs if not tenant_id or pair[1].tenant_id == tenant_id), limit))


def latest_audit(txn: Txn, limit: int, tenant_id: str = "", among: int | None = None) -> list[tuple[int, AuditEvent]]:
    """The newest records, oldest first; of a tenant, those among so many newest of all."""
    found: list[tuple[int, AuditEvent]] = []
    newest = txn.counter(AUDIT_NUMBER)
    for number in range(newest, 0 if among is None else max(0, newest - among), -1):
        stored = txn.get("audit", pack_id(number))
        if stored is None or len(found) >= limit:
            break
        entry = decode(AuditEvent, stored)
        if not tenant_id or entry.tenant_id == tenant_id:
            found.append((number, entry))
    return found[::-1]


def drop_old_audit(txn: Txn, before: int, now: int) -> int:
    """Drops records of before an instant, `DROPPED_AT_ONCE` at most, and says so in the chain; returns how many."""
    old: list[int] = []
    for key, value in islice(txn.scan("audit"), DROPPED_AT_ONCE):
        if decode(AuditEvent, value, "audit", key).at >= before:
            break
        old.append(unpack_id(key))
    head = _link(txn, HEAD)
    old = [number for number in old if head is not None and number < head.number]  # the chain never ends
    if not old:
        return 0
    last = old[-1]
    stored = txn.get("audit", pack_id(last))
    entry = decode(AuditEvent, stored) if stored else None
    anchor = _link(txn, ANCHOR) or Link(0, BEGIN)
    if entry is not None and entry.previous:
        anchor = Link(last, hash_of(last, entry))
    for number in old:
        txn.delete("audit", pack_id(number))
    _put_link(txn, ANCHOR, anchor)
    detail = f"{len(old)} records up to {last} dropped; chain goes on behind {anchor.number} from {anchor.hash}"
    append_audit(txn, AuditEvent(at=now, tenant_id=DEFAULT_TENANT, actor="daemon", action=ANCHORED, detail=detail))
    return len(old)


def verify_audit(txn: Txn) -> Verified:
    """Reads the whole trail."""
    anchor, head = _link(txn, ANCHOR) or Link(0, BEGIN), _link(txn, HEAD)
    count = unchained = erased = first = last = 0
    link = anchor
    anchors: list[str] = []
    for number, entry in _records(txn):
        first, last = first or number, number
        count += 1
        if isinstance(entry, str):
            return _broken(count, first, number, unchained, erased, entry)
        if not entry.previous and (head is None or number <= anchor.number):  # of a version that made no chain
            unchained += 1
            continue
        problem = _problem(number, entry, link)
        if problem:
            return _broken(count, first, number, unchained, erased, problem)
        if not entry.salt:
            erased += 1
        if entry.action == ANCHORED:
            anchors.append(entry.detail)
        link = Link(number, hash_of(number, entry))
    if head is not None and link != head:
        problem = f"the trail ends here; record {head.number} was the last"
        return _broken(count, first, link.number + 1, unchained, erased, problem)
    if anchor.hash != BEGIN and not any(f"behind {anchor.number} from {anchor.hash}" in one for one in anchors):
        return _broken(
            count, first, anchor.number + 1, unchained, erased, "what was before is gone, and no record says so"
        )
    return Verified(records=count, first=first, last=last, unchained=unchained, erased=erased)


def hash_of(number: int, entry: AuditEvent) -> str:
    """SHA-256, in hexadecimal digits."""
    parts = (
        number,
        entry.previous,
        entry.at,
        entry.tenant_id,
        entry.actor,
        entry.action,
        entry.detail_hash,
        entry.request_id,
    )
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _problem(number: int, entry: AuditEvent, before: Link) -> str:
    """Empty for a record that holds."""
    if number != before.number + 1:
        return f"record {before.number + 1} is gone"
    if entry.previous != before.hash:
        return "does not hold the hash of the record before: one of both was changed"
    if entry.salt:
        if not hmac.compare_digest(_detail_hash(entry.detail, entry.salt), entry.detail_hash):
            return "its detail was changed"
    elif not ALIAS.search(entry.detail):
        return "its detail was changed: nobody who was forgotten stands in it, and it cannot be checked"
    return ""


def _records(txn: Txn) -> Iterator[tuple[int, AuditEvent | str]]:
    """What cannot be read as the words that say so."""
    for key, value in txn.scan("audit"):
        try:
            yield unpack_id(key), decode(AuditEvent, value)
        except PokedexError as error:
            yield unpack_id(key), str(error)


def _broken(count: int, first: int, number: int, unchained: int, erased: int, problem: str) -> Verified:
    return Verified(
        records=count, first=first, last=number, unchained=unchained, erased=erased, broken=number, problem=problem
    )


def _detail_hash(detail: str, salt: str) -> str:
    return hashlib.blake2b(detail.encode(errors="surrogatepass"), key=bytes.fromhex(salt), digest_size=32).hexdigest()


def _link(txn: Txn, name: bytes) -> Link | None:
    stored = txn.get("meta", name)
    return msgspec.msgpack.decode(stored, type=Link) if stored else None


def _put_link(txn: Txn, name: bytes, link: Link) -> None:
    txn.put("meta", name, msgspec.msgpack.encode(link))
