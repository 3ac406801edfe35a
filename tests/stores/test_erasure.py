from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors import Meter
from actors.documents import text_document
from actors.index_writing import IndexWriter
from actors.indexer import Indexer
from actors.turns import Turns
from daemon import forgetting as forgetting_module
from daemon.evaluation.virtual_time import VirtualThreads
from daemon.forgetting import COMPACT_WANTED, Forgetting, OpenIndexes, Report, compact_store
from proto.errors import DiskFull, Malformed, Unavailable
from proto.ids import AccountKey, Platform, Row, account_key, creator_id_of
from proto.messages import (
    AccountEmbedded,
    AccountUpserted,
    AnyWork,
    CreatorAggregated,
    CreatorEnriched,
    CreatorResolved,
    RawStored,
)
from proto.records import (
    AuditEvent,
    ContentItem,
    Creator,
    CreatorAccount,
    DeadLetter,
    EmbeddingRecord,
    Event,
    IdentityLink,
    Job,
    JobKind,
    LoggedQuery,
    Priority,
    RawPage,
    SearchWeights,
    WorkItem,
)
from stores.audit import Actor, append_audit
from stores.blocking import Blocking
from stores.catalog import (
    ACCOUNTS,
    CREATORS,
    Catalog,
    creator_bundle,
    get_account,
    get_creator,
    log_indexed,
    put_account,
    put_account_vectors,
    put_creator,
    put_creator_embeddings,
    write_account,
)
from stores.codec import decode, encode, pack_id
from stores.column_files import ColumnFiles
from stores.columns import Columns
from stores.content import ITEMS, Block, put_items, remove_items
from stores.env import DATABASES, Environment, Txn
from stores.erasure import (
    HANDLED,
    MENTIONED_IN,
    UNTOUCHED,
    Erased,
    Mark,
    Subject,
    erase_account,
    expire_letters,
    mark_erasure,
    marked_erasures,
    mentions,
    scrub,
    unmark_erasure,
)
from stores.identity import note_handle
from stores.journal import append_event
from stores.ports import TextDocument
from stores.query_log import append_queries, ids_of, queries_after
from stores.raw import put_raw, seal
from stores.schedule import PENDING, PackRule, Schedule, put_job
from stores.suppression import Suppression
from stores.text_index import TantivyTextIndex
from stores.vectors import HnswVectorIndex
from stores.work import ROWS, Work, enqueue, put_dead_letter
from tests.founding import found_creator

NOW = 1_790_000_000
MONTH = 31 * 86_400
DIMS = 8
ANNA, BEN = "UC4RqWPDDs0KvlpZNW3F-6gQ", "UC9zzzzzzzzzzzzzzzzzzzzA"
ANNA_HANDLE, BEN_HANDLE = "AnnaQuuxFit", "benquuxfit"
ANNA_KEY, BEN_KEY = account_key(Platform.YOUTUBE, ANNA), account_key(Platform.YOUTUBE, BEN)
SUBJECT = Subject(platform=Platform.YOUTUBE, user_id=ANNA, handle=ANNA_HANDLE, alias="0123456789abcdef")
Dump = dict[str, dict[bytes, bytes]]


def vector(field: str) -> EmbeddingRecord:
    values = np.random.default_rng(len(field)).standard_normal(DIMS)
    unit = (values / np.linalg.norm(values)).astype("<f2").tobytes()
    return EmbeddingRecord(field=field, model_id="m", dims=DIMS, input_hash="h", vector=unit, updated_at=NOW)


def job(kind: JobKind, entity: str, owner: str, handle: str) -> Job:
    key = account_key(Platform.YOUTUBE, owner) if kind is not JobKind.LOOKUP else None
    return Job(
        platform=Platform.YOUTUBE,
        kind=kind,
        entity=entity,
        account_key=key,
        priority=Priority.ACTIVE,
        due_at=NOW,
        handle=handle,
    )


def page(user_id: str, number: int) -> RawPage:
    return RawPage(
        platform=Platform.YOUTUBE,
        kind=JobKind.PROFILE,
        account_key=account_key(Platform.YOUTUBE, user_id),
        fetched_at=NOW + number,
        request=f"GET /channels?id={user_id}",
        body=f'{{"id":"{user_id}","page":{number}}}'.encode(),
    )


def letter(entity: str, payload: bytes) -> DeadLetter:
    return DeadLetter(
        letter_id="",
        stage="fetcher",
        entity=entity,
        reason="not_found",
        detail="",
        payload=payload,
        last_seen_at=NOW,
    )


