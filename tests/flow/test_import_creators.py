"""Whole creators by the command: out of one daemon's store, into another's, and the same to whoever searches."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proto.ids import Row
from proto.records import Creator, EmbeddingRecord
from stores.catalog import vital_signs_of
from stores.checking import find_faults
from stores.codec import decode
from stores.env import Environment
from tests.flow.processes import Daemon, environment, run_cli, simulator, wait_for
from tests.flow.test_identity import import_everybody

CREATORS = 24
QUERIES = ("home workout", "receita fácil", "python tutorial", "travel vlog", "게임", "beauty")
MAP_BYTES = 1 << 30
Lines = list[dict[str, Any]]


class Lived(msgspec.Struct, kw_only=True):
    """A store that was filled by the stages, and what was exported of it while its daemon ran."""

    env: dict[str, str]
    data: Path
    file: Path
    results: dict[str, Any]
    counts: dict[str, int]

    @property
    def lines(self) -> Lines:
        return [json.loads(line) for line in self.file.read_text().splitlines()]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    folder = tmp_path_factory.mktemp("lived")
    data, file = folder / "data", folder / "creators.jsonl"
    with simulator("--creators", str(CREATORS), "--seed", "5") as world:
        env = environment(world)
        import_everybody(world, data, env)
        with Daemon(data, env) as daemon:
            counts = daemon.wait_until_done()["counts"]
            done = run_cli("export", "--creators", str(file), "--data-dir", str(data), env=env)
            assert done.returncode == 0, done.stderr
            assert f"{counts['creators']} creators" in done.stdout
            found = results(daemon)
            assert daemon.terminate() == 0
    yield Lived(env=env, data=data, file=file, results=found, counts=counts)


def results(daemon: Daemon) -> dict[str, Any]:
    """What a user sees of everybody, and of topics."""
    everybody = daemon.get("/v1/search", q="", limit=100).json()
    shown = {hit["creator"]["creator_id"]: hit["creator"] for hit in everybody["hits"]}
    assert len(shown) == everybody["total"]
    return {
        "shown": shown,
        "facets": daemon.get("/v1/search", q="", facets="niche,country,platform,language").json().get("facets"),
        "found": {text: daemon.search(text, limit=50) for text in QUERIES},
    }


def written(path: Path, lines: Lines) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def imported(file: Path, daemon: Daemon, env: dict[str, str]) -> str:
    """What the command says of a file, once the daemon has opened its indexes."""
    wait_for(lambda: not any(one["state"] == "loading" for one in dependencies(daemon)), "the indexes")
    done = run_cli("import", "--creators", str(file), "--data-dir", str(daemon.data_dir), env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dependencies(daemon: Daemon) -> list[dict[str, Any]]:
    return list(daemon.get("/readyz").json()["dependencies"].values())


def verdicts(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.with_name(file.name + ".verdicts.csv").read_text().splitlines()))


def stored(data: Path) -> dict[str, Any]:
    """Creators and their vectors, without what says when and in which order they came."""
    env = Environment(data, map_size_bytes=MAP_BYTES)
    try:
        with env.snapshot() as txn:
            creators = {key: decode(Creator, value) for key, value in txn.scan("creators")}
            assert not find_faults(txn, {}, lambda *_: None)
            assert txn.entries("identity_backlog") == txn.entries("work") == txn.entries("dead_letters") == 0
            vectors = {
                key: msgspec.structs.replace(decode(EmbeddingRecord, value), updated_at=0)
                for name in ("embeddings", "account_vectors")
                for key, value in txn.scan(name)
            }
        signs = {key: vital_signs_of(one) for key, one in creators.items()}
        return {
            "creators": {
                key: msgspec.structs.replace(one, row=Row(0), created_at=0, vital_signs=b"")
                for key, one in creators.items()
            },
            "signs": {key: one and one.overall for key, one in signs.items()},
            "vectors": vectors,
        }
    finally:
        env.close()


def sure(found: dict[str, Any]) -> dict[str, Any]:
    """As results would be where a person had said who is one person: so it is in a file."""
    return found | {"shown": {key: one | {"identity_confidence": 1.0} for key, one in found["shown"].items()}}


def test_what_was_exported_is_the_same_in_another_store(lived: Lived, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Daemon(data, lived.env) as daemon:
        assert f"{lived.counts['creators']} added" in imported(lived.file, daemon, lived.env)
        assert verdicts(lived.file) == []
        assert daemon.wait_until_done()["counts"] == lived.counts
        assert results(daemon) == sure(lived.results)

        assert f"{lived.counts['creators']} known" in imported(lived.file, daemon, lived.env)
        assert daemon.get("/readyz").json()["counts"] == lived.counts, "known creators were work"
        assert results(daemon) == sure(lived.results)
        assert daemon.terminate() == 0
    theirs = stored(lived.data)
    assert any(one.identity_confidence < 1 for one in theirs["creators"].values())
    for one in theirs["creators"].values():
        one.identity_confidence = 1.0
    assert stored(data) == theirs
