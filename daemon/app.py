"""The map: opens the stores, makes the channels, starts the actors and the listeners, and ends them in order."""

from __future__ import annotations

import gc
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import httpx2
import msgspec
import structlog
import trio

from actors import Meter, Outbox
from actors.avatars import AvatarReader, Pictures
from actors.discovery import plan_discovery
from actors.documents import niche_words
from actors.lane import Lane
from actors.platforms.adapter import PlatformAdapter
from actors.platforms.instagram import InstagramAdapter, Token
from actors.platforms.youtube import YouTubeAdapter
from actors.policy import policies
from actors.subscriber import HubSettings, Subscriber
from actors.token_bucket import TokenBucket
from daemon.access import Access, Identity, note_uses
from daemon.auditing import drop_audit_now_and_then
from daemon.backup import Backups, back_up_now_and_then
from daemon.clock import make_clock
from daemon.config import (
    DISABLED,
    Config,
    InstagramToken,
    Loaded,
    YouTubeConfig,
    instagram_tokens,
    switched_off,
    youtube_keys,
)
from daemon.control import Control, weights_of
from daemon.damage import DamageTeller
from daemon.derived_data import refuse_unstated
from daemon.embedding import open_model
from daemon.figures import resident_bytes
from daemon.forgetting import Forgetting, OpenIndexes, compact_store
from daemon.housekeeping import (
    reembed_all,
    reweigh_all,
    save_now_and_then,
    save_or_tell,
    survey_creators,
    warn_of_expiry,
    write_audit,
)
from daemon.indexing import IndexKeeper, index_folder
from daemon.labelling import label_rules, labeller_maker, relabel_all
from daemon.listeners import open_listeners, refuse_taken
from daemon.memory import available_bytes
from daemon.metered import MeteredAdapter
from daemon.metrics import Metrics
from daemon.migrating import migrate
from daemon.model_change import ModelChange
from daemon.notify import sd_notify, tell_systemd
from daemon.oidc import JwksCache, TokenVerifier, check_oidc, fetcher
from daemon.outside import Outside, open_outside
from daemon.pipeline import (
    Indexes,
    Learned,
    Pipeline,
    Stores,
    identity_rules,
    taxonomy_of,
    touch_kinds,
)
from daemon.query_log import QueryLog, expire_now_and_then, write_queries
from daemon.readiness import LLM, MODEL, Readiness
from daemon.resources import Resources, limits_of, raise_open_files
from daemon.searching import search_services
from daemon.stock import take_stock_again
from daemon.supervisor import Services
from daemon.synonyms import niche_synonyms
from daemon.tenancy import Tenancy
from daemon.warming import Warmer
from daemon.web.services import QueryNote, SearchServices
from daemon.web.tls import Tls, tls_of
from models.embedding_port import EmbeddingPort
from models.local_classifier import LocalClassifier
from models.taxonomy import Taxonomy
from proto.errors import ConfigError, Malformed, ModelMissing, Unavailable
from proto.ids import Platform
from proto.messages import AnyWork
from proto.records import Event
from stores.blocking import Blocking, RunSync
from stores.catalog import Catalog
from stores.codec import learn_types
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.ledger import Budget, Ledger
from stores.ports import Vector
from stores.raw import RawStore
from stores.schedule import Schedule
from stores.searcher import SEARCHES_AT_ONCE, Searcher
from stores.subscriptions import TOPICS
from stores.suppression import open_journal
from stores.windows import Window
from stores.work import Work

log = structlog.get_logger("daemon")

CONNECTIONS = httpx2.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=30)
QUERY_CAPACITY = 1_000
"""Searches that wait to be written down."""
PICTURE_BYTES, PICTURE_SECONDS = 4 << 20, 10.0
"""Of a profile picture: larger or slower ones are given up."""
COLLECTED_AFTER = (20_000, 20, 50)
"""Objects made since the last collection, and collections of the younger generation, before one of each."""
INDEX_THREADS = 2
"""Threads that make what the indexes are to hold."""
LOOK_AGAIN_SECONDS = 10.0
"""At most, after room on the disk and in memory could not be looked at."""
MODEL_THREADS = 2
"""Threads that embed or classify: one a core of the machine this is made for."""


class Running(msgspec.Struct, kw_only=True, frozen=True):
    """Where a started daemon is reached, and the hand on it."""

    url: str
    admin_url: str
    control: Control


