from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from daemon.simulator.files import CHANNELS, POSTS, PROFILES, VIDEOS, load_world
from daemon.simulator.world import World
from proto.errors import Malformed

CHANNEL = {"channel_id": "UC" + "a" * 21 + "A", "title": "Ann"}
VIDEO = {
    "channel_id": CHANNEL["channel_id"],
    "channel_title": "Ann",
    "video_id": "v" * 10 + "A",
    "title": "One",
    "published_at": "2020-08-11T19:20:14Z",
    "trending_date": "2020-08-12",
    "view_count": 10,
    "likes": 0,
    "comment_count": 0,
}


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def video_rows(folder: Path) -> list[dict[str, Any]]:
    """With the ids that a spreadsheet spoilt taken from the thumbnails."""
    found = rows(folder / VIDEOS)
    for row in found:
        if row["video_id"].startswith("#"):
            row["video_id"] = row["thumbnail_link"].split("/")[-2]
    return found


def write(path: Path, *lines: object) -> Path:
    """Lines as they stand, anything else as JSON."""
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in raw)))
    return path


@pytest.fixture(scope="module")
def world(shared_data: Path) -> World:
    return load_world([shared_data])


def test_every_channel_with_an_id_is_there_once(world: World, shared_data: Path) -> None:
    stated = [
        row.get("channel_id") or row.get("url", "").partition("/channel/")[2] for row in rows(shared_data / CHANNELS)
    ]
    expected = {one.split("/")[0].split("?")[0] for one in stated if one}
    expected |= {row["channel_id"] for row in video_rows(shared_data)}
    assert set(world.channels) == expected


def test_every_video_is_there_once_and_every_observation_of_it(world: World, shared_data: Path) -> None:
    observed = Counter(row["video_id"] for row in video_rows(shared_data))
    assert set(world.videos) == set(observed)
    assert {one: 1 + len(video.history) for one, video in world.videos.items()} == dict(observed)


def test_every_video_is_listed_once_by_a_channel_its_rows_name(world: World, shared_data: Path) -> None:
    expected = {(row["channel_id"], row["video_id"]) for row in video_rows(shared_data)}
    listed = [(channel.id, one) for channel in world.channels.values() for one in channel.videos]
    assert set(listed) <= expected
    assert Counter(video for _, video in listed) == Counter({video for _, video in expected})


def test_the_newest_row_of_a_video_is_its_present_state(world: World, shared_data: Path) -> None:
    newest: dict[str, list[dict[str, Any]]] = {}
    for row in video_rows(shared_data):
        kept = newest.setdefault(row["video_id"], [])
        if kept and row["trending_date"] > kept[0]["trending_date"]:
            kept.clear()
        if not kept or row["trending_date"] == kept[0]["trending_date"]:
            kept.append(row)
    assert all(world.videos[one].views in {row["view_count"] for row in kept} for one, kept in newest.items())


def test_every_username_of_both_files_is_a_profile(world: World, shared_data: Path) -> None:
    listed = {row["username"] for row in rows(shared_data / PROFILES)}
    posters = {row["username"]: row.get("list_username", "") for row in rows(shared_data / POSTS)}
    renamed = {old for new, old in posters.items() if old in listed - set(posters) and new not in listed}
    assert set(world.profiles) == (listed | set(posters)) - renamed
    assert all(profile.username == username for username, profile in world.profiles.items())
    assert len(world.profiles) == len({profile.id for profile in world.profiles.values()}) == 15_207


def test_every_post_is_with_its_author_once(world: World, shared_data: Path) -> None:
    expected = Counter(row["username"] for row in rows(shared_data / POSTS))
    assert {one.username: len(one.posts) for one in world.profiles.values() if one.posts} == dict(expected)
    ids = [post.id for profile in world.profiles.values() for post in profile.posts]
    assert len(ids) == len(set(ids))


def test_captions_are_kept_as_written(world: World, shared_data: Path) -> None:
    expected = Counter(row.get("caption", "") for row in rows(shared_data / POSTS))
    assert Counter(post.caption for one in world.profiles.values() for post in one.posts) == expected


def test_posts_are_of_the_kinds_that_the_files_state(world: World, shared_data: Path) -> None:
    albums = sum(
        row.get("media_typename") == "GraphSidecar" or row.get("media_type") == 8 for row in rows(shared_data / POSTS)
    )
    hidden = sum((row.get("like_count") or 0) < 0 for row in rows(shared_data / POSTS))
    posts = [post for profile in world.profiles.values() for post in profile.posts]
    assert sum(post.media_type == "CAROUSEL_ALBUM" for post in posts) == albums > 0
    assert sum(post.likes is None for post in posts) >= hidden > 0
    assert all(post.likes is None or post.likes >= 0 for post in posts)


