"""What an operator is told by a daemon that runs: that memory is short, that an import came to no end."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

import daemon.app
from daemon.app import Running
from daemon.evaluation.virtual_time import VirtualThreads
from daemon.importing import Piece
from daemon.operations import IDLE_IMPORT_SECONDS
from daemon.operations import LOOK_SECONDS as WATCH_SECONDS
from daemon.resources import LOOK_SECONDS, Resources
from proto.api import AdminStatus, ReadyAnswer, TaskView
from tests.conftest import QUIET_SECONDS
from tests.flow.test_model_change import Story

MIB = 1 << 20


class Told(Story):
    async def of_memory(self) -> tuple[AdminStatus, ReadyAnswer, float | None]:
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            running: Running = await nursery.start(self._run, {"MEMORY__CEILING": "512 MiB"}, stop)
            await trio.sleep(LOOK_SECONDS + 1)
            status, ready = await running.control.status(), await running.control.ready()
            await running.control.refresh_metrics()
            held = running.control._metrics.registry.get_sample_value("pokedexd_intake_held")
            stop.set()
        return status, ready, held

    async def of_an_import(self) -> TaskView:
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            running: Running = await nursery.start(self._run, {}, stop)
            operations = running.control.operations
            await operations.imports.begin(Piece(import_id="a" * 12, at=0))
            await trio.sleep(IDLE_IMPORT_SECONDS + WATCH_SECONDS + 1)
            (task,) = operations.tasks()
            stop.set()
        return task


@pytest.mark.parametrize("mebibytes", [600, 100])
async def test_above_the_ceiling_every_way_to_ask_says_so(
    tmp_path: Path,
    threads: VirtualThreads,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    mebibytes: int,
) -> None:
    autojump_clock.autojump_threshold = QUIET_SECONDS
    monkeypatch.setattr(daemon.app, "Resources", partial(Resources, resident=lambda: mebibytes * MIB))
    status, ready, held = await Told(tmp_path, threads).of_memory()
    above = mebibytes > 512
    assert ("600 MiB are in use, of 512" in status.resources.held_because) is above
    assert ready.dependencies["memory"].state == ("full" if above else "ok")
    assert held == (1.0 if above else 0.0)


async def test_an_import_that_nobody_goes_on_with_is_no_running_task(
    tmp_path: Path, threads: VirtualThreads, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = QUIET_SECONDS
    task = await Told(tmp_path, threads).of_an_import()
    assert (task.state, task.error) == ("interrupted", "the list was not sent to its end")
