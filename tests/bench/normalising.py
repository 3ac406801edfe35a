"""Stored pages read anew: by the adapters alone, and by the stage that stores what they say."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import httpx2
import trio
from rich.table import Table

from actors import Meter, Outbox
from actors.discovery import DiscoveryBudgets
from actors.normaliser import Normaliser
from actors.platforms.adapter import PlatformAdapter
from actors.reading import with_extracted
from daemon.app import page_readers
from daemon.evaluation.ingestion import policies_of
from proto.ids import Platform, RawId
from proto.messages import AnyWork, RawStored
from proto.records import JobKind, RawPage
from stores.env import Environment, Txn
from stores.raw import get_raw, put_raw, seal
from stores.suppression import Suppression
from stores.work import Work, enqueue
from tests.flow.played import POLICY

BATCH = 64


async def bench_normalising(data_dir: Path, folder: Path) -> Table:
    """Pages as a whole ingestion left them behind, in the order in which they came; ``folder`` is empty."""
    pages = stored_pages(data_dir)
    async with httpx2.AsyncClient() as client:
        readers = page_readers(client, time.time)
        read_seconds = reading_seconds(pages, readers)
        stage_seconds, writer_seconds = await stage_seconds_of(pages, readers, folder)
    table = Table(
        title=f"normalising {len(pages):,} pages",
        caption=f"the stage takes {stage_seconds / read_seconds:.1f} times as long as reading alone; "
        f"the writer thread is busy {writer_seconds / stage_seconds:.0%} of it",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("what", "pages/s", "seconds"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for what, seconds in (("read and extracted, one thread", read_seconds), ("stored by the stage", stage_seconds)):
        table.add_row(what, f"{len(pages) / seconds:,.0f}", f"{seconds:.2f}")
    return table


def stored_pages(data_dir: Path) -> list[RawPage]:
    env = Environment(data_dir, map_size_bytes=1 << 36)
    with env.snapshot() as txn:
        pages = [get_raw(txn, RawId(key.hex())) for key, _ in txn.scan("raw")]
    env.close()
    return sorted(pages, key=lambda page: (page.fetched_at, page.kind is not JobKind.PROFILE))


def reading_seconds(pages: list[RawPage], readers: dict[Platform, PlatformAdapter]) -> float:
    started = time.perf_counter()
    for page in pages:
        with_extracted(readers[page.platform].normalise(page))
    return time.perf_counter() - started


async def stage_seconds_of(
    pages: list[RawPage], readers: dict[Platform, PlatformAdapter], folder: Path
) -> tuple[float, float]:
    """(wall, writer busy) of one Normaliser over an empty store in which the pages wait."""
    env = Environment(folder / "data", map_size_bytes=1 << 36)
    nobody = Suppression.open(folder / "suppression")

    def arrive(txn: Txn) -> list[AnyWork]:
        waiting: list[AnyWork] = []
        for page in pages:
            raw_id, body = seal(page)
            put_raw(txn, page, raw_id, body)
            waiting.append(enqueue(txn, RawStored(raw_id=raw_id, platform=page.platform), page.fetched_at))
        return waiting

    waiting = await env.write(arrive)
    into, inbox = trio.open_memory_channel[AnyWork](len(waiting))
    out, following = trio.open_memory_channel[AnyWork](len(waiting))
    for message in waiting:
        into.send_nowait(message)
    into.close()
    stage = partial(
        Normaliser,
        adapters=readers,
        visits_of=policies_of(POLICY),
        backfill_items=dict.fromkeys(Platform, 50),
        discovery=DiscoveryBudgets(),
        discovered_on=(),
        batch=BATCH,
    )
    started, busy = time.perf_counter(), env.writer_busy_seconds
    await stage(
        inbox, Outbox(out, Meter()), env=env, work=Work(env), now=time.time, suppression=nobody, meter=Meter()
    ).run()
    seconds, busy = time.perf_counter() - started, env.writer_busy_seconds - busy
    await following.aclose()
    nobody.close()
    env.close()
    return seconds, busy
