"""Who may do what over HTTP: every operation of the OpenAPI document by every scope, limits, sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
import pytest
import trio

from daemon.access import Access, new_key
from daemon.auditing import AuditTrail
from daemon.web import openapi
from daemon.web.admin import create_admin
from daemon.web.app import create_app
from daemon.web.authorising import ANYBODY
from daemon.web.hub import HubServices
from daemon.web.routes import SCOPES as ROUTE_SCOPES
from proto.records import DEFAULT_TENANT, JobKind
from stores.env import Environment
from stores.journal import Journal
from stores.keys import SCOPES
from tests.daemon.web.conftest import Connect
from tests.daemon.web.fakes import NOW, Steering, problem
from tests.daemon.web.page_scopes import PAGES
from tests.daemon.web.test_hub import PATH, Listening, fill, posted, signature
from tests.daemon.web.test_lists_api import Noted

MINUTE = 60


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Guarded:
    """A public application in front of which keys are asked for."""

    def __init__(self, env: Environment) -> None:
        self.env, self.clock = env, Clock()
        self.noted = Noted(env)
        self.access = Access(env, now=self.clock, clock=self.clock, session_seconds=MINUTE * 60)
        self.noted.world.access = self.access

    async def key(self, *scopes: str, **more: Any) -> str:
        return (await self.access.create_key(DEFAULT_TENANT, scopes=scopes or SCOPES, actor="test", **more))[0]


@pytest.fixture
async def guarded(env: Environment) -> Guarded:
    return Guarded(env)


@pytest.fixture
async def http(guarded: Guarded, connect: Connect) -> httpx2.AsyncClient:
    return await connect(create_app(guarded.noted.world.services()))


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def operations() -> Iterator[tuple[str, str, str | None]]:
    """Method, path with something in each place, scope; None for who is open to everybody."""
    document = msgspec.json.decode(openapi.document("1"))
    for path, item in document["paths"].items():
        for method, operation in item.items():
            scope = operation.get("x-scope")
            assert ("security" in operation) == (scope is not None) == (
                "401" in operation["responses"]
            ) or path == "/v1/session"
            if scope is not None:
                assert {"key": []} in operation["security"]
                assert {"401", "403", "429"} <= set(operation["responses"])
            filled = path.replace("{creator_id}", "5").replace("{list_id}", "0" * 16).replace("{search_id}", "0" * 16)
            yield method.upper(), filled, scope


async def test_every_operation_takes_the_scope_that_the_document_says(
    guarded: Guarded, http: httpx2.AsyncClient
) -> None:
    keys = {scope: await guarded.key(scope) for scope in SCOPES}
    expired = await guarded.key(lifetime_seconds=MINUTE)
    guarded.clock.now += MINUTE
    met = 0
    for method, path, scope in operations():
        unknown = await http.request(method, path)
        for useless in (new_key(), expired):
            refused = await http.request(method, path, headers=bearer(useless))
            assert (refused.status_code == 401) == (scope is not None), (method, path)
            assert scope is None or 'error="invalid_token"' in refused.headers["www-authenticate"]
        if scope is None:
            assert unknown.status_code not in (401, 403) or path == "/v1/session", (method, path)
            continue
        assert (unknown.status_code, problem(unknown)["code"]) == (401, "unauthorized"), (method, path)
        assert unknown.headers["www-authenticate"] == 'Bearer realm="pokedexd"'
        for name, key in keys.items():
            reply = await http.request(method, path, headers=bearer(key))
            met += 1
            if scope in ("", name):
                assert reply.status_code not in (401, 403), (method, path, name)
            else:
                assert (reply.status_code, problem(reply)["code"]) == (403, "insufficient_scope"), (method, path, name)
                assert f'scope="{scope}"' in reply.headers["www-authenticate"]
    assert met >= 33 * len(SCOPES)


async def test_whatever_is_served_is_in_the_document_or_named_here(guarded: Guarded) -> None:
    """So that no operation is left out of the matrix above, and no page of that of `test_page_access`."""
    world = guarded.noted.world
    hub = HubServices(
        env=guarded.env, journal=Journal(guarded.env, lambda _: None), covers=frozenset().__contains__,
        now=guarded.clock, observe=lambda _: None,
    )  # fmt: skip
    app = create_app(msgspec.structs.replace(world.services(), hub=hub))
    own = {
        (method, rule.rule): getattr(app.view_functions[rule.endpoint], "scope_needed", "search")
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if (method, rule.rule) not in ROUTE_SCOPES and rule.endpoint != "static"
    }
    assert own == PAGES | {
        ("GET", "/websub/<token>"): ANYBODY,
        ("POST", "/websub/<token>"): ANYBODY,
    }


async def test_pages_ask_too_and_send_browsers_to_the_login(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    await guarded.key()
    sent = await http.get("/?q=a+b", headers={"Accept": "text/html"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=%2F%3Fq%3Da%2Bb")
    assert (await http.get("/")).status_code == 401
    assert (await http.get("/creators/1", headers=bearer(await guarded.key("lists")))).status_code == 403
    for path in ("/login", "/healthz", "/static/style.css", "/openapi.json"):
        assert (await http.get(path)).status_code == 200
    assert (await http.get("/nowhere")).status_code == 404


async def test_without_a_key_all_stays_open_and_the_first_one_closes_it(
    guarded: Guarded, http: httpx2.AsyncClient
) -> None:
    assert (await http.get("/v1/session")).json()["is_open"] is True
    assert (await http.post("/v1/session", json={"key": "x"})).json()["scopes"] == sorted(SCOPES)
    assert (await http.get("/v1/lists", headers=bearer("anything"))).status_code == 200
    key = await guarded.key()
    assert (await http.get("/v1/lists")).status_code == 401
    assert (await http.get("/v1/lists", headers=bearer(key))).status_code == 200
    await guarded.access.revoke_key((await guarded.access.keys())[0].key_id, "test")
    assert (await http.get("/v1/lists", headers=bearer(key))).status_code == 401
    assert (await http.get("/v1/lists")).status_code == 401
    again = Access(guarded.env, now=guarded.clock, clock=guarded.clock)
    await again.load()
    assert again.asks
    never = Access(guarded.env, now=guarded.clock, clock=guarded.clock, require_key="never")
    await never.load()
    assert not never.asks


@pytest.mark.parametrize("stated", ["Bearer", "Basic YTpi", "Bearer pkd_x", "Bearer a.b.c", "Bearer \xe9", "pkd_x"])
async def test_what_is_no_key_is_refused_with_a_word(guarded: Guarded, http: httpx2.AsyncClient, stated: str) -> None:
    await guarded.key()
    reply = await http.get("/v1/lists", headers={b"Authorization": stated.encode("latin-1")})
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"].startswith('Bearer realm="pokedexd", error="invalid_')
    assert problem(reply)["detail"]


async def test_a_key_runs_out_and_is_limited(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    key = await guarded.key(lifetime_seconds=MINUTE * 10, requests_per_minute=3)
    statuses = [(await http.get("/v1/lists", headers=bearer(key))).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    refused = await http.get("/v1/lists", headers=bearer(key))
    assert (problem(refused)["code"], refused.headers["retry-after"]) == ("rate_limited", "20")
    guarded.clock.now += 20
    assert (await http.get("/v1/lists", headers=bearer(key))).status_code == 200
    guarded.clock.now += MINUTE * 10
    gone = await http.get("/v1/lists", headers=bearer(key))
    assert (gone.status_code, "run out" in problem(gone)["detail"]) == (401, True)


@pytest.mark.parametrize(
    "filters", ['list = "Spring"', 'list = "Sprink"', "hidden", "platform = youtube OR NOT hidden"]
)
async def test_no_filter_tells_of_lists_without_their_scope(
    guarded: Guarded, http: httpx2.AsyncClient, filters: str
) -> None:
    """Neither who is in one nor how they are called, by whatever searches."""
    able, unable = await guarded.key("search", "lists", "export"), await guarded.key("search", "export")
    made = {"name": "Spring", "creators": guarded.noted.ids[:1]}
    assert (await http.post("/v1/lists", json=made, headers=bearer(able))).status_code == 201
    query = {"filter": filters}
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/v1/search", {"params": query}),
        ("POST", "/v1/search", {"json": query}),
        ("GET", "/v1/search/explain", {"params": {**query, "creator_id": "1"}}),
        ("GET", "/v1/search/export", {"params": query}),
        ("POST", "/v1/similar", {"json": {**query, "positive": ["1"]}}),
    ]
    for method, path, more in asked:
        refused = await http.request(method, path, headers=bearer(unable), **more)
        assert refused.status_code == 403, (path, refused.text)
        assert "Spring" not in refused.text.replace(filters, "")
        assert (await http.request(method, path, headers=bearer(able), **more)).status_code != 403
    ordinary = {"filter": "platform = youtube"}
    assert (await http.get("/v1/search", params=ordinary, headers=bearer(unable))).status_code == 200


async def test_logging_in_counts_against_the_limit(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    """And what the session asks is of the same limit as what its key asks."""
    key = await guarded.key(requests_per_minute=2)
    assert (await http.post("/v1/session", json={"key": key})).status_code == 200
    assert (await http.get("/v1/lists")).status_code == 200
    assert (await http.get("/v1/lists", headers=bearer(key))).status_code == 429
    assert (await http.get("/v1/lists")).status_code == 429
    by_json = await http.post("/v1/session", json={"key": key})
    for refused in (by_json, await http.post("/v1/session", data={"key": key})):
        assert (refused.status_code, "set-cookie" in refused.headers) == (429, False)
        assert 0 < int(refused.headers["retry-after"]) <= MINUTE
    guarded.clock.now += MINUTE / 2
    assert (await http.get("/v1/lists")).status_code == 200


async def test_a_log_in_gives_another_cookie_than_the_browser_brought(
    guarded: Guarded, http: httpx2.AsyncClient
) -> None:
    """Else somebody who planted a cookie would be logged in along with its owner."""
    key = await guarded.key()
    planted = {"Cookie": "pokedexd_session=planted"}
    cookie = (await http.post("/v1/session", json={"key": key}, headers=planted)).cookies["pokedexd_session"]
    http.cookies.clear()
    assert cookie != "planted"
    assert (await http.get("/v1/lists", headers=planted)).status_code == 401


async def test_a_hub_pushes_without_a_key(guarded: Guarded, connect: Connect) -> None:
    """Its token and its signature speak for it, also where keys are asked for; a key in place of them does not."""
    key, listening = await guarded.key(), Listening(guarded.env)
    await guarded.env.write(fill)
    http = await connect(create_app(msgspec.structs.replace(guarded.noted.world.services(), hub=listening.services)))
    body = posted()
    signed = {"X-Hub-Signature": signature(body)}
    assert (await http.post(PATH, content=body, headers={"X-Hub-Signature": signature(body, "x")})).status_code == 204
    assert (await http.post(PATH, content=body, headers=bearer(key))).status_code == 204
    assert listening.outcomes == ["forged", "forged"]
    assert await listening.job(JobKind.CONTENT, "v1") is None
    assert (await http.post(PATH, content=body, headers=signed)).status_code == 204
    assert listening.outcomes[2:] == ["new"]
    assert await listening.job(JobKind.CONTENT, "v1") is not None
    assert (await http.post("/websub/" + "u" * 43, content=body, headers=signed)).status_code == 404
    assert (await http.get("/v1/lists", headers=signed)).status_code == 401


async def test_the_last_use_is_written_now_and_then(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    key = await guarded.key()
    commits = guarded.env.commits
    for _ in range(3):
        await http.get("/v1/autocomplete", headers=bearer(key))
    assert guarded.env.commits == commits
    assert (await guarded.access.keys())[0].last_used_at == int(NOW)
    await guarded.access.flush()
    again = Access(guarded.env, now=guarded.clock, clock=guarded.clock)
    assert (await again.keys())[0].last_used_at == int(NOW)


async def test_the_store_has_no_key_and_no_cookie(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    key = await guarded.key()
    cookie = (await http.post("/v1/session", json={"key": key})).cookies["pokedexd_session"]
    with guarded.env.snapshot() as txn:
        everything = b"".join(k + v for name in ("keys", "sessions", "audit", "meta") for k, v in txn.scan(name))
    assert key.encode() not in everything
    assert cookie.encode() not in everything
    assert key.removeprefix("pkd_")[:12].encode() not in everything


async def test_a_session_brings_its_token_along(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    key = await guarded.key("lists")
    wrong = await http.post("/v1/session", json={"key": "pkd_wrong"})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
    logged_in = await http.post("/v1/session", json={"key": key})
    said = logged_in.headers["set-cookie"]
    assert all(word in said for word in ("HttpOnly", "SameSite=Lax", "Path=/"))
    assert "Secure" not in said
    assert logged_in.headers["cache-control"] == "no-store"
    token = logged_in.json()["csrf_token"]
    assert (await http.get("/v1/session")).json()["csrf_token"] == token != ""
    assert (await http.get("/v1/lists")).status_code == 200
    assert (await http.get("/v1/search")).status_code == 403
    for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": token[::-1]}):
        refused = await http.post("/v1/lists", json={"name": "x"}, headers=headers)
        assert (refused.status_code, problem(refused)["code"]) == (403, "csrf_failed")
    assert (await http.post("/v1/lists", json={"name": "x"}, headers={"X-CSRF-Token": token})).status_code == 201
    assert (await http.post("/v1/lists", json={"name": "y"}, headers=bearer(key))).status_code == 201
    assert (await http.delete("/v1/session")).status_code == 403
    assert (await http.delete("/v1/session", headers={"X-CSRF-Token": token})).status_code == 204
    assert (await http.get("/v1/lists")).status_code == 401


async def test_forms_log_in_and_out(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    key = await guarded.key()
    page = await http.get("/login", params={"next": '/"><script>'})
    assert "<script>" not in page.text
    elsewhere = await http.post("/v1/session", data={"key": key}, headers={"Sec-Fetch-Site": "same-site"})
    assert (elsewhere.status_code, "set-cookie" in elsewhere.headers) == (403, False)
    failed = await http.post("/v1/session", data={"key": "pkd_wrong", "next": "/lists"})
    assert (failed.status_code, failed.headers["location"]) == (303, "/login?failed=1&next=%2Flists")
    for place, there in (("/?q=x", "/?q=x"), ("//evil.example", "/"), ("https://evil.example", "/"), ("/\\evil", "/")):
        done = await http.post("/v1/session", data={"key": key, "next": place})
        assert (done.status_code, done.headers["location"]) == (303, there)
    assert (await http.get("/", headers={"Accept": "text/html"})).status_code == 200
    assert (await http.post("/logout", data={"csrf_token": "no"})).status_code == 403
    token = (await http.get("/v1/session")).json()["csrf_token"]
    out = await http.post("/logout", data={"csrf_token": token})
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    assert (await http.get("/", headers={"Accept": "text/html"})).status_code == 303


async def test_a_session_ends_by_the_clock_and_with_its_key(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    await guarded.key()
    short, long = await guarded.key(lifetime_seconds=MINUTE), await guarded.key()
    await http.post("/v1/session", json={"key": short})
    guarded.clock.now += MINUTE
    assert (await http.get("/v1/lists")).status_code == 401
    await http.post("/v1/session", json={"key": long})
    again = Access(guarded.env, now=guarded.clock, clock=guarded.clock)
    await again.load()
    assert again.by_session(http.cookies["pokedexd_session"]).tenant_id == DEFAULT_TENANT
    assert (await http.get("/v1/lists")).status_code == 200
    guarded.clock.now += MINUTE * 60
    assert (await http.get("/v1/lists")).status_code == 401
    await http.post("/v1/session", json={"key": long})
    await guarded.access.revoke_key((await guarded.access.keys())[-1].key_id, "test")
    newest = (await guarded.access.keys())[-1]
    for one in await guarded.access.keys():
        if not one.revoked_at and one.expires_at is None and one.key_id != newest.key_id:
            await guarded.access.revoke_key(one.key_id, "test")
    assert (await http.get("/v1/lists")).status_code == 401


async def test_limits_of_a_request(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    long = await http.get("/v1/search", params={"filter": "x" * 13_000})
    assert (long.status_code, problem(long)["code"]) == (414, "uri_too_long")
    assert (await http.post("/v1/lists", content=b"x" * 2_000)).status_code == 413


async def test_no_more_requests_are_at_work_than_may_be(env: Environment, connect: Connect) -> None:
    guarded = Guarded(env)
    release, full = trio.Event(), trio.Event()

    async def hold() -> None:
        if len(guarded.noted.world.queries) == 2:
            full.set()
        await release.wait()

    guarded.noted.world.before_search = hold
    services = msgspec.structs.replace(guarded.noted.world.services(), max_requests=2)
    http = await connect(create_app(services))
    replies: list[httpx2.Response] = []

    async def search() -> None:
        replies.append(await http.get("/v1/search"))

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(search)
        await full.wait()
        over = await http.get("/healthz")
        assert (over.status_code, problem(over)["code"], over.headers["retry-after"]) == (503, "overloaded", "1")
        release.set()
    assert [one.status_code for one in replies] == [200, 200]
    assert (await http.get("/healthz")).status_code == 200


async def test_a_revoked_key_is_told_so_and_an_unknown_one_not(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    key = await guarded.key("search")
    (made,) = await guarded.access.keys()
    await guarded.access.revoke_key(made.key_id, "test")
    for one, said in ((key, "the key was revoked"), (key[:-1] + "~", "the key is not known")):
        refused = await http.get("/v1/search", headers={"Authorization": f"Bearer {one}"})
        assert (refused.status_code, problem(refused)["detail"].partition(";")[0]) == (401, said)


@pytest.mark.parametrize("seconds", [101 * 365 * 86_400, 10**15, 10**30])
async def test_a_key_cannot_end_beyond_what_a_calendar_shows(guarded: Guarded, connect: Connect, seconds: int) -> None:
    trail = AuditTrail(guarded.env)
    admin = await connect(create_admin(Steering().services(), trusted=True, access=guarded.access, trail=trail))
    refused = await admin.post("/v1/keys", json={"lifetime_seconds": seconds})
    assert (refused.status_code, "within 100 years" in problem(refused)["detail"]) == (400, True)
    assert (await admin.get("/v1/keys")).json() == {"keys": []}


async def test_who_never_was_a_tenant_has_no_keys_and_no_trail_and_who_is_gone_has(
    guarded: Guarded, connect: Connect
) -> None:
    trail = AuditTrail(guarded.env)
    admin = await connect(create_admin(Steering().services(), trusted=True, access=guarded.access, trail=trail))
    await guarded.access.create_tenant("acme", "", "test")
    await guarded.access.create_key("acme", actor="test")
    await guarded.access.remove_tenant("acme", "test")
    for path, part in (("/v1/keys", "keys"), ("/v1/audit", "records")):
        assert len((await admin.get(path, params={"tenant": "acme"})).json()[part]) >= 1
        unknown = await admin.get(path, params={"tenant": "nope"})
        assert (unknown.status_code, problem(unknown)["detail"].partition(";")[0]) == (404, "no tenant 'nope'")


async def test_keys_tenants_and_the_trail_over_the_admin_socket(guarded: Guarded, connect: Connect) -> None:
    trail = AuditTrail(guarded.env)
    admin = await connect(create_admin(Steering().services(), trusted=True, access=guarded.access, trail=trail))
    assert (await admin.post("/v1/tenants", json={"tenant_id": "acme", "name": "Acme"})).status_code == 201
    for body, status in (({"tenant_id": "acme"}, 409), ({"tenant_id": "A b"}, 400), ({"tenant": "x"}, 400)):
        assert (await admin.post("/v1/tenants", json=body)).status_code == status
    made = (await admin.post("/v1/keys", json={"tenant": "acme", "name": "ci", "scopes": ["search"]})).json()
    assert made["key"].startswith("pkd_")
    assert len(made["key"]) >= 4 + 43
    assert guarded.access.by_key(made["key"]).tenant_id == "acme"
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"tenant": "none"}, 404),
        ({"scopes": ["all"]}, 400),
        ({"scopes": []}, 400),
    ]
    for asked, status in wrong:
        assert (await admin.post("/v1/keys", json=asked)).status_code == status
    listed = (await admin.get("/v1/keys", params={"tenant": "acme"})).json()["keys"]
    assert [(one["name"], one["scopes"], one["last_used_at"]) for one in listed] == [("ci", ["search"], None)]
    assert (await admin.delete("/v1/keys/ci")).json()["revoked_at"]
    assert (await admin.delete("/v1/keys/nobody")).status_code == 404
    assert (await admin.delete("/v1/tenants/acme")).json() == {"tenant_id": "acme", "rows": 0}
    assert (await admin.delete(f"/v1/tenants/{DEFAULT_TENANT}")).status_code == 409
    assert (await admin.post("/v1/tenants", json={"tenant_id": "acme"})).status_code == 409
    records = (await admin.get("/v1/audit", params={"tenant": "acme"})).json()["records"]
    assert [(one["action"], one["detail"].partition(":")[0].partition(" ")[0]) for one in records] == [
        ("tenant", "created"),
        ("key", "created"),
        ("key", "revoked"),
        ("tenant", "removed"),
    ]
    assert (await admin.get("/v1/audit/verify")).json()["broken"] is None


async def test_who_has_asked_too_often_can_still_log_out(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    for log_out in ("POST", "DELETE"):
        await http.post("/v1/session", data={"key": await guarded.key(requests_per_minute=2)})
        token = (await http.get("/v1/session")).json()["csrf_token"]
        assert (await http.get("/v1/session")).status_code == 429
        headers = {"X-CSRF-Token": token}
        reply = await http.request(log_out, "/logout" if log_out == "POST" else "/v1/session", headers=headers)
        assert reply.status_code in (204, 303)
        assert (await http.get("/v1/session")).status_code == 401
