"""Lists and hidden creators over HTTP, in a real store."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
import trio

from daemon.tenancy import Tenancy
from daemon.web.app import create_app
from proto.ids import CreatorId, Platform
from proto.records import CreatorAccount
from stores.catalog import Catalog, put_account
from stores.env import Environment, Txn
from stores.journal import Journal
from tests.daemon.web.conftest import Connect
from tests.daemon.web.fakes import NOW, WEIGHTS, World, creator, problem
from tests.founding import found_creator


def found(txn: Txn, name: str) -> CreatorId:
    stored = CreatorAccount(
        platform=Platform.YOUTUBE, platform_user_id=f"UC{name}", handle=name, display_name=name, fetched_at=int(NOW)
    )
    put_account(txn, stored)
    return found_creator(txn, stored, int(NOW)).creator_id


class Noted:
    def __init__(self, env: Environment) -> None:
        Journal(env, lambda _: None).ensure_default_tenant(int(NOW))
        self.ids = env.write_now(lambda txn: [str(found(txn, name)) for name in ("ana", "ben", "eve")])
        self.world = World([creator(1, "x")])
        self.world.tenancy = Tenancy(env, settings=lambda: WEIGHTS, now=lambda: NOW, clock=trio.current_time)
        self.world.shown = Catalog(env).shown  # type: ignore[method-assign]


@pytest.fixture
async def noted(env: Environment) -> Noted:
    return Noted(env)


@pytest.fixture
async def http(noted: Noted, connect: Connect) -> httpx2.AsyncClient:
    return await connect(create_app(noted.world.services()))


async def test_the_life_of_a_list(noted: Noted, http: httpx2.AsyncClient) -> None:
    ana, ben, eve = noted.ids
    made = await http.post("/v1/lists", json={"name": "Spring", "creators": [ana, eve]})
    assert made.status_code == 201
    view: dict[str, Any] = made.json()
    path = f"/v1/lists/{view['list_id']}"
    assert (view["name"], view["version"], view["creators"]) == ("Spring", 1, 2)
    assert (await http.get("/v1/lists")).json()["lists"] == [view]
    assert (await http.put(f"{path}/creators/{ben}")).json()["version"] == 2
    assert (await http.put(f"{path}/creators/{ben}")).json()["version"] == 2
    page = (await http.get(path, params={"limit": 2})).json()
    assert [one["creator_id"] for one in page["creators"]] == [ana, eve]
    rest = (await http.get(path, params={"limit": 2, "cursor": page["cursor"]})).json()
    assert ([one["creator_id"] for one in rest["creators"]], rest["cursor"]) == ([ben], None)
    stale = await http.patch(path, json={"version": 1, "name": "Autumn"})
    assert (stale.status_code, problem(stale)["code"]) == (409, "conflict")
    changed = (await http.patch(path, json={"version": 2, "name": "Autumn", "remove": [ana]})).json()
    assert (changed["name"], changed["version"], changed["creators"]) == ("Autumn", 3, 2)
    assert (await http.delete(f"{path}/creators/{ana}")).json()["version"] == 3
    assert (await http.delete(path, params={"version": 2})).status_code == 409
    gone = await http.delete(path, params={"version": 3})
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await http.get(path)).status_code == 404


async def test_hidden_creators_reach_the_next_search(noted: Noted, http: httpx2.AsyncClient) -> None:
    ana = noted.ids[0]
    assert (await http.put(f"/v1/hidden/{ana}")).json() == {"creator_id": ana, "hidden": True, "changed": True}
    assert (await http.put(f"/v1/hidden/{ana}")).json()["changed"] is False
    page = (await http.get("/v1/hidden")).json()
    assert ([one["creator_id"] for one in page["creators"]], page["total"], page["cursor"]) == ([ana], 1, None)
    await http.get("/v1/search")
    hidden = noted.world.queries[-1].hidden
    assert hidden is not None
    assert hidden.tolist() == [0]
    assert (await http.delete(f"/v1/hidden/{ana}")).json()["changed"] is True
    await http.get("/v1/search")
    assert noted.world.queries[-1].hidden is None


async def test_a_filter_may_name_a_list_by_id_or_name(noted: Noted, http: httpx2.AsyncClient) -> None:
    view = (await http.post("/v1/lists", json={"name": "Spring", "creators": noted.ids[:1]})).json()
    for name in ("Spring", view["list_id"]):
        await http.get("/v1/search", params={"filter": f"NOT list = {name}"})
        assert noted.world.queries[-1].lists[name].tolist() == [0]
    wrong = await http.get("/v1/search", params={"filter": "list = Sprng"})
    assert "did you mean 'Spring'?" in problem(wrong)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/lists", {"nam": "x"}, 400, "unknown_parameter"),
        ("POST", "/v1/lists", {"name": ""}, 400, "malformed"),
        ("POST", "/v1/lists", {"name": "x", "creators": ["a"]}, 400, "bad_parameter"),
        ("POST", "/v1/lists", {"name": "x", "creators": ["5"]}, 404, "not_found"),
        ("GET", "/v1/lists/ffff", None, 404, "not_found"),
        ("PATCH", "/v1/lists/ffff", {}, 404, "not_found"),
        ("DELETE", "/v1/lists/ffff", None, 404, "not_found"),
        ("DELETE", "/v1/lists/ffff?version=x", None, 400, "bad_parameter"),
        ("PUT", "/v1/lists/ffff/creators/5", None, 404, "not_found"),
        ("PUT", "/v1/hidden/5", None, 404, "not_found"),
        ("PUT", "/v1/hidden/x", None, 400, "bad_parameter"),
        ("GET", "/v1/hidden?cursor=x", None, 400, "bad_cursor"),
        ("GET", "/v1/lists?limit=5", None, 400, "unknown_parameter"),
    ],
)
async def test_what_is_refused(
    http: httpx2.AsyncClient, method: str, path: str, body: Any, status: int, code: str
) -> None:
    reply = await http.request(method, path, json=body)
    assert (reply.status_code, problem(reply)["code"]) == (status, code)


async def test_pages_of_other_origins_and_forms_change_nothing(noted: Noted, http: httpx2.AsyncClient) -> None:
    foreign = {"Origin": "https://evil.example"}
    assert (await http.put(f"/v1/hidden/{noted.ids[0]}", headers=foreign)).status_code == 403
    form = await http.post("/v1/lists", content=b'{"name":"x"}', headers={"content-type": "text/plain"})
    assert form.status_code == 415
    assert (await http.get("/v1/lists")).json() == {"lists": []}
