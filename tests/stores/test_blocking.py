from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest
import trio

from daemon.evaluation.virtual_time import VirtualThreads
from stores.blocking import GIVING_WAY_NICE, Blocking, Passage


def own_priority() -> tuple[str, int]:
    return threading.current_thread().name, os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


async def test_threads_that_give_way_leave_the_priority_of_all_others(threads: VirtualThreads) -> None:
    plain = Blocking("plain", 1, threads)
    (_, before), (name, lowered) = await plain.call(own_priority), await plain.giving_way().call(own_priority)
    assert name.startswith("plain") and lowered == min(before + GIVING_WAY_NICE, 19)
    assert (await plain.call(own_priority))[1] == before
    assert own_priority()[1] == before


async def test_what_fails_in_a_thread_that_gives_way_is_raised_here(threads: VirtualThreads) -> None:
    def fails(word: str) -> None:
        raise LookupError(word)

    with pytest.raises(LookupError, match="this one"):
        await Blocking("failing", 1, threads).giving_way().call(fails, "this one")


async def test_no_more_of_them_run_at_once_than_allowed(threads: VirtualThreads) -> None:
    running, most = 0, 0
    lock, both = threading.Lock(), threading.Barrier(2, timeout=10)

    def work() -> None:
        nonlocal running, most
        with lock:
            running, most = running + 1, max(most, running + 1)
        both.wait()  # passes only where two are there at once
        with lock:
            running -= 1

    gentle = Blocking("gentle", 2, threads).giving_way()
    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(gentle.call, work)
    assert most == 2


def until(met: Callable[[], bool]) -> None:
    """Blocking, without the virtual clock."""
    ended = time.monotonic() + 20
    while not met():
        assert time.monotonic() < ended
        os.sched_yield()


async def test_a_passage_lets_in_as_many_as_are_allowed_in_the_order_of_their_coming(threads: VirtualThreads) -> None:
    passage, came = Passage(1), list[int]()
    pool = Blocking("walking", 5, threads)
    leave = threading.Event()

    def walk(number: int) -> None:
        until(lambda: len(came) + len(passage._waiting) >= number)  # each after the one before
        with passage.within():
            came.append(number)
            assert leave.wait(20)

    def watch() -> None:
        until(lambda: len(passage._waiting) == 3)
        assert came == [0]
        passage.allow(1)
        assert came == [0] and len(passage._waiting) == 3
        passage.allow(3)
        until(lambda: len(came) == 3)
        passage.allow(1)
        assert sorted(came) == [0, 1, 2] and len(passage._waiting) == 1
        leave.set()

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(pool.call, walk, number)
        nursery.start_soon(pool.call, watch)
    assert came[-1] == 3 and passage._within == 0


async def test_whoever_fails_in_a_passage_leaves_it(threads: VirtualThreads) -> None:
    passage = Passage(1)

    def fails() -> None:
        with passage.within():
            raise LookupError("inside")

    with pytest.raises(LookupError, match="inside"):
        await Blocking("walking", 1, threads).call(fails)
    assert passage._within == 0
