"""Which creators a search is about: its match set, counted exactly, and what ranking needs to know of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
import numpy as np

from proto.ids import Row
from stores.keyword_match import BEST_SCORE, EVERY_WORD, match_keywords
from stores.ports import Rows, Scores, TextLookup, TextMatch, Vector, VectorIndex
from stores.ranking import Mask

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
    observe: Observe


class MatchSet(msgspec.Struct, kw_only=True, frozen=True):
    """Filters ∧ (keyword match ∪ the nearest of each field); without words and vectors whoever passes the filters."""

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
    plan: str


def match_set(asked: Asked, within: Mask, passing: int, *, filtered: bool, every: bool, side: Side) -> MatchSet:
    """``within``: whoever is there and passes the filters, ``passing`` of them; ``filtered``: not everybody passes.
    ``every``: the set must be complete."""
    if asked.lookup is None and not asked.vectors:
        return _everyone(within)
    found: list[Rows] = []
    matched: list[TextMatch] = []
    mask = within if filtered else None

    def keywords() -> None:
        if asked.lookup is not None:
            with observed(asked.observe, TEXT):
                matched.append(match_keywords(asked.lookup, mask, every=every))

    def field(name: str) -> Callable[[], None]:
        index, vector = asked.fields[name], asked.vectors[name]
        wanted = asked.candidates + len(asked.seeds)

        def nearest() -> None:
            with observed(asked.observe, name):
                found.append(index.nearest_now(vector, wanted, mask, passing if filtered else None)[0])

        return nearest

    side([keywords, *(field(name) for name in asked.vectors)])
    seeds = np.array(asked.seeds, np.uint32)
    near = [rows[~np.isin(rows, seeds)][: asked.candidates] for rows in found]
    return _united(asked, matched[0] if matched else None, near, within, _plan(asked, mask))


@contextmanager
def observed(observe: Observe, index: str) -> Iterator[None]:
    started, failed = time.perf_counter(), True
    try:
        yield
        failed = False
    finally:
        observe(index, time.perf_counter() - started, failed)


def _united(asked: Asked, text: TextMatch | None, near: list[Rows], within: Mask, plan: str) -> MatchSet:
    vector_rows = _inside(np.unique(np.concatenate(near)) if near else np.zeros(0, np.uint32), within)
    text_rows = text.rows if text is not None else np.zeros(0, np.uint32)
    rows = _inside(np.union1d(text_rows, vector_rows).astype(np.uint32), within)
    keyword, exact, compared = np.zeros(len(rows), np.float32), np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    compared[np.searchsorted(rows, vector_rows)] = True
    total = len(rows)
    if text is not None:
        at, there = _places(rows, text.rows)
        keyword[at], exact[at] = text.scores[there], text.exact[there]
        compared[at] |= text.head[there]
        if not text.complete and asked.lookup is not None:
            total = text.total + _score_others(asked.lookup, text, rows, keyword)
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
        plan=plan,
    )


def _score_others(lookup: TextLookup, text: TextMatch, rows: Rows, keyword: Scores) -> int:
    """Scores those of ``rows`` that match by keyword behind the head; how many of all do not match at all."""
    others = rows[~np.isin(rows, text.rows[text.scores > 0])]
    matching, bm25 = lookup.among(others)
    at, there = _places(rows, matching)
    relative = bm25[there] / np.float32(max(text.best, 1e-9))
    keyword[at] = np.maximum(keyword[at], EVERY_WORD + relative * np.float32(BEST_SCORE - EVERY_WORD))
    return len(others) - len(matching)


def _everyone(within: Mask) -> MatchSet:
    rows = np.flatnonzero(within).astype(np.uint32)
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
        plan="none",
    )


def _plan(asked: Asked, mask: Mask | None) -> str:
    plans = {asked.fields[name].plan_of(mask, asked.candidates) for name in asked.vectors}
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
