"""Backups of a daemon at work, and what a restore makes of them: the same state, and never somebody who was forgotten."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stores.checking import RULES, find_faults
from stores.codec import SCHEMA_VERSION, pack_id
from stores.env import COPYING, DATABASES, SCHEMA, Environment, Txn
from tests.flow.processes import (
    COMMAND,
    ROOT,
    Daemon,
    Simulator,
    environment,
    import_world,
    run_cli,
    simulator,
)
from tests.flow.test_forgetting import account_of, drop_lists, files_holding, import_again

CREATORS = 30
MAP_BYTES = 1 << 30


class Lived(msgspec.Struct, kw_only=True):
    """A store whose daemon was killed, the backup made before somebody was forgotten, and who that was."""

    env: dict[str, str]
    ids: list[str]
    data: Path
    older: Path
    newer: Path
    gone: dict[str, Any]
    creators: int


@pytest.fixture(scope="module")
def world() -> Iterator[Simulator]:
    with simulator("--creators", str(CREATORS), "--seed", "11") as running:
        yield running


@pytest.fixture(scope="module")
def lived(world: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    folder = tmp_path_factory.mktemp("lived")
    env, data = environment(world), folder / "data"
    ids = import_world(world, data, env)
    drop_lists(folder)
    older, newer = folder / "older.backup", folder / "newer.backup"
    with Daemon(data, env) as daemon:
        creators = daemon.wait_until_done()["counts"]["creators"]
        gone = account_of(daemon, ids[3])
        assert backed_up(older, data, env)["manifest"]["counts"]["creators"] == creators
        done = run_cli("forget", ids[3], "--data-dir", str(data), env=env)
        assert done.returncode == 0, done.stderr
        backed_up(newer, data, env)
        daemon.kill()
    return Lived(env=env, ids=ids, data=data, older=older, newer=newer, gone=gone, creators=creators)


def backed_up(file: Path, data: Path, env: dict[str, str]) -> dict[str, Any]:
    done = run_cli("backup", str(file), "--data-dir", str(data), "--json", env=env)
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    assert made["size"] == file.stat().st_size
    assert file.stat().st_mode & 0o777 == 0o600
    return made


def verified(file: Path) -> dict[str, Any]:
    done = run_cli("verify", str(file), "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    examined: dict[str, Any] = json.loads(done.stdout)
    return examined


def journal_of(data: Path) -> Path:
    return data.with_name(data.name + ".suppression")


def opened(data: Path) -> Environment:
    return Environment(data, map_size_bytes=MAP_BYTES)


def test_a_backup_during_ingestion_is_whole_and_leads_to_the_same_end(tmp_path: Path) -> None:
    with simulator("--creators", "15", "--seed", "5", "--faults", '{"latency_seconds": 0.1}') as slow:
        env, data, file = environment(slow), tmp_path / "data", tmp_path / "one.backup"
        ids = import_world(slow, data, env)
        with Daemon(data, env) as daemon:
            while not daemon.get("/readyz").json()["counts"]["accounts"]:
                pass
            made = backed_up(file, data, env)
            daemon.kill()
        examined = verified(file)
        assert examined["manifest"] == made["manifest"]
        shutil.rmtree(data)
        done = run_cli("restore", str(file), "--data-dir", str(data), env=env)
        assert done.returncode == 0, done.stderr
        with Daemon(data, env) as daemon:
            assert daemon.wait_until_done()["counts"]["accounts"] >= len(ids)
            assert all(daemon.search(one) for one in ids[:3])
            assert daemon.terminate() == 0


def test_who_was_forgotten_stays_so_after_the_restore_of_an_older_backup(lived: Lived, tmp_path: Path) -> None:
    journal, data = journal_of(lived.data), tmp_path / "data"
    done = run_cli(
        "restore", str(lived.older), "--data-dir", str(data), "--suppression-file", str(journal), env=lived.env
    )
    assert done.returncode == 0, done.stderr
    assert "who asked to be forgotten was erased again; accounts: 1" in done.stdout
    names = (lived.ids[3], lived.gone["handle"])
    assert files_holding(tmp_path, *names) == []
    assert journal_of(data).read_bytes() == journal.read_bytes()
    with Daemon(data, lived.env) as daemon:
        assert daemon.wait_until_done()["counts"]["creators"] == lived.creators - 1
        assert daemon.get(f"/v1/creators/{lived.gone['creator_id']}").status_code == 404
        assert import_again(tmp_path, data, lived.env, lived.ids[3], f"@{lived.gone['handle']}") == ["forgotten"] * 2
        assert daemon.wait_until_done()["counts"]["creators"] == lived.creators - 1
        assert daemon.terminate() == 0
    assert files_holding(tmp_path, *names) == []


def test_a_drill_leaves_nothing(lived: Lived, tmp_path: Path) -> None:
    env = lived.env | {"TMPDIR": str(tmp_path)}
    done = run_cli("restore", str(lived.older), "--drill", "--data-dir", str(lived.data), env=env)
    assert done.returncode == 0, done.stderr
    assert "who asked to be forgotten was erased again; accounts: 1" in done.stdout
    assert list(tmp_path.glob("pokedexd*")) == []


AT_WORK = """
import signal, sys
import daemon.cli as cli

