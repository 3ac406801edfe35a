"""A trio server loop over hypercorn's protocol code: one bad connection never ends the daemon.

Stock ``hypercorn.trio.serve`` lets several malformed requests end the whole process; the guard around ``run`` mends
that. Under quart-trio it neither re-arms its idle timer nor closes after ``Connection: close``, since the sender is
cancelled first; here those steps are shielded. A connection that the client closed would count until its idle timer
ran out, and many short ones would fill the limit. Its sends are shielded without an end, so a peer that reads nothing
would hold up the shutdown for ever; here a send has a time limit.
"""

from __future__ import annotations

import os
import socket
import stat
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from daemon.web.tls import Tls, TlsListener

log = structlog.get_logger("web")

SEND_SECONDS = 5.0
"""How long a peer may take nothing of what it is sent."""
SEND_SLICE_BYTES = 65_536


class ServerState(msgspec.Struct):
    """One listener's open connections and those dropped for a malformed request."""

    max_connections: int = 512
    open: int = 0
    dropped: int = 0


class GuardedTCPServer(TCPServer):
    """hypercorn's connection handler behind a guard and a limit."""

    def __init__(self, state: ServerState, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._state, self._ended = state, False

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._send(event.data)
        elif self._ended and isinstance(event, Updated):
            await self.idle_task.stop()
        else:  # quart-trio cancels its sender just here; the idle timer must still be set, the connection still closed
            with trio.move_on_after(SEND_SECONDS, shield=True):
                await super().protocol_send(event)

    async def _read_data(self) -> None:
        """A connection that the client has closed is over at once, not when its idle timer has run out."""
        await super()._read_data()
        self._ended = True
        await self.idle_task.stop()

    async def _send(self, data: bytes) -> None:
        """Whole or not at all; a peer that stops reading loses its connection."""
        async with self.send_lock:
            for begin in range(0, len(data), SEND_SLICE_BYTES):
                with trio.move_on_after(SEND_SECONDS, shield=True) as limit:
                    try:
                        await self.stream.send_all(data[begin : begin + SEND_SLICE_BYTES])
                    except (trio.BrokenResourceError, trio.ClosedResourceError):
                        await self.protocol.handle(Closed())
                        return
                if limit.cancelled_caught:
                    await trio.aclose_forcefully(self.stream)
                    await self.protocol.handle(Closed())
                    return

    async def run(self) -> None:
        if self._state.open >= self._state.max_connections:
            await trio.aclose_forcefully(self.stream)
            return
        self._state.open += 1
        try:
            await super().run()
        except BaseException as error:
            await self._contain(error)
        finally:
            self._state.open -= 1

    async def _contain(self, error: BaseException) -> None:
        """Drops the connection for any ordinary error; cancellation and exits pass on."""
        fatal, ordinary = _split(error)
        if ordinary is not None:
            self._state.dropped += 1
            log.info("connection dropped", error=repr(ordinary))
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self.stream)
        if fatal is not None:
            raise fatal


def _split(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    if isinstance(error, BaseExceptionGroup):
        return error.split(lambda one: not isinstance(one, (Exception, BaseExceptionGroup)))
    return (None, error) if isinstance(error, Exception) else (error, None)


def tcp_listener(host: str, port: int) -> socket.socket:
    """Raises OSError when the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def unix_listener(path: Path, mode: int = 0o660) -> socket.socket:
    """A stale socket of a process that is gone is replaced; there is no moment with a wider mode.

    Raises OSError when a living process listens there, or when the path is something else than a socket.
    """
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~mode)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    listener.listen(64)
    return listener


def _remove_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:
            return  # alive with a full backlog, or not ours: bind says what is wrong


def hypercorn_config(*, keep_alive_seconds: float, graceful_seconds: float) -> Config:
    config = Config()
    config.keep_alive_timeout = keep_alive_seconds
    config.graceful_timeout = graceful_seconds
    config.shutdown_timeout = 5.0
    config.ssl_handshake_timeout = 10.0
    config.include_server_header = False
    config.h11_max_incomplete_size = 16_384
    config.websocket_max_message_size = 65_536
    config.errorlog = None
    config.accesslog = None
    return config


async def serve_app(
    app: Any,
    config: Config,
    sockets: list[socket.socket],
    stop: trio.Event,
    *,
    state: ServerState | None = None,
    tls: Tls | None = None,
    task_status: trio.TaskStatus[list[Any]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves until ``stop``: then no new connection, idle ones close at once, open requests get the graceful time.

    ``task_status`` is told the bound addresses.
    """
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")
    shared: dict[str, Any] = {}
    lifespan, context = Lifespan(wrapped, config, shared), WorkerContext(None)
    async with trio.open_nursery() as life:
        await life.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        handler = partial(
            GuardedTCPServer, state or ServerState(), wrapped, config, context, ConnectionState(shared.copy())
        )
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accept:
                listeners = [_listener(one, tls) for one in sockets]
                accept.start_soon(partial(trio.serve_listeners, handler, listeners, handler_nursery=connections))
                task_status.started([one.getsockname() for one in sockets])
                await stop.wait()
                accept.cancel_scope.cancel("shutdown")
            await context.terminated.set()
            connections.cancel_scope.deadline = trio.current_time() + config.graceful_timeout
        await lifespan.wait_for_shutdown()
        life.cancel_scope.cancel("shutdown")


def _listener(one: socket.socket, tls: Tls | None) -> Any:
    one.setblocking(False)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(one))
    return listener if tls is None or one.family == socket.AF_UNIX else TlsListener(listener, tls)
