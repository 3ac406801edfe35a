"""Lines of an import, read in a process of their own: the interpreter that answers searches has none of that work.

``python -m daemon.line_reader DESCRIPTOR IDLE_SECONDS`` is that process: it says which code it is, gets the rules and then
pieces, sends back what they hold, and ends when nobody has asked for so long, or when the daemon is no more.
"""

from __future__ import annotations

import hashlib
import os
import pickle  # what a process gets from the one that started it
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import structlog
import trio

from actors.given import GivenRules
from actors.given_packing import Packed, read_lines
from stores.blocking import GIVING_WAY_NICE, Blocking
from stores.codec import SCHEMA_VERSION

log = structlog.get_logger("line_reader")

PART_LINES = 25
"""Lines that come back at once: decoding holds the interpreter, and those of a whole piece for some tens of milliseconds."""
ANSWER_SECONDS = 30
"""Within which a part comes: an honest one takes some milliseconds, the largest lines a second each."""
IDLE_SECONDS = 60
MAX_FAILURES, REST_SECONDS = 3, 600.0
"""So many in a row, and for so long no other process is tried."""
VERSION = version("pokedexd")
"""Of this code, looked up while it is loaded: another may lie on the disk by the time a process is started."""
END_SECONDS = 2.0

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Packed | str]).decode


class LineReader:
    """Starts the process with the first piece, which is read here, as are all where there is no such process: one that is
    not up yet, was killed, or does not answer."""

    def __init__(self, rules: GivenRules, threads: Blocking) -> None:
        """``threads``: one, in which the process is waited for."""
        self._rules, self._threads = rules, threads
        self._process: _Process | None = None
        self._failures, self._not_before = 0, 0.0
        self._ended = False

    async def read(self, lines: Sequence[bytes], now: int) -> list[Packed | str]:
        return await self._threads.call(self._read, lines, now)

    async def run(self, stop: trio.Event) -> None:
        """The process ends with it; what is read afterwards is read here."""
        try:
            await stop.wait()
        finally:
            self._ended = True
            with trio.CancelScope(shield=True):
                await self._threads.call(self._let_go)

    def _read(self, lines: Sequence[bytes], now: int) -> list[Packed | str]:
        if self._process is not None and (code := self._process.exit_code()) is not None:
            self._let_go() if code == 0 else self._lose(OSError(f"it ended with {code}"))  # 0: since nobody asked
        try:
            if self._process is None and not self._ended and time.monotonic() >= self._not_before:
                self._process = _Process(self._rules)
            if self._process is not None and self._process.is_ready():
                found = self._process.read(lines, now)
                self._failures = 0
                return found
        except (OSError, EOFError, ValueError, msgspec.MsgspecError) as error:
            self._lose(error)
        return read_lines(lines, self._rules, now)

    def _lose(self, error: Exception) -> None:
        """The next piece starts another."""
        self._let_go()
        self._failures += 1
        if self._failures == MAX_FAILURES:
            self._failures, self._not_before = 0, time.monotonic() + REST_SECONDS
            log.warning("imports are read by the daemon itself for a while: their process fails", error=str(error))

    def _let_go(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end()


class _Process:
    def __init__(self, rules: GivenRules) -> None:
        """Raises OSError where the system has no room for another process."""
        self._rules, self._ready = rules, False
        ours, theirs = socket.socketpair()
        with theirs:
            for limit in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
                ours.setsockopt(socket.SOL_SOCKET, limit, struct.pack("ll", ANSWER_SECONDS, 0))
            self._pipe = Connection(ours.detach())
            try:
                self._process = _started(theirs.fileno())
            except OSError:
                self._pipe.close()
                raise

    def exit_code(self) -> int | None:
        """None while it lives."""
        return self._process.poll()

    def is_ready(self) -> bool:
        """Raises EOFError where it ended instead, ValueError where it is of other code, as after an upgrade in place: what that
        packs, this version may not be able to read."""
        if not self._ready and self._pipe.poll():
            if self._pipe.recv_bytes() != code_mark():
                raise ValueError("the program was replaced; restart the daemon")
            self._pipe.send_bytes(pickle.dumps(self._rules))
            self._ready = True
        return self._ready

    def read(self, lines: Sequence[bytes], now: int) -> list[Packed | str]:
        """Raises OSError, EOFError or MsgspecError where it does not answer as it should."""
        self._pipe.send_bytes(_encode((lines, now)))
        found: list[Packed | str] = []
        while len(found) < len(lines):
            if not self._pipe.poll(ANSWER_SECONDS):
                raise TimeoutError(f"no answer within {ANSWER_SECONDS} s")
            found += _decode(self._pipe.recv_bytes())
        return found

    def end(self) -> None:
        self._pipe.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@cache
def code_mark() -> bytes:
    """The same for two processes that pack and store alike: of this version, and of the shape of what travels."""
    shape = msgspec.json.encode(msgspec.json.schema(list[Packed | str]), order="sorted")
    return hashlib.sha256(b"%s %d " % (VERSION.encode(), SCHEMA_VERSION) + shape).digest()


def _started(descriptor: int) -> subprocess.Popen[bytes]:
    """With what this process finds, wherever it was started; what a terminal sends goes to the daemon alone."""
    command = [sys.executable, "-P", "-m", "daemon.line_reader", str(descriptor), str(IDLE_SECONDS)]
    root = str(Path(__file__).parents[1])
    found = [*filter(None, sys.path)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(found if root in found else [root, *found])}
    return subprocess.Popen(  # noqa: S603 (ourselves)
        command,
        env=env,
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        process_group=0,
    )


def main() -> None:
    """Once it is up, signals are for the daemon, which may be in the middle of a piece. Searches come first."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    with suppress(OSError):  # a system that lets nobody lower himself
        os.nice(GIVING_WAY_NICE)
    with Connection(int(sys.argv[1])) as pipe:
        try:
            _serve(pipe, float(sys.argv[2]))
        except (EOFError, OSError):  # the daemon is no more, or wants no more
            return


def _serve(pipe: Connection, idle_seconds: float) -> None:
    pipe.send_bytes(code_mark())
    if not pipe.poll(idle_seconds):
        return
    rules: GivenRules = pickle.loads(pipe.recv_bytes())  # noqa: S301
    decoder = msgspec.msgpack.Decoder(tuple[list[bytes], int])
    while pipe.poll(idle_seconds):
        lines, now = decoder.decode(pipe.recv_bytes())
        for begin in range(0, len(lines), PART_LINES):
            pipe.send_bytes(_encode(read_lines(lines[begin : begin + PART_LINES], rules, now)))


if __name__ == "__main__":
    main()
