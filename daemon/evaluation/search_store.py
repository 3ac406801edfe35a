"""Creators of whatever source, taken into a store and its indexes by the product's own stages, without a daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from actors import Inbox, Meter, Outbox
from actors.aggregator import Aggregator
from actors.documents import niche_words
from actors.embedder import Embedder
from actors.policy import DerivedData, policies
from daemon.app import query_embedder
from daemon.config import Config
from daemon.control import weights_of
from daemon.indexing import FIELD_NAMES, IndexKeeper
from daemon.pipeline import taxonomy_of
from daemon.readiness import Readiness
from daemon.synonyms import niche_synonyms
from models.embedding_port import EmbeddingPort
from proto.ids import CreatorId, Platform, creator_id_of
from proto.messages import AccountUpserted, AnyWork, CreatorResolved
from proto.records import ContentItem, CreatorAccount, IdentityLink
from stores.belonging import Membership, arrange
from stores.blocking import Blocking
from stores.catalog import Catalog, get_creator, log_indexed, put_account, put_creator
from stores.content import put_items
from stores.env import Environment, Txn
from stores.searcher import Searcher
from stores.work import Work, complete, enqueue

BATCH = 256
"""Messages that a stage takes together."""
RULES = policies(DerivedData.GRANTED)


class Made(msgspec.Struct, kw_only=True, frozen=True):
    """A creator in the making: the first account founds it; labels are taken as they are."""

    accounts: tuple[CreatorAccount, ...]
    items: tuple[ContentItem, ...] = ()
    primary_niche: str | None = None
    content_style: str | None = None
    llm_summary: str = ""

    @property
    def creator_id(self) -> CreatorId:
        return creator_id_of(self.accounts[0].key)


class Intake:
    """Embeds and aggregates as the daemon does, by its own stages; only who is one person, and labels, are given."""

    def __init__(self, env: Environment, model: EmbeddingPort, config: Config, now: Callable[[], float]) -> None:
        self._env, self._model, self._now = env, model, now
        self._catalog, self._work, self._threads = Catalog(env), Work(env), Blocking("models", 1)
        self._recent_items = config.platforms.youtube.recent_items

    async def take_in(self, made: Sequence[Made]) -> None:
        """Afterwards the store holds them as if they were indexed: an index that is opened takes them in."""
        upserted = await self._env.write(lambda txn: self._put_accounts(txn, made))
        embedded = await self._run(self._embedder, upserted)
        resolved = await self._env.write(lambda txn: self._arrange(txn, made, embedded))
        aggregated = await self._run(self._aggregator, resolved)
        await self._env.write(lambda txn: self._label(txn, made, aggregated))

    def _put_accounts(self, txn: Txn, made: Sequence[Made]) -> list[AnyWork]:
        waiting: list[AnyWork] = []
        for one in made:
            for account in one.accounts:
                put_account(txn, account)
                put_items(txn, account.key, [item for item in one.items if item.account_key == account.key])
                waiting.append(enqueue(txn, AccountUpserted(account_key=account.key), self._now()))
        return waiting

    def _arrange(self, txn: Txn, made: Sequence[Made], embedded: Sequence[AnyWork]) -> list[AnyWork]:
        _complete_all(txn, embedded)
        at = int(self._now())
        memberships = [
            Membership(
                creator_id=one.creator_id,
                links=tuple(
                    IdentityLink(account_key=account.key, creator_id=one.creator_id, confidence=1.0, at=at)
                    for account in one.accounts
                ),
            )
            for one in made
        ]
        arrange(txn, memberships, at)
        return [enqueue(txn, CreatorResolved(creator_id=one.creator_id), self._now()) for one in made]

    def _label(self, txn: Txn, made: Sequence[Made], aggregated: Sequence[AnyWork]) -> None:
        _complete_all(txn, aggregated)
        for one in made:
            creator = get_creator(txn, one.creator_id)
            assert creator is not None, "it was arranged a moment ago"
            creator.primary_niche, creator.content_style = one.primary_niche, one.content_style
            creator.llm_summary = one.llm_summary
            put_creator(txn, creator)
            log_indexed(txn, one.creator_id)

    def _embedder(self, inbox: Inbox[AnyWork], outbox: Outbox[AnyWork]) -> Embedder:
        return Embedder(
            inbox,
            outbox,
            env=self._env,
            catalog=self._catalog,
            work=self._work,
            model=self._model,
            policies=RULES,
            threads=self._threads,
            recent_items=self._recent_items,
            now=self._now,
            batch=BATCH,
            meter=Meter(),
        )

    def _aggregator(self, inbox: Inbox[AnyWork], outbox: Outbox[AnyWork]) -> Aggregator:
        return Aggregator(
            inbox,
            outbox,
            env=self._env,
            catalog=self._catalog,
            work=self._work,
            policies=RULES,
            threads=self._threads,
            recent_items=self._recent_items,
            now=self._now,
            batch=BATCH,
            meter=Meter(),
        )

    async def _run(
        self,
        make: Callable[[Inbox[AnyWork], Outbox[AnyWork]], Embedder | Aggregator],
        messages: Sequence[AnyWork],
    ) -> list[AnyWork]:
        """One stage over these messages; what it said for the next."""
        into, inbox = trio.open_memory_channel[AnyWork](len(messages))
        following, heard = trio.open_memory_channel[AnyWork](len(messages))
        for message in messages:
            into.send_nowait(message)
        await into.aclose()
        async with following, heard:
            await make(inbox, Outbox(following, Meter())).run()
            await following.aclose()
            return [message async for message in heard]


class OpenSearch(msgspec.Struct, kw_only=True, frozen=True):
    """Indexes over a store, and the searcher over them."""

    keeper: IndexKeeper
    searcher: Searcher


@asynccontextmanager
async def open_search(
    data_dir: Path, env: Environment, model: EmbeddingPort | None, config: Config, now: Callable[[], float]
) -> AsyncIterator[OpenSearch]:
    """Indexes that are not there, or are behind the store, are made of it. Without a model: keyword search alone."""
    taxonomy = taxonomy_of(config)
    keeper = IndexKeeper(
        data_dir,
        env=env,
        catalog=Catalog(env),
        niche_words=lambda creator: niche_words(creator, taxonomy),
        synonyms=niche_synonyms(taxonomy),
        derives=tuple(Platform),
        recent_items=config.platforms.youtube.recent_items,
        config=config.search,
        readiness=Readiness(),
        blocking=Blocking,
    )
    searcher = Searcher(
        columns=keeper.columns,
        weights=weights_of(config),
        candidates=config.search.candidates,
        query_cache=config.search.query_cache,
        threads=Blocking("search", 2),
        now=now,
    )
    searcher.set_text(await keeper.open_text())
    if model is None:
        searcher.set_no_embedder()
    else:
        searcher.set_embedder(query_embedder(model, Blocking("models", 2)), FIELD_NAMES)
        await keeper.open_fields(model.model_id, model.dims, searcher.set_field)
    try:
        yield OpenSearch(keeper=keeper, searcher=searcher)
    finally:
        with trio.CancelScope(shield=True):
            await keeper.close()


def _complete_all(txn: Txn, messages: Sequence[AnyWork]) -> None:
    for message in messages:
        complete(txn, message)
