"""`pokedexd keys`, `tenants` and `audit`: of a running daemon, or of a data directory that no daemon uses."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import trio
import typer
from rich.table import Table

from daemon.access import Access
from daemon.access_client import AccessClient
from daemon.config import Config, admin_socket_path, data_dir, load
from daemon.terminal import ConfigOption, DataDirOption, JsonOption, existing_data_dir, out
from daemon.web.access_views import audit_view, key_view, tenant_view
from proto.api import AuditView, KeyMade, Keys, KeyView, Tenants, TenantView
from proto.errors import ConfigError, Malformed, NotFound
from proto.records import DEFAULT_TENANT, Event
from stores.audit import OPERATOR, Verified, latest_audit, verify_audit
from stores.env import Environment
from stores.journal import Journal
from stores.keys import DEFAULT_SCOPES, SCOPES
from stores.tenants import check_ever_tenant

keys_app = typer.Typer(help="Keys of the HTTP API.", no_args_is_help=True)
tenants_app = typer.Typer(help="Whose lists, notes and searches are kept apart.", no_args_is_help=True)
audit_app = typer.Typer(help="The audit trail: who did what.", no_args_is_help=True)

T = TypeVar("T")
TenantOption = Annotated[str, typer.Option("--tenant", help="Whose.")]
AllOption = Annotated[str, typer.Option("--tenant", help="Whose; all where none is named.", show_default=False)]

LIFETIME = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[smhdw])")
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
FOLLOW_SECONDS = 1.0


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Option("--name", help="What it is for.", show_default=False)] = "",
    scopes: Annotated[
        str, typer.Option("--scopes", help=f"Some of {','.join(SCOPES)}, with commas between them.")
    ] = ",".join(DEFAULT_SCOPES),
    expires: Annotated[
        str, typer.Option("--expires", help="In so long, such as 12h, 90d or 52w; never where it is not given.")
    ] = "",
    per_minute: Annotated[int, typer.Option("--per-minute", min=0, help="Requests a minute; 0: no limit.")] = 600,
    tenant: TenantOption = DEFAULT_TENANT,
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key; it is shown this once. From the first one on, the daemon asks for a key."""
    wanted = [one.strip() for one in scopes.split(",") if one.strip()]
    lifetime = lifetime_seconds(expires) if expires else None
    where = _Where(config, data)
    if where.client.answers():
        made = where.client.create_key(
            tenant, name=name, scopes=wanted, lifetime_seconds=lifetime, requests_per_minute=per_minute
        )
    else:

        async def make(access: Access) -> KeyMade:
            key, of = await access.create_key(
                tenant,
                name=name,
                scopes=wanted,
                lifetime_seconds=lifetime,
                requests_per_minute=per_minute,
                actor=OPERATOR.actor,
            )
            return KeyMade(key=key, of=key_view(of))

        made = where.offline(make, or_empty=True)
    if as_json:
        return _json(made)
    sys.stderr.write(
        f"key {made.of.key_id} of {made.of.tenant_id}: {', '.join(made.of.scopes)}; it is shown this once\n"
    )
    sys.stdout.write(made.key + "\n")
    return None


