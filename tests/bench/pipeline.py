"""From an import to everything searchable: accounts and items a second, what each stage did, what held it up."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from rich.table import Table

from tests.flow.processes import Daemon

POLL_SECONDS = 0.2


def bench_pipeline(daemon: Daemon, creators: int, title: str = "pipeline") -> Table:
    """Waits until the daemon is done. The clock starts at the first account, so loading the model is left out."""
    started = cpu_at_start = written_at_start = 0.0
    while True:
        ready = daemon.get("/readyz").json()
        counts = ready["counts"]
        if not started and counts["accounts"]:
            started, cpu_at_start = time.perf_counter(), cpu_seconds(daemon.process.pid)
            written_at_start = writer_busy_seconds(daemon)
        if counts["accounts"] >= creators and counts["work_pending"] == 0:
            break
        time.sleep(POLL_SECONDS)
    seconds = time.perf_counter() - started
    cpu = cpu_seconds(daemon.process.pid) - cpu_at_start
    writer = writer_busy_seconds(daemon) - written_at_start
    return _table(ready, seconds, cpu, writer, peak_mib(daemon.process.pid), title)


def _table(ready: dict[str, Any], seconds: float, cpu: float, writer: float, peak: float, title: str) -> Table:
    counts = ready["counts"]
    accounts, items = counts["accounts"] / seconds, counts["content_items"] / seconds
    table = Table(
        title=f"{title}: {counts['accounts']:,} accounts with {counts['content_items']:,} items in {seconds:.1f} s = "
        f"{accounts:.0f} accounts/s, {items:.0f} items/s; {cpu / seconds:.2f} cores busy, the store's writer thread "
        f"{writer / seconds:.0%} of the time; peak memory {peak:.0f} MiB",
        caption=f"bottleneck: {bottleneck(ready['stages'], seconds)}",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("stage", "workers", "handled", "busy s", "busy of the time", "blocked on the next s"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for stage in ready["stages"]:
        table.add_row(
            stage["name"],
            str(stage["workers"]),
            f"{stage['handled']:,}",
            f"{stage['busy_seconds']:.1f}",
            f"{stage['busy_seconds'] / max(stage['workers'], 1) / seconds:.0%}",
            f"{stage['blocked_seconds']:.1f}",
        )
    return table


def bottleneck(stages: list[dict[str, Any]], seconds: float) -> str:
    """The stage whose workers were busy for the greatest part of the time."""

    def share(stage: dict[str, Any]) -> float:
        return float(stage["busy_seconds"] / max(stage["workers"], 1) / seconds)

    worst = max(stages, key=share)
    return f"{worst['name']}, busy {share(worst):.0%} of the time"


def writer_busy_seconds(daemon: Daemon) -> float:
    transport = httpx2.HTTPTransport(uds=str(daemon.data_dir / "admin.sock"))
    with httpx2.Client(transport=transport, base_url="http://admin") as client:
        lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("pokedexd_writer_busy_seconds_total ")).split()[1])


@contextmanager
def one_core() -> Iterator[None]:
    """What is started within keeps to one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def peak_mib(pid: int) -> float:
    """Greatest resident size so far (VmHWM; mapped pages of the store included)."""
    return _status(pid, "VmHWM") / 1024


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads (proc(5), fields 14 and 15, in ticks of 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
