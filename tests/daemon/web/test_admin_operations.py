from __future__ import annotations

import logging
from functools import partial

import msgspec
import pytest
import trio
import trio.testing

from daemon.operations import Operations
from daemon.web.admin import create_admin
from daemon.web.app import create_app
from daemon.web.routes import SCOPES
from proto.api import Pauses, TaskPage
from proto.ids import AccountKey, Platform
from proto.records import CreatorAccount, Job, JobKind, Priority, Tenant
from stores.catalog import put_account
from stores.codec import encode
from stores.env import Environment, Txn
from stores.lists import create_list
from stores.schedule import find_job, put_job
from tests.daemon.running import NOW, FakePipeline, operations_of
from tests.daemon.web.conftest import Connect
from tests.daemon.web.fakes import Steering, World, creator, problem
from tests.founding import found_creator


@pytest.fixture
async def operations(env: Environment, nursery: trio.Nursery) -> Operations:
    made = operations_of(env, FakePipeline())
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


async def test_what_goes_into_the_audit_trail_is_short_and_printable(connect: Connect, operations: Operations) -> None:
    http = await connect(create_admin(Steering().services(), trusted=True, operations=operations))
    await operations.work.begin("import", in_pieces=True)
    for by in ("anna\x1b[2J", "a" * 500):
        assert (await http.post("/v1/drain", json={"by": by})).status_code == 400
        assert (await http.put("/v1/log-level", json={"level": "error", "by": by})).status_code == 400
        assert (await http.delete("/v1/tasks/1", params={"by": by})).status_code == 400
    for seconds in (b"-1", b"0", b"86401", b"1e308", b"1e400", b"NaN"):
        refused = await http.post("/v1/drain", content=b'{"seconds": ' + seconds + b"}")
        assert refused.status_code == 400, seconds
    for asked in ("0", "60.5", "1e9", "1e+9", "1e400", "nan", "inf"):
        refused = await http.post("/v1/profile", params={"seconds": asked})
        assert (refused.status_code, "seconds" in problem(refused)["detail"]) == (400, True), asked
    assert [one.state for one in operations.tasks()] == ["running"]


async def test_over_tcp_without_a_key_there_is_only_reading(connect: Connect, operations: Operations) -> None:
    http = await connect(create_admin(Steering().services(), trusted=False, operations=operations))
    assert (await http.get("/v1/tasks")).status_code == 200
    for path in ("/v1/pause", "/v1/resume", "/v1/reindex"):
        assert (await http.post(path, json={})).status_code == 403
    assert operations.tasks() == []


ANNA = "youtube:UC00000000000000000000AA"


@pytest.fixture
async def anna(env: Environment) -> str:
    """The id of a creator with one account, in the list "Cooks"."""

    def change(txn: Txn) -> str:
        account = CreatorAccount(
            platform=Platform.YOUTUBE, platform_user_id=ANNA.partition(":")[2], fetched_at=int(NOW), handle="@anna"
        )
        put_account(txn, account)
        found = found_creator(txn, account, int(NOW)).creator_id
        txn.put("tenants", b"default", encode(Tenant(tenant_id="default")))
        create_list(txn, "default", "f00", "Cooks", [found], now=int(NOW), actor="anna")
        return str(found)

    return await env.write(change)


async def test_actors(connect: Connect, operations: Operations) -> None:
    http = await connect(create_admin(Steering().services(), trusted=True, operations=operations))
    (one,) = (await http.get("/v1/actors")).json()["actors"]
    assert (one["name"], one["state"], one["queue_depth"], one["restarts"]) == ("indexer", "off", 3, 0)


async def test_refresh_is_looked_at_next(connect: Connect, operations: Operations, env: Environment, anna: str) -> None:
    http = await connect(create_admin(Steering().services(), trusted=True, operations=operations))
    answer = (await http.post("/v1/refresh", json=[anna, ANNA, "@nobody.at.all"])).json()["accounts"]
    assert [(one["account"], one["ordered"]) for one in answer] == [
        (ANNA, True),
        (ANNA, True),
        ("@nobody.at.all", False),
    ]
    job = await env.read(lambda txn: find_job(txn, Platform.YOUTUBE, JobKind.PROFILE, ANNA.partition(":")[2]))
    assert job is not None and (job.priority, job.due_at) == (Priority.ON_DEMAND, int(NOW))


