"""The whole daemon in virtual time while its embedding model changes, is away, comes back and is lost."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import trio
import trio.testing

from daemon.app import Running, run_daemon
from daemon.config import load
from daemon.evaluation.virtual_time import VirtualThreads
from proto.ids import Platform
from proto.messages import AccountUpserted
from proto.records import CreatorAccount
from stores.catalog import EARLIER, put_account
from stores.env import Environment, Txn
from stores.work import enqueue
from tests.conftest import EPOCH, QUIET_SECONDS
from tests.models.conftest import WORDS, write_lookup_model, write_tiny_tokenizer

BIOS = {"UCtwo": "two", "UCthree": "three"}
AWAY = {
    "MODEL__KIND": "endpoint",
    "MODEL__URL": "http://127.0.0.1:9/v1",
    "MODEL__NAME": "elsewhere",
    "MODEL__DIMS": "3",
}
"""Nobody listens there."""


def model_like(folder: Path, like: Sequence[str], dims: int) -> dict[str, str]:
    """The settings of a model to which the words of ``like`` mean the same, and every other word something of its own."""
    folder.mkdir()
    write_tiny_tokenizer(folder / "tokenizer.json")
    table = np.zeros((len(WORDS), dims), np.float32)
    for row, word in enumerate(WORDS):
        table[row, 0 if word in like else 1 + row % (dims - 1)] = 1.0
    table[[WORDS.index("[CLS]"), WORDS.index("[SEP]")]] = 0.0
    write_lookup_model(folder / "model.onnx", table, "last_hidden_state")
    return {"MODEL__DIR": str(folder)}


class Story:
    """One data directory; daemons with one model or another come and go."""

    def __init__(self, folder: Path, threads: VirtualThreads) -> None:
        self._folder, self._threads = folder, threads

    async def fill(self) -> None:
        def change(txn: Txn) -> None:
            for channel, bio in BIOS.items():
                account = CreatorAccount(
                    platform=Platform.YOUTUBE, platform_user_id=channel, handle=channel, bio=bio, fetched_at=EPOCH
                )
                put_account(txn, account)
                enqueue(txn, AccountUpserted(account_key=account.key), EPOCH)

        env = Environment(self._folder / "data", map_size_bytes=1 << 30, run_sync=self._threads)
        await env.write(change)
        env.close()

    async def asked(self, settings: dict[str, str], *, pending: int = 0) -> tuple[dict[str, Any], Any]:
        """A daemon runs until so much work is left; what a search for "one" finds, and its status."""
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            running: Running = await nursery.start(self._run, settings, stop)
            while True:
                await trio.sleep(3)
                if await self._ready(running, pending):
                    break
            await trio.sleep(3)
            async with httpx2.AsyncClient(base_url=running.url, trust_env=False) as client:
                found = (await client.get("/v1/search", params={"q": "one"})).json()
            status = await running.control.status()
            stop.set()
        return found, status

    async def _ready(self, running: Running, pending: int) -> bool:
        ready = await running.control.ready()
        return ready.counts.work_pending == pending and "vectors/ig_captions" in ready.dependencies

    async def _run(self, settings: dict[str, str], stop: trio.Event, task_status: trio.TaskStatus[Running]) -> None:
        stated = {
            "HTTP__PORT": "0",
            "PLATFORMS__YOUTUBE__DERIVED_DATA": "granted",
            "STORAGE__MAP_SIZE_GIB": "1",
            "DAEMON__CLOCK_AT": datetime.fromtimestamp(EPOCH, UTC).isoformat(),
            "DAEMON__CLOCK_FROZEN": "true",
            "PIPELINE__RESEND_AFTER_SECONDS": "5",
        }
        loaded = load(None, {f"POKEDEXD_{name}": value for name, value in (stated | settings).items()}, {})
        await run_daemon(
            loaded,
            data_dir=self._folder / "data",
            suppression_file=self._folder / "suppression",
            admin_socket=self._folder / "admin.sock",
            stop=stop,
            reload=lambda: loaded,
            run_sync=self._threads,
            task_status=task_status,
        )

    def earlier(self) -> int:
        """Vectors of models before, for when no daemon has the store."""
        env = Environment(self._folder / "data", map_size_bytes=1 << 30)
        try:
            with env.snapshot() as txn:
                return sum(key.endswith(EARLIER) for key, _ in txn.scan("embeddings"))
        finally:
            env.close()


@pytest.fixture
def story(tmp_path: Path, threads: VirtualThreads, autojump_clock: trio.testing.MockClock) -> Story:
    autojump_clock.autojump_threshold = QUIET_SECONDS
    return Story(tmp_path, threads)


def names(found: dict[str, Any]) -> list[str]:
    return [hit["creator"]["name"] for hit in found["hits"]]


def kinds(status: Any) -> set[str]:
    return {event["kind"] for event in status.events}


async def test_old_vectors_answer_until_the_new_set_is_complete(story: Story, tmp_path: Path) -> None:
    first = model_like(tmp_path / "first", ["one", "two"], 4)
    second = model_like(tmp_path / "second", ["one", "three"], 5)
    await story.fill()

    found, status = await story.asked(first)
    assert names(found) == ["UCtwo", "UCthree"]
    assert not kinds(status)

    # The new model does not answer: nothing is lost, keywords and the old vectors serve.
    found, status = await story.asked(AWAY, pending=len(BIOS))
    assert (names(found), found["warnings"]) == (["UCtwo", "UCthree"], [])
    model = status.ready.dependencies["model"]
    assert (model.state, model.loaded) == ("ok", 0.0)
    assert "first-" in model.detail and "elsewhere-3" in model.detail
    assert status.ready.dependencies["embedding_endpoint"].state == "down"
    assert status.dead_letters == 0

    # A restart with yet another model: the vectors of the first one answer until all creators have new ones.
    found, status = await story.asked(second)
    assert names(found) == ["UCthree", "UCtwo"]
    assert "model_changed" in kinds(status)
    model = status.ready.dependencies["model"]
    assert (model.state, model.loaded, model.detail[:7]) == ("ok", 1.0, "second-")
    assert story.earlier() == 0

    # The model before is gone: that is said, and the new vectors answer as they come.
    shutil.rmtree(tmp_path / "second")
    found, status = await story.asked(first)
    assert names(found) == ["UCtwo", "UCthree"]
    assert {"model_lost", "model_changed"} <= kinds(status)
    assert story.earlier() == 0
