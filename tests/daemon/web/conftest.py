"""An application served on a free loopback port for one test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import httpx2
import pytest
import trio

from daemon.web.connections import ServerState
from daemon.web.server import hypercorn_config, serve_app, tcp_listener

Serve = Callable[..., Awaitable[str]]
Connect = Callable[[Any], Awaitable[httpx2.AsyncClient]]


@pytest.fixture
async def serve(nursery: trio.Nursery) -> AsyncIterator[Serve]:
    """``await serve(app, state=…)`` → its base URL."""

    async def start(app: Any, state: ServerState | None = None) -> str:
        listener = tcp_listener("127.0.0.1", 0)
        port = listener.getsockname()[1]
        config = hypercorn_config(keep_alive_seconds=5.0, graceful_seconds=1.0)
        await nursery.start(partial(serve_app, app, config, [listener], trio.Event(), state=state))
        return f"http://127.0.0.1:{port}"

    yield start
    nursery.cancel_scope.cancel("end of the test")


@pytest.fixture
async def connect(serve: Serve) -> AsyncIterator[Connect]:
    """``await connect(app)`` → a client of it."""
    clients: list[httpx2.AsyncClient] = []

    async def start(app: Any) -> httpx2.AsyncClient:
        client = httpx2.AsyncClient(base_url=await serve(app), trust_env=False)
        clients.append(client)
        return client

    yield start
    for client in clients:
        await client.aclose()
