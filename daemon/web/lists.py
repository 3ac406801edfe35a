"""`/v1/lists` and `/v1/hidden`: what the tenant notes of creators."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence

from quart import Response, request
from quart_trio import QuartTrio

from daemon.web.answering import view_of
from daemon.web.paging import asked_place, next_cursor
from daemon.web.params import (
    chosen,
    json_body,
    only_known,
    optional_json_body,
    parse_creator_id,
)
from daemon.web.problems import BadParameter
from daemon.web.replies import json_response, nothing
from daemon.web.services import SearchServices
from daemon.web.tenant import actor, tenant_id
from daemon.web.versions import asked_version, stated_version, tagged
from daemon.web.views import entry_view, instant, list_view
from proto.api import (
    CreatorView,
    HiddenPage,
    HiddenState,
    ListChange,
    ListCreate,
    ListNewsView,
    ListPage,
    Lists,
    TriageChange,
)
from proto.ids import CreatorId
from proto.records import ListEntry
from stores.lists import STATES, Triage

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
        return tagged(json_response(list_view(made), 201), made.version)

    @app.get("/v1/lists/<list_id>")
    async def one_list(list_id: str) -> Response:
        """Raises NotFound."""
        state = request.args.get("state")
        if state is not None:
            chosen(state, "state", STATES)
        place = list_id if state is None else f"{list_id} {state}"
        offset, limit = asked_place(place, ("state",))
        found = await tenancy.read_list(tenant_id(), list_id)
        states = {one: found.entries.get(one, ListEntry()).state for one in found.members}
        wanted = [one for one in found.members if state is None or states[one] == state]
        creators, cursor = await _page(services, wanted, offset, limit, place)
        notes = await tenancy.notes_on(tenant_id(), wanted[offset : offset + limit])
        ids = [CreatorId(int(one.creator_id)) for one in creators]
        page = ListPage(
            of=list_view(found.of),
            creators=creators,
            entries=[entry_view(one, found.entries.get(one), notes.get(one)) for one in ids],
            cursor=cursor,
            total=len(wanted),
            states=dict(Counter(states.values())),
        )
        return tagged(json_response(page), found.of.version)

    @app.patch("/v1/lists/<list_id>")
    async def change(list_id: str) -> Response:
        """Raises NotFound, and Stale where the list has changed since it was read."""
        body = await json_body(ListChange)
        only_known(request.args, ())
        before = body.move.before if body.move is not None else None
        changed = await tenancy.change_list(
            tenant_id(),
            list_id,
            version=stated_version(body.version),
            name=body.name,
            add=_ids(body.add, "/add"),
            remove=_ids(body.remove, "/remove"),
            triage=_triage(body.triage),
            move=_ids(body.move.creators, "/move/creators") if body.move is not None else (),
            before=parse_creator_id(before, "/move/before") if before is not None else None,
            actor=actor(),
        )
        return tagged(json_response(list_view(changed)), changed.version)

    @app.delete("/v1/lists/<list_id>")
    async def delete(list_id: str) -> Response:
        """Raises as `change`."""
        only_known(request.args, ("version",))
        await tenancy.delete_list(tenant_id(), list_id, stated_version(asked_version()), actor())
        return nothing()

    @app.get("/v1/lists/<list_id>/changes")
    async def news(list_id: str) -> Response:
        """Raises NotFound."""
        only_known(request.args, ("since",))
        found = await tenancy.list_news(tenant_id(), list_id, asked_version("since", least=0), actor())
        return json_response(
            ListNewsView(
                of=list_view(found.of),
                since=found.since.version,
                since_at=instant(found.since_at or None),
                complete=found.since.complete,
                added=[str(one) for one in found.added],
                removed=[str(one) for one in found.removed],
                triaged=[entry_view(one, found.entries.get(one)) for one in found.triaged],
                posted=[str(one) for one in found.posted],
                renamed=found.since.renamed,
                reordered=found.since.reordered,
                actors=list(found.since.actors),
            )
        )

    @app.post("/v1/lists/<list_id>/visits")
    async def seen(list_id: str) -> Response:
        """Up to ``version``, or all of it. Raises NotFound."""
        only_known(request.args, ("version",))
        found = await tenancy.visit_list(tenant_id(), list_id, asked_version(), actor())
        return tagged(json_response(list_view(found)), found.version)

    @app.put("/v1/lists/<list_id>/creators/<creator_id>")
    async def put_in(list_id: str, creator_id: str) -> Response:
        """With a body, it says what is thought of the creator. Raises NotFound for an unknown list or creator."""
        said = await optional_json_body(TriageChange)
        only_known(request.args, ())
        number = parse_creator_id(creator_id)
        triage = {} if said is None else {number: Triage(said.state, said.reason)}
        changed = await tenancy.change_list(
            tenant_id(), list_id, version=stated_version(None), add=[number], triage=triage, actor=actor()
        )
        return tagged(json_response(list_view(changed)), changed.version)

    @app.delete("/v1/lists/<list_id>/creators/<creator_id>")
    async def take_out(list_id: str, creator_id: str) -> Response:
        """Raises NotFound for an unknown list."""
        only_known(request.args, ())
        changed = await tenancy.change_list(
            tenant_id(), list_id, version=stated_version(None), remove=[parse_creator_id(creator_id)], actor=actor()
        )
        return tagged(json_response(list_view(changed)), changed.version)

    @app.get("/v1/hidden")
    async def hidden() -> Response:
        offset, limit = asked_place("hidden")
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


def _ids(texts: Sequence[str], pointer: str) -> list[CreatorId]:
    if len(texts) > MOST_AT_ONCE:
        raise BadParameter(f"{MOST_AT_ONCE:,} creators may be named at once, not {len(texts):,}", pointer=pointer)
    return [parse_creator_id(text, f"{pointer}/{at}") for at, text in enumerate(texts)]


def _triage(said: Mapping[str, TriageChange]) -> dict[CreatorId, Triage]:
    if len(said) > MOST_AT_ONCE:
        raise BadParameter(f"{MOST_AT_ONCE:,} creators may be named at once, not {len(said):,}", pointer="/triage")
    return {parse_creator_id(text, f"/triage/{text[:40]}"): Triage(one.state, one.reason) for text, one in said.items()}


async def _page(
    services: SearchServices, members: Sequence[CreatorId], offset: int, limit: int, of: str
) -> tuple[list[CreatorView], str | None]:
    """Creators, and the cursor of those that follow."""
    shown = await services.shown(members[offset : offset + limit], 0)
    return [view_of(one) for one in shown if one is not None], next_cursor(of, offset + limit, len(members))
