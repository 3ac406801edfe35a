"""Looking a backup through, and making a data directory of it in which nobody is who asked to be forgotten."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import trio
from lmdb.verify import VerifyError, verify

from daemon.backup import SETTINGS, STORE
from daemon.clock import make_clock
from daemon.config import DaemonConfig
from daemon.derived_data import holds_derived
from daemon.forgetting import COMPACT_WANTED, ClosedIndexes, Forgetting, compact_store
from proto.errors import ConfigError, Malformed, Unavailable
from stores.backup_file import Manifest, Tell, read_backup_file
from stores.blocking import Blocking
from stores.checking import Fault, find_faults
from stores.env import LOCK, RESTORING, Environment, lock_data_dir
from stores.files import sync_folder, write_atomic
from stores.migrations import migrate_store
from stores.suppression import Suppression, forget_journal, known_journal, take_journal

JOURNAL = "suppression"
RESTORED_SETTINGS = "pokedexd.toml.restored"
"""Where a restore leaves the settings of the backup; the operator decides about them."""
NEUTRAL = frozenset({RESTORING, LOCK, "lost+found"})
"""What may be in a folder that counts as empty."""


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that can be read, and what is wrong with its records."""

    manifest: Manifest
    size: int
    """Bytes of the file."""
    faults: list[Fault]


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """What the backup held of people who asked to be forgotten."""

    accounts: int
    names: int
    """Ids and handles; some stood in texts only."""


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    manifest: Manifest
    erased_again: Again | None
    """None for nobody."""
    holds_derived: bool
    """Whether data derived of YouTube's are in it."""


def examine(file: Path, folder: Path, *, map_size_bytes: int, tell: Tell) -> Examined:
    """Blocking: unpacks a backup into an empty folder, which is a data directory then, and reads every record of it.

    Raises Malformed for a file that is damaged, of a newer version or no backup; Unavailable without room.
    """
    manifest = read_backup_file(file, folder, tell)
    if {part.name for part in manifest.parts} != {STORE, SETTINGS}:
        raise Malformed(
            f"{file}: holds {', '.join(part.name for part in manifest.parts)}; expected {STORE}, {SETTINGS}"
        )
    broken = broken_pages(folder / STORE)
    if broken:  # LMDB itself must not be handed these
        faults = [Fault(database="store", key="", problem=broken[0], count=len(broken))]
        return Examined(manifest=manifest, size=file.stat().st_size, faults=faults)
    migrated = migrate_store(folder, map_size_bytes=map_size_bytes, backup=None)
    env = Environment(folder, map_size_bytes=map_size_bytes, durable=False)
    with contextlib.closing(env), env.snapshot() as txn:
        faults = find_faults(txn, {} if migrated else manifest.counts, partial(_as_one, tell))
    return Examined(manifest=manifest, size=file.stat().st_size, faults=faults)


