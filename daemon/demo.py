"""The demo: a simulated world on a loopback socket and the whole daemon over it, with progress."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx2
import msgspec
import trio
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from daemon.app import Running, run_daemon
from daemon.config import Loaded, load, suppression_path
from daemon.demo_note import DEMO_NOTE, DemoNote
from proto.api import ReadyAnswer
from proto.errors import ConfigError, Malformed, Unavailable
from proto.ids import Platform, account_key
from stores.files import write_atomic

EXAMPLES = (
    "home workout fitness creators in Brazil",
    "street food and cheap travel",
    "learn python programming",
)
START_SECONDS = 120.0
"""How long reading a world from files may take."""


class DemoWorld(msgspec.Struct, kw_only=True, frozen=True):
    """What the simulated platforms show; the same values always make the same world."""

    creators: int
    seed: int
    folders: tuple[Path, ...]
    live: bool

    @property
    def label(self) -> str:
        """Kept in the data dir, so that another world is not poured into it."""
        if self.folders:
            return "files:" + ",".join(str(folder.resolve()) for folder in self.folders)
        return f"generated:{self.creators}:{self.seed}"

    def arguments(self, started_at: float | None) -> list[str]:
        given = [argument for folder in self.folders for argument in ("--world", str(folder))]
        if not given:
            given = ["--creators", str(self.creators), "--seed", str(self.seed)]
        if self.live:
            given.append("--live")
        if started_at is not None:
            given += ["--started-at", str(started_at)]
        return given


class Simulated(msgspec.Struct):
    """What the simulator says of itself once it listens."""

    url: str
    now: int
    channels: int
    profiles: int

    @property
    def accounts(self) -> int:
        """On all platforms."""
        return self.channels + self.profiles


@asynccontextmanager
async def simulator(world: DemoWorld, started_at: float | None = None) -> AsyncIterator[Simulated]:
    """The simulated platforms in a process of their own, which ends with this one, however this one ends.

    Raises ConfigError with the simulator's words when the world cannot be read.
    """
    command = [sys.executable, "-m", "daemon.simulator", "--port", "0", "--parent-pipe"]
    command += ["--instagram-calls", str(QUOTA_UNITS), *world.arguments(started_at)]
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield await _first_line(process)
    finally:
        with trio.move_on_after(5, shield=True):
            assert process.stdin is not None
            await process.stdin.aclose()
            process.terminate()
            await process.wait()
        if process.returncode is None:
            process.kill()


async def _first_line(process: trio.Process) -> Simulated:
    assert process.stdout is not None
    assert process.stderr is not None
    line = b""
    with trio.move_on_after(START_SECONDS):
        while b"\n" not in line:
            part = await process.stdout.receive_some(4096)
            if not part:
                words = (await _rest(process.stderr)).strip().splitlines()
                raise ConfigError(f"the simulated world could not be started: {words[-1] if words else 'no word why'}")
            line += part
        return msgspec.json.decode(line, type=Simulated)
    raise Unavailable(f"the simulator did not start within {START_SECONDS:g} s")


async def _rest(stream: trio.abc.ReceiveStream) -> str:
    return b"".join([part async for part in stream]).decode(errors="replace")


async def world_accounts(base_url: str, platform: Platform) -> list[str]:
    """Every account of the simulated world: channel ids, or the usernames by which alone profiles are found."""
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        asked = {"platform": platform.value, "names": "1"}
        reply = await client.get(f"{base_url}/_simulator/accounts", params=asked)
        reply.raise_for_status()
        return msgspec.json.decode(reply.content, type=list[str])


async def schedule_world(running: Running, base_url: str) -> None:
    """Takes the whole world in, as an import of all its accounts would."""
    channels = await world_accounts(base_url, Platform.YOUTUBE)
    await running.control.schedule_accounts([account_key(Platform.YOUTUBE, one) for one in channels])
    names = await world_accounts(base_url, Platform.INSTAGRAM)
    if names:
        await running.control.import_rows([(line, f"instagram:{name}") for line, name in enumerate(names, 1)])


def free_port(preferred: int) -> int:
    """The preferred port of loopback when nobody has it, else 0 (any free one)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return 0
    return preferred


