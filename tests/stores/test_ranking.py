from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.ids import AccountKey, CreatorId, Platform, Row
from proto.records import Activity, Creator
from stores.ports import Weights
from stores.ranking import (
    ENGAGEMENT_FULL,
    EXACT_BONUS,
    FOLLOWERS_FULL,
    UNKNOWN,
    Candidates,
    addends_of,
    diversified,
    quality_of,
    rank,
)

WEIGHTS = Weights(keyword=0.4, vector=0.4, quality=0.2, fields={"bio": 1.0, "content": 3.0})
NOTHING = Weights(keyword=0.0, vector=0.0, quality=0.0, fields={"bio": 0.0, "content": 0.0})


def candidates(
    ids: list[int],
    *,
    keyword: list[float] | None = None,
    exact: list[bool] | None = None,
    quality: list[float] | None = None,
    preferred: list[bool] | None = None,
    **fields: list[float | None],
) -> Candidates:
    """Per field one similarity a candidate, None where it lacks the field."""
    zeros = [0.0] * len(ids)
    return Candidates(
        creator_ids=np.array(ids, np.int64),
        keyword=np.array(keyword or zeros, np.float32),
        exact=np.array(exact or [False] * len(ids), bool),
        quality=np.array(quality or zeros, np.float32),
        similarities={name: np.array([value or 0.0 for value in held], np.float32) for name, held in fields.items()},
        having={name: np.array([value is not None for value in held], bool) for name, held in fields.items()},
        preferred=np.array(preferred or [False] * len(ids), bool),
    )


def ranked_ids(given: Candidates, weights: Weights = WEIGHTS) -> list[int]:
    return given.creator_ids[rank(given, weights).order].tolist()  # type: ignore[no-any-return]


def test_each_part_counts_by_its_weight() -> None:
    given = candidates([1], keyword=[0.5], quality=[0.25], bio=[1.0], content=[0.5])
    (score,) = rank(given, WEIGHTS).scores
    assert score == pytest.approx(0.4 * 0.5 + 0.2 * 0.25 + 0.4 * (0.25 * 1.0 + 0.75 * 0.5))


def test_a_field_that_a_creator_lacks_takes_no_share() -> None:
    given = candidates([1, 2, 3, 4], bio=[0.8, 0.8, None, None], content=[0.8, None, 0.8, None])
    ranked = rank(given, WEIGHTS)
    assert ranked.scores == pytest.approx([0.32, 0.32, 0.32, 0])
    shares = {part.name: part.weights for part in ranked.parts}
    assert shares["bio"] == pytest.approx([0.1, 0.4, 0, 0])
    assert shares["content"] == pytest.approx([0.3, 0, 0.4, 0])


def test_an_exact_match_leads_whatever_the_others_have() -> None:
    given = candidates([1, 2], keyword=[0.95, 1.0], exact=[False, True], quality=[1.0, 0.0], bio=[1.0, None])
    assert ranked_ids(given) == [2, 1]
    scores = rank(given, WEIGHTS).scores
    assert scores[1] == pytest.approx(EXACT_BONUS + 0.4)


def test_an_opposite_meaning_is_no_worse_than_none() -> None:
    given = candidates([1, 2], bio=[-0.9, None])
    assert rank(given, WEIGHTS).scores.tolist() == [0, 0]


def test_ties_go_by_creator_id() -> None:
    assert ranked_ids(candidates([30, 10, 20], quality=[0.5, 0.5, 0.5])) == [10, 20, 30]
    assert ranked_ids(candidates([30, 10, 20], quality=[0.9, 0.5, 0.5])) == [30, 10, 20]


def test_with_all_weights_zero_everyone_ties_but_the_exact() -> None:
    given = candidates([3, 1, 2], keyword=[1, 0.2, 1], exact=[False, False, True], quality=[1, 0, 0], bio=[1, None, 1])
    ranked = rank(given, NOTHING)
    assert ranked.scores.tolist() == [0, 0, EXACT_BONUS]
    assert ranked_ids(given, NOTHING) == [2, 1, 3]


