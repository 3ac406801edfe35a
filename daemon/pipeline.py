"""The map of the flow: which channels there are, who reads and who writes them, and who is started in what order."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import trio

from actors import Inbox, Meter, Outbox
from actors.aggregator import Aggregator
from actors.backlog import Backlog
from actors.bulk import BulkLane
from actors.cadence import VisitPolicy
from actors.courier import Courier
from actors.discovery import DiscoveryBudgets
from actors.documents import niche_words
from actors.embedder import Embedder
from actors.enricher import Enricher
from actors.fetcher import Fetcher
from actors.gate import Gate, GatedInbox
from actors.given import GivenRules
from actors.identity import IdentityResolver
from actors.identity_clusters import Thresholds
from actors.identity_resolution import Rules
from actors.identity_weights import BELIEFS
from actors.index_writing import IndexWriter
from actors.indexer import Indexer
from actors.labelling import LabelRules
from actors.lane import Lane
from actors.limiter import Limiter
from actors.normaliser import Normaliser
from actors.platforms.adapter import PlatformAdapter
from actors.policy import policies
from actors.reaper import Reaper
from actors.scheduler import Scheduler
from actors.sweeper import Sweeper
from actors.turns import Turns
from daemon.config import Config
from daemon.line_reader import LineReader
from daemon.supervisor import Actor, RestartPolicy, StageEntry, supervise
from models.embedding_port import EmbeddingPort
from models.identity_weights import SHIPPED, load_weights
from models.local_classifier import LocalClassifier
from models.taxonomy import Taxonomy
from proto.ids import Platform
from proto.messages import AnyWork, FetchPermitted, RefreshDue, Stage
from proto.records import JobKind
from stores.blocking import Blocking
from stores.catalog import Catalog
from stores.columns import Columns
from stores.env import Environment
from stores.journal import Journal
from stores.ledger import Ledger
from stores.ports import TextIndex, VectorIndex
from stores.raw import RawStore
from stores.schedule import PackRule, Schedule
from stores.suppression import Suppression
from stores.work import Work

T = TypeVar("T")

WORKING_STAGES = (
    Stage.NORMALISER,
    Stage.EMBEDDER,
    Stage.IDENTITY,
    Stage.AGGREGATOR,
    Stage.ENRICHER,
    Stage.INDEXER,
)
LANE_ORDER = (
    JobKind.REVISIT,
    JobKind.LOOKUP,
    JobKind.PROFILE,
    JobKind.FEED,
    JobKind.UPLOADS,
    JobKind.NEWS,
    JobKind.CONTENT,
    JobKind.STATS,
    JobKind.BACKFILL,
    JobKind.BACKFILL_CONTENT,
    JobKind.CHART,
    JobKind.SEARCH,
)
"""Kinds in the order in which a lane looks for due jobs of equal rank."""

PACK_WAIT_SECONDS = {
    JobKind.PROFILE: 1_500.0,
    JobKind.CONTENT: 900.0,
    JobKind.STATS: 3_600.0,
    JobKind.REVISIT: 6 * 3_600.0,
    JobKind.BACKFILL_CONTENT: 900.0,
}
"""Profiles fall due half an hour before their window ends (actors/cadence.py); the others have days."""

INDEXER_CAPACITY = 512
"""The Indexer's inbox is deeper than others: an index commit costs about the same for 64 creators as for 512."""


class Stores(msgspec.Struct, kw_only=True, frozen=True):
    """Everything durable."""

    env: Environment
    schedule: Schedule
    raw: RawStore
    catalog: Catalog
    work: Work
    ledger: Ledger
    journal: Journal
    suppression: Suppression


class Indexes(msgspec.Struct, kw_only=True, frozen=True):
    """Everything losable."""

    text: TextIndex
    fields: Mapping[str, VectorIndex]
    earlier: Mapping[str, VectorIndex]
    """Of a model that is being replaced and still answers."""
    columns: Columns
    turn: trio.Lock
    """Held by whoever brings the indexes up to the store, from reading it until they are written."""
    threads: Blocking
    """In which what they hold is made: not the models', which are busy for seconds."""


class Learned(msgspec.Struct, kw_only=True, frozen=True):
    """The models; ``embedding`` is None when its files are not there."""

    embedding: EmbeddingPort | None
    classifier: LocalClassifier
    taxonomy: Taxonomy
    threads: Blocking
    reading: Blocking
    """In which the process is waited for that reads an import."""


