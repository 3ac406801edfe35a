from __future__ import annotations

from functools import partial

import msgspec
import pytest
import trio

from daemon.operations import Operations
from daemon.pausing import Pausing
from daemon.tasks import Tasks, Tell
from daemon.web.admin import create_admin
from proto.api import Pauses, TaskPage
from stores.env import Environment
from tests.daemon.test_pausing import NOW, FakePipeline
from tests.daemon.web.conftest import Connect
from tests.daemon.web.fakes import Steering, problem


async def forever(tell: Tell) -> None:
    tell(3, 10)
    await trio.sleep_forever()


@pytest.fixture
async def operations(env: Environment, nursery: trio.Nursery) -> Operations:
    pausing = Pausing(env, FakePipeline(), now=lambda: NOW)  # type: ignore[arg-type]
    made = Operations(pausing, Tasks(env, now=lambda: NOW), reindex=forever)
    nursery.start_soon(partial(made.work.serve, trio.Event()))
    return made


async def test_tasks(connect: Connect, operations: Operations) -> None:
    http = await connect(create_admin(Steering().services(), trusted=True, operations=operations))
    await operations.work.begin("import", in_pieces=True)
    await operations.work.begin("forget", cancellable=False)
    page = msgspec.json.decode((await http.get("/v1/tasks")).content, type=TaskPage)
    assert [one.kind for one in page.tasks] == ["forget", "import"]
    assert (await http.delete("/v1/tasks/1?by=anna")).status_code == 202
    assert (await http.get("/v1/tasks/1")).json()["state"] == "cancelled"
    refused = await http.delete("/v1/tasks/2")
    assert (refused.status_code, "done to its end" in problem(refused)["detail"]) == (409, True)
    assert (await http.get("/v1/tasks/9")).status_code == 404


async def test_reindex_is_one_task_at_a_time(connect: Connect, operations: Operations) -> None:
    http = await connect(create_admin(Steering().services(), trusted=True, operations=operations))
    begun = await http.post("/v1/reindex")
    assert (begun.status_code, begun.json()["kind"]) == (202, "reindex")
    refused = await http.post("/v1/reindex")
    assert (refused.status_code, problem(refused)["detail"]) == (409, "a reindex is under way: task 1")
    assert (await http.get("/v1/tasks/1")).json()["progress"] == 0.3


async def test_pauses(connect: Connect, operations: Operations) -> None:
    http = await connect(create_admin(Steering().services(), trusted=True, operations=operations))
    refused = await http.post("/v1/pause", json={"name": "yuotube", "by": "anna"})
    assert refused.status_code == 400
    assert "did you mean 'youtube'?" in problem(refused)["detail"]
    await http.post("/v1/pause", json={"name": "youtube", "by": "anna", "reason": "quota"})
    (found,) = msgspec.json.decode((await http.get("/v1/pauses")).content, type=Pauses).pauses
    assert (found.name, found.by, found.reason) == ("youtube", "anna", "quota")
    assert (await http.post("/v1/resume", json={"by": "anna"})).json() == {"pauses": []}


async def test_over_tcp_without_a_key_there_is_only_reading(connect: Connect, operations: Operations) -> None:
    http = await connect(create_admin(Steering().services(), trusted=False, operations=operations))
    assert (await http.get("/v1/tasks")).status_code == 200
    for path in ("/v1/pause", "/v1/resume", "/v1/reindex"):
        assert (await http.post(path, json={})).status_code == 403
    assert operations.tasks() == []
