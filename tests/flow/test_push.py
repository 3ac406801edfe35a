"""The hub and a running daemon, as an operator sees them: subscriptions, a push, and who was forgotten stays away."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import httpx2

from tests.flow.processes import Daemon, Simulator, environment, import_world, run_cli, simulator, wait_for
from tests.flow.test_forgetting import drop_lists, files_holding

CONTENT = 50
"""Items from which on every lively channel of the world is known to be one."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def push_settings(sim: Simulator, port: int) -> dict[str, str]:
    return environment(
        sim,
        DAEMON__CLOCK_FROZEN="false",
        PLATFORMS__YOUTUBE__PUSH_ENABLED="true",
        PLATFORMS__YOUTUBE__PUSH_HUB_URL=f"{sim.url}/hub/subscribe",
        PLATFORMS__YOUTUBE__PUSH_CALLBACK_URL=f"http://127.0.0.1:{port}/websub/",
        PLATFORMS__YOUTUBE__PUSH_REQUESTS_PER_SECOND="100",
    )


def pushes(daemon: Daemon, outcome: str) -> float:
    socket_path = str(daemon.data_dir / "admin.sock")
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=socket_path), base_url="http://pokedexd") as client:
        lines = client.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith(f'pokedexd_pushes_total{{outcome="{outcome}"}}')]
    return float(found[0].split()[-1]) if found else 0.0


def subscriptions(sim: Simulator) -> int:
    count: int = sim.get("/_simulator/accounting")["hub"]["subscriptions"]
    return count


def post(sim: Simulator, channel: str) -> None:
    body = {"kind": "post", "account": channel, "title": "pushed"}
    httpx2.post(f"{sim.url}/_simulator/events", json=body, trust_env=False).raise_for_status()


def test_a_push_reaches_the_daemon_and_the_forgotten_stay_away(tmp_path: Path) -> None:
    with simulator("--creators", "12", "--seed", "4", "--live") as sim:
        data, port = tmp_path / "data", free_port()
        env = push_settings(sim, port)
        ids = import_world(sim, data, env)
        drop_lists(tmp_path)
        silent = env | {"POKEDEXD_PLATFORMS__YOUTUBE__PUSH_ENABLED": "false"}
        with Daemon(data, silent) as daemon:
            wait_for(lambda: daemon.wait_until_done()["counts"]["content_items"] > CONTENT, "the channels' content")
            assert daemon.terminate() == 0
        with Daemon(data, env, "--port", str(port)) as daemon:
            wait_for(lambda: subscriptions(sim), "a subscription")
            time.sleep(1)
            for channel in ids:
                post(sim, channel)
            wait_for(lambda: pushes(daemon, "new") == subscriptions(sim), "a push for every subscribed channel")
            assert run_cli("forget", *ids, "--data-dir", str(data), env=env).returncode == 0
            told = pushes(daemon, "new")
            for channel in ids:
                post(sim, channel)
            time.sleep(2)
            assert pushes(daemon, "new") == told
            assert daemon.get("/readyz").json()["counts"]["accounts"] == 0
            assert daemon.get("/websub/guessed", **{"hub.mode": "subscribe"}).status_code == 404
            assert daemon.terminate() == 0
        with Daemon(data, env, "--port", str(port)) as daemon:
            assert daemon.terminate() == 0
        assert files_holding(data, *ids) == []
