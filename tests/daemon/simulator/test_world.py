from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import msgspec
import pytest

from daemon.simulator.generator import ACTIVITIES, DAY_SECONDS, FUTURE_DAYS, NOW, TONGUES, TWIN_SHARE, generate
from daemon.simulator.world import World

CREATORS = 400
CHANNEL_ID = re.compile(r"UC[A-Za-z0-9_-]{21}[AQgw]")
VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{10}[AEIMQUYcgkosw048]")
SCRIPTS = ("LATIN", "CYRILLIC", "HANGUL", "CJK", "HIRAGANA", "DEVANAGARI", "ARABIC")
DIGEST = (
    "import hashlib, msgspec; from daemon.simulator.generator import generate;"
    "print(hashlib.sha256(msgspec.json.encode(generate(20, 5))).hexdigest())"
)


@pytest.fixture(scope="module")
def world() -> World:
    return generate(CREATORS, seed=3)


def encoded(world: World) -> bytes:
    return msgspec.json.encode(world)


def twins(world: World) -> dict[str, str]:
    """Username by channel id, of the creators on both platforms."""
    usernames = {profile.truth.person: profile.username for profile in world.profiles.values() if profile.truth}
    return {
        channel.id: usernames[channel.truth.person]
        for channel in world.channels.values()
        if channel.truth and channel.truth.person in usernames
    }


def test_the_same_seed_makes_the_same_world_in_another_process() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", DIGEST],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == hashlib.sha256(encoded(generate(20, 5))).hexdigest()


def test_another_seed_makes_other_accounts() -> None:
    one, other = generate(20, 5), generate(20, 6)
    assert not one.channels.keys() & other.channels.keys()
    assert not one.videos.keys() & other.videos.keys()


@pytest.mark.parametrize("size", [0, 1, 7, 100])
def test_a_world_has_as_many_channels_as_asked_for(size: int) -> None:
    made = generate(size, 1)
    assert len(made.channels) == size
    assert made.now == NOW


def test_a_larger_world_begins_with_the_smaller_one() -> None:
    small, large = generate(10, 1), generate(30, 1)
    assert list(large.channels.values())[:10] == list(small.channels.values())
    assert all(large.videos[one] == video for one, video in small.videos.items())


def test_ids_have_the_shapes_of_the_platform(world: World) -> None:
    assert all(CHANNEL_ID.fullmatch(one) for one in world.channels)
    assert all(VIDEO_ID.fullmatch(one) for one in world.videos)
    assert all(profile.id.isdecimal() and not profile.synthetic_id for profile in world.profiles.values())


def test_keys_are_the_ids_and_no_two_accounts_share_one(world: World) -> None:
    assert all(key == channel.id for key, channel in world.channels.items())
    assert all(key == profile.username for key, profile in world.profiles.items())
    assert len({profile.id for profile in world.profiles.values()}) == len(world.profiles)
    assert len({channel.handle.casefold() for channel in world.channels.values()}) == CREATORS


def test_every_video_is_listed_once_by_its_own_channel_newest_first(world: World) -> None:
    listed = [one for channel in world.channels.values() for one in channel.videos]
    assert sorted(listed) == sorted(world.videos)
    for channel in world.channels.values():
        videos = [world.videos[one] for one in channel.videos]
        assert all(video.channel_id == channel.id for video in videos)
        assert videos == sorted(videos, key=lambda video: -video.published_at)


def test_no_video_is_older_than_its_channel(world: World) -> None:
    assert all(
        video.published_at > (world.channels[video.channel_id].published_at or 0) for video in world.videos.values()
    )


def test_creators_speak_every_language_in_its_script(world: World) -> None:
    truths = [channel.truth for channel in world.channels.values() if channel.truth]
    assert {truth.language for truth in truths} == {tongue.code for tongue in TONGUES}
    letters = {letter for channel in world.channels.values() for letter in channel.title if letter.isalpha()}
    scripts = {unicodedata.name(letter).split()[0] for letter in letters}
    assert scripts >= set(SCRIPTS)


def test_a_name_is_in_the_script_of_the_creators_language(world: World) -> None:
    starts = {"ru": "CYRILLIC", "ko": "HANGUL", "hi": "DEVANAGARI", "ar": "ARABIC"}
    for channel in world.channels.values():
        assert channel.truth
        expected = starts.get(channel.truth.language)
        if expected:
            assert unicodedata.name(channel.title[0]).startswith(expected), channel.title


def test_some_creators_have_a_twin_account_that_shares_their_truth(world: World) -> None:
    found = twins(world)
    assert len(found) == pytest.approx(CREATORS * TWIN_SHARE, rel=0.25)
    for channel_id, username in found.items():
        assert world.channels[channel_id].truth == world.profiles[username].truth


def test_only_twins_link_to_instagram_and_not_all_of_them_do(world: World) -> None:
    found = twins(world)
    linked = set()
    for channel in world.channels.values():
        link = re.search(r"instagram\.com/([^/\s]+)/", channel.description)
        if link:
            assert link[1] == found[channel.id]
            linked.add(channel.id)
    assert 0 < len(linked) < len(found)


def test_some_profiles_belong_to_nobody_on_youtube(world: World) -> None:
    assert len(world.profiles) > len(twins(world))


@pytest.mark.parametrize(("name", "share", "youngest", "oldest"), ACTIVITIES)
def test_the_newest_upload_is_as_old_as_the_activity_says(
    world: World, name: str, share: float, youngest: float, oldest: float
) -> None:
    channels = [one for one in world.channels.values() if one.truth and one.truth.activity == name]
    assert len(channels) == pytest.approx(CREATORS * share, rel=0.35)
    for channel in channels:
        out = [world.videos[one].published_at for one in channel.videos if world.videos[one].published_at <= NOW]
        age_days = (NOW - max(out)) / DAY_SECONDS
        assert youngest - 0.001 <= age_days <= oldest + 0.001


def test_only_active_creators_have_uploads_to_come(world: World) -> None:
    to_come = [video for video in world.videos.values() if video.published_at > NOW]
    assert to_come
    for video in to_come:
        truth = world.channels[video.channel_id].truth
        assert truth and truth.activity == "active"
        assert video.published_at < NOW + FUTURE_DAYS * DAY_SECONDS


def test_the_platforms_oddities_all_occur(world: World) -> None:
    videos, channels = world.videos.values(), world.channels.values()
    assert {video.hidden for video in videos} == {"", "private", "deleted"}
    assert any(video.likes is None for video in videos)
    assert any(video.comments is None for video in videos)
    assert {channel.hidden_as_zero for channel in channels if channel.subscribers is None} == {True, False}
    assert {bool(channel.country) for channel in channels} == {True, False}
