"""Query parameters, bodies and cursors: strict, with a near match for a misspelt name."""

from __future__ import annotations

import base64
import binascii
import difflib
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
from quart import request

from daemon.web.problems import BadParameter, WrongMedia
from proto.ids import CreatorId

MAX_LIMIT = 100
MAX_OFFSET = 1 << 53
WHOLE = re.compile(r"-?[0-9]{1,18}")
NUMBER = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE][+-]?[0-9]{1,3})?")
_UNKNOWN_FIELD = re.compile(r"contains unknown field `(?P<name>.*)`", re.DOTALL)
_AT = re.compile(r" - at `\$(?P<path>[^`]*)`$")

T = TypeVar("T")


class Cursor(msgspec.Struct, array_like=True, frozen=True):
    """Where the next page begins, of which query, and the ranking that it goes on in."""

    offset: int
    query_hash: str
    snapshot: str = ""


def only_known(given: Mapping[str, str], known: Sequence[str]) -> None:
    """Raises BadParameter for a name that this endpoint does not take."""
    for name in given:
        if name not in known:
            raise _unknown(name, known)


def one_each(names: Sequence[str]) -> None:
    """Raises BadParameter for a parameter of the request that is given more than once."""
    for name in names:
        if len(request.args.getlist(name)) > 1:
            raise BadParameter(f"{name} is given more than once", pointer=name)


def whole_number(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = given.get(name, str(default))
    if not WHOLE.fullmatch(text) or not low <= int(text) <= high:
        raise BadParameter(f"{name} must be a whole number from {low} to {high}, not {text[:40]!r}", pointer=name)
    return int(text)


def number(given: Mapping[str, str], name: str, default: float) -> float:
    text = given.get(name)
    if text is None:
        return default
    return parse_number(text, name)


def parse_number(text: str, name: str) -> float:
    if not NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise BadParameter(f"{name} must be a number, not {text[:40]!r}", pointer=name)
    return float(text)


def flag(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = given.get(name, "true" if default else "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise BadParameter(f"{name} must be true or false, not {text[:40]!r}", pointer=name)
    return text in ("true", "1")


def listed(given: Mapping[str, str], name: str) -> list[str]:
    """Parted by commas; nothing for an empty text."""
    return [part.strip() for part in given.get(name, "").split(",") if part.strip()]


def chosen(value: str, name: str, choices: Sequence[str]) -> str:
    """Raises BadParameter for what is none of the choices."""
    if value not in choices:
        close = difflib.get_close_matches(value[:40], choices, 1, 0.6)
        hint = f"; did you mean {close[0]!r}?" if close else f"; expected one of {', '.join(choices)}"
        raise BadParameter(f"{name} {value[:40]!r} is not known{hint}", pointer=name)
    return value


def parse_creator_id(text: str, name: str = "creator_id") -> CreatorId:
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) >= 1 << 63:
        raise BadParameter("a creator id is a decimal number below 2^63", pointer=name)
    return CreatorId(int(text))


async def json_body(kind: type[T]) -> T:
    """The request's body. Raises WrongMedia for a body of another type, BadParameter for one that does not fit."""
    return _body(await _body_bytes(), kind)


async def optional_json_body(kind: type[T]) -> T | None:
    """None where there is no body, whatever type is said of it. Raises as `json_body`."""
    data = await _body_bytes()
    return _body(data, kind) if data else None


async def _body_bytes() -> bytes | str:
    """Read before anything else is looked at: a connection whose body nobody read is closed."""
    return await request.get_data(cache=False)


def _body(data: bytes | str, kind: type[T]) -> T:
    if request.mimetype != "application/json":
        raise WrongMedia("the body must be JSON, with Content-Type: application/json")
    return decode_body(data, kind)


def decode_body(data: bytes | str, kind: type[T]) -> T:
    """Raises BadParameter, with a JSON pointer and a near match for a misspelt name."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise _misshapen(str(error), kind) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadParameter(f"the body is no JSON: {error}", pointer="", code="malformed_body") from error


def encode_cursor(offset: int, query: str, snapshot: str = "") -> str:
    data = msgspec.msgpack.encode(Cursor(offset, _hash(query), snapshot))
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode_cursor(text: str, query: str) -> Cursor:
    """Raises BadParameter for a cursor that is damaged or belongs to another query."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        cursor = msgspec.msgpack.decode(data, type=Cursor)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise BadParameter("not a cursor of this API", pointer="cursor", code="bad_cursor") from error
    if cursor.query_hash != _hash(query) or not 0 <= cursor.offset <= MAX_OFFSET:
        raise BadParameter("the cursor belongs to another query", pointer="cursor", code="bad_cursor")
    return cursor


def _unknown(name: str, known: Sequence[str], pointer: str | None = None) -> BadParameter:
    close = difflib.get_close_matches(name[:100], known, 1, 0.6)
    hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
    text = f"unknown parameter {name[:100]!r}{hint}"
    return BadParameter(text, pointer=name[:100] if pointer is None else pointer, code="unknown_parameter")


def _misshapen(text: str, kind: type) -> BadParameter:
    """msgspec's words, with its path as a JSON pointer."""
    found = _AT.search(text)
    path = found["path"] if found else ""
    said = text[: found.start()] if found else text
    pointer = re.sub(r"\.|\[", "/", path.replace("[...]", "/…").replace("]", ""))
    strange = _UNKNOWN_FIELD.search(said)
    if strange is not None and not path:
        return _unknown(strange["name"], kind.__struct_fields__, f"/{strange['name']}")  # type: ignore[attr-defined]
    return BadParameter(said[:1].lower() + said[1:], pointer=pointer, code="bad_body")


def _hash(query: str) -> str:
    return hashlib.blake2b(query.encode(errors="surrogatepass"), digest_size=6).hexdigest()
