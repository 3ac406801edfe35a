"""`make bench-million`: a million creators through the product's own import, and what they cost beside the bare engines.

``python -m tests.bench.million [--sizes 10000,100000,…]``. Everything is kept in ``$POKEDEXD_BENCH_DIR/million``, else
``~/.cache/pokedexd-bench/million``; an interrupted run goes on where it was. Before a large store is backed up, which takes room
twice, what is not read any more is deleted, so that a million takes 60 GB at most; what a run after that misses it makes anew.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from daemon.admin_client import AdminClient
from daemon.cli_creators import send
from daemon.config import SearchConfig
from daemon.given_file import import_id_of
from daemon.warming import IN_MEMORY, STORE
from stores.removal import remove_gently
from tests.bench.million_bare import Inserted
from tests.bench.million_load import Latency, beside, disk_mib, resident_mib, with_children
from tests.bench.million_picture import draw
from tests.bench.million_recall import Judged
from tests.bench.million_world import CHUNK, World, chunk_files, make_files, vocabulary
from tests.bench.pipeline import cpu_seconds
from tests.bench.search_at_size import ONE_THREAD, PLAIN, Peer, cell_of, line_of, table_of
from tests.bench.search_data import FIVE_PERCENT, ONE_PERCENT, WHOLE, Queries, Query
from tests.bench.search_fusion import TOP
from tests.bench.search_load import Order
from tests.bench.search_world import STILL
from tests.flow.processes import ROOT, Daemon, wait_for

SIZES = (10_000, 100_000, 300_000, 1_000_000)
KINDS = (WHOLE, FIVE_PERCENT, ONE_PERCENT)
CLIENTS = (1, 4)
WARM_UP, WARM_UP_SECONDS = 1_000, 30
"""Searches before those that are measured: what an import left in memory are not the pages that searches read."""
BACKLOG_SECONDS = 30.0
BESIDE_PER_SECOND = 20.0
ROOM_FROM = 300_000
"""Creators from which on room is made for a backup."""
FRESH_PIECES, FRESH_PER_PIECE = 20, 100
EXTRA_CHUNKS = 6
"""Files behind the largest size: one that is not measured, two alone, two with searches beside, one for freshness."""
ADMIN_SOCKET = "admin.sock"


class Chunk(msgspec.Struct, kw_only=True):
    """What the import of one file took."""

    creators: int
    seconds: float
    cpu_seconds: float


class Size(msgspec.Struct, kw_only=True):
    """What was measured with so many creators in the store."""

    creators: int
    load: float
    """Load average of the machine at the begin: others may share it."""
    resident_mib: float = 0.0
    mapped_mib: float = 0.0
    """With pages of mapped files, the store's among them."""
    disk_mib: float = 0.0
    index_mib: float = 0.0
    store_mib: float = 0.0
    keyword_seconds: float = 0.0
    """From the start of the process until the first answer."""
    vectors_seconds: float = 0.0
    """Until all four fields serve, files checked."""
    searches: dict[str, dict[int, Latency]] = {}
    cpu_milliseconds: dict[str, float] = {}
    bare: dict[str, dict[int, Latency]] = {}
    bare_cpu_milliseconds: dict[str, float] = {}
    half_load: Latency | None = None
    recall: dict[str, float] = {}
    """Share of the true best twenty among the first twenty hits, every match and vector compared."""
    idle: Latency | None = None
    """Searches at a steady pace with nothing beside."""
    beside_import: Latency | None = None
    import_alone: float = 0.0
    import_beside: float = 0.0
    """Creators a second, without and with searches beside."""
    fresh: Latency | None = None
    """From the import's answer until a search finds the creator."""
    backlog_per_second: float = 0.0
    """Accounts whose place among creators is looked at, after an import."""
    backup_seconds: float = 0.0
    beside_backup: Latency | None = None
    verify_seconds: float = 0.0
    backup_sound: bool = False


class Measured(msgspec.Struct, kw_only=True):
    world: str
    chunks: list[Chunk] = []
    bare_chunks: list[Inserted] = []
    sizes: dict[int, Size] = {}


