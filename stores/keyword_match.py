"""From a text look-up to creators with scores: who matches, within the filters, and how well. Blocking."""

from __future__ import annotations

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from stores.ports import Rows, Scores, TextLookup, TextMatch

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
HEAD = 500
"""The best keyword matches, whose likeness in meaning is computed; equals of the last of them belong to them too."""
FIRST_FETCH = HEAD + HEAD // 5
"""Fetched at first where the head will do: with one that is below it, it is known to be whole."""
ALL_BELOW = 5_000
"""Of up to so many creators all are fetched even where the head would do."""
AMONG_ROWS = 2_000
"""Of creators that pass the filters, up to so many may be looked up one by one."""
DEARER = 14
"""How much more it costs to look up one creator by its row than to fetch one match (3.75 against 0.27 ms a thousand,
measured with 100,000 creators)."""

Mask = NDArray[np.bool_]


def match_keywords(lookup: TextLookup, within: Mask | None, *, every: bool) -> TextMatch:
    """``within``: who passes the filters, by row; what lies beyond its end does not pass.

    All matches are fetched where ``every`` is asked for, where filters are given or where there are few; else the head
    alone. Scores, head and total do not depend on which.
    """
    exact = lookup.exact()
    exact = exact[_passes(exact, within)]
    if within is None and not every and _is_broad(lookup):
        return _head_only(lookup, exact)
    rows, scores, need = _all_matches(lookup, within, called_so=len(exact) > 0)
    rows, scores = _raised(rows, scores, exact, np.ones(len(exact), np.float32))
    return _match(lookup, rows, scores, exact, need=need, total=len(rows), complete=True)


def _is_broad(lookup: TextLookup) -> bool:
    lookup.best(FIRST_FETCH)  # the count comes along with the head: one search does for a broad query
    return lookup.count() > ALL_BELOW


def _head_only(lookup: TextLookup, exact: Rows) -> TextMatch:
    """Fetches until one is met that is below the head, so that equals are all in it or none."""
    total, limit = lookup.count(), FIRST_FETCH
    while True:
        found, bm25 = lookup.best(limit)
        rows, scores, _ = _ascending(found, _between(bm25, EVERY_WORD, BEST_SCORE), 0)
        rows, scores = _raised(rows, scores, exact, np.ones(len(exact), np.float32))
        head = _head(scores)
        if not head.all() or limit >= total:
            break
        limit *= 4
    total += len(exact) - len(lookup.among(exact)[0])
    match = _match(lookup, rows[head], scores[head], exact, need=lookup.demands[0], total=total, complete=False)
    return structs.replace(match, best=float(bm25.max(initial=0.0)))


def _all_matches(lookup: TextLookup, within: Mask | None, *, called_so: bool) -> tuple[Rows, Scores, int]:
    """Rows (ascending), their scores, and how many of the words outside of phrases were asked for in the end."""
    words = need = lookup.demands[0]
    strict_rows, strict_bm25 = rows, bm25 = _fetched(lookup, within, None)
    if len(rows) >= FEW_MATCHES:
        return _ascending(rows, _between(bm25, EVERY_WORD, BEST_SCORE), need)
    near = np.array([], np.uint32) if called_so else lookup.near()
    near = near[_passes(near, within)]
    for need in lookup.demands if lookup.widens else lookup.demands[1:]:
        rows, bm25 = _fetched(lookup, within, need)
        if len(rows) >= FEW_MATCHES:
            break
    strict_scores = _between(strict_bm25, NEAR_NAME if len(near) else EVERY_WORD, BEST_SCORE)
    if lookup.long:
        scores = _between(bm25, 0.0, NEAR_NAME if len(near) else BEST_SCORE)
    else:
        scores = _between(bm25, 0.0, EVERY_WORD * need / max(words, 1))
    rows, scores, _ = _ascending(rows, scores, need)
    rows, scores = _raised(rows, scores, near, np.full(len(near), NEAR_NAME, np.float32))
    rows, scores = _raised(rows, scores, strict_rows, strict_scores)
    return rows, scores, need


def _raised(rows: Rows, scores: Scores, some: Rows, to: Scores) -> tuple[Rows, Scores]:
    """``some`` score at least ``to``, whether they are among the (ascending) ``rows`` or not."""
    extra = np.setdiff1d(some, rows)
    rows = np.concatenate([rows, extra])
    order = np.argsort(rows)
    rows, scores = rows[order], np.concatenate([scores, np.zeros(len(extra), np.float32)])[order]
    at = np.searchsorted(rows, some)
    scores[at] = np.maximum(scores[at], to)
    return rows, scores


def _ascending(rows: Rows, scores: Scores, need: int) -> tuple[Rows, Scores, int]:
    order = np.argsort(rows)
    return rows[order], scores[order], need


def _fetched(lookup: TextLookup, within: Mask | None, need: int | None) -> tuple[Rows, Scores]:
    """Those that hold ``need`` of the words (see `TextLookup.count`) and pass, with BM25: out of all matches, or those who
    pass one by one."""
    if within is None:
        return lookup.every(need)
    passing = int(np.count_nonzero(within))
    if passing <= AMONG_ROWS and passing * DEARER < lookup.count(need):
        return lookup.among(np.flatnonzero(within).astype(np.uint32), need)
    rows, bm25 = lookup.every(need)
    passes = _passes(rows, within)
    return rows[passes], bm25[passes]


def _passes(rows: Rows, within: Mask | None) -> Mask:
    passes = np.ones(len(rows), np.bool_) if within is None else rows < len(within)
    if within is not None:
        passes[passes] = within[rows[passes]]
    return passes


def _between(bm25: Scores, low: float, high: float) -> Scores:
    """BM25 relative to the best of the query, laid between ``low`` and ``high``."""
    best = max(float(bm25.max(initial=0.0)), 1e-9)
    return (low + bm25 / np.float32(best) * np.float32(high - low)).astype(np.float32)


def _head(scores: Scores) -> Mask:
    """The best HEAD, and whoever equals the last of them."""
    if len(scores) <= HEAD:
        return np.ones(len(scores), np.bool_)
    last: np.float32 = np.partition(scores, len(scores) - HEAD)[len(scores) - HEAD]
    return np.greater_equal(scores, last)


def _match(
    lookup: TextLookup, rows: Rows, scores: Scores, exact: Rows, *, need: int, total: int, complete: bool
) -> TextMatch:
    return TextMatch(
        rows=rows,
        scores=scores,
        exact=np.isin(rows, exact),
        head=_head(scores),
        total=total,
        complete=complete,
        words=lookup.words,
        needed=len(lookup.words) - lookup.demands[0] + need,
    )
