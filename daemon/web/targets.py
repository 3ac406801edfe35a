"""What a request asks for must be a path or a URL: Quart would fail on anything else before it can answer."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlparse

BODY = b'{"type":"urn:pokedexd:problem:malformed","title":"Bad request","status":400,"code":"malformed","detail":"the target is no path"}'


def with_checked_targets(app: Any) -> Any:
    """The ASGI application, which is not asked about a target that is none."""

    async def checked(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or is_target(scope["path"]):
            await app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            headers = [
                (b"content-type", b"application/problem+json"),
                (b"content-length", str(len(BODY)).encode()),
            ]
            await send({"type": "http.response.start", "status": 400, "headers": headers})
            await send({"type": "http.response.body", "body": BODY})

    return checked


def is_target(path: str) -> bool:
    try:
        return bool(path) and (path[0] == "/" or bool(urlparse(path).path))
    except ValueError:
        return False
