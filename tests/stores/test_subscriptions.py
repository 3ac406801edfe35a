from __future__ import annotations

from functools import partial

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proto.ids import AccountKey
from proto.records import ContentItem
from stores.codec import decode
from stores.env import DATABASES, Environment, Txn
from stores.subscriptions import (
    AGAIN_SECONDS,
    HOUR_SECONDS,
    LONGEST_LEASE_SECONDS,
    MAX_FAREWELLS,
    PATIENCE_SECONDS,
    SEEN_KEPT,
    SEEN_SECONDS,
    SHORTEST_RENEWAL_SECONDS,
    SUBSCRIBED,
    TABLES,
    TALLY_SECONDS,
    Mode,
    PushCounts,
    State,
    Subscription,
    Subscriptions,
    begin_request,
    count_polled,
    count_pushed,
    deny,
    find_by_token,
    forget_subscription,
    get_subscription,
    is_trusted,
    is_wanted,
    next_due,
    note_pushed,
    prune_tallies,
    put_off,
    put_trusted,
    tallies,
    unwant,
    verify,
    want,
)

NOW = 1_790_000_000
CHANNEL = "UCa"
LEASE = 432_000


def wanted(txn: Txn, channel: str = CHANNEL, now: float = NOW) -> Subscription:
    want(txn, channel, now, token=f"token-{channel}", secret="hush")
    found = get_subscription(txn, channel)
    assert found is not None
    return found


def asked(txn: Txn, channel: str = CHANNEL, now: float = NOW) -> Subscription:
    return begin_request(txn, wanted(txn, channel, now), now, now + 600)


def granted(txn: Txn, channel: str = CHANNEL, now: float = NOW, lease: int = LEASE) -> Subscription:
    asked(txn, channel, now)
    assert verify(txn, f"token-{channel}", channel, "subscribe", lease, now)
    found = get_subscription(txn, channel)
    assert found is not None
    return found


def left(txn: Txn) -> int:
    return sum(txn.entries(name) for name in TABLES[:3])


def item(video: str, published_at: int) -> ContentItem:
    return ContentItem(content_id=video, account_key=AccountKey(f"youtube:{CHANNEL}"), published_at=published_at)


def test_its_databases_are_opened_and_its_own() -> None:
    assert set(TABLES) <= set(DATABASES)


async def test_who_is_wanted_is_due_at_once_and_found_by_token(env: Environment) -> None:
    def change(txn: Txn) -> tuple[bool, bool]:
        return (
            want(txn, CHANNEL, NOW, token="t1", secret="hush"),
            want(txn, CHANNEL, NOW + 9, token="t2", secret="other"),
        )

    assert await env.write(change) == (True, False)
    store = Subscriptions(env)
    found = await store.by_token("t1")
    assert found is not None
    assert (found.state, found.secret, found.next_action_at) == (State.WANTED, "hush", NOW)
    assert await store.by_token("t2") is None
    assert await store.get(CHANNEL) == found
    assert await env.write(lambda txn: next_due(txn, NOW - 1)) is None
    assert await env.write(lambda txn: next_due(txn, NOW)) == found


@pytest.mark.parametrize("token", ["", "x" * 10_000, "\ud800", "\0", "../../etc"])
async def test_a_token_that_is_none_finds_nothing(env: Environment, token: str) -> None:
    await env.write(wanted)
    assert await Subscriptions(env).by_token(token) is None


async def test_the_one_due_for_longest_comes_first(env: Environment) -> None:
    def change(txn: Txn) -> list[str]:
        for channel, at in (("UCb", NOW - 1), ("UCc", NOW - 9), ("UCd", NOW + 1)):
            wanted(txn, channel, at)
        order = []
        while (due := next_due(txn, NOW)) is not None:
            order.append(due.channel_id)
            begin_request(txn, due, NOW, NOW + 600)
        return order

    assert await env.write(change) == ["UCc", "UCb"]


async def test_a_pending_request_is_granted_once_and_renewed_at_four_fifths_of_the_lease(env: Environment) -> None:
    def change(txn: Txn) -> bool:
        asked(txn)
        assert verify(txn, f"token-{CHANNEL}", CHANNEL, "subscribe", LEASE, NOW + 5)
        return verify(txn, f"token-{CHANNEL}", CHANNEL, "subscribe", LEASE, NOW + 5)

    assert await env.write(change) is False
    found = await Subscriptions(env).get(CHANNEL)
    assert found is not None
    assert (found.state, found.attempts) == (State.ACTIVE, 0)
    assert (found.covered_since, found.lease_ends_at) == (NOW + 5, NOW + 5 + LEASE)
    assert found.next_action_at == NOW + 5 + 345_600


