"""The doctor on real data directories, settings and platforms: each fault that is planted is named, with its remedy."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import trio

from daemon.backup import name_at
from daemon.config import load
from daemon.demo_note import DEMO_NOTE
from daemon.doctor import examine
from daemon.findings import Examination, Finding, Severity
from daemon.memory import unit_limit_bytes
from models.build import MODEL, TOKENIZER, Manifest, sha256_of
from proto.ids import CreatorId, Platform, Row
from stores.blocking import Blocking
from stores.codec import SCHEMA_VERSION, pack_id
from stores.env import SCHEMA, Environment
from stores.ledger import Budget, Ledger
from stores.ports import TextDocument
from stores.suppression import KNOWN
from stores.text_index import TantivyTextIndex
from stores.vectors import HnswVectorIndex
from tests.flow.processes import Daemon, Simulator, environment, run_cli, simulator
from tests.flow.test_damaged_store import overwrite
from tests.stores.test_migrations import RELEASED, unpacked

MAP_BYTES = 1 << 28
Plant = Callable[["Home"], object]


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with simulator("--creators", "3", "--seed", "2") as running:
        yield running


class Home:
    """A data directory as a stopped daemon leaves it, its settings, its model, its keys."""

    def __init__(self, folder: Path, sim: Simulator) -> None:
        self.folder, self.data = folder, folder / "data"
        unpacked(RELEASED[-1], self.data)
        os.chmod(self.data, 0o700)
        os.chmod(self.data / "store", 0o700)
        os.chmod(self.data / "store" / "data.mdb", 0o600)
        Environment(self.data, map_size_bytes=MAP_BYTES).close()
        self.key_file, self.tokens_file = folder / "youtube-key", folder / "tokens"
        self._write(self.key_file, "demo-key")
        self.set_token("graph-demo-1")
        self.backups = folder / "backups"
        self.backups.mkdir()
        self._write(self.backups / name_at(time.time() - 60), "")
        self.model = folder / "model"
        self.model.mkdir()
        for name in (MODEL, TOKENIZER):
            (self.model / name).write_bytes(name.encode())
        digests = {name: sha256_of(self.model / name) for name in (MODEL, TOKENIZER)}
        manifest = Manifest(model_id="m", dims=4, max_tokens=8, recipe=1, sha256=digests, built_from="")
        (self.model / "manifest.json").write_bytes(msgspec.json.encode(manifest))
        self.settings: dict[str, Any] = {
            "daemon.data_dir": str(self.data),
            "http.port": 0,
            "platforms.youtube.base_url": f"{sim.url}/youtube/v3",
            "platforms.youtube.key_file": str(self.key_file),
            "platforms.youtube.derived_data": "granted",
            "platforms.instagram.base_url": f"{sim.url}/graph/v25.0",
            "platforms.instagram.tokens_file": str(self.tokens_file),
            "llm.base_url": f"{sim.url}/llm/v1",
            "llm.model": "simulated-small",
            "llm.key": "demo-key",
            "model.kind": "onnx",
            "model.dir": str(self.model),
            "backup.folder": str(self.backups),
            "backup.every_hours": 24.0,
            "storage.disk_floor_mib": 1,
            "memory.ceiling": "512 MiB",
        }
        self.environ: dict[str, str] = {}
        self.now = time.time()
        trio.run(self._make_indexes)

    def set_token(self, access_token: str, **more: str) -> None:
        token = {"name": "a", "access_token": access_token, "ig_user_id": "17841499000000001"} | more
        self._write(self.tokens_file, json.dumps([token]))

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o600)

    async def _make_indexes(self) -> None:
        folder = self.data / "indexes"
        folder.mkdir(mode=0o700)
        text = await TantivyTextIndex.create_empty(folder, blocking=Blocking)
        document = TextDocument(
            row=Row(1),
            creator_id=CreatorId(1),
            name="Ana",
            handles=("ana",),
            bio="yoga",
            niche="",
            summary="",
            titles="",
        )
        await text.upsert([document])
        await text.commit(0)
        await text.close()
        graph = HnswVectorIndex.open(
            folder / "yt_bio.0.hnsw",
            field="yt_bio",
            dims=4,
            model_id="m",
            vectors=lambda: [(np.arange(4, dtype=np.uint32), np.eye(4, dtype=np.float32))],
            vectors_of=lambda rows: (rows[:0], np.zeros((0, 4), np.float32)),
            changed_since=lambda _: set(),
            sequence=0,
            exact_scan_below=10,
            ef=10,
            blocking=Blocking,
        )
        await graph.save(0)
        for path in folder.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)

    def write(self, table: str, key: bytes, value: bytes) -> None:
        env = Environment(self.data, map_size_bytes=MAP_BYTES)
        env.write_now(lambda txn: txn.put(table, key, value))
        env.close()

    def examine(self, *, offline: bool = False) -> Examination:
        return examine(lambda: load(None, self.environ, self.settings), {}, offline=offline, clock=lambda: self.now)


def wrong(found: Examination) -> list[Finding]:
    return [one for one in found.findings if one.severity is not Severity.NOTE]


def test_nothing_is_wrong_with_a_healthy_one(tmp_path: Path, sim: Simulator) -> None:
    home = Home(tmp_path, sim)
    called = sum(sim.get("/_simulator/accounting")["calls"].values())
    found = home.examine()
    assert wrong(found) == []
    assert found.exit_code == 0
    assert sum(sim.get("/_simulator/accounting")["calls"].values()) > called
    origins = [one.text for one in found.findings if one.check == "origin"]
    assert any(text.startswith("http.port = 0 (flag)") for text in origins)
    assert not any("demo-key" in text or "graph-demo" in text for text in origins)


async def spend(env: Environment, budget: Budget) -> None:
    await Ledger(env, [budget]).close(budget.platform, budget.bucket, time.time(), 3_600)


def _spend_all(home: Home) -> None:
    env = Environment(home.data, map_size_bytes=MAP_BYTES)
    trio.run(spend, env, Budget(platform=Platform.YOUTUBE, bucket="general", units=10_000))
    env.close()


def _damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def _damage_pages(home: Home) -> None:
    """Every page of records, as far as they name a platform."""
    overwrite(home.data / "store" / "data.mdb", b"youtube:UC")


def _leave_socket(home: Home) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(home.data / "admin.sock"))


def _cut_off(home: Home) -> None:
    path = home.data / "store" / "data.mdb"
    os.truncate(path, path.stat().st_size // 2)


def _say_nothing_of_derived_data(home: Home) -> None:
    home.settings.update({"platforms.youtube.key_file": "", "platforms.youtube.derived_data": ""})


def _age_backup(home: Home) -> None:
    for path in home.backups.iterdir():
        path.unlink()
    home._write(home.backups / name_at(time.time() - 20 * 86_400), "")


PLANTS: dict[str, tuple[Plant, str, Severity, str, str]] = {
    "disk is full": (
        lambda home: home.settings.update({"storage.disk_floor_mib": 1 << 40}), "disk", Severity.FAULT,
        "MiB are free", "make room",
    ),
    "others may read the store": (
        lambda home: os.chmod(home.data / "store" / "data.mdb", 0o644), "permissions", Severity.FAULT,
        "data.mdb can be read by others (mode 0644)", "chmod -R go=",
    ),
    "others may read the key": (
        lambda home: os.chmod(home.key_file, 0o640), "secrets", Severity.FAULT, "can be read by others", "chmod 0600",
    ),
    "the clock is behind the store": (
        lambda home: setattr(home, "now", home.now - 86_400 * 3), "clock", Severity.FAULT, "h in the future", "timedatectl",
    ),
    "the model's file is gone": (
        lambda home: (home.model / MODEL).unlink(), "model", Severity.FAULT, "is not there", "pokedexd model build",
    ),
    "the model's file is damaged": (
        lambda home: _damage(home.model / MODEL), "model", Severity.FAULT, "does not have the checksum", "model build",
    ),
    "the keyword index is damaged": (
        lambda home: _damage(next((home.data / "indexes").glob("text-*/*.store"))), "index", Severity.FAULT,
        "keyword index is damaged", "rebuilt from the store",
    ),
    "a vector index is damaged": (
        lambda home: _damage(home.data / "indexes" / "yt_bio.0.hnsw"), "index", Severity.FAULT,
        "checksum differs", "rebuilt from the store",
    ),
    "the key is refused": (
        lambda home: home._write(home.key_file, "AIzaWrongKey"), "keys", Severity.FAULT, "youtube key 1 of 1 is refused",
        "replace it",
    ),
    "the token is refused": (
        lambda home: home.set_token("revoked-token"), "keys", Severity.FAULT, "instagram token a is refused", "renew it",
    ),
    "the token has ended": (
        lambda home: home.set_token("graph-demo-1", expires_at="2026-01-01T00:00:00+00:00"), "keys", Severity.FAULT,
        "the token ended", "ask Meta",
    ),
    "there is no key": (
        lambda home: home.settings.update({"platforms.youtube.key_file": ""}), "keys", Severity.WARNING,
        "nothing is fetched from youtube", "give it one",
    ),
    "the language model does not answer": (
        lambda home: home.settings.update({"llm.base_url": "http://127.0.0.1:9/v1"}), "llm", Severity.FAULT,
        "does not answer", "start it",
    ),
    "the language model is not there": (
        lambda home: home.settings.update({"llm.model": "qwen-none"}), "llm", Severity.FAULT, "has no model 'qwen-none'",
        "correct llm's model",
    ),
    "the budget is spent": (_spend_all, "budget", Severity.WARNING, "youtube/general is spent", "comes back by itself"),
    "the schema is newer": (
        lambda home: home.write("meta", SCHEMA, pack_id(SCHEMA_VERSION + 1)), "schema", Severity.FAULT,
        f"schema version {SCHEMA_VERSION + 1}", "install the newer",
    ),
    "the schema is older": (
        lambda home: home.write("meta", SCHEMA, pack_id(SCHEMA_VERSION - 1)), "schema", Severity.WARNING,
        "of an older pokedexd", "pokedexd migrate",
    ),
    "a daemon left without being stopped": (
        _leave_socket, "stale_socket", Severity.WARNING, "ended without being stopped", "journalctl",
    ),
    "the store is cut off": (_cut_off, "store", Severity.FAULT, "the store is cut off", "pokedexd restore"),
    "pages of the store are damaged": (
        _damage_pages, "store", Severity.FAULT, "faults of its pages, such as", "restore a backup",
    ),
    "the store is something else": (
        lambda home: (home.data / "store" / "data.mdb").write_bytes(b"x" * 65_536), "store", Severity.FAULT,
        "the store is damaged", "restore a backup",
    ),
    "the backup is old": (_age_backup, "backup", Severity.WARNING, "20.0 days old", "pokedexd backup"),
    "a restore was cut short": (
        lambda home: (home.data / "restoring" / "store").mkdir(parents=True, mode=0o700), "restore", Severity.FAULT,
        "was not finished", "run the same pokedexd restore again",
    ),
    "the journal is in the data directory": (
        lambda home: home.settings.update({"daemon.suppression_file": str(home.data / "forgotten")}), "suppression",
        Severity.FAULT, "is in the data directory", "move it out",
    ),
    "the journal is gone": (
        lambda home: home.write("meta", KNOWN, b"0" * 32), "suppression", Severity.FAULT, "journal is not there",
        "pokedexd adopt-journal",
    ),
    "what may be derived is not said": (
        _say_nothing_of_derived_data, "derived_data", Severity.FAULT, "holds data derived of YouTube's",
        "set it to 'granted' to keep them",
    ),
    "the network would be let in without a key": (
        lambda home: home.settings.update({"http.host": "0.0.0.0"}), "address", Severity.FAULT, "there is no key",
        "pokedexd keys create",
    ),
    "a setting is unknown": (
        lambda home: home.environ.update({"POKEDEXD_HTPP__PORT": "1"}), "settings", Severity.FAULT,
        "POKEDEXD_HTPP__PORT", "config check",
    ),
    "the ceiling is above what there is": (
        lambda home: home.settings.update({"memory.ceiling": "900000 GiB"}), "memory", Severity.WARNING,
        "the machine has", "lower it",
    ),
    "the map is nearly full": (
        lambda home: home.settings.update({"storage.map_size_gib": 1}), "map", Severity.FAULT, "fills 96% of its map",
        "raise storage.map_size_gib",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_named_with_its_remedy(
    name: str, tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, check, severity, text, remedy = PLANTS[name]
    home = Home(tmp_path, sim)
    if check == "map":  # a store of a GiB takes too long to write
        monkeypatch.setattr("daemon.doctor_patient.Patient.map_bytes", _nearly_full(home.data))
    plant(home)
    found = home.examine()
    mine = [one for one in wrong(found) if one.check == check and text in one.text]
    assert mine, wrong(found)
    assert (mine[0].severity, remedy in mine[0].remedy) == (severity, True), mine
    assert found.exit_code == (2 if any(one.severity is Severity.FAULT for one in wrong(found)) else 1)
    assert all(one.remedy for one in wrong(found))


def _nearly_full(data: Path) -> int:
    return int((data / "store" / "data.mdb").stat().st_size / 0.96)


def test_offline_nobody_is_called(tmp_path: Path, sim: Simulator) -> None:
    home = Home(tmp_path, sim)
    home._write(home.key_file, "AIzaWrongKey")
    before = sim.get("/_simulator/accounting")["calls"]
    assert wrong(home.examine(offline=True)) == []
    assert sim.get("/_simulator/accounting")["calls"] == before


def test_a_demo_states_for_itself_what_may_be_derived(tmp_path: Path, sim: Simulator) -> None:
    home = Home(tmp_path, sim)
    _say_nothing_of_derived_data(home)
    assert any(one.check == "derived_data" for one in wrong(home.examine()))
    home._write(home.data / DEMO_NOTE, "{}")
    assert not any(one.check == "derived_data" for one in wrong(home.examine()))


def test_a_live_call_is_booked(tmp_path: Path, sim: Simulator) -> None:
    home = Home(tmp_path, sim)
    home.examine()
    env = Environment(home.data, map_size_bytes=MAP_BYTES)
    with env.snapshot() as txn:
        booked = [key for key, _ in txn.scan("ledger")]
    env.close()
    assert {key.decode().rpartition(":")[0] for key in booked} >= {"youtube:general", "instagram:token:a"}


def test_the_limit_of_a_unit_is_the_least_of_its_groups(tmp_path: Path) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text("0::/system.slice/pokedexd.service\n")
    unit = tmp_path / "sys/fs/cgroup/system.slice/pokedexd.service"
    unit.mkdir(parents=True)
    (unit / "memory.max").write_text("max\n")
    assert unit_limit_bytes(7, tmp_path) == 0
    (unit.parent / "memory.max").write_text("1000\n")
    assert unit_limit_bytes(7, tmp_path) == 1_000
    assert unit_limit_bytes(8, tmp_path) == 0


def test_a_running_daemon_speaks_for_itself_and_one_that_does_not_answer_is_named(
    tmp_path: Path, sim: Simulator
) -> None:
    """By the command: exit code and JSON."""
    home = Home(tmp_path, sim)
    env = environment(sim, STORAGE__DISK_FLOOR_MIB="1") | {"POKEDEXD_MODEL__KIND": "universal"}
    with Daemon(home.data, env) as daemon:
        daemon.wait_until_done()
        done = run_cli("doctor", "--json", "--data-dir", str(home.data), env=env)
        found = msgspec.json.decode(done.stdout, type=Examination)
        assert found.running
        assert done.returncode == found.exit_code
        assert [one for one in wrong(found) if one.severity is Severity.FAULT] == []
        hidden = env | {"POKEDEXD_ADMIN__SOCKET": str(tmp_path / "elsewhere.sock")}
        done = run_cli("doctor", "--offline", "--data-dir", str(home.data), env=hidden)
        assert done.returncode == 2
        assert f"process {daemon.process.pid} has {home.data}" in done.stdout
        assert daemon.terminate() == 0