def test_fields_of_weight_zero_leave_the_rest_its_whole_share() -> None:
    weights = Weights(keyword=0, vector=1, quality=0, fields={"bio": 0.0, "content": 2.0})
    given = candidates([1, 2], bio=[1.0, 1.0], content=[0.5, None])
    assert rank(given, weights).scores == pytest.approx([0.5, 0])


def test_no_candidates_are_no_error() -> None:
    assert ranked_ids(candidates([], bio=[])) == []


ONE = st.floats(0, 1, width=32)
HELD = st.none() | st.floats(-1, 1, width=32)


@given(
    st.lists(st.tuples(ONE, st.booleans(), ONE, HELD, HELD), min_size=1, max_size=8),
    st.tuples(ONE, ONE, ONE, ONE, ONE),
)
def test_the_addends_sum_to_the_score(
    drawn: list[tuple[float, bool, float, float | None, float | None]],
    weighed: tuple[float, float, float, float, float],
) -> None:
    keyword, vector, quality, bio, content = weighed
    weights = Weights(keyword=keyword, vector=vector, quality=quality, fields={"bio": bio, "content": content})
    given = candidates(
        list(range(len(drawn))),
        keyword=[one[0] for one in drawn],
        exact=[one[1] for one in drawn],
        quality=[one[2] for one in drawn],
        bio=[one[3] for one in drawn],
        content=[one[4] for one in drawn],
    )
    ranked = rank(given, weights)
    for at in range(len(drawn)):
        addends = addends_of(ranked, at)
        assert sum(addend.contribution for addend in addends) == pytest.approx(ranked.scores[at], abs=1e-6)
        assert all(addend.contribution == addend.value * addend.weight >= 0 for addend in addends)
        assert len({addend.name for addend in addends}) == len(addends)


@given(st.lists(st.tuples(ONE, ONE, HELD), min_size=1, max_size=8))
def test_the_order_of_candidates_does_not_matter(drawn: list[tuple[float, float, float | None]]) -> None:
    def ranked(rows: list[tuple[int, tuple[float, float, float | None]]]) -> list[int]:
        return ranked_ids(
            candidates(
                [number for number, _ in rows],
                keyword=[one[0] for _, one in rows],
                quality=[one[1] for _, one in rows],
                bio=[one[2] for _, one in rows],
            )
        )

    rows = list(enumerate(drawn))
    assert ranked(rows) == ranked(rows[::-1])


def test_only_fields_that_a_creator_holds_are_explained() -> None:
    given = candidates([1], bio=[None], content=[0.5])
    assert [addend.name for addend in addends_of(rank(given, WEIGHTS), 0)] == [
        "keyword",
        "quality",
        "content",
    ]


def creator(**fields: object) -> Creator:
    return Creator(creator_id=CreatorId(1), row=Row(0), **fields)  # type: ignore[arg-type]


def test_quality_runs_from_none_to_all_and_what_is_unknown_lies_between() -> None:
    none = quality_of(creator(total_followers=0, engagement_rate=0.0))
    full = quality_of(
        creator(total_followers=FOLLOWERS_FULL * 9, engagement_rate=ENGAGEMENT_FULL * 9, activity=Activity.ACTIVE)
    )
    unknown = quality_of(creator(activity=Activity.ACTIVE))
    assert none == pytest.approx(0.25 * 0.2)
    assert full == pytest.approx(1.0)
    assert unknown == pytest.approx(0.75 * UNKNOWN + 0.25)


def test_what_may_not_be_derived_is_unknown_to_quality() -> None:
    """The followers and the liveliness of a channel are no figure of ours without the grant; Instagram's are."""
    counts = {"youtube": 5_000_000, "instagram": 100}
    keys = {name: AccountKey(f"{name}:1") for name in counts}
    instagram = [Platform.INSTAGRAM]
    for activity in Activity:
        channel = creator(
            total_followers=counts["youtube"],
            followers_by_platform={"youtube": counts["youtube"]},
            account_keys=[keys["youtube"]],
            activity=activity,
        )
        assert quality_of(channel, instagram) == UNKNOWN
        assert quality_of(channel) > UNKNOWN * 0.5 + 0.25 * UNKNOWN
    both = creator(
        total_followers=5_000_100,
        followers_by_platform=counts,
        account_keys=[*keys.values()],
        activity=Activity.ACTIVE,
        engagement_rate=0.02,
    )
    alone = creator(
        total_followers=100,
        followers_by_platform={"instagram": 100},
        account_keys=[keys["instagram"]],
        activity=Activity.ACTIVE,
        engagement_rate=0.02,
    )
    assert quality_of(both, instagram) == pytest.approx(quality_of(alone, instagram) - 0.25 * (1 - UNKNOWN))


