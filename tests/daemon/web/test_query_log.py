from __future__ import annotations

from functools import partial
from typing import Any

import httpx2
import msgspec
import pytest
import trio

from daemon.query_log import (
    DAY_SECONDS,
    QueryLog,
    expire_now_and_then,
    logged,
    moved_between,
    overlap_of,
    write_queries,
)
from daemon.supervisor import Services
from daemon.tenancy import Tenancy
from daemon.web.admin import create_admin
from daemon.web.services import QueryNote
from daemon.weights import reweighted
from proto.errors import Malformed
from proto.ids import CreatorId, Row
from proto.records import DEFAULT_TENANT, Tenant
from stores.codec import encode
from stores.env import Environment
from stores.filter_ast import And, In, Or
from stores.filters import show_filter
from stores.journal import Journal
from stores.ports import CandidateFeatures, RankedHit, SearchPage, SearchQuery, Weights
from stores.query_log import append_queries, queries_after
from tests.daemon.web.conftest import Connect
from tests.daemon.web.fakes import NOW, WEIGHTS, Steering, problem

ME = DEFAULT_TENANT
BRAZIL = In(column="country", values=("BR",))


def note(text: str, at: int = int(NOW)) -> QueryNote:
    candidate = CandidateFeatures(
        creator_id=CreatorId(7), keyword=0.9, exact=False, similarities={"yt_bio": 0.5}, quality=0.4, score=0.8
    )
    page = SearchPage(hits=(), total=3, words=(), warnings=(), candidates=(candidate,))
    query = SearchQuery(text=text, filters=BRAZIL, niches=("fitness",), weights=WEIGHTS)
    return QueryNote(at=at, request_id="r", text=f"{text} in Brazil", query=query, page=page, took_ms=1.5)


class Engine:
    """By keyword weight, other creators come first."""

    def __init__(self) -> None:
        self.queries: list[SearchQuery] = []

    async def search(self, query: SearchQuery) -> SearchPage:
        self.queries.append(query)
        assert query.weights is not None
        ids = [1, 2, 3] if query.weights.keyword > 0.5 else [2, 1, 4]
        hits = tuple(
            RankedHit(creator_id=CreatorId(one), row=Row(one), score=1.0, addends=(), exact=False) for one in ids
        )
        return SearchPage(hits=hits, total=3, words=(), warnings=())


class Story:
    def __init__(self, env: Environment) -> None:
        env.write_now(lambda txn: txn.put("tenants", ME.encode(), encode(Tenant(tenant_id=ME))))
        self.engine = Engine()
        self.tenancy = Tenancy(env, settings=lambda: WEIGHTS, now=lambda: NOW, clock=trio.current_time)
        self.log = QueryLog(env, search=self.engine.search, tenancy=self.tenancy)

    def admin(self) -> Any:
        return create_admin(Steering().services(), trusted=True, queries=self.log, tenancy=self.tenancy)


@pytest.fixture
async def story(env: Environment) -> Story:
    return Story(env)


@pytest.fixture
async def http(story: Story, connect: Connect) -> httpx2.AsyncClient:
    return await connect(story.admin())


async def test_notes_are_written_in_batches(env: Environment, story: Story) -> None:
    send, receive = trio.open_memory_channel[QueryNote](10)
    for text in ("a", "b", "c"):
        send.send_nowait(note(text))
    send.close()
    commits = env.commits
    await write_queries(receive, env, Services(Journal(env, lambda _: None), lambda: NOW), trio.Event())
    assert env.commits == commits + 1
    first, *others = await story.log.page(ME, 0, 9)
    assert [first.text, *(one.text for one in others)] == ["a in Brazil", "b in Brazil", "c in Brazil"]
    assert (first.rest, first.filter, first.niches, first.total) == ("a", "country = BR", ["fitness"], 3)
    (candidate,) = first.candidates
    assert (candidate.creator_id, candidate.rank, candidate.similarities) == ("7", 1, {"yt_bio": 0.5})


async def test_old_queries_go_every_hour(env: Environment, autojump_clock: object) -> None:
    stop, days, now = trio.Event(), 3, [NOW]
    env.write_now(lambda txn: txn.put("tenants", ME.encode(), encode(Tenant(tenant_id=ME))))
    await env.write(partial(append_queries, queries=[logged(note("a")), logged(note("b", int(NOW) + DAY_SECONDS))]))

    async def left() -> list[str]:
        return [one.rest for one in await env.read(lambda txn: queries_after(txn, ME, 0, 9))]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expire_now_and_then, env, lambda: days, lambda: now[0], stop)
        await trio.sleep(10)
        assert await left() == ["a", "b"]
        now[0] = NOW + 3.5 * DAY_SECONDS
        await trio.sleep(3_600)
        assert await left() == ["b"]
        stop.set()


