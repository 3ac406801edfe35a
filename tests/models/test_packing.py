"""What is embedded of a creator: words without noise, bounded, and the same for the same content."""

from __future__ import annotations

import random
import re
import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.packing import (
    BIO_READ_CHARS,
    MAX_PACKS,
    PACK_BYTES,
    bio_text,
    clean,
    content_packs,
    input_hash,
    weighted_mean,
)
from proto.ids import AccountKey, Platform
from proto.records import ContentItem, CreatorAccount

NOW = 1_790_000_000
KEY = AccountKey("youtube:UC1")

NOISE = st.sampled_from(
    [
        "https://youtu.be/x?y=1",
        "www.site.org/a",
        "shop.example.com/offers",
        "me@mail.example",
        "+1 (555) 123-4567",
        "@someone.else",
        "😀🎉🔥",
        "#one #two #three #four #five #six",
        "══════",
        "Subscribe to my channel for more",
        "\n\n",
        "\u200b",
    ]
)


def item(content_id: str, title: str, **fields: object) -> ContentItem:
    return ContentItem(content_id=content_id, account_key=KEY, title_or_caption=title, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("New video! https://youtu.be/abc Enjoy", "New video! Enjoy"),
        ("Instagram: https://www.instagram.com/x Twitter: @x Recipes and more", "Recipes and more"),
        ("gear at smarturl.it/Gear and site.com now", "gear at and now"),
        ("the end.In the next one we bake", "the end.In the next one we bake"),
        ("Version 2.0 of Node.js, e.g. on Linux", "Version 2.0 of Node.js, e.g. on Linux"),
        ("business: me.x+y@mail.co.uk or +49 (0)30 1234567!", "business: or !"),
        ("Top 10 of 2020, 24 hours in 3 cities", "Top 10 of 2020, 24 hours in 3 cities"),
        ("[email] [phone] hello", "hello"),
        ("Cooking 🍳🍳🍳 at home ❤️", "Cooking at home"),
        ("cake #baking #cake #sweet #yum #food #foodie", "cake baking cake sweet yum"),
        ("Bake with me. Don't forget to like and subscribe to my channel! New cakes weekly", None),
        ("Receitas fáceis. Inscreva-se no canal e ative o sininho. Toda semana", "Receitas fáceis. Toda semana"),
        ("요리 구독과 좋아요 부탁", "요리"),
        ("Новый рецепт. Подписывайтесь на канал", "Новый рецепт."),
        ("line\none\r\ttwo\u2028three", "line one two three"),
        ("𝐅𝐢𝐭𝐧𝐞𝐬𝐬 coach", "Fitness coach"),
        ("===== NEWS ===== ---- -", "NEWS"),
        ("\ufeffcaf\ufffd", "caf"),
        ("\ufeff \ufffd", ""),
    ],
)
def test_clean_keeps_the_words(text: str, expected: str | None) -> None:
    cleaned = clean(text)
    if expected is not None:
        assert cleaned == expected
    else:
        assert "subscribe" not in cleaned.lower()
        assert cleaned.startswith("Bake with me.") and cleaned.endswith("New cakes weekly")


@given(st.lists(st.one_of(NOISE, st.text(max_size=30), st.sampled_from(["cooking", "для", "料理"])), max_size=12))
def test_clean_leaves_one_bounded_line_without_addresses(parts: list[str]) -> None:
    text = " ".join(parts)
    cleaned = clean(text)
    assert len(cleaned) <= len(unicodedata.normalize("NFKC", text))
    assert cleaned == " ".join(cleaned.split())
    assert not re.search(r"https?:|www\.|youtu\.be|mail\.example|123-4567|@someone|[😀🎉🔥]", cleaned)
    cleaned.encode()  # no half surrogate pairs


def test_clean_keeps_words_between_noise() -> None:
    seed = random.randrange(10**6)
    words = ["gardening", "receitas", "спорт", "料理"]
    mixed = random.Random(seed).sample(words, 4)
    text = " https://a.example/b ".join(mixed) + " 😀 +1 555 123 4567"
    assert clean(text).split() == mixed, f"{seed=}"


@pytest.mark.parametrize("unit", ["a.", "@", "#a", "a@", "1 ", "subscribe to ", "like and ", "[", "a", "my ", "x.com"])
def test_clean_is_linear_in_hostile_texts(unit: str) -> None:
    """A pattern that backtracks over the whole text would take 4e8 steps here: minutes, not tenths of a second."""
    text = unit * 20_000 + "@"
    begun = time.process_time()
    cleaned = clean(text)
    assert time.process_time() - begun < 5.0
    assert len(cleaned) <= len(text)


def test_bio_text_is_the_bio_and_for_a_short_one_the_keywords() -> None:
    account = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id="UC1", bio="Vegan food. https://a.example")
    assert bio_text(account) == "Vegan food."
    account.keywords = ["baking", "cakes"]
    assert bio_text(account) == "Vegan food., baking, cakes"
    account.bio = "I bake bread and tell how. " * 10
    assert "cakes" not in bio_text(account)
    account.bio, account.keywords = "", []
    assert bio_text(account) == ""


