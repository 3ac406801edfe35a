"""Lines of which some names are none that is known: what is known of them, and which those are. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any

import msgspec

from proto.given import GivenAccount, GivenCreator, GivenEnrichment, GivenItem, GivenVector

UNKNOWN = "Object contains unknown field"
"""How msgspec begins to say so."""
MOST_NAMED = 5
"""Of names that one line has too many, so many are told of by name."""
MOST_NAMED_BESIDE = 2
"""Likewise of a line that is refused for something else, such as a name that is missing."""
MAX_NAME_CHARS = 40
"""By so many of its first characters a name is told from others."""
LIKE_ENOUGH = 0.75
"""As `difflib` has it: a slip of a letter or two; 0.6 takes "niche" for "enrichment"."""

_Name = tuple[str, type[msgspec.Struct]]
"""And of what it is none."""
_INSIDE: Mapping[type[msgspec.Struct], Mapping[str, type[msgspec.Struct]]] = {
    GivenCreator: {"accounts": GivenAccount, "enrichment": GivenEnrichment},
    GivenAccount: {"items": GivenItem, "vectors": GivenVector},
}
"""Which fields hold others of what kind: one, or a list of them."""
_SAID: Mapping[type[msgspec.Struct], str] = {
    GivenCreator: "a creator",
    GivenAccount: "an account",
    GivenItem: "an item",
    GivenVector: "a vector",
    GivenEnrichment: "an enrichment",
}


def read_known(line: bytes) -> tuple[GivenCreator, list[str]]:
    """Without what has a name that nothing here has; and a word on each of those names. Raises msgspec.DecodeError, with such
    words where something else is wrong."""
    raw = msgspec.json.decode(line)
    unknown: dict[_Name, None] = {}
    _take_out(raw, GivenCreator, unknown)
    told = [_word_on(*one) for one in list(unknown)[:MOST_NAMED]]
    try:
        given = msgspec.convert(raw, GivenCreator)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError("; ".join([str(error), *told[:MOST_NAMED_BESIDE]])) from error
    more = len(unknown) - len(told)
    return given, [*told, f"{more} more names are not known, and left out"] if more else told


def _take_out(held: object, kind: type[msgspec.Struct], unknown: dict[_Name, None]) -> None:
    """Every name that ``held``, or each of a list, has and its ``kind`` has not. A line may hold a million objects."""
    names, inside = _names_of(kind), _INSIDE.get(kind, {})
    for one in held if isinstance(held, list) else (held,):
        if isinstance(one, dict):
            if not one.keys() <= names:
                for name in [name for name in one if name not in names]:
                    del one[name]
                    unknown[name[: MAX_NAME_CHARS + 1], kind] = None
            for name, inner in inside.items():
                if name in one:
                    _take_out(one[name], inner, unknown)


@cache
def _names_of(kind: Any) -> frozenset[str]:
    return frozenset(kind.__struct_fields__)


@lru_cache(1_024)
def _word_on(name: str, kind: type[msgspec.Struct]) -> str:
    meant = get_close_matches(name, sorted(_names_of(kind)), n=1, cutoff=LIKE_ENOUGH)
    hint = f" (`{meant[0]}`?)" if meant else ""
    return f"`{_shown(name)}` of {_SAID[kind]} is no name that is known, and is left out{hint}"


def _shown(name: str) -> str:
    """Without the sign between two notes."""
    whole = "".join(char if char.isprintable() and char != ";" else "\ufffd" for char in name[:MAX_NAME_CHARS])
    return whole if len(name) <= MAX_NAME_CHARS else f"{whole}…"
