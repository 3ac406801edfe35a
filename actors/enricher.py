"""Creator → labels and summary: a language model's where its answer stands, else the local classifier's.

Skips a creator whose input is unchanged. Who is to be asked about is put in the Labeller's queue, so that a slow model
delays nobody's way into the search.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from actors import CurrentBatches, Inbox, Meter, Outbox
from actors.labelling import IMPORTED, Basis, LabelRules, basis_of, creator_texts, stands, with_due, with_llm_labels
from actors.policy import Policy, derivable
from models.local_classifier import Label, LocalClassifier
from models.summary import CreatorFacts, summary
from models.taxonomy import Taxonomy
from proto.ids import CreatorId, Platform
from proto.labelling import Labelling
from proto.messages import AnyWork, CreatorAggregated, CreatorEnriched
from proto.records import Creator, Enrichment
from stores.blocking import Blocking
from stores.catalog import Catalog, CreatorBundle, get_creator, put_creator
from stores.env import Environment, Txn
from stores.labels import drop_labelling, get_labelling, put_labelling
from stores.work import Work, complete, enqueue

METHOD = "local"
PROMPT_VERSION = "none"


class Enricher:
    """Labels are stored with who gave them, from which input and when."""

    def __init__(
        self,
        inbox: Inbox[AnyWork],
        outbox: Outbox[AnyWork],
        *,
        env: Environment,
        catalog: Catalog,
        work: Work,
        classifier: LocalClassifier,
        taxonomy: Taxonomy,
        rules: LabelRules | None,
        policies: Mapping[Platform, Policy],
        threads: Blocking,
        recent_items: int,
        now: Callable[[], float],
        batch: int,
        meter: Meter,
    ) -> None:
        """``rules``: of asking a language model; None where there is none, and then earlier answers stand."""
        self._inbox, self._outbox = inbox, outbox
        self._env, self._catalog, self._work, self._classifier = env, catalog, work, classifier
        self._rules, self._policies, self._taxonomy = rules, policies, taxonomy
        self._threads, self._recent_items = threads, recent_items
        self._now, self._batch, self._meter = now, batch, meter

    async def run(self) -> None:
        async for messages in CurrentBatches(self._inbox, self._batch, self._work):
            with self._meter.working():
                following = await self._handle([m for m in messages if isinstance(m, CreatorAggregated)])
            self._meter.handled += len(messages)
            for message in following:
                await self._outbox.send(message)

    async def _handle(self, messages: list[CreatorAggregated]) -> list[AnyWork]:
        bundles = await self._catalog.creator_bundles([m.creator_id for m in messages], self._recent_items)
        known = [self._derivable(bundle) for bundle in bundles if bundle is not None]
        bases = {bundle.creator.creator_id: basis_of(bundle) for bundle in known}
        said = await self._env.read(lambda txn: {found: get_labelling(txn, found) for found in bases})
        to_label = [bundle for bundle in known if not self._stands(said, bases, bundle.creator.creator_id)]
        labelled = await self._threads.call(self._label, to_label)

        def change(txn: Txn) -> list[AnyWork]:
            following: list[AnyWork] = []
            for message in messages:
                current = get_creator(txn, message.creator_id)
                if not complete(txn, message) or current is None:
                    continue
                if message.creator_id in bases:
                    basis = bases[message.creator_id]
                    labels = self._queue(txn, message.creator_id, basis)
                    self._put(txn, current, basis, labels, labelled.get(message.creator_id))
                following.append(enqueue(txn, CreatorEnriched(creator_id=message.creator_id), self._now()))
            return following

        return await self._env.write(change)

    def _stands(
        self, said: Mapping[CreatorId, Labelling | None], bases: Mapping[CreatorId, Basis], creator_id: CreatorId
    ) -> bool:
        return stands(said[creator_id], bases[creator_id], self._taxonomy)

    def _queue(self, txn: Txn, creator_id: CreatorId, basis: Basis) -> Labelling | None:
        """Has the language model asked where that is due; returns what it said last."""
        labelling = get_labelling(txn, creator_id)
        if self._rules is None:
            if labelling is not None and not stands(labelling, basis, self._taxonomy):
                drop_labelling(txn, creator_id)
            return labelling
        fresh = with_due(labelling, basis, self._rules, int(self._now()))
        if fresh is not None:
            put_labelling(txn, creator_id, fresh)
        return fresh or labelling

    def _put(
        self, txn: Txn, current: Creator, basis: Basis, labelling: Labelling | None, local: Creator | None
    ) -> None:
        if labelling is not None and stands(labelling, basis, self._taxonomy):
            wanted = with_llm_labels(current, labelling)
        elif local is not None:
            wanted = _with_labels(current, local)
        else:
            return
        if wanted != current:
            put_creator(txn, wanted)

    def _label(self, bundles: Sequence[CreatorBundle]) -> dict[int, Creator]:
        """New labels of those creators whose input changed."""
        bare: dict[int, Creator] = {
            bundle.creator.creator_id: _without_labels(bundle.creator) for bundle in bundles if not bundle.accounts
        }
        bundles = [bundle for bundle in bundles if bundle.accounts]
        hashes = [self._input_hash(bundle) for bundle in bundles]
        stale: list[tuple[CreatorBundle, str]] = []
        for bundle, digest in zip(bundles, hashes, strict=True):
            if _came_with_labels(bundle.creator, self._taxonomy):
                bare[bundle.creator.creator_id] = _judged(bundle.creator, digest)
            elif not _fresh(bundle.creator, digest):
                stale.append((bundle, digest))
        if not stale:
            return bare
        labels = self._classifier.classify_many(
            [creator_texts(bundle) for bundle, _ in stale],
            [_vectors(bundle, self._classifier.vectors_of) for bundle, _ in stale],
        )
        return bare | {
            bundle.creator.creator_id: self._labelled(bundle, label, digest)
            for (bundle, digest), label in zip(stale, labels, strict=True)
        }

    def _derivable(self, bundle: CreatorBundle) -> CreatorBundle:
        """The creator with only those of its accounts that labels may be computed of."""
        return msgspec.structs.replace(bundle, accounts=derivable(bundle.accounts, self._policies))

    def _labelled(self, bundle: CreatorBundle, label: Label, digest: str) -> Creator:
        creator = msgspec.structs.replace(
            bundle.creator,
            primary_niche=label.primary_niche,
            secondary_niches=list(label.secondary_niches),
            content_style=label.content_style,
            enrichment=Enrichment(
                method=METHOD,
                model=self._classifier.model_id,
                prompt_version=PROMPT_VERSION,
                taxonomy_version=self._taxonomy.version,
                input_hash=digest,
                at=int(self._now()),
                confidence=label.confidence,
                candidates=list(label.candidates),
            ),
        )
        creator.llm_summary = summary(_facts(creator, self._taxonomy))
        return creator

    def _input_hash(self, bundle: CreatorBundle) -> str:
        digest = hashlib.blake2b(digest_size=16)
        texts = creator_texts(bundle)
        facts = _facts(bundle.creator, self._taxonomy)
        told = (facts.followers, facts.posts_per_week, facts.country)
        seen = (self._taxonomy.version, self._classifier.model_id, texts, *told)
        digest.update(msgspec.msgpack.encode(seen))
        for field in sorted(bundle.embeddings):
            digest.update(field.encode() + bundle.embeddings[field].vector)
        return digest.hexdigest()


def _fresh(creator: Creator, digest: str) -> bool:
    return creator.enrichment is not None and creator.enrichment.input_hash == digest


def _came_with_labels(creator: Creator, taxonomy: Taxonomy) -> bool:
    """Whether its labels are those of an imported file, which are taken for what is known of it when it comes by first."""
    said = creator.enrichment
    return (
        said is not None
        and said.method == IMPORTED
        and not said.input_hash
        and said.taxonomy_version == taxonomy.version
    )


def _judged(creator: Creator, digest: str) -> Creator:
    assert creator.enrichment is not None
    return msgspec.structs.replace(creator, enrichment=msgspec.structs.replace(creator.enrichment, input_hash=digest))


def _without_labels(creator: Creator) -> Creator:
    return msgspec.structs.replace(
        creator, primary_niche=None, secondary_niches=[], content_style=None, llm_summary="", enrichment=None
    )


def _with_labels(current: Creator, labelled: Creator) -> Creator:
    return msgspec.structs.replace(
        current,
        primary_niche=labelled.primary_niche,
        secondary_niches=labelled.secondary_niches,
        content_style=labelled.content_style,
        llm_summary=labelled.llm_summary,
        enrichment=labelled.enrichment,
    )


def _vectors(bundle: CreatorBundle, model_id: str) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Those of the classifier's own model: another's, which is being replaced, mean nothing to it."""
    return {
        field: np.frombuffer(record.vector, "<f2").astype(np.float32)
        for field, record in bundle.embeddings.items()
        if record.model_id == model_id
    }


def _facts(creator: Creator, taxonomy: Taxonomy) -> CreatorFacts:
    return CreatorFacts(
        platforms=tuple(sorted({key.partition(":")[0] for key in creator.account_keys})),
        country=creator.country,
        niche=taxonomy.name_of(creator.primary_niche) if creator.primary_niche else None,
        topics=tuple(taxonomy.name_of(niche) for niche in creator.secondary_niches),
        followers=creator.total_followers,
        posts_per_week=creator.posts_per_week,
    )
