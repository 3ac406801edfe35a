"""What may be derived now, by the mark of what might be before."""

from __future__ import annotations

import pytest

from daemon.derived_data import is_lifted, mark_of


@pytest.mark.parametrize(
    ("before", "denied", "lifted"),
    [
        (None, [], False),
        (mark_of("", ["youtube"]), [], True),
        (mark_of("m", ["x", "youtube"]), ["x"], True),
        (mark_of("m", ["youtube"]), ["youtube"], False),
        (mark_of("m", []), ["youtube"], False),
    ],
)
def test_a_denial_that_is_lifted_is_noticed_with_a_model_and_without(
    before: str | None, denied: list[str], lifted: bool
) -> None:
    assert is_lifted(before, denied) is lifted
