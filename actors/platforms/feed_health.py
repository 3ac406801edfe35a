"""Whether feeds can be relied on now: waves of errors for valid channels come and go (platform-apis 2.1). Pure."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

WINDOW = 40
"""Outcomes looked at."""
ENOUGH = 20
"""Fewer say nothing."""
FAILED_SHARE = 0.5
REST_SECONDS = 3_600.0
"""How long feeds are left alone once more than that share failed; then the count begins anew."""
WORSE_SHARE = 0.2
BETTER_SHARE = 0.05
"""From the one share on it is told that feeds fail, and from the other on that they are well again."""


class FeedNews(StrEnum):
    """What an outcome changes; the words of the events."""

    DOWN = "feeds_down"
    FAILING = "feeds_failing"
    WELL = "feeds_well"


class FeedHealth:
    """Times are seconds on one clock."""

    def __init__(self) -> None:
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._rest_until = 0.0
        self._failing = False

    def resting(self, now: float) -> bool:
        return now < self._rest_until

    def note(self, ok: bool, now: float) -> FeedNews | None:
        """Takes an outcome in; ``DOWN`` is the one that sends feeds to rest."""
        self._outcomes.append(ok)
        if len(self._outcomes) < ENOUGH:
            return None
        failed = self._outcomes.count(False) / len(self._outcomes)
        if failed > FAILED_SHARE:
            self._outcomes.clear()
            self._rest_until, self._failing = now + REST_SECONDS, True
            return FeedNews.DOWN
        if failed >= WORSE_SHARE and not self._failing:
            self._failing = True
            return FeedNews.FAILING
        if failed <= BETTER_SHARE and self._failing:
            self._failing = False
            return FeedNews.WELL
        return None
