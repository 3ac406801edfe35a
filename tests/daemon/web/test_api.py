from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from actors.aggregation import aggregate
from actors.peers import MIN_PEERS
from daemon.web.app import create_app
from proto.api import CreatorDetail, ReadyAnswer, SearchAnswer
from proto.errors import Malformed, ModelMissing, NotFound, StoreBusy, Throttled, Unavailable
from proto.records import ContentItem, EmbeddingRecord, VitalSigns
from stores.catalog import AccountBundle, CreatorBundle
from stores.codec import decode
from tests.daemon.web.conftest import Connect
from tests.daemon.web.fakes import BIG_ID, NOW, World, creator, item, problem, ready_answer


def world(count: int = 5) -> World:
    pairs = [creator(BIG_ID, "Ana Silva", handle="ana")]
    pairs += [creator(number, f"Creator {number}") for number in range(1, count)]
    return World(pairs, [item("Leg day")])


async def test_search_answers_with_hits_scores_and_explanations(connect: Connect) -> None:
    fake = world()
    http = await connect(create_app(fake.services()))
    reply = await http.get("/v1/search", params={"q": "home workout", "limit": 2})
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    body: dict[str, Any] = reply.json()
    assert set(body) == {
        "hits", "total", "cursor", "facets", "interpreted", "rest", "took_ms", "warnings", "relaxations",
    }  # fmt: skip
    assert (body["total"], body["rest"], body["interpreted"], body["facets"]) == (5, "home workout", [], None)
    first = body["hits"][0]
    assert first["creator"]["creator_id"] == str(BIG_ID)
    assert first["creator"]["last_content_at"] == "2026-09-21T13:13:20Z"
    account = first["creator"]["accounts"][0]
    assert (account["platform"], account["handle"], account["url"]) == (
        "youtube", "ana", "https://www.youtube.com/@ana",
    )  # fmt: skip
    for hit in body["hits"]:
        addends = [part["contribution"] for part in hit["explanation"]["contributions"]]
        assert sum(addends) == pytest.approx(hit["score"], abs=1e-6)
    assert first["explanation"]["exact"]


async def test_pages_of_results_cover_everything_once(connect: Connect) -> None:
    http = await connect(create_app(world().services()))
    seen: list[str] = []
    cursor: Any = ""
    for _ in range(3):
        body = (await http.get("/v1/search", params={"q": "x", "limit": 2, "cursor": cursor})).json()
        seen += [hit["creator"]["creator_id"] for hit in body["hits"]]
        cursor = body["cursor"]
    assert cursor is None
    assert seen == [str(BIG_ID), "1", "2", "3", "4"]


async def test_a_search_is_audited_and_timed(connect: Connect) -> None:
    fake = world()
    http = await connect(create_app(fake.services()))
    reply = await http.get("/v1/search", params={"q": "yoga"}, headers={"X-Request-Id": "mine-1"})
    assert reply.headers["x-request-id"] == "mine-1"
    (entry,) = fake.audited
    assert (entry.action, entry.detail, entry.tenant_id, entry.request_id) == ("search", "yoga", "default", "mine-1")
    assert len(fake.observed) == 1
    assert fake.observed[0] * 1_000 == pytest.approx(reply.json()["took_ms"], abs=0.001)


async def test_explain_can_be_left_out(connect: Connect) -> None:
    http = await connect(create_app(world().services()))
    for text, explained in (("false", False), ("0", False), ("true", True)):
        body = (await http.get("/v1/search", params={"q": "x", "explain": text})).json()
        assert (body["hits"][0]["explanation"] is not None) == explained


