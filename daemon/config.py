"""Settings as strict structs: an unknown key, wrong type or bad value names file, key, what was expected and a near match."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Section(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Base of every section."""


class HttpConfig(Section):
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


class AdminConfig(Section):
    socket: str = ""
    """Empty: ``$RUNTIME_DIRECTORY/admin.sock``, else ``admin.sock`` in the data dir."""
    port: int = -1
    """-1: no TCP; 0: any free port."""
    key_file: str = ""
    """File with the key that the TCP listener asks for."""


class YouTubeConfig(Section):
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


class PlatformsConfig(Section):
    youtube: YouTubeConfig = YouTubeConfig()


class ModelConfig(Section):
    dir: str = ""
    """Folder with ``model.onnx`` and ``tokenizer.json``; empty: the one that ``pokedexd model build`` writes."""
    sessions: Positive = 2
    batch: Positive = 8
    max_tokens: Positive = 128


class SearchConfig(Section):
    keyword_weight: Share = 0.6
    vector_weight: Share = 0.35
    quality_weight: Share = 0.05
    field_weights: dict[str, float] = {"yt_bio": 1.0, "yt_content": 1.0, "ig_bio": 1.0, "ig_captions": 1.0}
    candidates: Positive = 200
    """Top K of keyword search and of each vector field."""
    exact_scan_below: Positive = 50_000
    ef: Positive = 200
    query_cache: Positive = 1_000


class PipelineConfig(Section):
    channel_capacity: Positive = 64
    batch: Positive = 64
    resend_after_seconds: Seconds = 60.0
    max_attempts: Positive = 5
    index_commit_seconds: Seconds = 0.5


class StorageConfig(Section):
    backend: str = "lmdb"
    map_size_gib: Positive = 64
    snapshot_minutes: Positive = 10
    """How often the vector graphs are saved while they change."""


class LogConfig(Section):
    level: str = "info"
    format: str = "text"
    """``text`` (key=value) or ``json``."""


class DaemonConfig(Section):
    data_dir: str = ""
    drain_seconds: Seconds = 20.0
    switch_interval_seconds: Seconds = 0.0005
    """``sys.setswitchinterval``: a busy thread otherwise costs each engine call 5 ms."""
    clock_at: str = ""
    """RFC 3339 instant at which time starts; empty for the real clock. For worlds that play in the past."""
    clock_frozen: bool = False


class Config(Section):
    daemon: DaemonConfig = DaemonConfig()
    http: HttpConfig = HttpConfig()
    admin: AdminConfig = AdminConfig()
    platforms: PlatformsConfig = PlatformsConfig()
    model: ModelConfig = ModelConfig()
    search: SearchConfig = SearchConfig()
    pipeline: PipelineConfig = PipelineConfig()
    storage: StorageConfig = StorageConfig()
    log: LogConfig = LogConfig()
