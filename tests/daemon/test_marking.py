from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.marking import Marker
from stores.analysis import fold, query_words


@pytest.mark.parametrize(
    ("query", "text", "marked"),
    [
        ("yoga", "Yoga, more YOGA and yogalates", ["Yoga", "YOGA", "yoga"]),
        ("yoga hips", "yogalates for the hips", ["hips"]),
        ("leg day", "Legday is leg day-ish", ["leg", "day"]),
        ("pokemon", "Ich liebe Pokémon!", ["Pokémon"]),
        ("pokemon", "ＰＯＫＥＭＯＮ", ["ＰＯＫＥＭＯＮ"]),
        ("cooking", "overcooking", []),
        ("料理", "家庭料理の基本", ["料理"]),
        ("c++", "c is not c++", ["c", "c"]),
        ("", "anything", []),
    ],
)
def test_words_are_marked_where_they_stand(query: str, text: str, marked: list[str]) -> None:
    marks = Marker(query_words(query)).marks(text)
    assert [text[begin:end] for begin, end, _ in marks] == marked


@given(words=st.lists(st.text(min_size=1, max_size=8), max_size=4), text=st.text(max_size=80))
def test_marks_are_places_of_the_text_in_order(words: list[str], text: str) -> None:
    folded = query_words(" ".join(words))
    marker = Marker(folded)
    marks = marker.marks(text)
    ends = [0, *(end for _, end, _ in marks)]
    for before, (begin, end, word) in zip(ends, marks, strict=False):
        assert before <= begin < end <= len(text) or before <= end
        assert word in folded
        assert fold(text[begin:end]).startswith(word[:1]) or word in fold(text[begin:end])
    assert marker.may_meet(text) or not marks
