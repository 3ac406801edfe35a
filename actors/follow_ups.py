"""What a page makes worth fetching next: pure rules."""

from __future__ import annotations

from collections.abc import Mapping

from actors.cadence import next_look_at, revisit_at
from proto.ids import split_account_key
from proto.records import LISTINGS, ContentItem, CreatorAccount, Job, JobKind, Normalised, Priority, RawPage

FEED_ENTRIES = 15
"""A feed holds no more (platform-apis 2.1)."""
MOST_NEWS = 1_000
"""Uploads between two visits that are listed as news; what lies behind them is history, with its share and its bound."""


def follow_ups(
    page: RawPage,
    said: Normalised,
    before: CreatorAccount | None,
    known: Mapping[str, bool],
    *,
    now: int,
    backfill_items: int,
    feeds: bool = False,
    recent: Mapping[str, ContentItem] | None = None,
) -> list[Job]:
    """Jobs that this page causes.

    ``before`` is the account as stored before the page; ``known`` maps its content ids to whether details were read,
    likewise; ``backfill_items`` bounds how far back a first listing goes (0: no bound); ``feeds``: newest content is
    told for free; ``recent``: the account's newest items after the page by id, which are kept fresh.
    """
    if page.kind is JobKind.PROFILE and not said.listed:
        return _listing_of(said, before, now, backfill_items, feeds=feeds)
    if page.kind is JobKind.PROFILE:  # a platform that sends the newest content along
        return _next_listing(page, said, before, known, now, backfill_items, feeds=feeds)
    if page.kind in LISTINGS:
        kind = JobKind.BACKFILL_CONTENT if page.kind is JobKind.BACKFILL else JobKind.CONTENT
        return _details_of(said, before, known, now, kind) + _next_listing(
            page, said, before, known, now, backfill_items, feeds=feeds
        )
    if page.kind is JobKind.FEED:
        return _details_of(said, before, known, now) + _listing_of_gap(said, before, known, now)
    return _looks_again(said, recent or {}, now)


def _listing_of(
    said: Normalised, before: CreatorAccount | None, now: int, backfill_items: int, *, feeds: bool
) -> list[Job]:
    """A listing is worth a call when the count of uploads moved, or when none was ever read.

    The free feed does where it holds all that is wanted.
    """
    account = said.account
    if account is None or account.media_count == 0:
        return []
    unread = before is None or before.content_fetched_at is None
    if not unread and before is not None and before.media_count == account.media_count:
        return []
    feeds = feeds and not (before is not None and before.feed_failures)
    wanted = min(backfill_items or FEED_ENTRIES + 1, account.media_count or FEED_ENTRIES + 1)
    kind = JobKind.FEED if feeds and (not unread or wanted <= FEED_ENTRIES) else JobKind.UPLOADS
    priority = Priority.BACKFILL if unread else Priority.ACTIVE
    return [_job(said, kind, account.platform_user_id, priority, now)]


def _listing_of_gap(said: Normalised, before: CreatorAccount | None, known: Mapping[str, bool], now: int) -> list[Job]:
    """A listing by the API where the feed does not tell all.

    A full feed without one familiar item of an account that has others: some may have been posted in between. At
    first sight, one that lacks some of the uploads that the account counts: it shows them with a delay.
    """
    gap = said.listed >= FEED_ENTRIES and bool(known) and not any(item.content_id in known for item in said.items)
    first = before is not None and before.content_fetched_at is None
    lacking = first and before is not None and said.listed < min(before.media_count or 0, FEED_ENTRIES)
    if not gap and not lacking:
        return []
    _, user_id = split_account_key(said.account_key)
    return [_job(said, JobKind.UPLOADS, user_id, Priority.ACTIVE, now)]


def _looks_again(said: Normalised, recent: Mapping[str, ContentItem], now: int) -> list[Job]:
    """Counts of young items at set ages, and details of what is kept before they grow too old."""
    jobs: list[Job] = []
    read = [item.content_id for item in said.items] + [one.content_id for one in said.counts]
    for item in (recent[content_id] for content_id in read if content_id in recent):
        at = next_look_at(item.published_at, now)
        if at is not None:
            jobs.append(_job(said, JobKind.STATS, item.content_id, Priority.LONG_TAIL, at))
        jobs.append(
            _job(
                said, JobKind.REVISIT, item.content_id, Priority.LONG_TAIL, revisit_at(item.content_id, item.fetched_at)
            )
        )
    for job in jobs:
        job.first = False
    return jobs


def _details_of(
    said: Normalised,
    before: CreatorAccount | None,
    known: Mapping[str, bool],
    now: int,
    kind: JobKind = JobKind.CONTENT,
) -> list[Job]:
    """What is new of a known account is news; the rest is history."""
    news = _was_listed(before) and kind is JobKind.CONTENT
    priority = Priority.ACTIVE if news else Priority.BACKFILL
    fresh = [item.content_id for item in said.items if not (item.detailed or known.get(item.content_id, False))]
    return [_job(said, kind, content_id, priority, now) for content_id in dict.fromkeys(fresh)]


def _was_listed(before: CreatorAccount | None) -> bool:
    return before is not None and before.content_fetched_at is not None


def _next_listing(
    page: RawPage,
    said: Normalised,
    before: CreatorAccount | None,
    known: Mapping[str, bool],
    now: int,
    backfill_items: int,
    *,
    feeds: bool,
) -> list[Job]:
    """Lists further back: all the news, then history until the bound or until a page brings nothing new."""
    listed = page.listed_before + said.listed
    all_known = bool(said.items) and all(known.get(item.content_id, False) for item in said.items)
    news = _was_listed(before) and listed < MOST_NEWS and _all_news(page, said, known, feeds=feeds)
    done = all_known and listed > page.walked
    if not said.next_page_token or done or (backfill_items and listed >= backfill_items and not news):
        return []
    _, user_id = split_account_key(said.account_key)
    kind, priority = (JobKind.NEWS, Priority.ACTIVE) if news else (JobKind.BACKFILL, Priority.BACKFILL)
    job = _job(said, kind, user_id, priority, now)
    job.page_token, job.listed_before, job.walked = said.next_page_token, listed, page.walked
    if before is not None and not job.handle:
        job.handle = before.handle
    return [job]


def _all_news(page: RawPage, said: Normalised, known: Mapping[str, bool], *, feeds: bool) -> bool:
    """Whether there may be more news behind this page: nothing on it is familiar, although other items are.

    What a feed tells of is the head of the first page, and familiar for that reason alone, as is what a walk that
    begins anew has read before.
    """
    if page.kind is JobKind.BACKFILL:
        return False
    if page.listed_before + said.listed <= page.walked:
        return True
    head = FEED_ENTRIES if feeds and page.kind is JobKind.UPLOADS else 0
    return len(known) > head and not any(item.content_id in known for item in said.items[head:])


def _job(said: Normalised, kind: JobKind, entity: str, priority: Priority, now: int) -> Job:
    platform, _ = split_account_key(said.account_key)
    return Job(
        platform=platform,
        kind=kind,
        entity=entity,
        account_key=said.account_key,
        priority=priority,
        due_at=now,
        handle=said.account.handle if said.account else "",
    )
