"""Query parameters and cursors: strict, with a near match for a misspelt name."""

from __future__ import annotations

import base64
import binascii
import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence

import msgspec

from daemon.web.problems import BadParameter

MAX_LIMIT = 100
WHOLE = re.compile(r"-?[0-9]{1,18}")


class Cursor(msgspec.Struct, array_like=True, frozen=True):
    """Where the next page begins, and of which query."""

    offset: int
    query_hash: str


def only_known(given: Mapping[str, str], known: Sequence[str]) -> None:
    """Raises BadParameter for a name that this endpoint does not take."""
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1, 0.6)
            hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
            raise BadParameter(f"unknown parameter {name!r}{hint}", pointer=name, code="unknown_parameter")


def whole_number(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = given.get(name, str(default))
    if not WHOLE.fullmatch(text) or not low <= int(text) <= high:
        raise BadParameter(f"{name} must be a whole number from {low} to {high}, not {text[:40]!r}", pointer=name)
    return int(text)


def flag(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = given.get(name, "true" if default else "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise BadParameter(f"{name} must be true or false, not {text[:40]!r}", pointer=name)
    return text in ("true", "1")


def encode_cursor(offset: int, query: str) -> str:
    data = msgspec.msgpack.encode(Cursor(offset, _hash(query)))
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode_cursor(text: str, query: str) -> int:
    """The offset. Raises BadParameter for a cursor that is damaged or belongs to another query."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        cursor = msgspec.msgpack.decode(data, type=Cursor)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise BadParameter("not a cursor of this API", pointer="cursor", code="bad_cursor") from error
    if cursor.query_hash != _hash(query) or cursor.offset < 0:
        raise BadParameter("the cursor belongs to another query", pointer="cursor", code="bad_cursor")
    return cursor.offset


def _hash(query: str) -> str:
    return hashlib.blake2b(query.encode(errors="surrogatepass"), digest_size=6).hexdigest()
