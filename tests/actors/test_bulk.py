"""The lane of imported creators: stored, indexed, told again, and never in anybody's way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
import trio
import trio.testing

from actors import Meter, Outbox
from actors.bulk import HAND_OVER_SECONDS, NEWS_BELOW, PIECES_AHEAD, QUIET_SECONDS, BulkLane, LineVerdict
from actors.given_packing import Packed, read_lines
from actors.index_writing import MOST_AT_ONCE
from daemon.config import Config
from daemon.evaluation.virtual_time import VirtualThreads
from daemon.given_file import PIECE_LINES
from daemon.pipeline import INDEXER_CAPACITY, visit_policies
from proto.errors import Unavailable
from proto.ids import AccountKey, Row, creator_id_of
from proto.messages import AccountUpserted, AnyWork, CreatorAggregated, CreatorEnriched, Stage
from stores.catalog import INDEX_SEQUENCE, get_creator
from stores.imports import lines_of, piece_key
from stores.work import Work, enqueue
from tests.actors.test_given import NICHE, NOW, Line, account, creator, rules, vector
from tests.stores.test_erasure import DIMS, World

UNIT = (1.0,) + (0.0,) * (DIMS - 1)


def line(number: int, **more: object) -> bytes:
    said = account(
        platform_user_id=f"UC{number}",
        handle=f"person{number}",
        vectors=[vector("bio", UNIT, model_id="m"), vector("content.0", UNIT, model_id="m")],
    )
    return json.dumps(creator(said, primary_niche=NICHE) | more).encode()


def thin(number: int, **more: object) -> bytes:
    said: Line = json.loads(line(number, **more))
    said["accounts"][0]["vectors"] = []
    return json.dumps(said).encode()


def key_of(number: int) -> AccountKey:
    return AccountKey(f"youtube:UC{number}")


class Lane:
    """A lane over a real store with real indexes."""

    def __init__(self, world: World) -> None:
        self.world, self.stop, self.meter = world, trio.Event(), Meter()
        self.sent: dict[Stage, trio.MemoryReceiveChannel[AnyWork]] = {}
        outboxes: dict[Stage, Outbox[AnyWork]] = {}
        for stage in (Stage.EMBEDDER, Stage.ENRICHER):
            sender, self.sent[stage] = trio.open_memory_channel[AnyWork](100)
            outboxes[stage] = Outbox(sender, Meter())
        threads = world.blocking("line-reader", 1)
        said = msgspec.structs.replace(rules(), model_id="m", dims=DIMS)

        async def read(lines: Sequence[bytes], now: int) -> list[Packed | str]:
            return await threads.call(read_lines, lines, said, now)

        self.bulk = BulkLane(
            outboxes,
            env=world.env,
            work=Work(world.env),
            suppression=world.suppression,
            read=read,
            visits_of=visit_policies(Config()),
            writer=world.writer(),
            turn=world.turn,
            now=lambda: NOW,
            stop=self.stop,
            meter=self.meter,
        )

    async def send(self, *lines: bytes, at: int = 0) -> list[LineVerdict]:
        _, digest = lines_of(b"\n".join(lines))
        return await self.bulk.take_in(lines, piece_key("abcdef01", at), digest)

    async def row(self, number: int) -> Row:
        found = await self.world.env.read(lambda txn: get_creator(txn, creator_id_of(key_of(number))))
        assert found is not None
        return found.row

    async def found(self, number: int) -> bool:
        """Whether keywords, the graph and the columns all have them; fails where they differ."""
        hits = await self.world.text.query(f"person{number}", 10)
        row = await self.row(number)
        _, having = await self.world.fields["yt_bio"].similarities(np.array(UNIT, np.float32), np.array([row]))
        said = {row in hits.rows, bool(having[0]), bool(self.world.columns.present[row])}
        assert len(said) == 1, said
        return said.pop()

    async def until_idle(self) -> None:
        """Time stands still while a thread is at work."""
        await trio.sleep(60)
        assert not self.bulk.depth()
        assert not self.meter.is_working


@pytest.fixture
async def lane(tmp_path: Path, threads: VirtualThreads) -> AsyncIterator[Lane]:
    world = World(tmp_path / "data", tmp_path / "suppressed", threads)
    await world.open(fresh=True)
    yield Lane(world)
    await world.close()


async def test_news_of_a_few_however_often_are_no_import(
    lane: Lane, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(lane.bulk.run)
    busy = list[bool]()
    for at, lines in enumerate((NEWS_BELOW - 1, NEWS_BELOW - 1, NEWS_BELOW)):
        await lane.send(*(line(at * 100 + number) for number in range(lines)), at=at)
        await trio.sleep(QUIET_SECONDS / 2)
        busy.append(lane.bulk.is_busy)
    await lane.until_idle()
    assert [*busy, lane.bulk.is_busy] == [False, False, True, False]
    lane.stop.set()


async def test_a_piece_is_stored_indexed_and_no_work_any_more(
    lane: Lane, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(lane.bulk.run)
    said = await lane.send(line(1), b"nonsense", line(2), line(2))
    assert [one.verdict for one in said] == ["added", "invalid", "added", "known"]
    assert "JSON" in said[1].detail
    await lane.until_idle()
    assert await lane.found(1)
    assert await lane.found(2)
    assert await lane.world.env.read(lambda txn: txn.entries("work")) == 0
    lane.stop.set()


async def test_what_has_something_left_to_do_goes_to_the_stage_that_does_it(
    lane: Lane, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(lane.bulk.run)
    await lane.send(thin(1), line(2, primary_niche=None))
    with trio.fail_after(5):
        assert await lane.sent[Stage.EMBEDDER].receive() == AccountUpserted(account_key=key_of(1), revision=1)
        unlabelled = CreatorAggregated(creator_id=creator_id_of(key_of(2)), revision=2)
        assert await lane.sent[Stage.ENRICHER].receive() == unlabelled
    lane.stop.set()


async def test_a_piece_that_is_sent_again_gets_the_same_words(
    lane: Lane, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(lane.bulk.run)
    first = await lane.send(line(1), b"nonsense")
    assert await lane.send(line(1), b"nonsense") == first
    assert [one.verdict for one in await lane.send(line(1), line(3))] == ["known", "added"], "another piece"
    assert [one.verdict for one in await lane.send(line(1), at=2)] == ["known"]
    lane.stop.set()


async def test_what_was_left_out_is_said_again_too(
    lane: Lane, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(lane.bulk.run)
    lines = (line(1), line(2, primary_niche="no such niche"), line(3))
    first = await lane.send(*lines)
    labels = "labels that the taxonomy does not have are left out"
    assert first == [LineVerdict(verdict="added", detail=words) for words in ("", labels, "")]
    assert await lane.send(*lines) == first
    lane.stop.set()


async def test_what_a_line_would_lose_of_who_is_known_is_said_again_too(
    lane: Lane, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(lane.bulk.run)
    await lane.send(line(1))
    whole = json.loads(line(1))["accounts"][0]
    bare = json.dumps(creator({name: whole[name] for name in ("platform", "platform_user_id", "bio")})).encode()
    said = [await lane.send(bare) for _ in range(2)]
    assert said[0] == said[1]
    assert said[0][0].verdict == "known"
    assert "stays as it is known, of which the line does not say handle, followers" in said[0][0].detail
    lane.stop.set()


async def test_a_piece_that_is_sent_again_at_once_too(
    lane: Lane, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(lane.bulk.run)
    said: list[list[LineVerdict]] = []

    async def send() -> None:
        said.append(await lane.send(line(1), line(2)))

    async with trio.open_nursery() as both:
        both.start_soon(send)
        both.start_soon(send)
    assert said[0] == said[1] == [LineVerdict(verdict="added")] * 2
    lane.stop.set()


async def test_a_lane_that_has_ended_keeps_nobody_waiting(
    lane: Lane, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    async def send_all() -> None:
        for at in range(PIECES_AHEAD + 2):
            await lane.send(line(at), at=at)

    async with trio.open_nursery() as inner:
        async with lane.world.turn:  # as while somebody is forgotten
            inner.start_soon(lane.bulk.run)
            inner.start_soon(send_all)
            await trio.sleep(1)
            assert lane.bulk.depth() == PIECES_AHEAD
            lane.stop.set()
            await trio.sleep(1)
        inner.cancel_scope.deadline = trio.current_time() + 60
    assert not inner.cancel_scope.cancelled_caught
    left = await lane.world.env.read(lambda txn: txn.entries("work"))
    assert left == PIECES_AHEAD + 2 - 1, "the piece that was in hand is indexed, the others are the Sweeper's"
    with pytest.raises(Unavailable, match="about to end"):
        await lane.send(line(9), at=9)


async def test_a_lane_that_gets_nowhere_makes_a_piece_wait_and_then_lets_it_go(
    lane: Lane, autojump_clock: trio.testing.MockClock
) -> None:
    for at in range(PIECES_AHEAD):
        await lane.send(line(at), at=at)
    began = trio.current_time()
    with trio.fail_after(2 * HAND_OVER_SECONDS):
        assert [one.verdict for one in await lane.send(line(9), at=9)] == ["added"]
    assert trio.current_time() - began == pytest.approx(HAND_OVER_SECONDS, abs=5)


async def test_who_is_forgotten_before_being_indexed_never_is(
    lane: Lane, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    await lane.send(line(1), line(2))
    row = await lane.row(1)
    (report,) = await lane.world.forgetting.forget([key_of(1)])
    assert report.creator_gone
    nursery.start_soon(lane.bulk.run)
    await lane.until_idle()
    assert await lane.found(2)
    assert row not in await rows_of(lane, "person1")
    assert not lane.world.columns.present[row]
    assert lane.world.files_holding(b"person1") == ["data.mdb"], "freed pages alone"
    lane.stop.set()


async def rows_of(lane: Lane, text: str) -> list[int]:
    return [int(row) for row in (await lane.world.text.query(text, 10)).rows]


async def test_what_changed_before_being_indexed_goes_another_way(
    lane: Lane, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    await lane.send(line(1), line(2))
    later = CreatorEnriched(creator_id=creator_id_of(key_of(1)))
    waiting = await lane.world.env.write(lambda txn: enqueue(txn, later, NOW))
    nursery.start_soon(lane.bulk.run)
    await lane.until_idle()
    assert not await lane.found(1)
    assert await lane.found(2)
    assert await Work(lane.world.env).current([waiting]) == [waiting]
    lane.stop.set()


async def test_no_more_is_committed_at_once_than_a_start_forgives(
    lane: Lane, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash behind the text index's commit leaves it so far ahead of the store."""
    assert max(INDEXER_CAPACITY, PIECES_AHEAD * PIECE_LINES) <= MOST_AT_ONCE
    monkeypatch.setattr("actors.bulk.MOST_AT_ONCE", 2)
    commit, ahead = lane.world.text.commit, list[int]()

    async def noted(checkpoint: int) -> None:
        ahead.append(checkpoint - await lane.world.env.read(lambda txn: txn.counter(INDEX_SEQUENCE)))
        await commit(checkpoint)

    monkeypatch.setattr(lane.world.text, "commit", noted)
    await lane.send(*map(line, range(5)))
    nursery.start_soon(lane.bulk.run)
    await lane.until_idle()
    assert ahead == [2, 2, 1]
    assert [await lane.found(number) for number in range(5)] == [True] * 5
    lane.stop.set()


async def test_beside_searches_all_is_taken_in_as_well(lane: Lane, autojump_clock: trio.testing.MockClock) -> None:
    lane.world.searched = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lane.bulk.run)
        async with trio.open_nursery() as senders:
            for number in range(4):
                senders.start_soon(partial(lane.send, line(number), at=number))
        await lane.until_idle()
        lane.stop.set()
    assert [await lane.found(number) for number in range(4)] == [True] * 4
