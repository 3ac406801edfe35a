from __future__ import annotations

import contextlib
import os
import socket
import stat
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

from daemon.web.connections import ServerState
from daemon.web.server import SEND_SECONDS, hypercorn_config, serve_app, tcp_listener, unix_listener
from tests.conftest import QUIET_SECONDS
from tests.daemon.web.conftest import Serve
from tests.daemon.web.hostile import killers, request

KEEP_ALIVE_SECONDS = 4.0
GRACEFUL_SECONDS = 2.0
BIG_BYTES = 32 << 20
"""More than the socket buffers of both ends hold."""


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """Virtual time that lets bytes on loopback arrive before it jumps."""
    autojump_clock.autojump_threshold = QUIET_SECONDS
    return autojump_clock


def small_app() -> QuartTrio:
    app = QuartTrio("small")
    app.config["RESPONSE_TIMEOUT"] = None

    @app.get("/")
    async def hello() -> str:
        return "hello"

    @app.get("/slow/<seconds>")
    async def slow(seconds: str) -> str:
        await trio.sleep(float(seconds))
        return "done"

    @app.get("/big")
    async def big() -> bytes:
        return bytes(BIG_BYTES)

    return app


ENDERS = (
    "websocket with bytes behind its head",
    "h2c with bad base64",
    "h2 with a raw byte in its path",
)
"""Each ends a server of stock hypercorn."""


async def open_to(port: int) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", port)


async def read_all(stream: trio.SocketStream) -> bytes:
    """Until the other side closes; a reset counts as closing."""
    found = b""
    with contextlib.suppress(trio.BrokenResourceError):
        async for chunk in stream:
            found += chunk
    return found


async def read_until(stream: trio.SocketStream, end: bytes) -> bytes:
    found = b""
    while not found.endswith(end):
        chunk = await stream.receive_some()
        assert chunk, found
        found += chunk
    return found


async def ask(port: int, data: bytes, *, end: bool = False) -> bytes:
    """Everything that comes back until the server closes; ``end`` closes the sending side first."""
    async with await open_to(port) as stream:
        with contextlib.suppress(OSError, trio.BrokenResourceError):
            await stream.send_all(data)
            if end:
                await stream.send_eof()
        return await read_all(stream)


async def start(nursery: trio.Nursery, stop: trio.Event, state: ServerState | None = None) -> int:
    listener = tcp_listener("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    config = hypercorn_config(keep_alive_seconds=KEEP_ALIVE_SECONDS, graceful_seconds=GRACEFUL_SECONDS)
    await nursery.start(partial(serve_app, small_app(), config, [listener], stop, state=state))
    return port


@pytest.mark.parametrize("name", ENDERS)
async def test_a_malformed_request_costs_only_its_connection(serve: Serve, name: str) -> None:
    state = ServerState()
    port = int((await serve(small_app(), state)).rpartition(":")[2])
    with trio.fail_after(5):
        await ask(port, killers()[name], end=True)
        assert state.dropped == 1
        assert b"hello" in await ask(port, request("/", "Connection: close"))


async def test_an_idle_connection_is_closed_also_after_a_request(clock: object, nursery: trio.Nursery) -> None:
    port = await start(nursery, trio.Event())
    async with await open_to(port) as stream:
        await stream.send_all(request())
        begun = trio.current_time()
        assert b"hello" in await read_all(stream)
        assert KEEP_ALIVE_SECONDS <= trio.current_time() - begun < KEEP_ALIVE_SECONDS + 1
    nursery.cancel_scope.cancel()


async def test_a_connection_is_closed_when_the_client_asks_for_it(clock: object, nursery: trio.Nursery) -> None:
    port = await start(nursery, trio.Event())
    begun = trio.current_time()
    assert b"hello" in await ask(port, request("/", "Connection: close"))
    assert trio.current_time() - begun < 1
    nursery.cancel_scope.cancel()


async def test_stop_lets_open_requests_end_and_closes_idle_connections_at_once(clock: object) -> None:
    stop = trio.Event()
    answers: dict[str, bytes] = {}
    closed_at: dict[str, float] = {}

    async def client(name: str, data: bytes) -> None:
        async with await open_to(port) as stream:
            await stream.send_all(data)
            answers[name] = await read_all(stream)
            closed_at[name] = trio.current_time()

    async with trio.open_nursery() as clients:
        async with trio.open_nursery() as nursery:
            port = await start(nursery, stop)
            clients.start_soon(client, "idle", request())
            clients.start_soon(client, "quick", request("/slow/1.5"))
            clients.start_soon(client, "stuck", request("/slow/60"))
            await trio.sleep(1)
            stopped_at = trio.current_time()
            stop.set()
        assert trio.current_time() - stopped_at < GRACEFUL_SECONDS + 1
    assert answers["idle"].endswith(b"hello")
    assert closed_at["idle"] - stopped_at < 0.1
    assert answers["quick"].endswith(b"done")
    assert answers["stuck"] == b""
    with pytest.raises(OSError):
        await open_to(port)


async def test_a_peer_that_reads_nothing_does_not_hold_up_the_stop(clock: object) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        port = await start(nursery, stop)
        stream = await open_to(port)
        await stream.send_all(request("/big"))
        await trio.sleep(1)
        stopped_at = trio.current_time()
        stop.set()
    assert trio.current_time() - stopped_at <= max(GRACEFUL_SECONDS, SEND_SECONDS) + 1
    await stream.aclose()


async def test_no_header_tells_the_server(serve: Serve) -> None:
    port = int((await serve(small_app())).rpartition(":")[2])
    with trio.fail_after(5):
        assert b"server:" not in (await ask(port, request("/", "Connection: close"))).lower()


async def test_a_unix_socket_has_its_mode_and_replaces_a_stale_one(tmp_path: Path, nursery: trio.Nursery) -> None:
    path = tmp_path / "admin.sock"
    unix_listener(path).close()
    assert path.exists()
    listener = unix_listener(path, 0o660)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    config = hypercorn_config(keep_alive_seconds=5, graceful_seconds=1)
    await nursery.start(partial(serve_app, small_app(), config, [listener], trio.Event()))
    with trio.fail_after(5):
        async with await trio.open_unix_socket(str(path)) as stream:
            await stream.send_all(request("/", "Connection: close"))
            assert b"hello" in await read_all(stream)
    nursery.cancel_scope.cancel()


def test_a_socket_in_use_and_a_file_are_left_alone(tmp_path: Path) -> None:
    path, file = tmp_path / "used.sock", tmp_path / "file"
    file.write_text("precious")
    with unix_listener(path) as used:
        with pytest.raises(OSError):
            unix_listener(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            used.accept()[0].close()
    with pytest.raises(OSError):
        unix_listener(file)
    assert file.read_text() == "precious"


def test_a_listener_leaves_the_umask_as_it_was(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        unix_listener(tmp_path / "one.sock").close()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_taken_port_is_an_error() -> None:
    with tcp_listener("127.0.0.1", 0) as one, pytest.raises(OSError):
        tcp_listener("127.0.0.1", one.getsockname()[1])
