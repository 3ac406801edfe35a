"""Keeps actors running: a crashed one is restarted, one that keeps crashing ends the daemon with a clear error."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import structlog
import trio

from actors import Meter
from proto.api import StageStatus
from proto.errors import PokedexError
from stores.files import is_disk_full

log = structlog.get_logger("supervisor")


ROOM_SECONDS = 5.0
"""Between tries of a stage for which the disk had no room."""


class Actor(Protocol):
    async def run(self) -> None: ...


class ActorFailed(PokedexError):
    """An actor used up its restarts."""


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``max_restarts`` within ``window_seconds``; the pause before each doubles."""

    max_restarts: int = 5
    window_seconds: float = 60.0
    first_pause_seconds: float = 0.2
    longest_pause_seconds: float = 30.0

    def exhausted(self, failures: deque[float], now: float) -> bool:
        return sum(now - at < self.window_seconds for at in failures) > self.max_restarts

    def pause_seconds(self, failures: deque[float]) -> float:
        return float(min(self.longest_pause_seconds, self.first_pause_seconds * 2 ** (len(failures) - 1)))


class StageEntry:
    """One stage on the status board; several workers may stand behind it."""

    def __init__(self, name: str, inbox_depth: Callable[[], int], is_held: Callable[[], bool] = lambda: False) -> None:
        """``is_held``: whether it takes nothing more, as somebody wants it."""
        self.name, self._inbox_depth, self._is_held = name, inbox_depth, is_held
        self.meter = Meter()
        self.restarts = 0
        self.running = 0
        self.state = "off"

    def status(self) -> StageStatus:
        return StageStatus(
            name=self.name,
            queue_depth=self._inbox_depth(),
            blocked_seconds=round(self.meter.blocked_seconds, 3),
            state="paused" if self.state == "running" and self._is_held() else self.state,
            handled=self.meter.handled,
            restarts=self.restarts,
            busy_seconds=round(self.meter.busy_seconds, 3),
            workers=self.running,
        )

    def still_seconds(self) -> float:
        """For how long it has had work under way and got nowhere."""
        return self.meter.still_seconds(trio.current_time())

    def trouble(self, hang_seconds: float) -> str:
        """Why it cannot be said to live; empty while it can, as while it is being restarted."""
        if self.state == "stopped":
            return f"{self.name} has ended"
        still = self.still_seconds()
        return f"{self.name} hangs: no step for {still:.0f} s" if still > hang_seconds else ""


async def supervise(
    entry: StageEntry,
    make_actor: Callable[[], Actor],
    policy: RestartPolicy,
    outboxes: Sequence[trio.MemorySendChannel[Any]],
) -> None:
    """Runs an actor until its inbox ends, restarting it on failure; then closes its outboxes.

    Raises ActorFailed once the policy's restarts are used up.
    """
    failures: deque[float] = deque(maxlen=policy.max_restarts + 1)
    entry.running += 1
    entry.state = "running"
    try:
        while not await _runs_to_its_end(entry, make_actor, policy, failures):
            entry.state = "restarting"
            await trio.sleep(policy.pause_seconds(failures) if failures else 0)
            entry.state = "running"
    finally:
        entry.running -= 1
        entry.state = "running" if entry.running else "stopped"
        for outbox in outboxes:
            outbox.close()


async def _runs_to_its_end(
    entry: StageEntry, make_actor: Callable[[], Actor], policy: RestartPolicy, failures: deque[float]
) -> bool:
    try:
        await make_actor().run()
    except Exception as error:
        if is_disk_full(error):  # no bug; the Sweeper sends what was in hand
            log.warning("a stage waits for room on the disk", actor=entry.name, reason=str(error))
            await trio.sleep(ROOM_SECONDS)
            return False
        failures.append(trio.current_time())
        entry.restarts += 1
        log.exception("actor failed", actor=entry.name, restarts=entry.restarts)
        if policy.exhausted(failures, trio.current_time()):
            raise ActorFailed(
                f"{entry.name}: failed {len(failures)} times within {policy.window_seconds:g} s, in the end by: {error}"
            ) from error
        return False
    return True
