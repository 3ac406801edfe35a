"""The Atom feeds as the simulator plays them, and the living world that fills them."""

from __future__ import annotations

import itertools
import json
import time
import xml.etree.ElementTree as ET
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quart import Response
from quart_trio import QuartTrio

from actors.platforms.youtube_feed import parse_feed
from daemon.simulator.app import create_simulator
from daemon.simulator.events import (
    ChangeNiche,
    Delete,
    DeleteVideo,
    EditVideo,
    PostNow,
    Rename,
    Restore,
    niche_changes,
    scheduled_events,
)
from daemon.simulator.faults import Faults
from daemon.simulator.feeds import MAX_ENTRIES
from daemon.simulator.generator import generate
from daemon.simulator.posting import BLOCK_SECONDS, DAY_SECONDS, HABITUAL_HOURS, POSTS_PER_DAY, Posting
from daemon.simulator.present import PresentWorld, maturity, place_of, video_id_of
from daemon.simulator.quota import DEFAULT_LIMITS
from daemon.simulator.world import Channel, Video, World
from models.taxonomy import Taxonomy

NOW = 1_790_000_000
CHANNEL = "UC" + "a" * 21 + "Q"
ATOM, YT = "{http://www.w3.org/2005/Atom}", "{http://www.youtube.com/xml/schemas/2015}"


class Clock:
    def __init__(self, at: float = NOW) -> None:
        self.at = float(at)

    def __call__(self) -> float:
        return self.at


def video(number: int, **changes: Any) -> Video:
    plain = Video(
        id=f"video{number:05d}A",
        channel_id=CHANNEL,
        title=f"video {number}",
        published_at=NOW - 100 * (number + 1),
        duration_seconds=600,
        views=1_000 + number,
        likes=number,
    )
    return msgspec.structs.replace(plain, **changes)


def made_world(*videos: Video) -> World:
    channel = Channel(id=CHANNEL, title="Cats & <Dogs>", published_at=NOW - 10_000_000)
    return World(now=NOW, channels={CHANNEL: channel}, videos={one.id: one for one in videos}).link()


def played(world: World, *, clock: Clock | None = None, faults: Faults | None = None) -> QuartTrio:
    return create_simulator(world, clock=clock or Clock(), faults=faults or Faults(), limits=DEFAULT_LIMITS, key="demo")


async def ask(app: QuartTrio, **params: str) -> Response:
    return await app.test_client().get("/feeds/videos.xml", query_string=params)


async def document(app: QuartTrio, **params: str) -> bytes:
    reply = await ask(app, **(params or {"channel_id": CHANNEL}))
    assert reply.status_code == 200
    body = await reply.get_data()
    assert isinstance(body, bytes)
    return body


async def happen(app: QuartTrio, **event: Any) -> Response:
    return await app.test_client().post("/_simulator/events", data=json.dumps(event))


async def test_a_feed_has_the_newest_15_and_the_daemon_reads_it() -> None:
    feed = parse_feed(await document(played(made_world(*map(video, range(20))))))
    assert feed.title == "Cats & <Dogs>"
    assert [entry.video_id for entry in feed.entries] == [video(number).id for number in range(MAX_ENTRIES)]
    first = feed.entries[3]
    assert (first.channel_id, first.views, first.likes, first.published_at) == (CHANNEL, 1_003, 3, NOW - 400)


async def test_the_feed_level_ids_lack_uc_and_the_entries_do_not() -> None:
    root = ET.fromstring(await document(played(made_world(video(1)))))
    assert root.findtext(f"{YT}channelId") == CHANNEL[2:]
    assert root.findtext(f"{ATOM}id") == f"yt:channel:{CHANNEL[2:]}"
    assert root.findtext(f"{ATOM}entry/{YT}channelId") == CHANNEL


async def test_a_playlist_feed_names_the_playlist_and_the_whole_channel_id() -> None:
    playlist = "UU" + CHANNEL[2:]
    root = ET.fromstring(await document(played(made_world(video(1))), playlist_id=playlist))
    assert (root.findtext(f"{YT}playlistId"), root.findtext(f"{YT}channelId")) == (playlist, CHANNEL)


async def test_there_are_no_validators_and_a_quarter_of_an_hour_of_caching() -> None:
    headers = (await ask(played(made_world(video(1))), channel_id=CHANNEL)).headers
    assert headers["Cache-Control"] == "public, max-age=900"
    assert headers["Content-Type"] == "text/xml; charset=UTF-8"
    assert "ETag" not in headers
    assert "Last-Modified" not in headers