def fill_account(txn: Txn, user_id: str, handle: str, *, months: int = 3) -> Creator:
    """An account that has left something in every database that can name it."""
    key = account_key(Platform.YOUTUBE, user_id)
    account = CreatorAccount(
        platform=Platform.YOUTUBE,
        platform_user_id=user_id,
        handle=handle,
        display_name=f"Name {handle}",
        bio=f"I am {handle}",
        fetched_at=NOW,
    )
    put_account(txn, account)
    creator = found_creator(txn, account, NOW)
    creator.name, creator.canonical_handle, creator.account_keys = f"Name {handle}", handle, [key]
    put_creator(txn, creator)
    items = [
        ContentItem(
            content_id=f"{handle}-v{n}", account_key=key, title_or_caption=f"{handle} {n}", published_at=NOW - n * MONTH
        )
        for n in range(months)
    ]
    put_items(txn, key, items)
    put_account_vectors(txn, key, [vector("bio"), vector("content.0")], [])
    put_creator_embeddings(txn, creator.creator_id, [vector("yt_bio"), vector("yt_content")])
    fill_flow(txn, creator, key, user_id, handle)
    log_indexed(txn, creator.creator_id)
    return creator


def fill_flow(txn: Txn, creator: Creator, key: AccountKey, user_id: str, handle: str) -> None:
    for number in range(3):
        raw = page(user_id, number)
        raw_id, body = seal(raw)
        put_raw(txn, raw, raw_id, body)
        enqueue(txn, RawStored(raw_id=raw_id, platform=Platform.YOUTUBE), NOW)
    for account_message in (AccountUpserted(account_key=key), AccountEmbedded(account_key=key)):
        enqueue(txn, account_message, NOW)
    for kind in (CreatorResolved, CreatorAggregated, CreatorEnriched):
        enqueue(txn, kind(creator_id=creator.creator_id), NOW)
    for one, entity in (
        (JobKind.PROFILE, user_id),
        (JobKind.FEED, user_id),
        (JobKind.CONTENT, f"{handle}-v1"),
        (JobKind.STATS, f"{handle}-v2"),
        (JobKind.LOOKUP, "@" + handle.casefold()),
    ):
        put_job(txn, job(one, entity, user_id, handle))
    content_job = job(JobKind.CONTENT, f"77-{user_id[:4]}", user_id, handle)
    put_dead_letter(txn, letter(f"content:{content_job.entity}", msgspec.msgpack.encode(content_job)))
    put_dead_letter(txn, letter(f"lookup:@{handle}", b"\xc1 no msgpack"))
    append_event(txn, Event(at=NOW, kind="fetch_failed", severity="warning", subject=user_id, detail=f"1 jobs: {key}"))
    append_event(txn, Event(at=NOW, kind="note", severity="info", detail=f"see youtube.com/@{handle.lower()}."))
    audit = AuditEvent(at=NOW, tenant_id="default", actor="api", action="search", detail=f"q={handle} limit=5")
    append_audit(txn, audit)


def dump(txn: Txn) -> Dump:
    return {database: dict(txn.scan(database)) for database in DATABASES}


def naming(rows: Dump, *names: str) -> list[tuple[str, bytes]]:
    """Databases and keys of rows that hold any of the names, whatever their case."""
    wanted = [name.lower().encode() for name in names]
    return [
        (database, key)
        for database, pairs in rows.items()
        for key, value in pairs.items()
        if any(name in key.lower() or name in value.lower() for name in wanted)
    ]


def check_counters(txn: Txn) -> None:
    """Kept counters equal a recount, and indexes of the schedule agree with it."""
    jobs = {key: decode(Job, value) for key, value in txn.scan("schedule")}
    blocks = [decode(Block, value) for _, value in txn.scan("content")]
    assert txn.counter(PENDING) == sum(one.first for one in jobs.values())
    assert txn.counter(ROWS) == txn.entries("work")
    assert txn.counter(ACCOUNTS) == txn.entries("accounts")
    assert txn.counter(CREATORS) == txn.entries("creators") == txn.entries("rows")
    assert txn.counter(ITEMS) == sum(len(block.items) for block in blocks)
    assert txn.entries("schedule_due") == len(jobs)
    assert {key for key, _ in txn.scan("leases")} <= jobs.keys()
    assert txn.entries("schedule_by_account") == sum(one.account_key is not None for one in jobs.values())
    assert txn.entries("raw") == txn.entries("raw_by_account")
    assert txn.entries("index_log") == txn.entries("index_sequence")


def erase_whole(txn: Txn, key: AccountKey, limit: int = 500) -> list[Erased]:
    pieces = [erase_account(txn, key, handle=ANNA_HANDLE, now=NOW, limit=limit)]
    while not pieces[-1].done:
        pieces.append(erase_account(txn, key, handle=ANNA_HANDLE, now=NOW, limit=limit))
    return pieces


