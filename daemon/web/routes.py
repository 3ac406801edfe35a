"""Every route of the public API: what it takes and what it may answer. The source of its OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from daemon.interpreting import MODES
from daemon.web.asking import BRIEF, EXPLAIN, FIELDS, FUSIONS, MAX_QUERY_CHARS, SORTS
from daemon.web.authorising import ANYBODY, KNOWN
from daemon.web.export import FORMATS
from daemon.web.paging import LIMIT as LISTED
from daemon.web.params import MAX_LIMIT
from daemon.web.search import EXPLAIN_PARAMETERS, EXPORT_PARAMETERS, MAX_PREFIX_CHARS, MOST_SUGGESTIONS, SUGGESTIONS
from proto.api import (
    CreatorDetail,
    CreatorIdentity,
    CreatorSchedule,
    ExplainAnswer,
    HiddenPage,
    HiddenState,
    ListChange,
    ListCreate,
    ListNewsView,
    ListPage,
    Lists,
    ListView,
    NoteChange,
    NotePage,
    NoteView,
    ReadyAnswer,
    ReviewPage,
    SavedSearchChange,
    SavedSearchCreate,
    SavedSearches,
    SavedSearchView,
    SearchAnswer,
    SearchRequest,
    SessionCreate,
    SessionView,
    SimilarRequest,
    Suggestions,
    TaskPage,
    TaskView,
    TriageChange,
)
from stores.filter_columns import FACETS
from stores.lists import STATES

Schema = Mapping[str, Any]
Parameter = tuple[Schema, str]
"""Its schema and what it is for."""

ID: Parameter = ({"type": "string", "pattern": "^[0-9]{1,19}$"}, "The creator's id.")
LIST_ID: Parameter = ({"type": "string", "pattern": "^[0-9a-f]{16}$"}, "The list's id.")
SEARCH_ID: Parameter = ({"type": "string", "pattern": "^[0-9a-f]{16}$"}, "The saved search's id.")
CURSOR: Parameter = ({"type": "string"}, "The `cursor` of the page before.")
CREATOR: Parameter = ({"type": "string", "maxLength": 100}, "The creator's id, or an account's key or handle.")
MOVED = "An id of a creator that was merged into another, or an account's key or handle, leads there."
READING = (400,)
WRITING = (400, 413, 415)


class Route(msgspec.Struct, kw_only=True, frozen=True):
    """An operation. ``answer``: the type of its body; None for one that has none."""

    method: str
    path: str
    summary: str
    answer: Any
    status: int = 200
    media: tuple[str, ...] = ("application/json",)
    body: Any = None
    optional: bool = False
    """Whether the body may be left out."""
    places: Mapping[str, Parameter] = {}
    query: Mapping[str, Parameter] = {}
    required: tuple[str, ...] = ()
    """Of ``query``."""
    also: tuple[int, ...] = ()
    """Other statuses with the same body."""
    empty: tuple[int, ...] = ()
    """Other statuses without a body."""
    moves: str = ""
    problems: tuple[int, ...] = ()
    scope: str = "search"
    """That it takes: one of a key's, `KNOWN` or `ANYBODY`."""
    versioned: bool = False
    """Whether a change may be bound to a version, by `If-Match`."""


def _number(default: int, most: int, about: str) -> Parameter:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": default}, about


def _comma_list(choices: tuple[str, ...] = ()) -> Schema:
    items = {"type": "string", "enum": list(choices)} if choices else {"type": "string"}
    return {"type": "array", "items": items}


