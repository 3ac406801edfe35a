"""Lists: all of them, and one as a board on which creators are sorted into shortlist, maybe and no."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.datastructures import MultiDict

from daemon.web.answering import view_of
from daemon.web.authorising import needs
from daemon.web.export import Said, export_list
from daemon.web.forms import posted, shown_version
from daemon.web.params import parse_creator_id, whole_number
from daemon.web.problems import BadParameter
from daemon.web.rendering import Pages
from daemon.web.services import PublicServices, SearchServices
from daemon.web.telling import go
from daemon.web.viewer import EXPORT, LISTS, Viewer, viewer_with
from proto.api import CreatorView
from proto.ids import CreatorId
from proto.records import CreatorList, ListEntry, Note
from stores.catalog import ShownCreator
from stores.lists import Triage

PAGE = 60
MOST_AT_ONCE = 1_000
UNDECIDED = ""
BY_NAME = "undecided"
"""What a form says for it."""
STATES = {UNDECIDED: "Undecided", "shortlist": "Shortlist", "maybe": "Maybe", "no": "No"}
"""In the order of the board, which begins with what is still to be decided."""


class Entry(msgspec.Struct, kw_only=True, frozen=True):
    """A creator on the board. ``state``: one of `STATES`."""

    creator: CreatorView
    state: str = UNDECIDED
    reason: str = ""
    note: str = ""
    tags: tuple[str, ...] = ()


class Board(msgspec.Struct, kw_only=True, frozen=True):
    """``counts``: of the whole list, by state; ``entries`` are a page of it."""

    of: CreatorList
    entries: list[Entry]
    total: int
    counts: Mapping[str, int]

    def columns(self) -> list[tuple[str, str, list[Entry], int]]:
        """State, its name, who has it on this page, and how many have it."""
        return [
            (state, name, [one for one in self.entries if one.state == state], self.counts.get(state, 0))
            for state, name in STATES.items()
        ]


class Rollup(msgspec.Struct, kw_only=True, frozen=True):
    """A list in figures; those that are unknown are left out of sums and told."""

    followers: int
    followers_unknown: int
    engagement: float | None
    """Median."""
    niches: list[tuple[str, int]]
    countries: list[tuple[str, int]]
    platforms: list[tuple[str, int]]


async def read_board(services: SearchServices, who: Viewer, list_id: str, offset: int) -> Board:
    """Raises NotFound."""
    found = await services.tenancy.read_list(who.tenant_id, list_id)
    page = found.members[offset : offset + PAGE]
    notes = await services.tenancy.notes_on(who.tenant_id, page)
    said = {one: found.entries.get(one, ListEntry()) for one in found.members}
    shown = [one for one in await services.shown(page, 0) if one is not None]
    return Board(
        of=found.of,
        entries=[_entry(one, said[one.creator.creator_id], notes.get(one.creator.creator_id)) for one in shown],
        total=len(found.members),
        counts=Counter(entry.state for entry in said.values()),
    )


def _entry(one: ShownCreator, said: ListEntry, note: Note | None) -> Entry:
    return Entry(
        creator=view_of(one),
        state=said.state,
        reason=said.reason,
        note=note.text if note else "",
        tags=tuple(note.tags) if note else (),
    )


def register(app: QuartTrio, services: PublicServices, pages: Pages) -> None:
    searching = services.searching
    tenancy = searching.tenancy

    @app.get("/lists")
    @needs(LISTS)
    async def lists_page() -> Response:
        who = viewer_with(LISTS)
        return pages.render("lists.html", who, lists=await tenancy.lists(who.tenant_id))

    @app.post("/lists")
    @needs(LISTS)
    async def make_list_on_page() -> Response:
        """A new list, with the creators that are named."""
        who = viewer_with(LISTS)
        form = await posted(who)
        ids = _ids(form.getlist("id"))
        made = await tenancy.create_list(who.tenant_id, secrets.token_hex(8), form.get("name", ""), ids, who.actor)
        return go(f"/lists/{made.list_id}", "list-made")

    @app.get("/lists/put")
    @needs(LISTS)
    async def choose_list_page() -> Response:
        """On which list shall they be?"""
        who = viewer_with(LISTS)
        ids = _ids(request.args.getlist("id"))
        shown = [view_of(one) for one in await searching.shown(ids, 0) if one is not None]
        return pages.render("put.html", who, lists=await tenancy.lists(who.tenant_id), creators=shown)

    @app.get("/lists/<list_id>")
    @needs(LISTS)
    async def list_page(list_id: str) -> Response:
        who = viewer_with(LISTS)
        offset = whole_number(request.args, "from", 0, 0, 1 << 30)
        board = await read_board(searching, who, list_id, offset)
        following = offset + PAGE
        return pages.render(
            "list.html",
            who,
            board=board,
            news=await tenancy.list_news(who.tenant_id, list_id, None, who.actor),
            rollup=await _rollup(searching, board.of.creator_ids),
            sample=ROLLED_UP,
            states=STATES,
            following=f"/lists/{list_id}?from={following}" if following < board.total else "",
        )

    @app.post("/lists/<list_id>/change")
    @needs(LISTS)
    async def change_list_on_page(list_id: str) -> Response:
        """Puts creators in, takes them out, or renames."""
        who = viewer_with(LISTS)
        form = await posted(who)
        await tenancy.change_list(
            who.tenant_id,
            list_id,
            name=form.get("name"),
            add=_ids(form.getlist("id")),
            remove=_ids(form.getlist("remove")),
            triage=_triage(form),
            actor=who.actor,
        )
        return go(f"/lists/{list_id}{'#c' + form['creator'] if 'state' in form else ''}", _done(form))

    @app.post("/lists/<list_id>/seen")
    @needs(LISTS)
    async def list_seen_on_page(list_id: str) -> Response:
        """What is new is not any more, up to the version that was shown."""
        who = viewer_with(LISTS)
        form = await posted(who)
        await tenancy.visit_list(who.tenant_id, list_id, shown_version(form), who.actor)
        return go(f"/lists/{list_id}", "watching" if "first" in form else "")

    @app.post("/lists/<list_id>/delete")
    @needs(LISTS)
    async def delete_list_on_page(list_id: str) -> Response:
        who = viewer_with(LISTS)
        version = shown_version(await posted(who))
        await tenancy.delete_list(who.tenant_id, list_id, version, who.actor)
        return go("/lists", "list-deleted")

    @app.get("/lists/<list_id>/export")
    @needs(LISTS)
    async def export_list_on_page(list_id: str) -> Response:
        """Takes both scopes."""
        viewer_with(EXPORT)
        who = viewer_with(LISTS)
        found = await tenancy.read_list(who.tenant_id, list_id)
        form = request.args.get("format", "csv")
        notes = await tenancy.notes_on(who.tenant_id, found.members)
        said = {one: _said(found.entries.get(one, ListEntry()), notes.get(one)) for one in found.members}
        return await export_list(searching, found.members, said, form, who.tenant_id, services.audit, services.now())


ROLLED_UP = 2_000
"""Creators of a list that its figures are made of, at most."""


async def _rollup(services: SearchServices, ids: Sequence[CreatorId]) -> Rollup | None:
    shown = [one.creator for one in await services.shown(list(ids)[:ROLLED_UP], 0) if one is not None]
    if not shown:
        return None
    rates = sorted(one.engagement_rate for one in shown if one.engagement_rate is not None)
    return Rollup(
        followers=sum(one.total_followers or 0 for one in shown),
        followers_unknown=sum(one.total_followers is None for one in shown),
        engagement=(rates[len(rates) // 2] + rates[(len(rates) - 1) // 2]) / 2 if rates else None,
        niches=Counter(one.primary_niche or "unknown" for one in shown).most_common(6),
        countries=Counter(one.country or "unknown" for one in shown).most_common(6),
        platforms=Counter(name for one in shown for name in one.followers_by_platform).most_common(),
    )


def _said(entry: ListEntry, note: Note | None) -> Said:
    return Said(
        state=entry.state,
        reason=entry.reason,
        note=note.text if note else "",
        tags=note.tags if note else [],
    )


def _triage(form: MultiDict[str, str]) -> dict[CreatorId, Triage]:
    """What a card's form says of its creator."""
    if "state" not in form:
        return {}
    state = form["state"].removeprefix(BY_NAME)
    return {parse_creator_id(form.get("creator", ""), "creator"): Triage(state, form.get("reason", "").strip())}


def _ids(texts: Sequence[str]) -> list[CreatorId]:
    if len(texts) > MOST_AT_ONCE:
        raise BadParameter(f"{MOST_AT_ONCE} creators may be named at once, not {len(texts)}", pointer="id")
    return [parse_creator_id(one, "id") for one in dict.fromkeys(texts)]


def _done(form: MultiDict[str, str]) -> str:
    """What to tell of a change; a card that moves to another column tells by itself."""
    done = {"id": "listed", "remove": "taken-off", "name": "renamed"}
    return next((told for name, told in done.items() if name in form), "")
