"""`/v1/notes` and `/v1/creators/{id}/note`: what the tenant writes of creators."""

from __future__ import annotations

from collections import Counter

from quart import Response, request
from quart_trio import QuartTrio

from daemon.web.answering import view_of
from daemon.web.paging import asked_place, next_cursor
from daemon.web.params import json_body, only_known, parse_creator_id
from daemon.web.replies import json_response, nothing
from daemon.web.services import SearchServices
from daemon.web.tenant import actor, tenant_id
from daemon.web.versions import asked_version, stated_version, tagged
from daemon.web.views import note_view
from proto.api import NoteChange, NotePage
from proto.errors import NotFound
from stores.notes import has_tag

MAX_TAG_CHARS = 100


def register(app: QuartTrio, services: SearchServices) -> None:
    tenancy = services.tenancy

    @app.get("/v1/notes")
    async def all_notes() -> Response:
        tag = request.args.get("tag", "")[:MAX_TAG_CHARS]
        place = f"notes {tag}"
        offset, limit = asked_place(place, ("tag",))
        every = await tenancy.notes(tenant_id())
        found = [one for one in every if not tag or has_tag(one, tag)]
        page = found[offset : offset + limit]
        shown = await services.shown([one.creator_id for one in page], 0)
        pairs = [(note, creator) for note, creator in zip(page, shown, strict=True) if creator is not None]
        return json_response(
            NotePage(
                notes=[note_view(note) for note, _ in pairs],
                creators=[view_of(creator) for _, creator in pairs],
                tags=dict(sorted(Counter(name for one in every for name in one.tags).items())),
                total=len(found),
                cursor=next_cursor(place, offset + limit, len(found)),
            )
        )

    @app.get("/v1/creators/<creator_id>/note")
    async def one_note(creator_id: str) -> Response:
        """Raises NotFound where nothing is noted."""
        only_known(request.args, ())
        number = parse_creator_id(creator_id)
        found = (await tenancy.notes_on(tenant_id(), [number])).get(number)
        if found is None:
            raise NotFound(f"nothing is noted of creator {creator_id}")
        return tagged(json_response(note_view(found)), found.version)

    @app.put("/v1/creators/<creator_id>/note")
    async def write_note(creator_id: str) -> Response:
        """Raises NotFound, Malformed, and Stale where the note has changed since it was read."""
        body = await json_body(NoteChange)
        only_known(request.args, ())
        fresh = await tenancy.write_note(
            tenant_id(),
            parse_creator_id(creator_id),
            text=body.text,
            tags=body.tags,
            version=stated_version(body.version),
            actor=actor(),
        )
        return nothing() if fresh is None else tagged(json_response(note_view(fresh)), fresh.version)

    @app.delete("/v1/creators/<creator_id>/note")
    async def delete_note(creator_id: str) -> Response:
        """Raises as `write_note`."""
        only_known(request.args, ("version",))
        number = parse_creator_id(creator_id)
        stated = stated_version(asked_version(least=0))
        await tenancy.write_note(tenant_id(), number, text="", tags=[], version=stated, actor=actor())
        return nothing()