class Parts(msgspec.Struct, kw_only=True, frozen=True):
    """What `bring_up` needs; made once, in the order of their dependencies."""

    config: Config
    data_dir: Path
    stores: Stores
    keeper: IndexKeeper
    searcher: Searcher
    pipeline: Pipeline
    readiness: Readiness
    taxonomy: Taxonomy
    blocking: Callable[[str, int], Blocking]
    now: Callable[[], float]


async def run_daemon(
    loaded: Loaded,
    *,
    data_dir: Path,
    suppression_file: Path,
    admin_socket: Path,
    stop: trio.Event,
    reload: Callable[[], Loaded],
    banner: str = "",
    run_sync: RunSync = trio.to_thread.run_sync,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Runs until ``stop``, then drains. Raises StoreBusy, Unavailable, ConfigError or ActorFailed."""
    config = loaded.config
    learn_types()
    sys.setswitchinterval(config.daemon.switch_interval_seconds)
    settle_collector()
    raise_open_files()
    metrics, readiness = Metrics(), Readiness()
    tls = tls_of(config.http.tls_cert_file, config.http.tls_key_file)
    if tls is not None:
        warn_of_certificate(tls)
    check_oidc(config.oidc)
    if not (data_dir / "store").is_dir():
        refuse_taken(config)  # a start that serves nobody begins no data directory
    if migrated := await Blocking("migration", 1, run_sync).call(migrate, loaded, data_dir):
        log.info("the store was migrated", to=migrated.to_version, backup=migrated.backup)
    if await Blocking("compaction", 1, run_sync).call(compact_where_wanted, config, data_dir):
        log.info("the store was written anew, so that nothing is left of what was erased")
    with open_stores(config, data_dir, suppression_file, metrics, run_sync) as stores:
        await stores.env.read(partial(refuse_unstated, config=config))
        now = make_clock(config.daemon, stores.env)
        stores.journal.ensure_default_tenant(int(now()))
        await stores.env.write(partial(plan_looks, config=config, now=int(now())))
        async with open_client() as client, open_pictures() as pictures:
            made = make_adapters(config, client, now, readiness)
            adapters = {one: MeteredAdapter(adapter, metrics.platform_called) for one, adapter in made.items()}
            parts = make_parts(config, stores, adapters, client, pictures, data_dir, readiness, metrics, now, run_sync)
            control = Control(
                loaded,
                reload=reload,
                data_dir=data_dir,
                stores=stores,
                searcher=parts.searcher,
                pipeline=parts.pipeline,
                readiness=readiness,
                metrics=metrics,
                now=now,
                backups=partial(make_backups, config, stores, data_dir, parts.blocking("backup", 1), now),
                resources=make_resources(config, parts, parts.blocking("resources", 1)),
            )
            services = Services(stores.journal, now)
            control.tls, control.failing = tls, services.failing
            control.operations.stop = stop.set
            await control.operations.load()
            access = make_access(config, stores.env)
            await access.load()
            tenancy = Tenancy(stores.env, settings=lambda: parts.searcher.weights, now=now, clock=trio.current_time)
            await tenancy.load()
            notes, noted = trio.open_memory_channel[QueryNote](QUERY_CAPACITY)
            searching = make_searching(parts, control, tenancy, notes, metrics)
            async with trio.open_nursery() as outer:
                web_stop = trio.Event()
                listening = await open_listeners(
                    outer,
                    config=config,
                    control=control,
                    searching=searching,
                    access=access,
                    tls=tls,
                    queries=QueryLog(stores.env, search=parts.searcher.search, tenancy=tenancy),
                    stores=stores,
                    metrics=metrics,
                    now=now,
                    admin_socket=admin_socket,
                    banner=banner,
                    stop=web_stop,
                )
                outer.start_soon(write_audit, listening.audit_entries, stores.journal, services, web_stop)
                outer.start_soon(write_queries, noted, stores.env, services, web_stop)
                outer.start_soon(services.keep_going, "key_uses", partial(note_uses, access, web_stop), web_stop)
                task_status.started(Running(url=listening.url, admin_url=listening.admin_url, control=control))
                sd_notify("READY=1", f"STATUS=serving {listening.url}")
                await _work_until(stop, parts, control, services)
                stores.env.stop_waiting()
                web_stop.set()
                listening.close_audit()
                notes.close()
            await parts.keeper.close()
    await trio.Path(admin_socket).unlink(missing_ok=True)
    log.info("stopped")


def warn_of_certificate(tls: Tls) -> None:
    """One that has ended ends neither the daemon nor its intake."""
    try:
        tls.ends_at()
    except ConfigError as error:
        log.warning("no client takes the certificate", reason=str(error))


async def _work_until(stop: trio.Event, parts: Parts, control: Control, services: Services) -> None:
    """The flow and what looks after it; once ``stop`` is set it runs dry, under a deadline, and the graphs are saved."""
    stores = parts.stores

    def trouble() -> str:
        waits = stop.is_set() or parts.stores.env.held_because
        return "" if waits else parts.pipeline.trouble()

    def status() -> str:
        what = "draining" if stop.is_set() else control.resources.refuses or parts.readiness.status
        return f"{what}; {parts.searcher.searchable():,} creators searchable"

    async with trio.open_nursery() as beside:
        beside.start_soon(services.keep_going, "systemd", partial(tell_systemd, trouble, status))
        beside.start_soon(
            partial(services.keep_going, "resources", control.resources.watch, longest_pause_seconds=LOOK_AGAIN_SECONDS)
        )
        teller = DamageTeller(stores.env, stores.journal, parts.now)
        beside.start_soon(services.keep_going, "damage", partial(teller.tell_until, stop), stop)
        beside.start_soon(control.operations.work.serve, stop)
        beside.start_soon(services.keep_going, "idle_imports", control.operations.imports.watch, stop)
        if parts.config.backup.every_hours:
            backing_up = partial(back_up_now_and_then, control.backups, parts.config.backup, time.time, stop)
            beside.start_soon(services.keep_going, "backup", backing_up, stop)
        async with trio.open_nursery() as flow:
            flow.start_soon(bring_up, parts, control, services, flow, stop)
            await stop.wait()
            parts.readiness.stopping = True
            sd_notify("STOPPING=1", "STATUS=draining")
            log.info("draining", seconds=parts.config.daemon.drain_seconds)
            patience = (
                0.0 if parts.stores.env.held_because else parts.config.daemon.drain_seconds
            )  # held: nothing flows
            flow.cancel_scope.deadline = trio.current_time() + patience
        await save_or_tell(parts.keeper, parts.stores.journal, parts.now)
        beside.cancel_scope.cancel("shutdown")


async def bring_up(parts: Parts, control: Control, services: Services, nursery: trio.Nursery, stop: trio.Event) -> None:
    """Keyword search first, then the models, then the flow; vectors join field by field.

    An erasure that a crash cut short is finished before anything flows. What fails here ends the daemon; what is started
    beside the flow does not (`Services`).
    """
    text = await parts.keeper.open_text()
    parts.searcher.set_text(text)
    control.text = text
    control.rewrite_text = parts.keeper.rewrite_text
    learned = await load_models(parts)
    model = learned.embedding
    change = make_model_change(parts, model, learned.threads) if model is not None else None
    if change is not None:
        await change.open()
    else:
        parts.searcher.set_no_embedder()
    rules = policies(parts.config.platforms.youtube.derived_data)
    await reembed_all(parts.stores, model.model_id if model else "", rules, parts.now)
    await reweigh_all(parts.stores.env, parts.stores.catalog, identity_rules(parts.config), parts.now)
    await relabel_all(
        parts.stores.env,
        parts.stores.catalog,
        classifier_id=learned.classifier.model_id,
        taxonomy=parts.taxonomy,
        config=parts.config.llm,
        now=parts.now(),
    )
    if change is not None:
        await change.tell()
    if stop.is_set():
        return
    indexes = Indexes(
        text=text,
        fields=parts.keeper.fields,
        earlier=parts.keeper.earlier,
        columns=parts.keeper.columns,
        turn=trio.Lock(),
        threads=parts.blocking("index-making", INDEX_THREADS),
    )
    forgetting = make_forgetting(parts, indexes)
    await forgetting.resume()
    control.forgetting = forgetting
    parts.pipeline.start(nursery, learned, indexes, stop)
    upkeep = keep_up(parts, control, stop)
    if change is not None and change.going_on:
        upkeep["model_change"] = partial(change.watch, stop)
    for name, service in upkeep.items():
        nursery.start_soon(services.keep_going, name, service, stop)


def keep_up(parts: Parts, control: Control, stop: trio.Event) -> dict[str, Callable[[], Awaitable[None]]]:
    """What goes on beside the flow once it is up, by the names under which operators are told of them."""
    config, stores, now = parts.config, parts.stores, parts.now
    warning_days = config.platforms.instagram.expiry_warning_days
    touches = touch_kinds(config, parts.pipeline.adapters)
    snapshot_seconds = config.storage.snapshot_minutes * 60.0
    return {
        "token_expiry": partial(warn_of_expiry, instagram_tokens(config), warning_days, stores.journal, now, stop),
        "query_log_expiry": partial(
            expire_now_and_then, stores.env, lambda: control.config.search.query_log_days, now, stop
        ),
        "audit_expiry": partial(drop_audit_now_and_then, stores.env, lambda: control.config.audit.keep_days, now, stop),
        "survey": partial(survey_creators, stores.env, stores.work, control.take_peers, now, stop),
        "stock": partial(take_stock_again, stores.env, touches, parts.keeper.coverage, control.take_stock, now, stop),
        "warming": Warmer(
            stores.env,
            threads=parts.blocking("warming", 1).giving_way(),
            readiness=parts.readiness,
            importing=lambda: parts.pipeline.importing,
            searched=parts.searcher.searched_lately,
            available=lambda: available_bytes(resident_bytes()),
            stop=stop,
        ).run,
        "snapshots": partial(
            save_now_and_then,
            parts.keeper,
            stores.work,
            stores.schedule,
            stores.journal,
            snapshot_seconds,
            now,
            stop,
        ),
    }


def settle_collector() -> None:
    """What was imported is not looked through again, and the young are looked through less often: with the defaults a
    third of the time of reading creators went into collections that found nothing (0.34 ms a creator, 0.24 so)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)


