"""Prometheus gauges and counters, in a registry of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from proto.api import LabelStatus, ReadyAnswer
from proto.ids import Platform
from proto.records import Event
from stores.env import Environment
from stores.ledger import Standing

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """Gauges are set when they are asked for, from kept counters; nothing is scanned."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._records = Gauge("pokedexd_records", "Records in the store.", ["kind"], registry=self.registry)
        self._pending = Gauge("pokedexd_work_pending", "Work items and first fetches left.", registry=self.registry)
        self._depth = Gauge(
            "pokedexd_stage_queue_depth", "Messages in a stage's inbox.", ["stage"], registry=self.registry
        )
        self._blocked = Gauge(
            "pokedexd_stage_blocked_seconds", "Time a stage waited to hand on.", ["stage"], registry=self.registry
        )
        self._busy = Gauge("pokedexd_stage_busy_seconds", "Time a stage worked.", ["stage"], registry=self.registry)
        self._handled = Gauge("pokedexd_stage_handled", "Messages a stage handled.", ["stage"], registry=self.registry)
        self._restarts = Gauge("pokedexd_stage_restarts", "Restarts of a stage.", ["stage"], registry=self.registry)
        self._quota_used = Gauge(
            "pokedexd_quota_used", "Units spent today.", ["platform", "bucket"], registry=self.registry
        )
        self._quota_limit = Gauge(
            "pokedexd_quota_limit", "Units a day.", ["platform", "bucket"], registry=self.registry
        )
        self._backfill_used = Gauge(
            "pokedexd_backfill_used",
            "Units spent on history and new accounts.",
            ["platform", "bucket"],
            registry=self.registry,
        )
        self._backfill_paused = Gauge(
            "pokedexd_backfill_paused", "1 while they wait for late visits.", ["platform"], registry=self.registry
        )
        self._labelled = Gauge(
            "pokedexd_labelled_creators", "Creators with a niche, by who gave it.", ["method"], registry=self.registry
        )
        self._label_queue = Gauge(
            "pokedexd_llm_waiting", "Creators that a language model is to be asked about.", registry=self.registry
        )
        self._llm_tokens = Gauge(
            "pokedexd_llm_tokens", "Tokens spent today (UTC).", ["model", "kind"], registry=self.registry
        )
        self._llm_calls = Gauge("pokedexd_llm_calls", "Calls today (UTC).", ["model"], registry=self.registry)
        self._llm_cost = Gauge(
            "pokedexd_llm_cost", "Spent today (UTC), in the currency of the prices.", ["model"], registry=self.registry
        )
        self._dead_letters = Gauge("pokedexd_dead_letters", "Dead letters kept.", registry=self.registry)
        self._disk = Gauge("pokedexd_store_bytes", "Bytes of the store in use.", registry=self.registry)
        self._writer = Gauge("pokedexd_writer_busy_seconds", "Time the store's writer worked.", registry=self.registry)
        self._dependency = Gauge(
            "pokedexd_dependency_ok", "1 while a dependency is ok.", ["name"], registry=self.registry
        )
        self._loaded = Gauge(
            "pokedexd_dependency_loaded",
            "How far a dependency is; of the model: creators' vectors that it has made.",
            ["name"],
            registry=self.registry,
        )
        self.events = Counter("pokedexd_events", "Events by kind.", ["kind", "severity"], registry=self.registry)
        self.pushes = Counter("pokedexd_pushes", "Pushes of the hub by outcome.", ["outcome"], registry=self.registry)
        self.queries_lost = Counter(
            "pokedexd_queries_lost", "Searches not logged for want of room.", registry=self.registry
        )
        self.audit_lost = Counter("pokedexd_audit_lost", "Searches not noted for want of room.", registry=self.registry)
        self.searches = Histogram(
            "pokedexd_search_seconds", "Time of a search.", buckets=LATENCY_BUCKETS, registry=self.registry
        )

    def count_event(self, event: Event) -> None:
        self.events.labels(event.kind, event.severity).inc()

    def refresh(
        self,
        ready: ReadyAnswer,
        standings: Sequence[Standing],
        dead_letters: int,
        env: Environment,
        backfill_paused: Mapping[Platform, bool],
        labels: LabelStatus,
    ) -> None:
        for kind in ("creators", "accounts", "content_items"):
            self._records.labels(kind).set(getattr(ready.counts, kind))
        self._pending.set(ready.counts.work_pending)
        for stage in ready.stages:
            self._depth.labels(stage.name).set(stage.queue_depth)
            self._blocked.labels(stage.name).set(stage.blocked_seconds)
            self._busy.labels(stage.name).set(stage.busy_seconds)
            self._handled.labels(stage.name).set(stage.handled)
            self._restarts.labels(stage.name).set(stage.restarts)
        for standing in standings:
            budget = standing.budget
            self._quota_used.labels(budget.platform.value, budget.bucket).set(standing.used)
            self._quota_limit.labels(budget.platform.value, budget.bucket).set(budget.units)
            self._backfill_used.labels(budget.platform.value, budget.bucket).set(standing.bulk_used)
        for platform, paused in backfill_paused.items():
            self._backfill_paused.labels(platform.value).set(paused)
        for method, creators in labels.creators.items():
            self._labelled.labels(method).set(creators)
        self._label_queue.set(labels.waiting)
        for gauge in (self._llm_tokens, self._llm_calls, self._llm_cost):
            gauge.clear()  # of a model that was asked yesterday and not today
        for model in labels.spent:
            self._llm_tokens.labels(model.model, "prompt").set(model.prompt_tokens)
            self._llm_tokens.labels(model.model, "completion").set(model.completion_tokens)
            self._llm_calls.labels(model.model).set(model.calls)
            self._llm_cost.labels(model.model).set(model.cost)
        self._dead_letters.set(dead_letters)
        self._disk.set(env.disk_bytes())
        self._writer.set(env.writer_busy_seconds)
        for name, part in ready.dependencies.items():
            self._dependency.labels(name).set(part.state in ("ok", "off"))
            self._loaded.labels(name).set(part.loaded)
