"""What the indexes hold of creators, written: text, vectors and columns together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import compress

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors import side_by_side
from actors.documents import text_document
from actors.turns import Turns
from proto.ids import Row
from proto.messages import CreatorEnriched, CreatorRetired
from proto.records import Creator
from stores.belonging import row_of
from stores.blocking import Blocking
from stores.catalog import Catalog, CreatorBundle, log_indexed
from stores.columns import Columns
from stores.env import Environment, Txn
from stores.ports import TextDocument, TextIndex, VectorIndex
from stores.unit_vectors import of_unit_length
from stores.work import complete

MOST_AT_ONCE = 1_500
"""Creators that one commit takes in, three pieces of an import: so far is the text index ahead of the store where a crash
comes between the two."""


class IndexWriter:
    """For whoever holds the indexes' turn.

    The text index commits before the work is cleared, so a crash between leaves work that is done again; the graphs
    are saved now and then, and what came after is read again from the index log. ``earlier``: fields of a model that
    is being replaced and still answers; they only lose creators.
    """

    def __init__(
        self,
        *,
        env: Environment,
        catalog: Catalog,
        text: TextIndex,
        fields: Mapping[str, VectorIndex],
        earlier: Mapping[str, VectorIndex],
        columns: Columns,
        niche_names: Callable[[Creator], str],
        threads: Blocking,
        turns: Turns,
    ) -> None:
        self._env, self._catalog, self._text, self._fields, self._threads = env, catalog, text, fields, threads
        self._turns = turns
        self._earlier, self._columns, self._niche_names = earlier, columns, niche_names

    async def index(
        self,
        bundles: Sequence[CreatorBundle],
        messages: Sequence[CreatorEnriched],
        retired: Sequence[CreatorRetired] = (),
        texts: Sequence[TextDocument] | None = None,
    ) -> None:
        """Takes creators in and retired ones out, `MOST_AT_ONCE` in all, and then clears the work that these messages stand
        for."""
        checkpoint = await self._catalog.index_sequence() + len(bundles) + len(retired)
        await self._leave_out([message.row for message in retired])
        await self._take_in(bundles, texts, checkpoint)
        ids = {bundle.creator.creator_id for bundle in bundles}

        def change(txn: Txn) -> None:
            for message in messages:
                complete(txn, message)
                if message.creator_id in ids:
                    log_indexed(txn, message.creator_id)
            for gone in retired:
                complete(txn, gone)
                if row_of(txn, gone.creator_id) is not None:  # else it is forgotten
                    log_indexed(txn, gone.creator_id)

        await self._env.write(change, waits=False)

    async def _leave_out(self, rows: Sequence[Row]) -> None:
        """Takes rows out of every index, without the text index's commit."""
        if not rows:
            return
        await self._text.delete(rows)
        for index in (*self._fields.values(), *self._earlier.values()):
            await index.delete(rows)
        for row in rows:
            self._columns.remove(row)

    async def _take_in(
        self, bundles: Sequence[CreatorBundle], texts: Sequence[TextDocument] | None, checkpoint: int
    ) -> None:
        """Puts creators into every index, the columns first: whoever is found in another is looked up there. The text index
        commits beside the graphs, which take longer. Of an import there are so many that everything is made in threads:
        searches wait for the event loop."""
        creators = [bundle.creator for bundle in bundles]
        async with self._turns.step():
            await self._threads.call(self._columns.upsert_all, [creator.row for creator in creators], creators)
        await side_by_side(
            partial(self._take_in_text, bundles, texts, checkpoint),
            *(partial(self._take_in_fields, names, bundles) for names in _shared_out(list(self._fields))),
        )
        for name, index in self._earlier.items():
            await index.delete(_lacking(name, bundles))

    async def _take_in_fields(self, names: Sequence[str], bundles: Sequence[CreatorBundle]) -> None:
        for name in names:
            await self._take_in_field(name, self._fields[name], bundles)

    async def _take_in_field(self, name: str, index: VectorIndex, bundles: Sequence[CreatorBundle]) -> None:
        async with self._turns.step():
            rows, vectors, lacking = await self._threads.call(_of_field, name, index.model_id, bundles)
            if rows:
                await index.upsert(rows, vectors)
            if lacking:
                await index.delete(lacking)

    async def _take_in_text(
        self, bundles: Sequence[CreatorBundle], texts: Sequence[TextDocument] | None, checkpoint: int
    ) -> None:
        async with self._turns.step():
            await self._text.upsert(await self._threads.call(self._documents, bundles, texts))
        async with self._turns.step():
            await self._text.commit(checkpoint)

    def _documents(self, bundles: Sequence[CreatorBundle], texts: Sequence[TextDocument] | None) -> list[TextDocument]:
        if texts is None:
            texts = [text_document(bundle, self._niche_names(bundle.creator)) for bundle in bundles]
        return [
            msgspec.structs.replace(text, row=bundle.creator.row, prominence=self._columns.quality_of(bundle.creator))
            for text, bundle in zip(texts, bundles, strict=True)
        ]


def _shared_out(names: Sequence[str]) -> list[Sequence[str]]:
    """Two graphs are written at a time, one a core: while one is, no search reads it."""
    return [names[::2], names[1::2]]


def _of_field(
    name: str, model_id: str, bundles: Sequence[CreatorBundle]
) -> tuple[list[Row], NDArray[np.float32], list[Row]]:
    """Rows that have the field, their vectors [n, dims], and rows that lack it, be it that theirs points nowhere. What
    another model made is neither: it comes again once this one has embedded it."""
    having = [
        (bundle.creator.row, record.vector)
        for bundle in bundles
        if (record := bundle.embeddings.get(name)) is not None and record.model_id == model_id
    ]
    rows = [row for row, _ in having]
    vectors = np.frombuffer(b"".join(vector for _, vector in having), "<f2").astype(np.float32)
    vectors = vectors.reshape(max(len(having), 1), -1)
    sound = of_unit_length(vectors)
    nowhere = compress(rows, ~sound)
    return list(compress(rows, sound)), vectors[sound], [*nowhere, *_lacking(name, bundles)]


def _lacking(name: str, bundles: Sequence[CreatorBundle]) -> list[Row]:
    return [bundle.creator.row for bundle in bundles if name not in bundle.embeddings]
