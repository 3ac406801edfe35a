"""What is made of YouTube's data follows the grant, and what is too old is gone, as a user sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proto.ids import RawId
from stores.env import DATABASES, Environment
from stores.ranking import UNKNOWN
from stores.raw import get_raw
from tests.flow.processes import Daemon, Simulator, environment, import_world, run_cli, simulator

GRANT = "PLATFORMS__YOUTUBE__DERIVED_DATA"
OURS = ("audit", "query_log")
WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def world() -> Iterator[Simulator]:
    with simulator("--creators", "30", "--seed", "5") as running:
        yield running


def derived_of(data_dir: Path) -> tuple[int, int]:
    """How many vectors and how many labels the store holds."""
    env = Environment(data_dir, map_size_bytes=64 << 30)
    try:
        with env.snapshot() as txn:
            vectors = sum(1 for name in ("embeddings", "account_vectors") for _ in txn.scan(name))
            labels = sum(b"universal" in value for _, value in txn.scan("creators"))
        return vectors, labels
    finally:
        env.close()


def run_once(data: Path, env: dict[str, str]) -> list[tuple[str, float]]:
    """Starts a daemon, lets it do what there is to do, and asks it something."""
    with Daemon(data, env) as daemon:
        daemon.wait_until_done()
        found = daemon.search("cooking recipes")
        assert daemon.terminate() == 0
    return found


def test_without_the_grant_nothing_is_derived_and_with_it_everything_again(world: Simulator, tmp_path: Path) -> None:
    data = tmp_path / "data"
    denied, granted = environment(world, **{GRANT: "denied"}), environment(world, **{GRANT: "granted"})
    ids = import_world(world, data, denied)
    with Daemon(data, denied) as daemon:
        ready = daemon.wait_until_done()
        assert ready["counts"]["creators"] == len(ids)
        assert ready["counts"]["content_items"] > 0
        hit = daemon.get("/v1/search", q=ids[0], limit=1).json()["hits"][0]["creator"]
        assert (hit["primary_niche"], hit["llm_summary"], hit["engagement_rate"]) == (None, "", None)
        shown = daemon.get(f"/v1/creators/{hit['creator_id']}").json()
        assert {sign["why"] for sign in shown["vital_signs"]["by_platform"]["youtube"].values()} == {"not permitted"}
        assert shown["embeddings"] == {}
        assert shown["vital_signs"]["overall"]["engagement_percentile"]["tier"] is None
        assert {hit["explanation"]["contributions"][1]["value"] for hit in hits_of(daemon, "")} == {UNKNOWN}
        assert daemon.terminate() == 0
    assert derived_of(data) == (0, 0)
    with Daemon(data, granted) as daemon:
        daemon.wait_until_done()
        shown = daemon.get(f"/v1/creators/{hit['creator_id']}").json()
        assert shown["vital_signs"]["by_platform"]["youtube"]["posts_per_week"]["value"] > 0
        assert shown["vital_signs"]["provenance"]["source"] == "derived"
        assert shown["embeddings"]["yt_bio"]["updated_at"] == shown["vital_signs"]["computed_at"]
        assert daemon.terminate() == 0
    vectors, labels = derived_of(data)
    assert vectors >= 2 * len(ids)
    assert labels == len(ids)
    run_once(data, denied)
    assert derived_of(data) == (0, 0)


def test_what_was_derived_is_not_erased_because_a_setting_was_left_out(world: Simulator, tmp_path: Path) -> None:
    """As after a restore into a new place, with settings that are not those of the old one."""
    data, granted, file = tmp_path / "data", environment(world), tmp_path / "one.backup"
    unstated = environment(world, **{GRANT: "", "PLATFORMS__YOUTUBE__KEY": ""})
    import_world(world, data, granted)
    run_once(data, granted)
    before = derived_of(data)
    assert min(before) > 0
    refused = run_cli("serve", "--data-dir", str(data), "--port", "0", env=unstated)
    assert refused.returncode == 1
    assert "do not state platforms.youtube.derived_data: set it to 'granted' to keep them" in refused.stderr
    assert derived_of(data) == before
    doctor = run_cli("doctor", "--offline", "--data-dir", str(data), env=unstated)
    assert "fault: derived_data: " in doctor.stdout
    assert run_cli("backup", str(file), "--data-dir", str(data), env=unstated).returncode == 0
    restore = ("restore", str(file), "--suppression-file", f"{data}.suppression", "--data-dir")
    said = [run_cli(*restore, str(tmp_path / name), env=env).stdout for name, env in (("a", unstated), ("b", granted))]
    assert "before the next start: " in said[0].splitlines()[-1]
    assert "platforms.youtube.derived_data" in said[0].splitlines()[-1]
    assert "before the next start: " not in said[1]
    assert derived_of(tmp_path / "a") == before
    run_once(data, granted)
    assert derived_of(data) == before
    run_once(data, environment(world, **{GRANT: "denied"}))
    assert derived_of(data) == (0, 0)
    run_once(data, unstated)  # nothing is left to lose


def test_what_is_too_old_goes_although_nothing_is_ingested(world: Simulator, tmp_path: Path) -> None:
    """The platform has been away for a month when the daemon starts again; only ids are left."""
    data, env = tmp_path / "data", environment(world, **{GRANT: "denied"})
    ids = import_world(world, data, env)
    with Daemon(data, env) as daemon:
        daemon.wait_until_done()
        name = daemon.get("/v1/search", q=ids[0], limit=1).json()["hits"][0]["creator"]["name"]
        assert daemon.terminate() == 0
    assert name.encode() in everything(data)
    later = datetime.fromtimestamp(world.now, UTC) + timedelta(days=30)
    away = {
        **env,
        "POKEDEXD_DAEMON__CLOCK_AT": later.isoformat(),
        "POKEDEXD_PLATFORMS__YOUTUBE__ENABLED": "false",
    }
    with Daemon(data, away) as daemon:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline and daemon.get("/readyz").json()["counts"]["content_items"]:
            time.sleep(0.2)
        while time.monotonic() < deadline and name in names_found(daemon, name):
            time.sleep(0.2)
        assert name not in names_found(daemon, name)
        assert daemon.terminate() == 0
    left = everything(data)
    assert name.encode() not in left
    assert ids[0].encode() in left


def hits_of(daemon: Daemon, text: str) -> list[dict[str, Any]]:
    hits: list[dict[str, Any]] = daemon.get("/v1/search", q=text, limit=100, explain="true").json()["hits"]
    assert {hit["explanation"]["contributions"][1]["name"] for hit in hits} == {"quality"}
    return hits


def names_found(daemon: Daemon, text: str) -> list[str]:
    return [hit["creator"]["name"] for hit in daemon.get("/v1/search", q=text).json()["hits"]]


def everything(data_dir: Path) -> bytes:
    """All that can be read from the store, raw pages unpacked; but for what holds our own queries."""
    env = Environment(data_dir, map_size_bytes=64 << 30)
    try:
        with env.snapshot() as txn:
            rows = [key + b"\0" + value for name in DATABASES if name not in OURS for key, value in txn.scan(name)]
            pages = [get_raw(txn, RawId(key.hex())).body for key, _ in txn.scan("raw")]
        return b"\n".join(rows + pages)
    finally:
        env.close()
