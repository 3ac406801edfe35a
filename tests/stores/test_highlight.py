from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.analysis import tokens
from stores.highlight import highlights


@pytest.mark.parametrize(
    ("text", "words", "shown"),
    [
        ("Vegan recipes from Berlin", ("recipe", "berlin"), ["recipes", "Berlin"]),
        ("POKÉMON & Pokémon", ("pokemon",), ["POKÉMON", "Pokémon"]),
        ("Große Straße", ("strasse",), ["Straße"]),
        ("日本料理の時間", ("料理",), ["料理"]),
        ("今日の日本料理", ("日本", "本料", "料理"), ["日本料理"]),
        ("ﾋｶｷﾝ ｶﾞｲﾄﾞ", ("ガイ", "イド"), ["ｶﾞｲﾄﾞ"]),
        ("백종원의 요리비책", ("백종원",), ["백종원의"]),
        ("Photographer of photos", ("photographre",), ["Photographer"]),
        ("a photograph by a photographer", ("photograph",), ["photograph", "photographer"]),
        ("हिन्दी कॉमेडी", ("हिन्दी",), ["हिन्दी"]),
        ("nothing of it", ("game",), []),
        ("cats and dogs", (), []),
    ],
)
def test_words_are_shown_where_they_stand(text: str, words: tuple[str, ...], shown: list[str]) -> None:
    assert [text[begin:end] for begin, end in highlights(text, words)] == shown


@given(st.text(max_size=80), st.lists(st.text(min_size=1, max_size=8), max_size=4))
def test_spans_ascend_within_the_text(text: str, words: list[str]) -> None:
    folded = [word for given_word in words for word in tokens(given_word)]
    spans = highlights(text, folded)
    flat = [at for span in spans for at in span]
    assert flat == sorted(flat)
    assert all(0 <= begin < end <= len(text) for begin, end in spans)


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "Zs")), max_size=40))
def test_every_word_of_a_text_is_shown_in_it(text: str) -> None:
    found = "".join(text[begin:end] for begin, end in highlights(text, tokens(text)))
    assert tokens(found) or not tokens(text)
