from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.policy import DAY_SECONDS, Policy, may_derive, policies
from proto.ids import AccountKey, Platform
from proto.records import ContentItem, CreatorAccount, EmbeddingRecord, MetricSnapshot

NOW = 1_790_000_000
INSTANTS = st.integers(NOW - 5 * 365 * DAY_SECONDS, NOW)
ANSWERS = st.sampled_from(["granted", "denied", ""])
DENIED = Policy.of(Platform.YOUTUBE, derived_data="denied")
GRANTED = Policy.of(Platform.YOUTUBE, derived_data="granted")


def account(fetched_at: int, platform: Platform = Platform.YOUTUBE) -> CreatorAccount:
    return CreatorAccount(platform=platform, platform_user_id="a", fetched_at=fetched_at)


def item(fetched_at: int) -> ContentItem:
    return ContentItem(content_id="v", account_key=AccountKey("youtube:a"), fetched_at=fetched_at)


def vector(updated_at: int) -> EmbeddingRecord:
    return EmbeddingRecord(field="bio", model_id="m", dims=1, input_hash="h", vector=b"\0\0", updated_at=updated_at)


def snapshot(day: int) -> MetricSnapshot:
    return MetricSnapshot(entity="youtube:a", day=day)


def test_youtube_fields_expire_28_days_after_they_were_read() -> None:
    for datum in (account(NOW), item(NOW), vector(NOW)):
        assert DENIED.expires_at(datum) == GRANTED.expires_at(datum) == NOW + 28 * DAY_SECONDS


def test_instagram_states_no_figure() -> None:
    policy = Policy.of(Platform.INSTAGRAM)
    assert policy.expires_at(account(1, Platform.INSTAGRAM)) is None
    assert policy.expires_at(snapshot(1)) is None
    assert (policy.fields_before(NOW), policy.refresh_before(NOW), policy.statistics_before(NOW)) == (0, 0, 0)


def test_a_record_that_holds_nothing_does_not_expire() -> None:
    assert DENIED.expires_at(account(0)) is None


@given(INSTANTS)
def test_without_the_grant_no_count_outlives_30_days(read_at: int) -> None:
    expires_at = DENIED.expires_at(snapshot(read_at // DAY_SECONDS))
    assert expires_at is not None
    assert expires_at <= read_at + 30 * DAY_SECONDS


@given(INSTANTS)
def test_with_the_grant_counts_are_kept_for_years_and_texts_are_not(read_at: int) -> None:
    expires_at = GRANTED.expires_at(snapshot(read_at // DAY_SECONDS))
    assert expires_at is not None
    assert read_at + 35 * 30 * DAY_SECONDS < expires_at <= read_at + 1_095 * DAY_SECONDS
    assert GRANTED.expires_at(item(read_at)) == DENIED.expires_at(item(read_at))


@given(INSTANTS, st.integers(0, 1_200 * DAY_SECONDS), ANSWERS)
def test_the_cuts_say_the_same_as_the_single_records(read_at: int, age: int, derived_data: str) -> None:
    policy, now = Policy.of(Platform.YOUTUBE, derived_data=derived_data), read_at + age
    expires_at = policy.expires_at(item(read_at))
    assert expires_at is not None
    assert (read_at < policy.fields_before(now)) == (now >= expires_at)
    day = read_at // DAY_SECONDS
    gone_at = policy.expires_at(snapshot(day))
    assert gone_at is not None
    assert (day < policy.statistics_before(now)) == (now >= gone_at)


@given(INSTANTS, ANSWERS)
def test_there_is_time_to_read_again_before_a_record_expires(now: int, derived_data: str) -> None:
    policy = Policy.of(Platform.YOUTUBE, derived_data=derived_data)
    assert policy.refresh_before(now) - policy.fields_before(now) >= DAY_SECONDS


@pytest.mark.parametrize("answer", ["denied", "", "Granted", "yes"])
def test_whatever_is_not_granted_is_denied(answer: str) -> None:
    assert not may_derive(Platform.YOUTUBE, derived_data=answer)
    assert may_derive(Platform.INSTAGRAM, derived_data=answer)


def test_the_grant_allows_deriving() -> None:
    assert may_derive(Platform.YOUTUBE, derived_data="granted")
    assert policies("granted")[Platform.YOUTUBE].derives
    assert not policies("denied")[Platform.YOUTUBE].derives
    assert set(policies("denied")) == set(Platform)


@pytest.mark.parametrize(("misses", "deleted"), [(0, False), (2, False), (3, True), (9, True)])
def test_repeated_misses_delete_an_account(misses: int, deleted: bool) -> None:
    one = account(NOW, Platform.INSTAGRAM)
    one.misses = misses
    assert Policy.of(Platform.INSTAGRAM).deletes(one) is deleted
