"""What operators see and do on the pages; the whole of it in a browser is in tests/browser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx2
import msgspec
import pytest
import trio

from daemon.access import Access
from daemon.dead_letters import DeadLetters
from daemon.importing import Verdict
from daemon.reviewing import Reviewing
from daemon.stock import Stock
from daemon.web.app import create_app
from daemon.web.page_operations import BESIDE, SHARED, Gauge, Throughput, gauges, lanes
from daemon.web.services import Operations, PublicServices, TaskView
from proto.api import AdminStatus, StageStatus
from proto.ids import AccountKey, CreatorId, Platform
from proto.records import DEFAULT_TENANT, Activity, AuditEvent, JobKind, RawPage
from stores.audit import Actor
from stores.env import Environment
from stores.journal import Journal
from tests.daemon.web.conftest import Connect
from tests.daemon.web.fakes import NOW, Steering, World, creator
from tests.daemon.web.test_pages import Reader, inert

ELSEWHERE = {"Host": "pokedex.example"}


class Played:
    """Operations over an empty store."""

    def __init__(self, env: Environment) -> None:
        self.stopping = trio.Event()
        self.forgotten: list[str] = []
        self.imported: list[tuple[int, str]] = []
        self.asked: list[str] = []
        self.acted: list[str] = []
        self._env, self._steering = env, Steering()
        Journal(env, lambda _: None).ensure_default_tenant(int(NOW))
        self.access = Access(env, now=lambda: NOW, clock=lambda: 0.0)

    async def forget(self, references: Sequence[str], by: Actor) -> list[msgspec.Struct]:
        self.forgotten += references
        self.acted.append(by.actor)
        return list(await self._steering.forget(references))

    async def import_rows(self, rows: Sequence[tuple[int, str]], by: Actor) -> list[Verdict]:
        self.imported += rows
        self.acted.append(by.actor)
        return [Verdict(line=line, value=text, verdict="added") for line, text in rows]

    async def tasks(self) -> list[TaskView]:
        return [TaskView(name="reindex", state="running", done=3, total=9)]

    async def audit(self, limit: int, tenant_id: str) -> list[AuditEvent]:
        self.asked.append(tenant_id)
        return [AuditEvent(at=int(NOW), tenant_id="t", actor="<b>ann</b>", action="search", detail="yoga")][:limit]

    def services(self) -> PublicServices:
        operations = Operations(
            status=self._steering.status,
            stock=lambda: None,
            letters=DeadLetters(self._env, now=lambda: NOW),
            reviewing=Reviewing(self._env, now=lambda: NOW, hand_on=lambda _: None),
            recent_audit=self.audit,
            import_rows=self.import_rows,
            forget=self.forget,
            stopping=self.stopping,
            tasks=self.tasks,
        )
        world = World([creator(1, "Ana Silva")])
        world.access = self.access
        world.allowed = [ELSEWHERE["Host"]]
        return msgspec.structs.replace(world.services(), operations=operations)


@pytest.fixture
def played(tmp_path: Path) -> Played:
    return Played(Environment(tmp_path / "data"))


async def test_operators_see_how_it_goes(connect: Connect, played: Played) -> None:
    http = await connect(create_app(played.services()))
    page = Reader((await http.get("/operations")).text)
    for text in ("1,234 pending", "embedder", "12.3k", "reindex", "3 of 9", "<b>ann</b>", "Nothing waits"):
        assert text in page.words
    assert inert(page)
    assert (await http.get("/ops")).headers["location"] == "/operations"


async def test_operators_see_why_nothing_is_taken_in(connect: Connect, played: Played) -> None:
    services = played.services()
    assert services.operations is not None
    status = await services.operations.status()
    held = msgspec.structs.replace(
        status,
        resources=msgspec.structs.replace(status.resources, held_because="the disk is full"),
        intake_paused={"youtube": "memory is above its ceiling"},
    )

    async def told() -> AdminStatus:
        return held

    operations = msgspec.structs.replace(services.operations, status=told)
    http = await connect(create_app(msgspec.structs.replace(services, operations=operations)))
    page = Reader((await http.get("/operations")).text)
    assert "the disk is full" in page.words
    assert "Nothing is fetched from YouTube: memory is above its ceiling" in page.words


async def test_who_comes_by_another_name_than_loopbacks_is_no_operator(connect: Connect, played: Played) -> None:
    http = await connect(create_app(played.services()))
    for path in ("/operations", "/operations/live", "/import"):
        assert (await http.get(path, headers=ELSEWHERE)).status_code == 403
    for path in ("/import", "/operations/reviews", "/operations/dead-letters/x/replay", "/creators/1/forget"):
        assert (await http.post(path, headers=ELSEWHERE)).status_code == 403
    page = Reader((await http.get("/", headers=ELSEWHERE)).text)
    assert "/lists" in page.links()
    assert "/operations" not in page.links()


async def test_the_page_moves_until_the_daemon_ends(connect: Connect, played: Played) -> None:
    http = await connect(create_app(played.services()))
    async with http.stream("GET", "/operations/live") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        seen = ""
        async for text in reply.aiter_text():
            seen += text
            if seen.count("\n\n") >= 2:
                played.stopping.set()
    assert all(line.startswith(("data: ", "retry: ")) for line in seen.splitlines() if line)
    assert "embedder" in seen


async def test_forgetting_asks_for_a_key_and_the_name(connect: Connect, played: Played) -> None:
    http = await connect(create_app(played.services()))
    assert "asks for a key" in (await http.get("/creators/1")).text
    reply = await http.post("/creators/1/forget", data={"confirm": "Ana Silva"})
    assert (reply.status_code, played.forgotten) == (403, [])
    await log_in(http, played, "search", "admin")
    page = Reader((await http.get("/creators/1")).text)
    assert ("form", "/creators/1/forget") in [(tag, attributes.get("action")) for tag, attributes in page.tags]
    token = next(str(one["value"]) for tag, one in page.tags if one.get("name") == "csrf_token")
    assert (await http.post("/creators/1/forget", data={"confirm": "Ana Silva"})).status_code == 403
    reply = await http.post("/creators/1/forget", data={"confirm": "ana", "csrf_token": token}, follow_redirects=True)
    assert (reply.url.path, "Nothing was forgotten" in reply.text, played.forgotten) == ("/creators/1", True, [])
    reply = await http.post("/creators/1/forget", data={"confirm": "Ana Silva", "csrf_token": token})
    assert "Ana Silva is forgotten" in reply.text
    assert [one.partition(":")[0] for one in played.acted] == ["key"], "the key's own name stands in the audit trail"
    assert played.forgotten == ["youtube:UC1"]


async def test_without_a_key_the_page_says_the_command_that_forgets(connect: Connect, played: Played) -> None:
    record, accounts = creator(1, "Ana Silva")
    other = msgspec.structs.replace(accounts[0], platform=Platform.TIKTOK, platform_user_id="77")
    operations = played.services().operations
    both = World([(record, [*accounts, other])]).services()
    http = await connect(create_app(msgspec.structs.replace(both, operations=operations)))
    assert "pokedexd forget youtube:UC1 tiktok:77" in Reader((await http.get("/creators/1")).text).words


async def test_no_secret_stands_on_the_page_of_a_creator(connect: Connect, played: Played) -> None:
    page = RawPage(
        platform=Platform.YOUTUBE,
        kind=JobKind.PROFILE,
        account_key=AccountKey("youtube:UC1"),
        request="GET /channels?id=UC1&key=SECRET",
        fetched_at=int(NOW),
        body=b"{}",
    )

    async def read(creator_id: CreatorId, limit: int) -> list[RawPage]:
        del creator_id, limit
        return [page]

    http = await connect(create_app(msgspec.structs.replace(played.services(), raw_pages=read)))
    text = (await http.get("/creators/1")).text.replace("<wbr>", "")
    assert "channels?id=UC1" in text
    assert "SECRET" not in text


async def test_operators_of_other_tenants_see_their_own_part_of_the_trail(connect: Connect, played: Played) -> None:
    http = await connect(create_app(played.services()))
    await http.get("/operations")
    await played.access.create_tenant("acme", "Acme", "test")
    await log_in(http, played, "admin", tenant_id="acme")
    await http.get("/operations")
    assert played.asked == ["", "acme"]


async def log_in(http: httpx2.AsyncClient, played: Played, *scopes: str, tenant_id: str = DEFAULT_TENANT) -> None:
    key, _ = await played.access.create_key(tenant_id, scopes=scopes, actor="test")
    reply = await http.post("/v1/session", data={"key": key})
    assert reply.status_code == 303


async def test_lines_and_files_are_brought_in(connect: Connect, played: Played) -> None:
    http = await connect(create_app(played.services()))
    page = Reader((await http.post("/import", data={"lines": "@anasilva\n\n@bobuilds"})).text)
    assert played.imported == [(1, "@anasilva"), (3, "@bobuilds")]
    assert "2 added" in page.words
    await upload(http, "a.jsonl", b'{"handle": "@cycles"}\n')
    assert played.imported[2:] == [(1, "@cycles")]
    for name, data in (("a.csv", b""), ("a.csv", b"\xff\xfe\x00"), ("a.csv", b"\x80abc")):
        reply = await upload(http, name, data)
        assert reply.status_code == 400
        assert 'role="alert"' in reply.text
    assert len(played.imported) == 3


async def upload(http: httpx2.AsyncClient, name: str, data: bytes) -> httpx2.Response:
    return await http.post("/import", files={"file": (name, data)}, data={"csrf_token": ""})


async def test_there_is_a_login_where_there_are_keys(connect: Connect, played: Played) -> None:
    http = await connect(create_app(played.services()))
    assert (await http.get("/login?next=/lists")).headers["location"] == "/lists"
    key, _ = await played.access.create_key(DEFAULT_TENANT, scopes=("search",), actor="test")
    page = Reader((await http.get("/login?next=//evil.example&failed=1")).text)
    assert "not known" in page.words
    assert ("input", "/") in [(tag, attributes.get("value")) for tag, attributes in page.tags]
    assert page.links() == ["#main", "/"]
    wrong = await http.post("/v1/session", data={"key": "pkd_wrong", "next": "/?q=a&sort=followers"})
    assert wrong.headers["location"] == "/login?failed=1&next=%2F%3Fq%3Da%26sort%3Dfollowers"
    assert (await http.post("/v1/session", data={"key": key, "next": "/"})).headers["location"] == "/"
    page = Reader((await http.get("/")).text)
    assert "Log out" in page.words
    assert not {"/lists", "/operations", "/import"} & set(page.links())
    refused = await http.get("/operations", headers={"Accept": "text/html"})
    assert (refused.status_code, "takes the scope" in refused.text) == (403, True)


@pytest.mark.parametrize("name", ["Forwarded", "Via", "X-Forwarded-For", "X-Real-IP"])
async def test_a_proxy_that_changes_the_host_makes_nobody_an_operator(
    connect: Connect, played: Played, name: str
) -> None:
    http = await connect(create_app(played.services()))
    assert (await http.get("/operations")).status_code == 200
    assert (await http.get("/operations", headers={name: "203.0.113.9"})).status_code == 403


def stage(name: str, handled: int) -> StageStatus:
    return StageStatus(
        name=name, queue_depth=0, blocked_seconds=0, state="running", handled=handled, restarts=0, busy_seconds=0
    )


def test_throughput_is_what_was_handled_between_two_looks() -> None:
    seen = Throughput()
    assert [one.per_second for one in seen.see([stage("a", 10)], 1.0)] == [None]
    assert [one.per_second for one in seen.see([stage("a", 30)], 3.0)] == [10.0]
    (one,) = seen.see([stage("a", 5)], 4.0)  # restarted
    assert (one.per_second, one.line != "") == (0.0, True)


def test_stages_stand_in_lanes() -> None:
    names = ("scheduler/youtube", "fetcher/youtube", "fetcher/instagram", "embedder", "sweeper", "indexer")
    found = lanes(Throughput().see([stage(name, 0) for name in names], 0.0))
    assert [(lane, [one.of.name for one in row]) for lane, row in found] == [
        ("youtube", ["scheduler/youtube", "fetcher/youtube"]),
        ("instagram", ["fetcher/instagram"]),
        (SHARED, ["embedder", "indexer"]),
        (BESIDE, ["sweeper"]),
    ]


def test_buckets_without_accounts_have_no_gauge() -> None:
    youtube = Platform.YOUTUBE
    stock = Stock(
        at=NOW,
        accounts={(youtube, Activity.ACTIVE): 4, (youtube, Activity.LONG_TAIL): 0},
        fresh={(youtube, Activity.ACTIVE): 3},
        searchable=4,
        embedded=4,
        vectors={},
    )
    assert gauges(stock) == [Gauge(platform="youtube", bucket="active", promised="daily", fresh=3, accounts=4)]
    assert gauges(None) == []
