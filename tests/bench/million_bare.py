"""The engine alone: four hnswlib graphs of the world's vectors, by two threads, with nothing around them.

``python -m tests.bench.million_bare TARGET CHUNK…`` adds the vectors of each chunk in turn and prints, a line of JSON
each, how long the graphs took for it. The graphs are saved under TARGET, for the searches that are compared; a label is a creator's place in the files.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import msgspec
import numpy as np

from daemon.indexing import FIELD_NAMES
from tests.bench.million_world import CHUNK, vector_file
from tests.bench.search_engines import THREADS, empty_graph

DIMS = 384


class Inserted(msgspec.Struct, kw_only=True):
    """After a chunk: creators in the graphs, and the seconds and vectors of this chunk."""

    creators: int
    vectors: int
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.million_bare", description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("chunks", type=Path, nargs="+")
    given = parser.parse_args()
    given.target.mkdir(parents=True, exist_ok=True)
    graphs = {field: empty_graph(DIMS, len(given.chunks) * CHUNK) for field in FIELD_NAMES}
    for at, chunk in enumerate(given.chunks):
        vectors, seconds = 0, 0.0
        for field, graph in graphs.items():
            matrix = np.load(vector_file(chunk, field)).astype(np.float32)
            rows = np.flatnonzero(matrix.any(axis=1))
            began = time.perf_counter()
            graph.add_items(matrix[rows], at * CHUNK + rows, num_threads=THREADS)
            seconds += time.perf_counter() - began
            vectors += len(rows)
        told = Inserted(creators=(at + 1) * CHUNK, vectors=vectors, seconds=seconds)
        sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
        sys.stdout.buffer.flush()
    for field, graph in graphs.items():
        graph.save_index(str(given.target / f"{field}.bare.hnsw"))


if __name__ == "__main__":
    main()