def make_access(config: Config, env: Environment) -> Access:
    """Keys and tokens run out by the real clock, also in a world that plays in the past."""

    async def verify(token: str) -> Identity:
        return await verifier.verify(token)

    access = Access(
        env,
        now=time.time,
        clock=trio.current_time,
        require_key=config.http.require_key,
        session_seconds=int(config.http.session_hours * 3_600),
        verify=verify if config.oidc.issuer else None,
    )
    verifier = TokenVerifier(
        config.oidc,
        JwksCache(fetcher(config.oidc), trio.current_time),
        now=time.time,
        is_tenant=access.is_tenant,
    )
    return access


def make_searching(
    parts: Parts, control: Control, tenancy: Tenancy, notes: trio.MemorySendChannel[QueryNote], metrics: Metrics
) -> SearchServices:
    def note_query(note: QueryNote) -> None:
        try:
            notes.send_nowait(note)
        except (trio.WouldBlock, trio.ClosedResourceError):
            metrics.queries_lost.inc()  # no search waits for the log; what is lost is counted

    return search_services(
        lambda: control.config,
        searcher=parts.searcher,
        env=parts.stores.env,
        catalog=parts.stores.catalog,
        columns=parts.keeper.columns,
        taxonomy=parts.taxonomy,
        tenancy=tenancy,
        suggest=control.suggest,
        note_query=note_query,
        observe=metrics.searches.observe,
    )


