"""What goes wrong on the platforms, each told by an event and ending in the right state; days in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from actors.cadence import TOUCH_SECONDS
from daemon.evaluation.ingestion import KEYS, LIMITS
from proto.ids import AccountKey, Platform
from proto.records import AccountStatus, Activity, CreatorAccount, Job, JobKind, Priority
from stores.subscriptions import State, Subscriptions
from tests.flow.played import DAY_SECONDS, HOUR_SECONDS, POLICY, Played, channel_key, profile_key, small_world

ACCOUNTS = 60


def played(
    folder: Path, clock: trio.testing.MockClock, *, accounts: int = ACCOUNTS, tokens: int = 1, calls: int = 200
) -> Played:
    return Played(small_world(accounts), folder / "data", clock, policy=POLICY, tokens=tokens, calls=calls)


def inside(account: CreatorAccount, now: float) -> bool:
    """Touched within the longest of the windows, or known to be gone."""
    age = now - max(account.touched_at or 0, account.fetched_at)
    return account.misses > 0 or age <= TOUCH_SECONDS[Activity.LONG_TAIL]


async def ask(
    play: Played, kind: JobKind, entities: Sequence[str], priority: Priority, key: AccountKey | None = None
) -> None:
    """Jobs on YouTube that are due now."""
    one = Job(
        platform=Platform.YOUTUBE, kind=kind, entity="", account_key=key, priority=priority, due_at=int(play.now())
    )
    await play.flow.schedule.put([msgspec.structs.replace(one, entity=entity) for entity in entities])


async def test_one_of_two_tokens_is_revoked(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """The other takes over within its own limit, nobody grows stale, and the operator is told once."""
    async with played(tmp_path, autojump_clock, tokens=2, calls=20).playing() as play:
        await trio.sleep(DAY_SECONDS)
        before = (await play.books())["tokens"]
        assert all(token["charged"] > 0 for token in before.values())
        await play.happen("revoke_token", name="demo-1")
        await trio.sleep(7 * DAY_SECONDS)
        disabled = [event for event in await play.events() if event.kind == "key_disabled"]
        assert [(event.subject, event.severity) for event in disabled] == [("instagram/token:demo-1", "error")]
        books = await play.books()
        assert books["tokens"]["demo-2"]["charged"] > before["demo-2"]["charged"]
        assert books["calls_over_limit"] == {}
        assert all(inside(account, play.now()) for account in await play.accounts(Platform.INSTAGRAM))


async def test_one_of_two_keys_is_revoked_and_then_the_other(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Keys of one project share its quota: the other goes on within the same limit, and the operator is told of each."""
    async with played(tmp_path, autojump_clock).playing() as play:
        await trio.sleep(DAY_SECONDS)
        await play.happen("revoke_token", name=KEYS[0])
        await trio.sleep(3 * DAY_SECONDS)
        (disabled,) = [event for event in await play.events() if event.kind == "key_disabled"]
        assert disabled.severity == "error"
        assert "key 1 of 2" in disabled.detail
        assert KEYS[0] not in disabled.detail
        assert all(inside(account, play.now()) for account in await play.accounts(Platform.YOUTUBE))
        assert (await play.books())["calls_over_limit"] == {}
        assert (await play.told())["dead_letter"] == 0
        await play.happen("revoke_token", name=KEYS[1])
        await trio.sleep(2 * DAY_SECONDS)
        subjects = {event.subject for event in await play.events() if event.kind == "key_disabled"}
        assert subjects & {"youtube/general", "youtube/stats"}
        calls = (await play.books())["calls"]["channels"]
        await trio.sleep(DAY_SECONDS)
        assert (await play.books())["calls"]["channels"] == calls


