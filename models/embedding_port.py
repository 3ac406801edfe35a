"""What every embedding model is to those who use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class EmbeddingPort(Protocol):
    """Blocking and thread-safe: stages and searches call it from their own threads."""

    model_id: str
    """Vectors of equal ids may be compared, others may not."""
    dims: int

    def embed(self, texts: Sequence[str]) -> Vectors:
        """[n, dims] float32 of unit length in the order of ``texts``; zeros for a text without meaning to the model.

        Raises Unavailable where the model is elsewhere and does not answer.
        """
        ...

    def close(self) -> None: ...
