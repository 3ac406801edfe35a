"""A creator's accounts → its embeddings and statistics: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, compress

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.cadence import activity_at
from actors.extraction_links import host_of, platform_of
from actors.vital_signs import last_content_at, vital_signs
from models.language import language_of
from models.packing import weighted_mean
from proto.ids import Platform
from proto.records import AccountStatus, Creator, CreatorAccount, EmbeddingRecord
from stores.catalog import AccountBundle, CreatorBundle
from stores.codec import encode
from stores.unit_vectors import of_unit_length

FIELDS = {
    (Platform.YOUTUBE, "bio"): "yt_bio",
    (Platform.YOUTUBE, "content"): "yt_content",
    (Platform.INSTAGRAM, "bio"): "ig_bio",
    (Platform.INSTAGRAM, "content"): "ig_captions",
}
"""Which vector field an account's texts feed; a further platform adds its own pair."""


def aggregate(
    bundle: CreatorBundle, *, derived_from: Sequence[AccountBundle], language: str | None, now: int
) -> tuple[Creator, list[EmbeddingRecord]]:
    """The creator with everything that follows from its accounts; labels are left as they are.

    ``derived_from``: the accounts of which figures and vectors may be computed; ``language``: what the texts of those
    are written in, used when no account states one.
    """
    accounts = [part.account for part in bundle.accounts]
    items = [item for part in bundle.accounts for item in part.items]
    signs = vital_signs(bundle.accounts, derived_from, now)
    lead = _lead(accounts)
    newest = last_content_at(items)
    creator = msgspec.structs.replace(
        bundle.creator,
        name=lead.display_name or lead.handle or lead.platform_user_id,
        canonical_handle=lead.handle,
        profile_image_url=lead.profile_image_url,
        account_keys=sorted(account.key for account in accounts),
        language=_first([account.language for account in accounts]) or language,
        country=_first([account.country for account in accounts]),
        total_followers=_total(accounts),
        followers_by_platform=_by_platform(accounts),
        engagement_rate=signs.overall.engagement_rate.value,
        posts_per_week=signs.overall.posts_per_week.value,
        growth_30d=signs.overall.growth_30d.value,
        activity=activity_at(newest, now),
        last_content_at=newest,
        content_count=len(items),
        updated_at=max((account.fetched_at for account in accounts), default=now),
        vital_signs=encode(signs),
        views_per_follower=signs.overall.views_per_follower.value,
        sponsored_share=signs.overall.sponsored_share.value,
        derived_activity=signs.overall.activity.value,
        has_email=_states_email(derived_from),
        has_website=_links_to_website(derived_from),
        oldest_fetched_at=_oldest_fetch(accounts),
    )
    return creator, _embeddings(derived_from)


def with_labels_of(current: Creator, computed: Creator) -> Creator:
    """The aggregate with what stands in the store and is for others to change: labels, and how sure its accounts are."""
    return msgspec.structs.replace(
        computed,
        primary_niche=current.primary_niche,
        secondary_niches=current.secondary_niches,
        content_style=current.content_style,
        llm_summary=current.llm_summary,
        enrichment=current.enrichment,
        identity_confidence=current.identity_confidence,
    )


def language_in(parts: Sequence[AccountBundle]) -> str | None:
    """What the texts of accounts are written in: bios, and the titles of ten items."""
    bios = " ".join(part.account.bio for part in parts)
    titles = [item.title_or_caption for part in parts for item in part.items][:10]
    return language_of(f"{bios[:500]} {' '.join(titles)}")


def _lead(accounts: Sequence[CreatorAccount]) -> CreatorAccount:
    """The account that names the creator: the one with most followers, ties by key."""
    return min(accounts, key=lambda account: (-(account.followers or 0), account.key))


def _total(accounts: Sequence[CreatorAccount]) -> int | None:
    known = [account.followers for account in accounts if account.followers is not None]
    return sum(known) if known else None


def _by_platform(accounts: Sequence[CreatorAccount]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for account in accounts:
        if account.followers is not None:
            counts[account.platform.value] = counts.get(account.platform.value, 0) + account.followers
    return counts


def _first(values: Sequence[str | None]) -> str | None:
    return next((value for value in values if value), None)


def _states_email(parts: Sequence[AccountBundle]) -> bool | None:
    return any(part.account.emails for part in parts) if parts else None


def _links_to_website(parts: Sequence[AccountBundle]) -> bool | None:
    """A page of links counts, a profile elsewhere does not."""
    links = [link for part in parts for link in (part.account.website, *part.account.links) if link]
    hosts = [host_of(link) for link in links]
    return any("." in host and platform_of(host) is None for host in hosts) if parts else None


def _oldest_fetch(accounts: Sequence[CreatorAccount]) -> int:
    """Of those that still exist, else of all."""
    existing = [account for account in accounts if account.status is AccountStatus.ACTIVE]
    return min((account.fetched_at for account in existing or accounts), default=0)


def _embeddings(parts: Sequence[AccountBundle]) -> list[EmbeddingRecord]:
    by_field: dict[str, list[EmbeddingRecord]] = {}
    for part in parts:
        for record in part.vectors.values():
            field = FIELDS.get((part.account.platform, record.field.partition(".")[0]))
            if field is not None:
                by_field.setdefault(field, []).append(record)
    return _that_point([_mean(field, records) for field, records in sorted(by_field.items())])


def _that_point(means: list[EmbeddingRecord]) -> list[EmbeddingRecord]:
    """Texts without meaning to a model, and opposite ones, have no mean that could be compared."""
    alike = len({len(mean.vector) for mean in means}) == 1
    groups = [means] if alike else [[mean] for mean in means]  # while a model is replaced they may differ
    return list(chain.from_iterable(compress(group, _point(group)) for group in groups))


def _point(means: Sequence[EmbeddingRecord]) -> NDArray[np.bool_]:
    vectors = np.frombuffer(b"".join(mean.vector for mean in means), "<f2").reshape(len(means), -1)
    return of_unit_length(vectors.astype(np.float32))


def _mean(field: str, records: Sequence[EmbeddingRecord]) -> EmbeddingRecord:
    """The weighted mean of vectors of one model; a model that is being replaced does not mix with its successor."""
    if len(records) == 1 and records[0].weight == 1.0:
        return _of_creator(field, records[0], records, records[0].vector)
    newest = max(records, key=lambda record: (record.updated_at, record.model_id))
    same = [record for record in records if record.model_id == newest.model_id]
    vectors = np.stack([np.frombuffer(record.vector, "<f2").astype(np.float32) for record in same])
    mean = weighted_mean(vectors, np.array([record.weight for record in same], np.float32))
    return _of_creator(field, newest, same, mean.astype("<f2").tobytes())


def _of_creator(field: str, newest: EmbeddingRecord, of: Sequence[EmbeddingRecord], vector: bytes) -> EmbeddingRecord:
    return EmbeddingRecord(
        field=field,
        model_id=newest.model_id,
        dims=newest.dims,
        input_hash="+".join(record.input_hash for record in of),
        vector=vector,
        updated_at=newest.updated_at,
    )
