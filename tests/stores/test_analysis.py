from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.analysis import (
    exact_key,
    fold,
    index_text,
    stem,
    stemmed,
    tokens,
)

HAN = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1, max_size=12)
LATIN = st.text("abcdefXYZéÜñß019", min_size=1, max_size=12)
WORDS = st.lists(LATIN, min_size=1, max_size=5)


def test_folding_any_character_twice_changes_nothing() -> None:
    twice = [
        char
        for char in map(chr, range(0x110000))
        if unicodedata.category(char) not in ("Cn", "Co", "Cs") and fold(fold(char)) != fold(char)
    ]
    assert twice == []


@given(st.text())
def test_folding_is_idempotent(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_ways_to_write_the_same_characters_fold_alike(text: str) -> None:
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("POKÉMON", "pokemon"),
        ("Ｆｕｌｌ　Ｗｉｄｔｈ", "full width"),
        ("Straße", "strasse"),
        ("ﬁne", "fine"),
        ("Ёлка", "елка"),
        ("İstanbul", "istanbul"),
        ("𝓕𝓪𝓷𝓬𝔂", "fancy"),
        ("हिन्दी", "हिन्दी"),
        ("ｶﾞｲﾄﾞ", "ガイド"),
        ("مُحَمَّد", "محمد"),
        ("أحـــمد", "احمد"),
        ("قناة", "قناه"),
    ],
)
def test_case_width_and_latin_marks_are_folded_and_letters_stay(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text())
def test_words_are_words_again_when_indexed(text: str) -> None:
    found = tokens(text)
    assert index_text(text).split(" ") == (found or [""])
    assert not any(char.isspace() for word in found for char in word)
    assert all(word == fold(word) for word in found)


@given(WORDS)
def test_spaced_words_stay_whole(words: list[str]) -> None:
    assert tokens(" ".join(words)) == [fold(word) for word in words]
    assert tokens(", ".join(words)) == tokens(" ".join(words))


@given(HAN)
def test_han_becomes_overlapping_pairs(text: str) -> None:
    pairs = tokens(text)
    assert len(pairs) == max(len(text) - 1, 1)
    assert pairs[0] + "".join(pair[1:] for pair in pairs[1:]) == fold(text)


@given(HAN, st.integers(0, 12), st.integers(2, 12))
def test_any_part_of_a_han_text_finds_it(text: str, begin: int, length: int) -> None:
    part = text[begin : begin + length]
    if len(part) >= 2:
        assert set(tokens(part)) <= set(tokens(text))


def test_scripts_are_told_apart_within_a_word() -> None:
    assert tokens("Vlog東京旅行2024") == ["vlog", "東京", "京旅", "旅行", "2024"]
    assert tokens("東 京") == ["東", "京"]


@pytest.mark.parametrize("text", ["हिन्दी", "தமிழ்", "العربية", "ελληνικά", "русский"])
def test_a_word_of_a_spaced_script_is_one_word(text: str) -> None:
    assert len(tokens(text)) == 1


@given(WORDS, st.sampled_from(["{}", "@{}", "  {} ", "{}!", "«{}»", "🔥 {} 🔥"]), st.sampled_from([" ", "   ", "\t"]))
def test_decoration_does_not_change_the_exact_key(words: list[str], decorated: str, space: str) -> None:
    assert exact_key(decorated.format(space.join(words)).upper()) == exact_key(" ".join(words))


@given(WORDS, WORDS)
def test_other_words_are_another_exact_key(one: list[str], other: list[str]) -> None:
    same = [fold(word) for word in one] == [fold(word) for word in other]
    assert (exact_key(" ".join(one)) == exact_key(" ".join(other))) == same


@given(st.text())
def test_the_exact_key_is_short_and_folded(text: str) -> None:
    key = exact_key(text)
    assert len(key) <= 200
    assert fold(key) == key


@pytest.mark.parametrize(
    ("word", "stemmed_word"),
    [
        ("games", "game"),
        ("recipes", "recipe"),
        ("stories", "story"),
        ("juegos", "juego"),
        ("bus", "bus"),
        ("fitness", "fitness"),
        ("gas", "gas"),
        ("игры", "игры"),
    ],
)
def test_a_plural_is_its_singular(word: str, stemmed_word: str) -> None:
    assert stem(word) == stemmed_word
    assert stemmed(f"a {word} b") == f"a {stemmed_word} b"


def test_a_name_of_signs_is_its_own_exact_key() -> None:
    assert exact_key("🎮🔥") == "🎮🔥"
    assert exact_key("🎮") != exact_key("🔥")
    assert exact_key("  ") == exact_key("@") == ""
