"""Settings as strict structs; whatever is wrong with one is told with file, key, what was expected and a near match."""

from __future__ import annotations

import difflib
import sys
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from proto.errors import ConfigError

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Section(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Base of every section."""


def even_weights() -> dict[str, float]:
    """Every vector field counts alike."""
    return dict.fromkeys(("yt_bio", "yt_content", "ig_bio", "ig_captions"), 1.0)


class HttpConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: Port = 7151
    socket: str = ""
    """Path of an additional unix socket; empty for none."""
    allowed_hosts: list[str] = []
    """Names accepted in Host and Origin besides loopback's."""
    max_body_bytes: Positive = 1_048_576
    max_connections: Positive = 512
    request_timeout_seconds: Seconds = 30.0
    keep_alive_seconds: Seconds = 15.0


class AdminConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    socket: str = ""
    """Empty: ``$RUNTIME_DIRECTORY/admin.sock``, else ``admin.sock`` in the data dir."""
    port: int = -1
    """-1: no TCP; 0: any free port."""
    key_file: str = ""
    """File with the key that the TCP listener asks for."""


class YouTubeConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    base_url: str = "https://www.googleapis.com/youtube/v3"
    project: str = "default"
    key: str = ""
    """Never in the file: environment ``POKEDEXD_PLATFORMS__YOUTUBE__KEY`` or a credential."""
    key_file: str = ""
    derived_data: str = ""
    """``granted`` or ``denied``; a live configuration must state it."""
    general_units_per_day: Positive = 10_000
    search_calls_per_day: Positive = 100
    stats_units_per_day: Positive = 10_000
    requests_per_second: Seconds = 5.0
    recent_items: Positive = 20
    backfill_items: int = 500
    """How far back a channel's uploads are listed at first sight; 0 for no limit."""
    workers: Positive = 4
    call_timeout_seconds: Seconds = 30.0


class PlatformsConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    youtube: YouTubeConfig = YouTubeConfig()


class ModelConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    dir: str = ""
    """Folder with ``model.onnx`` and ``tokenizer.json``; empty: the one that ``pokedexd model build`` writes."""
    sessions: Positive = 2
    batch: Positive = 8
    max_tokens: Positive = 128


class SearchConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    keyword_weight: Share = 0.6
    vector_weight: Share = 0.35
    quality_weight: Share = 0.05
    field_weights: dict[str, float] = msgspec.field(default_factory=even_weights)
    candidates: Positive = 200
    """Top K of keyword search and of each vector field."""
    exact_scan_below: Positive = 50_000
    ef: Positive = 200
    query_cache: Positive = 1_000


class PipelineConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    channel_capacity: Positive = 64
    batch: Positive = 64
    resend_after_seconds: Seconds = 60.0
    max_attempts: Positive = 5


class StorageConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    backend: str = "lmdb"
    map_size_gib: Positive = 64
    snapshot_minutes: Positive = 10
    """How often the vector graphs are saved while they change."""


class LogConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    level: str = "info"
    format: str = "text"
    """``text`` (key=value) or ``json``."""


class DaemonConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    data_dir: str = ""
    drain_seconds: Seconds = 20.0
    switch_interval_seconds: Seconds = 0.0005
    """``sys.setswitchinterval``: a busy thread otherwise costs each engine call 5 ms."""
    clock_at: str = ""
    """RFC 3339 instant at which time starts; empty for the real clock. For worlds that play in the past."""
    clock_frozen: bool = False


class Config(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    daemon: DaemonConfig = DaemonConfig()
    http: HttpConfig = HttpConfig()
    admin: AdminConfig = AdminConfig()
    platforms: PlatformsConfig = PlatformsConfig()
    model: ModelConfig = ModelConfig()
    search: SearchConfig = SearchConfig()
    pipeline: PipelineConfig = PipelineConfig()
    storage: StorageConfig = StorageConfig()
    log: LogConfig = LogConfig()


PREFIX = "POKEDEXD_"
OTHER_VARIABLES = {"POKEDEXD_CONFIG", "POKEDEXD_DATA_DIR"}
SECRETS = {"platforms.youtube.key": "youtube-key"}
"""Settings that never stand in the file, and the name of the credential that may hold each."""

LEVELS = ("debug", "info", "warning", "error")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
RELOADABLE = (
    "log.",
    "search.keyword_weight",
    "search.vector_weight",
    "search.quality_weight",
    "search.field_weights",
    "http.allowed_hosts",
)
"""What a running daemon takes over on SIGHUP; everything else needs a restart."""


class Loaded(msgspec.Struct, kw_only=True, frozen=True):
    """The effective settings and where each came from: default, file, environment, credential or flag."""

    config: Config
    origin: dict[str, str]
    path: Path | None


def load(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Any]) -> Loaded:
    """Flag over environment over file over default. Raises ConfigError with every problem found."""
    known = known_keys()
    problems: list[str] = []
    values: dict[str, Any] = {}
    origin = dict.fromkeys(known, "default")
    layers = (
        ("file", str(path), _file_values(path, problems)),
        ("environment", "environment", _environment_values(environ, known, problems)),
        ("credential", "credential", _credential_values(environ)),
        ("flag", "flag", {key: value for key, value in overrides.items() if value is not None}),
    )
    for name, place, layer in layers:
        for key, value in layer.items():
            if key not in known:
                problems.append(f"{place}: unknown setting {key!r}{_near(key, known)}")
            elif name == "file" and key in SECRETS:
                problems.append(
                    f"{place}: {key}: a secret does not belong in the file; use {key}_file or {variable_of(key)}"
                )
            else:
                problem = _check(known[key], value, strict=name == "file")
                if problem:
                    problems.append(f"{place}: {key}: {problem}")
                values[key], origin[key] = value, name
    if problems:
        raise ConfigError("\n".join(problems))
    config = msgspec.convert(_nested(values), Config, strict=False)
    config = _with_secret_files(config, origin)
    wrong = semantic_problems(config)
    if wrong:
        raise ConfigError("\n".join(f"{_place(key, origin, path)}: {text}" for key, text in wrong))
    return Loaded(config=config, origin=origin, path=path)


def known_keys(section: type[Section] = Config, prefix: str = "") -> dict[str, Any]:
    """Every setting by its dotted key, with its type."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(section):
        key = prefix + field.name
        if isinstance(field.type, type) and issubclass(field.type, Section):
            found |= known_keys(field.type, key + ".")
        else:
            found[key] = field.type
    return found


def variable_of(key: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + key.upper().replace(".", "__")


def semantic_problems(config: Config) -> list[tuple[str, str]]:
    """What no type says: (key, problem)."""
    found: list[tuple[str, str]] = []
    if config.http.host not in LOOPBACK:
        found.append(
            (
                "http.host",
                f"{config.http.host!r} is not loopback; beyond it a key is needed, and this version has no keys",
            )
        )
    if config.storage.backend != "lmdb":
        found.append(("storage.backend", f"{config.storage.backend!r} is not known; expected 'lmdb'"))
    if config.log.level not in LEVELS:
        found.append(("log.level", f"{config.log.level!r} is not one of {', '.join(LEVELS)}"))
    if config.log.format not in ("text", "json"):
        found.append(("log.format", f"{config.log.format!r} is neither 'text' nor 'json'"))
    if not -1 <= config.admin.port <= 65_535:
        found.append(
            ("admin.port", f"{config.admin.port} is not a port; expected -1 (none), 0 (any free) or 1 to 65535")
        )
    if config.daemon.clock_at and _instant(config.daemon.clock_at) is None:
        found.append(
            (
                "daemon.clock_at",
                f"{config.daemon.clock_at!r} is not an RFC 3339 instant such as 2026-01-31T12:00:00+00:00",
            )
        )
    youtube = config.platforms.youtube
    if youtube.derived_data not in ("", "granted", "denied"):
        found.append(("platforms.youtube.derived_data", f"{youtube.derived_data!r} is neither 'granted' nor 'denied'"))
    if youtube.enabled and youtube.key and not youtube.derived_data:
        found.append(
            (
                "platforms.youtube.derived_data",
                "must be stated for a live platform: 'granted' when YouTube's grant is held, else 'denied'",
            )
        )
    return found


def dump(loaded: Loaded) -> str:
    """The effective settings as TOML, each with its origin; secrets masked."""
    lines: list[str] = []
    section = ""
    for key in known_keys():
        above, _, name = key.rpartition(".")
        if above != section:
            section = above
            lines += ["", f"[{section}]"]
        value = _value_at(loaded.config, key)
        shown = "********" if key in SECRETS and value else value
        lines.append(f"{name} = {_toml(shown)}  # {loaded.origin[key]}")
    return "\n".join(lines).lstrip() + "\n"


def data_dir(config: Config, environ: Mapping[str, str]) -> Path:
    """Setting or flag, else $POKEDEXD_DATA_DIR, else systemd's $STATE_DIRECTORY, else under the home folder."""
    stated = config.daemon.data_dir or environ.get("POKEDEXD_DATA_DIR") or environ.get("STATE_DIRECTORY")
    return Path(stated) if stated else Path.home() / ".local" / "share" / "pokedexd"


def admin_socket_path(config: Config, environ: Mapping[str, str], data: Path) -> Path:
    if config.admin.socket:
        return Path(config.admin.socket)
    runtime = environ.get("RUNTIME_DIRECTORY")
    return (Path(runtime) if runtime else data) / "admin.sock"


def model_folder(config: Config) -> Path:
    """Where the embedding model is: as set, else where `pokedexd model build` puts it, beside the installation."""
    return Path(config.model.dir) if config.model.dir else Path(sys.prefix) / "share" / "pokedexd" / "model"


def reloadable(old: Config, new: Config) -> tuple[list[str], list[str]]:
    """Settings that differ: those a running daemon takes over, and those that need a restart."""
    changed = [key for key in known_keys() if _value_at(old, key) != _value_at(new, key)]
    now = [key for key in changed if key.startswith(RELOADABLE)]
    return now, [key for key in changed if key not in now]


def _file_values(path: Path | None, problems: list[str]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return _flat(tomllib.loads(path.read_bytes().decode("utf-8")))
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        problems.append(f"{path}: not UTF-8 text: byte {error.start} is {error.object[error.start]:#x}")
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{path}: not valid TOML: {error}")
    return {}


def _environment_values(environ: Mapping[str, str], known: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    by_variable = {variable_of(key): key for key in known}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES or name.startswith("POKEDEXD_TEST_"):
            continue
        if name not in by_variable:
            problems.append(f"environment: unknown variable {name}{_near(name, by_variable)}")
            continue
        key = by_variable[name]
        found[key] = _parsed(known[key], text)
    return found


def _parsed(kind: Any, text: str) -> Any:
    """Lists and tables are written as JSON; everything else is taken as text and converted by its type."""
    if text[:1] in "[{" and kind is not str:
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
    return text


def _credential_values(environ: Mapping[str, str]) -> dict[str, Any]:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return {}
    files = {key: Path(folder) / name for key, name in SECRETS.items()}
    return {key: file.read_text().strip() for key, file in files.items() if file.is_file()}


def _with_secret_files(config: Config, origin: dict[str, str]) -> Config:
    youtube = config.platforms.youtube
    if youtube.key or not youtube.key_file:
        return config
    try:
        key = Path(youtube.key_file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"platforms.youtube.key_file: {youtube.key_file}: cannot be read: {error}") from error
    origin["platforms.youtube.key"] = "key_file"
    with_key = msgspec.structs.replace(youtube, key=key)
    return msgspec.structs.replace(config, platforms=msgspec.structs.replace(config.platforms, youtube=with_key))


def _check(kind: Any, value: Any, *, strict: bool) -> str:
    """What is wrong with a value, empty when nothing is. Outside the file, text may stand for a number."""
    try:
        msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        return f"{str(error).lower()}; found {value!r}"
    return ""


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys; a table that is itself a setting's value (field weights) stays whole."""
    known = known_keys()
    found: dict[str, Any] = {}
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, dict) and value and key not in known:
            found |= _flat(value, key + ".")
        elif value == {} and any(one.startswith(key + ".") for one in known):
            continue
        else:
            found[key] = value
    return found


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *above, name = key.split(".")
        branch = tree
        for part in above:
            branch = branch.setdefault(part, {})
        branch[name] = value
    return tree


def _value_at(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _near(name: str, names: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(names), 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def _place(key: str, origin: Mapping[str, str], path: Path | None) -> str:
    place = str(path) if origin[key] == "file" else origin[key]
    return f"{place}: {key}"


def _instant(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + " }"
    return msgspec.json.encode(value).decode()


def default_file() -> Path:
    """The file of defaults that ships with the package."""
    beside = Path(__file__).with_name("pokedexd.toml")
    return beside if beside.exists() else Path(__file__).parents[1] / "pokedexd.toml"