def visit_policies(config: Config) -> dict[Platform, VisitPolicy]:
    """How often the accounts of each platform are looked at."""
    cadence, youtube = config.ingestion.cadence, config.platforms.youtube
    return {
        Platform.YOUTUBE: VisitPolicy(cadence=cadence, feeds=youtube.feeds_enabled),
        Platform.INSTAGRAM: VisitPolicy(cadence=cadence),
    }


def touch_kinds(config: Config, platforms: Iterable[Platform]) -> dict[Platform, JobKind]:
    """By which kind of job it is seen whether an account of each platform has anything new."""
    rules = visit_policies(config)
    return {platform: JobKind.FEED if rules[platform].feeds else JobKind.PROFILE for platform in platforms}


def discovery_budgets(config: Config) -> DiscoveryBudgets:
    """How many new accounts a day come from where."""
    ingestion = config.ingestion
    return DiscoveryBudgets(
        bios=ingestion.discover_from_bios_per_day,
        captions=ingestion.discover_from_captions_per_day,
        charts=ingestion.discover_from_charts_per_day,
        searches=ingestion.discover_from_searches_per_day,
    )


def pack_rules(adapter: PlatformAdapter) -> list[PackRule]:
    """What shares a call, and how long a part-filled one waits for company."""
    return [
        PackRule(
            kind=kind,
            size=adapter.call_size(kind),
            wait_seconds=PACK_WAIT_SECONDS.get(kind, 300.0),
            alone=kind in (JobKind.CHART, JobKind.SEARCH),
        )
        for kind in LANE_ORDER
    ]


def taxonomy_of(config: Config) -> Taxonomy:
    """Raises Malformed for a file of one's own that is none."""
    return Taxonomy.load(Path(config.labels.taxonomy_file) if config.labels.taxonomy_file else None)


def identity_rules(config: Config) -> Rules:
    """Raises Malformed for a file of weights that cannot be used."""
    identity = config.identity
    path = Path(identity.weights_file) if identity.weights_file else SHIPPED
    return Rules(
        weights=load_weights(path, BELIEFS),
        thresholds=Thresholds(merge=identity.merge_probability, review=identity.review_probability),
        pictures=identity.avatars,
    )


class Channel(Generic[T]):
    """A bounded channel: the pipeline holds the original ends, actors get clones."""

    def __init__(self, capacity: int) -> None:
        self.sender, self.receiver = trio.open_memory_channel[T](capacity)

    def depth(self) -> int:
        return self.receiver.statistics().current_buffer_used


