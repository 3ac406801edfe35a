"""What every VectorIndex must do; put another backend under it by overriding ``vector_index`` (DIMS dimensions)."""

from __future__ import annotations

import numpy as np
import pytest

from proto.ids import Row
from stores.ports import Vector, VectorIndex

DIMS = 4


def unit(*values: float) -> Vector:
    vector = np.array(values, np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def random_units(count: int, dims: int, seed: int) -> Vector:
    drawn = np.random.default_rng(seed).standard_normal((count, dims)).astype(np.float32)
    units: Vector = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return units


EAST, NORTH, NORTH_EAST, WEST = unit(1, 0, 0, 0), unit(0, 1, 0, 0), unit(1, 1, 0, 0), unit(-1, 0, 0, 0)
BAD_VECTORS = (
    np.zeros((1, DIMS + 1), np.float32),
    np.zeros((2, DIMS), np.float32),
    EAST,
    EAST[None].astype(np.float64),
    np.full((1, DIMS), np.nan, np.float32),
    np.full((1, DIMS), np.inf, np.float32),
    np.zeros((1, DIMS), np.float32),
    EAST[None] * np.float32(2),
)


async def put(index: VectorIndex, vectors: dict[int, Vector]) -> None:
    await index.upsert([Row(row) for row in vectors], np.stack(list(vectors.values())))


async def nearest_rows(index: VectorIndex, vector: Vector, limit: int = 10) -> list[int]:
    return [int(row) for row in (await index.nearest(vector, limit))[0]]


class VectorIndexConformance:
    tolerance = 1e-5
    """Of similarities."""

    async def test_the_nearest_come_first_with_their_cosine(self, vector_index: VectorIndex) -> None:
        await put(vector_index, {5: WEST, 2: NORTH_EAST, 9: EAST, 4: NORTH})
        rows, scores = await vector_index.nearest(EAST, 10)
        assert rows.tolist() == [9, 2, 4, 5]
        assert scores == pytest.approx([1, 0.5**0.5, 0, -1], abs=1e-6)

    async def test_no_more_than_asked_and_no_more_than_there_are(self, vector_index: VectorIndex) -> None:
        assert await nearest_rows(vector_index, EAST) == []
        await put(vector_index, {5: WEST, 2: NORTH_EAST, 9: EAST})
        for limit, wanted in ((0, []), (1, [9]), (2, [9, 2]), (3, [9, 2, 5]), (50, [9, 2, 5])):
            rows, scores = await vector_index.nearest(EAST, limit)
            assert rows.tolist() == wanted
            assert len(scores) == len(wanted)

    async def test_an_upsert_replaces(self, vector_index: VectorIndex) -> None:
        await put(vector_index, {0: EAST, 1: NORTH})
        await put(vector_index, {0: WEST})
        rows, scores = await vector_index.nearest(WEST, 10)
        assert rows.tolist() == [0, 1]
        assert scores == pytest.approx([1, 0], abs=1e-6)
        assert await vector_index.count() == 2

    async def test_a_delete_deletes_and_may_be_repeated(self, vector_index: VectorIndex) -> None:
        await put(vector_index, {0: EAST, 1: NORTH, 2: WEST})
        for _ in range(2):
            await vector_index.delete([Row(0), Row(77), Row(5_000)])
        assert await nearest_rows(vector_index, EAST) == [1, 2]
        assert await vector_index.count() == 2

    async def test_what_was_deleted_may_return(self, vector_index: VectorIndex) -> None:
        await put(vector_index, {0: EAST, 1: NORTH})
        await vector_index.delete([Row(0)])
        await put(vector_index, {0: WEST})
        assert await nearest_rows(vector_index, WEST) == [0, 1]
        await vector_index.delete([Row(0)])
        assert await nearest_rows(vector_index, WEST) == [1]

    async def test_all_may_be_deleted(self, vector_index: VectorIndex) -> None:
        await put(vector_index, {0: EAST, 1: NORTH})
        await vector_index.delete([Row(0), Row(1)])
        assert await nearest_rows(vector_index, EAST) == []
        assert await vector_index.count() == 0

    async def test_similarities_are_exact_and_mark_what_is_lacking(self, vector_index: VectorIndex) -> None:
        await put(vector_index, {0: EAST, 2: NORTH_EAST, 3: WEST})
        await vector_index.delete([Row(3)])
        scores, having = await vector_index.similarities(EAST, np.array([2, 0, 1, 3, 9_999], np.uint32))
        assert scores == pytest.approx([0.5**0.5, 1, 0, 0, 0], abs=1e-6)
        assert having.tolist() == [True, True, False, False, False]

    @pytest.mark.parametrize("vectors", BAD_VECTORS)
    async def test_bad_vectors_are_refused_whole(self, vector_index: VectorIndex, vectors: Vector) -> None:
        with np.errstate(all="ignore"), pytest.raises(ValueError):
            await vector_index.upsert([Row(0)], vectors)
        assert await vector_index.count() == 0

    async def test_nothing_to_do_is_no_error(self, vector_index: VectorIndex) -> None:
        await vector_index.upsert([], np.zeros((0, DIMS), np.float32))
        await vector_index.delete([])
        assert await vector_index.count() == 0

    async def test_it_grows_with_the_rows(self, vector_index: VectorIndex) -> None:
        vectors = random_units(3_000, DIMS, seed=1)
        for begin in range(0, 3_000, 1_000):
            rows = range(begin, begin + 1_000)
            await vector_index.upsert([Row(row) for row in rows], vectors[begin : begin + 1_000])
        assert await vector_index.count() == 3_000
        for row in (0, 1_500, 2_999):
            scores, _ = await vector_index.similarities(vectors[row], np.array([row], np.uint32))
            assert scores == pytest.approx([1], abs=self.tolerance)
            assert row in await nearest_rows(vector_index, vectors[row], 3)

    async def test_a_save_moves_the_checkpoint(self, vector_index: VectorIndex) -> None:
        assert vector_index.checkpoint == 0
        await put(vector_index, {0: EAST})
        assert vector_index.checkpoint == 0
        await vector_index.save(12)
        assert vector_index.checkpoint == 12
