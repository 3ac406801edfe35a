"""From what a caller asks to what the searcher is asked: filters, what words mean, weights, whose lists and hidden."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from daemon.access import Forbidden
from daemon.interpreting import APPLY, MODES, OFF, Interpretation, interpret, untouched
from daemon.web.params import (
    MAX_LIMIT,
    chosen,
    decode_cursor,
    listed,
    number,
    one_each,
    only_known,
    parse_number,
    whole_number,
)
from daemon.web.problems import BadParameter
from daemon.web.services import SearchServices
from daemon.web.tenant import identity
from daemon.weights import reweighted
from proto.api import CreatorView, SearchRequest, SimilarRequest
from proto.errors import FilterError, Malformed
from stores.filter_ast import In, Node, Range
from stores.filter_columns import COLUMNS, FACETS, FRESH, HIDDEN, LIST, Place, Vocabulary, number_of
from stores.filter_limits import walk
from stores.filter_tokens import Token
from stores.filter_tokens import number as number_in_text
from stores.filters import all_of, columns_of, conditions_of, decode_filter, parse_filter
from stores.ports import RELEVANCE, RRF, WEIGHTED, SearchQuery, Weights

MAX_QUERY_CHARS = 512
MAX_DROPPED = 100
MAX_SEEDS = 50
SORTS = (RELEVANCE, "followers", "engagement_rate", "growth_30d", "last_posted")
NONE, BRIEF, FULL = "none", "brief", "full"
EXPLAIN = {NONE: NONE, BRIEF: BRIEF, FULL: FULL, "false": NONE, "0": NONE, "true": FULL, "1": FULL}
"""What callers may say, and what it means: ``full`` looks for the best content too, which takes longer."""
DIRECTIONS = ("desc", "asc")
FUSIONS = (WEIGHTED, RRF)
SEARCH_PARAMETERS = SearchRequest.__struct_fields__
FIELDS = CreatorView.__struct_fields__


class Asked(msgspec.Struct, kw_only=True, frozen=True):
    """A request that has been understood. ``shape``: all that decides which creators are found in which order."""

    query: SearchQuery
    text: str
    interpretation: Interpretation
    shape: str
    explain: str = "brief"
    fields: tuple[str, ...] = ()
    """Of creators; empty for all."""
    similar: bool = False


def request_of(given: Mapping[str, str], *, names: Sequence[str] = SEARCH_PARAMETERS) -> SearchRequest:
    """From query parameters. Raises BadParameter."""
    only_known(given, names)
    one_each(names)
    return SearchRequest(
        q=given.get("q", ""),
        filter=given.get("filter") or None,
        limit=whole_number(given, "limit", 20, 1, MAX_LIMIT),
        cursor=given.get("cursor", ""),
        sort=given.get("sort", RELEVANCE),
        facets=listed(given, "facets"),
        explain=given.get("explain", BRIEF),
        interpret=given.get("interpret", APPLY),
        drop=listed(given, "drop"),
        fields=listed(given, "fields"),
        fusion=given.get("fusion", WEIGHTED),
        diversity=number(given, "diversity", 0.0),
        weights=_weights_in(given),
        fresh_within=given.get("fresh_within") or None,
    )


async def ask(services: SearchServices, asked: SearchRequest, tenant_id: str, *, stale_drops: bool = False) -> Asked:
    """Raises BadParameter and FilterError for what cannot be understood. ``stale_drops``: whether ``drop`` may name what
    is not read of these words, as an old link to a page does."""
    if len(asked.q) > MAX_QUERY_CHARS:
        raise BadParameter(f"q may be {MAX_QUERY_CHARS} characters long, not {len(asked.q)}", pointer="q")
    sort, ascending = _sort(asked.sort)
    chosen(asked.interpret, "interpret", MODES)
    chosen(asked.fusion, "fusion", FUSIONS)
    if len(asked.drop) > MAX_DROPPED:
        raise BadParameter(f"drop names {MAX_DROPPED} interpretations at most", pointer="drop")
    own = await _filter(services, asked, tenant_id)
    interpretation = await _interpret(services, asked, own, stale_drops=stale_drops)
    filters = all_of([*conditions_of(own), *interpretation.conditions])
    query = await _query(
        services,
        asked,
        tenant_id,
        SearchQuery(
            text=interpretation.rest,
            filters=filters,
            niches=interpretation.niches,
            sort=sort,
            ascending=ascending,
            fusion=asked.fusion,
        ),
    )
    shape = _shape(asked.q, query, asked.weights, interpretation.rest)
    return _paged(asked, query, asked.q, interpretation, shape)


async def ask_similar(services: SearchServices, asked: SimilarRequest, tenant_id: str) -> Asked:
    """Raises as `ask`; NotFound for a seed that is not known."""
    if not asked.positive:
        raise BadParameter("name one creator at least", pointer="positive")
    if len(asked.positive) + len(asked.negative) > MAX_SEEDS:
        raise BadParameter(f"{MAX_SEEDS} creators may be named at most", pointer="positive")
    positive = await services.seeds(asked.positive)
    negative = await services.seeds(asked.negative)
    own = await _filter(services, asked, tenant_id)
    query = await _query(
        services,
        asked,
        tenant_id,
        SearchQuery(
            text="",
            filters=own,
            positive=tuple(one.row for one in positive),
            negative=tuple(one.row for one in negative),
        ),
    )
    seeds = repr([[one.creator_id for one in positive], [one.creator_id for one in negative]])
    shape = _shape(seeds, query, asked.weights, "similar")
    return _paged(asked, query, "", untouched(""), shape, similar=True)


@contextmanager
def in_body(under: str = "") -> Iterator[None]:
    """What is wrong with a parameter is told with a JSON pointer. ``under``: that of the request within the body."""
    try:
        yield
    except BadParameter as error:
        raise BadParameter(str(error), pointer=f"{under}/{error.pointer}", code=error.code) from error
    except FilterError as error:
        stated = error.pointer or ""
        pointer = under + (stated if stated.startswith("/") else "/filter")
        raise FilterError(str(error), column=error.column, position=error.position, pointer=pointer) from error


def filter_error(error: FilterError, *, tree: bool) -> FilterError:
    """With its place seen from the request: ``tree`` for a filter that stands in a body as one."""
    pointer = f"/filter{error.pointer or ''}" if tree else "filter"
    return FilterError(str(error), column=error.column, position=error.position, pointer=pointer)


def list_names_in(node: Node | None) -> set[str]:
    """Lists that a filter asks about."""
    if node is None:
        return set()
    return {name for one, _ in walk(node) if isinstance(one, In) and one.column == LIST for name in one.values}


async def _interpret(
    services: SearchServices, asked: SearchRequest, own: Node | None, *, stale_drops: bool
) -> Interpretation:
    """A query that equals a known name or handle is never read as anything else."""
    if asked.interpret == OFF or not asked.q.strip():
        return untouched(asked.q)
    brief = services.read_brief(asked.q)
    ids = [one.id for one in (*brief.interpreted, *brief.boosts)]
    strange = next((one for one in asked.drop if one not in ids), "")
    if strange and not stale_drops:
        raise BadParameter(
            f"{strange[:100]!r} is nothing that q was read as; there is {', '.join(ids) or 'nothing'}", pointer="drop"
        )
    if not (brief.interpreted or brief.boosts) or await services.is_known(asked.q):
        return untouched(asked.q)
    return interpret(brief, apply=asked.interpret == APPLY, drop=asked.drop, own=own)


async def _filter(services: SearchServices, asked: SearchRequest | SimilarRequest, tenant_id: str) -> Node | None:
    """The caller's own, with ``fresh_within``."""
    parts = conditions_of(await _stated_filter(services, asked.filter, tenant_id))
    return all_of([*parts, *_fresh(asked.fresh_within)])


