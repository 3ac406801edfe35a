"""What every request passes: the Host and Origin allow-list, a request id, and headers that keep pages inert."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from quart import Response, g, request
from quart_trio import QuartTrio

from daemon.web.problems import problem

MAX_URL_CHARS = 12_288
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_.-]+))(?::[0-9]{1,5})?")
REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with none at all, browsers send forms without their origin
    "Cross-Origin-Resource-Policy": "same-origin",
}


def register(
    app: QuartTrio,
    allowed_hosts: Callable[[], list[str]],
    *,
    any_host: bool,
    pictures: bool = False,
    max_url_chars: int = MAX_URL_CHARS,
) -> None:
    """``any_host`` for a unix socket, which no browser reaches; elsewhere a foreign Host means DNS rebinding.

    ``pictures``: whether pages may load pictures from elsewhere.
    """
    headers = dict(HEADERS)
    if pictures:
        headers["Content-Security-Policy"] = POLICY.replace("img-src 'self' data:", "img-src 'self' data: https:")

    @app.before_request
    async def check() -> Response | None:
        stated = request.headers.get("X-Request-Id", "")
        g.request_id = stated if REQUEST_ID.fullmatch(stated) else secrets.token_hex(8)
        if len(request.scope["raw_path"]) + len(request.query_string) > max_url_chars:
            return problem(
                414, "uri_too_long", f"a URL has {max_url_chars:,} characters at most; POST takes the same as JSON"
            )
        if any_host:
            return None
        allowed = {*LOOPBACK_NAMES, *(name.casefold() for name in allowed_hosts())}
        if host_name(request.headers.get("Host", "")) not in allowed:
            return problem(421, "host_not_allowed", "the Host is not this daemon's; add it to http.allowed_hosts")
        origin = request.headers.get("Origin")
        if origin is not None and host_name(origin.partition("://")[2]) not in allowed:
            return problem(403, "origin_not_allowed", "requests from pages of other origins are refused")
        return None

    @app.after_request
    async def mark(response: Response) -> Response:
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        response.headers["X-Request-Id"] = g.get("request_id", "")
        return response


def host_name(host: str) -> str:
    """Without its port; brackets of an IPv6 address removed; empty for what is no host."""
    found = HOST.fullmatch(host)
    return (found["v6"] or found["name"]).casefold() if found else ""
