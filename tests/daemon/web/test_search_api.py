"""What callers of search may ask, and what they are told, over a searcher that finds everybody."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from daemon.tenancy import TenantRows
from daemon.web.app import create_app
from proto.ids import Row
from stores.filter_ast import And, In, Range
from stores.ports import Relaxation, SearchQuery, Standing, Suggestion
from tests.daemon.web.conftest import Connect
from tests.daemon.web.fakes import BIG_ID, HOSTILE, NothingNoted, World, creator, item, problem


def world(count: int = 5) -> World:
    pairs = [creator(BIG_ID, "Ana Silva", handle="ana", bio="Yoga and more yoga")]
    pairs += [creator(number, f"Creator {number}") for number in range(1, count)]
    return World(pairs, [item("Morning YOGA for hips"), item("Leg day")])


async def ask(connect: Connect, fake: World, **parameters: Any) -> dict[str, Any]:
    http = await connect(create_app(fake.services()))
    reply = await http.get("/v1/search", params=parameters)
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


async def test_a_get_and_a_post_ask_the_same(connect: Connect) -> None:
    fake = world()
    http = await connect(create_app(fake.services()))
    given = {
        "q": "fitness creators", "filter": "country = BR", "limit": "3", "sort": "followers:asc", "facets": "platform,niche",
        "explain": "false", "interpret": "suggest", "drop": "any_niche@0", "fields": "name", "fusion": "rrf",
        "diversity": "0.5", "weights": "keyword:0.5,yt_bio:2", "fresh_within": "2w",
    }  # fmt: skip
    body = {
        "q": "fitness creators", "filter": {"op": "in", "column": "country", "values": ["BR"]}, "limit": 3,
        "sort": "followers:asc", "facets": ["platform", "niche"], "explain": False, "interpret": "suggest",
        "drop": ["any_niche@0"], "fields": ["name"], "fusion": "rrf", "diversity": 0.5,
        "weights": {"keyword": 0.5, "yt_bio": 2}, "fresh_within": 14,
    }  # fmt: skip
    first = (await http.get("/v1/search", params=given)).json()
    second = (await http.post("/v1/search", json=body)).json()
    assert fake.queries[0] == fake.queries[1]
    assert {**first, "took_ms": 0} == {**second, "took_ms": 0}
    query = fake.queries[0]
    wanted = And(of=(In(column="country", values=("BR",)), Range(column="fresh_days", lte=14.0)))
    assert (query.filters, query.limit, query.sort, query.ascending) == (wanted, 3, "followers", True)
    assert (query.facets, query.fusion, query.diversity) == (("platform", "niche"), "rrf", 0.5)
    assert query.weights is not None
    assert (query.weights.keyword, query.weights.fields["yt_bio"], query.weights.fields["ig_bio"]) == (0.5, 2.0, 1.0)
    assert set(first["hits"][0]["creator"]) == {"creator_id", "name"}
    assert first["hits"][0]["explanation"] is None


async def test_a_brief_becomes_filters_and_says_so(connect: Connect) -> None:
    fake = world()
    text = "fitness creators in Brazil under 50k followers"
    body = await ask(connect, fake, q=text)
    by_field = {one["field"]: one for one in body["interpreted"]}
    assert by_field["country"]["filter"] == "country = BR"
    assert by_field["followers"]["filter"] == "followers < 50000"
    for one in body["interpreted"]:
        assert text[one["begin"] : one["end"]] == one["words"]
        assert one["applied"]
        assert 0 < one["confidence"] <= 1
    assert body["rest"] == fake.queries[0].text
    assert "Brazil" not in body["rest"]
    assert body["hits"][0]["explanation"]["filters"] == ["country = BR", "any_niche = fitness", "followers < 50000"]
    assert "in Brazil" in body["hits"][0]["explanation"]["interpreted"]


async def test_interpretations_can_be_dropped_overridden_and_switched_off(connect: Connect) -> None:
    text = "fitness creators in Brazil under 50k followers"
    fake = world()
    first = await ask(connect, fake, q=text)
    country = next(one["id"] for one in first["interpreted"] if one["field"] == "country")
    dropped = await ask(connect, fake, q=text, drop=country)
    assert "Brazil" in dropped["rest"]
    assert {one["field"]: one["applied"] for one in dropped["interpreted"]}["country"] is False
    assert "country" not in str(fake.queries[-1].filters)
    http = await connect(create_app(fake.services()))
    refused = await http.get("/v1/search", params={"q": text, "drop": "country@99"})
    assert (refused.status_code, refused.json()["pointer"]) == (400, "drop")
    assert f"'country@99' is nothing that q was read as; there is any_niche@0, {country}, " in refused.json()["detail"]
    assert (await http.get("/", params={"q": text, "drop": "country@99"})).status_code == 200
    overridden = await ask(connect, fake, q=text, filter="country = PT")
    assert "Brazil" not in overridden["rest"]
    assert "'BR'" not in str(fake.queries[-1].filters)
    assert {one["field"]: one["applied"] for one in overridden["interpreted"]} == {
        "country": False, "followers": True, "any_niche": True,
    }  # fmt: skip
    suggested = await ask(connect, fake, q=text, interpret="suggest")
    assert (suggested["rest"], fake.queries[-1].filters) == (text, None)
    assert suggested["interpreted"]
    assert not any(one["applied"] for one in suggested["interpreted"])
    off = await ask(connect, fake, q=text, interpret="off")
    assert (off["rest"], off["interpreted"], fake.queries[-1].filters) == (text, [], None)


async def test_a_known_name_is_never_interpreted(connect: Connect) -> None:
    fake = world()
    fake.known = {"creators in Brazil"}
    body = await ask(connect, fake, q="creators in Brazil")
    assert (body["interpreted"], body["rest"], fake.queries[0].filters) == ([], "creators in Brazil", None)
    assert (await ask(connect, fake, q="creators in Portugal"))["interpreted"]


async def test_an_explanation_shows_where_the_words_are(connect: Connect) -> None:
    body = await ask(connect, world(), q="yoga", explain="true")
    explained = body["hits"][0]["explanation"]
    assert explained["matched_words"] == ["yoga"]
    (bio,) = explained["highlights"]
    assert (bio["field"], bio["account"], bio["text"]) == ("bio", f"youtube:UC{BIG_ID}", "Yoga and more yoga")
    assert [bio["text"][begin:end] for begin, end in bio["marks"]] == ["Yoga", "yoga"]
    (match,) = explained["content"]
    assert (match["field"], match["title"]) == ("yt_content", "Morning YOGA for hips")
    assert [match["title"][begin:end] for begin, end in match["marks"]] == ["YOGA"]
    brief = (await ask(connect, world(), q="yoga"))["hits"][0]["explanation"]
    assert brief == {**explained, "content": []}
    assert sum(one["contribution"] for one in explained["contributions"]) == pytest.approx(body["hits"][0]["score"])


@pytest.mark.parametrize(
    ("query", "code", "pointer", "says"),
    [
        ("sort=folowers", "bad_parameter", "sort", "did you mean 'followers'?"),
        ("sort=followers:up", "bad_parameter", "sort", "desc"),
        ("sort=relevance:asc", "bad_parameter", "sort", "least relevant"),
        ("facets=nich", "bad_parameter", "facets", "did you mean 'niche'?"),
        ("fields=nam", "bad_parameter", "fields", "did you mean 'name'?"),
        ("interpret=aply", "bad_parameter", "interpret", "did you mean 'apply'?"),
        ("fusion=x", "bad_parameter", "fusion", "weighted"),
        ("diversity=2", "bad_parameter", "diversity", "0 to 1"),
        ("diversity=nan", "bad_parameter", "diversity", "number"),
        ("diversity=1e999", "bad_parameter", "diversity", "number"),
        ("weights=keyword", "bad_parameter", "weights", "keyword:0.5"),
        ("weights=keywrd:1", "bad_parameter", "weights", "did you mean 'keyword'?"),
        ("weights=keyword:0.9,vector:0.9", "bad_parameter", "weights", "add up to 1.85"),
        ("weights=keyword:-1", "bad_parameter", "weights", "from 0 to 1"),
        ("fresh_within=soon", "bad_parameter", "fresh_within", "days"),
        ("fresh_within=1%20OR%20niche%20=%20fitness", "bad_parameter", "fresh_within", "days"),
        ("q=a&q=b", "bad_parameter", "q", "more than once"),
        ("filter=countri%20=%20BR", "bad_filter", "filter", "did you mean 'country'?"),
        ("filter=niche%20=%20fitnes", "bad_filter", "filter", "did you mean 'fitness'?"),
        ("filter=list%20=%20nobody", "bad_filter", "filter", "nobody"),
    ],
)
async def test_what_is_wrong_is_named_with_a_near_match(
    connect: Connect, query: str, code: str, pointer: str, says: str
) -> None:
    fake = world()
    reply = await (await connect(create_app(fake.services()))).get(f"/v1/search?{query}")
    body = problem(reply)
    assert (reply.status_code, body["code"], body["pointer"]) == (400, code, pointer)
    assert says in body["detail"]
    assert not fake.queries


async def test_a_bad_filter_names_the_column_and_the_character(connect: Connect) -> None:
    http = await connect(create_app(world().services()))
    body = problem(await http.get("/v1/search", params={"filter": "country = BR AND followrs > 5"}))
    assert (body["column"], body["position"]) == ("followrs", 18)


@pytest.mark.parametrize(
    ("body", "pointer", "says"),
    [
        ({"limt": 5}, "/limt", "did you mean 'limit'?"),
        ({"limit": 0}, "/limit", "1 to 100"),
        ({"limit": "x"}, "/limit", "expected `int`"),
        ({"facets": ["nich"]}, "/facets", "niche"),
        ({"filter": {"op": "in", "column": "countri", "values": ["BR"]}}, "/filter/column", "did you mean"),
        ({"filter": {"op": "and", "of": [{"op": "exists", "column": "x"}]}}, "/filter/of/0/column", "unknown column"),
        ({"filter": "countri = BR"}, "/filter", "at character 1"),
        ({"weights": {"a": "b"}}, "/weights/…", "expected `float`"),
        ([], "", "expected `object`"),
    ],
)
async def test_what_is_wrong_with_a_body_has_a_pointer(connect: Connect, body: Any, pointer: str, says: str) -> None:
    reply = await (await connect(create_app(world().services()))).post("/v1/search", json=body)
    told = problem(reply)
    assert (reply.status_code, told.get("pointer", "")) == (400, pointer)
    assert says in told["detail"]


async def test_bodies_are_json_and_no_larger_than_allowed(connect: Connect) -> None:
    http = await connect(create_app(world().services()))
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        reply = await http.post("/v1/search", content=b"{}", headers={"content-type": content_type})
        assert (reply.status_code, problem(reply)["code"]) == (415, "unsupported_media_type")
    for data in (b"{", b"\xff", b"[" * 600, b'{"q":"\\ud800"}'):
        reply = await http.post("/v1/search", content=data, headers={"content-type": "application/json"})
        assert (reply.status_code, problem(reply)["status"]) == (400, 400), data
    reply = await http.post("/v1/search", content=b" " * 2_000, headers={"content-type": "application/json"})
    assert (reply.status_code, problem(reply)["status"]) == (413, 413)


async def test_a_page_goes_on_in_the_ranking_that_it_began_in(connect: Connect) -> None:
    fake = world()
    body = await ask(connect, fake, q="yoga", limit=2)
    await ask(connect, fake, q="yoga", limit=3, cursor=body["cursor"], explain="false", facets="niche")
    assert (fake.queries[1].offset, fake.queries[1].snapshot) == (2, "kept")
    http = await connect(create_app(fake.services()))
    others: list[dict[str, Any]] = [
        {"q": "yogi"}, {"filter": "country = BR"}, {"sort": "followers"}, {"fusion": "rrf"}, {"diversity": 0.1},
        {"weights": "keyword:0.1"}, {"interpret": "off", "q": "creators in Brazil"}, {"fresh_within": "3"},
    ]  # fmt: skip
    for other in others:
        reply = await http.get("/v1/search", params={"q": "yoga", "cursor": body["cursor"], **other})
        assert problem(reply)["code"] == "bad_cursor", other


async def test_an_empty_result_says_what_to_relax(connect: Connect) -> None:
    fake = World([])
    country = In(column="country", values=("BR",))
    fake.relaxations = (Relaxation(dropped=country, total=12),)
    body = await ask(connect, fake, q="creators in Brazil", filter="followers > 10m")
    assert body["relaxations"] == [
        {"filter": "country = BR", "total": 12, "interpreted": [body["interpreted"][0]["id"]]}
    ]
    assert (body["total"], body["cursor"]) == (0, None)


async def test_facets_and_hidden_creators_go_to_the_searcher(connect: Connect) -> None:
    fake = world()
    fake.facets = {"niche": {"fitness": 5}}
    noted = NothingNoted()
    noted.found = TenantRows(
        stamp=(1, 1), looked_at=0.0, hidden=np.array([3], np.uint32), lists={"abc": np.array([4], np.uint32)}
    )
    fake.tenancy = noted
    body = await ask(connect, fake, facets="niche", filter="list = abc")
    assert body["facets"] == {"niche": {"fitness": 5}}
    hidden = fake.queries[0].hidden
    assert hidden is not None
    assert (hidden.tolist(), fake.queries[0].lists["abc"].tolist()) == ([3], [4])


async def test_words_in_unread_content_and_mistyped_ones_are_told(connect: Connect) -> None:
    """The score says that every word is held; which text has it takes a full explanation."""
    fake = world(2)
    cases: list[tuple[str, list[Any], list[Any]]] = [("leg", [], []), ("silvaa", [], [("name", "Ana Silva")])]
    for query, brief, full in cases:
        for explain, wanted in (("brief", brief), ("full", full)):
            explained = (await ask(connect, fake, q=query, explain=explain))["hits"][0]["explanation"]
            assert explained["matched_words"] == [query]
            assert [(one["field"], one["text"]) for one in explained["highlights"]][:1] == wanted[:1], query
    assert (await ask(connect, fake, q="leg", explain="full"))["hits"][0]["explanation"]["content"][0][
        "title"
    ] == "Leg day"


async def test_why_a_creator_is_not_there(connect: Connect) -> None:
    fake = world()
    failed = In(column="country", values=("BR",))
    fake.place = Standing(
        found=False, rank=None, total=7, hit=None, failed=(failed,), keyword_match=False, missing_words=("hips",),
        vector_ranks={"yt_bio": 420, "yt_content": 900}, candidates=200,
    )  # fmt: skip
    http = await connect(create_app(fake.services()))
    asked = {"creator_id": "2", "q": "yoga hips creators in Brazil"}
    body = (await http.get("/v1/search/explain", params=asked)).json()
    assert (body["found"], body["rank"], body["total"], body["creator_id"]) == (False, None, 7, "2")
    assert body["failed"] == [{"filter": "country = BR", "interpreted": ["country@19"]}]
    assert body["why"] == [
        "it does not meet the filter country = BR, read from 'in Brazil'",
        "none of its texts has 'hips'",
        "in meaning it is at best number 420 (by yt_bio), and the first 200 are taken",
    ]
    fake.place = structs.replace(fake.place, failed=(), missing_words=(), barring=('"leg day"', "-hips"))
    for place in (fake.place, structs.replace(fake.place, vector_ranks={"yt_bio": 1})):
        fake.place = place
        body = (await http.get("/v1/search/explain", params=asked)).json()
        assert body["why"][:2] == ['none of its texts has the phrase "leg day"', "it has 'hips', which is excluded"]
    missing = await http.get("/v1/search/explain", params={"creator_id": "77", "q": "x"})
    assert (missing.status_code, problem(missing)["code"]) == (404, "not_found")
    unnamed = await http.get("/v1/search/explain", params={"q": "x"})
    assert (unnamed.status_code, problem(unnamed)["pointer"]) == (400, "creator_id")


async def test_where_a_creator_stands(connect: Connect) -> None:
    fake = world()
    page = await fake.search(SearchQuery(text="yoga"))
    fake.place = Standing(
        found=True, rank=1, total=5, hit=page.hits[0], failed=(), keyword_match=True, missing_words=(),
        vector_ranks={}, candidates=200,
    )  # fmt: skip
    noted = NothingNoted()
    noted.found.hidden = np.array([int(BIG_ID) % 1_000], np.uint32)
    http = await connect(create_app(fake.services()))
    body = (await http.get("/v1/search/explain", params={"creator_id": str(BIG_ID), "q": "yoga"})).json()
    assert (body["rank"], body["why"], body["hidden"]) == (1, ["it is found, at rank 1 of 5"], False)
    assert body["explanation"]["matched_words"] == ["yoga"]
    fake.tenancy = noted
    fake.place = Standing(
        found=False, rank=None, total=4, hit=None, failed=(), keyword_match=False, missing_words=(), vector_ranks={},
        candidates=200,
    )  # fmt: skip
    http = await connect(create_app(fake.services()))
    body = (await http.get("/v1/search/explain", params={"creator_id": str(BIG_ID)})).json()
    assert (body["hidden"], body["why"]) == (True, ["you hid this creator"])


async def test_similar_creators_by_several_seeds(connect: Connect) -> None:
    fake = world()
    http = await connect(create_app(fake.services()))
    body = {"positive": [str(BIG_ID), "1"], "negative": ["2"], "filter": "country = BR", "limit": 2}
    first = (await http.post("/v1/similar", json=body)).json()
    query = fake.queries[0]
    assert (query.positive, query.negative, query.text) == ((Row(BIG_ID % 1_000), Row(1)), (Row(2),), "")
    assert (query.filters, len(first["hits"])) == (In(column="country", values=("BR",)), 2)
    await http.post("/v1/similar", json={**body, "cursor": first["cursor"]})
    assert fake.queries[1].offset == 2
    for wrong, status, pointer in (
        ({"positive": []}, 400, "/positive"),
        ({"positive": ["1"] * 60}, 400, "/positive"),
        ({}, 400, ""),
        ({"positive": ["99"]}, 404, ""),
        ({"positive": ["1"], "q": "x"}, 400, "/q"),
        ({**body, "negative": [], "cursor": first["cursor"]}, 400, "/cursor"),
    ):
        reply = await http.post("/v1/similar", json=wrong)
        assert (reply.status_code, problem(reply).get("pointer", "")) == (status, pointer), wrong


async def test_autocomplete_leaves_out_who_is_hidden(connect: Connect) -> None:
    fake = world()
    fake.suggestions = [
        Suggestion(row=Row(1), text="Fit Ana", kind="name"),
        Suggestion(row=Row(2), text="fitben", kind="handle"),
        Suggestion(row=Row(555), text="fit nobody", kind="name"),
    ]
    noted = NothingNoted()
    noted.found.hidden = np.array([2], np.uint32)
    fake.tenancy = noted
    http = await connect(create_app(fake.services()))
    body = (await http.get("/v1/autocomplete", params={"q": "Fit"})).json()
    assert body["suggestions"] == [
        {"kind": "niche", "text": "fitness", "creator_id": None},
        {"kind": "name", "text": "Fit Ana", "creator_id": "1"},
    ]
    assert len((await http.get("/v1/autocomplete", params={"q": "fit", "limit": 1})).json()["suggestions"]) == 1
    assert (await http.get("/v1/autocomplete")).json() == {"suggestions": []}
    assert (await http.get("/v1/autocomplete", params={"q": "health"})).json()["suggestions"][0]["text"] == "fitness"
    assert problem(await http.get("/v1/autocomplete", params={"q": "x" * 101}))["pointer"] == "q"


async def test_a_long_filter_does_not_swell_the_audit_trail(connect: Connect) -> None:
    fake = world()
    await ask(connect, fake, q="yoga", filter=f"country IN [{','.join(['BR'] * 1_000)}]")
    assert fake.audited[-1].detail.startswith("yoga [country IN [BR, ")
    assert len(fake.audited[-1].detail) < 2_100


async def test_an_export_streams_to_the_end(connect: Connect) -> None:
    fake = world(450)
    http = await connect(create_app(fake.services()))
    reply = await http.get("/v1/search/export", params={"q": "x", "format": "jsonl"})
    assert reply.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert [line["rank"] for line in lines] == list(range(1, 451))
    assert [line["creator"]["creator_id"] for line in lines] == [str(one) for one in fake.pairs]
    assert [query.offset for query in fake.queries[1:]] == [0, 200, 400]
    assert [query.snapshot for query in fake.queries[1:]] == ["kept", "kept", "kept"]
    assert fake.audited[-1].action == "export"
    wrong = await http.get("/v1/search/export", params={"format": "xml"})
    assert (wrong.status_code, problem(wrong)["pointer"]) == (400, "format")


async def test_no_cell_of_an_export_is_a_formula(connect: Connect) -> None:
    names = [
        "=1+1",
        "+cmd",
        "-2",
        "@x",
        "\tx",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff20x",
        HOSTILE,
        'a "quoted", name',
        "two\nlines",
    ]
    fake = World([creator(number, name) for number, name in enumerate(names, 1)])
    http = await connect(create_app(fake.services()))
    reply = await http.get("/v1/search/export")
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in reply.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(reply.text, newline="")))
    assert [row["name"].removeprefix("'") for row in rows] == names
    assert not any(
        cell.startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n")) for row in rows for cell in row.values()
    )
    assert (rows[0]["accounts"], rows[0]["total_followers"], rows[0]["engagement_rate"]) == ("youtube:UC1", "48210", "")
    chosen = await http.get("/v1/search/export", params={"fields": "name"})
    assert chosen.text.splitlines()[0] == "rank,creator_id,score,name"


@pytest.mark.parametrize("form", ["csv", "jsonl"])
async def test_without_leave_to_derive_only_ids_are_exported(connect: Connect, form: str) -> None:
    fake = world(2)
    fake.ids_only = True
    http = await connect(create_app(fake.services()))
    text = (await http.get("/v1/search/export", params={"format": form})).text
    assert str(BIG_ID) in text
    assert "Ana" not in text
    assert "48210" not in text


async def test_searches_are_noted_with_their_candidates(connect: Connect) -> None:
    fake = world()
    fake.features = 3
    body = await ask(connect, fake, q="creators in Brazil", limit=2)
    await ask(connect, fake, q="creators in Brazil", limit=2, cursor=body["cursor"])
    (note,) = fake.notes
    assert (note.text, note.query.text, len(note.page.candidates)) == ("creators in Brazil", body["rest"], 3)
    assert fake.queries[1].features == 0
    assert fake.audited[0].detail == "creators in Brazil [country = BR]"
    fake.features = 0
    await ask(connect, fake, q="y")
    assert len(fake.notes) == 1