async def test_other_weights_are_tried_on_logged_queries(env: Environment, story: Story) -> None:
    await env.write(partial(append_queries, queries=[logged(note("a")), logged(note("b"))]))
    found = await story.log.what_if(ME, {"keyword": 0.2}, 1)
    assert [one.rest for one in await story.log.page(ME, 0, 9)] == ["a", "b"]
    first, then = story.engine.queries
    assert (first.text, first.filters, first.niches, first.limit) == ("b", BRAZIL, ("fitness",), 10)
    assert msgspec.structs.replace(then, weights=first.weights) == first
    (one,) = found.queries
    assert one.overlap == pytest.approx(2 / 3)
    assert [(move.creator_id, move.before, move.after) for move in one.moved] == [
        ("1", 1, 2), ("2", 2, 1), ("3", 3, None), ("4", None, 3),
    ]  # fmt: skip
    assert (found.changed, found.before.keyword, found.after.keyword) == (1, 0.6, 0.2)
    same = await story.log.what_if(ME, {"keyword": 0.55}, 5)
    assert (same.changed, same.overlap, len(same.queries)) == (0, 1.0, 2)


async def test_a_logged_filter_may_be_longer_than_one_that_is_written(env: Environment, story: Story) -> None:
    many = Or(of=tuple(In(column="country", values=("BR", "US") * 20) for _ in range(255)))
    both = And(of=(many, BRAZIL, BRAZIL))
    logged_so = msgspec.structs.replace(logged(note("a")), filter=show_filter(both))
    await env.write(partial(append_queries, queries=[logged_so]))
    await story.log.what_if(ME, {"keyword": 0.2}, 1)
    assert story.engine.queries[0].filters == both


async def test_the_operator_s_routes(env: Environment, story: Story, http: httpx2.AsyncClient) -> None:
    await env.write(partial(append_queries, queries=[logged(note("a")), logged(note("b"))]))
    assert (await http.get("/v1/weights")).json()["source"] == "settings"
    changed = await http.put("/v1/weights", content=b'{"keyword": 0.4}')
    assert (changed.json()["keyword"], changed.json()["source"]) == (0.4, "tenant")
    assert story.tenancy.weights(ME).keyword == 0.4
    assert (await http.put("/v1/weights", content=b"null")).json()["source"] == "settings"
    for body in (b'{"keywrd": 1}', b"[]", b'{"keyword": "x"}', b"{"):
        reply = await http.put("/v1/weights", content=body)
        assert problem(reply)["status"] == 400
    tried = await http.post("/v1/weights/what-if", content=b'{"weights": {"keyword": 0.2}, "queries": 1}')
    assert (len(tried.json()["queries"]), tried.json()["changed"]) == (1, 1)
    lines = (await http.get("/v1/queries", params={"limit": 1})).text.splitlines()
    assert [msgspec.json.decode(line)["rest"] for line in lines] == ["a"]
    assert (await http.get("/v1/queries", params={"after": 2})).content == b""
    assert problem(await http.get("/v1/queries", params={"after": "x"}))["pointer"] == "after"


@pytest.mark.parametrize("queries", [-5, 0, 1_001, 10**30])
async def test_a_number_of_queries_that_cannot_be_tried_is_refused(http: httpx2.AsyncClient, queries: int) -> None:
    tried = await http.post("/v1/weights/what-if", json={"weights": {"keyword": 0.2}, "queries": queries})
    assert (problem(tried)["status"], problem(tried)["pointer"]) == (400, "/queries")


@pytest.mark.parametrize("tenant", ["nope", ""])
async def test_of_a_tenant_that_is_none_nothing_is_told(http: httpx2.AsyncClient, tenant: str) -> None:
    of = {"tenant": tenant}
    replies = [
        await http.get("/v1/weights", params=of),
        await http.put("/v1/weights", params=of, json={"keyword": 0.2}),
        await http.post("/v1/weights/what-if", params=of, json={"weights": {"keyword": 0.2}}),
        await http.get("/v1/queries", params=of),
    ]
    assert [one.status_code for one in replies] == [404] * 4
    assert {problem(one)["detail"].partition(";")[0] for one in replies} == {f"no tenant {tenant!r}"}


def test_overlap_is_of_the_longer_list() -> None:
    ids = [CreatorId(one) for one in range(4)]
    assert overlap_of([], []) == 1.0
    assert overlap_of(ids, ids[:2]) == 0.5
    assert moved_between(ids, ids) == []


def test_weights_are_changed_one_by_one_within_bounds() -> None:
    changed = reweighted(WEIGHTS, {"quality": 0.0, "ig_bio": 3})
    assert changed == Weights(keyword=0.6, vector=0.35, quality=0.0, fields={**WEIGHTS.fields, "ig_bio": 3.0})
    for wrong in ({"keyword": 0.7}, {"keyword": -0.1}, {"vector": float("nan")}, {"yt_bio": 1e9}, {"": 1.0}):
        with pytest.raises(Malformed):
            reweighted(WEIGHTS, wrong)