async def test_shorts_are_told_by_their_link_and_listed_in_their_own_playlist() -> None:
    app = played(made_world(video(1), video(2, duration_seconds=45), video(3, duration_seconds=30, live=True)))
    assert [entry.is_short for entry in parse_feed(await document(app)).entries] == [False, True, False]
    listed = {
        kind: [entry.video_id for entry in parse_feed(await document(app, playlist_id=kind + CHANNEL[2:])).entries]
        for kind in ("UUSH", "UULF", "UULV")
    }
    assert listed == {"UUSH": [video(2).id], "UULF": [video(1).id], "UULV": [video(3).id]}


async def test_a_playlist_of_an_empty_class_and_an_unknown_channel_are_404() -> None:
    app = played(made_world(video(1)))
    assert (await ask(app, playlist_id="UUSH" + CHANNEL[2:])).status_code == 404
    assert (await ask(app, channel_id="UC" + "b" * 22)).status_code == 404
    assert (await ask(app)).status_code == 400


async def test_hidden_videos_are_not_in_the_feed() -> None:
    feed = parse_feed(await document(played(made_world(video(1, hidden="private"), video(2)))))
    assert [entry.video_id for entry in feed.entries] == [video(2).id]


async def test_the_community_part_is_missing_by_switch() -> None:
    assert b"media:community" in await document(played(made_world(video(1))))
    app = played(made_world(video(1)), faults=Faults(community_missing_share=1.0))
    assert b"media:community" not in await document(app)


async def test_a_video_is_in_the_feed_only_after_the_delay_and_in_the_api_at_once() -> None:
    clock = Clock()
    app = played(made_world(video(0)), clock=clock, faults=Faults(feed_delay_seconds=300))
    assert parse_feed(await document(app)).entries == ()
    listed = await app.test_client().get(
        "/youtube/v3/playlistItems", query_string={"part": "snippet", "playlistId": "UU" + CHANNEL[2:], "key": "demo"}
    )
    assert len((await listed.get_json())["items"]) == 1
    clock.at += 300
    assert len(parse_feed(await document(app)).entries) == 1


async def test_words_that_xml_cannot_hold_do_not_break_the_feed() -> None:
    feed = parse_feed(
        await document(played(made_world(video(1, title='\x00a\ud800b "<&>" ]]>\x1f', description="\x0b"))))
    )
    assert feed.entries[0].title == 'ab "<&>" ]]>'


async def test_feeds_of_a_share_of_the_channels_are_down_for_a_time_and_the_same_ones_all_the_while() -> None:
    clock, world = Clock(), generate(200, 1)
    clock.at = world.now
    app = played(world, clock=clock)
    assert (await happen(app, kind="feeds_down", share=0.3, seconds=3_600.0)).status_code == 200

    async def failing() -> dict[str, int]:
        statuses = {one: (await ask(app, channel_id=one)).status_code for one in world.channels}
        return {one: status for one, status in statuses.items() if status != 200}

    down = await failing()
    assert 40 <= len(down) <= 80
    assert set(down.values()) == {404, 500}
    clock.at += 3_599
    assert await failing() == down
    clock.at += 1
    assert await failing() == {}


async def test_random_errors_are_404_and_500() -> None:
    app = played(made_world(video(1)), faults=Faults(feed_error_share=0.5))
    statuses = Counter([(await ask(app, channel_id=CHANNEL)).status_code for _ in range(100)])
    assert set(statuses) == {200, 404, 500}
    assert 30 <= statuses[200] <= 70


@pytest.mark.parametrize(("fault", "status"), [("unavailable", 503), ("html_error", 500), ("throttle", 429)])
async def test_the_general_faults_strike_feeds(fault: str, status: int) -> None:
    app = played(made_world(video(1)), faults=msgspec.convert({f"{fault}_share": 1.0}, Faults))
    assert (await ask(app, channel_id=CHANNEL)).status_code == status


async def test_a_post_now_leads_the_feed() -> None:
    app = played(made_world(video(1)))
    posted = (await (await happen(app, kind="post", account=CHANNEL, title="now & here")).get_json())["posted"]
    first = parse_feed(await document(app)).entries[0]
    assert ([first.video_id], first.title, first.published_at) == (posted, "now & here", NOW)


async def test_events_that_cannot_be_are_refused() -> None:
    app = played(made_world(video(1)))
    assert (await happen(app, kind="post", account="UCnobody")).status_code == 404
    assert (await happen(app, kind="delete_video", video="nothing")).status_code == 404
    assert (await happen(app, kind="explode")).status_code == 400
    assert (await happen(app, kind="kill_hub", at=5.0)).status_code == 400


