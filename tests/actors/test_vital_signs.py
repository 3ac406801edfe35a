"""Vital signs: pure rules over made-up creators, the peers they are compared with, and what is read to compute them."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import Meter, Outbox
from actors.aggregator import Aggregator
from actors.peers import MIN_PEERS, STEP, Peers
from actors.platforms.youtube import rounding_step
from actors.policy import derivable, policies
from actors.vital_signs import (
    DAY_SECONDS,
    GROWTH_DAYS,
    MIN_ITEMS,
    engagement_rate,
    growth,
    history_since,
    posts_per_week,
    sponsored_share,
    views_per_follower,
    vital_signs,
)
from daemon.evaluation.virtual_time import VirtualThreads
from proto.ids import AccountKey, CreatorId, Platform, Row, account_key
from proto.messages import AnyWork, CreatorAggregated, CreatorResolved
from proto.records import (
    Activity,
    ContentItem,
    Creator,
    CreatorAccount,
    MetricSnapshot,
    Normalised,
    SignGroup,
    Unknown,
    VitalSign,
    VitalSigns,
)
from proto.tiers import LARGEST, TIERS, tier_of
from stores.blocking import Blocking
from stores.catalog import (
    AccountBundle,
    Catalog,
    account_history,
    get_account,
    put_account,
    put_normalised,
    snapshots_of,
    vital_signs_of,
)
from stores.env import Environment, Txn
from stores.history import kept_days
from stores.work import Work, enqueue
from tests.conftest import EPOCH
from tests.founding import found_creator

TODAY = EPOCH // DAY_SECONDS

COUNTS = st.none() | st.integers(0, 10**6)
ITEMS = st.builds(
    ContentItem,
    content_id=st.uuids().map(str),
    account_key=st.just(AccountKey("")),
    published_at=st.integers(EPOCH - 900 * DAY_SECONDS, EPOCH),
    views=COUNTS,
    likes=COUNTS,
    comments=COUNTS,
    sponsored=st.booleans(),
    detailed=st.booleans(),
)
HISTORIES = st.dictionaries(st.integers(TODAY - 150, TODAY), COUNTS, max_size=20)


def account(
    platform: Platform = Platform.YOUTUBE, followers: int | None = 10_000, user_id: str = "a"
) -> CreatorAccount:
    return CreatorAccount(platform=platform, platform_user_id=user_id, followers=followers, fetched_at=EPOCH)


def part(
    items: Sequence[ContentItem] = (),
    platform: Platform = Platform.YOUTUBE,
    followers: int | None = 10_000,
    history: dict[int, int | None] | None = None,
    user_id: str = "a",
) -> AccountBundle:
    """``history``: followers by day, shown as the platform shows them."""
    one = account(platform, followers, user_id)
    shown = [_snapshot(one, day, count) for day, count in sorted((history or {}).items())]
    return AccountBundle(account=one, items=list(items), vectors={}, history=shown)


def _snapshot(of: CreatorAccount, day: int, count: int | None) -> MetricSnapshot:
    step = rounding_step(count) if of.platform is Platform.YOUTUBE and count is not None else None
    shown = count if count is None or step is None else count // step * step
    return MetricSnapshot(entity=of.key, day=day, followers=shown, followers_step=step)


def item(days_ago: float = 1.0, **fields: object) -> ContentItem:
    plain = ContentItem(
        content_id=str(fields), account_key=AccountKey(""), published_at=int(EPOCH - days_ago * DAY_SECONDS)
    )
    return msgspec.structs.replace(plain, detailed=True, **fields)


@st.composite
def parts(draw: st.DrawFn, platforms: Sequence[Platform] = (Platform.YOUTUBE, Platform.INSTAGRAM)) -> AccountBundle:
    return part(
        draw(st.lists(ITEMS, max_size=8)),
        draw(st.sampled_from(platforms)),
        draw(COUNTS),
        draw(HISTORIES),
        draw(st.text("abc", min_size=1, max_size=3)),
    )


def each(group: SignGroup) -> list[VitalSign[Any]]:
    return [getattr(group, name) for name in SignGroup.__struct_fields__]


@settings(max_examples=30)
@given(st.lists(parts(), min_size=1, max_size=3))
def test_a_sign_has_a_value_or_says_why_not(accounts: list[AccountBundle]) -> None:
    signs = vital_signs(accounts, accounts, EPOCH)
    for group in (signs.overall, *signs.by_platform.values()):
        for sign in each(group):
            assert (sign.value is None) == (sign.why is not None)
            assert sign.n >= 0
            assert sign.window_days >= 0
            assert sign.value is None or sign.n or sign is group.activity
        for sign in (group.engagement_rate, group.views_per_follower, group.posts_per_week):
            assert sign.value is None or sign.n >= MIN_ITEMS
        assert group.sponsored_share.value is None or 0 <= group.sponsored_share.value <= 1


@settings(max_examples=30)
@given(st.lists(parts((Platform.YOUTUBE,)), min_size=1, max_size=2), parts((Platform.INSTAGRAM,)))
def test_a_platform_s_signs_are_those_of_its_accounts_alone(
    channels: list[AccountBundle], other: AccountBundle
) -> None:
    alone, together = (vital_signs(accounts, accounts, EPOCH) for accounts in (channels, [*channels, other]))
    assert alone.by_platform == {"youtube": alone.overall} == {"youtube": together.by_platform["youtube"]}


@settings(max_examples=30)
@given(st.lists(parts(), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_the_order_of_things_does_not_matter(accounts: list[AccountBundle], dice: random.Random) -> None:
    mixed = [msgspec.structs.replace(one, items=dice.sample(one.items, len(one.items))) for one in accounts]
    dice.shuffle(mixed)
    assert vital_signs(mixed, mixed, EPOCH) == vital_signs(accounts, accounts, EPOCH)


@settings(max_examples=30)
@given(st.lists(parts(), min_size=1, max_size=3))
def test_of_what_is_denied_nothing_is_told(accounts: list[AccountBundle]) -> None:
    signs = vital_signs(accounts, derivable(accounts, policies("denied")), EPOCH)
    others = [one for one in accounts if one.account.platform is not Platform.YOUTUBE]
    if others:
        assert signs.overall == vital_signs(others, others, EPOCH).overall
    for group in [signs.by_platform.get("youtube"), None if others else signs.overall]:
        if group is not None:
            assert {sign.why for sign in each(group)} == {Unknown.NOT_PERMITTED}
            assert {sign.n for sign in each(group)} == {0}


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**5), COUNTS), min_size=MIN_ITEMS, max_size=9))
def test_engagement_is_the_median_by_views(counts: list[tuple[int, int, int | None]]) -> None:
    items = [item(views=views, likes=likes, comments=comments) for views, likes, comments in counts]
    expected = statistics.median((likes + (comments or 0)) / views for views, likes, comments in counts)
    sign = engagement_rate([part(items)], EPOCH)
    assert sign.value == pytest.approx(expected, abs=1e-6)
    assert (sign.n, sign.window_days) == (len(items), 1)


def test_one_item_that_everybody_liked_does_not_move_it() -> None:
    usual = [item(views=1_000, likes=50) for _ in range(4)]
    assert engagement_rate([part([*usual, item(views=1_000, likes=900)])], EPOCH).value == 0.05


def test_where_not_all_content_has_views_engagement_is_by_followers() -> None:
    posts = [item(likes=300, comments=200) for _ in range(3)]
    assert engagement_rate([part(posts, Platform.INSTAGRAM)], EPOCH).value == 0.05
    assert engagement_rate([part(posts, Platform.INSTAGRAM, followers=None)], EPOCH).why is Unknown.NOT_STATED


def test_hidden_likes_are_unknown_and_no_zero() -> None:
    hidden = [item(days_ago=20, views=1_000, comments=5) for _ in range(10)]
    assert engagement_rate([part(hidden)], EPOCH) == VitalSign(why=Unknown.NOT_STATED, window_days=20)
    two = [item(days_ago=20, views=1_000, likes=5)] * 2
    assert engagement_rate([part(two)], EPOCH) == VitalSign(why=Unknown.INSUFFICIENT, n=2, window_days=20)
    assert engagement_rate([part([*hidden, *two])], EPOCH) == VitalSign(why=Unknown.NOT_STATED, n=2, window_days=20)


def test_posts_of_several_accounts_add_up() -> None:
    channel = part([item(days_ago=days) for days in range(1, 15)])
    profile = part([item(days_ago=days) for days in (7, 14, 21, 28)], Platform.INSTAGRAM)
    few = part([item()], Platform.X)
    assert posts_per_week([channel], EPOCH) == VitalSign(value=7.0, n=14, window_days=14)
    assert posts_per_week([profile], EPOCH) == VitalSign(value=1.0, n=4, window_days=28)
    assert posts_per_week([channel, profile, few], EPOCH) == VitalSign(value=8.0, n=18, window_days=28)
    assert posts_per_week([few], EPOCH) == VitalSign(why=Unknown.INSUFFICIENT, n=1, window_days=1)


def test_three_posts_of_today_are_three_a_week() -> None:
    assert posts_per_week([part([item(days_ago=0.1)] * 3)], EPOCH).value == 3.0


def test_views_are_by_the_followers_of_the_account() -> None:
    items = [item(views=views) for views in (1_000, 5_000, 20_000)]
    assert views_per_follower([part(items)], EPOCH).value == 0.5
    assert views_per_follower([part(items, followers=None)], EPOCH).why is Unknown.NOT_STATED
    assert views_per_follower([part(items, followers=0)], EPOCH).why is Unknown.NOT_STATED


def test_the_sponsored_share_is_of_items_whose_texts_are_known() -> None:
    listed = msgspec.structs.replace(item(sponsored=True), detailed=False)
    items = [item(sponsored=True), item(), item(), item(), listed]
    assert sponsored_share([part(items)], EPOCH) == VitalSign(value=0.25, n=4, window_days=1)
    assert sponsored_share([part([listed] * 5)], EPOCH).why is Unknown.INSUFFICIENT


@pytest.mark.parametrize(
    ("days_ago", "expected"), [(5, Activity.ACTIVE), (20, Activity.SEMI_ACTIVE), (50, Activity.LONG_TAIL)]
)
def test_activity_tells_how_many_items_the_month_has(days_ago: float, expected: Activity) -> None:
    one = part([item(days_ago), item(100)])
    sign = vital_signs([one], [one], EPOCH).overall.activity
    assert sign == VitalSign(value=expected, n=int(days_ago < 30), window_days=30)


# growth


def test_growth_is_the_change_over_the_window() -> None:
    history = {TODAY - 90: 10_000, TODAY - 30: 20_000, TODAY - 7: 24_000, TODAY: 25_000}
    one = part(history=dict(history), platform=Platform.INSTAGRAM)
    assert growth([one], 7, EPOCH) == VitalSign(value=0.041667, n=2, window_days=7)
    assert growth([one], 30, EPOCH) == VitalSign(value=0.25, n=3, window_days=30)
    assert growth([one], 90, EPOCH) == VitalSign(value=1.5, n=4, window_days=90)


@given(
    st.dictionaries(st.integers(TODAY - 130, TODAY), st.integers(1, 10**8), max_size=30), st.sampled_from(GROWTH_DAYS)
)
def test_a_known_growth_covers_about_its_window(history: dict[int, int], days: int) -> None:
    sign = growth([part(history=dict(history), platform=Platform.INSTAGRAM)], days, EPOCH)
    if sign.value is not None:
        assert days - days // 3 <= sign.window_days <= days + days // 3
        assert sign.n >= 2
    elif not any(abs(TODAY - days - day) <= days // 3 for day in history):
        assert sign.why is Unknown.INSUFFICIENT


@given(st.integers(1, 10**8), st.integers(1, 10**8))
def test_what_rounding_may_explain_is_unknown_and_what_is_known_is_true(before: int, after: int) -> None:
    """By what the counts really were: they are shown floored to three significant figures."""
    one = part(history={TODAY - 30: before, TODAY: after}, followers=after)
    sign = growth([one], 30, EPOCH)
    first, last = one.history[0].followers or 0, one.history[1].followers or 0
    step = max(rounding_step(before), rounding_step(after))
    if step > 1 and abs(last - first) < step:
        assert sign == VitalSign(why=Unknown.BELOW_STEP, n=2, window_days=30)
        return
    assert sign.value is not None
    assert abs(sign.value - (after - before) / before) <= (2 * step + after / before * step) / first + 1e-6
    assert last == first or (last > first) == (after > before)


def test_a_count_that_stands_still_is_zero_only_where_it_is_exact() -> None:
    still = {TODAY - 30: 12_345, TODAY: 12_349}
    assert growth([part(history=dict(still))], 30, EPOCH).why is Unknown.BELOW_STEP
    small = dict.fromkeys((TODAY - 30, TODAY), 512)
    assert growth([part(history=dict(small))], 30, EPOCH).value == 0.0
    exact = dict.fromkeys((TODAY - 30, TODAY), 12_345)
    assert growth([part(history=dict(exact), platform=Platform.INSTAGRAM)], 30, EPOCH).value == 0.0


def test_a_creator_s_growth_needs_that_of_each_account_that_shows_its_followers() -> None:
    channel = part(history={TODAY - 30: 10_000, TODAY: 20_000})
    profile = part(history={TODAY - 28: 30_000, TODAY: 30_000}, platform=Platform.INSTAGRAM)
    fresh = part(history={TODAY: 5_000}, platform=Platform.X)
    hidden = part(followers=None, history={TODAY - 30: None, TODAY: None}, platform=Platform.TIKTOK)
    assert growth([channel, profile, hidden], 30, EPOCH) == VitalSign(value=0.25, n=4, window_days=30)
    assert growth([channel, fresh], 30, EPOCH) == VitalSign(why=Unknown.INSUFFICIENT, n=3, window_days=30)
    assert growth([hidden], 30, EPOCH) == VitalSign(why=Unknown.NOT_STATED, window_days=30)


def test_a_series_as_it_is_kept_tells_all_three_growths() -> None:
    """Thinned to weeks after a month, whatever the day it is looked at."""
    for today in range(TODAY, TODAY + 28):
        days = kept_days(range(TODAY - 200, today + 1), today)
        one = part(history={day: 1_000 + day for day in days}, platform=Platform.INSTAGRAM)
        windows = [growth([one], wished, today * DAY_SECONDS + 5) for wished in GROWTH_DAYS]
        assert all(sign.value is not None for sign in windows)
        assert all(abs(sign.window_days - wished) <= 4 for sign, wished in zip(windows, GROWTH_DAYS, strict=True))


# what is read


class Counting:
    """A transaction that counts the entries it is asked for."""

    def __init__(self, txn: Txn) -> None:
        self._txn, self.read = txn, 0

    def scan(self, database: str, prefix: bytes = b"", start: bytes | None = None):  # type: ignore[no-untyped-def]
        for pair in self._txn.scan(database, prefix, start):
            self.read += 1
            yield pair


async def test_an_account_s_history_is_read_by_the_day_however_many_items_it_has(env: Environment) -> None:
    key = account_key(Platform.YOUTUBE, "UC1")
    others = [account_key(Platform.YOUTUBE, "UC"), account_key(Platform.YOUTUBE, "UC11")]

    def fill(txn: Txn) -> None:
        for of in (*others, key):
            for day in range(TODAY - 130, TODAY + 1, 5):
                at = day * DAY_SECONDS + 7
                items = [
                    ContentItem(
                        content_id=f"v{number}",
                        account_key=of,
                        published_at=at - DAY_SECONDS,
                        views=day,
                        fetched_at=at,
                        detailed=True,
                    )
                    for number in range(20)
                ]
                read = msgspec.structs.replace(account(user_id=of.partition(":")[2], followers=day), fetched_at=at)
                put_account(txn, read)
                put_normalised(txn, Normalised(account_key=of, items=items), at)

    await env.write(fill)
    since = history_since(EPOCH)

    def look(txn: Txn) -> None:
        counting = Counting(txn)
        found = account_history(counting, key, since)  # type: ignore[arg-type]
        own = [one for one in snapshots_of(txn, key) if one.entity == key and one.day >= since]
        assert found == own
        assert len(own) == 25
        assert counting.read <= len(own) + 1
        assert account_history(txn, key, TODAY + 1) == []

    await env.read(look)


@pytest.mark.parametrize(("derived_data", "share"), [("granted", 0.2), ("denied", None)])
async def test_the_stage_computes_growth_of_what_was_read_over_weeks(
    env: Environment, threads: VirtualThreads, derived_data: str, share: float | None
) -> None:
    key = account_key(Platform.YOUTUBE, "UC1")

    def fill(txn: Txn) -> AnyWork:
        for days_ago, followers in ((40, 10_000), (30, 10_000), (12, 11_000), (0, 12_000)):
            read = account(user_id="UC1", followers=followers)
            put_account(txn, msgspec.structs.replace(read, fetched_at=EPOCH - days_ago * DAY_SECONDS))
        stored = get_account(txn, key)
        assert stored is not None
        return enqueue(txn, CreatorResolved(creator_id=found_creator(txn, stored, EPOCH).creator_id), EPOCH)

    message = await env.write(fill)
    assert isinstance(message, CreatorResolved)
    into, inbox = trio.open_memory_channel[AnyWork](1)
    out, following = trio.open_memory_channel[AnyWork](1)
    stage = Aggregator(
        inbox,
        Outbox(out, Meter()),
        env=env,
        catalog=Catalog(env),
        work=Work(env),
        policies=policies(derived_data),
        threads=Blocking("models", 1, threads),
        recent_items=20,
        now=lambda: EPOCH,
        batch=8,
        meter=Meter(),
    )
    await into.send(message)
    into.close()
    await stage.run()
    assert isinstance(await following.receive(), CreatorAggregated)
    stored = await Catalog(env).creator(message.creator_id)
    assert stored is not None
    signs = vital_signs_of(stored)
    assert signs is not None
    assert stored.growth_30d == signs.overall.growth_30d.value == share
    why = Unknown.NOT_PERMITTED if share is None else None
    assert signs.by_platform["youtube"].growth_30d == VitalSign(
        value=share, why=why, n=0 if why else 3, window_days=0 if why else 30
    )


def test_what_is_read_suffices_for_the_longest_growth() -> None:
    since = history_since(EPOCH)
    before = part(history={since - 1: 10, TODAY: 20}, platform=Platform.INSTAGRAM)
    within = part(history={since: 10, TODAY: 20}, platform=Platform.INSTAGRAM)
    assert [growth([one], 90, EPOCH).value for one in (before, within)] == [None, 1.0]


# peers


Known = tuple[Creator, VitalSigns]


def creator(rate: float | None, niche: str | None = "fitness", followers: int = 20_000) -> Known:
    known: VitalSign[float] = VitalSign(value=rate, n=5, window_days=40)
    if rate is None:
        known = VitalSign(why=Unknown.NOT_STATED, n=1, window_days=12)
    one = part()
    group = msgspec.structs.replace(vital_signs([one], [one], EPOCH).overall, engagement_rate=known)
    record = Creator(
        creator_id=CreatorId(1), row=Row(1), primary_niche=niche, followers_by_platform={"youtube": followers}
    )
    return record, VitalSigns(at=EPOCH, overall=group, by_platform={"youtube": group})


def peers_of(rates: Sequence[float]) -> Peers:
    peers = Peers()
    for rate in rates:
        peers.add(*creator(rate))
    return peers


@settings(max_examples=30)
@given(st.lists(st.floats(0, 3), min_size=MIN_PEERS, max_size=60), st.floats(0, 3))
def test_a_rank_counts_those_below_within_the_width_of_a_bin(rates: list[float], mine: float) -> None:
    sign = peers_of(rates).rank(*creator(mine), "youtube").percentile
    assert sign.value is not None
    low = sum(rate < max(mine / STEP, 0) - 1e-5 for rate in rates)
    high = sum(rate <= mine * STEP + 1e-5 for rate in rates)
    assert 100 * low / len(rates) - 0.1 <= sign.value <= 100 * high / len(rates) + 0.1
    assert (sign.n, sign.window_days) == (len(rates), 40)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=MIN_PEERS, max_size=60), st.floats(0, 1), st.floats(0, 1))
def test_who_engages_more_ranks_no_lower(rates: list[float], one: float, other: float) -> None:
    peers = peers_of(rates)
    first, second = (peers.rank(*creator(rate), "youtube").percentile.value for rate in sorted((one, other)))
    assert first is not None
    assert second is not None
    assert first <= second


def test_too_few_peers_or_no_rate_of_one_s_own_is_told() -> None:
    few, enough = peers_of([0.1] * (MIN_PEERS - 1)), peers_of([0.1] * MIN_PEERS)
    assert few.rank(*creator(0.1), "youtube").percentile == VitalSign(
        why=Unknown.INSUFFICIENT, n=MIN_PEERS - 1, window_days=40
    )
    rank = enough.rank(*creator(0.1), "youtube")
    assert (rank.percentile.value, rank.platform, rank.niche, rank.tier) == (50.0, "youtube", "fitness", "micro")
    assert enough.rank(*creator(None), "youtube").percentile == VitalSign(why=Unknown.NOT_STATED, n=1, window_days=12)
    for stranger in (creator(0.1, "food"), creator(0.1, None), creator(0.1, followers=9_999)):
        assert enough.rank(*stranger, "youtube").percentile.why is Unknown.INSUFFICIENT


def test_tiers_begin_with_their_number() -> None:
    assert [tier_of(count) for count in (None, 0, 9_999)] == [None, "nano", "nano"]
    names = [name for _, name in TIERS[1:]] + [LARGEST]
    assert [tier_of(begin) for begin, _ in TIERS] == names