def make_backups(
    config: Config,
    stores: Stores,
    data_dir: Path,
    threads: Blocking,
    now: Callable[[], float],
    settings: Callable[[], str],
) -> Backups:
    return Backups(
        stores.env,
        data_dir,
        settings=settings,
        map_size_bytes=config.storage.map_size_gib << 30,
        journal=stores.journal,
        threads=threads,
        now=now,
        clock=time.time,
    )


def make_resources(config: Config, parts: Parts, threads: Blocking) -> Resources:
    parts.stores.env.waits_for_room = True
    return Resources(
        parts.data_dir,
        env=parts.stores.env,
        journal=parts.stores.journal,
        limits=limits_of(config),
        set_intake=parts.pipeline.set_intake,
        threads=threads,
        now=parts.now,
    )


def make_model_change(parts: Parts, model: EmbeddingPort, threads: Blocking) -> ModelChange:
    return ModelChange(
        parts.config,
        model=model,
        stores=parts.stores,
        keeper=parts.keeper,
        searcher=parts.searcher,
        readiness=parts.readiness,
        threads=threads,
        query_embedder=partial(query_embedder, threads=parts.blocking("query-embedding", SEARCHES_AT_ONCE)),
        now=parts.now,
    )


def make_forgetting(parts: Parts, indexes: Indexes) -> Forgetting:
    threads = parts.blocking("forgetting", 1)
    return Forgetting(
        env=parts.stores.env,
        data_dir=parts.data_dir,
        suppression=parts.stores.suppression,
        indexes=OpenIndexes(
            text=indexes.text,
            fields=indexes.fields,
            earlier=indexes.earlier,
            columns=indexes.columns,
            folder=index_folder(parts.data_dir),
            rewrite_text=parts.keeper.rewrite_text,
            save_columns=parts.keeper.save_columns,
            turn=indexes.turn,
            threads=threads,
        ),
        threads=threads,
        now=parts.now,
        hand_on=parts.pipeline.hand_on,
    )