async def test_the_last_token_is_revoked_and_the_other_platform_goes_on(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with played(tmp_path, autojump_clock).playing() as play:
        await play.happen("revoke_token", name="demo-1")
        await trio.sleep(8 * DAY_SECONDS)
        calls = (await play.books())["calls"]["business_discovery"]
        await trio.sleep(DAY_SECONDS)
        assert (await play.books())["calls"]["business_discovery"] == calls
        assert (await play.told())["key_disabled"] == 1
        assert (await play.told())["dead_letter"] == 0
        assert all(inside(account, play.now()) for account in await play.accounts(Platform.YOUTUBE))
        waiting = await play.flow.schedule.next_due_at(Platform.INSTAGRAM)
        assert waiting is not None
        assert waiting < play.now()  # what is due stays due: a new token goes on where this one ended


async def test_a_third_of_the_feeds_fails_for_a_day(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """An outage of the feeds is no sign that a channel is gone; its news is met through the API."""
    async with played(tmp_path, autojump_clock, accounts=150).playing() as play:
        await play.happen("feeds_down", share=0.3, seconds=DAY_SECONDS)
        struck = [account.key for account in await play.accounts(Platform.YOUTUBE)][:20]
        posts = [(await play.happen("post", account=key.partition(":")[2]))["posted"][0] for key in struck]
        await trio.sleep(8 * DAY_SECONDS)
        accounts = await play.accounts(Platform.YOUTUBE)
        assert {account.status for account in accounts if not account.misses} == {AccountStatus.ACTIVE}
        assert sum(account.misses for account in accounts) <= 2  # those that the world itself deletes
        assert [post for post in posts if not play.met[post]] == []
        assert all(inside(account, play.now()) for account in accounts)
        assert (await play.books())["calls_over_limit"] == {}
        assert (await play.told())["feeds_failing"] >= 1
        assert (await play.told())["feeds_well"] == (await play.told())["feeds_failing"]


async def test_a_storm_of_503_is_waited_out(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """While nothing answers the platform is left alone; no job is given up, and afterwards everybody is caught up."""
    async with played(tmp_path, autojump_clock).playing() as play:
        await trio.sleep(DAY_SECONDS)
        before = (await play.books())["calls"]
        await play.switch(unavailable_share=1.0, only=["youtube", "instagram"])
        await trio.sleep(2 * DAY_SECONDS)
        during = (await play.books())["calls"]
        told = await play.told()
        assert told["platform_down"] >= 1
        assert told["platform_up"] == 0
        # probes of at most eight packs, tried four times, every half an hour
        assert sum(during[name] - before.get(name, 0) for name in during if name != "feeds") < 2 * 48 * 2 * 8 * 4
        await play.switch()
        await trio.sleep(7 * DAY_SECONDS)
        told = await play.told()
        assert told["platform_up"] == told["platform_down"]
        assert [event for event in await play.events() if event.kind == "dead_letter"] == []
        for platform in (Platform.YOUTUBE, Platform.INSTAGRAM):
            assert all(inside(account, play.now()) for account in await play.accounts(platform))


async def test_a_renamed_account_is_followed_by_its_id(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with played(tmp_path, autojump_clock, accounts=12).playing() as play:
        channel, profile = next(iter(play.world.channels)), next(iter(play.world.profiles.values())).id
        await play.happen("rename", account=channel, name="the.new.channel")
        await play.happen("rename", account=profile, name="the.new.profile")
        await trio.sleep(29 * DAY_SECONDS)
        assert (await play.account(channel_key(channel))).handle == "the.new.channel"
        names = {account.handle for account in await play.accounts(Platform.INSTAGRAM)}
        assert len(await play.accounts(Platform.INSTAGRAM)) == len(play.world.profiles)
        assert "the.new.profile" in names or (await play.account(profile_key(profile))).misses > 0


@pytest.mark.long
async def test_a_deleted_account_is_gone_and_one_that_comes_back_lives_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with played(tmp_path, autojump_clock, accounts=12).playing() as play:
        gone, back = list(play.world.channels)[:2]
        for channel in (gone, back):
            await play.happen("delete", account=channel)
        await trio.sleep(10 * DAY_SECONDS)
        assert (await play.account(channel_key(back))).misses > 0
        await play.happen("restore", account=back)
        await trio.sleep(80 * DAY_SECONDS)
        assert (await play.account(channel_key(gone))).status is AccountStatus.GONE
        returned = await play.account(channel_key(back))
        assert (returned.status, returned.misses) == (AccountStatus.ACTIVE, 0)
        assert play.now() - returned.fetched_at <= 29 * DAY_SECONDS


async def test_an_unknown_id_costs_the_others_of_its_pack_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with played(tmp_path, autojump_clock).playing() as play:
        channel = next(iter(play.world.channels))
        key = channel_key(channel)
        known = [item.content_id for item in (await play.items(key))[:3]]
        met = {entity: play.met[entity] for entity in known}
        await ask(play, JobKind.CONTENT, (*known, "nosuchvideo"), Priority.ACTIVE, key)
        await trio.sleep(HOUR_SECONDS)
        assert all(play.met[entity] > met[entity] for entity in known)
        assert play.met["nosuchvideo"] == 0
        assert await play.flow.schedule.get(Platform.YOUTUBE, JobKind.CONTENT, "nosuchvideo") is None
        assert (await play.told())["dead_letter"] == 0


async def test_a_push_tells_of_a_post_within_the_hour(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """The free feed would have told within a day; what is pushed and what is polled meet in one item."""
    async with played(tmp_path, autojump_clock).playing_with_push() as play:
        await trio.sleep(HOUR_SECONDS)
        assert play.pushes["verified"] >= 5
        found = await Subscriptions(play.flow.env).counts()
        assert found.subscribed == play.pushes["verified"]
        told = [one for one in await play.accounts(Platform.YOUTUBE) if await subscribed(play, one)][:5]
        posts = [(await play.happen("post", account=one.platform_user_id))["posted"][0] for one in told]
        await trio.sleep(HOUR_SECONDS)
        assert [post for post in posts if not play.met[post]] == []
        await trio.sleep(2 * DAY_SECONDS)
        for account, post in zip(told, posts, strict=True):
            assert [item.content_id for item in await play.items(account.key)].count(post) == 1


@pytest.mark.long
async def test_a_hub_that_dies_silently_is_noticed_and_polling_finds_what_it_does_not_tell(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with played(tmp_path, autojump_clock, accounts=200).playing_with_push() as play:
        await trio.sleep(3 * DAY_SECONDS)
        assert (await Subscriptions(play.flow.env).counts()).trusted
        assert (await play.told())["hub_trusted"] == 1
        await play.happen("kill_hub")
        await trio.sleep(2 * DAY_SECONDS + HOUR_SECONDS)
        told = await play.told()
        assert told["hub_silent"] + told["hub_distrusted"] >= 1
        assert not (await Subscriptions(play.flow.env).counts()).trusted
        lively = [one for one in await play.accounts(Platform.YOUTUBE) if await subscribed(play, one)]
        post = (await play.happen("post", account=lively[0].platform_user_id))["posted"][0]
        await trio.sleep(DAY_SECONDS + HOUR_SECONDS)
        assert play.met[post]
        await play.happen("revive_hub")
        await trio.sleep(6 * DAY_SECONDS)
        assert (await Subscriptions(play.flow.env).counts()).trusted


async def subscribed(play: Played, account: CreatorAccount) -> bool:
    found = await Subscriptions(play.flow.env).get(account.platform_user_id)
    return found is not None and found.state is State.ACTIVE


async def test_new_accounts_take_their_share_and_known_ones_stay_fresh(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list far too long for the day's budget: a fifth of it goes there, day after day, and nothing else waits for it."""
    monkeypatch.setattr("tests.flow.played.LIMITS", LIMITS | {"general": 500})
    wanted = [f"@nobody.of.this.world.{number}" for number in range(250)]
    async with played(tmp_path, autojump_clock, accounts=30).playing() as play:
        await ask(play, JobKind.LOOKUP, wanted, Priority.DISCOVERY)
        left = list[int]()
        for _ in range(3):
            await trio.sleep(DAY_SECONDS)
            left.append(await play.flow.schedule.pending())
            assert all(inside(account, play.now()) for account in await play.accounts(Platform.YOUTUBE))
        assert 250 - 2 * 100 <= left[0] < 250  # at most two days of Los Angeles
        assert left[-1] == 0
        assert (await play.books())["calls_over_limit"] == {}
