"""Account texts (bio, packed content) → vectors in the catalogue; an unchanged text is not embedded again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
import trio

from actors import CurrentBatches, Inbox, Meter, Outbox
from actors.policy import Policy
from models.embedding_port import EmbeddingPort
from models.packing import bio_text, content_packs, input_hash
from proto.errors import Unavailable
from proto.ids import Platform
from proto.messages import AccountEmbedded, AccountUpserted, AnyWork
from proto.records import EmbeddingRecord
from stores.blocking import Blocking
from stores.catalog import AccountBundle, Catalog, put_account_vectors
from stores.env import Environment, Txn
from stores.work import Work, complete, enqueue

REST_SECONDS = 20.0
"""How long a model that did not answer is not asked: what comes meanwhile is put off at once."""


class Text(msgspec.Struct, kw_only=True):
    """One text of an account to be embedded."""

    field: str
    text: str
    weight: float
    input_hash: str


class Embedder:
    """Without a model accounts pass through unembedded, and are taken up again once a model is there.

    Where a platform lets nothing be derived, what was embedded before goes. What a model elsewhere does not answer for
    is put off: the account goes on with the vectors it has, and is embedded when the model answers again.
    """

    def __init__(
        self,
        inbox: Inbox[AnyWork],
        outbox: Outbox[AnyWork],
        *,
        env: Environment,
        catalog: Catalog,
        work: Work,
        model: EmbeddingPort | None,
        policies: Mapping[Platform, Policy],
        threads: Blocking,
        recent_items: int,
        now: Callable[[], float],
        batch: int,
        meter: Meter,
    ) -> None:
        self._inbox, self._outbox = inbox, outbox
        self._env, self._catalog, self._work = env, catalog, work
        self._model, self._policies, self._threads, self._recent_items = model, policies, threads, recent_items
        self._now, self._batch, self._meter = now, batch, meter
        self._asked_again_at = -math.inf

    async def run(self) -> None:
        async for messages in CurrentBatches(self._inbox, self._batch, self._work):
            with self._meter.working():
                following = await self._handle([m for m in messages if isinstance(m, AccountUpserted)])
            self._meter.handled += len(messages)
            for message in following:
                await self._outbox.send(message)

    async def _handle(self, messages: list[AccountUpserted]) -> list[AnyWork]:
        bundles = await self._catalog.account_bundles([m.account_key for m in messages], self._recent_items)
        wanted = [self._texts(bundle) if bundle else [] for bundle in bundles]
        try:
            vectors = await self._embedded(_missing(bundles, wanted))
        except Unavailable:
            return await self._put_off(messages)

        def change(txn: Txn) -> list[AnyWork]:
            following: list[AnyWork] = []
            for message, bundle, texts in zip(messages, bundles, wanted, strict=True):
                if not complete(txn, message) or bundle is None:
                    continue
                if self._model is not None or not self._derives(bundle):
                    records = self._records(texts, bundle.vectors, vectors)
                    gone = bundle.vectors.keys() - {text.field for text in texts}
                    put_account_vectors(txn, message.account_key, records, gone)
                following.append(enqueue(txn, AccountEmbedded(account_key=message.account_key), self._now()))
            return following

        return await self._env.write(change)

    async def _put_off(self, messages: Sequence[AccountUpserted]) -> list[AnyWork]:
        """Each goes on as it is, once, and stays as work that the Sweeper sends again; its tries start anew."""

        def change(txn: Txn) -> list[AnyWork]:
            following: list[AnyWork] = []
            for message in messages:
                if not complete(txn, message):
                    continue
                if not message.put_off:
                    following.append(enqueue(txn, AccountEmbedded(account_key=message.account_key), self._now()))
                enqueue(txn, AccountUpserted(account_key=message.account_key, put_off=True), self._now())
            return following

        return await self._env.write(change)

    def _texts(self, bundle: AccountBundle) -> list[Text]:
        if self._model is None or not self._derives(bundle):
            return []
        model_id = self._model.model_id
        bio = bio_text(bundle.account)
        texts = [Text(field="bio", text=bio, weight=1.0, input_hash=input_hash(bio, model_id))] if bio else []
        packs = content_packs(bundle.items, limit_items=self._recent_items, now=self._now())
        texts += [
            Text(
                field=f"content.{number}",
                text=pack.text,
                weight=pack.weight,
                input_hash=input_hash(pack.text, model_id),
            )
            for number, pack in enumerate(packs)
        ]
        return texts

    def _derives(self, bundle: AccountBundle) -> bool:
        return self._policies[bundle.account.platform].derives

    async def _embedded(self, texts: Sequence[Text]) -> dict[str, bytes]:
        """Vectors as they are stored, by input hash. After a failure the model is left alone for a while.

        Raises Unavailable.
        """
        if self._model is None or not texts:
            return {}
        if trio.current_time() < self._asked_again_at:
            raise Unavailable("the model did not answer a moment ago")
        try:
            vectors = await self._threads.call(self._model.embed, [text.text for text in texts])
        except Unavailable:
            self._asked_again_at = trio.current_time() + REST_SECONDS
            raise
        return {
            text.input_hash: np.asarray(vector, "<f2").tobytes() for text, vector in zip(texts, vectors, strict=True)
        }

    def _records(
        self, texts: Sequence[Text], held: Mapping[str, EmbeddingRecord], fresh: Mapping[str, bytes]
    ) -> list[EmbeddingRecord]:
        """Records to store of an account: new vectors, and known ones whose weight changed."""
        return [
            self._record(text, fresh[text.input_hash] if _is_missing(text, held) else held[text.field].vector)
            for text in texts
            if _is_missing(text, held) or held[text.field].weight != text.weight
        ]

    def _record(self, text: Text, vector: bytes) -> EmbeddingRecord:
        assert self._model is not None
        return EmbeddingRecord(
            field=text.field,
            model_id=self._model.model_id,
            dims=self._model.dims,
            input_hash=text.input_hash,
            vector=vector,
            updated_at=int(self._now()),
            weight=text.weight,
        )


def _missing(bundles: Sequence[AccountBundle | None], wanted: Sequence[Sequence[Text]]) -> list[Text]:
    """What has no vector yet, each text once."""
    texts = {
        text.input_hash: text
        for bundle, texts in zip(bundles, wanted, strict=True)
        for text in texts
        if bundle is not None and _is_missing(text, bundle.vectors)
    }
    return list(texts.values())


def _is_missing(text: Text, held: Mapping[str, EmbeddingRecord]) -> bool:
    return text.field not in held or held[text.field].input_hash != text.input_hash