def test_now_is_the_newest_date_of_the_files(world: World) -> None:
    instants = [video.published_at for video in world.videos.values()]
    instants += [post.taken_at for profile in world.profiles.values() for post in profile.posts]
    assert world.now >= max(instants)


def test_two_folders_make_one_world_without_doubles(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / CHANNELS, CHANNEL)
        write(tmp_path / name / POSTS, {"username": "ann", "media_id": "1", "taken_at": 1_600_000_000, "caption": "x"})
    write(tmp_path / "two" / VIDEOS, VIDEO)
    world = load_world([tmp_path / "one", tmp_path / "two"])
    assert [channel.videos for channel in world.channels.values()] == [[VIDEO["video_id"]]]
    assert [len(profile.posts) for profile in world.profiles.values()] == [1]


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")])
def test_a_video_of_two_folders_is_as_its_newest_row_says(tmp_path: Path, order: tuple[str, str]) -> None:
    newer = VIDEO | {"trending_date": "2020-08-14", "view_count": 30, "title": "Two", "channel_title": "Newer"}
    for name, video in (("old", VIDEO | {"channel_title": "Older"}), ("new", newer)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / VIDEOS, video)
    world = load_world([tmp_path / name for name in order])
    (kept,), (channel,) = world.videos.values(), world.channels.values()
    assert (kept.title, kept.views, [views for _, views in kept.history]) == ("Two", 30, [10])
    assert (channel.title, channel.videos) == ("Newer", [kept.id])


def test_posts_without_an_id_are_told_apart_by_author_and_time(tmp_path: Path) -> None:
    posts = [{"username": name, "taken_at": f"2022-05-03 14:59:{second}"} for name in ("a", "b") for second in (20, 21)]
    write(tmp_path / POSTS, *posts, posts[0])
    world = load_world([tmp_path])
    assert len({post.id for profile in world.profiles.values() for post in profile.posts}) == 4
    assert sum(len(profile.posts) for profile in world.profiles.values()) == 4


def test_switched_off_counts_are_unknown_and_true_zeros_stay(tmp_path: Path) -> None:
    closed = VIDEO | {"video_id": "w" * 10 + "A", "ratings_disabled": True, "comments_disabled": True}
    write(tmp_path / VIDEOS, VIDEO, closed)
    found = load_world([tmp_path]).videos
    assert [(video.likes, video.comments) for video in found.values()] == [(0, 0), (None, None)]


def test_one_user_id_under_two_names_is_one_profile(tmp_path: Path) -> None:
    post = {"username": "old", "user_id": "5", "media_id": "1", "taken_at": 1_600_000_000}
    write(tmp_path / POSTS, post, post | {"username": "new", "media_id": "2"})
    world = load_world([tmp_path])
    assert [(one.id, len(one.posts)) for one in world.profiles.values()] == [("5", 2)]


@pytest.mark.parametrize("name", [CHANNELS, VIDEOS, PROFILES, POSTS])
@pytest.mark.parametrize(
    "broken",
    [b'{"title": "br', b"[1]", b"null", b"\xff\xfe", b'{"username": "caf\xe9"}', b'{"a":' + b"[" * 100_000],
    ids=["cut off", "a list", "null", "no text", "latin-1", "too deep"],
)
def test_a_broken_line_is_named_by_file_and_line(tmp_path: Path, name: str, broken: bytes) -> None:
    path = write(tmp_path / name, {}, {}, broken, {})
    with pytest.raises(Malformed, match=f"{path}, line 3: "):
        load_world([tmp_path])


@pytest.mark.parametrize("keep", [3, 20, -12, -4])
def test_a_cut_gzip_file_is_named(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / CHANNELS, *[CHANNEL | {"title": str(number)} for number in range(1_000)])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(Malformed, match=f"{path}: not a whole gzip file"):
        load_world([tmp_path])


def test_a_file_that_is_no_gzip_is_named(tmp_path: Path) -> None:
    (tmp_path / PROFILES).write_text('{"username": "plain"}\n')
    with pytest.raises(Malformed, match=f"{tmp_path / PROFILES}: not a whole gzip file"):
        load_world([tmp_path])


def test_a_folder_without_any_of_the_files_is_named_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match=f"{tmp_path}: no world here") as caught:
        load_world([tmp_path])
    assert all(name in str(caught.value) for name in (CHANNELS, VIDEOS, PROFILES, POSTS))


def test_a_missing_file_is_an_empty_set_and_blank_lines_are_nothing(tmp_path: Path) -> None:
    write(tmp_path / CHANNELS, b"", CHANNEL, b"  ")
    world = load_world([tmp_path])
    assert [channel.title for channel in world.channels.values()] == ["Ann"]
    assert not world.profiles
