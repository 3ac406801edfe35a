"""A language model behind a socket labels creators; whatever it does, everybody stays labelled and searchable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from models.taxonomy import Taxonomy
from tests.flow.processes import Daemon, Simulator, environment, import_world, run_cli, simulator, wait_for

CREATORS = 14
NICHES = {niche.id for niche in Taxonomy.load(None).niches}


def with_model(world: Simulator, **extra: str) -> dict[str, str]:
    model = {"LLM__BASE_URL": f"{world.url}/llm/v1", "LLM__MODEL": "simulated-small", "LLM__KEY": "demo-key"}
    return environment(world, **(model | extra))


def fault(world: Simulator, **switches: Any) -> None:
    httpx2.post(f"{world.url}/_simulator/faults", json=switches, trust_env=False).raise_for_status()


def creators(daemon: Daemon) -> list[dict[str, Any]]:
    hits = daemon.get("/v1/search", q="", limit=100).json().get("hits", [])
    ids = [hit["creator"]["creator_id"] for hit in hits]
    return [daemon.get(f"/v1/creators/{one}").json()["creator"] for one in ids]


def methods(daemon: Daemon) -> set[str]:
    return {str((one["enrichment"] or {}).get("method")) for one in creators(daemon)}


def tokens_asked(world: Simulator) -> int:
    tokens = world.get("/_simulator/accounting")["llm"]["tokens"]
    return sum(int(count) for of_model in tokens.values() for count in of_model.values())


def test_all_are_labelled_by_the_model_none_twice_and_bait_obeys_nobody(tmp_path: Path) -> None:
    with simulator("--creators", str(CREATORS), "--seed", "4", "--bait-share", "0.4") as world:
        fault(world, llm_malformed_share=0.1, llm_invalid_share=0.2)
        data, env = tmp_path / "data", with_model(world)
        import_world(world, data, env)
        with Daemon(data, env) as daemon:
            daemon.wait_until_done()
            wait_for(lambda: methods(daemon) == {"llm"}, "the model's labels", 60)
            found = creators(daemon)
            assert len(found) == CREATORS
            for one in found:
                assert one["primary_niche"] in NICHES
                assert 8 <= len(one["llm_summary"].split()) <= 40
                assert one["enrichment"]["model"] == "simulated-small"
                assert one["enrichment"]["prompt_version"]
                assert one["enrichment"]["input_hash"]
            assert sum(one["primary_niche"] == "finance" for one in found) <= 2, "bios tell the model what to answer"
            metrics = daemon.get("/metrics")
            status = run_cli("ctl", "status", "--json", "--data-dir", str(data), env=env)
            assert f'"llm":{CREATORS}' in status.stdout.replace(" ", ""), (status.stdout[-500:], metrics.status_code)
            assert daemon.terminate() == 0
        asked = tokens_asked(world)
        with Daemon(data, env) as daemon:
            daemon.wait_until_done()
            assert methods(daemon) == {"llm"}
            assert daemon.terminate() == 0
        assert tokens_asked(world) == asked, "the same input is asked about again after a restart"


def test_without_an_answer_the_local_labels_stand_and_nothing_stalls(tmp_path: Path) -> None:
    with simulator("--creators", str(CREATORS), "--seed", "4") as world:
        data, env = tmp_path / "data", with_model(world, LLM__TOKENS_PER_DAY="0")
        import_world(world, data, env)
        with Daemon(data, env) as daemon:
            daemon.wait_until_done()
            assert "llm" not in methods(daemon)
            wait_for(
                lambda: (
                    "llm_allowance_spent" in run_cli("ctl", "status", "--json", "--data-dir", str(data), env=env).stdout
                )
            )
            assert daemon.terminate() == 0
        assert tokens_asked(world) == 0
        env = with_model(world, LLM__BASE_URL=f"{world.url}/nothing/here/v1")
        with Daemon(data, env) as daemon:
            daemon.wait_until_done()
            wait_for(lambda: daemon.get("/readyz").json()["dependencies"]["llm"]["state"] == "down", "the news")
            assert daemon.get("/readyz").json()["status"] == "degraded"
            assert "llm" not in methods(daemon)
            assert len(creators(daemon)) == CREATORS
            assert daemon.terminate() == 0
        with Daemon(data, with_model(world)) as daemon:
            daemon.wait_until_done()
            wait_for(lambda: methods(daemon) == {"llm"}, "the model's labels", 60)
            assert daemon.terminate() == 0