def restore(
    file: Path,
    data_dir: Path,
    *,
    journal: Path | None,
    journal_place: Path | None,
    map_size_bytes: int,
    daemon: DaemonConfig,
    tell: Tell,
    check_again: bool = False,
    adopt: bool = False,
) -> Restored:
    """Blocking: into a folder that is empty or absent; until all is done, nothing can be served from it.

    ``journal``: who must not be in it; None: nobody was forgotten. ``journal_place``: where the daemon of this data
    directory will look for it; None: none will. ``adopt``: whether it may be another than the one that the store knew.
    Raises ConfigError for a folder that is not empty, and for such a journal; Malformed for a backup that is not whole, StoreBusy, Unavailable.
    """
    refuse_unless_empty(data_dir)
    if journal is not None and journal_place is not None:
        refuse_other_journal(journal, journal_place)
    made = not data_dir.exists()
    lock = lock_data_dir(data_dir)
    work = data_dir / RESTORING
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        examined = examine(file, work, map_size_bytes=map_size_bytes, tell=tell)
        refuse_faults(file, examined.faults)
        if journal is not None:
            erased = _erase_again(work, journal, map_size_bytes, daemon, adopt=adopt)
        else:
            erased = None
            _know_none(work, map_size_bytes)
        if erased or check_again:
            refuse_faults(file, _faults(work, map_size_bytes, tell))
        derived = _holds_derived(work, map_size_bytes)
        write_atomic(work / COMPACT_WANTED, b"")
        compact_store(work, map_size_bytes=map_size_bytes)
        if journal is not None and journal_place is not None:
            _install(journal, journal_place)
        (work / SETTINGS).replace(data_dir / RESTORED_SETTINGS)
        (work / "store").rename(data_dir / "store")
        sync_folder(data_dir)
        return Restored(manifest=examined.manifest, erased_again=erased, holds_derived=derived)
    except OSError as error:
        raise Unavailable(f"{data_dir}: the backup cannot be restored: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if made and not (data_dir / "store").exists():
            _unmake(data_dir)
        os.close(lock)


def _unmake(data_dir: Path) -> None:
    """Of a restore that came to nothing, in a folder that was not there before."""
    with contextlib.suppress(OSError):  # somebody has put something into it
        (data_dir / LOCK).unlink()
        data_dir.rmdir()


def broken_pages(data: Path) -> list[str]:
    """Blocking: what is wrong with the trees of an LMDB file, which is read without LMDB."""
    try:
        problems: list[str] = verify(str(data), subdir=False)  # type: ignore[no-untyped-call]
    except VerifyError as error:
        return [str(error)]
    return problems


def refuse_unless_empty(data_dir: Path) -> None:
    """Raises ConfigError; what an earlier restore left that did not come to its end does not count."""
    try:
        found = sorted({path.name for path in data_dir.iterdir()} - NEUTRAL)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{data_dir}: cannot be read: {error.strerror}; choose another --data-dir") from error
    if found:
        raise ConfigError(
            f"{data_dir}: is not empty ({found[0]}{' and more' if len(found) > 1 else ''}); "
            "a backup is restored into an empty folder: move this one away, or choose another --data-dir"
        )


def refuse_faults(file: Path, faults: list[Fault]) -> None:
    """Raises Malformed with the first of them."""
    if faults:
        raise Malformed(f"{file}: is not whole: {words_of(faults[0])}; see pokedexd verify, and use another backup")


def words_of(fault: Fault) -> str:
    more = f" (and {fault.count - 1:,} more there)" if fault.count > 1 else ""
    return f"{fault.database} {fault.key}: {fault.problem}{more}"


def refuse_other_journal(journal: Path, place: Path) -> None:
    """Blocking. Raises ConfigError when another journal that names somebody is where the daemon looks for its own."""
    if not place.exists() or place.samefile(journal) or _read(place) == _read(journal):
        return
    with contextlib.closing(Suppression.open(place)) as there:
        if there.hashes:
            raise ConfigError(
                f"{place}: another suppression journal is there than {journal}, and the restored daemon would use it: "
                "name it as --suppression-file, or move it away"
            )


def _install(journal: Path, place: Path) -> None:
    if place.exists() and place.samefile(journal):
        return
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(place, _read(journal))


def _read(journal: Path) -> bytes:
    try:
        return journal.read_bytes()
    except OSError as error:
        raise ConfigError(f"{journal}: the suppression journal cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def _opened_copy(journal: Path, folder: Path) -> Iterator[Suppression]:
    """A running daemon may have the journal itself. A missing or foreign one must not be taken for an empty one."""
    data = _read(journal)
    if b"\n" not in data:  # without a whole line the copy would be begun anew, and name nobody
        raise Malformed(f"{journal}: is no suppression journal")
    write_atomic(folder / JOURNAL, data)
    try:
        opened = Suppression.open(folder / JOURNAL)
    except Malformed as error:
        raise Malformed(str(error).replace(str(folder / JOURNAL), str(journal))) from error
    with contextlib.closing(opened):
        yield opened


def _know_none(folder: Path, map_size_bytes: int) -> None:
    """Nobody was forgotten, as somebody said: the first start begins a journal."""
    env = Environment(folder, map_size_bytes=map_size_bytes)
    with contextlib.closing(env):
        env.write_now(forget_journal)


def _erase_again(
    folder: Path, journal: Path, map_size_bytes: int, daemon: DaemonConfig, *, adopt: bool
) -> Again | None:
    """Also finishes erasures that were under way when the backup was made."""
    env = Environment(folder, map_size_bytes=map_size_bytes)
    with contextlib.closing(env), _opened_copy(journal, folder) as suppression:
        if known_journal(env) not in ("", suppression.id) and not adopt:
            raise ConfigError(
                f"{journal}: is another suppression journal than that of the store in the backup, and does not say who "
                "was forgotten there: name that one as --suppression-file; where it is lost for good, --adopt-journal"
            )
        at = int(make_clock(daemon, env)())
        env.write_now(lambda txn: take_journal(txn, suppression.id, at))
        forgetting = Forgetting(
            env=env,
            data_dir=folder,
            suppression=suppression,
            indexes=ClosedIndexes(folder / "indexes"),
            threads=Blocking("forgetting", 1, trio.to_thread.run_sync),
            now=make_clock(daemon, env),
        )
        return trio.run(_forget, forgetting)


async def _forget(forgetting: Forgetting) -> Again | None:
    reports = await forgetting.resume() + await forgetting.forget_again()
    accounts = sum(report.removed.get("accounts", 0) for report in reports)
    return Again(accounts=accounts, names=len(reports)) if reports else None


def _holds_derived(folder: Path, map_size_bytes: int) -> bool:
    env = Environment(folder, map_size_bytes=map_size_bytes)
    with contextlib.closing(env), env.snapshot() as txn:
        return holds_derived(txn)


def _faults(folder: Path, map_size_bytes: int, tell: Tell) -> list[Fault]:
    env = Environment(folder, map_size_bytes=map_size_bytes)
    with contextlib.closing(env), env.snapshot() as txn:
        return find_faults(txn, {}, partial(_as_one, tell))


def _as_one(tell: Tell, database: str, done: int, total: int) -> None:
    """All databases are one step."""
    del database
    tell("reading records", done, total)