def scrub_all(txn: Txn, subject: Subject, limit: int = 2) -> int:
    met = 0
    for database in MENTIONED_IN:
        after: bytes | None = b""
        while after is not None:
            keys, after = mentions(txn, database, subject, after, limit)
            met += scrub(txn, database, subject, keys)
    return met


def test_it_is_known_of_every_database_whether_it_names_accounts() -> None:
    assert set(DATABASES) == HANDLED | UNTOUCHED
    assert not HANDLED & UNTOUCHED


async def test_no_row_names_the_erased_and_none_of_others_changed(env: Environment) -> None:
    def story(txn: Txn) -> tuple[Dump, Dump, Dump]:
        fill_account(txn, BEN, BEN_HANDLE)
        alone = dump(txn)
        fill_account(txn, ANNA, ANNA_HANDLE)
        both = dump(txn)
        erase_whole(txn, ANNA_KEY)
        scrub_all(txn, SUBJECT)
        check_counters(txn)
        return alone, both, dump(txn)

    alone, both, left = await env.write(story)
    named_in = {database for database, _ in naming(both, ANNA, ANNA_HANDLE)}
    assert {"accounts", "content", "raw", "schedule", "dead_letters", "events", "audit"} <= named_in
    assert naming(left, ANNA, ANNA_HANDLE) == []
    for database in set(DATABASES) - {"meta", "events", "audit"}:
        assert left[database] == alone[database], database
    for database in ("events", "audit"):
        assert len(left[database]) == len(both[database])
        assert alone[database].items() <= left[database].items()


async def test_leased_jobs_and_their_leases_go_too(env: Environment) -> None:
    await env.write(lambda txn: fill_account(txn, ANNA, ANNA_HANDLE))
    rules = [PackRule(kind=kind, size=1) for kind in JobKind]
    leased = await Schedule(env).lease(Platform.YOUTUBE, rules, NOW, packs=9, flush=True)
    assert len(leased) == 5

    def story(txn: Txn) -> Dump:
        erase_whole(txn, ANNA_KEY)
        check_counters(txn)
        return dump(txn)

    left = await env.write(story)
    assert not any(left[name] for name in ("schedule", "schedule_due", "schedule_by_account", "leases"))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 40), months=st.integers(0, 30))
async def test_small_pieces_end_where_a_large_one_does(
    tmp_path_factory: pytest.TempPathFactory, limit: int, months: int
) -> None:
    env = Environment(tmp_path_factory.mktemp("store"), map_size_bytes=1 << 28)

    def story(txn: Txn) -> None:
        before = dump(txn)
        fill_account(txn, ANNA, ANNA_HANDLE, months=months)
        pieces = erase_whole(txn, ANNA_KEY, limit)
        scrub_all(txn, SUBJECT)
        check_counters(txn)
        left = dump(txn)
        assert naming(left, ANNA, ANNA_HANDLE) == []
        assert all(left[name] == before[name] for name in HANDLED - {"audit", "events"})
        assert all(piece.pieces <= 4 * limit + 30 for piece in pieces)

    env.write_now(story)
    env.close()


async def test_the_first_piece_leaves_nothing_to_see_or_to_work_on(env: Environment) -> None:
    def story(txn: Txn) -> None:
        creator = fill_account(txn, ANNA, ANNA_HANDLE, months=30)
        erased = erase_account(txn, ANNA_KEY, limit=2)
        assert not erased.done
        assert (erased.row, erased.creator_id, erased.creator_gone) == (creator.row, creator.creator_id, True)
        assert get_account(txn, ANNA_KEY) is None
        assert creator_bundle(txn, creator.creator_id, 5) is None
        stages = {decode(WorkItem, value).message for _, value in txn.scan("work")}
        assert all(b"RawStored" in message for message in stages)

    await env.write(story)


async def test_a_creator_of_two_accounts_goes_on_with_the_other(env: Environment) -> None:
    insta = account_key(Platform.INSTAGRAM, "778899")

    def story(txn: Txn) -> None:
        creator = fill_account(txn, ANNA, ANNA_HANDLE)
        other = CreatorAccount(
            platform=Platform.INSTAGRAM, platform_user_id="778899", handle="other", creator_id=creator.creator_id
        )
        put_account(txn, other)
        write_account(txn, other)
        txn.put("account_by_creator", pack_id(creator.creator_id) + insta.encode(), b"")
        evidence = [("same website", 0.5), (f"links to {ANNA_KEY}", 0.9)]
        link = IdentityLink(account_key=insta, creator_id=creator.creator_id, confidence=0.9, evidence=evidence)
        txn.put("identity_links", insta.encode(), encode(link))
        erased = erase_whole(txn, ANNA_KEY)[0]
        scrub_all(txn, SUBJECT)
        left = get_creator(txn, creator.creator_id)
        assert not erased.creator_gone
        assert left == Creator(creator_id=creator.creator_id, row=creator.row, account_keys=[insta], created_at=NOW)
        assert decode(IdentityLink, txn.get("identity_links", insta.encode()) or b"").evidence == [
            ("same website", 0.5)
        ]
        work = [decode(WorkItem, value).message for _, value in txn.scan("work")]
        assert len(work) == 1
        assert b"AccountEmbedded" in work[0]  # who it belongs to now is decided anew
        assert naming(dump(txn), ANNA, ANNA_HANDLE) == []
        check_counters(txn)

    await env.write(story)


