"""`pokedexd init`: settings, unit and data directory of a new installation. What is there already is never overwritten."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import msgspec

from daemon.config import Config, load, memory_ceiling_bytes
from daemon.deploy.files import (
    CONFIG,
    JOURNAL,
    STATE,
    UNIT,
    Needs,
    account_steps,
    hidden,
    own_command,
    unit,
)
from daemon.deploy.needs import needs_of
from proto.errors import ConfigError, Unavailable

GIB = 1 << 30
UNITS = Path("/etc/systemd/system")


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What a new installation is to have; empty: the default."""

    memory: str = ""
    key_file: str = ""
    derived_data: str = ""
    tokens_file: str = ""
    backup_folder: str = ""


class Founded(msgspec.Struct, frozen=True, kw_only=True):
    written: list[Path]
    notes: list[str]
    """Why the unit would not run as things are."""
    next_steps: list[str]


def found(answers: Answers, *, config: Path, data_dir: Path, stated: bool, unit_folder: Path, as_root: bool) -> Founded:
    """``stated``: whether the data directory, and what lies beside it, is written into the settings. ``as_root``: a
    service of the machine is founded; else the unit is for later.

    Raises ConfigError, before anything is written, for a file that exists and for answers that are no settings.
    """
    unit_file = unit_folder / UNIT
    for folder in (data_dir, config.parent, unit_folder):
        there = next(one for one in (folder, *folder.parents) if one.exists())
        if not there.is_dir():
            raise ConfigError(f"{there}: is a file, and {folder} is to be a folder; name another")
    for path in (config, unit_file):
        if os.path.lexists(path):
            raise ConfigError(f"{path}: exists already, and nothing is overwritten; move it away or name another")
    journal = _journal_beside(data_dir)
    text = settings_text(answers, data_dir if stated else None, journal)
    try:
        for folder in (config.parent, unit_folder):
            _make_folders(folder, 0o755)
        settings = _checked(text, config)
        made = [folder for folder in _own_folders(settings, data_dir, journal, stated=stated) if not folder.exists()]
        for folder in made:
            _make_folders(folder, 0o700)
        needs = needs_of(settings)
        _write_new(config, text)
        _write_new(unit_file, unit(own_command(), config, memory_ceiling_bytes(settings) / GIB, needs))
    except OSError as error:
        raise Unavailable(f"{error.filename}: cannot be written: {error.strerror}") from error
    return Founded(
        written=[*made, config, unit_file],
        notes=_notes(config, needs),
        next_steps=service_steps(settings, needs, config, unit_file) if as_root else steps(answers, config, unit_file),
    )


def settings_text(answers: Answers, data_dir: Path | None, journal: Path) -> str:
    """Only what differs from the defaults, by section. The places stand there so that commands look where a service does,
    which systemd tells other ones."""
    places = {"data_dir": str(data_dir), "suppression_file": str(journal)}
    sections: dict[str, dict[str, str | float]] = {
        "daemon": {**places} if data_dir is not None else {},
        "admin": {"socket": str(data_dir / "admin.sock")} if data_dir is not None else {},
        "memory": {"ceiling": answers.memory} if answers.memory else {},
        "platforms.youtube": {
            **({"key_file": answers.key_file} if answers.key_file else {}),
            **({"derived_data": answers.derived_data} if answers.derived_data else {}),
        },
        "platforms.instagram": {"tokens_file": answers.tokens_file} if answers.tokens_file else {},
        "backup": {"folder": answers.backup_folder, "every_hours": 24.0} if answers.backup_folder else {},
    }
    lines = ["# Written by `pokedexd init`. `pokedexd config dump` shows every setting there is."]
    for name, values in sections.items():
        if values:
            lines += ["", f"[{name}]"]
            lines += [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def steps(answers: Answers, config: Path, unit_file: Path) -> list[str]:
    """For who runs the daemon in person."""
    key = f"put a YouTube key into a file (chmod 0600), and {_stated(config)}"
    return [
        *([] if answers.key_file else [key]),
        f"pokedexd doctor --config {config}",
        f"pokedexd serve --config {config}      # or install {unit_file.name}: its head says how",
        f"pokedexd import LIST.csv --config {config}",
    ]


def _stated(config: Path) -> str:
    return f"name it as platforms.youtube.key_file, with platforms.youtube.derived_data ('granted' or 'denied'), in {config}"


def service_steps(settings: Config, needs: Needs, config: Path, unit_file: Path) -> list[str]:
    """For root, whose service reads the same settings as the commands."""
    youtube = settings.platforms.youtube
    folder = "" if config.parent == CONFIG.parent else f"mkdir -p {CONFIG.parent}, "
    key = (
        f"{folder}put a YouTube key into {CONFIG.parent}/youtube-key (chmod 0600), take the # off its LoadCredential= in "
        f"{unit_file}, and {_stated(config)}, where commands and a daemon without systemd find it"
    )
    place = [] if unit_file.parent == UNITS else [f"install -m 0644 {shlex.quote(str(unit_file))} {UNITS}/{UNIT}"]
    stated = shlex.quote(str(config))
    return [
        *([] if youtube.key_file else [key]),
        *account_steps(needs),
        *place,
        f"systemctl daemon-reload && systemctl enable --now pokedexd      # without systemd: pokedexd serve --config {stated}",
        f"pokedexd doctor --config {stated}",
        f"pokedexd import LIST.csv --config {stated}",
    ]


def _journal_beside(data_dir: Path) -> Path:
    """Where the journal lies already, else in a folder of its own, which can be made writable for a service."""
    if data_dir == STATE:
        return JOURNAL
    there = data_dir.with_name(data_dir.name + ".suppression")
    return there if there.exists() else data_dir.with_name(data_dir.name + "-suppression") / JOURNAL.name


def _own_folders(settings: Config, data_dir: Path, journal: Path, *, stated: bool) -> list[Path]:
    """That nobody else makes: systemd makes its own, and the daemon what it needs under a home."""
    backups = [Path(settings.backup.folder).expanduser()] if settings.backup.folder else []
    if not stated:
        return [data_dir, *backups]
    return [*([data_dir, journal.parent] if data_dir != STATE else []), *backups]


def _notes(config: Path, needs: Needs) -> list[str]:
    found = []
    folder = hidden([config, *needs.writes])
    if folder:
        found.append(f"the unit hides {folder} from the daemon: to run it by systemd, choose places elsewhere")
    closed = [one for one in config.parents if one.exists() and not one.stat().st_mode & 0o001]
    if closed:
        found.append(f"the service cannot read {config}: chmod o+x {closed[-1]}")
    return found


def _checked(text: str, config: Path) -> Config:
    """The settings are loaded from beside their place, as they will be."""
    trial = config.with_name(config.name + ".trial")
    try:
        _write_new(trial, text)
        return load(trial, {}, {}).config
    finally:
        trial.unlink(missing_ok=True)


def _make_folders(path: Path, mode: int) -> None:
    """Those that are missing, whatever the umask."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir()
        one.chmod(mode if one == path else 0o755)


def _write_new(path: Path, text: str) -> None:
    """For others to read: nothing secret is in it, and a service reads it as another user."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    path.chmod(0o644)
