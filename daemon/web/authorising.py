"""Who a request comes from, and whether that may be: a key or token in `Authorization`, or the session of a browser.

What an operation asks for stands in the table of routes; for what is not in it (pages), `needs` says so beside the
handler, and without a word it is `search`.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from quart import Quart, Response, g, request
from quart_trio import QuartTrio

from daemon.access import NOBODY, OPEN, Access, Forbidden, Identity, TooMany, Unauthenticated
from daemon.web.problems import problem

ANYBODY, KNOWN = "", "*"
"""Open to everybody; to whoever has said who they are, whatever they may do."""
SESSION_COOKIE = "pokedexd_session"
LOGIN_PATH = "/login"
CSRF_HEADER, CSRF_FIELD = "X-CSRF-Token", "csrf_token"
SAFE = ("GET", "HEAD", "OPTIONS")
REALM = 'Bearer realm="pokedexd"'
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

Handler = TypeVar("Handler", bound=Callable[..., Any])
Scopes = Mapping[tuple[str, str], str]
"""By method and rule of the router."""


def needs(scope: str) -> Callable[[Handler], Handler]:
    """Beside a handler that is not in the table of routes: which scope it asks for, `ANYBODY` or `KNOWN`."""

    def mark(handler: Handler) -> Handler:
        handler.scope_needed = scope  # type: ignore[attr-defined]
        return handler

    return mark


def register(app: QuartTrio, access: Access, scopes: Scopes) -> None:
    @app.before_request
    async def authorise() -> Response | None:
        scope = scope_of(app, scopes)
        if access.asks:
            g.identity = NOBODY
        if scope == ANYBODY and SESSION_COOKIE not in request.cookies:
            return None
        try:
            g.identity = identity = await who(access)
        except Unauthenticated:
            if scope == ANYBODY:
                return None
            if wants_page():
                return to_login()
            raise
        if scope == ANYBODY:
            return None
        if scope != KNOWN or request.method in SAFE:  # who logs out is never told to come again later
            access.spend(identity)
        if identity.csrf_token and request.method not in SAFE:
            await check_csrf(identity)
        if scope != KNOWN and scope not in identity.scopes:
            raise Forbidden(
                f"this takes the scope {scope!r}; yours are {', '.join(sorted(identity.scopes))}", scope=scope
            )
        return None

    app.register_error_handler(Unauthenticated, _unauthenticated)
    app.register_error_handler(Forbidden, _forbidden)
    app.register_error_handler(TooMany, _too_many)


def scope_of(app: Quart, scopes: Scopes) -> str:
    """That the request asks for; what nobody answers (404, 405) is open, and so is what a preflight asks."""
    rule = request.url_rule
    if rule is None or request.method == "OPTIONS":
        return ANYBODY
    method = "GET" if request.method == "HEAD" else request.method
    stated = scopes.get((method, rule.rule))
    if stated is not None:
        return stated
    if rule.endpoint == "static":
        return ANYBODY
    found: str = getattr(app.view_functions[rule.endpoint], "scope_needed", "search")
    return found


async def who(access: Access) -> Identity:
    """Raises Unauthenticated, and Forbidden for somebody that is known elsewhere, but to no tenant here."""
    stated = request.headers.get("Authorization", "")
    if stated:
        scheme, _, token = stated.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("expected Authorization: Bearer KEY", error="invalid_request")
        if not access.has_keys and not access.asks:
            return OPEN
        return await access.identify(token.strip())
    cookie = request.cookies.get(SESSION_COOKIE, "")
    if cookie and access.has_keys:
        try:
            return access.by_session(cookie)
        except Unauthenticated:
            if access.asks:
                raise
    if access.asks:
        raise Unauthenticated(
            "say who you are: Authorization: Bearer KEY; `pokedexd ctl keys create` makes a key, and a page logs in"
        )
    return OPEN


async def check_csrf(identity: Identity) -> None:
    """A change that comes with a cookie brings the session's token along, in a header or a form. Raises Forbidden."""
    stated = request.headers.get(CSRF_HEADER, "")
    if not stated and request.mimetype in FORMS:
        stated = (await request.form).get(CSRF_FIELD, "")
    if not hmac.compare_digest(stated.encode(errors="replace"), identity.csrf_token.encode()):
        text = f"a change by a session needs its token, in the header {CSRF_HEADER} or the form field {CSRF_FIELD}"
        raise Forbidden(f"{text}; GET /v1/session tells it", code="csrf_failed")


def wants_page() -> bool:
    """Whether a person with a browser waits for the answer."""
    return (
        request.method == "GET"
        and not request.path.startswith("/v1/")
        and "text/html" in request.headers.get("Accept", "")
    )


def to_login() -> Response:
    here = request.full_path.rstrip("?")
    return Response(
        b"", 303, headers={"Location": f"{LOGIN_PATH}?next={quote(here, safe='')}", "Cache-Control": "no-store"}
    )


def _unauthenticated(error: Unauthenticated) -> Response:
    answer = problem(401, "unauthorized", str(error))
    answer.headers["WWW-Authenticate"] = f'{REALM}, error="{error.error}"' if error.error else REALM
    return answer


def _forbidden(error: Forbidden) -> Response:
    answer = problem(403, error.code, str(error))
    if error.scope:
        answer.headers["WWW-Authenticate"] = f'{REALM}, error="insufficient_scope", scope="{error.scope}"'
    return answer


def _too_many(error: TooMany) -> Response:
    answer = problem(429, "rate_limited", str(error))
    answer.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    return answer
