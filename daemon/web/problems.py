"""Errors as RFC 9457 problem+json: what is wrong, where, and a request id to find it in the log by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import structlog
import trio
from quart import Response, g, has_request_context, request, websocket
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.exceptions import NotFound as UnknownPath

from proto.api import Problem
from proto.errors import (
    ConfigError,
    Conflict,
    FilterError,
    IndexBroken,
    Malformed,
    ModelMissing,
    NotFound,
    PokedexError,
    StoreBusy,
    Throttled,
    Unavailable,
    Unreadable,
)

log = structlog.get_logger("web")

ANSWERS: tuple[tuple[type[PokedexError], int, str], ...] = (
    (NotFound, 404, "not_found"),
    (Conflict, 409, "conflict"),
    (Unreadable, 500, "record_damaged"),
    (Malformed, 400, "malformed"),
    (ConfigError, 409, "settings_refused"),
    (Throttled, 429, "throttled"),
    (Unavailable, 503, "unavailable"),
    (StoreBusy, 503, "store_busy"),
    (IndexBroken, 503, "index_rebuilding"),
    (ModelMissing, 503, "model_missing"),
)
"""Status and code of the failures that say something to whoever asked; any other kind is a bug here."""
MAX_PATH_CHARS = 200
"""Of an address, in an error."""
TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    412: "Precondition failed",
    413: "Content too large",
    414: "URI too long",
    415: "Unsupported media type",
    421: "Misdirected request",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}


class BadParameter(PokedexError):
    """A query parameter is wrong; ``pointer`` names it."""

    def __init__(self, text: str, *, pointer: str, code: str = "bad_parameter") -> None:
        super().__init__(text)
        self.pointer, self.code = pointer, code


class WrongMedia(PokedexError):
    """A body of another type than the one that is read here."""


def problem(
    status: int,
    code: str,
    detail: str = "",
    pointer: str = "",
    column: str = "",
    position: int | None = None,
    current: dict[str, Any] | None = None,
) -> Response:
    g.problem = code
    body = Problem(
        type=f"urn:pokedexd:problem:{code}",
        title=TITLES.get(status, "Error"),
        status=status,
        code=code,
        detail=detail,
        request_id=g.get("request_id", ""),
        pointer=pointer,
        column=column,
        position=position,
        current=current,
    )
    return Response(msgspec.json.encode(body), status, content_type="application/problem+json")


def register(app: QuartTrio) -> None:
    """Every failure of a handler becomes a problem; unexpected ones are logged and say nothing of themselves."""
    handlers: dict[type[Exception], Callable[[Any], Response]] = {
        BadParameter: lambda error: problem(400, error.code, str(error), error.pointer),
        FilterError: lambda error: problem(
            400, "bad_filter", str(error), error.pointer or "", error.column, error.position
        ),
        WrongMedia: lambda error: problem(415, "unsupported_media_type", str(error)),
        PokedexError: _expected,
        HTTPException: _http,
        trio.TooSlowError: _too_slow,
        Exception: _unexpected,
    }
    for kind, handler in handlers.items():
        app.register_error_handler(kind, handler)


def _expected(error: PokedexError) -> Response:
    for kind, status, code in ANSWERS:
        if isinstance(error, kind):
            return problem(status, code, str(error))
    return _unexpected(error)


def _too_slow(error: trio.TooSlowError) -> Response:
    log.warning("request took too long", request_id=g.get("request_id", ""), error=repr(error))
    return problem(503, "timeout", "the request took longer than the daemon allows")


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    answer = problem(status, (error.name or "error").lower().replace(" ", "_"), _words(error))
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            answer.headers[name] = value
    return answer


def _words(error: HTTPException) -> str:
    """werkzeug's own are for people who typed an address."""
    asked = request if has_request_context() else websocket
    path = asked.path[:MAX_PATH_CHARS]
    if isinstance(error, MethodNotAllowed):
        return f"{path} takes {', '.join(sorted(error.valid_methods or ()))}; not {asked.method}"
    if isinstance(error, UnknownPath) and error.description == UnknownPath.description:
        return f"there is no {path}" + ("; /openapi.json lists what the API has" if path.startswith("/v1/") else "")
    return error.description or ""


def _unexpected(error: Exception) -> Response:
    log.error("request failed", request_id=g.get("request_id", ""), exc_info=error)
    return problem(500, "internal_error", "see the log under this request id")
