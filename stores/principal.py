"""Fewer dimensions for graphs: the directions along which a field's vectors have the most of their length.

These are principal components, but of what is not centred, since it is inner products that must survive.
"""

from __future__ import annotations

import math

import numpy as np

from stores.ports import Vector

MULTIPLE = 16
"""hnswlib compares so many numbers at a time; what is over is compared one by one."""


def dims_kept(dims: int, share: float) -> int:
    """Of ``dims``, a share of them as a number that is quick to compare; all where that would be more."""
    return min(dims, max(math.ceil(dims * share / MULTIPLE), 1) * MULTIPLE)


def fitted(vectors: Vector, kept: int) -> Vector:
    """[dims, kept]: orthonormal columns. ``vectors``: float32 [n, dims], n at least 1."""
    _, directions = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))  # by ascending length
    return np.ascontiguousarray(directions[:, ::-1][:, :kept], np.float32)


def share_of_length(vectors: Vector, basis: Vector) -> float:
    """How much of the vectors' squared length a basis keeps, 0 to 1."""
    whole = float(np.square(vectors).sum())
    return float(np.square(vectors @ basis).sum()) / whole if whole > 0 else 1.0
