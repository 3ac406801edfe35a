"""Whether a platform answers at all: after a run of failed calls it is left alone for a while. Pure."""

from __future__ import annotations

FAILURES = 3
"""Calls in a row that failed after their own retries: before any job has used up its tries, also where there are few."""
REST_SECONDS = 60.0
LONGEST_REST_SECONDS = 1_800.0


class Circuit:
    """Times are seconds on one clock. After a rest calls go out again, and the first of them decides."""

    def __init__(self) -> None:
        self._failures, self._rests = 0, 0
        self.rest_until = 0.0

    def resting(self, now: float) -> bool:
        return now < self.rest_until

    @property
    def open(self) -> bool:
        """Whether no call has succeeded since the last rest began."""
        return self._rests > 0

    def failed(self, now: float) -> bool:
        """Notes a call that failed for good; returns True when that is news, as the first of several rests is."""
        self._failures += 1
        if self.resting(now) or (not self.open and self._failures < FAILURES):
            return False
        self.rest_until = now + min(REST_SECONDS * 2**self._rests, LONGEST_REST_SECONDS)
        self._rests += 1
        return self._rests == 1

    def answered(self) -> bool:
        """Notes an answer, be it a refusal; returns True when the platform had been left alone."""
        was_open = self.open
        self._failures, self._rests, self.rest_until = 0, 0, 0.0
        return was_open
