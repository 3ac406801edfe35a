"""Readers and writers of one graph take turns."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable

from stores.gate import Gate

PATIENCE_SECONDS = 20.0


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < ends, "nobody came to wait"
        os.sched_yield()


class Waiting:
    """Readers and writers in threads of their own, each held inside until it is let go."""

    def __init__(self) -> None:
        self.gate, self.inside = Gate(), list[str]()
        self._let_go: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def start(self, name: str, *, writes: bool) -> None:
        self._let_go[name] = threading.Event()
        self._threads.append(threading.Thread(target=self._run, args=(name, writes)))
        self._threads[-1].start()

    def _run(self, name: str, writes: bool) -> None:
        with self.gate.writing() if writes else self.gate.reading():
            self.inside.append(name)
            self._let_go[name].wait(PATIENCE_SECONDS)

    def end(self, *names: str) -> None:
        for name in names:
            self._let_go[name].set()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()

    def wait_for(self, *, readers: int, writers: int) -> None:
        gate = self.gate
        until(lambda: (gate._waiting_readers, gate._waiting_writers) == (readers, writers))


def test_readers_that_came_during_a_write_go_before_the_next_write() -> None:
    held = Waiting()
    held.start("first write", writes=True)
    until(lambda: held.inside == ["first write"])
    held.start("read", writes=False)
    held.wait_for(readers=1, writers=0)
    held.start("second write", writes=True)
    held.wait_for(readers=1, writers=1)
    held.end("first write")
    until(lambda: len(held.inside) == 2)
    assert held.inside == ["first write", "read"]
    held.end("read", "second write")
    held.join()
    assert held.inside == ["first write", "read", "second write"]


def test_a_waiting_writer_goes_before_readers_that_come_later() -> None:
    held = Waiting()
    held.start("read", writes=False)
    until(lambda: held.inside == ["read"])
    held.start("write", writes=True)
    held.wait_for(readers=0, writers=1)
    held.start("later read", writes=False)
    held.wait_for(readers=1, writers=1)
    held.end("read")
    until(lambda: len(held.inside) == 2)
    assert held.inside == ["read", "write"]
    held.end("write", "later read")
    held.join()


def test_readers_share_and_writers_do_not() -> None:
    gate, writing, seen = Gate(), list[int](), list[int]()

    def write() -> None:
        for _ in range(200):
            with gate.writing():
                writing.append(1)
                seen.append(len(writing))
                writing.pop()

    def read() -> None:
        for _ in range(200):
            with gate.reading():
                seen.append(len(writing))

    threads = [threading.Thread(target=one) for one in (write, write, read, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    assert max(seen) == 1
    assert seen.count(1) == 400, "a reader saw a write under way"


def test_a_gate_knows_how_long_nobody_has_come_to_read() -> None:
    gate = Gate()
    assert gate.quiet_seconds() == math.inf
    with gate.writing():
        assert gate.quiet_seconds() == math.inf
    with gate.reading():
        assert gate.quiet_seconds() < 60
