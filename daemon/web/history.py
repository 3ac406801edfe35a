"""How a creator's figures went: readings of its accounts, put together day by day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from daemon.web.charts import Point, gap_days
from proto.ids import AccountKey, CreatorId, RawId
from proto.records import MetricSnapshot, RawPage
from stores.catalog import account_history, accounts_of
from stores.env import Txn
from stores.raw import get_raw

Histories = Mapping[AccountKey, Sequence[MetricSnapshot]]
SPARK_DAYS = 30
CHART_DAYS = 365


class Series(msgspec.Struct, kw_only=True, frozen=True):
    followers: list[Point]
    views: list[Point]


def read_histories(txn: Txn, ids: Sequence[CreatorId], since_day: int) -> dict[CreatorId, Histories]:
    """Of each creator's accounts, from a day on."""
    return {
        one: {account.key: account_history(txn, account.key, since_day) for account in accounts_of(txn, one)}
        for one in ids
    }


def newest_pages(txn: Txn, creator_id: CreatorId, limit: int) -> list[RawPage]:
    """What the platforms said of its accounts, the newest of each account first."""
    found = []
    for account in accounts_of(txn, creator_id):
        prefix = account.key.encode() + b"\0"
        ids = [key[len(prefix) + 8 :].hex() for key, _ in txn.scan("raw_by_account", prefix)]
        found += [get_raw(txn, RawId(one)) for one in reversed(ids[-limit:])]
    return found[:limit]


def series(histories: Histories) -> Series:
    return Series(followers=added_up(histories, "followers"), views=added_up(histories, "views"))


def added_up(histories: Histories, name: str) -> list[Point]:
    """Days on which an account was read, from when all of them are known: an account that joins is no growth."""
    known: dict[AccountKey, dict[int, int]] = {}
    for key, snapshots in histories.items():
        values = {one.day: value for one in snapshots if (value := getattr(one, name)) is not None}
        if values:
            known[key] = values
    latest: dict[AccountKey, int] = {}
    points = []
    for day in sorted({day for values in known.values() for day in values}):
        latest |= {key: values[day] for key, values in known.items() if day in values}
        if len(latest) == len(known):
            points.append((float(day), float(sum(latest.values()))))
    return points


def spark_values(points: Sequence[Point], days: int = SPARK_DAYS) -> list[float | None]:
    """A value a day up to the last reading, on the line between two; None in a gap. Empty for fewer than two readings."""
    if len(points) < 2:
        return []
    last = int(points[-1][0])
    found: list[float | None] = []
    for (day, value), (after, next_value) in pairwise(points):
        length = after - day
        joined = length <= gap_days(last - day)
        found.append(value)
        found += [value + (next_value - value) * at / length if joined else None for at in range(1, int(length))]
    return [*found, points[-1][1]][-days:]
