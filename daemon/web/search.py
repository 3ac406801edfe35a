"""`/v1/search` with its explanations, `/v1/similar` and `/v1/autocomplete`."""

from __future__ import annotations

from quart import Response, request
from quart_trio import QuartTrio

from daemon.web.answering import answer, standing
from daemon.web.asking import SEARCH_PARAMETERS, ask, ask_similar, in_body, request_of
from daemon.web.export import export_search
from daemon.web.params import json_body, one_each, only_known, whole_number
from daemon.web.problems import BadParameter
from daemon.web.replies import json_response
from daemon.web.services import PublicServices
from daemon.web.suggesting import suggestions
from daemon.web.tenant import tenant_id
from proto.api import SearchRequest, SimilarRequest

EXPLAIN_PARAMETERS = ("creator_id", *(name for name in SEARCH_PARAMETERS if name not in ("cursor", "limit", "explain")))
EXPORT_PARAMETERS = (
    "format",
    *(name for name in SEARCH_PARAMETERS if name not in ("cursor", "limit", "explain", "facets")),
)
MAX_PREFIX_CHARS = 100
SUGGESTIONS, MOST_SUGGESTIONS = 8, 50


def register(app: QuartTrio, services: PublicServices) -> None:
    searching = services.searching

    @app.get("/v1/search")
    async def search() -> Response:
        asked = await ask(searching, request_of(request.args), tenant_id())
        return json_response(await answer(searching, asked, services.audit, services.now()))

    @app.post("/v1/search")
    async def search_by_body() -> Response:
        body = await json_body(SearchRequest)
        only_known(request.args, ())
        with in_body():
            asked = await ask(searching, body, tenant_id())
        return json_response(await answer(searching, asked, services.audit, services.now()))

    @app.get("/v1/search/explain")
    async def explain() -> Response:
        """Raises NotFound for a creator that is not known."""
        given = dict(request.args)
        only_known(given, EXPLAIN_PARAMETERS)
        reference = given.pop("creator_id", "")
        if not reference:
            raise BadParameter("which creator? expected creator_id=", pointer="creator_id")
        asked = await ask(searching, request_of(given), tenant_id())
        (seed,) = await searching.seeds([reference[:MAX_PREFIX_CHARS]])
        return json_response(await standing(searching, asked, seed))

    @app.get("/v1/search/export")
    async def export() -> Response:
        given = dict(request.args)
        only_known(given, EXPORT_PARAMETERS)
        form = given.pop("format", "csv")
        asked = await ask(searching, request_of(given), tenant_id())
        return await export_search(searching, asked, form, services.audit, services.now())

    @app.post("/v1/similar")
    async def similar() -> Response:
        """Raises NotFound for a creator that is not known."""
        body = await json_body(SimilarRequest)
        only_known(request.args, ())
        with in_body():
            asked = await ask_similar(searching, body, tenant_id())
        return json_response(await answer(searching, asked, services.audit, services.now()))

    @app.get("/v1/autocomplete")
    async def autocomplete() -> Response:
        given = request.args
        only_known(given, ("q", "limit"))
        one_each(("q", "limit"))
        limit = whole_number(given, "limit", SUGGESTIONS, 1, MOST_SUGGESTIONS)
        prefix = given.get("q", "")
        if len(prefix) > MAX_PREFIX_CHARS:
            raise BadParameter(f"q may be {MAX_PREFIX_CHARS} characters long, not {len(prefix)}", pointer="q")
        return json_response(await suggestions(searching, prefix, limit, tenant_id()))