@pytest.mark.parametrize(
    ("token", "channel", "mode"),
    [
        ("token-UCb", CHANNEL, "subscribe"),
        (f"token-{CHANNEL}", "UCb", "subscribe"),
        (f"token-{CHANNEL}", CHANNEL, "unsubscribe"),
        (f"token-{CHANNEL}", CHANNEL, ""),
        ("", CHANNEL, "subscribe"),
    ],
)
async def test_what_was_not_asked_for_is_not_granted(env: Environment, token: str, channel: str, mode: str) -> None:
    before = await env.write(asked)
    assert not await env.write(lambda txn: verify(txn, token, channel, mode, LEASE, NOW))
    assert await Subscriptions(env).get(CHANNEL) == before


async def test_what_is_only_wanted_is_not_granted(env: Environment) -> None:
    await env.write(wanted)
    assert not await env.write(lambda txn: verify(txn, f"token-{CHANNEL}", CHANNEL, "subscribe", LEASE, NOW))


@pytest.mark.parametrize(
    ("stated", "lease", "renewal"),
    [
        (99_999_999, LONGEST_LEASE_SECONDS, 691_200),
        (1_000, 1_000, 800),
        (10, 10, SHORTEST_RENEWAL_SECONDS),
        (0, 1, SHORTEST_RENEWAL_SECONDS),
    ],
)
async def test_a_lease_is_believed_within_limits(env: Environment, stated: int, lease: int, renewal: int) -> None:
    found = await env.write(lambda txn: granted(txn, lease=stated))
    assert (found.lease_ends_at - NOW, found.next_action_at - NOW) == (lease, renewal)


async def test_cover_is_unbroken_over_a_renewal_in_time_and_begins_anew_after_a_lapse(env: Environment) -> None:
    def renew(txn: Txn, at: int) -> Subscription:
        due = next_due(txn, at)
        assert due is not None
        begin_request(txn, due, at, at + 600)
        assert verify(txn, due.token, CHANNEL, "subscribe", LEASE, at)
        found = get_subscription(txn, CHANNEL)
        assert found is not None
        return found

    def change(txn: Txn) -> list[int]:
        granted(txn)
        first = renew(txn, NOW + 345_600)
        late = first.lease_ends_at + 7
        return [first.covered_since, renew(txn, late).covered_since - late]

    assert await env.write(change) == [NOW, 0]


async def test_a_failed_request_is_put_off_unless_it_was_verified_meanwhile(env: Environment) -> None:
    def change(txn: Txn) -> None:
        put_off(txn, asked(txn), NOW + 120)
        verified = asked(txn, "UCb")
        assert verify(txn, "token-UCb", "UCb", "subscribe", LEASE, NOW)
        put_off(txn, verified, NOW + 120, State.REFUSED)
        put_off(txn, msgspec.structs.replace(verified, channel_id="UCgone"), NOW + 120)

    await env.write(change)
    store = Subscriptions(env)
    one, other = await store.get(CHANNEL), await store.get("UCb")
    assert one is not None
    assert other is not None
    assert (one.state, one.next_action_at) == (State.PENDING, NOW + 120)
    assert (other.state, other.next_action_at) == (State.ACTIVE, NOW + 345_600)


async def test_an_answer_to_an_earlier_request_does_not_touch_the_later_one(env: Environment) -> None:
    def change(txn: Txn) -> None:
        earlier = asked(txn)
        begin_request(txn, earlier, NOW + 600, NOW + 1_800)
        put_off(txn, earlier, NOW + 700, State.REFUSED)

    await env.write(change)
    found = await Subscriptions(env).get(CHANNEL)
    assert found is not None
    assert (found.state, found.next_action_at, found.attempts) == (State.PENDING, NOW + 1_800, 2)


