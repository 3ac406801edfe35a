from __future__ import annotations

import numpy as np
import pytest

from stores import vector_rows
from stores.ports import Vector
from stores.vector_rows import (
    INT8_FROM,
    KEPT_PER_WANTED,
    KINDS,
    SHORTLIST_FROM,
    CodeRows,
    FloatRows,
    VectorRows,
    kind_for,
    make_rows,
)
from stores.vector_signs import LEVELS, shortlist, signs_of
from tests.stores.conformance.vector_index_suite import random_units

DIMS = 384


def mixture(count: int, queries: int, seed: int) -> tuple[Vector, Vector]:
    """Unit vectors in clusters of clusters, as texts of few subjects have: rows, and queries near some of them."""
    drawn = np.random.default_rng(seed)
    niches = drawn.standard_normal((24, DIMS))
    topics = niches[drawn.integers(24, size=960)] + 0.6 * drawn.standard_normal((960, DIMS))
    latent = drawn.standard_normal((32, DIMS))

    def draw(number: int) -> Vector:
        vectors = topics[drawn.integers(960, size=number)] + 0.15 * drawn.standard_normal((number, 32)) @ latent
        vectors += 0.1 * drawn.standard_normal((number, DIMS))
        units: Vector = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return units

    return draw(count), draw(queries)


