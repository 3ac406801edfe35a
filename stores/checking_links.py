"""What the rules of `stores.checking` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from proto.ids import AccountKey
from proto.records import EmbeddingRecord
from stores.codec import decode
from stores.env import Txn

Seen = Counter[str]
"""What was counted on the way, to be compared with the kept counters."""


class Row(NamedTuple):
    """What a rule looks at."""

    txn: Txn
    key: bytes
    value: bytes
    seen: Seen


Rule = Callable[[Row], Iterator[str]]
"""What is wrong with a row, nothing for a sound one. Raises where it cannot be read at all."""

FLOAT16_BYTES = 2


def has(txn: Txn, database: str, key: bytes) -> bool:
    return txn.get(database, key) is not None


def no_account(txn: Txn, key: bytes) -> Iterator[str]:
    if not has(txn, "accounts", key):
        yield f"belongs to {key.decode()}, which is no account"


def no_owner(txn: Txn, key: bytes) -> Iterator[str]:
    """Pages and content may come before the account that they are of, as long as something of it is under way."""
    if has(txn, "accounts", key) or _any(txn, "raw_by_account", key + b"\0"):
        return
    if not _any(txn, "schedule_by_account", key + b"\0"):
        yield f"belongs to {key.decode()}, which is no account and is not to be fetched"


def owner_of(key: bytes) -> AccountKey:
    """The account at the beginning of a key, up to a zero byte."""
    return AccountKey(key.partition(b"\0")[0].decode())


def vector_faults(value: bytes, field: bytes) -> Iterator[str]:
    """``field``: as the key has it."""
    record = decode(EmbeddingRecord, value)
    if len(record.vector) != record.dims * FLOAT16_BYTES:
        yield f"has {len(record.vector)} bytes for {record.dims} numbers"
    if record.field.encode() != field:
        yield f"is of {record.field}"


def missing(txn: Txn, database: str, key: bytes) -> Iterator[str]:
    """For a row that another must stand beside."""
    if not has(txn, database, key):
        yield f"has nothing in {database}"


def _any(txn: Txn, database: str, prefix: bytes) -> bool:
    return next(txn.scan(database, prefix), None) is not None
