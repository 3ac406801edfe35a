"""What a line of an import becomes: a creator as the stages would make it, or words that name the place."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.aggregation import aggregate, language_in
from actors.given import (
    MAX_ACCOUNTS,
    MAX_COUNT,
    MAX_ID_CHARS,
    MAX_ITEMS,
    MAX_LINE_BYTES,
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    GivenRules,
    Prepared,
    prepare,
)
from actors.policy import derivable, policies
from daemon.config import Config
from daemon.pipeline import taxonomy_of
from proto.errors import Malformed
from proto.ids import Row, creator_id_of
from proto.records import Creator
from stores.catalog import CreatorBundle

NOW = 1_790_000_000
DAY = 86_400
MODEL, DIMS = "model-a", 4
TAXONOMY = taxonomy_of(Config())
NICHE = sorted(TAXONOMY.niche_ids)[0]
PART = sorted(TAXONOMY.parent_of)[0]
STYLE = sorted(TAXONOMY.style_ids)[0]

Line = dict[str, Any]


def rules(derived_data: str = "granted", model_id: str = MODEL) -> GivenRules:
    return GivenRules(
        policies=policies(derived_data),
        taxonomy=TAXONOMY,
        model_id=model_id,
        dims=DIMS if model_id else 0,
        recent_items=5,
    )


def vector(field: str = "bio", values: tuple[float, ...] = (1, 0, 0, 0), **more: Any) -> Line:
    said = b64encode(np.asarray(values, "<f2").tobytes()).decode()
    return {"field": field, "model_id": MODEL, "vector": said} | more


def item(number: int = 0, **more: Any) -> Line:
    at = NOW - DAY * (number + 1)
    return {"content_id": f"v{number}", "title_or_caption": f"Title {number}", "published_at": at, "views": 100} | more


def account(**more: Any) -> Line:
    return {
        "platform": "youtube",
        "platform_user_id": "UC1",
        "handle": "somebody",
        "bio": "All about gardens.",
        "followers": 1_000,
        "fetched_at": NOW - 60,
        "items": [item(number) for number in range(8)],
        "vectors": [vector(), vector("content.0", (0, 1, 0, 0))],
    } | more


def creator(*accounts: Line, **more: Any) -> Line:
    return {"accounts": list(accounts or [account()])} | more


def prepared(line: Line, said: GivenRules | None = None) -> Prepared:
    return prepare(json.dumps(line).encode(), said or rules(), NOW)


def refusal(line: Line | bytes) -> str:
    with pytest.raises(Malformed) as found:
        prepare(line if isinstance(line, bytes) else json.dumps(line).encode(), rules(), NOW)
    return str(found.value)


def test_a_whole_creator_is_taken_as_it_stands() -> None:
    said = prepared(creator(primary_niche=NICHE, secondary_niches=[PART], content_style=STYLE, llm_summary="Gardens."))
    made = said.bundle.creator
    assert (said.notes, said.unembedded, said.labelled) == ([], [], True)
    assert (made.creator_id, made.row) == (creator_id_of(said.founder), Row(0))
    assert (made.primary_niche, made.secondary_niches, made.content_style) == (NICHE, [PART], STYLE)
    assert made.enrichment is not None
    assert (made.enrichment.method, made.enrichment.taxonomy_version) == ("import", TAXONOMY.version)
    assert made.llm_summary == "Gardens."
    assert sorted(said.bundle.embeddings) == ["yt_bio", "yt_content"]
    assert [len(part.items) for part in said.bundle.accounts] == [5]
    assert [len(items) for items in said.items] == [8]


def test_the_first_account_founds_and_all_stand_in_the_order_of_their_keys() -> None:
    said = prepared(creator(account(), account(platform="instagram", platform_user_id="7")))
    assert said.founder == "youtube:UC1"
    assert [one.key for one in said.accounts] == ["instagram:7", "youtube:UC1"]
    assert said.bundle.creator.account_keys == ["instagram:7", "youtube:UC1"]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (b"", "truncated"),
        (b"nonsense", "JSON is malformed"),
        (b"[]", "Expected `object`"),
        (b"\xff\xfe", "malformed"),
        (b'{"accounts": [{"platform": "youtube", "platform_user_id": "a", "bio": "\xff"}]}', "utf-8"),
        (rb'{"accounts": [{"platform": "youtube", "platform_user_id": "a", "bio": "\ud800"}]}', "truncated"),
        (b'{"accounts": ' + b"[" * 100_000, "Expected `object`"),
        (b'{"more": ' + b"[" * 100_000 + b"]" * 100_000 + b', "accounts": []}', "recursion"),
        (b'{"accounts": [' + b" " * MAX_LINE_BYTES, "bytes; a creator has"),
        ({}, "accounts"),
        (creator() | {"accounts": []}, "0 accounts"),
        ({"accounts": [account(platform_user_id=f"UC{n}") for n in range(MAX_ACCOUNTS + 1)]}, "`$.accounts`"),
        (creator(account(), account()), "twice - at `$.accounts`"),
        (creator(primary_niche=3), "`$.primary_niche`"),
        (creator(account(), account(platform="tiktok", platform_user_id="9")), "`$.accounts[1]`"),
        (creator(account(platform="myspace")), "`$.accounts[0].platform`"),
        (creator(account(platform_user_id="")), "`$.accounts[0]`"),
        (creator(account(platform_user_id="a b")), "`$.accounts[0]`"),
        (creator(account(platform_user_id="a\0b")), "`$.accounts[0]`"),
        (creator(account(platform_user_id="a\u202eb")), "`$.accounts[0]`"),
        (creator(account(platform_user_id="ü" * 50)), "in ASCII"),
        (creator(account(platform_user_id="x" * (MAX_ID_CHARS + 1))), "`$.accounts[0]`"),
        (creator(account(handle="a\nb")), "`$.accounts[0]`"),
        (creator(account(display_name="x" * (MAX_NAME_CHARS + 1))), "display_name"),
        (creator(account(bio="x" * (MAX_TEXT_CHARS + 1))), "bio"),
        (creator(account(items=[item(title_or_caption="x" * (MAX_TEXT_CHARS + 1))])), "item 'v0': title_or_caption"),
        (creator(account(items=[item(description="x" * (MAX_TEXT_CHARS + 1))])), "item 'v0': title_or_caption"),
        (creator(account(followers=-1)), "counts"),
        (creator(account(followers=MAX_COUNT + 1)), "counts"),
        (creator(account(total_views=10**40)), "counts"),
        (creator(account(followers=1.5)), "`$.accounts[0].followers`"),
        (creator(account(followers_step=10**40)), "counts"),
        (creator(account(platform="YouTube")), "`$.accounts[0].platform`; a platform is one of youtube, instagram"),
        (creator(account(platform_user_id="@ann")), "'@ann': the platform's own id is expected"),
        (creator(account(platform_user_id="https://www.youtube.com/@ann")), "no handle and no URL"),
        (creator(account(total_views=-1)), "total_views is a whole number"),
        (creator(account(country="Brazil")), "country"),
        (creator(account(language="x" * 100)), "language"),
        (creator(account(language="e\0")), "language"),
        (creator(account(fetched_at=-1)), "instant"),
        (creator(account(fetched_at=NOW * 1000)), "instant"),
        (creator(account(created_at=10**40)), "instant"),
        (creator(account(content_fetched_at=NOW + 2 * DAY)), "instant"),
        (creator(account(items=[item(content_id="")])), "item ''"),
        (creator(account(items=[item(content_id="a\0")])), "item"),
        (creator(account(items=[item(content_id="x" * 101)])), "item"),
        (creator(account(items=[item(likes=-3)])), "item 'v0'"),
        (creator(account(items=[item(views=10**40)])), "item 'v0'"),
        (creator(account(items=[item(published_at=NOW * 1000)])), "item 'v0'"),
        (creator(account(items=[item(published_at=-1)])), "item 'v0'"),
        (creator(account(items=[item(fetched_at=-(10**40))])), "item 'v0'"),
        (creator(account(items=[item(counted_at=10**40)])), "item 'v0'"),
        (creator(account(items=[item(number) for number in range(MAX_ITEMS + 1)])), "5,001 items"),
        (creator(account(vectors=[vector("face")])), "vector 'face'"),
        (creator(account(vectors=[vector(values=(1, 0, 0))])), "6 bytes; the 4 numbers of"),
        (creator(account(vectors=[vector(values=(0, 0, 0, 0))])), "unit length"),
        (creator(account(vectors=[vector(values=(float("nan"), 0, 0, 1))])), "unit length"),
        (creator(account(vectors=[vector(values=(float("inf"), 0, 0, 0))])), "unit length"),
        (creator(account(vectors=[vector(values=(3, 0, 0, 0))])), "unit length"),
        (creator(account(vectors=[vector(weight=0)])), "weight"),
        (creator(account(vectors=[vector(weight=-1)])), "weight"),
        (creator(account(vectors=[vector(vector="no base64!")])), "`$.accounts[0].vectors[0].vector`"),
        (creator(enrichment={"method": "llm"}), "`$.enrichment`"),
    ],
)
def test_what_is_malformed_names_the_place(line: Line | bytes, place: str) -> None:
    assert place in refusal(line)


def test_what_nobody_knows_is_not_repeated_at_length() -> None:
    said = refusal(creator(account(platform="x" * 100_000)))
    assert len(said) < 500
    assert said.endswith("`$.accounts[0].platform`; a platform is one of youtube, instagram")


def test_what_a_file_cannot_know_is_ignored() -> None:
    own = {"next_due_at": 5, "creator_id": 7, "misses": 9, "touched_at": 10**40, "feed_failures": 3, "importance": 99.0}
    (one,) = prepared(creator(account(**own, importance_stated=True, unheard="of"))).accounts
    assert (one.next_due_at, one.creator_id, one.misses, one.touched_at) == (None, None, 0, None)
    assert (one.feed_failures, one.importance, one.importance_stated) == (0, 1.0, False)


def test_names_that_nobody_knows_are_left_out_with_a_word_each() -> None:
    said = creator(
        account(folowers=5, items=[item(likez=1), item(1, likez=2)], vectors=[vector(heft=1)]),
        niche="x",
        enrichment=None,
    )
    made = prepared(said)
    assert made.notes == [
        "`niche` of a creator is no name that is known, and is left out",
        "`folowers` of an account is no name that is known, and is left out (`followers`?)",
        "`likez` of an item is no name that is known, and is left out (`likes`?)",
        "`heft` of a vector is no name that is known, and is left out",
    ]
    known = creator(account(items=[item(), item(1)], vectors=[vector()]))
    assert made.bundle == prepared(known).bundle


def test_of_many_unknown_names_some_are_named_within_bounds() -> None:
    notes = prepared(creator(account(**{f"x{number}; {'y' * 100}": number for number in range(9)}))).notes
    assert len(notes) == 6
    assert notes[-1] == "4 more names are not known, and left out"
    assert all(len(one) < 150 and "; " not in one for one in notes)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ({"accounts": [account(followers="many")], "unheard": 1}, "`$.accounts[0].followers`"),
        ({"accounts": [{"unheard": 1, "platform": "youtube"}]}, "`platform_user_id` - at `$.accounts[0]`"),
        ({"unheard": 1}, "`accounts`"),
        (
            {"acounts": [account()]},
            "`accounts`; `acounts` of a creator is no name that is known, and is left out (`accounts`?)",
        ),
        ({"unheard": 1, "accounts": [[account(unheard=1)]]}, "`$.accounts[0]`"),
        (b'{"unheard": 1, "accounts": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", "recursion"),
        (b'{"unheard": 1, "accounts": [}', "malformed"),
    ],
)
def test_beside_unknown_names_what_is_malformed_is_refused(line: Line | bytes, place: str) -> None:
    assert place in refusal(line)


def test_handles_are_kept_without_the_sign_before_them() -> None:
    assert prepared(creator(account(handle="@ann"))).accounts[0].handle == "ann"


def test_links_lead_to_the_web_alone() -> None:
    bad = "javascript:alert(1)"
    said = account(profile_image_url=bad, website=bad, links=[bad, "https://a.example"], items=[item(permalink=bad)])
    (part,) = prepared(creator(said)).bundle.accounts
    assert (part.account.profile_image_url, part.account.website, part.account.links) == ("", "", ["https://a.example"])
    assert part.items[0].permalink == ""


def test_times_that_are_not_stated_or_a_little_ahead_are_now() -> None:
    unstated = prepared(creator(account(fetched_at=0))).accounts[0]
    ahead = prepared(creator(account(fetched_at=NOW + 3_600))).accounts[0]
    assert (unstated.fetched_at, ahead.fetched_at, unstated.content_fetched_at) == (NOW, NOW, NOW)
    (part,) = prepared(creator(account(items=[item(fetched_at=NOW), item(1, counted_at=NOW)]))).bundle.accounts
    assert {one.fetched_at for one in part.items} == {NOW - 60}
    assert max(one.counted_at for one in part.items) == NOW - 60


def test_an_item_that_stands_there_twice_is_the_last_of_them() -> None:
    (part,) = prepared(creator(account(items=[item(views=1), item(1), item(views=2)]))).bundle.accounts
    assert [(one.content_id, one.views) for one in part.items] == [("v0", 2), ("v1", 100)]


def test_vectors_of_another_model_are_left_out_and_made_anew() -> None:
    said = prepared(creator(account(vectors=[vector(model_id="model-b"), vector("content.0")])))
    assert said.notes == ["vectors that are not of model-a are left out"]
    assert said.unembedded == ["youtube:UC1"]
    assert list(said.bundle.accounts[0].vectors) == ["content.0"]


def test_without_a_model_nothing_waits_for_vectors() -> None:
    nameless = vector("content.0", model_id="")
    said = prepared(creator(account(vectors=[vector(), nameless])), rules(model_id=""))
    assert said.notes == ["vectors that come where there is no model are left out"]
    assert (said.unembedded, said.bundle.embeddings) == ([], {})


@pytest.mark.parametrize(
    ("more", "lacks"),
    [
        ({"vectors": []}, True),
        ({"vectors": [vector()]}, True),
        ({"vectors": [vector("content.0")]}, True),
        ({"vectors": [vector()], "items": []}, False),
        ({"vectors": [vector("content.0")], "bio": " "}, False),
        ({"vectors": [vector("content.0")], "bio": "", "keywords": ["gardens"]}, True),
        ({"vectors": [], "bio": "", "items": []}, False),
    ],
)
def test_who_has_words_without_vectors_waits_for_them(more: Line, lacks: bool) -> None:
    assert bool(prepared(creator(account(**more))).unembedded) is lacks


@pytest.mark.parametrize(
    "labels",
    [
        {"primary_niche": "no such niche"},
        {"primary_niche": NICHE, "secondary_niches": ["no such part"]},
        {"primary_niche": NICHE, "content_style": "no such style"},
    ],
)
def test_labels_that_the_taxonomy_lacks_are_left_out_with_a_word(labels: Line) -> None:
    said = prepared(creator(**labels))
    assert (said.labelled, said.bundle.creator.primary_niche, said.bundle.creator.enrichment) == (False, None, None)
    assert said.notes == ["labels that the taxonomy does not have are left out"]


def test_who_labelled_is_told_within_bounds() -> None:
    said = {"method": "llm", "model": "m" * 9_999, "prompt_version": "", "taxonomy_version": "1", "input_hash": "h"}
    made = prepared(
        creator(primary_niche=NICHE, enrichment=said | {"at": 10**40, "confidence": -7, "candidates": [["x", 1]] * 99})
    ).bundle.creator.enrichment
    assert made is not None
    assert (made.method, len(made.model), made.at, made.confidence, len(made.candidates)) == ("llm", 100, NOW, 0.0, 10)
    strange = prepared(creator(primary_niche=NICHE, enrichment=said | {"method": "x" * 999, "at": 1}))
    assert strange.bundle.creator.enrichment is not None
    assert strange.bundle.creator.enrichment.method == "import"


def test_of_a_platform_that_denies_it_nothing_is_derived() -> None:
    line = creator(account(), account(platform="instagram", platform_user_id="7"), primary_niche=NICHE)
    said = prepared(line, rules("denied"))
    assert sorted(said.bundle.embeddings) == ["ig_bio", "ig_captions"]
    assert [len(part.vectors) for part in said.bundle.accounts] == [2, 0]
    assert (said.labelled, said.bundle.creator.primary_niche, said.unembedded) == (False, None, [])
    alone = prepared(creator(account(emails=["a@b.example"]), primary_niche=NICHE), rules("denied"))
    made = alone.bundle.creator
    assert (made.primary_niche, made.engagement_rate, made.has_email, made.language) == (None, None, None, None)


texts = st.text(max_size=30)
instants = st.integers(0, NOW)
counts = st.none() | st.integers(0, MAX_COUNT)
items = st.builds(
    lambda number, title, at, views, likes, detailed: item(
        number, title_or_caption=title, published_at=at, views=views, likes=likes, detailed=detailed
    ),
    st.integers(0, 20), texts, instants, counts, counts, st.booleans(),
)  # fmt: skip
units = st.lists(st.floats(-1, 1), min_size=DIMS, max_size=DIMS).filter(lambda one: np.linalg.norm(one) > 0.1)
vectors = st.builds(
    lambda field, values, weight: vector(field, tuple(np.asarray(values) / np.linalg.norm(values)), weight=weight),
    st.sampled_from(["bio", "content.0", "content.1"]), units, st.floats(0.01, 1),
)  # fmt: skip
accounts = st.builds(
    lambda platform, number, **more: account(platform=platform, platform_user_id=str(number), **more),
    st.sampled_from(["youtube", "instagram"]), st.integers(1, 9),
    handle=st.sampled_from(["", "a", "Ünï", "b.c"]), display_name=texts, bio=texts, followers=counts,
    fetched_at=instants, country=st.sampled_from([None, "DE"]), language=st.sampled_from([None, "en", "pt-BR"]),
    items=st.lists(items, max_size=8), vectors=st.lists(vectors, max_size=4), emails=st.lists(texts, max_size=2),
)  # fmt: skip
lines = st.lists(accounts, min_size=1, max_size=3, unique_by=lambda one: (one["platform"], one["platform_user_id"]))


@given(lines, st.sampled_from(["granted", "denied"]))
@settings(max_examples=150, deadline=None)
def test_a_creator_is_what_the_aggregator_makes_of_its_accounts(found: list[Line], derived_data: str) -> None:
    said = prepared({"accounts": found}, rules(derived_data))
    parts = said.bundle.accounts
    bare = CreatorBundle(
        creator=Creator(creator_id=creator_id_of(said.founder), row=Row(0), created_at=NOW),
        accounts=parts,
        embeddings={},
    )
    permitted = derivable(parts, policies(derived_data))
    made, embeddings = aggregate(bare, derived_from=permitted, language=language_in(permitted), now=NOW)
    assert said.bundle.creator == made
    assert said.bundle.embeddings == {one.field: one for one in embeddings}
    for one in embeddings:
        assert np.isfinite(np.frombuffer(one.vector, "<f2")).all()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_nothing_but_malformed_comes_of_nonsense(data: st.DataObject) -> None:
    """Of a sound line in which any one value, at any depth, is any other."""
    line = creator(account(), account(platform="instagram", platform_user_id="7"), primary_niche=NICHE)
    places: list[tuple[Any, Any]] = []
    waiting: list[Any] = [line]
    while waiting:
        one = waiting.pop()
        for key in one if isinstance(one, dict) else range(len(one)):
            places.append((one, key))
            if isinstance(one[key], dict | list):
                waiting.append(one[key])
    holder, key = data.draw(st.sampled_from(places))
    holder[key] = data.draw(json_values)
    try:
        said = prepared(line)
    except Malformed as error:
        assert str(error)
    else:
        for record in (said.bundle.creator, *said.accounts, *(one for part in said.items for one in part)):
            msgspec.msgpack.encode(record)


def told(derived_data: str, **more: Any) -> str:
    line = {"accounts": [account(**more)], "primary_niche": NICHE}
    return "; ".join(prepare(msgspec.json.encode(line), rules(derived_data), NOW).notes)


def test_labels_that_may_not_be_kept_are_told() -> None:
    said = told("denied")
    assert "labels are left out: nothing may be derived of youtube's data (platforms.youtube.derived_data)" in said
    assert "vectors are left out: nothing may be derived of youtube's data (platforms.youtube.derived_data)" in said
    assert "vectors" not in told("denied", vectors=[])
    assert "left out" not in told("granted")


def test_what_is_too_old_to_be_kept_is_told() -> None:
    assert "erased unless it is read again" in told("granted", fetched_at=NOW - 60 * DAY)
    assert "erased" not in told("granted", fetched_at=NOW - DAY)
