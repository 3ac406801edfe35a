"""One person, several accounts, through the front door: found, told apart, put together and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flow.processes import Daemon, Simulator, environment, run_cli, simulator

CREATORS = 24


@pytest.fixture(scope="module")
def world() -> Iterator[Simulator]:
    with simulator("--creators", str(CREATORS), "--seed", "5") as running:
        yield running


def import_everybody(world: Simulator, data: Path, env: dict[str, str]) -> None:
    listing = data.parent / "everybody.csv"
    channels = world.get("/_simulator/accounts?platform=youtube")
    profiles = world.get("/_simulator/accounts?platform=instagram&names=1")
    listing.write_text("account\n" + "\n".join([*channels, *(f"instagram:{name}" for name in profiles)]))
    done = run_cli("import", str(listing), "--data-dir", str(data), env=env)
    assert done.returncode == 0, done.stderr


def hits(daemon: Daemon, query: str) -> list[dict[str, Any]]:
    return [hit["creator"] for hit in daemon.get("/v1/search", q=query, limit=50).json()["hits"]]


def everybody(daemon: Daemon) -> list[dict[str, Any]]:
    return hits(daemon, "")


def keys(creator: dict[str, Any]) -> list[str]:
    return sorted(f"{one['platform']}:{one['platform_user_id']}" for one in creator["accounts"])


def ctl(data: Path, env: dict[str, str], *arguments: str) -> str:
    done = run_cli("ctl", *arguments, "--data-dir", str(data), env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_accounts_of_one_person_are_one_creator_until_an_operator_says_otherwise(
    world: Simulator, tmp_path: Path
) -> None:
    env, data = environment(world), tmp_path / "data"
    import_everybody(world, data, env)
    with Daemon(data, env) as daemon:
        counts = daemon.wait_until_done()["counts"]
        assert counts["accounts"] > counts["creators"] >= CREATORS
        found = everybody(daemon)
        assert len(found) == counts["creators"]
        shown = [key for creator in found for key in keys(creator)]
        assert len(shown) == len(set(shown)) == counts["accounts"], "an account shows twice, or not at all"
        twin = next(creator for creator in found if len(creator["accounts"]) == 2)
        channel, profile = reversed(keys(twin))
        why = daemon.get(f"/v1/creators/{twin['creator_id']}/identity").json()
        assert {one["decided_by"] for one in why["accounts"]} == {"rule"}
        assert any(part["kind"] == "handle" for one in why["accounts"] for part in one["evidence"])
        before = daemon.get(f"/v1/creators/{twin['creator_id']}").json()["creator"]

        assert "two people" in ctl(data, env, "split", profile)
        after = daemon.wait_until_done()["counts"]
        assert after["creators"] == counts["creators"] + 1
        parts = [creator for creator in everybody(daemon) if {channel, profile} & set(keys(creator))]
        assert [len(creator["accounts"]) for creator in parts] == [1, 1]
        ids = {creator["creator_id"] for creator in parts}
        assert twin["creator_id"] in ids
        (parted,) = ids - {twin["creator_id"]}

        assert "one person" in ctl(data, env, "merge", twin["creator_id"], parted)
        daemon.wait_until_done()
        assert daemon.get("/readyz").json()["counts"]["creators"] == counts["creators"]
        moved = daemon.get(f"/v1/creators/{parted}")
        assert moved.status_code == 307
        assert moved.headers["location"] == f"/v1/creators/{twin['creator_id']}"
        assert daemon.get(f"/creators/{parted}").status_code == 307
        again = daemon.get(f"/v1/creators/{twin['creator_id']}").json()["creator"]
        assert again["identity_confidence"] == 1.0
        assert {name: again[name] for name in ("accounts", "total_followers", "primary_niche", "enrichment")} == {
            name: before[name] for name in ("accounts", "total_followers", "primary_niche", "enrichment")
        }
        assert daemon.terminate() == 0
    with Daemon(data, env) as daemon:  # the indexes are read from disk
        daemon.wait_until_done()
        shown = [key for creator in everybody(daemon) for key in keys(creator)]
        assert len(shown) == len(set(shown)) == counts["accounts"]
        assert keys(hits(daemon, profile.partition(":")[2])[0]) == [profile, channel]
        assert daemon.terminate() == 0


def test_whoever_is_forgotten_stays_gone_while_the_other_account_goes_on(world: Simulator, tmp_path: Path) -> None:
    env, data = environment(world), tmp_path / "data"
    import_everybody(world, data, env)
    with Daemon(data, env) as daemon:
        counts = daemon.wait_until_done()["counts"]
        twin = next(creator for creator in everybody(daemon) if len(creator["accounts"]) == 2)
        channel, profile = reversed(keys(twin))
        done = run_cli("forget", channel, "--data-dir", str(data), env=env)
        assert done.returncode == 0, done.stderr
        after = daemon.wait_until_done()["counts"]
        assert (after["accounts"], after["creators"]) == (counts["accounts"] - 1, counts["creators"])
        left = [creator for creator in everybody(daemon) if profile in keys(creator)]
        assert [keys(creator) for creator in left] == [[profile]]
        shown = [key for creator in everybody(daemon) for key in keys(creator)]
        assert channel not in shown
        assert len(shown) == len(set(shown)) == after["accounts"]
        refused = run_cli("ctl", "merge", channel, profile, "--data-dir", str(data), env=env)
        assert refused.returncode != 0
        assert "no such account or creator" in refused.stdout + refused.stderr
        assert daemon.terminate() == 0


def test_wrong_words_are_refused_with_what_is_expected(world: Simulator, tmp_path: Path) -> None:
    env, data = environment(world), tmp_path / "data"
    import_everybody(world, data, env)
    with Daemon(data, env) as daemon:
        daemon.wait_until_done()
        alone = next(creator for creator in everybody(daemon) if len(creator["accounts"]) == 1)
        (key,) = keys(alone)
        for arguments, complaint in (
            (("split", key), "the only account of its creator"),
            (("accept", key, key), "one account"),
            (("merge", key), "expected 2 to 20"),
            (("reject", key, "@nobody.at.all"), "no such account"),
        ):
            done = run_cli("ctl", *arguments, "--data-dir", str(data), env=env)
            assert done.returncode != 0
            assert complaint in done.stdout + done.stderr
        assert "pairs wait" in ctl(data, env, "review")
        assert daemon.get("/v1/reviews", cursor="xyz").status_code == 400
        assert daemon.get("/v1/creators/12/identity").status_code == 404
        assert daemon.terminate() == 0
