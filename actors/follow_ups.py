"""What a page makes worth fetching next: pure rules."""

from __future__ import annotations

from collections.abc import Mapping

from proto.ids import split_account_key
from proto.records import CreatorAccount, Job, JobKind, Normalised, Priority, RawPage


def follow_ups(
    page: RawPage,
    said: Normalised,
    before: CreatorAccount | None,
    known: Mapping[str, bool],
    *,
    now: int,
    backfill_items: int,
) -> list[Job]:
    """Jobs that this page causes.

    ``before`` is the account as stored before the page; ``known`` maps its content ids to whether details were read,
    as stored after the page; ``backfill_items`` bounds how far back a first listing goes (0: no bound).
    """
    if page.kind is JobKind.PROFILE:
        return _listing_of(said, before, now)
    if page.kind is JobKind.UPLOADS:
        return _details_of(page, said, known, now) + _next_listing(page, said, known, now, backfill_items)
    return []


def _listing_of(said: Normalised, before: CreatorAccount | None, now: int) -> list[Job]:
    """A listing is worth a call when the count of uploads moved, or when none was ever read."""
    account = said.account
    if account is None or account.media_count == 0:
        return []
    unread = before is None or before.content_fetched_at is None
    if not unread and before is not None and before.media_count == account.media_count:
        return []
    return [
        _job(said, JobKind.UPLOADS, account.platform_user_id, Priority.BACKFILL if unread else Priority.ACTIVE, now)
    ]


def _details_of(page: RawPage, said: Normalised, known: Mapping[str, bool], now: int) -> list[Job]:
    priority = Priority.ACTIVE if page.listed_before == 0 else Priority.BACKFILL
    fresh = [item.content_id for item in said.items if not known.get(item.content_id, False)]
    return [_job(said, JobKind.CONTENT, content_id, priority, now) for content_id in dict.fromkeys(fresh)]


def _next_listing(
    page: RawPage, said: Normalised, known: Mapping[str, bool], now: int, backfill_items: int
) -> list[Job]:
    """Lists further back until the bound, or until a page brings nothing new."""
    listed = page.listed_before + said.listed
    all_known = bool(said.items) and all(known.get(item.content_id, False) for item in said.items)
    if not said.next_page_token or all_known or (backfill_items and listed >= backfill_items):
        return []
    _, user_id = split_account_key(said.account_key)
    job = _job(said, JobKind.UPLOADS, user_id, Priority.BACKFILL, now)
    job.page_token, job.listed_before = said.next_page_token, listed
    return [job]


def _job(said: Normalised, kind: JobKind, entity: str, priority: Priority, now: int) -> Job:
    platform, _ = split_account_key(said.account_key)
    return Job(platform=platform, kind=kind, entity=entity, account_key=said.account_key, priority=priority, due_at=now)
