"""What words of a query mean as conditions and preferences, and what the caller makes of that. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from proto.api import Interpreted
from stores.briefs import Brief
from stores.briefs import Interpretation as Read
from stores.filter_ast import In, Node
from stores.filters import columns_of, conditions_of, show_filter

APPLY, SUGGEST, OFF = "apply", "suggest", "off"
MODES = (APPLY, SUGGEST, OFF)
NICHES = ("niche", "secondary_niche", "any_niche")


class Interpretation(msgspec.Struct, kw_only=True, frozen=True):
    """A brief with the caller's word on it."""

    shown: list[Interpreted]
    conditions: list[Node]
    """All must hold."""
    niches: tuple[str, ...]
    """Preferred, not demanded."""
    rest: str
    """What is looked for by words and meaning."""


def untouched(text: str) -> Interpretation:
    """Nothing of it is read as anything but words."""
    return Interpretation(shown=[], conditions=[], niches=(), rest=text)


def interpret(brief: Brief, *, apply: bool, drop: Collection[str], own: Node | None) -> Interpretation:
    """``own``: the caller's filter, whose word on a column goes before that of the brief.

    Words of what is dropped are looked for; words of what the caller's filter overrides are not.
    """
    kept = brief.without(*drop)
    stated = {_family(column) for column in columns_of(own)}
    conditions = [one for one in conditions_of(kept.filter) if not _families(one) & stated] if apply else []
    boosts = (
        [one for one in kept.boosts if niches_of(one.filter) and not _families(one.filter) & stated] if apply else []
    )
    columns = {column for one in conditions for column in columns_of(one)}
    applied = {one.id for one in kept.interpreted if columns_of(one.filter) <= columns} | {one.id for one in boosts}
    return Interpretation(
        shown=[_view(one, applied=one.id in applied and apply) for one in (*brief.interpreted, *brief.boosts)],
        conditions=conditions,
        niches=tuple(dict.fromkeys(niche for one in boosts for niche in niches_of(one.filter))),
        rest=kept.rest if apply else brief.text,
    )


def interpreted_ids(condition: Node, shown: Sequence[Interpreted]) -> list[str]:
    """Of what words became this condition."""
    columns = columns_of(condition)
    return [one.id for one in shown if one.applied and one.kind == "filter" and one.field in columns]


def niches_of(preferred: Node) -> tuple[str, ...]:
    return preferred.values if isinstance(preferred, In) and preferred.column in NICHES else ()


def _families(node: Node) -> set[str]:
    return {_family(column) for column in columns_of(node)}


def _family(column: str) -> str:
    """Columns that speak of the same: of followers here and there, of niches wide and narrow."""
    return NICHES[0] if column in NICHES else column.partition(".")[0]


def _view(one: Read, *, applied: bool) -> Interpreted:
    return Interpreted(
        id=one.id,
        kind=one.kind,
        field=one.field,
        value=one.value,
        words=one.words.text,
        begin=one.words.begin,
        end=one.words.end,
        confidence=one.confidence,
        filter=show_filter(one.filter),
        applied=applied,
    )
