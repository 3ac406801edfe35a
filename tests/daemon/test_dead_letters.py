from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import trio
from typer.testing import CliRunner

from daemon.admin_client import AdminClient
from daemon.cli import app as cli
from daemon.dead_letters import DeadLetters
from daemon.evaluation.virtual_time import VirtualThreads
from daemon.raw_export import MASK
from daemon.web.admin import create_admin
from daemon.web.server import hypercorn_config, serve_app, unix_listener
from proto.api import DeadLetterView
from proto.errors import Malformed, NotFound
from proto.ids import AccountKey, Platform, RawId
from proto.messages import AccountUpserted, RawStored
from proto.records import DeadLetter, Job, JobKind, Priority
from stores.audit import Actor
from stores.codec import decode
from stores.env import DATABASES, Environment, Txn
from stores.journal import Journal
from stores.schedule import PackRule, Schedule, find_job, put_job
from stores.work import Work, bury, decode_message, put_dead_letter
from tests.daemon.web.conftest import Connect, connect, serve
from tests.daemon.web.fakes import KEY, Steering, problem

__all__ = ["connect", "serve"]  # fixtures that these tests share with those of the web

NOW = 1_790_000_000
KEY_OF_ANA = AccountKey("youtube:UCana")
Ask = Callable[..., Awaitable[Any]]


def job(**fields: Any) -> Job:
    known: dict[str, Any] = {
        "platform": Platform.YOUTUBE,
        "kind": JobKind.PROFILE,
        "entity": "UCana",
        "account_key": KEY_OF_ANA,
        "priority": Priority.ACTIVE,
        "due_at": NOW - 500,
        "attempts": 3,
        "last_error": "500",
    }
    return Job(**(known | fields))


def letter(number: int = 0, *, payload: bytes | None = None, **fields: Any) -> DeadLetter:
    known: dict[str, Any] = {
        "letter_id": "",
        "stage": "fetcher",
        "entity": f"profile:UC{number}",
        "reason": "forbidden",
        "detail": "403",
        "payload": msgspec.msgpack.encode(job()) if payload is None else payload,
        "first_seen_at": NOW - 60,
        "last_seen_at": NOW,
    }
    return DeadLetter(**(known | fields))


async def file(env: Environment, *letters: DeadLetter) -> list[str]:
    """Their ids."""
    return [(await env.write(partial(put_dead_letter, letter=one))).letter_id for one in letters]


@pytest.fixture
def letters(env: Environment) -> DeadLetters:
    return DeadLetters(env, now=lambda: NOW + 0.5)


async def dump(env: Environment) -> dict[str, list[tuple[bytes, bytes]]]:
    return await env.read(lambda txn: {name: list(txn.scan(name)) for name in DATABASES})


async def job_of_ana(env: Environment) -> Job | None:
    return await env.read(lambda txn: find_job(txn, Platform.YOUTUBE, JobKind.PROFILE, "UCana"))


async def test_a_letter_is_told_with_its_cause_and_the_command_that_tries_it_again(
    env: Environment, letters: DeadLetters
) -> None:
    one = letter(request="GET /videos?key=AIzaSecret&id=1", detail="bad key=AIzaSecret")
    (letter_id, _) = await file(env, one, one)
    (told,) = (await letters.page()).letters
    assert told == DeadLetterView(
        letter_id=letter_id,
        stage="fetcher",
        entity="profile:UC0",
        reason="forbidden",
        detail=f"bad key={MASK}",
        request=f"GET /videos?key={MASK}&id=1",
        first_seen_at="2026-09-21T14:12:20Z",
        last_seen_at="2026-09-21T14:13:20Z",
        count=2,
        replay=f"pokedexd ctl replay {letter_id}",
    )


async def test_pages_hold_every_letter_once_and_say_how_many_there_are(env: Environment, letters: DeadLetters) -> None:
    ids = await file(env, *(letter(number) for number in range(7)))
    found: list[str] = []
    cursor: str | None = ""
    sizes = []
    while cursor is not None:
        page = await letters.page(cursor=cursor, limit=3)
        found += [one.letter_id for one in page.letters]
        sizes.append(len(page.letters))
        assert page.total == 7
        cursor = page.cursor
    assert (found, sizes) == (sorted(ids), [3, 3, 1])


async def test_the_last_page_has_no_cursor_though_it_is_full(env: Environment, letters: DeadLetters) -> None:
    await file(env, letter(1), letter(2), letter(3, reason="other"))
    page = await letters.page(reason="forbidden", limit=2)
    assert (len(page.letters), page.cursor) == (2, None)
    assert (await letters.page(reason="absent")).letters == []


