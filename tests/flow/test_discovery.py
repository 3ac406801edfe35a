"""Only channels are imported; who they name on Instagram comes along, within the day's budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.processes import Daemon, environment, import_world, run_cli, simulator


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


def test_a_region_that_no_country_has_is_named(tmp_path: Path) -> None:
    refused = run_cli("config", "check", env={"POKEDEXD_PLATFORMS__YOUTUBE__CHART_REGIONS": '["usa"]', "PATH": ""})
    assert refused.returncode == 1
    assert "platforms.youtube.chart_regions: ['usa'] are no countries" in refused.stderr
