"""`make bench-search`: search over HTTP at size, beside the bare engines and SQLite on the same data, in turn.

The world is made once and kept (see `world_folder`); what was measured is written beside it, as JSON.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import msgspec
import numpy as np
import trio
from rich.console import Console
from rich.table import Table

from daemon.config import Config
from daemon.control import weights_of
from daemon.embedding import open_model
from daemon.evaluation.search_store import open_search
from daemon.pipeline import taxonomy_of
from daemon.simulator.generator import NOW
from models.embedding_port import EmbeddingPort
from stores.env import Environment
from tests.bench.pipeline import cpu_seconds, peak_mib
from tests.bench.search_data import CLASSES, WHOLE, Data, Mask, Queries, Query, export
from tests.bench.search_engines import build_graphs
from tests.bench.search_fusion import TOP
from tests.bench.search_load import Order, Outcome
from tests.bench.search_oracle import Oracle, planner_recall, recall_of
from tests.bench.search_sqlite import build
from tests.bench.search_world import (
    MAP_SIZE_BYTES,
    Folder,
    Vocabulary,
    adopt_rules,
    make_world,
    open_daemon,
    world_folder,
)
from tests.flow.processes import ROOT, Daemon

SYSTEMS = ("http", "bare", "sqlite")
NAMES = {"http": "over HTTP", "bare": "bare engines", "sqlite": "SQLite"}
"""The last: sqlite-vec and FTS5."""
CLIENTS = (1, 4, 16)
SELECTIVITIES = (1.0, 0.5, 0.1, 0.03, 0.01, 0.001)
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Searches run side by side: a product that is split over threads as well waits for itself, spinning."""
PLAIN = "&interpret=off&explain=none"
"""What the engines do not do either is left out: briefs are not read, hits not explained."""
TARGETS = (
    "p50 and CPU: as a multiple of the bare engines' (to be at most 1.4 and 1.5); rate: of SQLite's requests a second "
    "(to be at least 1.5)"
)


class Cell(msgspec.Struct, kw_only=True):
    """One system under so many clients; ``cpu``: milliseconds of its process a query."""

    requests: int
    p50: float
    p95: float
    p99: float
    per_second: float
    cpu: float


class Measured(msgspec.Struct, kw_only=True):
    """By kind of query, clients and system."""

    creators: int
    model: str
    cells: dict[str, dict[int, dict[str, Cell]]] = {}
    recall: dict[str, dict[str, float]] = {}
    planner: dict[str, dict[str, float]] = {}
    with_defaults: Cell | None = None
    peak_mib: dict[str, float] = {}


class Peer:
    """A system that is given orders: see `tests.bench.search_load`. ``served``: the process whose work it is."""

    def __init__(self, system: str, place: str, *options: str, served: int | None = None) -> None:
        command = [sys.executable, "-m", "tests.bench.search_load", system, place, *options]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | ONE_THREAD, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.pid = served or self._process.pid
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{system}: did not start")

    def run(self, order: Order) -> tuple[Outcome, float]:
        """And the CPU seconds that it took."""
        assert self._process.stdin is not None and self._process.stdout is not None
        before = cpu_seconds(self.pid)
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a load generator died; what it said stands above")
        return msgspec.json.decode(line, type=Outcome), cpu_seconds(self.pid) - before

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.terminate()
        self._process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.search_at_size", description=__doc__)
    parser.add_argument("--creators", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="", help="folder of another embedding model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=150, help="of one client in a round; more clients ask for more")
    parser.add_argument("--seconds", type=float, default=8.0, help="of a round at most")
    parser.add_argument("--judged", type=int, default=60, help="queries of each kind whose best are looked up in full")
    parser.add_argument("--without", action="append", default=[], choices=SYSTEMS)
    given = parser.parse_args()
    console = Console(width=130)
    config = _config(given.model)
    model = open_model(config, lambda _: None)
    folder = world_folder(given.creators, given.seed, model)
    console.print(f"world: {folder.root}")
    trio.run(make_world, folder, given.creators, given.seed, model)
    adopt_rules(folder, given.model)
    words = Vocabulary(taxonomy_of(config).niches, model)
    queries = Queries(words, given.seed)
    judged = {kind: queries.take(kind, given.judged) for kind in CLASSES}
    measured = Measured(creators=given.creators, model=model.model_id)
    truth = trio.run(_look, folder, config, model, judged, measured)
    dims = model.dims
    model.close()
    systems = [system for system in SYSTEMS if system not in given.without]
    if "bare" in systems:
        build_graphs(folder.root, dims)
    if "sqlite" in systems:
        build(folder.root)
    with _peers(folder, systems, given.model) as (daemon, peers):
        _warm(peers, queries)
        _judge(daemon, peers, Data(folder.root), judged, truth, measured)
        for kind in CLASSES:
            for clients in CLIENTS:
                console.print(f"{kind}, {clients} clients", style="dim")
                _measure(peers, queries, kind, clients, given, measured)
        if "http" in peers:
            measured.with_defaults = _with_defaults(daemon, queries, given.requests)
        measured.peak_mib = {system: peak_mib(peer.pid) for system, peer in peers.items()}
    for table in _tables(measured):
        console.print(table)
    console.print(TARGETS)
    target = folder.root / f"measured-{time.strftime('%Y%m%d-%H%M%S')}.json"
    target.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=1))
    console.print(f"written to {target}")