@pytest.mark.parametrize(
    ("query", "code", "pointer"),
    [
        ("limt=5", "unknown_parameter", "limt"),
        ("limit=0", "bad_parameter", "limit"),
        ("limit=101", "bad_parameter", "limit"),
        ("limit=1_0", "bad_parameter", "limit"),
        ("limit=%D9%A1", "bad_parameter", "limit"),
        ("limit=" + "9" * 5_000, "bad_parameter", "limit"),
        ("explain=perhaps", "bad_parameter", "explain"),
        ("cursor=%00%ff", "bad_cursor", "cursor"),
        ("cursor=AAAA", "bad_cursor", "cursor"),
        ("q=" + "a" * 513, "bad_parameter", "q"),
    ],
)
async def test_a_wrong_parameter_is_named(connect: Connect, query: str, code: str, pointer: str) -> None:
    fake = world()
    http = await connect(create_app(fake.services()))
    reply = await http.get(f"/v1/search?{query}")
    assert reply.status_code == 400
    body = problem(reply)
    assert (body["code"], body["pointer"]) == (code, pointer)
    assert not fake.queries


async def test_a_misspelt_parameter_gets_a_hint(connect: Connect) -> None:
    http = await connect(create_app(world().services()))
    assert "did you mean 'limit'?" in problem(await http.get("/v1/search?limt=5"))["detail"]


async def test_a_cursor_of_another_query_is_refused(connect: Connect) -> None:
    http = await connect(create_app(world().services()))
    cursor = (await http.get("/v1/search", params={"q": "one", "limit": 1})).json()["cursor"]
    reply = await http.get("/v1/search", params={"q": "two", "cursor": cursor})
    assert problem(reply)["detail"] == "the cursor belongs to another query"


async def test_a_creator_has_accounts_and_content(connect: Connect) -> None:
    http = await connect(create_app(world().services()))
    body = (await http.get(f"/v1/creators/{BIG_ID}")).json()
    assert body["creator"]["name"] == "Ana Silva"
    assert body["creator"]["enrichment"]["method"] == "local"
    assert body["recent_content"][0]["title_or_caption"] == "Leg day"
    assert body["recent_content"][0]["published_at"] == "2026-09-21T13:13:20Z"


async def test_a_creator_has_vital_signs_with_what_they_stand_on(connect: Connect) -> None:
    fake = with_signs(world())
    http = await connect(create_app(fake.services()))
    signs = (await http.get(f"/v1/creators/{BIG_ID}")).json()["vital_signs"]
    channel = signs["by_platform"]["youtube"]
    assert channel["engagement_rate"] == {"value": 0.05, "why": None, "n": 4, "window_days": 2}
    assert channel["growth_90d"] == {"value": None, "why": "insufficient data", "n": 0, "window_days": 90}
    assert (channel["activity"]["value"], channel["activity"]["n"]) == ("active", 4)
    rank = {"value": None, "why": "insufficient data", "n": 1, "window_days": 2}
    assert channel["engagement_percentile"] == rank | {"platform": "youtube", "niche": "fitness", "tier": "micro"}
    assert signs["overall"] == channel
    assert signs["computed_at"] == "2026-09-21T14:13:20Z"
    assert signs["provenance"] == {"source": "derived", "fetched_at": "2026-09-21T14:12:20Z"}
    known = fake.pairs[BIG_ID][0]
    for _ in range(MIN_PEERS):
        fake.peers.add(known, decode(VitalSigns, known.vital_signs))
    overall = (await http.get(f"/v1/creators/{BIG_ID}")).json()["vital_signs"]["overall"]
    assert (overall["engagement_percentile"]["value"], overall["engagement_percentile"]["n"]) == (50.0, MIN_PEERS + 1)


async def test_a_creator_s_labels_and_vectors_say_what_made_them_and_when(connect: Connect) -> None:
    fake = world()
    record = EmbeddingRecord(
        field="yt_bio", model_id="minilm", dims=384, input_hash="ab", vector=b"\0\0", updated_at=int(NOW) - 3_600
    )
    fake.embeddings[BIG_ID] = {"yt_bio": record}
    http = await connect(create_app(fake.services()))
    body = (await http.get(f"/v1/creators/{BIG_ID}")).json()
    assert body["embeddings"] == {
        "yt_bio": {
            "model_id": "minilm",
            "dims": 384,
            "input_hash": "ab",
            "updated_at": "2026-09-21T13:13:20Z",
            "provenance": {"source": "derived", "fetched_at": "2026-09-21T13:13:20Z"},
        }
    }
    assert set(body["creator"]["enrichment"]) == {
        "method", "model", "prompt_version", "taxonomy_version", "input_hash", "at", "confidence", "candidates",
    }  # fmt: skip
    assert body["vital_signs"] is None


