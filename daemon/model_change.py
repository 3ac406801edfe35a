"""A change of the embedding model: the old vectors answer until every creator has new ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
import structlog
import trio

from daemon.config import Config
from daemon.derived_data import EMBEDDED_WITH
from daemon.embedding import Place, open_earlier, place_of
from daemon.indexing import FIELD_NAMES, IndexKeeper
from daemon.pipeline import Stores
from daemon.readiness import MODEL, Readiness
from models.embedding_port import EmbeddingPort
from proto.errors import ModelMissing, Unavailable
from proto.records import Event
from stores.blocking import Blocking
from stores.catalog import Catalog, drop_earlier
from stores.searcher import Embed, Searcher

log = structlog.get_logger("model")

ANSWERING = "answering_model"
"""Meta entry: the `Place` of the model of which the last complete set of vectors is."""
LOOK_SECONDS = 1.0
"""How often it is looked how far the embedding is."""
DROP_PAGE = 2_000


class ModelChange:
    """Decides at a start which model's vectors answer, and switches when the new set is complete.

    Complete: no creator waits for a new vector in place of an old one, or no work is left (what then still lacks one
    is in the dead letters, and would keep the old model for ever). All that it needs is in the store, so that a
    restart goes on where the process before was.
    """

    def __init__(
        self,
        config: Config,
        *,
        model: EmbeddingPort,
        stores: Stores,
        keeper: IndexKeeper,
        searcher: Searcher,
        readiness: Readiness,
        threads: Blocking,
        query_embedder: Callable[[EmbeddingPort], Embed],
        now: Callable[[], float],
    ) -> None:
        self._config, self._model, self._stores, self._keeper = config, model, stores, keeper
        self._searcher, self._readiness, self._threads = searcher, readiness, threads
        self._query_embedder, self._now = query_embedder, now
        self._before = Place(model_id=model.model_id)
        self._lost = ""

    @property
    def going_on(self) -> bool:
        return self._before.model_id != self._model.model_id

    async def open(self) -> None:
        """Opens the fields of the model that answers, and those of the new one. To be called before accounts are put
        back to the Embedder, since that writes over which model they were embedded with."""
        self._before = await self._answering(self._stores.catalog)
        earlier = await self._earlier_model() if self.going_on else None
        if earlier is None:
            self._answer_with_new()
            await self._keeper.open_fields(
                self._model.model_id, self._model.dims, self._searcher.set_field, replacing=self.going_on
            )
        else:
            self._searcher.set_embedder(self._query_embedder(earlier), FIELD_NAMES)
            await self._keeper.open_earlier(earlier.model_id, earlier.dims, self._searcher.set_field)
            await self._keeper.open_fields(self._model.model_id, self._model.dims, lambda *_: None, replacing=True)
        if not self.going_on:
            self._before = place_of(self._config, self._model)
        await self._stores.catalog.put_meta(ANSWERING, msgspec.json.encode(self._before).decode())

    async def tell(self) -> None:
        """That the model is ready; not before the work that a change causes is noted, or it would seem done."""
        if self.going_on:
            await self._tell_progress()
        else:
            self._readiness.set(MODEL, "ok", detail=self._model.model_id)

    async def watch(self, stop: trio.Event) -> None:
        """Until the new set is complete; then it answers, and vectors of models before go from the store."""
        while not stop.is_set():
            _, left = await self._tell_progress()
            if not left or not await self._stores.work.pending():
                await self._switch(left)
                return
            with trio.move_on_after(LOOK_SECONDS):
                await stop.wait()

    async def _answering(self, catalog: Catalog) -> Place:
        """As noted; a store that is older than the note says with which model it was embedded."""
        noted = await catalog.meta(ANSWERING)
        if noted:
            return msgspec.json.decode(noted, type=Place)
        before = (await catalog.meta(EMBEDDED_WITH)).partition(" ")[0]
        return Place(model_id=before or self._model.model_id)

    async def _earlier_model(self) -> EmbeddingPort | None:
        try:
            return await self._threads.call(open_earlier, self._before, self._config)
        except (ModelMissing, Unavailable) as error:
            self._lost = str(error)
            log.warning("the model before cannot be loaded: its vectors do not answer", reason=self._lost)
            await self._event(
                "model_lost", "warning", f"its vectors do not answer: {self._lost}", self._before.model_id
            )
            return None

    def _answer_with_new(self) -> None:
        self._searcher.set_embedder(self._query_embedder(self._model), FIELD_NAMES)
        for name, index in self._keeper.fields.items():
            self._searcher.set_field(name, index)

    async def _tell_progress(self) -> tuple[int, int]:
        done, left = await self._keeper.embedded()
        share = done / (done + left) if done + left else 1.0
        old, new = self._before.model_id, self._model.model_id
        if self._lost:
            detail = f"{old} is lost ({self._lost}): keywords, and vectors of {new} as far as there are, answer"
        else:
            detail = f"{old} answers while all is embedded with {new}"
        self._readiness.set(MODEL, "changing" if self._lost else "ok", detail=f"{detail}: {share:.1%}", loaded=share)
        return done, left

    async def _switch(self, left: int) -> None:
        self._answer_with_new()
        self._keeper.drop_earlier()
        place = place_of(self._config, self._model)
        await self._stores.catalog.put_meta(ANSWERING, msgspec.json.encode(place).decode())
        without = f"; {left} vectors could not be made" if left else ""
        detail = f"its vectors answer now in place of those of {self._before.model_id}{without}"
        await self._event("model_changed", "info", detail, self._model.model_id)
        self._readiness.set(MODEL, "ok", detail=self._model.model_id)
        after: bytes | None = b""
        while after is not None:
            after = await self._stores.env.write(partial(drop_earlier, after=after, limit=DROP_PAGE))

    async def _event(self, kind: str, severity: str, detail: str, subject: str) -> None:
        event = Event(at=int(self._now()), kind=kind, severity=severity, subject=subject, detail=detail)
        await self._stores.journal.event(event)