def test_more_of_anything_is_better_quality() -> None:
    audience = [quality_of(creator(total_followers=count)) for count in (0, 100, 10_000, 1_000_000)]
    engaged = [quality_of(creator(engagement_rate=rate)) for rate in (0.0, 0.01, 0.05, 0.1)]
    activity = [
        quality_of(creator(activity=one)) for one in (Activity.LONG_TAIL, Activity.SEMI_ACTIVE, Activity.ACTIVE)
    ]
    for rising in (audience, engaged, activity):
        assert rising == sorted(set(rising))


def test_a_preferred_niche_decides_between_likes_but_not_against_a_name() -> None:
    given = candidates([1, 2, 3], keyword=[0.5, 0.5, 1.0], exact=[False, False, True], preferred=[False, True, False])
    assert ranked_ids(given) == [3, 2, 1]
    assert [addend.name for addend in addends_of(rank(given, WEIGHTS), 1)] == ["keyword", "quality", "niche"]


def test_a_preferred_niche_decides_between_likes_by_ranks_too() -> None:
    """Its bonus is of the size of scores: a boost that outweighed every place would be a filter."""
    count = 40
    keyword = [1.0 - at / count for at in range(count)]
    given = candidates(list(range(count)), keyword=keyword, preferred=[at in (1, count - 1) for at in range(count)])
    order = rank(given, WEIGHTS, "rrf").order.tolist()
    assert order[:2] == [1, 0]
    assert order.index(count - 1) > count // 2


def test_reciprocal_ranks_count_places_and_not_scores() -> None:
    given = candidates([1, 2, 3], keyword=[0.9, 0.1, 0.0], bio=[0.2, 0.1, 0.9], quality=[0, 0, 0])
    weights = Weights(keyword=0.5, vector=0.5, quality=0.0, fields={"bio": 1.0})
    ranked = rank(given, weights, "rrf")
    assert ranked.scores == pytest.approx([0.5 / 61 + 0.5 / 62, 0.5 / 62 + 0.5 / 63, 0.5 / 61])
    assert ranked.order.tolist() == [0, 1, 2]


def test_a_preferred_niche_decides_between_likes_only_where_places_count_too() -> None:
    falling = [1 - place / 20 for place in range(20)]
    given = candidates(list(range(20)), keyword=falling, bio=[*falling], preferred=[place == 19 for place in range(20)])
    order = rank(given, WEIGHTS, "rrf").order.tolist()
    assert order[:10] == list(range(10))
    assert order.index(19) < 19


@given(st.lists(st.tuples(ONE, ONE, HELD, HELD), min_size=1, max_size=8))
def test_reciprocal_ranks_are_explained_as_well(drawn: list[tuple[float, float, float | None, float | None]]) -> None:
    given = candidates(
        list(range(len(drawn))),
        keyword=[one[0] for one in drawn],
        quality=[one[1] for one in drawn],
        bio=[one[2] for one in drawn],
        content=[one[3] for one in drawn],
    )
    ranked = rank(given, WEIGHTS, "rrf")
    for at in range(len(drawn)):
        assert sum(addend.contribution for addend in addends_of(ranked, at)) == pytest.approx(
            ranked.scores[at], abs=1e-6
        )


def test_diversity_puts_the_unlike_before_the_like() -> None:
    likeness = np.array([[1, 0.99, 0.1], [0.99, 1, 0.1], [0.1, 0.1, 1]], np.float32)
    scores = np.array([0.9, 0.85, 0.6])
    assert diversified([0, 1, 2], scores, likeness, 0.0).tolist() == [0, 1, 2]
    assert diversified([0, 1, 2], scores, likeness, 0.7).tolist() == [0, 2, 1]
    assert sorted(diversified([0, 1, 2], scores, likeness, 1.0).tolist()) == [0, 1, 2]
