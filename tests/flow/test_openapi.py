"""What the API answers to whatever its own document lets somebody ask, over a real socket and a small real world."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.processes import COMMAND, PATIENCE_SECONDS, ROOT

pytest.importorskip("schemathesis")

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a demo that has taken in its world."""
    folder = tmp_path_factory.mktemp("demo") / "data"
    process = subprocess.Popen(
        [*COMMAND, "demo", "--creators", "40", "--port", "0", "--data-dir", str(folder)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if "ready after" in line:
            break
    found = re.search(r"http://127\.0\.0\.1:\d+", text)
    assert found is not None, text
    yield found[0]
    process.terminate()
    process.stdout.read()
    process.stdout.close()
    process.wait(30)


def fuzzed(url: str, folder: Path, phases: str, examples: int, seed: int) -> None:
    done = subprocess.run(
        [
            SCHEMATHESIS, "run", f"{url}/openapi.json", "--checks", CHECKS, "--phases", phases, "--max-examples",
            str(examples), "--seed", str(seed), "--generation-database", "none", "--continue-on-failure", "--no-color",
        ],
        cwd=folder, capture_output=True, text=True, timeout=10 * PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    passed = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert passed is not None, done.stdout
    assert passed[1] == passed[2] != "0"


def test_no_answer_is_undocumented_or_a_fault(demo: str, tmp_path: Path) -> None:
    fuzzed(demo, tmp_path, "fuzzing", 10, seed=1)


@pytest.mark.long
def test_no_answer_is_undocumented_or_a_fault_in_a_long_run(demo: str, tmp_path: Path) -> None:
    fuzzed(demo, tmp_path, "coverage,fuzzing,stateful", 200, seed=2)
