"""What an operator may mistype: every number, folder and name that a command takes is looked at before anything is done."""

from __future__ import annotations

import contextlib
import json
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from typer.testing import CliRunner, Result

from daemon.cli import app
from daemon.terminal import out, table
from proto.errors import ConfigError, Malformed, NotFound, Unavailable
from stores.env import Environment
from tests.flow.processes import run_cli


@pytest.fixture(autouse=True)
def nobody_elses_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def run(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=answer)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """With a store that has the default tenant."""
    (tmp_path / "data").mkdir()
    assert run("tenants", "create", "acme", "--data-dir", str(tmp_path / "data")).exit_code == 0
    return tmp_path / "data"


def test_names_and_paths_are_shown_as_they_are(data: Path) -> None:
    name = ":smile: [b] [/b]"
    assert run("keys", "create", "--name", name, "--data-dir", str(data)).exit_code == 0
    assert name in run("keys", "list", "--data-dir", str(data)).output
    file = data.parent / ":100:[b]"
    assert str(file) in run("backup", str(file), "--data-dir", str(data)).output.replace("\n", "")
    with out.capture() as shown:
        out.print(table("paused", ["reason"], [["youtube", name]]))
    assert name in shown.get()


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e300", "-1"])
@pytest.mark.parametrize(
    "command",
    [
        "ctl drain --seconds NUMBER",
        "ctl review --limit NUMBER",
        "ctl weights what-if keyword=0.2 --queries NUMBER",
        "ctl queries export --after NUMBER",
        "audit tail --lines NUMBER",
        "keys create --per-minute NUMBER",
        "deploy systemd --output /nowhere --memory-gib NUMBER",
        "eval ingestion --days NUMBER",
        "eval ingestion --accounts NUMBER",
        "eval identity --accounts NUMBER",
        "demo --creators NUMBER",
        "serve --port NUMBER",
    ],
)
def test_a_number_that_is_none_or_beyond_bounds_is_refused_by_name(command: str, number: str, tmp_path: Path) -> None:
    """No daemon runs there: what gets as far as asking it ends with another code."""
    words = [number if word == "NUMBER" else word for word in command.split()]
    done = run(*words, *(["--data-dir", str(tmp_path)] if words[0] not in ("deploy", "eval") else []))
    assert done.exit_code == 2, (done.output, done.exception)
    assert "Invalid value for" in done.output or "No such option" in done.output, done.output


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e+09", "-1", "0"])
@pytest.mark.parametrize(
    ("command", "bounds"),
    [
        ("ctl profile --data-dir HERE --seconds NUMBER", "seconds: expected more than 0 and at most 60, not NUMBER"),
        (
            "ctl importance --data-dir HERE -- NUMBER @ana",
            "an importance of NUMBER: expected 0.01 to 100; 1 is everybody's",
        ),
    ],
)
def test_the_bounds_are_named_as_the_daemon_names_them(command: str, bounds: str, number: str, tmp_path: Path) -> None:
    done = run(*(number if word == "NUMBER" else word.replace("HERE", str(tmp_path)) for word in command.split()))
    assert isinstance(done.exception, Malformed)
    assert str(done.exception) == bounds.replace("NUMBER", number)


@pytest.mark.parametrize("number", ["100000000", "1e12"])
@pytest.mark.parametrize("command", ["demo --creators", "eval ingestion --accounts", "eval identity --accounts"])
def test_a_world_is_no_larger_than_it_can_be_made(command: str, number: str) -> None:
    assert run(*command.split(), number).exit_code == 2


@pytest.mark.parametrize(
    ("weight", "most"), [("keyword=nan", "1"), ("quality=inf", "1"), ("vector=-0.1", "1"), ("yt_bio=nan", "1,000,000")]
)
@pytest.mark.parametrize("command", ["set", "what-if"])
def test_a_weight_beyond_its_bounds_is_named_with_them(command: str, weight: str, most: str, tmp_path: Path) -> None:
    done = run("ctl", "weights", command, weight, "--data-dir", str(tmp_path))
    assert isinstance(done.exception, Malformed)
    name, _, number = weight.partition("=")
    assert str(done.exception) == f"the weight {name} must be a number from 0 to {most}, not {number}"


