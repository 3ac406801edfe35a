"""So many clients at once, for so many queries or so long: in a process of its own, over HTTP or by plain calls.

``python -m tests.bench.search_load http|bare|sqlite …`` reads a JSON `Order` a line and answers each by an `Outcome`.
"""

from __future__ import annotations

import argparse
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec

from daemon.config import Config, SearchConfig
from daemon.control import weights_of
from daemon.embedding import open_model
from models.embedding_port import EmbeddingPort
from stores.ports import Rows
from tests.bench.search_data import Query
from tests.bench.search_engines import Bare
from tests.bench.search_sqlite import Sqlite

LIMIT = 20
ENGINE_THREADS = 2
"""As many searches run at once in the daemon; further clients wait their turn."""
RECEIVED_AT_ONCE = 1 << 16


class Order(msgspec.Struct, kw_only=True, frozen=True):
    """``keep``: the rows found are wanted too (of plain calls); ``whole``: with nothing cut short, where a system can."""

    queries: list[Query]
    clients: int
    seconds: float
    keep: bool = False
    whole: bool = False


class Outcome(msgspec.Struct, kw_only=True, frozen=True):
    """Milliseconds of each request that was made, in no order, and how long all took."""

    milliseconds: list[float]
    seconds: float
    rows: list[list[int]] = []


Ask = Callable[[Query, bool], Sequence[int] | Rows]


def run(order: Order, make_ask: Callable[[], Ask]) -> Outcome:
    """Each client asks the next query as soon as its last is answered. ``make_ask``: called by each client's thread."""
    waiting: Iterator[tuple[int, Query]] = iter(enumerate(order.queries))
    turn, spent, failures = threading.Lock(), list[float](), list[BaseException]()
    rows: dict[int, list[int]] = {}
    deadline = time.perf_counter() + order.seconds

    def client() -> None:
        try:
            ask = make_ask()
            while time.perf_counter() < deadline and not failures:
                with turn:
                    at, query = next(waiting, (-1, None))
                if query is None:
                    return
                began = time.perf_counter()
                found = ask(query, order.whole)
                spent.append((time.perf_counter() - began) * 1_000)
                if order.keep:
                    rows[at] = [int(row) for row in found]
        except Exception as error:
            failures.append(error)

    began = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(order.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return Outcome(milliseconds=spent, seconds=time.perf_counter() - began, rows=[rows[at] for at in sorted(rows)])


class Connection:
    """Keep-alive over a plain socket: a client that costs as little as can be, since it shares the cores."""

    def __init__(self, url: str, parameters: str) -> None:
        parts = urlsplit(url)
        self._host, self._parameters = parts.netloc, parameters
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, query: Query) -> None:
        """Nothing of the answer is read but that it is one."""
        path = f"/v1/search?q={quote(query.text)}&limit={LIMIT}{self._parameters}"
        if query.filter:
            path += f"&filter={quote(query.filter)}"
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        head, _, body = self._head().partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path}: {head.decode()} {body.decode()}")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        missing = length - len(body)
        while missing > 0:
            missing -= len(self._received())

    def _head(self) -> bytes:
        read = b""
        while b"\r\n\r\n" not in read:
            read += self._received()
        return read

    def _received(self) -> bytes:
        part = self._socket.recv(RECEIVED_AT_ONCE)
        if not part:
            raise RuntimeError("the daemon closed the connection")
        return part


def _over_http(url: str, parameters: str) -> Ask:
    connection = Connection(url, parameters)

    def ask(query: Query, _: bool) -> Sequence[int]:
        connection.ask(query)
        return []

    return ask


@contextmanager
def _model(folder: str, kind: str) -> Iterator[EmbeddingPort]:
    plain = Config()
    stated = msgspec.structs.replace(plain.model, dir=folder, kind=kind or plain.model.kind)
    settings = msgspec.structs.replace(plain, model=stated)
    model = open_model(settings, lambda _: None)
    yield model
    model.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.search_load", description=__doc__)
    parser.add_argument("system", choices=("http", "bare", "sqlite"))
    parser.add_argument("place", help="URL of the daemon, or folder of the world")
    parser.add_argument("--parameters", default="")
    parser.add_argument("--model", default="")
    parser.add_argument("--kind", default="", help="of the model: onnx, universal")
    parser.add_argument("--ef", type=int, default=SearchConfig().ef)
    given = parser.parse_args()
    if given.system == "http":
        _serve(lambda _: lambda: _over_http(given.place, given.parameters))
        return
    sys.setswitchinterval(Config().daemon.switch_interval_seconds)
    root, weights = Path(given.place), weights_of(Config())
    with _model(given.model, given.kind) as model:
        if given.system == "bare":
            search: Ask = Bare(root, root / "data" / "indexes", model, weights, given.ef).search
        else:
            search = Sqlite(root, model, weights).search
        with ThreadPoolExecutor(ENGINE_THREADS) as pool:
            in_turn: Ask = lambda query, whole: pool.submit(search, query, whole).result()  # noqa: E731
            _serve(lambda order: lambda: search if order.clients <= ENGINE_THREADS else in_turn)


def _serve(clients_of: Callable[[Order], Callable[[], Ask]]) -> None:
    """Says that it is ready, then does what it is told until its input ends."""
    print("ready", flush=True)
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        outcome = run(order, clients_of(order))
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
