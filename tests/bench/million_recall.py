"""How much of the true best twenty was found: in a process of its own, for the memory that all vectors take.

``python -m tests.bench.million_recall ROOT`` reads a JSON list of `Judged` and writes the recall of each kind.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import trio

from daemon.control import weights_of
from daemon.embedding import open_model
from daemon.pipeline import taxonomy_of
from daemon.synonyms import niche_synonyms
from stores.blocking import Blocking
from stores.text_index import TantivyTextIndex
from tests.bench.million_world import model_config
from tests.bench.search_data import Data, Query
from tests.bench.search_oracle import Oracle, recall_of


class Judged(msgspec.Struct, kw_only=True):
    """Queries of a kind, and the ids of the creators that each found."""

    kind: str
    queries: list[Query]
    hits: list[list[int]]


def main() -> None:
    root = Path(sys.argv[1])
    judged = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Judged])
    sys.stdout.buffer.write(msgspec.json.encode(trio.run(_recall, root, judged)))


async def _recall(root: Path, judged: list[Judged]) -> dict[str, float]:
    config = model_config()
    synonyms = niche_synonyms(taxonomy_of(config))
    text = await TantivyTextIndex.open(root / "data" / "indexes", blocking=Blocking, synonyms=synonyms)
    model = open_model(config, lambda _: None)
    data = Data(root)
    oracle = Oracle(data, text, model, weights_of(config))
    found = {}
    for one in judged:
        shares = []
        for query, hits in zip(one.queries, one.hits, strict=True):
            wanted = data.creator_id[oracle.best(query)].tolist()
            shares.append(recall_of(hits, wanted))
        found[one.kind] = float(np.mean(shares))
    model.close()
    await text.close()
    return found


if __name__ == "__main__":
    main()
