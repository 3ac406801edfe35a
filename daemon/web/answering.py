"""From what the searcher found to what is answered: hits with their creators, explanations, the next page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
from quart import g

from daemon.interpreting import interpreted_ids
from daemon.marking import Marker
from daemon.web.asking import FULL, NONE, Asked, asks_about_hidden
from daemon.web.explaining import (
    explain_hit,
    failed_conditions,
    filters_of,
    why,
    words_interpreted,
)
from daemon.web.params import encode_cursor
from daemon.web.services import QueryNote, SearchServices, Seed
from daemon.web.tenant import actor
from daemon.web.views import creator_view
from proto.api import CreatorView, ExplainAnswer, Explanation, Hit, RelaxationView, SearchAnswer
from proto.records import AuditEvent
from stores.catalog import ShownCreator
from stores.filters import show_filter
from stores.ports import RankedHit, SearchPage

TITLES = 20
"""Of each account, the newest titles are looked through for words of the query."""

DETAIL_CHARS = 2_000
"""Of a search in the audit trail, which is never cut short itself; the log of queries has it whole."""

Audit = Callable[[AuditEvent], None]


async def answer(services: SearchServices, asked: Asked, audit: Audit, now: float) -> SearchAnswer:
    """One page, with its time; noted in the audit trail and, the first page, in the log of queries."""
    started = time.perf_counter()
    page, shown = await found(services, asked)
    hits = _hits(asked, page, shown)
    query, interpretation = asked.query, asked.interpretation
    following = query.offset + len(page.hits)
    more = bool(page.hits) and following < page.total
    seconds = time.perf_counter() - started
    services.observe(seconds)
    took_ms = round(seconds * 1_000, 3)
    note(services, asked, page, audit, now, took_ms)
    return SearchAnswer(
        hits=hits,
        total=page.total,
        cursor=encode_cursor(following, asked.shape, page.snapshot) if more else None,
        facets=page.facets,
        interpreted=interpretation.shown,
        rest=interpretation.rest,
        took_ms=took_ms,
        warnings=list(page.warnings),
        relaxations=[
            RelaxationView(
                filter=show_filter(one.dropped),
                total=one.total,
                interpreted=interpreted_ids(one.dropped, interpretation.shown),
            )
            for one in page.relaxations
        ],
    )


async def found(services: SearchServices, asked: Asked) -> tuple[SearchPage, list[ShownCreator | None]]:
    """The page, and all that it shows."""
    query = asked.query
    if not query.offset and services.features():
        query = msgspec.structs.replace(query, features=services.features())
    return await services.search_shown(query, TITLES if asked.explain == FULL else 0)


def note(services: SearchServices, asked: Asked, page: SearchPage, audit: Audit, now: float, took_ms: float) -> None:
    """Neither waits: both are written in batches."""
    query, request_id = asked.query, g.get("request_id", "")
    audit(
        AuditEvent(
            at=int(now),
            tenant_id=query.tenant_id,
            actor=actor(),
            action="search",
            detail=detail_of(asked),
            request_id=request_id,
        )
    )
    if services.features() and not query.offset and not asked.similar:
        services.note_query(
            QueryNote(at=int(now), request_id=request_id, text=asked.text, query=query, page=page, took_ms=took_ms)
        )


def detail_of(asked: Asked) -> str:
    """What was searched for, for the audit trail."""
    text = asked.text if not asked.similar else "similar"
    filters = " AND ".join(filters_of(asked))
    detail = f"{text} [{filters}]".strip() if filters else text
    return detail if len(detail) <= DETAIL_CHARS else f"{detail[:DETAIL_CHARS]}…"


async def standing(services: SearchServices, asked: Asked, seed: Seed) -> ExplainAnswer:
    """Where one creator stands, or what keeps it out."""
    place = await services.standing(asked.query, seed.row)
    interpretation = asked.interpretation
    hidden = asked.query.hidden
    is_hidden = hidden is not None and bool((hidden == seed.row).any()) and not asks_about_hidden(asked.query.filters)
    explanation = await _explained(services, asked, place.hit) if place.hit is not None else None
    return ExplainAnswer(
        creator_id=str(seed.creator_id),
        found=place.found,
        rank=place.rank,
        total=place.total,
        score=place.hit.score if place.hit is not None else None,
        explanation=explanation,
        failed=failed_conditions(place, interpretation),
        hidden=is_hidden,
        keyword_match=place.keyword_match,
        missing_words=list(place.missing_words),
        vector_ranks=place.vector_ranks,
        candidates=place.candidates,
        why=why(place, interpretation, hidden=is_hidden, rest=asked.query.text),
        interpreted=interpretation.shown,
        rest=interpretation.rest,
    )


async def _explained(services: SearchServices, asked: Asked, hit: RankedHit) -> Explanation | None:
    (one,) = await services.shown([hit.creator_id], TITLES)
    if one is None:
        return None
    words = services.words(asked.query.text)
    return explain_hit(
        hit,
        one,
        words,
        Marker(words),
        filters_of(asked),
        words_interpreted(asked.interpretation),
    )


def _hits(asked: Asked, page: SearchPage, shown: Sequence[ShownCreator | None]) -> list[Hit]:
    filters, interpreted = filters_of(asked), words_interpreted(asked.interpretation)
    marker = Marker(page.words)
    hits = []
    for hit, one in zip(page.hits, shown, strict=True):
        if one is None:  # gone since the ranking was made
            continue
        explanation = explain_hit(hit, one, page.words, marker, filters, interpreted) if asked.explain != NONE else None
        hits.append(Hit(creator=chosen_fields(view_of(one), asked.fields), score=hit.score, explanation=explanation))
    return hits


def view_of(one: ShownCreator) -> CreatorView:
    return creator_view(one.creator, one.accounts)


def chosen_fields(view: CreatorView, fields: Sequence[str]) -> CreatorView:
    """With these fields and its id alone; all for none."""
    if fields:
        for name in CreatorView.__struct_fields__:
            if name not in fields and name != "creator_id":
                setattr(view, name, msgspec.UNSET)
    return view
