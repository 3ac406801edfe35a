"""Records as the API shows them: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from proto.api import AccountView, ContentView, Contribution, CreatorView, EnrichmentView, Explanation, Hit, Provenance
from proto.ids import Platform
from proto.records import ContentItem, Creator, CreatorAccount, Enrichment
from stores.ports import RankedHit


def api(fetched_at: int | None) -> Provenance:
    """As the platform said it then."""
    return Provenance(source="api", fetched_at=instant(fetched_at or None))


def derived(fetched_at: int | None) -> Provenance:
    """Computed here from what was said then."""
    return Provenance(source="derived", fetched_at=instant(fetched_at or None))


def instant(seconds: float | None) -> str | None:
    """RFC 3339 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def account_url(account: CreatorAccount) -> str:
    """The account's page at its platform; empty where only a handle leads there and none is known."""
    handle, user_id = quote(account.handle, safe=""), quote(account.platform_user_id, safe="")
    match account.platform:
        case Platform.YOUTUBE:
            return f"https://www.youtube.com/{f'@{handle}' if handle else f'channel/{user_id}'}"
        case Platform.INSTAGRAM:
            return f"https://www.instagram.com/{handle}/" if handle else ""
        case Platform.TIKTOK:
            return f"https://www.tiktok.com/@{handle}" if handle else ""
        case Platform.X:
            return f"https://x.com/{handle}" if handle else f"https://x.com/i/user/{user_id}"


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
        provenance={
            "profile": api(account.fetched_at),
            "statistics": api(account.fetched_at),
            "extracted": derived(account.fetched_at),
        },
    )


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


def hit_view(
    hit: RankedHit, creator: Creator, accounts: Sequence[CreatorAccount], words: Sequence[str], *, explain: bool
) -> Hit:
    explanation = Explanation(
        contributions=[
            Contribution(name=part.name, value=part.value, weight=part.weight, contribution=part.contribution)
            for part in hit.addends
        ],
        matched_words=list(words) if any(part.name == "keyword" and part.value > 0 for part in hit.addends) else [],
        exact=hit.exact,
    )
    return Hit(creator=creator_view(creator, accounts), score=hit.score, explanation=explanation if explain else None)
