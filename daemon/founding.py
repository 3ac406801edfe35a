"""`pokedexd init`: settings, unit and data directory of a new installation. What is there already is never overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from daemon.config import load, memory_ceiling_bytes
from daemon.deploy.files import DEFAULT_MEMORY_GIB, UNIT, own_command, unit
from proto.errors import ConfigError, Unavailable

GIB = 1 << 30


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What a new installation is to have; empty: the default."""

    memory: str = ""
    key_file: str = ""
    derived_data: str = ""
    tokens_file: str = ""
    backup_folder: str = ""


class Founded(msgspec.Struct, frozen=True, kw_only=True):
    written: list[Path]
    next_steps: list[str]


def found(
    answers: Answers,
    *,
    config: Path,
    data_dir: Path,
    stated: bool,
    unit_folder: Path,
) -> Founded:
    """``stated``: whether the data directory is written into the settings.

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
    text = settings_text(answers, data_dir if stated else None)
    ceiling = _checked(text, config)
    written = []
    try:
        for folder in (config.parent, unit_folder):
            folder.mkdir(parents=True, exist_ok=True)
        if not data_dir.exists():
            data_dir.mkdir(mode=0o700, parents=True)
            written.append(data_dir)
        _write_new(config, text, 0o600)
        memory_gib = ceiling / GIB if ceiling else DEFAULT_MEMORY_GIB
        _write_new(unit_file, unit(own_command(), config, memory_gib), 0o644)
    except OSError as error:
        raise Unavailable(f"{error.filename}: cannot be written: {error.strerror}") from error
    return Founded(written=[*written, config, unit_file], next_steps=steps(answers, config, unit_file))


def settings_text(answers: Answers, data_dir: Path | None) -> str:
    """Only what differs from the defaults, by section."""
    sections: dict[str, dict[str, str | float]] = {
        "daemon": {"data_dir": str(data_dir)} if data_dir is not None else {},
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
    keys = [] if answers.key_file else ["put a YouTube key into a file and name it as platforms.youtube.key_file"]
    return [
        *keys,
        f"pokedexd doctor --config {config}",
        f"pokedexd serve --config {config}      # or install {unit_file.name}: its head says how",
        f"pokedexd import LIST.csv --config {config}",
    ]


def _checked(text: str, config: Path) -> int:
    """The memory ceiling, 0 for none. The settings are loaded from beside their place, as they will be."""
    trial = config.with_name(config.name + ".trial")
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        _write_new(trial, text, 0o600)
        return memory_ceiling_bytes(load(trial, {}, {}).config)
    except OSError as error:
        raise Unavailable(f"{config}: cannot be written: {error.strerror}") from error
    finally:
        trial.unlink(missing_ok=True)


def _write_new(path: Path, text: str, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    path.chmod(mode)
