"""The doctor's checks of the data directory: room, permissions, who has it, the store, the indexes, backups."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from daemon.app import budgets_of
from daemon.backup import folder_of, own_backups
from daemon.damage import REMEDY
from daemon.derived_data import (
    UNSTATED,
    UNSTATED_REMEDY,
    WORDS_ALONE,
    WORDS_ALONE_REMEDY,
    holds_accounts,
    holds_derived,
)
from daemon.doctor_patient import Patient
from daemon.figures import last_backup_at
from daemon.findings import Finding, fault, note, warning
from daemon.listeners import OPEN_REMEDY, is_open
from daemon.migrating import earlier_backups
from daemon.restoring import words_of
from proto.errors import IndexBroken, StoreDamaged, Unavailable
from stores.checking import Fault, find_faults_within
from stores.codec import SCHEMA_VERSION
from stores.damage import REMEDY as RESTORE
from stores.damage import page_faults
from stores.env import COPYING, RESTORING, Txn, look_into, newer_schema
from stores.keys import keys_of
from stores.ledger import standing_of
from stores.migrations import MIGRATING
from stores.suppression import journal_in, wrong_journal
from stores.text_index import complete_index, verify_files
from stores.vector_snapshot import snapshot_trouble

T = TypeVar("T")

MIB = 1 << 20
SLACK = 4
"""Times the floor of free disk below which is warned."""
PAGES_BYTES = 4 << 30
"""Of a store whose pages are looked through, some 300 MB a second."""
RECORDS_SECONDS = 60.0
"""For reading records: a million creators' accounts and creators take less, with all their content it takes longer."""
FULL_SHARE, NEARLY_FULL_SHARE = 0.95, 0.8
"""Of the map."""
FUTURE_SECONDS = 3_600.0
FIRST_RELEASE_AT = 1_767_225_600.0
"""2026-01-01: no clock that is right shows less."""
STALE_SECONDS = 7 * 86_400.0
"""So old the latest backup may be where none are made by the clock."""
KEPT_SECONDS = 30 * 86_400.0