@pytest.mark.parametrize("number", ["1000000000000", "100000000000000000000000000000", "0", "nan"])
def test_a_map_that_no_process_can_address_is_refused(tmp_path: Path, number: str) -> None:
    settings = tmp_path / "pokedexd.toml"
    settings.write_text(f"[storage]\nmap_size_gib = {number}\n")
    done = run("config", "check", "--config", str(settings))
    assert isinstance(done.exception, ConfigError) and "storage.map_size_gib" in str(done.exception)


COMMANDS = [
    "keys create",
    "keys list",
    "keys revoke ci",
    "tenants create acme",
    "tenants list",
    "tenants remove acme --yes",
    "audit tail",
    "audit verify",
    "raw export @ana",
    "reindex",
    "migrate",
    "reprocess",
    "forget youtube:ana",
    "backup /nowhere/b",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_misspelt_data_directory_is_refused_and_not_made(command: str, tmp_path: Path) -> None:
    done = run(*command.split(), "--data-dir", str(tmp_path / "TYPO"))
    assert isinstance(done.exception, ConfigError)
    for words in (str(tmp_path / "TYPO"), "pokedexd init", "pokedexd serve"):
        assert words in str(done.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["keys create", "reindex"])
def test_a_data_directory_that_cannot_be_looked_into_is_named(command: str, tmp_path: Path) -> None:
    done = run(*command.split(), "--data-dir", str(tmp_path / ("x" * 300)))
    assert isinstance(done.exception, ConfigError)
    assert "cannot be looked into: File name too long" in str(done.exception)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_of_something_else_is_left_alone(command: str, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    assert isinstance(run(*command.split(), "--data-dir", str(tmp_path)).exception, ConfigError)
    assert [one.name for one in tmp_path.iterdir()] == ["letters.txt"]


def test_a_first_key_can_be_made_before_the_first_start(tmp_path: Path) -> None:
    """Beyond loopback the daemon asks for one."""
    assert run("init", "--yes", "--data-dir", str(tmp_path / "d"), "--config", str(tmp_path / "p.toml")).exit_code == 0
    assert run("keys", "create", "--data-dir", str(tmp_path / "d")).stdout.startswith("pkd_")


def test_an_import_tells_that_it_begins_a_data_directory(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("@ana_cooks\n")
    for said in (f"{tmp_path / 'new'}: a new data directory\n", ""):
        done = run("import", str(tmp_path / "list.csv"), "--data-dir", str(tmp_path / "new"))
        assert (done.exit_code, done.stderr) == (0, said)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("init --yes --config HERE/p.toml --data-dir FILE", ConfigError),
        ("init --yes --config FILE/p.toml --data-dir HERE/data", ConfigError),
        ("init --yes --config HERE/p.toml --unit FILE --data-dir HERE/data", ConfigError),
        ("demo --creators 1 --data-dir FILE", Unavailable),
        ("keys create --data-dir FILE", ConfigError),
        ("model build --to FILE", Malformed),
        ("model build --to HERE", Malformed),
        ("deploy grafana --output FILE", Unavailable),
        ("restore FILE --without-suppression --data-dir FILE", ConfigError),
        ("import FILE --data-dir FILE", Unavailable),
        ("import HERE --data-dir HERE/data", Malformed),
        ("verify HERE", Malformed),
        ("config check --config HERE", ConfigError),
    ],
)
def test_a_file_in_the_place_of_a_folder_is_named_and_left_alone(
    command: str, kind: type[Exception], tmp_path: Path
) -> None:
    file = tmp_path / "FILE"
    file.write_text("mine")
    done = run(*(word.replace("FILE", str(file)).replace("HERE", str(tmp_path)) for word in command.split()))
    assert isinstance(done.exception, kind), (done.output, done.exception)
    assert str(tmp_path) in str(done.exception)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("FILE", "mine")]


def test_a_tenant_that_is_none_is_told_before_anything_is_asked(data: Path) -> None:
    done = run("tenants", "remove", "nope", "--data-dir", str(data), answer="y\n")
    assert isinstance(done.exception, NotFound)
    assert (str(done.exception).partition(";")[0], done.output) == ("no tenant 'nope'", "")
    assert run("tenants", "remove", "acme", "--data-dir", str(data), answer="y\n").exit_code == 0


