"""Prometheus metrics, in a registry of their own. What is kept elsewhere is read when it is asked for; nothing is scanned."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from daemon.indexing import FIELD_NAMES
from daemon.metered import OUTCOMES
from daemon.stock import Stock
from proto.api import LabelStatus, ReadyAnswer
from proto.ids import Platform
from proto.records import Event
from stores.ledger import Standing
from stores.match_set import TEXT
from stores.searcher import QUERY_VECTOR
from stores.subscriptions import PushCounts

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
"""Of calls to others, which may take up to their time-outs."""
INDEX_NAMES = (TEXT, *FIELD_NAMES, QUERY_VECTOR)
SEARCH_ROUTES = ("/v1/search", "/")
SEARCH_ANSWERS = ("2xx", "timeout", "internal_error", "unavailable", "index_rebuilding")
"""Counted from 0 on: of a series that begins at 1 Prometheus does not see the first."""


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """What is known at one moment. Instants and durations are seconds of the daemon's clock."""

    now: float
    ready: ReadyAnswer
    still_seconds: Mapping[str, float]
    """Of each stage: see `actors.Meter.still_seconds`."""
    standings: Sequence[Standing]
    dead_letters: int
    labels: LabelStatus
    stock: Stock | None
    """As of the latest survey; None before the first."""
    push: PushCounts
    hub_silent: bool
    tokens: Mapping[str, float]
    """Until each of Instagram's tokens ends, of those that state when."""
    backfill_paused: Mapping[Platform, bool]
    store_bytes: int
    map_bytes: int
    writer_busy_seconds: float
    disk_bytes: int
    disk_free_bytes: int
    resident_bytes: int
    memory_ceiling_bytes: int
    intake_held: bool
    backup_at: float | None


