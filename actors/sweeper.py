"""Re-sends work that a crash left behind, and gives up on what keeps failing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio

from actors import Meter, Outbox
from proto.messages import AnyWork, Stage
from proto.records import Event
from stores.journal import Journal
from stores.work import Work, stage_in

PAGE = 256
SWEEP_SECONDS = 5.0

LEFTOVER_ATTEMPTS = 100
"""At a start most rows were never tried: only what survived so many starts is given up then."""


class Sweeper:
    """At start everything stored is a leftover of the process before; later only what has waited too long."""

    def __init__(
        self,
        outboxes: Mapping[Stage, Outbox[AnyWork]],
        *,
        work: Work,
        journal: Journal,
        now: Callable[[], float],
        resend_after_seconds: float,
        max_attempts: int,
        stop: trio.Event,
        meter: Meter,
        held_up: Callable[[Stage], bool] = lambda _: False,
    ) -> None:
        """``held_up``: whether work of a stage waits for an operator, and has not failed."""
        self._outboxes, self._work, self._journal, self._now = outboxes, work, journal, now
        self._resend_after_seconds, self._max_attempts = resend_after_seconds, max_attempts
        self._stop, self._meter, self._held_up = stop, meter, held_up
        self._seen: dict[bytes, tuple[int, float]] = {}

    async def run(self) -> None:
        await self._sweep(patience_seconds=0.0)
        while not self._stop.is_set():
            with trio.move_on_after(SWEEP_SECONDS):
                await self._stop.wait()
            await self._sweep(self._resend_after_seconds)

    async def _sweep(self, patience_seconds: float) -> None:
        """Sends again what has stood unchanged for ``patience_seconds``; stages in order, a page at a time.

        How long is measured on the process's own clock, so that a frozen world clock stalls nothing.
        """
        seen: dict[bytes, tuple[int, float]] = {}
        after = b""
        while not self._stop.is_set():
            items = await self._work.after(after, PAGE)
            if not items:
                break
            after = items[-1][0]
            stale = []
            for key, item in items:
                revision, since = self._seen.get(key, (0, trio.current_time()))
                since = since if revision == item.revision else trio.current_time()
                if self._held_up(stage_in(key)):
                    since = trio.current_time()
                elif trio.current_time() - since >= patience_seconds:
                    stale.append(key)
                    since = trio.current_time()
                seen[key] = (item.revision, since)
            await self._send_again(stale, self._max_attempts if patience_seconds else LEFTOVER_ATTEMPTS)
        self._seen = seen

    async def _send_again(self, keys: list[bytes], max_attempts: int) -> None:
        if not keys:
            return
        with self._meter.working():
            messages, dead = await self._work.begin_attempt(keys, self._now(), max_attempts)
        if dead:
            await self._tell(dead)
        for message in messages:
            await self._outboxes[message.stage].send(message)
            self._meter.handled += 1

    async def _tell(self, dead: int) -> None:
        await self._journal.event(
            Event(
                at=int(self._now()),
                kind="dead_letter",
                severity="error",
                subject="work",
                detail=f"{dead} items given up after {self._max_attempts} attempts",
            )
        )
