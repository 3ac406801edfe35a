"""The simulator's own books: what it was asked, what it served to whom, what it charged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable


class Accounting:
    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.served: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def call(self, endpoint: str) -> None:
        self.calls[endpoint] += 1

    def error(self, reason: str) -> None:
        self.errors[reason] += 1

    def serve(self, endpoint: str, entities: Iterable[str]) -> None:
        """An entity is a channel or video id, or ``playlist|page token``."""
        self.served[endpoint].update(entities)

    def books(self, charged: dict[str, int], refused: dict[str, int]) -> dict[str, object]:
        return {
            "calls": dict(self.calls),
            "errors": dict(self.errors),
            "served": {endpoint: dict(entities) for endpoint, entities in self.served.items()},
            "charged": charged,
            "calls_over_limit": refused,
        }
