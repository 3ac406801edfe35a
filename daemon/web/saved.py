"""`/v1/searches`: searches that the tenant keeps under a name."""

from __future__ import annotations

import secrets

import msgspec
from quart import Response, request
from quart_trio import QuartTrio

from daemon.web.asking import ask, in_body
from daemon.web.params import json_body, only_known
from daemon.web.problems import BadParameter
from daemon.web.replies import json_response, nothing
from daemon.web.services import SearchServices
from daemon.web.tenant import actor, tenant_id
from daemon.web.versions import asked_version, stated_version, tagged
from daemon.web.views import saved_search_view
from proto.api import SavedSearchChange, SavedSearchCreate, SavedSearches, SearchRequest

MAX_REQUEST_BYTES = 16_384


def register(app: QuartTrio, services: SearchServices) -> None:
    tenancy = services.tenancy

    @app.get("/v1/searches")
    async def searches() -> Response:
        only_known(request.args, ())
        found = await tenancy.searches(tenant_id())
        return json_response(SavedSearches(searches=[saved_search_view(one) for one in found]))

    @app.post("/v1/searches")
    async def create_search() -> Response:
        """Raises Conflict for a name that is taken, and whatever is wrong with the search."""
        body = await json_body(SavedSearchCreate)
        only_known(request.args, ())
        query = await _checked(services, body.request)
        made = await tenancy.create_search(tenant_id(), secrets.token_hex(8), body.name, query, actor())
        return tagged(json_response(saved_search_view(made), 201), made.version)

    @app.get("/v1/searches/<search_id>")
    async def one_search(search_id: str) -> Response:
        """Raises NotFound."""
        only_known(request.args, ())
        found = await tenancy.saved_search(tenant_id(), search_id)
        return tagged(json_response(saved_search_view(found)), found.version)

    @app.patch("/v1/searches/<search_id>")
    async def change_search(search_id: str) -> Response:
        """Raises NotFound, Conflict, and Stale where it has changed since it was read."""
        body = await json_body(SavedSearchChange)
        only_known(request.args, ())
        changed = await tenancy.change_search(
            tenant_id(),
            search_id,
            version=stated_version(body.version),
            name=body.name,
            query=await _checked(services, body.request) if body.request is not None else None,
            actor=actor(),
        )
        return tagged(json_response(saved_search_view(changed)), changed.version)

    @app.delete("/v1/searches/<search_id>")
    async def delete_search(search_id: str) -> Response:
        """Raises as `change_search`."""
        only_known(request.args, ("version",))
        await tenancy.delete_search(tenant_id(), search_id, stated_version(asked_version()), actor())
        return nothing()


async def _checked(services: SearchServices, asked: SearchRequest) -> str:
    """As it is stored. What could not be searched for is refused now, with its place in the body."""
    kept = msgspec.structs.replace(asked, cursor="")
    with in_body("/request"):
        await ask(services, kept, tenant_id())
    stated = {
        name: value
        for name, value in msgspec.to_builtins(kept).items()
        if value != getattr(SearchRequest(), name) and name != "cursor"
    }
    text = msgspec.json.encode(stated).decode()
    if len(text) > MAX_REQUEST_BYTES:
        raise BadParameter(f"a search to be saved has {MAX_REQUEST_BYTES:,} bytes at most", pointer="/request")
    return text
