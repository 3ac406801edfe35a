from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from daemon.backup import Backups
from daemon.given_file import PIECE_BYTES
from daemon.importing import Piece
from daemon.web.admin import create_admin
from proto.api import AdminStatus
from proto.errors import ConfigError
from stores.blocking import Blocking
from stores.env import Environment
from stores.journal import Journal
from tests.daemon.web.conftest import Connect
from tests.daemon.web.fakes import KEY, Steering, problem

BEARER = {"Authorization": f"Bearer {KEY}"}


async def test_status(connect: Connect) -> None:
    http = await connect(create_admin(Steering().services(), trusted=True))
    status = msgspec.json.decode((await http.get("/v1/status")).content, type=AdminStatus)
    assert status.ready.counts.work_pending == 1_234


async def test_metrics_are_refreshed_before_they_are_shown(connect: Connect) -> None:
    reply = await (await connect(create_admin(Steering().services(), trusted=False))).get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    assert "pokedexd_work_pending 1234.0" in reply.text.splitlines()


async def test_reload_says_what_is_in_force(connect: Connect) -> None:
    steering = Steering()
    reply = await (await connect(create_admin(steering.services(), trusted=True))).post("/v1/reload")
    assert reply.json() == {"applied": ["log.level"], "needs_restart": ["http.port"]}
    assert steering.reloads == 1


async def test_a_refused_reload_says_why(connect: Connect) -> None:
    steering = Steering()
    steering.reload_error = ConfigError("pokedexd.toml: unknown setting 'htpp.port'")
    reply = await (await connect(create_admin(steering.services(), trusted=True))).post("/v1/reload")
    body = problem(reply)
    assert (reply.status_code, body["code"]) == (409, "settings_refused")
    assert "htpp.port" in body["detail"]


async def test_import_takes_rows_and_gives_verdicts(connect: Connect) -> None:
    steering = Steering()
    http = await connect(create_admin(steering.services(), trusted=True))
    reply = await http.post("/v1/import", content=b'[[1, "@ana"], [2, "@bo"]]')
    assert [(one["line"], one["verdict"]) for one in reply.json()] == [(1, "added"), (2, "added")]
    assert steering.imported == [(1, "@ana"), (2, "@bo")]
    assert steering.pieces == [None]


async def test_a_piece_of_an_import_is_named_and_the_import_is_ended(connect: Connect) -> None:
    steering = Steering()
    http = await connect(create_admin(steering.services(), trusted=True))
    reply = await http.post("/v1/import", params={"id": "abcdef12", "at": "5000"}, content=b'[[1, "@ana"]]')
    assert reply.status_code == 200
    assert steering.pieces == [Piece(import_id="abcdef12", at=5_000)]
    assert (await http.delete("/v1/import", params={"id": "abcdef12"})).status_code == 200
    assert steering.ended == ["abcdef12"]
    for params in ({"id": "../x"}, {"id": "abcdef12", "at": "-1"}, {"id": "abcdef12", "at": "9" * 40}):
        refused = await http.post("/v1/import", params=params, content=b"[]")
        assert (refused.status_code, problem(refused)["code"]) == (400, "malformed"), params
    assert (await http.delete("/v1/import")).status_code == 400


@pytest.mark.parametrize("body", [b"", b"{}", b'[["1", "x"]]', b"[[1]]", b"\xff", b"[" * 5_000])
async def test_a_body_that_is_no_list_of_rows_is_refused(connect: Connect, body: bytes) -> None:
    steering = Steering()
    http = await connect(create_admin(steering.services(), trusted=True))
    reply = await http.post("/v1/import", content=body)
    assert (reply.status_code, problem(reply)["code"]) == (400, "malformed")
    assert not steering.imported


async def test_a_body_that_is_too_large_is_refused(connect: Connect) -> None:
    http = await connect(create_admin(Steering().services(), trusted=True))
    reply = await http.post("/v1/import", content=b" " * 20_000)
    assert (reply.status_code, problem(reply)["status"]) == (413, 413)


async def test_without_a_key_tcp_only_answers_questions(connect: Connect) -> None:
    steering = Steering()
    http = await connect(create_admin(steering.services(), trusted=False))
    for path in ("/healthz", "/v1/status", "/metrics"):
        assert (await http.get(path)).status_code == 200
    for path in ("/v1/reload", "/v1/import", "/v1/forget"):
        reply = await http.post(path, headers=BEARER, content=b"[]")
        assert (reply.status_code, problem(reply)["code"]) == (403, "key_required")
    assert steering.reloads == 0


