"""Turns published weights into the int8 ONNX file that `EmbeddingModel` runs. Done once."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from proto.errors import Malformed, ModelMissing

WEIGHTS, TOKENIZER, SHAPE = "model.safetensors", "tokenizer.json", "config.json"
MODEL, MANIFEST = "model.onnx", "manifest.json"
REMEDY = "install the package with the weights (--no-deps) and run `pokedexd model build`, or `pokedexd model build --from DIR`"


class Recipe(msgspec.Struct, kw_only=True, frozen=True):
    """How one model is made of what a package ships."""

    model_id: str
    version: int
    """Counts changes of how the file is made; raising it makes `build` write a new one, and asks for a new model id."""
    package: str
    """Whose data files are the weights; it is never imported."""
    module: str
    folder: str
    """Within the module."""
    files: tuple[str, ...]
    """The first holds the weights."""
    write: Callable[[Path, Path, Callable[[str], None]], tuple[int, int]]
    """Source, target and progress; writes model and tokenizer, returns (dims, the longest text in tokens)."""


class Manifest(msgspec.Struct, kw_only=True, frozen=True):
    """What lies beside the built model: ``sha256`` by file name, and the hash of the weights it was made from."""

    model_id: str
    dims: int
    max_tokens: int
    recipe: int
    sha256: dict[str, str]
    built_from: str


def find_source(recipe: Recipe) -> Path | None:
    """The folder of the installed package with the weights, found without importing it; None when not installed."""
    spec = importlib.util.find_spec(recipe.module)
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / recipe.folder
        if (folder / recipe.files[0]).is_file():
            return folder
    return None


def build(recipe: Recipe, source: Path, target: Path, progress: Callable[[str], None]) -> None:
    """Writes ``target`` with model, tokenizer and manifest; nothing is done when it is there and made from ``source``.

    Built in a folder beside it, synced, then renamed: ``target`` never holds half a model.
    Raises ModelMissing when a file or a build package is absent, Malformed when a file is damaged, or something else than
    a model is where it is to go.
    """
    if target.exists() and not _is_replaceable(target):
        raise Malformed(f"{target}: something else than a model is there; name another folder")
    for name in recipe.files:
        if not (source / name).is_file():
            raise ModelMissing(f"{source / name} is not there; {REMEDY}")
    built_from = sha256_of(source / recipe.files[0])
    if _is_current(target, recipe, built_from):
        progress(f"{target} is up to date")
        return
    _make_readable(target.parent)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
        folder = Path(beside) / "new"
        folder.mkdir()
        dims, max_tokens = recipe.write(source, folder, progress)
        manifest = Manifest(
            model_id=recipe.model_id,
            dims=dims,
            max_tokens=max_tokens,
            recipe=recipe.version,
            sha256={name: sha256_of(folder / name) for name in (MODEL, TOKENIZER)},
            built_from=built_from,
        )
        (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        for path in folder.iterdir():
            path.chmod(0o644)
        folder.chmod(0o755)
        _sync(folder)
        _put_in_place(folder, target, Path(beside) / "old")
    progress(f"{target} is ready ({(target / MODEL).stat().st_size / 1e6:.0f} MB)")


def _is_replaceable(target: Path) -> bool:
    return target.is_dir() and ((target / MODEL).is_file() or not any(target.iterdir()))


def _make_readable(folder: Path) -> None:
    """Whoever builds a model is seldom the service's user, and the command's own files are for nobody else."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        one.chmod(0o755)


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


def quantise(graph: Any, path: Path, progress: Callable[[str], None]) -> None:
    """Checks an ``onnx.ModelProto`` and writes it as int8, which takes half the time of fp32 at a cosine of 0.99."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    onnx.checker.check_model(graph)
    # Shapes and constants are in their final form already: spares a warning that asks for a preparing step.
    graph.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    progress("quantising to int8")
    # Signed, a scale per channel: the one form that is faster than fp32. Only matrix products: the table of words
    # gains no time from it and would lose precision.
    quantize_dynamic(graph, path, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)


def _is_current(target: Path, recipe: Recipe, built_from: str) -> bool:
    try:
        manifest = read_manifest(target)
    except Malformed:
        return False
    return (
        manifest is not None
        and (manifest.model_id, manifest.recipe, manifest.built_from) == (recipe.model_id, recipe.version, built_from)
        and damaged_file(target, manifest) is None
    )


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
