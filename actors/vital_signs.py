"""What a creator's numbers say: pure functions. What is not known says why, and is never 0."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from operator import attrgetter

from actors.cadence import activity_at
from proto.ids import Platform
from proto.records import Activity, ContentItem, MetricSnapshot, SignGroup, Unknown, VitalSign, VitalSigns
from stores.catalog import AccountBundle

DAY_SECONDS = 86_400
MIN_ITEMS = 3
"""Fewer items say nothing about a habit."""
ACTIVITY_DAYS = 30
GROWTH_DAYS = (7, 30, 90)
VIEWED = frozenset((Platform.YOUTUBE, Platform.TIKTOK))
"""Platforms that state the views of all content. Elsewhere engagement is by followers."""

_published_at = attrgetter("published_at")

Rate = Callable[[AccountBundle, ContentItem], float | None]


def vital_signs(accounts: Sequence[AccountBundle], derived_from: Sequence[AccountBundle], now: int) -> VitalSigns:
    """``derived_from``: those of the accounts of which figures may be computed; items newest first, with histories
    that reach back to `history_since`."""
    permitted = {part.account.key for part in derived_from}
    by_platform = {
        platform.value: [part for part in accounts if part.account.platform is platform]
        for platform in sorted({part.account.platform for part in accounts})
    }
    overall = _group(derived_from, now)
    if len(by_platform) == 1:
        return VitalSigns(at=now, overall=overall, by_platform=dict.fromkeys(by_platform, overall))
    return VitalSigns(
        at=now,
        overall=overall,
        by_platform={
            platform: _group([part for part in parts if part.account.key in permitted], now)
            for platform, parts in by_platform.items()
        },
    )


def history_since(now: int) -> int:
    """The day (since 1970-01-01 UTC) of the oldest counts that a growth may begin with."""
    longest = max(GROWTH_DAYS)
    return now // DAY_SECONDS - longest - _slack_days(longest)


def engagement_rate(parts: Sequence[AccountBundle], now: int) -> VitalSign[float]:
    return _median(parts, _engagement, now)


def views_per_follower(parts: Sequence[AccountBundle], now: int) -> VitalSign[float]:
    return _median(parts, _views_by_followers, now)


def posts_per_week(parts: Sequence[AccountBundle], now: int) -> VitalSign[float]:
    """Of each account its items over the time from the oldest of them until now, at least a week; added up."""
    known = [part.items for part in parts if len(part.items) >= MIN_ITEMS]
    if not known:
        return _unknown(Unknown.INSUFFICIENT, sum(len(part.items) for part in parts), _every(parts), now)
    rates = [len(items) * 7 * DAY_SECONDS / max(now - _oldest(items), 7 * DAY_SECONDS) for items in known]
    used = [item for items in known for item in items]
    return VitalSign(value=round(sum(rates), 3), n=len(used), window_days=_window_days(used, now))


def sponsored_share(parts: Sequence[AccountBundle], now: int) -> VitalSign[float]:
    """Of the items whose texts were read whole."""
    items = [item for item in _every(parts) if item.detailed]
    if len(items) < MIN_ITEMS:
        return _unknown(Unknown.INSUFFICIENT, len(items), items, now)
    share = sum(item.sponsored for item in items) / len(items)
    return VitalSign(value=round(share, 6), n=len(items), window_days=_window_days(items, now))


def activity(parts: Sequence[AccountBundle], now: int) -> VitalSign[Activity]:
    items = _every(parts)
    n = sum(item.published_at > now - ACTIVITY_DAYS * DAY_SECONDS for item in items)
    if not items:
        return VitalSign(why=Unknown.INSUFFICIENT, window_days=ACTIVITY_DAYS)
    return VitalSign(value=activity_at(last_content_at(items), now), n=n, window_days=ACTIVITY_DAYS)


def growth(parts: Sequence[AccountBundle], days: int, now: int) -> VitalSign[float]:
    """Change of the followers of all accounts that show them, as a share of those at the begin.

    A change below the step to which they are rounded is noise (platform-apis 1.4).
    """
    shown = [part for part in parts if part.account.followers is not None]
    if not shown:
        read = any(part.account.fetched_at for part in parts)
        return VitalSign(why=Unknown.NOT_STATED if read else Unknown.INSUFFICIENT, window_days=days)
    known = [_known(part.history, days, now) for part in shown]
    series = [_covering(counts, days, now) for counts in known]
    before = sum(counts[0].followers or 0 for counts in series if counts)
    if not all(series) or not before:
        return VitalSign(why=Unknown.INSUFFICIENT, n=sum(map(len, known)), window_days=days)
    n = sum(map(len, series))
    change = sum(counts[-1].followers or 0 for counts in series) - before
    span = max(counts[-1].day - counts[0].day for counts in series)
    if abs(change) < sum(_step(counts[0], counts[-1]) for counts in series):
        return VitalSign(why=Unknown.BELOW_STEP, n=n, window_days=span)
    return VitalSign(value=round(change / before, 6), n=n, window_days=span)


def last_content_at(items: Sequence[ContentItem]) -> int | None:
    return max(map(_published_at, items), default=None)


def _group(parts: Sequence[AccountBundle], now: int) -> SignGroup:
    """``parts``: accounts of which something may be derived; without any, nothing is permitted."""
    if not parts:
        return _not_permitted()
    return SignGroup(
        engagement_rate=engagement_rate(parts, now),
        posts_per_week=posts_per_week(parts, now),
        views_per_follower=views_per_follower(parts, now),
        growth_7d=growth(parts, 7, now),
        growth_30d=growth(parts, 30, now),
        growth_90d=growth(parts, 90, now),
        activity=activity(parts, now),
        sponsored_share=sponsored_share(parts, now),
    )


def _not_permitted() -> SignGroup:
    number: VitalSign[float] = VitalSign(why=Unknown.NOT_PERMITTED)
    return SignGroup(
        engagement_rate=number,
        posts_per_week=number,
        views_per_follower=number,
        growth_7d=number,
        growth_30d=number,
        growth_90d=number,
        activity=VitalSign(why=Unknown.NOT_PERMITTED),
        sponsored_share=number,
    )


def _engagement(part: AccountBundle, item: ContentItem) -> float | None:
    """Comments may be closed, which counts as none."""
    audience = item.views if part.account.platform in VIEWED else part.account.followers
    if item.likes is None or not audience:
        return None
    return (item.likes + (item.comments or 0)) / audience


def _views_by_followers(part: AccountBundle, item: ContentItem) -> float | None:
    followers = part.account.followers
    return item.views / followers if item.views is not None and followers else None


def _median(parts: Sequence[AccountBundle], rate: Rate, now: int) -> VitalSign[float]:
    """Items without a rate are left out; where too few have one although enough were read, it is not stated."""
    rated = [(item, value) for part in parts for item in part.items if (value := rate(part, item)) is not None]
    if len(rated) < MIN_ITEMS:
        items = _every(parts)
        read = sum(item.detailed for item in items)
        return _unknown(Unknown.NOT_STATED if read >= MIN_ITEMS else Unknown.INSUFFICIENT, len(rated), items, now)
    median = statistics.median(value for _, value in rated)
    return VitalSign(value=round(median, 6), n=len(rated), window_days=_window_days([item for item, _ in rated], now))


def _known(history: Sequence[MetricSnapshot], days: int, now: int) -> list[MetricSnapshot]:
    """Those that can belong to the growth of so many days."""
    since = now // DAY_SECONDS - days - _slack_days(days)
    return [one for one in history if one.followers is not None and one.day >= since]


def _covering(known: Sequence[MetricSnapshot], days: int, now: int) -> list[MetricSnapshot]:
    """Counts from about so many days ago until the newest; none where there are no such."""
    if len(known) < 2:
        return []
    wished, slack = now // DAY_SECONDS - days, _slack_days(days)
    first = min(known, key=lambda one: (abs(one.day - wished), one.day))
    if first.day > wished + slack or known[-1].day - first.day < days - slack:
        return []
    return [one for one in known if one.day >= first.day]


def _slack_days(days: int) -> int:
    """Counts are not read every day: a window may be longer or shorter by so much, and says how long it is."""
    return days // 3


def _step(*counts: MetricSnapshot) -> int:
    """0 where counts are exact."""
    step = max(one.followers_step or 0 for one in counts)
    return step if step > 1 else 0


def _unknown(why: Unknown, n: int, items: Sequence[ContentItem], now: int) -> VitalSign[float]:
    return VitalSign(why=why, n=n, window_days=_window_days(items, now))


def _every(parts: Sequence[AccountBundle]) -> list[ContentItem]:
    return [item for part in parts for item in part.items]


def _oldest(items: Sequence[ContentItem]) -> int:
    oldest: int = min(map(_published_at, items))
    return oldest


def _window_days(items: Sequence[ContentItem], now: int) -> int:
    """Whole days from the oldest item until now, begun ones counted; 0 without items."""
    return max(-(-(now - _oldest(items)) // DAY_SECONDS), 0) if items else 0
