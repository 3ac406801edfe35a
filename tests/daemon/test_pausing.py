from __future__ import annotations

import pytest
import trio
import trio.testing

from actors.gate import Gate, GatedInbox
from daemon.pausing import Pausing
from proto.errors import Malformed
from proto.ids import Platform
from stores.audit import latest_audit
from stores.env import Environment
from tests.daemon.running import NOW, FakePipeline


def pausing(env: Environment, pipeline: FakePipeline) -> Pausing:
    return Pausing(env, pipeline, now=lambda: NOW)  # type: ignore[arg-type]


async def test_a_pause_outlives_the_process_and_says_who_when_and_why(env: Environment) -> None:
    first = FakePipeline()
    await pausing(env, first).pause("youtube", "anna", "key is changed")
    await pausing(env, first).pause("indexer", "ben", "")
    again = FakePipeline()
    after = pausing(env, again)
    await after.load()
    assert again.held() == ["youtube", "indexer"]
    assert again.lanes[Platform.YOUTUBE].paused_by["operator"].endswith("Z: key is changed")
    assert {(one.name, one.by, one.reason) for one in after.shown()} == {
        ("youtube", "anna", "key is changed"),
        ("indexer", "ben", ""),
    }
    await after.resume("", "anna")
    assert again.held() == [] and after.shown() == []
    audited = await env.read(lambda txn: [(one.action, one.detail) for _, one in latest_audit(txn, 9)])
    assert ("pause", "youtube: key is changed (anna)") in audited
    assert audited[-1] == ("resume", "indexer, youtube (anna)") or audited[-1] == ("resume", "youtube, indexer (anna)")


async def test_without_a_name_every_platform_is_paused(env: Environment) -> None:
    pipeline = FakePipeline()
    assert [one.name for one in await pausing(env, pipeline).pause("", "anna", "")] == ["instagram", "youtube"]
    assert pipeline.held() == ["youtube", "instagram"]


async def test_an_unknown_name_is_told_with_the_known_ones(env: Environment) -> None:
    with pytest.raises(Malformed, match=r"did you mean 'embedder'\? known are youtube, .*, embedder, indexer"):
        await pausing(env, FakePipeline()).pause("embeder", "anna", "")


async def test_a_held_stage_keeps_what_it_has_and_takes_nothing_more(autojump_clock: trio.testing.MockClock) -> None:
    sender, receiver = trio.open_memory_channel[int](9)
    gate, got = Gate(), list[int]()

    async def stage() -> None:
        async for message in GatedInbox(receiver, gate):
            got.append(message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage)
        await sender.send(1)
        await trio.sleep(1)
        gate.set(held=True)  # the stage waits for a message already: that one stays in hand
        await sender.send(2)
        await sender.send(3)
        await trio.sleep(1)
        assert got == [1]
        gate.set(held=False)
        await trio.sleep(1)
        assert got == [1, 2, 3]
        gate.set(held=True)
        await sender.send(4)
        await trio.sleep(1)
        gate.end()  # the daemon ends: the stored work waits for the next start, and nothing hangs
        sender.close()
    assert got == [1, 2, 3]
