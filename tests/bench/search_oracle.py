"""The true best twenty of a query: every keyword match and every vector of whoever passes compared, nothing cut short."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from daemon.indexing import FIELD_NAMES, IndexKeeper
from models.embedding_port import EmbeddingPort
from proto.ids import Row
from stores.keyword_match import match_keywords
from stores.ports import Rows, Vector, Weights
from stores.text_index import TantivyTextIndex
from tests.bench.search_data import Data, Mask, Query
from tests.bench.search_fusion import TOP, matrices


class Oracle:
    """By the product's keyword scores, which are whole; of vectors and fusion it knows for itself."""

    def __init__(self, data: Data, text: TantivyTextIndex, model: EmbeddingPort, weights: Weights) -> None:
        self._data, self._text, self._model, self._weights = data, text, model, weights
        self._matrices = matrices(data)

    def best(self, query: Query) -> Rows:
        """Blocking. Rows of the hits."""
        vector = self._model.embed([query.text])[0]
        within = self._data.mask(query)
        match = match_keywords(self._text.lookup(query.text), within, every=True)
        everyone = np.arange(len(self._data.quality), dtype=np.uint32)
        rows = everyone if within is None else everyone[within]
        compared = [matrix @ vector if within is None else matrix[rows] @ vector for matrix in self._matrices]
        mean = np.clip(np.stack(compared), 0.0, 1.0).mean(axis=0)
        score = self._weights.vector * mean + self._weights.quality * self._data.quality[rows]
        at = np.searchsorted(rows, match.rows)
        score[at] += self._weights.keyword * match.scores + match.exact
        found: Rows = rows[np.lexsort((self._data.creator_id[rows], -score))[:TOP]]
        return found


def recall_of(found: Sequence[int] | Rows, wanted: Sequence[int] | Rows) -> float:
    """Share of the wanted that was found; 1 where nothing was wanted."""
    return len(set(map(int, found)) & set(map(int, wanted))) / len(wanted) if len(wanted) else 1.0


def planner_recall(
    keeper: IndexKeeper, vectors: list[Vector], masks: dict[str, Mask | None], limit: int
) -> dict[str, dict[str, float]]:
    """By mask: what share of the true nearest is found, over all fields and queries, and what a look-up costs."""
    found: dict[str, dict[str, float]] = {}
    for name, mask in masks.items():
        shares, spent = [], 0.0
        for field in FIELD_NAMES:
            index = keeper.fields[field]
            everyone = keeper.columns.rows() if mask is None else np.flatnonzero(mask).astype(np.uint32)
            matrix = index.vectors_of([Row(int(row)) for row in everyone])
            passing = None if mask is None else everyone
            for vector in vectors:
                wanted = everyone[np.argsort(-(matrix @ vector), kind="stable")[:limit]]
                began = time.perf_counter()
                rows, _ = index.nearest_now(vector, limit, mask, passing)
                spent += time.perf_counter() - began
                shares.append(recall_of(rows, wanted))
        found[name] = {"recall": float(np.mean(shares)), "milliseconds": spent * 1_000 / len(shares)}
    return found
