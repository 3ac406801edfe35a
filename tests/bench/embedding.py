"""Texts of the stored creators through `EmbeddingModel` and through a bare onnxruntime session, part by part in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from rich.table import Table
from tokenizers import Tokenizer

from models.embedding_model import EmbeddingModel
from models.packing import MAX_PACKS, bio_text, content_packs
from proto.records import CreatorAccount
from stores.codec import decode
from stores.content import Block
from stores.env import Environment

MAX_TOKENS = 128
"""As the daemon is set by default."""
BATCH = 32
PART = 256
CREATORS, CORES = 1_000_000, 2
FIELDS_SHARE = 0.45
"""Of creators with a second account, so that many have two bios and four packs (as in the made-up world)."""


class Bare:
    """One session as onnxruntime makes it by itself, fed one text at a time."""

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        self._inputs = {given.name for given in self._session.get_inputs()}

    def embed(self, texts: Sequence[str]) -> None:
        for encoding in self._tokenizer.encode_batch(list(texts)):
            ids = np.array([encoding.ids], np.int64)
            given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            self._session.run(None, {name: given[name] for name in self._inputs})


def bench_embedding(data_dir: Path, folder: Path, texts: int) -> Table:
    bios, contents = stored_texts(data_dir, texts)
    bare = Bare(folder)
    table = Table(title="embedding: texts a second, the same texts in turn", title_justify="left")
    for heading in ("texts", "bare session, 1 thread", "model, 1 thread", "ratio", "model, 2 threads", "ratio"):
        table.add_column(heading, justify="left" if heading == "texts" else "right")
    one = EmbeddingModel.load(folder, sessions=1, batch=BATCH, max_tokens=MAX_TOKENS)
    two = EmbeddingModel.load(folder, sessions=2, batch=BATCH, max_tokens=MAX_TOKENS)
    speeds = {}
    for name, given in (("bios", bios), ("contents", contents)):
        base, single, double = rates([bare.embed, one.embed, two.embed], given)
        table.add_row(
            f"{len(given):,} {name}",
            f"{base:.0f}",
            f"{single:.0f}",
            f"{single / base:.2f}",
            f"{double:.0f}",
            f"{double / base:.2f}",
        )
        speeds[name] = double
    accounts = CREATORS * (1 + FIELDS_SHARE)
    hours = (accounts / speeds["bios"] + accounts * MAX_PACKS / speeds["contents"]) / 3_600
    table.caption = (
        f"{one.model_id}: {hours:.1f} hours for a million creators on {CORES} cores, each account with a bio and "
        f"{MAX_PACKS} packs of content"
    )
    one.close()
    two.close()
    return table


def rates(calls: Sequence[Callable[[Sequence[str]], object]], texts: Sequence[str]) -> list[float]:
    """Texts a second of each call; they take turns, so that noise on the machine meets all alike."""
    spent = [0.0] * len(calls)
    for start in range(0, len(texts), PART):
        for at, call in enumerate(calls):
            started = time.perf_counter()
            call(texts[start : start + PART])
            spent[at] += time.perf_counter() - started
    return [len(texts) / seconds for seconds in spent]


def stored_texts(data_dir: Path, limit: int) -> tuple[list[str], list[str]]:
    """What the daemon embedded: bios and packs of content, as `models.packing` makes them."""
    env = Environment(data_dir, map_size_bytes=64 << 30)
    try:
        with env.snapshot() as txn:
            bios = [bio_text(decode(CreatorAccount, value)) for _, value in txn.scan("accounts")]
            blocks = [decode(Block, value) for _, value in txn.scan("content")]
    finally:
        env.close()
    now = max(item.published_at for block in blocks for item in block.items)
    packs = [pack.text for block in blocks[: limit * 2] for pack in content_packs(list(block.items), now=now)]
    return [bio for bio in bios if bio][:limit], packs[:limit]
