"""Only channels are imported; who they name on Instagram comes along, within the day's budget."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from tests.flow.processes import Daemon, environment, import_world, run_cli, simulator, wait_for


@pytest.mark.parametrize(("budget", "most"), [(0, 0), (3, 3), (1_000, 1_000)])
def test_accounts_named_in_bios_are_taken_in_within_the_budget(tmp_path: Path, budget: int, most: int) -> None:
    with simulator("--creators", "40", "--seed", "11") as sim:
        env, data = environment(sim, INGESTION__DISCOVER_FROM_BIOS_PER_DAY=str(budget)), tmp_path / "data"
        channels = import_world(sim, data, env)
        profiles = sim.get("/_simulator/world")["profiles"]
        with Daemon(data, env) as daemon:
            counts = daemon.wait_until_done()["counts"]
            assert daemon.terminate() == 0
        served = sim.get("/_simulator/accounting")["calls"].get("business_discovery", 0)
    found = counts["accounts"] - len(channels)
    print(f"budget {budget}: {found} of {profiles} profiles found, {served} calls")
    assert found <= min(most, profiles)
    assert found >= min(most, 3)
    assert served <= most + profiles


REGIONS = ["US", "BR", "DE", "IN", "GB", "MX", "FR", "JP", "ES", "CA", "IT", "KR", "AU", "AR", "ID"]


def knows(daemon: Daemon, accounts: int) -> bool:
    return bool(daemon.get("/readyz").json()["counts"]["accounts"] == accounts)


def test_charts_and_searches_bring_channels_within_their_budgets(tmp_path: Path) -> None:
    """Two channels are imported; the rest comes from where the settings look, and without them nothing is asked."""
    with simulator("--creators", "150", "--seed", "11") as sim:
        data, listing = tmp_path / "data", tmp_path / "two.csv"
        listing.write_text("\n".join(sim.get("/_simulator/accounts?platform=youtube")[:2]))
        nowhere = environment(
            sim, PLATFORMS__YOUTUBE__CHART_REGIONS=json.dumps(REGIONS), PLATFORMS__YOUTUBE__SEARCH_QUERIES='["a"]'
        )
        assert run_cli("import", str(listing), "--data-dir", str(data), env=nowhere).returncode == 0
        with Daemon(data, nowhere) as daemon:
            assert daemon.wait_until_done()["counts"]["accounts"] == 2
            assert daemon.terminate() == 0
        asked = sim.get("/_simulator/accounting")["calls"]
        assert "search" not in asked
        looking = {**nowhere, "POKEDEXD_INGESTION__DISCOVER_FROM_CHARTS_PER_DAY": "2"}
        looking["POKEDEXD_INGESTION__DISCOVER_FROM_SEARCHES_PER_DAY"] = "3"
        with Daemon(data, looking) as daemon:
            wait_for(partial(knows, daemon, 7))
            assert daemon.wait_until_done()["counts"]["accounts"] == 7
            assert daemon.terminate() == 0
        assert sim.get("/_simulator/accounting")["calls"]["search"] == 1


def test_a_region_that_no_country_has_is_named(tmp_path: Path) -> None:
    refused = run_cli("config", "check", env={"POKEDEXD_PLATFORMS__YOUTUBE__CHART_REGIONS": '["usa"]', "PATH": ""})
    assert refused.returncode == 1
    assert "platforms.youtube.chart_regions: ['usa'] are no countries" in refused.stderr
