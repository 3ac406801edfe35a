"""A store whose file is damaged: every command says so in one line, with the remedy, and none dies of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from proto.records import RawPage
from stores.env import Environment, Txn
from stores.raw import put_raw, seal
from tests.daemon.test_raw_export import ANA, page
from tests.flow.processes import run_cli

PAGE_BYTES = 4_096
COMMANDS = {
    "serve": ("serve", "--port", "0"),
    "migrate": ("migrate",),
    "export": ("export", "--creators", "OUT"),
    "backup": ("backup", "OUT"),
    "forget": ("forget", f"youtube:{ANA}"),
    "reprocess": ("reprocess",),
    "raw export": ("raw", "export", f"youtube:{ANA}"),
    "reindex": ("reindex",),
    "keys": ("keys", "list"),
}


def long(*commands: str) -> list[Any]:
    """A process each: the first of them will do where time is short."""
    return [pytest.param(command, marks=pytest.mark.long) for command in commands]


def store_in(folder: Path) -> Path:
    """The file of a small store."""
    env = Environment(folder, map_size_bytes=1 << 26)

    def fill(txn: Txn) -> None:
        for number in range(20):
            one: RawPage = page(os.urandom(20_000), at=1_790_000_000 + number)
            put_raw(txn, one, *seal(one))

    env.write_now(fill)
    env.write_now(lambda txn: txn.put("meta", b"last", b"x"))
    env.close()
    return folder / "store" / "data.mdb"


def overwrite(file: Path, holding: bytes) -> None:
    """The pages that hold these bytes hold others instead."""
    data = bytearray(file.read_bytes())
    starts = [at for at in range(2 * PAGE_BYTES, len(data), PAGE_BYTES) if holding in data[at : at + PAGE_BYTES]]
    assert starts
    for at in starts:
        data[at : at + PAGE_BYTES] = b"\xff" * PAGE_BYTES
    file.write_bytes(data)


def said(tmp_path: Path, command: str) -> str:
    """The only line of a command that is refused."""
    words = [str(tmp_path / "out") if word == "OUT" else word for word in COMMANDS[command]]
    done = run_cli(*words, "--data-dir", str(tmp_path / "data"))
    assert (done.returncode, done.stdout) == (1, ""), done
    (line,) = done.stderr.splitlines()
    assert f"{tmp_path / 'data' / 'store'}: " in line
    assert "restore a backup" in line
    assert not (tmp_path / "out").exists()
    return line


@pytest.mark.parametrize("command", ["serve", "migrate", *long("export", "raw export", "keys")])
def test_a_store_that_is_cut_off_is_refused(tmp_path: Path, command: str) -> None:
    file = store_in(tmp_path / "data")
    os.truncate(file, 3 * PAGE_BYTES)
    assert "the store is cut off" in said(tmp_path, command)


@pytest.mark.parametrize("command", ["serve", "keys", *long("export", "reindex")])
def test_a_store_whose_tree_is_damaged_is_refused(tmp_path: Path, command: str) -> None:
    overwrite(store_in(tmp_path / "data"), b"account_by_handle")  # where its databases begin
    assert "the store is damaged" in said(tmp_path, command)


@pytest.mark.parametrize("command", ["serve", "reprocess", *long("backup", "forget", "raw export")])
def test_damage_that_shows_while_it_is_read_is_one_line_too(tmp_path: Path, command: str) -> None:
    file = store_in(tmp_path / "data")
    env = Environment(tmp_path / "data", map_size_bytes=1 << 26)
    holding = b"held by a page of its own"
    for name in ("accounts", "raw_by_account", "tenants", "leases", "account_by_handle"):
        env.write_now(lambda txn, name=name: txn.put(name, b"zz" + holding, b"x"))  # type: ignore[misc]
    env.close()
    overwrite(file, holding)
    assert "the store is damaged" in said(tmp_path, command)
