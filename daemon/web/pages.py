"""The pages for people: made here, whole without scripts, over the functions of the API."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec
from quart import Response, redirect, request
from quart_trio import QuartTrio

from daemon.web import page_creator, page_import, page_lists, page_operations, page_search
from daemon.web.authorising import ANYBODY, FORMS, LOGIN_PATH, needs
from daemon.web.forms import inside, posted
from daemon.web.rendering import THEMES, Pages
from daemon.web.services import PublicServices
from daemon.web.viewer import viewer
from proto.api import Problem

STATIC_AGE_SECONDS = 3_600
THEME_SECONDS = 365 * 86_400
PROBLEM = "application/problem+json"


def register(app: QuartTrio, services: PublicServices) -> None:
    pages = Pages(
        now=services.now,
        banner=services.banner,
        pictures=services.pictures,
        niches={**services.searching.subjects, **services.searching.niches},
        styles=services.searching.styles,
    )
    for each in (page_search, page_creator, page_lists, page_operations, page_import):
        each.register(app, services, pages)

    @app.get(LOGIN_PATH)
    @needs(ANYBODY)
    async def login_page() -> Response:
        place = inside(request.args.get("next", "/"))
        if not services.access.asks and not services.access.has_keys:
            return redirect(place, 303)  # type: ignore[return-value]
        return pages.render("login.html", viewer(), next=place, failed="failed" in request.args)

    @app.post("/theme")
    @needs(ANYBODY)
    async def choose_theme() -> Response:
        """Light, dark, or as the system has it."""
        form = await posted(viewer())
        answer: Response = redirect(inside(form.get("next", "/")), 303)  # type: ignore[assignment]
        chosen = form.get("theme", "")
        if chosen in THEMES:
            answer.set_cookie("theme", chosen, max_age=THEME_SECONDS, httponly=True, samesite="Lax")
        else:
            answer.delete_cookie("theme")
        return answer

    @app.after_request
    async def as_page(response: Response) -> Response:
        """A reader in a browser is told of a problem in words."""
        if response.content_type != PROBLEM:
            return response
        wanted = request.accept_mimetypes.accept_html and "text/html" in request.headers.get("Accept", "")
        by_page = not request.path.startswith("/v1/") or request.mimetype in FORMS
        if not wanted or not by_page:
            return response
        told = msgspec.json.decode(await response.get_data(), type=Problem)
        shown = pages.render(
            "error.html",
            viewer(),
            response.status_code,
            status=response.status_code,
            title=told.title,
            detail=told.detail,
            request_id=told.request_id,
            back=came_from(),
        )
        response.set_data(await shown.get_data())
        response.content_type = "text/html; charset=utf-8"
        return response


def came_from() -> str:
    """The page of this host whose form or link led here; empty for none, and for a page that was loaded again."""
    stated = urlsplit(request.headers.get("Referer", ""))
    path = f"{stated.path}?{stated.query}" if stated.query else stated.path
    own = stated.netloc == request.host and (request.method == "POST" or stated.path != request.path)
    return inside(path, "") if own else ""
