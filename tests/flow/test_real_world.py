"""The real channels through the YouTube API over a socket: all of them, all their videos, and each found by its title."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.flow.processes import Daemon, environment, import_world, simulator, stored_content

pytestmark = pytest.mark.shared


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


class Expected:
    """Counted from the files, independently of how the simulator reads them."""

    def __init__(self, folder: Path) -> None:
        self.titles: dict[str, str] = {}
        self.videos: defaultdict[str, set[str]] = defaultdict(set)
        titled_at: dict[str, str] = {}
        newest: dict[str, tuple[str, str]] = {}
        for row in rows(folder / "youtube_channels.jsonl.gz"):
            channel = row.get("channel_id") or row.get("url", "").partition("/channel/")[2].split("/")[0]
            if channel:
                self.titles[channel] = row.get("title") or self.titles.get(channel, "")
        for row in rows(folder / "youtube_videos_trending_desc.jsonl.gz"):
            if not row.get("channel_id") or not row.get("video_id"):
                continue
            channel, video = row["channel_id"], row["video_id"]
            if video == "#NAME?":  # a spreadsheet took the dash for a formula
                video = row["thumbnail_link"].split("/vi/")[1].split("/")[0]
            if video not in newest or row["trending_date"] >= newest[video][0]:
                newest[video] = (row["trending_date"], channel)
            if row["trending_date"] >= titled_at.get(channel, ""):
                titled_at[channel] = row["trending_date"]
                self.titles[channel] = row.get("channel_title") or self.titles.get(channel, "")
        for video, (_, channel) in newest.items():
            self.videos[channel].add(video)
        self.titles = {channel: title or channel for channel, title in self.titles.items()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[tuple[Daemon, Expected, Path]]:
    folder = tmp_path_factory.mktemp("real")
    with simulator("--world", str(shared_data)) as sim:
        env = environment(sim)
        import_world(sim, folder / "data", env)
        with Daemon(folder / "data", env) as daemon:
            daemon.wait_until_done(patience_seconds=900)
            yield daemon, Expected(shared_data), folder / "data"


def test_every_channel_is_one_creator_and_found_by_its_title(world: tuple[Daemon, Expected, Path]) -> None:
    daemon, expected, _ = world
    counts = daemon.get("/readyz").json()["counts"]
    assert counts["creators"] == counts["accounts"] == len(expected.titles)
    ranks = known_item_ranks(daemon, expected.titles)
    first = sum(rank == 1 for rank in ranks.values()) / len(ranks)
    top10 = sum(rank > 0 for rank in ranks.values()) / len(ranks)
    foreign = [rank for channel, rank in ranks.items() if not expected.titles[channel].isascii()]
    foreign_first = sum(rank == 1 for rank in foreign) / len(foreign)
    print(
        f"known item over {len(ranks)} channels: rank 1 {first:.4f}, top 10 {top10:.4f}; not ASCII ({len(foreign)}): {foreign_first:.4f}"
    )
    assert first >= 0.95
    assert top10 >= 0.99
    assert foreign_first >= 0.95


def known_item_ranks(daemon: Daemon, titles: dict[str, str]) -> dict[str, int]:
    """By channel: the rank of the channel in the answer to its own title, 0 when it is not among ten."""
    ranks: dict[str, int] = {}
    with httpx2.Client(base_url=daemon.url, trust_env=False, timeout=30) as client:
        for channel, title in titles.items():
            answer = client.get("/v1/search", params={"q": title, "limit": 10, "explain": "false"}).json()
            found = [account["platform_user_id"] for hit in answer["hits"] for account in hit["creator"]["accounts"]]
            ranks[channel] = found.index(channel) + 1 if channel in found else 0
    return ranks


def test_every_video_is_stored_once_under_its_channel(world: tuple[Daemon, Expected, Path]) -> None:
    daemon, expected, data_dir = world
    assert daemon.terminate() == 0
    stored = stored_content(data_dir)
    twice = [
        video for video, count in Counter(video for videos in stored.values() for video in videos).items() if count > 1
    ]
    assert twice == []
    missing = {channel: videos - set(stored.get(channel, ())) for channel, videos in expected.videos.items()}
    assert not any(missing.values())
    assert sum(map(len, stored.values())) == sum(map(len, expected.videos.values()))
    print(f"{sum(map(len, stored.values()))} videos of {len(stored)} channels, 0 missing, 0 twice")
