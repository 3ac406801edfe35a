"""Random filters, spelt as a check leaves them."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from proto.errors import FilterError
from stores.filter_ast import And, Exists, In, Node, Not, Or
from stores.filter_columns import COLUMNS, LIST, Kind
from stores.filter_grammar import range_of
from stores.filter_limits import check_size

NICHES = ("food", "gaming", "music", "travel")
SUBJECTS = tuple(f"subject-{number}" for number in range(30))
STYLES = ("tutorial", "vlog", "review")
LISTS = ("a", "B b", 'c"\\')
VALUES = {
    "niche": NICHES,
    "secondary_niche": SUBJECTS,
    "any_niche": NICHES + SUBJECTS,
    "style": STYLES,
    "country": ("BR", "DE", "IN", "US"),
    "language": ("de", "en", "in", "pt"),
    LIST: LISTS,
}
NUMBERS = (0.0, 0.01, 0.5, 1.0, 1.5, 3.0, 7.0, 30.0, 9_999.0, 10_000.0, 50_000.0, 1_000_000.0)
"""Few, so that bounds are hit."""
FEW_NUMBERS = st.sampled_from(NUMBERS)


def _fits(node: Node) -> bool:
    try:
        check_size(node)
    except FilterError:
        return False
    return True


@st.composite
def ranges(draw: st.DrawFn, column: str, numbers: st.SearchStrategy[float]) -> Node:
    low, high = sorted((draw(numbers), draw(numbers)))
    lower, upper = {draw(st.sampled_from(("gte", "gt"))): low}, {draw(st.sampled_from(("lte", "lt"))): high}
    bounds = draw(st.sampled_from((lower, upper, lower | upper)))
    return msgspec.structs.replace(range_of(column, bounds), unknown=draw(st.booleans()))


@st.composite
def conditions(draw: st.DrawFn, numbers: st.SearchStrategy[float]) -> Node:
    column = draw(st.sampled_from(tuple(COLUMNS.values())))
    if draw(st.integers(0, 4)) == 0:
        return Exists(column=column.name)
    if column.kind is Kind.NUMBER:
        return draw(ranges(column.name, numbers))
    known = column.values or VALUES[column.name]
    return In(column=column.name, values=tuple(draw(st.lists(st.sampled_from(known), max_size=20))))


@st.composite
def joined(draw: st.DrawFn, inner: st.SearchStrategy[Node]) -> Node:
    kind = draw(st.sampled_from((And, Or, Not)))
    if kind is Not:
        return Not(of=draw(inner))
    parts = draw(st.lists(inner, min_size=2, max_size=3) | st.just([]))
    return And(of=tuple(parts)) if kind is And else Or(of=tuple(parts))


def trees(numbers: st.SearchStrategy[float] = FEW_NUMBERS) -> st.SearchStrategy[Node]:
    """No conjunction or choice of one."""
    return st.recursive(conditions(numbers), joined, max_leaves=10).filter(_fits)
