"""Large files go a piece at a time, and nobody else's bytes with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stores.removal import PIECE_BYTES, REST_SECONDS, emptied, empty_gently, remove_gently


def large(path: Path, pieces: float) -> Path:
    """Takes no room: nothing is written to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.truncate(path, int(pieces * PIECE_BYTES))
    return path


def test_a_large_file_goes_a_piece_at_a_time_with_rests(tmp_path: Path) -> None:
    path = large(tmp_path / "one", 3.5)
    told: list[int] = []
    left: list[int] = []
    rests: list[float] = []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        left.append(path.stat().st_size)

    remove_gently(path, told.append, rest)
    assert not path.exists()
    assert told == [PIECE_BYTES, 2 * PIECE_BYTES, 3 * PIECE_BYTES]
    assert left == [int(pieces * PIECE_BYTES) for pieces in (2.5, 1.5, 0.5)]
    assert rests == [REST_SECONDS] * 3


def test_one_of_another_name_keeps_its_bytes_under_that(tmp_path: Path) -> None:
    path, other = large(tmp_path / "one", 2), tmp_path / "other"
    other.hardlink_to(path)
    remove_gently(path, rest=lambda _: None)
    assert not path.exists()
    assert other.stat().st_size == 2 * PIECE_BYTES


def test_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove_gently(tmp_path / "absent")


def test_a_folder_is_emptied_but_for_what_lies_elsewhere(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", large(tmp_path / "elsewhere", 2)
    large(folder / "deep" / "one", 1.5)
    large(folder / "two", 0)
    (folder / "link").symlink_to(elsewhere)
    told: list[tuple[int, int]] = []
    empty_gently(folder, lambda done, total: told.append((done, total)), rest=lambda _: None)
    assert sorted(path.name for path in folder.rglob("*")) == ["deep", "link"]
    assert elsewhere.stat().st_size == 2 * PIECE_BYTES
    total = int(1.5 * PIECE_BYTES)
    assert told == [(0, total), (PIECE_BYTES, total), (total, total), (total, total)]


def test_one_that_is_called_off_leaves_the_rest(tmp_path: Path) -> None:
    path = large(tmp_path / "one", 3)

    def call_off(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remove_gently(path, call_off)
    assert path.stat().st_size == 2 * PIECE_BYTES


def test_after_an_error_nothing_is_waited_for(tmp_path: Path) -> None:
    path = large(tmp_path / "one", 1)
    with emptied(tmp_path) as folder:
        assert folder == tmp_path
    assert not path.exists()
    large(path, 3)

    def fail() -> None:
        with emptied(tmp_path):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert path.exists()
