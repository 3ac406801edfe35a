"""Large files go a piece at a time, and nobody else's bytes with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stores import removal
from stores.removal import REST_SECONDS, emptied, empty_gently, remove_gently

PIECE = 64 << 10


@pytest.fixture(autouse=True)
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits; how long they would have."""
    seen: list[float] = []
    monkeypatch.setattr(removal, "PIECE_BYTES", PIECE)
    monkeypatch.setattr("stores.removal.time.sleep", seen.append)
    return seen


def large(path: Path, pieces: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(int(pieces * PIECE)))
    return path


def test_a_large_file_goes_a_piece_at_a_time_each_put_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rests: list[float]
) -> None:
    path = large(tmp_path / "one", 3.5)
    told: list[int] = []
    synced: list[int] = []
    monkeypatch.setattr("stores.removal.os.fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    remove_gently(path, told.append)
    assert not path.exists()
    assert told == [PIECE, 2 * PIECE, 3 * PIECE]
    assert synced == [int(pieces * PIECE) for pieces in (2.5, 1.5, 0.5)]
    assert rests == [REST_SECONDS] * 3


@pytest.mark.parametrize("made", [Path.hardlink_to, Path.symlink_to])
def test_another_name_and_a_link_go_alone(tmp_path: Path, made: Callable[[Path, Path], None]) -> None:
    path, other = large(tmp_path / "one", 2), tmp_path / "other"
    made(other, path)
    remove_gently(other)
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_size == 2 * PIECE


def test_a_name_that_it_gets_meanwhile_keeps_what_is_left(tmp_path: Path) -> None:
    path, other = large(tmp_path / "one", 4), tmp_path / "other"
    remove_gently(path, lambda done: other.hardlink_to(path) if done == 2 * PIECE else None)
    assert not path.exists()
    assert other.stat().st_size == 2 * PIECE


def test_a_pipe_that_nobody_reads_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    remove_gently(tmp_path / "pipe")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_shortened_goes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr("stores.removal.os.ftruncate", refuse)
    path = large(tmp_path / "one", 2)
    remove_gently(path)
    assert not path.exists()


def test_nobody_waits_for_a_file_with_nothing_in_it(tmp_path: Path, rests: list[float]) -> None:
    path = large(tmp_path / "one", 0.1)
    os.truncate(path, 1_000 * PIECE)
    remove_gently(path)
    assert not path.exists()
    assert rests == []


def test_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove_gently(tmp_path / "absent")


def test_a_folder_is_emptied_but_for_what_lies_elsewhere(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", large(tmp_path / "elsewhere", 2)
    large(folder / "deep" / "one", 1.5)
    large(folder / "two", 0)
    (folder / "link").symlink_to(elsewhere)
    told: list[tuple[int, int]] = []
    empty_gently(folder, lambda done, total: told.append((done, total)))
    assert sorted(path.name for path in folder.rglob("*")) == ["deep", "link"]
    assert elsewhere.stat().st_size == 2 * PIECE
    total = int(1.5 * PIECE)
    assert told == [(0, total), (PIECE, total), (total, total), (total, total)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError])
def test_one_that_is_called_off_leaves_the_rest(tmp_path: Path, error: type[BaseException]) -> None:
    path = large(tmp_path / "one", 3)

    def call_off(_: int) -> None:
        raise error

    with pytest.raises(error):
        remove_gently(path, call_off)
    assert path.stat().st_size == 2 * PIECE


def test_after_an_error_nothing_is_waited_for(tmp_path: Path, rests: list[float]) -> None:
    path = large(tmp_path / "one", 3)
    with emptied(tmp_path) as folder:
        assert folder == tmp_path
    assert not path.exists()
    assert len(rests) == 2
    large(path, 3)

    def fail() -> None:
        with emptied(tmp_path):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert path.exists()
    assert len(rests) == 2
