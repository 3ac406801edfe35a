from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.marking import Marker
from stores.query_text import parse_query


@pytest.mark.parametrize(
    ("query", "text", "marked", "words"),
    [
        ("yoga", "Yoga, more YOGA and yogalates", ["Yoga", "YOGA", "yogalates"], {"yoga"}),
        ("leg day", "Legs on leg day-ish", ["Legs", "leg", "day"], {"leg", "day"}),
        ("party", "Parties for all", ["Parties"], {"party"}),
        ("pokemon", "Ich liebe Pokémon!", ["Pokémon"], {"pokemon"}),
        ("pokemon", "ＰＯＫＥＭＯＮ", ["ＰＯＫＥＭＯＮ"], {"pokemon"}),
        ("cooking", "overcooking", [], set()),
        ("料理", "家庭料理の基本", ["料理"], {"料理"}),
        ("", "anything", [], set()),
    ],
)
def test_words_are_marked_where_they_stand(query: str, text: str, marked: list[str], words: set[str]) -> None:
    marker = Marker(parse_query(query).words)
    spans = marker.marks(text)
    assert [text[begin:end] for begin, end in spans] == marked
    assert marker.words_at(text, spans) == words


def test_mistyped_words_are_marked_where_that_is_asked_for() -> None:
    marker = Marker(parse_query("kitchn nightmares").words)
    assert not marker.may_meet("Kitchen stories")
    assert marker.marks("Kitchen stories") == []
    assert marker.mistyped("Kitchen stories") == [(0, 7)]
    assert marker.words_at("Kitchen stories", [(0, 7)]) == {"kitchn"}


@given(words=st.lists(st.text(min_size=1, max_size=8), max_size=4), text=st.text(max_size=80))
def test_marks_are_places_of_the_text_in_order(words: list[str], text: str) -> None:
    marker = Marker(parse_query(" ".join(words)).words)
    marks = marker.marks(text)
    last = 0
    for begin, end in marks:
        assert last <= begin < end <= len(text)
        last = end
    assert marker.may_meet(text) or not marks
