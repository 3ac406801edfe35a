"""Everything that a search finds, as a stream: a page at a time, so that memory does not grow with it."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

import msgspec
from quart import Response

from daemon.interpreting import untouched
from daemon.web.answering import Audit, chosen_fields, detail_of, found, view_of
from daemon.web.asking import NONE, Asked
from daemon.web.params import chosen
from daemon.web.services import SearchServices
from daemon.web.tenant import actor
from proto.api import CreatorView
from proto.ids import CreatorId
from proto.records import AuditEvent
from stores.catalog import ShownCreator
from stores.ports import SearchQuery

PAGE = 200
FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
COLUMNS = (
    "rank", "creator_id", "score", "name", "canonical_handle", "accounts", "urls", "total_followers",
    "followers_by_platform", "primary_niche", "secondary_niches", "content_style", "llm_summary", "language", "country",
    "engagement_rate", "posts_per_week", "growth_30d", "activity", "last_content_at", "content_count", "emails",
    "websites", "identity_confidence", "profile_image_url", "updated_at",
)  # fmt: skip
ID_COLUMNS = ("rank", "creator_id", "accounts")
SAID_COLUMNS = ("state", "reason", "note", "tags")
"""Of a list: the caller's own words, which may be handed on always."""
FORMULA_BEGINS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")
"""A spreadsheet takes a cell that begins so for a formula (some take the wide forms too), and creators write their own
names."""


Writer = Callable[[Asked, Sequence[ShownCreator | None], Sequence[float], int, bool], bytes]


class Row(msgspec.Struct, kw_only=True):
    """A line of JSON."""

    rank: int
    score: float
    creator: CreatorView


class IdRow(msgspec.Struct, kw_only=True):
    """A line of JSON where nothing else may be handed on."""

    rank: int
    creator_id: str
    accounts: list[str]


class Said(msgspec.Struct, kw_only=True, frozen=True):
    """What was said of a creator of a list. ``state``: empty while undecided."""

    state: str = ""
    reason: str = ""
    note: str = ""
    tags: list[str] = []


class ListRow(Said, kw_only=True, frozen=True):
    """A line of JSON: one of a list has no score."""

    rank: int
    creator: CreatorView


class ListIdRow(Said, kw_only=True, frozen=True):
    """As `IdRow`, of a list."""

    rank: int
    creator_id: str
    accounts: list[str]


async def export_search(services: SearchServices, asked: Asked, form: str, audit: Audit, now: float) -> Response:
    """The first page is ranked before anything is answered, so that what is wrong is still told as a problem."""
    chosen(form, "format", list(FORMATS))
    query = msgspec.structs.replace(asked.query, limit=PAGE, offset=0, snapshot="", facets=())
    asked = msgspec.structs.replace(asked, query=query, explain=NONE)
    first = await services.search(query)
    detail = f"{detail_of(asked)}: {first.total} as {form}"
    audit(AuditEvent(at=int(now), tenant_id=query.tenant_id, actor=actor(), action="export", detail=detail))
    write = _as_csv if form == "csv" else _as_jsonl
    body = _stream(services, asked, form, write, first.snapshot)
    answer = Response(
        body, content_type=FORMATS[form], headers={"Content-Disposition": f'attachment; filename="creators.{form}"'}
    )
    answer.timeout = None  # it ends with its last page, however many there are
    return answer


async def export_creators(
    services: SearchServices, ids: Sequence[CreatorId], form: str, tenant_id: str, audit: Audit, now: float
) -> Response:
    """These creators, in this order; those that are not known are left out. They have no score."""
    chosen(form, "format", list(FORMATS))
    shown = [one for one in await services.shown(ids, 0) if one is not None]
    detail = f"{len(shown)} picked creators as {form}"
    audit(AuditEvent(at=int(now), tenant_id=tenant_id, actor=actor(), action="export", detail=detail))
    asked = Asked(query=SearchQuery(text=""), text="", interpretation=untouched(""), shape="")
    ids_only = services.ids_only()
    body = _as_jsonl(asked, shown, [0.0] * len(shown), 1, ids_only)
    if form == "csv":
        body = _line(_columns(asked, ids_only=ids_only)) + _as_csv(asked, shown, [0.0] * len(shown), 1, ids_only)
    return Response(
        body, content_type=FORMATS[form], headers={"Content-Disposition": f'attachment; filename="creators.{form}"'}
    )


