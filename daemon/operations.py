"""What an operator does to a running daemon: holding parts of it back, long work, and a look inside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio

from daemon.draining import WORDS, Draining
from daemon.importing import Piece
from daemon.looking import Looking
from daemon.ordering import Backfills
from daemon.pausing import Pausing
from daemon.tasks import WITHDRAWN, Running, Tasks, Tell
from proto.api import Ordered, PauseView, StageStatus, TaskView
from proto.errors import Conflict
from proto.records import Job
from stores.operations import DONE, INTERRUPTED

STOP_AFTER_SECONDS = 1.0
"""So that whoever waits for a drain hears that it is done."""
IDLE_IMPORT_SECONDS, LOOK_SECONDS = 900.0, 60.0
"""After so long without a piece nobody goes on with an import; how often that is looked for. A piece may wait for ten minutes
(`actors.bulk.HAND_OVER_SECONDS`)."""
CANCELLED_SECONDS = 3_600.0
"""After so long without a piece a cancelled import is as good as a new one."""


class Imports:
    """Imports over HTTP as tasks: they come in pieces, which requests bring."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._running: dict[str, tuple[Running, float]] = {}
        self._turn = trio.Lock()

    async def begin(self, piece: Piece | None) -> None:
        """Before a piece is taken in. Rows that stand for themselves are no task. Raises Conflict once it was cancelled."""
        if piece is None:
            return
        await self._end_idle()
        async with self._turn:  # two pieces at once are one task
            if piece.import_id not in self._running:
                task = await self._tasks.begin("import", f"list {piece.import_id[:12]}", in_pieces=True)
                self._running[piece.import_id] = task, trio.current_time()
        task, _ = self._running[piece.import_id]
        if task.withdrawn:
            del self._running[piece.import_id]
            raise Conflict(f"the import was {WITHDRAWN} (task {task.record.number}); the rows before are taken in")

    def tell(self, piece: Piece | None, rows: int) -> None:
        if piece is not None and piece.import_id in self._running:
            task, _ = self._running[piece.import_id]
            # of two pieces that are sent at once the later may be taken in first
            task.tell(max(task.record.done, piece.at + rows), 0)
            self._running[piece.import_id] = task, trio.current_time()

    async def end(self, import_id: str) -> None:
        task, _ = self._running.pop(import_id, (None, 0.0))
        if task is not None:
            await self._tasks.end(task, DONE)

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            await self._end_idle()

    async def _end_idle(self) -> None:
        for import_id, (task, at) in list(self._running.items()):
            patience = CANCELLED_SECONDS if task.withdrawn else IDLE_IMPORT_SECONDS
            if trio.current_time() - at > patience and self._running.pop(import_id, None) is not None:
                await self._tasks.end(task, INTERRUPTED, "the list was not sent to its end")


class Operations:
    """One place for the admin endpoint and for a page."""

    def __init__(
        self,
        pausing: Pausing,
        work: Tasks,
        *,
        reindex: Callable[[Tell], Awaitable[None]],
        actors: Callable[[], list[StageStatus]],
        refresh: Callable[[Sequence[str]], Awaitable[list[Ordered]]],
        backfills: Backfills,
        draining: Draining,
        look: Looking,
    ) -> None:
        self.pausing, self.work, self._reindex = pausing, work, reindex
        self.imports = Imports(work)
        self.actors, self.refresh, self._backfills = actors, refresh, backfills
        self._draining, self.look = draining, look
        self.stop: Callable[[], None] = lambda: None
        """Ends the daemon."""

    def refuse_held(self) -> None:
        """Raises Conflict while what is taken in would not get done."""
        self._draining.refuse_held()
        if self._draining.holds:
            raise Conflict(WORDS)

    async def load(self) -> None:
        """Before anything flows."""
        await self.pausing.load()
        await self.work.load()

    def tasks(self) -> list[TaskView]:
        """Newest first."""
        return self.work.all()

    async def reindex(self) -> TaskView:
        """Begins to write the keyword index anew from the store. Raises Conflict while that is under way."""
        self.work.refuse_second("reindex")
        return await self.work.start("reindex", self._reindex, "keyword index")

    async def backfill(self, target: str, tenant_id: str) -> TaskView:
        """Begins to fetch the history of an account, of a creator, or of all in a list. Raises NotFound."""
        accounts = await self._backfills.find(target, tenant_id)
        added: list[Job] = []

        async def work(tell: Tell) -> None:
            try:
                await self._backfills.run(accounts, added, tell)
            except trio.Cancelled:
                if self.work.is_withdrawn(begun.uid):
                    with trio.CancelScope(shield=True):
                        await self._backfills.take_back(added)
                raise

        await self._backfills.note(len(accounts))
        begun = await self.work.start("backfill", work, f"{len(accounts)} accounts")
        return begun

    async def resume(self, name: str, by: str) -> list[PauseView]:
        """As `Pausing.resume`; without a name a daemon that drains, or has, goes on too, and does not end."""
        shown = await self.pausing.resume(name, by)
        if not name:
            self._draining.let_go()
        return shown

    @property
    def drained(self) -> str:
        """Why nothing new is taken in, where it is so by a drain; else empty."""
        return WORDS if self._draining.holds else ""

    async def drain(self, by: str, seconds: float, *, stop: bool) -> TaskView:
        """Begins to finish what is under way and to take nothing more; ``stop``: the daemon ends once that is done.
        Raises Conflict while a stage is paused."""
        self.work.refuse_second("drain")
        self._draining.refuse_held()

        async def end() -> None:
            if stop:
                await trio.sleep(STOP_AFTER_SECONDS)
                if self._draining.holds:
                    self.stop()

        await self.pausing.note("drain", f"{'and stop ' if stop else ''}({by})")
        self.work.refuse_second("drain")  # asked for meanwhile
        detail = "the daemon ends after it" if stop else ""
        return await self.work.start("drain", partial(self._draining.run, seconds=seconds), detail, then=end)
