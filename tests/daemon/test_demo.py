"""The demo where something is lacking."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import trio
import trio.testing
from rich.console import Console

from daemon import demo
from daemon.app import Running
from proto.api import Counts, DependencyStatus, ReadyAnswer
from proto.errors import Unavailable


async def test_on_a_full_disk_the_demo_says_what_to_do_and_goes_on_once_there_is_room(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    tries = 0

    async def schedule_world(*_: object) -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise Unavailable(f"the disk is full: {tries} MiB are free")

    monkeypatch.setattr(demo, "schedule_world", schedule_world)
    said, stop, running = StringIO(), trio.Event(), cast(Running, cast(Any, None))
    await demo._take_in(running, "", Path("/data"), Console(file=said), stop)
    assert tries == 4
    assert said.getvalue().splitlines() == [
        "the demo waits: the disk is full: 1 MiB are free",
        "make room at /data, or stop with Ctrl-C and choose another --data-dir",
    ]


async def test_a_demo_that_waits_for_room_can_be_stopped(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    stop = trio.Event()

    async def schedule_world(*_: object) -> None:
        stop.set()
        raise Unavailable("the disk is full")

    monkeypatch.setattr(demo, "schedule_world", schedule_world)
    running = cast(Running, cast(Any, None))
    with trio.fail_after(60):
        await demo._take_in(running, "", Path("/data"), Console(file=StringIO()), stop)


def ready(**changes: object) -> ReadyAnswer:
    answer = ReadyAnswer(
        status="ok",
        counts=Counts(creators=9, accounts=12, content_items=40, work_pending=0),
        dependencies={
            name: DependencyStatus(state="ok", detail="", loaded=1.0) for name in ("keyword_search", "model")
        },
        stages=[],
    )
    return msgspec.structs.replace(answer, **changes)


def loading(name: str, state: str) -> dict[str, DependencyStatus]:
    return ready().dependencies | {name: DependencyStatus(state=state, detail="", loaded=0.0)}


@pytest.mark.parametrize(
    ("answer", "done"),
    [
        (ready(), True),
        (ready(status="degraded"), True),
        (ready(status="starting"), False),
        (ready(dependencies=loading("model", "loading")), False),
        (ready(dependencies=loading("vectors/yt_bio", "loading")), False),
        (ready(dependencies=loading("model", "off")), True),
        (ready(counts=Counts(creators=9, accounts=12, content_items=40, work_pending=1)), False),
        (ready(counts=Counts(creators=0, accounts=0, content_items=0, work_pending=0)), False),
    ],
)
def test_the_demo_is_ready_once_a_search_would_find_all(answer: ReadyAnswer, done: bool) -> None:
    assert demo.is_done(answer) == done
