"""Keyword search over creators by Tantivy. Index-only: records live in the store, the index can always be rebuilt."""

from __future__ import annotations

import hashlib
import shutil
import zlib
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec
import numpy as np
import structlog
import tantivy
import trio

from proto.errors import DiskFull, IndexBroken
from proto.ids import Row
from stores.analysis import exact_key, index_text, stemmed
from stores.blocking import Blocking
from stores.files import write_atomic
from stores.keyword_match import HEAD, match_keywords
from stores.ports import Suggestion, TextDocument, TextHits
from stores.query_text import typed_key
from stores.suggestions import PROMINENCE, SHOWN, scaled, suggest, suggestion_fields
from stores.text_lookup import BEGIN, BOOSTS, EVERYTHING, HANDLE_MARK, UNSTEMMED, Synonyms, TextLookup, guarded

log = structlog.get_logger("text_index")

NO_SYNONYMS: Synonyms = MappingProxyType({})
HEAP_BYTES = 64_000_000
FRESH_HEAP_BYTES = 256_000_000
"""While a whole index is written: each heap that is full becomes a segment, and every look-up goes through all of them."""
FOOTER_MAGIC = 1337
"""Tantivy closes each file by {"crc": …}, its length and this number (tantivy's directory/footer.rs)."""

SCHEMA_VERSION = 4
T = TypeVar("T")


class Checkpoint(msgspec.Struct):
    """What is written beside the index after each commit."""

    checkpoint: int
    documents: int
    removed: int = 0
    """Documents replaced or deleted since the index was last written anew."""


WRITER_GONE = ("index writer was killed", "LockBusy")
"""What the engine says after a worker met an input/output error, and while that worker's lock is not yet given back."""


class IndexMeta(msgspec.Struct):
    segments: list[dict[str, Any]]