class DemoProgress:
    """Stage by stage on a terminal; a plain line now and then elsewhere."""

    def __init__(self, console: Console, accounts: int) -> None:
        self._console, self._accounts = console, accounts
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._said, self._said_at = -1.0, 0.0

    def __enter__(self) -> DemoProgress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, ready: ReadyAnswer, indexed: int) -> None:
        if self._live is not None:
            self._live.update(self._table(ready, indexed))
            return
        share, now = indexed / self._expected(ready), time.monotonic()
        if share - self._said >= 0.1 or (share >= 1.0 > self._said) or now - self._said_at >= QUIET_SECONDS:
            self._said, self._said_at = share, now
            counts = ready.counts
            self._console.print(
                f"{counts.accounts:,} accounts, {counts.content_items:,} posts, {indexed:,} creators searchable, "
                f"{counts.work_pending:,} jobs to go",
                highlight=False,
            )

    def _table(self, ready: ReadyAnswer, indexed: int) -> Table:
        table = Table(title="from the platform to search", title_justify="left", box=None, padding=(0, 2))
        for heading, justify in (
            ("stage", "left"),
            ("handled", "right"),
            ("waiting", "right"),
            ("busy s", "right"),
            ("blocked s", "right"),
        ):
            table.add_column(heading, justify=justify)  # type: ignore[arg-type]
        for stage in ready.stages:
            table.add_row(
                stage.name,
                f"{stage.handled:,}",
                str(stage.queue_depth),
                f"{stage.busy_seconds:.1f}",
                f"{stage.blocked_seconds:.1f}",
            )
        table.add_section()
        counts = ready.counts
        table.add_row(
            "accounts / posts", f"{counts.accounts:,} / {counts.content_items:,}", str(counts.work_pending), "", ""
        )
        expected = self._expected(ready)
        table.add_row("searchable", f"{indexed:,} of {expected:,}", "", "", "")
        outer = Table.grid(padding=(0, 0))
        outer.add_row(table)
        outer.add_row(ProgressBar(total=expected, completed=min(indexed, expected), width=60))
        return outer

    def _expected(self, ready: ReadyAnswer) -> int:
        """Creators there will be, at most as many as accounts: who is the same person is known at the end."""
        return max(self._accounts if ready.counts.work_pending else ready.counts.creators, 1)


def farewell(console: Console, url: str, admin_url: str, folder: Path, seconds: float, folders: Sequence[Path]) -> None:
    """What a newcomer does next."""
    console.print(f"\n[bold]ready[/bold] after {seconds:.0f} s: [bold]{url}[/bold]", markup=True, highlight=False)
    console.print(f"for operators: {admin_url}/metrics, pokedexd ctl status --data-dir {folder}", highlight=False)
    if not folders:
        for example in EXAMPLES:
            console.print(f"  {url}/?q={example.replace(' ', '+')}", highlight=False)
    console.print("stop with Ctrl-C", style="dim")


DEFAULT_PORT = 7151
POLL_SECONDS = 0.25
QUIET_SECONDS = 5.0
"""Where there is no terminal, a line comes at least this often."""
ROOM_SECONDS = 2.0
"""Between tries to take the world in where there is no room."""
NO_PACING = 1e6
QUOTA_UNITS = 10_000_000
SIMULATED_KEY = "demo-key"
"""The key that the simulated project accepts."""

SIMULATED_TOKENS = '[{"name": "demo-1", "access_token": "graph-demo-1", "ig_user_id": "17841499000000001"}]'
"""The one that the simulated Instagram hands out."""

BANNER = "Demo: every creator here is played by the simulator; nothing leaves this machine."

WatchSignals = Callable[..., Awaitable[None]]


async def run_demo(
    world: DemoWorld,
    data: Path | None,
    port: int | None,
    admin_port: int | None,
    console: Console,
    watch_signals: WatchSignals,
) -> None:
    """Simulated platforms and the whole daemon over them, with progress until everything is searchable; then it serves.

    Without ``data`` everything lives in a temporary folder that goes with the demo.
    """
    with tempfile.TemporaryDirectory(prefix="pokedexd-demo-") as temporary:
        folder = data or Path(temporary) / "data"
        note = read_note(folder, world)
        console.print(f"making the world ({world.label}) …", highlight=False)
        async with simulator(world, note.started_at if world.live else None) as simulated:
            settings = demo_settings(simulated, world, folder, port, admin_port)
            note.clock_at = settings.config.daemon.clock_at
            write_note(folder, note)
            await _serve(settings, simulated, world, folder, console, watch_signals)


def read_note(folder: Path, world: DemoWorld) -> DemoNote:
    """The note of a data dir, made when there is none. Raises ConfigError when another world lives there, or a real one."""
    path = folder / DEMO_NOTE
    if not path.exists():
        if (folder / "store").exists():
            raise ConfigError(f"{folder} holds a store that is no demo's; choose another --data-dir")
        write_note(folder, DemoNote(world=world.label, started_at=time.time()))
    try:
        note = msgspec.json.decode(path.read_bytes(), type=DemoNote)
    except msgspec.DecodeError as error:
        raise Malformed(f"{path}: damaged ({error}); remove the folder or choose another --data-dir") from error
    if note.world != world.label:
        raise ConfigError(
            f"{folder} holds the world {note.world}, not {world.label}; "
            "give the same --creators and --seed (or --world) to go on with it, or another --data-dir"
        )
    return note


