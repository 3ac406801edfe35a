"""The built-in taxonomy is whole; a wrong file is refused with place and remedy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from models.cues import CueIndex
from models.taxonomy import Niche, Style, Taxonomy
from proto.errors import Malformed

SENSITIVE = re.compile(
    "relig|christian|muslim|islam|jewish|hindu|atheis|ethnic|racial|black|white|latino|gay|lesbian|lgbt|transgender"
    "|sexual|gender|disab|disease|depress|anxiety|cancer|pregnan|political|party|voter|democrat|republican|liberal"
)

SMALL = """
version = "1"
[[niche]]
id = "food"
name = "Food"
description = "Cooking"
youtube = ["26"]
iab = []
secondary = [{ id = "baking", name = "Baking", cues = ["cake*"] }]
cues = { en = ["food"] }
[[niche]]
id = "travel"
name = "Travel"
description = "Trips"
youtube = []
iab = []
secondary = []
cues = { en = ["trip"] }
[[style]]
id = "vlog"
name = "Vlog"
description = "Days"
cues = { en = ["vlog"] }
"""


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return Taxonomy.load()


def test_the_built_in_one_covers_niches_languages_and_styles(taxonomy: Taxonomy) -> None:
    assert 25 <= len(taxonomy.niches) <= 35
    assert all(3 <= len(niche.secondary) <= 7 for niche in taxonomy.niches)
    assert all(
        {"en", "pt", "es", "de", "fr", "ru", "ko", "ja", "hi", "ar"} <= set(niche.cues) for niche in taxonomy.niches
    )
    assert {"educational", "entertainment", "review", "tutorial", "vlog", "news"} <= {
        style.id for style in taxonomy.styles
    }
    assert taxonomy.version


def test_every_cue_is_found_in_its_own_text(taxonomy: Taxonomy) -> None:
    """So none is spelled in a way that the index can never meet."""
    entries: list[Niche | Style] = [*taxonomy.niches, *taxonomy.styles]
    for entry in entries:
        for cue in entry.all_cues:
            assert CueIndex([cue]).find(f"x {cue.rstrip('*')} x") == {cue}, f"{entry.id}: {cue}"


def test_no_label_names_a_trait_of_a_person(taxonomy: Taxonomy) -> None:
    labels = [
        taxonomy.name_of(label).lower() for label in [*taxonomy.parent_of, *(niche.id for niche in taxonomy.niches)]
    ]
    labels += [style.name.lower() for style in taxonomy.styles]
    assert [label for label in labels if SENSITIVE.search(label)] == []


def test_category_ids_exist_at_the_origin(taxonomy: Taxonomy, shared_data: Path) -> None:
    folder = shared_data / "taxonomies"
    known = {entry["id"] for entry in json.loads((folder / "youtube_video_categories.json").read_bytes())}
    rows = (folder / "iab_content_taxonomy_3.1.tsv").read_text().splitlines()
    iab = {row.split("\t")[0] for row in rows}
    assert {category for niche in taxonomy.niches for category in niche.youtube} <= known
    assert {category for niche in taxonomy.niches for category in niche.iab} <= iab
    topics = {entry["id"] for entry in json.loads((folder / "youtube_topics.json").read_bytes())}
    assert {topic for niche in taxonomy.niches for topic in niche.topics} <= topics


def test_names_and_parents(taxonomy: Taxonomy) -> None:
    assert taxonomy.name_of("home-workouts") == "Home workouts"
    assert taxonomy.parent_of["home-workouts"] == "fitness"
    assert taxonomy.name_of("gone-since-2025") == "gone since 2025"


def test_filters_may_name_every_label(taxonomy: Taxonomy) -> None:
    values = taxonomy.values()
    assert values["any_niche"] == values["niche"] + values["secondary_niche"]
    labels = [*values["any_niche"], *values["style"]]
    assert all(taxonomy.name_of(label) for label in labels)
    assert len(set(values["any_niche"])) == len(values["any_niche"])
    assert {"food", "gaming"} <= set(values["niche"])
    assert {taxonomy.parent_of[subject] for subject in values["secondary_niche"]} <= set(values["niche"])


def test_another_file_may_be_given(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(SMALL)
    own = Taxonomy.load(path)
    assert [niche.id for niche in own.niches] == ["food", "travel"]
    assert own.niches[0].all_cues == ["food", "cake*"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('version = "1"', "", "version"),
        ('name = "Travel"', 'nmae = "Travel"', r"nmae.*niche"),
        ('id = "travel"', 'id = "food"', r"'food' stands twice; rename"),
        ('id = "baking"', 'id = "travel"', r"'travel' stands twice; rename"),
        ('id = "travel"', 'id = "Travel!"', r"niche.*id"),
        ('"trip"', '"one two three four five"', r"travel: cue 'one two three four five'.*shorten"),
        ('"trip"', '"tr*"', r"travel: cue 'tr\*' matches nearly everything"),
        ('"trip"', '"a*b"', r"cues"),
        ('"trip"', "7", r"cues"),
        ('youtube = ["26"]', "youtube = [26]", r"youtube"),
        ("[[style]]", "[style", r"own\.toml"),
        ('youtube = ["26"]', 'youtube = ["26"]\ntopics = ["Food"]', r"topics"),
        ('youtube = ["26"]', 'youtube = ["26"]\nrarer = { myspace = 1.0 }', r"rarer|myspace"),
        ('youtube = ["26"]', 'youtube = ["26"]\nrarer = { instagram = -1.0 }', r"rarer"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(SMALL.replace(old, new, 1))
    with pytest.raises(Malformed, match=rf"own\.toml.*{said}|{said}"):
        Taxonomy.load(path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match=r"absent\.toml: cannot be read"):
        Taxonomy.load(tmp_path / "absent.toml")
