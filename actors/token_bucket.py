"""Pacing of calls: pure arithmetic."""

from __future__ import annotations


class TokenBucket:
    """``rate`` calls a second on average, at most ``burst`` at once. Times are seconds on any steady clock."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._level, self._at = burst, 0.0
        self._paused_until = 0.0

    def take(self, now: float) -> float:
        """Takes one token; returns how many seconds to wait before using it (0 when one was there)."""
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        self._level -= 1
        wait_seconds = max(0.0, -self._level / self._rate)
        return max(wait_seconds, self._paused_until - now)

    def try_take(self, now: float) -> float:
        """Takes one token where there is one and returns 0; else takes none, and returns in how many seconds there is."""
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1:
            return (1 - self._level) / self._rate
        self._level -= 1
        return 0.0

    def penalise(self, now: float, seconds: float) -> None:
        """The platform said "slow down": nothing goes out for a while."""
        self._paused_until = max(self._paused_until, now + seconds)