@pytest.mark.parametrize("stated", ["", "Bearer", "Bearer wrong", KEY, f"Basic {KEY}", f"Bearer {KEY}x", "Bearer é"])
async def test_a_configured_key_is_asked_for(connect: Connect, stated: str) -> None:
    steering = Steering()
    http = await connect(create_admin(steering.services(KEY), trusted=False))
    headers = [(b"Authorization", stated.encode("latin1"))]
    for method, path in (("GET", "/v1/status"), ("GET", "/metrics"), ("POST", "/v1/reload"), ("POST", "/v1/nothing")):
        reply = await http.request(method, path, headers=headers)
        assert (reply.status_code, problem(reply)["code"]) == (401, "key_required")
        assert reply.headers["www-authenticate"] == "Bearer"
    assert (await http.get("/healthz")).status_code == 200
    assert steering.reloads == 0


async def test_the_key_opens_everything(connect: Connect) -> None:
    steering = Steering()
    http = await connect(create_admin(steering.services(KEY), trusted=False))
    assert (await http.get("/metrics", headers=BEARER)).status_code == 200
    assert (await http.post("/v1/reload", headers=BEARER)).status_code == 200
    assert steering.reloads == 1


async def test_rebinding_is_refused_on_tcp_and_no_matter_on_the_unix_socket(connect: Connect) -> None:
    steering = Steering()
    foreign = {"Host": "evil.example", **BEARER}
    open_port = await connect(create_admin(steering.services(KEY), trusted=False))
    assert (await open_port.post("/v1/reload", headers=foreign)).status_code == 421
    assert steering.reloads == 0
    unix = await connect(create_admin(steering.services(), trusted=True))
    assert (await unix.post("/v1/reload", headers=foreign)).status_code == 200


async def test_forgetting_tells_what_was_erased(connect: Connect) -> None:
    http = await connect(create_admin(Steering().services(), trusted=True))
    reply = await http.post("/v1/forget", content=b'["@ana", "youtube:UC1"]')
    assert [(one["alias"], one["removed"]) for one in reply.json()] == [("00ff", {"accounts": 1})] * 2


@pytest.mark.parametrize("body", [b"", b"{}", b'"@ana"', b"[1]", b'["nonsense!"]'])
async def test_a_body_that_names_nobody_to_forget_is_refused(connect: Connect, body: bytes) -> None:
    http = await connect(create_admin(Steering().services(), trusted=True))
    reply = await http.post("/v1/forget", content=body)
    assert (reply.status_code, problem(reply)["code"]) == (400, "malformed")


async def test_a_backup_is_written_where_it_was_asked_for(connect: Connect, env: Environment, tmp_path: Path) -> None:
    backups = Backups(
        env,
        tmp_path / "data",
        settings=lambda: "",
        map_size_bytes=1 << 30,
        journal=Journal(env, lambda _: None),
        threads=Blocking("backup", 1),
        now=time.time,
        clock=time.time,
    )
    http = await connect(create_admin(Steering().services(), trusted=True, backups=backups))
    refused = await http.post("/v1/backup", json="one.backup")
    assert (refused.status_code, "from the root" in problem(refused)["detail"]) == (400, True)
    reply = await http.post("/v1/backup", json=str(tmp_path / "one.backup"))
    assert reply.json()["size"] == (tmp_path / "one.backup").stat().st_size
    assert (await http.get("/v1/backup")).json() == {"step": "", "done": 0, "total": 0}
    on_tcp = await connect(create_admin(Steering().services(), trusted=False, backups=backups))
    assert (await on_tcp.post("/v1/backup", json=str(tmp_path / "two.backup"))).status_code in (401, 403)
    assert not (tmp_path / "two.backup").exists()


async def test_whole_creators_come_in_larger_pieces(connect: Connect) -> None:
    http = await connect(create_admin(Steering().services(), trusted=True))
    reply = await http.post("/v1/import/creators?id=abcdef01&at=0", content=b"\n" * 20_000)
    assert (reply.status_code, len(reply.json())) == (200, 20_001)
    reply = await http.post("/v1/import/creators?id=abcdef01&at=0", content=b" " * (PIECE_BYTES + 1))
    assert reply.status_code == 413
    reply = await http.post("/v1/import/creators", content=b"{}")
    assert (reply.status_code, "which import" in problem(reply)["detail"]) == (400, True)
