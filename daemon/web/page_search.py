"""The start page: search, its facets and hits; why a hit is one; who is like others; what was picked, as a file."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from quart import Response, redirect, request
from quart_trio import QuartTrio
from werkzeug.datastructures import MultiDict

from daemon.web.answering import answer, standing
from daemon.web.asking import FULL, ask, ask_similar
from daemon.web.authorising import needs
from daemon.web.charts import spark
from daemon.web.export import export_creators
from daemon.web.forms import posted
from daemon.web.history import SPARK_DAYS, series, spark_values
from daemon.web.page_query import PICKED, PageQuery, page_query
from daemon.web.params import parse_creator_id
from daemon.web.problems import BadParameter
from daemon.web.rendering import Pages
from daemon.web.services import PublicServices
from daemon.web.telling import go
from daemon.web.viewer import EXPORT, LISTS, Viewer, viewer, viewer_with
from daemon.web.views import saved_search_view
from proto.api import Hit, Interpreted, RelaxationView, SearchAnswer, SearchRequest, SimilarRequest
from proto.errors import FilterError, Unavailable
from proto.ids import CreatorId
from stores.filter_ast import In, Range
from stores.filter_columns import Vocabulary
from stores.filters import decode_filter, parse_filter, show_filter

MOST_SHOWN = 10
"""Values of a facet that are shown at once; those picked always are."""
MOST_PICKED = 200
SORTS = {
    "relevance": "best match",
    "followers": "most followers",
    "followers:asc": "fewest followers",
    "engagement_rate": "highest engagement",
    "growth_30d": "fastest growth",
    "last_posted": "latest post",
}
EXAMPLES = (
    "home workout fitness creators in Brazil",
    "gaming channels in Spanish, 10k to 500k followers",
    "learn python programming",
)


class Chip(msgspec.Struct, kw_only=True, frozen=True):
    """What is demanded or preferred, and where a click leads. ``words``: of the brief, which it was read out of."""

    field: str
    value: str
    words: str = ""
    remove: str = ""
    edit: str = ""
    restore: str = ""


def register(app: QuartTrio, services: PublicServices, pages: Pages) -> None:
    searching = services.searching
    quiet = msgspec.structs.replace(searching, features=lambda: 0)
    """For what is still being typed, which the log of queries leaves out."""

    @app.get("/")
    async def search_page() -> Response:
        who, query = viewer(), page_query(request.args)
        ready = await services.ready()
        found, wrong = None, ""
        try:
            asked = await ask(searching, query.request(facets=PICKED), who.tenant_id, stale_drops=True)
            using = quiet if request.args.get("typing") else searching
            found = await answer(using, asked, services.audit, services.now())
        except Unavailable:
            found = None
        except (BadParameter, FilterError) as error:
            wrong = str(error)
        return pages.render(
            "search.html",
            who,
            q=query.q,
            query=query,
            found=found,
            wrong=wrong,
            ready=ready,
            chips=chips(query, found, searching.vocabulary) if found else own_chips(query),
            facets=shown_facets(found, query),
            sparks=await _sparks(found.hits if found else []),
            relaxed=relaxations(query, found) if found else [],
            sorts=SORTS,
            examples=EXAMPLES,
            following=query.url(cursor=found.cursor) if found and found.cursor else "",
            export=f"/v1/search/export?{urlencode(query.api_parameters())}" if found else "",
            first=not query.parameters() and not query.cursor,
            saved=await _saved(who) if not query.parameters() else [],
        )

    async def _saved(who: Viewer) -> list[tuple[str, str, str]]:
        """Name, where it leads and its id."""
        if not who.may(LISTS):
            return []
        found = [saved_search_view(one) for one in await searching.tenancy.searches(who.tenant_id)]
        return [(one.name, saved_url(one.request), one.search_id) for one in found]

    @app.post("/searches")
    @needs(LISTS)
    async def save_search_on_page() -> Response:
        """What the form's address looks for, under a name."""
        who = viewer_with(LISTS)
        form = await posted(who)
        query = page_query(MultiDict(parse_qsl(form.get("query", ""))))
        asked = msgspec.structs.replace(query, cursor="").request()
        text = msgspec.json.encode(asked).decode()
        await searching.tenancy.create_search(
            who.tenant_id, secrets.token_hex(8), form.get("name", ""), text, who.actor
        )
        return go(query.url(), "search-saved")

    @app.post("/searches/<search_id>/delete")
    @needs(LISTS)
    async def delete_search_on_page(search_id: str) -> Response:
        who = viewer_with(LISTS)
        await posted(who)
        await searching.tenancy.delete_search(who.tenant_id, search_id, None, who.actor)
        return go("/", "search-deleted")

    @app.get("/why/<creator_id>")
    async def why_page(creator_id: str) -> Response:
        """Where a creator stands in a search, whether it is found or not."""
        who, query = viewer(), page_query(request.args)
        asked = await ask(searching, _explained(query), who.tenant_id, stale_drops=True)
        (seed,) = await searching.seeds([str(parse_creator_id(creator_id))])
        placed = await standing(searching, asked, seed)
        (pair,) = await services.creators([seed.creator_id])
        return pages.render(
            "why.html",
            who,
            q=query.q,
            query=query,
            placed=placed,
            name=pair[0].name if pair else creator_id,
        )

    @app.get("/similar")
    async def similar_page() -> Response:
        who = viewer()
        like, unlike = _ids("id"), _ids("not")
        cursor = request.args.get("cursor", "")
        if not like:
            return redirect("/", 303)  # type: ignore[return-value]
        asked = await ask_similar(
            searching,
            SimilarRequest(
                positive=[str(one) for one in like], negative=[str(one) for one in unlike], limit=20, cursor=cursor
            ),
            who.tenant_id,
        )
        found = await answer(searching, asked, services.audit, services.now())
        seeds = [pair[0] for pair in await services.creators([*like, *unlike]) if pair is not None]
        given = [("id", str(one)) for one in like] + [("not", str(one)) for one in unlike]
        return pages.render(
            "similar.html",
            who,
            found=found,
            seeds=[(str(one.creator_id), one.name, one.creator_id in unlike) for one in seeds],
            sparks=await _sparks(found.hits),
            query=PageQuery(),
            following=f"/similar?{urlencode([*given, ('cursor', found.cursor)])}" if found.cursor else "",
            first=False,
        )

    @app.get("/export")
    @needs(EXPORT)
    async def export_picked() -> Response:
        """Creators that were picked by hand."""
        who, form = viewer_with(EXPORT), request.args.get("format", "csv")
        return await export_creators(searching, _ids("id"), form, who.tenant_id, services.audit, services.now())

    async def _sparks(hits: Sequence[Hit]) -> dict[str, str]:
        """Followers over the last month, as a path, of those of whom there is more than one reading."""
        ids = [CreatorId(int(hit.creator.creator_id)) for hit in hits]
        since = int(services.now()) // 86_400 - SPARK_DAYS
        histories = await services.history(ids, since) if ids else {}
        drawn = {str(one): spark(spark_values(series(found).followers)) for one, found in histories.items()}
        return {one: path for one, path in drawn.items() if path}


