"""The log of searches: written beside them, read out for learning, and run again under other weights."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import msgspec
import trio

from daemon.noting import write_down
from daemon.supervisor import Services
from daemon.tenancy import Tenancy
from daemon.web.asking import list_names_in
from daemon.web.services import QueryNote
from daemon.web.views import instant
from daemon.weights import reweighted, weights_view
from proto.api import MovedCreator, WhatIf, WhatIfQuery
from proto.ids import CreatorId
from proto.records import LoggedQuery, SearchWeights
from stores.env import Environment
from stores.filters import read_shown, show_filter
from stores.ports import SearchPage, SearchQuery, Weights
from stores.query_log import (
    EXPIRED,
    LoggedCandidate,
    append_queries,
    candidates_of,
    expire_queries,
    latest_queries,
    packed_candidates,
    queries_after,
)
from stores.tenants import stored_weights

BATCH = 200
"""Searches that are written down together: a write of its own for each took a tenth of a search's time."""
FIRST = 10
"""Ranks that are compared."""
HOUR_SECONDS = 3_600.0
DAY_SECONDS = 86_400

Search = Callable[[SearchQuery], Awaitable[SearchPage]]


class SearchWeightsView(msgspec.Struct, kw_only=True):
    keyword: float
    vector: float
    quality: float
    fields: dict[str, float]


class QueryView(msgspec.Struct, kw_only=True):
    """A logged search as it is read out."""

    number: int
    at: str
    tenant_id: str
    request_id: str
    text: str
    rest: str
    filter: str
    niches: list[str]
    sort: str
    fusion: str
    diversity: float
    weights: SearchWeightsView
    total: int
    took_ms: float
    candidates: list[LoggedCandidate]
    """Best first."""


class QueryLog:
    """Reads over one store; ``search`` runs a query again."""

    def __init__(self, env: Environment, *, search: Search, tenancy: Tenancy) -> None:
        self._env, self._search, self._tenancy = env, search, tenancy

    async def page(self, tenant_id: str, after: int, limit: int) -> list[QueryView]:
        """Behind a number, oldest first."""
        found = await self._env.read(lambda txn: queries_after(txn, tenant_id, after, limit))
        return [_view(one) for one in found]

    async def what_if(self, tenant_id: str, changes: Mapping[str, float], queries: int) -> WhatIf:
        """How the latest searches would be ranked now, under the weights in force and under others.

        Raises Malformed for weights that are none.
        """
        before = self._tenancy.weights(tenant_id)
        after = reweighted(before, changes)
        logged = await self._env.read(lambda txn: latest_queries(txn, tenant_id, queries))
        compared = [await self._compare(one, before, after) for one in logged]
        return WhatIf(
            before=weights_view(before, tenant_id, "in force"),
            after=weights_view(after, tenant_id, "tried"),
            queries=compared,
            overlap=sum(one.overlap for one in compared) / len(compared) if compared else 1.0,
            changed=sum(bool(one.moved) for one in compared),
        )

    async def _compare(self, one: LoggedQuery, before: Weights, after: Weights) -> WhatIfQuery:
        query = await self._query(one)
        first = await self._first(query, before)
        then = await self._first(query, after)
        return WhatIfQuery(
            number=one.number,
            text=one.text,
            filter=one.filter,
            overlap=overlap_of(first, then),
            moved=moved_between(first, then),
        )

    async def _first(self, query: SearchQuery, weights: Weights) -> list[CreatorId]:
        page = await self._search(msgspec.structs.replace(query, weights=weights))
        return [hit.creator_id for hit in page.hits]

    async def _query(self, one: LoggedQuery) -> SearchQuery:
        filters = read_shown(one.filter) if one.filter else None
        rows = await self._tenancy.rows(one.tenant_id, list_names_in(filters))
        return SearchQuery(
            text=one.rest,
            filters=filters,
            niches=tuple(one.niches),
            limit=FIRST,
            sort=one.sort,
            ascending=one.ascending,
            fusion=one.fusion,
            diversity=one.diversity,
            lists=rows.lists,
            hidden=rows.hidden if len(rows.hidden) else None,
            tenant_id=one.tenant_id,
        )


def overlap_of(first: Sequence[CreatorId], then: Sequence[CreatorId]) -> float:
    """Share of the longer of both that they have in common; 1 for two that are empty."""
    longest = max(len(first), len(then))
    return len({*first} & {*then}) / longest if longest else 1.0


def moved_between(first: Sequence[CreatorId], then: Sequence[CreatorId]) -> list[MovedCreator]:
    """Those at another rank in one than in the other, by their rank before."""
    before = {creator_id: rank for rank, creator_id in enumerate(first, 1)}
    after = {creator_id: rank for rank, creator_id in enumerate(then, 1)}
    return [
        MovedCreator(creator_id=str(one), before=before.get(one), after=after.get(one))
        for one in dict.fromkeys([*first, *then])
        if before.get(one) != after.get(one)
    ]


async def write_queries(
    notes: trio.MemoryReceiveChannel[QueryNote], env: Environment, services: Services, stop: trio.Event
) -> None:
    """What was searched for, in the log of searches; ends once the senders have closed."""

    async def write(batch: Sequence[QueryNote]) -> None:
        await env.write(partial(append_queries, queries=[logged(one) for one in batch]))

    await write_down("query_log", notes, write, at_once=BATCH, services=services, stop=stop)


async def expire_now_and_then(
    env: Environment, days: Callable[[], int], now: Callable[[], float], stop: trio.Event
) -> None:
    """Takes out what is older than it may be kept, every hour."""
    while not stop.is_set():
        before = int(now()) - days() * DAY_SECONDS
        while not stop.is_set() and await env.write(partial(expire_queries, before=before)) >= EXPIRED:
            pass
        with trio.move_on_after(HOUR_SECONDS):
            await stop.wait()


def logged(note: QueryNote) -> LoggedQuery:
    """As it is stored; the number is given by the store."""
    query = note.query
    assert query.weights is not None, "a search that nobody weighed"
    creator_ids, fields, features = packed_candidates(note.page.candidates)
    return LoggedQuery(
        number=0,
        at=note.at,
        tenant_id=query.tenant_id,
        request_id=note.request_id,
        text=note.text,
        rest=query.text,
        filter=show_filter(query.filters) if query.filters is not None else "",
        niches=list(query.niches),
        sort=query.sort,
        ascending=query.ascending,
        fusion=query.fusion,
        diversity=query.diversity,
        weights=stored_weights(query.weights),
        total=note.page.total,
        took_ms=note.took_ms,
        creator_ids=creator_ids,
        fields=fields,
        features=features,
    )


def _view(one: LoggedQuery) -> QueryView:
    return QueryView(
        number=one.number,
        at=instant(one.at) or "",
        tenant_id=one.tenant_id,
        request_id=one.request_id,
        text=one.text,
        rest=one.rest,
        filter=one.filter,
        niches=one.niches,
        sort=one.sort if not one.ascending else f"{one.sort}:asc",
        fusion=one.fusion,
        diversity=one.diversity,
        weights=_weights_view(one.weights),
        total=one.total,
        took_ms=one.took_ms,
        candidates=candidates_of(one),
    )


def _weights_view(weights: SearchWeights) -> SearchWeightsView:
    return SearchWeightsView(
        keyword=weights.keyword, vector=weights.vector, quality=weights.quality, fields=weights.fields
    )
