"""Stored creators through the local classifier."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
from rich.table import Table

from actors.labelling import creator_texts
from models.embedding_model import EmbeddingModel
from models.local_classifier import LocalClassifier
from models.taxonomy import Taxonomy
from proto.ids import CreatorId
from stores.catalog import Catalog
from stores.codec import unpack_id
from stores.env import Environment

ITEMS = 20
TIMES = 3


async def bench_labelling(data_dir: Path, folder: Path, creators: int) -> Table:
    """Texts and vectors as the Enricher has them; the best of three rounds, with vectors and by cues alone."""
    env = Environment(data_dir, map_size_bytes=64 << 30)
    try:
        ids = await env.read(lambda txn: [CreatorId(unpack_id(key)) for key, _ in txn.scan("creators")][:creators])
        bundles = [one for one in await Catalog(env).creator_bundles(ids, ITEMS) if one is not None]
    finally:
        env.close()
    texts = [msgspec.structs.replace(creator_texts(one), categories=()) for one in bundles]
    vectors = [
        {name: np.frombuffer(record.vector, "<f2").astype(np.float32) for name, record in one.embeddings.items()}
        for one in bundles
    ]
    taxonomy, model = Taxonomy.load(), EmbeddingModel.load(folder, sessions=2, batch=8, max_tokens=128)
    with_vectors, alone = LocalClassifier(taxonomy, model.embed), LocalClassifier(taxonomy, None)
    model.close()
    table = Table(title="local labels: creators a second, one core", title_justify="left")
    table.add_column("creators", justify="right")
    table.add_column("by cues and vectors", justify="right")
    table.add_column("by cues alone", justify="right")
    spent = {True: [0.0] * TIMES, False: [0.0] * TIMES}
    for at in range(TIMES):
        for full, classifier in ((True, with_vectors), (False, alone)):
            began = time.perf_counter()
            classifier.classify_many(texts, vectors if full else [{} for _ in texts])
            spent[full][at] = time.perf_counter() - began
    table.add_row(f"{len(texts):,}", *(f"{len(texts) / min(spent[full]):,.0f}" for full in (True, False)))
    return table
