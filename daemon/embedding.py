"""Opens the embedding model that the settings name, and the one that it replaces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx2
import msgspec

from daemon.config import Config, ModelConfig, built_folder, model_folder
from models.embedding_endpoint import EndpointModel
from models.embedding_model import EmbeddingModel
from models.embedding_port import EmbeddingPort
from proto.errors import ModelMissing

BUILT = ("model", "universal")
"""Folders that `pokedexd model build` writes."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model was found, kept in the store so that it is found again when another is in force. No secrets."""

    model_id: str
    kind: str = "onnx"
    dir: str = ""
    url: str = ""
    name: str = ""
    dims: int = 0


def open_model(config: Config, on_state: Callable[[str], None]) -> EmbeddingPort:
    """Blocking. ``on_state`` is told what is wrong with an endpoint, empty when nothing is. Raises ModelMissing."""
    model = config.model
    if model.kind != "endpoint":
        return _in_folder(model_folder(config), model)
    return EndpointModel(
        httpx2.Client(trust_env=False),
        url=model.url,
        name=model.name,
        key=model.key,
        dims=model.dims,
        batch=model.batch,
        timeout_seconds=model.timeout_seconds,
        on_state=on_state,
    )


def place_of(config: Config, model: EmbeddingPort) -> Place:
    """Of the model in force."""
    settings = config.model
    if settings.kind == "endpoint":
        return Place(model_id=model.model_id, kind="endpoint", url=settings.url, name=settings.name, dims=model.dims)
    return Place(model_id=model.model_id, dir=str(model_folder(config)))


def open_earlier(place: Place, config: Config) -> EmbeddingPort:
    """Blocking. The model that another replaces, where it was or where models are built. Raises ModelMissing."""
    if place.kind == "endpoint":
        key = config.model.key if place.url == config.model.url else ""
        settings = msgspec.structs.replace(
            config.model, kind="endpoint", url=place.url, name=place.name, dims=place.dims, key=key
        )
        return open_model(msgspec.structs.replace(config, model=settings), lambda _: None)
    folders = [Path(place.dir)] if place.dir else []
    for folder in dict.fromkeys([*folders, *map(built_folder, BUILT)]):
        try:
            model = _in_folder(folder, config.model)
        except ModelMissing:
            continue
        if model.model_id == place.model_id:
            return model
        model.close()
    raise ModelMissing(f"{place.model_id} is not in {', '.join(map(str, folders)) or 'any folder that is known'}")


def _in_folder(folder: Path, settings: ModelConfig) -> EmbeddingModel:
    return EmbeddingModel.load(folder, sessions=settings.sessions, batch=settings.batch, max_tokens=settings.max_tokens)
