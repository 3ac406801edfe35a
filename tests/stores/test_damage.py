"""What LMDB says of damaged pages is said in the words of operators, wherever a transaction runs."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest

from proto.errors import StoreDamaged
from stores.damage import page_faults
from stores.env import Environment, Txn, look_into, look_on
from tests.flow.test_damaged_store import overwrite

WORDS = r"store: the store is damaged: restore a backup \(pokedexd restore\) into an empty folder \(.*MDB_"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data directory in whose store one database is damaged."""
    env = Environment(tmp_path / "data", map_size_bytes=1 << 26)
    env.write_now(lambda txn: txn.put("accounts", b"youtube:UC1", b"held by a page of its own"))
    env.write_now(lambda txn: txn.put("rows", b"row", b"sound"))
    env.close()
    assert page_faults(tmp_path / "data" / "store") == []
    overwrite(tmp_path / "data" / "store" / "data.mdb", b"held by a page of its own")
    assert page_faults(tmp_path / "data" / "store")
    return tmp_path / "data"


def broken(txn: Txn) -> bytes | None:
    return txn.get("accounts", b"youtube:UC1")


async def test_reads_and_writes_tell_of_damage_and_spare_what_is_sound(folder: Path) -> None:
    env = Environment(folder, map_size_bytes=1 << 26)
    with pytest.raises(StoreDamaged, match=WORDS):
        await env.read(broken)
    with pytest.raises(StoreDamaged, match=WORDS):
        await env.write(broken)
    with pytest.raises(StoreDamaged, match=WORDS):
        env.write_now(broken)
    with pytest.raises(StoreDamaged, match=WORDS), env.snapshot() as txn:
        list(txn.scan("accounts"))
    assert await env.read(lambda txn: txn.get("rows", b"row")) == b"sound"
    await env.write(lambda txn: txn.put("rows", b"row", b"still"))
    (folder / "copy").mkdir()
    with pytest.raises(StoreDamaged, match=r"the store is damaged: restore a backup"):
        env.copy_to(folder / "copy")
    env.close()


async def test_whoever_looks_from_outside_is_told_too(folder: Path) -> None:
    with pytest.raises(StoreDamaged, match=WORDS), look_into(folder, shared=False) as found:
        broken(found.txn)
    with pytest.raises(StoreDamaged, match=WORDS), look_on(folder) as onlooker:
        await onlooker.read(broken)


def test_what_is_wrong_with_a_change_is_no_damage(tmp_path: Path) -> None:
    env = Environment(tmp_path, map_size_bytes=1 << 26)
    with pytest.raises(lmdb.BadValsizeError):
        env.write_now(lambda txn: txn.put("accounts", b"x" * 600, b""))
    env.close()
