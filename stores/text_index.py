"""Keyword search over creators by Tantivy. Index-only: records live in the store, the index can always be rebuilt."""

from __future__ import annotations

import hashlib
import math
import shutil
import zlib
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import structlog
import tantivy
import trio

from proto.errors import IndexBroken
from proto.ids import Row
from stores.analysis import exact_key, index_text, query_words
from stores.blocking import Blocking
from stores.files import write_atomic
from stores.ports import TextDocument, TextHits

log = structlog.get_logger("text_index")
T = TypeVar("T")

BOOSTS = {"name": 4.0, "handle": 3.0, "niche": 2.0, "summary": 1.5, "bio": 1.0, "titles": 1.0}
"""How much a word counts by field."""

HEAP_BYTES = 64_000_000
FEW_MATCHES = 10
"""With fewer creators matching all words, "most words" is enough (see `needed_words`)."""
BEST_SCORE = 0.95
EVERY_WORD = 0.3
"""A creator that holds every word scores from here to BEST_SCORE, by its BM25 relative to the query's best; one that
holds only some of them scores below, in proportion to how many were asked for. An exact name scores 1."""
PREFIX_TERMS = 24
PREFIX_CHARS = 2
"""The last word also stands for words that begin with it, from this length on."""
PREFIX_BOOST = 0.4
MAX_MATCHES = 10_000
"""Rows returned at most; beyond, only the total is known."""
FOOTER_MAGIC = 1337
"""Tantivy closes each file by {"crc": …}, its length and this number (tantivy's directory/footer.rs)."""

HANDLE_MARK = "@"
HANDLE_MARKS = ("@", "\uff20")
"""How a handle is marked: as it is, and in full width."""

SCHEMA_VERSION = 3


class Checkpoint(msgspec.Struct):
    """What is written beside the index after each commit."""

    checkpoint: int
    documents: int
    removed: int = 0
    """Documents replaced or deleted since the index was last written anew."""


class IndexMeta(msgspec.Struct):
    segments: list[dict[str, Any]]


class TantivyTextIndex:
    """One writer; queries run beside it on the last committed state."""

    def __init__(self, folder: Path, *, boosts: Mapping[str, float], write: Blocking, read: Blocking) -> None:
        self._folder, self._boosts, self._write, self._read = folder, boosts, write, read
        self._turn = trio.Lock()
        self._engine = _Engine(folder)
        noted = _read_checkpoint(folder)
        self.checkpoint, self.removed = noted.checkpoint, noted.removed

    @classmethod
    async def open(
        cls, base: Path, *, blocking: Callable[[str, int], Blocking], boosts: Mapping[str, float] = BOOSTS
    ) -> TantivyTextIndex:
        """The newest complete index under ``base``. Raises IndexBroken when there is none or it is damaged."""
        write, read = blocking("text-writer", 1), blocking("text-search", 2)
        folder = _newest(base)
        if folder is None:
            raise IndexBroken(f"{base}: no keyword index of this version")

        def opened() -> TantivyTextIndex:
            verify_files(folder)
            _read_meta(folder)  # without it the engine would quietly begin an empty index
            index = cls(folder, boosts=boosts, write=write, read=read)
            index._engine.query("x", 1, boosts)  # some files are opened only by the first query
            return index

        return await write.call(guarded, opened)

    @classmethod
    async def create_empty(
        cls, base: Path, *, blocking: Callable[[str, int], Blocking], boosts: Mapping[str, float] = BOOSTS
    ) -> TantivyTextIndex:
        """A fresh index in place of whatever is there."""
        write, read = blocking("text-writer", 1), blocking("text-search", 2)

        def created() -> TantivyTextIndex:
            for old in _all(base):
                shutil.rmtree(old, ignore_errors=True)
            folder = _numbered(base, 1)
            folder.mkdir(mode=0o700, parents=True)
            _write_checkpoint(folder, Checkpoint(checkpoint=0, documents=0))
            return cls(folder, boosts=boosts, write=write, read=read)

        return await write.call(created)

    async def upsert(self, documents: Sequence[TextDocument]) -> None:
        async with self._turn:
            await self._write.call(self._engine.upsert, documents)

    async def delete(self, rows: Sequence[Row]) -> None:
        async with self._turn:
            await self._write.call(self._engine.delete, rows)

    async def commit(self, checkpoint: int) -> None:
        async with self._turn:
            await self._write.call(self._commit, checkpoint)

    async def query(self, text: str, limit: int) -> TextHits:
        return await self._read.call(self._engine.query, text, min(limit, MAX_MATCHES), self._boosts)

    async def count(self) -> int:
        return self._engine.searcher.num_docs

    async def replace(self, documents: AsyncIterable[Sequence[TextDocument]], checkpoint: int) -> None:
        """Builds a compact index from these documents and swaps it in; queries go on against the old one meanwhile."""
        async with self._turn:
            folder = _numbered(self._folder.parent, _number(self._folder) + 1)
            fresh = await self._write.call(_fresh_engine, folder)
            async for part in documents:
                await self._write.call(fresh.upsert, part)
            await self._write.call(self._swap, fresh, folder, checkpoint)

    async def close(self) -> None:
        async with self._turn:
            await self._write.call(self._engine.close)

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
        old.close()
        shutil.rmtree(old_folder, ignore_errors=True)


