"""`pokedexd ctl pause|resume`: running a daemon."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from daemon.config import admin_socket_path, data_dir
from daemon.operations_client import OperationsClient
from daemon.terminal import ConfigOption, DataDirOption, JsonOption, json_line, out, settings, table
from proto.api import Pauses


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


def register(ctl: typer.Typer) -> None:
    ctl.command("pause")(pause_command)
    ctl.command("resume")(resume_command)
