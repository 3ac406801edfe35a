"""The file that a backup is: a compressed tar archive, and behind it a checksum of every byte before.

A zstd frame holds the archive (`MANIFEST` first, then the parts in its order); a skippable frame behind it, which other
tools pass over, holds `MARK` and the SHA-256 of the first. ``tar --zstd -xf FILE`` opens it without this program.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol, Self, cast

import msgspec
import zstandard

from proto.errors import Malformed, Unavailable
from stores.codec import SCHEMA_VERSION
from stores.passing import SLICE_BYTES, let_go, passing

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
LEVEL = 3
"""zstd level: the library's default."""
MARK = b"pokedexd backup\n"
TRAILER = (0x184D2A5D).to_bytes(4, "little") + (len(MARK) + 32).to_bytes(4, "little") + MARK
"""A skippable frame (RFC 8878, 3.1.2) up to its checksum."""
TRAILER_BYTES = len(TRAILER) + 32
MAX_MANIFEST_BYTES = 1 << 20

Tell = Callable[[str, int, int], None]
"""What is done now, how many bytes of it are done, and how many there are; may raise to end it."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    size: int
    """Bytes."""
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself."""

    format_version: int
    schema_version: int
    product_version: str
    created_at: int
    """Epoch seconds, of the real clock."""
    commit: int
    """Number of the store's last commit that is in it."""
    counts: dict[str, int]
    """Database → rows."""
    content_items: int
    parts: list[Part]


class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> int: ...


def parts_of(files: Mapping[str, Path], tell: Tell) -> list[Part]:
    """Blocking: reads each file once. ``files``: part → where it is."""
    total, before, parts = sum(path.stat().st_size for path in files.values()), 0, []
    for name, path in files.items():
        digest, done = hashlib.sha256(), 0
        with path.open("rb") as file:
            for data in passing(file):
                digest.update(data)
                done += len(data)
                tell("summing", before + done, total)
        parts.append(Part(name=name, size=done, sha256=digest.hexdigest()))
        before += done
    return parts


def write_backup_file(sink: Sink, manifest: Manifest, files: Mapping[str, Path], tell: Tell) -> None:
    """Blocking. ``files``: part → where it is. Raises OSError when there is no room."""
    out = _Hashing(sink)
    with (
        _Packing(out) as packed,
        tarfile.TarFile(
            fileobj=cast(IO[bytes], packed), mode="w", format=tarfile.GNU_FORMAT, copybufsize=SLICE_BYTES
        ) as archive,
    ):
        head = msgspec.json.format(msgspec.json.encode(manifest))
        archive.addfile(_member(MANIFEST, len(head), manifest), io.BytesIO(head))
        total, before = sum(part.size for part in manifest.parts), 0
        for part in manifest.parts:
            with files[part.name].open("rb") as file:
                told = _Told(file, partial(_tell_from, tell, "packing", before, total))
                archive.addfile(_member(part.name, part.size, manifest), told)
            before += part.size
    digest = out.sha256.digest()
    sink.write(TRAILER + digest)


def _tell_from(tell: Tell, what: str, before: int, total: int, done: int) -> None:
    tell(what, before + done, total)


def read_backup_file(path: Path, folder: Path, tell: Tell) -> Manifest:
    """Blocking: checks every byte, then unpacks all parts into an empty folder. Raises Malformed with the place."""
    check_bytes(path, tell)
    with _opened(path) as archive:
        manifest = _read_manifest(path, archive)
        _refuse_newer(path, manifest)
        _refuse_without_room(path, manifest, folder)
        done, total = 0, sum(part.size for part in manifest.parts)
        for part in manifest.parts:
            _unpack(path, archive, part, folder, partial(_tell_from, tell, "unpacking", done, total))
            done += part.size
    return manifest


def check_bytes(path: Path, tell: Tell) -> None:
    """That the file is a backup and as it was written. Raises Malformed."""
    try:
        with path.open("rb") as file:
            _check_bytes(path, file, path.stat().st_size, tell)
    except OSError as error:
        raise Malformed(f"{path}: cannot be read: {error.strerror}") from error