class Pipeline:
    """Channels and status board; ``start`` brings up the stages, the last one first."""

    def __init__(
        self,
        config: Config,
        *,
        stores: Stores,
        adapters: Mapping[Platform, PlatformAdapter],
        readers: Mapping[Platform, PlatformAdapter],
        lanes: Mapping[Platform, Lane],
        now: Callable[[], float],
        seed: int,
        make_subscriber: Callable[[Meter, trio.Event], Actor] | None = None,
        make_labeller: Callable[[Meter, Outbox[AnyWork], trio.Event], Actor] | None = None,
        make_avatar_reader: Callable[[Meter, Outbox[AnyWork], trio.Event], Actor] | None = None,
        label_rules: LabelRules | None = None,
    ) -> None:
        """``adapters``: of the platforms that are on; ``readers``: of all, since pages of one that was switched off may
        still wait to be read. ``make_subscriber``: of the stage that keeps a hub's subscriptions, where there is a hub;
        ``make_labeller`` and ``label_rules``: of asking a language model, where there is one; ``make_avatar_reader``:
        of looking at profile pictures, where that is wanted."""
        self._config, self._stores, self._adapters, self._lanes = config, stores, adapters, lanes
        self._readers = readers
        self._now, self._seed, self._make_subscriber = now, seed, make_subscriber
        self._make_labeller, self._label_rules = make_labeller, label_rules
        self._make_avatar_reader = make_avatar_reader
        self._identity_rules = identity_rules(config)
        capacity = config.pipeline.channel_capacity
        self._due = {platform: Channel[RefreshDue](capacity) for platform in adapters}
        self._permitted = {platform: Channel[FetchPermitted](capacity) for platform in adapters}
        self._work: dict[Stage, Channel[AnyWork]] = {stage: Channel(capacity) for stage in WORKING_STAGES}
        self._work[Stage.INDEXER] = Channel(INDEXER_CAPACITY)
        self._words = Channel[AnyWork](capacity)
        self.bulk: BulkLane | None = None
        """Takes in whole creators, once the indexes are open."""
        self.bulk_open = trio.Event()
        self._searched: Callable[[], bool] = lambda: False
        self._turns = Turns(lambda: self.importing and self._searched())
        self.put_off = False
        """Whether work that has time is not begun."""
        self.gates = {stage: Gate() for stage in WORKING_STAGES}
        """By which an operator holds stages back."""
        self.board = self._make_board()

    def _make_board(self) -> dict[str, StageEntry]:
        board: dict[str, StageEntry] = {}
        for platform in self._adapters:
            board[f"scheduler/{platform.value}"] = StageEntry(
                f"scheduler/{platform.value}", lambda: 0, partial(self._is_paused, platform)
            )
            board[f"limiter/{platform.value}"] = StageEntry(f"limiter/{platform.value}", self._due[platform].depth)
            board[f"fetcher/{platform.value}"] = StageEntry(
                f"fetcher/{platform.value}", self._permitted[platform].depth
            )
        for stage, channel in self._work.items():
            board[stage.value] = StageEntry(stage.value, channel.depth, partial(self._is_held, stage))
        board["courier"] = StageEntry("courier", self._words.depth)
        board["bulk"] = StageEntry("bulk", lambda: self.bulk.depth() if self.bulk else 0)
        optional = {
            "subscriber": self._make_subscriber,
            "labeller": self._make_labeller,
            "avatars": self._make_avatar_reader,
        }
        for name in ("sweeper", "reaper", "backlog", *(name for name, make in optional.items() if make)):
            board[name] = StageEntry(name, lambda: 0)
        return board

    @property
    def adapters(self) -> Mapping[Platform, PlatformAdapter]:
        """Of the platforms that are on."""
        return self._adapters

    @property
    def platforms(self) -> list[Platform]:
        """All that this version knows, on or off."""
        return list(self._readers)

    def unanswered(self) -> dict[Platform, bool]:
        """Of each platform that is on, whether it is left alone because no call gets an answer."""
        return {platform: lane.circuit.open for platform, lane in self._lanes.items()}

    def backfill_paused(self) -> dict[Platform, bool]:
        """Of each platform that is on, whether history and new accounts wait for late visits to known ones."""
        return {platform: lane.bulk_paused for platform, lane in self._lanes.items()}

    def set_intake(self, by: str, reason: str, platforms: Iterable[Platform] | None = None) -> None:
        """Holds lanes back (of all platforms for None), or for an empty reason lets them go on."""
        for platform in self._lanes if platforms is None else platforms:
            lane = self._lanes[platform]
            lane.paused_by.pop(by, None)
            if reason:
                lane.paused_by[by] = reason

    def intake_paused(self) -> dict[Platform, str]:
        """Of each platform that is held back, why."""
        return {
            platform: "; ".join(lane.paused_by.values()) for platform, lane in self._lanes.items() if lane.paused_by
        }

    def hand_on(self, messages: Sequence[AnyWork]) -> None:
        """Stored work of the identity stage that no stage caused; what finds no room is sent by the Sweeper."""
        for message in messages:
            with contextlib.suppress(trio.WouldBlock):
                self._words.sender.send_nowait(message)

    def held_up(self, stage: Stage) -> bool:
        """Whether a pause of this stage or of one further on is why its work does not get done."""
        return any(self.gates[later].held for later in WORKING_STAGES[WORKING_STAGES.index(stage) :])

    def _is_held(self, stage: Stage) -> bool:
        return self.gates[stage].held

    def _is_paused(self, platform: Platform) -> bool:
        return bool(self._lanes[platform].paused_by)

    def _inbox(self, stage: Stage) -> Inbox[AnyWork]:
        return GatedInbox(self._work[stage].receiver, self.gates[stage])

    async def _open_gates(self, stop: trio.Event) -> None:
        await stop.wait()
        for gate in self.gates.values():
            gate.end()

    def trouble(self) -> str:
        """What is wrong with the first stage that has ended or hangs; empty while all live."""
        hang_seconds = self._config.daemon.hang_seconds
        return next((found for entry in self.board.values() if (found := entry.trouble(hang_seconds))), "")

    def start(self, nursery: trio.Nursery, learned: Learned, indexes: Indexes, stop: trio.Event) -> None:
        """Starts every stage. They end by themselves once ``stop`` is set and the channels have run dry."""
        nursery.start_soon(self._open_gates, stop)
        writer = self._index_writer(learned, indexes)
        self._start_indexer(nursery, indexes, writer)
        self._start_bulk(nursery, learned, indexes, writer, stop)
        self._start_backlog(nursery, stop)
        self._start_middle(nursery, learned)
        for platform in self._adapters:
            self._start_lane(nursery, platform, stop)
        self._start_sweeper(nursery, stop)
        self._start_courier(nursery, stop)
        self._start_reaper(nursery, stop)
        if self._make_subscriber is not None:
            make_subscriber = self._make_subscriber
            self._spawn(nursery, "subscriber", lambda meter: make_subscriber(meter, stop))
        if self._make_labeller is not None:
            make_labeller = self._make_labeller
            to = self._work[Stage.INDEXER]
            self._spawn_to(nursery, "labeller", lambda meter, outbox: make_labeller(meter, outbox, stop), to)
        if self._make_avatar_reader is not None:
            make_reader = self._make_avatar_reader
            to = self._work[Stage.IDENTITY]
            self._spawn_to(nursery, "avatars", lambda meter, outbox: make_reader(meter, outbox, stop), to)
        for pipes in (self._work, self._due, self._permitted):
            _close_senders(pipes)

    def _index_writer(self, learned: Learned, indexes: Indexes) -> IndexWriter:
        return IndexWriter(
            env=self._stores.env,
            catalog=self._stores.catalog,
            text=indexes.text,
            fields=indexes.fields,
            earlier=indexes.earlier,
            columns=indexes.columns,
            niche_names=lambda creator: niche_words(creator, learned.taxonomy),
            threads=indexes.threads,
            turns=self._turns,
        )

    def _start_bulk(
        self, nursery: trio.Nursery, learned: Learned, indexes: Indexes, writer: IndexWriter, stop: trio.Event
    ) -> None:
        stores, entry, model = self._stores, self.board["bulk"], learned.embedding
        senders = {stage: self._work[stage].sender.clone() for stage in (Stage.EMBEDDER, Stage.ENRICHER)}
        reader = LineReader(
            GivenRules(
                policies=policies(self._config.platforms.youtube.derived_data),
                taxonomy=learned.taxonomy,
                model_id=model.model_id if model else "",
                dims=model.dims if model else 0,
                recent_items=self._config.platforms.youtube.recent_items,
            ),
            learned.reading,
        )
        lane = BulkLane(
            {stage: Outbox(sender, entry.meter) for stage, sender in senders.items()},
            env=stores.env,
            work=stores.work,
            suppression=stores.suppression,
            read=reader.read,
            visits_of=visit_policies(self._config),
            writer=writer,
            turn=indexes.turn,
            now=self._now,
            stop=stop,
            meter=entry.meter,
        )
        self.bulk = lane
        self.bulk_open.set()
        nursery.start_soon(reader.run, stop)
        nursery.start_soon(supervise, entry, lambda: lane, RestartPolicy(), list(senders.values()))

    def set_searched(self, searched: Callable[[], bool]) -> None:
        """``searched``: whether somebody searches at the moment."""
        self._searched = searched

    @property
    def importing(self) -> bool:
        """Whether creators are taken in whole at the moment."""
        return self.bulk is not None and self.bulk.is_busy

    def _start_backlog(self, nursery: trio.Nursery, stop: trio.Event) -> None:
        """It waits while others have work for the identity stage, while creators are imported, and for a drain."""
        identity = self._work[Stage.IDENTITY]

        def busy() -> bool:
            importing = self.importing
            return self.put_off or importing or identity.depth() > 0

        def make(meter: Meter, outbox: Outbox[AnyWork]) -> Actor:
            return Backlog(outbox, env=self._stores.env, busy=busy, now=self._now, stop=stop, meter=meter)

        self._spawn_to(nursery, "backlog", make, identity)

    def _start_indexer(self, nursery: trio.Nursery, indexes: Indexes, writer: IndexWriter) -> None:
        stores = self._stores

        def make(meter: Meter) -> Actor:
            return Indexer(
                self._inbox(Stage.INDEXER),
                env=stores.env,
                catalog=stores.catalog,
                work=stores.work,
                writer=writer,
                recent_items=self._config.platforms.youtube.recent_items,
                batch=INDEXER_CAPACITY,
                turn=indexes.turn,
                meter=meter,
            )

        self._spawn(nursery, Stage.INDEXER.value, make)

    def _start_middle(self, nursery: trio.Nursery, learned: Learned) -> None:
        stores, config = self._stores, self._config
        recent_items, batch = config.platforms.youtube.recent_items, config.pipeline.batch
        rules = policies(config.platforms.youtube.derived_data)

        def common() -> dict[str, Any]:
            return {"env": stores.env, "work": stores.work, "now": self._now, "batch": batch}

        inbox = self._inbox

        def normaliser(meter: Meter, outbox: Outbox[AnyWork]) -> Actor:
            return Normaliser(
                inbox(Stage.NORMALISER),
                outbox,
                adapters=self._readers,
                discovered_on=self._adapters,
                suppression=stores.suppression,
                visits_of=visit_policies(config),
                backfill_items={
                    Platform.YOUTUBE: config.platforms.youtube.backfill_items,
                    Platform.INSTAGRAM: config.platforms.instagram.backfill_items,
                },
                discovery=discovery_budgets(config),
                meter=meter,
                **common(),
            )

        def embedder(meter: Meter, outbox: Outbox[AnyWork]) -> Actor:
            return Embedder(
                inbox(Stage.EMBEDDER),
                outbox,
                catalog=stores.catalog,
                model=learned.embedding,
                policies=rules,
                threads=learned.threads,
                recent_items=recent_items,
                meter=meter,
                **common(),
            )

        def aggregator(meter: Meter, outbox: Outbox[AnyWork]) -> Actor:
            return Aggregator(
                inbox(Stage.AGGREGATOR),
                outbox,
                catalog=stores.catalog,
                policies=rules,
                threads=learned.threads,
                recent_items=recent_items,
                meter=meter,
                **common(),
            )

        def enricher(meter: Meter, outbox: Outbox[AnyWork]) -> Actor:
            return Enricher(
                inbox(Stage.ENRICHER),
                outbox,
                catalog=stores.catalog,
                classifier=learned.classifier,
                taxonomy=learned.taxonomy,
                rules=self._label_rules,
                policies=rules,
                threads=learned.threads,
                recent_items=recent_items,
                meter=meter,
                **common(),
            )

        makers = {
            Stage.ENRICHER: (enricher, Stage.INDEXER),
            Stage.AGGREGATOR: (aggregator, Stage.ENRICHER),
            Stage.EMBEDDER: (embedder, Stage.IDENTITY),
            Stage.NORMALISER: (normaliser, Stage.EMBEDDER),
        }
        for stage, (maker, to) in makers.items():
            self._spawn_to(nursery, stage.value, maker, self._work[to])
        self._start_identity(nursery, learned)

    def _start_identity(self, nursery: trio.Nursery, learned: Learned) -> None:
        """Creators that are merged into others go straight to the Indexer."""
        entry = self.board[Stage.IDENTITY.value]
        resolved = self._work[Stage.AGGREGATOR].sender.clone()
        retired = self._work[Stage.INDEXER].sender.clone()
        rules = policies(self._config.platforms.youtube.derived_data)
        wanted = self._identity_rules.pictures
        pictured = [platform for platform in Platform if wanted and rules[platform].derives]

        def make() -> Actor:
            return IdentityResolver(
                self._inbox(Stage.IDENTITY),
                Outbox(resolved, entry.meter),
                Outbox(retired, entry.meter),
                env=self._stores.env,
                work=self._stores.work,
                rules=self._identity_rules,
                threads=learned.threads,
                recent_items=self._config.platforms.youtube.recent_items,
                pictured=pictured,
                now=self._now,
                batch=self._config.pipeline.batch,
                meter=entry.meter,
            )

        nursery.start_soon(supervise, entry, make, RestartPolicy(), [resolved, retired])

    def _start_lane(self, nursery: trio.Nursery, platform: Platform, stop: trio.Event) -> None:
        stores, adapter, lane = self._stores, self._adapters[platform], self._lanes[platform]
        platforms = self._config.platforms
        workers = platforms.youtube.workers if platform is Platform.YOUTUBE else platforms.instagram.workers
        rules = pack_rules(adapter)

        def limiter(meter: Meter, outbox: Outbox[FetchPermitted]) -> Actor:
            return Limiter(
                self._due[platform].receiver,
                outbox,
                adapter=adapter,
                ledger=stores.ledger,
                schedule=stores.schedule,
                journal=stores.journal,
                lane=lane,
                now=self._now,
                meter=meter,
            )

        def scheduler(meter: Meter, outbox: Outbox[RefreshDue]) -> Actor:
            return Scheduler(
                outbox,
                platform=platform,
                rules=rules,
                buckets_of=lambda kind: adapter.cost(kind).buckets,
                packs=workers * 2,
                schedule=stores.schedule,
                lane=lane,
                now=self._now,
                stop=stop,
                meter=meter,
            )

        for number in range(workers):
            self._spawn_fetcher(nursery, platform, number, stop)
        self._spawn_to(nursery, f"limiter/{platform.value}", limiter, self._permitted[platform])
        self._spawn_to(nursery, f"scheduler/{platform.value}", scheduler, self._due[platform])

    def _spawn_fetcher(self, nursery: trio.Nursery, platform: Platform, number: int, stop: trio.Event) -> None:
        stores = self._stores
        entry = self.board[f"fetcher/{platform.value}"]
        pages = self._work[Stage.NORMALISER].sender.clone()
        silent = self._work[Stage.EMBEDDER].sender.clone()

        def make() -> Actor:
            return Fetcher(
                self._permitted[platform].receiver,
                Outbox(pages, entry.meter),
                Outbox(silent, entry.meter),
                adapter=self._adapters[platform],
                discovery=discovery_budgets(self._config),
                suppression=stores.suppression,
                env=stores.env,
                schedule=stores.schedule,
                ledger=stores.ledger,
                journal=stores.journal,
                lane=self._lanes[platform],
                now=self._now,
                jitter=random.Random(f"{self._seed}/{number}"),
                stop=stop,
                meter=entry.meter,
            )

        nursery.start_soon(supervise, entry, make, RestartPolicy(), [pages, silent])

    def _start_sweeper(self, nursery: trio.Nursery, stop: trio.Event) -> None:
        entry = self.board["sweeper"]
        clones = {stage: channel.sender.clone() for stage, channel in self._work.items()}

        def make() -> Actor:
            return Sweeper(
                {stage: Outbox(clone, entry.meter) for stage, clone in clones.items()},
                work=self._stores.work,
                journal=self._stores.journal,
                now=self._now,
                resend_after_seconds=self._config.pipeline.resend_after_seconds,
                max_attempts=self._config.pipeline.max_attempts,
                held_up=self.held_up,
                stop=stop,
                meter=entry.meter,
            )

        nursery.start_soon(supervise, entry, make, RestartPolicy(), list(clones.values()))

    def _start_courier(self, nursery: trio.Nursery, stop: trio.Event) -> None:
        def make(meter: Meter, outbox: Outbox[AnyWork]) -> Actor:
            return Courier(self._words.receiver, outbox, stop=stop, meter=meter)

        self._spawn_to(nursery, "courier", make, self._work[Stage.IDENTITY])

    def _start_reaper(self, nursery: trio.Nursery, stop: trio.Event) -> None:
        def make(meter: Meter, outbox: Outbox[AnyWork]) -> Actor:
            return Reaper(
                outbox,
                env=self._stores.env,
                journal=self._stores.journal,
                policies=policies(self._config.platforms.youtube.derived_data),
                now=self._now,
                stop=stop,
                meter=meter,
            )

        self._spawn_to(nursery, "reaper", make, self._work[Stage.EMBEDDER])

    def _spawn(self, nursery: trio.Nursery, name: str, make: Callable[[Meter], Actor]) -> None:
        entry = self.board[name]
        nursery.start_soon(supervise, entry, lambda: make(entry.meter), RestartPolicy(), [])

    def _spawn_to(
        self, nursery: trio.Nursery, name: str, make: Callable[[Meter, Outbox[T]], Actor], to: Channel[T]
    ) -> None:
        entry, sender = self.board[name], to.sender.clone()
        nursery.start_soon(
            supervise, entry, lambda: make(entry.meter, Outbox(sender, entry.meter)), RestartPolicy(), [sender]
        )


def _close_senders(channels: Mapping[Any, Channel[Any]]) -> None:
    """The actors hold clones; once the last of those closes, the channel runs dry."""
    for channel in channels.values():
        channel.sender.close()