def _config(model: str) -> Config:
    config = Config()
    if not model:
        return config
    return msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, dir=model))


async def _look(
    folder: Folder, config: Config, model: EmbeddingPort, judged: Mapping[str, Sequence[Query]], measured: Measured
) -> dict[str, list[list[int]]]:
    """The true best of each judged query, as rows; and what the planner finds at each selectivity."""
    env = Environment(folder.data, map_size_bytes=MAP_SIZE_BYTES)
    try:
        async with open_search(folder.data, env, model, config, lambda: float(NOW)) as opened:
            await opened.keeper.save()
            if not (folder.root / "columns.npz").exists():
                export(folder.root, env, opened.keeper, config.platforms.youtube.recent_items)
            data = Data(folder.root)
            assert opened.keeper.text is not None, "the text index is open"
            oracle = Oracle(data, opened.keeper.text, model, weights_of(config))
            vectors = list(model.embed([query.text for query in judged[CLASSES[0]]]))
            limit = config.search.candidates
            measured.planner = planner_recall(opened.keeper, vectors, _masks(data), limit)
            return {kind: [oracle.best(query).tolist() for query in queries] for kind, queries in judged.items()}
    finally:
        env.close()


def _masks(data: Data) -> dict[str, Mask | None]:
    """Creators drawn at random, which is the graph's worst case; and one niche, whose members are near one another."""
    dice = np.random.default_rng(5)
    drawn = dice.random(len(data.quality))
    masks: dict[str, Mask | None] = {f"{share:g}": drawn < share if share < 1 else None for share in SELECTIVITIES}
    return masks | {"one niche": data.niche == data.niche[0]}


@contextmanager
def _peers(folder: Folder, systems: Sequence[str], model: str) -> Iterator[tuple[Daemon, dict[str, Peer]]]:
    options = ["--model", model] if model else []
    with ExitStack() as stack:
        daemon = stack.enter_context(open_daemon(folder, model))
        peers = {}
        for system in systems:
            http = system == "http"
            place = daemon.url if http else str(folder.root)
            extra = [f"--parameters={PLAIN}"] if http else options
            peers[system] = Peer(system, place, *extra, served=daemon.process.pid if http else None)
            stack.callback(peers[system].close)
        yield daemon, peers
        assert daemon.terminate() == 0


def _warm(peers: Mapping[str, Peer], queries: Queries) -> None:
    for kind in CLASSES:
        for peer in peers.values():
            peer.run(Order(queries=queries.take(kind, 40), clients=2, seconds=15))


def _judge(
    daemon: Daemon,
    peers: Mapping[str, Peer],
    data: Data,
    judged: Mapping[str, Sequence[Query]],
    truth: Mapping[str, Sequence[Sequence[int]]],
    measured: Measured,
) -> None:
    """Share of the true best twenty that each system finds, by its own keyword scores: no two agree on those."""
    row_of = {int(creator_id): row for row, creator_id in enumerate(data.creator_id)}
    for kind, queries in judged.items():
        found = {"http": [_hits(daemon, query, row_of) for query in queries]} if "http" in peers else {}
        found |= {system: _rows(peers[system], queries) for system in peers if system != "http"}
        wanted = dict.fromkeys(found, truth[kind])
        if "sqlite" in peers:
            wanted["sqlite"] = _rows(peers["sqlite"], queries, whole=True)
        measured.recall[kind] = {
            system: float(np.mean([recall_of(rows, one) for rows, one in zip(lists, wanted[system], strict=True)]))
            for system, lists in found.items()
        }


