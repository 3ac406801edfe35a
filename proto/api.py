"""Bodies of the HTTP endpoints. Field names are those of the records; ids are decimal strings, instants RFC 3339."""

from __future__ import annotations

from typing import Any

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


class Highlight(Body):
    """A text of the creator that holds words of the query."""

    field: str
    """``name``, ``handle``, ``bio``, ``niche`` or ``summary``."""
    text: str
    """As it is stored; of a long one what surrounds the first words met."""
    marks: list[tuple[int, int]]
    """Where words stand in ``text``: begin and end in code points."""
    account: str | None = None
    """Platform and id there, of a text that is an account's."""


class ContentMatch(Body):
    """Of a field of content, the item whose title holds most words of the query, the newest of several."""

    field: str
    """``yt_content`` or ``ig_captions``."""
    content_id: str
    title: str
    marks: list[tuple[int, int]]
    permalink: str
    published_at: str | None


class Explanation(Body):
    """The contributions add up to the score within 1e-6."""

    contributions: list[Contribution]
    matched_words: list[str]
    """Words of the query that the creator holds, as they were folded."""
    exact: bool
    """True when the query equals a name or handle."""
    highlights: list[Highlight]
    content: list[ContentMatch]
    """Only where ``explain`` is ``full``."""
    filters: list[str]
    """Conditions that the creator meets, in the grammar of filters, those read out of words among them."""
    interpreted: list[str]
    """Words of the query that became conditions or preferences."""


class Hit(Body):
    creator: CreatorView
    score: float
    explanation: Explanation | None


class Interpreted(Body):
    """What words of the query were read as."""

    id: str
    """For ``drop``."""
    kind: str
    """``filter``: demanded. ``boost``: preferred; its words are looked for as well."""
    field: str
    """A column of filters."""
    value: str
    """For people."""
    words: str
    """Of the query, as they stand there."""
    begin: int
    """In code points of ``q``."""
    end: int
    confidence: float
    filter: str
    """In the grammar of filters."""
    applied: bool
    """Not where it was dropped, only suggested, or overridden by a filter on the same column."""


class RelaxationView(Body):
    """A condition which, left out alone, leaves something to be found."""

    filter: str
    total: int
    """How many would be found without it."""
    interpreted: list[str]
    """Ids of what words of the query became it: to be named in ``drop``."""


class SearchAnswer(Body):
    hits: list[Hit]
    total: int
    cursor: str | None
    facets: dict[str, dict[str, int]] | None
    interpreted: list[Interpreted]
    rest: str
    """What was looked for by words and meaning."""
    took_ms: float
    warnings: list[str]
    """Plain words on what was left out, e.g. that no vector field answered because the model is absent."""
    relaxations: list[RelaxationView] = []
    """When nothing is found."""


class SearchRequest(Body, forbid_unknown_fields=True):
    """What is asked of search; the same as its query parameters."""

    q: str = ""
    filter: str | dict[str, Any] | None = None
    """In the grammar of filters, or as a tree of nodes."""
    limit: int = 20
    cursor: str = ""
    sort: str = "relevance"
    facets: list[str] = []
    explain: bool | str = "brief"
    """``none`` (false), ``brief`` or ``full`` (true)."""
    interpret: str = "apply"
    drop: list[str] = []
    fields: list[str] = []
    fusion: str = "weighted"
    diversity: float = 0.0
    weights: dict[str, float] = {}
    fresh_within: str | float | None = None


class SimilarRequest(Body, forbid_unknown_fields=True):
    """Creators that hits are to be like, and unlike: ids, handles, account keys or URLs."""

    positive: list[str]
    negative: list[str] = []
    filter: str | dict[str, Any] | None = None
    limit: int = 20
    cursor: str = ""
    facets: list[str] = []
    explain: bool | str = "brief"
    """``none`` (false), ``brief`` or ``full`` (true)."""
    fields: list[str] = []
    diversity: float = 0.0
    weights: dict[str, float] = {}
    fresh_within: str | float | None = None


class FailedCondition(Body):
    filter: str
    interpreted: list[str]
    """Ids of what words of the query became it."""


class ExplainAnswer(Body):
    """Where one creator stands in a search, or what keeps it out."""

    creator_id: str
    found: bool
    rank: int | None
    """From 1."""
    total: int
    score: float | None
    explanation: Explanation | None
    failed: list[FailedCondition]
    """Conditions that it does not meet."""
    hidden: bool
    """Whether it is left out because it was hidden."""
    keyword_match: bool
    missing_words: list[str]
    vector_ranks: dict[str, int]
    """By vector field that it has: its place among those that pass the filters."""
    candidates: int
    """So many of each vector field are taken."""
    why: list[str]
    """The same in plain words."""
    interpreted: list[Interpreted]
    rest: str


class SuggestionView(Body):
    kind: str
    """``name``, ``handle`` or ``niche``."""
    text: str
    creator_id: str | None
    """Null for a niche."""


