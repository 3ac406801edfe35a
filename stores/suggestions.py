"""Autocomplete on names and handles: blocking, over the keyword index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import tantivy

from proto.ids import Row
from stores.analysis import exact_key, tokens
from stores.ports import Suggestion, TextDocument
from stores.text_lookup import BEGIN, BEGIN_CHARS

SHOWN, PROMINENCE = "shown", "prominence"
BEGUN_TERMS = 200
"""Of longer ones the most frequent words that begin so."""
FETCHED = 4
"""Times as many are fetched as wanted: some hold the words in another order."""
SCALE = 1_000_000


class Shown(msgspec.Struct, array_like=True, frozen=True):
    """What may be suggested of a creator, as it is written."""

    names: tuple[str, ...]
    handles: tuple[str, ...]


def suggestion_fields(document: TextDocument, names: Sequence[str]) -> dict[str, Any]:
    """What the index holds for `suggest`."""
    words = {word for text in (*names, *document.handles) for word in tokens(text)}
    begins = {word[:length] for word in words for length in range(1, min(len(word), BEGIN_CHARS) + 1)}
    shown = Shown(names=tuple(names), handles=document.handles)
    return {
        BEGIN: " ".join(sorted(begins)),
        SHOWN: msgspec.msgpack.encode(shown),
    }


def scaled(prominence: float) -> int:
    """As the field `PROMINENCE` holds it."""
    return round(min(max(prominence, 0.0), 1.0) * SCALE)


def suggest(searcher: Any, schema: Any, typed: str, limit: int) -> list[Suggestion]:
    """Creators of whom a name or a handle begins with ``typed``, or goes on so at a later word.

    First who is called exactly so, then who begins so, then the others, each by prominence.
    """
    key = exact_key(typed)
    words = tokens(key)
    if not words or limit < 1:
        return []
    query = _begun(searcher, schema, words)
    found = _fetched(searcher, tantivy.Query.term_query(schema, "key", key), limit)
    found |= _fetched(searcher, query, limit * FETCHED)
    placed = [(place, row, text, kind) for row, shown in found.items() for place, text, kind in _best(shown, key)]
    order = {row: at for at, row in enumerate(found)}
    placed.sort(key=lambda one: (one[0], order[one[1]]))
    return [Suggestion(row=Row(row), text=text, kind=kind) for _, row, text, kind in placed[:limit]]


def _begun(searcher: Any, schema: Any, words: Sequence[str]) -> Any:
    """Every word of a name or handle, the last as the beginning of one."""
    parts = [
        _either([tantivy.Query.term_query(schema, field, word) for field in ("name", "handle")]) for word in words[:-1]
    ]
    last = words[-1]
    if len(last) <= BEGIN_CHARS:
        parts.append(tantivy.Query.term_query(schema, BEGIN, last))
    else:
        sets = [
            tantivy.Query.term_set_query(schema, field, terms)
            for field in ("name", "handle")
            if (terms := [term for term, _ in searcher.terms_with_prefix(field, last, limit=BEGUN_TERMS)])
        ]
        parts.append(_either(sets) if sets else tantivy.Query.empty_query())
    return tantivy.Query.boolean_query([(tantivy.Occur.Must, part) for part in parts])


def _either(queries: Sequence[Any]) -> Any:
    return tantivy.Query.boolean_query([(tantivy.Occur.Should, query) for query in queries])


def _fetched(searcher: Any, query: Any, limit: int) -> dict[int, Shown]:
    """By row, the most prominent first."""
    hits = searcher.search(query, limit=limit, count=False, order_by_field=PROMINENCE).hits
    addresses = [address for _, address in hits]
    rows = searcher.fast_field_values("row", addresses)
    shown = [msgspec.msgpack.decode(bytes(searcher.doc(address).get_first(SHOWN)), type=Shown) for address in addresses]
    return dict(zip(rows, shown, strict=True))


def _best(shown: Shown, key: str) -> list[tuple[int, str, str]]:
    """The name or handle that meets what was typed best: (0 whole, 1 at its beginning or 2 later, text, kind)."""
    texts = [(text, "name") for text in shown.names] + [(text, "handle") for text in shown.handles]
    met = [(place, text, kind) for text, kind in texts if (place := _place(exact_key(text), key)) is not None]
    return sorted(met, key=lambda one: one[0])[:1]


def _place(text: str, key: str) -> int | None:
    if text == key:
        return 0
    if text.startswith(key):
        return 1
    return 2 if f" {key}" in f" {' '.join(text.replace('.', ' ').split())}" else None
