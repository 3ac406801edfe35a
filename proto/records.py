"""What the stores hold. Instants are integer epoch seconds (UTC), unless a name says otherwise.

Records are stored as positional msgpack arrays: a field may be appended with a default, never moved or removed.
None means "unknown" and is never the same as 0.
"""

from __future__ import annotations

import enum
from typing import Generic, TypeVar

import msgspec

from proto.ids import AccountKey, CreatorId, Platform, RawId, Row

DEFAULT_TENANT = "default"

T = TypeVar("T")


class Record(msgspec.Struct, kw_only=True, array_like=True):
    """Base of everything stored."""


class Activity(enum.StrEnum):
    """How lively a creator is: content within 7 days, within 30, or neither."""

    ACTIVE = "active"
    SEMI_ACTIVE = "semi_active"
    LONG_TAIL = "long_tail"


class AccountStatus(enum.StrEnum):
    ACTIVE = "active"
    GONE = "gone"
    SUSPENDED = "suspended"
    SUPPRESSED = "suppressed"


class ContentType(enum.StrEnum):
    VIDEO = "video"
    SHORT = "short"
    LIVE = "live"
    POST = "post"
    REEL = "reel"
    CAROUSEL = "carousel"


class Priority(enum.IntEnum):
    """Order in which due jobs are taken: the smallest first."""

    RETENTION_EXPIRY = 0
    ON_DEMAND = 1
    ACTIVE = 2
    SEMI_ACTIVE = 3
    LONG_TAIL = 4
    BACKFILL = 5
    DISCOVERY = 6


class JobKind(enum.StrEnum):
    """What a scheduled job asks of a platform; an adapter says what each costs and how many fit one call."""

    LOOKUP = "lookup"
    """Entity: a handle or legacy name as imported; finds the account. Runs once."""
    PROFILE = "profile"
    """Entity: the platform's user id. Comes back at the account's cadence."""
    UPLOADS = "uploads"
    """Entity: the platform's user id; the first page of the account's content list. Runs once."""
    CONTENT = "content"
    """Entity: a content id whose details are wanted. Runs once."""
    FEED = "feed"
    """Entity: the platform's user id; its free list of newest content. Comes back at the account's cadence."""
    STATS = "stats"
    """Entity: a content id whose counts are wanted again."""
    REVISIT = "revisit"
    """Entity: a content id whose details must be read again before they may be kept no longer."""
    BACKFILL = "backfill"
    """Entity: the platform's user id; a further page of its content list, from ``page_token``, for what is old. Runs once."""
    BACKFILL_CONTENT = "backfill_content"
    """Entity: a content id of such a page whose details are wanted. Runs once; nothing waits for it."""
    CHART = "chart"
    """Entity: a region; whose content is popular there. Comes back every day, page after page."""
    SEARCH = "search"
    """Entity: words; which accounts the platform finds for them. A page a day, then again after some weeks."""
    NEWS = "news"
    """Entity: the platform's user id; a further page of its content list, from ``page_token``, where those before held
    nothing but news. Runs once."""


LISTINGS = frozenset({JobKind.UPLOADS, JobKind.NEWS, JobKind.BACKFILL})
"""Kinds of which a page holds a part of an account's content list."""


class CreatorAccount(Record):
    """One account on one platform. Key: (platform, platform_user_id), which never changes."""

    platform: Platform
    platform_user_id: str
    handle: str = ""
    """Without a leading @, as the platform writes it; empty when it has none."""
    display_name: str = ""
    bio: str = ""
    profile_image_url: str = ""
    website: str = ""
    links: list[str] = []
    emails: list[str] = []
    followers: int | None = None
    followers_step: int | None = None
    """Rounding step of ``followers`` (YouTube floors to 3 significant figures); a change below it is noise."""
    media_count: int | None = None
    total_views: int | None = None
    country: str | None = None
    """ISO 3166-1 alpha-2, as the platform states it."""
    language: str | None = None
    """ISO 639-1."""
    keywords: list[str] = []
    topics: list[str] = []
    status: AccountStatus = AccountStatus.ACTIVE
    created_at: int | None = None
    fetched_at: int = 0
    content_fetched_at: int | None = None
    next_due_at: int | None = None
    creator_id: CreatorId | None = None
    misses: int = 0
    """How many times in a row the platform did not know this account."""
    touched_at: int | None = None
    """When we last looked whether anything changed, by whatever means."""
    feed_failures: int = 0
    """How many times in a row its free feed could not be read."""
    importance: float = 1.0
    """Raises how often the account is read; below `LOW_IMPORTANCE` it counts as long tail however lively."""
    named_accounts: list[str] = []
    """Accounts that the bio names, as ``platform:handle``; also of platforms that are not ingested."""
    importance_stated: bool = False
    """Whether the operator said how important it is, be it as much as everybody."""

    @property
    def key(self) -> AccountKey:
        return AccountKey(self.platform.value + ":" + self.platform_user_id)


