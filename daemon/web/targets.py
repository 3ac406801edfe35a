"""What Quart fails on before it can answer: a target that is neither path nor URL, a Host that cannot be one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlparse

import msgspec
from werkzeug.exceptions import BadRequest

from proto.api import Problem


def with_checked_targets(app: Any) -> Any:
    """The ASGI application, with a 400 where it would have failed with a 500."""

    async def checked(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan" and not is_target(scope["path"]):
            await refuse(scope, send, "the target is no path")
            return
        try:
            await app(scope, receive, send)
        except* BadRequest:  # raised while the request was made up, so that nothing has been sent
            await refuse(scope, send, "the Host cannot be one")

    return checked


def is_target(path: str) -> bool:
    try:
        return bool(path) and (path[0] == "/" or bool(urlparse(path).path))
    except ValueError:
        return False


async def refuse(scope: Any, send: Any, detail: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})
        return
    body = msgspec.json.encode(
        Problem(type="urn:pokedexd:problem:malformed", title="Bad request", status=400, code="malformed", detail=detail)
    )
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})
