"""A real Prometheus scrapes the demo with the files that are shipped."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from daemon.deploy.files import ALERTS, DASHBOARD, SCRAPE, shipped
from tests.daemon.deploy.tools import debian_tool, run
from tests.flow.processes import COMMAND, ROOT, wait_for

OF_THE_MACHINE = {"PokedexdDiskLow", "PokedexdDiskFillsUp"}
"""Alerts of which not the demo may be the reason."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Where it and its admin endpoint answer."""
    data = tmp_path_factory.mktemp("demo") / "data"
    process = subprocess.Popen(
        [*COMMAND, "demo", "--creators", "20", "--port", "0", "--data-dir", str(data)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("for operators"):
            break
    found = re.search(r"ready after \d+ s: (\S+)\nfor operators: (\S+)/metrics", said)
    assert found is not None, said
    yield found[1], found[2]
    process.terminate()
    process.stdout.read()
    process.stdout.close()
    assert process.wait(60) == 0


class NotReady(Exception):
    """It listens, and answers nothing yet."""


class Prometheus:
    """The shipped snippet as its settings, but for the address, the interval and the rules' place."""

    def __init__(self, binary: str, folder: Path, target: str) -> None:
        (folder / ALERTS).write_text(shipped(ALERTS))
        text = shipped(SCRAPE).replace("127.0.0.1:7152", target).replace("15s", "1s")
        (folder / "prometheus.yml").write_text(f"global: {{evaluation_interval: 1s}}\nrule_files: [{ALERTS}]\n{text}")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._log = (folder / "prometheus.log").open("wb")
        command = [binary, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
        self.process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=self._log, stderr=self._log
        )
        self._client = httpx2.Client(base_url=f"http://127.0.0.1:{port}/api/v1", trust_env=False, timeout=30)

    def get(self, path: str, **params: str) -> Any:
        answer = self._client.get(path, params=params)
        if answer.status_code == 503:
            raise NotReady(answer.text)
        reply = answer.json()
        assert reply["status"] == "success", (params, reply)
        return reply["data"]

    def value(self, query: str) -> list[float]:
        try:
            return [float(one["value"][1]) for one in self.get("/query", query=query)["result"]]
        except (httpx2.TransportError, NotReady):
            return []  # it does not listen yet, or still reads its files

    def close(self) -> None:
        self._client.close()
        self.process.terminate()
        self.process.wait(30)
        self._log.close()


@pytest.fixture
def prometheus(demo: tuple[str, str], tmp_path: Path) -> Iterator[Prometheus]:
    running = Prometheus(debian_tool("prometheus", "prometheus"), tmp_path, demo[1].removeprefix("http://"))
    yield running
    running.close()


def test_what_is_shown_is_well_formed(demo: tuple[str, str]) -> None:
    promtool = debian_tool("promtool", "prometheus")
    text = httpx2.get(f"{demo[1]}/metrics", trust_env=False, timeout=30).text
    assert run(promtool, "check", "metrics", given=text) == ""


def test_the_demo_is_scraped_and_rules_and_dashboard_are_worked_out(
    demo: tuple[str, str], prometheus: Prometheus
) -> None:
    assert httpx2.get(f"{demo[0]}/v1/search", params={"q": "fitness"}, trust_env=False).status_code == 200
    wait_for(lambda: prometheus.value('up{job="pokedexd"}') == [1.0], "a scrape")
    wait_for(lambda: prometheus.value("sum(pokedexd_search_seconds_count)") == [1.0], "the search")
    assert all(
        share == 1.0 for share in wait_for(lambda: prometheus.value("pokedexd_freshness_ratio >= 0"), "a survey")
    )
    assert prometheus.value("pokedexd_searchable_creators > 0")
    assert prometheus.value('sum(pokedexd_platform_calls_total{outcome="ok"})')[0] > 0
    for expression in expressions():
        prometheus.get("/query", query=expression)
    rules = wait_for(lambda: evaluated(prometheus), "the rules")
    assert {rule["health"] for rule in rules} == {"ok"}
    alerts = [alert["labels"]["alertname"] for alert in prometheus.get("/alerts")["alerts"]]
    assert set(alerts) <= OF_THE_MACHINE


def expressions() -> list[str]:
    panels = json.loads(shipped(DASHBOARD))["panels"]
    return [target["expr"].replace("$instance", ".+") for panel in panels for target in panel.get("targets", [])]


def evaluated(prometheus: Prometheus) -> list[dict[str, Any]]:
    """Empty until each rule was worked out once."""
    (group,) = prometheus.get("/rules")["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules if all(rule["health"] != "unknown" for rule in rules) else []
