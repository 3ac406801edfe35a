"""Settings as strict structs; whatever is wrong with one is told with file, key, what was expected and a near match."""

from __future__ import annotations

import difflib
import math
import re
import sys
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta

from daemon.regions import REGIONS
from models.avatar_hash import is_available
from proto.errors import ConfigError
from proto.ids import Platform
from stores.keys import SCOPES
from stores.text_lookup import BOOSTS
from stores.vector_rows import KINDS as VECTOR_ROWS

Port = Annotated[int, Meta(ge=0, le=65535)]
MOST_WHOLE, MOST_NUMBER = 1 << 41, 1e9
"""So that days in seconds and MiB in bytes have 64 bits at most, and seconds are a time that can be waited."""
NotNegative = Annotated[int, Meta(ge=0, le=MOST_WHOLE)]
Positive = Annotated[int, Meta(ge=1, le=MOST_WHOLE)]
NotNegativeNumber = Annotated[float, Meta(ge=0, le=MOST_NUMBER)]
Seconds = Annotated[float, Meta(gt=0, le=MOST_NUMBER)]
Share = Annotated[float, Meta(ge=0, le=1)]
SomeShare = Annotated[float, Meta(gt=0, le=1)]
Probability = Annotated[float, Meta(gt=0, lt=1)]


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
    max_requests: Positive = 256
    """At work at once."""
    max_url_chars: Positive = 12_288
    request_timeout_seconds: Seconds = 30.0
    keep_alive_seconds: Seconds = 15.0
    head_seconds: Seconds = 5.0
    """Of a request, from its first byte on."""
    pictures: bool = False
    """Whether the pages load profile pictures from the platforms' hosts, which then see who reads."""
    require_key: str = "auto"
    """``auto``: from the first key or identity provider on; ``always``; ``never``: on loopback only."""
    session_hours: Annotated[float, Meta(gt=0, le=8_760)] = 12.0
    tls_cert_file: str = ""
    tls_key_file: str = ""


class OidcConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Bearer tokens of an identity provider."""

    issuer: str = ""
    """Empty: none."""
    audience: str = ""
    jwks_url: str = ""
    """One of both: where the provider's keys are read."""
    allow_private_address: bool = False
    """Whether ``jwks_url`` may lead to a loopback or private address."""
    jwks_file: str = ""
    tenant_claim: str = ""
    """Empty: everybody is of ``tenant``."""
    tenant: str = "default"
    """Of tokens without the claim; empty: those are refused."""
    scopes_claim: str = "scope"
    """A list, or words with spaces between them."""
    scopes: list[str] = []
    """That every token has; of those that it names itself, only the daemon's own count."""
    allow_admin: bool = False
    """Else no token has the scope ``admin``, whatever the provider writes into it."""
    requests_per_minute: NotNegative = 600
    timeout_seconds: Seconds = 5.0
    leeway_seconds: NotNegative = 30


class AuditConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    keep_days: NotNegative = 365
    """0: for ever."""


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
    """One key, or several of the one project, by commas or lines. ``PROJECT:KEY`` says whose a key is; one that names
    no project is of ``project``. Never in the file: environment ``POKEDEXD_PLATFORMS__YOUTUBE__KEY`` or a credential."""
    key_file: str = ""
    derived_data: str = ""
    """``granted`` or ``denied``; a live configuration must state it."""
    general_units_per_day: Positive = 10_000
    search_calls_per_day: Positive = 100
    stats_units_per_day: Positive = 10_000
    requests_per_second: Seconds = 5.0
    recent_items: Positive = 20
    backfill_items: NotNegative = 500
    """How far back a channel's uploads are listed at first sight; 0 for no limit."""
    workers: Positive = 4
    call_timeout_seconds: Seconds = 30.0
    feeds_enabled: bool = True
    feeds_url: str = "https://www.youtube.com/feeds/videos.xml"
    feeds_per_second: Seconds = 5.0
    """Undocumented limits by address exist; 5 to 10 a second are borne."""
    chart_regions: list[str] = []
    """ISO 3166-1 codes of countries whose charts are read."""
    search_queries: list[str] = []
    push_enabled: bool = False
    push_hub_url: str = "https://pubsubhubbub.appspot.com/subscribe"
    push_callback_url: str = ""
    """Where the hub reaches this daemon's ``/websub/`` from outside."""
    push_lease_seconds: Positive = 432_000
    push_max_subscriptions: Positive = 10_000
    push_requests_per_second: Seconds = 2.0
    push_timeout_seconds: Seconds = 10.0


