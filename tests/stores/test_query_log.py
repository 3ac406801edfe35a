from __future__ import annotations

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from proto.ids import CreatorId, Platform, account_key, creator_id_of
from proto.records import LoggedQuery, SearchWeights, Tenant
from stores.codec import decode, encode
from stores.env import Environment, Txn
from stores.erasure import Subject, mentions, scrub
from stores.ports import CandidateFeatures
from stores.query_log import (
    append_queries,
    candidates_of,
    expire_queries,
    ids_of,
    latest_queries,
    packed_candidates,
    queries_after,
    without_candidates,
)

NOW = 1_790_000_000
ME = "default"
WEIGHTS = SearchWeights(keyword=0.6, vector=0.35, quality=0.05, fields={})


def candidate(number: int, **similarities: float) -> CandidateFeatures:
    return CandidateFeatures(
        creator_id=CreatorId(number), keyword=0.5, exact=number == 1, similarities=similarities, quality=0.25, score=1.5
    )


def query(text: str, at: int = NOW, tenant_id: str = ME, candidates: tuple[CandidateFeatures, ...] = ()) -> LoggedQuery:
    creator_ids, fields, features = packed_candidates(candidates)
    return LoggedQuery(
        number=0, at=at, tenant_id=tenant_id, request_id="r", text=text, rest=text, filter="", niches=[],
        sort="relevance", ascending=False, fusion="weighted", diversity=0.0, weights=WEIGHTS, total=3, took_ms=1.0,
        creator_ids=creator_ids, fields=fields, features=features,
    )  # fmt: skip


async def test_queries_are_read_in_their_order_by_tenant(env: Environment) -> None:
    def story(txn: Txn) -> None:
        append_queries(txn, [query(f"q{n}") for n in range(5)])
        append_queries(txn, [query("other", tenant_id="other"), query("q5")])
        assert [one.text for one in queries_after(txn, ME, 0, 99)] == ["q0", "q1", "q2", "q3", "q4", "q5"]
        assert [one.number for one in queries_after(txn, ME, 4, 1)] == [5]
        assert [one.text for one in queries_after(txn, ME, 5, 9)] == ["q5"]
        assert [one.text for one in latest_queries(txn, ME, 3)] == ["q5", "q4", "q3"]
        assert [one.text for one in latest_queries(txn, "other", 3)] == ["other"]
        assert latest_queries(txn, "nobody", 3) == []

    await env.write(story)


async def test_the_latest_are_found_behind_many_of_other_tenants(env: Environment) -> None:
    def story(txn: Txn) -> None:
        append_queries(txn, [query("mine")])
        append_queries(txn, [query("x", tenant_id="other")] * 2_500)
        assert [one.text for one in latest_queries(txn, ME, 5)] == ["mine"]

    await env.write(story)


async def test_old_queries_go(env: Environment) -> None:
    def story(txn: Txn) -> None:
        for tenant in (ME, "other"):
            txn.put("tenants", tenant.encode(), encode(Tenant(tenant_id=tenant)))
            append_queries(txn, [query("old", NOW - 10, tenant), query("new", NOW, tenant)])
        assert expire_queries(txn, NOW) == 2
        assert expire_queries(txn, NOW) == 0
        assert [one.text for one in queries_after(txn, ME, 0, 9)] == ["new"]

    await env.write(story)


@given(
    st.lists(
        st.tuples(
            st.integers(0, (1 << 63) - 1),
            st.dictionaries(st.sampled_from(["yt_bio", "ig_bio"]), st.floats(-1, 1, width=32)),
        ),
        unique_by=lambda one: one[0],
        max_size=6,
    )
)
def test_candidates_come_out_as_they_went_in(given_: list[tuple[int, dict[str, float]]]) -> None:
    candidates = tuple(candidate(number, **similarities) for number, similarities in given_)
    stored = decode(LoggedQuery, encode(query("q", candidates=candidates)))
    assert ids_of(stored) == [one.creator_id for one in candidates]
    for rank, (one, read) in enumerate(zip(candidates, candidates_of(stored), strict=True), 1):
        assert (read.creator_id, read.rank, read.exact) == (str(one.creator_id), rank, one.exact)
        assert (read.keyword, read.quality, read.score) == (0.5, 0.25, 1.5)
        assert read.similarities == one.similarities
    gone = {one.creator_id for one in candidates[::2]}
    left = without_candidates(stored, gone)
    assert ids_of(left) == [one.creator_id for one in candidates if one.creator_id not in gone]
    kept = [one for one in candidates_of(stored) if CreatorId(int(one.creator_id)) not in gone]
    assert [msgspec.structs.replace(one, rank=0) for one in candidates_of(left)] == [
        msgspec.structs.replace(one, rank=0) for one in kept
    ]
    assert not any(math.isnan(value) for one in candidates_of(left) for value in one.similarities.values())


async def test_an_erasure_takes_candidates_and_names_out(env: Environment) -> None:
    ana = creator_id_of(account_key(Platform.YOUTUBE, "UCana"))
    subject = Subject(platform=Platform.YOUTUBE, user_id="UCana", handle="annaq", alias="00ff", creator_ids=(ana,))

    def story(txn: Txn) -> None:
        append_queries(txn, [
            query("hips", candidates=(candidate(5, yt_bio=0.5), candidate(ana), candidate(7))),
            query("who is @annaq"),
            query("untouched", candidates=(candidate(5),)),
        ])  # fmt: skip
        before = queries_after(txn, ME, 2, 1)
        after: bytes | None = b""
        met = 0
        while after is not None:
            keys, after = mentions(txn, "query_log", subject, after, 2)
            met += scrub(txn, "query_log", subject, keys)
        assert met == 2
        first, second, third = queries_after(txn, ME, 0, 9)
        assert ids_of(first) == [5, 7]
        assert candidates_of(first)[0].similarities == {"yt_bio": 0.5}
        assert (second.text, second.rest) == ("who is erased-00ff", "who is erased-00ff")
        assert [third] == before

    await env.write(story)
