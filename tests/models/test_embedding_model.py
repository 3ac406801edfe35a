"""Vectors: of unit length, the same whatever comes with them, from any sentence encoder's folder."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from daemon.config import built_folder
from models.embedding_model import EmbeddingModel
from proto.errors import ModelMissing
from tests.models.conftest import WORDS, write_lookup_model, write_tiny_tokenizer

TEXTS = [
    "home workouts and nutrition for busy people",
    "gym training plan, muscle gain",
    "stock market news, dividends and personal finance",
    "Receitas de bolo de chocolate",
    "a",
    "word " * 300,
    "오늘의 요리 레시피",
]


def load(folder: Path, *, max_tokens: int = 128, sessions: int = 1) -> EmbeddingModel:
    return EmbeddingModel.load(folder, sessions=sessions, batch=2, max_tokens=max_tokens)


def test_vectors_have_unit_length_and_meaning(model: EmbeddingModel) -> None:
    vectors = model.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), model.dims) == (len(TEXTS), 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_a_vector_does_not_depend_on_its_companions_order_thread_or_load(
    model: EmbeddingModel, model_folder: Path
) -> None:
    alone = {text: model.embed([text])[0].tobytes() for text in TEXTS}
    for seed in range(3):
        mixed = random.Random(seed).choices(TEXTS, k=11)
        assert [row.tobytes() for row in model.embed(mixed)] == [alone[text] for text in mixed], f"{seed=}"
    again = load(model_folder)
    assert [row.tobytes() for row in again.embed(TEXTS)] == list(alone.values())
    again.close()


def test_many_threads_may_embed_at_once(model: EmbeddingModel) -> None:
    expected = model.embed(TEXTS)
    with ThreadPoolExecutor(4) as threads:
        for got in threads.map(lambda _: model.embed(TEXTS), range(4)):
            np.testing.assert_array_equal(got, expected)


def test_texts_without_words_are_zeros(model: EmbeddingModel) -> None:
    vectors = model.embed(["", "   ", "\x00\u200b", "word"])
    assert vectors.any(axis=1).tolist() == [False, False, False, True]
    assert model.embed([]).shape == (0, model.dims)


def test_half_a_surrogate_pair_is_no_error(model: EmbeddingModel) -> None:
    assert model.embed(["cut off \ud83d"]).any()


def test_texts_are_cut_at_max_tokens_and_where_the_model_ends(model_folder: Path) -> None:
    short = load(model_folder, max_tokens=8)
    first, second = short.embed(["one two three four five six " + end for end in ("seven eight", "nine")])
    np.testing.assert_array_equal(first, second)
    short.close()
    endless = load(model_folder, max_tokens=100_000)
    assert endless.embed(["word " * 2_000]).any()
    endless.close()


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_absent_and_damaged_files_are_named_with_the_remedy(model_folder: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "copy")
    with (folder / name).open("r+b") as file:
        file.truncate(1_000)
    with pytest.raises(ModelMissing, match=rf"{name} does not have the checksum.*pokedexd model build"):
        load(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(ModelMissing, match=r"no usable model.*pokedexd model build"):
        load(folder)
    (folder / name).unlink()
    with pytest.raises(ModelMissing, match=rf"{name} is not there.*pokedexd model build"):
        load(folder)


def test_a_damaged_manifest_is_a_missing_model(model_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "copy")
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ModelMissing, match=r"manifest\.json.*pokedexd model build"):
        load(folder)


@pytest.mark.parametrize("output", ["last_hidden_state", "sentence_embedding"])
def test_other_encoders_are_taken_as_they_are(tmp_path: Path, output: str) -> None:
    """Token states are pooled, a pooled output is preferred to the first; the graph asks for token types."""
    folder = tmp_path / "own-model"
    folder.mkdir()
    write_tiny_tokenizer(folder / "tokenizer.json")
    table = np.random.default_rng(3).normal(size=(len(WORDS), 5)).astype(np.float32)
    write_lookup_model(folder / "model.onnx", table, output)
    model = load(folder)
    ids = [WORDS.index(word) for word in ("[CLS]", "two", "three", "[SEP]")]
    mean = table[ids].mean(axis=0)
    np.testing.assert_allclose(model.embed(["two three"])[0], mean / np.linalg.norm(mean), atol=1e-5)
    assert model.dims == 5
    assert model.model_id.startswith("own-model-")
    model.close()


def test_the_engine_writes_nothing_home_and_so_has_nothing_to_send(tmp_path: Path) -> None:
    """In a process of its own, since it is settled when the engine is loaded."""
    script = "import sys, models.embedding_model as m; m.onnxruntime.InferenceSession(sys.argv[1])"
    model = built_folder("model") / "model.onnx"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    done = subprocess.run([sys.executable, "-c", script, str(model)], env=clean | {"HOME": str(tmp_path)}, timeout=120)
    assert done.returncode == 0
    assert list(tmp_path.rglob("*")) == []
