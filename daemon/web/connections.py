"""One listener's connections: whose turn it is on each, and which gives way when there is no room for another.

Slow clients would hold all connections for as long as each may take. There is no limit per address, since a proxy is one
address. Instead, where all are taken, the one that has waited longest for its client is closed for the new one: it has
sent no whole request, is idle between two, or is not taking its answer. One whose request is at work never gives way.
"""

from __future__ import annotations

from typing import Any, Protocol

import structlog

log = structlog.get_logger("web")


class Droppable(Protocol):
    async def drop(self) -> None:
        """Closes it at once."""


class ServerState:
    """One listener's connections and those dropped for a malformed request."""

    def __init__(self, *, max_connections: int = 512, head_seconds: float = 5.0) -> None:
        """``head_seconds``: how long the head of a request may take from its first byte on."""
        self.max_connections, self.head_seconds = max_connections, head_seconds
        self.dropped = self.gave_way = 0
        self._open: set[Droppable] = set()
        self._waiting: dict[Droppable, None] = {}

    @property
    def open(self) -> int:
        return len(self._open)

    async def admit(self, connection: Droppable) -> bool:
        """Whether there is room for it, or could be made."""
        if self.open >= self.max_connections and not self._waiting:
            return False
        self._open.add(connection)
        self._waiting[connection] = None
        if self.open > self.max_connections:
            longest = next(iter(self._waiting))
            self.forget(longest)
            self.gave_way += 1
            await longest.drop()
        return True

    def forget(self, connection: Droppable) -> None:
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def waits(self, connection: Droppable, for_client: bool) -> None:
        """From now on, for its client or for us."""
        if not for_client:
            self._waiting.pop(connection, None)
        elif connection in self._open:
            self._waiting[connection] = None


class Turns:
    """The application of one connection: it is the daemon's turn while it works on a request that it has whole."""

    def __init__(self, app: Any, state: ServerState, connection: Droppable) -> None:
        self._app, self._state, self._connection = app, state, connection
        self._at_work = 0

    async def __call__(self, scope: Any, receive: Any, send: Any, sync_spawn: Any, call_soon: Any) -> None:
        at_work = unsendable = False

        def be(working: bool) -> None:
            nonlocal at_work
            self._count(working - at_work)
            at_work = working

        async def receiving() -> Any:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                be(True)
            return message

        async def sending(message: Any) -> None:
            nonlocal unsendable
            before, last = at_work, message["type"] == "http.response.body" and not message.get("more_body")
            be(False)
            try:
                await send(message)
            except Exception:  # for this client's connection, by what it has done
                unsendable = True
                raise
            finally:
                be(before and not last)

        try:
            await self._app(scope, receiving, sending, sync_spawn, call_soon)
        except Exception as error:  # hypercorn answers 500 and tells nobody
            if not unsendable:
                log.error("request failed outside of its handler", exc_info=error)
            raise
        finally:
            be(False)

    def _count(self, change: int) -> None:
        """A change of nothing keeps the connection's place among those that wait."""
        before, self._at_work = self._at_work, self._at_work + change
        if bool(before) != bool(self._at_work):
            self._state.waits(self._connection, not self._at_work)
