"""The commands, thin over the same functions that the daemon uses."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import trio
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from daemon.admin_client import ROWS_PER_REQUEST, AdminClient
from daemon.app import Running, run_daemon
from daemon.clock import make_clock
from daemon.config import Config, Loaded, admin_socket_path, data_dir, dump, load, model_folder
from daemon.demo import DemoWorld, run_demo
from daemon.importing import Verdict, import_rows, read_rows
from daemon.indexing import drop_indexes
from daemon.logs import configure
from daemon.notify import sd_notify, sd_reloading
from models.build import build, find_source
from proto.errors import ConfigError, ModelMissing, PokedexError, Unavailable
from stores.env import Environment

app = typer.Typer(name="pokedexd", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
config_app = typer.Typer(help="Check and show the settings.", no_args_is_help=True)
model_app = typer.Typer(help="The embedding model.", no_args_is_help=True)
ctl_app = typer.Typer(help="Talk to a running daemon over its admin socket.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(model_app, name="model")
eval_app = typer.Typer(help="Measure the product; no daemon needed.", no_args_is_help=True)
app.add_typer(ctl_app, name="ctl")
app.add_typer(eval_app, name="eval")
out, err = Console(), Console(stderr=True)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings file.", envvar="POKEDEXD_CONFIG", show_default=False)
]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="Where everything is kept.", show_default=False)]
PortOption = Annotated[int | None, typer.Option(min=0, max=65_535, help="Port of the API and the page; 0: any free.")]
AdminPortOption = Annotated[
    int | None,
    typer.Option(min=0, max=65_535, help="Also serve the admin endpoint on this loopback port; 0: any free."),
]

SECOND_SIGNAL_CODE = 1


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
    trio.run(_serve, loaded, settings)


@app.command()
def demo(
    creators: Annotated[int, typer.Option(min=1, help="Size of the generated world.")] = 2_000,
    seed: Annotated[int, typer.Option(help="Which generated world.")] = 1,
    world: Annotated[list[Path] | None, typer.Option(help="A folder of real data instead; may be repeated.")] = None,
    data: DataDirOption = None,
    port: PortOption = None,
    admin_port: AdminPortOption = 0,
    live: Annotated[bool, typer.Option("--live", help="Time goes on and creators keep posting.")] = False,
) -> None:
    """Play the platforms on loopback and run the whole daemon over them: no key, no network."""
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
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Add accounts from a list, with a verdict for every row. The same list again changes nothing."""
    loaded = _load(config, {"daemon.data_dir": _text(data)})
    rows = list(read_rows(file))
    target = verdicts or file.with_name(file.name + ".verdicts.csv")
    found: list[Verdict] = []
    with Progress(console=err, disable=not err.is_terminal) as progress, _importer(loaded.config) as importer:
        task = progress.add_task("importing", total=len(rows))
        for begin in range(0, len(rows), ROWS_PER_REQUEST):
            part = rows[begin : begin + ROWS_PER_REQUEST]
            found += importer(part)
            progress.advance(task, len(part))
    _write_verdicts(target, found)
    _show_verdicts(found, target)


@app.command()
def reindex(config: ConfigOption = None, data: DataDirOption = None) -> None:
    """Throw the search indexes away; the next start rebuilds them from the store."""
    loaded = _load(config, {"daemon.data_dir": _text(data)})
    folder = data_dir(loaded.config, os.environ)
    if not (folder / "store").is_dir():
        raise ConfigError(f"{folder}: no data directory of pokedexd")
    Environment(folder, map_size_bytes=loaded.config.storage.map_size_gib << 30).close()  # refused while a daemon runs
    drop_indexes(folder)
    out.print(f"{folder}: indexes removed; the next start rebuilds them")


@config_app.command("check")
def config_check(config: ConfigOption = None) -> None:
    """Say whether the settings are right, and what is wrong."""
    loaded = _load(config, {})
    out.print(f"{loaded.path or 'defaults and environment'}: ok", highlight=False)


@config_app.command("dump")
def config_dump(config: ConfigOption = None) -> None:
    """Print every setting with its origin; secrets are masked."""
    out.print(dump(_load(config, {})), end="", highlight=False, markup=False, soft_wrap=True)


@model_app.command("build")
def model_build(
    source: Annotated[
        Path | None, typer.Option("--from", help="Folder with model.safetensors and tokenizer.json.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Where the model goes.", show_default="beside the installation")
    ] = None,
) -> None:
    """Turn the weights into the fast form that the daemon loads."""
    found = source or find_source()
    if found is None:
        raise ModelMissing("the weights are not installed; name their folder: pokedexd model build --from DIR")
    target = to or model_folder(Config())
    with err.status("building the model") as status:
        build(found, target, lambda text: status.update(text))
    out.print(f"model ready in {target}", highlight=False, soft_wrap=True)


