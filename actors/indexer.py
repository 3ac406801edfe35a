"""Batches creators into the text and vector indexes: one index commit a batch, then the work is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import trio

from actors import CurrentBatches, Inbox, Meter
from actors.documents import text_document
from proto.ids import Row
from proto.messages import AnyWork, CreatorEnriched, CreatorRetired
from proto.records import Creator
from stores.catalog import Catalog, CreatorBundle, log_indexed
from stores.columns import Columns
from stores.env import Environment, Txn
from stores.ports import TextIndex, VectorIndex
from stores.work import Work, complete


class Indexer:
    """Single: the only writer of the indexes.

    The text index commits before the work is cleared, so a crash between leaves work that is done again; the graphs
    are saved now and then, and what came after is read again from the index log. ``turn`` is held from reading a
    creator until it is indexed: what is erased in between would come back. ``earlier``: fields of a model that is being
    replaced and still answers; they only lose creators.
    """

    def __init__(
        self,
        inbox: Inbox[AnyWork],
        *,
        env: Environment,
        catalog: Catalog,
        work: Work,
        text: TextIndex,
        fields: Mapping[str, VectorIndex],
        earlier: Mapping[str, VectorIndex],
        columns: Columns,
        niche_names: Callable[[Creator], str],
        recent_items: int,
        batch: int,
        turn: trio.Lock,
        meter: Meter,
    ) -> None:
        self._inbox, self._env, self._catalog, self._work = inbox, env, catalog, work
        self._text, self._fields, self._earlier, self._columns = text, fields, earlier, columns
        self._niche_names, self._recent_items, self._batch, self._meter = niche_names, recent_items, batch, meter
        self._turn = turn

    async def run(self) -> None:
        async for messages in CurrentBatches(self._inbox, self._batch, self._work):
            await self._env.room()  # not with the turn: an erasure goes on meanwhile
            with self._meter.working():
                async with self._turn:
                    await self._handle(
                        [m for m in messages if isinstance(m, CreatorEnriched)],
                        [m for m in messages if isinstance(m, CreatorRetired)],
                    )
            self._meter.handled += len(messages)

    async def _handle(self, messages: list[CreatorEnriched], retired: list[CreatorRetired]) -> None:
        bundles = await self._catalog.creator_bundles([m.creator_id for m in messages], self._recent_items)
        known = [bundle for bundle in bundles if bundle is not None]
        checkpoint = await self._catalog.index_sequence() + len(known) + len(retired)
        await self.take_in(known)
        await self.leave_out([message.row for message in retired])
        await self._text.commit(checkpoint)
        ids = {bundle.creator.creator_id for bundle in known}

        def change(txn: Txn) -> None:
            for message in messages:
                complete(txn, message)
                if message.creator_id in ids:
                    log_indexed(txn, message.creator_id)
            for gone in retired:
                complete(txn, gone)
                log_indexed(txn, gone.creator_id)

        await self._env.write(change, waits=False)

    async def leave_out(self, rows: Sequence[Row]) -> None:
        """Takes rows out of every index, without the text index's commit."""
        if not rows:
            return
        await self._text.delete(rows)
        for index in (*self._fields.values(), *self._earlier.values()):
            await index.delete(rows)
        for row in rows:
            self._columns.remove(row)

    async def take_in(self, bundles: Sequence[CreatorBundle]) -> None:
        """Puts creators into every index, without the text index's commit."""
        await self._text.upsert(
            [
                text_document(bundle, self._niche_names(bundle.creator), self._columns.quality_of(bundle.creator))
                for bundle in bundles
            ]
        )
        for name, index in self._fields.items():
            await _take_in_field(name, index, bundles)
        for name, index in self._earlier.items():
            await index.delete(_lacking(name, bundles))
        creators = [bundle.creator for bundle in bundles]
        self._columns.upsert_all([creator.row for creator in creators], creators)


async def _take_in_field(name: str, index: VectorIndex, bundles: Sequence[CreatorBundle]) -> None:
    """What another model made comes again once this one has embedded it."""
    having = [
        bundle for bundle in bundles if name in bundle.embeddings and bundle.embeddings[name].model_id == index.model_id
    ]
    if having:
        vectors = np.stack([np.frombuffer(bundle.embeddings[name].vector, "<f2") for bundle in having])
        await index.upsert([bundle.creator.row for bundle in having], vectors.astype(np.float32))
    lacking = _lacking(name, bundles)
    if lacking:
        await index.delete(lacking)


def _lacking(name: str, bundles: Sequence[CreatorBundle]) -> list[Row]:
    return [bundle.creator.row for bundle in bundles if name not in bundle.embeddings]
