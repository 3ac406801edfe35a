"""`python -m daemon.simulator`: the simulated platforms as a process of their own."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from daemon.simulator.app import create_simulator, serve_simulator
from daemon.simulator.events import AccountEvent, niche_changes, scheduled_events
from daemon.simulator.faults import Faults
from daemon.simulator.files import load_world
from daemon.simulator.generator import generate
from daemon.simulator.posting import DAY_SECONDS, Posting
from daemon.simulator.quota import DEFAULT_LIMITS
from daemon.simulator.tokens import made_tokens
from daemon.simulator.world import World
from proto.errors import PokedexError


def main() -> None:
    options = _options()
    try:
        world = load_world(options.world) if options.world else _generated(options)
        faults = msgspec.json.decode(options.faults, type=Faults)
    except (PokedexError, msgspec.DecodeError) as error:
        sys.exit(str(error))
    trio.run(_run, world, faults, options)


def _generated(options: argparse.Namespace) -> World:
    return generate(options.creators, options.seed, bait_share=options.bait_share)


async def _run(world: World, faults: Faults, options: argparse.Namespace) -> None:
    limits = DEFAULT_LIMITS | {"general": options.quota, "search": options.searches, "stats": options.stats}
    app = create_simulator(
        world,
        clock=_clock(world, options),
        faults=faults,
        limits=limits,
        key=options.key,
        tokens=made_tokens(options.instagram_tokens, options.instagram_calls),
        posting=Posting(options.seed) if options.live else None,
        events=_events(world, options),
    )
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(
            lambda task_status: serve_simulator(app, port=options.port, stop=stop, task_status=task_status)
        )
        said = {"url": url, "now": world.now, "channels": len(world.channels), "profiles": len(world.profiles)}
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
        sys.stdout.flush()
        nursery.start_soon(_stop_at_signal, stop)
        if options.parent_pipe:
            nursery.start_soon(_stop_with_parent, stop)
        await stop.wait()
        nursery.cancel_scope.deadline = trio.current_time() + 2


def _events(world: World, options: argparse.Namespace) -> list[AccountEvent]:
    if not options.live:
        return []
    drifting_at = world.now + options.drift_days * DAY_SECONDS
    return [
        *scheduled_events(world, options.seed),
        *niche_changes(world, options.seed, options.drift_share, drifting_at),
    ]


def _clock(world: World, options: argparse.Namespace) -> Callable[[], float]:
    if not options.live:
        return lambda: float(world.now)
    started_at = options.started_at if options.started_at is not None else time.time()
    return lambda: world.now + time.time() - started_at


async def _stop_at_signal(stop: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            stop.set()
            return


async def _stop_with_parent(stop: trio.Event) -> None:
    """The pipe ends when the parent does, however it ends; then nobody is left to play for."""
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as pipe:
        while await pipe.receive_some(1024):
            pass
    stop.set()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m daemon.simulator", description=__doc__)
    parser.add_argument("--creators", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bait-share", type=float, default=0.0, help="of the bios: tell a language model what to say")
    parser.add_argument("--world", type=Path, action="append")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--started-at", type=float)
    parser.add_argument(
        "--drift-share", type=float, default=0.0, help="of the people of a live world: turn to another niche at once"
    )
    parser.add_argument("--drift-days", type=float, default=0.0, help="after its beginning they do")
    parser.add_argument("--faults", default="{}")
    parser.add_argument("--quota", type=int, default=10_000_000)
    parser.add_argument("--key", default="demo-key")
    parser.add_argument("--searches", type=int, default=DEFAULT_LIMITS["search"])
    parser.add_argument("--stats", type=int, default=DEFAULT_LIMITS["stats"])
    parser.add_argument("--instagram-tokens", type=int, default=1)
    parser.add_argument("--instagram-calls", type=int, default=200, help="a token's calls in an hour")
    parser.add_argument("--parent-pipe", action="store_true")
    options = parser.parse_args()
    if options.drift_share and not options.live:
        parser.error("--drift-share needs --live: in a world that stands still nobody writes anything new")
    return options


if __name__ == "__main__":
    main()
