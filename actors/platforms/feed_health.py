"""Whether feeds can be relied on now: waves of errors for valid channels come and go (platform-apis 2.1). Pure."""

from __future__ import annotations

from collections import deque

WINDOW = 40
"""Outcomes looked at."""
ENOUGH = 20
"""Fewer say nothing."""
FAILED_SHARE = 0.5
REST_SECONDS = 3_600.0
"""How long feeds are left alone once more than that share failed; then the count begins anew."""


class FeedHealth:
    """Times are seconds on one clock."""

    def __init__(self) -> None:
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._rest_until = 0.0

    def resting(self, now: float) -> bool:
        return now < self._rest_until

    def note(self, ok: bool, now: float) -> bool:
        """Returns True when this outcome is the one that sends feeds to rest."""
        self._outcomes.append(ok)
        failed = self._outcomes.count(False)
        if len(self._outcomes) < ENOUGH or failed <= FAILED_SHARE * len(self._outcomes):
            return False
        self._outcomes.clear()
        self._rest_until = now + REST_SECONDS
        return True
