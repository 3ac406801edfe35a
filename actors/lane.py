"""What the stages of one platform's lane share: its paces, which budgets rest, and whether the platform answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.circuit import Circuit
from actors.token_bucket import TokenBucket
from proto.records import JobKind


class Lane:
    """``closed_because`` holds the reason while no call may go out (key refused, paused by the operator)."""

    def __init__(self, paces: Mapping[str, TokenBucket]) -> None:
        self.paces = paces
        self.closed_because = ""
        self.paused_by: dict[str, str] = {}
        """Who holds the lane back, and why: an operator, a lack of memory. What is under way is finished."""
        self.circuit = Circuit()
        self.told: set[str] = set()
        """Buckets whose end was told, and shares of them: several calls may be under way when a key or token ends."""
        self.bulk_paused = False
        """Whether backfill and new accounts wait because known ones are looked at too late."""
        self._resting: dict[JobKind, float] = {}
        self._held: dict[str, float] = {}
        self._bulk_held: dict[str, float] = {}

    def hold(self, buckets: Sequence[str], until: float, *, bulk: bool = False) -> None:
        """The ledger grants nothing (of their share for bulk) before then, so what needs them is not worth a lease."""
        for bucket in buckets:
            (self._bulk_held if bulk else self._held)[bucket] = until

    def bulk_held(self, buckets: Sequence[str], now: float) -> bool:
        """Whether bulk has no share left of any bucket that could pay."""
        return bool(buckets) and all(self._bulk_held.get(bucket, 0.0) > now for bucket in buckets)

    def held(self, buckets: Sequence[str], now: float) -> bool:
        """Whether every bucket that could pay rests, or the platform does; what costs nothing is never held."""
        if not buckets:
            return False
        return self.circuit.resting(now) or all(self._held.get(bucket, 0.0) > now for bucket in buckets)

    def rest(self, kind: JobKind, until: float) -> None:
        """Nothing of this kind is worth a lease before then; what is due stays so, and comes first."""
        self._resting[kind] = until

    def rests(self, kind: JobKind, now: float) -> bool:
        return self._resting.get(kind, 0.0) > now

    def penalise(self, now: float, seconds: float) -> None:
        """The platform said "slow down": nothing goes out for a while."""
        for pace in self.paces.values():
            pace.penalise(now, seconds)
