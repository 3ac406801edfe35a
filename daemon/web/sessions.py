"""Logging in with a browser: a key becomes a cookie."""

from __future__ import annotations

from urllib.parse import urlencode

from quart import Response, request
from quart_trio import QuartTrio

from daemon.access import Access, Identity, Unauthenticated
from daemon.web.authorising import FORMS, KNOWN, LOGIN_PATH, SESSION_COOKIE, needs
from daemon.web.forms import inside, own_form
from daemon.web.params import json_body, only_known
from daemon.web.problems import BadParameter
from daemon.web.replies import json_response, nothing
from daemon.web.tenant import identity
from daemon.web.views import instant
from proto.api import SessionCreate, SessionView


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


def session_view(known: Identity) -> SessionView:
    return SessionView(
        tenant_id=known.tenant_id,
        actor=known.actor,
        scopes=sorted(known.scopes),
        expires_at=instant(known.expires_at),
        csrf_token=known.csrf_token,
        is_open=known.is_open,
    )


async def _by_form(access: Access) -> Response:
    form = await own_form()
    place = inside(form.get("next", "/"))
    if not access.has_keys:
        return _see_other(place)
    if len(form.getlist("key")) != 1:
        raise BadParameter("expected one field `key`", pointer="key")
    try:
        cookie, _ = await access.log_in(await access.identify(form["key"].strip()))
    except Unauthenticated:
        return _see_other(f"{LOGIN_PATH}?{urlencode({'failed': 1, 'next': place})}")
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
