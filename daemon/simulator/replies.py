"""Responses, whole and broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from quart import Response

JSON = "application/json; charset=UTF-8"


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, content_type=JSON, headers=dict(headers or {}))


def html_error(status: int) -> Response:
    return Response(f"<html><title>Error {status}</title></html>", status, content_type="text/html")


def broken(fault: str, body: bytes, content_type: str = JSON) -> Response:
    """Half of the body: ``malformed`` as if that were all, ``cut`` as if the connection had ended."""
    response = Response(body[: len(body) // 2], content_type=content_type)
    if fault == "cut":
        response.headers["Content-Length"] = str(len(body))
    return response