def with_signs(fake: World) -> World:
    """The first creator has been aggregated and surveyed."""
    record, (account,) = fake.pairs[BIG_ID]
    items = [
        ContentItem(
            content_id=str(n),
            account_key=account.key,
            published_at=int(NOW) - 100_000,
            views=100,
            likes=5,
            detailed=True,
        )
        for n in range(4)
    ]
    parts = [AccountBundle(account=account, items=items, vectors={})]
    bundle = CreatorBundle(creator=record, accounts=parts, embeddings={})
    computed, _ = aggregate(bundle, derived_from=parts, language=None, now=int(NOW))
    fake.pairs[BIG_ID] = (computed, [account])
    fake.peers.add(computed, decode(VitalSigns, computed.vital_signs))
    return fake


async def test_every_group_of_fields_says_where_it_comes_from(connect: Connect) -> None:
    http = await connect(create_app(world().services()))
    body = (await http.get(f"/v1/creators/{BIG_ID}")).json()
    (account,), (item,) = body["creator"]["accounts"], body["recent_content"][:1]
    read = account["fetched_at"]
    assert account["provenance"] == {
        "profile": {"source": "api", "fetched_at": read},
        "statistics": {"source": "api", "fetched_at": read},
        "extracted": {"source": "derived", "fetched_at": read},
    }
    assert {name: one["source"] for name, one in body["creator"]["provenance"].items()} == {
        "names": "api",
        "figures": "derived",
        "labels": "derived",
        "identity": "derived",
    }
    assert body["creator"]["provenance"]["labels"]["fetched_at"] == body["creator"]["enrichment"]["at"]
    assert {name: one["source"] for name, one in item["provenance"].items()} == {"details": "api", "counts": "api"}


async def test_a_schedule_is_of_a_known_creator(connect: Connect) -> None:
    http = await connect(create_app(world().services()))
    assert (await http.get(f"/v1/creators/{BIG_ID}/schedule")).json() == {"creator_id": str(BIG_ID), "accounts": []}
    missing = await http.get("/v1/creators/77777/schedule")
    assert (missing.status_code, problem(missing)["code"]) == (404, "not_found")
    odd = await http.get(f"/v1/creators/{1 << 63}/schedule")
    assert (odd.status_code, problem(odd)["pointer"]) == (400, "creator_id")


async def test_an_unknown_address_is_named(connect: Connect) -> None:
    http = await connect(create_app(world().services()))
    missing = await http.get("/v1/creator/5")
    assert missing.status_code == 404
    assert problem(missing)["detail"] == "there is no /v1/creator/5; /openapi.json lists what the API has"
    assert problem(await http.get("/nowhere"))["detail"] == "there is no /nowhere"
    refused = problem(await http.delete("/v1/reviews"))
    assert refused["detail"] == "/v1/reviews takes GET, HEAD, OPTIONS; not DELETE"


async def test_unknown_and_malformed_creators_are_told_apart(connect: Connect) -> None:
    http = await connect(create_app(world().services()))
    missing = await http.get("/v1/creators/77777")
    assert (missing.status_code, problem(missing)["code"]) == (404, "not_found")
    for odd in ("1" * 20, str(1 << 63), "%D9%A1"):
        reply = await http.get(f"/v1/creators/{odd}")
        assert (reply.status_code, problem(reply)["pointer"]) == (400, "creator_id"), odd


