"""Whoever the journal has is taken out of a restored store, by whatever name the store has something of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.cli import _journal_to_obey
from daemon.config import DaemonConfig
from daemon.restoring import Again, Restored, broken_pages, refuse_other_journal, restore
from proto.errors import ConfigError, Malformed, StoreBusy
from proto.ids import Platform
from proto.messages import RawStored
from proto.records import AuditEvent, Event, JobKind
from stores.audit import append_audit
from stores.env import RESTORING, Environment, Txn
from stores.journal import Journal, append_event
from stores.raw import put_raw, seal
from stores.schedule import put_job
from stores.suppression import Subject, Suppression
from stores.work import enqueue, put_dead_letter
from tests.conftest import EPOCH
from tests.daemon.test_backup import SIZE, made, silent
from tests.stores.test_erasure import ANNA, ANNA_HANDLE, BEN, BEN_HANDLE, dump, fill_account, job, letter, naming, page

Fill = Callable[[Txn], object]


def in_every_database(txn: Txn) -> None:
    fill_account(txn, ANNA, ANNA_HANDLE)


def in_a_page_not_read_yet(txn: Txn) -> None:
    raw_id, body = seal(page(ANNA, 1))
    put_raw(txn, page(ANNA, 1), raw_id, body)
    enqueue(txn, RawStored(raw_id=raw_id, platform=Platform.YOUTUBE), EPOCH)


def in_a_first_visit(txn: Txn) -> None:
    put_job(txn, job(JobKind.PROFILE, ANNA, ANNA, ""))


def in_an_import_by_handle(txn: Txn) -> None:
    put_job(txn, job(JobKind.LOOKUP, "@" + ANNA_HANDLE.casefold(), "", ""))


def in_what_happened(txn: Txn) -> None:
    put_dead_letter(txn, letter(f"lookup:@{ANNA_HANDLE}", b""))
    append_event(txn, Event(at=EPOCH, kind="note", severity="info", detail=f"see youtube.com/@{ANNA_HANDLE}."))
    entry = AuditEvent(at=EPOCH, tenant_id="default", actor="api", action="search", detail=f"q={ANNA} limit=5")
    append_audit(txn, entry)


@pytest.fixture
def backup(env: Environment, tmp_path: Path) -> Callable[[Fill], Path]:
    """Of a store that also holds somebody else."""

    def make(fill: Fill) -> Path:
        Journal(env, lambda _: None).ensure_default_tenant(EPOCH)
        env.write_now(lambda txn: fill_account(txn, BEN, BEN_HANDLE))
        env.write_now(fill)
        return Path(made(env, tmp_path / "data", tmp_path / "one.backup").file)

    return make


def journal_with(path: Path, *subjects: Subject) -> Path:
    opened = Suppression.open(path)
    opened.add(subjects)
    opened.close()
    return path


def restored(file: Path, folder: Path, journal: Path | None, place: Path | None = None) -> Restored:
    return restore(
        file,
        folder,
        journal=journal,
        journal_place=place,
        map_size_bytes=SIZE,
        daemon=DaemonConfig(),
        tell=silent,
        check_again=True,
    )


def rows_naming(folder: Path, *names: str) -> list[tuple[str, bytes]]:
    env = Environment(folder, map_size_bytes=SIZE)
    try:
        with env.snapshot() as txn:
            return naming(dump(txn), *names)
    finally:
        env.close()


@pytest.mark.parametrize(
    "fill", [in_every_database, in_a_page_not_read_yet, in_a_first_visit, in_an_import_by_handle, in_what_happened]
)
def test_who_was_forgotten_is_nowhere_in_what_is_restored(
    backup: Callable[[Fill], Path], tmp_path: Path, fill: Fill
) -> None:
    file = backup(fill)
    journal = journal_with(
        tmp_path / "journal", (Platform.YOUTUBE, ANNA), (Platform.YOUTUBE, "@" + ANNA_HANDLE), (Platform.X, BEN)
    )
    before = journal.read_bytes()
    assert restored(file, tmp_path / "new", journal, tmp_path / "place").erased_again
    assert rows_naming(tmp_path / "new", ANNA, ANNA_HANDLE) == []
    assert len(rows_naming(tmp_path / "new", BEN, BEN_HANDLE)) > 20
    data = (tmp_path / "new" / "store" / "data.mdb").read_bytes().lower()
    assert ANNA.lower().encode() not in data
    assert ANNA_HANDLE.lower().encode() not in data
    assert journal.read_bytes() == before
    assert (tmp_path / "place").read_bytes() == before
    assert not (tmp_path / "new" / RESTORING).exists()


def test_by_an_older_handle_somebody_else_may_be_known_now(backup: Callable[[Fill], Path], tmp_path: Path) -> None:
    """The journal has what the forgotten was called last; what they were called before is added for nobody."""
    file = backup(in_every_database)
    journal = journal_with(tmp_path / "journal", (Platform.YOUTUBE, ANNA), (Platform.YOUTUBE, "@later"))
    assert restored(file, tmp_path / "new", journal, tmp_path / "place").erased_again == Again(accounts=1, names=1)
    opened = Suppression.open(tmp_path / "place")
    assert not opened.contains_handle(Platform.YOUTUBE, ANNA_HANDLE)
    opened.close()


def test_a_store_that_is_not_whole_is_not_restored(backup: Callable[[Fill], Path], tmp_path: Path) -> None:
    file = backup(lambda txn: txn.add("creators"))
    with pytest.raises(Malformed, match="is not whole: meta counter:creators: says 2; 1 are there"):
        restored(file, tmp_path / "new", None)
    assert not (tmp_path / "new").exists()
    (tmp_path / "new").mkdir()  # of somebody who has a reason for its owner and mode
    with pytest.raises(Malformed, match="is not whole"):
        restored(file, tmp_path / "new", None)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["pokedexd.lock"]


def test_a_folder_that_another_process_has_is_left_alone(backup: Callable[[Fill], Path], tmp_path: Path) -> None:
    file = backup(lambda _: None)
    other = Environment(tmp_path / "other", map_size_bytes=SIZE)
    (tmp_path / "other" / "store").rename(tmp_path / "elsewhere")  # as if it had only begun
    with pytest.raises(StoreBusy):
        restored(file, tmp_path / "other", None)
    other.close()


def test_what_an_interrupted_restore_left_does_not_count(backup: Callable[[Fill], Path], tmp_path: Path) -> None:
    file = backup(lambda _: None)
    (tmp_path / "new" / RESTORING / "store").mkdir(parents=True)
    (tmp_path / "new" / "lost+found").mkdir()
    assert restored(file, tmp_path / "new", None).erased_again is None
    assert rows_naming(tmp_path / "new", BEN)


def test_another_journal_in_its_place_is_not_written_over(tmp_path: Path) -> None:
    journal = journal_with(tmp_path / "journal", (Platform.YOUTUBE, ANNA))
    place = journal_with(tmp_path / "place")
    refuse_other_journal(journal, place)  # that names nobody
    refuse_other_journal(journal, tmp_path / "absent")
    refuse_other_journal(journal, journal)
    journal_with(place, (Platform.YOUTUBE, BEN))
    with pytest.raises(ConfigError, match="another suppression journal is there"):
        refuse_other_journal(journal, place)


def test_a_store_with_broken_pages_is_not_opened(backup: Callable[[Fill], Path], tmp_path: Path) -> None:
    backup(lambda _: None)
    whole = tmp_path / "data" / "store" / "data.mdb"
    assert broken_pages(whole) == []
    data = bytearray(whole.read_bytes())
    for page_begin in range(2 * 4_096, len(data), 4_096):
        data[page_begin + 12 : page_begin + 14] = b"\xff\xff"  # where its free space begins
    (tmp_path / "broken").write_bytes(data)
    assert broken_pages(tmp_path / "broken")
    (tmp_path / "foreign").write_bytes(b"no LMDB file")
    assert broken_pages(tmp_path / "foreign")


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "something").write_text("")
    with pytest.raises(ConfigError, match="is not empty"):
        restored(tmp_path / "any.backup", tmp_path, None)


@pytest.mark.parametrize("data", [b"", b"a text", b"a text\nof two lines"])
def test_what_is_no_journal_is_not_taken_for_one_that_names_nobody(
    backup: Callable[[Fill], Path], tmp_path: Path, data: bytes
) -> None:
    file = backup(lambda _: None)
    (tmp_path / "foreign").write_bytes(data)
    with pytest.raises(Malformed, match="foreign: "):
        restored(file, tmp_path / "new", tmp_path / "foreign")
    assert not (tmp_path / "new" / "store").exists()


def test_who_was_forgotten_must_be_said(tmp_path: Path) -> None:
    place, stated = tmp_path / "place", tmp_path / "stated"
    with pytest.raises(ConfigError, match="--suppression-file FILE"):
        _journal_to_obey(None, place, without=False)
    assert _journal_to_obey(None, place, without=True) is None
    with pytest.raises(ConfigError, match="no such file"):
        _journal_to_obey(stated, place, without=False)
    journal_with(place)
    assert _journal_to_obey(None, place, without=False) == place
    with pytest.raises(ConfigError, match="leave the option out"):
        _journal_to_obey(None, place, without=True)
    assert _journal_to_obey(journal_with(stated), place, without=False) == stated
