"""What costs a daemon at size while it merely goes on, and at its start: due jobs, ticks, facets, snapshots of columns.

`python -m tests.bench.steady [--sizes 10000 100000 1000000]`: rows straight into a store and into columns, in one process.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import numpy as np
import trio
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from actors import Meter, Outbox
from actors.scheduler import LATE_SECONDS, VISITS
from actors.sweeper import Sweeper
from daemon.app import page_readers
from daemon.pipeline import pack_rules
from proto.ids import AccountKey, Platform, Row, account_key
from proto.messages import AccountUpserted, AnyWork, Stage
from proto.records import Job, JobKind, Priority
from stores.column_files import ColumnFiles
from stores.columns import Columns
from stores.env import Environment, Txn
from stores.filter_columns import FACETS
from stores.filter_masks import MaskContext
from stores.filters import parse_filter
from stores.journal import Journal
from stores.schedule import Schedule, put_job
from stores.work import Work, enqueue
from tests.bench.filters import NOW, make_creator
from tests.reading import counted_reads

SIZES = (10_000, 100_000, 1_000_000)
SLICE = 10_000
ROUNDS = 15
DISTINCT = 5_000
"""Creators that are made; the columns hold each many times."""
PACKS = 8
"""As two workers twice over ask for, and as many again."""
MATCHING = "followers >= 1k"
DUE = ((JobKind.FEED, Priority.ACTIVE), (JobKind.PROFILE, Priority.SEMI_ACTIVE), (JobKind.PROFILE, Priority.LONG_TAIL))


class Steady(msgspec.Struct, kw_only=True, frozen=True):
    """Medians in milliseconds, and values read of the store, at one size."""

    creators: int
    lease_ms: float
    """Of `PACKS` packs, written down."""
    lease_reads: int
    poll_ms: float
    """Of a look that finds every job leased or not yet due."""
    poll_reads: int
    late_ms: float
    sweep_ms: float
    """Of one look at work that waits, an item a creator."""
    sweep_reads: int
    mask_ms: float
    matches: int
    facets_ms: float
    """Of all facets of these matches."""
    columns_save_ms: float
    columns_load_ms: float
    columns_mib: float

    @property
    def facets_ms_per_100k(self) -> float:
        return self.facets_ms / max(self.matches, 1) * 100_000


def measure(creators: int, folder: Path, seed: int) -> Steady:
    """In an empty folder, of which about 700 bytes a creator are taken."""
    env = Environment(folder / "store", map_size_bytes=32 << 30, durable=False)
    try:
        fill_schedule(env, creators)
        fill_work(env, creators)
        flow = trio.run(measure_flow, env)
    finally:
        env.close()
    return Steady(creators=creators, **flow, **measure_columns(creators, folder, seed))


def fill_schedule(env: Environment, accounts: int) -> None:
    """All of it is due, the most urgent last."""

    def change(txn: Txn, numbers: range) -> None:
        for number in numbers:
            kind, priority = DUE[number % len(DUE)]
            put_job(
                txn,
                Job(
                    platform=Platform.YOUTUBE,
                    kind=kind,
                    entity=f"UC{number:022}",
                    account_key=account_key(Platform.YOUTUBE, f"UC{number:022}"),
                    priority=priority,
                    due_at=NOW - number,
                    first=False,
                ),
            )

    for numbers in _slices(accounts):
        env.write_now(partial(change, numbers=numbers), synced=False)


def fill_work(env: Environment, items: int) -> None:
    def change(txn: Txn, numbers: range) -> None:
        for number in numbers:
            enqueue(txn, AccountUpserted(account_key=AccountKey(f"youtube:UC{number:022}")), NOW)

    for numbers in _slices(items):
        env.write_now(partial(change, numbers=numbers), synced=False)


async def measure_flow(env: Environment) -> dict[str, Any]:
    schedule = Schedule(env)
    async with httpx2.AsyncClient() as client:
        rules = pack_rules(page_readers(client, lambda: NOW)[Platform.YOUTUBE])
    lease = partial(schedule.lease, Platform.YOUTUBE, rules, packs=PACKS, flush=True)
    before = {priority: NOW - seconds for priority, seconds in LATE_SECONDS.items()}
    out, _inbox = trio.open_memory_channel[AnyWork](1)
    sweeper = Sweeper(
        {stage: Outbox(out, Meter()) for stage in Stage},
        work=Work(env),
        journal=Journal(env, lambda _: None),
        now=lambda: NOW,
        resend_after_seconds=3_600,
        max_attempts=5,
        stop=trio.Event(),
        meter=Meter(),
    )
    leasing, lease_reads = await _timed(lambda: lease(now=NOW))
    polling, poll_reads = await _timed(lambda: lease(now=0))
    late, _ = await _timed(lambda: schedule.late(Platform.YOUTUBE, VISITS, before))
    sweeping, sweep_reads = await _timed(sweeper.tick)
    return {
        "lease_ms": leasing,
        "lease_reads": lease_reads,
        "poll_ms": polling,
        "poll_reads": poll_reads,
        "late_ms": late,
        "sweep_ms": sweeping,
        "sweep_reads": sweep_reads,
    }


def measure_columns(creators: int, folder: Path, seed: int) -> dict[str, Any]:
    columns, files = filled_columns(creators, seed), ColumnFiles(folder)
    node, context = parse_filter(MATCHING), MaskContext(now=NOW)
    masking = _median([_milliseconds(lambda: columns.mask(node, context)) for _ in range(ROUNDS)])
    rows = np.flatnonzero(columns.mask(node, context)).astype(np.uint32)
    faceting = _median([_milliseconds(lambda: [columns.facet(name, rows) for name in FACETS]) for _ in range(ROUNDS)])
    saving = _median([_milliseconds(lambda: files.put_in_place(files.write(columns, 1))) for _ in range(3)])
    loading = _median([_milliseconds(lambda: files.load(Columns(), 1)) for _ in range(3)])
    return {
        "mask_ms": masking,
        "matches": len(rows),
        "facets_ms": faceting,
        "columns_save_ms": saving,
        "columns_load_ms": loading,
        "columns_mib": sum(path.stat().st_size for path in folder.glob("columns*")) / (1 << 20),
    }


def filled_columns(creators: int, seed: int) -> Columns:
    """The same few, over and over."""
    some = min(DISTINCT, creators)
    small, columns = Columns(), Columns()
    small.upsert_all(
        [Row(number) for number in range(some)],
        [make_creator(random.Random(f"{seed}/{number}"), number) for number in range(some)],
    )
    parts: defaultdict[str, list[NDArray[Any]]] = defaultdict(list)
    for name, array in small.parts():
        parts[name].append(np.resize(array, creators))
    parts["creator_id"] = [np.arange(creators)]
    columns.restore(parts, small.names())
    return columns


def steady_table(figures: Sequence[Steady]) -> Table:
    table = Table(title="steady state: medians in ms", title_justify="left")
    table.add_column("")
    for one in figures:
        table.add_column(f"{one.creators:,}", justify="right")
    for name in msgspec.structs.fields(Steady)[1:]:
        table.add_row(name.name, *(_shown(getattr(one, name.name)) for one in figures))
    table.add_row("facets_ms_per_100k", *(_shown(one.facets_ms_per_100k) for one in figures))
    return table


def _shown(figure: float) -> str:
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:,.2f}"


def _slices(count: int) -> Iterator[range]:
    for begin in range(0, count, SLICE):
        yield range(begin, min(begin + SLICE, count))


async def _timed(call: Callable[[], Awaitable[object]]) -> tuple[float, int]:
    """Milliseconds, and values read."""
    taken: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - began) * 1_000)
    with counted_reads() as reads:
        await call()
    return _median(taken), reads.total()


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1_000


def _median(taken: Sequence[float]) -> float:
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.steady", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    figures = []
    for creators in given.sizes:
        with tempfile.TemporaryDirectory(prefix="pokedexd-bench-") as folder:
            figures.append(measure(creators, Path(folder), given.seed))
    Console(width=100).print(steady_table(figures))


if __name__ == "__main__":
    main()