class _Engine:
    """Tantivy itself, called in threads only."""

    def __init__(self, folder: Path) -> None:
        self._schema = _schema()
        self._index = tantivy.Index(self._schema, path=str(folder))
        self._index.config_reader("manual", 1)
        self._writer: Any = self._index.writer(HEAP_BYTES, num_threads=1)
        self._index.reload()
        self.searcher = self._index.searcher()
        self._added = 0

    def upsert(self, documents: Sequence[TextDocument]) -> None:
        """A document that the engine refuses is left out and logged; it never takes its batch with it."""
        for document in documents:
            fields = _fields(document)
            try:
                made = tantivy.Document.from_dict(fields, self._schema)
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
        guarded(self._writer.commit)
        self._index.reload()
        self.searcher = self._index.searcher()
        self._added = 0
        return int(before - self.searcher.num_docs)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None

    def query(self, text: str, limit: int, boosts: Mapping[str, float]) -> TextHits:
        return guarded(lambda: _search(self.searcher, self._schema, text, limit, boosts))


def _search(searcher: Any, schema: Any, text: str, limit: int, boosts: Mapping[str, float]) -> TextHits:
    text = text.encode(errors="ignore").decode()  # a lone surrogate is no text to the engine
    words = query_words(text)
    exact_rows = _exact_rows(searcher, schema, text)
    need = len(words)
    strict = found = _matching(searcher, schema, words, need, limit, boosts)
    while found.count < FEW_MATCHES and (fewer := needed_words(len(words), need)) < need:
        need = fewer
        found = _matching(searcher, schema, words, need, limit, boosts)
    if found is strict:
        rows, scores = _scored(searcher, strict, EVERY_WORD, BEST_SCORE)
    else:
        rows, scores = _scored(searcher, found, 0.0, EVERY_WORD * need / len(words))
        strict_rows, strict_scores = _scored(searcher, strict, EVERY_WORD, BEST_SCORE)
        among = np.isin(strict_rows, rows)
        scores[np.searchsorted(rows, strict_rows[among])] = strict_scores[among]
    extra = np.setdiff1d(exact_rows, rows)
    rows, scores = np.concatenate([rows, extra]), np.concatenate([scores, np.zeros(len(extra), np.float32)])
    exact = np.isin(rows, exact_rows)
    scores[exact] = 1.0
    order = np.lexsort((rows, -scores))[:limit]
    total = max(found.count, len(rows))  # beyond the limit an exact match is among those counted
    return TextHits(rows=rows[order], scores=scores[order], exact=exact[order], total=total, words=words)


def _scored(searcher: Any, found: Any, low: float, high: float) -> tuple[Any, Any]:
    """Rows ascending, and BM25 relative to the best of the query laid between ``low`` and ``high``."""
    rows = np.array(searcher.fast_field_values("row", [address for _, address in found.hits]), np.uint32)
    bm25 = np.array([score for score, _ in found.hits], np.float32)
    order = np.argsort(rows)
    best = max(float(bm25.max(initial=0.0)), 1e-9)
    return rows[order], (low + bm25[order] / best * (high - low)).astype(np.float32)


def needed_words(words: int, need: int) -> int:
    """The next looser demand: all words, then two thirds of them, then (for at most two words) any."""
    two_thirds = math.ceil(words * 2 / 3)
    if need > two_thirds:
        return two_thirds
    return 1 if words == 2 and need == 2 else need


def _exact_rows(searcher: Any, schema: Any, text: str) -> Any:
    """Creators of exactly this name or handle; "@jess" means the handle, of which there is one, while many are named so."""
    key = exact_key(text[:512])
    if not key:
        return np.array([], np.uint32)
    marked = text.lstrip().startswith(HANDLE_MARKS)
    for wanted in (HANDLE_MARK + key, key) if marked else (key,):
        hits = searcher.search(tantivy.Query.term_query(schema, "key", wanted), limit=1_000, count=False).hits
        if hits:
            break
    return np.array(searcher.fast_field_values("row", [address for _, address in hits]), np.uint32)