def compact_where_wanted(config: Config, data_dir: Path) -> bool:
    """Blocking. A store that cannot be written anew now serves as it is, and is at the next start."""
    try:
        return compact_store(data_dir, map_size_bytes=config.storage.map_size_gib << 30)
    except Unavailable as error:
        log.warning("erased accounts still leave bytes in the store", reason=str(error))
        return False


def query_embedder(model: EmbeddingPort, threads: Blocking) -> Callable[[str], Awaitable[Vector]]:
    async def embed(text: str) -> Vector:
        vectors = await threads.call(model.embed, [text])
        vector: Vector = vectors[0]
        return vector

    return embed


async def load_models(parts: Parts) -> Learned:
    """The embedding model when its files are there, and the classifier, with it or without."""
    threads = parts.blocking("models", MODEL_THREADS)
    model = await threads.call(_load_embedding, parts.config, parts.readiness)
    embed = model.embed if model else None
    try:
        classifier = await threads.call(
            lambda: LocalClassifier(parts.taxonomy, embed, model_id=model.model_id if model else "cues")
        )
    except Unavailable as error:
        log.warning("labels are given by cues alone until the next start", reason=str(error))
        classifier = LocalClassifier(parts.taxonomy, None)
    return Learned(
        embedding=model,
        classifier=classifier,
        taxonomy=parts.taxonomy,
        threads=threads,
        reading=parts.blocking("line-reader", 1),
    )


def _load_embedding(config: Config, readiness: Readiness) -> EmbeddingPort | None:
    try:
        return open_model(config, readiness.set_endpoint)
    except (ModelMissing, Malformed) as error:
        log.warning("no embedding model: keyword search only", reason=str(error))
        readiness.set(MODEL, "missing", detail=str(error), loaded=0.0)
        return None


def make_parts(
    config: Config,
    stores: Stores,
    adapters: Mapping[Platform, PlatformAdapter],
    client: httpx2.AsyncClient,
    pictures: Pictures,
    data_dir: Path,
    readiness: Readiness,
    metrics: Metrics,
    now: Callable[[], float],
    run_sync: RunSync,
) -> Parts:
    def blocking(name: str, limit: int) -> Blocking:
        return Blocking(name, limit, run_sync)

    taxonomy = taxonomy_of(config)
    readiness.set(LLM, "ok" if config.llm.base_url else "off", detail=config.llm.model)
    for model in (config.llm.model, config.llm.second.model):
        if model:
            metrics.expect_llm(model)
    keeper = IndexKeeper(
        data_dir,
        env=stores.env,
        catalog=stores.catalog,
        niche_words=lambda creator: niche_words(creator, taxonomy),
        synonyms=niche_synonyms(taxonomy),
        derives=[
            platform for platform, policy in policies(config.platforms.youtube.derived_data).items() if policy.derives
        ],
        recent_items=config.platforms.youtube.recent_items,
        config=config.search,
        readiness=readiness,
        blocking=blocking,
    )
    searcher = Searcher(
        columns=keeper.columns,
        weights=weights_of(config),
        candidates=config.search.candidates,
        query_cache=config.search.query_cache,
        threads=blocking("search", SEARCHES_AT_ONCE),
        now=now,
        side=ThreadPoolExecutor(1, thread_name_prefix="search-side"),
        observe=metrics.looked_up,
    )
    youtube, instagram = config.platforms.youtube, config.platforms.instagram
    paces = {
        Platform.YOUTUBE: {"api": youtube.requests_per_second, "feed": youtube.feeds_per_second},
        Platform.INSTAGRAM: {"api": instagram.requests_per_second},
    }
    lanes = {platform: Lane({name: pace_of(rate) for name, rate in paces[platform].items()}) for platform in adapters}
    pipeline = Pipeline(
        config,
        stores=stores,
        adapters=adapters,
        readers=page_readers(client, now) | dict(adapters),
        lanes=lanes,
        now=now,
        seed=int(now()),
        make_subscriber=subscriber_maker(config, stores, client, now),
        make_labeller=labeller_maker(
            config.llm,
            client,
            env=stores.env,
            catalog=stores.catalog,
            journal=stores.journal,
            taxonomy=taxonomy,
            policies=policies(youtube.derived_data),
            recent_items=youtube.recent_items,
            now=now,
            answering=lambda answering: readiness.set_answering(LLM, answering=answering),
            observe=metrics.llm_asked,
        ),
        label_rules=label_rules(config.llm, taxonomy),
        make_avatar_reader=avatar_reader_maker(config, stores, pictures, blocking("avatars", 1), now),
    )
    searcher.set_importing(lambda: pipeline.importing)
    pipeline.set_searched(searcher.searched_lately)
    return Parts(
        config=config,
        data_dir=data_dir,
        stores=stores,
        keeper=keeper,
        searcher=searcher,
        pipeline=pipeline,
        readiness=readiness,
        taxonomy=taxonomy,
        blocking=blocking,
        now=now,
    )


