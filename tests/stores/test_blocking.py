from __future__ import annotations

import os
import threading

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


async def test_a_passage_lets_in_as_many_as_are_allowed_now(threads: VirtualThreads) -> None:
    passage, both = Passage(1), threading.Barrier(2, timeout=20)
    inside = threading.Event()
    pool = Blocking("walking", 3, threads)

    def first() -> None:
        with passage.within():
            inside.set()
            both.wait()  # passes only when another is let in beside

    def second() -> None:
        assert inside.wait(20)
        with passage.within():
            both.wait()

    def widen() -> None:
        assert inside.wait(20)
        passage.allow(2)

    async with trio.open_nursery() as nursery:
        for part in (first, second, widen):
            nursery.start_soon(pool.call, part)


async def test_whoever_fails_in_a_passage_leaves_it(threads: VirtualThreads) -> None:
    passage, pool = Passage(1), Blocking("walking", 1, threads)

    def fails() -> None:
        with passage.within():
            raise LookupError("inside")

    for _ in range(2):  # the second would wait for ever
        with pytest.raises(LookupError, match="inside"):
            await pool.call(fails)
