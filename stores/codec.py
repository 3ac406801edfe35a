"""How records become bytes: one byte of schema version, then positional msgpack."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import msgspec

from proto import messages, records
from proto.errors import Malformed, Unreadable

SCHEMA_VERSION = 1
"""Raised whenever stored records change in a way that appended defaults do not cover."""

T = TypeVar("T")

_BUILDING = threading.Lock()
"""Two threads that meet a type (or one of its enums) for the first time at once end the process: msgspec 0.22 notes what it
learns of a type on the type itself, and another thread then uses it half done (a segmentation fault, seen at a start)."""


@cache
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    with _BUILDING:
        return msgspec.msgpack.Decoder(kind)


def _learn(kinds: dict[str, Any]) -> None:
    """While there is one thread: other decoders, of messages and answers, share the enums of records."""
    for kind in kinds.values():
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct:
            _decoder(kind)


_learn(vars(records))
_learn(vars(messages))


def learn_types() -> None:
    """While there is one thread: all types of msgspec's that are loaded by now, so that nobody who decodes without `decode`,
    such as replies of platforms and what lies beside indexes, meets one first in a thread. 0.1 ms a type."""
    for kind in _below(msgspec.Struct):
        with suppress(NameError, TypeError):  # what cannot be decoded, as it names what only a type checker knows
            msgspec.json.Decoder(kind)


def _below(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def encode(record: msgspec.Struct) -> bytes:
    return bytes((SCHEMA_VERSION,)) + msgspec.msgpack.encode(record)


def decode(kind: type[T], data: bytes, database: str = "", key: bytes = b"") -> T:
    """Raises Malformed for a value of another schema version or shape; Unreadable, which names the place, where it is
    said of which ``database`` and ``key`` the value is."""
    known: Any = kind
    if not data or data[0] != SCHEMA_VERSION:
        found = data[0] if data else "nothing"
        raise _unreadable(
            f"stored {kind.__name__} has schema version {found}, expected {SCHEMA_VERSION}", database, key
        )
    try:
        record: T = _decoder(known).decode(memoryview(data)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # the latter: text that is none
        raise _unreadable(f"stored {kind.__name__} cannot be read: {error}", database, key) from error
    return record


def _unreadable(text: str, database: str, key: bytes) -> Malformed:
    return Unreadable(text, database=database, key=shown_key(database, key)) if database else Malformed(text)


def shown_key(database: str, key: bytes) -> str:
    """As an operator would name it: a creator by its id, else as text where it is such, else in hexadecimal digits."""
    if database == "creators":
        return str(unpack_id(key))
    text = key.decode(errors="replace").replace("\0", " ")
    return text if text.isprintable() and "\ufffd" not in text else key.hex()


def pack_id(number: int) -> bytes:
    """8 bytes, big-endian, so that keys sort as numbers."""
    return number.to_bytes(8, "big")


def unpack_id(data: bytes) -> int:
    return int.from_bytes(data, "big")
