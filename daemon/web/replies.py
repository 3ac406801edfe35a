"""Answers as responses."""

from __future__ import annotations

import msgspec
from quart import Response


def json_response(body: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, content_type="application/json")


def see(path: str) -> Response:
    """A merge can be undone, so that the redirect is a temporary one."""
    return Response(b"", 307, headers={"Location": path})


def nothing() -> Response:
    return Response(b"", 204)
