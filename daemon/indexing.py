"""Opens the losable indexes, brings them up to the catalogue, rebuilds what is absent, stale or damaged, saves them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import structlog
import trio

from actors.aggregation import FIELDS
from actors.documents import text_document
from actors.index_writing import MOST_AT_ONCE
from daemon.config import SearchConfig
from daemon.readiness import KEYWORD_SEARCH, Readiness
from daemon.stock import Coverage
from proto.errors import ConfigError, IndexBroken, PokedexError, Unreadable
from proto.ids import CreatorId, Platform, Row
from proto.records import Creator, EmbeddingRecord
from stores.belonging import row_of
from stores.blocking import Blocking
from stores.catalog import EARLIER, INDEX_SEQUENCE, Catalog, CreatorBundle, creators_page, get_creator
from stores.checking_links import FLOAT16_BYTES
from stores.codec import decode, pack_id, shown_key, unpack_id
from stores.column_files import ColumnFiles
from stores.columns import Columns
from stores.env import Environment, Txn
from stores.erasure import marked_erasures
from stores.huge_pages import asked_for, large_pieces, put_together
from stores.memory_maps import memory_maps
from stores.passing import let_go_of
from stores.ports import Rows, TextDocument, Vector
from stores.text_index import TantivyTextIndex
from stores.text_lookup import Synonyms
from stores.unit_vectors import of_unit_length
from stores.vector_snapshot import drop_snapshot, rows_path, snapshot_trouble
from stores.vectors import HnswVectorIndex

log = structlog.get_logger("indexing")

PAGE = 500
SLICE = 1_000
"""Vectors, or creators, handed on at once while indexes are loaded."""
CHECKED_AT_ONCE = 2
"""Vector fields whose files are read and summed up at the same time."""
CHECKED_SHARE = 0.5
"""Of the time that a field takes to load, until its files are checked."""

FIELD_NAMES = tuple(FIELDS.values())
MOST_AHEAD = 2 * MOST_AT_ONCE
"""How far a sound text index is ahead: by what a crash kept from the store, and what a power cut took out of it."""
COMPACT_SHARE = 0.01
"""A text index of which a greater share was replaced is rewritten when the daemon is idle. Until then BM25's statistics
count deleted documents, and merges estimate what is left of them, so that scores depend on history."""
COMPACT_ALWAYS_BELOW = 20_000
"""With fewer documents a single one shifts scores, and a rewrite takes a second or two."""
COMPACT_EVERY = 60
"""A rewrite may cost at most one part in this many of the time."""


def index_folder(data_dir: Path) -> Path:
    folder = data_dir / "indexes"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def drop_indexes(data_dir: Path) -> None:
    """Removes every index; the next start rebuilds them from the store."""
    shutil.rmtree(data_dir / "indexes", ignore_errors=True)


class IndexKeeper:
    """Owns the index files of a data directory and the objects over them."""

    def __init__(
        self,
        data_dir: Path,
        *,
        env: Environment,
        catalog: Catalog,
        niche_words: Callable[[Creator], str],
        synonyms: Synonyms,
        derives: Collection[Platform],
        recent_items: int,
        config: SearchConfig,
        readiness: Readiness,
        blocking: Callable[[str, int], Blocking],
    ) -> None:
        self._folder = index_folder(data_dir)
        self._env, self._catalog, self._niche_words, self._recent_items = env, catalog, niche_words, recent_items
        self._synonyms = synonyms
        self._config, self._readiness, self._blocking = config, readiness, blocking
        self._threads = blocking("index-loading", 1)
        self.columns = Columns(derives)
        self._column_files, self._column_turn = ColumnFiles(self._folder), trio.Lock()
        self.fields: dict[str, HnswVectorIndex] = {}
        self.earlier: dict[str, HnswVectorIndex] = {}
        """Fields of a model that is being replaced, as long as they answer."""
        self._awaited: dict[str, Rows] = {}
        """Rows whose vectors another model made; of fields that replace another model's."""
        self.text: TantivyTextIndex | None = None

    async def open_text(self) -> TantivyTextIndex:
        """Columns and keyword search, side by side, rebuilt when they must be; afterwards the daemon can serve."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._threads.call, self._load_columns)
            try:
                text = await self._open_existing_text()
            except IndexBroken as broken:
                await self._note_rebuild("keyword index", str(broken))
                text = await self._rebuilt_text()
            await self._catch_up(text)
        self.text = text
        self._readiness.set(KEYWORD_SEARCH, "ok")
        return text

    async def open_fields(
        self,
        model_id: str,
        dims: int,
        on_loaded: Callable[[str, HnswVectorIndex], None],
        *,
        replacing: bool = False,
    ) -> None:
        """Every vector field in turn; each answers as soon as it is loaded. ``replacing``: the store holds vectors of
        another model, which `embedded` is to count."""
        await self._open_all(model_id, dims, self.fields, on_loaded)
        if replacing:
            for name in FIELD_NAMES:
                self._awaited[name] = await self._threads.call(self._rows_of_others, name, model_id)
        await self._threads.call(self._drop_other_graphs)

    async def open_earlier(self, model_id: str, dims: int, on_loaded: Callable[[str, HnswVectorIndex], None]) -> None:
        """The fields of a model that is being replaced; to be opened before the others, since they answer meanwhile."""
        await self._open_all(model_id, dims, self.earlier, on_loaded)

    async def _open_all(
        self,
        model_id: str,
        dims: int,
        opened: dict[str, HnswVectorIndex],
        on_loaded: Callable[[str, HnswVectorIndex], None],
    ) -> None:
        """The files of the next fields are checked while one is loaded, since that holds the interpreter."""
        troubles: dict[str, str] = {}
        checked = {name: trio.Event() for name in FIELD_NAMES}
        looking = self._blocking("index-checking", CHECKED_AT_ONCE)

        async def check(name: str) -> None:
            troubles[name] = await looking.call(snapshot_trouble, self._path_of(name, model_id))
            self._readiness.set(f"vectors/{name}", "loading", loaded=CHECKED_SHARE)
            checked[name].set()

        for name in FIELD_NAMES:
            self._readiness.set(f"vectors/{name}", "loading", loaded=0.0)
        async with trio.open_nursery() as nursery:
            for name in FIELD_NAMES:
                nursery.start_soon(check, name)
            for name in FIELD_NAMES:
                await checked[name].wait()
                opened[name] = index = await self._opened(name, model_id, dims, troubles[name])
                await self._threads.call(index.calibrate, self._config.candidates)
                on_loaded(name, index)
                self._readiness.set(f"vectors/{name}", "ok", detail=index.plan(self._config.candidates))

    def drop_earlier(self) -> None:
        """They answer no more. Their snapshots go at once: were that model to come back, the index log would not name all
        that changed while another was in force."""
        gone = list(self.earlier.values())
        self.earlier.clear()
        for index in gone:
            drop_snapshot(index.path)

    async def embedded(self) -> tuple[int, int]:
        """How many vectors of creators there are of the model in force, and how many are to replace another's."""
        done = sum([await index.count() for index in self.fields.values()])
        left = sum(int((~self.fields[name].holds(rows)).sum()) for name, rows in self._awaited.items())
        return done, left

    async def coverage(self) -> Coverage:
        """Of the model in force; one that is being replaced does not count."""
        return await self._threads.call(self._coverage)

    def _coverage(self) -> Coverage:
        rows = self.columns.rows()
        held = {name: index.holds(rows) for name, index in self.fields.items()}
        embedded = np.logical_or.reduce(list(held.values())) if held else np.zeros(0, bool)
        return Coverage(
            searchable=len(rows),
            embedded=int(embedded.sum()),
            vectors={name: int(has.sum()) for name, has in held.items()},
        )

    async def save(self) -> None:
        """Snapshots of the columns, and of the fields that changed, one after the other."""
        if self.columns.changed:
            await self.save_columns()
        checkpoint = await self._catalog.index_sequence()
        await self._sync_store()
        for index in (*self.fields.values(), *self.earlier.values()):
            if index.changed and index in self._in_use():
                await index.save(checkpoint)
                if index not in self._in_use():
                    drop_snapshot(index.path)

    async def let_go_of_snapshots(self) -> None:
        """The system keeps nothing of them in memory: they are read at the next start, and what they take is wanted for the
        store meanwhile (of a million creators 5 GB, written anew after each import of some minutes)."""
        await self._threads.call(self._let_go_of_snapshots)

    def _let_go_of_snapshots(self) -> None:
        for index in self._in_use():
            for path in (index.path, rows_path(index.path)):
                let_go_of(path)

    async def mend_memory(self, stopped: Callable[[], bool]) -> None:
        """Of what `save` has left in pieces, by which searches are slower: see `huge_pages`. Not beside a save: what its child
        sees would be copied."""
        if asked_for():
            await self._threads.call(
                lambda: put_together(large_pieces(memory_maps()), lambda: stopped() or self._saves())
            )

    def _saves(self) -> bool:
        return any(index.saving for index in self._in_use())

    async def renew_graphs(self, stopped: Callable[[], bool]) -> bool:
        """The first of those that have worn is built anew, which takes its memory twice meanwhile; whether one was: it is to
        be saved before the next."""
        for name, index in list(self.fields.items()):
            reason = "" if stopped() else await index.wear()
            if not reason:
                continue
            log.info("a vector graph is built anew", field=name, reason=reason)
            try:
                if await index.renew(stopped):
                    return True
            except (MemoryError, RuntimeError, PokedexError) as error:  # also hnswlib's; the graph before answers
                log.warning("a vector graph cannot be built anew", field=name, reason=str(error))
        return False

    def _in_use(self) -> list[HnswVectorIndex]:
        return [*self.fields.values(), *self.earlier.values()]

    async def save_columns(self) -> None:
        """What the snapshot before held of creators that are gone is in no file any more. Raises Unavailable."""
        async with self._column_turn:
            checkpoint = await self._catalog.index_sequence()
            self.columns.changed = False
            try:
                sidecar = await self._threads.call(self._column_files.write, self.columns, checkpoint)
                await self._sync_store()
                await self._threads.call(self._column_files.put_in_place, sidecar)
            except BaseException:  # also a cancelled one
                self.columns.changed = True
                raise

    async def _sync_store(self) -> None:
        """A power cut must not leave the store behind a snapshot, which would pass for sound once it has caught up."""
        await self._env.write(lambda _: None, synced=True)

    async def compact_text(self) -> bool:
        """Rewrites the text index without its deleted documents, in the order of creator ids; False if that is idle."""
        assert self.text is not None
        documents, removed = await self.text.count(), self.text.removed
        wanted = removed > (0 if documents < COMPACT_ALWAYS_BELOW else COMPACT_SHARE * documents)
        if wanted:
            await self.rewrite_text()
        self._readiness.set(KEYWORD_SEARCH, "ok", detail="compact")
        return wanted

    async def rewrite_text(self, tell: Callable[[int, int], None] = lambda *_: None) -> None:
        """Writes the text index anew from the store: nothing stays in its files that is not in the store. Queries go on
        against the old one meanwhile. ``tell``: how many creators of how many are in it."""
        assert self.text is not None
        sequence = await self._catalog.index_sequence()
        async with aclosing(self._documents(tell)) as documents:
            await self.text.replace(documents, sequence)

    def note_change(self) -> None:
        """The index is being written to again."""
        self._readiness.set(KEYWORD_SEARCH, "ok")

    async def close(self) -> None:
        if self.text is not None:
            await self.text.close()

    async def _note_rebuild(self, what: str, reason: str) -> None:
        """A new data directory has nothing to rebuild, and is no reason to warn."""
        if await self._catalog.index_sequence():
            log.warning(f"{what} is rebuilt", reason=reason)

    async def _open_existing_text(self) -> TantivyTextIndex:
        text = await TantivyTextIndex.open(
            self._folder, blocking=self._blocking, boosts=self._config.boosts, synonyms=self._synonyms
        )
        sequence = await self._catalog.index_sequence()
        if text.checkpoint > sequence + MOST_AHEAD:
            await text.close()
            raise IndexBroken(f"it is ahead of the store ({text.checkpoint} against {sequence})")
        return text

    async def _rebuilt_text(self) -> TantivyTextIndex:
        text = await TantivyTextIndex.create_empty(
            self._folder, blocking=self._blocking, boosts=self._config.boosts, synonyms=self._synonyms
        )
        await text.replace(self._documents(), await self._catalog.index_sequence())
        return text

    async def _catch_up(self, text: TantivyTextIndex) -> None:
        """Takes in what was indexed after the index's checkpoint."""
        since = text.checkpoint
        while page := await self._catalog.changed_since(since, PAGE):
            since = page[-1][0]
            ids = [creator_id for _, creator_id in page]
            await text.delete(await self._env.read(partial(retired_rows, ids=ids)))
            await text.upsert(await self._documents_of(ids))
            await text.commit(since)

    async def _documents(
        self, tell: Callable[[int, int], None] = lambda *_: None
    ) -> AsyncGenerator[list[TextDocument]]:
        total = max((await self._catalog.counts()).creators, 1)
        done = 0
        after: CreatorId | None = None
        while ids := await self._catalog.creator_ids(after, PAGE):
            after = ids[-1]
            yield await self._documents_of(ids)
            done += len(ids)
            tell(done, max(done, total))
            if not self._readiness.serving:
                self._readiness.set(KEYWORD_SEARCH, "loading", detail="rebuilding", loaded=done / total)

    async def _documents_of(self, ids: Sequence[CreatorId]) -> list[TextDocument]:
        """Of creators that were indexed before; one still on its way there is not shown half-made."""
        bundles = await self._catalog.whole_bundles(ids, self._recent_items)
        return [self._document(bundle) for bundle in bundles if bundle.creator.name]

    def _document(self, bundle: CreatorBundle) -> TextDocument:
        return text_document(bundle, self._niche_words(bundle.creator), self.columns.quality_of(bundle.creator))

    def _load_columns(self) -> None:
        with self._env.snapshot() as txn:
            sequence = txn.counter(INDEX_SEQUENCE)
            try:
                since = self._column_files.load(self.columns, sequence)
            except IndexBroken as broken:
                self._column_files.drop()  # one that is ahead would pass for sound once the store has caught up
                if sequence:
                    log.info("the columns are read from the store", reason=str(broken))
                fill_columns(self.columns, txn)
            else:
                bring_up_columns(self.columns, txn, since)

    async def _opened(self, name: str, model_id: str, dims: int, trouble: str) -> HnswVectorIndex:
        index = await self._threads.call(self._open_field, name, model_id, dims, trouble)
        if index.rebuilt_because:
            await self._note_rebuild(f"vector index {name}", index.rebuilt_because)
        return index

    def _rows_of_others(self, name: str, model_id: str) -> Rows:
        with self._env.snapshot() as txn:
            return replaceable_rows(txn, name, model_id)

    def _drop_other_graphs(self) -> None:
        """Of models that nobody needs any more."""
        opened = tuple(index.path.name for index in self._in_use())
        for path in self._folder.glob("*.hnsw*"):
            if not path.name.startswith(opened):
                path.unlink(missing_ok=True)

    def _path_of(self, name: str, model_id: str) -> Path:
        return self._folder / f"{name}.{hashlib.blake2b(model_id.encode(), digest_size=6).hexdigest()}.hnsw"

    def _open_field(self, name: str, model_id: str, dims: int, trouble: str) -> HnswVectorIndex:
        def vectors_of(rows: Rows) -> tuple[Rows, Vector]:
            with self._env.snapshot() as now:
                return stored_vectors_of(now, name, model_id, rows, dims)

        with self._env.snapshot() as txn, self._blaming_capacity(name, txn.counter("creators")):
            return HnswVectorIndex.open(
                self._path_of(name, model_id),
                field=name,
                dims=dims,
                model_id=model_id,
                vectors=lambda: stored_vectors(txn, name, model_id, dims),
                vectors_of=vectors_of,
                changed_since=lambda checkpoint: changed_rows(txn, checkpoint),
                sequence=txn.counter("index_sequence"),
                exact_scan_below=self._config.exact_scan_below,
                ef=self._config.ef,
                graph_share=self._config.graph_share,
                blocking=self._blocking,
                alive=self.columns.rows(),
                expected=txn.counter("creators"),
                capacity=self._config.capacity_creators,
                rows=self._config.vector_rows,
                trouble=trouble,
                tell=lambda share: self._readiness.set(f"vectors/{name}", "loading", detail="rebuilding", loaded=share),
            )

    @contextmanager
    def _blaming_capacity(self, name: str, have: int) -> Iterator[None]:
        """Raises ConfigError where there is no memory for as many as the settings ask for beyond those that there are."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:  # the latter: hnswlib's
            wanted = self._config.capacity_creators
            if wanted <= have or not (isinstance(error, MemoryError) or "Not enough memory" in str(error)):
                raise
            raise ConfigError(
                f"search.capacity_creators = {wanted:,}: there is no memory for the vectors ({name}) of so many "
                f"({error or 'out of memory'}); lower it, to about as many creators as are expected ({have:,} are there)"
            ) from error


def fill_columns(columns: Columns, txn: Txn) -> None:
    """With every creator of the store; one still on its way there is not shown half-made."""
    after: CreatorId | None = None
    while True:
        page, after = creators_page(txn, after, SLICE)
        named = [creator for creator in page if creator.name]
        columns.upsert_all([creator.row for creator in named], named)
        if after is None:
            return


def bring_up_columns(columns: Columns, txn: Txn, since: int) -> None:
    """Takes in who was indexed after a snapshot's checkpoint, and takes out who is no more.

    Whoever was changed and not indexed yet has work waiting, and comes with it, as in a daemon that goes on. Only an
    erasure takes a creator out of the index log; it has a mark until the snapshot has been written anew.
    """
    changed = [CreatorId(unpack_id(value)) for _, value in txn.scan("index_log", start=pack_id(since + 1))]
    columns.remove_all(columns.rows_of(changed))
    columns.remove_all([mark.row for mark in marked_erasures(txn) if mark.row is not None])
    for begin in range(0, len(changed), SLICE):
        found = [txn.if_whole(partial(get_creator, txn, one)) for one in changed[begin : begin + SLICE]]
        named = [creator for creator in found if creator is not None and creator.name]
        columns.upsert_all([creator.row for creator in named], named)


def stored_vectors(txn: Txn, field: str, model_id: str, dims: int) -> Iterator[tuple[Rows, Vector]]:
    """Every stored vector of a field and model, of ``dims`` numbers, in slices of (rows, float32 vectors); also those it made
    before others."""
    rows: list[int] = []
    vectors: list[Vector] = []
    wanted = (field.encode(), field.encode() + EARLIER)
    for key, value in txn.scan("embeddings"):
        if key[8:] not in wanted:
            continue
        vector = txn.if_whole(partial(_vector_of, key, value, model_id, dims))
        creator = txn.if_whole(partial(get_creator, txn, CreatorId(unpack_id(key[:8]))))
        if vector is None or creator is None:
            continue
        rows.append(creator.row)
        vectors.append(vector)
        if len(rows) == SLICE:
            yield _sound(rows, vectors)
            rows, vectors = [], []
    if rows:
        yield _sound(rows, vectors)


def stored_vectors_of(txn: Txn, field: str, model_id: str, rows: Rows, dims: int) -> tuple[Rows, Vector]:
    """As `stored_vectors`, of those among ``rows`` that have one."""
    having: list[int] = []
    vectors: list[Vector] = []
    for row in rows.tolist():
        creator = txn.get("rows", row.to_bytes(4, "big"))
        for key in (creator + field.encode(), creator + field.encode() + EARLIER) if creator is not None else ():
            stored = txn.get("embeddings", key)
            vector = txn.if_whole(partial(_vector_of, key, stored, model_id, dims)) if stored is not None else None
            if vector is not None:
                having.append(row)
                vectors.append(vector)
                break
    return _sound(having, vectors) if vectors else (np.array([], np.uint32), np.zeros((0, dims), np.float32))


def _vector_of(key: bytes, stored: bytes, model_id: str, dims: int) -> Vector | None:
    """None of another model. Raises Unreadable, also where it is of another length than it says."""
    record = decode(EmbeddingRecord, stored, "embeddings", key)
    if record.model_id != model_id or record.dims != dims:
        return None
    if len(record.vector) != dims * FLOAT16_BYTES:
        told = f"has {len(record.vector)} bytes for {dims} numbers"
        raise Unreadable(told, database="embeddings", key=shown_key("embeddings", key))
    return np.frombuffer(record.vector, "<f2").astype(np.float32)


def _sound(rows: Sequence[int], vectors: Sequence[Vector]) -> tuple[Rows, Vector]:
    """Without those that point nowhere: of a store in which they were kept as a creator's."""
    stacked = np.stack(vectors)
    sound = of_unit_length(stacked)
    return np.array(rows, np.uint32)[sound], stacked[sound]


