from __future__ import annotations

import tomllib
from importlib import resources

import pytest

from daemon.web.names import COUNTRIES, LANGUAGES, country_name, language_name


def test_codes_are_codes_and_every_name_is_another() -> None:
    assert all(len(code) == 2 and code.isupper() for code in COUNTRIES)
    assert all(len(code) in (2, 3) and code.islower() for code in LANGUAGES)
    for table in (COUNTRIES, LANGUAGES):
        assert len(set(table.values())) == len(table)
        assert all(name.strip() == name != "" for name in table.values())


def test_every_country_and_language_that_briefs_know_has_a_name() -> None:
    places, words = (
        tomllib.loads(resources.files("stores").joinpath(name).read_text())
        for name in ("briefs_places.toml", "briefs.toml")
    )
    assert set(places["country"]) <= set(COUNTRIES)
    assert set(words["language"]) <= set(LANGUAGES)


@pytest.mark.parametrize(("code", "name"), [("BR", "Brazil"), ("XX", "XX"), (None, ""), ("", "")])
def test_countries(code: str | None, name: str) -> None:
    assert country_name(code) == name


@pytest.mark.parametrize(
    ("tag", "name"),
    [("pt", "Portuguese"), ("pt-BR", "Portuguese (Brazil)"), ("xx-BR", "xx-BR"), ("und", "und"), (None, "")],
)
def test_languages(tag: str | None, name: str) -> None:
    assert language_name(tag) == name
