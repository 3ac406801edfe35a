"""Lines of which some names are none that is known: what is known of them, and which those are. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

import msgspec

from proto.given import GivenAccount, GivenCreator, GivenEnrichment, GivenItem, GivenVector

UNKNOWN = "Object contains unknown field"
"""How msgspec begins to say so."""
MOST_NAMED = 5
"""Of names that one line has too many, so many are told of by name."""
MAX_NAME_CHARS = 40
LIKE_ENOUGH = 0.75
"""As `difflib` has it: a slip of a letter or two; 0.6 takes "niche" for "enrichment"."""

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
    """Without what has a name that nothing here has; and a word on each of those names. Raises msgspec.DecodeError."""
    raw = msgspec.json.decode(line)
    unknown = dict.fromkeys(_taken_out(raw, GivenCreator))
    given = msgspec.convert(raw, GivenCreator)
    told = [_word_on(name, kind) for name, kind in list(unknown)[:MOST_NAMED]]
    more = len(unknown) - len(told)
    return given, [*told, f"{more} more names are not known, and left out"] if more else told


def _taken_out(raw: object, kind: type[msgspec.Struct]) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Every name that ``raw``, or what it holds, has and its ``kind`` has not; it is taken out of there."""
    if isinstance(raw, list):
        for one in raw:
            yield from _taken_out(one, kind)
    elif isinstance(raw, dict):
        for name in [name for name in raw if name not in _names_of(kind)]:
            del raw[name]
            yield name, kind
        for name, inner in _INSIDE.get(kind, {}).items():
            yield from _taken_out(raw.get(name), inner)


@cache
def _names_of(kind: Any) -> frozenset[str]:
    return frozenset(kind.__struct_fields__)


def _word_on(name: str, kind: type[msgspec.Struct]) -> str:
    meant = get_close_matches(name[:MAX_NAME_CHARS], sorted(_names_of(kind)), n=1, cutoff=LIKE_ENOUGH)
    hint = f" (`{meant[0]}`?)" if meant else ""
    return f"`{_shown(name)}` of {_SAID[kind]} is no name that is known, and is left out{hint}"


def _shown(name: str) -> str:
    """Without the sign between two notes."""
    whole = "".join(char if char.isprintable() and char != ";" else "\ufffd" for char in name[:MAX_NAME_CHARS])
    return whole if len(name) <= MAX_NAME_CHARS else f"{whole}…"
