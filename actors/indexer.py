"""Batches creators into the text and vector indexes: one index commit a batch, then the work is done."""

from __future__ import annotations

import trio

from actors import CurrentBatches, Inbox, Meter
from actors.index_writing import IndexWriter
from proto.messages import AnyWork, CreatorEnriched, CreatorRetired
from stores.catalog import Catalog
from stores.env import Environment
from stores.work import Work


class Indexer:
    """``turn`` is held from reading a creator until it is indexed: what is erased in between would come back."""

    def __init__(
        self,
        inbox: Inbox[AnyWork],
        *,
        env: Environment,
        catalog: Catalog,
        work: Work,
        writer: IndexWriter,
        recent_items: int,
        batch: int,
        turn: trio.Lock,
        meter: Meter,
    ) -> None:
        self._inbox, self._env, self._catalog, self._work = inbox, env, catalog, work
        self._writer, self._recent_items, self._batch, self._meter = writer, recent_items, batch, meter
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
        await self._writer.index([bundle for bundle in bundles if bundle is not None], messages, retired)
