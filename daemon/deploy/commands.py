"""`pokedexd deploy`: writes files for systemd, Prometheus and Grafana."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from daemon.config import Config, load, memory_ceiling_bytes
from daemon.deploy.files import (
    ALERTS,
    CONFIG,
    DASHBOARD,
    SCRAPE,
    UNIT,
    hidden_folder,
    own_command,
    shipped,
    unit,
    write,
)
from daemon.deploy.needs import needs_of

GIB = 1 << 30

MOST_MEMORY_GIB = 1 << 20

deploy_app = typer.Typer(help="Write files for systemd, Prometheus and Grafana.", no_args_is_help=True)

OutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="The folder that they are written to.", show_default=False)
]
UnusedConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="As for `deploy systemd`; these files have nothing of it.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace files that are there with another text.")]


@deploy_app.command("systemd")
def systemd(
    output: OutputOption,
    config: Annotated[Path, typer.Option("--config", "-c", help="Where the settings will be.")] = CONFIG,
    memory_gib: Annotated[
        float | None,
        typer.Option(
            min=0.125,
            max=MOST_MEMORY_GIB,
            help="Memory at which systemd ends the daemon.",
            show_default="memory.ceiling, else no limit",
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """A hardened unit that runs this installation."""
    command = own_command()
    stated = load(config, {}, {}).config if config.is_file() else Config()
    limit = memory_gib or memory_ceiling_bytes(stated) / GIB
    _tell(write(output, {UNIT: unit(command, config.absolute(), limit, needs_of(stated))}, force=force))
    folder = hidden_folder(command)
    if folder:
        sys.stderr.write(
            f"warning: this installation is under {folder}, which the unit hides from the daemon; "
            "install it elsewhere, such as under /opt, and write the unit from there\n"
        )


@deploy_app.command("prometheus")
def prometheus(output: OutputOption, config: UnusedConfigOption = None, force: ForceOption = False) -> None:
    """Alert rules, and how the daemon is scraped."""
    del config
    _tell(write(output, {name: shipped(name) for name in (ALERTS, SCRAPE)}, force=force))


@deploy_app.command("grafana")
def grafana(output: OutputOption, config: UnusedConfigOption = None, force: ForceOption = False) -> None:
    """A dashboard."""
    del config
    _tell(write(output, {DASHBOARD: shipped(DASHBOARD)}, force=force))


def _tell(paths: list[Path]) -> None:
    for path in paths:
        sys.stdout.write(f"{path}\n")
