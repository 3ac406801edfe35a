from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config import (
    SECRETS,
    Config,
    DaemonConfig,
    HttpConfig,
    Loaded,
    LogConfig,
    SearchConfig,
    YouTubeConfig,
    admin_socket_path,
    data_dir,
    dump,
    known_keys,
    load,
    reloadable,
    value_at,
    variable_of,
    youtube_keys,
)
from proto.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "pokedexd.toml"
SECRET = "AIza-very-secret"
KEY_VARIABLE = "POKEDEXD_PLATFORMS__YOUTUBE__KEY"
GRANTED = {"POKEDEXD_PLATFORMS__YOUTUBE__DERIVED_DATA": "granted"}


def written(folder: Path, text: str) -> Path:
    path = folder / "pokedexd.toml"
    path.write_text(text)
    return path


def refused(
    path: Path | None, environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {}, overrides or {})
    return str(caught.value)


def test_the_shipped_file_holds_every_setting_with_its_default() -> None:
    loaded = load(SHIPPED, {}, {})
    assert loaded.config == Config()
    assert {key for key, origin in loaded.origin.items() if origin == "file"} == set(known_keys()) - set(SECRETS)


def test_every_setting_of_the_shipped_file_has_a_comment() -> None:
    lines = SHIPPED.read_text().splitlines()
    settings = [number for number, line in enumerate(lines) if "=" in line and not line.startswith("#")]
    assert len(settings) == len(known_keys()) - len(SECRETS)
    assert all(lines[number - 1].startswith("# ") for number in settings)


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    path = written(tmp_path, "[http]\nport = 1\nkeep_alive_seconds = 1\nmax_connections = 1\n[log]\nlevel = 'error'\n")
    environ = {"POKEDEXD_HTTP__PORT": "2", "POKEDEXD_HTTP__KEEP_ALIVE_SECONDS": "2.5"}
    loaded = load(path, environ, {"http.port": 3, "http.socket": None})
    http = loaded.config.http
    assert (http.port, http.keep_alive_seconds, http.max_connections, http.socket) == (3, 2.5, 1, "")
    origins = [loaded.origin[f"http.{name}"] for name in ("port", "keep_alive_seconds", "max_connections", "socket")]
    assert origins == ["flag", "environment", "file", "default"]
    assert loaded.config.log.level == "error"


def test_the_environment_can_set_every_kind_of_value() -> None:
    environ = {
        "POKEDEXD_DAEMON__CLOCK_FROZEN": "true",
        "POKEDEXD_HTTP__ALLOWED_HOSTS": '["a.lan", "b.lan"]',
        "POKEDEXD_SEARCH__FIELD_WEIGHTS": '{"yt_bio": 2}',
        "POKEDEXD_PLATFORMS__YOUTUBE__PROJECT": "[brackets]",
        "POKEDEXD_CONFIG": "not a setting",
        "POKEDEXD_DATA_DIR": "not a setting",
        "PATH": "not ours",
    }
    config = load(None, environ, {}).config
    assert config.daemon.clock_frozen
    assert config.http.allowed_hosts == ["a.lan", "b.lan"]
    assert config.search.field_weights == {"yt_bio": 2.0}
    assert config.platforms.youtube.project == "[brackets]"


def keyed(key: str, project: str = "default") -> YouTubeConfig:
    environ = {
        "POKEDEXD_PLATFORMS__YOUTUBE__KEY": key,
        "POKEDEXD_PLATFORMS__YOUTUBE__PROJECT": project,
        "POKEDEXD_PLATFORMS__YOUTUBE__DERIVED_DATA": "denied",
    }
    return load(None, environ, {}).config.platforms.youtube


A, B = "AIzaAAAA1", "AIzaBBBB2"


@pytest.mark.parametrize(
    ("key", "project", "keys"),
    [
        (A, "default", [A]),
        (f"{A}, {B}\n{A}\n", "default", [A, B]),
        (f"mine:{A} mine:{B}", "mine", [A, B]),
        (f"mine:{A} {B}", "mine", [A, B]),
        (f"mine:{A} mine:{B}", "default", [A, B]),
        (f"example.com:mine:{A} example.com:mine:{B}", "default", [A, B]),
        ("", "default", []),
    ],
)
def test_several_keys_of_one_project(key: str, project: str, keys: list[str]) -> None:
    assert youtube_keys(keyed(key, project)) == keys


@pytest.mark.parametrize("source", ["CHARTS", "SEARCHES"])
def test_a_source_that_looks_nowhere_is_told(source: str) -> None:
    with pytest.raises(ConfigError, match=rf"discover_from_{source.lower()}_per_day: no .* is empty"):
        load(None, {f"POKEDEXD_INGESTION__DISCOVER_FROM_{source}_PER_DAY": "5"}, {})


