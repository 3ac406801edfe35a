"""The simulated project's daily buckets (platform-apis 1.2): reset at midnight Pacific, every call charged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")
DEFAULT_LIMITS = {"general": 10_000, "search": 100, "stats": 10_000}


class Quota:
    """Charges units and says when a bucket is empty; also counts what went over."""

    def __init__(self, limits: dict[str, int], clock: Callable[[], float]) -> None:
        self.limits, self._clock = limits, clock
        self._used: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[str] = Counter()

    def charge(self, bucket: str, units: int = 1) -> bool:
        """False when the day's bucket is empty; the call is refused then."""
        key = (self._day(), bucket)
        if self._used[key] + units > self.limits[bucket]:
            self.refused[bucket] += 1
            return False
        self._used[key] += units
        return True

    def charged(self) -> dict[str, int]:
        """Units by bucket over all days."""
        total: Counter[str] = Counter()
        for (_, bucket), units in self._used.items():
            total[bucket] += units
        return dict(total)

    def books(self) -> dict[str, dict[str, int]]:
        """By bucket; ``most_in_a_day`` never exceeds the limit."""
        charged = self.charged()
        return {
            bucket: {
                "limit": limit,
                "charged": charged.get(bucket, 0),
                "over_limit": self.refused[bucket],
                "most_in_a_day": max((used for (_, one), used in self._used.items() if one == bucket), default=0),
            }
            for bucket, limit in self.limits.items()
        }

    def _day(self) -> str:
        return datetime.fromtimestamp(self._clock(), PACIFIC).date().isoformat()
