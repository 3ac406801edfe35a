"""Searches at a steady pace beside something else, and what the daemon's process takes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from tests.bench.search_data import Query
from tests.bench.search_load import Connection
from tests.flow.processes import ROOT

T = TypeVar("T")
MIB = 1 << 20
CONNECTION_REQUESTS = 900
"""A connection is closed by the server after a thousand, and after 15 seconds without one."""
IDLE_SECONDS = 5.0
LONGEST_SECONDS = 900.0
"""No query is asked twice, so that there are enough for so long."""
READY = b"ready\n"
COMMAND = (sys.executable, "-m", "tests.bench.million_load")


class Pace(msgspec.Struct, kw_only=True):
    """What the process is told to ask."""

    url: str
    queries: list[Query]
    per_second: float
    parameters: str


class Latency(msgspec.Struct, kw_only=True):
    """Milliseconds from when a search was to be asked until its answer was there."""

    requests: int = 0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    per_second: float = 0.0

    @classmethod
    def of(cls, milliseconds: Sequence[float], seconds: float) -> Latency:
        if not milliseconds:
            return cls()
        p50, p95, p99 = (float(one) for one in np.percentile(milliseconds, (50, 95, 99)))
        return cls(requests=len(milliseconds), p50=p50, p95=p95, p99=p99, per_second=len(milliseconds) / seconds)


class Paced:
    """So many searches a second, whether or not the earlier ones are answered."""

    def __init__(self, url: str, queries: Iterator[Query], per_second: float, parameters: str) -> None:
        self._url, self._queries, self._per_second, self._parameters = url, queries, per_second, parameters
        self._local, self._ended = threading.local(), threading.Event()
        self.milliseconds: list[float] = []
        self.failures: list[Exception] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
        if self.failures:
            raise self.failures[0]

    def _run(self) -> None:
        began = time.perf_counter()
        with ThreadPoolExecutor(16) as pool:
            for number in range(1_000_000):
                due = began + number / self._per_second
                if self._ended.wait(max(due - time.perf_counter(), 0)) or self.failures:
                    return
                query = next(self._queries, None)
                if query is None:
                    self.failures.append(RuntimeError(f"no query is left after {number}"))
                    return
                pool.submit(self._ask, query, due)

    def _ask(self, query: Query, due: float) -> None:
        try:
            self._connection().ask(query)
            self.milliseconds.append((time.perf_counter() - due) * 1_000)
        except Exception as error:
            self.failures.append(error)

    def _connection(self) -> Connection:
        asked, now = getattr(self._local, "asked", CONNECTION_REQUESTS), time.perf_counter()
        if asked >= CONNECTION_REQUESTS or now - self._local.used_at > IDLE_SECONDS:
            self._local.connection, asked = Connection(self._url, self._parameters), 0
        self._local.asked, self._local.used_at = asked + 1, now
        connection: Connection = self._local.connection
        return connection


def beside(
    url: str, queries: Iterator[Query], per_second: float, work: Callable[[], T], parameters: str
) -> tuple[T, Latency]:
    """What the work gave, and how long searches took meanwhile. They are asked by a process of its own: this one's
    interpreter is wanted by the work."""
    most = list(islice(queries, int(per_second * LONGEST_SECONDS)))
    pace = Pace(url=url, queries=most, per_second=per_second, parameters=parameters)
    with subprocess.Popen(COMMAND, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(msgspec.json.encode(pace) + b"\n")
        process.stdin.flush()
        if process.stdout.readline() != READY:
            raise RuntimeError("the searches beside did not start; what they said stands above")
        began = time.perf_counter()
        try:
            given = work()
        finally:
            process.stdin.close()
        told = process.stdout.readline()
    if process.returncode:
        raise RuntimeError("the searches beside failed; what they said stands above")
    return given, Latency.of(msgspec.json.decode(told, type=list[float]), time.perf_counter() - began)


def main() -> None:
    """Searches until the input ends; their milliseconds are the output's second line."""
    pace = msgspec.json.decode(sys.stdin.buffer.readline(), type=Pace)
    paced = Paced(pace.url, iter(pace.queries), pace.per_second, pace.parameters)
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    with paced.running():
        sys.stdin.buffer.read()
    sys.stdout.buffer.write(msgspec.json.encode(paced.milliseconds) + b"\n")


def resident_mib(pid: int) -> tuple[float, float]:
    """The process's own memory, and with the pages of files that it has mapped, which the system may take back."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    held = {line.partition(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "RssFile"))}
    return (int(held["VmRSS"]) - int(held["RssFile"])) / 1_024, int(held["VmRSS"]) / 1_024


def with_children(pid: int) -> list[int]:
    """The process and those it started, such as the one that reads an import."""
    started = [int(one) for path in Path(f"/proc/{pid}/task").glob("*/children") for one in path.read_text().split()]
    return [pid, *started]


def disk_mib(folder: Path) -> float:
    """Blocks that the files take, not how long they look."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) / MIB


if __name__ == "__main__":
    main()
