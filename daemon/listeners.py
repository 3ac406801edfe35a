"""Opens the sockets and serves the public and the admin application on them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from daemon.access import Access
from daemon.auditing import AuditTrail
from daemon.config import LOOPBACK, Config
from daemon.control import Control
from daemon.metrics import Metrics
from daemon.pipeline import Stores
from daemon.query_log import QueryLog
from daemon.web.admin import create_admin
from daemon.web.app import create_app
from daemon.web.connections import ServerState
from daemon.web.history import newest_pages, read_histories
from daemon.web.hub import HubServices
from daemon.web.server import hypercorn_config, serve_app, tcp_listener, unix_listener
from daemon.web.services import AdminServices, Operations, PublicServices, SearchServices, TaskView
from daemon.web.tls import Tls
from proto.errors import ConfigError
from proto.records import AuditEvent
from stores.audit import latest_audit

GRACEFUL_SECONDS = 5.0
AUDIT_CAPACITY = 10_000
OPEN_REMEDY = "make one with `pokedexd keys create`, or name an identity provider in [oidc]"
PAGE_TASKS = 10
"""The latest tasks, on the page."""
AUDIT_LOOKED_AT = 20_000
"""Newest records that the operations page looks through for those of a tenant."""


class Listening(msgspec.Struct, kw_only=True, frozen=True):
    """Where it listens; ``audit_entries`` are the searches still to be written down."""

    url: str
    admin_url: str
    audit_entries: trio.MemoryReceiveChannel[AuditEvent]
    close_audit: Callable[[], None]


async def open_listeners(
    nursery: trio.Nursery,
    *,
    config: Config,
    control: Control,
    searching: SearchServices,
    access: Access,
    tls: Tls | None,
    queries: QueryLog,
    stores: Stores,
    metrics: Metrics,
    now: Callable[[], float],
    admin_socket: Path,
    banner: str,
    stop: trio.Event,
) -> Listening:
    """Raises ConfigError when an address is taken, or one beyond loopback would stand open."""
    refuse_open(config, has_keys=access.has_keys)
    send, receive = trio.open_memory_channel[AuditEvent](AUDIT_CAPACITY)
    public = _public_services(config, control, searching, access, stores, metrics, now, send, banner, stop)
    web = hypercorn_config(keep_alive_seconds=config.http.keep_alive_seconds, graceful_seconds=GRACEFUL_SECONDS)

    async def serve(app: Any, one: socket.socket, tls: Tls | None = None) -> None:
        """Each with a limit of its own: who fills up the public one must not lock the operator out."""
        state = ServerState(max_connections=config.http.max_connections, head_seconds=config.http.head_seconds)
        await nursery.start(partial(serve_app, app, web, [one], stop, state=state, tls=tls))

    def admin(*, trusted: bool) -> Any:
        return create_admin(
            _admin_services(config, control, metrics),
            trusted=trusted,
            letters=control.letters,
            reviewing=control.reviewing,
            queries=queries,
            tenancy=searching.tenancy,
            backups=control.backups,
            access=access,
            trail=AuditTrail(stores.env),
            operations=control.operations,
        )

    tcp = _open_public(config)
    await serve(create_app(public), tcp, tls)
    if config.http.socket:
        path = Path(config.http.socket)
        await serve(create_app(public, any_host=True), _open(lambda: unix_listener(path), str(path), "http.socket"))
    await serve(admin(trusted=True), _open(lambda: unix_listener(admin_socket), str(admin_socket), "admin.socket"))
    admin_url = ""
    if config.admin.port >= 0:
        port = _open(
            lambda: tcp_listener("127.0.0.1", config.admin.port),
            f"127.0.0.1:{config.admin.port}",
            "--admin-port (admin.port)",
        )
        await serve(admin(trusted=False), port)
        admin_url = f"http://127.0.0.1:{port.getsockname()[1]}"
    host = f"[{config.http.host}]" if ":" in config.http.host else config.http.host
    return Listening(
        url=f"{'https' if tls else 'http'}://{host}:{tcp.getsockname()[1]}",
        admin_url=admin_url,
        audit_entries=receive,
        close_audit=send.close,
    )


def refuse_taken(config: Config) -> None:
    """Raises ConfigError where the address of the API cannot be listened on, before anything else is done."""
    _open_public(config).close()


def is_open(config: Config, *, has_keys: bool) -> bool:
    """Whether anybody on the network could do anything."""
    return config.http.host not in LOOPBACK and not has_keys and not config.oidc.issuer


def refuse_open(config: Config, *, has_keys: bool) -> None:
    """Raises ConfigError where anybody on the network could do anything."""
    if is_open(config, has_keys=has_keys):
        raise ConfigError(f"http.host: {config.http.host!r} is not loopback, and there is no key yet: {OPEN_REMEDY}")


def hosts_of(config: Config) -> list[str]:
    """Names in Host and Origin besides loopback's: an address that is listened on is one."""
    own = [config.http.host] if config.http.host not in ("0.0.0.0", "::") else []  # noqa: S104
    return [*config.http.allowed_hosts, *own]


