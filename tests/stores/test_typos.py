from __future__ import annotations

from collections.abc import Sequence

import pytest

from stores.typos import corrections, edits_forgiven

KNOWN = {
    "photography": 9, "photographer": 4, "minecraft": 7, "game": 5, "lame": 2, "привет": 3, "백종원": 2, "workout": 3, "gaming": 8,
    "gamine": 1, "कॉमेडी": 1, "العربية": 2,
}  # fmt: skip


def listing(beginning: str, limit: int) -> Sequence[tuple[str, int]]:
    found = [(word, count) for word, count in KNOWN.items() if word.startswith(beginning)]
    return sorted(found, key=lambda one: -one[1])[:limit]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("photograhy", ("photography",)),
        ("hpotography", ("photography",)),
        ("fotographer", ()),
        ("photografer", ("photographer",)),
        ("mincraft", ("minecraft",)),
        ("gaminf", ("gaming", "gamine")),
        ("gamin", ("gaming", "gamine")),
        ("gmae", ()),
        ("превет", ("привет",)),
        ("백종완", ("백종원",)),
        ("कॉमडी", ("कॉमेडी",)),
        ("العربة", ("العربية",)),
        ("wrkuot", ()),
        ("zzzzzz", ()),
    ],
)
def test_a_typo_is_what_it_was_meant_for(typed: str, meant: tuple[str, ...]) -> None:
    assert corrections(typed, lambda word: KNOWN.get(word, 0), listing) == meant


@pytest.mark.parametrize(
    ("word", "edits"),
    [("game", 0), ("games", 1), ("minecraf", 1), ("minecraft", 2), ("20232024", 0), ("백종원", 1), ("백종", 0)],
)
def test_longer_words_are_forgiven_more(word: str, edits: int) -> None:
    assert edits_forgiven(word) == edits