@ctl_app.command("status")
def ctl_status(
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show what the daemon is doing."""
    client = _admin_client(_load(config, {"daemon.data_dir": _text(data)}).config)
    if as_json:
        sys.stdout.write(client.status_json().decode() + "\n")
        return
    status = client.status()
    ready = status.ready
    out.print(
        f"pokedexd {status.version}, pid {status.pid}, up {status.uptime_seconds:.0f} s, {ready.status}",
        highlight=False,
    )
    counts = ready.counts
    out.print(
        f"{counts.creators:,} creators, {counts.accounts:,} accounts, {counts.content_items:,} content items, "
        f"{counts.work_pending:,} pending, {status.dead_letters:,} dead letters",
        highlight=False,
    )
    out.print(_table("stage", ["state", "waiting", "handled", "busy s", "blocked s", "restarts"], [
        [one.name, one.state, one.queue_depth, one.handled, one.busy_seconds, one.blocked_seconds, one.restarts]
        for one in ready.stages
    ]))  # fmt: skip
    out.print(_table("dependency", ["state", "loaded", "detail"], [
        [name, part.state, f"{part.loaded:.0%}", part.detail] for name, part in ready.dependencies.items()
    ]))  # fmt: skip
    out.print(_table("budget", ["used", "limit", "state", "dry at", "resets at"], [
        [f"{one.platform}/{one.bucket}", one.used, one.limit, one.state, one.dry_at or "lasts", one.resets_at] for one in status.budgets
    ]))  # fmt: skip
    for event in status.events[:5]:
        out.print(
            f"{event['at']}  {event['kind']}  {event['subject']}  {event['detail']}", highlight=False, markup=False
        )


@ctl_app.command("reload")
def ctl_reload(config: ConfigOption = None, data: DataDirOption = None) -> None:
    """Have the daemon read its settings again."""
    answer = _admin_client(_load(config, {"daemon.data_dir": _text(data)}).config).reload()
    out.print(f"in force now: {', '.join(answer['applied']) or 'nothing changed'}", highlight=False)
    if answer["needs_restart"]:
        out.print(f"after a restart: {', '.join(answer['needs_restart'])}", highlight=False)


def main() -> NoReturn:
    """The console script: expected failures are one line on stderr and exit code 1."""
    os.umask(0o077)
    try:
        app(standalone_mode=True)
    except* PokedexError as group:
        for error in _leaves(group):
            err.print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
        sys.exit(1)
    sys.exit(0)


async def _serve(loaded: Loaded, settings: Callable[[], Loaded]) -> None:
    stop = trio.Event()
    folder = data_dir(loaded.config, os.environ)
    socket_path = admin_socket_path(loaded.config, os.environ, folder)
    async with trio.open_nursery() as beside:
        async with trio.open_nursery() as nursery:
            running: Running = await nursery.start(
                partial(run_daemon, loaded, data_dir=folder, admin_socket=socket_path, stop=stop, reload=settings)
            )
            await beside.start(watch_signals, stop, running)
            sys.stdout.write(f"pokedexd serves {running.url}\n")
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


def _admin_client(config: Config) -> AdminClient:
    folder = data_dir(config, os.environ)
    return AdminClient(admin_socket_path(config, os.environ, folder))


@contextlib.contextmanager
def _importer(config: Config) -> Iterator[Callable[[Sequence[tuple[int, str]]], list[Verdict]]]:
    """Through the running daemon when there is one, else straight into the store."""
    client = _admin_client(config)
    if client.answers():
        yield client.import_rows
        return
    env = Environment(data_dir(config, os.environ), map_size_bytes=config.storage.map_size_gib << 30)
    try:
        now = make_clock(config.daemon, env)
        yield lambda rows: trio.run(import_rows, env, rows, now())
    finally:
        env.close()


def _write_verdicts(path: Path, verdicts: Sequence[Verdict]) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["line", "value", "verdict", "detail"])
            writer.writerows([one.line, one.value, one.verdict, one.detail] for one in verdicts)
    except OSError as error:
        raise Unavailable(f"{path}: the verdicts cannot be written: {error.strerror}; choose --verdicts") from error


def _show_verdicts(verdicts: Sequence[Verdict], path: Path) -> None:
    kinds = ("added", "known", "duplicate", "unsupported", "invalid")
    counts = {kind: sum(one.verdict == kind for one in verdicts) for kind in kinds}
    out.print(", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count) or "no rows", highlight=False)
    for one in [one for one in verdicts if one.verdict in ("invalid", "unsupported")][:10]:
        out.print(f"  line {one.line}: {one.detail}", highlight=False, markup=False, soft_wrap=True)
    out.print(f"verdict of every row: {path}", highlight=False, soft_wrap=True)


def _table(first: str, headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(first, box=None, padding=(0, 2, 0, 0), title_justify="left")
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(
            *(f"{cell:,}" if isinstance(cell, int) else str(cell if cell is not None else "") for cell in row)
        )
    return table


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    return [
        leaf for one in group.exceptions for leaf in (_leaves(one) if isinstance(one, BaseExceptionGroup) else [one])
    ]


@eval_app.command("ingestion")
def eval_ingestion(
    accounts: Annotated[int, typer.Option(min=10, help="Accounts of the living world, over both platforms.")] = 2_000,
    days: Annotated[float, typer.Option(min=0.5, help="Days to simulate.")] = 7.0,
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
    out.print(f"{report.calls_over_limit} calls over any limit", highlight=False)


@contextlib.contextmanager
def _named_progress() -> Iterator[Callable[[str, float], None]]:
    """A bar for each name that is told of, on stderr."""
    with Progress(console=err, transient=True) as progress:
        bars: dict[str, Any] = {}

        def tell(name: str, share: float) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name, total=1.0)
            progress.update(bars[name], completed=share)

        yield tell