def saved_url(asked: SearchRequest) -> str:
    """The page of a saved search; one whose filter cannot be read any more has words alone there."""
    return PageQuery(q=asked.q, filter=_as_text(asked.filter), drop=tuple(asked.drop), sort=asked.sort).url()


def _as_text(stated: str | dict[str, Any] | None) -> str:
    if stated is None or isinstance(stated, str):
        return stated or ""
    try:
        return show_filter(decode_filter(stated))
    except FilterError:
        return ""


def _explained(query: PageQuery) -> SearchRequest:
    asked = query.request()
    asked.explain, asked.cursor = FULL, ""
    return asked


def _ids(name: str) -> list[CreatorId]:
    """Raises BadParameter."""
    given = list(dict.fromkeys(request.args.getlist(name)))
    if len(given) > MOST_PICKED:
        raise BadParameter(f"{MOST_PICKED} creators may be named at once, not {len(given)}", pointer=name)
    return [parse_creator_id(one, name) for one in given]


def chips(query: PageQuery, found: SearchAnswer, vocabulary: Vocabulary) -> list[Chip]:
    """What words were read as, then what was picked by hand."""
    read = [_read(query, one, vocabulary) for one in found.interpreted if one.applied or one.id in query.drop]
    return [*read, *own_chips(query)]


