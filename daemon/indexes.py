"""Opens the losable indexes, brings them up to the catalogue, and rebuilds what is absent, stale or damaged."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import structlog

from actors.aggregation import FIELDS
from actors.documents import text_document
from actors.indexer import field_vectors
from proto.errors import IndexBroken
from proto.ids import CreatorId, Row
from proto.records import Creator, EmbeddingRecord
from stores.blocking import Blocking
from stores.catalog import Catalog, CreatorBundle
from stores.codec import decode
from stores.columns import Columns
from stores.env import Environment
from stores.ports import Rows, TextDocument, Vector
from stores.text_index import TantivyTextIndex
from stores.vectors import HnswVectorIndex

log = structlog.get_logger("indexes")

PAGE = 500
SLICE = 1_000
"""Vectors handed to a graph at once while it is built."""

Progress = Callable[[str, float], None]
"""Told what is being loaded, and how far (0..1)."""


def no_progress(_what: str, _share: float) -> None:
    """For callers that show nothing."""


def index_dir(data_dir: Path) -> Path:
    path = data_dir / "indexes"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def drop_indexes(data_dir: Path) -> None:
    """Removes every index, so that the next start rebuilds them."""
    shutil.rmtree(data_dir / "indexes", ignore_errors=True)


class Rebuilder(msgspec.Struct, kw_only=True, frozen=True):
    """What a rebuild reads from."""

    catalog: Catalog
    niche_words: Callable[[Creator], str]
    recent_items: int

    async def documents(self, progress: Progress = no_progress) -> AsyncIterator[list[TextDocument]]:
        """Every indexed creator's document, in the order of creator ids."""
        total = max((await self.catalog.counts()).creators, 1)
        done, after = 0, None
        while ids := await self.catalog.creator_ids(after, PAGE):
            after = ids[-1]
            yield self._documents(await self.catalog.creator_bundles(ids, self.recent_items))
            done += len(ids)
            progress("keyword search", done / total)

    async def changed_bundles(self, since: int) -> AsyncIterator[tuple[int, list[CreatorBundle]]]:
        """Creators whose indexing was logged after ``since``, with the last sequence number of each page."""
        while page := await self.catalog.changed_since(since, PAGE):
            since = page[-1][0]
            bundles = await self.catalog.creator_bundles([creator_id for _, creator_id in page], self.recent_items)
            yield since, [bundle for bundle in bundles if bundle is not None]

    def _documents(self, bundles: Sequence[CreatorBundle | None]) -> list[TextDocument]:
        return [
            text_document(bundle, self.niche_words(bundle.creator))
            for bundle in bundles
            if bundle is not None and bundle.creator.name
        ]