class ContentItem(Record):
    """One video, post, … of an account."""

    content_id: str
    account_key: AccountKey
    content_type: ContentType = ContentType.VIDEO
    title_or_caption: str = ""
    description: str = ""
    published_at: int = 0
    views: int | None = None
    likes: int | None = None
    comments: int | None = None
    duration_seconds: int | None = None
    tags: list[str] = []
    platform_category: str | None = None
    permalink: str = ""
    sponsored: bool = False
    language: str | None = None
    fetched_at: int = 0
    detailed: bool = False
    """False while only a listing is known; True once the platform's details were read."""
    counted_at: int = 0
    """When the counts were read by themselves; 0: with the rest, at ``fetched_at``."""


class ContentCounts(Record):
    """Counts of one item as read by themselves."""

    content_id: str
    views: int | None = None
    likes: int | None = None
    comments: int | None = None


class MetricSnapshot(Record):
    """Counts of an account or content item on one day (days since 1970-01-01 UTC)."""

    entity: str
    day: int
    followers: int | None = None
    views: int | None = None
    media_count: int | None = None
    likes: int | None = None
    comments: int | None = None
    read_at: int = 0
    followers_step: int | None = None
    """As of the account; None also on what was stored before steps were."""


class EmbeddingRecord(Record):
    """One vector: of an account (kind ``bio`` or ``content``) or of a creator (field such as ``yt_bio``)."""

    field: str
    model_id: str
    dims: int
    input_hash: str
    vector: bytes
    """float16, little-endian, unit length."""
    updated_at: int
    version: int = 1
    weight: float = 1.0
    """Share of this text in its account's content, for the weighted mean."""


class Enrichment(Record):
    """Who said what a creator is about, from which input."""

    method: str
    """``local`` or ``llm``."""
    model: str
    prompt_version: str
    taxonomy_version: str
    input_hash: str
    at: int
    confidence: float = 0.0
    candidates: list[tuple[str, float]] = []
    """The best niches with their confidence, best first."""


class Unknown(enum.StrEnum):
    """Why a vital sign has no value."""

    INSUFFICIENT = "insufficient data"
    NOT_STATED = "hidden or not stated"
    """The creator hides the counts, or the platform has none."""
    BELOW_STEP = "below the rounding step"
    """The change is smaller than the step to which the platform rounds the count."""
    NOT_PERMITTED = "not permitted"
    """The platform lets nothing be derived of its data."""


class VitalSign(Record, Generic[T]):
    """A figure with what it stands on; ``why`` it is unknown where ``value`` is None."""

    value: T | None = None
    why: Unknown | None = None
    n: int = 0
    """Items, or of growth the days whose counts are known."""
    window_days: int = 0
    """What the items or counts span up to now; of an unknown growth the days that were asked for."""


class SignGroup(Record):
    """The vital signs of a creator, or of its accounts on one platform."""

    engagement_rate: VitalSign[float]
    """Median over items of (likes + comments) by views, or by followers on platforms that count views of few items."""
    posts_per_week: VitalSign[float]
    views_per_follower: VitalSign[float]
    """Median over items."""
    growth_7d: VitalSign[float]
    """Change of the followers, as a share of those at the window's begin."""
    growth_30d: VitalSign[float]
    growth_90d: VitalSign[float]
    activity: VitalSign[Activity]
    """Its n and window are those of the last 30 days."""
    sponsored_share: VitalSign[float]
    """Share of the items that disclose a sponsor."""


class VitalSigns(Record):
    at: int
    """When they were computed."""
    overall: SignGroup
    """Of the accounts of which something may be derived."""
    by_platform: dict[str, SignGroup] = {}


