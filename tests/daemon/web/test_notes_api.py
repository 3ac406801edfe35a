"""Triage, order, news, notes and saved searches over HTTP, in a real store."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from stores.env import Environment
from tests.daemon.web.conftest import Connect
from tests.daemon.web.fakes import problem
from tests.daemon.web.test_lists_api import Noted
from tests.stores.test_lists import merge


@pytest.fixture
async def noted(env: Environment) -> Noted:
    return Noted(env)


@pytest.fixture
async def http(noted: Noted, connect: Connect) -> httpx2.AsyncClient:
    from daemon.web.app import create_app

    return await connect(create_app(noted.world.services()))


async def made(http: httpx2.AsyncClient, *creators: str) -> str:
    view = (await http.post("/v1/lists", json={"name": "Spring", "creators": list(creators)})).json()
    return f"/v1/lists/{view['list_id']}"


async def test_what_is_thought_of_a_creator_is_of_one_list(noted: Noted, http: httpx2.AsyncClient) -> None:
    ana, ben, eve = noted.ids
    path = await made(http, ana, ben, eve)
    said = await http.patch(
        path, json={"triage": {ana: {"state": "shortlist"}, ben: {"state": "no", "reason": "too large"}}}
    )
    assert said.json()["version"] == 2
    assert (await http.put(f"{path}/creators/{ben}", json={"state": "no", "reason": "too large"})).json()[
        "version"
    ] == 2
    page = (await http.get(path)).json()
    assert [(one["state"], one["reason"]) for one in page["entries"]] == [
        ("shortlist", ""),
        ("no", "too large"),
        ("", ""),
    ]
    assert page["states"] == {"shortlist": 1, "no": 1, "": 1}
    chosen = (await http.get(path, params={"state": "no"})).json()
    assert ([one["creator_id"] for one in chosen["creators"]], chosen["total"]) == ([ben], 1)
    assert [one["creator_id"] for one in (await http.get(f"{path}?state=")).json()["creators"]] == [eve]
    bare = await http.put(f"{path}/creators/{ben}", headers={"Content-Type": "application/json"})
    assert (bare.status_code, bare.json()["version"]) == (200, 2)  # nothing is said, so that nothing is taken back
    await http.put(f"{path}/creators/{ben}", json={"state": ""})
    assert (await http.get(path)).json()["states"] == {"shortlist": 1, "": 2}
    wrong = await http.patch(path, json={"triage": {ana: {"state": "yes"}}})
    assert (wrong.status_code, "shortlist, maybe, no" in problem(wrong)["detail"]) == (400, True)
    assert (await http.patch(path, json={"triage": {"5": {"state": "no"}}})).status_code == 404


async def test_creators_are_moved(noted: Noted, http: httpx2.AsyncClient) -> None:
    ana, ben, eve = noted.ids
    path = await made(http, ana, ben, eve)

    async def order(creators: list[str], before: str | None) -> list[str]:
        changed = await http.patch(path, json={"move": {"creators": creators, "before": before}})
        assert changed.status_code == 200, changed.text
        return [one["creator_id"] for one in (await http.get(path)).json()["creators"]]

    assert await order([eve], ana) == [eve, ana, ben]
    assert await order([eve, ana], None) == [ben, eve, ana]
    assert await order([ana, ben], ben) == [ana, ben, eve]
    assert (await http.patch(path, json={"move": {"creators": ["5"]}})).status_code == 404


async def test_a_change_may_be_bound_to_a_version(noted: Noted, http: httpx2.AsyncClient) -> None:
    ana, ben, _ = noted.ids
    path = await made(http, ana)
    read = await http.get(path)
    assert read.headers["etag"] == '"1"'
    assert (await http.patch(path, json={"name": "Mine"}, headers={"If-Match": '"1"'})).headers["etag"] == '"2"'
    late = await http.put(f"{path}/creators/{ben}", headers={"If-Match": '"1"'})
    assert (late.status_code, problem(late)["code"]) == (412, "precondition_failed")
    assert (problem(late)["current"]["name"], problem(late)["current"]["version"]) == ("Mine", 2)
    assert late.headers["etag"] == '"2"'
    by_body = await http.patch(path, json={"version": 1, "name": "Yours"})
    assert (by_body.status_code, problem(by_body)["current"]["version"]) == (409, 2)
    assert (await http.patch(path, json={"version": 1}, headers={"If-Match": '"2"'})).status_code == 400
    assert (await http.patch(path, json={}, headers={"If-Match": "abc"})).status_code == 400
    assert (await http.delete(path, headers={"If-Match": '"1"'})).status_code == 412
    assert (await http.delete(path, headers={"If-Match": "*"})).status_code == 204


async def test_a_visitor_is_told_what_happened_since(noted: Noted, http: httpx2.AsyncClient) -> None:
    ana, ben, eve = noted.ids
    path = await made(http, ana)
    first = (await http.get(f"{path}/changes")).json()
    assert (first["since"], first["added"], first["complete"]) == (0, [ana], True)
    assert (await http.post(f"{path}/visits")).json()["version"] == 1
    nothing = (await http.get(f"{path}/changes")).json()
    assert (nothing["since"], nothing["added"], nothing["removed"], nothing["triaged"]) == (1, [], [], [])
    await http.patch(path, json={"add": [ben, eve], "remove": [ana], "name": "Autumn"})
    await http.patch(path, json={"triage": {ben: {"state": "maybe"}}, "remove": [eve]})
    news = (await http.get(f"{path}/changes")).json()
    assert (news["added"], news["removed"], news["renamed"], news["reordered"]) == ([ben], [ana], True, False)
    assert [(one["creator_id"], one["state"]) for one in news["triaged"]] == [(ben, "maybe")]
    assert (await http.get(f"{path}/changes?since=2")).json()["removed"] == [eve]
    assert (await http.get("/v1/lists/ffff/changes")).status_code == 404


async def test_notes_and_tags_are_the_tenant_s_wherever_the_creator_is(noted: Noted, http: httpx2.AsyncClient) -> None:
    ana, ben, _ = noted.ids
    path = await made(http, ana, ben)
    assert (await http.get(f"/v1/creators/{ana}/note")).status_code == 404
    note = (
        await http.put(f"/v1/creators/{ana}/note", json={"text": "wrote on Monday", "tags": ["Warm", "warm", "2026"]})
    ).json()
    assert (note["text"], note["tags"], note["version"]) == ("wrote on Monday", ["Warm", "2026"], 1)
    entry = (await http.get(path)).json()["entries"][0]
    assert (entry["note"], entry["tags"], entry["note_version"]) == ("wrote on Monday", ["Warm", "2026"], 1)
    assert (await http.put(f"/v1/creators/{ana}/note", json={"tags": ["cold"], "version": 1})).json()[
        "text"
    ] == "wrote on Monday"
    stale = await http.put(f"/v1/creators/{ana}/note", json={"text": "x", "version": 1})
    assert (stale.status_code, problem(stale)["current"]["tags"]) == (409, ["cold"])
    await http.put(f"/v1/creators/{ben}/note", json={"tags": ["COLD", "new"], "version": 0})
    page = (await http.get("/v1/notes", params={"tag": "cold", "limit": 1})).json()
    assert (page["total"], len(page["notes"]), page["tags"]) == (2, 1, {"COLD": 1, "cold": 1, "new": 1})
    rest = (await http.get("/v1/notes", params={"tag": "cold", "cursor": page["cursor"]})).json()
    assert {page["notes"][0]["creator_id"], rest["notes"][0]["creator_id"]} == {ana, ben}
    assert (await http.put(f"/v1/creators/{ben}/note", json={"tags": []})).status_code == 204
    assert (await http.delete(f"/v1/creators/{ana}/note", headers={"If-Match": '"1"'})).status_code == 412
    assert (await http.delete(f"/v1/creators/{ana}/note")).status_code == 204
    assert (await http.get("/v1/notes")).json()["notes"] == []
    assert (await http.put("/v1/creators/5/note", json={"text": "x"})).status_code == 404
    assert (await http.put(f"/v1/creators/{ana}/note", json={"text": "x" * 10_001})).status_code in (400, 413)


async def test_notes_of_creators_that_are_merged_are_one(
    noted: Noted, http: httpx2.AsyncClient, env: Environment
) -> None:
    ana, ben, _ = noted.ids
    await http.put(f"/v1/creators/{ana}/note", json={"text": "first", "tags": ["a"]})
    await http.put(f"/v1/creators/{ben}/note", json={"text": "second", "tags": ["b"]})
    await env.write(lambda txn: merge(txn, "ana", "ben"))
    note = (await http.get(f"/v1/creators/{ben}/note")).json()
    assert (note["creator_id"], note["text"], note["tags"], note["version"]) == (ana, "first\n\nsecond", ["a", "b"], 2)
    changed = (await http.put(f"/v1/creators/{ana}/note", json={"text": "both", "version": 2})).json()
    assert (changed["version"], len((await http.get("/v1/notes")).json()["notes"])) == (3, 1)


async def test_a_search_is_saved_as_it_will_be_asked(http: httpx2.AsyncClient) -> None:
    asked: dict[str, Any] = {
        "q": "yoga",
        "filter": "followers >= 5k",
        "facets": ["country"],
        "weights": {"keyword": 0.5},
    }
    saved = (await http.post("/v1/searches", json={"name": " Yoga ", "request": asked})).json()
    path = f"/v1/searches/{saved['search_id']}"
    assert (saved["name"], saved["version"]) == ("Yoga", 1)
    assert {name: saved["request"][name] for name in asked} == asked
    assert (await http.post("/v1/search", json=saved["request"])).status_code == 200
    taken = await http.post("/v1/searches", json={"name": "yoga", "request": {}})
    assert (taken.status_code, problem(taken)["code"]) == (409, "conflict")
    wrong = await http.post("/v1/searches", json={"name": "x", "request": {"filter": "folowers > 5"}})
    assert (wrong.status_code, problem(wrong)["pointer"]) == (400, "/request/filter")
    odd = await http.post("/v1/searches", json={"name": "x", "request": {"sort": "size"}})
    assert (odd.status_code, problem(odd)["pointer"]) == (400, "/request/sort")
    changed = await http.patch(path, json={"request": {"q": "pilates"}, "version": 1})
    assert (changed.json()["request"]["q"], changed.headers["etag"]) == ("pilates", '"2"')
    stale = await http.patch(path, json={"name": "z", "version": 1})
    assert (stale.status_code, problem(stale)["current"]["request"]["q"]) == (409, "pilates")
    assert [one["name"] for one in (await http.get("/v1/searches")).json()["searches"]] == ["Yoga"]
    assert (await http.delete(path, params={"version": 1})).status_code == 409
    assert (await http.delete(path)).status_code == 204
    assert (await http.get(path)).status_code == 404
