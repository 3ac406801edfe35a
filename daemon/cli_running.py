"""Running a daemon: `pokedexd ctl pause|resume|tasks|reindex|actors|refresh|backfill|log-level|profile|drain`."""

from __future__ import annotations

import getpass
import os
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import Progress

from daemon.config import admin_socket_path, data_dir
from daemon.draining import MOST_SECONDS as MOST_DRAIN_SECONDS
from daemon.operations_client import OperationsClient
from daemon.profiling import check_seconds
from daemon.terminal import ConfigOption, DataDirOption, JsonOption, err, json_line, line, out, settings, table
from proto.api import Pauses, TaskView
from proto.errors import Unavailable
from proto.records import DEFAULT_TENANT

POLL_SECONDS = 0.2
"""How often it is asked how far a task is."""
WaitOption = Annotated[bool, typer.Option("--wait", help="Return once it is done; exit code 1 if it is not.")]


def pause_command(
    name: Annotated[str, typer.Argument(help="A platform or a stage; all platforms where none is named.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Shown in the status.")] = "",
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold a platform or a stage back, over restarts too; what is under way is finished."""
    _show_pauses(client(config, data).pause(name, user(), reason), as_json)


def resume_command(
    name: Annotated[str, typer.Argument(help="A platform or a stage; all that is paused where none is named.")] = "",
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let what was paused go on."""
    _show_pauses(client(config, data).resume(name, user()), as_json)


def tasks_list(config: ConfigOption = None, data: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Show long work, the newest first, and what became of it."""
    found = client(config, data).tasks()
    if as_json:
        return json_line(msgspec.json.encode(found))
    out.print(
        table("task", ["kind", "state", "done", "started", "seconds", "what"], [_row(one) for one in found.tasks])
    )
    return None


def tasks_show(
    uid: Annotated[str, typer.Argument(help="Its number.", show_default=False)],
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one."""
    _show_task(client(config, data).task(uid), as_json)


def tasks_cancel(
    uid: Annotated[str, typer.Argument(help="Its number.", show_default=False)],
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel one that is under way; nothing half made of it stays."""
    _show_task(client(config, data).cancel(uid, user()), as_json)


def reindex_command(
    wait: WaitOption = False, config: ConfigOption = None, data: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Write the keyword index anew from the store, while searches go on."""
    where = client(config, data)
    _show_task(follow(where, where.reindex(), wait=wait), as_json)


def actors_command(config: ConfigOption = None, data: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Show the stages: state, restarts, what waits for each, and how long each waited for the next."""
    found = client(config, data).actors()
    if as_json:
        return json_line(msgspec.json.encode(found))
    headings = ["state", "workers", "restarts", "waiting", "handled", "busy s", "blocked s"]
    out.print(table("actor", headings, [
        [a.name, a.state, a.workers, a.restarts, a.queue_depth, a.handled, a.busy_seconds, a.blocked_seconds]
        for a in found.actors
    ]))  # fmt: skip
    return None


def refresh_command(
    accounts: Annotated[list[str], typer.Argument(help="Keys, @handles, URLs or creators' ids.", show_default=False)],
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at accounts next, before everything that is due. Exit code 1 where one is not known."""
    found = client(config, data).refresh(accounts)
    if as_json:
        json_line(msgspec.json.encode(found))
    else:
        for one in found.accounts:
            line(f"{one.account}: {'looked at next' if one.ordered else 'not ordered'}{_tail(one.detail)}")
    if not all(one.ordered for one in found.accounts):
        raise typer.Exit(1)


def backfill_command(
    target: Annotated[str, typer.Argument(help="An account, a creator's id, or a list.", show_default=False)],
    tenant: Annotated[str, typer.Option("--tenant", help="Whose list.")] = DEFAULT_TENANT,
    wait: WaitOption = False,
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch the history of accounts, as far back as the settings say and with history's share of the budget."""
    where = client(config, data)
    _show_task(follow(where, where.backfill(target, tenant), wait=wait), as_json)


def log_level_command(
    level: Annotated[str, typer.Argument(help="debug, info, warning or error.", show_default=False)],
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say more or less in the log, until the settings are read again."""
    found = client(config, data).set_log_level(level, user())
    if as_json:
        return json_line(msgspec.json.encode(found))
    return line(f"log level {found.level}, instead of {found.before}; `ctl reload` takes that of the settings again")


def profile_command(
    seconds: Annotated[float, typer.Option("--seconds", help="How long it is looked; at most 60.")] = 5.0,
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where the daemon's threads are: their stacks, sampled a hundred times a second, the most frequent first."""
    check_seconds(seconds)
    where = client(config, data)
    with err.status("sampling"):
        text = where.profile(seconds)
    if as_json:
        return json_line(msgspec.json.encode({"seconds": seconds, "text": text}))
    for one in text.splitlines():
        out.print(one, highlight=False, soft_wrap=True)
    return None


def drain_command(
    stop: Annotated[bool, typer.Option("--stop", help="End the daemon once it is drained.")] = False,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, max=MOST_DRAIN_SECONDS, help="How long it may take.")
    ] = 600.0,
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take no new work, finish what is under way, then tell. Searches go on; `ctl resume` lets a drained daemon go on."""
    where = client(config, data)
    _show_task(follow(where, where.drain(user(), seconds, stop=stop), wait=True), as_json)


def _tail(detail: str) -> str:
    return f"; {detail}" if detail else ""


def follow(where: OperationsClient, task: TaskView, *, wait: bool) -> TaskView:
    """The task once it has ended, if that is waited for. Exit code 1 unless it was done."""
    if not wait:
        return task
    with Progress(console=err, disable=not err.is_terminal) as progress:
        bar = progress.add_task(task.kind, total=None)
        while task.state == "running":
            time.sleep(POLL_SECONDS)
            task = where.task(task.uid)
            progress.update(bar, completed=task.done, total=task.total or None)
    if task.state != "done":
        raise Unavailable(f"{task.kind}: task {task.uid} {task.state}: {task.error}")
    return task


def client(config: Path | None, data: Path | None) -> OperationsClient:
    found = settings(config, data).config
    return OperationsClient(admin_socket_path(found, os.environ, data_dir(found, os.environ)))


def user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an id without a name
        return str(os.getuid())


def _show_pauses(found: Pauses, as_json: bool) -> None:
    if as_json:
        return json_line(msgspec.json.encode(found))
    if not found.pauses:
        return out.print("nothing is paused", highlight=False)
    out.print(table("paused", ["by", "since", "reason"], [[p.name, p.by, p.at, p.reason] for p in found.pauses]))
    return None


def _row(one: TaskView) -> list[str]:
    done = f"{one.progress:.0%}" if one.progress is not None else f"{one.done:,}" if one.done else ""
    what = "; ".join(text for text in (one.detail, one.error) if text)
    return [one.uid, one.kind, one.state, done, one.started_at or "", f"{one.seconds:,.1f}", what]


def _show_task(task: TaskView, as_json: bool) -> None:
    if as_json:
        return json_line(msgspec.json.encode(task))
    uid, kind, state, done, started, seconds, what = _row(task)
    line(f"task {uid}: {kind}, {state}{f', {done}' if done else ''}, begun {started}, {seconds} s{_tail(what)}")
    return None


tasks_app = typer.Typer(help="Long work and what became of it.", invoke_without_command=True)


@tasks_app.callback()
def tasks_root(
    context: typer.Context, config: ConfigOption = None, data: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Long work and what became of it; without a word, the list."""
    if context.invoked_subcommand is None:
        tasks_list(config, data, as_json)


def register(ctl: typer.Typer) -> None:
    tasks_app.command("list")(tasks_list)
    tasks_app.command("show")(tasks_show)
    tasks_app.command("cancel")(tasks_cancel)
    ctl.add_typer(tasks_app, name="tasks")
    ctl.command("reindex")(reindex_command)
    ctl.command("actors")(actors_command)
    ctl.command("refresh")(refresh_command)
    ctl.command("backfill")(backfill_command)
    ctl.command("log-level")(log_level_command)
    ctl.command("profile")(profile_command)
    ctl.command("drain")(drain_command)
    ctl.command("pause")(pause_command)
    ctl.command("resume")(resume_command)
