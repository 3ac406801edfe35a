"""Records as the API shows them: pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

import msgspec

from actors.peers import Peers, Rank
from proto.api import (
    AccountView,
    ContentView,
    CreatorView,
    EmbeddingView,
    EnrichmentView,
    EntryView,
    ListView,
    NoteView,
    Provenance,
    RankView,
    SavedSearchView,
    SearchRequest,
    SignGroupView,
    SignView,
    VitalSignsView,
)
from proto.ids import CreatorId, Platform
from proto.records import (
    Activity,
    ContentItem,
    Creator,
    CreatorAccount,
    CreatorList,
    EmbeddingRecord,
    Enrichment,
    ListEntry,
    Note,
    SavedSearch,
    SignGroup,
    VitalSign,
)
from stores.catalog import vital_signs_of

PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")
"""What stands in a URL as it is."""
INSTANTS_KEPT = 10_000
MINUTES = tuple(f"{minute // 60:02}:{minute % 60:02}:" for minute in range(24 * 60))
SECONDS = tuple(f"{second:02}Z" for second in range(60))
"""An instant is put together of what was formatted once: a page of hits has a hundred of them."""


@lru_cache(INSTANTS_KEPT)
def api(fetched_at: int | None) -> Provenance:
    """As the platform said it then. Shared by all that were read at that instant: not to be changed."""
    return Provenance(source="api", fetched_at=instant(fetched_at or None))


@lru_cache(INSTANTS_KEPT)
def derived(fetched_at: int | None) -> Provenance:
    """Computed here from what was said then. Shared likewise."""
    return Provenance(source="derived", fetched_at=instant(fetched_at or None))


def instant(seconds: float | None) -> str | None:
    """RFC 3339 in UTC."""
    if seconds is None:
        return None
    if isinstance(seconds, int):
        day, second = divmod(seconds, 86_400)
        return f"{_day(day)}T{MINUTES[second // 60]}{SECONDS[second % 60]}"
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


@lru_cache(INSTANTS_KEPT)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()


def account_url(account: CreatorAccount) -> str:
    """The account's page at its platform; empty where only a handle leads there and none is known."""
    handle, user_id = _quoted(account.handle), _quoted(account.platform_user_id)
    match account.platform:
        case Platform.YOUTUBE:
            return f"https://www.youtube.com/{f'@{handle}' if handle else f'channel/{user_id}'}"
        case Platform.INSTAGRAM:
            return f"https://www.instagram.com/{handle}/" if handle else ""
        case Platform.TIKTOK:
            return f"https://www.tiktok.com/@{handle}" if handle else ""
        case Platform.X:
            return f"https://x.com/{handle}" if handle else f"https://x.com/i/user/{user_id}"


def _quoted(text: str) -> str:
    return text if PLAIN.fullmatch(text) else quote(text, safe="")


def account_view(account: CreatorAccount) -> AccountView:
    return AccountView(
        platform=account.platform.value,
        platform_user_id=account.platform_user_id,
        handle=account.handle,
        display_name=account.display_name,
        bio=account.bio,
        url=account_url(account),
        profile_image_url=account.profile_image_url,
        website=account.website,
        links=account.links,
        emails=account.emails,
        named_accounts=account.named_accounts,
        followers=account.followers,
        media_count=account.media_count,
        total_views=account.total_views,
        country=account.country,
        language=account.language,
        status=account.status.value,
        fetched_at=instant(account.fetched_at),
        next_due_at=instant(account.next_due_at),
        provenance=_account_provenance(account.fetched_at),
    )


def _account_provenance(fetched_at: int) -> dict[str, Provenance]:
    read = api(fetched_at)
    return {"profile": read, "statistics": read, "extracted": derived(fetched_at)}


def creator_view(creator: Creator, accounts: Sequence[CreatorAccount]) -> CreatorView:
    return CreatorView(
        creator_id=str(creator.creator_id),
        name=creator.name,
        canonical_handle=creator.canonical_handle,
        profile_image_url=creator.profile_image_url,
        accounts=[account_view(account) for account in accounts],
        primary_niche=creator.primary_niche,
        secondary_niches=creator.secondary_niches,
        content_style=creator.content_style,
        llm_summary=creator.llm_summary,
        language=creator.language,
        country=creator.country,
        total_followers=creator.total_followers,
        followers_by_platform=creator.followers_by_platform,
        engagement_rate=creator.engagement_rate,
        posts_per_week=creator.posts_per_week,
        growth_30d=creator.growth_30d,
        activity=creator.activity.value,
        last_content_at=instant(creator.last_content_at),
        content_count=creator.content_count,
        identity_confidence=creator.identity_confidence,
        enrichment=enrichment_view(creator.enrichment),
        updated_at=instant(creator.updated_at),
        provenance={
            "names": api(creator.updated_at),
            "figures": derived(creator.updated_at),
            "labels": derived(creator.enrichment.at if creator.enrichment else None),
            "identity": derived(creator.updated_at),
        },
    )


