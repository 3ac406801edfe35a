"""Cue words are found in every script, the longest phrase first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.cues import CueIndex, fold

CUES = [
    "game",
    "game of thrones",
    "video game*",
    "cozinh*",
    "рецепт*",
    "е-спорт",
    "料理",
    "먹방",
    "طبخ",
    "café",
    "let's play",
]
INDEX = CueIndex(CUES)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A GAME, again!", {"game"}),
        ("Gamers and endgames", set()),
        ("game of thrones recap", {"game of thrones"}),
        ("game of", {"game"}),
        ("video games and a game", {"video game*", "game"}),
        ("na cozinha", {"cozinh*"}),
        ("РЕЦЕПТЫ дня", {"рецепт*"}),
        ("簡単な料理動画", {"料理"}),
        ("오늘의먹방", {"먹방"}),
        ("فن الطبخ", {"طبخ"}),
        ("CAFE and Café", {"café"}),
        ("𝓖𝓐𝓜𝓔 and ｇａｍｅ", {"game"}),
        ("Let’s play together, let's PLAY", {"let's play"}),
        ("", set()),
    ],
)
def test_finds_words_phrases_beginnings_and_pieces(text: str, found: set[str]) -> None:
    assert INDEX.find(text) == found


@given(st.sampled_from(CUES), st.text(alphabet="abc ,.!", max_size=20), st.text(alphabet="abc ,.!", max_size=20))
def test_a_cue_is_found_wherever_it_stands(cue: str, before: str, after: str) -> None:
    assert cue in INDEX.find(f"{before} {cue.rstrip('*')} {after}")


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    assert INDEX.find(text) <= set(CUES)
    assert fold(text) == fold(fold(text))


def test_no_cues_find_nothing() -> None:
    assert CueIndex([]).find("anything 料理") == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("#travelphotography", {"travel", "photography"}),
        ("thefoodie", {"foodie"}),
        ("foodies", {"foodie"}),
        ("fitnessfreak", {"fitness*"}),
        ("travel", {"travel"}),
        ("my_travel.diary", {"travel"}),
        ("mytravels", set()),
        ("artist", set()),
        ("", set()),
    ],
)
def test_finds_cues_in_words_written_together(text: str, found: set[str]) -> None:
    """At their ends, and no short ones: "art" begins too many words."""
    assert CueIndex(["travel", "photography", "foodie", "fitness*", "art"]).find_joined(text) == found