def replaceable_rows(txn: Txn, field: str, model_id: str) -> Rows:
    """Rows whose vector of a field is of another model, ascending by creator."""
    rows: list[int] = []
    suffix = field.encode()
    for key, value in txn.scan("embeddings"):
        if key[8:] != suffix:
            continue
        record = txn.if_whole(partial(decode, EmbeddingRecord, value, "embeddings", key))
        if record is not None and record.model_id != model_id:
            creator = txn.if_whole(partial(get_creator, txn, CreatorId(unpack_id(key[:8]))))
            rows += [creator.row] if creator is not None else []
    return np.array(rows, np.uint32)


def changed_rows(txn: Txn, checkpoint: int) -> set[Row]:
    """Rows indexed after a checkpoint: a snapshot that old does not hold their present vectors."""
    ids = (CreatorId(unpack_id(value)) for _, value in txn.scan("index_log", start=(checkpoint + 1).to_bytes(8, "big")))
    return {row for creator_id in ids if (row := txn.if_whole(partial(row_of, txn, creator_id))) is not None}


def retired_rows(txn: Txn, ids: Sequence[CreatorId]) -> list[Row]:
    """Of those that were merged into others."""
    gone = [creator_id for creator_id in ids if txn.get("creators", pack_id(creator_id)) is None]
    return [row for creator_id in gone if (row := row_of(txn, creator_id)) is not None]
