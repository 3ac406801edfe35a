"""The string form of filters, in the spirit of SQL's WHERE.

    filter     = all { OR all }
    all        = one { AND one }
    one        = NOT one | "(" filter ")" | TRUE | FALSE | EXISTS column | condition
    condition  = column test [ OR UNKNOWN ]
    test       = ("=" | "!=") value | [NOT] IN "[" values "]" | [NOT] EXISTS | range | nothing (a flag that is true)
    range      = (">" | ">=" | "<" | "<=") number | [">" | ">="] number TO ["<" | "<="] number

Keywords and columns are of any case. A value is a word or quoted; what follows a sign is never a keyword, so
``country = IN`` is India. ``OR UNKNOWN`` belongs to the condition before it: of whom the value is unknown passes too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import structs

from stores.filter_ast import And, Exists, In, Node, Not, Or, Range
from stores.filter_columns import Column, Kind, Vocabulary, column_of, number_of, value_of
from stores.filter_limits import MAX_DEPTH, MAX_VALUES
from stores.filter_tokens import Token, number, tokens, written, written_number

COMPARISONS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
AFTER_TO = {"<": "lt", "<=": "lte"}
CLOSING = {"[": "]", "(": ")"}
_ENDS = frozenset({"AND", "OR"})


class Parser:
    """Recursive descent over one text; nesting is bounded."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self._tokens, self._vocabulary = tokens(text), vocabulary
        self._next = 0
        self._depth = 0

    def parse(self) -> Node:
        """Raises FilterError naming the character."""
        first = self._peek()
        if first.text == "{" and first.kind != "quoted":
            raise first.place.error(
                "this is a filter as JSON, given as a text", hint="it goes as it is into a JSON body"
            )
        node = self._any()
        if self._peek().kind != "end":
            raise self._peek().place.error(f"unexpected {self._peek()}", hint="join conditions by AND or OR")
        return node

    def _any(self) -> Node:
        parts = [self._all()]
        while self._took("OR"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Or(of=tuple(parts))

    def _all(self) -> Node:
        parts = [self._one()]
        while self._took("AND"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else And(of=tuple(parts))

    def _one(self) -> Node:
        token = self._take()
        if token.keyword == "NOT":
            return Not(of=self._nested(token, self._one))
        if token.text == "(" and token.kind == "mark":
            node = self._nested(token, self._any)
            self._expect(")", token)
            return node
        if token.keyword in ("TRUE", "FALSE"):
            return And(of=()) if token.keyword == "TRUE" else Or(of=())
        if token.keyword == "EXISTS":
            return Exists(column=self._column(self._take()).name)
        return self._condition(token)

    def _nested(self, token: Token, inner: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise token.place.error(f"nested more than {MAX_DEPTH} deep")
        node = inner()
        self._depth -= 1
        return node

    def _condition(self, name: Token) -> Node:
        column = self._column(name)
        node = self._test(column)
        if self._peek().keyword == "OR" and self._peek(1).keyword == "UNKNOWN":
            self._next += 2
            return or_unknown(node, column)
        return node

    def _column(self, token: Token) -> Column:
        if token.kind != "word":
            raise token.place.error(f"expected a column, not {token}")
        return column_of(token.text, token.place)

    def _test(self, column: Column) -> Node:
        token = self._peek()
        if token.kind == "mark" and token.text in ("=", "!="):
            self._next += 1
            equal = self._equal(column, self._take())
            return equal if token.text == "=" else Not(of=equal)
        if token.keyword == "NOT":
            self._next += 1
            return Not(of=self._membership(column))
        if token.keyword in ("IN", "EXISTS"):
            return self._membership(column)
        if column.kind is Kind.NUMBER:
            return self._range(column)
        if column.kind is Kind.FLAG and self._ends_condition(token):
            return In(column=column.name, values=("true",))
        hint = "after a column comes =, !=, IN, NOT IN, EXISTS or NOT EXISTS"
        unexpected = (
            f"nothing follows {column.name}" if token.kind == "end" else f"unexpected {token} after {column.name}"
        )
        raise token.place.error(unexpected, column.name, hint)

    def _ends_condition(self, token: Token) -> bool:
        return token.kind == "end" or token.keyword in _ENDS or (token.kind == "mark" and token.text == ")")

    def _equal(self, column: Column, token: Token) -> Node:
        if column.kind is Kind.NUMBER:
            value = self._number(column, token)
            return Range(column=column.name, gte=value, lte=value)
        return In(column=column.name, values=(self._value(column, token),))

    def _membership(self, column: Column) -> Node:
        token = self._take()
        if token.keyword == "EXISTS":
            return Exists(column=column.name)
        if token.keyword != "IN":
            raise token.place.error(f"expected IN or EXISTS, not {token}", column.name)
        if column.kind is Kind.NUMBER:
            value_of(column, "", self._vocabulary, token.place)  # says that it is a number
        return In(column=column.name, values=self._values(column))

    def _values(self, column: Column) -> tuple[str, ...]:
        opening = self._take()
        closing = CLOSING.get(opening.text) if opening.kind == "mark" else None
        if closing is None:
            raise opening.place.error(f"expected [ after IN, not {opening}", column.name)
        values: list[str] = []
        while not self._took_mark(closing):
            if values:
                self._expect(",", opening)
            if len(values) == MAX_VALUES:
                raise self._peek().place.error(f"more than {MAX_VALUES} values of {column.name}", column.name)
            values.append(self._value(column, self._take()))
        return tuple(values)

    def _value(self, column: Column, token: Token) -> str:
        if token.kind not in ("word", "quoted"):
            raise token.place.error(f"expected a value of {column.name}, not {token}", column.name)
        return value_of(column, token.text, self._vocabulary, token.place)

    def _range(self, column: Column) -> Node:
        """A comparison, or two bounds with TO between."""
        token = self._peek()
        sign = token.text if token.kind == "mark" else ""
        if sign in COMPARISONS:
            self._next += 1
        elif sign or token.kind == "end" or token.keyword in _ENDS:
            hint = f"such as {column.name} >= 5, or {column.name} 5 TO 50"
            raise token.place.error(f"expected a comparison with {column.name}, not {token}", column.name, hint)
        low = self._number(column, self._take())
        if not sign or (sign in (">", ">=") and self._peek().keyword == "TO"):
            return self._two_bounds(column, COMPARISONS.get(sign, "gte"), low)
        return range_of(column.name, {COMPARISONS[sign]: low})

    def _two_bounds(self, column: Column, lower: str, low: float) -> Node:
        to = self._take()
        if to.keyword != "TO":
            raise to.place.error(f"expected TO and a second number, not {to}", column.name)
        upper = AFTER_TO.get(self._peek().text, "") if self._peek().kind == "mark" else ""
        self._next += bool(upper)
        token = self._take()
        high = self._number(column, token)
        if high < low:
            raise token.place.error(f"the range of {column.name} ends before it begins", column.name)
        return range_of(column.name, {lower: low, upper or "lte": high})

    def _number(self, column: Column, token: Token) -> float:
        return number_of(column, number(column, token), token.place)

    def _peek(self, ahead: int = 0) -> Token:
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)]

    def _take(self) -> Token:
        token = self._peek()
        self._next += 1
        return token

    def _took(self, keyword: str) -> bool:
        taken = self._peek().keyword == keyword
        self._next += taken
        return taken

    def _took_mark(self, mark: str) -> bool:
        taken = self._peek().kind == "mark" and self._peek().text == mark
        self._next += taken
        return taken

    def _expect(self, mark: str, opened: Token) -> None:
        token = self._peek()
        if not self._took_mark(mark):
            raise token.place.error(f"expected {mark!r}, not {token}", hint=f"{opened} was opened at {opened.at}")


def or_unknown(node: Node, column: Column) -> Node:
    """The same condition for whom the value is known; the others pass."""
    if isinstance(node, Range):
        return structs.replace(node, unknown=True)
    return Or(of=(node, Not(of=Exists(column=column.name))))


def range_of(column: str, bounds: Mapping[str, float]) -> Range:
    """``bounds``: by the names of a range's fields."""
    gte, gt, lte, lt = (bounds.get(name) for name in ("gte", "gt", "lte", "lt"))
    return Range(column=column, gte=gte, gt=gt, lte=lte, lt=lt)


def show(node: Node) -> str:
    """The text of which the parser makes this node; a conjunction or choice of one is that one."""
    match node:
        case And(of=parts) | Or(of=parts):
            return _joined(parts, "AND" if isinstance(node, And) else "OR")
        case Not(of=inner):
            return _negated(inner)
        case In(column=column, values=values):
            return f"{column} = {written(values[0])}" if len(values) == 1 else f"{column} IN {_listed(values)}"
        case Exists(column=column):
            return f"{column} EXISTS"
        case Range():
            return f"{node.column} {_bounds(node)}{' OR UNKNOWN' if node.unknown else ''}"


def _joined(parts: tuple[Node, ...], word: str) -> str:
    if not parts:
        return "TRUE" if word == "AND" else "FALSE"
    return show(parts[0]) if len(parts) == 1 else f" {word} ".join(_operand(part) for part in parts)


def _operand(node: Node) -> str:
    """In parentheses where it would come apart."""
    sole = _sole(node)
    return f"({show(sole)})" if isinstance(sole, And | Or) and sole.of else show(sole)


def _sole(node: Node) -> Node:
    while isinstance(node, And | Or) and len(node.of) == 1:
        node = node.of[0]
    return node


def _negated(inner: Node) -> str:
    match _sole(inner):
        case In(column=column, values=values):
            return f"{column} != {written(values[0])}" if len(values) == 1 else f"{column} NOT IN {_listed(values)}"
        case Exists(column=column):
            return f"{column} NOT EXISTS"
        case Range(column=column, gte=low, lte=high, unknown=False) if low is not None and low == high:
            return f"{column} != {written_number(low)}"
    return f"NOT {_operand(inner)}"


def _listed(values: tuple[str, ...]) -> str:
    return f"[{', '.join(map(written, values))}]"


def _bounds(node: Range) -> str:
    lower = [(sign, value) for sign, value in ((">=", node.gte), (">", node.gt)) if value is not None]
    upper = [(sign, value) for sign, value in (("<=", node.lte), ("<", node.lt)) if value is not None]
    if not (lower and upper):
        ((sign, value),) = lower or upper
        return f"{sign} {written_number(value)}"
    (above, low), (below, high) = lower[0], upper[0]
    if (above, below) == (">=", "<=") and low == high:
        return f"= {written_number(low)}"
    before, after = (">" if above == ">" else ""), ("<" if below == "<" else "")
    return f"{before}{written_number(low)} TO {after}{written_number(high)}"
