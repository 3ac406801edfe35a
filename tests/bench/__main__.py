"""`make bench`: what the daemon gives, beside what its engines give when they are called directly, in one run."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import trio
from rich.console import Console
from rich.table import Table

from daemon.config import Config, model_folder
from tests.bench.briefs import bench_briefs
from tests.bench.embedding import bench_embedding
from tests.bench.filters import bench_filters
from tests.bench.freshness import bench_freshness
from tests.bench.keyword import bench_keyword
from tests.bench.labelling import bench_labelling
from tests.bench.normalising import bench_normalising
from tests.bench.pipeline import bench_pipeline, one_core
from tests.bench.search import bench_search
from tests.flow.processes import Daemon, environment, import_world, simulator

FRESH_SAMPLE = 200


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--creators", type=int, default=5_000)
    parser.add_argument("--keyword-creators", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--texts", type=int, default=600)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    console = Console(width=110)
    model = model_folder(Config())
    console.print(f"seed {given.seed}, {given.creators:,} creators; machine shared: read the ratios, not the figures")
    console.print(bench_briefs())
    with tempfile.TemporaryDirectory(prefix="pokedexd-bench-") as folder:
        data = Path(folder) / "data"
        with simulator("--creators", str(given.creators), "--seed", str(given.seed)) as sim:
            env = environment(sim)
            import_world(sim, data, env)
            with Daemon(data, env) as daemon:
                console.print(bench_pipeline(daemon, given.creators))
                assert daemon.terminate() == 0  # saves the graphs, which the bare engines then open
            with Daemon(data, env) as daemon:
                daemon.wait_until_done()
                console.print(bench_search(daemon, model, given.queries, given.seed))
                assert daemon.terminate() == 0
        console.print(freshness(Path(folder) / "fresh", given.creators, given.seed))
        keyword_folder = Path(folder) / "keyword"
        console.print(trio.run(bench_keyword, keyword_folder, given.keyword_creators, given.queries, given.seed))
        console.print(bench_embedding(data, model, given.texts))
        console.print(trio.run(bench_labelling, data, model, given.texts))
        console.print(trio.run(bench_normalising, data, Path(folder) / "anew"))
        console.print(bench_filters(given.seed))
        console.print(on_one_core(Path(folder) / "one-core", max(given.creators // 5, 1), given.seed))


def freshness(data: Path, creators: int, seed: int) -> Table:
    with simulator("--creators", str(creators), "--seed", str(seed)) as sim:
        env = environment(sim)
        channel_ids = import_world(sim, data, env)
        with Daemon(data, env) as daemon:
            table = bench_freshness(daemon, channel_ids, min(FRESH_SAMPLE, creators // 4))
            assert daemon.terminate() == 0
    return table


def on_one_core(data: Path, creators: int, seed: int) -> Table:
    """The daemon has one core to itself; the platforms and this process keep the others."""
    with simulator("--creators", str(creators), "--seed", str(seed)) as sim:
        env = environment(sim)
        import_world(sim, data, env)
        with one_core():
            daemon = Daemon(data, env)
        with daemon:
            table = bench_pipeline(daemon, creators, "on one core")
            assert daemon.terminate() == 0
    return table


if __name__ == "__main__":
    main()
