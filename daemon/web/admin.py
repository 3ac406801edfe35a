"""The admin application: status, metrics, reload, import. On a unix socket its mode is the key."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import trio
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from quart import Response, request
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioRequest

from daemon.access import Access
from daemon.auditing import AuditTrail
from daemon.backup import Backups
from daemon.dead_letters import DeadLetters
from daemon.given_file import PIECE_BYTES
from daemon.importing import IMPORT_ID, Piece
from daemon.operations import Operations
from daemon.query_log import QueryLog
from daemon.reviewing import Reviewing
from daemon.tenancy import Tenancy
from daemon.web import admin_access, admin_operations, admin_search, guard, problems
from daemon.web.params import only_known
from daemon.web.problems import problem
from daemon.web.replies import json_response
from daemon.web.services import AdminServices
from proto.errors import Malformed

T = TypeVar("T")


class Reloaded(msgspec.Struct):
    """Which changed settings are in force now, and which wait for a restart."""

    applied: list[str]
    needs_restart: list[str]


class Importance(msgspec.Struct, forbid_unknown_fields=True):
    """How much these accounts matter."""

    accounts: list[str]
    importance: float


class Word(msgspec.Struct, forbid_unknown_fields=True):
    """What a person says of two accounts."""

    first: str
    second: str
    same: bool


def _piece(import_id: str, at: str) -> Piece | None:
    """None for rows that stand for themselves. Raises Malformed."""
    if not import_id:
        return None
    if not IMPORT_ID.fullmatch(import_id) or not (at.isascii() and at.isdecimal() and len(at) <= 12):
        raise Malformed("expected an id of 8 to 64 hexadecimal digits, and a number of rows as at")
    return Piece(import_id=import_id, at=int(at))


def json_response_of(found: object) -> Response:
    return Response(msgspec.json.encode(found), content_type="application/json")


CREATORS_PATH = "/v1/import/creators"


class _Request(TrioRequest):
    """A piece of an import of whole creators may be larger than other bodies."""

    def __init__(self, method: str, scheme: str, path: str, *more: Any, max_content_length: int, **named: Any) -> None:
        limit = max(max_content_length, PIECE_BYTES) if path == CREATORS_PATH else max_content_length
        super().__init__(method, scheme, path, *more, max_content_length=limit, **named)


def create_admin(
    services: AdminServices,
    *,
    trusted: bool,
    letters: DeadLetters | None = None,
    reviewing: Reviewing | None = None,
    queries: QueryLog | None = None,
    tenancy: Tenancy | None = None,
    backups: Backups | None = None,
    access: Access | None = None,
    trail: AuditTrail | None = None,
    operations: Operations | None = None,
) -> QuartTrio:
    """``trusted``: the unix socket. On TCP a key is asked for; without one configured only reading is allowed."""
    app = QuartTrio("daemon.web.admin", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = services.max_body_bytes
    if trusted:
        app.request_class = _Request  # type: ignore[assignment]  # typed as that very class
    guard.register(app, services.allowed_hosts, any_host=trusted)
    problems.register(app)

    @app.before_request
    async def authorise() -> Response | None:
        if trusted or request.path == "/healthz":
            return None
        if services.key:
            stated = request.headers.get("Authorization", "")
            if hmac.compare_digest(stated.encode(errors="replace"), f"Bearer {services.key}".encode()):
                return None
            refused = problem(401, "key_required", "the admin listener asks for Authorization: Bearer …")
            refused.headers["WWW-Authenticate"] = "Bearer"
            return refused
        if request.method not in ("GET", "HEAD"):
            return problem(403, "key_required", "without a configured admin key, changes go over the unix socket only")
        return None

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response(b'{"status":"ok"}', content_type="application/json")

    @app.get("/v1/status")
    async def status() -> Response:
        return json_response(await services.status())

    @app.get("/metrics")
    async def metrics() -> Response:
        await services.refresh_metrics()
        text = await trio.to_thread.run_sync(generate_latest, services.registry)
        return Response(text, content_type=CONTENT_TYPE_LATEST)

    @app.post("/v1/reload")
    async def reload() -> Response:
        applied, needs_restart = await services.reload()
        return json_response(Reloaded(applied=applied, needs_restart=needs_restart))

    @app.post("/v1/import")
    async def import_rows() -> Response:
        """Body: a JSON list of [line, text]; answer: a verdict for each.

        ``id`` and ``at`` say which rows of which list these are; sent again they get the same verdicts, until DELETE.
        """
        data = await request.get_data()  # first: a connection whose body nobody read is closed
        only_known(request.args, ("id", "at"))
        piece = _piece(request.args.get("id", ""), request.args.get("at", "0"))
        try:
            rows = msgspec.json.decode(data, type=list[tuple[int, str]])
        except msgspec.DecodeError as error:
            raise Malformed(f"the body is not a list of [line, text]: {error}") from error
        return json_response_of(await services.import_rows(rows, piece))

    @app.post(CREATORS_PATH)
    async def import_creators() -> Response:
        """Body: whole creators, one a line; ``id`` and ``at`` as of other imports. Answer: a verdict for each line."""
        data = bytes(await request.get_data(as_text=False))  # type: ignore[arg-type]  # Quart says "or str" of both
        only_known(request.args, ("id", "at"))
        piece = _piece(request.args.get("id", ""), request.args.get("at", "0"))
        if piece is None:
            raise Malformed("which import? expected ?id= and &at=")
        return json_response_of(await services.import_creators(data, piece))

    @app.delete("/v1/import")
    async def end_import() -> Response:
        only_known(request.args, ("id",))
        piece = _piece(request.args.get("id", ""), "0")
        if piece is None:
            raise Malformed("which import? expected ?id=")
        await services.end_import(piece.import_id)
        return json_response_of({})

    @app.post("/v1/forget")
    async def forget() -> Response:
        """Body: a JSON list of accounts (keys, ids, handles or URLs); answer: what was erased of each."""
        try:
            references = msgspec.json.decode(await request.get_data(), type=list[str])
        except msgspec.DecodeError as error:
            raise Malformed(f"the body is not a list of accounts: {error}") from error
        return json_response_of(await services.forget(references))

    @app.post("/v1/importance")
    async def importance() -> Response:
        """Body: accounts (keys, ids, handles or URLs) and how much they matter; answer: what became of each."""
        try:
            asked = msgspec.json.decode(await request.get_data(), type=Importance)
        except msgspec.DecodeError as error:
            raise Malformed(f'the body is not {{"accounts": […], "importance": 2}}: {error}') from error
        return json_response_of(await services.set_importance(asked.accounts, asked.importance))

    if letters is not None:
        _add_dead_letters(app, letters)
    if reviewing is not None:
        _add_reviewing(app, reviewing)
    if queries is not None and tenancy is not None:
        admin_search.register(app, queries, tenancy)
    if backups is not None:
        _add_backups(app, backups)
    if access is not None and trail is not None:
        admin_access.register(app, access, trail)
    if operations is not None:
        admin_operations.register(app, operations)
    return app


def _add_backups(app: QuartTrio, backups: Backups) -> None:
    @app.get("/v1/backup")
    async def progress() -> Response:
        """How far the backup under way is."""
        return json_response_of(backups.progress)

    @app.post("/v1/backup")
    async def back_up() -> Response:
        """Body: the file to write, from the root; the daemon writes it. Answer, once it is done: what was made."""
        file = Path(_body(await request.get_data(), str, '"/path/to/file"'))
        if not file.is_absolute():
            raise Malformed(f"{file}: expected a path from the root; the daemon stands in a folder of its own")
        return json_response_of(await backups.make(file))


def _add_reviewing(app: QuartTrio, reviewing: Reviewing) -> None:
    @app.get("/v1/reviews")
    async def reviews() -> Response:
        only_known(request.args, ("cursor",))
        return json_response(await reviewing.page(request.args.get("cursor", "")))

    @app.post("/v1/reviews")
    async def decide() -> Response:
        """Body: two accounts (keys, ids, handles or URLs) and whether they are one person's; answer: what is noted."""
        asked = _body(await request.get_data(), Word, '{"first": "…", "second": "…", "same": true}')
        return json_response_of(await reviewing.decide(asked.first, asked.second, same=asked.same))

    @app.post("/v1/merge")
    async def merge() -> Response:
        """Body: creators, by their ids or any of their accounts; answer: what is noted."""
        asked = _body(await request.get_data(), list[str], '["creator id or account", …]')
        return json_response_of(await reviewing.merge(asked))

    @app.post("/v1/split")
    async def split() -> Response:
        """Body: an account; answer: what is noted, by which it is none of its creator's others any more."""
        return json_response_of(await reviewing.split(_body(await request.get_data(), str, '"account"')))


def _body(data: str | bytes, kind: type[T], expected: str) -> T:
    """Raises Malformed."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise Malformed(f"the body is not {expected}: {error}") from error


def _add_dead_letters(app: QuartTrio, letters: DeadLetters) -> None:
    @app.get("/v1/dead-letters")
    async def dead_letters() -> Response:
        only_known(request.args, ("reason", "cursor"))
        return json_response(
            await letters.page(reason=request.args.get("reason", ""), cursor=request.args.get("cursor", ""))
        )

    @app.post("/v1/dead-letters/<letter_id>/replay")
    async def replay(letter_id: str) -> Response:
        """Answer: the letter, which is gone."""
        return json_response(await letters.replay(letter_id))