def examine(file, folder, **_):
    (folder / "unpacked").touch()
    print("at work", flush=True)
    signal.pause()

cli.examine = examine
sys.argv = ["pokedexd", "verify", "some.backup"]
cli.main()
"""


def test_a_look_that_is_ended_leaves_nothing_either(tmp_path: Path) -> None:
    """What it unpacks is as large as the store."""
    env = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", AT_WORK], cwd=ROOT, env=env, stdout=subprocess.PIPE) as looking:
        assert looking.stdout is not None
        assert looking.stdout.readline() == b"at work\n"
        assert list(tmp_path.glob("pokedexd-verify-*/unpacked"))
        looking.terminate()
        assert looking.wait(60) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_a_restore_asks_who_was_forgotten(lived: Lived, tmp_path: Path) -> None:
    command = ("restore", str(lived.newer), "--data-dir", str(tmp_path / "new"))
    refused = run_cli(*command, env=lived.env)
    assert refused.returncode == 1
    assert "--suppression-file FILE" in refused.stderr
    assert not (tmp_path / "new").exists()
    done = run_cli(*command, "--without-suppression", env=lived.env)
    assert done.returncode == 0, done.stderr


def test_a_newer_schema_is_not_served(lived: Lived, tmp_path: Path) -> None:
    env = opened(tmp_path / "data")
    env.write_now(lambda txn: txn.put("meta", SCHEMA, pack_id(SCHEMA_VERSION + 1)))
    env.close()
    done = run_cli("serve", "--data-dir", str(tmp_path / "data"), "--port", "0", env=lived.env)
    assert done.returncode == 1
    assert f"schema version {SCHEMA_VERSION + 1}" in done.stderr


def test_a_damaged_backup_is_said_to_be(lived: Lived, tmp_path: Path) -> None:
    data = bytearray(lived.newer.read_bytes())
    data[len(data) // 2] ^= 4
    damaged = tmp_path / "damaged.backup"
    damaged.write_bytes(data)
    done = run_cli("verify", str(damaged))
    assert done.returncode == 1
    assert "is damaged" in done.stderr


def limit_files() -> None:
    """Of which the copy of the store is the first that does not fit."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_without_room_there_is_a_clear_error_and_nothing_is_left(lived: Lived, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(lived.data / "store", data / "store")
    command = [*COMMAND, "backup", str(tmp_path / "one.backup"), "--data-dir", str(data)]
    done = subprocess.run(
        command, cwd=ROOT, env=lived.env, capture_output=True, text=True, timeout=120, preexec_fn=limit_files
    )
    assert done.returncode == 1
    assert "cannot be made: " in done.stderr
    assert "nothing of it is left" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    assert not (data / COPYING).exists()
    backed_up(tmp_path / "one.backup", data, lived.env)
    assert run_cli("backup", str(tmp_path / "one.backup"), "--data-dir", str(data), env=lived.env).returncode == 1


