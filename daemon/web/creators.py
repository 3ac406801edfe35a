"""`/v1/creators/{id}`, its schedule and identity, and pairs that wait for a person's word."""

from __future__ import annotations

from quart import Response, request
from quart_trio import QuartTrio

from daemon.web.params import MAX_LIMIT, only_known, parse_creator_id, whole_number
from daemon.web.problems import BadParameter
from daemon.web.replies import json_response, see
from daemon.web.services import PublicServices
from daemon.web.views import content_view, creator_view, embedding_view, vital_signs_view
from proto.api import CreatorDetail
from proto.errors import Malformed, NotFound, Unreadable
from proto.ids import CreatorId

REVIEWS_LIMIT = 50
RECENT = 20
MAX_REFERENCE_CHARS = 100
"""Of an account's key or handle."""


def register(app: QuartTrio, services: PublicServices) -> None:
    @app.get("/v1/creators/<creator_id>")
    async def creator(creator_id: str) -> Response:
        """An id that another creator has taken over leads there."""
        only_known(request.args.to_dict(), ())
        moved = await moved_to(services, creator_id)
        return json_response(await detail(services, creator_id)) if moved is None else see(f"/v1/creators/{moved}")

    @app.get("/v1/creators/<creator_id>/identity")
    async def identity(creator_id: str) -> Response:
        """Raises NotFound for an unknown creator."""
        only_known(request.args.to_dict(), ())
        moved = await moved_to(services, creator_id)
        if moved is not None:
            return see(f"/v1/creators/{moved}/identity")
        found = await services.identity(parse_creator_id(creator_id))
        if found is None:
            raise NotFound(f"no creator {creator_id}")
        return json_response(found)

    @app.get("/v1/reviews")
    async def reviews() -> Response:
        """Raises Malformed for a cursor that is none."""
        given = request.args.to_dict()
        only_known(given, ("cursor", "limit"))
        limit = whole_number(given, "limit", REVIEWS_LIMIT, 1, MAX_LIMIT)
        return json_response(await services.reviews(given.get("cursor", ""), limit))

    @app.get("/v1/creators/<creator_id>/schedule")
    async def schedule(creator_id: str) -> Response:
        """Raises NotFound for an unknown creator."""
        only_known(request.args.to_dict(), ())
        moved = await moved_to(services, creator_id)
        if moved is not None:
            return see(f"/v1/creators/{moved}/schedule")
        found = await services.schedule(parse_creator_id(creator_id))
        if found is None:
            raise NotFound(f"no creator {creator_id}")
        return json_response(found)


async def detail(services: PublicServices, creator_id: str) -> CreatorDetail:
    """Raises BadParameter for what is no id and NotFound for an unknown creator."""
    number = parse_creator_id(creator_id)
    (pair,) = await services.creators([number])
    if pair is None or not pair[0].name:
        raise NotFound(f"no creator {creator_id}")
    items = await services.recent_content(number, RECENT)
    embeddings = await services.embeddings(number)
    return CreatorDetail(
        creator=creator_view(*pair),
        recent_content=[content_view(item) for item in items],
        vital_signs=vital_signs_view(pair[0], services.peers()),
        embeddings={field: embedding_view(record) for field, record in sorted(embeddings.items())},
    )


async def moved_to(services: PublicServices, creator_id: str) -> CreatorId | None:
    """The creator that has taken over this id's accounts, or has the account that is named instead; None where the id
    stands for itself, or for nobody. Raises BadParameter and NotFound for what names nobody."""
    if not creator_id.isdecimal():
        return await _named(services, creator_id)
    number = parse_creator_id(creator_id)
    present = await services.present_id(number)
    return present if present != number else None


async def _named(services: PublicServices, reference: str) -> CreatorId:
    """By an account of it, as explain and similar take one."""
    try:
        (seed,) = await services.searching.seeds([reference[:MAX_REFERENCE_CHARS]])
    except Unreadable:
        raise
    except Malformed as error:
        raise BadParameter(str(error), pointer="creator_id") from error
    return seed.creator_id