async def test_a_handle_that_one_creator_has_leads_there(connect: Connect) -> None:
    fake = world()
    http = await connect(create_app(fake.services()))
    creator, accounts = fake.pairs[BIG_ID]
    for tail in ("", "/schedule", "/identity"):
        reply = await http.get(f"/v1/creators/{accounts[0].handle}{tail}")
        assert (reply.status_code, reply.headers["location"]) == (307, f"/v1/creators/{creator.creator_id}{tail}")
    assert (await http.get("/v1/creators/nobody.at.all")).status_code == 404


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unavailable("search is still loading"), 503, "unavailable"),
        (NotFound("gone"), 404, "not_found"),
        (Malformed("odd"), 400, "malformed"),
        (StoreBusy("busy"), 503, "store_busy"),
        (ModelMissing("none"), 503, "model_missing"),
        (Throttled("later", bucket="b", daily=False), 429, "throttled"),
        (ExceptionGroup("from a nursery", [Unavailable("search is still loading")]), 503, "unavailable"),
    ],
)
async def test_expected_failures_say_what_is_wrong(connect: Connect, error: Exception, status: int, code: str) -> None:
    fake = world()

    async def fail() -> None:
        raise error

    fake.before_search = fail
    reply = await (await connect(create_app(fake.services()))).get("/v1/search?q=x")
    body = problem(reply)
    assert (reply.status_code, body["code"]) == (status, code)
    assert body["detail"]


@pytest.mark.parametrize("grouped", [False, True])
async def test_an_unexpected_failure_tells_nothing_of_itself(connect: Connect, grouped: bool) -> None:
    fake = world()

    async def fail() -> None:
        error = RuntimeError("password=hunter2")
        raise ExceptionGroup("group", [error]) if grouped else error

    fake.before_search = fail
    reply = await (await connect(create_app(fake.services()))).get("/v1/search?q=x")
    assert (reply.status_code, problem(reply)["code"]) == (500, "internal_error")
    assert "hunter2" not in reply.text


async def test_a_search_that_takes_too_long_is_ended(connect: Connect) -> None:
    fake = world()
    fake.before_search = trio.sleep_forever
    http = await connect(create_app(fake.services(request_timeout_seconds=0.05)))
    with trio.fail_after(5):
        reply = await http.get("/v1/search?q=x")
    assert (reply.status_code, problem(reply)["code"]) == (503, "timeout")
    assert fake.requests == [("/v1/search", "timeout")]


async def test_requests_are_counted_by_route_and_answer_and_never_by_what_was_asked(connect: Connect) -> None:
    fake = world()
    http = await connect(create_app(fake.services()))
    for path in ("/v1/search?q=x", "/v1/search?limit=0", "/v1/creators/77", "/v1/secret-of-somebody", "/healthz"):
        await http.get(path)
    assert fake.requests == [
        ("/v1/search", "2xx"),
        ("/v1/search", "bad_parameter"),
        ("/v1/creators/<creator_id>", "not_found"),
        ("", "not_found"),
        ("/healthz", "2xx"),
    ]


async def test_paths_and_methods_that_are_not_there(connect: Connect) -> None:
    http = await connect(create_app(world().services()))
    assert problem(await http.get("/v1/nothing"))["code"] == "not_found"
    reply = await http.delete("/v1/search")
    assert (reply.status_code, problem(reply)["code"]) == (405, "method_not_allowed")
    assert "GET" in reply.headers["allow"]


@pytest.mark.parametrize(("status", "expected"), [("ok", 200), ("degraded", 200), ("starting", 503), ("stopping", 503)])
async def test_readiness_has_the_same_body_whatever_its_status(connect: Connect, status: str, expected: int) -> None:
    fake = world()
    fake.ready_status = status
    reply = await (await connect(create_app(fake.services()))).get("/readyz")
    assert reply.status_code == expected
    body = reply.json()
    assert body["status"] == status
    assert body["counts"] == {"creators": 3, "accounts": 3, "content_items": 4, "work_pending": 1_234}
    assert body["stages"][0]["name"] == ready_answer().stages[0].name


async def test_health(connect: Connect) -> None:
    reply = await (await connect(create_app(world().services()))).get("/healthz")
    assert (reply.status_code, reply.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:7151", "localhost@evil.example", "", "evil@localhost"],
)
async def test_a_foreign_host_is_refused(connect: Connect, host: str) -> None:
    fake = world()
    reply = await (await connect(create_app(fake.services()))).get("/v1/search?q=x", headers={"Host": host})
    assert reply.status_code in (400, 421)
    assert not fake.queries
    if reply.status_code == 421:
        assert problem(reply)["code"] == "host_not_allowed"