def test_no_secret_is_in_it(lived: Lived, tmp_path: Path) -> None:
    done = subprocess.run(
        ["tar", "--zstd", "-xf", str(lived.newer), "-C", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["data.mdb", "manifest.json", "pokedexd.toml", "store"]
    tokens = json.loads(lived.env["POKEDEXD_PLATFORMS__INSTAGRAM__TOKENS"])
    secrets = [lived.env["POKEDEXD_PLATFORMS__YOUTUBE__KEY"], *(token["access_token"] for token in tokens)]
    assert files_holding(tmp_path, *secrets) == []
    assert files_holding(tmp_path, "general_units_per_day") == ["pokedexd.toml"]
    checked = run_cli("config", "check", "--config", str(tmp_path / "pokedexd.toml"), env=lived.env)
    assert checked.returncode == 0, checked.stderr


@pytest.fixture
def store(lived: Lived, tmp_path: Path) -> Iterator[Environment]:
    shutil.copytree(lived.data / "store", tmp_path / "data" / "store")
    env = opened(tmp_path / "data")
    yield env
    env.close()


def faults(txn: Txn) -> list[str]:
    return [fault.database for fault in find_faults(txn, {}, lambda *_: None)]


class Undo(Exception):
    """Takes a change back."""


UNLINKED = {"ledger", "metrics", "push_tally", "dead_letters", "llm_spend", "audit", "events", "handle_history", "meta"}
UNLINKED |= {"account_by_handle", "account_vectors", "embeddings", "identity_links", "identity_decisions", "labellings"}
UNLINKED |= {"avatars", "avatars_due", "founders", "lists", "hidden", "query_log", "pauses", "tasks"}
"""Databases of which nothing else says which rows are there."""


def test_every_database_has_a_rule() -> None:
    assert set(RULES) == set(DATABASES)


def test_what_is_wrong_with_a_row_is_found_in_whatever_database(store: Environment) -> None:
    """Of each database the first row: cut short, under another key, or taken out."""
    with store.snapshot() as txn:
        assert faults(txn) == []
        first = {name: pair for name in DATABASES if (pair := next(txn.scan(name), None)) is not None}
    assert len(first) > 25

    def damage(txn: Txn, name: str, how: str, found: list[list[str]]) -> None:
        key, value = first[name]
        txn.delete(name, key)
        if how == "cut":
            txn.put(name, key, value[:-1])
        elif how == "moved":
            txn.put(name, key[:-1] + bytes((key[-1] ^ 1,)), value)
        found.append(faults(txn))
        raise Undo

    missed = []
    for name, (_, value) in first.items():
        if name == "meta":  # settings by name, whose texts are what they are
            continue
        ways = ["cut"] * bool(value) + ["moved"] * (name not in ("ledger", "audit", "events", "handle_history"))
        for how in [*ways, *["gone"] * (name not in UNLINKED)]:
            found: list[list[str]] = []
            with pytest.raises(Undo):
                store.write_now(lambda txn, name=name, how=how, found=found: damage(txn, name, how, found))  # type: ignore[misc]
            missed += [] if found[0] else [(name, how)]
    assert missed == []


@pytest.mark.parametrize("counter", ["accounts", "creators", "content_items", "work_rows", "jobs_pending"])
def test_a_counter_that_is_off_is_found(store: Environment, counter: str) -> None:
    store.write_now(lambda txn: txn.add(counter, 1))
    with store.snapshot() as txn:
        (fault,) = find_faults(txn, {}, lambda *_: None)
    assert fault.key == f"counter:{counter}"


def test_rows_that_the_manifest_says_and_that_are_not_there_are_found(store: Environment) -> None:
    with store.snapshot() as txn:
        (fault,) = find_faults(txn, {"accounts": txn.entries("accounts") + 1}, lambda *_: None)
    assert (fault.database, fault.key) == ("accounts", "")
