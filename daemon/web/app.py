"""The public application: API, probes and pages."""

from __future__ import annotations

import secrets
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import msgspec
import trio
from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.exceptions import RequestEntityTooLarge

from daemon.web import (
    authorising,
    creators,
    guard,
    hub,
    lists,
    notes,
    openapi,
    pages,
    problems,
    saved,
    search,
    sessions,
    tasks,
    versions,
)
from daemon.web.routes import SCOPES
from daemon.web.services import PublicServices


class TimedApp(QuartTrio):
    """Gives each request a time limit, and all of them a bound; Quart's own limits only reading the body and sending the
    answer."""

    def __init__(self, name: str, *, limit_seconds: float, most_at_work: int, static_url_path: str) -> None:
        super().__init__(name, static_url_path=static_url_path)
        self._limit_seconds = limit_seconds
        self._most_at_work, self._at_work = most_at_work, 0

    async def dispatch_request(self, request_context: Any = None) -> Any:
        with trio.fail_after(self._limit_seconds):
            return await super().dispatch_request(request_context)

    async def full_dispatch_request(self, request_context: Any = None) -> Any:
        """One more than may be at work at once is told to come again: it would only make all of them late. One whose
        body is still coming is not at work, so that slow clients keep nobody out."""
        with trio.move_on_after(self._limit_seconds) as reading, suppress(RequestEntityTooLarge):
            await request.body  # kept for the handler, which also answers for one that is too large
        if reading.cancelled_caught:
            g.request_id = secrets.token_hex(8)
            answer = problems.problem(408, "request_timeout", f"the body took longer than {self._limit_seconds:g} s")
            return await self.finalize_request(answer, request_context)
        if self._at_work >= self._most_at_work:
            g.request_id = secrets.token_hex(8)
            answer = problems.problem(503, "overloaded", f"{self._most_at_work} requests are at work; come again")
            answer.headers["Retry-After"] = "1"
            return await self.finalize_request(answer, request_context)
        self._at_work += 1
        try:
            return await super().full_dispatch_request(request_context)
        finally:
            self._at_work -= 1


def create_app(services: PublicServices, *, any_host: bool = False) -> QuartTrio:
    """``any_host``: for a unix socket."""
    app = TimedApp(
        "daemon.web",
        limit_seconds=services.request_timeout_seconds,
        most_at_work=services.max_requests,
        static_url_path="/static",
    )
    app.config["MAX_CONTENT_LENGTH"] = services.max_body_bytes
    app.config["BODY_TIMEOUT"] = services.request_timeout_seconds
    app.config["RESPONSE_TIMEOUT"] = services.request_timeout_seconds
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = pages.STATIC_AGE_SECONDS
    guard.register(
        app,
        services.allowed_hosts,
        any_host=any_host,
        pictures=services.pictures,
        max_url_chars=services.max_url_chars,
    )
    problems.register(app)
    authorising.register(app, services.access, SCOPES)
    sessions.register(app, services.access)
    search.register(app, services)
    creators.register(app, services)
    versions.register(app)
    lists.register(app, services.searching)
    notes.register(app, services.searching)
    saved.register(app, services.searching)
    tasks.register(app, services.tasks)
    if services.hub is not None:
        hub.register(app, services.hub)
    pages.register(app, services)
    document = openapi.document(version("pokedexd"))

    @app.after_request
    async def observe(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule is not None else ""
        services.observe_request(route, g.get("problem") or f"{response.status_code // 100}xx")
        return response

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response(b'{"status":"ok"}', content_type="application/json")

    @app.get("/readyz")
    async def readyz() -> Response:
        ready = await services.ready()
        status = 503 if ready.status in ("starting", "stopping") else 200
        return Response(msgspec.json.encode(ready), status, content_type="application/json")

    @app.get("/openapi.json")
    async def openapi_document() -> Response:
        return Response(document, content_type="application/json")

    return app