@pytest.mark.parametrize("key", [f"{A},AIzaäBBB2", f"{A} short", f"mine:{A} mine:", f"{A},AIzaBB2"])
def test_what_is_no_key_is_refused_unseen(key: str) -> None:
    """Neither what fits no header nor what is too short to be masked where a platform repeats it."""
    with pytest.raises(ConfigError, match=r"platforms\.youtube\.key: holds something that is no key") as raised:
        keyed(key)
    assert not any(part in str(raised.value) for part in ("AIz", "short", "mine"))


def test_a_key_in_the_place_of_its_project_is_refused_unseen() -> None:
    with pytest.raises(
        ConfigError, match=r"platforms\.youtube\.key: holds a key in the place of its project"
    ) as raised:
        keyed(f"{A}:some-project-1")
    assert not any(part in str(raised.value) for part in ("AIza", "some-project"))


@pytest.mark.parametrize(
    ("key", "project"),
    [
        (f"a:{A},b:{B}", "default"),
        (f"b:{A} {B}", "mine"),
        (f"b:{A} b:{B}", "mine"),
        (f"{A},b:{B}", "default"),
        (f"example.com:a:{A} example.com:b:{B}", "default"),
    ],
)
def test_a_second_project_is_refused_with_the_reason(key: str, project: str) -> None:
    with pytest.raises(ConfigError, match=r"platforms.youtube.key: holds keys of 2 projects .*one project") as raised:
        keyed(key, project)
    assert not any(part in str(raised.value) for part in ("AIza", "example.com", "mine"))


