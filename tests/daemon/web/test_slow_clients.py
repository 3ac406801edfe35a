"""Clients that send slowly, read nothing or say nothing keep nobody out, and are cut off."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import h2.config
import h2.connection
import pytest
import trio
import trio.testing
from quart import request as asked
from quart_trio import QuartTrio

from daemon.web.app import TimedApp
from daemon.web.connections import ServerState
from daemon.web.server import SEND_SECONDS, hypercorn_config, serve_app, tcp_listener
from tests.conftest import QUIET_SECONDS
from tests.daemon.web.hostile import request
from tests.daemon.web.test_server import ask, open_to, read_all, read_until

SOCKETS, LIMIT, AT_WORK = 500, 300, 50
HEAD_SECONDS, KEEP_ALIVE_SECONDS, REQUEST_SECONDS = 5.0, 15.0, 30.0
SOON_SECONDS = 1.0
BIG_BYTES = 16 << 20


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """Virtual time that lets bytes on loopback arrive before it jumps."""
    autojump_clock.autojump_threshold = QUIET_SECONDS
    return autojump_clock


def small_app(at_work: int = AT_WORK) -> QuartTrio:
    app = TimedApp("small", limit_seconds=REQUEST_SECONDS, most_at_work=at_work, static_url_path="/static")
    app.config["BODY_TIMEOUT"] = app.config["RESPONSE_TIMEOUT"] = REQUEST_SECONDS

    @app.get("/")
    async def hello() -> str:
        return "hello"

    @app.get("/slow")
    async def slow() -> str:
        await trio.sleep(20)
        return "done"

    @app.get("/big")
    async def big() -> bytes:
        return bytes(BIG_BYTES)

    @app.post("/body")
    async def body() -> str | bytes:
        return await asked.get_data()

    return app


async def start(nursery: trio.Nursery, state: ServerState, app: QuartTrio | None = None) -> int:
    listener = tcp_listener("127.0.0.1", 0)
    config = hypercorn_config(keep_alive_seconds=KEEP_ALIVE_SECONDS, graceful_seconds=1)
    await nursery.start(partial(serve_app, app or small_app(), config, [listener], trio.Event(), state=state))
    port: int = listener.getsockname()[1]
    return port


def http2(*, window: int = 65_535) -> h2.connection.H2Connection:
    peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    peer.initiate_connection()
    peer.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
    return peer


def http2_request(path: bytes, *, end: bool = True, reset: bool = False, window: int = 65_535) -> bytes:
    peer = http2(window=window)
    head = [(b":method", b"GET"), (b":path", path), (b":scheme", b"http"), (b":authority", b"localhost")]
    peer.send_headers(1, head, end_stream=end)
    if reset:
        peer.reset_stream(1)
    return peer.data_to_send()


POST = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
SLOW = {
    "says nothing": (b"", b"", KEEP_ALIVE_SECONDS),
    "a head, byte by byte": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"x", HEAD_SECONDS),
    "a body, byte by byte": (POST, b"x", REQUEST_SECONDS),
    "idle between two requests": (request("/"), b"", KEEP_ALIVE_SECONDS),
    "a second head, byte by byte": (request("/") + b"GET / HTTP/1.1\r\nX: ", b"x", KEEP_ALIVE_SECONDS),
    "takes no answer": (request("/big"), b"", SEND_SECONDS),
    "takes none of two answers": (request("/big") * 2, b"", SEND_SECONDS),
    "HTTP/2 without a request": (http2().data_to_send(), b"", KEEP_ALIVE_SECONDS),
    "HTTP/2 with requests taken back": (http2_request(b"/slow", reset=True), b"", KEEP_ALIVE_SECONDS),
    "HTTP/2 with a body that never comes": (http2_request(b"/", end=False), b"", REQUEST_SECONDS + KEEP_ALIVE_SECONDS),
    "HTTP/2 without a window": (http2_request(b"/", window=0), b"", REQUEST_SECONDS + KEEP_ALIVE_SECONDS),
}
"""What it sends at once, what each second, and within how many seconds it must be cut off."""
TAKES_NOTHING = [name for name in SLOW if name.startswith("takes")]


async def be_slow(port: int, name: str) -> None:
    first, drip, _ = SLOW[name]
    async with await open_to(port) as stream:
        with suppress(OSError, trio.BrokenResourceError):
            await stream.send_all(first)
            if name in TAKES_NOTHING:
                await trio.sleep(SEND_SECONDS + 1)
                await read_all(stream)
            else:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(read_to_end, stream, nursery)
                    while True:
                        await trio.sleep(1)
                        await stream.send_all(drip)


async def read_to_end(stream: trio.SocketStream, nursery: trio.Nursery) -> None:
    await read_all(stream)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", SLOW)
async def test_a_slow_client_is_cut_off(clock: object, nursery: trio.Nursery, name: str) -> None:
    state = ServerState(head_seconds=HEAD_SECONDS)
    port = await start(nursery, state)
    with trio.fail_after(SLOW[name][2] + 2):
        await be_slow(port, name)
    await trio.testing.wait_all_tasks_blocked(QUIET_SECONDS / 2)
    assert state.open == 0
    nursery.cancel_scope.cancel()


async def test_five_hundred_slow_clients_keep_nobody_out(clock: object, nursery: trio.Nursery) -> None:
    state = ServerState(max_connections=LIMIT, head_seconds=HEAD_SECONDS)
    port = await start(nursery, state)
    names = [name for name in SLOW if name not in TAKES_NOTHING] + ["takes no answer"]
    waits: list[float] = []
    async with trio.open_nursery() as slow:
        for number in range(SOCKETS):
            slow.start_soon(be_slow, port, names[number % len(names)])
            if number % 25 == 24:
                begun = trio.current_time()
                assert b"hello" in await ask(port, request("/", "Connection: close"))
                waits.append(trio.current_time() - begun)
        for _ in range(10):
            await trio.sleep(1)
            begun = trio.current_time()
            assert b"hello" in await ask(port, request("/", "Connection: close"))
            waits.append(trio.current_time() - begun)
        assert state.open <= LIMIT
        assert state.gave_way > 0
    assert max(waits) < SOON_SECONDS, waits
    assert state.dropped == 0
    nursery.cancel_scope.cancel()


async def test_bodies_that_are_still_coming_are_not_at_work(clock: object, nursery: trio.Nursery) -> None:
    port = await start(nursery, ServerState())
    async with trio.open_nursery() as slow:
        for _ in range(2 * AT_WORK):
            slow.start_soon(be_slow, port, "a body, byte by byte")
        await trio.sleep(2)
        assert b"hello" in await ask(port, request("/", "Connection: close"))
        slow.cancel_scope.cancel()
    assert b"408" in (await ask(port, POST))[:20]
    nursery.cancel_scope.cancel()


async def test_who_waits_longest_for_its_client_gives_way_and_who_is_at_work_does_not(
    clock: object, nursery: trio.Nursery
) -> None:
    state = ServerState(max_connections=3, head_seconds=HEAD_SECONDS)
    port = await start(nursery, state)
    async with await open_to(port) as at_work, await open_to(port) as first, await open_to(port) as second:
        await at_work.send_all(request("/slow"))
        for stream in (first, second, first):  # the second has then been idle for longer
            await stream.send_all(request())
            await read_until(stream, b"hello")
        async with await open_to(port) as third, await open_to(port) as fourth:
            await third.send_all(request())
            await read_until(third, b"hello")
            assert await read_all(second) == b""
            await fourth.send_all(request())
            await read_until(fourth, b"hello")
            assert await read_all(first) == b""
            await read_until(at_work, b"done")
    assert (state.gave_way, state.dropped) == (2, 0)
    nursery.cancel_scope.cancel()


async def test_where_all_are_at_work_another_is_closed(clock: object, nursery: trio.Nursery) -> None:
    state = ServerState(max_connections=2)
    port = await start(nursery, state)
    async with await open_to(port) as first, await open_to(port) as second:
        for stream in (first, second):
            await stream.send_all(request("/slow"))
        await trio.sleep(1)
        assert await ask(port, request()) == b""
        for stream in (first, second):
            await read_until(stream, b"done")
        assert b"hello" in await ask(port, request("/", "Connection: close"))
    nursery.cancel_scope.cancel()
