"""What of creators' vectors goes into an index."""

from __future__ import annotations

import numpy as np

from actors.index_writing import _of_field
from proto.ids import CreatorId, Row
from proto.records import Creator, EmbeddingRecord
from stores.catalog import CreatorBundle


def bundle(row: int, *values: float, model_id: str = "m") -> CreatorBundle:
    vector = np.array(values, "<f2").tobytes()
    record = EmbeddingRecord(
        field="yt_bio", model_id=model_id, dims=len(values), input_hash="", vector=vector, updated_at=1
    )
    creator = Creator(creator_id=CreatorId(row), row=Row(row))
    return CreatorBundle(creator=creator, accounts=[], embeddings={"yt_bio": record} if values else {})


def test_who_has_no_vector_that_points_somewhere_lacks_the_field() -> None:
    odd = [bundle(2, 0, 0), bundle(3, float("nan"), 1), bundle(4, float("inf"), 0), bundle(5)]
    rows, vectors, lacking = _of_field("yt_bio", "m", [bundle(1, 0, 1), *odd, bundle(6, 3, 4, model_id="another")])
    assert (rows, vectors.tolist(), sorted(lacking)) == ([1], [[0, 1]], [2, 3, 4, 5])
    assert _of_field("yt_bio", "m", odd[:1])[0] == _of_field("yt_bio", "m", odd[3:])[0] == []
