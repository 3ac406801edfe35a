"""What an operator may ask of a running daemon."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import structlog
import trio

from actors.bulk import LineVerdict
from actors.peers import Peers
from daemon.backup import Backups
from daemon.config import Config, Loaded, dump, instagram_tokens, reloadable
from daemon.dead_letters import DeadLetters
from daemon.draining import Draining
from daemon.figures import read_figures
from daemon.forgetting import Forgetting, Report
from daemon.importance import Weighed, set_importance
from daemon.importing import Piece, Verdict, end_import, import_accounts, import_rows
from daemon.labelling import label_status
from daemon.logs import set_level
from daemon.looking import Looking
from daemon.metrics import Metrics
from daemon.operations import Operations
from daemon.ordering import Backfills, refresh
from daemon.pausing import Pausing
from daemon.pipeline import Pipeline, Stores, visit_policies
from daemon.readiness import DISK, MEMORY, Readiness, ready_answer
from daemon.resources import Resources
from daemon.reviewing import Reviewing
from daemon.stock import Stock
from daemon.tasks import Tasks, Tell
from daemon.visiting import schedule_of
from daemon.web.tls import Tls
from daemon.web.views import instant
from proto.api import AdminStatus, BudgetStatus, CreatorSchedule, ReadyAnswer, ResourceStatus
from proto.errors import ConfigError, Unavailable
from proto.ids import AccountKey, CreatorId
from proto.records import AuditEvent
from stores.audit import OPERATOR, Actor
from stores.blocking import Blocking
from stores.imports import lines_of, piece_key
from stores.ledger import Standing
from stores.ports import Suggestion, Weights
from stores.searcher import Searcher
from stores.text_index import TantivyTextIndex

log = structlog.get_logger("control")

DAMAGED_SHOWN = 20
"""Records by name in a status."""
OPENING_SECONDS = 60
"""How long an import waits for the indexes of a daemon that has just started."""


class Control:
    """Reads for status and metrics; reload; import."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        reload: Callable[[], Loaded],
        data_dir: Path,
        stores: Stores,
        searcher: Searcher,
        pipeline: Pipeline,
        readiness: Readiness,
        metrics: Metrics,
        now: Callable[[], float],
        backups: Callable[[Callable[[], str]], Backups],
        resources: Resources,
    ) -> None:
        """``backups``: of the text of the settings."""
        self._loaded, self._reload, self._data_dir = loaded, reload, data_dir
        self._began_with = loaded.config
        self._stores, self._searcher, self._pipeline = stores, searcher, pipeline
        self._readiness, self._metrics, self._now = readiness, metrics, now
        self._reading = Blocking("import-reading", 1)
        self.resources = resources
        self._started = time.monotonic()
        self.letters = DeadLetters(stores.env, now=now)
        self.reviewing = Reviewing(stores.env, now=now, hand_on=pipeline.hand_on)
        self.backups = backups(lambda: dump(self._loaded, secrets_masked=False))
        pausing = Pausing(stores.env, pipeline, now=now)
        self.operations = Operations(
            pausing,
            Tasks(stores.env, now=now),
            reindex=self._reindex,
            actors=lambda: [entry.status() for entry in pipeline.board.values()],
            refresh=lambda references: refresh(stores.env, references, now()),
            backfills=Backfills(stores.env, now=now),
            draining=Draining(stores.env, pipeline),
            look=Looking(Blocking("profile", 1), pausing.note),
        )
        self.backups.track = self.operations.work
        self.forgetting: Forgetting | None = None
        """There once the indexes are open."""
        self.text: TantivyTextIndex | None = None
        """Likewise."""
        self.rewrite_text: Callable[[Tell], Awaitable[None]] | None = None
        """Likewise."""
        self.failing: Mapping[str, str] = {}
        """Services that wait to be started again, and why."""
        self.tls: Tls | None = None
        """Of the public listener, where it has a certificate."""
        self.peers = Peers()
        """As of the latest survey; without anybody before the first."""
        self.stock: Stock | None = None
        """As of the latest survey of accounts and vectors."""

    @property
    def config(self) -> Config:
        return self._loaded.config

    async def suggest(self, prefix: str, limit: int) -> Sequence[Suggestion]:
        """Creators whose name or handle begins so. Raises Unavailable while keyword search is still loading."""
        if self.text is None:
            raise Unavailable("search is still loading")
        return await self.text.suggest(prefix, limit)

    def take_peers(self, peers: Peers) -> None:
        self.peers = peers

    def take_stock(self, stock: Stock) -> None:
        self.stock = stock

    async def ready(self) -> ReadyAnswer:
        stores = self._stores
        for platform, down in self._pipeline.unanswered().items():
            self._readiness.set_answering(platform.value, answering=not down)
        full = stores.env.held_because
        self._readiness.set(DISK, "full" if full else "ok", detail=full)
        if self.resources.limits.ceiling:
            above = self.resources.memory_full
            self._readiness.set(MEMORY, "full" if above else "ok", detail=above)
        return await ready_answer(
            self._readiness,
            self._pipeline.board,
            stores.catalog,
            stores.work,
            stores.schedule,
            self.operations.drained,
        )

    async def status(self) -> AdminStatus:
        stores, now = self._stores, self._now()
        return AdminStatus(
            version=version("pokedexd"),
            pid=os.getpid(),
            uptime_seconds=round(time.monotonic() - self._started, 1),
            now=instant(now) or "",
            data_dir=str(self._data_dir),
            ready=await self.ready(),
            budgets=[_budget(one) for one in await stores.ledger.standings(now)],
            dead_letters=await stores.work.dead_letter_count(),
            events=[
                {"at": instant(event.at) or "", "kind": event.kind, "subject": event.subject, "detail": event.detail}
                for event in await stores.journal.recent_events()
            ],
            index={"sequence": str(await stores.catalog.index_sequence())},
            backfill_paused=[one.value for one, paused in self._pipeline.backfill_paused().items() if paused],
            reviews=await self.reviewing.count(),
            labels=await stores.env.read(partial(label_status, now=now)),
            resources=self._resources(),
            intake_paused={one.value: reason for one, reason in self._pipeline.intake_paused().items()},
            pauses=self.operations.pausing.shown(),
            failing=dict(self.failing),
            damaged=list(stores.env.damaged.values())[:DAMAGED_SHOWN],
            damaged_records=len(stores.env.damaged),
        )

    def _resources(self) -> ResourceStatus:
        room = self.resources
        return ResourceStatus(
            disk_free_bytes=room.disk_free_bytes,
            disk_floor_bytes=room.limits.floor,
            resident_bytes=room.resident_bytes,
            memory_ceiling_bytes=room.limits.ceiling,
            memory_state=room.memory_state,
            held_because=self.resources.refuses,
        )

    async def refresh_metrics(self) -> None:
        figures = await read_figures(
            self._stores,
            self._pipeline,
            await self.ready(),
            self.stock,
            tokens=instagram_tokens(self._began_with),
            data_dir=self._data_dir,
            map_bytes=self._began_with.storage.map_size_gib << 30,
            memory_ceiling_bytes=self.resources.limits.ceiling,
            refuses=bool(self.resources.refuses),
            now=self._now(),
        )
        self._metrics.show(figures)

    async def reload(self) -> tuple[list[str], list[str]]:
        """Takes over what can be changed while running. Raises ConfigError, and then everything stays as it was."""
        try:
            fresh = self._reload()
            certificate = self.tls.read() if self.tls is not None else None
        except ConfigError as error:
            log.error("reload refused, settings stay as they are", reason=str(error))
            raise
        applied, _ = reloadable(self._loaded.config, fresh.config)
        _, needs_restart = reloadable(self._began_with, fresh.config)
        self._loaded = fresh
        if self.tls is not None and certificate is not None:
            self.tls.context = certificate
        set_level(fresh.config.log.level)
        self._searcher.weights = weights_of(fresh.config)
        log.info("settings reloaded", applied=applied, needs_restart=needs_restart)
        await self._audit("config", f"reloaded: {', '.join(applied) or 'nothing changed'}")
        return applied, needs_restart

    async def import_rows(
        self, rows: Sequence[tuple[int, str]], piece: Piece | None = None, by: Actor = OPERATOR
    ) -> list[Verdict]:
        """Raises Unavailable while there is no room for more, and Conflict once the import was cancelled."""
        if self.resources.refuses:
            raise Unavailable(self.resources.refuses)
        await self.operations.imports.begin(piece)
        verdicts = await import_rows(self._stores.env, rows, self._now(), self._stores.suppression, piece)
        self.operations.imports.tell(piece, len(rows))
        added = sum(one.verdict == "added" for one in verdicts)
        await self._audit("import", f"{added} of {len(verdicts)} rows added", by)
        return verdicts

    async def take_in(self, body: bytes, piece: Piece, by: Actor = OPERATOR) -> list[LineVerdict]:
        """Whole creators, a line each. Raises Unavailable while there is no room, or the indexes are not open yet, and
        Conflict once the import was cancelled, and while a stage is paused or the daemon is drained."""
        with trio.move_on_after(OPENING_SECONDS):  # keyword search, and with it /readyz, is there before
            await self._pipeline.bulk_open.wait()
        if self.resources.refuses:
            raise Unavailable(self.resources.refuses)
        self.operations.refuse_held()
        if self._pipeline.bulk is None:
            raise Unavailable(f"the indexes were not open within {OPENING_SECONDS} s; see /readyz, and try again")
        await self.operations.imports.begin(piece)
        lines, digest = await self._reading.call(lines_of, body)  # megabytes, which would hold up searches here
        verdicts = await self._pipeline.bulk.take_in(lines, piece_key(piece.import_id, piece.at), digest)
        self.operations.imports.tell(piece, len(lines))
        if not piece.at:  # of a million creators come two thousand pieces
            await self._audit("import", f"whole creators, list {piece.import_id[:12]}", by)
        return verdicts

    async def schedule_accounts(self, keys: Sequence[AccountKey]) -> int:
        return await import_accounts(self._stores.env, keys, self._now(), self._stores.suppression)

    async def forget(self, references: Sequence[str], by: Actor = OPERATOR) -> list[Report]:
        """Erases and suppresses accounts. Raises Malformed, and Unavailable while the indexes are not open yet."""
        if self.forgetting is None:
            raise Unavailable("the indexes are still being opened; try again once /readyz answers 200")
        forgetting = self.forgetting
        return await self.operations.work.run(
            "forget",
            lambda _: forgetting.forget(references, by),
            f"{len(references)} named",
            cancellable=False,
            private=True,
        )

    async def end_import(self, import_id: str) -> None:
        await end_import(self._stores.env, import_id)
        await self.operations.imports.end(import_id)

    async def _reindex(self, tell: Tell) -> None:
        if self.rewrite_text is None:
            raise Unavailable("the indexes are still being opened; try again once /readyz answers 200")
        await self.rewrite_text(tell)

    async def set_importance(self, references: Sequence[str], importance: float) -> list[Weighed]:
        weighed = await set_importance(self._stores.env, references, importance, self._now())
        done = sum(one.importance is not None for one in weighed)
        await self._audit("importance", f"{done} accounts: {importance:g}")
        return weighed

    async def schedule_of(self, creator_id: CreatorId) -> CreatorSchedule | None:
        """What is planned for a creator; None for an unknown one."""
        rules = visit_policies(self.config)
        adapters, now = self._pipeline.adapters, self._now()
        return await self._stores.env.read(
            partial(schedule_of, creator_id=creator_id, adapters=adapters, policies=rules, now=now)
        )

    def searchable(self) -> int:
        """Creators that search can return now."""
        return self._searcher.searchable()

    async def _audit(self, action: str, detail: str, by: Actor = OPERATOR) -> None:
        entry = AuditEvent(at=int(self._now()), tenant_id=by.tenant_id, actor=by.actor, action=action, detail=detail)
        await self._stores.journal.audit([entry], synced=True)


def weights_of(config: Config) -> Weights:
    search = config.search
    return Weights(
        keyword=search.keyword_weight,
        vector=search.vector_weight,
        quality=search.quality_weight,
        fields=dict(search.field_weights),
    )


def _budget(standing: Standing) -> BudgetStatus:
    budget = standing.budget
    return BudgetStatus(
        platform=budget.platform.value,
        bucket=budget.bucket,
        window=budget.window.value,
        used=standing.used,
        limit=budget.units,
        state=_state(standing),
        resets_at=instant(max(standing.resets_at, standing.closed_until)),
        dry_at=instant(standing.dry_at),
        backfill_used=standing.bulk_used,
        backfill_limit=budget.bulk.units if budget.bulk_share < 1 else None,
    )


def _state(standing: Standing) -> str:
    if standing.disabled_because:
        return "disabled"
    if standing.closed_until or standing.used >= standing.budget.spendable:
        return "closed"
    return "slow" if standing.used >= standing.budget.slow_from else "open"
