from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import zstandard

from daemon.config import load
from daemon.migrating import earlier_backups, migrate
from proto.errors import StoreBusy, Unavailable
from stores.backup_file import read_backup_file
from stores.checking import find_faults
from stores.codec import SCHEMA_VERSION, unpack_id
from stores.env import SCHEMA, Environment, lock_data_dir, stored_schema
from stores.migrations import MIGRATING, MIGRATIONS, migrate_store, pending
from tests.stores.crash_migration import STEPS, TARGET, content

RELEASED = sorted((Path(__file__).parent / "released").glob("*.tar.zst"))
"""The store of a small demo as each released schema wrote it."""
ROOT = Path(__file__).parents[2]
MAP_BYTES = 1 << 28
DEATHS = 20


def unpacked(file: Path, folder: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(zstandard.ZstdDecompressor().decompress(file.read_bytes()))) as archive:
        archive.extractall(folder)  # filters are not in every Python 3.11
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The newest of them."""
    return unpacked(RELEASED[-1], tmp_path / "data")


def test_each_released_schema_has_its_store_here() -> None:
    assert [int(file.name.split("-")[1]) for file in RELEASED] == list(range(1, SCHEMA_VERSION + 1))
    assert [one.to_version for one in MIGRATIONS] == list(range(2, SCHEMA_VERSION + 1))
    assert all(file.stat().st_size < 200_000 for file in RELEASED)


@pytest.mark.parametrize("file", RELEASED, ids=lambda file: file.name)
def test_a_store_of_every_release_opens_with_this_code(file: Path, tmp_path: Path) -> None:
    folder = unpacked(file, tmp_path / "data")
    migrate(load(None, {}, {}), folder)
    env = Environment(folder, map_size_bytes=MAP_BYTES)
    with env.snapshot() as txn:
        assert txn.entries("creators") == 10
        assert find_faults(txn, {}, lambda *_: None) == []
        assert unpack_id(txn.get("meta", SCHEMA) or b"") == SCHEMA_VERSION
    env.close()


def test_steps_are_taken_in_order_and_what_was_is_backed_up(data: Path) -> None:
    before = content(data)
    told: list[str] = []
    migrated = migrate(load(None, {}, {}), data, migrations=STEPS, target=TARGET, tell=told.append)
    assert migrated is not None
    assert (migrated.from_version, migrated.to_version) == (SCHEMA_VERSION, TARGET)
    assert told == ["backing up", "copying", *(step.text for step in STEPS)]
    after = content(data)
    assert after["creators"] == {key: value + b"\xc0" for key, value in before["creators"].items()}
    assert after["raw_by_account"] == {}
    assert stored_schema(data) == TARGET
    (backup,) = earlier_backups(data)
    (data.parent / "was").mkdir()
    manifest = read_backup_file(backup, data.parent / "was", lambda *_: None)
    assert manifest.schema_version == SCHEMA_VERSION
    assert content(data.parent / "was") == before
    assert migrate(load(None, {}, {}), data, migrations=STEPS, target=TARGET) is None


def test_a_store_of_an_older_schema_is_not_opened_as_it_is(data: Path) -> None:
    for _ in range(2):
        with pytest.raises(Unavailable, match=f"schema version {SCHEMA_VERSION}.*needs {TARGET}.*pokedexd migrate"):
            Environment(data, map_size_bytes=MAP_BYTES, schema_version=TARGET)


def test_a_newer_schema_and_one_that_nothing_leads_away_from_are_refused_with_the_reason(data: Path) -> None:
    with pytest.raises(Unavailable, match="version 2 is missing"):
        pending(data, STEPS[1:], TARGET)
    migrate_store(data, map_size_bytes=MAP_BYTES, backup=None, migrations=STEPS, target=TARGET)
    with pytest.raises(Unavailable, match=f"schema version {TARGET}, of a newer pokedexd"):
        migrate(load(None, {}, {}), data)


def test_nothing_is_migrated_under_a_running_daemon(data: Path) -> None:
    lock = lock_data_dir(data)
    with pytest.raises(StoreBusy):
        migrate_store(data, map_size_bytes=MAP_BYTES, backup=None, migrations=STEPS, target=TARGET)
    os.close(lock)


def test_an_empty_data_directory_has_nothing_to_migrate(tmp_path: Path) -> None:
    assert migrate(load(None, {}, {}), tmp_path) is None
    (tmp_path / MIGRATING).mkdir()
    Environment(tmp_path / "data", map_size_bytes=MAP_BYTES).close()
    assert stored_schema(tmp_path / "data") == SCHEMA_VERSION


def test_a_crash_at_any_write_leaves_the_old_store_or_the_new_one(data: Path, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    seed = 20_261
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.stores.crash_migration",
            str(data),
            str(tmp_path / "copies"),
            str(seed),
            str(DEATHS),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(done.stdout)  # with the seed
    deaths = found["deaths"]
    assert len(deaths) == DEATHS
    assert all(one["died"] and one["left"] in ("old", "new") and one["ended"] for one in deaths), deaths
    assert {one["left"] for one in deaths} == {"old", "new"}


def test_a_place_that_cannot_be_looked_at_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="the store cannot be opened"):
        pending(tmp_path / ("x" * 300))
