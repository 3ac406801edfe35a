"""What of each platform's budget is spent: reserved before a call goes out, kept across restarts."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Sequence

import msgspec

from proto.ids import Platform
from stores.codec import pack_id, unpack_id
from stores.env import Environment, Txn

PACIFIC = zoneinfo.ZoneInfo("America/Los_Angeles")
RESERVE_SHARE = 0.10
"""Kept in hand of every budget for retries and erasure checks; so a bucket stops at 90 %."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """A daily bucket of one platform project, reset at midnight Pacific time (platform-apis 1.2)."""

    platform: Platform
    bucket: str
    units_per_day: int

    @property
    def spendable(self) -> int:
        return self.units_per_day - int(self.units_per_day * RESERVE_SHARE)


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a reservation: granted, or closed until an instant (epoch seconds)."""

    granted: bool
    window: str
    closed_until: int = 0


class Ledger:
    """The one place that permits a call."""

    def __init__(self, env: Environment, budgets: Sequence[Budget]) -> None:
        self._env = env
        self._budgets = {(budget.platform, budget.bucket): budget for budget in budgets}

    @property
    def budgets(self) -> list[Budget]:
        return list(self._budgets.values())

    async def reserve(self, platform: Platform, costs: Sequence[tuple[str, int]], now: float) -> list[Grant]:
        """One grant per (bucket, units), in order; durable before it is returned."""

        def change(txn: Txn) -> list[Grant]:
            return [self._reserve(txn, self._budgets[platform, bucket], units, now) for bucket, units in costs]

        return await self._env.write(change)

    async def close(self, platform: Platform, bucket: str, now: float) -> int:
        """The platform says the day's quota is gone: nothing more until the reset, which is returned."""
        budget = self._budgets[platform, bucket]

        def change(txn: Txn) -> None:
            txn.put(
                "ledger", _key(budget, _window(now)), pack_id(max(budget.units_per_day, self._used(txn, budget, now)))
            )

        await self._env.write(change)
        return reset_after(now)

    async def used(self, now: float) -> list[tuple[Budget, int]]:
        return await self._env.read(
            lambda txn: [(budget, self._used(txn, budget, now)) for budget in self._budgets.values()]
        )

    def _reserve(self, txn: Txn, budget: Budget, units: int, now: float) -> Grant:
        used = self._used(txn, budget, now)
        if used + units > budget.spendable:
            return Grant(granted=False, window=_window(now), closed_until=reset_after(now))
        txn.put("ledger", _key(budget, _window(now)), pack_id(used + units))
        return Grant(granted=True, window=_window(now))

    def _used(self, txn: Txn, budget: Budget, now: float) -> int:
        stored = txn.get("ledger", _key(budget, _window(now)))
        return unpack_id(stored) if stored else 0


def reset_after(now: float) -> int:
    """The next midnight in Los Angeles, epoch seconds; days of 23 and 25 hours included."""
    local = datetime.datetime.fromtimestamp(now, PACIFIC)
    tomorrow = local.date() + datetime.timedelta(days=1)
    return int(datetime.datetime.combine(tomorrow, datetime.time(), PACIFIC).timestamp())


def _window(now: float) -> str:
    return datetime.datetime.fromtimestamp(now, PACIFIC).date().isoformat()


def _key(budget: Budget, window: str) -> bytes:
    return f"{budget.platform.value}:{budget.bucket}:{window}".encode()
