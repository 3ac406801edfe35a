"""Keeps actors and services running: what crashed is started again. A stage that keeps crashing ends the daemon with a
clear error; a service, which the flow does without, never does."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec
import structlog
import trio

from actors import Meter
from proto.api import StageStatus
from proto.errors import PokedexError
from proto.records import Event
from stores.files import is_disk_full
from stores.journal import Journal

log = structlog.get_logger("supervisor")


ROOM_SECONDS = 5.0
"""Between tries of a stage for which the disk had no room."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 300.0
"""Before a service that failed is started again; doubled by each failure that follows within the longest."""
TOLD_AGAIN_SECONDS = 3_600.0
"""After which an operator is told again of a service that goes on failing in the same way."""


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


class Services:
    """What goes on beside the flow, such as surveys, backups and notes: one that fails is told of and started again."""

    def __init__(self, journal: Journal, now: Callable[[], float]) -> None:
        self._journal, self._now = journal, now
        self.failing: dict[str, str] = {}
        """Those that wait to be started again, and why."""

    async def keep_going(
        self,
        name: str,
        service: Callable[[], Awaitable[None]],
        stop: trio.Event | None = None,
        *,
        longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
    ) -> None:
        """Runs a service until it returns, or until it fails while ``stop`` is set. To be cancelled as the service would
        be; what is no `Exception` goes through."""
        stop = trio.Event() if stop is None else stop
        failures, told, told_at = 0, "", 0.0
        while True:
            began = trio.current_time()
            error = await _failure_of(name, service)
            if error is None:
                return
            quick = trio.current_time() - began < longest_pause_seconds
            failures = failures + 1 if quick else 1
            reason = _words_of(error)
            pause_seconds = min(longest_pause_seconds, FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 60))
            if is_disk_full(error):  # no bug, and told of by whoever watches the disk
                log.warning("a service waits for room on the disk", service=name, reason=reason)
            elif reason != told or trio.current_time() - told_at >= TOLD_AGAIN_SECONDS:
                log.error("a service failed", service=name, reason=reason, exc_info=error if reason != told else None)
                told, told_at = reason, trio.current_time()
                await self._tell_if_possible(
                    name, f"{reason}; all else goes on, and it is started again in {pause_seconds:g} s"
                )
            else:
                log.warning("a service failed again", service=name, failures=failures, reason=reason)
            del error  # and what its traceback holds
            self.failing[name] = reason
            with trio.move_on_after(pause_seconds):
                await stop.wait()
            del self.failing[name]
            if stop.is_set():
                return

    async def tell(self, kind: str, subject: str, detail: str) -> None:
        """An event for operators, of something that is wrong. Raises what the store does."""
        event = Event(at=int(self._now()), kind=kind, severity="error", subject=subject, detail=detail)
        await self._journal.event(event, synced=True)

    async def _tell_if_possible(self, name: str, detail: str) -> None:
        try:
            await self.tell("service_failed", name, detail)
        except Exception as error:  # the store may be what fails; by then it is in the log and counted
            log.warning("an event is not noted", subject=name, reason=_words_of(error))


async def _failure_of(name: str, service: Callable[[], Awaitable[None]]) -> Exception | None:
    """None once it has returned. Of a group what ends the process, or is a cancellation, goes on its way by itself."""
    try:
        await service()
    except BaseExceptionGroup as group:
        failed, rest = group.split(Exception)
        if rest is not None:
            if failed is not None:
                log.error("a service failed while it was ended", service=name, reason=_words_of(failed))
            raise rest from None
        return failed
    except Exception as error:
        return error
    return None


def _words_of(error: BaseException) -> str:
    """Of a group those of all that is in it, each once."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(_words_of(one) for one in error.exceptions))
    return str(error) if isinstance(error, PokedexError) else f"{type(error).__name__}: {error}"
