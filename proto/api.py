"""Bodies of the HTTP endpoints. Field names are those of the records; ids are decimal strings, instants RFC 3339."""

from __future__ import annotations

import msgspec


class Body(msgspec.Struct, kw_only=True):
    """Base of every response body."""


class Provenance(Body):
    """Where a group of fields comes from."""

    source: str
    """``api``: as the platform said it. ``derived``: computed here. ``operator``: set by whoever runs this."""
    fetched_at: str | None
    """When the platform said it, or what it was computed from; null when nothing was yet."""


class AccountView(Body):
    platform: str
    platform_user_id: str
    handle: str
    display_name: str
    bio: str
    url: str
    profile_image_url: str
    website: str
    links: list[str]
    emails: list[str]
    named_accounts: list[str]
    """Accounts that the bio names, as ``platform:handle``."""
    followers: int | None
    media_count: int | None
    total_views: int | None
    country: str | None
    language: str | None
    status: str
    fetched_at: str | None
    next_due_at: str | None
    provenance: dict[str, Provenance]
    """By group of fields: ``statistics`` (followers, media_count, total_views), ``extracted`` (links, emails,
    named_accounts), ``profile`` (the rest)."""


class EnrichmentView(Body):
    method: str
    model: str
    prompt_version: str
    taxonomy_version: str
    input_hash: str
    at: str
    confidence: float
    candidates: list[tuple[str, float]]


class CreatorView(Body):
    creator_id: str
    name: str
    canonical_handle: str
    profile_image_url: str
    accounts: list[AccountView]
    primary_niche: str | None
    secondary_niches: list[str]
    content_style: str | None
    llm_summary: str
    language: str | None
    country: str | None
    total_followers: int | None
    followers_by_platform: dict[str, int]
    engagement_rate: float | None
    posts_per_week: float | None
    growth_30d: float | None
    activity: str
    last_content_at: str | None
    content_count: int
    identity_confidence: float
    enrichment: EnrichmentView | None
    updated_at: str | None
    provenance: dict[str, Provenance]
    """By group of fields: ``names`` (name, canonical_handle, profile_image_url, country), ``labels`` (primary_niche to
    llm_summary), ``identity`` (accounts, identity_confidence), ``figures`` (the rest)."""


class ContentView(Body):
    content_id: str
    content_type: str
    platform: str
    title_or_caption: str
    description: str
    published_at: str | None
    views: int | None
    likes: int | None
    comments: int | None
    duration_seconds: int | None
    permalink: str
    provenance: dict[str, Provenance]
    """By group of fields: ``counts`` (views, likes, comments), ``details`` (the rest)."""


class EmbeddingView(Body):
    """What a vector was made of, and by which model; not the vector."""

    model_id: str
    dims: int
    input_hash: str
    """Of the texts; equal texts are not embedded again."""
    updated_at: str
    provenance: Provenance


class SignView(Body):
    """A figure with what it stands on."""

    value: float | str | None
    why: str | None
    """Why it is unknown; null where there is a value."""
    n: int
    """Items; of growth, days whose counts are known; of a percentile, peers."""
    window_days: int
    """What they span up to now."""


class RankView(SignView):
    """A percentile, 0..100, among accounts of the same platform, niche and follower tier."""

    platform: str
    niche: str | None
    tier: str | None
    """``nano``, ``micro``, ``mid``, ``macro`` or ``mega``; null where the followers are not known."""


class SignGroupView(Body):
    engagement_rate: SignView
    """Median over items: of likes and comments by views, or by followers where not all content has views."""
    posts_per_week: SignView
    views_per_follower: SignView
    growth_7d: SignView
    """Change of the followers as a share of those at the window's begin."""
    growth_30d: SignView
    growth_90d: SignView
    activity: SignView
    sponsored_share: SignView
    """Share of the items that disclose a sponsor."""
    engagement_percentile: RankView
    """Overall: that of the platform with most followers."""


class VitalSignsView(Body):
    computed_at: str
    overall: SignGroupView
    """Of the accounts of which something may be derived."""
    by_platform: dict[str, SignGroupView]
    provenance: Provenance


class CreatorDetail(Body):
    creator: CreatorView
    recent_content: list[ContentView]
    vital_signs: VitalSignsView | None
    """Null until they are computed."""
    embeddings: dict[str, EmbeddingView]
    """By field, such as ``yt_bio``."""


class PlannedCall(Body):
    """A job in the schedule. ``units``: its share of a full call, of the platform's budget; null while that is off."""

    kind: str
    entity: str
    due_at: str
    priority: str
    attempts: int
    last_error: str
    units: float | None


class AccountSchedule(Body):
    """How an account is kept fresh. A touch looks for news by the cheapest means; a fetch reads the whole profile."""

    platform: str
    platform_user_id: str
    handle: str
    activity: str
    importance: float
    importance_source: str
    """``operator``, or ``derived`` while nobody set it."""
    posts_per_day: float
    """Estimated, drawn towards a common rate while little is known."""
    touched_at: str | None
    fetched_at: str | None
    next_touch_at: str | None
    next_fetch_at: str | None
    fresh_until: str | None
    """The end of the window within which it is promised to be touched."""
    why: str
    units_per_day: float | None
    planned: list[PlannedCall]


class CreatorSchedule(Body):
    creator_id: str
    accounts: list[AccountSchedule]