async def test_switches_are_read_and_set_at_run_time() -> None:
    client = played(made_world(video(1))).test_client()
    said = await client.post("/_simulator/faults", data=json.dumps({"feed_error_share": 1.0}))
    assert (await said.get_json())["feed_error_share"] == 1.0
    assert (await client.get("/feeds/videos.xml", query_string={"channel_id": CHANNEL})).status_code in (404, 500)
    assert (await client.post("/_simulator/faults", data="{}")).status_code == 200
    assert (await client.get("/feeds/videos.xml", query_string={"channel_id": CHANNEL})).status_code == 200
    assert (await client.post("/_simulator/faults", data='{"no_such_share": 1}')).status_code == 400


async def test_each_call_to_a_feed_is_in_the_books_and_costs_nothing() -> None:
    app = played(made_world(video(1)))
    await document(app)
    await ask(app, channel_id="UCnobody")
    books = await (await app.test_client().get("/_simulator/accounting")).get_json()
    assert books["endpoints"]["feeds"] == {"asked": 2, "served": 1, "charged": 0, "refused": 0}
    assert books["errors"] == {"feedNotFound": 1}
    assert books["charged"] == {}


# the schedule

ACTIVITIES = st.sampled_from(sorted(POSTS_PER_DAY))
INSTANTS = st.floats(NOW, NOW + 90 * DAY_SECONDS)


@given(st.integers(0, 99), st.text("abc", min_size=1), ACTIVITIES, st.tuples(INSTANTS, INSTANTS, INSTANTS))
def test_a_span_holds_what_its_parts_hold(seed: int, account: str, activity: str, cuts: tuple[float, ...]) -> None:
    posting = Posting(seed)
    habit = posting.habit(account, activity)
    begin, middle, end = sorted(cuts)
    whole = posting.posts_between(habit, begin, end)
    assert whole == posting.posts_between(habit, begin, middle) + posting.posts_between(habit, middle, end)
    assert whole == Posting(seed).posts_between(habit, begin, end)
    assert all(begin <= slot.at < end for slot in whole)
    assert len({(slot.block, slot.place) for slot in whole}) == len(whole)


