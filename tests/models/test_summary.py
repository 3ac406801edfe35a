"""One line of at most twenty words, of known facts only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.summary import CreatorFacts, summary
from models.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
NAMES = st.sampled_from([niche.name for niche in TAXONOMY.niches])
TOPICS = st.sampled_from([part.name for niche in TAXONOMY.niches for part in niche.secondary])


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (
            CreatorFacts(
                platforms=("youtube",),
                country="BR",
                niche="Fitness",
                topics=("Home workouts", "Nutrition"),
                followers=48_123,
                posts_per_week=3.2,
            ),
            "Brazilian fitness creator on YouTube: home workouts, nutrition; 48k followers, posts 3 times a week",
        ),
        (CreatorFacts(), "Creator"),
        (CreatorFacts(platforms=("instagram", "youtube"), followers=1), "Creator on Instagram and YouTube; 1 follower"),
        (CreatorFacts(country="ZZ", niche="DIY and crafts", followers=0), "DIY and crafts creator; 0 followers"),
        (CreatorFacts(followers=1_290_000, posts_per_week=0.0), "Creator; 1.2M followers"),
        (CreatorFacts(followers=999_999), "Creator; 999k followers"),
        (CreatorFacts(followers=2_000), "Creator; 2k followers"),
        (CreatorFacts(posts_per_week=14.0), "Creator; posts 2 times a day"),
        (CreatorFacts(posts_per_week=7.0), "Creator; posts once a day"),
        (CreatorFacts(posts_per_week=1.0), "Creator; posts once a week"),
        (CreatorFacts(posts_per_week=0.5), "Creator; posts 2 times a month"),
        (CreatorFacts(posts_per_week=0.1), "Creator; posts rarely"),
    ],
)
def test_says_what_is_known(facts: CreatorFacts, line: str) -> None:
    assert summary(facts) == line


@given(
    st.builds(
        CreatorFacts,
        platforms=st.lists(st.sampled_from(["youtube", "instagram", "tiktok", "x"]), unique=True).map(tuple),
        country=st.none() | st.sampled_from(["BR", "NZ", "US"]),
        niche=st.none() | NAMES,
        topics=st.lists(TOPICS, max_size=4).map(tuple),
        followers=st.none() | st.integers(0, 10**10),
        posts_per_week=st.none() | st.floats(0, 500),
    )
)
def test_never_longer_than_twenty_words(facts: CreatorFacts) -> None:
    line = summary(facts)
    assert len(line.split()) <= 20
    assert line[0].isupper() and "None" not in line
    assert ("follower" in line) == (facts.followers is not None), "topics give way before facts"