def _matching(
    searcher: Any, schema: Any, words: Sequence[str], need: int, limit: int, boosts: Mapping[str, float]
) -> Any:
    if not words:
        return searcher.search(tantivy.Query.empty_query(), limit=1)
    parts = [_word_query(searcher, schema, word, boosts, last=word == words[-1]) for word in words]
    occur = tantivy.Occur.Must if need == len(words) else tantivy.Occur.Should
    query = tantivy.Query.boolean_query(
        [(occur, part) for part in parts], minimum_number_should_match=None if need == len(words) else need
    )
    return searcher.search(query, limit=max(limit, 1))


def _word_query(searcher: Any, schema: Any, word: str, boosts: Mapping[str, float], *, last: bool) -> Any:
    """The word in its best field; the last word of a query also as the beginning of a word of a name or handle."""
    options = [
        tantivy.Query.boost_query(tantivy.Query.term_query(schema, field, word), boost)
        for field, boost in boosts.items()
    ]
    if last and len(word) >= PREFIX_CHARS:
        for field in ("name", "handle"):
            terms = [term for term, _ in searcher.terms_with_prefix(field, word, limit=PREFIX_TERMS) if term != word]
            if terms:
                prefixed = tantivy.Query.term_set_query(schema, field, terms)
                options.append(tantivy.Query.const_score_query(prefixed, PREFIX_BOOST))
    return tantivy.Query.disjunction_max_query(options, tie_breaker=0.1)


def _fields(document: TextDocument) -> dict[str, Any]:
    names = {exact_key(name) for name in (document.name, *document.names)} - {""}
    handles = {exact_key(handle) for handle in document.handles} - {""}
    return {
        "row": int(document.row),
        "id": str(document.row),
        "key": sorted({*names, *handles, *(HANDLE_MARK + key for key in handles)}),
        "name": index_text(" ".join(dict.fromkeys((document.name, *document.names)))),
        "handle": index_text(" ".join(document.handles)),
        "niche": index_text(document.niche),
        "summary": index_text(document.summary),
        "bio": index_text(document.bio),
        "titles": index_text(document.titles),
    }


def _schema() -> Any:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("row", fast=True)
    builder.add_text_field(
        "id", tokenizer_name="raw", index_option="basic"
    )  # deleting by an unsigned term does nothing
    builder.add_text_field("key", tokenizer_name="raw", index_option="basic")
    for field in BOOSTS:
        builder.add_text_field(field, tokenizer_name="whitespace", index_option="freq")
    return builder.build()


def guarded(call: Callable[[], T]) -> T:
    """Turns the engine's panics, which are no ordinary exceptions, and its refusals into IndexBroken."""
    try:
        return call()
    except ValueError as error:
        raise IndexBroken(str(error)) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise IndexBroken(f"the text engine gave up: {error}") from None
        raise


def verify_files(folder: Path) -> None:
    """Compares every file with the checksum that Tantivy closed it with. Raises IndexBroken naming the file."""
    for path in sorted(folder.iterdir()):
        if path.name in ("meta.json", "checkpoint", "checkpoint.tmp") or path.name.startswith("."):
            continue
        data = path.read_bytes()
        length = int.from_bytes(data[-8:-4], "little") if len(data) > 8 else 0
        body, footer = data[: -8 - length], data[-8 - length : -8]
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


def _fresh_engine(folder: Path) -> _Engine:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return _Engine(folder)


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


def _newest(base: Path) -> Path | None:
    """Of several (a crash during a swap), the newest that was finished; the others are removed."""
    complete = [folder for folder in _all(base) if folder.name.startswith(_name()) and (folder / "checkpoint").exists()]
    for folder in _all(base):
        if not complete or folder != complete[-1]:
            shutil.rmtree(folder, ignore_errors=True)
    return complete[-1] if complete else None


def _write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    write_atomic(folder / "checkpoint", msgspec.json.encode(checkpoint))


def _read_checkpoint(folder: Path) -> Checkpoint:
    try:
        return msgspec.json.decode((folder / "checkpoint").read_bytes(), type=Checkpoint)
    except (OSError, msgspec.DecodeError) as error:
        raise IndexBroken(f"{folder.name}: checkpoint unreadable") from error
