"""The public application: API, probes and pages."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import msgspec
import trio
from quart import Response, g, request
from quart_trio import QuartTrio

from daemon.web import creators, guard, hub, lists, notes, openapi, pages, problems, saved, search, versions
from daemon.web.services import PublicServices


class TimedApp(QuartTrio):
    """Gives each request a time limit; Quart's own limits only reading the body and sending the answer."""

    def __init__(self, name: str, *, limit_seconds: float, static_url_path: str) -> None:
        super().__init__(name, static_url_path=static_url_path)
        self._limit_seconds = limit_seconds

    async def dispatch_request(self, request_context: Any = None) -> Any:
        with trio.fail_after(self._limit_seconds):
            return await super().dispatch_request(request_context)


def create_app(services: PublicServices, *, any_host: bool = False) -> QuartTrio:
    """``any_host``: for a unix socket."""
    app = TimedApp("daemon.web", limit_seconds=services.request_timeout_seconds, static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = services.max_body_bytes
    app.config["BODY_TIMEOUT"] = services.request_timeout_seconds
    app.config["RESPONSE_TIMEOUT"] = services.request_timeout_seconds
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = pages.STATIC_AGE_SECONDS
    guard.register(app, services.allowed_hosts, any_host=any_host, pictures=services.pictures)
    problems.register(app)
    search.register(app, services)
    creators.register(app, services)
    versions.register(app)
    lists.register(app, services.searching)
    notes.register(app, services.searching)
    saved.register(app, services.searching)
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
        status = 503 if ready.status == "starting" else 200
        return Response(msgspec.json.encode(ready), status, content_type="application/json")

    @app.get("/openapi.json")
    async def openapi_document() -> Response:
        return Response(document, content_type="application/json")

    return app