async def _stated_filter(
    services: SearchServices, stated: str | Mapping[str, object] | None, tenant_id: str
) -> Node | None:
    if stated is None or stated == "":
        return None
    vocabulary: Vocabulary = services.vocabulary
    known = "lists" in identity().scopes
    if known and LIST in (stated if isinstance(stated, str) else repr(stated)).lower():
        vocabulary = {**vocabulary, LIST: await services.tenancy.list_names(tenant_id)}
    try:
        found = parse_filter(stated, vocabulary) if isinstance(stated, str) else decode_filter(stated, vocabulary)
    except FilterError as error:
        raise filter_error(error, tree=not isinstance(stated, str)) from error
    if not known and not columns_of(found).isdisjoint((LIST, HIDDEN)):
        raise Forbidden("a filter by list or hidden takes the scope 'lists'", scope="lists")
    return found


def _fresh(within: str | float | None) -> list[Node]:
    if within is None or within == "":
        return []
    try:
        column, place = COLUMNS[FRESH], Place()
        days = within if isinstance(within, float) else number_in_text(column, Token("word", within.strip(), 1))
        return [Range(column=FRESH, lte=number_of(column, days, place))]
    except FilterError as error:
        text = f"fresh_within must be a number of days, or a time such as 12h or 2w, not {str(within)[:40]!r}"
        raise BadParameter(text, pointer="fresh_within") from error