class Suggestions(Body):
    suggestions: list[SuggestionView]


class ListView(Body):
    list_id: str
    name: str
    version: int
    """Raised by every change."""
    creators: int
    created_at: str | None
    changed_at: str | None


class Lists(Body):
    lists: list[ListView]


class EntryView(Body):
    """What the tenant says of a creator in a list, and of the creator wherever it is."""

    creator_id: str
    state: str
    """``shortlist``, ``maybe``, ``no``, or nothing where nobody has decided yet."""
    reason: str
    decided_at: str | None
    decided_by: str
    note: str = ""
    tags: list[str] = []
    note_version: int = 0
    """0: there is no note."""


class ListPage(Body):
    """A list with its creators, in their order."""

    of: ListView = msgspec.field(name="list")
    creators: list[CreatorView]
    entries: list[EntryView]
    """Of the same creators, in the same order."""
    cursor: str | None
    total: int
    """With the state that was asked for, over all pages."""
    states: dict[str, int]
    """How many have which state; those without one under an empty name."""


class ListCreate(Body, forbid_unknown_fields=True):
    name: str
    creators: list[str] = []
    """Ids."""


class TriageChange(Body, forbid_unknown_fields=True):
    state: str = ""
    """``shortlist``, ``maybe``, ``no``, or nothing."""
    reason: str = ""


class ListMove(Body, forbid_unknown_fields=True):
    """Creators that are put in front of another, in this order."""

    creators: list[str]
    before: str | None = None
    """None: behind all others."""


class ListChange(Body, forbid_unknown_fields=True):
    """What is given is changed."""

    version: int | None = None
    """Of the list as it was read: where it has changed since, nothing is changed and 409 says so, with the list as it is
    under ``current``. ``If-Match`` does the same, with 412."""
    name: str | None = None
    add: list[str] = []
    remove: list[str] = []
    triage: dict[str, TriageChange] = {}
    """By creator."""
    move: ListMove | None = None


class ListNewsView(Body):
    """What became of a list since it was looked at."""

    of: ListView = msgspec.field(name="list")
    since: int
    """The version behind which it is told; 0 where the list was never visited."""
    since_at: str | None
    """When it was visited; null for a version that was asked for."""
    complete: bool
    """False where the list has changed so often since that the first changes are not known any more."""
    added: list[str]
    removed: list[str]
    triaged: list[EntryView]
    posted: list[str]
    """Members that posted since the visit, of the first 2,000."""
    renamed: bool
    reordered: bool
    actors: list[str]
    """Who changed it."""


class NoteView(Body):
    creator_id: str
    text: str
    tags: list[str]
    version: int
    """Raised by every change."""
    changed_at: str | None
    changed_by: str


class NoteChange(Body, forbid_unknown_fields=True):
    """What is given is changed; a note without text and tags is deleted."""

    text: str | None = None
    tags: list[str] | None = None
    version: int | None = None
    """As of a list; 0: there is none yet."""


class NotePage(Body):
    """By creator."""

    notes: list[NoteView]
    creators: list[CreatorView]
    """Of the same creators, in the same order."""
    tags: dict[str, int]
    """All of the tenant's, and how many creators have each."""
    total: int
    cursor: str | None


class SavedSearchView(Body):
    search_id: str
    name: str
    request: SearchRequest
    """To be sent to `POST /v1/search` as it is."""
    version: int
    created_at: str | None
    changed_at: str | None


class SavedSearches(Body):
    searches: list[SavedSearchView]


class SavedSearchCreate(Body, forbid_unknown_fields=True):
    name: str
    request: SearchRequest


class SavedSearchChange(Body, forbid_unknown_fields=True):
    """What is given is changed."""

    version: int | None = None
    name: str | None = None
    request: SearchRequest | None = None


class HiddenPage(Body):
    """Creators that no search finds, but one that asks about ``hidden``."""

    creators: list[CreatorView]
    total: int
    cursor: str | None


class HiddenState(Body):
    creator_id: str
    hidden: bool
    changed: bool


class WeightsView(Body):
    """How a score is put together: ``keyword·k + vector·Σ wᵢ·simᵢ + quality·q``."""

    tenant_id: str
    keyword: float
    vector: float
    quality: float
    fields: dict[str, float]
    source: str
    """``tenant``, or ``settings`` where the tenant set none."""


class MovedCreator(Body):
    creator_id: str
    before: int | None
    """Rank under the weights in force; null behind the first ten."""
    after: int | None


class WhatIfQuery(Body):
    """A logged query under both weights."""

    number: int
    text: str
    filter: str
    overlap: float
    """Share of the first ten that are the same."""
    moved: list[MovedCreator]
    """Of the first ten under either."""


