"""Texts → unit vectors, by an ONNX sentence encoder loaded from a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from models.build import MODEL, REMEDY, TOKENIZER, damaged_file, read_manifest, sha256_of
from models.embedding_port import Vectors
from proto.errors import Malformed, ModelMissing

SLOW_FUSIONS = ["SkipLayerNormFusion", "BiasGeluFusion"]
"""onnxruntime 1.32 joins these operators into CPU kernels that are slower than their parts: without them one core
embeds 35 % more (348-362 instead of 268 bios/s, 84-99 instead of 74 packs of content)."""
POOLED_OUTPUTS = ("embedding", "sentence_embedding")
"""Names that exporters give the pooled output; in a file without one the first output is taken."""


class EmbeddingModel:
    """Blocking and thread-safe: actors and searches call it from their own threads.

    One text a run, although runs of 8 are up to 20 % faster on short texts: int8 activations are scaled by the largest
    in the tensor, so in a batch a text's vector depends on its neighbours (measured: cosine 0.992 on average between
    runs of 1 and of 8, 0.976 at worst). Alone it is the same bit for bit whatever comes with it, whichever thread runs
    it, and after a restart. Contents lose nothing by it (74/s against 75/s). It also needs no padding and no sorting.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        tokenizer: Tokenizer,
        *,
        model_id: str,
        threads: int,
        batch: int,
    ) -> None:
        self.model_id = model_id
        self._session, self._tokenizer, self._batch = session, tokenizer, batch
        self._inputs = [given.name for given in session.get_inputs()]
        self._output = _output_of(session)
        self._specials = tokenizer.num_special_tokens_to_add(False)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="embed")
        self.dims = int(self._run(tokenizer.encode("warm up").ids).shape[0])

    @classmethod
    def load(cls, folder: Path, *, sessions: int, batch: int, max_tokens: int) -> EmbeddingModel:
        """From a folder with ``model.onnx`` and ``tokenizer.json``; takes a second, so call it before serving.

        ``sessions``: threads that embed side by side, one a core (they share one session of one thread each: as fast as
        a session each, and the weights are held once). ``batch``: texts such a thread takes at a time. ``max_tokens``:
        longer texts are cut there, at the latest where the model ends.
        Raises ModelMissing, with the remedy, when a file is absent, damaged or not such a model.
        """
        for name in (MODEL, TOKENIZER):
            if not os.access(folder / name, os.R_OK):
                raise ModelMissing(f"{folder / name} is not there, or not readable for this user; {REMEDY}")
        model_id, longest = _described(folder)
        try:
            tokenizer = _tokenizer(folder / TOKENIZER, min(max_tokens, longest))
            session = _session(folder / MODEL)
            return cls(session, tokenizer, model_id=model_id, threads=sessions, batch=batch)
        except Exception as error:  # both libraries raise bare Exceptions and a dozen kinds of their own
            raise ModelMissing(f"{folder} holds no usable model ({error}); {REMEDY}") from error

    def embed(self, texts: Sequence[str]) -> Vectors:
        """[n, dims] float32 of unit length in the order of ``texts``; zeros for a text without a word in it.

        A few texts (a query) run in the caller's thread and never queue behind a bulk of others.
        """
        if not texts:
            return np.zeros((0, self.dims), np.float32)
        parts = [texts[start : start + self._batch] for start in range(0, len(texts), self._batch)]
        mapped: Callable[..., Any] = map if len(parts) == 1 else self._pool.map
        return np.concatenate(list(mapped(self._embed_part, parts)))

    def close(self) -> None:
        """Waits for what is running."""
        self._pool.shutdown()

    def _embed_part(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.dims), np.float32)
        for row, encoding in enumerate(self._tokenizer.encode_batch_fast([_encodable(text) for text in texts])):
            if len(encoding.ids) > self._specials:
                vectors[row] = self._run(encoding.ids)
        return vectors

    def _run(self, ids: Sequence[int]) -> Vectors:
        """[dims]. Token states are pooled by their mean; with one text there is no padding to leave out."""
        tokens = np.array([ids], np.int64)
        known = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        (output,) = self._session.run([self._output], {name: known[name] for name in self._inputs})
        vector = np.asarray(output[0], np.float32)
        if vector.ndim == 2:
            vector = vector.mean(axis=0)
        length = np.linalg.norm(vector)
        return np.asarray(vector / length if length > 0 else vector, np.float32)


def _described(folder: Path) -> tuple[str, int]:
    """(model id, the longest text in tokens). A folder without a manifest is told from others by its content."""
    try:
        manifest = read_manifest(folder)
    except Malformed as error:
        raise ModelMissing(str(error)) from error
    if manifest is None:
        return f"{folder.resolve().name}-{sha256_of(folder / MODEL)[:12]}", 512
    damaged = damaged_file(folder, manifest)
    if damaged is not None:
        raise ModelMissing(f"{damaged} does not have the checksum of its manifest; {REMEDY}")
    return manifest.model_id, manifest.max_tokens


def _tokenizer(path: Path, max_tokens: int) -> Tokenizer:
    """The file may bring its own truncation and padding; both are set here instead.

    Texts are tokenised in the thread that embeds them: threads of the tokenizer's own are woken for each part, and cost
    a sixth of the time (800 texts: 520 ms with them, 440 ms without).
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(max_tokens)
    tokenizer.no_padding()
    return tokenizer


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOW_FUSIONS
    )


def _output_of(session: onnxruntime.InferenceSession) -> str:
    names = [output.name for output in session.get_outputs()]
    return next((name for name in POOLED_OUTPUTS if name in names), names[0])


def _encodable(text: str) -> str:
    """Half a surrogate pair, as cut texts carry it, is no Unicode and would be refused."""
    return text.encode("utf-8", "replace").decode()
