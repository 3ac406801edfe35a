"""`/v1/search`, `/v1/creators/{id}` and its schedule."""

from __future__ import annotations

import time

import msgspec
from quart import Response, g, request
from quart_trio import QuartTrio

from daemon.web.params import MAX_LIMIT, decode_cursor, encode_cursor, flag, only_known, whole_number
from daemon.web.problems import BadParameter
from daemon.web.services import PublicServices
from daemon.web.views import content_view, creator_view, embedding_view, hit_view, vital_signs_view
from proto.api import CreatorDetail, SearchAnswer
from proto.errors import NotFound
from proto.ids import CreatorId
from proto.records import DEFAULT_TENANT, AuditEvent
from stores.ports import SearchQuery

REVIEWS_LIMIT = 50
PARAMETERS = ("q", "limit", "cursor", "explain")
MAX_QUERY_CHARS = 512
RECENT = 20


def register(app: QuartTrio, services: PublicServices) -> None:
    @app.get("/v1/search")
    async def search() -> Response:
        given = request.args.to_dict()
        only_known(given, PARAMETERS)
        text = given.get("q", "")
        if len(text) > MAX_QUERY_CHARS:
            raise BadParameter(f"q may be {MAX_QUERY_CHARS} characters long, not {len(text)}", pointer="q")
        limit = whole_number(given, "limit", 20, 1, MAX_LIMIT)
        offset = decode_cursor(given["cursor"], text) if given.get("cursor") else 0
        explain = flag(given, "explain", default=True)
        return json_response(await answer(services, text, limit, offset, explain=explain))

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


async def answer(services: PublicServices, text: str, limit: int, offset: int, *, explain: bool) -> SearchAnswer:
    """One page, with its time; noted in the audit trail."""
    started = time.perf_counter()
    page = await services.search(SearchQuery(text=text, limit=limit, offset=offset))
    found = await services.creators([hit.creator_id for hit in page.hits])
    hits = [
        hit_view(hit, *pair, page.words, explain=explain)
        for hit, pair in zip(page.hits, found, strict=True)
        if pair is not None
    ]
    following = offset + len(page.hits)
    seconds = time.perf_counter() - started
    services.observe_search(seconds)
    services.audit(
        AuditEvent(
            at=int(services.now()),
            tenant_id=DEFAULT_TENANT,
            actor="anonymous",
            action="search",
            detail=text,
            request_id=g.get("request_id", ""),
        )
    )
    return SearchAnswer(
        hits=hits,
        total=page.total,
        cursor=encode_cursor(following, text) if page.hits and following < page.total else None,
        facets=None,
        interpreted=[],
        rest=text,
        took_ms=round(seconds * 1_000, 3),
        warnings=list(page.warnings),
    )


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
    """The creator that has taken over this id's accounts; None where the id stands for itself, or for nobody."""
    number = parse_creator_id(creator_id)
    present = await services.present_id(number)
    return present if present != number else None


def see(path: str) -> Response:
    """A merge can be undone, so that the redirect is a temporary one."""
    return Response(b"", 307, headers={"Location": path})


def parse_creator_id(text: str) -> CreatorId:
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) >= 1 << 63:
        raise BadParameter("a creator id is a decimal number below 2^63", pointer="creator_id")
    return CreatorId(int(text))


def json_response(body: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, content_type="application/json")
