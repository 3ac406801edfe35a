"""When a creator's labels are asked for anew, and how long an answer stands: pure rules.

Asked for at first sight, when other accounts make up the creator, when the content has drifted, when the taxonomy or
the prompt changed, and with age; creators that post little are asked about less often.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.local_classifier import CreatorTexts
from models.taxonomy import Taxonomy
from proto.ids import AccountKey
from proto.labelling import Labelling, Outcome
from proto.records import Activity, Creator, Enrichment
from stores.catalog import AccountBundle, CreatorBundle

LLM = "llm"
"""`Enrichment.method` of a language model's answer."""
IMPORTED = "import"
"""`Enrichment.method` of labels of an imported file that does not say where they come from."""
QUIET_FACTOR = 4
"""So much longer does an answer on a long-tail creator last."""


class LabelRules(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer depends on besides the creator, and how long one lasts."""

    taxonomy_version: str
    prompt_version: str
    language: str
    drift_cosine: float
    """Content is another's once its likeness to what was labelled falls below this."""
    max_age_seconds: int

    @property
    def versions(self) -> list[str]:
        return [self.taxonomy_version, self.prompt_version, self.language]


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to judge by now. ``accounts``: those that have written something; ``vector``: of the content."""

    accounts: list[AccountKey]
    vector: bytes
    quiet: bool


def basis_of(bundle: CreatorBundle) -> Basis:
    return Basis(
        accounts=sorted(part.account.key for part in bundle.accounts if _writes(part)),
        vector=_content_vector(bundle),
        quiet=bundle.creator.activity is Activity.LONG_TAIL,
    )


def stands(labelling: Labelling | None, basis: Basis, taxonomy: Taxonomy) -> bool:
    """Whether its labels are shown: they are of these accounts, and the taxonomy still knows them."""
    if labelling is None or labelling.outcome is not Outcome.LABELLED or labelling.accounts != basis.accounts:
        return False
    niches = {niche.id for niche in taxonomy.niches}
    return labelling.primary_niche in niches and set(labelling.secondary_niches) <= set(taxonomy.parent_of)


def due_at(labelling: Labelling | None, basis: Basis, rules: LabelRules, now: int) -> int:
    """When to ask (epoch seconds); 0: there is nothing to ask about."""
    if not basis.accounts:
        return 0
    if labelling is None or labelling.outcome is Outcome.NONE or labelling.accounts != basis.accounts:
        return now
    if labelling.asked_versions != rules.versions:
        return now
    if likeness(labelling.vector, basis.vector) < rules.drift_cosine:
        return now
    return labelling.asked_at + rules.max_age_seconds * (QUIET_FACTOR if basis.quiet else 1)


def with_due(labelling: Labelling | None, basis: Basis, rules: LabelRules, now: int) -> Labelling | None:
    """What is to be stored, None when nothing is to change. Who waits already keeps the place in the queue."""
    wanted = due_at(labelling, basis, rules, now)
    if labelling is None:
        return Labelling(due_at=wanted) if wanted else None
    if labelling.outcome is not Outcome.NONE and labelling.accounts != basis.accounts:
        return Labelling(due_at=wanted)  # of what was said of others nothing is kept
    if 0 < labelling.due_at <= min(now, wanted):
        return None
    return msgspec.structs.replace(labelling, due_at=wanted) if labelling.due_at != wanted else None


def likeness(one: bytes, other: bytes) -> float:
    """Cosine of two unit vectors; 1 where they cannot be compared: one is missing, or of another model."""
    if not one or len(one) != len(other):
        return 1.0
    return float(np.dot(_floats(one), _floats(other)))


def creator_texts(bundle: CreatorBundle) -> CreatorTexts:
    """What all classifiers read, newest first."""
    accounts = [part.account for part in bundle.accounts]
    items = [item for part in bundle.accounts for item in part.items]
    return CreatorTexts(
        name=bundle.creator.name,
        bio=" ".join(account.bio for account in accounts),
        titles=tuple(item.title_or_caption for item in items),
        tags=tuple(tag for item in items for tag in item.tags[:10])
        + tuple(word for account in accounts for word in account.keywords[:20]),
        categories=tuple(item.platform_category for item in items if item.platform_category),
        handles=tuple(account.handle for account in accounts if account.handle),
        platforms=tuple(account.platform for account in accounts),
    )


def digest_of(question: str) -> str:
    """Of the texts as they are sent."""
    return hashlib.blake2b(question.encode(), digest_size=16).hexdigest()


def with_llm_labels(creator: Creator, labelling: Labelling) -> Creator:
    return msgspec.structs.replace(
        creator,
        primary_niche=labelling.primary_niche,
        secondary_niches=list(labelling.secondary_niches),
        content_style=labelling.content_style or None,
        llm_summary=labelling.summary,
        enrichment=Enrichment(
            method=LLM,
            model=labelling.model,
            prompt_version=labelling.prompt_version,
            taxonomy_version=labelling.taxonomy_version,
            input_hash=labelling.digest,
            at=labelling.at,
            confidence=labelling.confidence,
            candidates=[(labelling.primary_niche, labelling.confidence)],
        ),
    )


def labelling_as_given(bundle: CreatorBundle) -> Labelling:
    """What a language model is taken to have said of a creator that came with its labels."""
    creator, basis = bundle.creator, basis_of(bundle)
    assert creator.enrichment is not None and creator.primary_niche is not None
    return Labelling(
        outcome=Outcome.LABELLED,
        accounts=basis.accounts,
        vector=basis.vector,
        at=creator.enrichment.at,
        model=creator.enrichment.model,
        digest=creator.enrichment.input_hash,
        prompt_version=creator.enrichment.prompt_version,
        taxonomy_version=creator.enrichment.taxonomy_version,
        primary_niche=creator.primary_niche,
        secondary_niches=creator.secondary_niches,
        content_style=creator.content_style or "",
        summary=creator.llm_summary,
        confidence=creator.enrichment.confidence,
    )


def _writes(part: AccountBundle) -> bool:
    return bool(part.account.bio.strip() or any(item.title_or_caption.strip() for item in part.items))


def _content_vector(bundle: CreatorBundle) -> bytes:
    """Unit mean over the creator's content fields, float16."""
    fields = [record for field, record in sorted(bundle.embeddings.items()) if not field.endswith("_bio")]
    vectors = [_floats(record.vector) for record in fields if record.model_id == fields[0].model_id]
    if not vectors:
        return b""
    mean = np.mean(vectors, axis=0)
    length = float(np.linalg.norm(mean))
    return np.asarray(mean / length if length > 0 else mean, "<f2").tobytes()


def _floats(vector: bytes) -> NDArray[np.float32]:
    return np.frombuffer(vector, "<f2").astype(np.float32)


def plain_micros(tokens: Sequence[int], prices: Sequence[float]) -> int:
    """Cost in millionths: ``prices`` are for a million tokens, of prompts and of answers."""
    return round(sum(count * price for count, price in zip(tokens, prices, strict=True)))
