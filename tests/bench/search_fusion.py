"""The score of a creator as the product defines it, for systems that find candidates by themselves."""

from __future__ import annotations

import numpy as np

from daemon.indexing import FIELD_NAMES
from stores.keyword_match import BEST_SCORE, EVERY_WORD
from stores.ports import Rows, Scores, Vector, Weights
from tests.bench.search_data import Data

TOP, CANDIDATES = 20, 200
"""Hits of a page, and candidates of each vector field."""
FEW = 10
"""With fewer creators holding every word, one is enough."""


def keyword_scores(bm25: Scores, *, every: bool) -> Scores:
    """BM25 relative to the best, laid between the bounds of those that hold every word, or of those that hold some."""
    low, high = (EVERY_WORD, BEST_SCORE) if every else (0.0, EVERY_WORD)
    scores: Scores = low + bm25 / max(float(bm25.max(initial=0.0)), 1e-9) * (high - low)
    return scores


def fused_top(
    data: Data, weights: Weights, rows: Rows, keyword_rows: Rows, keyword: Scores, similarities: list[Scores]
) -> Rows:
    """The best of ``rows`` (ascending), by keyword, the mean of the fields and quality; ties by creator id."""
    mean = np.clip(np.stack(similarities), 0.0, 1.0).mean(axis=0) if similarities else np.zeros(len(rows))
    score = weights.vector * mean + weights.quality * data.quality[rows]
    score[np.searchsorted(rows, keyword_rows)] += weights.keyword * keyword
    top = np.argpartition(-score, TOP)[:TOP] if len(rows) > TOP else np.arange(len(rows))
    best: Rows = rows[top[np.lexsort((data.creator_id[rows[top]], -score[top]))]]
    return best


def matrices(data: Data) -> list[Vector]:
    return [data.vectors(field) for field in FIELD_NAMES]


def best_of(rows: Rows, scores: Scores, limit: int) -> Rows:
    if len(rows) <= limit:
        return rows
    best: Rows = rows[np.argpartition(-scores, limit)[:limit]]
    return best
