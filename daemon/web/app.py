"""The public application: API, probes and pages."""

from __future__ import annotations

from importlib.metadata import version

import msgspec
from quart import Response
from quart_trio import QuartTrio

from daemon.web import guard, openapi, pages, problems, search
from daemon.web.services import PublicServices


def create_app(services: PublicServices, *, any_host: bool = False) -> QuartTrio:
    app = QuartTrio("daemon.web", static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = services.max_body_bytes
    app.config["BODY_TIMEOUT"] = services.request_timeout_seconds
    app.config["RESPONSE_TIMEOUT"] = services.request_timeout_seconds
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = pages.STATIC_AGE_SECONDS
    guard.register(app, services.allowed_hosts, any_host=any_host)
    problems.register(app)
    search.register(app, services)
    pages.register(app, services)
    document = openapi.document(version("pokedexd"))

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
