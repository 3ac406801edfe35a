"""Instagram handles in real video descriptions, most of which lost their newlines."""

from __future__ import annotations

import collections
import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.extraction import emails, handles, links

pytestmark = pytest.mark.shared


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def is_even(channel_id: str) -> bool:
    """The rules were tuned on the odd channels only."""
    return hashlib.blake2b(channel_id.encode(), digest_size=1).digest()[0] % 2 == 0


def instagram(texts: set[str]) -> set[str]:
    return {one.handle for text in texts for one in handles(text) if one.platform == "instagram"}


@pytest.fixture(scope="module")
def descriptions(shared_data: Path) -> dict[str, set[str]]:
    """Channel id to the texts of its videos."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for row in rows(shared_data / "youtube_videos_trending_desc.jsonl.gz"):
        found[row["channel_id"]].add(row.get("description", ""))
    return found


def of_source(shared_data: Path, source: str) -> list[dict[str, Any]]:
    return [row for row in rows(shared_data / "cross_platform_links.jsonl.gz") if row["source"] == source]


def test_handles_in_video_descriptions_are_right(shared_data: Path, descriptions: dict[str, set[str]]) -> None:
    """Recall counts links; precision counts handles, and is low where the origin listed only a text's first ten."""
    links_seen = [row for row in of_source(shared_data, "kaggle_trending_desc") if is_even(row["youtube_channel_id"])]
    right = found = supported = 0
    for row in links_seen:
        got = instagram(descriptions[row["youtube_channel_id"]])
        right += row["instagram_handle"] in got
        found += len(got)
        supported += len(got & {one["handle"] for one in row["handle_support"]})
    print(f"\n{right}/{len(links_seen)} links right: {right / len(links_seen):.4f}")
    print(f"{supported}/{found} extracted handles known at the origin: {supported / found:.4f}")
    assert len(links_seen) > 400
    assert right / len(links_seen) >= 0.95
    assert supported / found >= 0.92


def test_handles_in_channel_descriptions_are_right(shared_data: Path) -> None:
    links_seen = of_source(shared_data, "schellingerhout2022")
    right = sum(row["instagram_handle"] in instagram({row.get("description", "")}) for row in links_seen)
    print(f"\n{right}/{len(links_seen)} links right: {right / len(links_seen):.4f}")
    assert right / len(links_seen) >= 0.95


def test_addresses_and_links_of_channel_descriptions_are_plain(shared_data: Path) -> None:
    texts = [row.get("description") or "" for row in rows(shared_data / "youtube_channels.jsonl.gz")]
    addresses = [one for text in texts for one in emails(text)]
    found = [one for text in texts for one in links(text)]
    assert len(addresses) > 300
    assert len(found) > 2500
    assert all(one.isascii() and one == one.strip(".") for one in addresses)
    assert all(len(one) < 2100 and " " not in one for one in found)
