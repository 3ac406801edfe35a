from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.principal import MULTIPLE, dims_kept, fitted, share_of_length
from tests.stores.conformance.vector_index_suite import random_units


@pytest.mark.parametrize(
    ("dims", "share", "kept"),
    [(384, 0.5, 192), (384, 1.0, 384), (512, 0.5, 256), (384, 0.001, 16), (384, 0.51, 208), (8, 0.5, 8), (20, 0.5, 16)],
)
def test_so_many_dimensions_are_kept(dims: int, share: float, kept: int) -> None:
    assert dims_kept(dims, share) == kept


@given(st.integers(1, 2_000), st.floats(0, 1, exclude_min=True))
def test_never_more_than_there_are(dims: int, share: float) -> None:
    kept = dims_kept(dims, share)
    assert 1 <= kept <= dims
    assert kept % MULTIPLE == 0 or kept == dims
    assert kept >= dims * share - 1e-6 or kept == dims


@given(st.integers(1, 60), st.integers(1, 24), st.integers(0, 1_000))
def test_a_basis_is_orthonormal_and_keeps_the_most_of_what_it_learnt_from(count: int, kept: int, seed: int) -> None:
    vectors = random_units(count, 24, seed=seed)
    basis = fitted(vectors, kept)
    assert (basis.shape, basis.dtype, basis.flags.c_contiguous) == ((24, kept), np.dtype(np.float32), True)
    assert np.allclose(basis.T @ basis, np.eye(kept), atol=1e-5)
    other = np.linalg.qr(np.random.default_rng(seed).standard_normal((24, kept)))[0].astype(np.float32)
    assert share_of_length(vectors, basis) >= share_of_length(vectors, other) - 1e-5
    assert share_of_length(vectors, basis) <= 1 + 1e-5


def test_vectors_of_few_directions_lose_nothing() -> None:
    few = random_units(50, 6, seed=1) @ np.linalg.qr(np.random.default_rng(2).standard_normal((30, 6)))[0].T
    few = few.astype(np.float32)
    basis = fitted(few, 16)
    assert (few @ basis) @ (few @ basis).T == pytest.approx(few @ few.T, abs=1e-5)
    assert share_of_length(few, basis) == pytest.approx(1.0)


def test_of_nothing_all_is_kept() -> None:
    assert share_of_length(np.zeros((3, 8), np.float32), np.eye(8, 4, dtype=np.float32)) == 1.0
