"""Which pages a key opens: every page by every scope, by key and by session."""

from __future__ import annotations

import csv
import io
import json

import httpx2
import msgspec
import pytest

from daemon.access import new_key
from daemon.tenancy import Tenancy
from daemon.web.app import create_app
from daemon.web.authorising import ANYBODY, KNOWN
from proto.ids import CreatorId
from proto.records import DEFAULT_TENANT
from stores.catalog import Catalog
from stores.env import Environment
from stores.keys import SCOPES
from tests.daemon.web.conftest import Connect
from tests.daemon.web.fakes import problem
from tests.daemon.web.page_scopes import PAGES
from tests.daemon.web.test_access_api import Guarded, bearer
from tests.daemon.web.test_page_operations import Played
from tests.daemon.web.test_pages import Reader

BOTH = {"/lists/<list_id>/export": "export"}
"""A page that takes a second scope."""


@pytest.fixture
async def guarded(env: Environment) -> Guarded:
    return Guarded(env)


@pytest.fixture
async def http(guarded: Guarded, connect: Connect) -> httpx2.AsyncClient:
    """With all that operators see; what goes on by itself has ended."""
    played = Played(guarded.env)
    played.stopping.set()
    operations = played.services().operations
    return await connect(create_app(msgspec.structs.replace(guarded.noted.world.services(), operations=operations)))


def at(rule: str) -> str:
    """With something in each place."""
    for name, value in (("creator_id", "5"), ("list_id", "0" * 16), ("search_id", "0" * 16), ("letter_id", "x")):
        rule = rule.replace(f"<{name}>", value)
    return rule