async def test_a_handle_that_somebody_else_took_stays_theirs(env: Environment) -> None:
    def story(txn: Txn) -> None:
        fill_account(txn, ANNA, ANNA_HANDLE)
        taker = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id=BEN, handle=ANNA_HANDLE, fetched_at=NOW + 1)
        put_account(txn, taker)
        erase_whole(txn, ANNA_KEY)
        assert [value for _, value in txn.scan("account_by_handle")] == [BEN_KEY.encode()]

    await env.write(story)


async def test_erasing_again_changes_nothing(env: Environment) -> None:
    def story(txn: Txn) -> None:
        fill_account(txn, BEN, BEN_HANDLE)
        fill_account(txn, ANNA, ANNA_HANDLE)
        erase_whole(txn, ANNA_KEY)
        before = dump(txn)
        assert erase_account(txn, ANNA_KEY, handle=ANNA_HANDLE) == Erased()
        assert dump(txn) == before

    await env.write(story)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("anna_q", "erased-x"),
        ("@Anna_Q!", "erased-x!"),
        ("youtube:UC1 and UC1.", "youtube:erased-x and erased-x."),
        ("/@anna_q/videos", "/erased-x/videos"),
        ("anna_qq, xanna_q, anna_q.b, b.anna_q, anna_q-2", "anna_qq, xanna_q, anna_q.b, b.anna_q, anna_q-2"),
    ],
)
async def test_a_name_is_hidden_where_it_stands_by_itself(env: Environment, text: str, hidden: str) -> None:
    subject = Subject(platform=Platform.YOUTUBE, user_id="UC1", handle="anna_q", alias="x")

    def story(txn: Txn) -> Event:
        append_event(txn, Event(at=NOW, kind="note", severity="info", detail=text))
        scrub_all(txn, subject)
        return decode(Event, txn.get("events", pack_id(1)) or b"")

    assert (await env.write(story)).detail == hidden


async def test_letters_of_a_platform_go_by_age(env: Environment) -> None:
    def story(txn: Txn) -> list[str]:
        for name, at in (("old", NOW - 100), ("new", NOW)):
            old = letter(name, msgspec.msgpack.encode(job(JobKind.STATS, name, ANNA, "")))
            old.last_seen_at = at
            put_dead_letter(txn, old)
        put_dead_letter(txn, letter("other", b""))
        before, removed = {Platform.YOUTUBE: NOW - 50, Platform.INSTAGRAM: 0}, 0
        after: bytes | None = b""
        for _ in range(3):
            assert after is not None
            letters, after = expire_letters(txn, before, after, 1)
            removed += letters
        assert removed == 1
        assert expire_letters(txn, before, after or b"", 1) == (0, None)
        return sorted(decode(DeadLetter, value).entity for _, value in txn.scan("dead_letters"))

    assert await env.write(story) == ["new", "other"]


async def test_an_erasure_that_has_begun_is_remembered_until_it_is_done(env: Environment) -> None:
    def story(txn: Txn) -> None:
        mark_erasure(txn, Mark(subject=SUBJECT))
        mark_erasure(txn, Mark(subject=SUBJECT, row=Row(3)))
        assert marked_erasures(txn) == [Mark(subject=SUBJECT, row=Row(3))]
        unmark_erasure(txn, SUBJECT)
        assert marked_erasures(txn) == []

    await env.write(story)