class TantivyTextIndex:
    """One writer; queries run beside it on the last committed state."""

    def __init__(
        self, folder: Path, *, boosts: Mapping[str, float], synonyms: Synonyms, write: Blocking, read: Blocking
    ) -> None:
        self._folder, self._boosts, self._synonyms = folder, boosts, synonyms
        self._write, self._read = write, read
        self._turn = trio.Lock()
        self._engine, self._broken = _Engine(folder), False
        noted = _read_checkpoint(folder)
        self.checkpoint, self.removed = noted.checkpoint, noted.removed

    @classmethod
    async def open(
        cls,
        base: Path,
        *,
        blocking: Callable[[str, int], Blocking],
        boosts: Mapping[str, float] = BOOSTS,
        synonyms: Synonyms = NO_SYNONYMS,
    ) -> TantivyTextIndex:
        """The newest complete index under ``base``. Raises IndexBroken when there is none or it is damaged."""
        write, read = blocking("text-writer", 1), blocking("text-search", 2)
        folder = _newest(base)
        if folder is None:
            raise IndexBroken(f"{base}: no keyword index of this version")

        def opened() -> TantivyTextIndex:
            verify_files(folder)
            _read_meta(folder)  # without it the engine would quietly begin an empty index
            index = cls(folder, boosts=boosts, synonyms=synonyms, write=write, read=read)
            try:
                index._query("x", 1)  # some files are opened only by the first query
            except BaseException:
                index._engine.abandon()
                raise
            return index

        return await write.call(guarded, opened)

    @classmethod
    async def create_empty(
        cls,
        base: Path,
        *,
        blocking: Callable[[str, int], Blocking],
        boosts: Mapping[str, float] = BOOSTS,
        synonyms: Synonyms = NO_SYNONYMS,
    ) -> TantivyTextIndex:
        """A fresh index in place of whatever is there."""
        write, read = blocking("text-writer", 1), blocking("text-search", 2)

        def created() -> TantivyTextIndex:
            for old in _all(base):
                shutil.rmtree(old, ignore_errors=True)
            folder = _numbered(base, 1)
            folder.mkdir(mode=0o700, parents=True)
            _write_checkpoint(folder, Checkpoint(checkpoint=0, documents=0))
            return cls(folder, boosts=boosts, synonyms=synonyms, write=write, read=read)

        return await write.call(_writing, created)

    async def upsert(self, documents: Sequence[TextDocument]) -> None:
        async with self._turn:
            await self._write.call(self._written, lambda: self._engine.upsert(documents))

    async def delete(self, rows: Sequence[Row]) -> None:
        async with self._turn:
            await self._write.call(self._written, lambda: self._engine.delete(rows))

    async def commit(self, checkpoint: int) -> None:
        """What fails to be written, here or before, is lost back to the last commit, and has to be given again."""
        async with self._turn:
            await self._write.call(self._written, lambda: self._commit(checkpoint))

    async def query(self, text: str, limit: int) -> TextHits:
        return await self._read.call(self._query, text, limit)

    def lookup(self, text: str) -> TextLookup:
        """Blocking. Of the last committed state; it and all that it answers raise IndexBroken when the index fails."""
        return self._engine.lookup(text, self._boosts, self._synonyms)

    async def suggest(self, prefix: str, limit: int) -> list[Suggestion]:
        return await self._read.call(self._engine.suggest, prefix, limit)

    async def count(self) -> int:
        return self._engine.searcher.num_docs

    async def replace(self, documents: AsyncIterable[Sequence[TextDocument]], checkpoint: int) -> None:
        """Builds a compact index from these documents and swaps it in; queries go on against the old one meanwhile."""
        async with self._turn:
            folder = _numbered(self._folder.parent, _number(self._folder) + 1)
            fresh = await self._write.call(_writing, lambda: _fresh_engine(folder))
            try:
                async for part in documents:
                    await self._write.call(_writing, partial(fresh.upsert, part))
                await self._write.call(_writing, lambda: self._swap(fresh, folder, checkpoint))
            except BaseException:  # among it a cancelled task: nothing half made stays, and the old one answers on
                if self._folder != folder:
                    with trio.CancelScope(shield=True):
                        await self._write.call(_drop, fresh, folder)
                raise

    async def close(self) -> None:
        async with self._turn:
            await self._write.call(self._engine.close)

    def engine_search(self, query: Any, limit: int) -> Any:
        """Blocking. The bare engine's answer to one of its queries, for those who compare with it: rows and count."""
        found: Any = self._engine.searcher.search(query, limit=limit)
        addresses = [address for _, address in found.hits]
        return self._engine.searcher.fast_field_values("row", addresses), found.count

    def _query(self, text: str, limit: int) -> TextHits:
        match = match_keywords(self.lookup(text), None, every=limit > HEAD)
        order = np.lexsort((match.rows, -match.scores))[:limit]
        rows, scores, exact = match.rows[order], match.scores[order], match.exact[order]
        return TextHits(rows=rows, scores=scores, exact=exact, total=match.total, words=match.words)

    def _written(self, step: Callable[[], None]) -> None:
        """A writer that met a full disk writes nothing any more: another takes its place, now or with the next step."""
        try:
            if self._broken:
                self._reopen()
            _writing(step)
        except Exception:
            self._broken = True
            with suppress(Exception):  # no room for that either; the next step tries again
                self._reopen()
            raise

    def _reopen(self) -> None:
        """Queries go on against what was committed."""
        self._engine.abandon()
        fresh = _writing(lambda: _Engine(self._folder))
        self._engine, self._broken = fresh, False

    def _commit(self, checkpoint: int) -> None:
        self.removed += self._engine.commit()
        documents = self._engine.searcher.num_docs
        _write_checkpoint(self._folder, Checkpoint(checkpoint=checkpoint, documents=documents, removed=self.removed))
        self.checkpoint = checkpoint

    def _swap(self, fresh: _Engine, folder: Path, checkpoint: int) -> None:
        old, old_folder = self._engine, self._folder
        fresh.commit()
        _write_checkpoint(folder, Checkpoint(checkpoint=checkpoint, documents=fresh.searcher.num_docs))
        self._engine, self._folder, self.checkpoint, self.removed = fresh, folder, checkpoint, 0
        try:
            guarded(old.close)
        except IndexBroken as error:  # the new one answers by now, and of this one nothing is to be left
            log.warning("the keyword index before could not be closed", reason=str(error))
            old.abandon()
        shutil.rmtree(old_folder, ignore_errors=True)


