"""The simulator's own books: what it was asked, what it served to whom, what it charged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable


class Accounting:
    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.served: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.answered: Counter[str] = Counter()
        self.charged: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def call(self, endpoint: str) -> None:
        self.calls[endpoint] += 1

    def error(self, reason: str) -> None:
        self.errors[reason] += 1

    def serve(self, endpoint: str, entities: Iterable[str]) -> None:
        """One good reply. An entity is a channel, profile or video id, or ``playlist|page token``."""
        self.answered[endpoint] += 1
        self.served[endpoint].update(entities)

    def charge(self, endpoint: str, units: int = 1) -> None:
        self.charged[endpoint] += units

    def refuse(self, endpoint: str) -> None:
        """A call over a limit."""
        self.refused[endpoint] += 1

    def books(self, charged: dict[str, int], refused: dict[str, int], **more: object) -> dict[str, object]:
        """``charged`` and ``refused`` by bucket; ``more`` stands beside them."""
        return {
            "calls": dict(self.calls),
            "errors": dict(self.errors),
            "served": {endpoint: dict(entities) for endpoint, entities in self.served.items()},
            "charged": charged,
            "calls_over_limit": refused,
            "endpoints": {endpoint: self._endpoint(endpoint) for endpoint in self.calls},
        } | more

    def _endpoint(self, endpoint: str) -> dict[str, int]:
        return {
            "asked": self.calls[endpoint],
            "served": self.answered[endpoint],
            "charged": self.charged[endpoint],
            "refused": self.refused[endpoint],
        }