async def export_list(
    services: SearchServices,
    ids: Sequence[CreatorId],
    said: Mapping[CreatorId, Said],
    form: str,
    tenant_id: str,
    audit: Audit,
    now: float,
) -> Response:
    """As `export_creators`, with what was said of each instead of a score."""
    chosen(form, "format", list(FORMATS))
    shown = [one for one in await services.shown(ids, 0) if one is not None]
    detail = f"{len(shown)} creators of a list as {form}"
    audit(AuditEvent(at=int(now), tenant_id=tenant_id, actor=actor(), action="export", detail=detail))
    ids_only = services.ids_only()
    rows = [(rank, one, said.get(one.creator.creator_id, Said())) for rank, one in enumerate(shown, 1)]
    if form == "csv":
        columns = [name for name in (ID_COLUMNS if ids_only else COLUMNS) if name != "score"]
        lines = [_line([*columns, *SAID_COLUMNS])]
        for rank, one, words in rows:
            cells = dict(_cells(one, rank, 0.0))
            own = (words.state, words.reason, words.note, ", ".join(words.tags))
            lines.append(_line([*(cells[name] for name in columns), *own]))
    else:
        lines = [msgspec.json.encode(_list_row(rank, one, words, ids_only)) + b"\n" for rank, one, words in rows]
    return Response(
        b"".join(lines),
        content_type=FORMATS[form],
        headers={"Content-Disposition": f'attachment; filename="creators.{form}"'},
    )


def _list_row(rank: int, one: ShownCreator, said: Said, ids_only: bool) -> ListRow | ListIdRow:
    own = msgspec.structs.asdict(said)
    if ids_only:
        return ListIdRow(rank=rank, creator_id=str(one.creator.creator_id), accounts=_keys(one), **own)
    return ListRow(rank=rank, creator=view_of(one), **own)


async def _stream(
    services: SearchServices, asked: Asked, form: str, write: Writer, snapshot: str
) -> AsyncIterator[bytes]:
    ids_only = services.ids_only()
    if form == "csv":
        yield _line(_columns(asked, ids_only=ids_only))
    offset = 0
    while True:
        query = msgspec.structs.replace(asked.query, offset=offset, snapshot=snapshot)
        page, shown = await found(services, msgspec.structs.replace(asked, query=query))
        if not page.hits:
            return
        scores = [hit.score for hit in page.hits]
        yield write(asked, shown, scores, offset + 1, ids_only)
        offset, snapshot = offset + len(page.hits), page.snapshot
        if offset >= page.total:
            return


def _as_jsonl(
    asked: Asked, shown: Sequence[ShownCreator | None], scores: Sequence[float], first: int, ids_only: bool
) -> bytes:
    lines: list[bytes] = []
    for rank, (one, score) in enumerate(zip(shown, scores, strict=True), first):
        if one is None:
            continue
        row: Row | IdRow
        if ids_only:
            row = IdRow(rank=rank, creator_id=str(one.creator.creator_id), accounts=_keys(one))
        else:
            row = Row(rank=rank, score=score, creator=chosen_fields(view_of(one), asked.fields))
        lines.append(msgspec.json.encode(row) + b"\n")
    return b"".join(lines)


def _as_csv(
    asked: Asked, shown: Sequence[ShownCreator | None], scores: Sequence[float], first: int, ids_only: bool
) -> bytes:
    columns = _columns(asked, ids_only=ids_only)
    lines: list[bytes] = []
    for rank, (one, score) in enumerate(zip(shown, scores, strict=True), first):
        if one is not None:
            cells = dict(_cells(one, rank, score))
            lines.append(_line([cells[name] for name in columns]))
    return b"".join(lines)


def _columns(asked: Asked, *, ids_only: bool) -> list[str]:
    if ids_only:
        return list(ID_COLUMNS)
    always = ("rank", "creator_id", "score")
    return [name for name in COLUMNS if not asked.fields or name in always or name in asked.fields]


def _cells(one: ShownCreator, rank: int, score: float) -> Iterator[tuple[str, object]]:
    view = view_of(one)
    yield from (("rank", rank), ("creator_id", view.creator_id), ("score", score))
    yield "accounts", " ".join(_keys(one))
    yield "urls", " ".join(account.url for account in view.accounts if account.url)
    yield "emails", " ".join(dict.fromkeys(text for account in view.accounts for text in account.emails))
    yield "websites", " ".join(dict.fromkeys(account.website for account in view.accounts if account.website))
    yield "followers_by_platform", " ".join(f"{name}:{count}" for name, count in view.followers_by_platform.items())
    yield "secondary_niches", " ".join(view.secondary_niches)
    for name in COLUMNS:
        if name in CreatorView.__struct_fields__ and name not in (
            "accounts",
            "followers_by_platform",
            "secondary_niches",
        ):
            yield name, getattr(view, name)


def _keys(one: ShownCreator) -> list[str]:
    return [str(account.key) for account in one.accounts]


def _line(cells: Sequence[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow([_cell(cell) for cell in cells])
    return text.getvalue().encode(errors="replace")


def _cell(value: object) -> object:
    """Unknown is empty; a text that a spreadsheet would compute is marked as text."""
    if isinstance(value, str) and value.startswith(FORMULA_BEGINS):
        return "'" + value
    return "" if value is None else value