def plan_looks(txn: Txn, config: Config, now: int) -> None:
    """The charts and searches of the settings; those whose budget is 0 are taken off the schedule."""
    ingestion, youtube = config.ingestion, config.platforms.youtube
    regions = youtube.chart_regions if ingestion.discover_from_charts_per_day else []
    queries = youtube.search_queries if ingestion.discover_from_searches_per_day else []
    plan_discovery(txn, regions, queries, now)


def page_readers(client: httpx2.AsyncClient, now: Callable[[], float]) -> dict[Platform, PlatformAdapter]:
    """Adapters that can read pages, and make no calls."""
    return {
        Platform.YOUTUBE: YouTubeAdapter(client, base_url="", feeds_url="", keys=(), now=now, timeout_seconds=1),
        Platform.INSTAGRAM: InstagramAdapter(client, base_url="", tokens={}, now=now, timeout_seconds=1),
    }


def subscriber_maker(
    config: Config, stores: Stores, client: httpx2.AsyncClient, now: Callable[[], float]
) -> Callable[[Meter, trio.Event], Subscriber] | None:
    """None where no hub pushes."""
    youtube = config.platforms.youtube
    if not (youtube.enabled and youtube.push_enabled):
        return None
    settings = HubSettings(
        hub_url=youtube.push_hub_url,
        topic_url=TOPICS[1],
        callback_url=youtube.push_callback_url,
        lease_seconds=youtube.push_lease_seconds,
        max_subscriptions=youtube.push_max_subscriptions,
        requests_per_second=youtube.push_requests_per_second,
        timeout_seconds=youtube.push_timeout_seconds,
    )

    def make(meter: Meter, stop: trio.Event) -> Subscriber:
        return Subscriber(
            client,
            settings,
            env=stores.env,
            journal=stores.journal,
            now=now,
            jitter=random.Random(),
            stop=stop,
            meter=meter,
        )

    return make


def avatar_reader_maker(
    config: Config, stores: Stores, pictures: Pictures, threads: Blocking, now: Callable[[], float]
) -> Callable[[Meter, Outbox[AnyWork], trio.Event], AvatarReader] | None:
    """None where no pictures are looked at."""
    if not config.identity.avatars:
        return None

    def make(meter: Meter, outbox: Outbox[AnyWork], stop: trio.Event) -> AvatarReader:
        return AvatarReader(outbox, env=stores.env, pictures=pictures, threads=threads, now=now, stop=stop, meter=meter)

    return make


def pace_of(requests_per_second: float) -> TokenBucket:
    """A second's worth of calls may go out at once."""
    return TokenBucket(requests_per_second, max(1.0, requests_per_second))


