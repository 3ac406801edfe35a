"""A bit a dimension beside a row's numbers, its sign: enough to tell which of many rows are worth comparing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stores.ports import Rows, Scores, Vector

Signs = NDArray[np.uint64]
"""[n, words]: a dimension's bit is set where its number is above 0; those behind the last dimension are not."""

LEVELS, LEVEL_BITS = 7, 4
"""The other vector's numbers become whole ones from -7 to 7. By their signs alone it takes a third of the time, and half as
many again of the nearest are missed."""
BLOCK = 2_048
"""Rows looked at at once: what is counted of them stays in the cache."""


def no_signs(size: int, dims: int) -> Signs:
    return np.zeros((size, -(-dims // 64)), np.uint64)


def signs_of(codes: NDArray[np.int8]) -> Signs:
    packed = np.packbits(codes > 0, axis=1, bitorder="little")
    signs = no_signs(*codes.shape)
    signs.view(np.uint8)[:, : packed.shape[1]] = packed
    return signs


def shortlist(signs: Signs, rows: Rows, vector: Vector, kept: int) -> Rows:
    """In their order, the ``kept`` of ``rows`` whose signs have the largest inner product with ``vector``, and what ties
    with the last of them. All rows where the vector has no direction. ``kept``: 1 to as many as there are."""
    largest = np.abs(vector).max(initial=0.0)
    if not 0 < largest < np.inf:
        return rows
    levels = np.rint(vector / largest * LEVELS).astype(np.int8)
    scores = _products(signs, rows, levels)
    listed: Rows = rows[scores >= np.partition(scores, -kept)[-kept]]
    return listed


def _products(signs: Signs, rows: Rows, levels: NDArray[np.int8]) -> Scores:
    """[n]: of each row, the sum of the levels where it is above 0. Whole numbers, exact in float32, so that equal signs
    tie wherever they stand."""
    lifted = (levels + LEVELS).astype(np.uint8)
    planes = np.stack([np.ones_like(lifted), *((lifted >> bit) & 1 for bit in range(LEVEL_BITS))])
    masks = signs_of(planes.astype(np.int8))[:, :, None]
    weights = np.repeat(np.array([-LEVELS, *(1 << bit for bit in range(LEVEL_BITS))], np.float32), signs.shape[1])
    scores = np.empty(len(rows), np.float32)
    for begin in range(0, len(rows), BLOCK):
        part = signs.take(rows[begin : begin + BLOCK], axis=0)
        counts = np.bitwise_count(np.ascontiguousarray(part.T) & masks)  # long rows of it are counted faster
        scores[begin : begin + BLOCK] = weights @ counts.reshape(len(weights), -1).astype(np.float32)
    return scores
