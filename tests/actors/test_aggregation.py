"""What of a creator's accounts filters may ask about, with and without leave to derive anything."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.aggregation import aggregate
from proto.ids import CreatorId, Platform, Row
from proto.records import AccountStatus, Activity, ContentItem, Creator, CreatorAccount, EmbeddingRecord
from stores.catalog import AccountBundle, CreatorBundle

NOW = 1_790_000_000
DAY = 86_400


def part(platform: Platform = Platform.YOUTUBE, posts: int = 3, **fields: object) -> AccountBundle:
    """With posts of today, one of them sponsored, each with twice as many views as there are followers."""
    account = CreatorAccount(platform=platform, platform_user_id="1", handle="ana", followers=50, fetched_at=NOW)
    account = msgspec.structs.replace(account, **fields)
    items = [
        ContentItem(
            content_id=str(number),
            account_key=account.key,
            published_at=NOW - DAY,
            views=100,
            likes=1,
            sponsored=not number,
            detailed=True,
        )
        for number in range(posts)
    ]
    return AccountBundle(account=account, items=items, vectors={})


def aggregated(*parts: AccountBundle, denied: tuple[Platform, ...] = ()) -> Creator:
    bundle = CreatorBundle(creator=Creator(creator_id=CreatorId(1), row=Row(0)), accounts=list(parts), embeddings={})
    permitted = [one for one in parts if one.account.platform not in denied]
    return aggregate(bundle, derived_from=permitted, language=None, now=NOW)[0]


def test_a_creator_holds_what_filters_ask_about() -> None:
    found = aggregated(part(emails=["a@b.example"], links=["https://ana.example/"]))
    assert (found.views_per_follower, found.sponsored_share) == (2.0, round(1 / 3, 6))
    assert (found.derived_activity, found.has_email, found.has_website) == (Activity.ACTIVE, True, True)
    assert found.oldest_fetched_at == NOW


def test_what_nobody_states_is_known_to_be_lacking_and_what_has_no_content_is_unknown() -> None:
    found = aggregated(part(posts=0))
    assert (found.has_email, found.has_website) == (False, False)
    assert (found.views_per_follower, found.sponsored_share, found.derived_activity) == (None, None, None)


def test_nothing_is_made_of_accounts_that_must_not_be_derived_from() -> None:
    tube = part(emails=["a@b.example"], website="https://ana.example/")
    gram = part(Platform.INSTAGRAM, posts=0)
    alone = aggregated(tube, denied=(Platform.YOUTUBE,))
    assert (alone.views_per_follower, alone.sponsored_share, alone.derived_activity) == (None, None, None)
    assert (alone.has_email, alone.has_website) == (None, None)
    both = aggregated(tube, gram, denied=(Platform.YOUTUBE,))
    assert (both.derived_activity, both.has_email, both.has_website) == (None, False, False)
    assert both.oldest_fetched_at == NOW


@pytest.mark.parametrize(
    ("links", "site"),
    [
        ([], False),
        (["https://www.instagram.com/ana", "https://m.youtube.com/@ana"], False),
        (["https://instagram.com/ana", "https://shop.ana.example"], True),
        (["https://linktr.ee/ana"], True),
        (["", "not a link at all"], False),
    ],
)
def test_a_website_is_a_page_outside_the_platforms(links: list[str], site: bool) -> None:
    assert aggregated(part(links=links)).has_website is site


def test_a_creator_is_as_fresh_as_the_least_fresh_of_its_existing_accounts() -> None:
    fresh, stale = part(), part(Platform.INSTAGRAM, fetched_at=NOW - DAY)
    gone = part(Platform.TIKTOK, fetched_at=NOW - 9 * DAY, status=AccountStatus.GONE)
    assert aggregated(fresh, stale, gone).oldest_fetched_at == NOW - DAY
    assert aggregated(gone).oldest_fetched_at == NOW - 9 * DAY
    assert aggregated(fresh, part(Platform.X, fetched_at=0)).oldest_fetched_at == 0


def embedded(field: str, *values: float, weight: float = 1.0) -> EmbeddingRecord:
    vector = np.array(values, "<f2").tobytes()
    return EmbeddingRecord(
        field=field, model_id="m", dims=len(values), input_hash="h", vector=vector, updated_at=1, weight=weight
    )


def fields_of(*records: EmbeddingRecord) -> dict[str, list[float]]:
    one = msgspec.structs.replace(part(), vectors={record.field: record for record in records})
    bundle = CreatorBundle(creator=Creator(creator_id=CreatorId(1), row=Row(0)), accounts=[one], embeddings={})
    _, found = aggregate(bundle, derived_from=[one], language=None, now=NOW)
    return {record.field: np.frombuffer(record.vector, "<f2").tolist() for record in found}


def test_a_field_whose_vectors_point_nowhere_is_lacking() -> None:
    """A text without meaning to the model is zeros, and opposite ones have no mean."""
    bio, good = (
        embedded("bio", 0, 0),
        [embedded("content.0", 1, 0, weight=0.5), embedded("content.1", 0, 0, weight=0.5)],
    )
    assert fields_of(bio) == {}
    assert fields_of(bio, *good) == {"yt_content": [1, 0]}
    opposite = [embedded("content.0", 1, 0, weight=0.5), embedded("content.1", -1, 0, weight=0.5)]
    assert fields_of(embedded("bio", 0, 1), *opposite) == {"yt_bio": [0, 1]}
    assert fields_of(embedded("bio", float("nan"), 1), embedded("content.0", float("inf"), 0, weight=0.5)) == {}


PARTS = st.sampled_from([0.0, 1.0, -1.0, 0.6, -0.8, 6e-8, 65504.0, float("inf"), float("nan")])


@given(st.lists(st.tuples(PARTS, PARTS, st.sampled_from([1.0, 0.5, 0.001])), min_size=3, max_size=3))
def test_whatever_is_kept_of_vectors_is_of_unit_length(vectors: list[tuple[float, float, float]]) -> None:
    fields = zip(("bio", "content.0", "content.1"), vectors, strict=True)
    with np.errstate(invalid="ignore"):
        found = fields_of(*(embedded(field, x, y, weight=weight) for field, (x, y, weight) in fields))
    assert all(abs(x * x + y * y - 1) < 0.02 for x, y in found.values())
