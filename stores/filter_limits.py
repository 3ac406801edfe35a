"""How large a filter may be, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterator

from stores.filter_ast import And, Node, Not, Or
from stores.filter_columns import Place

MAX_CHARS = 4_096
"""Of the string form."""
MAX_BYTES = 65_536
"""Of the JSON form."""
MAX_DEPTH = 32
MAX_NODES = 256
MAX_VALUES = 1_000
"""Of one ``IN``."""


def children(node: Node) -> tuple[Node, ...]:
    match node:
        case And(of=parts) | Or(of=parts):
            return parts
        case Not(of=inner):
            return (inner,)
    return ()


def walk(node: Node) -> Iterator[tuple[Node, int]]:
    """Every node with its depth, from 1; without recursion, since it guards what recurses."""
    waiting = [(node, 1)]
    while waiting:
        one, depth = waiting.pop()
        yield one, depth
        waiting += [(child, depth + 1) for child in children(one)]


def check_size(node: Node) -> None:
    """Raises FilterError for a tree with too many nodes, or too deep."""
    for count, (_, depth) in enumerate(walk(node), 1):
        if depth > MAX_DEPTH:
            raise Place().error(f"the filter is nested more than {MAX_DEPTH} deep")
        if count > MAX_NODES:
            raise Place().error(f"the filter has more than {MAX_NODES} conditions and conjunctions")
