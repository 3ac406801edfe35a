"""Search over HTTP against the same engines called directly, query by query in turn."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hnswlib
import httpx2
import numpy as np
import tantivy
from numpy.typing import NDArray
from rich.table import Table

from models.embedding_model import EmbeddingModel
from stores.vectors import FITTED_ROWS
from tests.flow.processes import Daemon

CANDIDATES = 100
LIMIT = 20


class Engines:
    """The files that the daemon saved, opened with the bare libraries: no union, no ranking, no records, no HTTP."""

    def __init__(self, indexes: Path, model: EmbeddingModel) -> None:
        self._model = model
        folder = max(path for path in indexes.glob("text-*") if (path / "checkpoint").exists())
        self._text = tantivy.Index.open(str(folder))
        self._searcher = self._text.searcher()
        self._fields = [_graph(path, model.dims) for path in sorted(indexes.glob("*.hnsw"))]
        if any(graph.element_count >= FITTED_ROWS for graph in self._fields):
            raise ValueError(
                f"with {FITTED_ROWS:,} creators or more the daemon's graphs hold less: bench-search has its own"
            )

    def embed(self, text: str) -> NDArray[np.float32]:
        return self._model.embed([text])

    def keywords(self, text: str) -> Any:
        query = self._text.parse_query_lenient(text.lower(), ["name", "handle", "bio", "titles", "summary", "niche"])[0]
        return self._searcher.search(query, limit=LIMIT).hits

    def nearest(self, vector: NDArray[np.float32]) -> None:
        for graph in self._fields:
            graph.knn_query(vector, k=min(CANDIDATES, graph.element_count), num_threads=1)

    def all(self, text: str) -> None:
        self.keywords(text)
        self.nearest(self.embed(text))


def _graph(path: Path, dims: int) -> Any:
    graph = hnswlib.Index("ip", dims)
    graph.load_index(str(path))
    graph.set_ef(CANDIDATES)
    return graph


def bench_search(daemon: Daemon, model_folder: Path, queries: int, seed: int) -> Table:
    """Queries are words from summaries of the daemon's own creators; none is asked twice, so no cache answers."""
    model = EmbeddingModel.load(model_folder, sessions=1, batch=8, max_tokens=256)
    wait_for_compact(daemon)
    engines = Engines(daemon.data_dir / "indexes", model)
    with httpx2.Client(base_url=daemon.url, trust_env=False, timeout=30) as client:
        texts = make_queries(client, queries, seed)
        timings: dict[str, list[float]] = {name: [] for name in ("http", "engines", "embed", "keywords", "vectors")}
        for text in texts:
            vector = engines.embed(text)
            timings["engines"].append(timed(engines.all, text))
            timings["http"].append(timed(ask, client, text))
            timings["embed"].append(timed(engines.embed, text))
            timings["keywords"].append(timed(engines.keywords, text))
            timings["vectors"].append(timed(engines.nearest, vector))
    model.close()
    return _table(timings, len(texts))


def wait_for_compact(daemon: Daemon) -> None:
    """The text index is rewritten once the daemon is idle; its files do not change after that."""
    deadline = time.monotonic() + 60
    while daemon.get("/readyz").json()["dependencies"]["keyword_search"]["detail"] != "compact":
        if time.monotonic() > deadline:
            raise RuntimeError("the text index was not compact within 60 s")
        time.sleep(0.2)


def make_queries(client: httpx2.Client, count: int, seed: int) -> list[str]:
    chosen = random.Random(seed)
    found = client.get("/v1/search", params={"q": "", "limit": 100}).json()["hits"]
    texts = [hit["creator"]["llm_summary"] for hit in found]
    words = sorted({word for text in texts for word in text.split() if word.isalpha() and len(word) > 3})
    queries = {f"{chosen.choice(words)} {chosen.choice(words)} {chosen.choice(words)}" for _ in range(count * 2)}
    return sorted(queries)[:count]


def ask(client: httpx2.Client, text: str) -> None:
    reply = client.get("/v1/search", params={"q": text, "limit": LIMIT})
    reply.raise_for_status()
    assert reply.json()["hits"], text


def timed(call: Callable[..., Any], *arguments: Any) -> float:
    started = time.perf_counter()
    call(*arguments)
    return (time.perf_counter() - started) * 1_000


def _table(timings: dict[str, list[float]], queries: int) -> Table:
    table = Table(title=f"search: {queries} queries, {LIMIT} hits, asked in turn", title_justify="left")
    for heading in ("what", "p50 ms", "p95 ms", "p50 against the engines"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    base = float(np.percentile(timings["engines"], 50))
    for name, label in (
        ("http", "GET /v1/search over HTTP"),
        ("engines", "engines called directly, one after the other"),
        ("embed", "  the query's vector (onnxruntime)"),
        ("keywords", "  keywords (tantivy)"),
        ("vectors", "  the vector fields (hnswlib)"),
    ):
        p50, p95 = (float(np.percentile(timings[name], share)) for share in (50, 95))
        table.add_row(label, f"{p50:.2f}", f"{p95:.2f}", f"{p50 / base:.2f}")
    return table
