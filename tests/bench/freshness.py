"""How long after its commit to the catalogue a creator is found, while others stream in at full rate."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from rich.table import Table

from proto.ids import Platform, account_key, creator_id_of
from tests.flow.processes import Daemon

WATCHED = 8
"""Creators that are looked for at a time: each look costs the daemon a request."""
PATIENCE_SECONDS = 600


def bench_freshness(daemon: Daemon, channel_ids: Sequence[str], sample: int) -> Table:
    """The first look that shows the creator by its id starts its clock, the first search that finds it stops it: what is
    measured is too long by the interval between two looks, never too short by more than that."""
    waiting = [(channel, str(creator_id_of(account_key(Platform.YOUTUBE, channel)))) for channel in channel_ids]
    watched: dict[str, tuple[str, float | None]] = {}
    delays: list[float] = []
    looks: list[float] = []
    ends = time.monotonic() + PATIENCE_SECONDS
    while len(delays) < sample and (waiting or watched) and time.monotonic() < ends:
        while len(watched) < WATCHED and waiting:
            channel, creator_id = waiting.pop()
            watched[channel] = creator_id, None
        began = time.perf_counter()
        for channel, (creator_id, since) in list(watched.items()):
            if since is None:
                known = daemon.get(f"/v1/creators/{creator_id}").status_code == 200
                since = time.perf_counter() if known else None
                watched[channel] = creator_id, since
            if since is not None and _is_found(daemon, channel, creator_id):
                delays.append(time.perf_counter() - since)
                del watched[channel]
        looks.append(time.perf_counter() - began)
    return _table(delays, looks, daemon.get("/readyz").json()["counts"]["work_pending"])


def _is_found(daemon: Daemon, channel: str, creator_id: str) -> bool:
    hits = daemon.get("/v1/search", q=channel, limit=1, interpret="off").json()["hits"]
    return bool(hits) and hits[0]["creator"]["creator_id"] == creator_id


def _table(delays: Sequence[float], looks: Sequence[float], left: int) -> Table:
    table = Table(
        title=f"from the catalogue to a search that finds it: {len(delays)} creators while others stream in "
        f"({left:,} pieces of work left at the end)",
        title_justify="left",
    )
    for heading in ("p50 s", "p95 s", "p99 s", "longest s", "between two looks, p50 s"):
        table.add_column(heading, justify="right")
    figures = [float(np.percentile(delays, share)) for share in (50, 95, 99, 100)] if delays else []
    table.add_row(*(f"{figure:.2f}" for figure in [*figures, float(np.median(looks))]))
    return table
