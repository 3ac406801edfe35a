"""Forgetting somebody by the command, and what is left: nothing, after every way in which it could come back."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flow.processes import Daemon, Simulator, environment, import_world, run_cli, simulator

CREATORS = 40


@pytest.fixture(scope="module")
def world() -> Iterator[Simulator]:
    with simulator("--creators", str(CREATORS), "--seed", "11") as running:
        yield running


def account_of(daemon: Daemon, channel: str) -> dict[str, Any]:
    """The account behind a channel id, as search finds it."""
    hits = daemon.get("/v1/search", q=channel, limit=5).json()["hits"]
    for hit in hits:
        for account in hit["creator"]["accounts"]:
            if account["platform_user_id"] == channel:
                return {"creator_id": hit["creator"]["creator_id"], **account}
    raise AssertionError(f"{channel} is not found: {hits}")


def files_holding(folder: Path, *names: str) -> list[str]:
    wanted = [name.lower().encode() for name in names]
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(name in path.read_bytes().lower() for name in wanted)
    )


def drop_lists(folder: Path) -> None:
    """What the operator wrote is the operator's to remove."""
    for path in folder.glob("*.csv"):
        path.unlink()


def import_again(folder: Path, data: Path, env: dict[str, str], *references: str) -> list[str]:
    """The verdicts of an import that names these accounts."""
    listing = folder / "again.csv"
    listing.write_text("account\n" + "\n".join(references))
    done = run_cli("import", str(listing), "--data-dir", str(data), env=env)
    assert done.returncode == 0, done.stderr
    verdicts = folder / "again.csv.verdicts.csv"
    rows = list(csv.DictReader(verdicts.read_text(encoding="utf-8").splitlines()))
    drop_lists(folder)
    return [row["verdict"] for row in rows]


def test_a_forgotten_creator_is_gone_and_stays_gone(world: Simulator, tmp_path: Path) -> None:
    env, data = environment(world), tmp_path / "data"
    ids = import_world(world, data, env)
    drop_lists(tmp_path)
    with Daemon(data, env) as daemon:
        before = daemon.wait_until_done()
        gone = account_of(daemon, ids[3])
        assert files_holding(data, gone["handle"])
        done = run_cli("forget", f"@{gone['handle']}", "--data-dir", str(data), "--json", env=env)
        assert done.returncode == 0, done.stderr
        (report,) = json.loads(done.stdout)
        assert report["known"]
        assert report["suppressed"]
        assert report["creator_gone"]
        assert daemon.get(f"/v1/creators/{gone['creator_id']}").status_code == 404
        assert gone["creator_id"] not in {hit for hit, _ in daemon.search(gone["display_name"])}
        again = import_again(tmp_path, data, env, ids[3], f"@{gone['handle']}", f"youtube.com/channel/{ids[3]}")
        assert again == ["forgotten"] * 3
        assert daemon.wait_until_done()["counts"]["creators"] == before["counts"]["creators"] - 1
        assert daemon.terminate() == 0
    with Daemon(data, env) as daemon:
        after = daemon.wait_until_done()
        assert after["counts"]["creators"] == before["counts"]["creators"] - 1
        assert len(daemon.search(ids[4])) > 0
        assert daemon.terminate() == 0
    assert files_holding(data, ids[3], gone["handle"]) == []
    assert (tmp_path / "data.suppression").stat().st_mode & 0o777 == 0o600
    assert files_holding(tmp_path, ids[3], gone["handle"]) == []


def test_without_a_daemon_the_command_erases_at_once(world: Simulator, tmp_path: Path) -> None:
    env, data = environment(world), tmp_path / "data"
    ids = import_world(world, data, env)
    with Daemon(data, env) as daemon:
        daemon.wait_until_done()
        gone = account_of(daemon, ids[7])
        assert daemon.terminate() == 0
    done = run_cli("forget", f"youtube:{ids[7]}", "UC" + "z" * 21 + "A", "--data-dir", str(data), env=env)
    assert done.returncode == 0, done.stderr
    assert "erased" in done.stdout
    assert "nothing was held" in done.stdout
    assert files_holding(data, ids[7], gone["handle"]) == []
    with Daemon(data, env) as daemon:
        assert daemon.wait_until_done()["counts"]["creators"] == len(ids) - 1
        assert daemon.terminate() == 0


def test_a_page_that_is_on_its_way_when_its_account_is_forgotten_is_dropped(tmp_path: Path) -> None:
    """The fetch is under way while the erasure runs: what it brings is not taken in."""
    with simulator("--creators", "6", "--seed", "3", "--faults", '{"latency_seconds": 1.5}') as slow:
        env, data = environment(slow), tmp_path / "data"
        ids = import_world(slow, data, env)
        drop_lists(tmp_path)
        with Daemon(data, env) as daemon:
            while not slow.get("/_simulator/accounting")["served"].get("channels"):
                daemon.get("/healthz")
            done = run_cli("forget", ids[0], "--data-dir", str(data), env=env)
            assert done.returncode == 0, done.stderr
            assert daemon.wait_until_done()["counts"]["creators"] == len(ids) - 1
            assert daemon.terminate() == 0
        with Daemon(data, env) as daemon:
            daemon.wait_until_done()
            assert daemon.terminate() == 0
        assert files_holding(data, ids[0]) == []


@pytest.mark.parametrize("reference", ["", "https://example.org/x", "youtube:"])
def test_a_reference_that_names_nobody_is_refused_before_anything_is_done(
    world: Simulator, tmp_path: Path, reference: str
) -> None:
    env, data = environment(world), tmp_path / "data"
    import_world(world, data, env)
    done = run_cli("forget", reference, "--data-dir", str(data), env=env)
    assert done.returncode == 1
    assert "error" in done.stderr
