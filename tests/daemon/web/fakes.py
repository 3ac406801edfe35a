"""Small services behind the handlers, and what they were asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, cast

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry, Gauge

from actors.bulk import LineVerdict
from actors.peers import Peers
from daemon.access import Access
from daemon.config import even_weights
from daemon.forgetting import Report
from daemon.importance import Weighed
from daemon.importing import Piece, Verdict
from daemon.tenancy import Tenancy, TenantRows
from daemon.web.services import (
    AdminServices,
    CreatorWithAccounts,
    PublicServices,
    QueryNote,
    SearchServices,
    Seed,
)
from proto.api import (
    AdminStatus,
    Counts,
    CreatorIdentity,
    CreatorSchedule,
    DependencyStatus,
    ReadyAnswer,
    ReviewPage,
    StageStatus,
)
from proto.errors import Malformed, NotFound
from proto.ids import AccountKey, CreatorId, Platform, Row
from proto.records import (
    AuditEvent,
    ContentItem,
    Creator,
    CreatorAccount,
    CreatorList,
    EmbeddingRecord,
    Enrichment,
    Note,
    SavedSearch,
)
from stores.briefs import BriefVocabulary, Term, parse_brief
from stores.catalog import ShownCreator
from stores.codec import decode, encode
from stores.content import Block, Title, TitleBlock
from stores.env import Environment
from stores.ports import (
    Addend,
    CandidateFeatures,
    RankedHit,
    Relaxation,
    SearchPage,
    SearchQuery,
    Standing,
    Suggestion,
    Weights,
)

NOW = 1_790_000_000.0
KEY = "a-long-enough-admin-key"
BIG_ID = CreatorId((1 << 63) - 5)
"""An id that a float would round."""
HOSTILE = "<script>alert('x')</script>\"><b>"


NO_STORE = cast(Environment, None)
"""Of who has no key, and makes none."""
WEIGHTS = Weights(keyword=0.6, vector=0.35, quality=0.05, fields=even_weights())
WORDS = BriefVocabulary(niches=[Term(label="fitness", name="Fitness", words={"en": ("fitness",)})])


def ready_answer(status: str = "ok") -> ReadyAnswer:
    return ReadyAnswer(
        status=status,
        counts=Counts(creators=3, accounts=3, content_items=4, work_pending=1_234),
        dependencies={"keyword_search": DependencyStatus(state="ok", detail="", loaded=1.0)},
        stages=[
            StageStatus(
                name="embedder",
                queue_depth=7,
                blocked_seconds=0.5,
                state="running",
                handled=12_345,
                restarts=0,
                busy_seconds=1.5,
            )
        ],
    )


def creator(number: int, name: str, *, handle: str = "", bio: str = "") -> CreatorWithAccounts:
    account = CreatorAccount(
        platform=Platform.YOUTUBE,
        platform_user_id=f"UC{number}",
        handle=handle,
        display_name=name,
        bio=bio,
        followers=48_210,
        fetched_at=int(NOW) - 60,
    )
    record = Creator(
        creator_id=CreatorId(number),
        row=Row(number % 1_000),
        name=name,
        canonical_handle=handle,
        account_keys=[account.key],
        primary_niche="fitness",
        llm_summary=f"About {name}",
        total_followers=48_210,
        last_content_at=int(NOW) - 3_600,
        enrichment=Enrichment(
            method="local", model="m", prompt_version="", taxonomy_version="1", input_hash="h", at=int(NOW)
        ),
    )
    return record, [account]


def item(text: str, permalink: str = "https://www.youtube.com/watch?v=abc") -> ContentItem:
    return ContentItem(
        content_id="abc",
        account_key=AccountKey("youtube:UC1"),
        title_or_caption=text,
        published_at=int(NOW) - 3_600,
        views=1_500_000,
        permalink=permalink,
    )


class NothingNoted(Tenancy):
    """A tenant without lists, hidden creators and weights of its own."""

    def __init__(self) -> None:
        self.found = TenantRows(stamp=(0, 0), looked_at=0.0, hidden=np.zeros(0, np.uint32))

    def weights(self, tenant_id: str) -> Weights:
        del tenant_id
        return WEIGHTS

    async def rows(self, tenant_id: str, lists: Collection[str] = ()) -> TenantRows:
        del tenant_id, lists
        return self.found

    async def list_names(self, tenant_id: str) -> list[str]:
        del tenant_id
        return list(self.found.lists)

    async def lists(self, tenant_id: str) -> list[CreatorList]:
        del tenant_id
        return []

    async def searches(self, tenant_id: str) -> list[SavedSearch]:
        del tenant_id
        return []

    async def hidden(self, tenant_id: str) -> list[CreatorId]:
        del tenant_id
        return []

    async def notes_on(self, tenant_id: str, creator_ids: Sequence[CreatorId]) -> dict[CreatorId, Note]:
        del tenant_id, creator_ids
        return {}


class World:
    """Creators in ranking order; every query matches all of them, unless an answer is given."""

    def __init__(self, pairs: Sequence[CreatorWithAccounts], content: Sequence[ContentItem] = ()) -> None:
        self.pairs = {pair[0].creator_id: pair for pair in pairs}
        self.content = list(content)
        self.queries: list[SearchQuery] = []
        self.audited: list[AuditEvent] = []
        self.observed: list[float] = []
        self.requests: list[tuple[str, str]] = []
        self.ready_status = "ok"
        self.allowed: list[str] = []
        self.moved: dict[CreatorId, CreatorId] = {}
        self.embeddings: dict[CreatorId, dict[str, EmbeddingRecord]] = {}
        self.peers = Peers()
        self.before_search: Callable[[], Awaitable[None]] | None = None
        self.tenancy: Tenancy = NothingNoted()
        self.notes: list[QueryNote] = []
        self.features = 0
        self.known: set[str] = set()
        self.facets: dict[str, dict[str, int]] | None = None
        self.relaxations: tuple[Relaxation, ...] = ()
        self.place: Standing | None = None
        self.suggestions: list[Suggestion] = []
        self.ids_only = False
        self.access = Access(NO_STORE, now=lambda: NOW, clock=lambda: 0.0)

    async def search(self, query: SearchQuery) -> SearchPage:
        self.queries.append(query)
        if self.before_search is not None:
            await self.before_search()
        hits = [_hit(one, rank) for rank, (one, _) in enumerate(self.pairs.values())]
        return SearchPage(
            hits=tuple(hits[query.offset : query.offset + query.limit]),
            total=len(hits),
            words=tuple(query.text.split()),
            warnings=(),
            facets=self.facets,
            relaxations=self.relaxations,
            snapshot="kept" if query.offset + query.limit < len(hits) else "",
            candidates=tuple(_features(hit) for hit in hits[: query.features]),
        )

    async def search_shown(self, query: SearchQuery, titles: int) -> tuple[SearchPage, list[ShownCreator | None]]:
        page = await self.search(query)
        return page, await self.shown([hit.creator_id for hit in page.hits], titles if page.words else 0)

    async def standing(self, query: SearchQuery, row: Row) -> Standing:
        del row
        self.queries.append(query)
        assert self.place is not None
        return self.place

    async def is_known(self, text: str) -> bool:
        return text in self.known

    async def suggest(self, prefix: str, limit: int) -> list[Suggestion]:
        return [one for one in self.suggestions if one.text.lower().startswith(prefix.lower())][:limit]

    async def shown(self, ids: Sequence[CreatorId], titles: int) -> list[ShownCreator | None]:
        return [
            ShownCreator(creator=pair[0], accounts=pair[1], titles=self._titles(pair[1], titles)) if pair else None
            for pair in (self.pairs.get(one) for one in ids)
        ]

    def _titles(self, accounts: Sequence[CreatorAccount], items: int) -> list[list[Title]]:
        stored = decode(TitleBlock, encode(Block(items=self.content[:items])))
        return [stored.items for _ in accounts] if items else []

    async def seeds(self, references: Sequence[str]) -> list[Seed]:
        found = []
        for one in references:
            named = [creator for creator, accounts in self.pairs.values() if one in {of.handle for of in accounts}]
            if len(named) == 1:
                found.append(Seed(creator_id=named[0].creator_id, row=named[0].row))
                continue
            if not one.isdecimal() or CreatorId(int(one)) not in self.pairs:
                raise NotFound(f"no creator {one!r}")
            record = self.pairs[CreatorId(int(one))][0]
            found.append(Seed(creator_id=record.creator_id, row=record.row))
        return found

    def creator_of_row(self, row: Row) -> CreatorId | None:
        return next((one.creator_id for one, _ in self.pairs.values() if one.row == row), None)

    async def creators(self, ids: Sequence[CreatorId]) -> list[CreatorWithAccounts | None]:
        return [self.pairs.get(one) for one in ids]

    async def recent_content(self, creator_id: CreatorId, limit: int) -> list[ContentItem]:
        return self.content[:limit] if creator_id in self.pairs else []

    async def embeddings_of(self, creator_id: CreatorId) -> dict[str, EmbeddingRecord]:
        return self.embeddings.get(creator_id, {})

    async def schedule(self, creator_id: CreatorId) -> CreatorSchedule | None:
        return CreatorSchedule(creator_id=str(creator_id), accounts=[]) if creator_id in self.pairs else None

    async def identity(self, creator_id: CreatorId) -> CreatorIdentity | None:
        if creator_id not in self.pairs:
            return None
        return CreatorIdentity(creator_id=str(creator_id), confidence=1.0, accounts=[], others=[], decisions=[])

    async def reviews(self, cursor: str, limit: int) -> ReviewPage:
        return ReviewPage(pairs=[], total=len(cursor), cursor=str(limit))

    async def present_id(self, creator_id: CreatorId) -> CreatorId | None:
        return self.moved.get(creator_id, creator_id)

    async def ready(self) -> ReadyAnswer:
        return ready_answer(self.ready_status)

    def services(self, *, request_timeout_seconds: float = 30.0) -> PublicServices:
        return PublicServices(
            searching=SearchServices(
                search=self.search,
                search_shown=self.search_shown,
                standing=self.standing,
                is_known=self.is_known,
                read_brief=partial(parse_brief, vocabulary=WORDS),
                words=str.split,
                suggest=self.suggest,
                creator_of_row=self.creator_of_row,
                vocabulary={"niche": ("fitness", "gaming"), "style": ("vlog",)},
                niches={"fitness": "Fitness and health", "gaming": "Gaming"},
                seeds=self.seeds,
                shown=self.shown,
                tenancy=self.tenancy,
                features=lambda: self.features,
                note_query=self.notes.append,
                observe=self.observed.append,
                ids_only=lambda: self.ids_only,
            ),
            creators=self.creators,
            recent_content=self.recent_content,
            embeddings=self.embeddings_of,
            peers=lambda: self.peers,
            schedule=self.schedule,
            identity=self.identity,
            reviews=self.reviews,
            present_id=self.present_id,
            ready=self.ready,
            audit=self.audited.append,
            now=lambda: NOW,
            observe_request=lambda route, answer: self.requests.append((route, answer)),
            allowed_hosts=lambda: self.allowed,
            max_body_bytes=1_000,
            request_timeout_seconds=request_timeout_seconds,
            access=self.access,
        )


class Steering:
    """The admin side."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.gauge = Gauge("pokedexd_work_pending", "Pending.", registry=self.registry)
        self.reload_error: Exception | None = None
        self.reloads = 0
        self.imported: list[tuple[int, str]] = []
        self.pieces: list[Piece | None] = []
        self.ended: list[str] = []

    async def refresh(self) -> None:
        self.gauge.set(1_234)

    async def reload(self) -> tuple[list[str], list[str]]:
        self.reloads += 1
        if self.reload_error is not None:
            raise self.reload_error
        return ["log.level"], ["http.port"]

    async def status(self) -> AdminStatus:
        return AdminStatus(
            version="1",
            pid=1,
            uptime_seconds=1.0,
            now="",
            data_dir="/data",
            ready=ready_answer(),
            budgets=[],
            dead_letters=0,
            events=[],
            index={},
            backfill_paused=[],
        )

    async def end_import(self, import_id: str) -> None:
        self.ended.append(import_id)

    async def import_rows(self, rows: Sequence[tuple[int, str]], piece: Piece | None = None) -> list[Verdict]:
        self.pieces.append(piece)
        self.imported += rows
        return [Verdict(line=line, value=text, verdict="added") for line, text in rows]

    async def import_creators(self, body: bytes, piece: Piece) -> list[LineVerdict]:
        self.pieces.append(piece)
        return [LineVerdict(verdict="added") for _ in body.split(b"\n")]

    async def set_importance(self, references: Sequence[str], importance: float) -> list[Weighed]:
        return [Weighed(account=one, before=1.0, importance=importance) for one in references]

    async def forget(self, references: Sequence[str]) -> list[Report]:
        if "nonsense!" in references:
            raise Malformed("'nonsense!' names no account")
        return [Report(alias="00ff", known=True, suppressed=True, removed={"accounts": 1}) for _ in references]

    def services(self, key: str = "") -> AdminServices:
        return AdminServices(
            status=self.status,
            refresh_metrics=self.refresh,
            registry=self.registry,
            reload=self.reload,
            import_rows=self.import_rows,
            import_creators=self.import_creators,
            end_import=self.end_import,
            forget=self.forget,
            set_importance=self.set_importance,
            allowed_hosts=list,
            key=key,
            max_body_bytes=10_000,
        )


def _features(hit: RankedHit) -> CandidateFeatures:
    return CandidateFeatures(
        creator_id=hit.creator_id, keyword=1.0, exact=hit.exact, similarities={}, quality=0.5, score=hit.score
    )


def problem(reply: Any) -> dict[str, Any]:
    """A problem's body, once its form has been checked."""
    assert reply.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = msgspec.json.decode(reply.content)
    assert body["status"] == reply.status_code
    assert body["request_id"] == reply.headers["x-request-id"] != ""
    return body


def _hit(one: Creator, rank: int) -> RankedHit:
    addends = (
        Addend(name="keyword", value=1.0, weight=0.6, contribution=0.6),
        Addend(name="quality", value=0.5 / (rank + 1), weight=0.05, contribution=0.025 / (rank + 1)),
    )
    return RankedHit(
        creator_id=one.creator_id,
        row=one.row,
        score=sum(part.contribution for part in addends),
        addends=addends,
        exact=rank == 0,
    )