class World:
    """A real store with real indexes over it, and what forgets in it."""

    def __init__(self, data_dir: Path, journal: Path, threads: VirtualThreads) -> None:
        self.data_dir, self._threads = data_dir, threads
        self.searched = False
        self.suppression = Suppression.open(journal)
        self.env = Environment(data_dir, map_size_bytes=1 << 28, run_sync=threads)
        self.columns, self.turn = Columns(), trio.Lock()
        self.fields: dict[str, HnswVectorIndex] = {}
        self.indexes = data_dir / "indexes"

    async def open(self, *, fresh: bool) -> None:
        self.indexes.mkdir(exist_ok=True)
        make = TantivyTextIndex.create_empty if fresh else TantivyTextIndex.open
        self.text = await make(self.indexes, blocking=self.blocking)
        for name in ("yt_bio", "yt_content"):
            self.fields[name] = self._field(name)

    def _field(self, name: str) -> HnswVectorIndex:
        return HnswVectorIndex.open(
            self.indexes / f"{name}.hnsw",
            field=name,
            dims=DIMS,
            model_id="m",
            vectors=lambda: iter(()),
            vectors_of=lambda rows: (rows[:0], np.zeros((0, DIMS), np.float32)),
            changed_since=lambda _: set(),
            sequence=1_000,
            exact_scan_below=0,
            ef=20,
            blocking=self.blocking,
        )

    def blocking(self, name: str, limit: int) -> Blocking:
        return Blocking(name, limit, self._threads)

    async def index_everything(self) -> None:
        for document in [one async for part in self.documents() for one in part]:
            await self.text.upsert([document])
            for name, index in self.fields.items():
                await index.upsert([document.row], self.vector_of(document.row, name))
            self.columns.upsert(document.row, Creator(creator_id=creator_id_of(ANNA_KEY), row=document.row))
        self.save_columns()
        await self.text.commit(1)
        for index in self.fields.values():
            await index.save(1)

    def vector_of(self, row: int, name: str) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        values = np.random.default_rng(row * 10 + len(name)).standard_normal((1, DIMS)).astype(np.float32)
        return (values / np.linalg.norm(values)).astype(np.float32)

    async def documents(self) -> AsyncIterator[list[TextDocument]]:
        catalog = Catalog(self.env)
        bundles = await catalog.creator_bundles(await catalog.creator_ids(None, 100), 20)
        yield [text_document(bundle, "") for bundle in bundles if bundle is not None]

    def save_columns(self) -> None:
        files = ColumnFiles(self.indexes)
        files.put_in_place(files.write(self.columns, 1))

    def saved_rows(self) -> list[int]:
        columns = Columns()
        ColumnFiles(self.indexes).load(columns, 1)
        return [int(row) for row in columns.rows()]

    @property
    def forgetting(self) -> Forgetting:
        async def rewrite() -> None:
            await self.text.replace(self.documents(), 2)

        async def save_columns() -> None:
            self.save_columns()

        return Forgetting(
            env=self.env,
            data_dir=self.data_dir,
            suppression=self.suppression,
            indexes=OpenIndexes(
                text=self.text,
                fields=self.fields,
                earlier={},
                columns=self.columns,
                folder=self.indexes,
                rewrite_text=rewrite,
                save_columns=save_columns,
                turn=self.turn,
                threads=self.blocking("forgetting", 1),
            ),
            threads=self.blocking("forgetting", 1),
            now=lambda: NOW,
        )

    def indexer(self, inbox: trio.MemoryReceiveChannel[AnyWork]) -> Indexer:
        return Indexer(
            inbox,
            env=self.env,
            catalog=Catalog(self.env),
            work=Work(self.env),
            writer=self.writer(),
            recent_items=20,
            batch=10,
            turn=self.turn,
            meter=Meter(),
        )

    def writer(self) -> IndexWriter:
        return IndexWriter(
            env=self.env,
            catalog=Catalog(self.env),
            text=self.text,
            fields=self.fields,
            earlier={},
            columns=self.columns,
            niche_names=lambda _: "",
            threads=self.blocking("models", 1),
            turns=Turns(lambda: self.searched),
        )

    async def close(self) -> None:
        await self.text.close()
        self.env.close()
        self.suppression.close()

    def files_holding(self, *names: bytes) -> list[str]:
        """Files of the data directory that hold any of these bytes, in any case."""
        return sorted(
            path.name
            for path in self.data_dir.rglob("*")
            if path.is_file() and any(name.lower() in path.read_bytes().lower() for name in names)
        )


MakeWorld = Callable[[], World]


@pytest.fixture
def make_world(tmp_path: Path, threads: VirtualThreads) -> MakeWorld:
    return lambda: World(tmp_path / "data", tmp_path / "suppressed", threads)


@pytest.fixture
async def world(make_world: MakeWorld) -> AsyncIterator[World]:
    """Anna, Ben and what each left everywhere; a test that closes it opens another."""
    made = make_world()
    await made.open(fresh=True)
    await made.env.write(lambda txn: fill_account(txn, BEN, BEN_HANDLE))
    for round_ in range(3):  # rewritten values leave freed pages
        await made.env.write(lambda txn: fill_account(txn, ANNA, ANNA_HANDLE), synced=True)
        if round_ < 2:
            await made.env.write(lambda txn: erase_whole(txn, ANNA_KEY))
    await made.index_everything()
    yield made