async def _query(
    services: SearchServices, asked: SearchRequest | SimilarRequest, tenant_id: str, query: SearchQuery
) -> SearchQuery:
    """With what searches of both kinds share."""
    for name in asked.facets:
        chosen(name, "facets", FACETS)
    if not 0 <= asked.diversity <= 1:
        raise BadParameter(f"diversity must be a number from 0 to 1, not {asked.diversity:g}", pointer="diversity")
    rows = await services.tenancy.rows(tenant_id, list_names_in(query.filters))
    return msgspec.structs.replace(
        query,
        limit=asked.limit,
        facets=tuple(dict.fromkeys(asked.facets)),
        weights=_weights(services.tenancy.weights(tenant_id), asked.weights),
        diversity=asked.diversity,
        lists=rows.lists,
        hidden=rows.hidden if len(rows.hidden) else None,
        tenant_id=tenant_id,
    )


def _paged(
    asked: SearchRequest | SimilarRequest,
    query: SearchQuery,
    text: str,
    interpretation: Interpretation,
    shape: str,
    *,
    similar: bool = False,
) -> Asked:
    if not 1 <= asked.limit <= MAX_LIMIT:
        raise BadParameter(f"limit must be a whole number from 1 to {MAX_LIMIT}, not {asked.limit}", pointer="limit")
    for name in asked.fields:
        chosen(name, "fields", FIELDS)
    if asked.cursor:
        cursor = decode_cursor(asked.cursor, shape)
        query = msgspec.structs.replace(query, offset=cursor.offset, snapshot=cursor.snapshot)
    return Asked(
        query=query,
        text=text,
        interpretation=interpretation,
        shape=shape,
        explain=_explain(asked.explain),
        fields=tuple(asked.fields),
        similar=similar,
    )


def _shape(text: str, query: SearchQuery, weights: Mapping[str, float], rest: str) -> str:
    parts = (
        text,
        rest,
        query.filters,
        query.niches,
        query.sort,
        query.ascending,
        query.fusion,
        query.diversity,
        sorted(weights.items()),
    )
    return msgspec.json.encode(parts).decode()


def _sort(text: str) -> tuple[str, bool]:
    name, _, direction = text.partition(":")
    chosen(name, "sort", SORTS)
    chosen(direction or "desc", "sort", DIRECTIONS)
    if name == RELEVANCE and direction == "asc":
        raise BadParameter("the least relevant come last: relevance has no :asc", pointer="sort")
    return name, direction == "asc"


def _explain(said: bool | str) -> str:
    return FULL if said is True else NONE if said is False else EXPLAIN[chosen(said.lower(), "explain", list(EXPLAIN))]


def _weights_in(given: Mapping[str, str]) -> dict[str, float]:
    """``keyword:0.5,yt_bio:2``."""
    found: dict[str, float] = {}
    for part in listed(given, "weights"):
        name, mark, value = part.partition(":")
        if not mark:
            raise BadParameter(f"weights are written as keyword:0.5,yt_bio:2, not {part[:40]!r}", pointer="weights")
        found[name.strip()] = parse_number(value.strip(), "weights")
    return found


def _weights(base: Weights, changes: Mapping[str, float]) -> Weights:
    try:
        return reweighted(base, changes) if changes else base
    except Malformed as error:
        raise BadParameter(str(error), pointer="weights") from error


def asks_about_hidden(node: Node | None) -> bool:
    return HIDDEN in columns_of(node)
