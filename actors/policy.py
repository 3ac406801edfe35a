"""What each platform lets us keep and derive, and for how long: pure rules over the figures of platform-apis 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from proto.ids import Platform
from proto.records import ContentItem, CreatorAccount, EmbeddingRecord, MetricSnapshot, StoredRaw
from stores.catalog import AccountBundle

DAY_SECONDS = 86_400

CONTENT_DAYS = 28
"""YouTube III.E.4.d: what an API key reads is deleted or read again within 30 calendar days; two of them are in hand."""
REFRESH_DAYS = 26
"""From this age on a record that would expire is read again before anything else."""
STATISTICS_DAYS = 30
"""YouTube III.E.4.b: old counts are kept no longer, even where today's are read anew."""
GRANTED_STATISTICS_DAYS = 3 * 365
"""The derived-metrics grant allows 36 calendar months, which never have fewer days."""
SPARE_DAYS = 1
"""A snapshot goes so much sooner than it must: the walk that finds it takes hours."""
MISSES_UNTIL_DELETED = 3
"""A discovered account is taken for deleted after repeated misses (platform-apis 5.2: 3 over 30 days)."""

Datum = CreatorAccount | ContentItem | MetricSnapshot | EmbeddingRecord | StoredRaw


class DerivedData(StrEnum):
    """Whether a platform granted what its terms forbid by default: data derived from its own."""

    GRANTED = "granted"
    DENIED = "denied"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one platform. None: it states no figure."""

    platform: Platform
    content_days: int | None
    """Fields, texts, raw pages and what is computed of them, from when they were read."""
    refresh_days: int | None
    statistics_days: int | None
    """The history of counts."""
    derives: bool
    """Embeddings, labels, quality, growth."""
    asked_by_handle: bool
    """It finds nobody by id, so the handle is needed to ask again (Instagram: platform-apis 3.1)."""
    misses_until_deleted: int = MISSES_UNTIL_DELETED

    @classmethod
    def of(cls, platform: Platform, *, derived_data: str = DerivedData.DENIED) -> Policy:
        """``derived_data``: as the platform's setting says; anything but ``granted`` is a denial.

        Only YouTube asks for a grant (platform-apis 5.1, III.E.4.h); Meta's terms name neither figure nor gate (5.2).
        """
        if platform is not Platform.YOUTUBE:
            return cls(
                platform=platform,
                content_days=None,
                refresh_days=None,
                statistics_days=None,
                derives=True,
                asked_by_handle=platform is Platform.INSTAGRAM,
            )
        granted = derived_data == DerivedData.GRANTED
        return cls(
            platform=platform,
            content_days=CONTENT_DAYS,
            refresh_days=REFRESH_DAYS,
            statistics_days=GRANTED_STATISTICS_DAYS if granted else STATISTICS_DAYS,
            derives=granted,
            asked_by_handle=False,
        )

    def expires_at(self, datum: Datum) -> int | None:
        """When it must be gone unless it is read again, in epoch seconds; None for never.

        A snapshot's day may have begun long before it was read, so its age counts from that day's start.
        """
        if isinstance(datum, MetricSnapshot):
            if self.statistics_days is None:
                return None
            return (datum.day + self.statistics_days - SPARE_DAYS) * DAY_SECONDS
        read_at = datum.updated_at if isinstance(datum, EmbeddingRecord) else datum.fetched_at
        if self.content_days is None or not read_at:
            return None
        return read_at + self.content_days * DAY_SECONDS

    def fields_before(self, now: float) -> int:
        """What was read before this instant has expired; 0 where nothing does."""
        return 0 if self.content_days is None else max(int(now) - self.content_days * DAY_SECONDS + 1, 0)

    def refresh_before(self, now: float) -> int:
        """What was read before this instant is read again ahead of all else; 0 where nothing has to be."""
        return 0 if self.refresh_days is None else max(int(now) - self.refresh_days * DAY_SECONDS + 1, 0)

    def statistics_before(self, now: float) -> int:
        """Snapshots of days before this one have expired (days since 1970-01-01 UTC); 0 where none does."""
        if self.statistics_days is None:
            return 0
        return max(int(now) // DAY_SECONDS - self.statistics_days + SPARE_DAYS + 1, 0)

    def deletes(self, account: CreatorAccount) -> bool:
        """Whether the platform has denied the account so often that its data must go."""
        return account.misses >= self.misses_until_deleted


def may_derive(platform: Platform, *, derived_data: str) -> bool:
    """Whether embeddings, labels, quality and growth may be computed of this platform's data."""
    return Policy.of(platform, derived_data=derived_data).derives


def derivable(parts: Sequence[AccountBundle], rules: Mapping[Platform, Policy]) -> list[AccountBundle]:
    """Those of a creator's accounts of which something may be computed."""
    return [part for part in parts if rules[part.account.platform].derives]


def policies(youtube_derived_data: str) -> dict[Platform, Policy]:
    """The rules of every platform; the argument is the setting ``platforms.youtube.derived_data``."""
    return {platform: Policy.of(platform, derived_data=youtube_derived_data) for platform in Platform}