def _hits(daemon: Daemon, query: Query, row_of: Mapping[int, int]) -> list[int]:
    extra = {"filter": query.filter} if query.filter else {}
    reply = daemon.get("/v1/search", q=query.text, limit=TOP, interpret="off", **extra)
    reply.raise_for_status()
    return [row_of[int(hit["creator"]["creator_id"])] for hit in reply.json()["hits"]]


def _rows(peer: Peer, queries: Sequence[Query], *, whole: bool = False) -> list[list[int]]:
    outcome, _ = peer.run(Order(queries=list(queries), clients=1, seconds=600, keep=True, whole=whole))
    return outcome.rows


def _measure(
    peers: Mapping[str, Peer], queries: Queries, kind: str, clients: int, given: argparse.Namespace, measured: Measured
) -> None:
    """The same queries for each system, in turn, round by round; which one begins changes."""
    outcomes: dict[str, list[tuple[Outcome, float]]] = {system: [] for system in peers}
    systems = list(peers)
    for turn in range(given.rounds):
        asked = queries.take(kind, given.requests * min(clients, 4))
        order = Order(queries=asked, clients=clients, seconds=given.seconds)
        for system in systems[turn % len(systems) :] + systems[: turn % len(systems)]:
            outcomes[system].append(peers[system].run(order))
    cells = measured.cells.setdefault(kind, {}).setdefault(clients, {})
    cells |= {system: cell_of(rounds) for system, rounds in outcomes.items()}


def cell_of(rounds: Sequence[tuple[Outcome, float]]) -> Cell:
    spent = np.concatenate([outcome.milliseconds for outcome, _ in rounds])
    p50, p95, p99 = (float(one) for one in np.percentile(spent, (50, 95, 99)))
    return Cell(
        requests=len(spent),
        p50=p50,
        p95=p95,
        p99=p99,
        per_second=len(spent) / sum(outcome.seconds for outcome, _ in rounds),
        cpu=sum(cpu for _, cpu in rounds) * 1_000 / len(spent),
    )


def _with_defaults(daemon: Daemon, queries: Queries, requests: int) -> Cell:
    """What a caller gets who sets nothing: briefs are read and hits explained. One client, no filter."""
    peer = Peer("http", daemon.url, served=daemon.process.pid)
    try:
        return cell_of([peer.run(Order(queries=queries.take(WHOLE, requests), clients=1, seconds=60))])
    finally:
        peer.close()


def _tables(measured: Measured) -> Iterator[Table]:
    for kind, by_clients in measured.cells.items():
        table = table_of(
            f"{kind}: {measured.creators:,} creators, {measured.model}",
            *("clients", "system", "requests", "p50 ms", "p95 ms", "p99 ms", "requests/s", "CPU ms", "recall of 20"),
            *("p50 ratio", "CPU ratio", "rate ratio"),
        )
        for clients, cells in by_clients.items():
            for system, cell in cells.items():
                table.add_row(*_cells(clients, system, cell, cells, measured.recall.get(kind, {})))
        yield table
    if measured.with_defaults is not None:
        one = measured.with_defaults
        yield line_of(
            f"with the API's defaults (briefs read, hits explained), one client: p50 {one.p50:.2f} ms, CPU {one.cpu:.2f} ms"
        )
    planner = table_of("the planner's nearest against comparing all", "creators that pass", "recall", "ms a field")
    for name, found in measured.planner.items():
        planner.add_row(name, f"{found['recall']:.4f}", f"{found['milliseconds']:.2f}")
    yield planner
    peaks = ", ".join(f"{NAMES[system]} {peak:,.0f} MiB" for system, peak in measured.peak_mib.items())
    yield line_of(f"peak memory: {peaks}")


def _cells(clients: int, system: str, cell: Cell, cells: Mapping[str, Cell], recall: Mapping[str, float]) -> list[str]:
    bare, sqlite = cells.get("bare"), cells.get("sqlite")
    return [
        str(clients),
        NAMES[system],
        f"{cell.requests:,}",
        *(f"{one:.2f}" for one in (cell.p50, cell.p95, cell.p99)),
        f"{cell.per_second:.1f}",
        f"{cell.cpu:.2f}",
        f"{recall[system]:.3f}" if system in recall else "",
        f"{cell.p50 / bare.p50:.2f}" if bare else "",
        f"{cell.cpu / bare.cpu:.2f}" if bare else "",
        f"{cell.per_second / sqlite.per_second:.2f}" if sqlite else "",
    ]


def line_of(text: str) -> Table:
    table = Table(show_header=False, box=None)
    table.add_row(text)
    return table


def table_of(title: str, *headings: str, left: str = "system") -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="left" if heading == left else "right")
    return table


if __name__ == "__main__":
    main()
