"""The real Instagram accounts through Business Discovery over a socket: each arrives once, with all its posts."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flow.processes import Daemon, environment, run_cli, simulator, stored_content

pytestmark = pytest.mark.shared
SEED = 20_261_123


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def posts_by_name(folder: Path) -> Counter[str]:
    """Every account of the files by its newest handle → how many posts, counted independently of the simulator."""
    listed = {row["username"] for row in rows(folder / "instagram_accounts.jsonl.gz")}
    posts, older = Counter[str](), dict[str, str]()
    for row in rows(folder / "instagram_posts.jsonl.gz"):
        posts[row["username"]] += 1
        older[row["username"]] = row.get("list_username", "")
    renamed = {old for new, old in older.items() if old in listed and old not in posts and new not in listed}
    for name in listed - renamed:
        posts[name] += 0
    return posts


def check(names: list[str], posts: Counter[str], folder: Path, shared_data: Path) -> None:
    listing, data = folder / "names.csv", folder / "data"
    listing.write_text("account\n" + "\n".join(f"instagram:{name}" for name in names))
    with simulator("--world", str(shared_data)) as sim:
        env = environment(sim)
        done = run_cli("import", str(listing), "--data-dir", str(data), env=env)
        assert done.returncode == 0, done.stderr
        with Daemon(data, env) as daemon:
            counts = daemon.wait_until_done(patience_seconds=900)["counts"]
            assert counts["creators"] == counts["accounts"] == len(names)
            known = random.Random(SEED).sample(names, 50)
            found = sum(name in first_handles(daemon, name) for name in known)
            assert daemon.terminate() == 0
        books = sim.get("/_simulator/accounting")
    stored = stored_content(data)
    assert sum(map(len, stored.values())) == sum(posts[name] for name in names)
    twice = [one for one, count in Counter(one for ids in stored.values() for one in ids).items() if count > 1]
    assert twice == []
    calls = books["calls"]["business_discovery"]
    print(
        f"{len(names)} profiles, {sum(map(len, stored.values()))} posts, {calls} calls; {found} of 50 found by handle"
    )
    assert calls <= len(names) * 1.05
    assert found == 50


def first_handles(daemon: Daemon, name: str) -> list[str]:
    """With its mark, since three other accounts of the files are named "Jess", and one has that handle."""
    hits = daemon.get("/v1/search", q=f"@{name}", limit=1).json()["hits"]
    return [account["handle"] for hit in hits for account in hit["creator"]["accounts"]]


def test_profiles_arrive_once_with_all_their_posts(tmp_path: Path, shared_data: Path) -> None:
    posts = posts_by_name(shared_data)
    most = [name for name, _ in posts.most_common(5)]  # these take more than one page
    names = sorted({*most, *random.Random(SEED).sample(sorted(posts), 1_000)})
    check(names, posts, tmp_path, shared_data)


@pytest.mark.long
def test_every_profile_of_the_files_arrives(tmp_path: Path, shared_data: Path) -> None:
    posts = posts_by_name(shared_data)
    assert len(posts) == 15_207
    check(sorted(posts), posts, tmp_path, shared_data)
