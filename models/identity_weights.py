"""The fitted weights of identity evidence: log-odds by ``kind:level``, as `pokedexd eval identity --fit` writes them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from proto.errors import Malformed

SHIPPED = Path(__file__).with_suffix(".json")


class FittedWeights(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``weights``: natural logarithms of odds; ``pairs`` and ``matches``: what they were fitted on."""

    pairs: int
    matches: int
    weights: dict[str, float]


def load_weights(path: Path, names: Collection[str]) -> dict[str, float]:
    """``names``: every level that may be met. Raises Malformed for a file that cannot be read or lacks some."""
    try:
        fitted = msgspec.json.decode(path.read_bytes(), type=FittedWeights)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(
            f"{path}: no fitted weights: {error}; write some by pokedexd eval identity --fit FILE"
        ) from error
    if missing := sorted(set(names) - fitted.weights.keys()):
        raise Malformed(f"{path}: lacks {', '.join(missing[:5])}; fit anew by pokedexd eval identity --fit FILE")
    return {name: fitted.weights[name] for name in names}


def save_weights(path: Path, fitted: FittedWeights) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(fitted), indent=2) + b"\n")
