"""What a search must find, worked out creator by creator in plain Python: slow, and of one reading only."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from proto.records import Creator
from proto.tiers import tier_of
from stores.filter_ast import And, Exists, In, Node, Not, Or, Range
from stores.ports import TextDocument

FEW = 10
Facets = dict[str, dict[str, int]]


class Known(msgspec.Struct, kw_only=True):
    """A creator as the oracle sees it."""

    row: int
    creator: Creator
    document: TextDocument
    vectors: dict[str, NDArray[np.float32]]
    words: set[str] = msgspec.field(default_factory=set)
    """Of all its texts."""
    beginnings: set[str] = msgspec.field(default_factory=set)
    """Words of names and handles, which the last word of a query may begin."""

    def __post_init__(self) -> None:
        document = self.document
        named = (document.name, *document.names, *document.handles)
        texts = (*named, document.bio, document.niche, document.summary, document.titles)
        self.beginnings = {word for text in named for word in text.lower().split()}
        self.words = {word for text in texts for word in text.lower().split()}

    def values(self, column: str) -> list[str]:
        creator = self.creator
        one: dict[str, str | None] = {
            "niche": creator.primary_niche,
            "style": creator.content_style,
            "country": creator.country,
            "language": creator.language,
            "activity": creator.derived_activity,
            "tier": tier_of(creator.total_followers),
        }
        if column == "platform":
            return [key.partition(":")[0] for key in creator.account_keys]
        value = one[column]
        return [] if value is None else [value]

    def number(self, column: str) -> float | None:
        if column.startswith("followers."):
            return self.creator.followers_by_platform.get(column.partition(".")[2])
        if column == "followers":
            return self.creator.total_followers
        value: float | None = getattr(self.creator, column)
        return value


def holds(node: Node | None, one: Known) -> bool | None:
    """None: unknown."""
    match node:
        case None:
            return True
        case And(of=parts):
            answers = [holds(part, one) for part in parts]
            return False if False in answers else None if None in answers else True
        case Or(of=parts):
            answers = [holds(part, one) for part in parts]
            return True if True in answers else None if None in answers else False
        case Not(of=part):
            answer = holds(part, one)
            return None if answer is None else not answer
        case In(column=column, values=values):
            own = one.values(column)
            return bool(set(own) & set(values)) if own else None
        case Exists(column=column):
            numeric = column.startswith("followers")
            return one.number(column) is not None if numeric else bool(one.values(column))
        case Range():
            number = one.number(node.column)
            if number is None:
                return True if node.unknown else None
            lows = (node.gte is None or number >= node.gte, node.gt is None or number > node.gt)
            return all((*lows, node.lte is None or number <= node.lte, node.lt is None or number < node.lt))


def passing(world: Iterable[Known], filters: Node | None) -> list[Known]:
    return [one for one in world if holds(filters, one)]


def by_words(world: Sequence[Known], words: Sequence[str]) -> set[int]:
    """All words, or where fewer than ten hold them two thirds of them, a third, one."""
    if not words:
        return set()
    held = {one.row: _held(one, words) for one in world}
    demands = [len(words), math.ceil(len(words) * 2 / 3), math.ceil(len(words) / 3), 1]
    found: set[int] = set()
    for need in demands:
        found = {row for row, number in held.items() if number >= need}
        if len(found) >= FEW:
            break
    return found


def _held(one: Known, words: Sequence[str]) -> int:
    begun = any(word.startswith(words[-1]) for word in one.beginnings)
    return sum(word in one.words or (word == words[-1] and begun) for word in words)


def nearest(world: Sequence[Known], field: str, vector: NDArray[np.float32], count: int) -> set[int]:
    having = [one for one in world if field in one.vectors]
    return {one.row for one in sorted(having, key=lambda one: -float(one.vectors[field] @ vector))[:count]}


def count_facet(world: Iterable[Known], column: str) -> dict[str, int]:
    return dict(Counter(value for one in world for value in set(one.values(column))))


def found_rows(
    world: Sequence[Known],
    words: Sequence[str],
    near: Mapping[str, Any],
    filters: Node | None,
) -> set[int]:
    """``near``: by field, a function from those that pass to the rows that the field brings."""
    within = passing(world, filters)
    if not words and not near:
        return {one.row for one in within}
    return by_words(within, words).union(*(find(within) for find in near.values()))
