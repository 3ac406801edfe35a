"""The page of one creator, and the comparison of a few."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import msgspec
from quart import Response, abort, request
from quart_trio import QuartTrio

from daemon.raw_export import mask_secrets
from daemon.web.answering import answer
from daemon.web.asking import ask_similar
from daemon.web.authorising import needs
from daemon.web.charts import Point, in_words, line_chart, spark
from daemon.web.creators import detail, moved_to
from daemon.web.forms import posted, shown_version
from daemon.web.history import CHART_DAYS, Series, series, spark_values
from daemon.web.page_operations import allowed
from daemon.web.params import parse_creator_id
from daemon.web.problems import BadParameter
from daemon.web.rendering import Pages
from daemon.web.replies import see
from daemon.web.services import PublicServices
from daemon.web.telling import go
from daemon.web.viewer import ADMIN, LISTS, Viewer, viewer, viewer_with
from daemon.web.views import instant
from proto.api import CreatorDetail, CreatorView, Hit, SignGroupView, SimilarRequest
from proto.errors import NotFound, Unavailable
from proto.ids import CreatorId
from proto.records import CreatorList

ALIKE = 6
RAW_PAGES = 20
MOST_COMPARED = 5


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A path, how wide it is, 40 high, and the same in words."""

    spark: str
    width: int
    summary: str


Compared = tuple[CreatorDetail, SignGroupView | None, Line | None]


