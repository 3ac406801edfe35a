"""`pokedexd init`: settings and unit fit each other, and what is to be done next fits both."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from daemon.cli import app
from daemon.config import Config, admin_socket_path, data_dir, load, suppression_path
from daemon.deploy.files import JOURNAL, STATE, UNIT, UNIT_FOLDERS
from proto.errors import ConfigError
from tests.daemon.deploy.test_files import EXPOSURE_LIMIT
from tests.daemon.deploy.tools import debian_tool, run


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever runs the tests counts as root, whose files others are not to read unless it is meant."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    before = os.umask(0o077)
    yield
    os.umask(before)


def init(folder: Path, *arguments: str, given: str | None = None) -> Result:
    asked = [] if given is not None else ["--yes"]
    done = CliRunner().invoke(app, ["init", *asked, "--config", str(settings_of(folder)), *arguments], input=given)
    if done.exception is None:
        assert done.exit_code == 0
    return done


def settings_of(folder: Path) -> Path:
    return folder / "etc" / "pokedexd.toml"


def unit_of(folder: Path) -> list[str]:
    return (folder / "etc" / UNIT).read_text().splitlines()


def places(config: Config, environ: dict[str, str]) -> list[Path]:
    data = data_dir(config, environ)
    return [data, suppression_path(config, environ, data), admin_socket_path(config, environ, data)]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def check_by_systemd(unit: Path) -> None:
    analyze = debian_tool("systemd-analyze", "systemd")
    assert run(analyze, "verify", str(unit)) == ""
    exposure = re.search(r"exposure level for .*: ([\d.]+)", run(analyze, "security", "--offline=true", str(unit)))
    assert exposure is not None
    assert float(exposure[1]) <= EXPOSURE_LIMIT


def test_a_service_and_the_commands_of_root_look_at_the_same_places(tmp_path: Path) -> None:
    done = init(tmp_path)
    config = load(settings_of(tmp_path), {}, {}).config
    assert places(config, {}) == places(config, UNIT_FOLDERS) == [STATE, JOURNAL, STATE / "admin.sock"]
    assert {"DynamicUser=yes", "StateDirectory=pokedexd pokedexd-suppression"} <= set(unit_of(tmp_path))
    assert not any(line.startswith(("ReadWritePaths=", "MemoryMax=")) for line in unit_of(tmp_path))
    assert [mode(path) for path in (settings_of(tmp_path), settings_of(tmp_path).parent)] == [0o644, 0o755]
    steps = done.output.partition("next:")[2]
    assert f"pokedexd import LIST.csv --config {settings_of(tmp_path)}" in steps
    assert steps.index("systemctl") < steps.index("pokedexd doctor") < steps.index("pokedexd import")
    assert "mkdir -p /etc/pokedexd, put a YouTube key into /etc/pokedexd/youtube-key" in steps
    assert (
        f"platforms.youtube.key_file, with platforms.youtube.derived_data ('granted' or 'denied'), in {settings_of(tmp_path)}"
        in steps
    )
    check_by_systemd(tmp_path / "etc" / UNIT)


def test_nothing_tells_to_install_what_is_in_its_place(tmp_path: Path) -> None:
    init(tmp_path)
    text = "\n".join(unit_of(tmp_path))
    installs = re.findall(r"^# +install .* (\S+) (\S+)$", text, re.MULTILINE)
    assert installs == [(UNIT, f"/etc/systemd/system/{UNIT}")]
    assert "@" not in re.sub(r"SystemCallFilter=.*", "", text)


def test_another_data_directory_is_writable_and_so_is_what_lies_beside_it(tmp_path: Path) -> None:
    data = tmp_path / "da ta"
    answers = f"2 GiB\n{tmp_path}/key\ngranted\n\n{tmp_path}/backups\n"
    (tmp_path / "key").write_text("AIzaDemoKey")
    done = init(tmp_path, "--data-dir", str(data), given=answers)
    journal = tmp_path / "da ta-suppression" / "suppression"
    config = load(settings_of(tmp_path), {}, {}).config
    assert places(config, {}) == places(config, UNIT_FOLDERS) == [data, journal, data / "admin.sock"]
    folders = [data, journal.parent, tmp_path / "backups"]
    assert [mode(folder) for folder in folders] == [0o700] * 3
    lines = unit_of(tmp_path)
    assert f'ReadWritePaths="{data}" "{journal.parent}" {folders[2]}' in lines
    user = next(line.removeprefix("User=") for line in lines if line.startswith("User="))
    assert user == ("pokedexd" if data.stat().st_uid == 0 else data.owner())
    assert "DynamicUser=yes" not in lines
    assert f"LoadCredential=youtube-key:{tmp_path}/key" in lines  # which the daemon's user could not read
    assert f"chown -R {user}: '{data}' '{journal.parent}' {folders[2]}" in done.output
    check_by_systemd(tmp_path / "etc" / UNIT)


def test_a_journal_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data.suppression").touch()
    init(tmp_path, "--data-dir", str(tmp_path / "data"))
    assert f"ReadWritePaths={tmp_path}/data {tmp_path}/data.suppression" in unit_of(tmp_path)
    config = load(settings_of(tmp_path), {}, {}).config
    assert config.daemon.suppression_file == f"{tmp_path}/data.suppression"


def test_what_would_keep_the_service_from_its_settings_is_said(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir(mode=0o700)
    done = init(tmp_path)
    assert f"the service cannot read {settings_of(tmp_path)}: chmod o+x" in " ".join(done.output.split())
    assert "the unit hides /tmp" in done.output or not str(tmp_path).startswith("/tmp")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    init(tmp_path)
    before = settings_of(tmp_path).read_bytes()
    done = init(tmp_path, "--data-dir", str(tmp_path / "data"))
    assert isinstance(done.exception, ConfigError)
    assert settings_of(tmp_path).read_bytes() == before
    assert not (tmp_path / "data").exists()


def test_who_is_not_root_runs_the_daemon_in_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    monkeypatch.setenv("HOME", str(tmp_path))
    done = init(tmp_path)
    assert (tmp_path / ".local/share/pokedexd").is_dir()
    assert load(settings_of(tmp_path), {}, {}).config == Config()
    assert f"pokedexd serve --config {settings_of(tmp_path)}" in done.output
    assert "systemctl" not in done.output
