"""What of each platform's budget is spent: reserved before a call goes out, kept across restarts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from proto.ids import Platform
from stores.codec import pack_id, unpack_id
from stores.env import Environment, Txn
from stores.windows import Window, oldest_slot, resets_at, slot_of, slot_returns_at, started_at

RESERVE_SHARE = 0.10
"""Kept in hand of every budget for retries and erasure checks; so a bucket stops at 90 %."""
SLOW_SHARE = 0.75
"""From here on calls are spread over what is left of the window."""
CLOSED, SPREAD = "closed", "spread"
"""Names beside the slots: until when a bucket is closed, and until when the next grant waits (milliseconds)."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket of a platform: so many units in a window."""

    platform: Platform
    bucket: str
    units: int
    window: Window = Window.PACIFIC_DAY
    bulk_share: float = 1.0
    """How much of it may go to what is no part of keeping known accounts fresh."""

    @property
    def bulk(self) -> Budget:
        """The share, booked as a budget of its own beside the whole; one unit at least, unless it is nothing."""
        units = max(1, int(self.units * self.bulk_share)) if self.bulk_share else 0
        return msgspec.structs.replace(self, bucket=self.bucket + "+bulk", units=units)

    @property
    def spendable(self) -> int:
        return self.units - int(self.units * RESERVE_SHARE)

    @property
    def slow_from(self) -> int:
        return int(self.units * SLOW_SHARE)


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a reservation: granted from ``bucket``, or none before ``closed_until`` (epoch seconds)."""

    granted: bool
    bucket: str
    closed_until: int = 0
    spent: bool = False
    """Refused because the budget is gone, not merely spread out or disabled."""
    bulk_spent: bool = False
    """Refused because the share for bulk is gone; what keeps accounts fresh may still be granted."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a bucket stands now."""

    budget: Budget
    used: int
    closed_until: int
    """0 when open."""
    disabled_because: str
    dry_at: int | None
    """When it runs dry at the rate of this window so far; None when it does not before it comes back."""
    resets_at: int
    bulk_used: int = 0


class Ledger:
    """The one place that permits a call. What is disabled stays so until ``enable_all`` or a restart."""

    def __init__(self, env: Environment, budgets: Sequence[Budget]) -> None:
        self._env = env
        self._budgets = {(budget.platform, budget.bucket): budget for budget in budgets}
        self._disabled: dict[tuple[Platform, str], str] = {}

    @property
    def budgets(self) -> list[Budget]:
        return list(self._budgets.values())

    async def reserve(
        self, platform: Platform, costs: Sequence[tuple[Sequence[str], int, bool]], now: float
    ) -> list[Grant]:
        """One grant per (buckets, units, whether it is bulk), in order; durable before it is returned.

        Any one of the buckets may pay: the least used that is open does.
        """

        def change(txn: Txn) -> list[Grant]:
            return [self._reserve_any(txn, platform, buckets, units, now, bulk=bulk) for buckets, units, bulk in costs]

        return await self._env.write(change)

    async def close(self, platform: Platform, bucket: str, now: float, seconds: float | None = None) -> int:
        """The platform says that nothing is left: closed for so long, or until the window ends, which is returned."""
        budget = self._budgets[platform, bucket]
        until = resets_at(budget.window, now) if seconds is None else math.ceil(now + seconds)

        def change(txn: Txn) -> int:
            later = max(until, self._mark(txn, budget, CLOSED))
            txn.put("ledger", _key(budget, CLOSED), pack_id(later))
            return later

        return await self._env.write(change)

    async def note_usage(self, platform: Platform, bucket: str, share: float, now: float) -> None:
        """The platform's own figure (0..1 of the window) counts where it is greater than ours."""
        budget = self._budgets[platform, bucket]

        def change(txn: Txn) -> None:
            lacking = min(math.ceil(share * budget.units), budget.units) - self._used(txn, budget, now)
            if lacking > 0:
                _book(txn, budget, lacking, now)

        await self._env.write(change)

    def disable(self, platform: Platform, bucket: str, reason: str) -> bool:
        """No call is granted from this bucket any more; returns whether the platform has another one left."""
        self._disabled.setdefault((platform, bucket), reason)
        mine = [budget.bucket for budget in self.budgets if budget.platform is platform]
        return any((platform, one) not in self._disabled for one in mine)

    def enable_all(self) -> None:
        self._disabled.clear()

    async def standings(self, now: float) -> list[Standing]:
        return await self._env.read(lambda txn: [self._standing(txn, one, now) for one in self._budgets.values()])

    def _reserve_any(
        self, txn: Txn, platform: Platform, buckets: Sequence[str], units: int, now: float, *, bulk: bool
    ) -> Grant:
        tried = [self._try(txn, self._budgets[platform, bucket], units, now, bulk=bulk) for bucket in buckets]
        granted = [(used / max(budget.units, 1), budget) for budget, used, grant in tried if grant.granted]
        if not granted:
            return min((grant for _, _, grant in tried), key=lambda grant: grant.closed_until)
        _, budget = min(granted, key=lambda one: (one[0], one[1].bucket))
        _book(txn, budget, units, now)
        if bulk and budget.bulk_share < 1:
            _book(txn, budget.bulk, units, now)
        self._spread(txn, budget, now)
        return Grant(granted=True, bucket=budget.bucket)

    def _try(self, txn: Txn, budget: Budget, units: int, now: float, *, bulk: bool) -> tuple[Budget, int, Grant]:
        used = self._used(txn, budget, now)
        refused = Grant(granted=False, bucket=budget.bucket, closed_until=resets_at(budget.window, now))
        if (budget.platform, budget.bucket) in self._disabled:
            return budget, used, refused
        closed = self._mark(txn, budget, CLOSED)
        if closed > now:
            return budget, used, msgspec.structs.replace(refused, closed_until=closed, spent=True)
        if used + units > budget.spendable:
            until = self._returns_at(txn, budget, units, now, budget.spendable)
            return budget, used, msgspec.structs.replace(refused, closed_until=until, spent=True)
        if bulk and budget.bulk_share < 1 and self._used(txn, budget.bulk, now) + units > budget.bulk.units:
            until = self._returns_at(txn, budget.bulk, units, now, budget.bulk.units)
            return budget, used, msgspec.structs.replace(refused, closed_until=until, bulk_spent=True)
        spread_until = self._mark(txn, budget, SPREAD) / 1_000
        if used >= budget.slow_from and spread_until > now:
            return budget, used, msgspec.structs.replace(refused, closed_until=math.ceil(spread_until))
        return budget, used, Grant(granted=True, bucket=budget.bucket)

    def _spread(self, txn: Txn, budget: Budget, now: float) -> None:
        """From the slow share on, the next grant waits for its part of what is left of the window."""
        used = self._used(txn, budget, now)
        if used >= budget.slow_from:
            seconds = (resets_at(budget.window, now) - now) / (budget.spendable - used + 1)
            txn.put("ledger", _key(budget, SPREAD), pack_id(math.ceil((now + seconds) * 1_000)))

    def _returns_at(self, txn: Txn, budget: Budget, units: int, now: float, limit: int) -> int:
        """When enough has come back for a call of so many units, of ``limit`` at once."""
        if budget.window is not Window.ROLLING_HOUR:
            return resets_at(budget.window, now)
        used = self._used(txn, budget, now)
        for slot, spent in _slots(txn, budget, now):
            used -= spent
            if used + units <= limit:
                return slot_returns_at(slot)
        return resets_at(budget.window, now)

    def _used(self, txn: Txn, budget: Budget, now: float) -> int:
        return _spent(txn, budget, now)

    def _mark(self, txn: Txn, budget: Budget, name: str) -> int:
        return _noted(txn, budget, name)

    def _standing(self, txn: Txn, budget: Budget, now: float) -> Standing:
        return standing_of(txn, budget, now, self._disabled.get((budget.platform, budget.bucket), ""))


