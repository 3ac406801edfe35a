"""Who must never be taken in again: keyed hashes in a journal of its own, outside the data directory and its backups.

A line is ``<crc32, 8 hex digits> <word> <hex>``; the checksum covers what follows it. The first line (``key``) holds
the secret under which the others (``add``) were hashed: without it no list of names can be tried against them.
A store knows its journal by an id that is made of that secret, so that it is not served without it, or with another.
"""

from __future__ import annotations

import contextlib
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
from proto.records import AuditEvent
from stores.audit import OPERATOR, append_audit
from stores.env import Environment, Txn
from stores.files import sync_folder

KEY_BYTES = 32
DIGEST_BYTES = 32
MODE = 0o600

KNOWN = b"suppression_journal"
"""Meta entry: id of the journal that belongs to the store; stores of before there was one take the first they meet."""

Subject = tuple[Platform, str]
"""A platform and a user id, or a handle written with a leading ``@``."""


class Suppression:
    """Look-ups are from memory and may come from any thread; ``add`` blocks until the disk has it."""

    def __init__(self, path: Path, handle: int, key: bytes, hashes: set[bytes], size: int) -> None:
        self._path, self._file, self._key, self._hashes, self._size = path, handle, key, hashes, size

    @classmethod
    def open(cls, path: Path, *, expected: str = "") -> Suppression:
        """Blocking; begins a journal with a fresh key where there is none. ``expected``: the id that it must have; then
        none is begun.

        A last line that a crash tore is dropped. Raises Malformed (naming the line) for any other damage, StoreBusy
        while another process has it, Unavailable when it cannot be used, is lost or is another store's.
        """
        if expected:
            text, remedy = wrong_journal(path, expected)
            if text:
                raise Unavailable(f"{text}: {remedy}")
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
            raise _unusable(path, error) from error

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
        return bool(self._hashes) and self._digest(platform, "@" + handle.lstrip("@")) in self._hashes

    def covers(self, key: AccountKey) -> bool:
        """Whether this very account is suppressed; a key of no known platform is not."""
        return bool(self._hashes) and self._digest_of(key) in self._hashes

    def forbids(self, key: AccountKey, handle: str = "") -> bool:
        """Whether an account must not be taken in: it is suppressed itself, or the handle that it goes by is."""
        return self.covers(key) or (bool(handle) and self.contains_handle(Platform(key.partition(":")[0]), handle))

    def alias(self, subject: Subject) -> str:
        """What stands in place of a name where it must be told that somebody was erased: 16 hex digits."""
        return self._digest(*subject).hex()[:16]

    @property
    def id(self) -> str:
        """Of the journal, whatever it holds and wherever it lies: 32 hex digits, from which its key cannot be told."""
        return _id_of(self._key)

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


def open_journal(env: Environment, path: Path) -> Suppression:
    """Blocking, while no event loop writes: the journal of this store. A store that knows none takes the one that is
    there, or is begun. Raises as `Suppression.open`."""
    known = known_journal(env)
    journal = Suppression.open(path, expected=known)
    if not known:  # only now that it is on the disk: a crash before leaves a store that knows none
        try:
            env.write_now(lambda txn: txn.put("meta", KNOWN, journal.id.encode()))
        except BaseException:
            journal.close()
            raise
    return journal


def adopt_journal(env: Environment, path: Path, at: int) -> tuple[str, str]:
    """Blocking: makes the journal that is there, or is begun, the store's, whichever it knew; that is audited. Returns
    the ids of the one before, empty for none, and of this one. Raises as `Suppression.open`."""
    with contextlib.closing(Suppression.open(path)) as journal:
        return env.write_now(lambda txn: take_journal(txn, journal.id, at)), journal.id


def take_journal(txn: Txn, journal: str, at: int) -> str:
    """The journal of this id is the store's from now on; in place of another, that is audited. Returns the other's id,
    empty for none."""
    before = journal_in(txn)
    txn.put("meta", KNOWN, journal.encode())
    if before not in ("", journal):
        detail = f"suppression journal {journal} in place of {before}"
        who = OPERATOR
        append_audit(txn, AuditEvent(at=at, tenant_id=who.tenant_id, actor=who.actor, action="journal", detail=detail))
    return before


def forget_journal(txn: Txn) -> None:
    """The store knows none any more, and takes the first that it meets."""
    txn.delete("meta", KNOWN)


def known_journal(env: Environment) -> str:
    """The id of the store's journal; empty where it knows none."""
    with env.snapshot() as txn:
        return journal_in(txn)


def journal_in(txn: Txn) -> str:
    """As `known_journal`."""
    return (txn.get("meta", KNOWN) or b"").decode()


def journal_id(path: Path) -> str:
    """Blocking, while any process has it: the id of a journal; empty where there is none, or nothing is in it.

    Raises Malformed for what is no journal, Unavailable when it cannot be read.
    """
    try:
        lines, _ = _sound_lines(path, path.read_bytes())
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _unusable(path, error) from error
    return _id_of(_meaning(path, lines)[0]) if lines else ""


def wrong_journal(path: Path, known: str) -> tuple[str, str]:
    """Blocking: why what lies there is not the journal that the store knows, and the remedy; two empty texts where it
    is. Raises as `journal_id`."""
    found = journal_id(path)
    if found == known:
        return "", ""
    remedy = (
        "put the store's own there (DIRECTORY.suppression beside the data directory that this one was moved or copied "
        "from, or what daemon.suppression_file named), or name its place as daemon.suppression_file; "
        "where it is lost for good, "
    )
    if found:
        text = f"{path}: is another suppression journal than the store's, and does not say who was forgotten"
        return text, remedy + "`pokedexd adopt-journal` makes this one the store's"
    text = f"{path}: the store's suppression journal is not there; without it whoever was forgotten would come back"
    return text, remedy + "`pokedexd adopt-journal` begins another"


def _id_of(key: bytes) -> str:
    """No name is hashed in this form: those begin with a platform and a colon."""
    return hmac.digest(key, b"id", hashlib.sha256).hex()[:32]


def _unusable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"{path}: the suppression journal cannot be used: {error.strerror}; daemon.suppression_file names another place"
    )


def _canonical(name: str) -> str:
    """Handles are the same in any case and composition; ids are taken as they are."""
    return unicodedata.normalize("NFC", name).casefold() if name.startswith("@") else name


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, MODE)
    except OSError as error:
        raise _unusable(path, error) from error
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
