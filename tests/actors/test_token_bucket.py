from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.token_bucket import TokenBucket


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 10), min_size=1, max_size=80),
)
def test_no_window_sees_more_than_its_share(rate: float, burst: int, gaps: list[float]) -> None:
    bucket = TokenBucket(rate, burst)
    now, sent = 0.0, []
    for gap in gaps:
        now += gap
        now += bucket.take(now)
        sent.append(now)
    for begin in range(len(sent)):
        for end in range(begin, len(sent)):
            count = end - begin + 1
            assert count <= burst + rate * (sent[end] - sent[begin]) + 1e-6


def test_a_penalty_holds_everything_back() -> None:
    bucket = TokenBucket(10, 5)
    bucket.penalise(100.0, 30)
    assert bucket.take(101.0) == 29
