"""Reads what `/metrics` shows, from kept counters and a few look-ups."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from actors.push_trust import judge
from daemon.backup import LAST_BACKUP_AT
from daemon.config import InstagramToken
from daemon.labelling import label_status
from daemon.metrics import Figures
from daemon.pipeline import Pipeline, Stores
from daemon.stock import Stock
from proto.api import LabelStatus, ReadyAnswer
from stores.env import Txn
from stores.subscriptions import PushCounts, is_trusted, push_counts, tallies


async def read_figures(
    stores: Stores,
    pipeline: Pipeline,
    ready: ReadyAnswer,
    stock: Stock | None,
    *,
    tokens: Sequence[InstagramToken],
    data_dir: Path,
    map_bytes: int,
    memory_ceiling_bytes: int,
    refuses: bool,
    now: float,
) -> Figures:
    """``refuses``: whether no list is taken in, for want of disk or memory."""
    env = stores.env

    def look(txn: Txn) -> tuple[LabelStatus, PushCounts, bool, float | None]:
        push = push_counts(txn)
        silent = push.subscribed > 0 and judge(tallies(txn), now, trusted=is_trusted(txn)).silent
        return label_status(txn, now), push, silent, last_backup_at(txn)

    labels, push, silent, backup_at = await env.read(look)
    disk = await env.read(lambda _: shutil.disk_usage(data_dir))  # in a thread: a file system may be slow to say
    return Figures(
        now=now,
        ready=ready,
        still_seconds={name: entry.still_seconds() for name, entry in pipeline.board.items()},
        standings=await stores.ledger.standings(now),
        dead_letters=await stores.work.dead_letter_count(),
        labels=labels,
        stock=stock,
        push=push,
        hub_silent=silent,
        tokens=seconds_left(tokens, now),
        backfill_paused=pipeline.backfill_paused(),
        store_bytes=env.disk_bytes(),
        map_bytes=map_bytes,
        writer_busy_seconds=env.writer_busy_seconds,
        disk_bytes=disk.total,
        disk_free_bytes=disk.free,
        resident_bytes=resident_bytes(),
        memory_ceiling_bytes=memory_ceiling_bytes,
        intake_held=refuses or bool(pipeline.intake_paused()),
        backup_at=backup_at,
    )


def seconds_left(tokens: Sequence[InstagramToken], now: float) -> Mapping[str, float]:
    """Of those that state when they end; negative for one that has ended."""
    return {one.name: datetime.fromisoformat(one.expires_at).timestamp() - now for one in tokens if one.expires_at}


def last_backup_at(txn: Txn) -> float | None:
    """None where there was none."""
    stored = txn.get("meta", LAST_BACKUP_AT.encode())
    return float(stored) if stored else None


def resident_bytes(pid: int = 0) -> int:
    """Memory of a process's own, this one's for 0; 0 where the system does not say. Pages of mapped files, such as the
    store's, are left out: the system takes them back when it needs them, and of a large store they are most of all."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid or 'self'}/statm").read_text().split()
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
