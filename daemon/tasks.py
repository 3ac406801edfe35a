"""Long work as tasks: how far it is, what became of it, over restarts too, and a way to cancel it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import lmdb
import msgspec
import structlog
import trio

from daemon.web.views import instant
from proto.api import TaskView
from proto.errors import Conflict, NotFound, PokedexError, Unavailable
from proto.records import DEFAULT_TENANT, AuditEvent, TaskRecord
from stores.audit import OPERATOR, append_audit
from stores.env import Environment, Txn
from stores.operations import (
    CANCELLED,
    DONE,
    FAILED,
    INTERRUPTED,
    RUNNING,
    TASKS_KEPT,
    interrupted_task,
    put_task,
    tasks_of,
)

log = structlog.get_logger("tasks")

T = TypeVar("T")
Tell = Callable[[int, int], None]
"""Told how much of how much is done; a total of 0: not known. May be called in a thread."""
WITHDRAWN = "cancelled by an operator"


class Running:
    """A task under way; ``tell`` says how far it is."""

    def __init__(self, record: TaskRecord, *, cancellable: bool, private: bool, in_pieces: bool) -> None:
        self.record, self.cancellable, self.private, self.in_pieces = record, cancellable, private, in_pieces
        self.began_at = trio.current_time()
        self.scope = trio.CancelScope()
        self.withdrawn = False

    def tell(self, done: int, total: int) -> None:
        self.record = msgspec.structs.replace(self.record, done=done, total=total)

    def view(self) -> TaskRecord:
        return msgspec.structs.replace(self.record, seconds=trio.current_time() - self.began_at)


class Tasks:
    """The latest `TASKS_KEPT`. That one could not be noted, such as for a full disk, keeps no work from being done."""

    def __init__(self, env: Environment, *, now: Callable[[], float]) -> None:
        self._env, self._now = env, now
        self._ended: dict[int, TaskRecord] = {}
        self._running: dict[int, Running] = {}
        self._next = 1
        self._nursery: trio.Nursery | None = None
        self._ends = False

    async def load(self) -> None:
        """What an earlier process did not get done is interrupted."""
        self._ended = {one.number: one for one in await self._env.read(tasks_of)}
        for number, one in self._ended.items():
            if one.state == RUNNING:
                self._ended[number] = interrupted_task(one, self._now())
                await self._keep(self._ended[number])
        self._next = max(self._ended, default=0) + 1

    async def serve(self, stop: trio.Event) -> None:
        """Keeps what was started by `start`, until ``stop``: then what is under way is interrupted."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await stop.wait()
            self._nursery, self._ends = None, True
            nursery.cancel_scope.cancel("shutdown")

    def all(self) -> list[TaskView]:
        """Newest first."""
        found = {**self._ended, **{number: one.view() for number, one in self._running.items()}}
        return [self._view(found[number]) for number in sorted(found, reverse=True)]

    def get(self, uid: str) -> TaskView:
        """Raises NotFound."""
        number = self._number(uid)
        running = self._running.get(number)
        return self._view(running.view() if running else self._ended[number])

    async def cancel(self, uid: str, by: str) -> TaskView:
        """Asks for it; the task says `cancelled` once it has ended. Raises NotFound, and Conflict for what has ended or
        must be done to its end."""
        number = self._number(uid)
        task = self._running.get(number)
        if task is None:
            raise Conflict(f"task {uid} is {self._ended[number].state} already")
        if not task.cancellable:
            raise Conflict(f"task {uid} cannot be cancelled: a {task.record.kind} is done to its end")
        entry = AuditEvent(
            at=int(self._now()),
            tenant_id=DEFAULT_TENANT,
            actor=OPERATOR.actor,
            action="task",
            detail=f"cancelled {task.record.kind} {uid} ({by})",
        )
        await self._env.write(lambda txn: append_audit(txn, entry), synced=True)
        task.withdrawn = True
        if task.in_pieces:
            await self.end(task, CANCELLED, WITHDRAWN)
        task.scope.cancel(WITHDRAWN)
        return self.get(uid)

    def is_withdrawn(self, uid: str) -> bool:
        """Whether it is being cancelled by an operator, and not by the end of the daemon."""
        task = self._running.get(self._number(uid))
        return task is not None and task.withdrawn

    def refuse_second(self, kind: str) -> None:
        """Raises Conflict while there is a task of this kind."""
        for task in self._running.values():
            if task.record.kind == kind:
                raise Conflict(f"a {kind} is under way: task {task.record.number}")

    async def run(
        self,
        kind: str,
        work: Callable[[Tell], Awaitable[T]],
        detail: str = "",
        *,
        cancellable: bool = True,
        private: bool = False,
    ) -> T:
        """Does the work as a task. ``private``: its errors may name accounts, so that only their kind is kept.

        What is not ``cancellable`` goes on though whoever waits for it leaves. Raises what the work does, and Unavailable
        once it was cancelled.
        """
        task = await self.begin(kind, detail, cancellable=cancellable, private=private)
        if cancellable or self._nursery is None:
            return await self._run(task, work)
        return await self._kept(self._nursery, task, work)

    async def start(
        self,
        kind: str,
        work: Callable[[Tell], Awaitable[object]],
        detail: str = "",
        *,
        then: Callable[[], Awaitable[None]] | None = None,
    ) -> TaskView:
        """Begins it and returns; what becomes of it is kept. ``then``: comes after it was done. Raises Unavailable while
        the daemon ends."""
        self._up()
        task = await self.begin(kind, detail)
        try:
            nursery = self._up()
        except Unavailable as error:  # the end came while it was noted
            await self.end(task, INTERRUPTED, str(error))
            raise

        async def quietly() -> None:
            try:
                await self._run(task, work)
                if then is not None:
                    await then()
            except Exception as error:  # noted with the task, and no reason to end the daemon
                log.warning("a task failed", kind=kind, uid=task.record.number, reason=str(error))

        nursery.start_soon(quietly)
        return self.get(str(task.record.number))

    async def begin(
        self, kind: str, detail: str = "", *, cancellable: bool = True, private: bool = False, in_pieces: bool = False
    ) -> Running:
        """Whoever begins a task ends it. ``in_pieces``: nothing of it runs by itself, so that cancelling ends it at once."""
        record = TaskRecord(number=self._next, kind=kind, detail=detail, state=RUNNING, started_at=self._now())
        self._next += 1
        task = self._running[record.number] = Running(
            record, cancellable=cancellable, private=private, in_pieces=in_pieces
        )
        await self._keep(record)
        return task

    async def end(self, task: Running, state: str, error: str = "") -> None:
        number = task.record.number
        if number not in self._running:
            return
        record = msgspec.structs.replace(task.view(), state=state, ended_at=self._now(), error=error)
        if state == DONE and record.total:
            record = msgspec.structs.replace(record, done=record.total)
        del self._running[number]
        self._ended[number] = record
        for old in sorted(self._ended)[:-TASKS_KEPT]:
            del self._ended[old]
        await self._keep(record)

    async def _kept(self, nursery: trio.Nursery, task: Running, work: Callable[[Tell], Awaitable[T]]) -> T:
        done, found, failed = trio.Event(), list[T](), list[Exception]()

        async def keep() -> None:
            try:
                found.append(await self._run(task, work))
            except Exception as error:  # for who waits for it; noted with the task
                failed.append(error)
            finally:
                done.set()

        nursery.start_soon(keep)
        await done.wait()
        if failed:
            raise failed[0]
        if not found:
            raise Unavailable(f"task {task.record.number}: {self.get(str(task.record.number)).error}")
        return found[0]

    async def _run(self, task: Running, work: Callable[[Tell], Awaitable[T]]) -> T:
        with task.scope:
            try:
                result = await work(task.tell)
            except Exception as error:
                words = type(error).__name__ if task.private or not str(error) else str(error)
                await self.end(task, FAILED, words)
                raise
            except BaseException:  # cancelled: by itself, or as the group that a nursery makes of it
                with trio.CancelScope(shield=True):
                    state, words = (CANCELLED, WITHDRAWN) if task.withdrawn else (INTERRUPTED, self._why(task))
                    await self.end(task, state, words)
                raise
            await self.end(task, DONE)
            return result
        raise Unavailable(f"task {task.record.number} was {WITHDRAWN}")

    def _why(self, task: Running) -> str:
        """It was cancelled, though not by an operator."""
        return interrupted_task(task.record, 0.0).error if self._ends else "who waited for it left"

    def _up(self) -> trio.Nursery:
        if self._nursery is None:
            raise Unavailable("the daemon is not up yet, or ends; try again once /readyz answers 200")
        return self._nursery

    async def _keep(self, record: TaskRecord) -> None:
        def change(txn: Txn) -> None:
            put_task(txn, record)

        try:
            await self._env.write(change, synced=True)
        except (PokedexError, lmdb.Error) as error:
            log.warning("a task is not noted", uid=record.number, kind=record.kind, reason=str(error))

    def _number(self, uid: str) -> int:
        number = int(uid) if uid.isascii() and uid.isdecimal() and len(uid) <= 12 else 0
        if number not in self._running and number not in self._ended:
            raise NotFound(f"no task {uid[:40]!r}; the latest {TASKS_KEPT} are kept")
        return number

    def _view(self, record: TaskRecord) -> TaskView:
        running = self._running.get(record.number)
        return TaskView(
            uid=str(record.number),
            kind=record.kind,
            state=record.state,
            detail=record.detail,
            done=record.done,
            total=record.total,
            progress=round(record.done / record.total, 4) if record.total else None,
            started_at=instant(int(record.started_at)),
            ended_at=instant(int(record.ended_at) or None),
            seconds=round(record.seconds, 3),
            error=record.error,
            cancellable=running is not None and running.cancellable and not running.withdrawn,
        )
