from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.errors import Malformed, StoreBusy, Unavailable
from proto.ids import AccountKey, Platform, account_key
from stores.suppression import Suppression

ANNA = "UC4RqWPDDs0KvlpZNW3F-6gQ"
BEN = "UC9zzzzzzzzzzzzzzzzzzzzA"
YOUTUBE, INSTAGRAM = Platform.YOUTUBE, Platform.INSTAGRAM


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere" / "suppressed"


@pytest.fixture
def journal(path: Path) -> Iterator[Suppression]:
    opened = Suppression.open(path)
    yield opened
    opened.close()


def reopened(path: Path) -> Suppression:
    """Its look-ups, with the file let go of."""
    journal = Suppression.open(path)
    journal.close()
    return journal


@pytest.fixture
def closed(path: Path) -> Path:
    """A journal that holds Anna and Ben."""
    journal = Suppression.open(path)
    journal.add([(YOUTUBE, ANNA)])
    journal.add([(YOUTUBE, BEN)])
    journal.close()
    return path


def test_who_was_added_is_found_and_nobody_else(journal: Suppression) -> None:
    assert journal.add([(YOUTUBE, ANNA), (YOUTUBE, "@AnnaFit")]) == 2
    assert journal.contains(YOUTUBE, ANNA)
    assert journal.covers(account_key(YOUTUBE, ANNA))
    assert not journal.contains(INSTAGRAM, ANNA)
    assert not journal.covers(account_key(YOUTUBE, BEN))
    assert not journal.covers(AccountKey("nonsense"))


@pytest.mark.parametrize("written", ["@AnnaFit", "annafit", "@ANNAFIT", "AnnaFit"])
def test_a_handle_is_found_however_it_is_written(journal: Suppression, written: str) -> None:
    journal.add([(YOUTUBE, "@AnnaFit")])
    assert journal.contains(YOUTUBE, written)
    assert journal.contains_handle(YOUTUBE, written)


def test_a_composed_and_a_decomposed_handle_are_the_same(journal: Suppression) -> None:
    journal.add([(YOUTUBE, "@jos\u00e9")])
    assert journal.contains_handle(YOUTUBE, "jose\u0301")


def test_ids_differ_by_case(journal: Suppression) -> None:
    journal.add([(YOUTUBE, ANNA)])
    assert not journal.contains(YOUTUBE, ANNA.lower())


def test_a_handle_of_digits_is_not_somebody_elses_id(journal: Suppression) -> None:
    journal.add([(INSTAGRAM, "@12345")])
    assert not journal.covers(account_key(INSTAGRAM, "12345"))
    assert journal.contains_handle(INSTAGRAM, "12345")


def test_it_outlives_the_process(closed: Path) -> None:
    again = reopened(closed)
    assert again.contains(YOUTUBE, ANNA)
    assert again.contains(YOUTUBE, BEN)
    assert len(again.hashes) == 2
    assert {len(one) for one in again.hashes} == {32}


def test_the_alias_stays_the_same_and_does_not_name(closed: Path) -> None:
    first, second = reopened(closed), reopened(closed)
    alias = first.alias((YOUTUBE, ANNA))
    assert alias == second.alias((YOUTUBE, ANNA)) != first.alias((YOUTUBE, BEN))
    assert len(alias) == 16


def test_the_same_again_changes_nothing(closed: Path) -> None:
    before = closed.read_bytes()
    journal = Suppression.open(closed)
    assert journal.add([(YOUTUBE, ANNA), (YOUTUBE, BEN)]) == 0
    journal.close()
    assert closed.read_bytes() == before


def test_another_journal_hashes_by_another_key(path: Path, tmp_path: Path) -> None:
    both = [Suppression.open(one) for one in (path, tmp_path / "other")]
    for journal in both:
        journal.add([(YOUTUBE, ANNA)])
        journal.close()
    assert not both[0].hashes & both[1].hashes


def test_the_file_is_for_its_owner_alone_and_names_nobody(closed: Path) -> None:
    assert stat.S_IMODE(closed.stat().st_mode) == 0o600
    assert ANNA.encode() not in closed.read_bytes()


def test_a_file_that_others_could_read_is_closed_to_them(closed: Path) -> None:
    closed.chmod(0o644)
    reopened(closed)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o600


def test_it_is_on_the_disk_before_it_is_answered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Suppression.open(path)
    synced: list[bytes] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        real(handle)
        synced.append(path.read_bytes())

    monkeypatch.setattr(os, "fsync", fsync)
    journal.add([(YOUTUBE, ANNA)])
    journal.close()
    assert synced[-1] == path.read_bytes()


def test_an_end_torn_at_any_byte_costs_only_the_unanswered_line(closed: Path) -> None:
    data = closed.read_bytes()
    begin = data.rindex(b"\n", 0, -1) + 1
    for end in range(begin, len(data)):
        closed.write_bytes(data[:end])
        journal = Suppression.open(closed)
        assert journal.contains(YOUTUBE, ANNA)
        assert not journal.contains(YOUTUBE, BEN)
        journal.add([(YOUTUBE, BEN)])
        journal.close()
        assert closed.read_bytes() == data


def test_a_journal_torn_in_its_first_line_begins_anew(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"0123")
    journal = Suppression.open(path)
    journal.add([(YOUTUBE, ANNA)])
    journal.close()
    assert reopened(path).contains(YOUTUBE, ANNA)


def test_a_flipped_bit_is_told_with_its_line(closed: Path) -> None:
    sound = closed.read_bytes()
    lines = sound.splitlines(keepends=True)
    assert len(lines) == 3
    for number, line in enumerate(lines, 1):
        at = sum(len(one) for one in lines[: number - 1]) + len(line) // 2
        closed.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        with pytest.raises(Malformed, match=f"line {number} "):
            Suppression.open(closed)
    closed.write_bytes(sound)
    assert reopened(closed).contains(YOUTUBE, ANNA)


def test_a_journal_without_its_key_is_refused(closed: Path) -> None:
    closed.write_bytes(b"".join(closed.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(Malformed, match="not a suppression journal"):
        Suppression.open(closed)


def test_two_processes_cannot_have_it(journal: Suppression, path: Path) -> None:
    with pytest.raises(StoreBusy):
        Suppression.open(path)


def test_a_path_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        Suppression.open(tmp_path)


def test_a_full_disk_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Suppression.open(path)
    journal.add([(YOUTUBE, ANNA)])
    before, real = path.read_bytes(), os.write

    def some_of_it(handle: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(28, "No space left on device")
        return real(handle, data[:-10])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", some_of_it)
        with pytest.raises(Unavailable, match="No space"):
            journal.add([(YOUTUBE, BEN)])
    assert path.read_bytes() == before
    assert not journal.contains(YOUTUBE, BEN)
    journal.add([(YOUTUBE, BEN)])
    journal.close()
    assert reopened(path).hashes == journal.hashes


@given(st.lists(st.tuples(st.sampled_from(Platform), st.text(min_size=1, max_size=40)), max_size=12))
def test_what_is_read_back_is_what_was_added(
    tmp_path_factory: pytest.TempPathFactory, subjects: list[tuple[Platform, str]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "suppressed"
    journal = Suppression.open(path)
    journal.add(subjects)
    journal.close()
    again = reopened(path)
    assert again.hashes == journal.hashes
    assert all(again.contains(platform, name) for platform, name in subjects)
