"""The process that reads imports: what it says is what the daemon would say, and nothing is lost with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
import trio
from structlog.testing import capture_logs

from actors.given_packing import read_lines
from daemon import line_reader
from daemon.line_reader import MAX_FAILURES, PART_LINES, LineReader
from stores.blocking import Blocking
from tests.actors.test_given import NICHE, NOW, account, creator, rules

LINES = [
    *(
        json.dumps(creator(account(platform_user_id=f"UC{number}"), primary_niche=NICHE)).encode()
        for number in range(2 * PART_LINES)
    ),
    b"nonsense",
    '{"accounts": [\ud83c'.encode("utf-8", "surrogatepass"),
]
PATIENCE_SECONDS = 60.0


@pytest.fixture
async def reader(nursery: trio.Nursery) -> AsyncIterator[LineReader]:
    stop = trio.Event()
    one = LineReader(rules(), Blocking("line-reader", 1))
    nursery.start_soon(one.run, stop)
    yield one
    stop.set()


def up(reader: LineReader) -> line_reader._Process:
    """The process, once it has said that it is."""
    process = reader._process
    assert process is not None
    assert process._ready or process._pipe.poll(PATIENCE_SECONDS)
    assert process.is_ready()
    return process


async def test_both_say_the_same(reader: LineReader) -> None:
    expected = read_lines(LINES, rules(), NOW)
    assert [type(one) for one in expected[-2:]] == [str, str]
    assert await reader.read(LINES, NOW) == expected, "the first piece does not wait for the process"
    process = up(reader)
    assert await reader.read(LINES, NOW) == expected
    assert await reader.read([], NOW) == []
    assert reader._process is process


async def test_who_is_killed_is_replaced_and_its_piece_is_read_all_the_same(reader: LineReader) -> None:
    """However often, as long as each is of use in between."""
    expected = read_lines(LINES, rules(), NOW)
    await reader.read(LINES[:1], NOW)
    for _ in range(MAX_FAILURES + 1):
        process = up(reader)
        os.kill(process._process.pid, signal.SIGKILL)
        await trio.to_thread.run_sync(process._process.wait)
        assert await reader.read(LINES, NOW) == expected
        assert reader._process is not process
        up(reader)
        assert await reader.read(LINES, NOW) == expected


async def test_who_does_not_answer_is_given_up(reader: LineReader, monkeypatch: pytest.MonkeyPatch) -> None:
    await reader.read(LINES[:1], NOW)
    process = up(reader)
    monkeypatch.setattr(line_reader, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(line_reader, "END_SECONDS", 0.05)
    os.kill(process._process.pid, signal.SIGSTOP)
    assert await reader.read(LINES, NOW) == read_lines(LINES, rules(), NOW)
    assert process._process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("asked", [False, True])
async def test_one_that_ends_since_nobody_asks_is_no_failure(
    reader: LineReader, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    monkeypatch.setattr(line_reader, "IDLE_SECONDS", 0.05)
    for _ in range(MAX_FAILURES + 1):
        await reader.read(LINES[:1], NOW)
        process = reader._process
        assert process is not None
        if asked:
            up(reader)
        await trio.to_thread.run_sync(process._process.wait)
        assert process.exit_code() == 0
    assert (reader._failures, reader._not_before) == (0, 0.0)


async def test_one_that_never_comes_up_is_a_failure(reader: LineReader, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(descriptor: int) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"], pass_fds=[descriptor]))
        return started[-1]

    monkeypatch.setattr(line_reader, "_started", start)
    for _ in range(2 * MAX_FAILURES):
        assert await reader.read(LINES, NOW) == read_lines(LINES, rules(), NOW)
        await trio.to_thread.run_sync(started[-1].wait)
    assert len(started) == MAX_FAILURES


HALF = """
import os, signal, sys
from multiprocessing.connection import Connection
pipe = Connection(int(sys.argv[1]))
pipe.send_bytes(bytes.fromhex(sys.argv[2]))
pipe.recv_bytes(), pipe.recv_bytes()
os.write(pipe.fileno(), (100).to_bytes(4, "big") + b"only a part")
signal.pause()
"""


async def test_half_an_answer_is_none(reader: LineReader, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(descriptor: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", HALF, str(descriptor), line_reader.code_mark().hex()]
        return subprocess.Popen(command, pass_fds=[descriptor])

    monkeypatch.setattr(line_reader, "_started", start)
    monkeypatch.setattr(line_reader, "ANSWER_SECONDS", 1)
    monkeypatch.setattr(line_reader, "END_SECONDS", 0.05)
    await reader.read(LINES[:1], NOW)
    process = up(reader)
    assert await reader.read(LINES, NOW) == read_lines(LINES, rules(), NOW)
    assert process._process.returncode == -signal.SIGKILL


async def test_a_process_of_other_code_is_not_believed(reader: LineReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program was replaced on the disk; what the new one packs may be of a schema that this one cannot read."""
    await reader.read(LINES[:1], NOW)
    process = reader._process
    assert process is not None
    assert process._pipe.poll(PATIENCE_SECONDS)
    monkeypatch.setattr(line_reader, "code_mark", lambda: b"of today")
    assert await reader.read(LINES, NOW) == read_lines(LINES, rules(), NOW)
    assert (reader._process, reader._failures) == (None, 1)


async def test_where_no_process_comes_up_the_daemon_reads(reader: LineReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tries a few times, says so, and tries again later."""
    started = []

    def start(descriptor: int) -> object:
        started.append(descriptor)
        raise OSError("no room for another process")

    monkeypatch.setattr(line_reader, "_started", start)
    with capture_logs() as logs:
        for _ in range(2 * MAX_FAILURES):
            assert await reader.read(LINES, NOW) == read_lines(LINES, rules(), NOW)
    assert len(started) == MAX_FAILURES
    assert [(one["log_level"], one["error"]) for one in logs] == [("warning", "no room for another process")]
    reader._not_before = 0
    await reader.read(LINES[:1], NOW)
    assert len(started) == MAX_FAILURES + 1


async def test_it_ends_with_the_daemon_and_no_sooner(nursery: trio.Nursery) -> None:
    """A signal that the terminal or systemd sends to both leaves the piece under way to be finished."""
    reader, stop = LineReader(rules(), Blocking("line-reader", 1)), trio.Event()
    nursery.start_soon(reader.run, stop)
    await reader.read(LINES[:1], NOW)
    process = up(reader)
    for one in (signal.SIGINT, signal.SIGTERM):
        os.kill(process._process.pid, one)
    assert await reader.read(LINES, NOW) == read_lines(LINES, rules(), NOW)
    assert reader._process is process
    stop.set()
    with trio.fail_after(PATIENCE_SECONDS):
        await trio.to_thread.run_sync(process._process.wait)
    assert process._process.returncode == 0
    await reader.read(LINES, NOW)
    assert await reader.read(LINES, NOW) == read_lines(LINES, rules(), NOW), "a piece under way at the end"
    assert reader._process is None
