"""What an operator ordered and what became of it: pauses, and long work as tasks. Functions of a transaction."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from proto.records import Pause, TaskRecord
from stores.codec import decode, encode, pack_id
from stores.env import Txn

TASKS_KEPT = 200
RUNNING, DONE, FAILED, CANCELLED, INTERRUPTED = "running", "done", "failed", "cancelled", "interrupted"


AFTERWARDS = {
    "backfill": "; what was ordered stays in the schedule and is fetched",
    "forget": "; it was finished at the next start",
}
"""Of tasks whose work outlives the process."""


def pauses_of(txn: Txn) -> list[Pause]:
    """By name."""
    return [decode(Pause, value) for _, value in txn.scan("pauses")]


def put_pause(txn: Txn, pause: Pause) -> None:
    txn.put("pauses", pause.name.encode(), encode(pause))


def drop_pauses(txn: Txn, names: Iterable[str]) -> list[str]:
    """Returns those that were there."""
    return [name for name in names if txn.delete("pauses", name.encode())]


def tasks_of(txn: Txn) -> list[TaskRecord]:
    """Oldest first."""
    return [decode(TaskRecord, value) for _, value in txn.scan("tasks")]


def put_task(txn: Txn, task: TaskRecord) -> None:
    """The oldest ones go when there are too many."""
    txn.put("tasks", pack_id(task.number), encode(task))
    for old in tasks_of(txn)[:-TASKS_KEPT]:
        txn.delete("tasks", pack_id(old.number))


def interrupted_task(task: TaskRecord, now: float) -> TaskRecord:
    """Of an earlier process, which is gone: what ran then does not any more."""
    reason = "the daemon ended before it was done" + AFTERWARDS.get(task.kind, "")
    return msgspec.structs.replace(task, state=INTERRUPTED, ended_at=now, error=reason)
