"""Takes work that did not come out of a stage, such as an operator's word, to the stage that does it, at once."""

from __future__ import annotations

import trio

from actors import Inbox, Meter, Outbox
from proto.messages import AnyWork


class Courier:
    """Ends once asked to stop: what is left then is stored work, which the Sweeper sends after the next start."""

    def __init__(self, inbox: Inbox[AnyWork], outbox: Outbox[AnyWork], *, stop: trio.Event, meter: Meter) -> None:
        self._inbox, self._outbox, self._stop, self._meter = inbox, outbox, stop, meter

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._carry)
            await self._stop.wait()
            nursery.cancel_scope.cancel()

    async def _carry(self) -> None:
        async for message in self._inbox:
            await self._outbox.send(message)
            self._meter.handled += 1
