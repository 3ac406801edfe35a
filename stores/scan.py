"""Walking a store from a cursor: what a migration to another backend, a backup check or an audit stands on."""

from __future__ import annotations

from collections.abc import Sequence

from stores.env import Environment, Txn

Pair = tuple[bytes, bytes]


async def scan_tables(
    env: Environment, tables: Sequence[str], cursor: bytes, limit: int
) -> tuple[list[Pair], bytes | None]:
    """See `stores.ports.Scannable`. A key is the table's name, a zero byte and the key in that table."""
    return await env.read(lambda txn: _page(txn, tables, cursor, limit))


def _page(txn: Txn, tables: Sequence[str], cursor: bytes, limit: int) -> tuple[list[Pair], bytes | None]:
    at, _, after = cursor.partition(b"\0")
    pairs: list[Pair] = []
    for table in tables[tables.index(at.decode()) if at else 0 :]:
        name = table.encode()
        start = after + b"\0" if after and name == at else b""
        for key, value in txn.scan(table, start=start):
            if len(pairs) == limit:
                return pairs, pairs[-1][0]
            pairs.append((name + b"\0" + key, value))
    return pairs, None
