"""`/v1/lists` and `/v1/hidden`: what the tenant notes of creators."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from quart import Response, request
from quart_trio import QuartTrio

from daemon.web.answering import view_of
from daemon.web.params import (
    MAX_LIMIT,
    decode_cursor,
    encode_cursor,
    json_body,
    one_each,
    only_known,
    parse_creator_id,
    whole_number,
)
from daemon.web.problems import BadParameter
from daemon.web.replies import json_response, nothing
from daemon.web.services import SearchServices
from daemon.web.tenant import actor, tenant_id
from daemon.web.views import instant
from proto.api import CreatorView, HiddenPage, HiddenState, ListChange, ListCreate, ListPage, Lists, ListView
from proto.ids import CreatorId
from proto.records import CreatorList

LIMIT = 50
MOST_AT_ONCE = 10_000
"""Creators put into a list, or taken out, by one request."""


def register(app: QuartTrio, services: SearchServices) -> None:
    tenancy = services.tenancy

    @app.get("/v1/lists")
    async def lists() -> Response:
        only_known(request.args, ())
        return json_response(Lists(lists=[list_view(one) for one in await tenancy.lists(tenant_id())]))

    @app.post("/v1/lists")
    async def create() -> Response:
        """Raises Conflict for a name that is taken, NotFound for an unknown creator."""
        body = await json_body(ListCreate)
        only_known(request.args, ())
        ids = _ids(body.creators, "/creators")
        made = await tenancy.create_list(tenant_id(), secrets.token_hex(8), body.name, ids, actor())
        return json_response(list_view(made), 201)

    @app.get("/v1/lists/<list_id>")
    async def one_list(list_id: str) -> Response:
        """Raises NotFound."""
        offset, limit = _place(list_id)
        found, members = await tenancy.list_members(tenant_id(), list_id)
        creators, cursor = await _page(services, members, offset, limit, list_id)
        return json_response(ListPage(of=list_view(found), creators=creators, cursor=cursor))

    @app.patch("/v1/lists/<list_id>")
    async def change(list_id: str) -> Response:
        """Raises NotFound, and Conflict where the list has changed since it was read."""
        body = await json_body(ListChange)
        only_known(request.args, ())
        changed = await tenancy.change_list(
            tenant_id(),
            list_id,
            version=body.version,
            name=body.name,
            add=_ids(body.add, "/add"),
            remove=_ids(body.remove, "/remove"),
            actor=actor(),
        )
        return json_response(list_view(changed))

    @app.delete("/v1/lists/<list_id>")
    async def delete(list_id: str) -> Response:
        """Raises as `change`."""
        only_known(request.args, ("version",))
        version = whole_number(request.args, "version", 0, 1, 1 << 53) if "version" in request.args else None
        await tenancy.delete_list(tenant_id(), list_id, version, actor())
        return nothing()

    @app.put("/v1/lists/<list_id>/creators/<creator_id>")
    async def put_in(list_id: str, creator_id: str) -> Response:
        """Raises NotFound for an unknown list or creator."""
        only_known(request.args, ())
        ids = [parse_creator_id(creator_id)]
        return json_response(list_view(await tenancy.change_list(tenant_id(), list_id, add=ids, actor=actor())))

    @app.delete("/v1/lists/<list_id>/creators/<creator_id>")
    async def take_out(list_id: str, creator_id: str) -> Response:
        """Raises NotFound for an unknown list."""
        only_known(request.args, ())
        ids = [parse_creator_id(creator_id)]
        return json_response(list_view(await tenancy.change_list(tenant_id(), list_id, remove=ids, actor=actor())))

    @app.get("/v1/hidden")
    async def hidden() -> Response:
        offset, limit = _place("hidden")
        members = await tenancy.hidden(tenant_id())
        creators, cursor = await _page(services, members, offset, limit, "hidden")
        return json_response(HiddenPage(creators=creators, total=len(members), cursor=cursor))

    @app.put("/v1/hidden/<creator_id>")
    async def hide(creator_id: str) -> Response:
        """Raises NotFound."""
        only_known(request.args, ())
        changed = await tenancy.hide(tenant_id(), parse_creator_id(creator_id), actor())
        return json_response(HiddenState(creator_id=creator_id, hidden=True, changed=changed))

    @app.delete("/v1/hidden/<creator_id>")
    async def unhide(creator_id: str) -> Response:
        only_known(request.args, ())
        changed = await tenancy.unhide(tenant_id(), parse_creator_id(creator_id), actor())
        return json_response(HiddenState(creator_id=creator_id, hidden=False, changed=changed))


def list_view(one: CreatorList) -> ListView:
    return ListView(
        list_id=one.list_id,
        name=one.name,
        version=one.version,
        creators=len(one.creator_ids),
        created_at=instant(one.created_at or None),
        changed_at=instant(one.changed_at or None),
    )


def _ids(texts: Sequence[str], pointer: str) -> list[CreatorId]:
    if len(texts) > MOST_AT_ONCE:
        raise BadParameter(f"{MOST_AT_ONCE:,} creators may be named at once, not {len(texts):,}", pointer=pointer)
    return [parse_creator_id(text, f"{pointer}/{at}") for at, text in enumerate(texts)]


def _place(of: str) -> tuple[int, int]:
    """Offset and limit as the request states them."""
    only_known(request.args, ("cursor", "limit"))
    one_each(("cursor", "limit"))
    limit = whole_number(request.args, "limit", LIMIT, 1, MAX_LIMIT)
    cursor = request.args.get("cursor", "")
    return decode_cursor(cursor, of).offset if cursor else 0, limit


async def _page(
    services: SearchServices, members: Sequence[CreatorId], offset: int, limit: int, of: str
) -> tuple[list[CreatorView], str | None]:
    """Creators, and the cursor of those that follow."""
    shown = await services.shown(members[offset : offset + limit], 0)
    following = offset + limit
    cursor = encode_cursor(following, of) if following < len(members) else None
    return [view_of(one) for one in shown if one is not None], cursor
