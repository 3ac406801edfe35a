"""A creator's accounts → its embeddings, aggregate statistics and vital signs in the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from actors import CurrentBatches, Inbox, Meter, Outbox
from actors.aggregation import aggregate, language_in, with_labels_of
from actors.policy import Policy, derivable
from actors.vital_signs import history_since
from proto.ids import Platform
from proto.messages import AnyWork, CreatorAggregated, CreatorResolved
from proto.records import Creator, EmbeddingRecord
from stores.blocking import Blocking
from stores.catalog import Catalog, CreatorBundle, get_creator, put_creator, put_creator_embeddings
from stores.env import Environment, Txn
from stores.work import Work, complete, enqueue


class Aggregator:
    """The rules are in aggregation.py; they run in a thread of their own."""

    def __init__(
        self,
        inbox: Inbox[AnyWork],
        outbox: Outbox[AnyWork],
        *,
        env: Environment,
        catalog: Catalog,
        work: Work,
        policies: Mapping[Platform, Policy],
        threads: Blocking,
        recent_items: int,
        now: Callable[[], float],
        batch: int,
        meter: Meter,
    ) -> None:
        self._inbox, self._outbox = inbox, outbox
        self._env, self._catalog, self._work, self._threads = env, catalog, work, threads
        self._policies = policies
        self._recent_items, self._now, self._batch, self._meter = recent_items, now, batch, meter

    async def run(self) -> None:
        async for messages in CurrentBatches(self._inbox, self._batch, self._work):
            with self._meter.working():
                following = await self._handle([m for m in messages if isinstance(m, CreatorResolved)])
            self._meter.handled += len(messages)
            for message in following:
                await self._outbox.send(message)

    async def _handle(self, messages: list[CreatorResolved]) -> list[AnyWork]:
        """Computed from a snapshot: should an account change meanwhile, a later message brings the creator back."""
        bundles = await self._catalog.creator_bundles(
            [m.creator_id for m in messages], self._recent_items, history_since=history_since(int(self._now()))
        )
        computed = await self._threads.call(self._compute, bundles)

        def change(txn: Txn) -> list[AnyWork]:
            following: list[AnyWork] = []
            for message, result in zip(messages, computed, strict=True):
                current = get_creator(txn, message.creator_id)
                if not complete(txn, message) or result is None or current is None:
                    continue
                creator, embeddings = result
                put_creator(txn, with_labels_of(current, creator))
                put_creator_embeddings(txn, creator.creator_id, embeddings)
                following.append(enqueue(txn, CreatorAggregated(creator_id=creator.creator_id), self._now()))
            return following

        return await self._env.write(change)

    def _compute(self, bundles: list[CreatorBundle | None]) -> list[tuple[Creator, list[EmbeddingRecord]] | None]:
        now = int(self._now())
        return [self._aggregate(bundle, now) if bundle and bundle.accounts else None for bundle in bundles]

    def _aggregate(self, bundle: CreatorBundle, now: int) -> tuple[Creator, list[EmbeddingRecord]]:
        parts = derivable(bundle.accounts, self._policies)
        return aggregate(bundle, derived_from=parts, language=language_in(parts), now=now)
