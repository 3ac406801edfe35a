"""The filters of a search as a small tree that every backend compiles."""

from __future__ import annotations

import msgspec


class Filter(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", forbid_unknown_fields=True):
    """Base of every node. Its JSON form is tagged by ``op``."""


class And(Filter, frozen=True, kw_only=True, tag="and"):
    """All hold; true for none."""

    of: tuple[Node, ...]


class Or(Filter, frozen=True, kw_only=True, tag="or"):
    """One holds at least; false for none."""

    of: tuple[Node, ...]


class Not(Filter, frozen=True, kw_only=True, tag="not"):
    """What is known not to hold: an unknown value matches neither a condition nor its opposite."""

    of: Node


class In(Filter, frozen=True, kw_only=True, tag="in"):
    """The column has one of these values."""

    column: str
    values: tuple[str, ...]


class Range(Filter, frozen=True, kw_only=True, tag="range"):
    """``gte <= column <= lte`` (``gt``, ``lt`` exclude the bound); unknown values match only where ``unknown`` says so."""

    column: str
    gte: float | None = None
    gt: float | None = None
    lte: float | None = None
    lt: float | None = None
    unknown: bool = False


class Exists(Filter, frozen=True, kw_only=True, tag="exists"):
    """The column has a value."""

    column: str


Node = And | Or | Not | In | Range | Exists