async def test_a_page_reads_no_more_than_it_shows(
    env: Environment, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = sorted(await file(env, *(letter(number) for number in range(20))))
    read: list[bytes] = []

    def count(kind: type[DeadLetter], data: bytes) -> DeadLetter:
        read.append(data)
        return decode(kind, data)

    monkeypatch.setattr("daemon.dead_letters.decode", count)
    page = await letters.page(cursor=ids[9], limit=3)
    assert ([one.letter_id for one in page.letters], page.total, page.cursor) == (ids[10:13], 20, ids[12])
    assert len(read) <= 5
    assert (await letters.page(cursor="z" * 4_000)).letters == []


async def test_letters_of_one_reason(env: Environment, letters: DeadLetters) -> None:
    _, other = await file(env, letter(1), letter(2, reason="other"))
    page = await letters.page(reason="other")
    assert ([one.letter_id for one in page.letters], page.total) == ([other], 1)


async def test_a_job_comes_back_due_now_and_as_if_never_tried(env: Environment, letters: DeadLetters) -> None:
    (letter_id,) = await file(env, letter())
    told = await letters.replay(letter_id)
    assert told.letter_id == letter_id
    assert await job_of_ana(env) == job(attempts=0, due_at=NOW, last_error="")
    assert (await letters.page()).total == 0


async def test_a_job_that_waits_is_brought_forward_and_stands_once(env: Environment, letters: DeadLetters) -> None:
    """A profile that was given up comes back by itself in a week."""
    waiting = job(first=False, attempts=0, last_error="", due_at=NOW + 604_800)
    await env.write(partial(put_job, job=waiting))
    (letter_id,) = await file(env, letter())
    await letters.replay(letter_id)
    rule = PackRule(kind=JobKind.PROFILE, size=50)
    packs = await Schedule(env).lease(Platform.YOUTUBE, [rule], NOW + 900, packs=9, flush=True)
    assert [[(one.due_at, one.attempts) for one in pack] for pack in packs] == [[(NOW, 0)]]


async def test_a_message_comes_back_as_work_to_do(env: Environment, letters: DeadLetters) -> None:
    message = RawStored(raw_id=RawId("00" * 16), platform=Platform.YOUTUBE, revision=7)
    await env.write(lambda txn: bury(txn, message, "malformed", "no JSON", NOW))
    (told,) = (await letters.page()).letters
    await letters.replay(told.letter_id)
    ((_, item),) = await Work(env).after(b"", 9)
    sent = decode_message(item.message)
    assert (sent, item.enqueued_at) == (msgspec.structs.replace(message, revision=item.revision), NOW)
    assert await Work(env).current([sent]) == [sent]
    assert (await letters.page()).total == 0


@pytest.mark.parametrize(
    "broken",
    [
        letter(payload=b""),
        letter(payload=b"\xc1"),
        letter(payload=msgspec.msgpack.encode(AccountUpserted(account_key=KEY_OF_ANA))),
        letter(stage="embedder", payload=msgspec.msgpack.encode({"type": "Unheard", "id": 1})),
        letter(stage="embedder"),
    ],
)
async def test_what_cannot_be_read_stays_and_says_why(
    env: Environment, letters: DeadLetters, broken: DeadLetter
) -> None:
    (letter_id,) = await file(env, broken)
    before = await dump(env)
    (told,) = (await letters.page()).letters
    assert told.replay == ""
    with pytest.raises(Malformed, match=letter_id):
        await letters.replay(letter_id)
    assert await dump(env) == before


@pytest.mark.parametrize("letter_id", ["", "0" * 16, "0" * 600, "../status", "é"])
async def test_an_unknown_letter_is_no_letter(letters: DeadLetters, letter_id: str) -> None:
    with pytest.raises(NotFound):
        await letters.replay(letter_id)


async def test_a_letter_is_replayed_once(env: Environment, letters: DeadLetters) -> None:
    (letter_id,) = await file(env, letter())
    await letters.replay(letter_id)
    with pytest.raises(NotFound, match=letter_id):
        await letters.replay(letter_id)


async def test_nothing_of_a_replay_stands_when_it_cannot_be_noted(
    env: Environment, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    (letter_id,) = await file(env, letter())
    before = await dump(env)

    def put(txn: Txn, database: str, key: bytes, value: bytes, real: Any = Txn.put) -> None:
        if database == "audit":
            raise OSError("disk full")
        real(txn, database, key, value)

    monkeypatch.setattr(Txn, "put", put)
    with pytest.raises(OSError, match="disk full"):
        await letters.replay(letter_id)
    monkeypatch.undo()
    assert await dump(env) == before


async def test_a_replay_is_in_the_audit_trail(env: Environment, letters: DeadLetters) -> None:
    (letter_id,) = await file(env, letter())
    await letters.replay(letter_id, Actor(tenant_id="acme", actor="key:1"))
    (entry,) = await Journal(env, lambda _: None).recent_audit()
    assert (entry.action, entry.at, entry.detail) == ("replay", NOW, "fetcher profile:UC0: forbidden")
    assert (entry.tenant_id, entry.actor) == ("acme", "key:1")


async def test_the_endpoint_lists_and_replays(env: Environment, letters: DeadLetters, connect: Connect) -> None:
    (one, other) = await file(env, letter(1), letter(2, reason="other"))
    http = await connect(create_admin(Steering().services(), trusted=True, letters=letters))
    listed = (await http.get("/v1/dead-letters", params={"reason": "other"})).json()
    assert ([told["letter_id"] for told in listed["letters"]], listed["total"], listed["cursor"]) == ([other], 1, None)
    reply = await http.post(f"/v1/dead-letters/{one}/replay")
    assert (reply.status_code, reply.json()["entity"]) == (200, "profile:UC1")
    assert (await http.get("/v1/dead-letters")).json()["total"] == 1


async def test_the_endpoint_says_what_is_wrong(env: Environment, letters: DeadLetters, connect: Connect) -> None:
    (broken,) = await file(env, letter(payload=b""))
    http = await connect(create_admin(Steering().services(), trusted=True, letters=letters))
    for call, status, code in (
        (http.post(f"/v1/dead-letters/{'0' * 16}/replay"), 404, "not_found"),
        (http.post(f"/v1/dead-letters/{broken}/replay"), 400, "malformed"),
        (http.get(f"/v1/dead-letters/{broken}/replay"), 405, "method_not_allowed"),
        (http.get("/v1/dead-letters?reasons=x"), 400, "unknown_parameter"),
    ):
        reply: httpx2.Response = await call
        assert (reply.status_code, problem(reply)["code"]) == (status, code)


@pytest.mark.parametrize(("key", "status"), [("", 403), (KEY, 401)])
async def test_a_stranger_on_tcp_replays_nothing(
    env: Environment, letters: DeadLetters, connect: Connect, key: str, status: int
) -> None:
    (letter_id,) = await file(env, letter())
    http = await connect(create_admin(Steering().services(key), trusted=False, letters=letters))
    assert (await http.post(f"/v1/dead-letters/{letter_id}/replay")).status_code == status
    assert (await letters.page()).total == 1


@pytest.fixture
def ask(threads: VirtualThreads) -> Ask:
    """``await ask(function, …)``: off the event loop, which serves meanwhile."""
    limiter = trio.CapacityLimiter(1)
    return partial(threads, limiter=limiter)


@pytest.fixture
async def socket_path(letters: DeadLetters, nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Path]:
    """The admin socket of a data directory, as a daemon would open it."""
    path = tmp_path / "served" / "admin.sock"
    path.parent.mkdir()
    app = create_admin(Steering().services(), trusted=True, letters=letters)
    config = hypercorn_config(keep_alive_seconds=5.0, graceful_seconds=1.0)
    await nursery.start(partial(serve_app, app, config, [unix_listener(path)], trio.Event()))
    yield path
    nursery.cancel_scope.cancel("end of the test")


async def run(ask: Ask, socket_path: Path, args: Sequence[str]) -> Any:
    return await ask(CliRunner().invoke, cli, ["ctl", *args, "--data-dir", str(socket_path.parent)])


async def test_the_client_follows_the_cursor(
    env: Environment, socket_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeadLetters.page, "__kwdefaults__", {"reason": "", "cursor": "", "limit": 2})
    ids = await file(env, *(letter(number) for number in range(5)), letter(9, reason="a&b=c"))
    client = AdminClient(socket_path)
    assert [one.letter_id for one in await ask(client.dead_letters)] == sorted(ids)
    assert [one.letter_id for one in await ask(client.dead_letters, "a&b=c")] == [ids[-1]]
    with pytest.raises(Malformed, match="no dead letter"):
        await ask(client.replay, "no such?id")


async def test_the_commands_list_and_put_back(env: Environment, socket_path: Path, ask: Ask) -> None:
    """One by its id, then those of a reason, then all; what cannot be put back is named and stops nothing."""
    one, other, broken = await file(
        env, letter(1, detail="\x1b[31mred"), letter(2, reason="other"), letter(3, payload=b"")
    )
    listed = (await run(ask, socket_path, ["dead-letters"])).stdout
    assert f"{one}  fetcher  profile:UC1  forbidden  1×" in listed
    assert f"pokedexd ctl replay {one}" in listed and "cannot be replayed" in listed
    assert "\x1b" not in listed and "3 dead letters" in listed
    unknown = await run(ask, socket_path, ["dead-letters", "--reason", "othr"])
    assert unknown.stderr == "no dead letter has the reason 'othr'; reasons there are: forbidden, other\n"
    as_json = await run(ask, socket_path, ["dead-letters", "--reason", "other", "--json"])
    assert [told.letter_id for told in msgspec.json.decode(as_json.stdout, type=list[DeadLetterView])] == [other]
    assert "put back: fetcher profile:UC1" in (await run(ask, socket_path, ["replay", one])).stdout
    assert "1 put back, 0 not" in (await run(ask, socket_path, ["replay", "--all", "--reason", "other"])).stdout
    await file(env, letter(1))
    result = await run(ask, socket_path, ["replay", "--all"])
    assert result.exit_code == 1
    assert "1 put back, 1 not" in result.stdout and f"  {broken}: " in result.stdout


@pytest.mark.parametrize("args", [[], ["0" * 16, "--all"], ["0" * 16, "--reason", "x"], ["--reason", "x"]])
def test_it_must_be_said_what_to_replay(args: list[str], tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, ["ctl", "replay", *args, "--data-dir", str(tmp_path)]).exit_code == 2
