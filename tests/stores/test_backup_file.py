"""The file of a backup: what was written comes back, and whatever else is in its place is refused with the reason."""

from __future__ import annotations

import errno
import io
import random
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
import zstandard

from proto.errors import Malformed
from stores.backup_file import (
    FORMAT_VERSION,
    TRAILER_BYTES,
    Manifest,
    check_bytes,
    parts_of,
    read_backup_file,
    write_backup_file,
)
from stores.codec import SCHEMA_VERSION

SEED = 20_261_126
FLIPS = 100
TEXTS = {"settings.toml": b"a = 1\n" * 20, "store/data.mdb": random.Random(SEED).randbytes(3_000) + bytes(4_000)}


class Full(io.BytesIO):
    """A disk with room for so many bytes."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def write(self, data: object, /) -> int:
        done = super().write(data)  # type: ignore[arg-type]
        if self.tell() > self._room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return done


def silent(_: str, __: int, ___: int) -> None:
    """Nobody is told."""


def files_in(folder: Path) -> dict[str, Path]:
    for name, data in TEXTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return {name: folder / name for name in TEXTS}


def manifest_of(files: Mapping[str, Path]) -> Manifest:
    return Manifest(
        format_version=FORMAT_VERSION,
        schema_version=SCHEMA_VERSION,
        product_version="1.2.3",
        created_at=1_790_000_000,
        commit=17,
        counts={"accounts": 3},
        content_items=5,
        parts=parts_of(files, silent),
    )


def written(folder: Path, **changes: int) -> bytes:
    files = files_in(folder / "parts")
    sink = io.BytesIO()
    write_backup_file(sink, msgspec.structs.replace(manifest_of(files), **changes), files, silent)
    return sink.getvalue()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return written(tmp_path_factory.mktemp("whole"))


def refused(tmp_path: Path, data: bytes) -> str:
    path, folder = tmp_path / "some.backup", tmp_path / "unpacked"
    path.write_bytes(data)
    folder.mkdir(exist_ok=True)
    with pytest.raises(Malformed) as caught:
        read_backup_file(path, folder, silent)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_what_was_written_comes_back(whole: bytes, tmp_path: Path) -> None:
    path, folder = tmp_path / "some.backup", tmp_path / "unpacked"
    path.write_bytes(whole)
    folder.mkdir()
    told: list[tuple[str, int, int]] = []
    manifest = read_backup_file(path, folder, lambda *step: told.append(step))
    assert {name: (folder / name).read_bytes() for name in TEXTS} == TEXTS
    assert (manifest.commit, manifest.counts, manifest.product_version) == (17, {"accounts": 3}, "1.2.3")
    assert {step for step, _, _ in told} == {"checking", "unpacking"}
    assert all(0 < done <= total for _, done, total in told)
    assert all((folder / name).stat().st_mode & 0o077 == 0 for name in TEXTS)


def test_every_flipped_byte_is_found(whole: bytes, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    path = tmp_path / "some.backup"
    places = [0, 4, 5, len(whole) - TRAILER_BYTES, len(whole) - 1]  # frame, header, trailer, checksum
    places += [dice.randrange(len(whole)) for _ in range(FLIPS - len(places))]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(Malformed):
            check_bytes(path, silent)


@pytest.mark.parametrize("left", [0, 1, 4, 60, 0.5, -TRAILER_BYTES, -1])
def test_a_file_that_was_cut_off_is_refused(whole: bytes, tmp_path: Path, left: float) -> None:
    size = int(len(whole) * left) if isinstance(left, float) else left
    assert "no backup" in refused(tmp_path, whole[:size])


def test_bytes_behind_the_end_are_found(whole: bytes, tmp_path: Path) -> None:
    assert "are not ours" in refused(tmp_path, whole + b"\0")


@pytest.mark.parametrize(
    "foreign", [b"", b"a text\n", b"PK\3\4" + bytes(200), zstandard.ZstdCompressor().compress(bytes(9_999))]
)
def test_a_foreign_file_is_refused(tmp_path: Path, foreign: bytes) -> None:
    assert "no backup of pokedexd" in refused(tmp_path, foreign)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="No such file"):
        check_bytes(tmp_path / "absent", silent)


def test_a_newer_format_or_schema_is_refused_with_the_reason(tmp_path: Path) -> None:
    newer_format = refused(tmp_path, written(tmp_path, format_version=FORMAT_VERSION + 1))
    assert f"format {FORMAT_VERSION + 1} of a newer pokedexd" in newer_format
    newer_schema = refused(tmp_path, written(tmp_path, schema_version=SCHEMA_VERSION + 1))
    assert f"schema version {SCHEMA_VERSION + 1}" in newer_schema
    assert "1.2.3" in newer_schema


@pytest.mark.parametrize("room", [0, 100, 3_000])
def test_a_full_disk_is_said_by_the_error_of_the_file(tmp_path: Path, room: int) -> None:
    files = files_in(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        write_backup_file(Full(room), manifest_of(files), files, silent)


def anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))


def test_what_fails_to_be_packed_keeps_no_memory_while_its_error_lives(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    errors, before = [], 0
    for number in range(50):
        with pytest.raises(OSError, match="No space left") as caught:
            write_backup_file(Full(0), manifest_of(files), files, silent)
        errors.append(caught.value)  # and with it the frames that it went through
        before = anonymous_bytes() if number == 9 else before
    assert len(errors) == 50
    assert anonymous_bytes() - before < 20 << 20, "they keep their compressors"