def test_a_burst_that_runs_over_the_edge_of_a_block_is_not_lost() -> None:
    posting, edge = Posting(1), NOW // BLOCK_SECONDS * BLOCK_SECONDS
    over = 0
    for number in range(1_000):
        habit = posting.habit(f"UC{number}", "active")
        whole = posting.posts_between(habit, edge - DAY_SECONDS, edge + DAY_SECONDS)
        after = posting.posts_between(habit, edge, edge + DAY_SECONDS)
        assert [slot for slot in whole if slot.at >= edge] == after
        over += sum(slot.block < edge // BLOCK_SECONDS for slot in after)
    assert over > 0


@pytest.mark.parametrize(("activity", "accounts"), [("active", 2_000), ("semi_active", 4_000), ("long_tail", 20_000)])
def test_accounts_post_at_the_rate_of_their_activity(activity: str, accounts: int) -> None:
    posting = Posting(1)
    habits = [posting.habit(f"UC{number}", activity) for number in range(accounts)]
    posts = sum(len(posting.posts_between(habit, NOW, NOW + 28 * DAY_SECONDS)) for habit in habits)
    assert posts / accounts / 28 == pytest.approx(POSTS_PER_DAY[activity], rel=0.15)


def test_posts_fall_in_habitual_hours_and_come_in_bursts() -> None:
    posting = Posting(2)
    usual = 0
    gaps: list[int] = []
    habits = [posting.habit(f"UC{number}", "active") for number in range(300)]
    slots = {habit: posting.posts_between(habit, NOW, NOW + 60 * DAY_SECONDS) for habit in habits}
    for habit, posts in slots.items():
        hours = {(habit.first_hour + plus) % 24 for plus in range(HABITUAL_HOURS + 2)}
        usual += sum(slot.at % DAY_SECONDS // 3_600 in hours for slot in posts)
        gaps += [later.at - earlier.at for earlier, later in itertools.pairwise(posts)]
    assert usual / sum(map(len, slots.values())) > 0.6  # 6 of 24 hours by chance: 0.25
    assert sum(gap <= 5_400 for gap in gaps) / len(gaps) > 0.2  # of half a post a day by chance: 0.03


def test_20_000_accounts_over_30_days_are_cheap() -> None:
    posting, begun = Posting(3), time.process_time()
    kinds = ["active"] * 3 + ["semi_active"] * 5 + ["long_tail"] * 12
    for number in range(20_000):
        posting.posts_between(posting.habit(f"UC{number}", kinds[number % 20]), NOW, NOW + 30 * DAY_SECONDS)
    assert time.process_time() - begun < 8


@given(st.integers(0, 2**24 - 1), st.integers(0, 2**20 - 1), st.integers(0, 2**12 - 1))
def test_an_id_tells_where_its_video_stands(channel: int, block: int, place: int) -> None:
    made = video_id_of(channel, block, place)
    assert place_of(made) == (channel, block, place)
    assert len(made) == 11
    assert made[-1] in "AEIMQUYcgkosw048"


def test_ids_look_like_nothing_in_particular() -> None:
    made = [video_id_of(channel, 0, 0) for channel in range(100)]
    assert all(len({one[place] for one in made}) > 5 for place in range(11))


@given(st.text(max_size=14))
def test_any_other_id_is_nowhere_or_somewhere_but_no_error(video_id: str) -> None:
    assert place_of(video_id) is None or len(video_id) == 11


# the living world


def living(creators: int = 60, seed: int = 5) -> tuple[PresentWorld, Clock]:
    world = generate(creators, seed)
    clock = Clock(world.now)
    return PresentWorld(world, clock, posting=Posting(seed)), clock


def test_a_living_world_begins_where_the_frozen_one_stands_and_goes_on_by_the_schedule() -> None:
    present, clock = living()
    still = PresentWorld(present.world, Clock(clock.at))
    assert all(present.videos_of(one) == still.videos_of(one) for one in present.world.channels)
    clock.at += 30 * DAY_SECONDS
    for one in present.world.channels:
        before = [video.id for video in still.videos_of(one)]
        now = [video.id for video in present.videos_of(one)]
        assert now[len(now) - len(before) :] == before
        new = present.videos_between(one, present.world.now + 1, clock.at + 1)
        assert [video.id for video in new][::-1] == now[: len(now) - len(before)]
    assert sum(len(present.videos_of(one)) - len(still.videos_of(one)) for one in present.world.channels) > 50


def test_a_scheduled_video_is_found_by_its_id_after_a_restart_and_not_before_it_is_out() -> None:
    present, clock = living()
    clock.at += 20 * DAY_SECONDS
    known = [video for one in present.world.channels for video in present.videos_of(one)[:1]]
    again, later = living()
    later.at = clock.at
    assert [again.video(video.id) for video in known] == known
    new = max(known, key=lambda video: video.published_at)
    later.at = new.published_at - 1.0
    assert again.video(new.id) is None


def test_counts_only_grow() -> None:
    present, clock = living()
    seen: dict[str, int] = {}
    for _ in range(6):
        for one in present.world.channels:
            for video in present.videos_of(one):
                assert (video.views or 0) >= seen.get(video.id, 0)
                seen[video.id] = video.views or 0
        clock.at += 3 * DAY_SECONDS
    assert maturity(0) == 0
    assert maturity(2 * DAY_SECONDS) == 0.5


def test_instagram_accounts_post_by_schedule_too() -> None:
    present, clock = living()
    before = {name: len(present.posts_of(profile)) for name, profile in present.world.profiles.items()}
    clock.at += 30 * DAY_SECONDS
    after = {name: present.posts_of(profile) for name, profile in present.world.profiles.items()}
    assert sum(map(len, after.values())) > sum(before.values())
    ids = [post.id for posts in after.values() for post in posts]
    assert len(set(ids)) == len(ids)
    assert all(posts == sorted(posts, key=lambda post: -post.taken_at) for posts in after.values())


def test_after_a_change_of_niche_the_videos_are_about_the_new_one() -> None:
    present, clock = living()
    channel = next(one for one in present.world.channels.values() if one.truth and one.truth.activity == "active")
    assert channel.truth is not None
    niche = next(one for one in Taxonomy.load().niches if one.id != channel.truth.niche and one.youtube)
    middle = clock.at + 30 * DAY_SECONDS
    present.happen(ChangeNiche(account=channel.id, niche=niche.id, at=middle))
    clock.at += 60 * DAY_SECONDS
    new = present.videos_between(channel.id, middle, clock.at)
    assert new
    assert {video.category_id for video in new} == {niche.youtube[0]}


def test_whoever_drifts_does_so_with_all_accounts_in_posts_and_bios() -> None:
    present, clock = living(200)
    world, middle = present.world, clock.at + 10 * DAY_SECONDS
    bios = {one.id: one.description for one in world.channels.values()}
    bios |= {one.id: one.biography for one in world.profiles.values()}
    changes = niche_changes(world, 1, 0.25, middle)
    people = {one.id: one.truth.person for one in world.channels.values() if one.truth}
    people |= {one.id: one.truth.person for one in world.profiles.values() if one.truth}
    drifting = {people[change.account] for change in changes}
    assert {change.account for change in changes} == {one for one, person in people.items() if person in drifting}
    assert len(drifting) / len(set(people.values())) == pytest.approx(0.25, abs=0.1)
    assert len({(people[change.account], change.niche) for change in changes}) == len(drifting)
    for change in changes:
        present.happen(change)
    assert told(present) == bios
    clock.at += 40 * DAY_SECONDS
    after = told(present)
    assert {one for one in bios if after[one] != bios[one]} == {change.account for change in changes}
    written = 0
    for change in changes:
        assert after[change.account].splitlines()[1:] == bios[change.account].splitlines()[1:]
        for video in present.videos_between(change.account, middle, clock.at):
            assert video.description.endswith(after[change.account])
            written += 1
    assert written


def told(present: PresentWorld) -> dict[str, str]:
    """The bio of every account."""
    bios = {one.id: one.description for one in present.channels()}
    return bios | {one.id: one.biography for one in present.profiles()}


def test_without_a_share_nobody_drifts() -> None:
    assert niche_changes(generate(50, 1), 1, 0.0, NOW) == []


def test_renames_deletions_and_comebacks_show_from_their_time_on() -> None:
    present, clock = living()
    channel = next(iter(present.world.channels.values()))
    day = clock.at
    for event in (
        Rename(account=channel.id, name="NewName", at=day + 10),
        Delete(account=channel.id, at=day + 20),
        Restore(account=channel.id, at=day + 30),
    ):
        present.happen(event)
    seen = []
    for at in (5, 15, 25, 35):
        clock.at = day + at
        old, new = present.channel_named(channel.handle), present.channel_named("@newname")
        seen.append((old is not None, new is not None, bool(present.videos_of(channel.id))))
    assert seen == [(True, False, True), (False, True, True), (False, False, False), (False, True, True)]


def test_edits_and_deletions_of_videos_show_from_their_time_on() -> None:
    clock = Clock()
    present = PresentWorld(made_world(video(1), video(2)), clock)
    present.happen_to_video(EditVideo(video=video(1).id, title="better", at=NOW + 5.0))
    present.happen_to_video(DeleteVideo(video=video(2).id, private=True, at=NOW + 5.0))
    assert [one.title for one in present.videos_of(CHANNEL)] == ["video 1", "video 2"]
    clock.at += 5
    assert [(one.title, one.hidden) for one in present.videos_of(CHANNEL)] == [("better", ""), ("video 2", "private")]


def test_posts_beside_the_schedule_keep_their_ids_whatever_comes_after() -> None:
    present = PresentWorld(made_world(), Clock())
    present.happen(PostNow(account=CHANNEL, title="second", at=NOW - 10.0))
    second = present.videos_of(CHANNEL)[0]
    present.happen(PostNow(account=CHANNEL, title="first", at=NOW - 20.0))
    assert [one.title for one in present.videos_of(CHANNEL)] == ["second", "first"]
    assert present.video(second.id) == second


@settings(max_examples=20)
@given(st.integers(0, 1_000))
def test_scheduled_events_are_replayable_and_nobody_returns_who_did_not_leave(seed: int) -> None:
    world = generate(40, 1)
    events = scheduled_events(world, seed, days=2)
    assert events == scheduled_events(world, seed, days=2)
    gone: set[str] = set()
    for event in events:
        assert (event.at or 0) >= world.now
        if isinstance(event, Restore):
            assert event.account in gone
        if isinstance(event, Delete):
            gone.add(event.account)


def test_a_month_brings_events_of_every_kind_to_a_share_of_the_accounts() -> None:
    world = generate(4_000, 2)
    accounts = len(world.channels) + len(world.profiles)
    kinds = Counter(type(event) for event in scheduled_events(world, 1))
    assert set(kinds) == {Rename, Delete, Restore, ChangeNiche}
    assert kinds[Rename] / accounts == pytest.approx(0.005, abs=0.003)
    assert kinds[Restore] < kinds[Delete]