class _Engine:
    """Tantivy itself, called in threads only."""

    def __init__(self, folder: Path, heap_bytes: int = HEAP_BYTES) -> None:
        self._schema = _schema()
        self._index = tantivy.Index(self._schema, path=str(folder))
        self._index.config_reader("manual", 1)
        self._writer: Any = self._index.writer(heap_bytes, num_threads=1)
        try:
            self._index.reload()
        except BaseException:
            self.abandon()
            raise
        self.searcher = self._index.searcher()
        self._added = 0

    def upsert(self, documents: Sequence[TextDocument]) -> None:
        """A document that the engine refuses is left out and logged; it never takes its batch with it."""
        for document in documents:
            try:
                made = tantivy.Document.from_dict(_fields(document), self._schema)
            except ValueError as error:
                log.error("a creator cannot be indexed", row=document.row, error=str(error))
                continue
            self._writer.delete_documents_by_term("id", str(document.row))
            self._writer.add_document(made)
            self._added += 1

    def delete(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._writer.delete_documents_by_term("id", str(row))

    def commit(self) -> int:
        """Makes what was written searchable and durable; returns how many older documents that took out."""
        before = self.searcher.num_docs + self._added
        guarded(lambda: self._writer.commit())
        self._index.reload()
        self.searcher = self._index.searcher()
        self._added = 0
        return int(before - self.searcher.num_docs)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None

    def abandon(self) -> None:
        """Lets go of the folder's lock; what was not committed is gone.

        Nobody else may hold the writer: an error's traceback that did would keep the lock until the collector's next round.
        """
        self._writer = None

    def lookup(self, text: str, boosts: Mapping[str, float], synonyms: Synonyms) -> TextLookup:
        return guarded(lambda: TextLookup(self.searcher, self._schema, text, boosts, synonyms))

    def suggest(self, prefix: str, limit: int) -> list[Suggestion]:
        return guarded(lambda: suggest(self.searcher, self._schema, prefix, limit))


def _fields(document: TextDocument) -> dict[str, Any]:
    words = words_of(document) if document.words is None else document.words
    return words | {"row": int(document.row), "id": str(document.row), PROMINENCE: scaled(document.prominence)}


def words_of(document: TextDocument) -> dict[str, Any]:
    """The engine's fields that follow from a creator's texts alone: most of the work that is not the engine's."""
    names = list(dict.fromkeys((document.name, *document.names)))
    name_keys = {exact_key(name) for name in names} - {""}
    handle_keys = {exact_key(handle) for handle in document.handles} - {""}
    texts = {
        "name": names,
        "handle": document.handles,
        "niche": [document.niche],
        "summary": [document.summary],
        "bio": document.bio.split("\n"),
        "titles": document.titles.split("\n"),
    }
    words = {field: [found for text in values if (found := index_text(text))] for field, values in texts.items()}
    stems = {field: [stemmed(text) for text in found] for field, found in words.items()}
    return {
        "key": sorted(
            {
                *name_keys,
                *filter(None, map(typed_key, names)),
                *handle_keys,
                *(HANDLE_MARK + key for key in handle_keys),
            }
        ),
        "joined": sorted({key.replace(" ", "") for key in (*name_keys, *handle_keys)}),
        EVERYTHING: [text for found in stems.values() for text in found],
        **stems,
        **{field: words[field] for field in UNSTEMMED},
        **suggestion_fields(document, names),
    }


def _schema() -> Any:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("row", fast=True)
    builder.add_text_field(
        "id", tokenizer_name="raw", index_option="basic"
    )  # deleting by an unsigned term does nothing
    builder.add_text_field("key", tokenizer_name="raw", index_option="basic")
    builder.add_text_field(BEGIN, tokenizer_name="whitespace", index_option="basic")
    builder.add_unsigned_field(PROMINENCE, fast=True)
    builder.add_bytes_field(SHOWN, stored=True)
    builder.add_text_field("joined", tokenizer_name="raw", index_option="basic")
    builder.add_text_field(EVERYTHING, tokenizer_name="whitespace", index_option="position")
    for field in BOOSTS:
        builder.add_text_field(field, tokenizer_name="whitespace", index_option="freq")
    return builder.build()


def verify_files(folder: Path) -> None:
    """Compares every file with the checksum that Tantivy closed it with. Raises IndexBroken naming the file."""
    for path in sorted(folder.iterdir()):
        if path.name in ("meta.json", "checkpoint", "checkpoint.tmp") or path.name.startswith("."):
            continue
        data = memoryview(path.read_bytes())
        length = int.from_bytes(data[-8:-4], "little") if len(data) > 8 else 0
        body, footer = data[: -8 - length], bytes(data[-8 - length : -8])
        try:
            stated = msgspec.json.decode(footer)["crc"]
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise IndexBroken(f"{path.name}: damaged at its end") from error
        if int.from_bytes(data[-4:], "little") != FOOTER_MAGIC or zlib.crc32(body) != stated:
            raise IndexBroken(f"{path.name}: checksum differs")


def _read_meta(folder: Path) -> IndexMeta:
    try:
        return msgspec.json.decode((folder / "meta.json").read_bytes(), type=IndexMeta)
    except (OSError, msgspec.DecodeError) as error:
        raise IndexBroken(f"{folder.name}: meta.json unreadable") from error


def _drop(engine: _Engine, folder: Path) -> None:
    engine.abandon()
    shutil.rmtree(folder, ignore_errors=True)


def _writing(step: Callable[[], T]) -> T:
    """As `guarded`; and raises DiskFull where the engine's writer is gone."""
    try:
        return guarded(step)
    except Exception as error:
        if any(words in str(error) for words in WRITER_GONE):
            raise DiskFull(f"the keyword index cannot be written: the disk is full, or broken ({error})") from error
        raise


def _fresh_engine(folder: Path) -> _Engine:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return _Engine(folder, FRESH_HEAP_BYTES)


def _name() -> str:
    """Index format follows the engine's version and our fields; another of either is another index."""
    shape = f"{SCHEMA_VERSION}:{sorted(BOOSTS)}:{version('tantivy')}"
    return f"text-{hashlib.blake2b(shape.encode(), digest_size=6).hexdigest()}"


def _numbered(base: Path, number: int) -> Path:
    return base / f"{_name()}.{number:08}"


def _number(folder: Path) -> int:
    return int(folder.name.rpartition(".")[2])


def _all(base: Path) -> list[Path]:
    return sorted(base.glob("text-*"))


def complete_index(base: Path) -> Path | None:
    """Of several (a crash during a swap), the newest that was finished and is of this version."""
    complete = [folder for folder in _all(base) if folder.name.startswith(_name()) and (folder / "checkpoint").exists()]
    return complete[-1] if complete else None


def _newest(base: Path) -> Path | None:
    """The others are removed."""
    newest = complete_index(base)
    for folder in _all(base):
        if folder != newest:
            shutil.rmtree(folder, ignore_errors=True)
    return newest


def _write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    write_atomic(folder / "checkpoint", msgspec.json.encode(checkpoint))


def _read_checkpoint(folder: Path) -> Checkpoint:
    try:
        return msgspec.json.decode((folder / "checkpoint").read_bytes(), type=Checkpoint)
    except (OSError, msgspec.DecodeError) as error:
        raise IndexBroken(f"{folder.name}: checkpoint unreadable") from error