@keys_app.command("list")
def keys_list(
    tenant: AllOption = "", config: ConfigOption = None, data: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Show the keys, without the keys themselves."""
    where = _Where(config, data)

    async def read(access: Access) -> list[KeyView]:
        return [key_view(one) for one in await access.keys(tenant)]

    found = where.client.keys(tenant) if where.client.answers() else where.offline(read)
    if as_json:
        return _json(Keys(keys=found))
    table = Table("key", "tenant", "name", "scopes", "a minute", "made", "ends", "last used", box=None, pad_edge=False)
    for one in found:
        ends = f"revoked {one.revoked_at}" if one.revoked_at else one.expires_at or "never"
        table.add_row(
            one.key_id,
            one.tenant_id,
            one.name,
            ",".join(one.scopes),
            str(one.requests_per_minute or "any"),
            one.created_at or "",
            ends,
            one.last_used_at or "never",
        )
    out.print(table, highlight=False)
    return None


@keys_app.command("revoke")
def keys_revoke(
    key: Annotated[str, typer.Argument(help="Its id, or its name.", show_default=False)],
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Take a key back; in force at once, with the sessions that it began."""
    where = _Where(config, data)

    async def revoke(access: Access) -> KeyView:
        return key_view(await access.revoke_key(key, OPERATOR.actor))

    gone = where.client.revoke_key(key) if where.client.answers() else where.offline(revoke)
    sys.stdout.write(f"key {gone.key_id} of {gone.tenant_id} is revoked\n")


@tenants_app.command("create")
def tenants_create(
    tenant: Annotated[str, typer.Argument(help="Its id: small letters, digits, - and _.", show_default=False)],
    name: Annotated[str, typer.Option("--name", help="What people call it.", show_default=False)] = "",
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Make a tenant: its lists, notes and searches are nobody else's."""
    where = _Where(config, data)

    async def create(access: Access) -> TenantView:
        return tenant_view(await access.create_tenant(tenant, name, OPERATOR.actor))

    made = where.client.create_tenant(tenant, name) if where.client.answers() else where.offline(create, or_empty=True)
    sys.stdout.write(f"tenant {made.tenant_id} is there; `pokedexd keys create --tenant {made.tenant_id}` lets it in\n")


@tenants_app.command("list")
def tenants_list(config: ConfigOption = None, data: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Show the tenants."""
    found = _tenants(_Where(config, data))
    if as_json:
        return _json(Tenants(tenants=found))
    for one in found:
        sys.stdout.write(f"{one.tenant_id}\t{one.name}\t{one.created_at or ''}\n")
    return None


@tenants_app.command("remove")
def tenants_remove(
    tenant: Annotated[str, typer.Argument(help="Its id.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Remove a tenant with its keys, lists, notes, searches and query log. The audit trail stays."""
    where = _Where(config, data)
    if not yes:
        if tenant not in [one.tenant_id for one in _tenants(where)]:
            raise NotFound(f"no tenant {tenant[:60]!r}; `pokedexd tenants list` shows them")
        typer.confirm(f"remove {tenant} and all that it noted?", abort=True, err=True)

    async def remove(access: Access) -> int:
        return await access.remove_tenant(tenant, OPERATOR.actor)

    rows = where.client.remove_tenant(tenant) if where.client.answers() else where.offline(remove)
    sys.stdout.write(f"tenant {tenant} is gone, with {rows:,} rows\n")


@audit_app.command("tail")
def audit_tail(
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=1_000, help="The latest so many.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens.")] = False,
    tenant: AllOption = "",
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON each.")] = False,
) -> None:
    """Show who did what, the latest last."""
    where = _Where(config, data)
    if not where.client.answers():
        if follow:
            raise ConfigError("no daemon runs on this data directory: there is nothing to follow")
        with where.store() as env, env.snapshot() as txn:
            if tenant:
                check_ever_tenant(txn, tenant)
            _tell([audit_view(*one) for one in latest_audit(txn, lines, tenant)], as_json)
        return
    found = where.client.audit(lines, tenant)
    _tell(found, as_json)
    seen = found[-1].number if found else 0
    while follow:
        time.sleep(FOLLOW_SECONDS)
        found = where.client.audit(1_000, tenant, after=seen)
        _tell(found, as_json)
        seen = found[-1].number if found else seen


@audit_app.command("verify")
def audit_verify(config: ConfigOption = None, data: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Check that no record was changed or taken out; exit code 1 and the first one where one was."""
    where = _Where(config, data)
    if where.client.answers():
        found = where.client.verify_audit()
    else:
        with where.store() as env, env.snapshot() as txn:
            found = verify_audit(txn)
    if as_json:
        _json(found)
    else:
        sys.stdout.write(_words(found) + "\n")
    if found.broken is not None:
        raise typer.Exit(1)


def lifetime_seconds(text: str) -> int:
    """Raises Malformed."""
    found = LIFETIME.fullmatch(text.strip())
    if found is None or not int(found["number"]):
        raise Malformed(f"--expires: expected a time such as 12h, 90d or 52w, not {text[:40]!r}")
    return int(found["number"]) * UNIT_SECONDS[found["unit"]]


class _Where:
    """The daemon, or the data directory."""

    def __init__(self, config: Path | None, data: Path | None) -> None:
        self._config = load(config, os.environ, {"daemon.data_dir": None if data is None else str(data)}).config
        folder = data_dir(self._config, os.environ)
        self.client = AccessClient(admin_socket_path(self._config, os.environ, folder))

    @contextlib.contextmanager
    def store(self, *, or_empty: bool = False) -> Iterator[Environment]:
        """``or_empty``: begin one in an empty folder. Raises ConfigError, and StoreBusy while a daemon runs."""
        folder = existing_data_dir(self._config, or_empty=or_empty)
        with contextlib.closing(Environment(folder, map_size_bytes=_map_bytes(self._config))) as env:
            yield env

    def offline(self, act: Callable[[Access], Awaitable[T]], *, or_empty: bool = False) -> T:
        with self.store(or_empty=or_empty) as env:
            Journal(env, _silent).ensure_default_tenant(int(time.time()))
            return trio.run(partial(_with_access, env, act))


def _tenants(where: _Where) -> list[TenantView]:
    async def read(access: Access) -> list[TenantView]:
        return [tenant_view(one) for one in await access.all_tenants()]

    return where.client.tenants() if where.client.answers() else where.offline(read)


async def _with_access(env: Environment, act: Callable[[Access], Awaitable[T]]) -> T:
    access = Access(env, now=time.time, clock=trio.current_time)
    await access.load()
    return await act(access)


def _map_bytes(config: Config) -> int:
    return config.storage.map_size_gib << 30


def _silent(event: Event) -> None:
    del event


def _tell(records: list[AuditView], as_json: bool) -> None:
    for one in records:
        if as_json:
            sys.stdout.write(msgspec.json.encode(one).decode() + "\n")
        else:
            words = f"{one.number}  {one.at}  {one.tenant_id}  {one.actor}  {one.action}  {one.detail}"
            sys.stdout.write("".join(char if char.isprintable() else "\ufffd" for char in words) + "\n")
    sys.stdout.flush()


def _words(found: Verified) -> str:
    if found.broken is not None:
        return f"broken at record {found.broken}: {found.problem}"
    said = f"{found.records:,} records hold, {found.first} to {found.last}"
    if found.unchained:
        said += f"; {found.unchained:,} are older than the chain"
    return said + (f"; in {found.erased:,} somebody was forgotten" if found.erased else "")


def _json(document: msgspec.Struct) -> None:
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