def _check_bytes(path: Path, file: IO[bytes], size: int, tell: Tell) -> None:
    if file.read(4) != zstandard.FRAME_HEADER or size <= TRAILER_BYTES:
        raise Malformed(f"{path}: is no backup of pokedexd: it does not begin like one")
    file.seek(0)
    digest, left = hashlib.sha256(), size - TRAILER_BYTES
    while left and (data := file.read(min(left, SLICE_BYTES))):
        digest.update(data)
        left -= len(data)
        tell("checking", size - left, size)
    trailer = file.read()
    if trailer[: len(TRAILER)] != TRAILER:
        raise Malformed(
            f"{path}: is damaged, cut off, or no backup of pokedexd: its last {TRAILER_BYTES} bytes are not ours"
        )
    if trailer[len(TRAILER) :] != digest.digest():
        raise Malformed(
            f"{path}: is damaged: its bytes are not those that were written (SHA-256 differs); use another backup"
        )


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """Its bytes are as they were written; what cannot be unpacked all the same was not written by us."""
    try:
        with (
            path.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file) as plain,
            tarfile.open(fileobj=plain, mode="r|", bufsize=SLICE_BYTES) as archive,
        ):
            yield archive
    except (tarfile.TarError, zstandard.ZstdError, OSError) as error:
        raise Malformed(f"{path}: cannot be unpacked: {error}") from error


def _read_manifest(path: Path, archive: tarfile.TarFile) -> Manifest:
    head = archive.next()
    file = archive.extractfile(head) if head is not None and head.name == MANIFEST else None
    if head is None or file is None or head.size > MAX_MANIFEST_BYTES:
        raise Malformed(f"{path}: is no backup of pokedexd: it has no {MANIFEST}")
    data = file.read()
    try:
        version = msgspec.json.decode(data, type=_Version).format_version
        if version > FORMAT_VERSION:
            raise Malformed(
                f"{path}: has format {version} of a newer pokedexd; this one reads formats up to {FORMAT_VERSION}"
            )
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise Malformed(f"{path}: {MANIFEST}: {error}") from error


class _Version(msgspec.Struct):
    """The one thing that every format's manifest says."""

    format_version: int


def _refuse_newer(path: Path, manifest: Manifest) -> None:
    if manifest.schema_version > SCHEMA_VERSION:
        raise Malformed(
            f"{path}: holds a store of schema version {manifest.schema_version}, written by pokedexd "
            f"{manifest.product_version}; this version knows versions up to {SCHEMA_VERSION}: use the newer one"
        )


def _refuse_without_room(path: Path, manifest: Manifest, folder: Path) -> None:
    needed, free = sum(part.size for part in manifest.parts), shutil.disk_usage(folder).free
    if needed > free:
        raise Unavailable(
            f"{folder}: {path.name} needs {needed:,} bytes to be unpacked, {free:,} are free; TMPDIR names another place to look through it"
        )


def _unpack(path: Path, archive: tarfile.TarFile, part: Part, folder: Path, tell: Callable[[int], None]) -> None:
    member = archive.next()
    file = archive.extractfile(member) if member is not None and member.name == part.name else None
    target = folder / part.name
    if (
        member is None
        or file is None
        or member.size != part.size
        or not target.resolve().is_relative_to(folder.resolve())
    ):
        raise Malformed(f"{path}: {part.name}: is not there as {MANIFEST} says")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, done = hashlib.sha256(), 0
    try:
        with target.open("xb") as out:
            target.chmod(0o600)
            while data := file.read(SLICE_BYTES):
                digest.update(data)
                out.write(data)
                done += len(data)
                tell(done)
    except OSError as error:
        raise Unavailable(f"{target}: cannot be written: {error.strerror}") from error
    if digest.hexdigest() != part.sha256:
        raise Malformed(f"{path}: {part.name}: SHA-256 differs from {MANIFEST}'s; use another backup")


def _member(name: str, size: int, manifest: Manifest) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, manifest.created_at
    return member


class _Hashing:
    """Passes bytes on, and knows their checksum. Of a file's methods the compressor calls no other."""

    def __init__(self, sink: Sink) -> None:
        self._sink, self.sha256 = sink, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        return self._sink.write(data)


class _Packing:
    """Compresses what is written; at the end it lets go of the compressor, whose 3 MB the traceback of an error keeps else."""

    def __init__(self, out: _Hashing) -> None:
        compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        self._writer: Any = compressor.stream_writer(cast(IO[bytes], out), closefd=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._writer.close()
        finally:
            self._writer = None

    def write(self, data: bytes) -> int:
        return int(self._writer.write(data))

    def tell(self) -> int:
        return int(self._writer.tell())


class _Told(io.RawIOBase):
    """Reads a file and says how far it is."""

    def __init__(self, file: IO[bytes], tell: Callable[[int], None]) -> None:
        super().__init__()
        self._file, self._tell, self._done = file, tell, 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._done += len(data)
        let_go(self._file, self._done)
        self._tell(self._done)
        return data
