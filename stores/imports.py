"""What became of the rows of an import under way, so that rows that are sent again get the same verdicts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from itertools import islice

from proto.records import Record
from stores.codec import decode, encode
from stores.env import Txn

KEPT_SECONDS = 7 * 86_400
"""An import that nobody took up again for so long is not waited for."""
PIECES = 500
"""Taken out in one transaction at most."""

_PIECE = b"import-piece:"


class Remembered(Record):
    """Of one piece of an import; no name is kept."""

    digest: bytes
    """Of its rows: what is remembered says nothing of others that come under the same id."""
    kinds: bytes
    """What became of each, in their order."""
    written_at: int


def digest_of(rows: Sequence[tuple[int, str]]) -> bytes:
    return hashlib.blake2b(repr(list(rows)).encode(), digest_size=8).digest()


def lines_of(body: bytes) -> tuple[list[bytes], bytes]:
    """Blocking, as a body may be large: its lines, and the digest of all of them."""
    return body.split(b"\n"), hashlib.blake2b(body, digest_size=8).digest()


def piece_key(import_id: str, at: int) -> bytes:
    """``at``: how many rows of the list come before."""
    return _PIECE + import_id.encode() + b":" + at.to_bytes(6, "big")


def remember(txn: Txn, key: bytes, remembered: Remembered) -> None:
    """In place of what was remembered of other rows."""
    txn.put("meta", key, encode(remembered))


def recall(txn: Txn, key: bytes, digest: bytes) -> bytes | None:
    """The kinds of the rows with this digest; None when they are others than before, or the first."""
    stored = txn.get("meta", key)
    found = decode(Remembered, stored) if stored is not None else None
    return found.kinds if found is not None and found.digest == digest else None


def forget_import(txn: Txn, import_id: str) -> int:
    """Returns how many pieces there were."""
    keys = [key for key, _ in txn.scan("meta", _PIECE + import_id.encode() + b":")]
    for key in keys:
        txn.delete("meta", key)
    return len(keys)


def old_pieces(txn: Txn, before: float, limit: int) -> list[bytes]:
    """Keys of pieces remembered before an instant."""
    pairs = txn.scan("meta", _PIECE)
    read = ((key, txn.if_whole(partial(decode, Remembered, value, "meta", key))) for key, value in pairs)
    return list(islice((key for key, found in read if found is not None and found.written_at < before), limit))


def expire_pieces(txn: Txn, before: float) -> None:
    """Forgets the first `PIECES` of them."""
    for key in old_pieces(txn, before, PIECES):
        txn.delete("meta", key)
