"""What the commands share: how they find the daemon, and how they print."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from daemon.admin_client import AdminClient
from daemon.config import Config, Loaded, admin_socket_path, data_dir, load
from proto.errors import ConfigError

WIDE = 160
"""Columns of what goes to a file or a pipe, where nothing has to fit."""
out = Console(width=None if sys.stdout.isatty() else WIDE, emoji=False, markup=False)
err = Console(stderr=True, emoji=False, markup=False)
"""Names and paths are shown as they are: neither ``:100:`` nor ``[b]`` in one of them means anything else."""

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings file.", envvar="POKEDEXD_CONFIG", show_default=False)
]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="Where everything is kept.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document.")]


def settings(config: Path | None, data: Path | None) -> Loaded:
    return load(config, os.environ, {"daemon.data_dir": None if data is None else str(data)})


def client_for(config: Config) -> AdminClient:
    folder = data_dir(config, os.environ)
    return AdminClient(admin_socket_path(config, os.environ, folder), of=folder if config.admin.socket else None)


def existing_data_dir(config: Config, *, or_empty: bool = False) -> Path:
    """``or_empty``: an empty folder, such as `pokedexd init` makes, will do. Raises ConfigError, so that a misspelt name
    makes no second one."""
    folder = data_dir(config, os.environ)
    try:
        empty = or_empty and folder.is_dir() and not any(folder.iterdir())
        there = empty or (folder / "store").is_dir()
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be looked into: {error.strerror}") from error
    if not there:
        raise ConfigError(
            f"{folder}: no data directory of pokedexd; name another --data-dir, or begin one with "
            "`pokedexd init` and `pokedexd serve`"
        )
    return folder


def line(text: str) -> None:
    """What strangers wrote must not steer the terminal."""
    if text:
        shown = "".join(one if one.isprintable() else "\ufffd" for one in text)
        out.print(shown, highlight=False, soft_wrap=True)


def json_line(document: bytes) -> None:
    sys.stdout.write(document.decode() + "\n")


def table(first: str, headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    made = Table(first, box=None, padding=(0, 2, 0, 0), title_justify="left")
    for heading in headings:
        made.add_column(heading)
    for row in rows:
        made.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell if cell is not None else "") for cell in row))
    return made
