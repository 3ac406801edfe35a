"""What the handlers need of the daemon, and nothing more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import trio
from prometheus_client import CollectorRegistry

from actors.peers import Peers
from daemon.access import Access
from daemon.dead_letters import DeadLetters
from daemon.importing import Piece, Verdict
from daemon.reviewing import Reviewing
from daemon.stock import Stock
from daemon.tenancy import Tenancy
from daemon.web.history import Histories
from daemon.web.hub import HubServices
from proto.api import AdminStatus, CreatorIdentity, CreatorSchedule, ReadyAnswer, ReviewPage
from proto.api import TaskView as Task
from proto.ids import CreatorId, Row
from proto.records import AuditEvent, ContentItem, Creator, CreatorAccount, EmbeddingRecord, RawPage
from stores.audit import Actor
from stores.briefs import Brief
from stores.catalog import ShownCreator
from stores.filter_columns import Vocabulary
from stores.ports import SearchPage, SearchQuery, Standing, Suggestion

CreatorWithAccounts = tuple[Creator, list[CreatorAccount]]


class Seed(msgspec.Struct, kw_only=True, frozen=True):
    """A creator that hits are to be like, or unlike."""

    creator_id: CreatorId
    row: Row


class QueryNote(msgspec.Struct, kw_only=True, frozen=True):
    """A search that has been answered, for the log of queries."""

    at: int
    request_id: str
    text: str
    query: SearchQuery
    page: SearchPage
    took_ms: float


class SearchServices(msgspec.Struct, kw_only=True, frozen=True):
    """What a search needs."""

    search: Callable[[SearchQuery], Awaitable[SearchPage]]
    search_shown: Callable[[SearchQuery, int], Awaitable[tuple[SearchPage, list[ShownCreator | None]]]]
    """The page with its creators; where it has words, with so many of the newest titles of each account."""
    standing: Callable[[SearchQuery, Row], Awaitable[Standing]]
    is_known: Callable[[str], Awaitable[bool]]
    """Whether a text equals a creator's name, handle or platform id."""
    read_brief: Callable[[str], Brief]
    words: Callable[[str], Sequence[str]]
    """Of a query, as keyword search folds them."""
    suggest: Callable[[str, int], Awaitable[Sequence[Suggestion]]]
    creator_of_row: Callable[[Row], CreatorId | None]
    vocabulary: Vocabulary
    """Niches and styles that filters may name."""
    niches: Mapping[str, str]
    """Names of the niches, by their ids."""
    subjects: Mapping[str, str] = {}
    """Of their narrower subjects."""
    styles: Mapping[str, str] = {}
    seeds: Callable[[Sequence[str]], Awaitable[list[Seed]]]
    """Raises NotFound for a reference to nobody, Malformed for what is none."""
    shown: Callable[[Sequence[CreatorId], int], Awaitable[list[ShownCreator | None]]]
    tenancy: Tenancy
    features: Callable[[], int]
    """Of how many hits the log of queries keeps what ranking knew; 0 while it is off."""
    note_query: Callable[[QueryNote], None]
    observe: Callable[[float], None]
    ids_only: Callable[[], bool]
    """Whether an export may hold no more than ids and what the tenant noted itself."""


async def nothing_known(ids: Sequence[CreatorId], since_day: int) -> dict[CreatorId, Histories]:
    del ids, since_day
    return {}


async def nothing_read(creator_id: CreatorId, limit: int) -> list[RawPage]:
    del creator_id, limit
    return []


class TaskView(msgspec.Struct, kw_only=True, frozen=True):
    """Something long that an operator asked for."""

    name: str
    state: str
    done: int
    total: int | None = None
    detail: str = ""
    started_at: str | None = None