@pytest.mark.parametrize("target", [ANNA, "cooks", "creator"])
async def test_backfill_of_an_account_a_creator_or_a_list(
    connect: Connect, operations: Operations, env: Environment, anna: str, target: str
) -> None:
    http = await connect(create_admin(Steering().services(), trusted=True, operations=operations))
    begun = await http.post("/v1/backfill", json={"target": anna if target == "creator" else target})
    assert (begun.status_code, begun.json()["detail"]) == (202, "1 accounts")
    user_id = ANNA.partition(":")[2]

    async def job() -> Job | None:
        return await env.read(lambda txn: find_job(txn, Platform.YOUTUBE, JobKind.BACKFILL, user_id))

    while (found := await job()) is None:
        await trio.testing.wait_all_tasks_blocked()
    assert (found.priority, found.page_token) == (Priority.BACKFILL, "")
    await http.delete("/v1/tasks/1?by=anna")  # what waits is taken back
    while operations.work.get("1").state == "running":
        await trio.testing.wait_all_tasks_blocked()
    assert operations.work.get("1").state == "cancelled"
    assert await job() is None


async def test_a_cancelled_backfill_leaves_what_was_planned_before(
    connect: Connect, operations: Operations, env: Environment, anna: str
) -> None:
    planned = Job(
        platform=Platform.YOUTUBE,
        kind=JobKind.BACKFILL,
        entity=ANNA.partition(":")[2],
        account_key=AccountKey(ANNA),
        priority=Priority.BACKFILL,
        due_at=int(NOW),
        page_token="further",
    )
    await env.write(lambda txn: put_job(txn, planned))
    http = await connect(create_admin(Steering().services(), trusted=True, operations=operations))
    await http.post("/v1/backfill", json={"target": ANNA})

    async def job() -> Job | None:
        return await env.read(lambda txn: find_job(txn, Platform.YOUTUBE, JobKind.BACKFILL, planned.entity))

    while (found := await job()) is None or not found.first:
        await trio.testing.wait_all_tasks_blocked()
    await http.delete("/v1/tasks/1?by=anna")
    while operations.work.get("1").state == "running":
        await trio.testing.wait_all_tasks_blocked()
    found = await job()
    assert found is not None
    assert found.page_token == "further"


async def test_a_backfill_is_cancelled_on_a_full_disk_too(
    operations: Operations, env: Environment, anna: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Waiting for room there would keep the daemon from ending."""
    env.waits_for_room = True
    await operations.backfill(ANNA, "default")
    await trio.sleep(1)
    env.hold("the disk is full")
    await operations.work.cancel("1", "anna")
    with trio.move_on_after(60):
        while operations.work.get("1").state == "running":  # noqa: ASYNC110 (nobody tells)
            await trio.sleep(1)
    state = operations.work.get("1").state
    env.stop_waiting()
    assert state == "cancelled"


async def test_backfill_of_nobody_names_the_lists(connect: Connect, operations: Operations, anna: str) -> None:
    http = await connect(create_admin(Steering().services(), trusted=True, operations=operations))
    refused = await http.post("/v1/backfill", json={"target": "bakers"})
    assert refused.status_code == 404
    assert "lists: Cooks" in problem(refused)["detail"]


async def test_the_log_level_is_in_force_at_once(connect: Connect, operations: Operations) -> None:
    root = logging.getLogger()
    before = root.level
    http = await connect(create_admin(Steering().services(), trusted=True, operations=operations))
    try:
        answer = (await http.put("/v1/log-level", json={"level": "error", "by": "anna"})).json()
        assert (answer["level"], root.level) == ("error", logging.ERROR)
        refused = await http.put("/v1/log-level", json={"level": "loud"})
        assert (refused.status_code, "debug, info" in problem(refused)["detail"]) == (400, True)
    finally:
        root.setLevel(before)


async def test_a_profile_shows_where_the_threads_are(connect: Connect, operations: Operations) -> None:
    http = await connect(create_admin(Steering().services(), trusted=True, operations=operations))
    reply = await http.post("/v1/profile?seconds=0.05")
    assert reply.headers["content-type"].startswith("text/plain")
    assert "MainThread" in reply.text
    assert "profiling.py" not in reply.text
    assert (await http.post("/v1/profile?seconds=61")).status_code == 400


async def test_tasks_can_be_read_over_the_api(connect: Connect, operations: Operations) -> None:
    services = msgspec.structs.replace(World([creator(1, "Ana")], []).services(), tasks=operations.tasks)
    http = await connect(create_app(services))
    await operations.reindex()
    (one,) = (await http.get("/v1/tasks")).json()["tasks"]
    assert (one["kind"], (await http.get("/v1/tasks/1")).json()["uid"]) == ("reindex", "1")
    assert (await http.get("/v1/tasks/2")).status_code == 404
    assert (await http.delete("/v1/tasks/1")).status_code == 405
    assert SCOPES["GET", "/v1/tasks"] == SCOPES["GET", "/v1/tasks/<uid>"] == "admin"