def holder_of(data_dir: Path) -> int:
    """The process that has a data directory; 0 for none, -1 for one that is not known."""
    try:
        handle = os.open(data_dir / "pokedexd.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        stated = os.pread(handle, 32, 0).decode(errors="replace").strip()
        return int(stated) if stated.isascii() and stated.isdecimal() else -1
    finally:
        os.close(handle)
    return 0


def place(patient: Patient) -> Iterator[Finding]:
    folder = patient.data_dir
    if not folder.exists():
        yield warning(
            "data_dir", f"{folder} is not there", "it is made at the first start: pokedexd serve, or pokedexd init"
        )
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield fault("data_dir", f"{folder} cannot be used by this user", "run this as the daemon's user, or chown it")


def disk(patient: Patient) -> Iterator[Finding]:
    folder = patient.data_dir if patient.data_dir.exists() else patient.data_dir.parent
    if not folder.exists():
        return
    free, floor = shutil.disk_usage(folder).free, patient.config.storage.disk_floor_mib * MIB
    text = f"{free // MIB:,} MiB are free on the disk of {folder}"
    remedy = "make room there, or move the data directory to a larger disk"
    if free < floor:
        yield fault(
            "disk",
            f"{text}: below storage.disk_floor_mib ({floor // MIB:,}), and writes fail where there is none",
            remedy,
        )
    elif free < SLACK * floor:
        yield warning("disk", f"{text}, near storage.disk_floor_mib ({floor // MIB:,})", remedy)


def permissions(patient: Patient) -> Iterator[Finding]:
    """What others could read, and what this daemon could not write."""
    if not patient.data_dir.is_dir():
        return
    open_to_others: list[Path] = []
    foreign: list[Path] = []
    owner = patient.data_dir.stat().st_uid
    for path in [patient.data_dir, *sorted(patient.data_dir.rglob("*"))]:
        with suppress(FileNotFoundError):  # indexes come and go under a running daemon
            found = path.lstat()
            if stat.S_ISSOCK(found.st_mode) or stat.S_ISLNK(found.st_mode):
                continue
            if found.st_mode & 0o077:
                open_to_others.append(path)
            if found.st_uid != owner:
                foreign.append(path)
    if open_to_others:
        yield fault(
            "permissions",
            f"{open_to_others[0]}{_more(open_to_others)} can be read by others (mode "
            f"{open_to_others[0].lstat().st_mode & 0o777:04o})",
            f"chmod -R go= {patient.data_dir}",
        )
    if foreign:
        yield fault(
            "permissions",
            f"{foreign[0]}{_more(foreign)} belongs to another user than {patient.data_dir}",
            f"chown -R --reference={patient.data_dir} {patient.data_dir}/",  # systemd makes it a link
        )


def _more(paths: list[Path]) -> str:
    return f" and {len(paths) - 1} more" if len(paths) > 1 else ""


def holder(patient: Patient) -> Iterator[Finding]:
    """A process that has the data directory and is not the daemon that answers."""
    if patient.holder and patient.status is None:
        who = f"process {patient.holder}" if patient.holder > 0 else "an unknown process"
        yield fault(
            "holder",
            f"{who} has {patient.data_dir}, and no daemon answers on {patient.admin_socket}",
            "look what it is (ps -fp); end it, or name the socket of its daemon as admin.socket",
        )


def clock(patient: Patient) -> Iterator[Finding]:
    store, remedy = patient.data_dir / "store" / "data.mdb", "set it, and have it kept (timedatectl set-ntp true)"
    if patient.now < FIRST_RELEASE_AT:
        yield fault("clock", "the clock shows a time before this program was written", remedy)
    elif store.exists() and store.stat().st_mtime > patient.now + FUTURE_SECONDS:
        hours = (store.stat().st_mtime - patient.now) / 3_600
        yield fault("clock", f"the store was written {hours:,.1f} h in the future: the clock is or was wrong", remedy)


def leftovers(patient: Patient) -> Iterator[Finding]:
    folder = patient.data_dir
    if (folder / RESTORING / "store").exists():
        yield fault("restore", f"a restore into {folder} was not finished", "run the same pokedexd restore again")
    for name in (MIGRATING, COPYING):
        if not patient.holder and (folder / name).exists():
            yield warning("leftover", f"{folder / name} was left by a crash", "it goes with the next start")
    for file in earlier_backups(folder) if folder.is_dir() else []:
        if patient.now - file.stat().st_mtime > KEPT_SECONDS:
            yield warning("leftover", f"{file} is from before an upgrade a month ago", f"rm {file}, if all is well")


def store(patient: Patient) -> Iterator[Finding]:
    if not patient.has_store:
        return
    if (patient.data_dir / "store" / "data.mdb").stat().st_size == 0:
        yield fault("store", f"{patient.data_dir}/store/data.mdb is empty", "restore a backup (pokedexd restore)")
        return
    try:
        with look_into(patient.data_dir, shared=patient.holder != 0) as found:
            share = found.used_bytes / patient.map_bytes
            version = found.schema_version
    except Unavailable as error:
        yield fault("store", str(error), RESTORE)
        return
    if version is not None and version > SCHEMA_VERSION:
        yield fault("schema", newer_schema(patient.data_dir, version, SCHEMA_VERSION), "install the newer pokedexd")
    elif version is not None and version < SCHEMA_VERSION:
        text = f"the store has schema version {version}, of an older pokedexd than this one ({SCHEMA_VERSION})"
        yield warning("schema", text, "pokedexd migrate, or start the daemon: it is backed up and migrated then")
    if share >= NEARLY_FULL_SHARE:
        make = fault if share >= FULL_SHARE else warning
        text = f"the store fills {share:.0%} of its map (storage.map_size_gib = {patient.config.storage.map_size_gib})"
        yield make("map", text, "raise storage.map_size_gib and restart; the file takes only what is used")


def records(patient: Patient) -> Iterator[Finding]:
    """Every record is read, as long as `RECORDS_SECONDS` last; not where pages are damaged, since that can end the
    process."""
    shared = patient.holder != 0
    faults, done, total = list[Fault](), 0, 0
    try:
        with suppress(KeyError), look_into(patient.data_dir, shared=shared) as found:
            file = patient.data_dir / "store"
            pages = page_faults(file) if not shared and found.used_bytes <= PAGES_BYTES else []
            if pages:
                text = f"{file}: the store is damaged: {len(pages):,} faults of its pages, such as {pages[0]}"
                yield fault("store", text, RESTORE)
            elif found.schema_version == SCHEMA_VERSION:
                faults, done, total = _faults_in(patient, found.txn)
    except StoreDamaged as error:
        if patient.has_store and _opens(patient):  # else `store` tells
            yield fault("store", str(error), RESTORE)
    except Unavailable:
        pass
    for one in faults:
        yield fault("record", words_of(one), REMEDY)
    if done < total:
        text = (
            f"{done:,} of {total:,} records were read in {RECORDS_SECONDS:g} s; pokedexd verify reads all of a backup"
        )
        yield note("record", text)


def _opens(patient: Patient) -> bool:
    return _read(patient, lambda _: True) is not None


def _faults_in(patient: Patient, txn: Txn) -> tuple[list[Fault], int, int]:
    ends_at = time.monotonic() + RECORDS_SECONDS

    def tell(database: str, done: int, total: int) -> None:
        patient.tell(f"records: {database}, {done:,} of {total:,}")

    return find_faults_within(txn, lambda: time.monotonic() >= ends_at, tell)


def suppression(patient: Patient) -> Iterator[Finding]:
    """The journal of who was forgotten."""
    file = patient.suppression_file
    if file.is_relative_to(patient.data_dir):
        yield fault(
            "suppression",
            f"{file} is in the data directory: whoever restores that brings back who was forgotten",
            "move it out and name its place as daemon.suppression_file",
        )
    if file.exists() and file.stat().st_mode & 0o077:
        yield fault("permissions", f"{file} can be read by others", f"chmod 0600 {file}")
    folder = patient.data_dir
    if file.exists() and folder.exists() and file.stat().st_uid != folder.stat().st_uid:
        text = f"{file} belongs to another user than {folder}"
        yield fault("permissions", text, f"chown --reference={folder} {file}")
    known = _read(patient, journal_in)
    text, remedy = wrong_journal(file, known) if known else ("", "")
    if text:
        yield fault("suppression", text, remedy)


def backups(patient: Patient) -> Iterator[Finding]:
    if patient.is_demo:  # its clock stands still, and the same command makes the same world
        return
    settings = patient.config.backup
    if settings.every_hours:
        folder = folder_of(settings)
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            yield fault("backup", f"backups cannot be written to {folder}", f"chown or chmod {folder}")
            return
        newest = max((at for at, _ in own_backups(folder)), default=None) if folder.exists() else None
        limit = 2 * settings.every_hours * 3_600
        if patient.has_store and folder.exists() and folder.stat().st_dev == patient.data_dir.stat().st_dev:
            yield note("backup", f"{folder} is on the same disk as the data directory")
    else:
        newest, limit = _last_backup(patient), STALE_SECONDS
    if not patient.has_store or _is_fresh(patient):
        return
    remedy = "pokedexd backup FILE now; set backup.folder and backup.every_hours for ones by the clock"
    if newest is None:
        yield warning("backup", "there is no backup of this data directory", remedy)
    elif patient.now - newest > limit:
        yield warning("backup", f"the latest backup is {(patient.now - newest) / 86_400:.1f} days old", remedy)


def _last_backup(patient: Patient) -> float | None:
    return _read(patient, last_backup_at)


def _read(patient: Patient, look: Callable[[Txn], T]) -> T | None:
    """None where the store cannot be read, which `store` tells, or was never used."""
    shared = patient.holder != 0
    with suppress(Unavailable, KeyError, ValueError), look_into(patient.data_dir, shared=shared) as found:
        return look(found.txn)
    return None


def derived_data(patient: Patient) -> Iterator[Finding]:
    """What the next start would refuse, or does without a word; not of a demo, which states it for itself: there `pokedexd serve` tells."""
    if patient.is_demo or patient.config.platforms.youtube.derived_data:
        return
    if _read(patient, holds_derived):
        yield fault("derived_data", f"{patient.data_dir}: {UNSTATED}", UNSTATED_REMEDY)
    elif _read(patient, holds_accounts):
        yield warning("derived_data", WORDS_ALONE, WORDS_ALONE_REMEDY)


def keys(patient: Patient) -> Iterator[Finding]:
    """Likewise."""
    if is_open(patient.config, has_keys=bool(_read(patient, keys_of))):
        yield fault(
            "address", f"http.host: {patient.config.http.host!r} is not loopback, and there is no key", OPEN_REMEDY
        )


def _is_fresh(patient: Patient) -> bool:
    """A directory of today has nothing to lose yet."""
    created = (patient.data_dir / "store").stat().st_ctime
    return patient.now - created < 86_400 and _last_backup(patient) is None and not patient.config.backup.every_hours


def stopped(patient: Patient) -> Iterator[Finding]:
    """What a daemon leaves that was not stopped."""
    try:
        is_socket = stat.S_ISSOCK(patient.admin_socket.lstat().st_mode)
    except OSError:
        return
    if is_socket and not patient.holder and not listens(patient.admin_socket):
        yield warning(
            "stale_socket",
            f"{patient.admin_socket} is left of a daemon that ended without being stopped",
            "look into its log for the reason (journalctl -u pokedexd); the next start takes the socket over",
        )


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def indexes(patient: Patient) -> Iterator[Finding]:
    """Of a daemon that does not run; one that does looks after its own."""
    folder = patient.data_dir / "indexes"
    if patient.holder or not patient.has_store or not folder.is_dir():
        return
    remedy = "it is rebuilt from the store at the next start; if that comes back, look at the disk (smartctl, dmesg)"
    text = complete_index(folder)
    if text is None and any(folder.glob("text-*")):
        yield warning("index", f"{folder}: the keyword index is of another version, or unfinished", remedy)
    elif text is not None:
        try:
            verify_files(text)
        except IndexBroken as error:
            yield fault("index", f"the keyword index is damaged: {error}", remedy)
    for path in sorted(folder.glob("*.hnsw")):
        trouble = snapshot_trouble(path)
        if trouble:
            yield fault("index", f"a vector index is damaged: {trouble}", remedy)


def budgets(patient: Patient) -> Iterator[Finding]:
    """By what is booked."""
    if not patient.has_store or patient.holder:
        return
    for text, remedy in _booked(patient):
        yield warning("budget", text, remedy)


def _booked(patient: Patient) -> Iterator[tuple[str, str]]:
    with suppress(Unavailable), look_into(patient.data_dir, shared=False) as found:  # what it raises, others say
        yield from _spent(patient, found.txn)


def _spent(patient: Patient, txn: Txn) -> Iterator[tuple[str, str]]:
    with suppress(KeyError):  # a store that was never used
        for budget in budgets_of(patient.config):
            standing = standing_of(txn, budget, patient.now)
            if standing.closed_until or standing.used >= budget.spendable:
                yield (
                    f"{budget.platform.value}/{budget.bucket} is spent: {standing.used:,} of {budget.units:,} units",
                    "it comes back by itself; ask the platform for more, or lower backfill_share and discovery",
                )


CHECKS = (place, disk, permissions, holder, clock, leftovers, store, records, suppression, derived_data, keys, backups)
STOPPED_CHECKS = (stopped, indexes, budgets)