def standing_of(txn: Txn, budget: Budget, now: float, disabled_because: str = "") -> Standing:
    """Where a bucket stands by what is booked."""
    used, closed = _spent(txn, budget, now), _noted(txn, budget, CLOSED)
    return Standing(
        budget=budget,
        used=used,
        closed_until=closed if closed > now else 0,
        disabled_because=disabled_because,
        dry_at=forecast(budget, used, now),
        resets_at=resets_at(budget.window, now),
        bulk_used=_spent(txn, budget.bulk, now) if budget.bulk_share < 1 else 0,
    )


def forecast(budget: Budget, used: int, now: float) -> int | None:
    """When the budget runs dry at the rate of this window so far; None when it lasts until it comes back."""
    elapsed = max(now - started_at(budget.window, now), 1.0)
    if used >= budget.spendable:
        return int(now)
    if used == 0:
        return None
    dry_at = int(now + (budget.spendable - used) * elapsed / used)
    return dry_at if dry_at < resets_at(budget.window, now) else None


def _spent(txn: Txn, budget: Budget, now: float) -> int:
    return sum(spent for _, spent in _slots(txn, budget, now))


def _noted(txn: Txn, budget: Budget, name: str) -> int:
    stored = txn.get("ledger", _key(budget, name))
    return unpack_id(stored) if stored else 0


def _book(txn: Txn, budget: Budget, units: int, now: float) -> None:
    key = _key(budget, slot_of(budget.window, now))
    stored = txn.get("ledger", key)
    txn.put("ledger", key, pack_id((unpack_id(stored) if stored else 0) + units))
    if stored is None and budget.window in (Window.ROLLING_HOUR, Window.QUARTER_HOUR):
        _prune(txn, budget, oldest_slot(budget.window, now))


def _prune(txn: Txn, budget: Budget, oldest: str) -> None:
    """Minutes that count no more; days are kept, as the record of what was spent."""
    prefix, limit = _key(budget, ""), _key(budget, oldest)
    for key in [key for key, _ in txn.scan("ledger", prefix) if key < limit]:
        txn.delete("ledger", key)


def _slots(txn: Txn, budget: Budget, now: float) -> list[tuple[str, int]]:
    """What counts now, by slot, oldest first."""
    prefix, last = _key(budget, ""), _key(budget, slot_of(budget.window, now))
    pairs = txn.scan("ledger", prefix, start=_key(budget, oldest_slot(budget.window, now)))
    return [(key[len(prefix) :].decode(), unpack_id(spent)) for key, spent in pairs if key <= last]


def _key(budget: Budget, slot: str) -> bytes:
    return f"{budget.platform.value}:{budget.bucket}:{slot}".encode()
