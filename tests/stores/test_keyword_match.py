from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.evaluation.virtual_time import VirtualThreads
from stores import keyword_match
from stores.blocking import Blocking
from stores.keyword_match import EVERY_WORD, FEW_MATCHES, match_keywords
from stores.ports import Rows, Scores, TextMatch
from stores.row_sets import Mask
from stores.text_index import TantivyTextIndex
from stores.text_lookup import TextLookup
from tests.stores.conformance.text_index_suite import document, taken_in

WORDS = [
    "anchor",
    "basket",
    "candle",
    "dragon",
    "engine",
    "forest",
    "guitar",
    "hammer",
    "island",
    "jacket",
    "kettle",
    "ladder",
]
ROWS = 900


@pytest.fixture
async def text_index(tmp_path: Path, threads: VirtualThreads) -> AsyncIterator[TantivyTextIndex]:
    """Of few words, so that many creators equal one another."""
    chosen = random.Random(3)
    index = await TantivyTextIndex.create_empty(tmp_path, blocking=lambda name, limit: Blocking(name, limit, threads))
    documents = [
        document(
            row, f"{chosen.choice(WORDS)} {chosen.choice(WORDS)}", niche=chosen.choice(WORDS), bio=chosen.choice(WORDS)
        )
        for row in range(ROWS)
    ]
    for part in range(3):  # several segments
        await taken_in(index, documents[part::3], part + 1)
    yield index
    await index.close()


def same(one: TextMatch, other: TextMatch) -> bool:
    """Bit by bit."""
    arrays = ((one.rows, other.rows), (one.scores, other.scores), (one.exact, other.exact), (one.head, other.head))
    return all(np.array_equal(mine, theirs) for mine, theirs in arrays) and one.total == other.total


def head_of(match: TextMatch) -> TextMatch:
    return TextMatch(
        rows=match.rows[match.head],
        scores=match.scores[match.head],
        exact=match.exact[match.head],
        head=match.head[match.head],
        total=match.total,
        complete=False,
        words=match.words,
        needed=match.needed,
    )


@pytest.mark.parametrize(
    "text", ["basket", "basket candle", "dragon engine forest", '"basket candle" dragon', "candle -dragon", "-basket"]
)
@pytest.mark.parametrize("head", [1, 7, 50])
async def test_the_head_alone_is_the_head_of_all(
    text_index: TantivyTextIndex, monkeypatch: pytest.MonkeyPatch, text: str, head: int
) -> None:
    monkeypatch.setattr(keyword_match, "HEAD", head)
    monkeypatch.setattr(keyword_match, "FIRST_FETCH", head + 1)
    every = match_keywords(text_index.lookup(text), None, every=True)
    monkeypatch.setattr(keyword_match, "ALL_BELOW", FEW_MATCHES)
    alone = match_keywords(text_index.lookup(text), None, every=False)
    assert same(alone, every if alone.complete else head_of(every))
    assert int(every.head.sum()) >= min(head, every.total)


@pytest.mark.parametrize(
    "text", ["basket", "basket candle", "dragon engine forest", '"basket candle"', "candle -dragon"]
)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.6])
async def test_filters_may_be_met_one_by_one_or_all_at_once(
    text_index: TantivyTextIndex, monkeypatch: pytest.MonkeyPatch, text: str, share: float
) -> None:
    within = np.random.default_rng(5).random(ROWS - 100) < share  # the last rows are of later creators
    monkeypatch.setattr(keyword_match, "AMONG_ROWS", 0)
    at_once = match_keywords(text_index.lookup(text), within, every=False)
    monkeypatch.setattr(keyword_match, "AMONG_ROWS", ROWS)
    monkeypatch.setattr(keyword_match, "DEARER", 0)
    one_by_one = match_keywords(text_index.lookup(text), within, every=False)
    assert same(at_once, one_by_one)
    assert at_once.complete
    assert at_once.total == len(at_once.rows)
    assert within[at_once.rows].all()


async def test_few_that_pass_the_filters_relax_the_demand(text_index: TantivyTextIndex) -> None:
    text = "basket candle"
    unfiltered = match_keywords(text_index.lookup(text), None, every=True)
    within: Mask = np.zeros(ROWS, np.bool_)
    within[:100] = True
    filtered = match_keywords(text_index.lookup(text), within, every=True)
    assert (unfiltered.needed, filtered.needed) == (2, 1)
    strict = text_index.lookup(text).among(filtered.rows)[0]
    with_every_word = np.isin(filtered.rows, strict)
    assert 0 < int(with_every_word.sum()) < 10
    assert filtered.scores[with_every_word].min() >= EVERY_WORD > filtered.scores[~with_every_word].max()


async def test_all_of_rare_words_are_found_by_one_search_of_the_engine(
    text_index: TantivyTextIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyword_match, "HEAD", 7)
    monkeypatch.setattr(keyword_match, "FIRST_FETCH", 8)
    limits: list[int] = []
    search = TextLookup._search

    def noted(lookup: TextLookup, query: Any, limit: int, *, counted: bool = False) -> tuple[Rows, Scores, int]:
        if counted:
            limits.append(limit)
        return search(lookup, query, limit, counted=counted)

    monkeypatch.setattr(TextLookup, "_search", noted)
    match = match_keywords(text_index.lookup("basket candle"), None, every=False)
    assert match.complete
    assert match.total > FEW_MATCHES
    assert limits == [keyword_match.ALL_BELOW]


@pytest.mark.parametrize("need", [None, 1])
@pytest.mark.parametrize("text", ["basket candle", "basket", "-basket"])
async def test_all_matches_are_fetched_once_whatever_filters_they_are_to_pass(
    text_index: TantivyTextIndex, monkeypatch: pytest.MonkeyPatch, text: str, need: int | None
) -> None:
    """As where facets are counted, each without the condition on its own column."""
    lookup = text_index.lookup(text)
    rows, scores = text_index.lookup(text).every(need)
    assert len(rows) == lookup.count(need) > 0
    asked = 0
    search = lookup._searcher.search

    def counted(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return search(*arguments)

    monkeypatch.setattr(lookup._searcher, "search", counted)
    for share in (0.0, 0.3, 1.0):
        within = np.random.default_rng(7).random(ROWS - 50) < share
        found, found_scores = lookup.every(need, within)
        wanted = (rows < len(within)) & within[np.minimum(rows, len(within) - 1)]
        assert np.array_equal(found, rows[wanted])
        assert np.array_equal(found_scores, scores[wanted])
    assert asked <= 1  # where the count was one already, that brought them
