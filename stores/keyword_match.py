"""From a text look-up to creators with scores: who matches, within the filters, and how well. Blocking."""

from __future__ import annotations

from functools import partial

import msgspec
import numpy as np
from msgspec import structs

from stores.ports import Rows, Scores, TextLookup, TextMatch
from stores.row_sets import Mask, distinct, passes, rows_of

FEW_MATCHES = 10
"""With fewer creators holding every word as it was typed, niches stand for words too, and then fewer words are enough (see
`stores.text_lookup.demands`)."""
BEST_SCORE = 0.95
EVERY_WORD = 0.3
"""A creator that holds every word scores from here to BEST_SCORE, by its BM25 relative to the best of those that pass
the filters; one that holds only some of them scores below, in proportion to how many were asked for. An exact name
scores 1."""
NEAR_NAME = 0.7
"""Of a creator whose name or handle is the query but for a typo: looked for where few hold every word and nobody
is called exactly so; who holds every word then scores from here on."""
HEAD = 2_000
"""The best keyword matches, whose likeness in meaning is computed; equals of the last of them belong to them too. Of words that
thousands have about equally ("parle de") likeness decides: of 200 queries of a million creators 0.980 of the true first
twenty are found so, with 800 0.956, for 1.4 of 27 ms (tests/bench/NOTES.md)."""
FIRST_FETCH = HEAD + HEAD // 5
"""Fetched at first where the head will do: with one that is below it, it is known to be whole."""
ALL_BELOW = 5_000
"""Of up to so many creators all are fetched where the head would do: that takes 1.5 ms, and looking up by their rows those
whom only the vector fields found took 3 (measured with 100,000 creators). By one search where the words are known to be
that rare, since a second one costs more than what is fetched beyond the head."""
AMONG_ROWS = 20_000
"""Of creators that pass the filters, up to so many may be looked up one by one."""
DEARER = 8
"""How much more it costs to look up one creator by its row than to fetch one match (1.4 to 2.2 against 0.2 ms a thousand,
measured with a million creators)."""

_NOBODY: tuple[Rows, Scores] = (np.array([], np.uint32), np.array([], np.float32))


class _Demand(msgspec.Struct, frozen=True):
    """What is asked for in the end, and who is to score more than it gives."""

    need: int | None
    """As in `TextLookup.count`."""
    strict: tuple[Rows, Scores]
    """Those that hold every word, with BM25, where ``need`` is less."""
    near: Rows


def match_keywords(lookup: TextLookup, within: Mask | None, passing: Rows | None = None, *, every: bool) -> TextMatch:
    """``within``: who passes the filters, by row; what lies beyond its end does not pass. ``passing``: their rows, ascending,
    where they are known.

    All matches are fetched where ``every`` is asked for, where filters are given or where there are few; else the head
    alone. Scores, head and total do not depend on which.
    """
    exact = lookup.exact()
    exact = exact[passes(exact, within)]
    those = _Passing(lookup, within, passing)
    demand = _demand(lookup, those, called_so=len(exact) > 0)
    if within is None and not every and lookup.count(demand.need) > ALL_BELOW:
        return _head_only(lookup, demand, exact)
    found, bm25 = those.fetched(demand.need)
    rows, scores = _scored(lookup, demand, exact, found, bm25, float(bm25.max(initial=0.0)))
    return _match(lookup, rows, scores, exact, need=demand.need, total=len(rows), complete=True)


class _Passing:
    """Who matches and passes the filters; of each demand it is found out once."""

    def __init__(self, lookup: TextLookup, within: Mask | None, rows: Rows | None) -> None:
        if rows is None and within is not None:
            rows = rows_of(within)
        self._lookup, self.within, self._rows = lookup, within, rows
        self._fetched: dict[int | None, tuple[Rows, Scores]] = {}

    def count(self, need: int | None) -> int:
        if self.within is not None:
            return len(self.fetched(need)[0])
        whole = self._lookup.estimate(need) <= ALL_BELOW
        self._lookup.best(ALL_BELOW if whole else FIRST_FETCH, need)  # the count comes along: mostly one search does
        return self._lookup.count(need)

    def fetched(self, need: int | None) -> tuple[Rows, Scores]:
        """Those that hold ``need`` of the words (see `TextLookup.count`), with BM25."""
        if need not in self._fetched:
            self._fetched[need] = self._fetch(need)
        return self._fetched[need]

    def _fetch(self, need: int | None) -> tuple[Rows, Scores]:
        """Out of all matches, or those who pass one by one, whichever is cheaper."""
        if self._rows is not None:
            passing = len(self._rows)
            if passing <= AMONG_ROWS and passing * DEARER < self._lookup.estimate(need):
                return self._lookup.among(self._rows, need)
        return self._lookup.every(need, self.within)


