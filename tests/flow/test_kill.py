"""kill -9 at seeded random moments of the ingestion, and a restart: the same end as an undisturbed run."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.flow.processes import Daemon, Simulator, environment, fingerprint, import_world, simulator

SEED = int(os.environ.get("POKEDEXD_TEST_SEED", "20261123"))
CREATORS = 150
QUERIES = ("home workout", "receita fácil", "python tutorial", "travel vlog", "게임", "美容", "новости", "futbol")
IN_FLIGHT_CALLS = 4 + 1
"""Fetchers, and the one call whose result is being stored."""

PACK = 50
SETTLE_SECONDS = 60
"""A rewrite that came too early may be followed by another only after sixty times as long as it took."""


def world_arguments() -> tuple[str, ...]:
    return ("--creators", str(CREATORS), "--seed", "7", "--faults", '{"latency_seconds": 0.02}')


def results(daemon: Daemon, ids: list[str]) -> dict[str, Any]:
    """What a user sees: known items by id, and topical queries."""
    known = random.Random(SEED).sample(ids, 15)
    return {text: daemon.search(text) for text in (*QUERIES, *known)}


def settled_results(daemon: Daemon, ids: list[str]) -> dict[str, Any]:
    """Results once the idle daemon has rewritten its keyword index, which it looks at twice a second."""
    deadline = time.monotonic() + SETTLE_SECONDS
    compact_looks = 0
    while time.monotonic() < deadline and compact_looks < 8:
        state = daemon.get("/readyz").json()["dependencies"]["keyword_search"]
        compact_looks = compact_looks + 1 if state["detail"] == "compact" else 0
        time.sleep(0.2)
    assert compact_looks, f"the keyword index was not rewritten within {SETTLE_SECONDS} s"
    return results(daemon, ids)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    with simulator(*world_arguments()) as sim:
        env = environment(sim)
        ids = import_world(sim, folder / "data", env)
        started = time.monotonic()
        with Daemon(folder / "data", env) as daemon:
            ready = daemon.wait_until_done()
            seconds = time.monotonic() - started
            found = settled_results(daemon, ids)
            assert daemon.terminate() == 0
        return {
            "ids": ids,
            "counts": ready["counts"],
            "results": found,
            "fingerprint": fingerprint(folder / "data"),
            "seconds": seconds,
        }


def disturbed_run(folder: Path, undisturbed: dict[str, Any], share: float) -> None:
    with simulator(*world_arguments()) as sim:
        env = environment(sim)
        import_world(sim, folder / "data", env)
        daemon = Daemon(folder / "data", env)
        time.sleep(undisturbed["seconds"] * share)
        daemon.kill()
        with Daemon(folder / "data", env) as again:
            ready = again.wait_until_done()
            found = settled_results(again, undisturbed["ids"])
            assert again.terminate() == 0
        assert ready["counts"] == undisturbed["counts"]
        after = fingerprint(folder / "data")
        for name, rows in undisturbed["fingerprint"].items():
            assert after[name] == rows, name
        assert after["work"] == {}
        assert found == undisturbed["results"]
        assert_little_was_fetched_twice(sim)


def assert_little_was_fetched_twice(sim: Simulator) -> None:
    """At most what was in flight: one call a fetcher, each of a page or a pack."""
    served: dict[str, dict[str, int]] = sim.get("/_simulator/accounting")["served"]
    again = {endpoint: sum(count - 1 for count in entities.values()) for endpoint, entities in served.items()}
    assert again.get("playlistItems", 0) <= IN_FLIGHT_CALLS, again
    assert again.get("channels", 0) <= IN_FLIGHT_CALLS * PACK, again
    assert again.get("videos", 0) <= IN_FLIGHT_CALLS * PACK, again


@pytest.mark.parametrize("point", range(3))
def test_killed_at_a_random_moment(point: int, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    share = random.Random(f"{SEED}/{point}").uniform(0.05, 0.95)
    print(f"seed {SEED}, point {point}: killed after {share:.0%} of an undisturbed run")
    disturbed_run(tmp_path, undisturbed, share)


@pytest.mark.long
@pytest.mark.parametrize("point", range(3, 3 + int(os.environ.get("POKEDEXD_TEST_KILL_POINTS", "22"))))
def test_killed_at_many_random_moments(point: int, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    share = random.Random(f"{SEED}/{point}").uniform(0.0, 1.0)
    print(f"seed {SEED}, point {point}: killed after {share:.0%} of an undisturbed run")
    disturbed_run(tmp_path, undisturbed, share)
