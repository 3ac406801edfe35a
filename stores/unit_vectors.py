"""Which vectors point somewhere: only those of unit length are compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stores.ports import Vector

UNIT_TOLERANCE = 1e-2


def of_unit_length(vectors: Vector) -> NDArray[np.bool_]:
    """``vectors`` float32 [n, dims] → [n]. What a model makes of a text without meaning to it, zeros, is not, nor is what is
    not finite."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return np.asarray(np.abs(lengths - 1) <= UNIT_TOLERANCE)
