from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from daemon.notify import sd_notify, sd_reloading, tell_systemd, watchdog_seconds


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Plays systemd."""
    path = tmp_path / "notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(str(path))
        one.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield one


def received(listener: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(listener.recv(4_096).decode())
        except BlockingIOError:
            return found


def test_lines_arrive_in_one_datagram(listener: socket.socket) -> None:
    assert sd_notify("READY=1", "STATUS=serving")
    assert received(listener) == ["READY=1\nSTATUS=serving"]


def test_reloading_comes_with_its_time(listener: socket.socket) -> None:
    assert sd_reloading()
    (text,) = received(listener)
    first, second = text.split("\n")
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0


def test_an_abstract_address_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"pokedexd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind("\0" + name)
        one.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert sd_notify("READY=1")
        assert received(one) == ["READY=1"]


def test_without_a_listener_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not sd_notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "absent.sock"))
    assert not sd_notify("READY=1")


def test_a_full_queue_does_not_block(listener: socket.socket) -> None:
    sent = 0
    while sd_notify("X=1"):  # a blocking socket would hang here
        sent += 1
        assert sent < 100_000
    assert len(received(listener)) == sent


def test_the_watchdog_is_ours_or_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    assert watchdog_seconds() is None
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert watchdog_seconds() == 30.0
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert watchdog_seconds() is None


@pytest.fixture
def watched(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """systemd wants a sign of life every 20 seconds."""
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    return listener


async def test_signs_of_life_come_only_while_there_is_no_trouble(
    watched: socket.socket, autojump_clock: object
) -> None:
    well_until = trio.current_time() + 25

    def trouble() -> str:
        return "" if trio.current_time() < well_until else "embedder hangs: for long"

    with trio.move_on_after(55):
        await tell_systemd(trouble, lambda: "fine")
    assert received(watched) == [
        "STATUS=fine\nWATCHDOG=1",
        "WATCHDOG=1",
        "WATCHDOG=1",
        "STATUS=embedder hangs: for long",
        "STATUS=embedder hangs: for long",
        "STATUS=embedder hangs: for long",
    ]


async def test_what_passes_is_over(watched: socket.socket, autojump_clock: object) -> None:
    ill_until = trio.current_time() + 15
    with trio.move_on_after(35):
        await tell_systemd(lambda: "ill" if trio.current_time() < ill_until else "", lambda: "fine")
    assert received(watched) == ["STATUS=ill", "STATUS=ill", "STATUS=fine\nWATCHDOG=1", "WATCHDOG=1"]


async def test_without_a_watchdog_only_news_of_the_status_is_told(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    begun = trio.current_time()
    with trio.move_on_after(35):
        await tell_systemd(lambda: "", lambda: "starting" if trio.current_time() < begun + 15 else "ok")
    assert received(listener) == ["STATUS=starting", "STATUS=ok"]


async def test_where_nobody_listens_it_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with trio.fail_after(1):
        await tell_systemd(lambda: "", lambda: "fine")