class InstagramToken(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One entry of the list of tokens."""

    name: str
    access_token: str
    ig_user_id: str
    app_secret: str = ""
    expires_at: str = ""
    """RFC 3339; empty for a token that does not expire."""


class InstagramConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    base_url: str = "https://graph.facebook.com/v25.0"
    tokens: str = ""
    """JSON list of `InstagramToken`. Never in the file: ``POKEDEXD_PLATFORMS__INSTAGRAM__TOKENS`` or a credential."""
    tokens_file: str = ""
    calls_per_hour: Positive = 150
    """Of one token: Meta publishes no number; `X-App-Usage` corrects it."""
    media_limit: Positive = 25
    requests_per_second: Seconds = 2.0
    backfill_items: NotNegative = 25
    workers: Positive = 2
    call_timeout_seconds: Seconds = 30.0
    expiry_warning_days: Positive = 10


class PlatformsConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    youtube: YouTubeConfig = YouTubeConfig()
    instagram: InstagramConfig = InstagramConfig()


class ModelConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    kind: str = "universal"
    """``universal``, ``onnx`` or ``endpoint``."""
    dir: str = ""
    """Folder with ``model.onnx`` and ``tokenizer.json``; empty: the one that ``pokedexd model build`` writes."""
    url: str = ""
    name: str = ""
    key: str = ""
    """Of the endpoint. Never in the file: ``POKEDEXD_MODEL__KEY`` or a credential."""
    key_file: str = ""
    dims: NotNegative = 0
    timeout_seconds: Seconds = 30.0
    sessions: Positive = 2
    batch: Positive = 32
    max_tokens: Positive = 128


def field_boosts() -> dict[str, float]:
    """What a word counts by the field that it stands in, beyond its count in all texts."""
    return dict(BOOSTS)


class SearchConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    keyword_weight: Share = 0.6
    vector_weight: Share = 0.35
    quality_weight: Share = 0.05
    field_weights: dict[str, float] = msgspec.field(default_factory=even_weights)
    boosts: dict[str, float] = msgspec.field(default_factory=field_boosts)
    candidates: Positive = 200
    """Top K of keyword search and of each vector field."""
    exact_scan_below: Positive = 50_000
    ef: Positive = 1_200
    """Of 47,000 real texts 800 finds 0.996 of the 20 nearest to words of topics and 0.982 of the 200, 1,200 all and 0.990; of a
    million made creators searches find 0.980 to 0.988 of the true first twenty, and narrower ones no less (measured, tests/bench/NOTES.md)."""
    vector_rows: str = "auto"
    """How vectors are kept beside the graphs for exact comparison: ``float32``, ``int8``, or ``auto``, by their number."""
    graph_share: SomeShare = 0.5
    """How many of a vector's dimensions graphs keep, the most telling ones; what they find is compared in full. 1: all, which
    takes twice the memory and half as long again to build."""
    capacity_creators: NotNegative = 0
    """For so many there is room from the start."""
    query_cache: Positive = 1_000
    query_log: bool = True
    """Whether searches are kept, with what ranking knew of the first hits."""
    query_log_days: Positive = 30
    query_log_candidates: Annotated[int, Meta(ge=1, le=1_000)] = 50
    """Of how many hits it is kept."""


class IngestionConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    cadence: str = "adaptive"
    """``adaptive`` or ``buckets``."""
    backfill_share: Share = 0.2
    """Of each budget, for history and new accounts."""
    discover_from_bios_per_day: NotNegative = 0
    discover_from_captions_per_day: NotNegative = 0
    """How many accounts that others name are taken in a day; 0: none."""
    discover_from_charts_per_day: NotNegative = 0
    discover_from_searches_per_day: NotNegative = 0
    """How many that charts and searches name, likewise; 0: none are read."""


class IdentityConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    merge_probability: Probability = 0.83
    """From here on two accounts are taken for one person's."""
    review_probability: Probability = 0.5
    """From here on a person is asked."""
    weights_file: str = ""
    """Of `pokedexd eval identity --fit`; empty: the shipped ones."""
    avatars: bool = False
    """Whether profile pictures are fetched and compared; of each a hash of 64 bits is kept."""


class LabelsConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    taxonomy_file: str = ""
    """Niches and styles of one's own; empty: the shipped ones."""


class LlmTierConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A second model for what the first is unsure of."""

    base_url: str = ""
    model: str = ""
    key: str = ""
    key_file: str = ""
    prompt_price: NotNegativeNumber = 0.0
    completion_price: NotNegativeNumber = 0.0
    below_confidence: Share = 0.6


class LlmConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    base_url: str = ""
    """Of an OpenAI-compatible endpoint, up to ``/v1``; empty: the local classifier alone."""
    model: str = ""
    key: str = ""
    """Never in the file: environment ``POKEDEXD_LLM__KEY`` or a credential."""
    key_file: str = ""
    prompt_price: NotNegativeNumber = 0.0
    completion_price: NotNegativeNumber = 0.0
    """Of a million tokens, in the currency of ``cost_per_day``."""
    tokens_per_day: NotNegative = 2_000_000
    cost_per_day: NotNegativeNumber = 0.0
    language: str = "en"
    creators_per_call: Annotated[int, Meta(ge=1, le=20)] = 4
    creator_tokens: Annotated[int, Meta(ge=100, le=4_000)] = 600
    concurrency: Annotated[int, Meta(ge=1, le=64)] = 2
    timeout_seconds: Seconds = 120.0
    min_confidence: Share = 0.3
    drift_cosine: Share = 0.65
    max_age_days: Positive = 90
    second: LlmTierConfig = LlmTierConfig()


class PipelineConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    channel_capacity: Positive = 64
    batch: Positive = 64
    resend_after_seconds: Seconds = 60.0
    max_attempts: Positive = 5


class StorageConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    backend: str = "lmdb"
    map_size_gib: Annotated[int, Meta(ge=1, le=131_072)] = 64
    """At most what a process can address."""
    snapshot_minutes: Positive = 10
    """How often the vector graphs are saved while they change."""
    disk_floor_mib: NotNegative = 256
    """With less free than this nothing is taken in, and the doctor finds a fault."""


class MemoryConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    ceiling: str = ""
    """A number with MiB or GiB; empty for none."""


class BackupConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    folder: str = ""
    """Where the daemon puts its own backups."""
    every_hours: NotNegativeNumber = 0.0
    """0: it makes none."""
    keep: Positive = 7
    """How many of them stay."""


class LogConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    level: str = "info"
    format: str = "text"
    """``text`` (key=value) or ``json``."""


class DaemonConfig(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    data_dir: str = ""
    suppression_file: str = ""
    """Who was forgotten and must not come back, as keyed hashes. Empty: beside the data directory, since no backup of
    that may hold it."""
    drain_seconds: Seconds = 20.0
    hang_seconds: Seconds = 900.0
    """The longest that one step of a stage takes; rewriting the indexes of a million creators is minutes."""
    switch_interval_seconds: Annotated[float, Meta(gt=0, le=1)] = 0.0005
    """``sys.setswitchinterval``: a busy thread otherwise costs each engine call 5 ms."""
    clock_at: str = ""
    """RFC 3339 instant at which time starts; empty for the real clock. For worlds that play in the past."""
    clock_frozen: bool = False


class Config(Section, kw_only=True, frozen=True, forbid_unknown_fields=True):
    daemon: DaemonConfig = DaemonConfig()
    http: HttpConfig = HttpConfig()
    oidc: OidcConfig = OidcConfig()
    admin: AdminConfig = AdminConfig()
    audit: AuditConfig = AuditConfig()
    platforms: PlatformsConfig = PlatformsConfig()
    model: ModelConfig = ModelConfig()
    search: SearchConfig = SearchConfig()
    ingestion: IngestionConfig = IngestionConfig()
    identity: IdentityConfig = IdentityConfig()
    labels: LabelsConfig = LabelsConfig()
    llm: LlmConfig = LlmConfig()
    pipeline: PipelineConfig = PipelineConfig()
    storage: StorageConfig = StorageConfig()
    memory: MemoryConfig = MemoryConfig()
    backup: BackupConfig = BackupConfig()
    log: LogConfig = LogConfig()


PREFIX = "POKEDEXD_"
OTHER_VARIABLES = {"POKEDEXD_CONFIG", "POKEDEXD_DATA_DIR"}
SECRETS = {
    "platforms.youtube.key": "youtube-key",
    "platforms.instagram.tokens": "instagram-tokens",
    "llm.key": "llm-key",
    "llm.second.key": "llm-second-key",
    "model.key": "model-key",
}
"""Settings that never stand in the file, and the name of the credential that may hold each."""
SECRET_FILES = {"admin.key_file": "admin-key"}
"""Settings that name a file with a secret, and the credential that may be that file."""

MODEL_KINDS = ("onnx", "universal", "endpoint")
REQUIRE_KEY = ("auto", "always", "never")
LEVELS = ("debug", "info", "warning", "error")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
LANGUAGE_CODE = re.compile(r"[a-z]{2}")
TOKEN_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
API_KEY = re.compile(r"[!-~]{8,200}")
"""What may stand in a header; a client's complaint of anything else would repeat it. A shorter text would also stand in
ordinary words, where it could not be masked."""
KEY_BEGINS = "AIza"
"""Of every key that Google gives out; ids of its projects are lower case."""
_KEY_BREAK = re.compile(r"[,\s]+")
SEARCH_QUERIES = "platforms.youtube.search_queries"
MAX_SEARCH_CHARS = 100
MAX_BOOST = 1_000.0
MEMORY = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,3})?)\s*(?P<unit>[mMgG])(?:i?[bB])?")
LEAST_MEMORY_MIB = 128
HOST_NAME = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:]+")
RELOADABLE = (
    "log.",
    "search.keyword_weight",
    "search.vector_weight",
    "search.quality_weight",
    "search.field_weights",
    "search.query_log",
    "search.query_log_days",
    "search.query_log_candidates",
    "http.allowed_hosts",
    "audit.keep_days",
)
"""What a running daemon takes over on SIGHUP; everything else needs a restart."""


class Loaded(msgspec.Struct, kw_only=True, frozen=True):
    """The effective settings and where each came from: default, file, credential, environment, flag or key_file."""

    config: Config
    origin: dict[str, str]
    path: Path | None


def load(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Any]) -> Loaded:
    """Flag over environment over credential over file over default.

    ``overrides``: dotted key → value, None for a flag not given. Raises ConfigError with every problem found, a line each.
    """
    known = known_keys()
    problems: list[str] = []
    values: dict[str, Any] = {}
    origin = dict.fromkeys(known, "default")
    layers = (
        ("file", _file_values(path, known, problems)),
        ("credential", _credential_values(environ, problems)),
        ("environment", _environment_values(environ, known, problems)),
        ("flag", {key: value for key, value in overrides.items() if value is not None}),
    )
    for name, layer in layers:
        for key, value in layer.items():
            problem = _problem(key, value, known, in_file=name == "file")
            if problem:
                problems.append(f"{_place(name, key, path)}: {problem}")
            values[key], origin[key] = value, name
    if problems:
        raise ConfigError("\n".join(problems))
    for key in SECRETS:
        _read_secret_file(key, values, origin)
    if queries := values.get(SEARCH_QUERIES):
        values[SEARCH_QUERIES] = list(dict.fromkeys(one.strip() for one in queries))
    config = msgspec.convert(_nested(values), Config, strict=False)
    instagram_tokens(config)
    wrong = semantic_problems(config)
    if wrong:
        raise ConfigError("\n".join(f"{_place(origin[key], key, path)}: {key}: {text}" for key, text in wrong))
    return Loaded(config=config, origin=origin, path=path)


def _problem(key: str, value: Any, known: Mapping[str, Any], *, in_file: bool) -> str:
    """What is wrong with one setting, empty when nothing is."""
    if key not in known:
        if any(one.startswith(f"{key}.") for one in known):
            return f"{key} is a section, written [{key}]; found {value!r}"
        return f"unknown setting {key!r}{_near(key, known)}"
    if in_file and key in SECRETS:
        return f"{key}: a secret does not belong in the file; use {key}_file or {variable_of(key)}"
    problem = _check(known[key], value, strict=in_file)
    return f"{key}: {problem}" if problem else ""


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
    http, youtube, log, model = config.http, config.platforms.youtube, config.log, config.model
    weights = config.search.field_weights
    names = list(SearchConfig().field_weights)
    wrong_hosts = [name for name in http.allowed_hosts if not HOST_NAME.fullmatch(name)]
    strange = [name for name in weights if name not in names]
    checks = (
        (
            bool(wrong_hosts),
            "http.allowed_hosts",
            f"{wrong_hosts} are no bare names; expected a host without scheme, port or path",
        ),
        (
            config.storage.backend != "lmdb",
            "storage.backend",
            f"{config.storage.backend!r} is not known; expected 'lmdb'",
        ),
        (
            config.daemon.hang_seconds <= longest_call_seconds(config),
            "daemon.hang_seconds",
            f"expected more than {longest_call_seconds(config):g}, which a single call may take",
        ),
        (
            bool(config.backup.every_hours) and not config.backup.folder,
            "backup.folder",
            f"is not set; backup.every_hours is {config.backup.every_hours:g}, and the daemon has to know where to",
        ),
        (log.level not in LEVELS, "log.level", f"{log.level!r} is not one of {', '.join(LEVELS)}"),
        (log.format not in ("text", "json"), "log.format", f"{log.format!r} is neither 'text' nor 'json'"),
        (
            not -1 <= config.admin.port <= 65_535,
            "admin.port",
            f"{config.admin.port} is not a port; expected -1 (none), 0 (any free) or 1 to 65535",
        ),
        (model.kind not in MODEL_KINDS, "model.kind", f"{model.kind!r} is not one of {', '.join(MODEL_KINDS)}"),
        (
            model.kind == "endpoint" and urlsplit_or_none(model.url) is None,
            "model.url",
            f"{model.url!r} is no address of an endpoint; expected one such as http://127.0.0.1:11434/v1",
        ),
        (
            model.kind == "endpoint" and not model.name,
            "model.name",
            "must be stated: what the endpoint calls the model",
        ),
        (
            bool(model.key) and not _safe_url(model.url),
            "model.url",
            "a key is sent to loopback or by https only",
        ),
        (
            bool(model.key) and not API_KEY.fullmatch(model.key),
            "model.key",
            "is no key: a key is 8 to 200 characters of printable ASCII",
        ),
        (
            bool(strange),
            "search.field_weights",
            f"{strange} are no vector fields; expected some of {', '.join(names)}",
        ),
        (
            any(not 0 <= weight < math.inf for weight in weights.values()),
            "search.field_weights",
            f"expected weights of 0 or more, found {weights}",
        ),
        (
            bool(unknown := sorted(set(config.search.boosts) - set(BOOSTS))),
            "search.boosts",
            f"{unknown} are no text fields; expected some of {', '.join(BOOSTS)}",
        ),
        (
            any(not 0 <= boost <= MAX_BOOST for boost in config.search.boosts.values()),
            "search.boosts",
            f"expected 0 to {MAX_BOOST:g}, found {config.search.boosts}",
        ),
        (
            config.search.vector_rows not in VECTOR_ROWS,
            "search.vector_rows",
            f"expected one of {', '.join(VECTOR_ROWS)}, found {config.search.vector_rows!r}",
        ),
        (
            bool(config.daemon.clock_at) and _instant(config.daemon.clock_at) is None,
            "daemon.clock_at",
            f"{config.daemon.clock_at!r} is not an RFC 3339 instant such as 2026-01-31T12:00:00+00:00",
        ),
        (
            config.ingestion.cadence not in ("adaptive", "buckets"),
            "ingestion.cadence",
            f"{config.ingestion.cadence!r} is neither 'adaptive' nor 'buckets'",
        ),
        (
            config.identity.review_probability > config.identity.merge_probability,
            "identity.review_probability",
            f"{config.identity.review_probability:g} is above merge_probability "
            f"({config.identity.merge_probability:g}): nothing would ever wait for a review",
        ),
        (
            config.identity.avatars and not is_available(),
            "identity.avatars",
            "needs Pillow, which is not installed: pip install 'pokedexd[avatars]'",
        ),
        (
            youtube.derived_data not in ("", "granted", "denied"),
            "platforms.youtube.derived_data",
            f"{youtube.derived_data!r} is neither 'granted' nor 'denied'",
        ),
        (
            youtube.enabled and bool(youtube.key) and not youtube.derived_data,
            "platforms.youtube.derived_data",
            "must be stated for a live platform: 'granted' when YouTube's grant is held, else 'denied'",
        ),
        (
            not all(API_KEY.fullmatch(key) for key in youtube_keys(youtube)),
            "platforms.youtube.key",
            "holds something that is no key: a key is 8 to 200 characters of printable ASCII",
        ),
        (
            any(project.startswith(KEY_BEGINS) for project in youtube_projects(youtube)),
            "platforms.youtube.key",
            "holds a key in the place of its project: expected KEY or PROJECT:KEY",
        ),
        (
            len(youtube_projects(youtube)) > 1,
            "platforms.youtube.key",
            f"holds keys of {len(youtube_projects(youtube))} projects (a key without PROJECT: is of "
            "platforms.youtube.project); YouTube allows one project to one client (III.D.1.c of its developer policies), "
            "and its keys share the quota: keep those of one project, and ask YouTube for more quota if it does not do",
        ),
        (
            bool(config.ingestion.discover_from_charts_per_day) and not youtube.chart_regions,
            "ingestion.discover_from_charts_per_day",
            "no chart would be read: platforms.youtube.chart_regions is empty",
        ),
        (
            bool(config.ingestion.discover_from_searches_per_day) and not youtube.search_queries,
            "ingestion.discover_from_searches_per_day",
            "no search would be made: platforms.youtube.search_queries is empty",
        ),
        (
            bool(wrong_regions := [one for one in youtube.chart_regions if one not in REGIONS]),
            "platforms.youtube.chart_regions",
            f"{wrong_regions} are no countries; expected codes of ISO 3166-1 such as 'BR' or 'GB'",
        ),
        (
            bool(wrong_queries := [one for one in youtube.search_queries if not 0 < len(one) <= MAX_SEARCH_CHARS]),
            SEARCH_QUERIES,
            f"{[one[:40] for one in wrong_queries]}: expected 1 to {MAX_SEARCH_CHARS} characters each",
        ),
        (
            bool(config.memory.ceiling) and not memory_ceiling_bytes(config),
            "memory.ceiling",
            f"{config.memory.ceiling!r} is no amount of memory of {LEAST_MEMORY_MIB} MiB or more; "
            "expected one such as '4 GiB' or '1500 MiB'",
        ),
        *_push_checks(config),
        *_access_checks(config),
        *_llm_checks(config),
    )
    return [(key, text) for wrong, key, text in checks if wrong]


def memory_ceiling_bytes(config: Config) -> int:
    """0 where there is none, and for what cannot be read."""
    found = MEMORY.fullmatch(config.memory.ceiling.strip())
    if found is None:
        return 0
    mib = float(found["number"]) * (1024 if found["unit"].lower() == "g" else 1)
    return int(mib * (1 << 20)) if mib >= LEAST_MEMORY_MIB else 0


def longest_call_seconds(config: Config) -> float:
    """Of the calls that stages make."""
    youtube, llm = config.platforms.youtube, config.llm
    return max(
        youtube.call_timeout_seconds,
        config.platforms.instagram.call_timeout_seconds,
        youtube.push_timeout_seconds if youtube.push_enabled else 0.0,
        config.model.timeout_seconds if config.model.kind == "endpoint" else 0.0,
        llm.timeout_seconds if llm.base_url else 0.0,
    )


def youtube_keys(youtube: YouTubeConfig) -> list[str]:
    """The keys, each once, without the project before it."""
    return list(dict.fromkeys(key for _, key in _youtube_entries(youtube)))


def youtube_projects(youtube: YouTubeConfig) -> set[str]:
    """Whose the keys are; a project that is set counts even where every key names another."""
    of_keys = {project or youtube.project for project, _ in _youtube_entries(youtube)}
    return of_keys | ({youtube.project} - {YouTubeConfig().project})


def _youtube_entries(youtube: YouTubeConfig) -> list[tuple[str, str]]:
    """(project or nothing, key). A key holds no colon, the id of an old project may."""
    entries = (entry.rpartition(":") for entry in _KEY_BREAK.split(youtube.key) if entry)
    return [(project, key) for project, _, key in entries]


DISABLED = "disabled in the settings"


def switched_off(config: Config) -> dict[Platform, str]:
    """Platforms that no call is made to, and why."""
    youtube, instagram = config.platforms.youtube, config.platforms.instagram
    reasons = {
        Platform.YOUTUBE: "" if youtube_keys(youtube) else "no key: set platforms.youtube.key_file",
        Platform.INSTAGRAM: "" if instagram_tokens(config) else "no token: set platforms.instagram.tokens_file",
    }
    enabled = {Platform.YOUTUBE: youtube.enabled, Platform.INSTAGRAM: instagram.enabled}
    return {
        platform: reason if enabled[platform] else DISABLED
        for platform, reason in reasons.items()
        if reason or not enabled[platform]
    }


def _llm_checks(config: Config) -> list[tuple[bool, str, str]]:
    """(what is wrong, setting, words)."""
    llm = config.llm
    tiers = (
        ("llm", llm.base_url, llm.model, llm.key),
        ("llm.second", llm.second.base_url, llm.second.model, llm.second.key),
    )
    checks = [
        (
            bool(llm.second.base_url) and not llm.base_url,
            "llm.second.base_url",
            "there is no first model that it could be second to: set llm.base_url",
        ),
        (
            not LANGUAGE_CODE.fullmatch(llm.language),
            "llm.language",
            f"{llm.language!r} is no ISO 639-1 code such as 'en' or 'pt'",
        ),
    ]
    for section, base_url, model, key in tiers:
        checks += [
            (
                bool(base_url) and urlsplit_or_none(base_url) is None,
                f"{section}.base_url",
                f"{base_url!r} is no URL; expected one such as http://127.0.0.1:11434/v1",
            ),
            (
                bool(base_url and key) and not _safe_url(base_url),
                f"{section}.base_url",
                f"{base_url!r}: a key is sent over https only (http is for loopback)",
            ),
            (
                bool(base_url) and not model,
                f"{section}.model",
                "is not set; the endpoint has to be told which model answers",
            ),
            (
                bool(key) and not API_KEY.fullmatch(key),
                f"{section}.key",
                "is no key: 8 to 200 characters of printable ASCII",
            ),
        ]
    return checks


def _access_checks(config: Config) -> list[tuple[bool, str, str]]:
    """(what is wrong, setting, words). That there is a key beyond loopback, only the store says: daemon/listeners.py."""
    http, oidc = config.http, config.oidc
    return [
        (
            http.require_key not in REQUIRE_KEY,
            "http.require_key",
            f"{http.require_key!r} is not one of {', '.join(REQUIRE_KEY)}",
        ),
        (
            http.require_key == "never" and http.host not in LOOPBACK,
            "http.require_key",
            f"'never' is for loopback; http.host is {http.host!r}",
        ),
        (
            bool(http.tls_cert_file) != bool(http.tls_key_file),
            "http.tls_key_file" if http.tls_cert_file else "http.tls_cert_file",
            "is not set; TLS takes a certificate and its key",
        ),
        *_oidc_checks(oidc),
    ]


def _oidc_checks(oidc: OidcConfig) -> list[tuple[bool, str, str]]:
    if not oidc.issuer:
        return [
            (bool(oidc.audience or oidc.jwks_url or oidc.jwks_file), "oidc.issuer", "is not set; who signs the tokens?")
        ]
    strange = [one for one in oidc.scopes if one not in SCOPES]
    return [
        (not oidc.audience, "oidc.audience", "is not set; tokens for others would be taken too"),
        (
            bool(oidc.jwks_url) == bool(oidc.jwks_file),
            "oidc.jwks_url",
            "expected either it or oidc.jwks_file: where the provider's keys are read",
        ),
        (
            bool(oidc.jwks_url) and not _safe_url(oidc.jwks_url),
            "oidc.jwks_url",
            f"{oidc.jwks_url!r} is no https URL (http is for loopback)",
        ),
        (
            bool(oidc.jwks_url) and _is_loopback_url(oidc.jwks_url) and not oidc.allow_private_address,
            "oidc.jwks_url",
            f"{oidc.jwks_url!r} is on this machine, which takes oidc.allow_private_address",
        ),
        (not oidc.tenant and not oidc.tenant_claim, "oidc.tenant", "is not set, and oidc.tenant_claim neither"),
        (bool(strange), "oidc.scopes", f"{strange} are no scopes; expected some of {', '.join(SCOPES)}"),
        ("admin" in oidc.scopes and not oidc.allow_admin, "oidc.scopes", "has 'admin', which takes oidc.allow_admin"),
    ]


def _push_checks(config: Config) -> list[tuple[bool, str, str]]:
    """(what is wrong, setting, words). The secret travels with the request, so that only loopback may do without TLS."""
    youtube = config.platforms.youtube
    if not youtube.push_enabled:
        return []
    callback = urlsplit_or_none(youtube.push_callback_url)
    host = callback.hostname or "" if callback else ""
    return [
        (
            not _safe_url(youtube.push_hub_url),
            "platforms.youtube.push_hub_url",
            f"{youtube.push_hub_url!r} is no https URL (http is for loopback)",
        ),
        (
            not _safe_url(youtube.push_callback_url) or not youtube.push_callback_url.endswith("/websub/"),
            "platforms.youtube.push_callback_url",
            f"{youtube.push_callback_url!r} is not the https URL that ends in /websub/ under which the hub reaches us",
        ),
        (
            bool(host) and host not in LOOPBACK and host not in config.http.allowed_hosts,
            "platforms.youtube.push_callback_url",
            f"its host {host!r} is not in http.allowed_hosts, so that pushes would be refused",
        ),
    ]


def _safe_url(text: str) -> bool:
    parts = urlsplit_or_none(text)
    return parts is not None and bool(parts.hostname) and (parts.scheme == "https" or parts.hostname in LOOPBACK)


def _is_loopback_url(text: str) -> bool:
    parts = urlsplit_or_none(text)
    return parts is not None and parts.hostname in LOOPBACK


def urlsplit_or_none(text: str) -> SplitResult | None:
    """None for what is no URL of the web."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 (raises where it is no number)
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") else None


def dump(loaded: Loaded, *, secrets_masked: bool = True) -> str:
    """The effective settings as TOML, each with its origin; secrets masked, or left out so that it loads again."""
    lines: list[str] = []
    section = ""
    for key in known_keys():
        above, _, name = key.rpartition(".")
        if above != section:
            section = above
            lines += ["", f"[{section}]"]
        value = value_at(loaded.config, key)
        if key in SECRETS and not secrets_masked:
            continue
        shown = "********" if key in SECRETS and value else value
        lines.append(f"{name} = {_toml(shown)}  # {loaded.origin[key]}")
    return "\n".join(lines).lstrip() + "\n"


def data_dir(config: Config, environ: Mapping[str, str]) -> Path:
    """Setting or flag, else $POKEDEXD_DATA_DIR, else systemd's $STATE_DIRECTORY, else under the home folder."""
    stated = config.daemon.data_dir or environ.get("POKEDEXD_DATA_DIR") or _first_folder(environ, "STATE_DIRECTORY")
    return Path(stated).expanduser() if stated else Path.home() / ".local" / "share" / "pokedexd"


def suppression_path(config: Config, environ: Mapping[str, str], data: Path) -> Path:
    """As set, else in systemd's second $STATE_DIRECTORY, else beside the data directory."""
    if config.daemon.suppression_file:
        return Path(config.daemon.suppression_file).expanduser()
    folders = [folder for folder in environ.get("STATE_DIRECTORY", "").split(":") if folder]
    if len(folders) > 1:
        return Path(folders[1]) / "suppression"
    return data.with_name(data.name + ".suppression")


def admin_socket_path(config: Config, environ: Mapping[str, str], data: Path) -> Path:
    """As set, else in systemd's $RUNTIME_DIRECTORY, else in the data directory."""
    if config.admin.socket:
        return Path(config.admin.socket)
    runtime = _first_folder(environ, "RUNTIME_DIRECTORY")
    return (Path(runtime) if runtime else data) / "admin.sock"


def model_folder(config: Config) -> Path:
    """Where the embedding model is: as set, else where `pokedexd model build` puts it, beside the installation."""
    if config.model.dir:
        return Path(config.model.dir)
    return built_folder("model" if config.model.kind == "onnx" else config.model.kind)


def built_folder(name: str) -> Path:
    """Where a model that was built here is."""
    return Path(sys.prefix) / "share" / "pokedexd" / name


def reloadable(old: Config, new: Config) -> tuple[list[str], list[str]]:
    """Settings that differ: those a running daemon takes over, and those that need a restart."""
    changed = [key for key in known_keys() if value_at(old, key) != value_at(new, key)]
    now = [key for key in changed if key.startswith(RELOADABLE)]
    return now, [key for key in changed if key not in now]


def _first_folder(environ: Mapping[str, str], name: str) -> str:
    """systemd joins several folders with colons; the first is the unit's own."""
    return environ.get(name, "").partition(":")[0]


def _file_values(path: Path | None, known: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return _flat(tomllib.loads(path.read_bytes().decode("utf-8")), known)
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        problems.append(f"{path}: not UTF-8 text: byte {error.start} is {error.object[error.start]:#x}")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problems.append(f"{path}: not valid TOML: {error}")
    return {}


def _environment_values(environ: Mapping[str, str], known: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    by_variable = {variable_of(key): key for key in known}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES or name.startswith("POKEDEXD_TEST_"):
            continue
        if name not in by_variable:
            problems.append(f"environment: unknown variable {name}{_near(name, by_variable, 0.8) or NO_SUCH_VARIABLE}")
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


def _credential_values(environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    """systemd's credentials: a secret's text, or the file itself for a setting that names one."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return {}
    found = {key: str(Path(folder) / name) for key, name in SECRET_FILES.items() if (Path(folder) / name).is_file()}
    for key, name in SECRETS.items():
        file = Path(folder) / name
        try:
            if file.is_file():
                found[key] = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"credential {name}: cannot be read: {error}")
    return found


def _read_secret_file(key: str, values: dict[str, Any], origin: dict[str, str]) -> None:
    """A secret that nothing states comes from the file that its ``…_file`` names."""
    file = str(values.get(f"{key}_file", ""))
    if values.get(key) or not file:
        return
    try:
        values[key] = Path(file).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}_file: {file}: cannot be read: {error}") from error
    origin[key] = f"{key.rpartition('.')[2]}_file"


def instagram_tokens(config: Config) -> list[InstagramToken]:
    """Raises ConfigError for what is no list of tokens; the text never holds one."""
    text = config.platforms.instagram.tokens
    if not text:
        return []
    try:
        tokens = msgspec.json.decode(text, type=list[InstagramToken])
    except msgspec.DecodeError as error:
        raise ConfigError(f"platforms.instagram.tokens: not a JSON list of tokens: {error}") from error
    names = [token.name for token in tokens]
    if len(set(names)) < len(names) or not all(TOKEN_NAME.fullmatch(name) for name in names):
        raise ConfigError("platforms.instagram.tokens: each needs a name of its own, of letters, digits, - and _")
    for token in tokens:
        if token.expires_at and _instant(token.expires_at) is None:
            raise ConfigError(f"platforms.instagram.tokens: {token.name}: expires_at is not an RFC 3339 instant")
    return tokens


def _check(kind: Any, value: Any, *, strict: bool) -> str:
    """What is wrong with a value, empty when nothing is. Outside the file, text may stand for a number."""
    try:
        converted = msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        return f"{str(error).lower()}; found {value!r}"
    return "" if not isinstance(converted, float) or math.isfinite(converted) else "expected a finite number"


def _flat(table: Mapping[str, Any], known: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys; a table that is itself a setting's value (field weights) stays whole."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, dict) and value and key not in known:
            found |= _flat(value, known, key + ".")
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


def value_at(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


NO_SUCH_VARIABLE = "; POKEDEXD_SECTION__KEY stands for a setting of pokedexd config dump"


def _near(name: str, names: Mapping[str, Any], likeness: float = 0.6) -> str:
    """``likeness``: what all names share of their beginning makes them alike."""
    close = difflib.get_close_matches(name, list(names), 1, likeness)
    return f"; did you mean {close[0]!r}?" if close else ""


def _place(origin: str, key: str, path: Path | None) -> str:
    """Where a value came from, in words that lead there."""
    if origin == "default" and path is not None:
        return str(path)  # where it is missing
    return {"file": str(path), "environment": f"environment {variable_of(key)}"}.get(origin, origin)


def _instant(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _toml(value: Any) -> str:
    """A JSON string is a TOML string, but for one control character."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + " }"
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


def default_file() -> Path:
    """The file of defaults that ships with the package."""
    beside = Path(__file__).with_name("pokedexd.toml")
    return beside if beside.exists() else Path(__file__).parents[1] / "pokedexd.toml"