@pytest.fixture(autouse=True)
def few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few rows show what a million do."""
    monkeypatch.setattr(vector_rows, "KEPT", KEPT_PER_WANTED)


def filled(kind: str, vectors: Vector) -> VectorRows:
    rows = make_rows(kind, len(vectors) + 10, vectors.shape[1])
    rows.put(np.arange(len(vectors), dtype=np.uint32), vectors)
    return rows


def test_codes_find_nearly_all_that_exact_comparison_finds() -> None:
    vectors, queries = mixture(20_000, 100, seed=1)
    codes, wanted, found, worst = filled("int8", vectors), 0, 0, 0.0
    everyone = np.arange(len(vectors), dtype=np.uint32)
    for query in queries:
        exact, near = vectors @ query, codes.compared(everyone, query)
        worst = max(worst, float(np.abs(exact - near).max()))
        best = np.argpartition(-exact, 20)[:20]
        wanted, found = wanted + 20, found + len(np.intersect1d(best, np.argpartition(-near, 20)[:20]))
    print(f"\nint8 against exact, 20,000 x {DIMS}: recall of 20 {found / wanted:.4f}, error at most {worst:.5f}")
    assert found / wanted >= 0.98
    assert worst < 0.002


def test_signs_leave_nearly_all_that_comparing_every_code_finds() -> None:
    vectors, queries = mixture(40_000, 25, seed=8)
    rows, everyone = filled("int8", vectors), np.arange(40_000, dtype=np.uint32)
    found = {20: 0, 200: 0}
    for query in queries:
        near = rows.compared(everyone, query)
        listed = rows.shortlist(everyone, query, 200)
        assert len(listed) < 12_000
        for most in found:
            found[most] += len(np.intersect1d(np.argpartition(-near, most)[:most], listed))
    shares = {most: hits / (most * len(queries)) for most, hits in found.items()}
    print(f"\nsigns, then codes, against all codes, 40,000 x {DIMS}: of 20 {shares[20]:.4f}, of 200 {shares[200]:.4f}")
    assert shares[20] >= 0.995
    assert shares[200] >= 0.97


@pytest.mark.parametrize("dims", [1, 24, 64, 100, 384])
def test_a_shortlist_is_of_those_whose_signs_fit_best(dims: int) -> None:
    vectors, (query,) = random_units(3_000, dims, seed=20), random_units(1, dims, seed=21)
    rows = np.arange(0, 3_000, 2, dtype=np.uint32)
    codes = np.rint(vectors * 127).astype(np.int8)
    levels = np.rint(query / np.abs(query).max() * LEVELS)
    fitting = (codes[rows] > 0) @ levels
    for kept in (1, 100, 1_500):
        wanted = rows[fitting >= np.sort(fitting)[-kept]]
        assert shortlist(signs_of(codes), rows, query, kept).tolist() == wanted.tolist()


def test_of_few_rows_none_is_left_out() -> None:
    rows, few = filled("int8", random_units(1_000, 100, seed=22)), SHORTLIST_FROM * KEPT_PER_WANTED - 1
    floats, (query,) = filled("float32", random_units(1_000, 100, seed=22)), random_units(1, 100, seed=23)
    for count in (0, 1, few):
        some = np.arange(count, dtype=np.uint32)
        assert rows.shortlist(some, query, 1).tolist() == some.tolist()
        assert rows.shortlist(some, query, 0).tolist() == some.tolist()
    everyone = np.arange(1_000, dtype=np.uint32)
    assert len(rows.shortlist(everyone, query, 1)) < 300
    assert len(floats.shortlist(everyone, query, 1)) == len(rows.shortlist(everyone, query, 500)) == 1_000


def test_signs_that_tell_nothing_leave_all() -> None:
    """Equal ones tie, wherever they stand; and a vector of no direction has no best."""
    same, (other,) = np.repeat(random_units(1, 100, seed=24), 5_000, axis=0), random_units(1, 100, seed=25)
    rows, everyone = filled("int8", same), np.arange(5_000, dtype=np.uint32)
    for query in (same[0], other, *(np.full(100, value, np.float32) for value in (0.0, 1e-42, np.nan, np.inf))):
        assert len(rows.shortlist(everyone, query, 1)) == 5_000


def test_signs_follow_what_is_put_wiped_grown_and_read_back() -> None:
    vectors = random_units(2_000, 100, seed=26)
    queries = vectors[[1_007, *range(0, 2_000, 250)]]
    everyone = np.arange(2_000, dtype=np.uint32)

    def listed(rows: VectorRows) -> list[list[int]]:
        return [rows.shortlist(everyone, query, 1).tolist() for query in queries]

    rows = filled("int8", vectors)
    rows.put(everyone[:1_000], vectors[1_000:])
    rows.wipe(7)
    changed = listed(rows)
    fresh = filled("int8", np.concatenate([vectors[1_000:], vectors[1_000:]]))
    assert changed != listed(fresh), "a wiped row has no signs"
    fresh.wipe(7)
    assert changed == listed(fresh) == listed(rows.grown(9_000)) != listed(filled("int8", vectors))
    back = make_rows("int8", 2_500, 100)
    for part, saved in zip(back.parts(2_000), rows.parts(2_000), strict=True):
        part[:] = saved
    back.refilled(2_000)
    assert listed(back) == changed


@pytest.mark.parametrize("kind", KINDS[1:])
def test_comparing_some_and_all_says_the_same_as_their_vectors(kind: str) -> None:
    vectors = random_units(1_300, 48, seed=2)
    rows, some = filled(kind, vectors), np.array([1_299, 3, 700, 3], np.uint32)
    assert rows.kind == kind
    everyone = rows.scanned(1_300, vectors[3])
    assert rows.compared(some, vectors[3]) == pytest.approx(everyone[some], abs=1e-5)
    assert rows.vectors_of(some) @ vectors[3] == pytest.approx(everyone[some], abs=1e-5)
    assert rows.vectors_of([700]) == pytest.approx(vectors[[700]], abs=0.005)
    assert rows.vectors_of([]).shape == (0, 48)
    assert len(rows.compared(some[:0], vectors[3])) == 0


def test_float_rows_are_exact() -> None:
    vectors = random_units(700, 48, seed=3)
    rows = filled("float32", vectors)
    assert (rows.vectors_of(range(700)) == vectors).all()
    assert (rows.scanned(700, vectors[5]) == vectors @ vectors[5]).all()


@pytest.mark.parametrize("kind", KINDS[1:])
def test_what_was_wiped_or_never_put_is_zero(kind: str) -> None:
    vectors = random_units(5, 8, seed=4)
    rows = filled(kind, vectors)
    rows.wipe(2)
    assert not rows.vectors_of([2, 9]).any()
    assert not any(part[2].any() for part in rows.parts(5)), "no trace of it"
    assert rows.scanned(5, vectors[2])[2] == 0


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_vector_that_stands_already_is_the_same(kind: str) -> None:
    vectors = random_units(4, 8, seed=5)
    rows, all_of_them = filled(kind, vectors), np.arange(4, dtype=np.uint32)
    moved = vectors.copy()
    moved[1] = vectors[2]
    assert rows.same(all_of_them, vectors).all()
    assert rows.same(all_of_them, moved).tolist() == [True, False, True, True]


@pytest.mark.parametrize("kind", KINDS[1:])
def test_growing_leaves_the_smaller_one_as_it_is(kind: str) -> None:
    vectors = random_units(6, 8, seed=6)
    rows = filled(kind, vectors)
    larger = rows.grown(100)
    larger.wipe(0)
    assert (rows.size, larger.size, larger.kind) == (16, 100, kind)
    assert (larger.vectors_of(range(1, 6)) == rows.vectors_of(range(1, 6))).all()
    assert rows.vectors_of([0]).any()


def test_codes_take_a_quarter_of_the_memory() -> None:
    taken = [sum(part.nbytes for part in one(1_000, DIMS).parts(1_000)) for one in (FloatRows, CodeRows)]
    assert taken == [1_536_000, 388_000]


def test_auto_chooses_codes_by_size_alone() -> None:
    assert [kind_for("auto", creators) for creators in (0, INT8_FROM - 1, INT8_FROM)] == ["float32", "float32", "int8"]
    assert [kind_for(kind, creators) for kind in KINDS[1:] for creators in (0, 10**6)] == ["float32"] * 2 + ["int8"] * 2