class Creator(Record):
    """One person or brand: what search returns."""

    creator_id: CreatorId
    row: Row
    name: str = ""
    canonical_handle: str = ""
    profile_image_url: str = ""
    account_keys: list[AccountKey] = []
    primary_niche: str | None = None
    secondary_niches: list[str] = []
    content_style: str | None = None
    llm_summary: str = ""
    language: str | None = None
    country: str | None = None
    total_followers: int | None = None
    followers_by_platform: dict[str, int] = {}
    engagement_rate: float | None = None
    posts_per_week: float | None = None
    growth_30d: float | None = None
    activity: Activity = Activity.LONG_TAIL
    last_content_at: int | None = None
    identity_confidence: float = 1.0
    enrichment: Enrichment | None = None
    content_count: int = 0
    created_at: int = 0
    updated_at: int = 0
    vital_signs: bytes = b""
    """An encoded `VitalSigns`, or empty: unpacked only where they are wanted, since a start reads every creator."""
    views_per_follower: float | None = None
    sponsored_share: float | None = None
    derived_activity: Activity | None = None
    """As the vital signs have it: of the accounts of which something may be derived; None without content of those."""
    has_email: bool | None = None
    """Whether one of those accounts states an e-mail address; None where there is no such account."""
    has_website: bool | None = None
    """Whether one of those accounts links to a page outside the platforms."""
    oldest_fetched_at: int | None = None
    """When the least fresh of the accounts that still exist was read, 0 if never; None until a creator that an earlier
    version computed, which knew nothing of what stands here from `views_per_follower` on, is computed anew."""


class IdentityLink(Record):
    """Why an account belongs to a creator."""

    account_key: AccountKey
    creator_id: CreatorId
    confidence: float
    evidence: list[tuple[str, float]] = []
    decided_by: str = "rule"
    at: int = 0


class RawPage(Record):
    """One account's part of a platform's reply, as received."""

    platform: Platform
    kind: JobKind
    account_key: AccountKey
    fetched_at: int
    request: str
    """Method and URL path with parameters, secrets masked."""
    body: bytes
    """JSON (or XML) of this account's part; compressed by the store."""
    listed_before: int = 0
    """For a content list: how many entries earlier pages held."""
    walked: int = 0
    """See `Job.walked`."""


class Job(Record):
    """A leased piece of the schedule."""

    platform: Platform
    kind: JobKind
    entity: str
    account_key: AccountKey | None
    priority: Priority
    due_at: int
    attempts: int = 0
    first: bool = True
    """True until it has been answered once; such jobs count as pending work."""
    page_token: str = ""
    listed_before: int = 0
    last_error: str = ""
    handle: str = ""
    """The account's handle, for platforms that are asked by name."""
    walked: int = 0
    """How many entries of the content list were read before its page token died and the walk began anew (it does once):
    so far it goes on whatever it meets."""

    @property
    def bulk(self) -> bool:
        """Whether it is no part of keeping known accounts fresh, and has a share of the budget only."""
        return self.priority >= Priority.BACKFILL


class DeadLetter(Record):
    """Something that will not succeed by itself, kept with its cause and a way to try it again."""

    letter_id: str
    stage: str
    entity: str
    reason: str
    detail: str
    request: str = ""
    payload: bytes = b""
    """What to put back: an encoded message or Job."""
    first_seen_at: int = 0
    last_seen_at: int = 0
    count: int = 1


class Event(Record):
    """Something an operator should be able to see later."""

    at: int
    kind: str
    severity: str
    """``info``, ``warning`` or ``error``."""
    subject: str = ""
    detail: str = ""


class Pause(Record):
    """A platform or a stage that an operator holds back."""

    name: str
    by: str
    at: int
    reason: str = ""


class TaskRecord(Record):
    """Long work and what became of it. Names no account: nothing of it has to be erased."""

    number: int
    kind: str
    state: str
    """``running``, ``done``, ``failed``, ``cancelled`` or ``interrupted``."""
    started_at: float
    detail: str = ""
    done: int = 0
    total: int = 0
    """0: not known."""
    ended_at: float = 0.0
    seconds: float = 0.0
    """How long it took, by the machine's clock."""
    error: str = ""


class AuditEvent(Record):
    """Who did what."""

    at: int
    tenant_id: str
    actor: str
    action: str
    """``search``, ``config``, ``erasure``, ``merge``, …"""
    detail: str = ""
    request_id: str = ""
    previous: str = ""
    """Hash of the record before; empty for records of before there was a chain."""
    salt: str = ""
    """Key of ``detail_hash``; gone once somebody who stood in the detail was forgotten."""
    detail_hash: str = ""


class SearchWeights(Record):
    """How a score is put together; see `stores.ports.Weights`."""

    keyword: float
    vector: float
    quality: float
    fields: dict[str, float]


class Tenant(Record):
    tenant_id: str
    name: str = ""
    created_at: int = 0
    search_weights: SearchWeights | None = None
    """None: those of the settings."""
    removed_at: int = 0
    """A tenant that is gone keeps its id, which the audit trail has."""


