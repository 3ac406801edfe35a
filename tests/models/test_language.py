"""The language of a text that is long enough to tell."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.language import LANGUAGES, language_of

TEXTS = {
    "en": "How to make a chocolate cake at home with five ingredients",
    "pt": "Receitas fáceis para o dia a dia, toda semana um vídeo novo",
    "es": "Vídeos sobre finanzas personales e inversión para principiantes",
    "de": "Wir testen jede Woche neue Autos und sprechen darüber",
    "fr": "Toutes les semaines, une nouvelle recette de cuisine facile",
    "ru": "Новости спорта и обзоры матчей каждый день",
    "ja": "ゲーム実況チャンネルです",
    "ko": "오늘의 게임 방송입니다",
    "ar": "مرحبا بكم في قناتي للطبخ والحلويات",
    "hi": "हिन्दी में तकनीकी समाचार और समीक्षा",
}


@pytest.mark.parametrize("code", TEXTS)
def test_tells_the_language(code: str) -> None:
    assert language_of(TEXTS[code]) == code
    assert language_of(f"https://a.example/x #tag @someone {TEXTS[code].upper()}") == code


@pytest.mark.parametrize(
    "text", ["", "   ", "iPhone X", "PewDiePie", "12345 67890 12345", "https://example.com/a/b/c/d/e"]
)
def test_too_little_to_tell_is_none(text: str) -> None:
    assert language_of(text) is None


@settings(max_examples=50)
@given(st.text(max_size=3_000))
def test_any_text_is_taken(text: str) -> None:
    assert language_of(text) in {None, *LANGUAGES}


def test_threads_share_it() -> None:
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(language_of, [*TEXTS.values()] * 5)) == [*TEXTS] * 5