@given(st.text(max_size=BIO_READ_CHARS * 2), st.lists(st.text(max_size=40), max_size=20))
def test_bio_text_is_bounded(bio: str, keywords: list[str]) -> None:
    account = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id="UC1", bio=bio, keywords=keywords)
    assert len(bio_text(account).encode()) <= PACK_BYTES


ITEMS = st.lists(
    st.builds(
        item,
        st.integers(0, 10**9).map(str),
        st.text(max_size=200),
        description=st.text(max_size=300),
        published_at=st.integers(0, 2 * NOW),
        views=st.none() | st.integers(0, 10**9),
        likes=st.none() | st.integers(0, 10**9),
    ),
    max_size=25,
    unique_by=lambda one: one.content_id,
)


@given(ITEMS, st.randoms(use_true_random=False))
def test_packs_are_bounded_and_do_not_depend_on_order(items: list[ContentItem], shuffler: random.Random) -> None:
    packs = content_packs(items, limit_items=20, now=NOW)
    assert len(packs) <= MAX_PACKS
    assert all(0 < len(pack.text.encode()) <= PACK_BYTES for pack in packs)
    assert sum(pack.weight for pack in packs) == pytest.approx(1.0 if packs else 0.0, abs=0.002)
    shuffled = list(items)
    shuffler.shuffle(shuffled)
    assert content_packs(shuffled, limit_items=20, now=NOW) == packs


def test_titles_come_first_newest_first_then_openings() -> None:
    items = [
        item("a", "Old cake", published_at=NOW - 300, description="About the old cake"),
        item("b", "New cake", published_at=NOW - 100, description="About the new cake"),
    ]
    assert content_packs(items, now=NOW)[0].text == "New cake. Old cake. About the new cake. About the old cake"


def test_only_the_newest_items_count_and_a_hit_moves_up() -> None:
    items = [item(f"{n:02}", f"Title {n:02}", published_at=NOW - n, views=100) for n in range(30)]
    text = " ".join(pack.text for pack in content_packs(items, limit_items=10, now=NOW))
    assert "Title 09" in text and "Title 10" not in text
    items[7].views = 250
    titles = content_packs(items, limit_items=10, now=NOW)[0].text.split(". ")
    assert titles[:4] == ["Title 00", "Title 01", "Title 02", "Title 07"]
    items[7].views = 260  # creeping counts do not make a new text
    assert content_packs(items, limit_items=10, now=NOW)[0].text.split(". ") == titles


def test_a_date_in_the_future_does_not_stay_on_top() -> None:
    items = [item("b", "Premiere", published_at=NOW * 2), item("a", "Now", published_at=NOW)]
    assert content_packs(items, now=NOW)[0].text == "Now. Premiere"


def test_repeated_titles_and_descriptions_count_once() -> None:
    items = [item(str(n), "Daily news", description="The news of the day", published_at=n) for n in range(5)]
    assert [pack.text for pack in content_packs(items, now=NOW)] == ["Daily news. The news of the day"]


def test_a_long_caption_is_title_and_opening() -> None:
    caption = " ".join(f"word{n}" for n in range(60))
    (pack,) = content_packs([item("a", caption)], now=NOW)
    assert pack.text.startswith("word0 ") and ". word" in pack.text
    assert pack.text.replace(". ", " ") == caption[: len(pack.text) - 1]


def test_content_that_does_not_fit_one_pack_fills_two() -> None:
    items = [item(str(n), f"A rather long title about subject number {n} of many", published_at=n) for n in range(20)]
    packs = content_packs(items, now=NOW)
    assert len(packs) == 2
    assert all(len(pack.text) > PACK_BYTES * 0.8 for pack in packs)


def test_nothing_to_say_is_no_pack() -> None:
    assert content_packs([], now=NOW) == []
    assert content_packs([item("a", "https://a.example 😀")], now=NOW) == []


def test_input_hash_tells_texts_and_models_apart() -> None:
    hashes = {input_hash(text, model) for text in ("a", "b", "") for model in ("m", "n")}
    assert len(hashes) == 6
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in hashes)
    assert input_hash("a", "m") == input_hash("a", "m")


@given(st.integers(1, 6), st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_weighted_mean_has_unit_length_and_leans_to_the_heavy(count: int, dims: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, dims)).astype(np.float32)
    weights = rng.uniform(0.1, 1.0, count).astype(np.float32)
    mean = weighted_mean(vectors, weights)
    assert mean.shape == (dims,) and mean.dtype == np.float32
    assert np.linalg.norm(mean) == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(mean, weighted_mean(vectors, weights * 3), atol=1e-4)
    heavy = np.zeros(count, np.float32)
    heavy[0] = 1.0
    assert float(weighted_mean(vectors, heavy) @ vectors[0]) == pytest.approx(
        float(np.linalg.norm(vectors[0])), rel=1e-3
    )


def test_weighted_mean_of_nothing_is_zeros() -> None:
    assert weighted_mean(np.array([[1.0, 0.0], [-1.0, 0.0]]), [0.5, 0.5]).tolist() == [0.0, 0.0]