@pytest.mark.parametrize("command", ["audit tail", "keys list"])
def test_of_a_tenant_that_is_none_nothing_is_listed(command: str, data: Path) -> None:
    assert run("tenants", "remove", "acme", "--yes", "--data-dir", str(data)).exit_code == 0
    unknown = run(*command.split(), "--tenant", "nope", "--data-dir", str(data))
    assert isinstance(unknown.exception, NotFound)
    assert "no tenant 'nope'" in str(unknown.exception)
    for known in ("acme", "default"):
        assert run(*command.split(), "--tenant", known, "--data-dir", str(data)).exit_code == 0


def test_the_dump_names_the_places_and_is_toml(tmp_path: Path) -> None:
    done = run("config", "dump", "--data-dir", str(tmp_path / "data"))
    assert done.stdout.splitlines()[:3] == [
        f"# data directory: {tmp_path / 'data'}",
        f"# suppression journal: {tmp_path / 'data.suppression'}",
        f"# admin socket: {tmp_path / 'data' / 'admin.sock'}",
    ]
    assert tomllib.loads(done.stdout)["daemon"]["data_dir"] == str(tmp_path / "data")
    assert run("config", "dump").stdout.startswith(f"# data directory: {tmp_path / 'home'}/.local/share/pokedexd\n")


def certificate(folder: Path, *, begins_in_days: float = -1, ends_in_days: float = 90) -> tuple[Path, Path]:
    now = datetime.now(UTC)
    issued = trustme.CA().issue_cert(
        "127.0.0.1", not_before=now + timedelta(days=begins_in_days), not_after=now + timedelta(days=ends_in_days)
    )
    folder.mkdir()
    cert, key = folder / "cert.pem", folder / "key.pem"
    issued.private_key_pem.write_to_path(str(key))
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    return cert, key


def settings_with(folder: Path, cert: Path, key: Path) -> str:
    settings = folder / "pokedexd.toml"
    settings.write_text(f'[http]\ntls_cert_file = "{cert}"\ntls_key_file = "{key}"\n')
    return str(settings)


def doctored(settings: str, data: Path) -> list[tuple[str, str]]:
    """What the doctor finds of TLS."""
    done = run("doctor", "--offline", "--json", "--config", settings, "--data-dir", str(data))
    return [(one["severity"], one["text"]) for one in json.loads(done.stdout)["findings"] if one["check"] == "tls"]


