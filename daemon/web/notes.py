"""`/v1/notes` and `/v1/creators/{id}/note`: what the tenant writes of creators."""

from __future__ import annotations

from collections import Counter

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
from daemon.web.replies import json_response, nothing
from daemon.web.services import SearchServices
from daemon.web.tenant import actor, tenant_id
from daemon.web.versions import MAX_VERSION, stated_version, tagged
from daemon.web.views import note_view
from proto.api import NoteChange, NotePage
from proto.errors import NotFound

LIMIT = 50
MAX_TAG_CHARS = 100


def register(app: QuartTrio, services: SearchServices) -> None:
    tenancy = services.tenancy

    @app.get("/v1/notes")
    async def all_notes() -> Response:
        only_known(request.args, ("tag", "cursor", "limit"))
        one_each(("tag", "cursor", "limit"))
        limit = whole_number(request.args, "limit", LIMIT, 1, MAX_LIMIT)
        tag = request.args.get("tag", "")[:MAX_TAG_CHARS]
        cursor = request.args.get("cursor", "")
        place = f"notes {tag}"
        offset = decode_cursor(cursor, place).offset if cursor else 0
        every = await tenancy.notes(tenant_id())
        found = [one for one in every if not tag or tag.casefold() in (name.casefold() for name in one.tags)]
        page = found[offset : offset + limit]
        shown = await services.shown([one.creator_id for one in page], 0)
        pairs = [(note, creator) for note, creator in zip(page, shown, strict=True) if creator is not None]
        following = offset + limit
        return json_response(
            NotePage(
                notes=[note_view(note) for note, _ in pairs],
                creators=[view_of(creator) for _, creator in pairs],
                tags=dict(sorted(Counter(name for one in every for name in one.tags).items())),
                total=len(found),
                cursor=encode_cursor(following, place) if following < len(found) else None,
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
        version = whole_number(request.args, "version", 0, 0, MAX_VERSION) if "version" in request.args else None
        number = parse_creator_id(creator_id)
        stated = stated_version(version)
        await tenancy.write_note(tenant_id(), number, text="", tags=[], version=stated, actor=actor())
        return nothing()