NAMES = (ANNA.encode(), ANNA_HANDLE.encode())


async def test_after_forgetting_and_compaction_no_byte_of_the_name_is_left(world: World) -> None:
    vectors = [world.vector_of(row, name).tobytes() for row in world_rows(world) for name in world.fields]
    assert "data.mdb" in world.files_holding(*NAMES)
    segments = {path.name for path in world.indexes.rglob("*.term")}
    assert segments
    assert world.files_holding(vectors[0]) == ["yt_bio.hnsw", "yt_bio.hnsw.rows"]
    saved = world.saved_rows()
    (report,) = await world.forgetting.forget([f"https://www.youtube.com/@{ANNA_HANDLE}"])
    assert report.known
    assert report.suppressed
    assert report.creator_gone
    assert world.suppression.covers(ANNA_KEY)
    assert world.suppression.contains_handle(Platform.YOUTUBE, ANNA_HANDLE)
    assert world.files_holding(*NAMES) == ["data.mdb"], "freed pages alone"
    assert world.files_holding(*vectors) == []
    assert len(world.saved_rows()) == len(saved) - 1
    assert not segments & {path.name for path in world.indexes.rglob("*.term")}, "written anew"
    await world.close()
    assert compact_store(world.data_dir, map_size_bytes=1 << 28)
    assert world.files_holding(*NAMES) == []
    assert world.files_holding(BEN.encode()) != []
    assert not (world.data_dir / COMPACT_WANTED).exists()


async def test_somebody_is_forgotten_on_a_full_disk_too(world: World, autojump_clock: trio.testing.MockClock) -> None:
    world.env.waits_for_room = True
    world.env.hold("the disk is full")
    with trio.fail_after(600):
        (report,) = await world.forgetting.forget([ANNA_KEY])
    assert report.creator_gone
    await world.close()


async def test_logged_queries_forget_their_candidates_too(world: World) -> None:
    ids = [creator_id_of(key) for key in (ANNA_KEY, BEN_KEY)]
    logged = LoggedQuery(
        number=0, at=NOW, tenant_id="default", request_id="", text=f"@{ANNA_HANDLE}", rest="", filter="", niches=[],
        sort="relevance", ascending=False, fusion="weighted", diversity=0.0, total=2, took_ms=1.0,
        weights=SearchWeights(keyword=1.0, vector=0.0, quality=0.0, fields={}),
        creator_ids=b"".join(map(pack_id, ids)), features=np.zeros((2, 4), "<f4").tobytes(),
    )  # fmt: skip
    await world.env.write(lambda txn: append_queries(txn, [logged]))
    await world.forgetting.forget([ANNA_KEY])
    (left,) = await world.env.read(lambda txn: queries_after(txn, "default", 0, 9))
    assert ids_of(left) == [ids[1]]
    assert ANNA_HANDLE not in left.text
    await world.close()


async def test_handles_of_before_are_hidden_unless_somebody_else_has_them_now(world: World) -> None:
    def rename(txn: Txn) -> None:
        for number, handle in enumerate(("was.anna", BEN_HANDLE, ANNA_HANDLE), 1):
            note_handle(txn, ANNA_KEY, handle, NOW - number)
        for handle in ("was.anna", BEN_HANDLE):
            append_event(txn, Event(at=NOW, kind="fetch_failed", severity="info", subject=f"@{handle}", detail=handle))
            put_dead_letter(txn, letter(f"lookup:{handle}", b""))

    await world.env.write(rename)
    assert world.files_holding(b"was.anna")
    await world.forgetting.forget([ANNA_KEY])
    assert not world.suppression.contains_handle(Platform.YOUTUBE, "was.anna"), "it may be anybody's by now"
    await world.close()
    assert compact_store(world.data_dir, map_size_bytes=1 << 28)
    assert world.files_holding(b"was.anna") == []
    env = Environment(world.data_dir, map_size_bytes=1 << 28)
    with env.snapshot() as txn:
        subjects = [decode(Event, value).subject for _, value in txn.scan("events")]
        entities = [decode(DeadLetter, value).entity for _, value in txn.scan("dead_letters")]
    env.close()
    assert f"@{BEN_HANDLE}" in subjects
    assert f"lookup:{BEN_HANDLE}" in entities


def world_rows(world: World) -> list[int]:
    """Anna's row."""
    with world.env.snapshot() as txn:
        account = get_account(txn, ANNA_KEY)
        assert account is not None
        assert account.creator_id is not None
        creator = get_creator(txn, account.creator_id)
        assert creator is not None
        return [creator.row]