async def test_a_post_dated_ahead_counts_in_the_present_hour(env: Environment) -> None:
    await env.write(lambda txn: count_pushed(txn, granted(txn), NOW + 2 * HOUR_SECONDS, NOW + 10))
    (tally,) = await env.read(tallies)
    assert (tally.hour_at, tally.pushed) == ((NOW + 10) // HOUR_SECONDS * HOUR_SECONDS, 1)


async def test_a_denial_ends_a_subscription_for_a_day(env: Environment) -> None:
    def change(txn: Txn) -> list[bool]:
        granted(txn)
        return [
            deny(txn, f"token-{CHANNEL}", "UCb", NOW),
            deny(txn, "token-x", CHANNEL, NOW),
            deny(txn, f"token-{CHANNEL}", CHANNEL, NOW),
        ]

    assert await env.write(change) == [False, False, True]
    found = await Subscriptions(env).get(CHANNEL)
    assert found is not None
    assert (found.state, found.lease_ends_at, found.next_action_at) == (State.REFUSED, 0, NOW + AGAIN_SECONDS)
    assert await env.write(lambda txn: next_due(txn, NOW + AGAIN_SECONDS)) == found


async def test_who_was_never_asked_for_is_forgotten_at_once(env: Environment) -> None:
    await env.write(wanted)
    assert await env.write(lambda txn: unwant(txn, CHANNEL, NOW))
    assert await env.read(left) == 0


async def test_giving_up_asks_the_hub_and_forgets_once_it_has_verified(env: Environment) -> None:
    def change(txn: Txn) -> Subscription | None:
        granted(txn)
        assert unwant(txn, CHANNEL, NOW + 50)
        assert not unwant(txn, CHANNEL, NOW + 60)
        assert not is_wanted(txn, CHANNEL)
        return next_due(txn, NOW + 50)

    due = await env.write(change)
    assert due is not None
    assert due.mode is Mode.UNSUBSCRIBE
    await env.write(lambda txn: begin_request(txn, due, NOW + 50, NOW + 600))
    assert not await env.write(lambda txn: verify(txn, due.token, CHANNEL, "subscribe", LEASE, NOW + 51))
    assert await env.write(lambda txn: verify(txn, due.token, CHANNEL, "unsubscribe", 0, NOW + 51))
    assert await env.read(left) == 0


async def test_a_farewell_that_nobody_answers_ends_after_some_tries_or_with_the_lease(env: Environment) -> None:
    def tries(txn: Txn, lease: int) -> int:
        granted(txn, lease=lease)
        unwant(txn, CHANNEL, NOW)
        count, at = 0, NOW
        while (due := next_due(txn, at)) is not None:
            begin_request(txn, due, at, at + 600)
            count, at = count + 1, at + 600
        assert left(txn) == 0
        return count

    assert await env.write(lambda txn: tries(txn, LEASE)) == MAX_FAREWELLS
    assert await env.write(lambda txn: tries(txn, 700)) == 2


async def test_who_is_wanted_again_while_leaving_keeps_its_token(env: Environment) -> None:
    def change(txn: Txn) -> Subscription | None:
        granted(txn)
        unwant(txn, CHANNEL, NOW + 1)
        assert want(txn, CHANNEL, NOW + 2, token="new", secret="new")
        return next_due(txn, NOW + 2)

    due = await env.write(change)
    assert due is not None
    assert (due.mode, due.token, due.lease_ends_at) == (Mode.SUBSCRIBE, f"token-{CHANNEL}", NOW + LEASE)


async def test_a_denied_farewell_is_one_too(env: Environment) -> None:
    def change(txn: Txn) -> bool:
        granted(txn)
        unwant(txn, CHANNEL, NOW)
        return deny(txn, f"token-{CHANNEL}", CHANNEL, NOW)

    assert await env.write(change)
    assert await env.read(left) == 0


async def test_forgetting_leaves_no_trace(env: Environment) -> None:
    await env.write(lambda txn: note_pushed(txn, granted(txn), "v1", NOW))
    assert await env.write(lambda txn: [forget_subscription(txn, CHANNEL) for _ in range(2)]) == [True, False]
    assert await env.read(left) == 0
    assert (await Subscriptions(env).counts()).subscribed == 0


async def test_the_latest_stamp_of_a_pushed_video_is_known_for_a_while(env: Environment) -> None:
    def change(txn: Txn) -> Subscription:
        told = granted(txn)
        for video, stamp in (("old", NOW - SEEN_SECONDS), ("v1", NOW - 50), ("v2", NOW - 40), ("v1", NOW)):
            told = note_pushed(txn, told, video, stamp)
        return told

    told = await env.write(change)
    assert told.seen == [("v2", NOW - 40), ("v1", NOW)]
    assert told.pushed_at("v1") == NOW
    assert told.pushed_at("old") is None
    assert await Subscriptions(env).get(CHANNEL) == told

    def flood(txn: Txn) -> Subscription:
        current = told
        for number in range(100):
            current = note_pushed(txn, current, f"w{number}", NOW + number)
        return current

    assert len((await env.write(flood)).seen) == SEEN_KEPT


async def test_posts_are_tallied_by_the_hour_they_came_out_in_and_by_who_told_first(env: Environment) -> None:
    noon = NOW // HOUR_SECONDS * HOUR_SECONDS + HOUR_SECONDS
    later = noon + 2 * HOUR_SECONDS

    def change(txn: Txn) -> list[object]:
        told = granted(txn)
        told = note_pushed(txn, told, "pushed", noon + 10)
        found = [item(name, at) for name, at in (("pushed", noon + 10), ("missed", noon + 20), ("lost", noon - 20))]
        return [
            count_pushed(txn, told, noon + 10, later),
            count_pushed(txn, told, NOW - 5, later),
            count_polled(txn, CHANNEL, found, later),
            count_polled(txn, "UCother", found, later),
            count_polled(txn, CHANNEL, [], later),
        ]

    assert await env.write(change) == [True, False, 2, 0, 0]
    hours = [(one.hour_at - noon, one.pushed, one.polled) for one in await env.read(tallies)]
    assert hours == [(-HOUR_SECONDS, 0, 1), (0, 1, 1)]
    assert await Subscriptions(env).counts() == PushCounts(subscribed=1, hits=1, misses=2, trusted=False)


@pytest.mark.parametrize(
    ("published_at", "listening_since"),
    [
        (NOW - 1, 0),  # before the subscription
        (NOW + LEASE + 1, 0),  # after its lease
        (NOW + LEASE - PATIENCE_SECONDS + 1, 0),  # its push may be on the way
        (NOW + 50, NOW + 60),  # nobody was there to take the push
    ],
)
async def test_a_post_that_the_hub_need_not_have_told_of_is_no_miss(
    env: Environment, published_at: int, listening_since: int
) -> None:
    def change(txn: Txn) -> int:
        granted(txn)
        found = [item("v1", published_at)]
        return count_polled(txn, CHANNEL, found, NOW + LEASE, listening_since=listening_since)

    assert await env.write(change) == 0
    assert await env.read(tallies) == []


async def test_old_hours_are_pruned(env: Environment) -> None:
    def change(txn: Txn) -> list[int]:
        told = granted(txn, lease=LONGEST_LEASE_SECONDS)
        for at in (NOW + 10, NOW + 86_400):
            count_pushed(txn, told, at, at)
        prune_tallies(txn, NOW + HOUR_SECONDS + TALLY_SECONDS)
        return [one.hour_at // 86_400 for one in tallies(txn)]

    assert await env.write(change) == [(NOW + 86_400) // 86_400]


async def test_the_verdict_is_kept(env: Environment) -> None:
    assert not await env.read(is_trusted)
    for trusted in (True, False, True):
        await env.write(partial(put_trusted, trusted=trusted))
        assert await env.read(is_trusted) is trusted


async def test_it_can_be_walked(env: Environment) -> None:
    await env.write(lambda txn: [granted(txn, f"UC{number}") for number in range(3)])
    pairs, cursor = await Subscriptions(env).scan(b"", 100)
    assert (len(pairs), cursor) == (9, None)


STEPS = ("want", "unwant", "verify", "farewell", "deny", "forget", "ask")


def step(txn: Txn, name: str, channel: str, at: int) -> None:
    token = f"token-{channel}"
    match name:
        case "want":
            want(txn, channel, at, token=token, secret="s")
        case "unwant":
            unwant(txn, channel, at)
        case "verify":
            verify(txn, token, channel, "subscribe", 900, at)
        case "farewell":
            verify(txn, token, channel, "unsubscribe", 0, at)
        case "deny":
            deny(txn, token, channel, at)
        case "forget":
            forget_subscription(txn, channel)
        case _:
            due = next_due(txn, at)
            if due is not None:
                begin_request(txn, due, at, at + 600)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 3), st.integers(0, 2_000)), max_size=40))
def test_indexes_and_counter_agree_with_the_records_whatever_happens(
    steps: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    env = Environment(tmp_path_factory.mktemp("subscriptions"), map_size_bytes=1 << 24, durable=False)
    try:
        for name, channel, at in steps:

            def change(txn: Txn, name: str = name, channel: int = channel, at: int = at) -> None:
                step(txn, name, f"UC{channel}", at)

            env.write_now(change)
        with env.snapshot() as txn:
            records = [decode(Subscription, value) for _, value in txn.scan("subscriptions")]
            due = {(int.from_bytes(key[:8]), key[8:].decode()) for key, _ in txn.scan("subscriptions_due")}
            assert due == {(one.next_action_at, one.channel_id) for one in records}
            assert txn.entries("subscription_by_token") == len(records)
            assert all(find_by_token(txn, one.token) == one for one in records)
            assert txn.counter(SUBSCRIBED) == sum(one.mode is Mode.SUBSCRIBE for one in records)
    finally:
        env.close()
