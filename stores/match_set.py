"""Which creators a search is about: its match set, counted exactly, and what ranking needs to know of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
import numpy as np

from proto.ids import Row
from stores.keyword_match import match_keywords
from stores.ports import Rows, Scores, TextLookup, TextMatch, Vector, VectorIndex
from stores.ranking import Mask
from stores.row_sets import distinct, rows_of

Observe = Callable[[str, float, bool], None]
"""Told of each look-up, from any thread: in which index, its seconds, and whether it failed."""

TEXT = "text"
"""What looking up words is observed as; the others as their fields are named."""

Side = Callable[[Sequence[Callable[[], None]]], None]
"""Runs calls that do not depend on one another, and returns when all have ended."""


class Asked(msgspec.Struct, kw_only=True, frozen=True):
    """What is looked for: words, a direction for each vector field, or neither."""

    lookup: TextLookup | None
    vectors: Mapping[str, Vector]
    fields: Mapping[str, VectorIndex]
    candidates: int
    """Taken of each field."""
    seeds: tuple[Row, ...]
    """Creators that are looked for others like; they are no hits themselves."""
    hasty: bool
    """See `VectorIndex.nearest_now`."""
    observe: Observe


class MatchSet(msgspec.Struct, kw_only=True, frozen=True):
    """Filters ∧ (keyword match ∪ the nearest of each field that hold every phrase and nothing excluded); whoever passes the
    filters where neither words nor seeds are given, nobody where seeds are but no vectors of theirs."""

    rows: Rows
    """Ascending; of a set that is not complete those that may stand on the first pages."""
    keyword: Scores
    exact: Mask
    compared: Mask
    """Whose likeness in meaning counts: the keyword match's head, and all that the fields found."""
    total: int
    complete: bool
    floor: float
    """No creator that is left out has a higher keyword score."""
    words: tuple[str, ...]
    passing: int | None
    """Who pass the filters, found or not; None where nobody is kept out, or nothing is compared."""
    plan: str


def match_set(asked: Asked, within: Mask, passing: Rows | None, *, every: bool, side: Side) -> MatchSet:
    """``within``: whoever is there and passes the filters. ``passing``: their rows, ascending; None where nobody is kept out.
    ``every``: the set must be complete."""
    if asked.lookup is None and not asked.vectors:
        everyone = rows_of(within) if passing is None else passing
        return _all_of(np.zeros(0, np.uint32) if asked.seeds else everyone)
    found: list[Rows] = []
    matched: list[TextMatch] = []
    mask = None if passing is None else within
    let_through = None if passing is None else len(passing)

    def keywords() -> None:
        if asked.lookup is not None:
            with observed(asked.observe, TEXT):
                matched.append(match_keywords(asked.lookup, mask, passing, every=every))

    def field(name: str) -> Callable[[], None]:
        index, vector = asked.fields[name], asked.vectors[name]
        wanted = asked.candidates + len(asked.seeds)

        def nearest() -> None:
            with observed(asked.observe, name):
                found.append(index.nearest_now(vector, wanted, mask, passing, hasty=asked.hasty)[0])

        return nearest

    side([keywords, *(field(name) for name in asked.vectors)])
    seeds = np.array(asked.seeds, np.uint32)
    near = [rows[~np.isin(rows, seeds)][: asked.candidates] for rows in found] if len(seeds) else found
    vector_rows = _inside(distinct(np.concatenate(near)) if near else np.zeros(0, np.uint32), within)
    if asked.lookup is not None:
        vector_rows = asked.lookup.admitted(vector_rows)
    return _united(matched[0] if matched else None, vector_rows, within, let_through, _plan(asked, let_through))


@contextmanager
def observed(observe: Observe, index: str) -> Iterator[None]:
    started, failed = time.perf_counter(), True
    try:
        yield
        failed = False
    finally:
        observe(index, time.perf_counter() - started, failed)


def _united(text: TextMatch | None, vector_rows: Rows, within: Mask, passing: int | None, plan: str) -> MatchSet:
    text_rows = text.rows if text is not None else np.zeros(0, np.uint32)
    rows = _inside(distinct(np.concatenate([text_rows, vector_rows])), within)
    keyword, exact, compared = np.zeros(len(rows), np.float32), np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    compared[np.searchsorted(rows, vector_rows)] = True
    total = len(rows)
    if text is not None:
        at, there = _places(rows, text.rows)
        keyword[at], exact[at] = text.scores[there], text.exact[there]
        compared[at] |= text.head[there]
        if text.others is not None:
            unmatched = np.ones(len(rows), bool)
            unmatched[at] = False
            others = rows[unmatched]
            matching, scores = text.others(others)
            keyword[np.searchsorted(rows, matching)] = scores
            total = text.total + len(others) - len(matching)
    floor = float(text.scores[text.head].min(initial=1.0)) if text is not None and not text.complete else 0.0
    return MatchSet(
        rows=rows,
        keyword=keyword,
        exact=exact,
        compared=compared,
        total=total,
        complete=text is None or text.complete,
        floor=floor,
        words=text.words if text is not None else (),
        passing=passing,
        plan=plan,
    )


def _all_of(rows: Rows) -> MatchSet:
    nothing = np.zeros(len(rows), bool)
    return MatchSet(
        rows=rows,
        keyword=np.zeros(len(rows), np.float32),
        exact=nothing,
        compared=nothing,
        total=len(rows),
        complete=True,
        floor=0.0,
        words=(),
        passing=None,
        plan="none",
    )


def _plan(asked: Asked, passing: int | None) -> str:
    plans = {asked.fields[name].plan_of(passing, asked.candidates) for name in asked.vectors}
    return "+".join(sorted(plans)) or "none"


def _inside(rows: Rows, within: Mask) -> Rows:
    """Those that pass; an index may be a moment ahead of the columns."""
    inside = rows[rows < len(within)]
    passing: Rows = inside[within[inside]]
    return passing


def _places(rows: Rows, others: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Where in ``rows`` (ascending) those of ``others`` stand that are in both, and where in ``others``."""
    if not len(rows) or not len(others):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    at = np.searchsorted(rows, others)
    at[at == len(rows)] = 0
    there = np.flatnonzero(rows[at] == others)
    return at[there], there
