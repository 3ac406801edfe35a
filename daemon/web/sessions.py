"""Logging in with a browser: a key becomes a cookie. What pages ask: `identity`, `may`, `csrf_token`."""

from __future__ import annotations

from quart import Response, request
from quart_trio import QuartTrio

from daemon.access import Access, Identity, Unauthenticated
from daemon.web.authorising import ANYBODY, FORMS, KNOWN, LOGIN_PATH, SESSION_COOKIE, app_has, needs
from daemon.web.params import json_body, only_known
from daemon.web.problems import BadParameter
from daemon.web.replies import json_response, nothing
from daemon.web.tenant import identity
from daemon.web.views import instant
from proto.api import SessionCreate, SessionView

LOGIN_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Log in · pokedexd</title><link rel="stylesheet" href="/static/style.css"></head>
<body><main><h1>pokedexd</h1>{failed}<form method="post" action="/v1/session">
<label>Key <input type="password" name="key" autocomplete="current-password" required autofocus></label>
<input type="hidden" name="next" value="{next}"><button>Log in</button></form></main></body></html>
"""
FAILED = "<p>This key is not known, or has run out.</p>"


def may(scope: str) -> bool:
    """Whether the request's caller has a scope: for what a page offers."""
    return scope in identity().scopes


def csrf_token() -> str:
    """For a hidden field ``csrf_token`` of every form; empty where none is asked for."""
    return identity().csrf_token


def register(app: QuartTrio, access: Access) -> None:
    @app.get("/v1/session")
    async def session() -> Response:
        only_known(request.args, ())
        return _private(json_response(session_view(identity())))

    @app.post("/v1/session")
    async def log_in() -> Response:
        """Body: a key, as JSON or from a form; a form is led on. Raises Unauthenticated, Conflict."""
        if request.mimetype in FORMS:
            return await _by_form(access)
        body = await json_body(SessionCreate)
        only_known(request.args, ())
        if not access.has_keys:
            return _private(json_response(session_view(identity())))
        cookie, known = await access.log_in(await access.identify(body.key.strip()))
        return _private(_with_cookie(json_response(session_view(known)), cookie))

    @app.delete("/v1/session")
    async def log_out() -> Response:
        only_known(request.args, ())
        return await _ended(access, nothing())

    @app.post("/logout")
    @needs(KNOWN)
    async def log_out_by_form() -> Response:
        return await _ended(access, _see_other(LOGIN_PATH))


def register_login_page(app: QuartTrio) -> None:
    """A plain one, where the pages have none of their own."""
    if app_has(app, LOGIN_PATH):
        return

    @app.get(LOGIN_PATH)
    @needs(ANYBODY)
    async def login_page() -> Response:
        place = (
            local_path(request.args.get("next", "/")).replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
        )
        text = LOGIN_PAGE.format(failed=FAILED if "failed" in request.args else "", next=place)
        return Response(text, content_type="text/html; charset=utf-8")


def session_view(known: Identity) -> SessionView:
    return SessionView(
        tenant_id=known.tenant_id,
        actor=known.actor,
        scopes=sorted(known.scopes),
        expires_at=instant(known.expires_at),
        csrf_token=known.csrf_token,
        is_open=known.is_open,
    )


def local_path(text: str) -> str:
    """Where a form leads on to: a place of ours, whatever it says."""
    inside = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and text.isascii()
    return text if inside and "\\" not in text else "/"


async def _by_form(access: Access) -> Response:
    form = await request.form
    place = local_path(form.get("next", "/"))
    if not access.has_keys:
        return _see_other(place)
    if len(form.getlist("key")) != 1:
        raise BadParameter("expected one field `key`", pointer="key")
    try:
        cookie, _ = await access.log_in(await access.identify(form["key"].strip()))
    except Unauthenticated:
        return _see_other(f"{LOGIN_PATH}?failed=1")
    return _with_cookie(_see_other(place), cookie)


async def _ended(access: Access, answer: Response) -> Response:
    await access.log_out(request.cookies.get(SESSION_COOKIE, ""))
    answer.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="Lax", secure=_by_tls())
    return _private(answer)


def _with_cookie(answer: Response, cookie: str) -> Response:
    """For the browser's session; the daemon ends it by its own clock."""
    answer.set_cookie(SESSION_COOKIE, cookie, path="/", httponly=True, samesite="Lax", secure=_by_tls())
    return answer


def _by_tls() -> bool:
    return request.scheme == "https"


def _see_other(place: str) -> Response:
    return Response(b"", 303, headers={"Location": place, "Cache-Control": "no-store"})


def _private(answer: Response) -> Response:
    answer.headers["Cache-Control"] = "no-store"
    return answer
