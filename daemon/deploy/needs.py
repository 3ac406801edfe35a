"""What the settings of a service ask of its unit: who it runs as, where it may write, which secrets it is handed."""

from __future__ import annotations

import pwd
from pathlib import Path

from daemon.backup import folder_of
from daemon.config import SECRET_FILES, SECRETS, Config, admin_socket_path, data_dir, suppression_path, value_at
from daemon.deploy.files import JOURNAL, STATE, UNIT_FOLDERS, Needs
from proto.errors import ConfigError

USER = "pokedexd"
"""Who has what lies outside of systemd's folders and is nobody's but root's."""


def needs_of(config: Config) -> Needs:
    """Raises ConfigError for a place that is named from somewhere: a service is nowhere; and for a file in a folder that
    the service must not have to itself."""
    data = data_dir(config, UNIT_FOLDERS)
    journal = suppression_path(config, UNIT_FOLDERS, data)
    socket = admin_socket_path(config, UNIT_FOLDERS, data)
    places = [
        data,
        journal if _lies_among_others(journal) else journal.parent,
        socket.parent,
        *([folder_of(config.backup)] if config.backup.folder else []),
    ]
    for one in places:
        if not one.is_absolute():
            raise ConfigError(f"{one}: a service needs a place that begins with /")
    given = (STATE, JOURNAL.parent, Path(UNIT_FOLDERS["RUNTIME_DIRECTORY"]))
    for file in (journal, socket):
        if file.parent in places and file.parent not in (data, *given) and _is_shared(file):
            raise ConfigError(
                f"{file}: a service is given the whole folder, and {file.parent} is not its own; name another"
            )
    writes = tuple(dict.fromkeys(one for one in places if not any(one.is_relative_to(folder) for folder in given)))
    return Needs(writes=writes, user=owner_of(writes[0]) if writes else "", credentials=_credentials(config))


def owner_of(path: Path) -> str:
    """Who is to have it: its owner, unless that is root or nobody yet."""
    uid = path.stat().st_uid if path.exists() else 0
    if uid == 0:
        return USER
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _lies_among_others(journal: Path) -> bool:
    """Then it is handed over alone. Its own folder is handed over whole, whether it has been begun there or not: who is
    given the file alone cannot reach it in a folder of root's."""
    return journal.exists() and any(one.name != journal.name for one in journal.parent.iterdir())


def _is_shared(file: Path) -> bool:
    """Whether root has anything else there, such as in /run or /etc, or only root may look."""
    try:
        others = [one for one in file.parent.iterdir() if one.name != file.name]
        return bool(others) and file.parent.stat().st_uid == 0
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _credentials(config: Config) -> dict[str, str]:
    named = {f"{key}_file": name for key, name in SECRETS.items()} | SECRET_FILES
    files = {name: str(value_at(config, key)) for key, name in named.items()}
    return {name: str(Path(file).expanduser().absolute()) for name, file in files.items() if file}
