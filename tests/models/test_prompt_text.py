from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.prompt_text import cut, estimated_tokens, excerpt, plain, reaches_out

REACHABLE = [
    "anna.b+c@mail.example.co.uk",
    "anna＠example.com",
    "anna@local",
    "anna [at] example dot com",
    "anna(at)example.com",
    "https://example.org/path?x=1",
    "HTTP://EXAMPLE.ORG",
    "www.example.shop",
    "linktr.ee/anna",
    "example.io",
    "EXAMPLE.COM",
    "+49 171 1234567",
    "0171/1234567",
    "(555) 123-4567",
    "٠١٢٣٤٥٦٧٨٩",
    "@example_anna",
]


@pytest.mark.parametrize("contact", REACHABLE)
def test_nobody_can_be_reached_by_what_goes_into_a_prompt(contact: str) -> None:
    line = plain(f"Cakes and bread. Write to {contact} for more bread", 400)
    assert line.startswith("Cakes and bread. Write to")
    assert line.endswith("for more bread")
    assert not reaches_out(line)
    assert not any(digit in line for digit in "1234567")
    assert "example" not in line.casefold()


@pytest.mark.parametrize("contact", REACHABLE)
def test_a_summary_with_a_contact_is_noticed(contact: str) -> None:
    assert reaches_out(f"Bakes cakes, see {contact} now")


@pytest.mark.parametrize(
    "text",
    [
        "A creator of 30 videos on node.js and C#, 48k followers, since 2019.",
        "Filmt Rezepte, z.B. Brot.",
        "料理の動画。",
    ],
)
def test_a_plain_summary_reaches_nobody(text: str) -> None:
    assert not reaches_out(text)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters() | st.sampled_from("<>|`[]{}＜＞\n@./1+"), max_size=200), st.integers(0, 300))
def test_a_line_has_no_markup_no_line_break_and_its_size(text: str, max_bytes: int) -> None:
    line = plain(text, max_bytes)
    assert len(line.encode()) <= max_bytes
    assert not set(line) & set("<>|`[]{}")
    assert len(line.splitlines()) <= 1
    assert all(one.isprintable() for one in line)


@pytest.mark.parametrize(("text", "size", "expected"), [("añb", 2, "a"), (" a \n b ", 9, "a b"), ("a\ud800", 9, "a?")])
def test_cutting_leaves_no_half_character(text: str, size: int, expected: str) -> None:
    assert cut(text, size) == expected


def test_an_excerpt_is_masked_and_short() -> None:
    shown = excerpt("key sk-abcdef123456, mail a@b.c\n\x1b[31m" + "long " * 100)
    assert shown.startswith("key …, mail …")
    assert len(shown) <= 121
    assert shown.isprintable()
    assert shown.endswith("…")


def test_hostile_lengths_are_read_in_no_time() -> None:
    begin = time.process_time()
    for hostile in ("a" * 20_000, "a." * 10_000, "1 (" * 10_000, "@" * 20_000, "a(at" * 5_000):
        reaches_out(hostile)
        plain(hostile, 2_000)
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("word", 1), ("words", 2), ("料理の動画", 4)])
def test_tokens_are_estimated_by_bytes(text: str, tokens: int) -> None:
    assert estimated_tokens(text) == tokens
