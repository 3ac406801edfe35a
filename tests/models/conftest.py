"""The real model, built once from the installed package, and a tiny one of the same form that builds in a moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.build import build, find_source
from models.embedding_model import EmbeddingModel
from models.minilm import MINILM

TINY = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "max_position_embeddings": 24,
    "layer_norm_eps": 1e-12,
    "vocab_size": 40,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "one", "two", "three", "four", "five", "six"]


@pytest.fixture(scope="session")
def source() -> Path:
    found = find_source(MINILM)
    if found is None:
        pytest.skip("the package with the model's weights is not installed")
    return found


@pytest.fixture(scope="session")
def model_folder(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "built"
    build(MINILM, source, folder, lambda _: None)
    return folder


@pytest.fixture(scope="session")
def model(model_folder: Path) -> Iterator[EmbeddingModel]:
    loaded = EmbeddingModel.load(model_folder, sessions=2, batch=4, max_tokens=128)
    yield loaded
    loaded.close()


def tiny_weights(seed: int = 7) -> dict[str, NDArray[np.float32]]:
    """Tensors named and shaped as published, with a prefix as some files have."""
    random = np.random.default_rng(seed)
    size, inner = TINY["hidden_size"], TINY["intermediate_size"]
    assert isinstance(size, int) and isinstance(inner, int)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (40, size),
        "embeddings.position_embeddings.weight": (24, size),
        "embeddings.token_type_embeddings.weight": (2, size),
        "embeddings.LayerNorm.weight": (size,),
        "embeddings.LayerNorm.bias": (size,),
    }
    for layer in range(2):
        prefix = f"encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{prefix}.{part}.weight": (size, size), f"{prefix}.{part}.bias": (size,)}
        shapes |= {f"{prefix}.intermediate.dense.weight": (inner, size), f"{prefix}.intermediate.dense.bias": (inner,)}
        shapes |= {f"{prefix}.output.dense.weight": (size, inner), f"{prefix}.output.dense.bias": (size,)}
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{prefix}.{norm}.weight": (size,), f"{prefix}.{norm}.bias": (size,)}
    return {f"bert.{name}": random.normal(0.0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def write_tiny_tokenizer(path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", WORDS.index("[CLS]")), ("[SEP]", WORDS.index("[SEP]"))]
    )
    tokenizer.save(str(path))


@pytest.fixture
def tiny_source(tmp_path: Path) -> Path:
    """A folder as the published one, with a model of two layers and ten words."""
    from safetensors.numpy import save_file

    folder = tmp_path / "weights"
    folder.mkdir()
    save_file(tiny_weights(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(TINY))
    write_tiny_tokenizer(folder / "tokenizer.json")
    return folder


def write_lookup_model(path: Path, table: NDArray[np.float32], output: str) -> None:
    """Token states are rows of ``table``, plus the token type; ``sentence_embedding`` is their mean times two."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["token_type_ids"], ["types"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["types", "last"], ["wide"]),
        helper.make_node("Add", ["rows", "wide"], ["last_hidden_state"]),
    ]
    outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["b", "s", table.shape[1]])]
    if output == "sentence_embedding":
        nodes += [
            helper.make_node("ReduceMean", ["last_hidden_state", "middle"], ["mean"], keepdims=0),
            helper.make_node("Add", ["mean", "mean"], [output]),
        ]
        outputs.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["b", table.shape[1]]))
    names = ("input_ids", "token_type_ids")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "s"]) for name in names]
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([2], np.int64), "last"),
        numpy_helper.from_array(np.array([1], np.int64), "middle"),
    ]
    graph = helper.make_graph(nodes, "lookup", inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