async def test_others_are_found_as_before_and_the_forgotten_by_nothing(world: World, make_world: MakeWorld) -> None:
    (row,) = world_rows(world)
    await world.forgetting.forget([ANNA])
    assert (await world.text.query(ANNA_HANDLE, 5)).total == 0
    assert (await world.text.query(BEN_HANDLE, 5)).total == 1
    assert not world.columns.present[row]
    for index in world.fields.values():
        rows, _ = await index.nearest(world.vector_of(row, index.field)[0], 5)
        assert list(rows) == [0]
    await world.close()
    compact_store(world.data_dir, map_size_bytes=1 << 28)
    again = make_world()
    await again.open(fresh=False)
    with again.env.snapshot() as txn:
        check_counters(txn)
        assert get_account(txn, BEN_KEY) is not None
        assert [decode(AuditEvent, value).action for _, value in txn.scan("audit")][-1] == "erasure"
    assert (await again.text.query(BEN_HANDLE, 5)).total == 1
    await again.close()


async def test_what_a_crash_cut_short_is_finished_at_the_next_start(
    world: World, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(self: TantivyTextIndex, rows: object) -> None:
        raise OSError("crash")

    with monkeypatch.context() as patched:
        patched.setattr(TantivyTextIndex, "delete", crash)
        with pytest.raises(OSError, match="crash"):
            await world.forgetting.forget([ANNA])
    await world.close()
    assert not compact_store(world.data_dir, map_size_bytes=1 << 28), "it is not finished"
    again = make_world()
    await again.open(fresh=False)
    assert (await again.text.query(ANNA_HANDLE, 5)).total == 1
    assert again.suppression.covers(ANNA_KEY)
    assert len(await again.forgetting.resume()) == 1
    assert await again.forgetting.resume() == []
    assert (await again.text.query(ANNA_HANDLE, 5)).total == 0
    await again.close()
    assert compact_store(again.data_dir, map_size_bytes=1 << 28)
    assert again.files_holding(*NAMES) == []


async def test_nothing_is_erased_that_could_not_be_suppressed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Suppression, subjects: object) -> int:
        raise Unavailable("no space")

    with monkeypatch.context() as patched:
        patched.setattr(Suppression, "add", full)
        with pytest.raises(Unavailable):
            await world.forgetting.forget([ANNA])
    with world.env.snapshot() as txn:
        assert get_account(txn, ANNA_KEY) is not None
    await world.close()


async def test_somebody_unknown_is_suppressed_all_the_same(world: World) -> None:
    reports = await world.forgetting.forget(["instagram:nobody.here", "instagram:4711", "youtube:@never_seen"])
    assert [(one.known, one.suppressed) for one in reports] == [(False, True)] * 3
    assert world.suppression.contains_handle(Platform.INSTAGRAM, "nobody.here")
    assert world.suppression.covers(account_key(Platform.INSTAGRAM, "4711"))
    assert world.suppression.contains_handle(Platform.YOUTUBE, "@Never_Seen")
    again: list[Report] = await world.forgetting.forget(["youtube:never_seen"])
    assert not again[0].suppressed
    with pytest.raises(Malformed, match="say of which platform: youtube:somebody or instagram:somebody"):
        await world.forgetting.forget(["@somebody"])
    await world.close()


async def test_one_bad_reference_stops_all_before_anything_is_done(world: World) -> None:
    with pytest.raises(Malformed):
        await world.forgetting.forget([ANNA, "https://example.com/"])
    assert not world.suppression.hashes
    await world.close()


async def test_the_erasure_waits_for_the_indexers_turn(world: World) -> None:
    async with trio.open_nursery() as nursery, world.turn:
        nursery.start_soon(world.forgetting.forget, [ANNA])
        while not world.turn.statistics().tasks_waiting:
            await trio.lowlevel.checkpoint()
        with world.env.snapshot() as txn:
            assert get_account(txn, ANNA_KEY) is not None
        assert world.suppression.covers(ANNA_KEY)
    with world.env.snapshot() as txn:
        assert get_account(txn, ANNA_KEY) is None
    await world.close()


