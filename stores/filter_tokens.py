"""A filter's text → words, quoted values and marks, each with where it begins."""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

from stores.filter_columns import Column, Place, Unit, shown

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<mark> != | >= | <= | <> | == | [=<>()\[\],] )
  | (?P<quoted> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
  | (?P<word> [^\s=<>!()\[\],"']+ )
  | (?P<bad> \S )
    )""",
    re.VERBOSE | re.DOTALL,
)
_SAME = {"<>": "!=", "==": "="}
_PLAIN = re.compile(r"""[^\s=<>!()\[\],"']+""")
_NUMBER = re.compile(
    r"(?P<digits>[+-]?(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?)(?P<unit>[a-z%]*)"
)

THOUSANDS = {"": Decimal(1), "k": Decimal(10**3), "m": Decimal(10**6), "b": Decimal(10**9)}
PERCENT = {"": Decimal(1), "%": Decimal("0.01")}
DURATIONS = {
    "": Decimal(1),
    "h": 1 / Decimal(24),
    "d": Decimal(1),
    "w": Decimal(7),
    "mo": Decimal(30),
    "y": Decimal(365),
}
UNITS = {
    Unit.COUNT: THOUSANDS,
    Unit.RATE: PERCENT | THOUSANDS,
    Unit.SHARE: PERCENT,
    Unit.DAYS: DURATIONS,
}
"""What may follow a number, and what it is multiplied by."""


class Token(msgspec.Struct, frozen=True):
    """``mark``, ``word`` or ``quoted`` (``text`` then without quotes and escapes), or ``end``."""

    kind: str
    text: str
    at: int
    """Of its first character, from 1."""

    @property
    def place(self) -> Place:
        return Place(position=self.at)

    @property
    def keyword(self) -> str:
        """In capitals; empty for what is no word."""
        return self.text.upper() if self.kind == "word" else ""

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else shown(self.text)


def tokens(text: str) -> list[Token]:
    """With the end as the last. Raises FilterError for a quote that is not closed, or a lone mark."""
    found: list[Token] = []
    at = 0
    while (match := _TOKEN.match(text, at)) is not None:
        kind = match.lastgroup or ""
        found.append(_token(kind, match[kind], match.start(kind) + 1))
        at = match.end()
    found.append(Token("end", "", len(text.rstrip()) + 1))
    return found


def number(column: Column, token: Token) -> float:
    """As written for a column: ``50k``, ``3%``, ``2w``. Raises FilterError with what the column's numbers look like."""
    units = UNITS[column.unit or Unit.COUNT]
    match = _NUMBER.fullmatch(token.text.lower()) if token.kind == "word" else None
    if match is None:
        raise token.place.error(f"expected a number for {column.name}, not {token},", column.name, _example(column))
    factor = units.get(match["unit"])
    if factor is None:
        raise token.place.error(f"{shown(token.text)} is no number of {column.name}", column.name, _example(column))
    return float(Decimal(match["digits"].replace("_", "")) * factor)


def written(value: str) -> str:
    """A value as a filter's text has it, quoted where it must be."""
    if _PLAIN.fullmatch(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written_number(value: float) -> str:
    return repr(value).removesuffix(".0")


def _token(kind: str, text: str, at: int) -> Token:
    if kind == "quoted":
        return Token(kind, re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL), at)
    if kind == "bad":
        quote = text in "\"'"
        what = "a quote that is not closed" if quote else f"unexpected {shown(text)}"
        raise Place(position=at).error(what, hint="" if quote else "not equal is !=")
    return Token(kind, _SAME.get(text, text), at)


def _example(column: Column) -> str:
    units = ", ".join(f"5{unit}" for unit in UNITS[column.unit or Unit.COUNT])
    return f"such as {units}"
