from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.analysis import MAX_QUERY_WORDS
from stores.query_text import QueryText, parse_query

Words = tuple[str, ...]


@pytest.mark.parametrize(
    ("text", "words", "phrases", "excluded"),
    [
        ("vegan cooking", ("vegan", "cooking"), (), ()),
        ('"street food" berlin', ("berlin",), (("street", "food"),), ()),
        ("“street food” Berlin", ("berlin",), (("street", "food"),), ()),
        ("cooking -vegan", ("cooking",), (), (("vegan",),)),
        ('cooking -"street food"', ("cooking",), (), (("street", "food"),)),
        ("-vegan", (), (), (("vegan",),)),
        ("marvel -spider-man", ("marvel",), (), (("spider", "man"),)),
        ("spider-man", ("spider", "man"), (), ()),
        ("music - topic", ("music", "topic"), (), ()),
        ('7" vinyl 12" vinyl', ("7", "vinyl", "12"), (), ()),
        ('"unclosed words', ("unclosed", "words"), (), ()),
        ('"" - -- -"" ok', ("ok",), (), ()),
        ("the best of the day", ("best", "day"), (), ()),
        ("The Who", ("the", "who"), (), ()),
        ('"the who"', (), (("the", "who"),), ()),
    ],
)
def test_operators_are_read(text: str, words: Words, phrases: tuple[Words, ...], excluded: tuple[Words, ...]) -> None:
    parsed = parse_query(text)
    assert (parsed.words, parsed.phrases, parsed.excluded) == (words, phrases, excluded)


def test_what_is_excluded_is_no_part_of_a_name() -> None:
    assert parse_query("Jess -Law").wanted.split() == ["Jess"]
    assert parse_query('"Weird Al" Yankovic').wanted.split() == ['"Weird', 'Al"', "Yankovic"]


def test_words_are_distinct_in_order_and_capped() -> None:
    assert parse_query("cat bat CAT dog bat").words == ("cat", "bat", "dog")
    assert len(parse_query(" ".join(map(str, range(100)))).words) == MAX_QUERY_WORDS


@given(st.text(st.sampled_from('ab "-“” 日本é'), max_size=60))
def test_nothing_typed_is_an_error(text: str) -> None:
    parsed: QueryText = parse_query(text)
    assert len(parsed.words) <= MAX_QUERY_WORDS
    assert all(parsed.phrases) and all(parsed.excluded)
