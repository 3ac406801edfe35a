"""Malformed HTTP/1.1, HTTP/2 and WebSocket input to both listeners of a real daemon: nothing ends it, nothing adds up."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import hpack
import pytest
import trio

from tests.daemon.web.hostile import HEADERS, SETTINGS, Corpus, Hostile, frames_of, request
from tests.flow.processes import Daemon
from tests.flow.test_access import plain

SEED = int(os.environ.get("POKEDEXD_TEST_SEED", "20261126"))
BATCH, AT_ONCE = 100, 32
FIRST_SECONDS, QUIET_SECONDS = 0.2, 0.05
"""How long the client of an input waits for the beginning of an answer, and for more of it."""
ANSWER_SECONDS = 5.0
"""How soon a good request must be answered."""
WARM_BATCHES = 3
"""Of which memory is not counted."""
GROWTH_BYTES = 40 << 20
MIB = 1 << 20


class Answers:
    """How many of each kind came back, and to which input the first."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, tuple[str, int]] = {}

    def note(self, answer: bytes, listener: str, number: int) -> None:
        kind = kind_of(answer)
        self.counts[kind] += 1
        self.first.setdefault(kind, (listener, number))


class Target:
    """Both listeners of one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self._port = int(daemon.url.rpartition(":")[2])
        self.names = ("public", "admin")

    async def open(self, listener: str) -> trio.SocketStream:
        if listener == "public":
            return await trio.open_tcp_stream("127.0.0.1", self._port)
        return await trio.open_unix_socket(str(self.daemon.data_dir / "admin.sock"))

    def resident_bytes(self) -> int:
        pages = Path(f"/proc/{self.daemon.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.daemon.process.pid}/fd"))


async def throw(target: Target, listener: str, hostile: Hostile) -> bytes:
    """What came back until the server closed or said nothing for a while."""
    found = b""
    async with await target.open(listener) as stream:
        with suppress(OSError, trio.BrokenResourceError, trio.TooSlowError):
            with trio.fail_after(ANSWER_SECONDS):
                for chunk in hostile.chunks:
                    await stream.send_all(chunk)
                    await trio.lowlevel.checkpoint()
            if hostile.ending == "reset":
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return b""
            if hostile.ending == "half":
                await stream.send_eof()
            while True:
                with trio.fail_after(QUIET_SECONDS if found else FIRST_SECONDS):
                    chunk = bytes(await stream.receive_some())
                if not chunk:
                    break
                found = (found + chunk)[:MIB]
    return found


def kind_of(answer: bytes) -> str:
    if answer.startswith(b"HTTP/1.1 101"):
        return "101"
    if answer.startswith(b"HTTP/1."):
        return answer[9:12].decode(errors="replace")
    if answer[3:4] == bytes([SETTINGS]):
        return f"http/2 {first_status(answer)}".rstrip()
    return "other" if answer else "no answer"


def first_status(answer: bytes) -> str:
    """Empty where no stream was answered."""
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = 0xFFFFFFFF  # whatever the input's settings allowed
    for at in frames_of(answer):
        if answer[at + 3] == HEADERS:
            size = int.from_bytes(answer[at : at + 3], "big")
            return dict(decoder.decode(answer[at + 9 : at + 9 + size], raw=True)).get(b":status", b"").decode()
    return ""


async def good_request(target: Target, listener: str) -> None:
    """Raises AssertionError or TooSlowError."""
    with trio.fail_after(ANSWER_SECONDS):
        async with await target.open(listener) as stream:
            await stream.send_all(request("/healthz", "Connection: close"))
            found = b"".join([bytes(chunk) async for chunk in stream])
    assert found.startswith(b"HTTP/1.1 200"), (listener, found[:300])


async def batch(target: Target, corpus: Corpus, numbers: range, answers: Answers) -> None:
    """Every input to both listeners; then each must answer."""
    limit = trio.CapacityLimiter(AT_ONCE)

    async def one(listener: str, number: int) -> None:
        async with limit:
            answers.note(await throw(target, listener, corpus[number]), listener, number)

    async with trio.open_nursery() as nursery:
        for number in numbers:
            for listener in target.names:
                nursery.start_soon(one, listener, number)
    for listener in target.names:
        await good_request(target, listener)


async def find(target: Target, corpus: Corpus, numbers: range) -> str:
    """Which input alone does it, told so that it can be tried again; the daemon is a fresh one."""
    for number in numbers:
        for listener in target.names:
            try:
                await throw(target, listener, corpus[number])
                await good_request(target, listener)
            except (OSError, AssertionError, trio.TooSlowError) as error:
                return f"input {number} to {listener}: {error!r}\n{corpus[number]!r}"
    return f"none of {numbers} alone"


def campaign(target: Target, count: int, tmp_path: Path) -> None:
    corpus, answers = Corpus(SEED), Answers()
    print(f"seed {SEED} (POKEDEXD_TEST_SEED), {count} inputs to each of {target.names}")
    begun, before, files = time.monotonic(), 0, 0
    for number, start in enumerate(range(0, count, BATCH)):
        numbers = range(start, min(start + BATCH, count))
        if number == min(WARM_BATCHES, count // BATCH - 1):
            before, files = target.resident_bytes(), target.open_files()
        try:
            trio.run(batch, target, corpus, numbers, answers)
        except BaseException:
            print(f"seed {SEED}, inputs {numbers}: {target.daemon.process.poll()=}\n{target.daemon.log()[-3_000:]}")
            with Daemon(tmp_path / "again", plain(LOG__LEVEL="warning")) as fresh:
                print(trio.run(find, Target(fresh), corpus, numbers))
            raise
    after = target.resident_bytes()
    took = time.monotonic() - begun
    print(
        f"{took:.1f} s, resident {before / MIB:.0f} MiB, then {after / MIB:.0f} MiB; {dict(answers.counts.most_common())}"
    )
    assert after - before < GROWTH_BYTES, (before, after)
    assert target.open_files() <= files + AT_ONCE, (files, target.open_files())
    assert target.daemon.process.poll() is None
    assert "Traceback" not in target.daemon.log(), target.daemon.log()[:5_000]
    for kind in ("500", "http/2 500", "other"):
        assert kind not in answers.first, (answers.first[kind], corpus[answers.first[kind][1]])
    assert {"200", "400", "101", "http/2", "http/2 200", "http/2 404"} <= answers.first.keys()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with Daemon(tmp_path / "data", plain(LOG__LEVEL="warning")) as daemon:
        yield Target(daemon)
        assert daemon.terminate() == 0


def test_a_thousand_hostile_inputs(target: Target, tmp_path: Path) -> None:
    campaign(target, 1_000, tmp_path)


@pytest.mark.long
def test_twenty_thousand_hostile_inputs(target: Target, tmp_path: Path) -> None:
    campaign(target, 20_000, tmp_path)
