"""What the API answers to whatever its own document lets somebody ask, over a real socket and a small real world."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest

from tests.flow.processes import COMMAND, PATIENCE_SECONDS, ROOT, run_cli

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


class Demo(msgspec.Struct, kw_only=True):
    url: str
    folder: Path
    said: list[str]
    """Lines that it has written until now."""

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_cli("ctl", *arguments, "--data-dir", str(self.folder))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The URL of a demo that has taken in its world, and its data directory."""
    folder = tmp_path_factory.mktemp("demo") / "data"
    process = subprocess.Popen(
        [*COMMAND, "demo", "--creators", "40", "--port", "0", "--data-dir", str(folder)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if "ready after" in line:
            break
    found = re.search(r"http://127\.0\.0\.1:\d+", "".join(said))
    assert found is not None, said
    reader = threading.Thread(target=said.extend, args=(process.stdout,))  # a full pipe would hold the daemon up
    reader.start()
    yield Demo(url=found[0], folder=folder, said=said)
    process.terminate()
    process.wait(30)
    reader.join()
    process.stdout.close()


def test_a_search_is_explained_listed_hidden_logged_and_reweighted(demo: Demo) -> None:
    with httpx2.Client(base_url=demo.url, trust_env=False, timeout=60) as http:
        everyone = http.get("/v1/search", params={"limit": 100, "facets": "platform,niche", "explain": "none"}).json()
        assert everyone["total"] == sum(everyone["facets"]["niche"].values()) >= 40
        first = everyone["hits"][0]["creator"]
        exported = http.get("/v1/search/export", params={"format": "jsonl"}).text.splitlines()
        assert len(exported) == everyone["total"]

        named = http.get("/v1/search", params={"q": first["name"], "explain": "true"}).json()
        assert named["interpreted"] == []
        hit = next(one for one in named["hits"] if one["creator"]["creator_id"] == first["creator_id"])
        addends = sum(one["contribution"] for one in hit["explanation"]["contributions"])
        assert addends == pytest.approx(hit["score"], abs=1e-6)
        assert hit["explanation"]["exact"]
        shown = hit["explanation"]["highlights"][0]
        assert "".join(shown["text"][begin:end] for begin, end in shown["marks"])

        near = http.post("/v1/similar", json={"positive": [first["creator_id"]], "limit": 5}).json()
        assert len(near["hits"]) == 5
        typed = http.get("/v1/autocomplete", params={"q": first["name"][:4], "limit": 50}).json()["suggestions"]
        assert first["creator_id"] in [one["creator_id"] for one in typed]

        made = http.post("/v1/lists", json={"name": "Spring", "creators": [first["creator_id"]]}).json()
        listed = http.get("/v1/search", params={"filter": "list = Spring"}).json()
        assert [one["creator"]["creator_id"] for one in listed["hits"]] == [first["creator_id"]]
        http.put(f"/v1/hidden/{first['creator_id']}")
        assert http.get("/v1/search").json()["total"] == everyone["total"] - 1
        why = http.get("/v1/search/explain", params={"creator_id": first["creator_id"]}).json()
        assert (why["hidden"], why["found"]) == (True, False)
        http.delete(f"/v1/hidden/{first['creator_id']}")
        http.delete(f"/v1/lists/{made['list_id']}")

        before = http.get("/v1/search", params={"q": "python", "limit": 1}).json()["hits"][0]
        assert demo.ctl("weights", "set", "keyword=0.1", "quality=0.5").returncode == 0
        after = http.get("/v1/search", params={"q": "python", "limit": 1}).json()["hits"][0]
        weights = {one["name"]: one["weight"] for one in after["explanation"]["contributions"]}
        assert (weights["keyword"], weights["quality"]) == (0.1, 0.5)
        assert after["score"] != before["score"]
    assert "keyword = 0.1" in demo.ctl("weights", "get").stdout
    refused = demo.ctl("weights", "set", "keyword=0.9")
    assert (refused.returncode, "add up to" in refused.stderr) == (1, True)
    assert "in the settings" in demo.ctl("weights", "set", "--reset").stdout
    tried = demo.ctl("weights", "what-if", "keyword=0", "quality=0.6", "--queries", "5")
    assert "of 5 searches change" in tried.stdout, tried
    logged = [json.loads(line) for line in demo.ctl("queries", "export").stdout.splitlines()]
    assert [one["text"] for one in logged].count("python") == 2
    assert len(logged[0]["candidates"]) == everyone["total"] or len(logged[0]["candidates"]) == 50


def fuzzed(demo: Demo, folder: Path, phases: str, examples: int, seed: int) -> None:
    pytest.importorskip("schemathesis")
    done = subprocess.run(
        [
            SCHEMATHESIS, "run", f"{demo.url}/openapi.json", "--checks", CHECKS, "--phases", phases, "--max-examples",
            str(examples), "--seed", str(seed), "--generation-database", "none", "--continue-on-failure", "--no-color",
        ],
        cwd=folder, capture_output=True, text=True, timeout=10 * PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-8_000:]}{done.stderr[-2_000:]}\nthe daemon: {''.join(demo.said[-20:])}"
    passed = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert passed is not None, done.stdout
    assert passed[1] == passed[2] != "0"


def test_no_answer_is_undocumented_or_a_fault(demo: Demo, tmp_path: Path) -> None:
    fuzzed(demo, tmp_path, "fuzzing", 10, seed=1)


@pytest.mark.long
def test_no_answer_is_undocumented_or_a_fault_in_a_long_run(demo: Demo, tmp_path: Path) -> None:
    fuzzed(demo, tmp_path, "coverage,fuzzing,stateful", 200, seed=2)
