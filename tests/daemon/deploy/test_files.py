"""The unit is hardened and runs this installation; what the files name exists on `/metrics`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from daemon.config import SECRET_FILES, SECRETS
from daemon.deploy.commands import deploy_app
from daemon.deploy.files import (
    ALERTS,
    CONFIG,
    DASHBOARD,
    SCRAPE,
    UNIT,
    hidden_folder,
    own_command,
    quoted,
    shipped,
    unit,
)
from daemon.metrics import Metrics
from proto.errors import ConfigError, Unavailable
from stores.suppression import Suppression
from tests.daemon.deploy.tools import debian_tool, run

EXPOSURE_LIMIT = 1.5
ROWS = ("Freshness", "Budgets", "Pipeline", "Search", "Labels", "Store")


def written(folder: Path, *arguments: str) -> str:
    done = CliRunner().invoke(deploy_app, [*arguments, "--output", str(folder)])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_unit_is_hardened(tmp_path: Path) -> None:
    analyze = debian_tool("systemd-analyze", "systemd")
    written(tmp_path, "systemd")
    path = str(tmp_path / UNIT)
    verdict = run(analyze, "security", "--offline=true", path)
    exposure = re.search(r"exposure level for pokedexd.service: ([\d.]+)", verdict)
    assert exposure is not None, verdict
    assert float(exposure[1]) <= EXPOSURE_LIMIT
    assert run(analyze, "verify", path) == ""


def test_the_unit_runs_this_installation_with_the_settings_and_the_memory_that_were_asked_for(tmp_path: Path) -> None:
    output = written(tmp_path, "systemd", "--config", "/srv/poke dex/50%.toml", "--memory-gib", "6")
    assert str(tmp_path / UNIT) in output
    lines = (tmp_path / UNIT).read_text().splitlines()
    start = " ".join(quoted(part) for part in own_command())
    assert f'ExecStart={start} serve --config "/srv/poke dex/50%%.toml"' in lines
    assert {"MemoryHigh=4608M", "MemoryMax=6144M", "Type=notify", "DynamicUser=yes"} <= set(lines)
    assert Path(own_command()[0]).parent == Path(sys.executable).parent
    assert "@" not in "".join(line for line in lines if line.startswith(("ExecStart", "Memory")))
    assert (tmp_path / UNIT).stat().st_mode & 0o777 == 0o644


def test_without_a_ceiling_the_unit_sets_no_limit_of_memory(tmp_path: Path) -> None:
    settings = tmp_path / "pokedexd.toml"
    for text, limits in (("", []), ('[memory]\nceiling = "2 GiB"\n', ["MemoryHigh=1536M", "MemoryMax=2048M"])):
        settings.write_text(text)
        written(tmp_path, "systemd", "--config", str(settings), "--force")
        lines = (tmp_path / UNIT).read_text().splitlines()
        assert [line for line in lines if line.startswith("Memory") and "Deny" not in line] == limits


def test_the_unit_lets_the_daemon_write_where_the_settings_say(tmp_path: Path) -> None:
    settings = tmp_path / "pokedexd.toml"
    settings.write_text(f'[daemon]\ndata_dir = "{tmp_path}/data"\n[llm]\nkey_file = "{tmp_path}/50%"\n')
    (tmp_path / "50%").write_text("a-secret-key")
    written(tmp_path, "systemd", "--config", str(settings))
    lines = (tmp_path / UNIT).read_text().splitlines()
    assert f"ReadWritePaths={tmp_path}/data" in lines  # the journal goes where systemd says
    assert "User=pokedexd" in lines
    assert f"LoadCredential=llm-key:{tmp_path}/50%%" in lines
    settings.write_text('[daemon]\ndata_dir = "data"\n')
    done = CliRunner().invoke(deploy_app, ["systemd", "--config", str(settings), "--output", str(tmp_path)])
    assert isinstance(done.exception, ConfigError)


def test_the_unit_is_the_same_before_and_after_the_first_start(tmp_path: Path) -> None:
    settings, journal = tmp_path / "pokedexd.toml", tmp_path / "data-suppression" / "suppression"
    settings.write_text(f'[daemon]\ndata_dir = "{tmp_path}/data"\nsuppression_file = "{journal}"\n')
    units = []
    for _ in range(2):
        written(tmp_path, "systemd", "--config", str(settings), "--force")
        units.append((tmp_path / UNIT).read_text())
        (tmp_path / "data").mkdir(exist_ok=True)
        journal.parent.mkdir(mode=0o700, exist_ok=True)
        Suppression.open(journal).close()
    assert units[0] == units[1]
    assert f"ReadWritePaths={tmp_path}/data {journal.parent}\n" in units[0]


def test_no_unit_is_given_a_folder_of_the_system(tmp_path: Path) -> None:
    """Which its steps would have root hand over to the service, with all that is in it."""
    settings = tmp_path / "pokedexd.toml"
    for named in ('[admin]\nsocket = "/run/pokedexd.sock"\n', '[daemon]\nsuppression_file = "/etc/forgotten"\n'):
        settings.write_text(named)
        done = CliRunner().invoke(deploy_app, ["systemd", "--config", str(settings), "--output", str(tmp_path)])
        assert isinstance(done.exception, ConfigError)
        assert "is not its own; name another" in str(done.exception)
        assert not (tmp_path / UNIT).exists()


def test_the_unit_offers_every_secret_as_a_credential() -> None:
    offered = re.findall(r"^#LoadCredential=([a-z-]+):/etc/pokedexd/\1$", shipped(UNIT), re.MULTILINE)
    assert sorted(offered) == sorted({**SECRETS, **SECRET_FILES}.values())


def test_the_unit_of_a_hidden_installation_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/opt/pokedexd")
    assert hidden_folder(["/opt/pokedexd/bin/pokedexd"]) == ""
    assert hidden_folder(["/home/ana/venv/bin/pokedexd"]) == "/home"
    monkeypatch.setattr(sys, "prefix", "/var/tmp/venv")
    assert hidden_folder(["/usr/local/bin/pokedexd"]) == "/var/tmp"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(deploy_app, ["grafana", "--output", str(tmp_path / "file")])
    assert isinstance(done.exception, Unavailable)
    assert "choose another --output" in str(done.exception)


def test_each_kind_writes_its_files(tmp_path: Path) -> None:
    for kind, names in {"prometheus": [ALERTS, SCRAPE], "grafana": [DASHBOARD]}.items():
        said = written(tmp_path / kind, kind, "--config", str(CONFIG))
        assert said.split() == [str(tmp_path / kind / name) for name in names]
        assert all((tmp_path / kind / name).read_text() == shipped(name) for name in names)


def test_a_file_with_another_text_is_replaced_by_force_alone(tmp_path: Path) -> None:
    written(tmp_path, "prometheus")
    assert written(tmp_path, "prometheus") == written(tmp_path, "prometheus")
    (tmp_path / ALERTS).write_text("mine")
    (tmp_path / SCRAPE).unlink()
    refused = CliRunner().invoke(deploy_app, ["prometheus", "--output", str(tmp_path)])
    assert isinstance(refused.exception, ConfigError)
    assert str(tmp_path / ALERTS) in str(refused.exception)
    assert "--force" in str(refused.exception)
    assert ((tmp_path / ALERTS).read_text(), (tmp_path / SCRAPE).exists()) == ("mine", False)
    written(tmp_path, "prometheus", "--force")
    assert (tmp_path / ALERTS).read_text() == shipped(ALERTS)


@pytest.mark.parametrize("memory", ["nan", "inf", "-inf", "1e300", "0"])
def test_memory_that_no_machine_has_is_refused(tmp_path: Path, memory: str) -> None:
    done = CliRunner().invoke(deploy_app, ["systemd", "--output", str(tmp_path), "--memory-gib", memory])
    assert (done.exit_code, "--memory-gib" in done.output) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_words_are_quoted_as_systemd_reads_them() -> None:
    assert [quoted(word) for word in ("plain", "50%", "a b", 'say "x"', "$HOME")] == [
        "plain",
        "50%%",
        '"a b"',
        '"say \\"x\\""',
        "$$HOME",
    ]
    assert "ExecStart=/opt/p serve --config /etc/pokedexd/pokedexd.toml" in unit(["/opt/p"], CONFIG, 1)


def shown_metrics() -> set[str]:
    """As samples are named."""
    kinds = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "gauge": [""]}
    return {family.name + suffix for family in Metrics().registry.collect() for suffix in kinds[family.type]}


def named_metrics(text: str) -> set[str]:
    return set(re.findall(r"\bpokedexd_\w+", text))


def expressions(dashboard: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def test_what_the_dashboard_shows_exists() -> None:
    dashboard = json.loads(shipped(DASHBOARD))
    assert tuple(panel["title"] for panel in dashboard["panels"] if panel["type"] == "row") == ROWS
    named = named_metrics(" ".join(expressions(dashboard)))
    assert named - shown_metrics() == set()


def test_no_two_panels_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(shipped(DASHBOARD))["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + column, place["y"] + line) for column in range(place["w"]) for line in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert place["x"] + place["w"] <= 24


def test_what_the_alerts_are_about_exists() -> None:
    rules = re.sub(r"summary:.*|remedy:.*", "", shipped(ALERTS))
    assert named_metrics(rules) - shown_metrics() == set()
