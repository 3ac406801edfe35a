from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.circuit import FAILURES, LONGEST_REST_SECONDS, REST_SECONDS, Circuit


def opened(at: float = 0.0) -> Circuit:
    circuit = Circuit()
    news = [circuit.failed(at) for _ in range(FAILURES)]
    assert news == [False] * (FAILURES - 1) + [True]
    return circuit


def test_a_run_of_failures_sends_the_platform_to_rest() -> None:
    circuit = opened(at=100.0)
    assert circuit.resting(100.0)
    assert circuit.resting(100.0 + REST_SECONDS - 1)
    assert not circuit.resting(100.0 + REST_SECONDS)


def test_an_answer_in_between_begins_the_count_anew() -> None:
    circuit = Circuit()
    for _ in range(5 * FAILURES):
        assert not any(circuit.failed(0.0) for _ in range(FAILURES - 1))
        assert not circuit.answered()
    assert not circuit.resting(0.0)


def test_what_was_under_way_when_it_began_does_not_lengthen_the_rest() -> None:
    circuit = opened(at=0.0)
    assert not circuit.failed(10.0)
    assert circuit.rest_until == REST_SECONDS


def test_a_failure_after_the_rest_doubles_it_and_is_no_news() -> None:
    circuit, now = opened(), REST_SECONDS
    for rest in (120.0, 240.0, 480.0, 960.0, 1_800.0, 1_800.0):
        assert not circuit.failed(now)
        assert circuit.rest_until == now + rest
        now += rest
    assert rest == LONGEST_REST_SECONDS


def test_an_answer_ends_it_once() -> None:
    circuit = opened()
    assert circuit.answered()
    assert not circuit.answered()
    assert not circuit.resting(1.0)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 10_000)), max_size=60))
def test_news_of_opening_and_closing_alternate(calls: list[tuple[bool, float]]) -> None:
    circuit, now, told = Circuit(), 0.0, []
    for ok, later in calls:
        now += later
        if circuit.answered() if ok else circuit.failed(now):
            told.append(ok)
        assert circuit.rest_until <= now + LONGEST_REST_SECONDS
    assert told == [bool(number % 2) for number in range(len(told))]
