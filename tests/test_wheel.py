"""The wheel, installed away from the checkout, runs with everything it needs inside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).parents[1]


def run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds; its dependencies come from the environment of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT), cwd=folder)
    (wheel,) = folder.glob("pokedexd-*.whl")
    run(*pip, "install", "-q", "--no-deps", "--target", str(folder / "site"), str(wheel), cwd=folder)
    return folder / "site"


def environment(installed: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("POKEDEXD_")}
    return clean | {"PYTHONPATH": str(installed)}


def test_the_commands_run_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    env = environment(installed)
    where = run(sys.executable, "-c", "import daemon; print(daemon.__file__)", cwd=tmp_path, env=env)
    assert where.startswith(str(installed))
    assert (installed / "bin" / "pokedexd").exists()
    briefs = "from daemon.brief_words import *; print(len(brief_vocabulary(Taxonomy.load()).phrases) > 1000)"
    assert "True" in run(sys.executable, "-c", briefs, cwd=tmp_path, env=env)
    assert "7151" in run(sys.executable, "-m", "daemon", "config", "dump", cwd=tmp_path, env=env)
    run(sys.executable, "-m", "daemon", "config", "check", cwd=tmp_path, env=env)
    for kind in ("systemd", "prometheus", "grafana"):
        said = run(sys.executable, "-m", "daemon", "deploy", kind, "--output", "deployed", cwd=tmp_path, env=env)
        assert all((tmp_path / name).stat().st_size for name in said.split())


def test_the_demo_and_its_page_run_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "daemon", "demo", "--creators", "20", "--port", "0"],
        cwd=tmp_path,
        env=environment(installed),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert demo.stdout is not None
    said = []
    for line in demo.stdout:
        said.append(line)
        if line.startswith("ready after"):
            break
    assert said[-1].startswith("ready after"), "".join(said)
    url = said[-1].split()[-1]
    page = httpx2.get(url, params={"q": "fitness"}, trust_env=False, timeout=30)
    assert page.status_code == 200
    style = page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    assert httpx2.get(f"{url}{style}", trust_env=False).headers["content-type"].startswith("text/css")
    demo.terminate()
    demo.stdout.read()
    demo.stdout.close()
    assert demo.wait(30) == 0
