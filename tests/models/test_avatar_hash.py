from __future__ import annotations

import io
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.avatar_hash import difference_hash
from proto.errors import Malformed

Image = pytest.importorskip("PIL.Image")
SEED = 7


def drawn(seed: int, side: int = 320) -> Any:
    """A picture of a few large shapes."""
    dice = random.Random(seed)
    small = Image.new("RGB", (6, 6))
    small.putdata([(dice.randrange(256), dice.randrange(256), dice.randrange(256)) for _ in range(36)])
    return small.resize((side, side), Image.Resampling.BICUBIC)


def written(image: Any, kind: str = "JPEG", **options: int) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def differing(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def test_a_picture_that_was_scaled_or_compressed_anew_keeps_nearly_all_bits() -> None:
    for seed in range(20):
        picture = drawn(seed)
        whole = difference_hash(written(picture, "PNG"))
        assert len(whole) == 8
        assert differing(whole, difference_hash(written(picture, quality=35))) <= 6, seed
        assert differing(whole, difference_hash(written(picture.resize((88, 88)), "WEBP"))) <= 6, seed


def test_other_pictures_differ_in_many_bits() -> None:
    hashes = [difference_hash(written(drawn(seed))) for seed in range(20)]
    assert min(differing(one, other) for at, one in enumerate(hashes) for other in hashes[:at]) > 10


def test_a_plain_picture_tells_nothing() -> None:
    assert difference_hash(written(Image.new("RGB", (64, 64), (200, 30, 30)))) == b""
    assert difference_hash(written(Image.new("L", (1, 1)), "PNG")) == b""


def test_what_is_too_large_is_not_decoded() -> None:
    with pytest.raises(Malformed, match="pixels"):
        difference_hash(written(Image.new("1", (8_000, 8_000)), "PNG"))


@given(st.binary(max_size=200), st.integers(0, 2_000), st.sampled_from(["JPEG", "PNG", "GIF", "WEBP"]))
def test_whatever_comes_is_a_picture_or_malformed(noise: bytes, at: int, kind: str) -> None:
    whole = written(drawn(SEED, 40), kind)
    for hostile in (noise, whole[:at], whole[:at] + noise + whole[at + len(noise) :]):
        try:
            assert len(difference_hash(hostile)) in (0, 8)
        except Malformed as refused:
            assert "picture" in str(refused)