def _demand(lookup: TextLookup, passing: _Passing, *, called_so: bool) -> _Demand:
    """Loosened until enough creators pass, or there is nothing looser."""
    need: int | None = None
    if passing.count(None) >= FEW_MATCHES:
        return _Demand(need=None, strict=_NOBODY, near=_NOBODY[0])
    near = _NOBODY[0] if called_so else lookup.near()
    for need in lookup.demands if lookup.widens else lookup.demands[1:]:
        if passing.count(need) >= FEW_MATCHES:
            break
    strict = _NOBODY if need is None else passing.fetched(None)
    return _Demand(need=need, strict=strict, near=near[passes(near, passing.within)])


def _head_only(lookup: TextLookup, demand: _Demand, exact: Rows) -> TextMatch:
    """Fetches until one is met that is below the head, so that equals are all in it or none."""
    total, limit = lookup.count(demand.need), FIRST_FETCH
    while True:
        found, bm25 = lookup.best(limit, demand.need)
        best = float(bm25.max(initial=0.0))
        rows, scores = _scored(lookup, demand, exact, found, bm25, best)
        head = _head(scores)
        if not head.all() or limit >= total:
            break
        limit *= 4
    others = distinct(np.concatenate([exact, demand.near]))
    total += len(others) - len(lookup.among(others, demand.need)[0])
    match = _match(lookup, rows[head], scores[head], exact, need=demand.need, total=total, complete=False)
    return structs.replace(match, others=partial(_others, lookup, demand, exact, best))


def _others(lookup: TextLookup, demand: _Demand, exact: Rows, best: float, rows: Rows) -> tuple[Rows, Scores]:
    """Those of ``rows`` that match, ascending, wherever they stand, with their scores."""
    matching, bm25 = lookup.among(rows, demand.need)
    found, scores = _scored(lookup, demand, exact, matching, bm25, best)
    if len(found) == len(matching):
        return found, scores
    asked = np.isin(found, rows)
    return found[asked], scores[asked]


def _scored(
    lookup: TextLookup, demand: _Demand, exact: Rows, rows: Rows, bm25: Scores, best: float
) -> tuple[Rows, Scores]:
    """Rows ascending, with everybody who is found in another way. ``best``: BM25 of the best that is found so."""
    near, words = demand.near, lookup.demands[0]
    low, high = EVERY_WORD, BEST_SCORE
    if len(near) and demand.need is None:
        low = NEAR_NAME
    elif demand.need is not None and lookup.long:
        low, high = 0.0, NEAR_NAME if len(near) else BEST_SCORE
    elif demand.need is not None:
        low, high = 0.0, EVERY_WORD * demand.need / words
    scores = _between(bm25, best, low, high)
    order = np.argsort(rows)
    rows, scores = rows[order], scores[order]
    rows, scores = _raised(rows, scores, near, np.full(len(near), NEAR_NAME, np.float32))
    strict_rows, strict_bm25 = demand.strict
    strict_low = NEAR_NAME if len(near) else EVERY_WORD
    rows, scores = _raised(
        rows, scores, strict_rows, _between(strict_bm25, float(strict_bm25.max(initial=0.0)), strict_low, BEST_SCORE)
    )
    return _raised(rows, scores, exact, np.ones(len(exact), np.float32))


def _raised(rows: Rows, scores: Scores, some: Rows, to: Scores) -> tuple[Rows, Scores]:
    """``some`` score at least ``to``, whether they are among the (ascending) ``rows`` or not."""
    if not len(some):
        return rows, scores
    extra = np.setdiff1d(some, rows)
    rows = np.concatenate([rows, extra])
    order = np.argsort(rows)
    rows, scores = rows[order], np.concatenate([scores, np.zeros(len(extra), np.float32)])[order]
    at = np.searchsorted(rows, some)
    scores[at] = np.maximum(scores[at], to)
    return rows, scores


def _between(bm25: Scores, best: float, low: float, high: float) -> Scores:
    """BM25 relative to the best of the query, laid between ``low`` and ``high``."""
    return (low + bm25 / np.float32(max(best, 1e-9)) * np.float32(high - low)).astype(np.float32)


def _head(scores: Scores) -> Mask:
    """The best HEAD, and whoever equals the last of them."""
    if len(scores) <= HEAD:
        return np.ones(len(scores), np.bool_)
    last: np.float32 = np.partition(scores, len(scores) - HEAD)[len(scores) - HEAD]
    return np.greater_equal(scores, last)


def _match(
    lookup: TextLookup, rows: Rows, scores: Scores, exact: Rows, *, need: int | None, total: int, complete: bool
) -> TextMatch:
    words = len(lookup.words)
    return TextMatch(
        rows=rows,
        scores=scores,
        exact=np.isin(rows, exact) if len(exact) else np.zeros(len(rows), np.bool_),
        head=_head(scores),
        total=total,
        complete=complete,
        words=lookup.words,
        needed=words if need is None else words - lookup.demands[0] + need,
    )