def enrichment_view(enrichment: Enrichment | None) -> EnrichmentView | None:
    if enrichment is None:
        return None
    return EnrichmentView(
        method=enrichment.method,
        model=enrichment.model,
        prompt_version=enrichment.prompt_version,
        taxonomy_version=enrichment.taxonomy_version,
        input_hash=enrichment.input_hash,
        at=instant(enrichment.at) or "",
        confidence=enrichment.confidence,
        candidates=enrichment.candidates,
    )


def vital_signs_view(creator: Creator, peers: Peers) -> VitalSignsView | None:
    signs = vital_signs_of(creator)
    if signs is None or not signs.by_platform:
        return None
    ranks = {platform: peers.rank(creator, signs, platform) for platform in signs.by_platform}
    lead = max(ranks, key=lambda platform: (creator.followers_by_platform.get(platform, -1), platform))
    return VitalSignsView(
        computed_at=instant(signs.at) or "",
        overall=_sign_group(signs.overall, ranks[lead]),
        by_platform={platform: _sign_group(group, ranks[platform]) for platform, group in signs.by_platform.items()},
        provenance=derived(creator.updated_at),
    )


def _sign_group(group: SignGroup, rank: Rank) -> SignGroupView:
    percentile = rank.percentile
    return SignGroupView(
        engagement_rate=_sign(group.engagement_rate),
        posts_per_week=_sign(group.posts_per_week),
        views_per_follower=_sign(group.views_per_follower),
        growth_7d=_sign(group.growth_7d),
        growth_30d=_sign(group.growth_30d),
        growth_90d=_sign(group.growth_90d),
        activity=_sign(group.activity),
        sponsored_share=_sign(group.sponsored_share),
        engagement_percentile=RankView(
            value=percentile.value,
            why=percentile.why,
            n=percentile.n,
            window_days=percentile.window_days,
            platform=rank.platform,
            niche=rank.niche,
            tier=rank.tier,
        ),
    )


def _sign(sign: VitalSign[float] | VitalSign[Activity]) -> SignView:
    return SignView(value=sign.value, why=sign.why, n=sign.n, window_days=sign.window_days)


def embedding_view(record: EmbeddingRecord) -> EmbeddingView:
    return EmbeddingView(
        model_id=record.model_id,
        dims=record.dims,
        input_hash=record.input_hash,
        updated_at=instant(record.updated_at) or "",
        provenance=derived(record.updated_at),
    )


def content_view(item: ContentItem) -> ContentView:
    return ContentView(
        content_id=item.content_id,
        content_type=item.content_type.value,
        platform=item.account_key.partition(":")[0],
        title_or_caption=item.title_or_caption,
        description=item.description,
        published_at=instant(item.published_at),
        views=item.views,
        likes=item.likes,
        comments=item.comments,
        duration_seconds=item.duration_seconds,
        permalink=item.permalink,
        provenance={"details": api(item.fetched_at), "counts": api(max(item.counted_at, item.fetched_at))},
    )


def list_view(one: CreatorList) -> ListView:
    return ListView(
        list_id=one.list_id,
        name=one.name,
        version=one.version,
        creators=len(one.creator_ids),
        created_at=instant(one.created_at or None),
        changed_at=instant(one.changed_at or None),
    )


def entry_view(creator_id: CreatorId, entry: ListEntry | None, note: Note | None = None) -> EntryView:
    """``entry``: None where nobody has said anything."""
    said = entry or ListEntry()
    return EntryView(
        creator_id=str(creator_id),
        state=said.state,
        reason=said.reason,
        decided_at=instant(said.at or None),
        decided_by=said.actor,
        note=note.text if note else "",
        tags=note.tags if note else [],
        note_version=note.version if note else 0,
    )


def note_view(note: Note) -> NoteView:
    return NoteView(
        creator_id=str(note.creator_id),
        text=note.text,
        tags=note.tags,
        version=note.version,
        changed_at=instant(note.at or None),
        changed_by=note.actor,
    )


def saved_search_view(one: SavedSearch) -> SavedSearchView:
    return SavedSearchView(
        search_id=one.search_id,
        name=one.name,
        request=msgspec.json.decode(one.query, type=SearchRequest),
        version=one.version,
        created_at=instant(one.created_at or None),
        changed_at=instant(one.at or None),
    )
