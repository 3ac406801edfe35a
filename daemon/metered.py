"""Adapters and language models whose calls are timed, with what became of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import trio

from actors.labeller import Model
from actors.platforms.adapter import CallCost, Fetched, PlatformAdapter
from models.language_model import Reply
from proto.errors import AuthFailed, Rejected, Throttled, Unavailable
from proto.ids import Platform
from proto.records import Job, JobKind, Normalised, RawPage

Observe = Callable[[str, float, str], None]
"""Told of each call: whose it was, its seconds, and one of `OUTCOMES`."""

OUTCOMES = ("ok", "timeout", "unavailable", "throttled", "auth", "rejected", "malformed")


class MeteredAdapter:
    """A platform's adapter."""

    def __init__(self, adapter: PlatformAdapter, observe: Observe) -> None:
        self._adapter, self._observe = adapter, observe

    @property
    def platform(self) -> Platform:
        return self._adapter.platform

    def call_size(self, kind: JobKind) -> int:
        return self._adapter.call_size(kind)

    def cost(self, kind: JobKind, /) -> CallCost:
        return self._adapter.cost(kind)

    async def perform(self, jobs: Sequence[Job], bucket: str) -> Fetched:
        with timed(self._observe, self.platform.value):
            return await self._adapter.perform(jobs, bucket)

    def normalise(self, page: RawPage) -> Normalised:
        return self._adapter.normalise(page)


class MeteredModel:
    """A language model."""

    def __init__(self, model: Model, observe: Observe) -> None:
        self._model, self._observe = model, observe
        self.model, self.name = model.model, model.name

    async def extract(self, system: str, prompt: str, schema: dict[str, Any], *, max_tokens: int) -> Reply:
        with timed(self._observe, self.model):
            return await self._model.extract(system, prompt, schema, max_tokens=max_tokens)


@contextmanager
def timed(observe: Observe, whose: str) -> Iterator[None]:
    """A call that is cancelled, as at the end of the process, is not counted."""
    started = time.perf_counter()
    outcome = "ok"
    try:
        yield
    except Exception as error:
        outcome = outcome_of(error)
        raise
    except BaseException:
        outcome = ""
        raise
    finally:
        if outcome:
            observe(whose, time.perf_counter() - started, outcome)


def outcome_of(error: Exception) -> str:
    """Whoever gives a call up for its time raises Unavailable while handling Trio's TooSlowError."""
    match error:
        case Unavailable():
            return "timeout" if isinstance(error.__context__, trio.TooSlowError) else "unavailable"
        case Throttled():
            return "throttled"
        case AuthFailed():
            return "auth"
        case Rejected():
            return "rejected"
    return "malformed"