def test_searches_are_stripped_and_made_once() -> None:
    name = "POKEDEXD_PLATFORMS__YOUTUBE__SEARCH_QUERIES"
    longest = "x" * 100

    def queries(text: str) -> list[str]:
        return load(None, {name: text}, {}).config.platforms.youtube.search_queries

    assert queries(f'[" cooking", "yoga", "cooking\\n", "  {longest}  "]') == ["cooking", "yoga", longest]
    assert queries("[]") == []
    for wrong in ('["  "]', f'["{longest}y"]'):
        assert "expected 1 to 100 characters each" in refused(None, {name: wrong})


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        storage = 5
        [htpp]
        port = 1
        [http]
        prot = 1
        port = "80"
        max_connections = 0
        [search]
        keyword_weight = nan
        """,
    )
    text = refused(path, {"POKEDEXD_HTTP__PROT": "1", "POKEDEXD_LOG__LEVEL": "info", "POKEDEXD_HTTP__PORT": "x"})
    lines = text.splitlines()
    assert len(lines) == 8
    assert f"{path}: storage is a section, written [storage]; found 5" in lines
    assert f"{path}: unknown setting 'htpp.port'; did you mean 'http.port'?" in lines
    assert f"{path}: unknown setting 'http.prot'; did you mean 'http.port'?" in lines
    assert f"{path}: http.port: expected `int`, got `str`; found '80'" in lines
    assert f"{path}: http.max_connections: expected `int` >= 1; found 0" in lines
    assert "environment: unknown variable POKEDEXD_HTTP__PROT; did you mean 'POKEDEXD_HTTP__PORT'?" in lines
    assert "environment POKEDEXD_HTTP__PORT: http.port: expected `int`, got `str`; found 'x'" in lines
    assert any("search.keyword_weight" in line for line in lines)


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"port = ", "not valid TOML"), (b"a = '\xff'", "byte 5 is 0xff"), (b"[a]\n[a]\n", "not valid TOML")],
)
def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(data)
    text = refused(path)
    assert text.startswith(f"{path}: ")
    assert words in text


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refused(tmp_path / "absent.toml")
    assert "cannot be read: Is a directory" in refused(tmp_path)


def test_an_unknown_flag_is_refused() -> None:
    assert "flag: unknown setting 'http.prot'" in refused(None, {}, {"http.prot": 1})


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("http.require_key", "maybe", "not one of auto, always, never"),
        ("http.allowed_hosts", ["http://a.lan"], "no bare names"),
        ("storage.backend", "postgres", "expected 'lmdb'"),
        ("log.level", "loud", "not one of debug, info, warning, error"),
        ("log.format", "xml", "neither 'text' nor 'json'"),
        ("admin.port", -2, "not a port"),
        ("admin.port", 70_000, "not a port"),
        ("daemon.clock_at", "yesterday", "RFC 3339"),
        ("daemon.clock_at", "2026-01-01T00:00:00", "RFC 3339"),
        ("daemon.drain_seconds", float("inf"), "expected `float` <= 1000000000"),
        ("daemon.drain_seconds", 0, "expected `float` > 0"),
        ("search.field_weights", {"tt_bio": 1.0}, "expected some of yt_bio"),
        ("search.field_weights", {"yt_bio": -1.0}, "0 or more"),
        ("search.field_weights", {"yt_bio": float("nan")}, "0 or more"),
        ("search.boosts", {"nam": 1.0}, "expected some of name, handle"),
        ("search.boosts", {"name": -1.0}, "expected 0 to 1000"),
        ("search.vector_rows", "int4", "expected one of auto, float32, int8, found 'int4'"),
        ("search.capacity_creators", -1, "expected `int` >= 0"),
        ("platforms.youtube.derived_data", "perhaps", "neither 'granted' nor 'denied'"),
    ],
)
def test_values_that_make_no_sense_are_refused(key: str, value: object, words: str) -> None:
    text = refused(None, {}, {key: value})
    assert text.startswith(f"flag: {key}: ")
    assert words in text


@pytest.mark.parametrize("value", [10**30, 1e300, -(10**30), float("nan"), float("inf")])
def test_no_number_is_beyond_bounds(value: float) -> None:
    """Whatever setting it is of."""
    zero = load(None, {}, {}).config
    numbers = [key for key in known_keys() if type(value_at(zero, key)) in (int, float)]
    assert len(numbers) > 80
    for key in numbers:
        with pytest.raises(ConfigError, match=re.escape(key)):
            load(None, {}, {key: value})


def test_what_makes_no_sense_is_said_with_its_place(tmp_path: Path) -> None:
    path = written(tmp_path, "[log]\nlevel = 'loud'\n")
    text = refused(path, {"POKEDEXD_STORAGE__BACKEND": "sqlite"})
    assert f"{path}: log.level: 'loud'" in text
    assert "environment POKEDEXD_STORAGE__BACKEND: storage.backend: 'sqlite'" in text


def test_good_values_at_the_edge_are_taken() -> None:
    values = {
        "http.host": "::1",
        "http.port": 0,
        "http.allowed_hosts": ["pokedex.lan", "::1", "10.0.0.7"],
        "admin.port": -1,
        "daemon.clock_at": "2026-01-31T12:00:00Z",
        "search.field_weights": {"ig_bio": 0.0},
    }
    assert load(None, {}, values).config.http.port == 0


def test_a_secret_in_the_file_is_refused_without_being_repeated(tmp_path: Path) -> None:
    text = refused(written(tmp_path, f"[platforms.youtube]\nkey = '{SECRET}'\n"))
    assert "use platforms.youtube.key_file or POKEDEXD_PLATFORMS__YOUTUBE__KEY" in text
    assert SECRET not in text


def test_a_live_platform_must_state_derived_data() -> None:
    assert "must be stated" in refused(None, {KEY_VARIABLE: SECRET})
    load(None, {KEY_VARIABLE: SECRET, "POKEDEXD_PLATFORMS__YOUTUBE__ENABLED": "false"}, {})


@pytest.mark.parametrize("way", ["environment", "credential", "key_file"])
def test_a_secret_comes_from_outside_the_file_and_is_masked(tmp_path: Path, way: str) -> None:
    (tmp_path / "youtube-key").write_text(SECRET + "\n")
    environ = {
        "environment": {KEY_VARIABLE: SECRET},
        "credential": {"CREDENTIALS_DIRECTORY": str(tmp_path)},
        "key_file": {"POKEDEXD_PLATFORMS__YOUTUBE__KEY_FILE": str(tmp_path / "youtube-key")},
    }[way]
    loaded = load(None, environ | GRANTED, {})
    assert loaded.config.platforms.youtube.key == SECRET
    assert loaded.origin["platforms.youtube.key"] == way
    text = dump(loaded)
    assert SECRET not in text
    assert f'key = "********"  # {way}' in text


def test_the_environment_beats_a_credential(tmp_path: Path) -> None:
    (tmp_path / "youtube-key").write_text("from the credential")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), KEY_VARIABLE: SECRET} | GRANTED
    assert load(None, environ, {}).config.platforms.youtube.key == SECRET


def test_the_admin_key_may_be_a_credential(tmp_path: Path) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert load(None, environ, {}).config.admin.key_file == ""
    (tmp_path / "admin-key").write_text(SECRET)
    loaded = load(None, environ, {})
    assert loaded.config.admin.key_file == str(tmp_path / "admin-key")
    assert loaded.origin["admin.key_file"] == "credential"


def test_unreadable_secrets_are_named(tmp_path: Path) -> None:
    (tmp_path / "youtube-key").write_bytes(b"\xff\xfe")
    assert "credential youtube-key: cannot be read" in refused(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    absent = {"POKEDEXD_PLATFORMS__YOUTUBE__KEY_FILE": str(tmp_path / "absent")}
    assert "platforms.youtube.key_file" in refused(None, absent)


def test_the_dump_is_toml_that_loads_to_the_same_settings(tmp_path: Path) -> None:
    loaded = load(None, {"POKEDEXD_HTTP__PORT": "2"}, {"http.allowed_hosts": ["a.lan"], "daemon.data_dir": "/data"})
    text = dump(loaded)
    assert "port = 2  # environment" in text
    assert 'data_dir = "/data"  # flag' in text
    assert "keep_alive_seconds = 15.0  # default" in text
    without_secrets = "".join(line for line in text.splitlines(True) if not line.startswith(("key = ", "tokens = ")))
    assert load(written(tmp_path, without_secrets), {}, {}).config == loaded.config


@given(st.text(), st.floats(min_value=0, exclude_min=True, allow_nan=False, allow_infinity=False))
def test_any_value_survives_the_dump(text: str, seconds: float) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    config = Config(daemon=DaemonConfig(data_dir=text, drain_seconds=seconds))
    dumped = dump(Loaded(config=config, origin=dict.fromkeys(known_keys(), "flag"), path=None))
    section = tomllib.loads(dumped)["daemon"]
    assert (section["data_dir"], section["drain_seconds"]) == (text, seconds)


def test_every_setting_has_its_variable() -> None:
    assert variable_of("platforms.youtube.key") == KEY_VARIABLE
    assert len({variable_of(key) for key in known_keys()}) == len(known_keys())


def test_the_data_directory_has_an_order() -> None:
    environ = {"POKEDEXD_DATA_DIR": "/b", "STATE_DIRECTORY": "/c:/d", "HOME": "/home/x"}
    assert data_dir(Config(daemon=DaemonConfig(data_dir="/a")), environ) == Path("/a")
    assert data_dir(Config(), environ) == Path("/b")
    del environ["POKEDEXD_DATA_DIR"]
    assert data_dir(Config(), environ) == Path("/c")
    assert data_dir(Config(), {}) == Path.home() / ".local" / "share" / "pokedexd"
    assert data_dir(Config(daemon=DaemonConfig(data_dir="~/x")), {}) == Path.home() / "x"


def test_the_admin_socket_has_an_order() -> None:
    data = Path("/data")
    environ = {"RUNTIME_DIRECTORY": "/run/pokedexd:/run/other"}
    stated = load(None, {}, {"admin.socket": "/s.sock"}).config
    assert admin_socket_path(stated, environ, data) == Path("/s.sock")
    assert admin_socket_path(Config(), environ, data) == Path("/run/pokedexd/admin.sock")
    assert admin_socket_path(Config(), {}, data) == Path("/data/admin.sock")


def test_what_a_reload_takes_over_is_told_from_what_needs_a_restart() -> None:
    new = Config(
        log=LogConfig(level="debug"),
        search=SearchConfig(keyword_weight=0.5, ef=300),
        http=HttpConfig(port=1, allowed_hosts=["a.lan"]),
    )
    applied, needs_restart = reloadable(Config(), new)
    assert applied == ["http.allowed_hosts", "search.keyword_weight", "log.level"]
    assert needs_restart == ["http.port", "search.ef"]
    assert reloadable(new, new) == ([], [])


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(AttributeError):
        Config().http.port = 1  # type: ignore[misc]
    assert msgspec.structs.replace(Config(), log=LogConfig(level="error")) != Config()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"http.host": "0.0.0.0", "http.require_key": "never"}, "'never' is for loopback"),
        ({"oidc.jwks_file": "keys.json", "http.tls_cert_file": "cert.pem"}, "tls_key_file: is not set"),
        ({"oidc.jwks_file": "keys.json", "http.tls_key_file": "key.pem"}, "tls_cert_file: is not set"),
        ({"oidc.jwks_file": "keys.json", "oidc.issuer": ""}, "who signs the tokens?"),
        ({"oidc.jwks_file": "keys.json", "oidc.audience": ""}, "tokens for others"),
        ({"oidc.jwks_url": "http://id.example/keys"}, "is no https URL"),
        ({"oidc.jwks_url": "http://127.0.0.1:9/keys"}, "oidc.allow_private_address"),
        ({"oidc.jwks_url": "https://id.example/keys", "oidc.jwks_file": "keys.json"}, "expected either it or"),
        ({"oidc.jwks_file": "keys.json", "oidc.scopes": ["serch"]}, "are no scopes"),
        ({"oidc.jwks_file": "keys.json", "oidc.scopes": ["admin"]}, "oidc.allow_admin"),
        ({"oidc.jwks_file": "keys.json", "oidc.tenant": ""}, "oidc.tenant"),
    ],
)
def test_access_settings_that_make_no_sense_together_are_refused(overrides: dict[str, object], words: str) -> None:
    assert words in refused(None, {}, {"oidc.issuer": "https://id.example", "oidc.audience": "us", **overrides})
