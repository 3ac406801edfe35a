"""The commands, thin over the same functions that the daemon uses."""

from __future__ import annotations

import contextlib
import csv
import faulthandler
import hashlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Protocol

import msgspec
import trio
import typer
from rich.progress import Progress
from rich.text import Text

from daemon import cli_operating, cli_running, migrating
from daemon.access_cli import audit_app, keys_app, tenants_app
from daemon.admin_client import ROWS_PER_REQUEST, AdminClient
from daemon.backup import Made, make_backup
from daemon.cli_creators import export_command, import_creators
from daemon.clock import make_clock
from daemon.config import (
    Config,
    Loaded,
    admin_socket_path,
    built_folder,
    data_dir,
    dump,
    load,
    suppression_path,
    switched_off,
)
from daemon.deploy.commands import deploy_app
from daemon.derived_data import UNSTATED, UNSTATED_REMEDY, refuse_unstated
from daemon.evaluation.judged_sets import Part, read_judged_sets
from daemon.forgetting import Report, forget_offline
from daemon.importance import check_importance
from daemon.importing import KINDS, Piece, Verdict, end_import, import_rows, mark_duplicates, parse_reference, read_rows
from daemon.indexing import drop_indexes
from daemon.logs import configure
from daemon.notify import sd_notify, sd_reloading
from daemon.oidc import check_oidc
from daemon.pipeline import identity_rules, taxonomy_of
from daemon.raw_export import export_raw, find_account
from daemon.reprocessing import FieldDiff, Reprocessing, open_readers
from daemon.reprocessing import Report as Reprocessed
from daemon.restoring import RESTORED_SETTINGS, Examined, examine, restore, words_of
from daemon.terminal import ConfigOption, DataDirOption, JsonOption, client_for, err, existing_data_dir, out
from daemon.terminal import line as _line
from daemon.terminal import settings as _settings
from daemon.terminal import table as _table
from daemon.web.tls import tls_of
from daemon.weights import check_weight
from models.build import Recipe, build, find_source
from models.minilm import MINILM
from models.universal import UNIVERSAL
from proto.api import DeadLetterView, DecisionView, NamedAccount, WeightsView
from proto.errors import ConfigError, Malformed, ModelMissing, PokedexError, StoreBusy, Unavailable
from proto.ids import AccountKey, Platform
from proto.records import DEFAULT_TENANT
from stores.backup_file import Manifest
from stores.codec import SCHEMA_VERSION
from stores.env import Environment, look_into, look_on
from stores.journal import Journal
from stores.keys import keys_of
from stores.removal import emptied
from stores.suppression import Suppression, adopt_journal, known_journal, open_journal

if TYPE_CHECKING:
    from daemon.app import Running
    from daemon.evaluation.embedding import Score as EmbeddingScore

