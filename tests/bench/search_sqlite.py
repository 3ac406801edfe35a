"""The same search by SQLite: FTS5 and sqlite-vec, one file, as well as it can be put."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import sqlite_vec

from daemon.indexing import FIELD_NAMES
from models.embedding_port import EmbeddingPort
from stores.analysis import stem
from stores.keyword_match import HEAD
from stores.ports import Rows, Scores, Vector, Weights
from stores.query_text import parse_query
from stores.text_lookup import BOOSTS
from tests.bench.search_data import TEXT_COLUMNS, Data, Query
from tests.bench.search_fusion import CANDIDATES, FEW, fused_top, keyword_scores

MAP_BYTES, CACHE_KIB = 8 << 30, 1 << 20
CHUNK = 1_000
BONUS = ", ".join(str(1.0 + BOOSTS.get(column, 0.0)) for column in TEXT_COLUMNS)
"""Every column counts, and those that count more in the product as much more."""
TOKENIZER = "unicode61 remove_diacritics 0 categories 'L* N* Co M*'"
"""Words are folded already; marks belong to words of Indic scripts."""


def build(root: Path) -> Path:
    """Partitions by niche, followers and country as metadata (performance.md 7); resumes nothing, but is made once."""
    path, unfinished = root / "peer.sqlite", root / "peer.sqlite.part"
    if path.exists():
        return path
    unfinished.unlink(missing_ok=True)
    data = Data(root)
    held = _open(unfinished)
    held.execute("pragma journal_mode=off; pragma synchronous=off")
    dims = data.vectors(FIELD_NAMES[0]).shape[1]
    fields = ", ".join(f"{field} float[{dims}] distance_metric=cosine" for field in FIELD_NAMES)
    held.execute(
        f"create virtual table vecs using vec0(row integer primary key, niche text partition key, followers integer, country text, {fields})"
    )
    held.execute("create table c (row integer primary key, niche text, country text, followers integer)")
    for field in FIELD_NAMES:
        held.execute(f"create table v_{field} (row integer primary key, v blob)")
    held.execute(f'create virtual table ft using fts5({", ".join(TEXT_COLUMNS)}, content="", tokenize="{TOKENIZER}")')
    matrices = [data.vectors(field) for field in FIELD_NAMES]
    with held:
        held.execute("attach ? as w", (str(root / "words.sqlite"),))
        held.execute(
            f"insert into ft (rowid, {', '.join(TEXT_COLUMNS)}) select row, {', '.join(TEXT_COLUMNS)} from w.words order by row"
        )
    with held:
        for row in range(len(data.niche)):
            facts = (str(data.niche[row]), str(data.country[row]), int(data.followers[row]))
            held.execute("insert into c values (?,?,?,?)", (row, *facts))
            vectors = [matrix[row].tobytes() for matrix in matrices]
            held.execute("insert into vecs values (?,?,?,?,?,?,?,?)", (row, facts[0], facts[2], facts[1], *vectors))
            for field, vector in zip(FIELD_NAMES, vectors, strict=True):
                held.execute(f"insert into v_{field} values (?,?)", (row, vector))
    held.execute("insert into ft(ft) values('optimize'); analyze")
    held.close()
    unfinished.rename(path)
    return path


class Sqlite:
    """A connection for each thread."""

    def __init__(self, root: Path, model: EmbeddingPort, weights: Weights) -> None:
        self._path, self._data, self._model, self._weights = root / "peer.sqlite", Data(root), model, weights
        self._local = threading.local()

    def search(self, query: Query, whole: bool = False) -> Rows:
        """Rows, best first. ``whole``: with every keyword match, not the best alone, for the oracle."""
        vector = self._model.embed([query.text])[0]
        limit = len(self._data.quality) if whole else HEAD
        keyword_rows, keyword = self._keywords(query, limit)
        near = [self._nearest(field, vector, query) for field in FIELD_NAMES]
        rows = np.unique(np.concatenate([keyword_rows, *near]))
        similarities = self._similarities(rows, vector)
        return fused_top(self._data, self._weights, rows, keyword_rows, keyword, similarities)

    def _keywords(self, query: Query, limit: int) -> tuple[Rows, Scores]:
        words = [stem(word) for word in parse_query(query.text).words]
        for joint in (" AND ", " OR "):
            found = self._found(joint.join(f'"{word}"' for word in words), query, limit)
            if len(found) >= FEW:
                break
        rows = np.array([row for row, _ in found], np.uint32)
        bm25 = -np.array([score for _, score in found], np.float32)
        return rows, keyword_scores(bm25, every=joint == " AND ")

    def _found(self, match: str, query: Query, limit: int) -> list[tuple[Any, ...]]:
        """And their number. CROSS JOIN: else the planner asks FTS for every row of the filter, half a second long."""
        clauses, values = _clauses(query, "c.")
        source = "ft cross join c on c.row = ft.rowid" if clauses else "ft"
        where = f"ft match ?{''.join(f' and {one}' for one in clauses)}"
        self._rows(f"select count(*) from {source} where {where}", (match, *values))
        ranked = f"select ft.rowid, bm25(ft, {BONUS}) as score from {source} where {where} order by score limit ?"
        return self._rows(ranked, (match, *values, limit))

    def _nearest(self, field: str, vector: Vector, query: Query) -> Rows:
        clauses, values = _clauses(query)
        where = "".join(f" and {one}" for one in clauses)
        found = self._rows(
            f"select row from vecs where {field} match ? and k = ?{where}", (vector.tobytes(), CANDIDATES, *values)
        )
        return np.array([row for (row,) in found], np.uint32)

    def _similarities(self, rows: Rows, vector: Vector) -> list[Scores]:
        wanted, packed = json.dumps(rows.tolist()), vector.tobytes()
        return [
            np.array(
                [
                    1.0 - distance
                    for (distance,) in self._rows(
                        f"select vec_distance_cosine(v.v, ?) from json_each(?) j cross join v_{field} v on v.row = j.value",
                        (packed, wanted),
                    )
                ],
                np.float32,
            )
            for field in FIELD_NAMES
        ]

    def _rows(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        if not hasattr(self._local, "held"):
            self._local.held = _open(self._path)
        rows: list[tuple[Any, ...]] = self._local.held.execute(sql, values).fetchall()
        return rows


def _clauses(query: Query, table: str = "") -> tuple[list[str], list[object]]:
    found: list[tuple[str, object]] = []
    if query.niche:
        found += [(f"{table}niche = ?", query.niche), (f"{table}followers < ?", query.below)]
    if query.country:
        found.append((f"{table}country = ?", query.country))
    return [clause for clause, _ in found], [value for _, value in found]


def _open(path: Path) -> apsw.Connection:
    held = apsw.Connection(str(path))
    held.enable_load_extension(True)
    held.load_extension(sqlite_vec.loadable_path())
    held.execute(f"pragma mmap_size={MAP_BYTES}; pragma cache_size=-{CACHE_KIB}")
    return held