class Run:
    """One world in one folder."""

    def __init__(self, given: argparse.Namespace, console: Console) -> None:
        self.sizes = sorted(int(one) for one in given.sizes.split(","))
        self.world = World(creators=self.sizes[-1], seed=given.seed, full=not given.real, items=given.items)
        base = Path(os.environ.get("POKEDEXD_BENCH_DIR") or Path.home() / ".cache" / "pokedexd-bench")
        self.root = base / "million" / self.world.mark
        self.files = base / "million" / "files"
        self.bare = self.root / "bare"
        self.data = self.root / "data"
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.console, self.given = console, given
        self._figures = self.root / "measured.json"
        self.measured = Measured(world=self.world.mark)
        if self._figures.exists():
            self.measured = msgspec.json.decode(self._figures.read_bytes(), type=Measured)
        self.queries = Queries(vocabulary(), given.seed)

    def save(self) -> None:
        partial_file = self._figures.with_suffix(".part")
        partial_file.write_bytes(msgspec.json.format(msgspec.json.encode(self.measured), indent=1))
        partial_file.rename(self._figures)

    @property
    def extra(self) -> list[Path]:
        """Files behind the largest size, for what is imported while something else is measured."""
        more = msgspec.structs.replace(self.world, creators=self.world.creators + EXTRA_CHUNKS * CHUNK)
        return chunk_files(more, self.files)[self.world.creators // CHUNK :]

    @contextmanager
    def daemon(self) -> Iterator[tuple[Daemon, AdminClient]]:
        """It fetches nothing, its clock stands still, and it has the model whose vectors the world has."""
        settings = STILL | {
            "MODEL__KIND": "onnx",
            "SEARCH__CAPACITY_CREATORS": str(self.world.creators + EXTRA_CHUNKS * CHUNK),
            "SEARCH__VECTOR_ROWS": "int8",
            "SEARCH__EF": str(self.given.ef),
        }
        env = _clean() | ONE_THREAD | {f"POKEDEXD_{name}": value for name, value in settings.items()}
        with Daemon(self.data, env) as daemon:
            yield daemon, AdminClient(self.data / ADMIN_SOCKET)
            self.console.print("stopping, which saves the graphs", style="dim")
            assert daemon.terminate() == 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.million", description=__doc__)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="creators at which is measured, ascending")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--items", type=int, default=20, help="content items of a creator")
    parser.add_argument("--real", action="store_true", help="1.3 accounts and 2.6 vectors a creator, not 2 and 4")
    parser.add_argument("--ef", type=int, default=SearchConfig().ef, help="breadth of a graph look-up, for both")
    parser.add_argument("--judged", type=int, default=40, help="queries of each kind whose best are looked up in full")
    parser.add_argument("--without", action="append", default=[], choices=("bare", "search", "backup", "beside"))
    given = parser.parse_args()
    console = Console(width=130)
    run = Run(given, console)
    console.print(f"world {run.world.mark} in {run.root}; machine shared: read the ratios")
    chunks = chunk_files(run.world, run.files)
    if run.sizes[-1] not in run.measured.sizes:
        make_files(msgspec.structs.replace(run.world, creators=run.world.creators + EXTRA_CHUNKS * CHUNK), run.files)
        if "bare" not in given.without:
            _bare_inserts(run, chunks)
    for size in run.sizes:
        if size not in run.measured.sizes:
            _measure(run, size, chunks)
    for table in tables(run.measured):
        console.print(table)
    picture = run.root / "growth.svg"
    picture.write_text(draw(run.measured.chunks, run.measured.bare_chunks, run.measured.sizes))
    console.print(f"figures {run.root / 'measured.json'}, picture {picture}")


def _bare_inserts(run: Run, chunks: Sequence[Path]) -> None:
    """The whole world in one go, since a graph is not built on from a file; nothing is kept of a part."""
    if len(run.measured.bare_chunks) >= len(chunks) and any(run.bare.glob("*.hnsw")):
        return
    run.measured.bare_chunks = []
    command = [sys.executable, "-m", "tests.bench.million_bare", str(run.bare), *map(str, chunks)]
    env = os.environ | ONE_THREAD
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told = msgspec.json.decode(line, type=Inserted)
            run.measured.bare_chunks.append(told)
            rate = CHUNK / told.seconds
            print(f"\rbare graphs: {told.creators:,} creators, {rate:,.0f} a second", end="", flush=True)
    print()
    if process.returncode:
        raise RuntimeError("the bare engine failed; what it said stands above")
    run.save()


