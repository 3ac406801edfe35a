"""What is planned for a creator's accounts, why, and what it costs: the answer of `/v1/creators/{id}/schedule`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.cadence import (
    KEPT_ITEMS,
    TOUCH_SECONDS,
    VisitPolicy,
    activity_of,
    deep_interval_seconds,
    posting_rate,
    visits,
)
from actors.platforms.adapter import PlatformAdapter
from daemon.web.views import instant
from proto.api import AccountSchedule, CreatorSchedule, PlannedCall
from proto.ids import CreatorId, Platform
from proto.records import AccountStatus, Activity, ContentItem, CreatorAccount, Job, JobKind
from stores.catalog import accounts_of, get_creator
from stores.content import recent_items
from stores.env import Txn
from stores.schedule import jobs_of

DAY_SECONDS = 86_400
SHOWN_JOBS = 50
"""Per account."""
_WINDOWS = {
    Activity.ACTIVE: "content within 7 days: looked at daily",
    Activity.SEMI_ACTIVE: "content within 30 days: looked at every 3 days",
    Activity.LONG_TAIL: "no content within 30 days: looked at weekly",
}


def schedule_of(
    txn: Txn,
    creator_id: CreatorId,
    *,
    adapters: Mapping[Platform, PlatformAdapter],
    policies: Mapping[Platform, VisitPolicy],
    now: float,
) -> CreatorSchedule | None:
    """None for an unknown creator. A platform that is off has plans, and no costs."""
    if get_creator(txn, creator_id) is None:
        return None
    accounts = accounts_of(txn, creator_id)
    return CreatorSchedule(
        creator_id=str(creator_id),
        accounts=[
            _account(txn, account, adapters.get(account.platform), policies.get(account.platform, VisitPolicy()), now)
            for account in accounts
        ],
    )


def _account(
    txn: Txn, account: CreatorAccount, adapter: PlatformAdapter | None, policy: VisitPolicy, now: float
) -> AccountSchedule:
    items = recent_items(txn, account.key, KEPT_ITEMS[Activity.ACTIVE])
    published_at = [item.published_at for item in items]
    activity = activity_of(account, max(published_at, default=None), now)
    wished = visits(account, published_at, policy, now)
    planned = sorted(jobs_of(txn, account.key, SHOWN_JOBS), key=lambda job: (job.due_at, job.kind))
    touch_at, fetch_at = _due(planned, wished[0].kind), _due(planned, JobKind.PROFILE)
    rate = posting_rate(published_at, now)
    return AccountSchedule(
        platform=account.platform.value,
        platform_user_id=account.platform_user_id,
        handle=account.handle,
        activity=activity.value,
        importance=account.importance,
        importance_source="operator" if account.importance_stated else "derived",
        posts_per_day=round(rate, 4),
        touched_at=instant(max(account.touched_at or 0, account.fetched_at) or None),
        fetched_at=instant(account.fetched_at or None),
        next_touch_at=instant(touch_at),
        next_fetch_at=instant(fetch_at),
        fresh_until=instant(max(account.touched_at or 0, account.fetched_at) + TOUCH_SECONDS[activity]),
        why=_why(account, activity, rate, policy),
        units_per_day=_units_per_day(account, activity, rate, items, policy, adapter),
        planned=[_planned(job, adapter) for job in planned],
    )


def _due(planned: Sequence[Job], kind: JobKind) -> int | None:
    return next((job.due_at for job in planned if job.kind is kind), None)


def _why(account: CreatorAccount, activity: Activity, rate: float, policy: VisitPolicy) -> str:
    if account.status is AccountStatus.GONE or account.misses:
        return f"the platform did not know it {account.misses} times in a row: asked again after 7, then 30 days"
    reasons = [_WINDOWS[activity]]
    if account.importance < 1.0:
        reasons.append(f"importance {account.importance:g}")
    if policy.feeds:
        days = deep_interval_seconds(rate, account.importance) / DAY_SECONDS
        reasons.append(f"by its free feed; its profile every {days:.1f} days, for {rate:.2f} posts a day")
    return "; ".join(reasons)


def _units_per_day(
    account: CreatorAccount,
    activity: Activity,
    rate: float,
    items: Sequence[ContentItem],
    policy: VisitPolicy,
    adapter: PlatformAdapter | None,
) -> float | None:
    """Of the platform's paid budgets, when calls are as full as they can be."""
    if adapter is None:
        return None
    touches = DAY_SECONDS / TOUCH_SECONDS[activity]
    if not policy.feeds:
        return round(touches * _units(adapter, JobKind.PROFILE), 4)
    profiles = DAY_SECONDS / deep_interval_seconds(rate, account.importance)
    kept = min(len(items), KEPT_ITEMS[activity]) / 24  # each is read again after 21 to 27 days
    return round(
        touches * _units(adapter, JobKind.FEED)
        + profiles * _units(adapter, JobKind.PROFILE)
        + (rate + kept) * _units(adapter, JobKind.CONTENT),
        4,
    )


def _units(adapter: PlatformAdapter, kind: JobKind) -> float:
    cost = adapter.cost(kind)
    return cost.units / adapter.call_size(kind) if cost.buckets else 0.0


def _planned(job: Job, adapter: PlatformAdapter | None) -> PlannedCall:
    return PlannedCall(
        kind=job.kind.value,
        entity=job.entity,
        due_at=instant(job.due_at) or "",
        priority=job.priority.name.lower(),
        attempts=job.attempts,
        last_error=job.last_error,
        units=None if adapter is None else round(_units(adapter, job.kind), 4),
    )
