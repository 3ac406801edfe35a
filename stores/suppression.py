"""Who must never be taken in again: keyed hashes in a journal of its own, outside the data directory and its backups.

A line is ``<crc32, 8 hex digits> <word> <hex>``; the checksum covers what follows it. The first line (``key``) holds
the secret under which the others (``add``) were hashed: without it no list of names can be tried against them.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
import unicodedata
import zlib
from collections.abc import Iterable
from pathlib import Path

from proto.errors import Malformed, StoreBusy, Unavailable
from proto.ids import AccountKey, Platform
from stores.files import sync_folder

KEY_BYTES = 32
DIGEST_BYTES = 32
MODE = 0o600

Subject = tuple[Platform, str]
"""A platform and a user id, or a handle written with a leading ``@``."""


class Suppression:
    """Look-ups are from memory and may come from any thread; ``add`` blocks until the disk has it."""

    def __init__(self, path: Path, handle: int, key: bytes, hashes: set[bytes], size: int) -> None:
        self._path, self._file, self._key, self._hashes, self._size = path, handle, key, hashes, size

    @classmethod
    def open(cls, path: Path) -> Suppression:
        """Blocking; begins a journal with a fresh key where there is none.

        A last line that a crash tore is dropped. Raises Malformed (naming the line) for any other damage, StoreBusy
        while another process has it, Unavailable when it cannot be used.
        """
        handle = _open(path)
        try:
            data = path.read_bytes()
            lines, size = _sound_lines(path, data)
            if size < len(data):
                os.ftruncate(handle, size)
            if not lines:
                lines = [("key", secrets.token_bytes(KEY_BYTES))]
                size = _append(handle, size, lines)
                sync_folder(path.parent)
            return cls(path, handle, *_meaning(path, lines), size)
        except (OSError, Malformed) as error:
            os.close(handle)
            if isinstance(error, Malformed):
                raise
            raise Unavailable(
                f"{path}: the suppression journal cannot be used: {error.strerror}; "
                "daemon.suppression_file names another place"
            ) from error

    def add(self, subjects: Iterable[Subject]) -> int:
        """Durable on return; returns how many were new. Raises Unavailable, and then none of them counts."""
        fresh = {self._digest(platform, name) for platform, name in subjects} - self._hashes
        if not fresh:
            return 0
        try:
            self._size = _append(self._file, self._size, [("add", one) for one in sorted(fresh)])
        except OSError as error:
            os.ftruncate(self._file, self._size)
            raise Unavailable(f"{self._path}: the suppression cannot be written: {error.strerror}") from error
        self._hashes |= fresh
        return len(fresh)

    def contains(self, platform: Platform, id_or_handle: str) -> bool:
        """Whether this is the id or, with or without ``@``, the handle of somebody suppressed."""
        return self._digest(platform, id_or_handle) in self._hashes or self.contains_handle(platform, id_or_handle)

    def contains_handle(self, platform: Platform, handle: str) -> bool:
        return self._digest(platform, "@" + handle.lstrip("@")) in self._hashes

    def covers(self, key: AccountKey) -> bool:
        """Whether this very account is suppressed; a key of no known platform is not."""
        return self._digest_of(key) in self._hashes

    def forbids(self, key: AccountKey, handle: str = "") -> bool:
        """Whether an account must not be taken in: it is suppressed itself, or the handle that it goes by is."""
        return self.covers(key) or (bool(handle) and self.contains_handle(Platform(key.partition(":")[0]), handle))

    def alias(self, subject: Subject) -> str:
        """What stands in place of a name where it must be told that somebody was erased: 16 hex digits."""
        return self._digest(*subject).hex()[:16]

    @property
    def hashes(self) -> frozenset[bytes]:
        """All of them, 32 bytes each."""
        return frozenset(self._hashes)

    def close(self) -> None:
        """Lets another process have the journal."""
        os.close(self._file)

    def _digest(self, platform: Platform, name: str) -> bytes:
        return self._digest_of(f"{platform.value}:{_canonical(name)}")

    def _digest_of(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode(errors="surrogatepass"), hashlib.sha256)


def _canonical(name: str) -> str:
    """Handles are the same in any case and composition; ids are taken as they are."""
    return unicodedata.normalize("NFC", name).casefold() if name.startswith("@") else name


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, MODE)
    except OSError as error:
        raise Unavailable(
            f"{path}: the suppression journal cannot be used: {error.strerror}; "
            "daemon.suppression_file names another place"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise StoreBusy(f"{path}: another pokedexd uses this suppression journal") from None
    os.fchmod(handle, MODE)
    return handle


def _append(handle: int, size: int, lines: Iterable[tuple[str, bytes]]) -> int:
    """Writes and syncs whole lines; returns the file's new size."""
    data = b"".join(_line(word, value) for word, value in lines)
    written = 0
    while written < len(data):
        written += os.write(handle, data[written:])
    os.fsync(handle)
    return size + written


def _line(word: str, value: bytes) -> bytes:
    body = f"{word} {value.hex()}".encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _sound_lines(path: Path, data: bytes) -> tuple[list[tuple[str, bytes]], int]:
    """The lines and how many bytes they take. What follows the last line end is torn, and was never answered for."""
    whole, end, _ = data.rpartition(b"\n")
    found: list[tuple[str, bytes]] = []
    for number, piece in enumerate(whole.split(b"\n") if end else [], 1):
        line = _read_line(piece)
        if line is None:
            raise Malformed(f"{path}: line {number} is damaged; restore the journal from its copy")
        found.append(line)
    return found, len(whole) + len(end)


def _read_line(piece: bytes) -> tuple[str, bytes] | None:
    checksum, _, body = piece.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    word, _, value = body.decode(errors="replace").partition(" ")
    try:
        return word, bytes.fromhex(value)
    except ValueError:
        return None


def _meaning(path: Path, lines: list[tuple[str, bytes]]) -> tuple[bytes, set[bytes]]:
    """The key and the hashes."""
    (word, key), *rest = lines
    sizes = {len(value) for _, value in rest}
    if word != "key" or len(key) != KEY_BYTES or any(one != "add" for one, _ in rest) or sizes - {DIGEST_BYTES}:
        raise Malformed(f"{path}: not a suppression journal")
    return key, {value for _, value in rest}