def _public_services(
    config: Config,
    control: Control,
    searching: SearchServices,
    access: Access,
    stores: Stores,
    metrics: Metrics,
    now: Callable[[], float],
    audit: trio.MemorySendChannel[AuditEvent],
    banner: str,
    stop: trio.Event,
) -> PublicServices:
    def note(entry: AuditEvent) -> None:
        try:
            audit.send_nowait(entry)
        except (trio.WouldBlock, trio.ClosedResourceError):
            metrics.audit_lost.inc()  # no search waits for its audit row; what is lost is counted

    return PublicServices(
        searching=searching,
        creators=stores.catalog.creators_with_accounts,
        recent_content=stores.catalog.recent_content,
        embeddings=stores.catalog.embeddings,
        peers=lambda: control.peers,
        schedule=control.schedule_of,
        identity=control.reviewing.of_creator,
        reviews=control.reviewing.page,
        present_id=control.reviewing.present_id,
        ready=control.ready,
        audit=note,
        now=now,
        observe_request=metrics.count_request,
        allowed_hosts=lambda: hosts_of(control.config),
        max_body_bytes=config.http.max_body_bytes,
        max_requests=config.http.max_requests,
        max_url_chars=config.http.max_url_chars,
        request_timeout_seconds=config.http.request_timeout_seconds,
        access=access,
        banner=banner,
        hub=_hub_services(stores, metrics, now) if config.platforms.youtube.push_enabled else None,
        history=lambda ids, since: stores.env.read(partial(read_histories, ids=ids, since_day=since)),
        raw_pages=lambda creator_id, limit: stores.env.read(partial(newest_pages, creator_id=creator_id, limit=limit)),
        tasks=control.operations.tasks,
        operations=_operations(control, stores, stop),
        pictures=config.http.pictures,
    )


def _operations(control: Control, stores: Stores, stop: trio.Event) -> Operations:
    async def recent_audit(limit: int, tenant_id: str) -> list[AuditEvent]:
        look = partial(latest_audit, limit=limit, tenant_id=tenant_id, among=AUDIT_LOOKED_AT)
        return [entry for _, entry in reversed(await stores.env.read(look))]

    async def tasks() -> list[TaskView]:
        return [
            TaskView(
                name=f"{one.kind} {one.uid}",
                state=one.state,
                done=one.done,
                total=one.total or None,
                detail="; ".join(text for text in (one.detail, one.error) if text),
                started_at=one.started_at,
            )
            for one in control.operations.tasks()[:PAGE_TASKS]
        ]

    return Operations(
        status=control.status,
        stock=lambda: control.stock,
        letters=control.letters,
        reviewing=control.reviewing,
        recent_audit=recent_audit,
        import_rows=lambda rows, by: control.import_rows(rows, by=by),
        forget=control.forget,
        stopping=stop,
        tasks=tasks,
    )


def _hub_services(stores: Stores, metrics: Metrics, now: Callable[[], float]) -> HubServices:
    return HubServices(
        env=stores.env,
        journal=stores.journal,
        covers=stores.suppression.covers,
        now=now,
        observe=lambda outcome: metrics.pushes.labels(outcome).inc(),
    )


def _admin_services(config: Config, control: Control, metrics: Metrics) -> AdminServices:
    return AdminServices(
        status=control.status,
        refresh_metrics=control.refresh_metrics,
        registry=metrics.registry,
        reload=control.reload,
        import_rows=control.import_rows,
        import_creators=control.take_in,
        end_import=control.end_import,
        forget=control.forget,
        set_importance=control.set_importance,
        allowed_hosts=lambda: control.config.http.allowed_hosts,
        key=admin_key(config),
        max_body_bytes=config.http.max_body_bytes,
    )


def admin_key(config: Config) -> str:
    """That the TCP listener asks for; empty for none. Raises ConfigError."""
    if not config.admin.key_file:
        return ""
    try:
        key = Path(config.admin.key_file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"admin.key_file: {config.admin.key_file}: cannot be read: {error}") from error
    if len(key) < 16:
        raise ConfigError(f"admin.key_file: {config.admin.key_file}: the key must have at least 16 characters")
    return key


def _open_public(config: Config) -> socket.socket:
    host, port = config.http.host, config.http.port
    return _open(lambda: tcp_listener(host, port), f"{host}:{port}", "--port (http.port) or http.host")


def _open(opener: Callable[[], socket.socket], address: str, setting: str) -> socket.socket:
    """``setting``: that names the address."""
    try:
        return opener()
    except OSError as error:
        raise ConfigError(f"cannot listen on {address}: {error.strerror}; choose another {setting}") from error