SEARCH: Mapping[str, Parameter] = {
    "q": (
        {"type": "string", "maxLength": MAX_QUERY_CHARS},
        "Words to look for, or a brief such as `gaming creators in Brazil, 10-50k`; empty lists everyone by quality.",
    ),
    "filter": (
        {"type": "string", "maxLength": 4_096},
        "Conditions, such as `platform = youtube AND followers 5k TO 50k AND country IN [BR, PT]`. Who is not known to "
        "meet one is left out; `OR UNKNOWN` behind a condition lets those pass.",
    ),
    "limit": _number(20, MAX_LIMIT, "Hits on this page."),
    "cursor": ({"type": "string"}, "The `cursor` of the page before, with the same other parameters."),
    "sort": (
        {"type": "string", "enum": [name + end for name in SORTS for end in ("", ":desc", ":asc")][:-1]},
        "By what, and in which direction; who has no value comes last in both.",
    ),
    "facets": (_comma_list(FACETS), "Count the match set by these columns, each without the conditions on itself."),
    "explain": (
        {"type": "string", "enum": list(EXPLAIN), "default": BRIEF},
        "Whether hits say how their score comes about and where the words are (`brief`), and which content has them as "
        "well (`full`, or `true`).",
    ),
    "interpret": (
        {"type": "string", "enum": list(MODES), "default": MODES[0]},
        "Whether words of `q` become conditions: `apply`, `suggest` (only say which), or `off`. A query that equals a "
        "known name or handle never does.",
    ),
    "drop": (_comma_list(), "Ids of interpretations that are not wanted: their words are looked for."),
    "fields": (_comma_list(FIELDS), "Fields of creators that are wanted; all where none is named. The id always is."),
    "fusion": (
        {"type": "string", "enum": list(FUSIONS), "default": FUSIONS[0]},
        "How words and meaning come together: weighted, or by ranks (reciprocal rank fusion).",
    ),
    "diversity": (
        {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
        "Towards 1 the first hits are spread over what they are about; not where they are sorted by a column.",
    ),
    "weights": (
        {"type": "string"},
        "In place of those in force, such as `keyword:0.5,vector:0.4,yt_bio:2`; the parts add up to 1 at most.",
    ),
    "fresh_within": (
        {"type": "string"},
        "All accounts were read within so many days, or such as `12h` or `2w`.",
    ),
}  # fmt: skip


def _of(names: tuple[str, ...], more: Mapping[str, Parameter]) -> dict[str, Parameter]:
    known = {**SEARCH, **more}
    return {name: known[name] for name in names}


_IN_LIST = {"list_id": LIST_ID, "creator_id": ID}
_PAGED = {"cursor": CURSOR, "limit": _number(LISTED, MAX_LIMIT, "Creators on this page.")}
_VERSION: Parameter = (
    {"type": "integer", "minimum": 1},
    "As it was read: where it has changed since, it stays and 409 says so.",
)

ROUTES: tuple[Route, ...] = (
    Route(
        method="get",
        path="/v1/search",
        summary="Find creators: keywords and meaning, filtered, ranked and explained.",
        answer=SearchAnswer,
        query=SEARCH,
        problems=READING,
    ),
    Route(
        method="post",
        path="/v1/search",
        summary="The same, for what does not fit a URL.",
        answer=SearchAnswer,
        body=SearchRequest,
        problems=WRITING,
    ),
    Route(
        method="get",
        path="/v1/search/explain",
        summary="Where one creator stands in a search, or which filter, word or rank keeps it out.",
        answer=ExplainAnswer,
        query=_of(
            EXPLAIN_PARAMETERS,
            {"creator_id": ({"type": "string", "maxLength": 100}, "The creator's id, or an account's handle or URL.")},
        ),
        required=("creator_id",),
        problems=(400, 404),
    ),
    Route(
        method="get",
        path="/v1/search/export",
        scope="export",
        summary="Everything that a search finds, streamed to its end.",
        answer=str,
        media=tuple(FORMATS.values()),
        query=_of(
            EXPORT_PARAMETERS,
            {"format": ({"type": "string", "enum": list(FORMATS), "default": "csv"}, "CSV, or a line of JSON each.")},
        ),
        problems=READING,
    ),
    Route(
        method="post",
        path="/v1/similar",
        summary="Creators like some, and unlike others.",
        answer=SearchAnswer,
        body=SimilarRequest,
        problems=(*WRITING, 404),
    ),
    Route(
        method="get",
        path="/v1/autocomplete",
        summary="Names, handles and niches that begin so.",
        answer=Suggestions,
        query={
            "q": ({"type": "string", "maxLength": MAX_PREFIX_CHARS}, "What was typed so far."),
            "limit": _number(SUGGESTIONS, MOST_SUGGESTIONS, "Suggestions at most."),
        },
        problems=READING,
    ),
    Route(method="get", path="/v1/lists", scope="lists", summary="The lists, by name.", answer=Lists, problems=READING),
    Route(
        method="post",
        path="/v1/lists",
        scope="lists",
        summary="Make a list.",
        answer=ListView,
        status=201,
        body=ListCreate,
        problems=(*WRITING, 404, 409),
    ),
    Route(
        method="get",
        path="/v1/lists/{list_id}",
        scope="lists",
        summary="A list with its creators.",
        answer=ListPage,
        places={"list_id": LIST_ID},
        query={
            **_PAGED,
            "state": (
                {"type": "string", "enum": list(STATES)},
                "Only creators with this state; empty: undecided ones.",
            ),
        },
        problems=(400, 404),
    ),
    Route(
        method="patch",
        path="/v1/lists/{list_id}",
        scope="lists",
        summary="Rename a list, put creators in or take them out, say what is thought of them, move them.",
        answer=ListView,
        places={"list_id": LIST_ID},
        body=ListChange,
        versioned=True,
        problems=(*WRITING, 404, 409),
    ),
    Route(
        method="delete",
        path="/v1/lists/{list_id}",
        scope="lists",
        summary="Delete a list.",
        answer=None,
        status=204,
        places={"list_id": LIST_ID},
        query={"version": _VERSION},
        versioned=True,
        problems=(400, 404, 409),
    ),
    Route(
        method="get",
        path="/v1/lists/{list_id}/changes",
        scope="lists",
        summary="What became of a list since the last visit, or since a version.",
        answer=ListNewsView,
        places={"list_id": LIST_ID},
        query={"since": ({"type": "integer", "minimum": 0}, "A version; without it, that of the last visit.")},
        problems=(400, 404),
    ),
    Route(
        method="post",
        path="/v1/lists/{list_id}/visits",
        scope="lists",
        summary="Note that a list has been seen.",
        answer=ListView,
        places={"list_id": LIST_ID},
        query={"version": ({"type": "integer", "minimum": 1}, "Up to which; without it, as it is now.")},
        problems=(400, 404),
    ),
    Route(
        method="put",
        path="/v1/lists/{list_id}/creators/{creator_id}",
        scope="lists",
        summary="Put a creator into a list, and say what is thought of it; one that is in it stays.",
        answer=ListView,
        places=_IN_LIST,
        body=TriageChange,
        optional=True,
        versioned=True,
        problems=(*WRITING, 404, 409),
    ),
    Route(
        method="delete",
        path="/v1/lists/{list_id}/creators/{creator_id}",
        scope="lists",
        summary="Take a creator out of a list.",
        answer=ListView,
        places=_IN_LIST,
        versioned=True,
        problems=(400, 404, 409),
    ),
    Route(
        method="get",
        path="/v1/notes",
        scope="lists",
        summary="What was noted of creators.",
        answer=NotePage,
        query={**_PAGED, "tag": ({"type": "string", "maxLength": 100}, "Only those with this tag.")},
        problems=READING,
    ),
    Route(
        method="get",
        path="/v1/creators/{creator_id}/note",
        scope="lists",
        summary="What was noted of a creator.",
        answer=NoteView,
        places={"creator_id": ID},
        problems=(400, 404),
    ),
    Route(
        method="put",
        path="/v1/creators/{creator_id}/note",
        scope="lists",
        summary="Write a note or tags; 204 where nothing is left of it.",
        answer=NoteView,
        empty=(204,),
        places={"creator_id": ID},
        body=NoteChange,
        versioned=True,
        problems=(*WRITING, 404, 409),
    ),
    Route(
        method="delete",
        path="/v1/creators/{creator_id}/note",
        scope="lists",
        summary="Delete the note of a creator.",
        answer=None,
        status=204,
        places={"creator_id": ID},
        query={"version": ({"type": "integer", "minimum": 0}, "Of the note as it was read.")},
        versioned=True,
        problems=(400, 404, 409),
    ),
    Route(
        method="get",
        path="/v1/searches",
        scope="lists",
        summary="Saved searches, by name.",
        answer=SavedSearches,
        problems=READING,
    ),
    Route(
        method="post",
        path="/v1/searches",
        scope="lists",
        summary="Save a search.",
        answer=SavedSearchView,
        status=201,
        body=SavedSearchCreate,
        problems=(*WRITING, 409),
    ),
    Route(
        method="get",
        path="/v1/searches/{search_id}",
        scope="lists",
        summary="A saved search.",
        answer=SavedSearchView,
        places={"search_id": SEARCH_ID},
        problems=(400, 404),
    ),
    Route(
        method="patch",
        path="/v1/searches/{search_id}",
        scope="lists",
        summary="Rename a saved search, or search for something else by it.",
        answer=SavedSearchView,
        places={"search_id": SEARCH_ID},
        body=SavedSearchChange,
        versioned=True,
        problems=(*WRITING, 404, 409),
    ),
    Route(
        method="delete",
        path="/v1/searches/{search_id}",
        scope="lists",
        summary="Delete a saved search.",
        answer=None,
        status=204,
        places={"search_id": SEARCH_ID},
        query={"version": _VERSION},
        versioned=True,
        problems=(400, 404, 409),
    ),
    Route(
        method="get",
        path="/v1/hidden",
        scope="lists",
        summary="Creators that no search finds, but one that asks about `hidden`.",
        answer=HiddenPage,
        query=_PAGED,
        problems=READING,
    ),
    Route(
        method="put",
        path="/v1/hidden/{creator_id}",
        scope="lists",
        summary="Hide a creator.",
        answer=HiddenState,
        places={"creator_id": ID},
        problems=(400, 404, 409),
    ),
    Route(
        method="delete",
        path="/v1/hidden/{creator_id}",
        scope="lists",
        summary="Show a creator again.",
        answer=HiddenState,
        places={"creator_id": ID},
        problems=READING,
    ),
    Route(
        method="get",
        path="/v1/creators/{creator_id}",
        summary="One creator with accounts, labels, vital signs and recent content.",
        answer=CreatorDetail,
        places={"creator_id": CREATOR},
        moves=MOVED,
        problems=(400, 404),
    ),
    Route(
        method="get",
        path="/v1/creators/{creator_id}/schedule",
        summary="When the creator's accounts are looked at next, why, and what that costs.",
        answer=CreatorSchedule,
        places={"creator_id": CREATOR},
        moves=MOVED,
        problems=(400, 404),
    ),
    Route(
        method="get",
        path="/v1/creators/{creator_id}/identity",
        summary="Why each account belongs to the creator, and which others may.",
        answer=CreatorIdentity,
        places={"creator_id": CREATOR},
        moves=MOVED,
        problems=(400, 404),
    ),
    Route(
        method="get",
        path="/v1/reviews",
        scope="admin",
        summary="Pairs of accounts that may be one person's and wait for an operator's word.",
        answer=ReviewPage,
        query={"cursor": CURSOR, "limit": _number(50, MAX_LIMIT, "Pairs at most.")},
        problems=READING,
    ),
    Route(
        method="get",
        path="/v1/tasks",
        scope="admin",
        summary="The latest long work (backups, imports, erasures, rebuilds): how far each is, and what became of it.",
        answer=TaskPage,
        problems=READING,
    ),
    Route(
        method="get",
        path="/v1/tasks/{uid}",
        scope="admin",
        summary="One task.",
        answer=TaskView,
        places={"uid": ({"type": "string", "pattern": "^[0-9]{1,12}$"}, "The task's number.")},
        problems=(400, 404),
    ),
    Route(
        method="get",
        path="/v1/session",
        scope=KNOWN,
        summary="Who is asking, which scopes that has, and the token for changes that come with a cookie.",
        answer=SessionView,
        problems=READING,
    ),
    Route(
        method="post",
        path="/v1/session",
        scope=ANYBODY,
        summary="Log in: the answer sets a cookie. A form is taken as well, and led on to its `next`.",
        answer=SessionView,
        body=SessionCreate,
        problems=(*WRITING, 401, 409),
    ),
    Route(
        method="delete",
        path="/v1/session",
        scope=KNOWN,
        summary="Log out.",
        answer=None,
        status=204,
        problems=READING,
    ),
    Route(method="get", path="/healthz", scope=ANYBODY, summary="Alive.", answer=dict[str, str]),
    Route(
        method="get",
        path="/readyz",
        scope=ANYBODY,
        summary="What is loaded, how much is stored and what is pending; 503 until keyword search serves.",
        answer=ReadyAnswer,
        also=(503,),
    ),
    Route(method="get", path="/openapi.json", scope=ANYBODY, summary="This document.", answer=dict[str, Any]),
)

SCOPES: Mapping[tuple[str, str], str] = {
    (route.method.upper(), route.path.replace("{", "<").replace("}", ">")): route.scope for route in ROUTES
}
"""That an operation takes, by its method and the router's rule."""