async def test_every_page_takes_its_scope(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    keys = {scope: await guarded.key(scope) for scope in SCOPES}
    for (method, rule), scope in PAGES.items():
        unknown = await http.request(method, at(rule))
        useless = await http.request(method, at(rule), headers=bearer(new_key()))
        if scope == ANYBODY:
            assert {unknown.status_code, useless.status_code} <= {200, 303}, rule
            continue
        assert (unknown.status_code, useless.status_code) == (401, 401), (method, rule)
        for name, key in keys.items():
            reply = await http.request(method, at(rule), headers=bearer(key))
            if scope in (KNOWN, name) and rule not in BOTH:
                assert reply.status_code not in (401, 403, 500), (method, rule, name)
            else:
                assert reply.status_code == 403, (method, rule, name)
                assert rule in BOTH or problem(reply)["code"] == "insufficient_scope"
        if rule in BOTH:
            reply = await http.request(method, at(rule), headers=bearer(await guarded.key(scope, BOTH[rule])))
            assert reply.status_code == 404, "there is no such list"


async def test_no_session_opens_more_than_its_key_and_none_changes_without_its_token(
    guarded: Guarded, http: httpx2.AsyncClient
) -> None:
    for scope in SCOPES:
        await http.post("/v1/session", data={"key": await guarded.key(scope)})
        token = (await http.get("/v1/session")).json()["csrf_token"]
        for (method, rule), needed in PAGES.items():
            if needed == KNOWN:
                continue
            if method == "POST":
                forged = await http.post(at(rule), data={"csrf_token": token[::-1]})
                assert forged.status_code == 403, rule
            reply = await http.request(method, at(rule), data={"csrf_token": token} if method == "POST" else None)
            opened = needed in (ANYBODY, scope) and rule not in BOTH
            assert (reply.status_code != 403) == opened, (method, rule, scope)
            assert reply.status_code < 500, (method, rule, scope)


async def test_an_open_daemon_asks_nobody(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    for method, rule in PAGES:
        reply = await http.request(method, at(rule), headers={"Accept": "text/html"})
        undoing_asks_for_a_key = rule.endswith("/forget")
        assert reply.status_code == 403 if undoing_asks_for_a_key else reply.status_code not in (401, 403), rule


async def test_a_problem_before_the_login_offers_nothing(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    await guarded.key()
    reply = await http.get("/nowhere", headers={"Accept": "text/html"})
    assert reply.status_code == 404
    assert "/operations" not in reply.text
    assert "/lists" not in reply.text
    ended = await http.post("/lists", headers={"Accept": "text/html"})
    assert (ended.status_code, 'href="/login"' in ended.text) == (401, True)
    for_form = {"Accept": "text/html", "Content-Type": "application/x-www-form-urlencoded"}
    odd = await http.post("/v1/session", content=b"next=%2F", headers=for_form)
    assert (odd.status_code, odd.headers["content-type"]) == (400, "text/html; charset=utf-8")


@pytest.mark.parametrize("version", ["9" * 5_000, "-1", "two", "²"])
async def test_a_version_that_is_none_changes_nothing(guarded: Guarded, connect: Connect, version: str) -> None:
    http = await connect(create_app(msgspec.structs.replace(guarded.noted.world.services(), max_body_bytes=10_000)))
    ana = guarded.noted.ids[0]
    made = (await http.post("/lists", data={"name": "Spring"})).headers["location"]
    for path in (f"{made}/seen", f"{made}/delete", f"/creators/{ana}/note"):
        reply = await http.post(path, data={"version": version, "text": "mine"})
        assert reply.status_code == 400, path
    assert (await http.get(made)).status_code == 200
    assert await guarded.noted.world.tenancy.notes(DEFAULT_TENANT) == []


async def test_a_page_tells_once_what_was_done(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    ana = guarded.noted.ids[0]
    made = (await http.post("/lists", data={"name": "Spring"})).headers["location"]
    for path, data, told in (
        ("/searches", {"name": "Yoga", "query": "q=yoga"}, "The search is saved."),
        (f"{made}/change", {"id": ana}, "Those picked are on this list."),
        (f"{made}/change", {"remove": ana}, "Taken off the list."),
        (f"{made}/seen", {"first": "1"}, "From now on this page tells"),
    ):
        reply = await http.post(path, data=data, follow_redirects=True)
        assert (reply.status_code, told in reply.text) == (200, True), path
        assert told not in (await http.get(reply.url.path)).text
    http.cookies.set("told", "<b>odd</b>")
    assert "odd" not in (await http.get("/")).text


async def test_a_problem_leads_back_to_the_page_it_came_from(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    del guarded
    base = str(http.base_url).rstrip("/")
    for came, link in (
        (f"{base}/lists?x=1", "/lists?x=1"),
        ("https://elsewhere.example/lists", ""),
        (f"{base}//x/", ""),
    ):
        headers = {"Accept": "text/html", "Referer": came}
        reply = await http.post("/lists", data={"name": ""}, headers=headers)
        assert reply.status_code == 400
        links = Reader(reply.text).links()
        assert link in links if link else "Back to where" not in reply.text, came


async def test_an_exported_list_says_what_was_decided_and_noted(guarded: Guarded, http: httpx2.AsyncClient) -> None:
    ana, ben, _ = guarded.noted.ids
    made = (await http.post("/lists", data={"name": "Spring", "id": [ana, ben]})).headers["location"]
    await http.post(f"{made}/change", data={"creator": ana, "state": "maybe", "reason": "=fits"})
    await http.post(f"/creators/{ana}/note", data={"text": "asked\nonce", "tags": "warm, spring"})
    rows = list(csv.DictReader(io.StringIO((await http.get(f"{made}/export")).text, newline="")))
    said = [[row[name] for name in ("creator_id", "state", "reason", "note", "tags")] for row in rows]
    assert said == [[ana, "maybe", "'=fits", "asked\nonce", "warm, spring"], [ben, "", "", "", ""]]
    assert "score" not in rows[0]
    lines = (await http.get(f"{made}/export", params={"format": "jsonl"})).text.splitlines()
    first, second = [json.loads(line) for line in lines]
    assert (first["rank"], first["state"], first["reason"], first["tags"]) == (
        1,
        "maybe",
        "=fits",
        ["warm", "spring"],
    )
    assert ("score" in first, first["creator"]["creator_id"], second["state"]) == (False, ana, "")


@pytest.mark.parametrize("state", ["no", "undecided"])
async def test_enter_in_a_reason_keeps_what_was_decided(guarded: Guarded, http: httpx2.AsyncClient, state: str) -> None:
    ana = guarded.noted.ids[0]
    made = (await http.post("/lists", data={"name": "Spring", "id": ana})).headers["location"]
    await http.post(f"{made}/change", data={"creator": ana, "state": state})
    tags = Reader((await http.get(made)).text).tags
    reason = next(at for at, (_, one) in enumerate(tags) if one.get("name") == "reason")
    pressed = next(one for tag, one in tags[reason:] if tag == "button")
    assert (pressed["name"], pressed["value"]) == ("state", state)


async def test_the_page_of_a_creator_reads_no_list_of_the_hidden(
    guarded: Guarded, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana, ben, _ = guarded.noted.ids
    for one in await Catalog(guarded.env).shown([CreatorId(int(ana)), CreatorId(int(ben))], 0):
        assert one is not None
        named = msgspec.structs.replace(one.creator, name="Ana")
        guarded.noted.world.pairs[one.creator.creator_id] = (named, one.accounts)
    await http.post(f"/creators/{ana}/hidden", data={"hidden": "yes"})
    monkeypatch.setattr(Tenancy, "hidden", None)
    assert "Show in searches again" in (await http.get(f"/creators/{ana}")).text
    assert "Hide from searches" in (await http.get(f"/creators/{ben}")).text
    await http.post(f"/creators/{ana}/hidden", data={"hidden": "no"})
    assert "Hide from searches" in (await http.get(f"/creators/{ana}")).text