class WhatIf(Body):
    """What other weights would change about logged queries."""

    before: WeightsView
    after: WeightsView
    queries: list[WhatIfQuery]
    overlap: float
    """Mean over the queries; 1 where there are none."""
    changed: int
    """Queries whose first ten differ, in their order too."""


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
    """``running``, ``paused``, ``waiting``, ``restarting``, ``stopped`` or ``off``."""
    handled: int
    restarts: int
    busy_seconds: float
    """Of all its workers together."""
    workers: int = 0


class DependencyStatus(Body):
    state: str
    """``ok``, ``loading``, ``missing``, ``failed``, ``full``, ``down`` or ``off``."""
    detail: str
    """What is wrong and the remedy; empty when ok."""
    loaded: float
    """0..1."""


class ReadyAnswer(Body):
    status: str
    """``ok``, ``degraded`` (serving without something, or drained), ``starting``, or ``stopping``."""
    counts: Counts
    dependencies: dict[str, DependencyStatus]
    stages: list[StageStatus]
    drained: str = ""
    """Why nothing new is taken in, where an operator drains or drained the daemon, and what ends that."""


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


class ResourceStatus(Body):
    """Room on the disk and in memory, of the latest look."""

    disk_free_bytes: int = 0
    disk_floor_bytes: int = 0
    """With less free than this nothing is taken in."""
    resident_bytes: int = 0
    memory_ceiling_bytes: int = 0
    """0 where there is none."""
    memory_state: str = "ok"
    """``ok``, ``near`` the ceiling, or ``above`` it."""
    held_because: str = ""
    """Why nothing is taken in; empty while it is."""


class PauseView(Body):
    """A platform or a stage that an operator holds back; over restarts too."""

    name: str
    by: str
    at: str | None
    reason: str


class Pauses(Body):
    """All that is paused, the longest first."""

    pauses: list[PauseView]


class TaskView(Body):
    """Long work and what became of it."""

    uid: str
    kind: str
    """``backup``, ``reindex``, ``import``, ``forget``, ``backfill`` or ``drain``."""
    state: str
    """``running``, ``done``, ``failed``, ``cancelled``, or ``interrupted`` by the end of the daemon."""
    detail: str
    done: int
    total: int
    """0: not known."""
    progress: float | None
    """Share of it that is done."""
    started_at: str | None
    ended_at: str | None
    seconds: float
    error: str
    cancellable: bool


class Ordered(Body):
    """What became of an account that was ordered."""

    account: str
    """Its key, or the reference that names none."""
    ordered: bool
    detail: str = ""


class OrderedAll(Body):
    accounts: list[Ordered]


class Actors(Body):
    """Every stage and what looks after them."""

    actors: list[StageStatus]


class LogLevel(Body):
    """In force until the settings are read again."""

    level: str
    before: str


class TaskPage(Body):
    """Newest first."""

    tasks: list[TaskView]


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
    resources: ResourceStatus = msgspec.field(default_factory=ResourceStatus)
    intake_paused: dict[str, str] = {}
    """Platforms from which nothing is fetched for now, and why."""
    pauses: list[PauseView] = []
    """What an operator holds back."""
    failing: dict[str, str] = {}
    """Services beside the flow that failed and wait to be started again, and why."""
    damaged: list[str] = []
    """The first records met since the start that cannot be read: database, key and why; they are passed over."""
    damaged_records: int = 0
    """How many there are."""


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


class SessionCreate(Body, forbid_unknown_fields=True):
    """Who logs in."""

    key: str
    """A key, or a token of the identity provider."""


class SessionView(Body):
    """Who is asking."""

    tenant_id: str
    actor: str
    """As the audit trail names it."""
    scopes: list[str]
    expires_at: str | None
    """When the session or the key ends; null where it does not."""
    csrf_token: str
    """What a change that comes with the cookie brings along, as `X-CSRF-Token`; empty for who came by a key."""
    is_open: bool
    """Nobody is asked who they are, since there is no key yet."""


class AuditView(Body):
    """Who did what."""

    number: int
    at: str | None
    tenant_id: str
    actor: str
    action: str
    detail: str
    request_id: str
    hash: str
    """That the next record holds; empty for records of before there was a chain."""


class AuditPage(Body):
    """Oldest first."""

    records: list[AuditView]


class KeyView(Body):
    key_id: str
    tenant_id: str
    name: str
    scopes: list[str]
    requests_per_minute: int
    """0: no limit."""
    created_at: str | None
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None


class Keys(Body):
    """Oldest first."""

    keys: list[KeyView]


class KeyMade(Body):
    key: str
    """Shown this once."""
    of: KeyView


class TenantView(Body):
    tenant_id: str
    name: str
    created_at: str | None


class Tenants(Body):
    tenants: list[TenantView]


class Problem(Body, omit_defaults=True):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    request_id: str = ""
    pointer: str = ""
    """The parameter, or within a body a JSON pointer."""
    column: str = ""
    """Of a filter that is wrong."""
    position: int | None = None
    """Of the character in a filter's text, from 1."""
    current: dict[str, Any] | None = None
    """How what was to be changed is stored now, where somebody else has changed it."""