@pytest.mark.parametrize("host", ["127.0.0.1:7151", "localhost", "LOCALHOST:9", "[::1]:7151", "pokedex.lan"])
async def test_loopback_and_configured_hosts_are_served(connect: Connect, host: str) -> None:
    fake = world()
    fake.allowed = ["Pokedex.lan"]
    reply = await (await connect(create_app(fake.services()))).get("/healthz", headers={"Host": host})
    assert reply.status_code == 200


async def test_the_list_of_hosts_may_change_while_serving(connect: Connect) -> None:
    fake = world()
    http = await connect(create_app(fake.services()))
    assert (await http.get("/healthz", headers={"Host": "new.lan"})).status_code == 421
    fake.allowed = ["new.lan"]
    assert (await http.get("/healthz", headers={"Host": "new.lan"})).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://[::1", 403),
        ("http://localhost:3000", 200),
        ("http://[::1]:80", 200),
    ],
)
async def test_a_foreign_origin_is_refused(connect: Connect, origin: str, status: int) -> None:
    reply = await (await connect(create_app(world().services()))).get("/healthz", headers={"Origin": origin})
    assert reply.status_code == status


async def test_a_unix_socket_takes_any_host(connect: Connect) -> None:
    http = await connect(create_app(world().services(), any_host=True))
    assert (await http.get("/healthz", headers={"Host": "whatever"})).status_code == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/nothing", "/v1/search?limit=x", "/static/style.css"])
async def test_every_answer_carries_the_headers_that_keep_pages_inert(connect: Connect, path: str) -> None:
    headers = (await (await connect(create_app(world().services()))).get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-request-id"]


async def test_an_odd_request_id_is_replaced(connect: Connect) -> None:
    http = await connect(create_app(world().services()))
    for odd in ("a b", "x" * 65, "<script>"):
        given = (await http.get("/healthz", headers={"X-Request-Id": odd})).headers["x-request-id"]
        assert given != odd
        assert len(given) == 16


async def test_answers_are_those_that_openapi_describes(connect: Connect) -> None:
    http = await connect(create_app(world().services()))
    schemas = (await http.get("/openapi.json")).json()["components"]["schemas"]
    cases = (("/v1/search?q=x", SearchAnswer), (f"/v1/creators/{BIG_ID}", CreatorDetail), ("/readyz", ReadyAnswer))
    for path, kind in cases:
        assert set((await http.get(path)).json()) == set(schemas[kind.__name__]["properties"])
    described = set(schemas["CreatorView"]["properties"])
    assert set((await http.get("/v1/search?q=x")).json()["hits"][0]["creator"]) == described


async def test_openapi_covers_every_route_of_the_api(connect: Connect) -> None:
    app = create_app(world().services())
    document = (await (await connect(app)).get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    beside = {"/healthz", "/readyz", "/openapi.json"}
    routes = {
        (rule.rule.replace("<", "{").replace(">", "}"), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(path, method) for path, item_ in document["paths"].items() for method in item_}
    assert described == {(path, method) for path, method in routes if path.startswith("/v1/") or path in beside}
    text = json.dumps(document)
    for name in set(_references(document)):
        assert name.removeprefix("#/components/schemas/") in document["components"]["schemas"], name
    assert "#/components/schemas/Problem" in text
    for path, item_ in document["paths"].items():
        for method, operation in item_.items():
            statuses = set(operation["responses"])
            assert {"403", "405", "421", "500", "503"} <= statuses, (path, method)
            assert statuses & {"200", "201", "204"}, (path, method)
            assert ("requestBody" in operation) == ({"413", "415"} <= statuses), (path, method)


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [name for value in node.values() for name in _references(value)]
    return [name for value in node for name in _references(value)] if isinstance(node, list) else []