class ApiKey(Record):
    """What is known of a key: not the key."""

    key_hash: str
    """SHA-256, in hexadecimal digits."""
    tenant_id: str
    scopes: list[str] = []
    expires_at: int | None = None
    name: str = ""
    last_used_at: int | None = None
    key_id: str = ""
    """By which people speak of it."""
    created_at: int = 0
    requests_per_minute: int = 0
    """0: no limit."""
    revoked_at: int = 0


class WebSession(Record):
    """Somebody who has logged in with a browser."""

    session_hash: str
    """SHA-256 of what the cookie holds."""
    tenant_id: str
    actor: str
    scopes: list[str] = []
    """Of a token; those of a key are the key's."""
    key_hash: str = ""
    """Of the key that was logged in with: once that ends, so does the session."""
    requests_per_minute: int = 0
    """Of a token, as its scopes."""
    created_at: int = 0
    expires_at: int = 0


class ListEntry(Record):
    """What a tenant said of a creator in one list."""

    state: str = ""
    """``shortlist``, ``maybe``, ``no``, or nothing where nobody has decided yet."""
    reason: str = ""
    at: int = 0
    actor: str = ""


class CreatorList(Record):
    list_id: str
    tenant_id: str
    name: str
    creator_ids: list[CreatorId] = []
    """As they were put in: an id that was merged into another since leads there, and back once that is undone."""
    version: int = 1
    """Raised by every change."""
    created_at: int = 0
    changed_at: int = 0
    entries: dict[CreatorId, ListEntry] = {}
    """By the id as it was put in; of those that something was said of."""


class ListStep(Record):
    """What one change did to a list: from these a visitor is told what happened since the visit before."""

    version: int
    """That the list had afterwards."""
    at: int
    actor: str = ""
    added: list[CreatorId] = []
    removed: list[CreatorId] = []
    triaged: list[CreatorId] = []
    renamed: bool = False
    reordered: bool = False


class ListVisit(Record):
    """Up to where somebody has seen a list."""

    version: int
    at: int


class LoggedQuery(Record):
    """What was searched for and what ranking knew of the best candidates."""

    number: int
    at: int
    tenant_id: str
    request_id: str
    text: str
    """As it was typed."""
    rest: str
    """What of it was looked for by words and meaning."""
    filter: str
    """All conditions, in the grammar of filters."""
    niches: list[str]
    """Preferred, not demanded."""
    sort: str
    ascending: bool
    fusion: str
    diversity: float
    weights: SearchWeights
    """By which these were ranked."""
    total: int
    took_ms: float
    creator_ids: bytes = b""
    """Of the candidates, best first: 8 bytes each, big-endian."""
    fields: list[str] = []
    """Vector fields that have a column in ``features``."""
    features: bytes = b""
    """A row a candidate, float32 little-endian: keyword, exact, quality, score, then one similarity a field; NaN for a
    field that the candidate lacks."""


class Note(Record):
    """What a tenant wrote about a creator, whatever lists it is in."""

    tenant_id: str
    creator_id: CreatorId
    text: str
    at: int = 0
    tags: list[str] = []
    version: int = 1
    actor: str = ""


class SavedSearch(Record):
    tenant_id: str
    search_id: str
    query: str
    """A `proto.api.SearchRequest` as JSON, without limit and cursor."""
    at: int = 0
    """When it was changed last."""
    name: str = ""
    version: int = 1
    created_at: int = 0


class StoredRaw(Record):
    """How a RawPage lies in the store."""

    raw_id: RawId
    platform: Platform
    kind: JobKind
    account_key: AccountKey
    fetched_at: int
    request: str
    body_zstd: bytes
    listed_before: int = 0
    walked: int = 0


class Normalised(msgspec.Struct, kw_only=True):
    """What one raw page says, in our schema. ``account`` is None for a page that holds only content."""

    account_key: AccountKey
    account: CreatorAccount | None = None
    items: list[ContentItem] = []
    next_page_token: str = ""
    listed: int = 0
    """Entries on this page of a content list, those not usable included."""
    counts: list[ContentCounts] = []
    """Newer counts of items that are known already."""
    refused: list[tuple[str, str]] = []
    """Items that cannot be read: (what of it is known, why). The rest of the page stands without them."""


class WorkItem(Record):
    """Stored unfinished work: the message to send again."""

    message: bytes
    revision: int
    enqueued_at: int
    attempts: int = 0
