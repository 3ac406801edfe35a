"""Migration of the data directory before it is served, or by `pokedexd migrate`: backed up first."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from daemon.backup import make_backup
from daemon.config import Loaded, dump
from stores.codec import SCHEMA_VERSION
from stores.env import Environment
from stores.migrations import MIGRATIONS, Migrated, Migration, migrate_store

log = structlog.get_logger("migration")

BEFORE = "before-schema-"
"""Beginning of the name, in the data directory, of the backup that is made before a migration."""


def migrate(
    loaded: Loaded,
    data_dir: Path,
    *,
    migrations: Sequence[Migration] = MIGRATIONS,
    target: int = SCHEMA_VERSION,
    tell: Callable[[str], None] = lambda text: log.info("migrating", step=text),
) -> Migrated | None:
    """Blocking. None where the store is of the present schema. Raises as `stores.migrations.migrate_store`."""
    map_size_bytes = loaded.config.storage.map_size_gib << 30

    def back_up(env: Environment, version: int) -> Path:
        file = data_dir / f"{BEFORE}{target}.backup"
        file.unlink(missing_ok=True)  # of an attempt that was cut short: the store may have lived on since
        make_backup(
            env,
            data_dir,
            file,
            settings=dump(loaded, secrets_masked=False),
            created_at=time.time(),
            map_size_bytes=map_size_bytes,
            tell=lambda *_: None,
            schema_version=version,
        )
        return file

    return migrate_store(
        data_dir, map_size_bytes=map_size_bytes, backup=back_up, migrations=migrations, target=target, tell=tell
    )


def earlier_backups(data_dir: Path) -> list[Path]:
    """Made before migrations, oldest first."""
    return sorted(data_dir.glob(f"{BEFORE}*.backup"), key=os.path.getmtime)