def _measure(run: Run, size: int, chunks: Sequence[Path]) -> None:
    """The largest size once more beside the bare engines, and beside other work; what that brings in comes last."""
    found = Size(creators=size, load=os.getloadavg()[0])
    largest, without = size == run.sizes[-1], run.given.without
    judged: list[Judged] = []
    with run.daemon() as (daemon, client):
        _wait_loaded(daemon)
        _pause_identity(run, "resume")  # a run before may have been interrupted
        _import(run, daemon, client, chunks[: size // CHUNK])
        _pause_identity(run)
        found.resident_mib, found.mapped_mib = _memory(daemon)
        if "search" not in without:
            _wait_warm(daemon)
            _searches(run, daemon, found)
            judged = [_judged(run, daemon, kind) for kind in KINDS] if largest else []
    found.disk_mib, found.index_mib = disk_mib(run.data), disk_mib(run.data / "indexes")
    found.store_mib = disk_mib(run.data / "store")
    if judged and "bare" not in without:
        export_columns(run)
        found.recall = _recall(run, judged)
        _bare_searches(run, found)
        if size >= ROOM_FROM and "backup" not in without:
            _make_room(run)
    began = time.perf_counter()
    with run.daemon() as (daemon, client):
        _cold_start(daemon, found, began)
        _wait_warm(daemon)
        if largest and "backup" not in without:
            _backup(run, daemon, client, found)
        if largest and "beside" not in without:
            _, found.idle = beside(daemon.url, _stream(run), BESIDE_PER_SECOND, lambda: time.sleep(20), PLAIN)
        _pause_identity(run, "resume")
        if largest and "beside" not in without:
            _beside(run, daemon, client, found)
            found.backlog_per_second = _backlog_rate(daemon)
    run.measured.sizes[size] = found
    run.save()


def _make_room(run: Run) -> None:
    """The bare graphs, the vectors by row, and the files of creators that are in the store."""
    imported = chunk_files(run.world, run.files)[: len(run.measured.chunks)]
    vectors = [path for chunk in imported for path in run.files.glob(f"{chunk.stem}.*.npy")]
    for path in (*run.bare.glob("*.hnsw"), *run.root.glob("*.npy"), *imported, *vectors):
        path.unlink(missing_ok=True)


def _pause_identity(run: Run, word: str = "pause") -> None:
    """Whom accounts belong with besides is looked at after an import, for as long again; searches are measured without."""
    command = [sys.executable, "-m", "daemon", "ctl", word, "identity", "--data-dir", str(run.data)]
    subprocess.run(command, cwd=ROOT, env=_clean(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def _backlog_rate(daemon: Daemon) -> float:
    """Accounts a second whose place among creators is looked at, with nothing beside."""
    time.sleep(10.0)
    before, began = _pending(daemon), time.perf_counter()
    time.sleep(BACKLOG_SECONDS)
    return (before - _pending(daemon)) / (time.perf_counter() - began)


def _pending(daemon: Daemon) -> int:
    return int(daemon.get("/readyz").json()["counts"]["work_pending"])


def _import(run: Run, daemon: Daemon, client: AdminClient, chunks: Sequence[Path]) -> None:
    """What an earlier run took in is not sent again."""
    for chunk in chunks[len(run.measured.chunks) :]:
        seconds, cpu = _send(run, daemon, client, chunk)
        run.measured.chunks.append(Chunk(creators=CHUNK, seconds=seconds, cpu_seconds=cpu))
        run.save()
        done = len(run.measured.chunks) * CHUNK
        print(f"\r{done:,} of {run.world.creators:,}, {CHUNK / seconds:,.0f} a second", end="", flush=True)
    print()
    _wait_indexed(daemon)


def _send(run: Run, daemon: Daemon, client: AdminClient, chunk: Path) -> tuple[float, float]:
    """By the importer of the command line, in pieces as it cuts them. Seconds, and those of the daemon's processors."""
    began, before = time.perf_counter(), _spent(daemon)
    sent = send(chunk, client, import_id_of(chunk), run.root / "verdicts.csv", lambda *_: None)
    if sent.refused or sent.counts["added"] + sent.counts["known"] != CHUNK:
        raise RuntimeError(f"{chunk}: {sent.counts}: {sent.refused}")
    return time.perf_counter() - began, _spent(daemon) - before


def _spent(daemon: Daemon) -> float:
    return sum(map(cpu_seconds, with_children(daemon.process.pid)))


def _memory(daemon: Daemon) -> tuple[float, float]:
    each = [resident_mib(pid) for pid in with_children(daemon.process.pid)]
    return sum(own for own, _ in each), sum(mapped for _, mapped in each)


def _wait_indexed(daemon: Daemon) -> None:
    """Until the lane has nothing left; whom accounts belong with besides goes on afterwards."""
    wait_for(lambda: _stage(daemon, "bulk") == 0 and _stage(daemon, "indexer") == 0, "the lane")
    time.sleep(2.0)


def _stage(daemon: Daemon, name: str) -> int:
    stages = daemon.get("/readyz").json()["stages"]
    return next(int(one["queue_depth"]) for one in stages if one["name"] == name)


def _wait_loaded(daemon: Daemon) -> None:
    wait_for(partial(_is_loaded, daemon), "the daemon")


def _wait_warm(daemon: Daemon) -> None:
    """Until the daemon has brought into memory what hits show, as it does after a start and after an import."""
    wait_for(lambda: _is_warm(daemon), "what hits show")


def _is_warm(daemon: Daemon) -> bool:
    store = daemon.get("/readyz").json()["dependencies"].get(STORE)
    return store is not None and store["detail"] == IN_MEMORY


def _is_loaded(daemon: Daemon) -> bool:
    ready = daemon.get("/readyz").json()
    parts = ready["dependencies"]
    fields = [part for name, part in parts.items() if name.startswith("vectors/")]
    return len(fields) == 4 and all(part["state"] == "ok" for part in fields)


def _stream(run: Run, kind: str = WHOLE) -> Iterator[Query]:
    while True:
        yield from run.queries.take(kind, 20)


def _searches(run: Run, daemon: Daemon, found: Size) -> None:
    """Closed loops of so many clients, then a steady pace at half of what four clients got."""
    peer = Peer("http", daemon.url, f"--parameters={PLAIN}", served=daemon.process.pid)
    try:
        peer.run(Order(queries=run.queries.take(WHOLE, WARM_UP), clients=2, seconds=WARM_UP_SECONDS))
        for kind in KINDS:
            _search_rounds(run, peer, kind, found.searches, found.cpu_milliseconds)
    finally:
        peer.close()
    pace = found.searches[WHOLE][max(CLIENTS)].per_second / 2
    _, found.half_load = beside(daemon.url, _stream(run), pace, lambda: time.sleep(15), PLAIN)


def _search_rounds(run: Run, peer: Peer, kind: str, into: dict[str, dict[int, Latency]], cpu: dict[str, float]) -> None:
    for clients in CLIENTS:
        order = Order(queries=run.queries.take(kind, 250 * clients), clients=clients, seconds=15)
        cell = cell_of([peer.run(order)])
        into.setdefault(kind, {})[clients] = Latency(
            requests=cell.requests, p50=cell.p50, p95=cell.p95, p99=cell.p99, per_second=cell.per_second
        )
        cpu[kind] = cell.cpu


def _bare_searches(run: Run, found: Size) -> None:
    """The engines over the daemon's own files, with the daemon gone: there is no room for both at a million."""
    peer = Peer("bare", str(run.root), f"--ef={run.given.ef}", "--kind=onnx")
    try:
        peer.run(Order(queries=run.queries.take(WHOLE, WARM_UP), clients=2, seconds=WARM_UP_SECONDS))
        for kind in KINDS:
            _search_rounds(run, peer, kind, found.bare, found.bare_cpu_milliseconds)
    finally:
        peer.close()


def _beside(run: Run, daemon: Daemon, client: AdminClient, found: Size) -> None:
    """An import alone, with searches, and each once more. As many pieces wait to be indexed when one begins as when it ends:
    the first import is not measured. The latencies are those of the last."""
    first, *some, fresh = run.extra
    _send(run, daemon, client, first)
    alone, with_searches = 0.0, 0.0
    for one, other in zip(some[::2], some[1::2], strict=True):
        alone += _send(run, daemon, client, one)[0]
        (seconds, _), found.beside_import = beside(
            daemon.url,
            _stream(run),
            BESIDE_PER_SECOND,
            partial(_send, run, daemon, client, other),
            PLAIN,
        )
        with_searches += seconds
    found.import_alone, found.import_beside = (len(some) // 2 * CHUNK / seconds for seconds in (alone, with_searches))
    _wait_indexed(daemon)
    found.fresh = _freshness(run, daemon, client, fresh)


def _freshness(run: Run, daemon: Daemon, client: AdminClient, chunk: Path) -> Latency:
    """A hundred creators a second come in; three of each piece are looked for by their handles."""
    lines = chunk.read_bytes().split(b"\n")
    spent: list[float] = []
    began = time.perf_counter()
    for number in range(FRESH_PIECES):
        piece = run.root / "fresh.jsonl"
        part = lines[number * FRESH_PER_PIECE : (number + 1) * FRESH_PER_PIECE]
        piece.write_bytes(b"\n".join(part) + b"\n")
        send(piece, client, import_id_of(piece), run.root / "verdicts.csv", lambda *_: None)
        durable = time.perf_counter()
        for line in (part[0], part[len(part) // 2], part[-1]):
            handle = msgspec.json.decode(line)["accounts"][0]["handle"]
            wait_for(partial(_is_found, daemon, handle), handle)
            spent.append((time.perf_counter() - durable) * 1_000)
        time.sleep(max(began + number + 1 - time.perf_counter(), 0))
    return Latency.of(spent, time.perf_counter() - began)


def _is_found(daemon: Daemon, handle: str) -> bool:
    hits = daemon.get("/v1/search", q=handle, limit=1, interpret="off").json()["hits"]
    return bool(hits) and hits[0]["creator"]["canonical_handle"] == handle


def _backup(run: Run, daemon: Daemon, client: AdminClient, found: Size) -> None:
    file = run.root / "backup.pkdx"
    file.unlink(missing_ok=True)
    began = time.perf_counter()
    _, found.beside_backup = beside(
        daemon.url, _stream(run), BESIDE_PER_SECOND / 2, partial(client.back_up, file), PLAIN
    )
    found.backup_seconds = time.perf_counter() - began
    began = time.perf_counter()
    command = [sys.executable, "-m", "daemon", "verify", str(file)]
    told = subprocess.run(command, cwd=ROOT, env=_clean(), stdout=subprocess.DEVNULL, check=False)
    found.backup_sound = told.returncode == 0
    found.verify_seconds = time.perf_counter() - began
    remove_gently(file)


def _cold_start(daemon: Daemon, found: Size, began: float) -> None:
    """Not from a cold disk: what the system keeps of the files is as it was left."""
    wait_for(partial(_answers, daemon), "keyword search")
    found.keyword_seconds = time.perf_counter() - began
    _wait_loaded(daemon)
    found.vectors_seconds = time.perf_counter() - began
    found.resident_mib, found.mapped_mib = max((found.resident_mib, found.mapped_mib), _memory(daemon))


def _judged(run: Run, daemon: Daemon, kind: str) -> Judged:
    queries = run.queries.take(kind, run.given.judged)
    return Judged(kind=kind, queries=queries, hits=[_hits(daemon, query) for query in queries])


def _hits(daemon: Daemon, query: Query) -> list[int]:
    extra = {"filter": query.filter} if query.filter else {}
    reply = daemon.get("/v1/search", q=query.text, limit=TOP, interpret="off", **extra)
    reply.raise_for_status()
    return [int(hit["creator"]["creator_id"]) for hit in reply.json()["hits"]]


def _recall(run: Run, judged: Sequence[Judged]) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.million_recall", str(run.root)]
    asked = msgspec.json.encode(judged)
    told = subprocess.run(command, cwd=ROOT, input=asked, stdout=subprocess.PIPE, check=True, env=_clean() | ONE_THREAD)
    return msgspec.json.decode(told.stdout, type=dict[str, float])


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("POKEDEXD_")}


def _answers(daemon: Daemon) -> bool:
    return daemon.get("/v1/search", q="fitness", limit=5, filter="followers > 10000").status_code == 200


def export_columns(run: Run) -> None:
    """What the bare engines filter by, and their vectors, by row."""
    command = [sys.executable, "-m", "tests.bench.million_export", str(run.root), *map(str, _chunks_in_store(run))]
    subprocess.run(command, cwd=ROOT, check=True)


def _chunks_in_store(run: Run) -> list[Path]:
    return chunk_files(run.world, run.files)[: len(run.measured.chunks)]


def tables(measured: Measured) -> Iterator[Table]:
    yield _import_table(measured)
    yield _size_table(measured)
    yield _search_table(measured)
    for size in measured.sizes.values():
        if size.recall:
            told = ", ".join(f"{kind} {share:.3f}" for kind, share in size.recall.items())
            yield line_of(f"{size.creators:,} creators: recall of the first twenty: {told}")


def _import_table(measured: Measured) -> Table:
    table = table_of("import", "creators", "creators/s", "daemon's CPU ms", "bare graphs/s", "share of bare")
    done = 0
    for number, chunk in enumerate(measured.chunks):
        done += chunk.creators
        if done not in measured.sizes and done % 100_000:
            continue
        bare = measured.bare_chunks[number].seconds if number < len(measured.bare_chunks) else 0.0
        table.add_row(
            f"{done:,}",
            f"{chunk.creators / chunk.seconds:,.0f}",
            f"{chunk.cpu_seconds / chunk.creators * 1_000:.2f}",
            f"{chunk.creators / bare:,.0f}" if bare else "",
            f"{bare / chunk.seconds:.0%}" if bare else "",
        )
    return table


def _size_table(measured: Measured) -> Table:
    table = table_of(
        "by size",
        "creators",
        "resident MiB",
        "with mapped files",
        "store MiB",
        "indexes MiB",
        "keyword s",
        "vectors s",
        "load",
    )
    for size in measured.sizes.values():
        table.add_row(
            f"{size.creators:,}",
            *(f"{one:,.0f}" for one in (size.resident_mib, size.mapped_mib, size.store_mib, size.index_mib)),
            *(f"{one:.1f}" for one in (size.keyword_seconds, size.vectors_seconds, size.load)),
        )
    return table


def _search_table(measured: Measured) -> Table:
    table = table_of(
        "search", "creators", "kind", "clients", "p50 ms", "p95", "p99", "a second", "bare p50", "of bare", left="kind"
    )
    for size in measured.sizes.values():
        for kind, by_clients in size.searches.items():
            for clients, one in by_clients.items():
                bare = size.bare.get(kind, {}).get(clients)
                table.add_row(f"{size.creators:,}", kind, str(clients), *_latency(one), *_against(one, bare))
        for name, latency in (
            ("half load", size.half_load),
            ("20 a second, idle", size.idle),
            (f"beside import ({size.import_beside:,.0f} of {size.import_alone:,.0f}/s)", size.beside_import),
            (f"beside backup ({'sound' if size.backup_sound else 'DAMAGED'})", size.beside_backup),
            ("found after import", size.fresh),
        ):
            if latency is not None:
                table.add_row(f"{size.creators:,}", name, "", *_latency(latency))
    return table


def _latency(one: Latency) -> list[str]:
    return [*(f"{figure:.1f}" for figure in (one.p50, one.p95, one.p99)), f"{one.per_second:.0f}"]


def _against(one: Latency, bare: Latency | None) -> list[str]:
    return [f"{bare.p50:.1f}", f"{one.per_second / bare.per_second:.0%}"] if bare else []


if __name__ == "__main__":
    main()