def own_chips(query: PageQuery) -> list[Chip]:
    picked = [
        Chip(field=column, value=value, remove=query.without(column, value))
        for column, values in query.picked.items()
        for value in values
    ]
    if text := query.stated_followers():
        picked.append(Chip(field="followers", value=text, remove=query.url(low="", high="")))
    if days := query.stated_days():
        picked.append(Chip(field="posted within", value=f"{days} days", remove=query.url(posted="")))
    if query.filter:
        picked.append(Chip(field="filter", value=query.filter, remove=query.url(filter="")))
    return picked


def _read(query: PageQuery, one: Interpreted, vocabulary: Vocabulary) -> Chip:
    field = {"any_niche": "niche", "secondary_niche": "niche"}.get(one.field, one.field)
    if one.id in query.drop:
        return Chip(field=field, value=one.value, words=one.words, restore=query.keeping(one.id))
    return Chip(
        field=field if one.kind == "filter" else f"prefers {field}",
        value=one.value,
        words=one.words,
        remove=query.dropping(one.id),
        edit=edited(query, one, vocabulary),
    )


def edited(query: PageQuery, one: Interpreted, vocabulary: Vocabulary) -> str:
    """The same condition as a choice of one's own, at its place among the facets; empty where there is none."""
    try:
        node = parse_filter(one.filter, vocabulary)
    except FilterError:
        return ""
    if isinstance(node, In):
        column = "niche" if node.column == "any_niche" else node.column
        known = vocabulary.get(column, node.values)
        if column in PICKED and set(node.values) <= set(known):
            return f"{query.url(picked={**query.picked, column: node.values})}#facet-{column}"
    if isinstance(node, Range) and node.column == "followers":
        low, high = (node.gte if node.gte is not None else node.gt), (node.lte if node.lte is not None else node.lt)
        changed = query.url(low=_whole(low), high=_whole(high))
        return f"{changed}#facet-followers"
    return ""


def _whole(number: float | None) -> str:
    return "" if number is None else f"{number:.0f}"


def relaxations(query: PageQuery, found: SearchAnswer) -> list[tuple[RelaxationView, str, str]]:
    """Each with the words of the brief that it stands for, and where to go."""
    said = {one.id: one.words for one in found.interpreted}
    return [
        (one, ", ".join(said[name] for name in one.interpreted if name in said), relaxed(query, one))
        for one in found.relaxations
    ]


def relaxed(query: PageQuery, one: RelaxationView) -> str:
    """The search without that condition: what was read out of words is dropped, what was picked is taken back."""
    if one.interpreted:
        return query.dropping(*one.interpreted)
    column = one.filter.split(" ")[0]
    if column in query.picked:
        return query.url(picked={name: values for name, values in query.picked.items() if name != column})
    if column == "followers":
        return query.url(low="", high="")
    return query.url(posted="") if column == "last_posted_days" and query.posted else query.url(filter="")


def shown_facets(found: SearchAnswer | None, query: PageQuery) -> list[tuple[str, list[tuple[str, int, bool]], int]]:
    """Column, its values with their counts and whether they are picked, and how many more values there are."""
    counted = found.facets or {} if found else {}
    shown = []
    for column in PICKED:
        picked = query.picked.get(column, ())
        values = counted.get(column, {})
        first = [*picked, *(value for value in values if value not in picked)][: max(MOST_SHOWN, len(picked))]
        rows = sorted(((one, values.get(one, 0), one in picked) for one in first), key=lambda row: -row[1])
        shown.append((column, rows, max(0, len({*values, *picked}) - len(first))))
    return shown