@contextmanager
def open_stores(
    config: Config, data_dir: Path, suppression_file: Path, metrics: Metrics, run_sync: RunSync
) -> Iterator[Stores]:
    """Opened first, closed last. Leases of the process before are void, since this one holds the directory."""
    env = Environment(data_dir, map_size_bytes=config.storage.map_size_gib << 30, run_sync=run_sync)
    with ExitStack() as stack:
        stack.callback(env.close)
        suppression = open_journal(env, suppression_file)
        stack.callback(suppression.close)
        schedule = Schedule(env)
        released = schedule.release_all()
        if released:
            log.info("took over unfinished fetches", jobs=released)
        if not config.ingestion.backfill_share:
            log.warning(
                "neither new accounts nor history are fetched", reason="ingestion.backfill_share is 0; expected more"
            )
        yield Stores(
            env=env,
            schedule=schedule,
            raw=RawStore(env),
            catalog=Catalog(env),
            work=Work(env),
            ledger=Ledger(env, budgets_of(config)),
            journal=Journal(env, lambda event: _on_event(metrics, event)),
            suppression=suppression,
        )


def budgets_of(config: Config) -> list[Budget]:
    youtube, instagram = config.platforms.youtube, config.platforms.instagram
    daily = (
        ("general", youtube.general_units_per_day),
        ("search", youtube.search_calls_per_day),
        ("stats", youtube.stats_units_per_day),
    )
    share = config.ingestion.backfill_share
    budgets = [
        Budget(
            platform=Platform.YOUTUBE,
            bucket=bucket,
            units=units,
            bulk_share=1.0 if bucket == "search" else share,  # searches only find new accounts
        )
        for bucket, units in daily
    ]
    return budgets + [
        Budget(
            platform=Platform.INSTAGRAM,
            bucket=token_bucket(token),
            units=instagram.calls_per_hour,
            window=Window.ROLLING_HOUR,
            bulk_share=share,
        )
        for token in instagram_tokens(config)
    ]


def token_bucket(token: InstagramToken) -> str:
    """The ledger's name for what a token may spend."""
    return f"token:{token.name}"


def _on_event(metrics: Metrics, event: Event) -> None:
    metrics.count_event(event)
    write = log.error if event.severity == "error" else log.warning if event.severity == "warning" else log.info
    write(event.kind, subject=event.subject, detail=event.detail)


def open_pictures() -> AbstractAsyncContextManager[Outside]:
    """For profile pictures, whose addresses come from outside."""
    return open_outside(max_bytes=PICTURE_BYTES, total_seconds=PICTURE_SECONDS)


@asynccontextmanager
async def open_client() -> AsyncIterator[httpx2.AsyncClient]:
    """For calls to the platforms."""
    client = httpx2.AsyncClient(limits=CONNECTIONS, trust_env=False, timeout=httpx2.Timeout(10, connect=5, pool=60))
    try:
        yield client
    finally:
        with trio.move_on_after(2, shield=True):  # a peer that stopped answering must not hold up the end
            await client.aclose()


def make_adapters(
    config: Config, client: httpx2.AsyncClient, now: Callable[[], float], readiness: Readiness
) -> dict[Platform, PlatformAdapter]:
    """An adapter for each platform that is enabled and has a key."""
    made = {
        Platform.YOUTUBE: partial(_youtube_adapter, config.platforms.youtube, client, now),
        Platform.INSTAGRAM: partial(_instagram_adapter, config, client, now),
    }
    off = switched_off(config)
    for platform in made:
        readiness.set(platform.value, "off" if platform in off else "ok", detail=off.get(platform, ""))
        if platform in off and off[platform] != DISABLED:
            log.warning("a platform is off: nothing is fetched from it", platform=platform.value, reason=off[platform])
    return {platform: make() for platform, make in made.items() if platform not in off}


def _youtube_adapter(youtube: YouTubeConfig, client: httpx2.AsyncClient, now: Callable[[], float]) -> PlatformAdapter:
    return YouTubeAdapter(
        client,
        base_url=youtube.base_url,
        feeds_url=youtube.feeds_url,
        keys=youtube_keys(youtube),
        now=now,
        timeout_seconds=youtube.call_timeout_seconds,
    )


def _instagram_adapter(config: Config, client: httpx2.AsyncClient, now: Callable[[], float]) -> PlatformAdapter:
    instagram, tokens = config.platforms.instagram, instagram_tokens(config)
    return InstagramAdapter(
        client,
        base_url=instagram.base_url,
        tokens={
            token_bucket(one): Token(
                access_token=one.access_token, ig_user_id=one.ig_user_id, app_secret=one.app_secret
            )
            for one in tokens
        },
        now=now,
        timeout_seconds=instagram.call_timeout_seconds,
        media_limit=instagram.media_limit,
    )
