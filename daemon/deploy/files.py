"""What `pokedexd deploy` writes: the files that lie here, the unit with the paths of this installation."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

from proto.errors import ConfigError, Unavailable

UNIT = "pokedexd.service"
ALERTS, SCRAPE = "pokedexd-alerts.yml", "pokedexd-scrape.yml"
DASHBOARD = "pokedexd-dashboard.json"
CONFIG = Path("/etc/pokedexd/pokedexd.toml")
HIGH_SHARE = 0.75
"""Of the memory limit: from there on the kernel takes pages back before it ends anything."""
STATE = Path("/var/lib/pokedexd")
JOURNAL = Path("/var/lib/pokedexd-suppression/suppression")
UNIT_FOLDERS = {"STATE_DIRECTORY": f"{STATE}:{JOURNAL.parent}", "RUNTIME_DIRECTORY": "/run/pokedexd"}
"""What systemd makes for the unit, and tells the daemon."""
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 (where not to install to)
"""What the unit's ProtectHome and PrivateTmp hide from the daemon."""


def shipped(name: str) -> str:
    return (files("daemon.deploy") / name).read_text("utf-8")


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What settings ask of the unit."""

    writes: tuple[Path, ...] = ()
    """Outside of the folders that systemd makes for it, and therefore of a user that lasts."""
    user: str = ""
    """Whose those are; empty where there are none."""
    credentials: Mapping[str, str] = {}
    """Files with secrets by the name of the credential."""


NONE = Needs()


def unit(command: Sequence[str], config: Path, memory_gib: float, needs: Needs = NONE) -> str:
    """The systemd unit. ``command``: how this installation is run; ``memory_gib``: where systemd ends the daemon; 0: nowhere."""
    start = " ".join(quoted(part) for part in (*command, "serve", "--config", str(config)))
    values = {
        "@EXEC_START@": start,
        "@CONFIG@": str(config),
        "@ACCOUNT@": "".join(f"#   {step}\n" for step in account_steps(needs)),
        "@RUN_AS@": _run_as(needs),
        "@MEMORY@": _memory(int(memory_gib * 1024)),
    }
    text = shipped(UNIT)
    for mark, value in values.items():
        text = text.replace(mark, value)
    for name, file in needs.credentials.items():
        offered, path = f"#LoadCredential={name}:/etc/pokedexd/{name}", file.replace("%", "%%")
        text = text.replace(offered + "\n", f"LoadCredential={name}:{path}\n")
    return text


def _memory(limit_mib: int) -> str:
    if not limit_mib:
        return "# No limit: memory.ceiling is not set; the daemon takes what its creators need."
    return f"MemoryHigh={int(limit_mib * HIGH_SHARE)}M\nMemoryMax={limit_mib}M"


def _run_as(needs: Needs) -> str:
    if not needs.writes:
        return "DynamicUser=yes"
    places = " ".join(quoted(str(path), "%") for path in needs.writes)
    return f"User={needs.user}\nReadWritePaths={places}"


def account_steps(needs: Needs) -> list[str]:
    """Commands for root, so that the user is there and has what it writes to."""
    if not needs.writes:
        return []
    places = " ".join(shlex.quote(str(path)) for path in needs.writes)
    made = f"id {needs.user} || useradd --system --shell /usr/sbin/nologin {needs.user}"
    return [made, f"chown -R {needs.user}: {places}"]


def own_command() -> list[str]:
    """The script beside the running interpreter, else the interpreter with this package."""
    script = Path(sys.executable).with_name("pokedexd")
    return [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-m", "daemon"]


def quoted(word: str, expanded: str = "%$") -> str:
    """As one word of ExecStart=: systemd expands % and $, elsewhere % alone, and splits at spaces (systemd.service(5))."""
    for mark in expanded:
        word = word.replace(mark, mark * 2)
    if not any(one.isspace() or one in "\"'\\;" for one in word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def hidden_folder(command: Sequence[str]) -> str:
    """The folder of which the unit shows the daemon nothing although it is installed there; empty where all is well."""
    return hidden([Path(command[0]), Path(command[0]).resolve(), Path(sys.prefix)])


def hidden(places: Sequence[Path]) -> str:
    """The folder with one of them of which the unit shows the daemon nothing; empty for none."""
    return next((folder for folder in HIDDEN if any(one.is_relative_to(folder) for one in places)), "")


def write(folder: Path, texts: dict[str, str], *, force: bool) -> list[Path]:
    """``force``: replaces files that say something else. Raises ConfigError for those without it, before anything is
    written, and Unavailable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [] if force else [str(folder / name) for name in texts if _differs(folder / name, texts[name])]
        if others:
            raise ConfigError(f"{', '.join(others)}: there already, with another text; --force replaces it")
        for name, text in texts.items():
            (folder / name).write_text(text, "utf-8")
            (folder / name).chmod(0o644)  # nothing secret is in them, and others than this user read them
    except OSError as error:
        raise Unavailable(f"{folder}: cannot be written: {error.strerror}; choose another --output") from error
    return [folder / name for name in texts]


def _differs(path: Path, text: str) -> bool:
    return path.exists() and path.read_bytes() != text.encode()
