"""How much is read of the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from stores.env import Txn


@contextmanager
def counted_reads() -> Iterator[Counter[str]]:
    """How many values of each database were looked up or walked over, in whatever thread."""
    counted: Counter[str] = Counter()
    get, scan = Txn.get, Txn.scan

    def counting_get(txn: Txn, database: str, key: bytes) -> bytes | None:
        counted[database] += 1
        return get(txn, database, key)

    def counting_scan(
        txn: Txn, database: str, prefix: bytes = b"", start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        counted[database] += 1  # to find where it begins
        for pair in scan(txn, database, prefix, start):
            counted[database] += 1
            yield pair

    with patch.object(Txn, "get", counting_get), patch.object(Txn, "scan", counting_scan):
        yield counted
