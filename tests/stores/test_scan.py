from __future__ import annotations

import pytest

from stores.catalog import Catalog
from stores.env import DATABASES, Environment, Txn
from stores.ports import Scannable
from stores.raw import RawStore
from stores.scan import scan_tables
from stores.schedule import Schedule
from stores.work import Work

STORES = (Catalog, Schedule, Work, RawStore)


def test_every_store_can_be_walked(env: Environment) -> None:
    stores: list[Scannable] = [kind(env) for kind in STORES]
    assert len(stores) == 4


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_a_walk_meets_every_pair_once_across_tables(env: Environment, limit: int) -> None:
    tables = ("work", "accounts", "creators")
    wanted = {(table, bytes([number, 0, number])) for table in ("work", "creators") for number in range(5)}

    def fill(txn: Txn) -> None:
        for table, key in wanted:
            txn.put(table, key, b"x")

    await env.write(fill)
    met: list[bytes] = []
    cursor: bytes | None = b""
    while cursor is not None:
        pairs, cursor = await scan_tables(env, tables, cursor, limit)
        assert len(pairs) <= limit
        met += [key for key, _ in pairs]
    assert len(met) == len(wanted)
    assert {(name.decode(), key) for name, _, key in (one.partition(b"\0") for one in met)} == wanted


def test_no_table_belongs_to_two_stores() -> None:
    from stores import catalog, raw, schedule, work

    owned = [table for module in (catalog, schedule, work, raw) for table in module.TABLES]
    assert len(owned) == len(set(owned))
    assert set(owned) <= set(DATABASES)
