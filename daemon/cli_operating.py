"""Commands around the daemon: the doctor, and the first steps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from daemon import founding
from daemon.config import SECRETS, Config, data_dir
from daemon.deploy.files import CONFIG, STATE, hidden_folder, own_command
from daemon.findings import Examination, Severity
from daemon.terminal import ConfigOption, DataDirOption, JsonOption, err, json_line, line, out, settings
from proto.errors import ConfigError

STYLES = {Severity.FAULT: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


def doctor_command(
    offline: Annotated[bool, typer.Option("--offline", help="Call neither platforms nor models.")] = False,
    config: ConfigOption = None,
    data: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at everything the daemon stands on, running or not, and say what to do. Exit code 0: all is well, 1: warnings,
    2: faults. Without --offline each key and token is tried with one call, which is booked like any other."""
    from daemon import doctor  # it stands on the whole daemon

    with err.status("looking") as status:
        found = doctor.examine(lambda: settings(config, data), os.environ, offline=offline, tell=status.update)
    if as_json:
        json_line(msgspec.json.encode(found))
    else:
        _show(found)
    raise typer.Exit(found.exit_code)


def _show(found: Examination) -> None:
    for one in found.findings:
        out.print(Text(f"{one.severity.value}: ", STYLES[one.severity]), end="")
        line(f"{one.check}: {one.text}{f'; remedy: {one.remedy}' if one.remedy else ''}")
    counts = {severity: sum(one.severity is severity for one in found.findings) for severity in Severity}
    state = "a daemon runs" if found.running else "no daemon runs"
    told = ", ".join(
        f"{number} {one.value}{'' if number == 1 else 's'}"
        for one, number in counts.items()
        if one is not Severity.NOTE
    )
    line(f"{found.data_dir or 'settings'}: {told} ({state})")


def init_command(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="The settings file to write.",
            show_default=f"pokedexd.toml; as root {CONFIG}",
        ),
    ] = None,
    data: DataDirOption = None,
    unit: Annotated[
        Path | None, typer.Option("--unit", help="Folder for the systemd unit.", show_default="beside the settings")
    ] = None,
    memory: Annotated[str, typer.Option(help="What the daemon may use, such as '4 GiB'.")] = "",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; what is not said stays at its default.")
    ] = False,
) -> None:
    """Write settings and a systemd unit that fits them, make the data directory, and say what comes next. As root: of a
    service of this machine, in /var/lib/pokedexd unless --data-dir says otherwise. Never overwrites anything."""
    as_root = os.geteuid() == 0
    config = (config or (CONFIG if as_root else Path("pokedexd.toml"))).absolute()
    answers = founding.Answers(memory=memory)
    if not yes:
        answers = _asked(answers)
    chosen = settings(None, data).config.daemon.data_dir or os.environ.get("POKEDEXD_DATA_DIR", "")
    stated = chosen or (str(STATE) if as_root else "")
    founded = founding.found(
        answers,
        config=config,
        data_dir=(Path(stated).expanduser() if stated else data_dir(Config(), {})).absolute(),
        stated=bool(stated),
        unit_folder=(unit or config.parent).absolute(),
        as_root=as_root,
    )
    for path in founded.written:
        line(f"written: {path}")
    hidden = hidden_folder(own_command())
    if hidden:
        line(
            f"note: this installation is under {hidden}, which the unit hides; install under /opt to run it by systemd"
        )
    for note in founded.notes:
        line(f"note: {note}")
    line("next:")
    for number, step in enumerate(founded.next_steps, 1):
        line(f"  {number}. {step}")


def _asked(answers: founding.Answers) -> founding.Answers:
    """Secrets are never asked for: their files are."""
    line(f"secrets ({', '.join(SECRETS)}) stay out of the settings; name the files that hold them")
    memory = answers.memory or typer.prompt("memory ceiling, such as '4 GiB' (empty: none)", default="")
    key_file = typer.prompt("file with the YouTube key (empty: none)", default="")
    derived = ""
    if key_file:
        derived = typer.prompt("do you hold YouTube's grant to derive data? granted or denied", default="denied")
        if derived not in ("granted", "denied"):
            raise ConfigError(f"{derived!r} is neither 'granted' nor 'denied'")
    tokens_file = typer.prompt("file with the Instagram tokens (empty: none)", default="")
    backups = typer.prompt("folder for daily backups (empty: none)", default="")
    return founding.Answers(
        memory=memory,
        key_file=_absolute(key_file),
        derived_data=derived,
        tokens_file=_absolute(tokens_file),
        backup_folder=_absolute(backups),
    )


def _absolute(text: str) -> str:
    """A service is started from elsewhere."""
    return str(Path(text).expanduser().absolute()) if text else ""


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor_command)
    app.command("init")(init_command)
