"""The Graph API's ``fields`` language: ``a,b.mod(x){c,d.limit(5)}`` (platform-apis 3.2). Pure."""

from __future__ import annotations

import re

import msgspec

MAX_DEPTH = 8
_NAME = re.compile(r"[A-Za-z0-9_]+")
_ARGUMENT = re.compile(r"\(([^(){}]*)\)")


class Field(msgspec.Struct, kw_only=True):
    """One field, its modifiers (``limit`` → ``"25"``) and the fields asked of it."""

    name: str
    modifiers: dict[str, str] = {}
    fields: dict[str, Field] = {}


def parse_fields(text: str) -> dict[str, Field]:
    """Fields by name; of two with one name the later counts. Raises ValueError naming the place of a syntax error."""
    fields, end = _fields(text, 0, 0)
    if end != len(text):
        raise ValueError(f"unexpected {text[end]!r} at character {end}")
    return fields


def _fields(text: str, at: int, depth: int) -> tuple[dict[str, Field], int]:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested too deeply at character {at}")
    found: dict[str, Field] = {}
    while True:
        field, at = _field(text, at, depth)
        found[field.name] = field
        if not text.startswith(",", at):
            return found, at
        at += 1


def _field(text: str, at: int, depth: int) -> tuple[Field, int]:
    name, at = _name(text, at)
    field = Field(name=name)
    while text.startswith(".", at):
        modifier, at = _name(text, at + 1)
        argument = _ARGUMENT.match(text, at)
        if argument is None:
            raise ValueError(f"expected an argument of {modifier} at character {at}")
        field.modifiers[modifier], at = argument[1], argument.end()
    if text.startswith("{", at):
        field.fields, at = _fields(text, at + 1, depth + 1)
        if not text.startswith("}", at):
            raise ValueError(f"expected }} at character {at}")
        at += 1
    return field, at


def _name(text: str, at: int) -> tuple[str, int]:
    match = _NAME.match(text, at)
    if match is None:
        raise ValueError(f"expected a field at character {at}")
    return match[0], match.end()