class Operations(msgspec.Struct, kw_only=True, frozen=True):
    """What the operations page shows and does: the functions of the admin listener."""

    status: Callable[[], Awaitable[AdminStatus]]
    stock: Callable[[], Stock | None]
    """As of the latest survey; None before the first."""
    letters: DeadLetters
    reviewing: Reviewing
    recent_audit: Callable[[int, str], Awaitable[list[AuditEvent]]]
    """So many, newest first; of a tenant, or all."""
    import_rows: Callable[[Sequence[tuple[int, str]], Actor], Awaitable[Sequence[Verdict]]]
    forget: Callable[[Sequence[str], Actor], Awaitable[Sequence[msgspec.Struct]]]
    stopping: trio.Event
    """Set when the daemon ends: pages that go on by themselves end then."""
    tasks: Callable[[], Awaitable[Sequence[TaskView]]] | None = None
    """None where nothing keeps them."""


class PublicServices(msgspec.Struct, kw_only=True, frozen=True):
    """Of the public listener."""

    searching: SearchServices
    creators: Callable[[Sequence[CreatorId]], Awaitable[list[CreatorWithAccounts | None]]]
    recent_content: Callable[[CreatorId, int], Awaitable[list[ContentItem]]]
    embeddings: Callable[[CreatorId], Awaitable[Mapping[str, EmbeddingRecord]]]
    peers: Callable[[], Peers]
    """With whom creators are compared, as of the latest survey."""
    schedule: Callable[[CreatorId], Awaitable[CreatorSchedule | None]]
    identity: Callable[[CreatorId], Awaitable[CreatorIdentity | None]]
    reviews: Callable[[str, int], Awaitable[ReviewPage]]
    present_id: Callable[[CreatorId], Awaitable[CreatorId | None]]
    """Where an id leads that another creator has taken over."""
    ready: Callable[[], Awaitable[ReadyAnswer]]
    audit: Callable[[AuditEvent], None]
    now: Callable[[], float]
    allowed_hosts: Callable[[], list[str]]
    max_body_bytes: int
    request_timeout_seconds: float
    access: Access
    max_requests: int = 256
    """At work at once."""
    max_url_chars: int = 12_288
    banner: str = ""
    hub: HubServices | None = None
    """Where a hub pushes."""
    history: Callable[[Sequence[CreatorId], int], Awaitable[Mapping[CreatorId, Histories]]] = nothing_known
    """Readings of the accounts of creators from a day on."""
    raw_pages: Callable[[CreatorId, int], Awaitable[list[RawPage]]] = nothing_read
    """What the platforms said of a creator's accounts, the newest of each first; so many at most."""
    tasks: Callable[[], Sequence[Task]] = list
    """The latest long work, newest first."""
    operations: Operations | None = None
    """What operators see and do on the pages."""
    pictures: bool = False
    """Whether pages may load pictures from the platforms' hosts."""
    observe_request: Callable[[str, str], None] = lambda *_: None
    """Told of each request: the template of its route, empty where there is none, and how it was answered: the code of
    its problem, else the class of its status such as ``2xx``."""


class AdminServices(msgspec.Struct, kw_only=True, frozen=True):
    """Of the admin listener."""

    status: Callable[[], Awaitable[AdminStatus]]
    refresh_metrics: Callable[[], Awaitable[None]]
    registry: CollectorRegistry
    reload: Callable[[], Awaitable[tuple[list[str], list[str]]]]
    import_rows: Callable[[Sequence[tuple[int, str]], Piece | None], Awaitable[Sequence[msgspec.Struct]]]
    import_creators: Callable[[bytes, Piece], Awaitable[Sequence[msgspec.Struct]]]
    end_import: Callable[[str], Awaitable[None]]
    forget: Callable[[Sequence[str]], Awaitable[Sequence[msgspec.Struct]]]
    set_importance: Callable[[Sequence[str], float], Awaitable[Sequence[msgspec.Struct]]]
    allowed_hosts: Callable[[], list[str]]
    key: str
    """Bearer key of the TCP listener; empty: only reading is allowed there."""
    max_body_bytes: int