app = typer.Typer(name="pokedexd", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
config_app = typer.Typer(help="Check and show the settings.", no_args_is_help=True)
model_app = typer.Typer(help="The embedding model.", no_args_is_help=True)
ctl_app = typer.Typer(help="Talk to a running daemon over its admin socket.", no_args_is_help=True)
weights_app = typer.Typer(help="How the score of a search is put together.", no_args_is_help=True)
queries_app = typer.Typer(help="The log of searches.", no_args_is_help=True)
raw_app = typer.Typer(help="What the platforms said, as received.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(model_app, name="model")
eval_app = typer.Typer(help="Measure the product; no daemon needed.", no_args_is_help=True)
app.add_typer(ctl_app, name="ctl")
ctl_app.add_typer(weights_app, name="weights")
ctl_app.add_typer(queries_app, name="queries")
app.add_typer(eval_app, name="eval")
app.add_typer(raw_app, name="raw")
app.add_typer(deploy_app, name="deploy")
for parent in (app, ctl_app):
    parent.add_typer(keys_app, name="keys")
    parent.add_typer(tenants_app, name="tenants")
    parent.add_typer(audit_app, name="audit")
cli_operating.register(app)
cli_running.register(ctl_app)
TenantOption = Annotated[str, typer.Option(help="Whose.")]
PortOption = Annotated[int | None, typer.Option(min=0, max=65_535, help="Port of the API and the page; 0: any free.")]
AdminPortOption = Annotated[
    int | None,
    typer.Option(min=0, max=65_535, help="Also serve the admin endpoint on this loopback port; 0: any free."),
]

SECOND_SIGNAL_CODE = 1
MOST_MADE_UP, MOST_DAYS = 1_000_000, 3_650
"""Of simulated worlds."""
PROGRESS_SECONDS = 0.3
"""How often a running daemon is asked how far it is."""


class Buildable(StrEnum):
    """Models that can be built of what a package ships."""

    MINILM = "minilm"
    UNIVERSAL = "universal"


RECIPES: dict[Buildable, tuple[Recipe, str]] = {
    Buildable.MINILM: (MINILM, "model"),
    Buildable.UNIVERSAL: (UNIVERSAL, "universal"),
}
"""And the name of the folder that each is built in."""


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"pokedexd {version('pokedexd')}", highlight=False)
        raise typer.Exit


@app.callback()
def root(
    shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A discovery engine for creators that one person can own."""
    del shown


@app.command()
def serve(
    config: ConfigOption = None, data: DataDirOption = None, port: PortOption = None, admin_port: AdminPortOption = None
) -> None:
    """Run the daemon."""

    def settings() -> Loaded:
        return _load(config, {"http.port": port, "admin.port": admin_port, "daemon.data_dir": _text(data)})

    loaded = settings()
    configure(loaded.config.log.level, loaded.config.log.format)
    faulthandler.enable()  # systemd ends what gives no sign of life by SIGABRT: the log then shows where it stood
    trio.run(_serve, loaded, settings)


@app.command()
def demo(
    creators: Annotated[int, typer.Option(min=1, max=MOST_MADE_UP, help="Size of the generated world.")] = 2_000,
    seed: Annotated[int, typer.Option(help="Which generated world.")] = 1,
    world: Annotated[list[Path] | None, typer.Option(help="A folder of real data instead; may be repeated.")] = None,
    data: DataDirOption = None,
    port: PortOption = None,
    admin_port: AdminPortOption = 0,
    live: Annotated[bool, typer.Option("--live", help="Time goes on and creators keep posting.")] = False,
) -> None:
    """Play the platforms on loopback and run the whole daemon over them: no key, no network."""
    from daemon.demo import DemoWorld, run_demo

    the_world = DemoWorld(creators=creators, seed=seed, folders=tuple(world or ()), live=live)
    for folder in the_world.folders:
        if not folder.is_dir():
            raise ConfigError(f"--world {folder}: no such folder")
    configure("warning", "text")
    trio.run(run_demo, the_world, data, port, admin_port, out, watch_signals)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV or JSON lines of channel ids, URLs or handles.")],
    verdicts: Annotated[
        Path | None,
        typer.Option("--verdicts", help="Where the verdict of every row goes.", show_default="FILE.verdicts.csv"),
    ] = None,
    creators: Annotated[
        bool,
        typer.Option("--creators", help="FILE holds whole creators, one a line, as JSON or zstd of it (see README)."),
    ] = False,
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Add accounts from a list, with a verdict for every row. The same list again changes nothing."""
    loaded = _settings(config, data)
    target = verdicts or file.with_name(file.name + ".verdicts.csv")
    if target.exists() and file.exists() and target.samefile(file):
        raise ConfigError(f"{target}: is the list itself; name another place as --verdicts")
    if creators:
        import_creators(loaded.config, file, target)
        return
    rows = list(read_rows(file))
    import_id = hashlib.sha256(repr(rows).encode()).hexdigest()
    found: list[Verdict] = []
    with Progress(console=err, disable=not err.is_terminal) as progress, _importer(loaded.config) as importer:
        task = progress.add_task("importing", total=len(rows))
        for begin in range(0, len(rows), ROWS_PER_REQUEST):
            part = rows[begin : begin + ROWS_PER_REQUEST]
            found += importer.rows(part, Piece(import_id=import_id, at=begin))
            progress.advance(task, len(part))
            if not err.is_terminal and len(rows) > ROWS_PER_REQUEST:
                err.print(f"{len(found):,} of {len(rows):,} rows", highlight=False)
        found = mark_duplicates(found, rows)
        _write_verdicts(target, found)
        importer.end(import_id)  # only now: interrupted before, the same command brings the same verdicts
        off = importer.off()
    _show_verdicts(found, target)
    _tell_what_waits(off, found, rows)
    if rows and all(one.verdict in ("invalid", "unsupported") for one in found):
        raise typer.Exit(1)


app.command("export")(export_command)


@app.command()
def reindex(config: ConfigOption = None, data: DataDirOption = None) -> None:
    """Throw the search indexes away; the next start rebuilds them from the store."""
    loaded = _settings(config, data)
    folder = existing_data_dir(loaded.config)
    try:
        Environment(folder, map_size_bytes=loaded.config.storage.map_size_gib << 30).close()
    except StoreBusy as error:
        raise StoreBusy(f"{error}; `pokedexd ctl reindex` has a running daemon write the keyword index anew") from error
    drop_indexes(folder)
    out.print(f"{folder}: indexes removed; the next start rebuilds them")


@app.command()
def migrate(config: ConfigOption = None, data: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Bring a store that an older version wrote up to this one, backed up first; the daemon does so when it starts."""
    loaded = _settings(config, data)
    folder = existing_data_dir(loaded.config)
    with err.status("migrating") as status:
        migrated = migrating.migrate(loaded, folder, tell=status.update)
    if as_json:
        sys.stdout.write(msgspec.json.encode(migrated).decode() + "\n")
    elif migrated is None:
        _line(f"{folder}: nothing to do, the store has schema version {SCHEMA_VERSION}")
    else:
        _line(f"{folder}: from schema version {migrated.from_version} to {migrated.to_version}")
        _line(f"the store as it was: {migrated.backup}; remove it once all is well")


@app.command()
def forget(
    accounts: Annotated[list[str], typer.Argument(help="Account keys, ids, handles or URLs.")],
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Erase accounts everywhere and never take them in again."""
    loaded = _settings(config, data)
    client = client_for(loaded.config)
    with err.status("erasing"):
        reports = client.forget(accounts) if client.answers() else _forget_offline(loaded.config, accounts)
    if as_json:
        sys.stdout.write(msgspec.json.encode(reports).decode() + "\n")
        return
    for account, report in zip(accounts, reports, strict=True):
        rows = sum(report.removed.values())
        found = f"erased, {rows:,} rows" if report.known else "nothing was held"
        out.print(f"{account}: {found}; suppressed as {report.alias}", highlight=False, soft_wrap=True)
        if report.others:
            _line(f"  the same person's other accounts stay: {', '.join(report.others)}")
    if any(report.compact_at_start for report in reports):
        out.print("free pages of the store hold old bytes until the daemon is started again", highlight=False)


@app.command("adopt-journal")
def adopt_journal_(config: ConfigOption = None, data: DataDirOption = None) -> None:
    """Make the suppression journal that is there, or a new one, the store's own in place of one that is lost. Whoever only
    that one named can come back. The daemon must be stopped."""
    loaded = _settings(config, data)
    with _offline_store(loaded.config) as env:
        path = suppression_path(loaded.config, os.environ, data_dir(loaded.config, os.environ))
        at = int(make_clock(loaded.config.daemon, env)())
        Journal(env, lambda _: None).ensure_default_tenant(at)
        before, now = adopt_journal(env, path, at)
    folder = data_dir(loaded.config, os.environ)
    if before in ("", now):
        _line(f"{path}: is the store's journal")
    else:
        _line(f"{path}: is the store's journal now; who was forgotten by another one can be taken in again")
    if path.stat().st_uid != folder.stat().st_uid:  # root's, of a service
        _line(f"before the next start: chown --reference={folder} {path}")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where the backup goes; must not exist.", show_default=False)],
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write everything into one file, while the daemon goes on; secrets and the suppression journal are not in it."""
    loaded = _settings(config, data)
    client = client_for(loaded.config)
    with _named_progress() as tell:
        if client.answers():
            made = _back_up_online(client, file.absolute(), tell)
        else:
            with _offline_store(loaded.config) as env:
                made = make_backup(
                    env,
                    data_dir(loaded.config, os.environ),
                    file.absolute(),
                    settings=dump(loaded, secrets_masked=False),
                    created_at=time.time(),
                    map_size_bytes=loaded.config.storage.map_size_gib << 30,
                    tell=partial(_tell_bytes, tell),
                )
    if as_json:
        sys.stdout.write(msgspec.json.encode(made).decode() + "\n")
        return
    _line(f"{file}: {made.size:,} bytes in {made.seconds:g} s; {_contents(made.manifest)}")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A backup.", show_default=False)],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look a backup through with this version: every byte, every record, and what leads from one to another."""
    _clean_up_when_told_to_end()
    map_size_bytes = _load(config, {}).config.storage.map_size_gib << 30
    with (
        _named_progress() as tell,
        tempfile.TemporaryDirectory(prefix="pokedexd-verify-") as made,
        emptied(Path(made), partial(_tell_bytes, tell, "removing")) as folder,
    ):
        examined = examine(file, folder, map_size_bytes=map_size_bytes, tell=partial(_tell_bytes, tell))
        _say_examined(file, examined, as_json=as_json)  # who has read it need not wait for the rest
    if examined.faults:
        raise typer.Exit(1)


def _say_examined(file: Path, examined: Examined, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(examined).decode() + "\n")
        sys.stdout.flush()
        return
    _line(f"{file}: {_age(examined.manifest)}; {examined.size:,} bytes; {_contents(examined.manifest)}")
    for fault in examined.faults:
        _line(f"  {words_of(fault)}")
    _line("every record can be read, and leads where it should" if not examined.faults else "NOT WHOLE: see above")


@app.command("restore")
def restore_(
    file: Annotated[Path, typer.Argument(help="A backup.", show_default=False)],
    config: ConfigOption = None,
    data: DataDirOption = None,
    suppression_file: Annotated[
        Path | None,
        typer.Option(
            "--suppression-file",
            help="The journal of who was forgotten; they are erased again.",
            show_default="the one that the daemon uses, where there is one",
        ),
    ] = None,
    without_suppression: Annotated[
        bool, typer.Option("--without-suppression", help="There is no such journal: nobody was ever forgotten.")
    ] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt-journal", help="Obey the journal although the backup's store had another.")
    ] = False,
    drill: Annotated[bool, typer.Option("--drill", help="Only try it, in a temporary folder.")] = False,
) -> None:
    """Make a data directory of a backup, into an empty folder; the next start builds the indexes."""
    settings = _settings(config, data).config
    folder = data_dir(settings, os.environ)
    place = suppression_path(settings, os.environ, folder)
    journal = _journal_to_obey(suppression_file, place, without=without_suppression)
    with contextlib.ExitStack() as stack:
        tell = stack.enter_context(_named_progress())
        if drill:
            _clean_up_when_told_to_end()
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pokedexd-drill-"))) / "data"
        restored = restore(
            file,
            folder,
            journal=journal,
            journal_place=None if drill else place,
            map_size_bytes=settings.storage.map_size_gib << 30,
            daemon=settings.daemon,
            tell=partial(_tell_bytes, tell),
            check_again=drill,
            adopt=adopt,
        )
    _line(f"{file}: {_age(restored.manifest)}; {_contents(restored.manifest)}")
    if (again := restored.erased_again) is not None:
        _line(
            f"who asked to be forgotten was erased again; accounts: {again.accounts:,}, ids and handles: {again.names:,}"
        )
    if drill:
        _line("it can be restored; nothing of the drill is left")
        return
    _line(f"restored into {folder}; the next start builds the indexes")
    _line(f"the settings of then, without secrets: {folder / RESTORED_SETTINGS}")
    if folder.stat().st_uid != os.geteuid():  # root's, in the place of a service
        _line(f"before the next start: chown -R --reference={folder} {folder}/")
    if restored.holds_derived and not settings.platforms.youtube.derived_data:
        _line(f"before the next start: {UNSTATED}; {UNSTATED_REMEDY}")


def _journal_to_obey(stated: Path | None, place: Path, *, without: bool) -> Path | None:
    """Raises ConfigError where nobody says who was forgotten, or two say it."""
    if stated is not None and not stated.is_file():
        raise ConfigError(f"--suppression-file {stated}: no such file")
    journal = stated or (place if place.exists() else None)
    if without and journal is not None:
        raise ConfigError(f"--without-suppression: there is a suppression journal, {journal}; leave the option out")
    if not without and journal is None:
        raise ConfigError(
            f"{place}: no suppression journal is there; name the one of the daemon that made the backup "
            "(--suppression-file FILE), so that whoever was forgotten stays so, or say --without-suppression"
        )
    return journal


def _back_up_online(client: AdminClient, file: Path, tell: Callable[[str, float], None]) -> Made:
    with ThreadPoolExecutor(1) as thread:
        making = thread.submit(client.back_up, file)
        while not making.done():
            progress = client.backup_progress()
            if progress.step:
                _tell_bytes(tell, progress.step, progress.done, progress.total)
            wait([making], PROGRESS_SECONDS)
        return making.result()


def _tell_bytes(tell: Callable[[str, float], None], step: str, done: int, total: int) -> None:
    tell(step, done / total if total else 1.0)


def _contents(manifest: Manifest) -> str:
    counts = manifest.counts
    return (
        f"{counts['creators']:,} creators, {counts['accounts']:,} accounts, {manifest.content_items:,} content items, "
        f"{sum(counts.values()):,} rows"
    )


def _age(manifest: Manifest) -> str:
    hours = (time.time() - manifest.created_at) / 3_600
    at = datetime.fromtimestamp(manifest.created_at, UTC).isoformat()
    return (
        f"backup of {at}, {hours:.1f} h old, by pokedexd {manifest.product_version}, schema {manifest.schema_version}"
    )


@app.command()
def reprocess(
    platform: Annotated[Platform | None, typer.Option(help="Pages of this platform only.", show_default=False)] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Pages received on this day (UTC) or later.", show_default=False),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write what differs into the catalogue.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Read the stored pages again with this version, and show what that changes; the daemon must be stopped."""
    loaded = _settings(config, data)
    with (
        _offline_store(loaded.config) as env,
        _who_is_forgotten(env, loaded.config) as forbids,
        Progress(console=err, disable=not err.is_terminal) as progress,
    ):
        task = progress.add_task("reading pages", total=None)
        report = trio.run(
            partial(
                _reprocess,
                env,
                forbids,
                make_clock(loaded.config.daemon, env),
                apply=apply,
                platform=platform,
                since=int(since.replace(tzinfo=UTC).timestamp()) if since else 0,
                tell=lambda done, total: progress.update(task, completed=done, total=total),
            )
        )
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        _show_reprocessed(report)
    if report.unreadable and not report.pages_read:
        raise Unavailable("no page could be read, so that nothing is known of what would change")


@raw_app.command("export")
def raw_export(
    account: Annotated[str, typer.Argument(help="Account key, id, handle or URL.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the lines go.", show_default="standard output")
    ] = None,
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Write every stored page of an account as JSON lines, oldest first; the daemon may go on."""
    loaded = _settings(config, data)
    with look_on(existing_data_dir(loaded.config)) as env:
        key = trio.run(find_account, env, account)
        if output is None:
            trio.run(export_raw, env, key, sys.stdout.buffer.write)
            return
        try:
            with output.open("wb") as file:
                pages = trio.run(export_raw, env, key, file.write)
        except OSError as error:
            raise Unavailable(f"{output}: cannot be written: {error.strerror}; choose --output") from error
    out.print(f"{pages:,} pages of {key} in {output}", highlight=False, soft_wrap=True)


@config_app.command("check")
def config_check(config: ConfigOption = None, data: DataDirOption = None) -> None:
    """Say whether a start would take the settings and the files that they name, and what is wrong."""
    from daemon.listeners import admin_key

    loaded = _settings(config, data)
    identity_rules(loaded.config)
    taxonomy_of(loaded.config)
    check_oidc(loaded.config.oidc)
    admin_key(loaded.config)
    tls = tls_of(loaded.config.http.tls_cert_file, loaded.config.http.tls_key_file)
    if tls is not None:
        tls.ends_at()
    _line(_asked_of_store(loaded.config, data_dir(loaded.config, os.environ)))
    out.print(f"{loaded.path or 'defaults and environment'}: ok", highlight=False)


def _asked_of_store(config: Config, folder: Path) -> str:
    """A warning of what could not be looked up there. Raises ConfigError where a start over the store would."""
    from daemon.listeners import OPEN_REMEDY, is_open, refuse_open

    with contextlib.suppress(Unavailable, KeyError), look_into(folder, shared=True) as found:
        refuse_unstated(found.txn, config)
        refuse_open(config, has_keys=bool(keys_of(found.txn)))
        return ""
    if not is_open(config, has_keys=False):
        return ""
    return f"warning: http.host: {config.http.host!r} is not loopback: {folder} has to have a key: {OPEN_REMEDY}"


@config_app.command("dump")
def config_dump(config: ConfigOption = None, data: DataDirOption = None) -> None:
    """Print every setting with its origin, and the places that follow from them; secrets are masked."""
    loaded = _settings(config, data)
    folder = data_dir(loaded.config, os.environ)
    places = {
        "data directory": folder,
        "suppression journal": suppression_path(loaded.config, os.environ, folder),
        "admin socket": admin_socket_path(loaded.config, os.environ, folder),
    }
    shown = "".join(f"# {name}: {place}\n" for name, place in places.items()) + "\n" + dump(loaded)
    out.print(shown, end="", highlight=False, soft_wrap=True)


@model_app.command("build")
def model_build(
    model: Annotated[Buildable, typer.Argument(help="Which; the universal one is multilingual.")] = Buildable.UNIVERSAL,
    source: Annotated[
        Path | None, typer.Option("--from", help="Folder with the weights.", show_default="of the installed package")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Where the model goes.", show_default="beside the installation")
    ] = None,
) -> None:
    """Turn the weights into the fast form that the daemon loads."""
    recipe, folder = RECIPES[model]
    found = source or find_source(recipe)
    if found is None:
        raise ModelMissing(
            f"the weights are not installed; install {recipe.package} (--no-deps) or name their folder: "
            "pokedexd model build --from DIR"
        )
    target = to or built_folder(folder)
    with err.status("building the model") as status:
        build(recipe, found, target, lambda text: status.update(text))
    out.print(f"model ready in {target}", highlight=False, soft_wrap=True)


@ctl_app.command("status")
def ctl_status(
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show what the daemon is doing."""
    client = client_for(_settings(config, data).config)
    if as_json:
        sys.stdout.write(client.status_json().decode() + "\n")
        return
    status = client.status()
    ready = status.ready
    out.print(
        f"pokedexd {status.version}, pid {status.pid}, up {status.uptime_seconds:.0f} s, {ready.status}",
        highlight=False,
    )
    _line(ready.drained)
    counts = ready.counts
    out.print(
        f"{counts.creators:,} creators, {counts.accounts:,} accounts, {counts.content_items:,} content items, "
        f"{counts.work_pending:,} pending, {status.dead_letters:,} dead letters, "
        f"{status.reviews:,} pairs to review",
        highlight=False,
    )
    labels = status.labels
    by = ", ".join(f"{creators:,} by {method}" for method, creators in labels.creators.items())
    spent = "".join(
        f"; {one.model}: {one.calls:,} calls, {one.prompt_tokens + one.completion_tokens:,} tokens, {one.cost:.4g} today"
        for one in labels.spent
    )
    out.print(f"labelled: {by}; {labels.waiting:,} to be asked about{spent}", highlight=False)
    out.print(_table("stage", ["state", "waiting", "handled", "busy s", "blocked s", "restarts"], [
        [one.name, one.state, one.queue_depth, one.handled, one.busy_seconds, one.blocked_seconds, one.restarts]
        for one in ready.stages
    ]))  # fmt: skip
    out.print(_table("dependency", ["state", "loaded", "detail"], [
        [name, part.state, f"{part.loaded:.0%}", part.detail] for name, part in ready.dependencies.items()
    ]))  # fmt: skip
    out.print(_table("budget", ["used", "limit", "of it backfill", "state", "dry at", "resets at"], [
        [
            f"{one.platform}/{one.bucket}",
            one.used,
            one.limit,
            "" if one.backfill_limit is None else f"{one.backfill_used} of {one.backfill_limit}",
            one.state,
            one.dry_at or "lasts",
            one.resets_at,
        ]
        for one in status.budgets
    ]))  # fmt: skip
    for platform in status.backfill_paused:
        _line(f"{platform}: history and new accounts wait, since known accounts are looked at too late")
    for platform, reason in status.intake_paused.items():
        _line(f"{platform}: nothing is fetched: {reason}")
    for pause in status.pauses:
        _line(f"{pause.name}: paused by {pause.by} since {pause.at}{f': {pause.reason}' if pause.reason else ''}")
    if status.resources.held_because:
        _line(status.resources.held_because)
    for name, reason in status.failing.items():
        _line(f"{name}: fails, and is started again: {reason}")
    for text in status.damaged:
        _line(f"damaged record: {text}")
    if status.damaged_records > len(status.damaged):
        _line(f"{status.damaged_records - len(status.damaged):,} more damaged records: pokedexd doctor")
    for event in status.events[:5]:
        out.print(f"{event['at']}  {event['kind']}  {event['subject']}  {event['detail']}", highlight=False)


@ctl_app.command("reload")
def ctl_reload(config: ConfigOption = None, data: DataDirOption = None) -> None:
    """Have the daemon read its settings again."""
    answer = client_for(_settings(config, data).config).reload()
    out.print(f"in force now: {', '.join(answer['applied']) or 'nothing changed'}", highlight=False)
    if answer["needs_restart"]:
        out.print(f"after a restart: {', '.join(answer['needs_restart'])}", highlight=False)


@ctl_app.command("importance")
def ctl_importance(
    importance: Annotated[float, typer.Argument(help="1 is everybody's; more is read more often, below 0.5 weekly.")],
    accounts: Annotated[list[str], typer.Argument(help="Keys, ids, @handles or URLs.", show_default=False)],
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Say how much accounts matter: how often they are read follows from it."""
    check_importance(importance)
    client = client_for(_settings(config, data).config)
    weighed = client.set_importance(accounts, importance)
    for one in weighed:
        _line(f"{one.account}  {one.detail or f'{one.before:g} → {one.importance:g}'}")
    if any(one.importance is None for one in weighed):
        raise typer.Exit(1)


@ctl_app.command("review")
def ctl_review(
    config: ConfigOption = None,
    data: DataDirOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Pairs at most.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """List accounts that may be one person's and wait for your word, the likeliest first, with what speaks for it."""
    page = client_for(_settings(config, data).config).reviews(limit)
    if as_json:
        sys.stdout.write(msgspec.json.encode(page).decode() + "\n")
        return
    for pair in page.pairs:
        _line(f"{pair.probability:.1%}  {_named(pair.first)}  =?  {_named(pair.second)}")
        said = ", ".join(f"{part.kind} {part.level.replace('_', ' ')} {part.log_odds:+.1f}" for part in pair.evidence)
        _line(f"    {said}{f'; {pair.why}' if pair.why else ''}")
        _line(f"    pokedexd ctl accept {pair.first.account} {pair.second.account}   (or reject)")
    _line(f"{page.total:,} pairs wait")


@ctl_app.command("accept")
def ctl_accept(
    first: Annotated[str, typer.Argument(help="Key, id, @handle or URL.", show_default=False)],
    second: Annotated[str, typer.Argument(help="Likewise.", show_default=False)],
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Say that two accounts are one person's; with them go the other accounts of their creators."""
    _tell_decisions(client_for(_settings(config, data).config).decide(first, second, same=True))


@ctl_app.command("reject")
def ctl_reject(
    first: Annotated[str, typer.Argument(help="Key, id, @handle or URL.", show_default=False)],
    second: Annotated[str, typer.Argument(help="Likewise.", show_default=False)],
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Say that two accounts are two people's."""
    client = client_for(_settings(config, data).config)
    _tell_decisions(client.decide(first, second, same=False))


@ctl_app.command("merge")
def ctl_merge(
    creators: Annotated[list[str], typer.Argument(help="Creator ids, or any account of each.", show_default=False)],
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Put creators together; the oldest one's id stays, the others lead to it."""
    _tell_decisions(client_for(_settings(config, data).config).merge(creators))


@ctl_app.command("split")
def ctl_split(
    account: Annotated[str, typer.Argument(help="Key, id, @handle or URL.", show_default=False)],
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Take an account out of its creator, for good."""
    _tell_decisions(client_for(_settings(config, data).config).split(account))


def _tell_decisions(decisions: Sequence[DecisionView]) -> None:
    for one in decisions:
        before = ", in place of the opposite that was said before" if one.replaces else ""
        _line(f"{one.first} and {one.second}: {'one person' if one.same else 'two people'}{before}")
    _line("noted; it shows once the accounts have gone through the stages (pokedexd ctl status: pending)")


def _named(account: NamedAccount) -> str:
    return f"{account.account} {account.display_name or ''}{f' @{account.handle}' if account.handle else ''}".strip()


@ctl_app.command("dead-letters")
def ctl_dead_letters(
    reason: Annotated[str, typer.Option(help="Of this reason only.", show_default=False)] = "",
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """List what does not succeed by itself, with its cause and the command that tries it again."""
    letters = _letters(client_for(_settings(config, data).config), reason)
    if as_json:
        sys.stdout.write(msgspec.json.encode(letters).decode() + "\n")
        return
    for one in letters:
        _line(f"{one.letter_id}  {one.stage}  {one.entity}  {one.reason}  {one.count:,}×")
        _line(f"  first {one.first_seen_at}, last {one.last_seen_at}")
        for text in (one.detail, one.request, one.replay or "cannot be replayed by this version"):
            _line(f"  {text}" if text else "")
    _line(f"{len(letters):,} dead letters")


@ctl_app.command("replay")
def ctl_replay(
    letter_id: Annotated[str | None, typer.Argument(help="The letter's id.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every letter, or every one of --reason.")] = False,
    reason: Annotated[str, typer.Option(help="With --all: of this reason only.", show_default=False)] = "",
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Put dead letters back to be tried again now."""
    if (letter_id is None) != everything or (reason and not everything):
        raise typer.BadParameter("name one letter, or give --all, with or without --reason")
    client = client_for(_settings(config, data).config)
    if letter_id is not None:
        letter = client.replay(letter_id)
        _line(f"put back: {letter.stage} {letter.entity}")
        return
    letters = _letters(client, reason)
    refused = [told for told in (_replay(client, one.letter_id) for one in letters) if told]
    _line(f"{len(letters) - len(refused):,} put back, {len(refused):,} not")
    for told in refused:
        _line(f"  {told}")
    if refused:
        raise typer.Exit(1)


@weights_app.command("get")
def ctl_weights_get(
    tenant: TenantOption = DEFAULT_TENANT,
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show the weights in force."""
    _show_weights(client_for(_settings(config, data).config).weights(tenant), as_json)


@weights_app.command("set")
def ctl_weights_set(
    weights: Annotated[
        list[str] | None, typer.Argument(help="Such as keyword=0.5 yt_bio=2; the others stay.", show_default=False)
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Those of the settings again.")] = False,
    tenant: TenantOption = DEFAULT_TENANT,
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Set a tenant's weights; they are in force from the next search on."""
    if reset == bool(weights):
        raise typer.BadParameter("name weights, or give --reset")
    changes = None if reset else _weights(weights or [])
    client = client_for(_settings(config, data).config)
    _show_weights(client.set_weights(tenant, changes), False)


@weights_app.command("what-if")
def ctl_weights_what_if(
    weights: Annotated[list[str], typer.Argument(help="Such as keyword=0.5 yt_bio=2.", show_default=False)],
    queries: Annotated[int, typer.Option(min=1, max=1_000, help="The latest so many searches.")] = 100,
    tenant: TenantOption = DEFAULT_TENANT,
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Run the latest searches again under other weights, and show how their first hits change."""
    client = client_for(_settings(config, data).config)
    found = client.what_if(tenant, _weights(weights), queries)
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    for one in [one for one in found.queries if one.moved]:
        _line(f"{one.number}  {one.overlap:.0%} the same  {one.text or '(everyone)'}  {one.filter}")
        for move in one.moved:
            _line(f"    {move.creator_id}  {move.before or 'behind'} → {move.after or 'behind'}")
    _line(f"{found.changed} of {len(found.queries)} searches change; {found.overlap:.1%} of the first ten stay")


@queries_app.command("export")
def ctl_queries_export(
    after: Annotated[int, typer.Option(min=0, help="From behind this number on.")] = 0,
    tenant: TenantOption = DEFAULT_TENANT,
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Write logged searches with their candidates as JSON lines, to learn ranking from."""
    for lines in client_for(_settings(config, data).config).queries(tenant, after):
        sys.stdout.write(lines.decode())


def main() -> NoReturn:
    """The console script: expected failures are one line on stderr and exit code 1."""
    os.umask(0o077)
    failed = False
    try:
        app(standalone_mode=True)
    except* PokedexError as group:
        failed = True  # Python 3.11.2 makes a group, with its traceback, of a SystemExit that is raised in here
        for text in dict.fromkeys(map(str, _leaves(group))):  # of a store that is damaged several say the same
            err.print(Text("error:", "red"), text, highlight=False, soft_wrap=True)
    sys.exit(1 if failed else 0)


def _clean_up_when_told_to_end() -> None:
    """From now on SIGTERM ends the command as an error would, so that what it unpacked, which is as large as the store, goes
    with it."""
    signal.signal(signal.SIGTERM, _told_to_end)


def _told_to_end(number: int, _: object) -> None:
    if trio.lowlevel.in_trio_run():
        signal.raise_signal(signal.SIGINT)  # which trio brings to the task that runs
    else:
        raise SystemExit(128 + number)


async def _serve(loaded: Loaded, settings: Callable[[], Loaded]) -> None:
    from daemon.app import run_daemon  # the commands that only ask a daemon do without it, and start sooner

    stop = trio.Event()
    folder = data_dir(loaded.config, os.environ)
    socket_path = admin_socket_path(loaded.config, os.environ, folder)
    async with trio.open_nursery() as beside:
        async with trio.open_nursery() as nursery:
            running: Running = await nursery.start(
                partial(
                    run_daemon,
                    loaded,
                    data_dir=folder,
                    suppression_file=suppression_path(loaded.config, os.environ, folder),
                    admin_socket=socket_path,
                    stop=stop,
                    reload=settings,
                )
            )
            await beside.start(watch_signals, stop, running)
            sys.stdout.write(f"pokedexd serves {folder} on {running.url}\n")
            sys.stdout.flush()
        beside.cancel_scope.cancel("stopped")


async def watch_signals(
    stop: trio.Event, running: Running, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """SIGTERM and SIGINT stop once and kill twice; SIGHUP reloads, and a refused reload changes nothing."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGHUP:
                sd_reloading()
                with contextlib.suppress(ConfigError):
                    await running.control.reload()
                sd_notify("READY=1")
            elif stop.is_set():
                os._exit(SECOND_SIGNAL_CODE)
            else:
                stop.set()


def _load(path: Path | None, flags: dict[str, Any]) -> Loaded:
    return load(path, os.environ, flags)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _forget_offline(config: Config, accounts: Sequence[str]) -> list[Report]:
    folder = existing_data_dir(config)
    journal = suppression_path(config, os.environ, folder)
    return forget_offline(
        folder, journal, accounts, map_size_bytes=config.storage.map_size_gib << 30, daemon=config.daemon
    )


@contextlib.contextmanager
def _offline_store(config: Config) -> Iterator[Environment]:
    """Raises StoreBusy while a daemon runs."""
    env = Environment(existing_data_dir(config), map_size_bytes=config.storage.map_size_gib << 30)
    with contextlib.closing(env):
        yield env


@contextlib.contextmanager
def _who_is_forgotten(env: Environment, config: Config) -> Iterator[Callable[[AccountKey, str], bool]]:
    """Whether an account, or the handle it goes by, must not be taken in. No journal is begun where there is none."""
    path = suppression_path(config, os.environ, data_dir(config, os.environ))
    if not path.exists() and not known_journal(env):
        yield lambda *_: False
        return
    with contextlib.closing(open_journal(env, path)) as journal:
        yield journal.forbids


async def _reprocess(
    env: Environment,
    forbids: Callable[[AccountKey, str], bool],
    now: Callable[[], float],
    *,
    apply: bool,
    platform: Platform | None,
    since: int,
    tell: Callable[[int, int], None],
) -> Reprocessed:
    async with open_readers(now) as readers:
        reprocessing = Reprocessing(env, readers=readers, forbids=forbids, now=now, apply=apply)
        return await reprocessing.run(platform=platform, since=since, tell=tell)


def _show_reprocessed(report: Reprocessed) -> None:
    _line(f"{report.pages:,} pages read again; {'written' if report.applied else 'nothing written, see --apply'}")
    _line(f"accounts: {report.accounts_added:,} added, {report.accounts_changed:,} changed")
    _show_fields(report.account_fields)
    _line(f"content items: {report.items_added:,} added, {report.items_changed:,} changed")
    _show_fields(report.item_fields)
    if report.forbidden:
        _line(f"{report.forbidden:,} pages of people who asked to be forgotten{' dropped' if report.applied else ''}")
    if report.unreadable:
        _line(f"{report.unreadable:,} pages or items cannot be read")
    for one in report.unreadable_pages:
        _line(f"  {one.raw_id}  {one.account_key}  {one.fetched_at}  {one.place}  {one.reason}")
    if report.unreadable > len(report.unreadable_pages):
        _line(f"  and {report.unreadable - len(report.unreadable_pages):,} more")


def _show_fields(fields: Mapping[str, FieldDiff]) -> None:
    for name, diff in sorted(fields.items()):
        _line(f"  {name}: {diff.changed:,}")
        for one in diff.examples:
            _line(f"    {one.entity}: {one.before} → {one.after}")


def _weights(texts: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        name, mark, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            mark = ""
        if mark:
            check_weight(name, found[name])
        else:
            raise typer.BadParameter(f"{text!r} is no weight; expected one such as keyword=0.5")
    return found


def _show_weights(weights: WeightsView, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(weights).decode() + "\n")
        return
    for name, value in {
        "keyword": weights.keyword, "vector": weights.vector, "quality": weights.quality, **weights.fields,
    }.items():  # fmt: skip
        _line(f"{name} = {value:g}")
    _line(f"as {'set for ' + weights.tenant_id if weights.source == 'tenant' else 'in the settings'}")


def _letters(client: AdminClient, reason: str) -> list[DeadLetterView]:
    """Where there are none of a reason, which reasons there are is told."""
    letters = client.dead_letters(reason)
    if reason and not letters:
        others = ", ".join(sorted({one.reason for one in client.dead_letters()})) or "none"
        err.print(f"no dead letter has the reason {reason!r}; reasons there are: {others}", highlight=False)
    return letters


def _replay(client: AdminClient, letter_id: str) -> str:
    """Why it was not put back; empty when it was."""
    try:
        client.replay(letter_id)
    except Malformed as error:
        return f"{letter_id}: {error}"
    return ""


class Importer(Protocol):
    """Takes rows in, wherever they go."""

    def rows(self, rows: Sequence[tuple[int, str]], piece: Piece) -> list[Verdict]: ...

    def end(self, import_id: str) -> None: ...

    def off(self) -> Mapping[str, str]:
        """Platforms that nothing is fetched from, and why."""
        ...


class _Online:
    """By the daemon that has the data directory."""

    def __init__(self, client: AdminClient) -> None:
        self._client = client
        self.rows, self.end = client.import_rows, client.end_import

    def off(self) -> Mapping[str, str]:
        parts = self._client.status().ready.dependencies
        return {name: part.detail for name, part in parts.items() if part.state == "off" and name in set(Platform)}


class _Offline:
    """Into the store itself."""

    def __init__(self, env: Environment, suppression: Suppression, config: Config) -> None:
        self._env, self._suppression, self._config = env, suppression, config
        self._now = make_clock(config.daemon, env)

    def off(self) -> Mapping[str, str]:
        return {platform.value: reason for platform, reason in switched_off(self._config).items()}

    def rows(self, rows: Sequence[tuple[int, str]], piece: Piece) -> list[Verdict]:
        return trio.run(import_rows, self._env, rows, self._now(), self._suppression, piece)

    def end(self, import_id: str) -> None:
        trio.run(end_import, self._env, import_id)


@contextlib.contextmanager
def _importer(config: Config) -> Iterator[Importer]:
    """By the running daemon when there is one, else into the store."""
    client = client_for(config)
    if client.answers():
        yield _Online(client)
        return
    folder = data_dir(config, os.environ)
    if not folder.exists():
        err.print(f"{folder}: a new data directory", highlight=False, soft_wrap=True)
    with contextlib.ExitStack() as stack:
        env = Environment(folder, map_size_bytes=config.storage.map_size_gib << 30)
        stack.callback(env.close)
        suppression = open_journal(env, suppression_path(config, os.environ, folder))
        stack.callback(suppression.close)
        yield _Offline(env, suppression, config)


def _tell_what_waits(off: Mapping[str, str], verdicts: Sequence[Verdict], rows: Sequence[tuple[int, str]]) -> None:
    """Accounts of a platform that is off are kept, and not fetched until it is on."""
    added = [text for one, (_, text) in zip(verdicts, rows, strict=True) if one.verdict == "added"]
    counts = Counter(parse_reference(text).platform.value for text in added)
    for platform, reason in off.items():
        if counts[platform]:
            _line(f"{counts[platform]:,} of {platform} wait until it is on ({reason})")


def _write_verdicts(path: Path, verdicts: Sequence[Verdict]) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["line", "value", "verdict", "detail"])
            writer.writerows([one.line, one.value, one.verdict, one.detail] for one in verdicts)
    except OSError as error:
        raise Unavailable(f"{path}: the verdicts cannot be written: {error.strerror}; choose --verdicts") from error


def _show_verdicts(verdicts: Sequence[Verdict], path: Path) -> None:
    counts = {kind: sum(one.verdict == kind for one in verdicts) for kind in KINDS}
    out.print(", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count) or "no rows", highlight=False)
    for one in [one for one in verdicts if one.verdict in ("invalid", "unsupported")][:10]:
        out.print(f"  line {one.line}: {one.detail}", highlight=False, soft_wrap=True)
    out.print(f"verdict of every row: {path}", highlight=False, soft_wrap=True)


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    return [
        leaf for one in group.exceptions for leaf in (_leaves(one) if isinstance(one, BaseExceptionGroup) else [one])
    ]


@eval_app.command("ingestion")
def eval_ingestion(
    accounts: Annotated[
        int, typer.Option(min=10, max=MOST_MADE_UP, help="Accounts of the living world, over both platforms.")
    ] = 2_000,
    days: Annotated[float, typer.Option(min=0.5, max=MOST_DAYS, help="Days to simulate.")] = 7.0,
    seed: Annotated[int, typer.Option(help="Which world.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """What each policy of visits would spend, and how fresh it keeps accounts, in simulated time."""
    from daemon.evaluation.ingestion import evaluate  # the simulator and its world are not needed otherwise

    with _named_progress() as tell:
        report = evaluate(accounts, days, seed, tell)
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        return
    out.print(_table("policy", ["units", "units/post", "calls", "delay h", "active", "semi-active", "long tail"], [
        [
            name,
            f"{one.units:,}",
            one.units_per_post,
            f"{one.calls:,}",
            one.mean_delay_hours,
            *(f"{one.fresh[activity]:.2%}" for activity in ("active", "semi_active", "long_tail")),
        ]
        for name, one in report.outcomes().items()
    ]))  # fmt: skip
    _line("units: of YouTube's general quota; calls: every request, those of Instagram and of free feeds too")
    _line("delay: hours from a post until it is known; last columns: the share of accounts inside their window")
    _line(f"{report.calls_over_limit} calls over any limit")


@eval_app.command("identity")
def eval_identity(
    world: Annotated[
        list[Path] | None, typer.Option(help="Folder of world files; repeatable.", show_default=False)
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Known pairs: JSON lines with youtube_channel_id, instagram_handle and label_quality.",
            show_default=False,
        ),
    ] = None,
    accounts: Annotated[
        int, typer.Option(min=10, max=MOST_MADE_UP, help="Without files: accounts of a made-up world.")
    ] = 5_000,
    seed: Annotated[int, typer.Option(help="Which made-up world.")] = 1,
    fit: Annotated[
        Path | None, typer.Option(help="Fit weights to the known pairs and write them here.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """How well accounts of one person are found, against known pairs or in a made-up world."""
    from daemon.evaluation import identity_report

    settings = _load(config, {}).config
    with _named_progress() as tell:
        report = identity_report.run(world or [], truth, accounts, seed, fit, settings, tell)
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        return
    for one in identity_report.pictures(report):
        out.print(one)


@eval_app.command("niche")
def eval_niche(
    world: Annotated[
        list[Path], typer.Option(help="Folder of files with labelled creators; repeatable.", show_default=False)
    ],
    part: Annotated[
        Part, typer.Option(help="Every second creator: the odd ones are for tuning, the even ones for reporting.")
    ] = Part.EVEN,
    model: Annotated[
        Path | None, typer.Option(help="Folder of another embedding model than the one in force.", show_default=False)
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="Write confusion matrices here, as HTML.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """How well the local classifier tells what creators are about, against labels that others gave them."""
    from daemon.embedding import open_model
    from daemon.evaluation import niche, niche_report

    settings = _load(config, {"model.dir": _text(model)}).config
    taxonomy = taxonomy_of(settings)
    with _named_progress() as tell:
        report = niche.evaluate(
            world, open_model(settings, lambda _: None), taxonomy, part.value, tell, time.perf_counter
        )
    if page is not None:
        niche_report.write_page(page, report, taxonomy)
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        return
    for one in niche_report.pictures(report):
        out.print(one)


@eval_app.command("embed")
def eval_embed(
    world: Annotated[Path, typer.Option(help="Folder with judged retrieval sets or channels.", show_default=False)],
    models: Annotated[
        list[Path] | None,
        typer.Option("--model", help="Folder of an embedding model; repeatable. Without: the one in force."),
    ] = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """How well embedding models find what belongs together, side by side, in many languages."""
    from daemon.embedding import open_model
    from daemon.evaluation.embedding import evaluate, read_sets

    sets = read_sets(world)
    reports = []
    with _named_progress() as tell:
        for folder in [*(models or []), *([] if models else [None])]:
            settings = _load(config, {"model.dir": _text(folder)}).config
            model = open_model(settings, lambda _: None)
            reports.append(evaluate(sets, model, tell, time.perf_counter))
            model.close()
    if as_json:
        sys.stdout.write(msgspec.json.encode(reports).decode() + "\n")
        return
    headings = ["", "documents", "queries", *(one.model for one in reports)]
    rows = [
        [name, first.documents, first.queries, *(_found(report.sets[name]) for report in reports)]
        for name, first in reports[0].sets.items()
    ]
    rows.append(["mean", "", "", *(_found(report.mean) for report in reports)])
    rows.append(["texts a second", "", "", *(f"{report.texts_per_second:,.0f}" for report in reports)])
    out.print(_table("nDCG@10 and recall@100", headings, rows))


@eval_app.command("search")
def eval_search(
    sets: Annotated[
        list[Path],
        typer.Option(
            "--set",
            help="Folder with corpus.jsonl (or .gz), queries.jsonl and qrels.tsv; repeatable.",
            show_default=False,
        ),
    ],
    queries: Annotated[
        Part,
        typer.Option(help="By the number in their id: the odd ones are for tuning, the even ones for reporting."),
    ] = Part.ALL,
    sweep: Annotated[bool, typer.Option("--sweep", help="Also try a grid of weights, on the odd queries.")] = False,
    model: Annotated[
        Path | None, typer.Option(help="Folder of another embedding model than the one in force.", show_default=False)
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write a picture here, as HTML.", show_default=False)] = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """How well keywords, vectors and both together rank, on judged sets whose documents are taken in as creators."""
    from daemon.embedding import open_model
    from daemon.evaluation import search, search_report

    settings = _load(config, {"model.dir": _text(model)}).config
    configure("error", "text")  # that indexes are built of the store is no news here
    judged = read_judged_sets(sets)
    embedding = open_model(settings, lambda _: None)
    with _named_progress() as tell:
        reports = trio.run(partial(search.evaluate, judged, embedding, settings, queries, tell, sweep=sweep))
    embedding.close()
    if page is not None:
        search_report.write_page(page, reports)
    if as_json:
        sys.stdout.write(reports.as_json().decode() + "\n")
        return
    for one in search_report.pictures(reports):
        out.print(one)


def _found(score: EmbeddingScore) -> str:
    return f"{score.ndcg_10:.3f}  {score.recall_100:.3f}"


@contextlib.contextmanager
def _named_progress() -> Iterator[Callable[[str, float], None]]:
    """A bar for each name that is told of, on stderr."""
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        bars: dict[str, Any] = {}

        def tell(name: str, share: float) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name, total=1.0)
            progress.update(bars[name], completed=share)

        yield tell