class Contribution(Body):
    """One addend of a hit's score."""

    name: str
    """``keyword``, ``quality`` or a vector field such as ``yt_bio``."""
    value: float
    weight: float
    contribution: float


class Explanation(Body):
    """The contributions add up to the score within 1e-6."""

    contributions: list[Contribution]
    matched_words: list[str]
    exact: bool
    """True when the query equals a name or handle."""


class Hit(Body):
    creator: CreatorView
    score: float
    explanation: Explanation | None


class SearchAnswer(Body):
    hits: list[Hit]
    total: int
    cursor: str | None
    facets: dict[str, dict[str, int]] | None
    interpreted: list[dict[str, str]]
    rest: str
    took_ms: float
    warnings: list[str]
    """Plain words on what was left out, e.g. that no vector field answered because the model is absent."""


class Counts(Body):
    creators: int
    accounts: int
    content_items: int
    work_pending: int


class StageStatus(Body):
    name: str
    queue_depth: int
    blocked_seconds: float
    state: str
    """``running``, ``waiting``, ``restarting``, ``stopped`` or ``off``."""
    handled: int
    restarts: int
    busy_seconds: float
    """Of all its workers together."""
    workers: int = 0


class DependencyStatus(Body):
    state: str
    """``ok``, ``loading``, ``missing`` or ``failed``."""
    detail: str
    """What is wrong and the remedy; empty when ok."""
    loaded: float
    """0..1."""


class ReadyAnswer(Body):
    status: str
    """``ok``, ``degraded`` (serving without something), or ``starting``."""
    counts: Counts
    dependencies: dict[str, DependencyStatus]
    stages: list[StageStatus]


class BudgetStatus(Body):
    platform: str
    bucket: str
    window: str
    used: int
    limit: int
    state: str
    """``open``, ``slow`` (calls are spread over what is left), ``closed`` or ``disabled``."""
    resets_at: str | None
    dry_at: str | None = None
    """When it will be spent at the rate so far; None when it lasts."""
    backfill_used: int = 0
    backfill_limit: int | None = None
    """Of ``limit``, what history and new accounts may take; null where they have no share of their own."""


class ModelSpend(Body):
    """One language model, today (UTC)."""

    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float
    """In the currency that the prices are stated in."""


class LabelStatus(Body):
    """How far creators are labelled, and what that cost today."""

    creators: dict[str, int]
    """Those with a niche, by who gave it: ``local`` or ``llm``."""
    waiting: int = 0
    """To be asked about now; counted up to 10,000."""
    spent: list[ModelSpend] = []


class AdminStatus(Body):
    """What `pokedexd ctl status` shows."""

    version: str
    pid: int
    uptime_seconds: float
    now: str
    data_dir: str
    ready: ReadyAnswer
    budgets: list[BudgetStatus]
    dead_letters: int
    events: list[dict[str, str]]
    index: dict[str, str]
    backfill_paused: list[str]
    """Platforms on which history and new accounts wait, since known accounts are looked at too late."""
    reviews: int = 0
    """Pairs of accounts that may be one person's and wait for an operator's word."""
    labels: LabelStatus = msgspec.field(default_factory=lambda: LabelStatus(creators={}))


class DeadLetterView(Body):
    """Secrets are masked in ``detail`` and ``request``."""

    letter_id: str
    stage: str
    entity: str
    reason: str
    detail: str
    request: str
    first_seen_at: str
    last_seen_at: str
    count: int
    replay: str
    """The command that tries it again; empty when this version cannot read what the letter holds."""


class DeadLetterPage(Body):
    """Letters in the order of their ids."""

    letters: list[DeadLetterView]
    total: int
    """Of the reason asked for, over all pages."""
    cursor: str | None


class EvidenceView(Body):
    """One part of what speaks for or against two accounts being one person's."""

    kind: str
    level: str
    log_odds: float
    """Natural logarithm; below 0 it speaks against."""


class NamedAccount(Body):
    account: str
    """Platform and id there."""
    creator_id: str | None = None
    display_name: str = ""
    handle: str = ""
    url: str = ""


class ReviewView(Body):
    """Two accounts that may be one person's."""

    first: NamedAccount
    second: NamedAccount
    probability: float
    log_odds: float
    """Of the pair: the evidence's and what is believed of any two accounts that are compared, added up."""
    evidence: list[EvidenceView]
    standing: str
    """``review``: waits for a person's word; ``rejected``: a person said that they are two; ``merged``."""
    why: str
    """Why a likely pair waits all the same; empty where its probability alone says so."""


class ReviewPage(Body):
    """Pairs that wait for a person's word, the likeliest first."""

    pairs: list[ReviewView]
    total: int
    cursor: str | None


class AccountIdentity(Body):
    """Why an account belongs to its creator."""

    account: NamedAccount
    confidence: float
    decided_by: str
    """``rule`` or ``operator``."""
    since: str
    evidence: list[EvidenceView]


class DecisionView(Body):
    """A person's word on two accounts."""

    first: str
    second: str
    same: bool
    actor: str
    at: str
    replaces: bool = False
    """Whether an earlier word was the opposite."""


class CreatorIdentity(Body):
    """How a creator's accounts came together."""

    creator_id: str
    confidence: float
    """That of its least sure account."""
    accounts: list[AccountIdentity]
    others: list[ReviewView]
    """Pairs with accounts that are not the creator's."""
    decisions: list[DecisionView]


class Problem(Body, omit_defaults=True):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    request_id: str = ""
    pointer: str = ""
