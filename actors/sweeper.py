"""Re-sends work that a crash left behind, and gives up on what keeps failing."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping

import trio

from actors import Meter, Outbox
from proto.messages import AnyWork, Stage
from proto.records import Event, WorkItem
from stores.journal import Journal
from stores.work import Work, stage_in

PAGE = 256
SWEEP_SECONDS = 5.0
LOOKED_AT = 2_048
"""Items between two pauses, about 5 ms: a million that wait their turn are not read every few seconds."""

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
        self._after = b""
        self._revisions: deque[tuple[float, int]] = deque()
        """When which revision was the latest, oldest first; the first is of as long ago as an item may stand, if any is."""
        self._sent: OrderedDict[bytes, float] = OrderedDict()
        """When what was sent again lately; oldest first."""
        self._held_at: dict[Stage, float] = {}
        """When each stage was last found to be held up."""

    async def run(self) -> None:
        await self._send_leftovers()
        self._note(await self._work.revision())
        while not self._stop.is_set():
            with trio.move_on_after(SWEEP_SECONDS):
                await self._stop.wait()
            while not self._stop.is_set() and await self.tick():
                pass

    async def tick(self) -> bool:
        """Sends again what of the next `LOOKED_AT` items has stood unchanged for ``resend_after_seconds``, or was sent so
        long ago; stages in order. True when that was something, so that it goes on at once: who takes it sets the pace.

        How long is measured on the process's own clock, so that a frozen world clock stalls nothing.
        """
        self._note(await self._work.revision())
        sent = False
        for _ in range(LOOKED_AT // PAGE):
            items = await self._work.after(self._after, PAGE)
            self._after = items[-1][0] if len(items) == PAGE else b""
            stale = [key for key, item in items if self._is_stale(key, item)]
            await self._send_again(stale, self._max_attempts)
            self._sent.update((key, trio.current_time()) for key in stale)
            sent = sent or bool(stale)
            if not self._after or self._stop.is_set():
                break
        return sent

    async def _send_leftovers(self) -> None:
        after = b""
        while not self._stop.is_set() and (items := await self._work.after(after, PAGE)):
            after = items[-1][0]
            keys = [key for key, _ in items if not self._held_up(stage_in(key))]
            await self._send_again(keys, LEFTOVER_ATTEMPTS)

    def _note(self, revision: int) -> None:
        """What was enqueued by now; and what is known of earlier."""
        now = trio.current_time()
        self._revisions.append((now, revision))
        while len(self._revisions) > 1 and self._revisions[1][0] <= now - self._resend_after_seconds:
            self._revisions.popleft()
        while self._sent and next(iter(self._sent.values())) <= now - self._resend_after_seconds:
            self._sent.popitem(last=False)
        for stage in self._outboxes:
            if self._held_up(stage):
                self._held_at[stage] = now

    def _is_stale(self, key: bytes, item: WorkItem) -> bool:
        """Revisions only grow: an item of one that was given out so long ago has not been enqueued since."""
        long_ago = trio.current_time() - self._resend_after_seconds
        at, revision = self._revisions[0]
        held_at = self._held_at.get(stage_in(key), -math.inf)
        return at <= long_ago and item.revision <= revision and held_at <= long_ago and key not in self._sent

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