def test_a_certificate_that_serves_passes_and_one_that_ends_soon_is_warned_of(tmp_path: Path, data: Path) -> None:
    sound = settings_with(tmp_path, *certificate(tmp_path / "sound"))
    assert run("config", "check", "--config", sound).exit_code == 0
    assert doctored(sound, data) == []
    soon = settings_with(tmp_path, *certificate(tmp_path / "soon", ends_in_days=3))
    assert run("config", "check", "--config", soon).exit_code == 0
    ((severity, text),) = doctored(soon, data)
    assert (severity, "ends in 3.0 days" in text or "ends in 2.9 days" in text) == ("warning", True)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("absent", "No such file"),
        ("folder", "cannot be used"),
        ("nonsense", "cannot be used"),
        ("other key", "KEY_VALUES_MISMATCH"),
        ("ended", "certificate has expired"),
        ("not begun", "certificate is not yet valid"),
    ],
)
def test_what_no_client_could_be_served_with_is_found_before_the_start(
    fault: str, words: str, tmp_path: Path, data: Path
) -> None:
    days: dict[str, Any] = {
        "ended": {"begins_in_days": -90, "ends_in_days": -1},
        "not begun": {"begins_in_days": 1, "ends_in_days": 90},
    }
    cert, key = certificate(tmp_path / "one", **days.get(fault, {}))
    if fault == "absent":
        cert.unlink()
    elif fault == "folder":
        key.unlink()
        key.mkdir()
    elif fault == "nonsense":
        cert.write_text("nonsense")
    elif fault == "other key":
        _, key = certificate(tmp_path / "two")
    settings = settings_with(tmp_path, cert, key)
    done = run("config", "check", "--config", settings)
    assert isinstance(done.exception, ConfigError), done.exception
    assert (words in str(done.exception), str(cert) in str(done.exception)) == (True, True), done.exception
    ((severity, text),) = doctored(settings, data)
    assert (severity, words in text) == ("fault", True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[admin]\nkey_file = "/nowhere/key"\n', "admin.key_file"),
        ('[oidc]\nissuer = "https://i"\naudience = "a"\njwks_file = "/nowhere/keys"\n', "oidc.jwks_file"),
    ],
)
def test_other_files_that_the_start_reads_are_looked_at_too(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(text)
    done = run("config", "check", "--config", str(tmp_path / "p.toml"))
    assert isinstance(done.exception, ConfigError) and words in str(done.exception)


def test_settings_that_a_start_over_this_store_refuses_are_no_good(tmp_path: Path, data: Path) -> None:
    (tmp_path / "p.toml").write_text('[http]\nhost = "0.0.0.0"\n')
    check = ("config", "check", "--config", str(tmp_path / "p.toml"), "--data-dir")
    refused = run(*check, str(data))
    assert isinstance(refused.exception, ConfigError)
    assert "'0.0.0.0' is not loopback, and there is no key yet" in str(refused.exception)
    nowhere = run(*check, str(tmp_path / "new"))
    assert (nowhere.exit_code, "warning: http.host" in nowhere.stdout) == (0, True)
    assert run("keys", "create", "--data-dir", str(data)).exit_code == 0
    checked = run(*check, str(data))
    assert (checked.exit_code, "warning" in checked.stdout) == (0, False)


def test_a_demo_goes_into_no_store_of_another_kind(tmp_path: Path) -> None:
    Environment(tmp_path / "data", map_size_bytes=1 << 24).close()
    refused = run("demo", "--data-dir", str(tmp_path / "data"), "--port", "0")
    assert isinstance(refused.exception, ConfigError)
    assert "holds a store that is no demo's; choose another --data-dir" in str(refused.exception)
    assert not (tmp_path / "data" / "demo.json").exists()


def test_a_demo_needs_no_keys_and_no_backups(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with contextlib.closing(Environment(folder, map_size_bytes=1 << 30)):
        (folder / "demo.json").write_text("{}")
    checked = []
    for _ in range(2):
        done = run("doctor", "--offline", "--json", "--data-dir", str(folder))
        found = [one for one in json.loads(done.stdout)["findings"] if one["check"] in ("keys", "backup")]
        checked.append([(one["severity"]) for one in found])
        (folder / "demo.json").unlink(missing_ok=True)
    assert checked[0] == ["note"]
    assert checked[1].count("warning") >= 2


@pytest.mark.parametrize(
    "command", ["backup BACKUP.again", "verify BACKUP", "reprocess", "doctor --offline", "migrate"]
)
def test_what_goes_to_a_pipe_begins_with_a_word_and_holds_no_progress(command: str, data: Path) -> None:
    file = data.parent / "one.backup"
    assert run("backup", str(file), "--data-dir", str(data)).exit_code == 0
    where = ["--data-dir", str(data)] if not command.startswith("verify") else []
    done = run_cli(*command.replace("BACKUP", str(file)).split(), *where)
    assert done.stderr == ""
    assert done.stdout.strip() and done.stdout[0] != "\n"


def test_accounts_are_spoken_of_where_any_platform_is_meant(data: Path) -> None:
    for reference in ("a b", "http://example.com/x"):
        done = run("raw", "export", reference, "--data-dir", str(data))
        assert isinstance(done.exception, Malformed)
        assert "account" in str(done.exception) and "channel" not in str(done.exception)


@pytest.mark.parametrize("more", [[], ["--creators"]])
def test_verdicts_never_take_the_place_of_the_list(tmp_path: Path, more: list[str]) -> None:
    file, link = tmp_path / "list", tmp_path / "link"
    file.write_text("@somebody\n")
    link.symlink_to(file)
    for place in (file, link):
        done = run("import", str(file), "--verdicts", str(place), "--data-dir", str(tmp_path / "data"), *more)
        assert isinstance(done.exception, ConfigError)
        assert "is the list itself" in str(done.exception)
    assert file.read_text() == "@somebody\n"
    assert not (tmp_path / "data").exists()
