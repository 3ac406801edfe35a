"""Concurrent edits: the version that a change stands on, from the body or `If-Match`, and the answer to a stale one."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from quart import Response, request
from quart_trio import QuartTrio

from daemon.web.params import whole_number
from daemon.web.problems import BadParameter, problem
from daemon.web.views import list_view, note_view, saved_search_view
from proto.errors import Stale
from proto.records import CreatorList, Note, SavedSearch

ETAG = re.compile(r'(?:W/)?"?(?P<version>[0-9]{1,15})"?')
MAX_VERSION = 1 << 53


def register(app: QuartTrio) -> None:
    app.register_error_handler(Stale, _stale)


def asked_version(name: str = "version", *, least: int = 1) -> int | None:
    """Of the query; None where there is none. Raises BadParameter."""
    return whole_number(request.args, name, least, least, MAX_VERSION) if name in request.args else None


def stated_version(in_body: int | None) -> int | None:
    """None where none is stated, or any will do (``*``). Raises BadParameter for a header that is no version of ours."""
    header = request.headers.get("If-Match", "").strip()
    if not header or header == "*":
        return in_body
    found = ETAG.fullmatch(header)
    if found is None:
        text = f'If-Match must be the ETag of an answer, such as "3", not {header[:40]!r}'
        raise BadParameter(text, pointer="If-Match")
    version = int(found["version"])
    if in_body is not None and in_body != version:
        raise BadParameter(f"the body says version {in_body}, If-Match {version}", pointer="/version")
    return version


def tagged(response: Response, version: int) -> Response:
    response.headers["ETag"] = f'"{version}"'
    return response


def _stale(error: Stale) -> Response:
    """409; 412 for who asked by `If-Match`. Both say how it is now."""
    status, code = (412, "precondition_failed") if "If-Match" in request.headers else (409, "conflict")
    current = _shown(error.current)
    answer = problem(status, code, str(error), current=current)
    return tagged(answer, current["version"]) if current is not None else answer


def _shown(current: object) -> dict[str, Any] | None:
    if isinstance(current, CreatorList):
        return _plain(list_view(current))
    if isinstance(current, Note):
        return _plain(note_view(current))
    if isinstance(current, SavedSearch):
        return _plain(saved_search_view(current))
    return None


def _plain(view: msgspec.Struct) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(view)
    return found
