"""`make bench`: what the daemon gives, beside what its engines give when they are called directly, in one run."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from daemon.config import Config, model_folder
from tests.bench.embedding import bench_embedding
from tests.bench.pipeline import bench_pipeline
from tests.bench.search import bench_search
from tests.flow.processes import Daemon, environment, import_world, simulator


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--creators", type=int, default=5_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--texts", type=int, default=600)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    console = Console(width=110)
    model = model_folder(Config())
    console.print(f"seed {given.seed}, {given.creators:,} creators; machine shared: read the ratios, not the figures")
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
        console.print(bench_embedding(data, model, given.texts))


if __name__ == "__main__":
    main()
