"""Account texts (bio, packed content) → vectors in the catalogue; an unchanged text is not embedded again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from actors import CurrentBatches, Inbox, Meter, Outbox
from actors.policy import Policy
from models.embedding_model import EmbeddingModel
from models.packing import bio_text, content_packs, input_hash
from proto.ids import Platform
from proto.messages import AccountEmbedded, AccountUpserted, AnyWork
from proto.records import EmbeddingRecord
from stores.blocking import Blocking
from stores.catalog import AccountBundle, Catalog, put_account_vectors
from stores.env import Environment, Txn
from stores.work import Work, complete, enqueue


class Text(msgspec.Struct, kw_only=True):
    """One text of an account to be embedded."""

    field: str
    text: str
    weight: float
    input_hash: str


class Embedder:
    """Without a model accounts pass through unembedded, and are taken up again once a model is there.

    Where a platform lets nothing be derived, what was embedded before goes.
    """

    def __init__(
        self,
        inbox: Inbox[AnyWork],
        outbox: Outbox[AnyWork],
        *,
        env: Environment,
        catalog: Catalog,
        work: Work,
        model: EmbeddingModel | None,
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
        records = await self._embed(bundles, wanted)

        def change(txn: Txn) -> list[AnyWork]:
            following: list[AnyWork] = []
            for message, bundle, texts, fresh in zip(messages, bundles, wanted, records, strict=True):
                if not complete(txn, message) or bundle is None:
                    continue
                if self._model is not None or not self._derives(bundle):
                    gone = bundle.vectors.keys() - {text.field for text in texts}
                    put_account_vectors(txn, message.account_key, fresh, gone)
                following.append(enqueue(txn, AccountEmbedded(account_key=message.account_key), self._now()))
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

    async def _embed(
        self, bundles: Sequence[AccountBundle | None], wanted: Sequence[Sequence[Text]]
    ) -> list[list[EmbeddingRecord]]:
        """Records to store per account: new vectors, and known ones whose weight changed."""
        if self._model is None:
            return [[] for _ in wanted]
        known = [{} if bundle is None else bundle.vectors for bundle in bundles]
        missing = [
            text for texts, vectors in zip(wanted, known, strict=True) for text in texts if not _same(text, vectors)
        ]
        vectors = await self._threads.call(self._model.embed, [text.text for text in missing])
        fresh = {id(text): np.asarray(vector, "<f2").tobytes() for text, vector in zip(missing, vectors, strict=True)}
        return [
            [
                self._record(text, fresh.get(id(text)) or held[text.field].vector)
                for text in texts
                if id(text) in fresh or held[text.field].weight != text.weight
            ]
            for texts, held in zip(wanted, known, strict=True)
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


def _same(text: Text, vectors: dict[str, EmbeddingRecord]) -> bool:
    held = vectors.get(text.field)
    return held is not None and held.input_hash == text.input_hash
