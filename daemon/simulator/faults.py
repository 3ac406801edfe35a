"""Faults as data: shares of requests that go wrong, drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

import random

import msgspec


class Faults(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """All shares are 0..1 of the requests; by default nothing goes wrong."""

    seed: int = 1
    latency_seconds: float = 0.0
    """Mean of an exponential distribution."""
    unavailable_share: float = 0.0
    """503 with an API error body."""
    html_error_share: float = 0.0
    """500 with an HTML body."""
    throttle_share: float = 0.0
    """403 rateLimitExceeded."""
    malformed_share: float = 0.0
    """200 whose JSON breaks off."""
    cut_share: float = 0.0
    """The connection ends in the middle of the reply."""
    slow_share: float = 0.0
    slow_seconds: float = 60.0


class FaultDraw:
    """Which fault the next request meets."""

    def __init__(self, faults: Faults) -> None:
        self._faults, self._random = faults, random.Random(faults.seed)

    def next(self) -> tuple[str, float]:
        """(name of the fault or "", seconds to wait before the answer)."""
        faults = self._faults
        wait_seconds = self._random.expovariate(1 / faults.latency_seconds) if faults.latency_seconds else 0.0
        at = self._random.random()
        for name in ("unavailable", "html_error", "throttle", "malformed", "cut", "slow"):
            share: float = getattr(faults, f"{name}_share")
            if at < share:
                return ("", wait_seconds + faults.slow_seconds) if name == "slow" else (name, wait_seconds)
            at -= share
        return "", wait_seconds