def write_note(folder: Path, note: DemoNote) -> None:
    """Raises Unavailable where it cannot be written."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(folder / DEMO_NOTE, msgspec.json.encode(note))
    except OSError as error:
        raise Unavailable(f"{folder}: cannot be written: {error.strerror}; choose another --data-dir") from error


def demo_settings(
    simulated: Simulated, world: DemoWorld, folder: Path, port: int | None, admin_port: int | None
) -> Loaded:
    """The settings of a daemon over the simulated platforms: the same code, other figures."""
    chosen = {
        "daemon.data_dir": str(folder),
        "daemon.clock_at": datetime.fromtimestamp(simulated.now, UTC).isoformat(),
        "daemon.clock_frozen": not world.live,
        "http.port": free_port(DEFAULT_PORT) if port is None else port,
        "admin.port": admin_port or 0,
        "platforms.youtube.base_url": f"{simulated.url}/youtube/v3",
        "platforms.youtube.feeds_url": f"{simulated.url}/feeds/videos.xml",
        "platforms.youtube.feeds_per_second": NO_PACING,
        "platforms.youtube.key": SIMULATED_KEY,
        "platforms.youtube.derived_data": "granted",
        "platforms.youtube.general_units_per_day": QUOTA_UNITS,
        "platforms.youtube.requests_per_second": NO_PACING,
        "platforms.youtube.backfill_items": 0,
        "platforms.instagram.base_url": f"{simulated.url}/graph/v25.0",
        "platforms.instagram.tokens": SIMULATED_TOKENS,
        "platforms.instagram.calls_per_hour": QUOTA_UNITS,
        "platforms.instagram.requests_per_second": NO_PACING,
        "platforms.instagram.backfill_items": 0,
        "ingestion.backfill_share": 1.0,  # under a frozen clock no budget comes back
    }
    return load(None, os.environ, chosen)


async def _serve(
    settings: Loaded,
    simulated: Simulated,
    world: DemoWorld,
    folder: Path,
    console: Console,
    watch_signals: WatchSignals,
) -> None:
    stop = trio.Event()
    started = time.monotonic()
    async with trio.open_nursery() as beside:
        async with trio.open_nursery() as nursery:
            running: Running = await nursery.start(
                partial(
                    run_daemon,
                    settings,
                    data_dir=folder,
                    suppression_file=suppression_path(settings.config, {}, folder),
                    admin_socket=folder / "admin.sock",
                    stop=stop,
                    reload=lambda: settings,
                    banner=BANNER,
                )
            )
            await beside.start(watch_signals, stop, running)
            console.print(f"serving {running.url}", highlight=False)
            if not world.live:
                instant = datetime.fromtimestamp(simulated.now, UTC)
                console.print(f"its clock stands at {instant:%Y-%m-%d %H:%M} UTC; with --live it runs", highlight=False)
            await _take_in(running, simulated.url, folder, console, stop)
            await _show_until_done(running, simulated.accounts, console, stop)
            if not stop.is_set():
                farewell(console, running.url, running.admin_url, folder, time.monotonic() - started, world.folders)
            await stop.wait()
            console.print("stopping …")
        beside.cancel_scope.cancel("stopped")


async def _take_in(running: Running, base_url: str, folder: Path, console: Console, stop: trio.Event) -> None:
    """The whole world, once the daemon has room for it."""
    waits = False
    while not stop.is_set():
        try:
            await schedule_world(running, base_url)
            return
        except Unavailable as error:  # there is no room for more
            if not waits:
                console.print(f"the demo waits: {error}", style="yellow", highlight=False, soft_wrap=True)
                console.print(f"make room at {folder}, or stop with Ctrl-C and choose another --data-dir")
            waits = True
        with trio.move_on_after(ROOM_SECONDS):
            await stop.wait()


async def _show_until_done(running: Running, accounts: int, console: Console, stop: trio.Event) -> None:
    with DemoProgress(console, accounts) as progress:
        while not stop.is_set():
            ready = await running.control.ready()
            progress.show(ready, running.control.searchable())
            if is_done(ready):
                return
            with trio.move_on_after(POLL_SECONDS):
                await stop.wait()


def is_done(ready: ReadyAnswer) -> bool:
    """Whether all is taken in and every index and model answers: a search before that finds less."""
    loading = ready.status == "starting" or any(part.state == "loading" for part in ready.dependencies.values())
    return not loading and ready.counts.work_pending == 0 and ready.counts.accounts > 0
