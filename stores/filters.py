"""Filters: from text or JSON to a checked tree and back, and what search does with the tree's parts.

Three-valued: a creator of whom a value is unknown meets neither a condition nor its opposite. ``EXISTS`` is never
unknown. A tree that came through here names columns and values as the columns do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import structs

from proto.errors import FilterError
from stores.filter_ast import And, Exists, In, Node, Not, Or, Range
from stores.filter_columns import Place, Vocabulary, column_of, near, number_of, shown, value_of
from stores.filter_grammar import Parser, show
from stores.filter_limits import MAX_BYTES, MAX_CHARS, MAX_VALUES, check_size, walk

NO_VOCABULARY: Vocabulary = {}
OPERATORS = ("and", "or", "not", "in", "range", "exists")
BOUNDS = ("gte", "gt", "lte", "lt")
_AT = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_decoder = msgspec.json.Decoder(Node)


def parse_filter(text: str, vocabulary: Vocabulary = NO_VOCABULARY) -> Node:
    """The string form. Raises FilterError with the character's position."""
    if len(text) > MAX_CHARS:
        raise Place().error(f"the filter has {len(text):,} characters", hint=f"at most {MAX_CHARS:,} are read")
    if not text.strip():
        raise Place(position=1).error("the filter is empty", hint="leave it out, or write a condition")
    node = Parser(text, vocabulary).parse()
    check_size(node)
    return node


def read_shown(text: str) -> Node:
    """What `show_filter` made, however long: a tree may be larger than what people may write. Raises FilterError for a
    column that there is no more."""
    return Parser(text, NO_VOCABULARY).parse()


def decode_filter(data: bytes | Mapping[str, Any], vocabulary: Vocabulary = NO_VOCABULARY) -> Node:
    """The JSON form, as bytes or read already. Raises FilterError with a JSON pointer."""
    try:
        size = len(data if isinstance(data, bytes) else msgspec.json.encode(data))
        if size > MAX_BYTES:
            raise Place().error(f"the filter has {size:,} bytes", hint=f"at most {MAX_BYTES:,} are read")
        node: Node = _decoder.decode(data) if isinstance(data, bytes) else msgspec.convert(data, Node)
    except msgspec.DecodeError as error:
        raise _misshapen(str(error)) from error
    except RecursionError as error:
        raise Place().error("the filter is nested far too deep") from error
    return check_filter(node, vocabulary)


def check_filter(node: Node, vocabulary: Vocabulary = NO_VOCABULARY) -> Node:
    """The tree with names and values as the columns spell them, a conjunction or choice of one as that one.

    Raises FilterError for an unknown column or value, a value of the wrong kind, a range without bounds, and what is
    too large; with the JSON pointer of the place.
    """
    check_size(node)
    return _checked(node, vocabulary, "")


def show_filter(node: Node) -> str:
    """The string form of a checked tree: ``parse_filter(show_filter(x)) == x``."""
    return show(node)


def encode_filter(node: Node) -> bytes:
    """The JSON form."""
    return msgspec.json.encode(node)


def columns_of(node: Node | None) -> frozenset[str]:
    """Every column that it asks about."""
    if node is None:
        return frozenset()
    return frozenset(one.column for one, _ in walk(node) if isinstance(one, In | Range | Exists))


def conditions_of(node: Node | None) -> list[Node]:
    """The parts of the topmost conjunction, all of which must hold; a conjunction within it is taken apart too."""
    if node is None:
        return []
    return [leaf for part in node.of for leaf in conditions_of(part)] if isinstance(node, And) else [node]


def all_of(conditions: list[Node]) -> Node | None:
    """What holds if all hold; None for none."""
    return And(of=tuple(conditions)) if len(conditions) > 1 else conditions[0] if conditions else None


def relaxable(node: Node | None) -> list[tuple[Node, Node | None]]:
    """Each condition of the topmost conjunction, with what is left when it alone is dropped."""
    conditions = conditions_of(node)
    return [(one, all_of(conditions[:at] + conditions[at + 1 :])) for at, one in enumerate(conditions)]


def without_column(node: Node | None, column: str) -> Node | None:
    """For a disjunctive facet: the filter without the conditions of its topmost conjunction that ask about this column
    alone, be they choices or negations. One that asks about other columns too stays."""
    return all_of([one for one in conditions_of(node) if columns_of(one) != {column}])


def _checked(node: Node, vocabulary: Vocabulary, pointer: str) -> Node:
    match node:
        case And(of=parts) | Or(of=parts):
            checked = tuple(_checked(part, vocabulary, f"{pointer}/of/{at}") for at, part in enumerate(parts))
            return checked[0] if len(checked) == 1 else structs.replace(node, of=checked)
        case Not(of=inner):
            return Not(of=_checked(inner, vocabulary, f"{pointer}/of"))
        case In():
            return _checked_in(node, vocabulary, pointer)
        case Range():
            return _checked_range(node, pointer)
        case Exists(column=column):
            return Exists(column=column_of(column, Place(pointer=f"{pointer}/column")).name)


def _checked_in(node: In, vocabulary: Vocabulary, pointer: str) -> In:
    column = column_of(node.column, Place(pointer=f"{pointer}/column"))
    if len(node.values) > MAX_VALUES:
        text = f"more than {MAX_VALUES} values of {column.name}"
        raise Place(pointer=f"{pointer}/values").error(text, column.name)
    places = [Place(pointer=f"{pointer}/values/{at}") for at in range(len(node.values))]
    values = zip(node.values, places, strict=True)
    return In(column=column.name, values=tuple(value_of(column, value, vocabulary, place) for value, place in values))


def _checked_range(node: Range, pointer: str) -> Range:
    column = column_of(node.column, Place(pointer=f"{pointer}/column"))
    given = {name: getattr(node, name) for name in BOUNDS if getattr(node, name) is not None}
    bounds = {name: number_of(column, value, Place(pointer=f"{pointer}/{name}")) for name, value in given.items()}
    place = Place(pointer=pointer)
    for pair in (("gte", "gt"), ("lte", "lt")):
        if set(pair) <= bounds.keys():
            raise place.error(f"the range of {column.name} has both {pair[0]} and {pair[1]}", column.name)
    if not bounds:
        raise place.error(f"the range of {column.name} has no bound", column.name, "give gte, gt, lte or lt")
    low, high = bounds.get("gte", bounds.get("gt")), bounds.get("lte", bounds.get("lt"))
    if low is not None and high is not None and high < low:
        raise place.error(f"the range of {column.name} ends before it begins", column.name)
    return structs.replace(node, column=column.name, **bounds)


def _misshapen(text: str) -> FilterError:
    """msgspec's words, with its path as a JSON pointer."""
    found = _AT.search(text)
    path = found["path"] if found else ""
    pointer = re.sub(r"\.|\[", "/", path.replace("]", "").replace("[...]", "/…"))
    said = text[: found.start()] if found else text
    wrong = re.fullmatch(r"Invalid value '(?P<op>.*)'", said, re.DOTALL)
    if wrong is None or not pointer.endswith("/op"):
        return Place(pointer=pointer).error(said if said.startswith("JSON") else said[:1].lower() + said[1:])
    hint = near(wrong["op"], OPERATORS) or f"operators are {', '.join(OPERATORS)}"
    return Place(pointer=pointer).error(f"unknown operator {shown(wrong['op'])}", hint=hint)
