"""How records become bytes: one byte of schema version, then positional msgpack."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from proto.errors import Malformed

SCHEMA_VERSION = 1
"""Raised whenever stored records change in a way that appended defaults do not cover."""

T = TypeVar("T")


def encode(record: msgspec.Struct) -> bytes:
    return bytes((SCHEMA_VERSION,)) + msgspec.msgpack.encode(record)


def decode(kind: type[T], data: bytes) -> T:
    """Raises Malformed for a value of another schema version or shape."""
    if not data or data[0] != SCHEMA_VERSION:
        found = data[0] if data else "nothing"
        raise Malformed(f"stored {kind.__name__} has schema version {found}, expected {SCHEMA_VERSION}")
    try:
        return msgspec.msgpack.decode(memoryview(data)[1:], type=kind)
    except msgspec.DecodeError as error:
        raise Malformed(f"stored {kind.__name__} cannot be read: {error}") from error


def pack_id(number: int) -> bytes:
    """8 bytes, big-endian, so that keys sort as numbers."""
    return number.to_bytes(8, "big")


def unpack_id(data: bytes) -> int:
    return int.from_bytes(data, "big")
