from __future__ import annotations

from actors.follow_ups import follow_ups
from proto.ids import Platform, account_key
from proto.records import ContentItem, CreatorAccount, JobKind, Normalised, Priority, RawPage

KEY = account_key(Platform.YOUTUBE, "UCa")
NOW = 1_000


def page(kind: JobKind, listed_before: int = 0) -> RawPage:
    return RawPage(
        platform=Platform.YOUTUBE,
        kind=kind,
        account_key=KEY,
        fetched_at=NOW,
        request="",
        body=b"",
        listed_before=listed_before,
    )


def account(media_count: int | None, listed_at: int | None = None) -> CreatorAccount:
    return CreatorAccount(
        platform=Platform.YOUTUBE,
        platform_user_id="UCa",
        media_count=media_count,
        content_fetched_at=listed_at,
        fetched_at=NOW,
    )


def items(*ids: str) -> list[ContentItem]:
    return [ContentItem(content_id=one, account_key=KEY) for one in ids]


def test_a_new_account_is_listed() -> None:
    said = Normalised(account_key=KEY, account=account(3))
    (job,) = follow_ups(page(JobKind.PROFILE), said, None, {}, now=NOW, backfill_items=100)
    assert (job.kind, job.entity, job.due_at) == (JobKind.UPLOADS, "UCa", NOW)


def test_an_unchanged_count_of_uploads_costs_no_call() -> None:
    said = Normalised(account_key=KEY, account=account(3))
    assert follow_ups(page(JobKind.PROFILE), said, account(3, listed_at=5), {}, now=NOW, backfill_items=100) == []
    (job,) = follow_ups(page(JobKind.PROFILE), said, account(2, listed_at=5), {}, now=NOW, backfill_items=100)
    assert job.priority is Priority.ACTIVE


def test_a_channel_without_uploads_is_not_listed() -> None:
    said = Normalised(account_key=KEY, account=account(0))
    assert follow_ups(page(JobKind.PROFILE), said, None, {}, now=NOW, backfill_items=100) == []


def test_a_listing_asks_for_the_details_not_yet_read() -> None:
    said = Normalised(account_key=KEY, items=items("a", "b", "c"), listed=3)
    jobs = follow_ups(
        page(JobKind.UPLOADS), said, None, {"a": True, "b": False, "c": False}, now=NOW, backfill_items=100
    )
    assert [(job.kind, job.entity) for job in jobs] == [(JobKind.CONTENT, "b"), (JobKind.CONTENT, "c")]


def test_listings_go_back_until_the_bound_or_until_all_is_known() -> None:
    said = Normalised(account_key=KEY, items=items("a"), listed=50, next_page_token="t")

    def pages_on(known: bool, before: int, bound: int) -> bool:
        jobs = follow_ups(page(JobKind.UPLOADS, before), said, None, {"a": known}, now=NOW, backfill_items=bound)
        return any(job.kind is JobKind.BACKFILL and job.page_token == "t" for job in jobs)

    assert pages_on(known=False, before=0, bound=100)
    assert not pages_on(known=False, before=50, bound=100)
    assert pages_on(known=False, before=50, bound=0)
    assert not pages_on(known=True, before=0, bound=100)


def test_details_lead_nowhere_else() -> None:
    assert (
        follow_ups(
            page(JobKind.CONTENT), Normalised(account_key=KEY, items=items("a")), None, {}, now=NOW, backfill_items=0
        )
        == []
    )


def test_more_news_than_a_page_holds_does_not_wait_behind_history() -> None:
    said = Normalised(account_key=KEY, items=items("a"), listed=50, next_page_token="t")
    listed = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id="UCa", content_fetched_at=NOW - 9)
    for before, page_before, kind in (
        (listed, 0, JobKind.UPLOADS),
        (listed, 50, JobKind.BACKFILL),
        (None, 0, JobKind.BACKFILL),
    ):
        jobs = follow_ups(page(JobKind.UPLOADS, page_before), said, before, {}, now=NOW, backfill_items=500)
        assert [job.kind for job in jobs if job.page_token] == [kind]
        details = {job.kind for job in jobs if not job.page_token}
        assert details == {JobKind.BACKFILL_CONTENT if page_before else JobKind.CONTENT}
