"""A search as its page's address has it, so that a link, the back button and a form without scripts say the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import msgspec
from werkzeug.datastructures import MultiDict

from daemon.web.asking import MAX_QUERY_CHARS
from daemon.web.problems import BadParameter
from proto.api import SearchRequest
from proto.errors import FilterError
from stores.filter_ast import In, Node, Range
from stores.filter_columns import COLUMNS, FACETS, LAST_POSTED, Place, number_of
from stores.filter_tokens import Token, number
from stores.filters import parse_filter, show_filter
from stores.ports import RELEVANCE

PAGE_SIZE = 20
DROP, DROP_OF = "drop", "drop_of"
LOW, HIGH, POSTED = "followers_from", "followers_to", "posted_within"
PICKED = tuple(name for name in FACETS if name != "secondary_niche")
"""Facets that the page shows, each a parameter that may be given several times."""
MOST_PICKED = 50


class PageQuery(msgspec.Struct, kw_only=True, frozen=True):
    """``picked``: values of facets, any of which will do; ``low``, ``high``: followers as they were written."""

    q: str = ""
    picked: Mapping[str, tuple[str, ...]] = {}
    low: str = ""
    high: str = ""
    posted: str = ""
    """Days."""
    filter: str = ""
    drop: tuple[str, ...] = ()
    sort: str = RELEVANCE
    cursor: str = ""

    def parameters(self) -> list[tuple[str, str]]:
        """What is not as it would be anyway; a cursor is no part of a search."""
        pairs = [("q", self.q)]
        pairs += [(column, value) for column, values in self.picked.items() for value in values]
        pairs += [(LOW, self.low), (HIGH, self.high), (POSTED, self.posted), ("filter", self.filter)]
        pairs += [(DROP, ",".join(self.drop)), (DROP_OF, self.text_mark() if self.drop else "")]
        pairs += [("sort", "" if self.sort == RELEVANCE else self.sort)]
        return [(name, value) for name, value in pairs if value]

    def text_mark(self) -> str:
        """Of the text: what is dropped is named by its place there, and means something else in another text."""
        return hashlib.blake2b(self.q.encode(errors="replace"), digest_size=4).hexdigest()

    def url(self, path: str = "/", **changes: object) -> str:
        pairs = msgspec.structs.replace(self, **changes).parameters()
        if cursor := changes.get("cursor"):
            pairs.append(("cursor", str(cursor)))
        return f"{path}?{urlencode(pairs)}" if pairs else path

    def without(self, column: str, value: str) -> str:
        """The address of the same search without a value of a facet."""
        rest = tuple(one for one in self.picked.get(column, ()) if one != value)
        return self.url(picked={**self.picked, column: rest})

    def dropping(self, *names: str) -> str:
        return self.url(drop=tuple(dict.fromkeys((*self.drop, *names))))

    def keeping(self, name: str) -> str:
        return self.url(drop=tuple(one for one in self.drop if one != name))

    def conditions(self) -> list[Node]:
        """Of the facets and numbers. Raises BadParameter for what is no number."""
        found: list[Node] = [
            In(column=column, values=values) for column, values in sorted(self.picked.items()) if values
        ]
        low, high = _count(self.low, LOW), _count(self.high, HIGH)
        if low is not None and high is not None and low > high:
            raise BadParameter(f"followers from {self.low} to {self.high}: the first is the greater one", pointer=LOW)
        if low is not None or high is not None:
            found.append(Range(column="followers", gte=low, lte=high))
        if self.posted:
            days = _number(self.posted, LAST_POSTED, POSTED)
            found.append(Range(column=LAST_POSTED, lte=days))
        return found

    def stated_followers(self) -> str:
        """The range as it was written; empty where there is none, or one that is no numbers."""
        if not (self.low or self.high) or not (_readable(self.low, "followers") and _readable(self.high, "followers")):
            return ""
        return f"{self.low or '0'} to {self.high}" if self.high else f"{self.low} or more"

    def stated_days(self) -> str:
        return self.posted if _readable(self.posted, LAST_POSTED) else ""

    def request(self, *, facets: Sequence[str] = (), limit: int = PAGE_SIZE) -> SearchRequest:
        """Raises BadParameter."""
        return SearchRequest(
            q=self.q,
            filter=self.filter_text() or None,
            limit=limit,
            cursor=self.cursor,
            sort=self.sort,
            facets=list(facets),
            drop=list(self.drop),
        )

    def filter_text(self) -> str:
        """In the grammar of filters. Raises BadParameter, and FilterError for one that does not stand by itself: a bracket
        in it would undo what was picked."""
        parts = [show_filter(one) for one in self.conditions()]
        if self.filter:
            parse_filter(self.filter)
        return " AND ".join([*parts, *([f"({self.filter})"] if self.filter else [])])

    def api_parameters(self) -> list[tuple[str, str]]:
        """Of the same search at `/v1/search`. Raises BadParameter."""
        pairs = [("q", self.q), ("filter", self.filter_text()), ("drop", ",".join(self.drop)), ("sort", self.sort)]
        return [(name, value) for name, value in pairs if value]


def page_query(given: MultiDict[str, str]) -> PageQuery:
    """Unknown parameters are ignored: a page's address is often decorated on its way. What was dropped
    of another text than ``q`` is not dropped; an address that does not say of which is believed."""
    query = PageQuery(
        q=text if (text := given.get("q", "")[:MAX_QUERY_CHARS]).strip() else "",
        picked={
            column: tuple(dict.fromkeys(values))
            for column in PICKED
            if (values := [one for one in given.getlist(column) if one][:MOST_PICKED])
        },
        low=given.get(LOW, "").strip(),
        high=given.get(HIGH, "").strip(),
        posted=given.get(POSTED, "").strip(),
        filter=given.get("filter", "").strip(),
        drop=tuple(dict.fromkeys(part.strip() for one in given.getlist(DROP) for part in one.split(",") if part)),
        sort=given.get("sort", "") or RELEVANCE,
        cursor=given.get("cursor", ""),
    )
    known = given.get(DROP_OF, "") in ("", query.text_mark())
    return query if known else msgspec.structs.replace(query, drop=())


def _count(text: str, pointer: str) -> float | None:
    return _number(text, "followers", pointer) if text else None


def _readable(text: str, column: str) -> bool:
    """Whether it is a number, or nothing."""
    try:
        return not text or _number(text, column, column) is not None
    except BadParameter:
        return False


def _number(text: str, column: str, pointer: str) -> float:
    """``5k``, ``50,000``."""
    try:
        written = number(COLUMNS[column], Token("word", text.replace(",", "").replace(" ", ""), 1))
        return number_of(COLUMNS[column], written, Place())
    except FilterError as error:
        raise BadParameter(f"{text[:40]!r} is no number; write 5000 or 5k", pointer=pointer) from error
