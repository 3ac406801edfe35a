"""The engines called directly for what a search does: no store, no HTTP, nothing that has to be kept up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import tantivy

from daemon.config import SearchConfig
from daemon.indexing import FIELD_NAMES
from models.embedding_port import EmbeddingPort
from stores.analysis import stem
from stores.keyword_match import HEAD
from stores.ports import Rows, Scores, Weights
from stores.query_text import parse_query
from stores.text_lookup import BOOSTS, EVERYTHING, UNSTEMMED
from stores.vector_graph import EF_CONSTRUCTION, M
from tests.bench.search_data import Data, Mask, Query
from tests.bench.search_fusion import CANDIDATES, FEW, best_of, fused_top, keyword_scores, matrices

GRAPH_FROM = 60_000
"""Creators passing from which on the graph is asked instead of a scan. Of a million, 50,000 passing, a search takes as long either
way (p50 88 and 89 ms); with fewer the scan is quicker, and finds all."""
EF = SearchConfig().ef
"""As the product's: the same breadth is the same work and finds the same."""
ROWS_FILE = "rows.npy"
"""Which row a label of the graphs stands for."""
THREADS = 2
TERMS_BELOW = 300
"""Creators passing below which they are looked up one by one."""


class Bare:
    """Over the words that the daemon indexed, graphs of whole vectors, and arrays."""

    def __init__(self, root: Path, indexes: Path, model: EmbeddingPort, weights: Weights, ef: int = EF) -> None:
        self._data, self._model, self._weights = Data(root), model, weights
        folder = max(path for path in indexes.glob("text-*") if (path / "checkpoint").exists())
        index = tantivy.Index.open(str(folder))
        self._schema, self._searcher = index.schema, index.searcher()
        self._matrices = matrices(self._data)
        self._graphs = [_graph(root / "bare", field, model.dims, ef) for field in FIELD_NAMES]
        self._row_of = np.load(root / "bare" / ROWS_FILE)

    def search(self, query: Query, whole: bool = False) -> Rows:
        """Rows, best first. ``whole``: every keyword match and every vector compared."""
        vector = self._model.embed([query.text])[0]
        within = self._data.mask(query)
        everyone = np.arange(len(self._data.quality), dtype=np.uint32)
        passing = None if within is None else everyone[within]
        head = len(everyone) if whole else HEAD
        keyword_rows, keyword = self._keywords(query.text, within, passing, head)
        compared = everyone if whole and passing is None else passing
        near = [self._nearest(field, vector, within, compared, whole) for field in range(len(FIELD_NAMES))]
        rows = np.unique(np.concatenate([keyword_rows, *near]))
        similarities = [matrix[rows] @ vector for matrix in self._matrices]
        return fused_top(self._data, self._weights, rows, keyword_rows, keyword, similarities)

    def _keywords(self, text: str, within: Mask | None, passing: Rows | None, limit: int) -> tuple[Rows, Scores]:
        """The best within the filter, counted; with few that hold every word also those that hold one."""
        words = parse_query(text).words
        for need in dict.fromkeys((len(words), 1)):
            rows, bm25 = self._found(words, need, within, passing, limit)
            if len(rows) >= FEW:
                break
        head = np.argsort(-bm25, kind="stable")[:limit]
        return rows[head], keyword_scores(bm25[head], every=need == len(words))

    def _found(
        self, words: tuple[str, ...], need: int, within: Mask | None, passing: Rows | None, limit: int
    ) -> tuple[Rows, Scores]:
        query = self._asked(words, need)
        if within is None or passing is None:
            return self._read(self._searcher.search(query, limit=limit, count=True))
        if len(passing) < TERMS_BELOW:
            ids = tantivy.Query.term_set_query(self._schema, "id", [str(row) for row in passing.tolist()])
            both = [(tantivy.Occur.Must, query), (tantivy.Occur.Must, tantivy.Query.const_score_query(ids, 0.0))]
            return self._read(self._searcher.search(tantivy.Query.boolean_query(both), limit=len(passing) or 1))
        counted: int = self._searcher.search(query, limit=1, count=True).count  # type: ignore[attr-defined]
        rows, bm25 = self._read(self._searcher.search(query, limit=max(counted, 1), count=False))
        inside = within[rows]
        return rows[inside], bm25[inside]

    def _read(self, found: Any) -> tuple[Rows, Scores]:
        hits = found.hits
        rows = np.array(self._searcher.fast_field_values("row", [address for _, address in hits]), np.uint32)
        return rows, np.array([score for score, _ in hits], np.float32)

    def _asked(self, words: tuple[str, ...], need: int) -> Any:
        """The product's query without what it adds for typing: beginnings of words, typos, synonyms."""
        parts = [tantivy.Query.term_query(self._schema, EVERYTHING, stem(word)) for word in words]
        occur = tantivy.Occur.Must if need == len(parts) else tantivy.Occur.Should
        asked = tantivy.Query.boolean_query(
            [(occur, part) for part in parts], minimum_number_should_match=None if need == len(parts) else need
        )
        bonuses = [
            (
                tantivy.Occur.Should,
                tantivy.Query.boost_query(tantivy.Query.term_query(self._schema, field, term), boost),
            )
            for field, boost in BOOSTS.items()
            if boost
            for term in (words if field in UNSTEMMED else map(stem, words))
        ]
        return tantivy.Query.boolean_query([(tantivy.Occur.Must, asked), *bonuses])

    def _nearest(self, field: int, vector: Any, within: Mask | None, passing: Rows | None, whole: bool) -> Rows:
        if passing is None or (len(passing) >= GRAPH_FROM and not whole):
            wanted = CANDIDATES if passing is None else CANDIDATES * 3 * len(self._data.quality) // (2 * len(passing))
            labels, _ = self._graphs[field].knn_query(vector[None, :], k=wanted, num_threads=1)
            rows: Rows = self._row_of[labels[0]]
            return rows if within is None else rows[within[rows]][:CANDIDATES]
        return best_of(passing, self._matrices[field][passing] @ vector, CANDIDATES)


def build_graphs(root: Path, dims: int) -> None:
    """Of vectors as they are: the product's own may hold less of each. What is newer than its vectors is kept."""
    folder = root / "bare"
    folder.mkdir(exist_ok=True)
    data = Data(root)
    for field in FIELD_NAMES:
        made, of = folder / f"{field}.bare.hnsw", root / f"{field}.npy"
        if made.exists() and made.stat().st_mtime > of.stat().st_mtime:
            continue
        vectors = data.vectors(field)
        graph = empty_graph(dims, len(vectors))
        graph.add_items(vectors, num_threads=THREADS)
        graph.save_index(str(made))
    np.save(folder / ROWS_FILE, np.arange(len(data.quality), dtype=np.uint32))


def empty_graph(dims: int, capacity: int) -> Any:
    graph = hnswlib.Index("ip", dims)
    graph.init_index(capacity, M=M, ef_construction=EF_CONSTRUCTION, random_seed=7)
    return graph


def _graph(folder: Path, field: str, dims: int, ef: int) -> Any:
    graph = hnswlib.Index("ip", dims)
    graph.load_index(str(folder / f"{field}.bare.hnsw"))
    graph.set_ef(ef)
    return graph
