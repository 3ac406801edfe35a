from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.follow_ups import FEED_ENTRIES, follow_ups
from proto.ids import Platform, account_key
from proto.records import ContentItem, CreatorAccount, JobKind, Normalised, Priority, RawPage

KEY = account_key(Platform.YOUTUBE, "UCa")
NOW = 1_000


def page(kind: JobKind, listed_before: int = 0, walked: int = 0) -> RawPage:
    return RawPage(
        platform=Platform.YOUTUBE,
        kind=kind,
        account_key=KEY,
        fetched_at=NOW,
        request="",
        body=b"",
        listed_before=listed_before,
        walked=walked,
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
        kind = JobKind.BACKFILL if before else JobKind.UPLOADS
        jobs = follow_ups(page(kind, before), said, None, {"a": known}, now=NOW, backfill_items=bound)
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


LISTED = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id="UCa", content_fetched_at=NOW - 9)
NEWS, HISTORY = (JobKind.NEWS, Priority.ACTIVE), (JobKind.BACKFILL, Priority.BACKFILL)


def next_listing(
    kind: JobKind,
    *,
    before: CreatorAccount | None = LISTED,
    known: tuple[str, ...] = ("old",),
    holds: tuple[str, ...] = ("a", "b"),
    listed_before: int = 0,
    feeds: bool = False,
    bound: int = 10,
) -> list[tuple[JobKind, Priority]]:
    """What a page of 50 entries that is not the last one has listed next."""
    account = LISTED if kind is JobKind.PROFILE else None
    said = Normalised(account_key=KEY, account=account, items=items(*holds), listed=50, next_page_token="t")
    told = dict.fromkeys(known, False)
    jobs = follow_ups(page(kind, listed_before), said, before, told, now=NOW, backfill_items=bound, feeds=feeds)
    return [(job.kind, job.priority) for job in jobs if job.page_token == "t" and job.listed_before]


@pytest.mark.parametrize("kind", [JobKind.PROFILE, JobKind.UPLOADS, JobKind.NEWS])
def test_news_is_listed_on_however_much_there_is_until_something_is_familiar(kind: JobKind) -> None:
    assert next_listing(kind) == [NEWS]
    assert next_listing(kind, known=("old", "b")) == []
    assert next_listing(kind, known=("old", "b"), bound=500) == [HISTORY]


def test_news_without_end_is_history() -> None:
    """Where nothing familiar is left, the walk would not end before the first upload."""
    assert next_listing(JobKind.NEWS, listed_before=900) == [NEWS]
    assert next_listing(JobKind.NEWS, listed_before=950, bound=5_000) == [HISTORY]
    assert next_listing(JobKind.NEWS, listed_before=950) == []


@pytest.mark.parametrize("kind", [JobKind.PROFILE, JobKind.UPLOADS])
def test_at_first_sight_everything_is_history(kind: JobKind) -> None:
    assert next_listing(kind, before=None, known=(), bound=500) == [HISTORY]
    assert next_listing(kind, known=(), bound=500) == [HISTORY]  # as good as: nothing is left of what was known


def test_history_does_not_become_news() -> None:
    assert next_listing(JobKind.BACKFILL, listed_before=50, bound=500) == [HISTORY]
    assert next_listing(JobKind.BACKFILL, listed_before=50, bound=100) == []


def test_what_a_feed_told_does_not_hide_the_news_behind_it() -> None:
    head = tuple(f"f{number}" for number in range(FEED_ENTRIES))
    whole, grown = (*head, "a", "b"), ("old", *head)
    assert next_listing(JobKind.UPLOADS, known=grown, holds=whole, feeds=True) == [NEWS]
    assert next_listing(JobKind.UPLOADS, known=grown, holds=whole, feeds=False) == []
    assert next_listing(JobKind.UPLOADS, known=(*grown, "b"), holds=whole, feeds=True) == []
    assert next_listing(JobKind.UPLOADS, known=head, holds=whole, feeds=True, bound=500) == [HISTORY]
    assert next_listing(JobKind.NEWS, known=("a",), listed_before=50, feeds=True) == []


@pytest.mark.parametrize("kind", [JobKind.BACKFILL, JobKind.NEWS])
def test_a_walk_that_begins_anew_passes_what_it_has_read_before(kind: JobKind) -> None:
    said = Normalised(account_key=KEY, items=items("a"), listed=50, next_page_token="t")

    def on(listed_before: int) -> list[tuple[JobKind, int, int]]:
        again = page(kind, listed_before, walked=100)
        jobs = follow_ups(again, said, LISTED, {"a": True, "old": True}, now=NOW, backfill_items=500)
        return [(job.kind, job.listed_before, job.walked) for job in jobs]

    assert on(0) == [(kind, 50, 100)]
    assert on(50) == [(kind, 100, 100)]
    assert on(100) == []


def test_details_of_news_wait_behind_no_history() -> None:
    said = Normalised(account_key=KEY, items=items("a"), listed=1)
    for kind, before, wanted in (
        (JobKind.UPLOADS, None, (JobKind.CONTENT, Priority.BACKFILL)),
        (JobKind.UPLOADS, LISTED, (JobKind.CONTENT, Priority.ACTIVE)),
        (JobKind.NEWS, LISTED, (JobKind.CONTENT, Priority.ACTIVE)),
        (JobKind.BACKFILL, LISTED, (JobKind.BACKFILL_CONTENT, Priority.BACKFILL)),
    ):
        (job,) = follow_ups(page(kind), said, before, {}, now=NOW, backfill_items=500)
        assert (job.kind, job.priority) == wanted


@given(
    fresh=st.integers(0, 300),
    old=st.integers(1, 200),
    size=st.integers(FEED_ENTRIES + 5, 60),
    bound=st.integers(0, 400),
    feeds=st.booleans(),
)
def test_all_that_is_posted_between_two_looks_is_listed_as_news(
    fresh: int, old: int, size: int, bound: int, feeds: bool
) -> None:
    """The playlist from its first page on, as the walk reads it; a feed has told its head."""
    ids = [f"v{number}" for number in range(fresh + old)]
    feeds = feeds and fresh >= FEED_ENTRIES
    known = dict.fromkeys(ids[fresh:], True) | (dict.fromkeys(ids[:FEED_ENTRIES], False) if feeds else {})
    kind, at, asked = JobKind.UPLOADS, 0, set[str]()
    while True:
        said = Normalised(account_key=KEY, items=items(*ids[at : at + size]), listed=min(size, len(ids) - at))
        at += size
        said.next_page_token = "t" if at < len(ids) else ""
        jobs = follow_ups(page(kind, at - size), said, LISTED, known, now=NOW, backfill_items=bound, feeds=feeds)
        known = {one.content_id: False for one in said.items} | known
        asked |= {job.entity for job in jobs if (job.kind, job.priority) == (JobKind.CONTENT, Priority.ACTIVE)}
        further = [job for job in jobs if job.page_token and job.kind is JobKind.NEWS]
        if not further:
            break
        kind = JobKind.NEWS
    assert asked >= set(ids[:fresh])
    assert at - size <= fresh  # nor does the walk go on once it has met what is old