async def test_an_indexer_without_room_does_not_hold_up_an_erasure(
    world: World, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    commit = world.text.commit

    async def fills_up(checkpoint: int) -> None:
        await commit(checkpoint)
        world.env.hold("the disk is full")

    monkeypatch.setattr(world.text, "commit", fills_up)
    world.env.waits_for_room = True
    creator_id = creator_id_of(BEN_KEY)
    message = await world.env.write(lambda txn: enqueue(txn, CreatorEnriched(creator_id=creator_id), NOW))
    async with trio.open_nursery() as nursery:
        send, receive = trio.open_memory_channel[AnyWork](1)
        await send.send(message)
        with trio.fail_after(60), pytest.raises(DiskFull):  # the Supervisor runs it again, the Sweeper sends it again
            await world.indexer(receive).run()
        monkeypatch.undo()
        await send.send(message)
        nursery.start_soon(world.indexer(receive).run)
        await trio.sleep(60)
        with trio.fail_after(600):
            (report,) = await world.forgetting.forget([ANNA_KEY])
        assert report.creator_gone
        assert await Work(world.env).pending() > 0
        send.close()
        world.env.release()
    await world.close()


async def test_an_erasure_is_noted_under_the_name_of_who_asked_after_a_crash_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("the lights went out")

    with monkeypatch.context() as patched:
        patched.setattr("daemon.forgetting._finish", crash)
        with pytest.raises(RuntimeError):
            await world.forgetting.forget([ANNA], Actor(tenant_id="acme", actor="key:1"))
    assert len(await world.forgetting.resume()) == 1
    entry = await world.env.read(lambda txn: [decode(AuditEvent, value) for _, value in txn.scan("audit")][-1])
    assert (entry.action, entry.tenant_id, entry.actor) == ("erasure", "acme", "key:1")
    await world.close()


async def test_graphs_that_nobody_has_open_are_dropped(world: World) -> None:
    for name in ("old.hnsw", "old.hnsw.json", "old.hnsw.tmp"):
        (world.indexes / name).write_bytes(b"x")
    await world.forgetting.forget([ANNA])
    assert sorted(path.name for path in world.indexes.glob("*.hnsw")) == ["yt_bio.hnsw", "yt_content.hnsw"]
    assert not list(world.indexes.glob("old*"))
    await world.close()


async def test_a_store_that_nobody_asked_to_compact_is_left_alone(world: World) -> None:
    await world.close()
    before = (world.data_dir / "store" / "data.mdb").stat().st_ino
    assert not compact_store(world.data_dir, map_size_bytes=1 << 28)
    assert (world.data_dir / "store" / "data.mdb").stat().st_ino == before


async def test_a_compaction_that_fails_leaves_the_store_as_it_was(
    world: World, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.forgetting.forget([ANNA])
    await world.close()

    def full(env: Environment, folder: Path, *, map_size_bytes: int) -> None:
        (folder / "data.mdb").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(forgetting_module, "write_anew", full)
        with pytest.raises(Unavailable, match="No space"):
            compact_store(world.data_dir, map_size_bytes=1 << 28)
    assert sorted(path.name for path in world.data_dir.iterdir()) == [
        "indexes", "pokedexd.lock", "store", COMPACT_WANTED
    ]  # fmt: skip
    assert compact_store(world.data_dir, map_size_bytes=1 << 28)
    again = make_world()
    with again.env.snapshot() as txn:
        assert get_account(txn, BEN_KEY) is not None
    again.env.close()
    again.suppression.close()


async def test_no_page_of_a_large_tree_keeps_the_key_of_an_erased_account(tmp_path: Path) -> None:
    """Deleted keys live on as separators in inner pages, which a compacting copy would keep."""
    env = Environment(tmp_path, map_size_bytes=1 << 28)
    people = [(f"UC{number:021}A", f"Creator{number:06}Xq") for number in range(240)]
    env.write_now(lambda txn: [fill_account(txn, *one) for one in people])
    gone = people[::2]

    def erase(txn: Txn) -> None:
        for user_id, handle in gone:
            subject = Subject(platform=Platform.YOUTUBE, user_id=user_id, handle=handle, alias="x")
            while not erase_account(txn, subject.key, handle=handle, now=NOW).done:
                pass
            scrub_all(txn, subject, 10_000)

    env.write_now(erase)
    with env.snapshot() as txn:
        live = dump(txn)
    env.close()
    (tmp_path / COMPACT_WANTED).touch()
    assert compact_store(tmp_path, map_size_bytes=1 << 28)
    data = (tmp_path / "store" / "data.mdb").read_bytes().lower()
    assert not [name for one in gone for name in one if name.lower().encode() in data]
    assert all(name.lower().encode() in data for one in people[1::2] for name in one)
    again = Environment(tmp_path, map_size_bytes=1 << 28)
    with again.snapshot() as txn:
        assert dump(txn) == live
        check_counters(txn)
    again.close()


async def test_an_account_without_content_left_leaves_no_list_of_months(env: Environment) -> None:
    def story(txn: Txn) -> None:
        fill_account(txn, ANNA, ANNA_HANDLE)
        remove_items(txn, ANNA_KEY, [f"{ANNA_HANDLE}-v{number}" for number in range(3)])
        assert txn.entries("content_months") == 1
        erase_whole(txn, ANNA_KEY)
        assert txn.entries("content_months") == 0

    await env.write(story)