class Total:
    """A counter of what is counted elsewhere; by name and labels as any other."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._counter = Counter(name, text, labels, registry=registry)
        self._told: dict[tuple[str, ...], float] = {}

    def reach(self, value: float, *labels: str) -> None:
        """It never falls."""
        grown = value - self._told.get(labels, 0.0)
        child = self._counter.labels(*labels) if labels else self._counter
        if grown > 0:
            child.inc(grown)
            self._told[labels] = value


class Metrics:
    """Counters and histograms are told of what happens; `show` sets the rest."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._declare_process()
        self._declare_flow()
        self._declare_budgets()
        self._declare_labels()
        self._declare_store()
        self._declare_outside()
        self._declare_search()

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"pokedexd_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"pokedexd_{name}", text, labels, registry=self.registry)

    def _total(self, name: str, text: str, *labels: str) -> Total:
        return Total(f"pokedexd_{name}", text, labels, self.registry)

    def _histogram(self, name: str, text: str, *labels: str, buckets: Sequence[float] = LATENCY_BUCKETS) -> Histogram:
        return Histogram(f"pokedexd_{name}", text, labels, buckets=buckets, registry=self.registry)

    def _declare_process(self) -> None:
        self._gauge("build_info", "1, with the version.", "version").labels(version("pokedexd")).set(1)
        self._gauge("start_time_seconds", "When the process began, Unix time.").set(time.time())
        self._resident = self._gauge("resident_bytes", "Memory in use, without pages of mapped files.")
        self._ceiling = self._gauge("memory_ceiling_bytes", "memory.ceiling; 0 where there is none.")
        self._held = self._gauge(
            "intake_held", "1 while nothing is taken in for want of room, or an operator wants so."
        )
        self._dependency = self._gauge("dependency_ok", "1 while a dependency is ok.", "name")
        self._loaded = self._gauge(
            "dependency_loaded", "How far a dependency is; of the model: creators' vectors that it has made.", "name"
        )
        self.events = self._counter("events", "Events by kind.", "kind", "severity")
        self.audit_lost = self._counter("audit_lost", "Searches not noted for want of room.")
        self.queries_lost = self._counter("queries_lost", "Searches not logged for want of room.")

    def _declare_flow(self) -> None:
        self._pending = self._gauge("work_pending", "Work items and first fetches left.")
        self._dead_letters = self._gauge("dead_letters", "Dead letters kept.")
        self._depth = self._gauge("stage_queue_depth", "Messages in a stage's inbox.", "stage")
        self._workers = self._gauge("stage_workers", "Workers of a stage that run.", "stage")
        self._still = self._gauge(
            "stage_still_seconds", "For how long a stage has been at work without a step forward.", "stage"
        )
        self._blocked = self._total("stage_blocked_seconds", "Time a stage waited to hand on.", "stage")
        self._busy = self._total("stage_busy_seconds", "Time a stage's workers worked, together.", "stage")
        self._handled = self._total("stage_handled", "Messages a stage handled.", "stage")
        self._restarts = self._total("stage_restarts", "Restarts of a stage.", "stage")
        self._accounts = self._gauge(
            "accounts", "Accounts that are looked at again and again, of the latest survey.", "platform", "activity"
        )
        self._fresh = self._gauge(
            "freshness_ratio",
            "Share of them that was looked at within the last 24 hours (active), 72 (semi_active) or week (long_tail).",
            "platform",
            "activity",
        )
        self._surveyed = self._gauge("survey_age_seconds", "Age of the latest survey.")
        self._surveyed.set(math.nan)

    def _declare_budgets(self) -> None:
        names = ("platform", "bucket")
        self._quota_used = self._gauge("quota_used", "Units spent in this window.", *names)
        self._quota_limit = self._gauge("quota_limit", "Units a window.", *names)
        self._quota_open = self._gauge("quota_open", "1 while calls are granted, 0 once it is dry or refused.", *names)
        self._quota_refused = self._gauge("quota_refused", "1 once the platform refuses its key or token.", *names)
        self._quota_dry = self._gauge(
            "quota_seconds_until_dry", "At this window's rate so far; +Inf where it lasts to the reset.", *names
        )
        self._quota_reset = self._gauge("quota_seconds_until_reset", "Until all spent by now has come back.", *names)
        self._backfill_used = self._gauge("backfill_used", "Units spent on history and new accounts.", *names)
        self._backfill_paused = self._gauge("backfill_paused", "1 while they wait for late visits.", "platform")
        self._token = self._gauge(
            "token_seconds_left", "Until a token ends, where it states that.", *("platform", "token")
        )

    def _declare_labels(self) -> None:
        self._labelled = self._gauge("labelled_creators", "Creators with a niche, by who gave it.", "method")
        self._label_queue = self._gauge("llm_waiting", "Creators that a language model is to be asked about.")
        self._llm_tokens = self._gauge("llm_tokens", "Tokens spent today (UTC).", "model", "kind")
        self._llm_calls = self._gauge("llm_calls", "Calls today (UTC).", "model")
        self._llm_cost = self._gauge("llm_cost", "Spent today (UTC), in the currency of the prices.", "model")
        self._embedded = self._gauge("embedded_creators", "Searchable creators with a vector, of the latest survey.")
        self._searchable = self._gauge("searchable_creators", "Creators that can be found, of the latest survey.")
        self._vectors = self._gauge("vectors", "Searchable creators with this vector, of the latest survey.", "field")

    def _declare_store(self) -> None:
        self._records = self._gauge("records", "Records in the store.", "kind")
        self._store = self._gauge("store_bytes", "Bytes of the store in use.")
        self._map = self._gauge("store_map_bytes", "Largest size of the store (storage.map_size_gib).")
        self._writer = self._total("writer_busy_seconds", "Time the store's writer worked.")
        self._disk = self._gauge("disk_bytes", "Size of the file system that holds the data directory.")
        self._disk_free = self._gauge("disk_free_bytes", "What is free of it for this user.")
        self._backup = self._gauge("backup_age_seconds", "Since the last complete backup; NaN where there was none.")
        self._backup.set(math.nan)

    def _declare_outside(self) -> None:
        self.platform_seconds = self._histogram(
            "platform_call_seconds", "Time of a call to a platform.", "platform", buckets=CALL_BUCKETS
        )
        self.platform_calls = self._counter("platform_calls", "Calls to a platform by outcome.", "platform", "outcome")
        for platform in Platform:
            for outcome in OUTCOMES:
                self.platform_calls.labels(platform.value, outcome)
        self.llm_seconds = self._histogram(
            "llm_call_seconds", "Time of a question to a language model.", "model", buckets=CALL_BUCKETS
        )
        self.llm_answers = self._counter("llm_answers", "Questions to a language model by outcome.", "model", "outcome")
        self.pushes = self._counter("pushes", "Pushes of the hub by outcome.", "outcome")
        self._subscribed = self._gauge("push_subscribed", "Channels of which the hub is to push news.")
        self._trusted = self._gauge("push_trusted", "1 while the hub is relied on.")
        self._silent = self._gauge("push_silent", "1 while posts come out and the hub pushes none.")
        self._first = self._total("push_posts", "Posts the hub had to tell of, by who told first.", "by")

    def _declare_search(self) -> None:
        self.searches = self._histogram("search_seconds", "Time of a search.")
        self.requests = self._counter(
            "http_requests", "Requests by the code of their problem, if any.", "route", "answer"
        )
        for route in SEARCH_ROUTES:
            for answer in SEARCH_ANSWERS:
                self.requests.labels(route, answer)
        self.index_seconds = self._histogram("index_seconds", "Time of a look-up in one index for a search.", "index")
        self.index_failures = self._counter("index_failures", "Look-ups in an index that failed.", "index")
        for name in INDEX_NAMES:
            self.index_seconds.labels(name)
            self.index_failures.labels(name)

    def count_event(self, event: Event) -> None:
        self.events.labels(event.kind, event.severity).inc()

    def count_request(self, route: str, answer: str) -> None:
        self.requests.labels(route, answer).inc()

    def looked_up(self, index: str, seconds: float, failed: bool) -> None:
        """See `stores.match_set.Observe`. From any thread."""
        self.index_seconds.labels(index).observe(seconds)
        if failed:
            self.index_failures.labels(index).inc()

    def platform_called(self, platform: str, seconds: float, outcome: str) -> None:
        self.platform_seconds.labels(platform).observe(seconds)
        self.platform_calls.labels(platform, outcome).inc()

    def llm_asked(self, model: str, seconds: float, outcome: str) -> None:
        self.llm_seconds.labels(model).observe(seconds)
        self.llm_answers.labels(model, outcome).inc()

    def expect_llm(self, model: str) -> None:
        """Counted from 0 on, for the same reason as `SEARCH_ANSWERS`."""
        for outcome in OUTCOMES:
            self.llm_answers.labels(model, outcome)

    def show(self, figures: Figures) -> None:
        self._show_flow(figures)
        for standing in figures.standings:
            self._show_budget(standing, figures.now)
        for platform, paused in figures.backfill_paused.items():
            self._backfill_paused.labels(platform.value).set(paused)
        for token, seconds in figures.tokens.items():
            self._token.labels(Platform.INSTAGRAM.value, token).set(seconds)
        self._show_labels(figures.labels)
        if figures.stock is not None:
            self._show_stock(figures.stock, figures.now)
        self._show_store(figures)
        self._subscribed.set(figures.push.subscribed)
        self._trusted.set(figures.push.trusted)
        self._silent.set(figures.hub_silent)
        self._first.reach(figures.push.hits, "push")
        self._first.reach(figures.push.misses, "poll")

    def _show_flow(self, figures: Figures) -> None:
        ready = figures.ready
        for kind in ("creators", "accounts", "content_items"):
            self._records.labels(kind).set(getattr(ready.counts, kind))
        self._pending.set(ready.counts.work_pending)
        self._dead_letters.set(figures.dead_letters)
        for stage in ready.stages:
            self._depth.labels(stage.name).set(stage.queue_depth)
            self._workers.labels(stage.name).set(stage.workers)
            self._still.labels(stage.name).set(figures.still_seconds.get(stage.name, 0.0))
            self._blocked.reach(stage.blocked_seconds, stage.name)
            self._busy.reach(stage.busy_seconds, stage.name)
            self._handled.reach(stage.handled, stage.name)
            self._restarts.reach(stage.restarts, stage.name)
        for name, part in ready.dependencies.items():
            self._dependency.labels(name).set(part.state in ("ok", "off"))
            self._loaded.labels(name).set(part.loaded)

    def _show_budget(self, standing: Standing, now: float) -> None:
        budget = standing.budget
        names = (budget.platform.value, budget.bucket)
        dry = standing.closed_until > 0 or standing.used >= budget.spendable
        self._quota_used.labels(*names).set(standing.used)
        self._quota_limit.labels(*names).set(budget.units)
        self._quota_open.labels(*names).set(not (dry or standing.disabled_because))
        self._quota_refused.labels(*names).set(bool(standing.disabled_because))
        self._quota_dry.labels(*names).set(math.inf if standing.dry_at is None else max(standing.dry_at - now, 0.0))
        self._quota_reset.labels(*names).set(max(standing.resets_at - now, 0.0))
        self._backfill_used.labels(*names).set(standing.bulk_used)

    def _show_labels(self, labels: LabelStatus) -> None:
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

    def _show_stock(self, stock: Stock, now: float) -> None:
        self._surveyed.set(max(now - stock.at, 0.0))
        for (platform, activity), accounts in stock.accounts.items():
            names = (platform.value, activity.value)
            self._accounts.labels(*names).set(accounts)
            self._fresh.labels(*names).set(stock.fresh[platform, activity] / accounts if accounts else math.nan)
        self._searchable.set(stock.searchable)
        self._embedded.set(stock.embedded)
        for field, vectors in stock.vectors.items():
            self._vectors.labels(field).set(vectors)

    def _show_store(self, figures: Figures) -> None:
        self._store.set(figures.store_bytes)
        self._map.set(figures.map_bytes)
        self._writer.reach(figures.writer_busy_seconds)
        self._disk.set(figures.disk_bytes)
        self._disk_free.set(figures.disk_free_bytes)
        self._resident.set(figures.resident_bytes)
        self._ceiling.set(figures.memory_ceiling_bytes)
        self._held.set(figures.intake_held)
        if figures.backup_at is not None:
            self._backup.set(max(figures.now - figures.backup_at, 0.0))
