"""Bringing a store of an older schema up to the present one: numbered steps over a copy, which then takes its place.

A step is a plain function of a transaction. All of them run on a copy beside the store; a single rename makes that the
store, so that whatever interrupts it leaves the old store or the new one. A release that raises
`stores.codec.SCHEMA_VERSION` adds a step here, and the store of the release before to `tests/stores/released`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import lmdb
import msgspec

from proto.errors import Unavailable
from stores.codec import SCHEMA_VERSION, pack_id
from stores.env import SCHEMA, Environment, Txn, newer_schema, stored_schema
from stores.files import sync_folder

MIGRATING = "migrating"
"""Folder in the data directory for the copy that is migrated; what a crash leaves of it goes at the next start."""


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """From the version before to ``to_version``, in one transaction."""

    to_version: int
    text: str
    """What it does, for whoever waits."""
    step: Callable[[Txn], None]
    rebuilds_indexes: bool = False
    """Whether what search has indexed is of no use any more."""


MIGRATIONS: tuple[Migration, ...] = ()
"""Of all releases, in order. The first released schema is 1."""


class Migrated(msgspec.Struct, frozen=True, kw_only=True):
    """What was done. ``backup``: the file that holds the store as it was; empty where none was wanted."""

    from_version: int
    to_version: int
    steps: list[str]
    backup: str = ""


Backup = Callable[[Environment, int], Path]
"""Backs up a store of an older schema; returns the file."""


def pending(
    data_dir: Path, migrations: Sequence[Migration] = MIGRATIONS, target: int = SCHEMA_VERSION
) -> list[Migration]:
    """Steps that a store lacks; none for a data directory without a store. Raises Unavailable for a newer schema, and
    for one that no step leads away from."""
    version = stored_schema(data_dir)
    if version is None or version == target:
        return []
    if version > target:
        raise Unavailable(newer_schema(data_dir, version, target))
    steps = {one.to_version: one for one in migrations}
    missing = [number for number in range(version + 1, target + 1) if number not in steps]
    if missing:
        raise Unavailable(
            f"{data_dir}: no step leads from schema version {version} to {target} (version {missing[0]} is missing); "
            "install the release before this one, let it migrate, then this one"
        )
    return [steps[number] for number in range(version + 1, target + 1)]


def migrate_store(
    data_dir: Path,
    *,
    map_size_bytes: int,
    backup: Backup | None,
    migrations: Sequence[Migration] = MIGRATIONS,
    target: int = SCHEMA_VERSION,
    tell: Callable[[str], None] = lambda _: None,
) -> Migrated | None:
    """Blocking; needs room for a copy of the store, and as much for the backup. None where nothing was to be done.

    Raises StoreBusy while somebody has the data directory, Unavailable where it cannot be done; the store is then as it
    was.
    """
    steps = pending(data_dir, migrations, target)
    work = data_dir / MIGRATING
    if not steps:
        with suppress(OSError):
            shutil.rmtree(work)
        return None
    before = steps[0].to_version - 1
    env = Environment(data_dir, map_size_bytes=map_size_bytes, schema_version=before)  # holds the data directory
    try:
        shutil.rmtree(work, ignore_errors=True)
        saved = ""
        if backup is not None:
            tell("backing up")
            saved = str(backup(env, before))
        tell("copying")
        _copy(env, work)
        _take_steps(work, steps, before, map_size_bytes, tell)
        if any(step.rebuilds_indexes for step in steps):
            shutil.rmtree(data_dir / "indexes", ignore_errors=True)
        (work / "store" / "data.mdb").replace(data_dir / "store" / "data.mdb")
        sync_folder(data_dir / "store")
    except (OSError, lmdb.Error) as error:
        raise Unavailable(f"{data_dir}: the store cannot be migrated: {error}; it is as it was") from error
    finally:
        env.close()
        shutil.rmtree(work, ignore_errors=True)
    return Migrated(from_version=before, to_version=target, steps=[step.text for step in steps], backup=saved)


def _copy(env: Environment, work: Path) -> None:
    (work / "store").mkdir(mode=0o700, parents=True)
    env.copy_to(work / "store")


def _take_steps(
    work: Path, steps: Sequence[Migration], before: int, map_size_bytes: int, tell: Callable[[str], None]
) -> None:
    """On the copy; closing it puts it on the disk."""
    copy = Environment(work, map_size_bytes=map_size_bytes, schema_version=before, durable=False)
    try:
        for step in steps:
            tell(step.text)
            copy.write_now(partial(_take, step=step), synced=False)
    finally:
        copy.close()


def _take(txn: Txn, step: Migration) -> None:
    step.step(txn)
    txn.put("meta", SCHEMA, pack_id(step.to_version))
