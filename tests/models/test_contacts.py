"""Nothing to reach a person by is left; ordinary words and numbers are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contacts import without_contacts


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Yoga coach. ana.b+x@mail.example.com for work", "Yoga coach. for work"),
        ("book me: ana (at) studio dot com", "book me: dot com"),
        ("call +55 (11) 91234-5678 now", "call now"),
        ("shop at https://x.io/ana?utm=1 or www.ana.de", "shop at or"),
        ("smarturl.it/ana and ana-fit.com.br", "and"),
        ("with @ana.fit today", "with today"),
        ("since 2019-2024, 12 000 000 views, Node.js", "since 2019-2024, 12 000 000 views, Node.js"),
        ("", ""),
    ],
)
def test_contacts_go_and_words_stay(text: str, left: str) -> None:
    assert without_contacts(text) == left


@given(st.text(max_size=60), st.text(max_size=60))
def test_an_address_never_stays_whatever_is_around_it(before: str, after: str) -> None:
    kept = without_contacts(f"{before} ana@studio.example {after}")
    assert "ana@studio.example" not in kept
    assert without_contacts(kept) == kept or "@" in kept or "." in kept