def register(app: QuartTrio, services: PublicServices, pages: Pages) -> None:
    searching = services.searching

    @app.get("/creators/<creator_id>")
    async def creator_page(creator_id: str) -> Response:
        moved = await moved_to(services, creator_id)
        if moved is not None:
            return see(f"/creators/{moved}")
        who, number = viewer(), parse_creator_id(creator_id)
        page = await detail(services, creator_id)
        found = await _series(number)
        on = await _lists(who, number)
        raw = await services.raw_pages(number, RAW_PAGES) if who.may(ADMIN) else []
        return pages.render(
            "creator.html",
            who,
            creator=page.creator,
            content=page.recent_content,
            signs=page.vital_signs,
            embeddings=page.embeddings,
            identity=await services.identity(number),
            schedule=await services.schedule(number),
            followers=line_chart(found.followers),
            views=line_chart(found.views),
            alike=await _alike(who, page.creator),
            on=on,
            note=(await searching.tenancy.notes_on(who.tenant_id, [number])).get(number) if who.may(LISTS) else None,
            hidden=await _hidden(who, number),
            raw=[(mask_secrets(one.request), one, instant(one.fetched_at)) for one in raw],
            operations=services.operations is not None,
            forget_command=shlex.join(["pokedexd", "forget", *_account_keys(page.creator)]),
        )

    @app.post("/creators/<creator_id>/forget")
    @needs(ADMIN)
    async def forget_on_page(creator_id: str) -> Response:
        """Erases all accounts of a creator, once the name was typed."""
        operations, who = allowed(services)
        form = await posted(who)
        if not who.keyed:
            abort(403, "what cannot be undone asks for a key; or run `pokedexd forget` on this machine")
        page = await detail(services, creator_id)
        if form.get("confirm", "").strip() != page.creator.name.strip():
            return go(f"/creators/{page.creator.creator_id}#forget", "wrong-name")
        reports = await operations.forget(_account_keys(page.creator), who.by)
        return pages.render("forgotten.html", who, name=page.creator.name, accounts=len(reports))

    @app.post("/creators/<creator_id>/split")
    @needs(ADMIN)
    async def split_on_page(creator_id: str) -> Response:
        """An account is none of this creator's others any more."""
        operations, who = allowed(services)
        form = await posted(who)
        await operations.reviewing.split(form.get("account", ""), who.by)
        return go(f"/creators/{parse_creator_id(creator_id)}#identity", "split")

    @app.post("/creators/<creator_id>/note")
    @needs(LISTS)
    async def write_note_on_page(creator_id: str) -> Response:
        """Text and tags; nothing deletes the note."""
        who = viewer_with(LISTS)
        form = await posted(who)
        number = parse_creator_id(creator_id)
        await searching.tenancy.write_note(
            who.tenant_id,
            number,
            text=form.get("text", "").replace("\r\n", "\n").strip(),
            tags=[tag.strip() for tag in form.get("tags", "").split(",") if tag.strip()],
            version=shown_version(form),
            actor=who.actor,
        )
        return go(f"/creators/{number}#notes", "note-saved")

    @app.post("/creators/<creator_id>/hidden")
    @needs(LISTS)
    async def hide_on_page(creator_id: str) -> Response:
        """Whether searches leave the creator out."""
        who = viewer_with(LISTS)
        form = await posted(who)
        number = parse_creator_id(creator_id)
        hide = form.get("hidden") == "yes"
        change = searching.tenancy.hide if hide else searching.tenancy.unhide
        await change(who.tenant_id, number, who.actor)
        return go(f"/creators/{number}", "hidden" if hide else "shown")

    @app.get("/compare")
    async def compare_page() -> Response:
        who = viewer()
        ids = [parse_creator_id(one, "id") for one in dict.fromkeys(request.args.getlist("id"))]
        if len(ids) > MOST_COMPARED:
            raise BadParameter(f"{MOST_COMPARED} creators can be compared at once, not {len(ids)}", pointer="id")
        compared: list[Compared] = []
        for one in ids:
            page = await detail(services, str(await services.present_id(one) or one))
            drawn = _line((await _series(CreatorId(int(page.creator.creator_id)))).followers)
            compared.append((page, page.vital_signs.overall if page.vital_signs else None, drawn))
        return pages.render("compare.html", who, compared=compared, most=MOST_COMPARED, best=_best(compared))

    async def _series(number: CreatorId) -> Series:
        since = int(services.now()) // 86_400 - CHART_DAYS
        histories = await services.history([number], since)
        return series(histories.get(number, {}))

    async def _alike(who: Viewer, creator: CreatorView) -> list[Hit]:
        try:
            asked = await ask_similar(
                searching,
                SimilarRequest(positive=[creator.creator_id], limit=ALIKE, explain="none"),
                who.tenant_id,
            )
            found = await answer(searching, asked, lambda _: None, services.now())
        except (Unavailable, NotFound):  # search is still loading, or does not know the creator yet
            return []
        return found.hits

    async def _hidden(who: Viewer, number: CreatorId) -> bool:
        """Among the rows that searches know: a tenant may hide many."""
        (known,) = await services.creators([number]) if who.may(LISTS) else [None]
        return known is not None and known[0].row in (await searching.tenancy.rows(who.tenant_id)).hidden

    async def _lists(who: Viewer, number: CreatorId) -> list[CreatorList]:
        """Those that the creator is on."""
        known = await searching.tenancy.lists(who.tenant_id) if who.may(LISTS) else []
        return [one for one in known if number in one.creator_ids]


def _line(points: Sequence[Point]) -> Line | None:
    if len(points) < 2:
        return None
    values = spark_values(points, CHART_DAYS)
    return Line(spark=spark(values, 3, 40), width=3 * (len(values) - 1), summary=in_words(points))


def _account_keys(creator: CreatorView) -> list[str]:
    return [f"{account.platform}:{account.platform_user_id}" for account in creator.accounts]


def _best(compared: Sequence[Compared]) -> dict[str, float]:
    """The largest of each figure, of those that are known."""
    best: dict[str, float] = {}
    for name in ("total_followers", "engagement_rate", "growth_30d", "posts_per_week"):
        values = [value for page, _, _ in compared if (value := getattr(page.creator, name)) is not None]
        if len(values) > 1:
            best[name] = max(values)
    return best
