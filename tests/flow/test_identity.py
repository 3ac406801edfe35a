"""One person, several accounts, through the front door: found, told apart, put together and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.flow.processes import Daemon, Simulator, environment, run_cli, simulator, wait_for

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
    answer = daemon.get("/v1/search", q=query, limit=100)
    return [hit["creator"] for hit in answer.json()["hits"]] if answer.status_code == 200 else []


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

        said = ctl(data, env, "accept", channel, profile)
        assert "one person" in said
        assert "in place of the opposite" in said
        daemon.wait_until_done()
        assert "two people" in ctl(data, env, "reject", channel, profile)
        daemon.wait_until_done()
        assert "one person" in ctl(data, env, "merge", twin["creator_id"], parted)
        daemon.wait_until_done()
        assert daemon.get("/readyz").json()["counts"]["creators"] == counts["creators"]
        moved = daemon.get(f"/v1/creators/{parted}")
        assert moved.status_code == 307
        assert moved.headers["location"] == f"/v1/creators/{twin['creator_id']}"
        assert daemon.get(f"/creators/{parted}").status_code == 307
        for part in ("schedule", "identity"):
            moved = daemon.get(f"/v1/creators/{parted}/{part}")
            assert moved.status_code == 307
            assert moved.headers["location"] == f"/v1/creators/{twin['creator_id']}/{part}"
        again = daemon.get(f"/v1/creators/{twin['creator_id']}").json()["creator"]
        assert again["identity_confidence"] == 1.0
        pinned = ctl(data, env, "accept", channel, profile)
        assert "one person" in pinned, "who is one creator already may be kept so by a word"
        reviews = daemon.get("/v1/reviews", limit=1).json()
        assert len(reviews["pairs"]) <= 1
        assert daemon.get("/v1/reviews", limit="many").status_code == 400
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
        twin, another = [creator for creator in everybody(daemon) if len(creator["accounts"]) == 2][:2]
        channel, profile = reversed(keys(twin))
        refused = run_cli("forget", twin["creator_id"], "--data-dir", str(data), env=env)
        assert refused.returncode != 0
        assert f"{profile} and {channel}" in refused.stderr
        done = run_cli("forget", channel, "--data-dir", str(data), env=env)
        assert done.returncode == 0, done.stderr
        assert f"other accounts stay: {profile}" in done.stdout
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
        whole = run_cli("forget", *keys(another), "--data-dir", str(data), env=env)
        assert (whole.returncode, "other accounts stay" in whole.stdout) == (0, False), whole.stdout
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
            (("merge", key, "2"), "of an account: '2'; expected the id of a creator as searches show it"),
            (("reject", key, "@nobody.at.all"), "no such account"),
        ):
            done = run_cli("ctl", *arguments, "--data-dir", str(data), env=env)
            assert done.returncode != 0
            assert complaint in done.stdout + done.stderr
        assert "pairs wait" in ctl(data, env, "review")
        assert daemon.get("/v1/reviews", cursor="xyz").status_code == 400
        assert daemon.get("/v1/creators/12/identity").status_code == 404
        assert daemon.terminate() == 0


def happen(world: Simulator, kind: str, account: str, **fields: str) -> None:
    body = {"kind": kind, "account": account, **fields}
    httpx2.post(f"{world.url}/_simulator/events", json=body, trust_env=False).raise_for_status()


def link_each_other(world: Simulator, channel: str, profile: dict[str, Any]) -> None:
    happen(world, "change_bio", channel, text=f"On Instagram: https://www.instagram.com/{profile['handle']}")
    happen(world, "change_bio", profile["platform_user_id"], text=f"https://www.youtube.com/channel/{channel}")


def whose(daemon: Daemon, account: str) -> list[str]:
    return next((keys(creator) for creator in everybody(daemon) if account in keys(creator)), [])


def test_creators_follow_renames_a_handle_that_is_taken_over_and_links_that_change(tmp_path: Path) -> None:
    with simulator("--creators", "95", "--seed", "6") as world:
        env, data = environment(world), tmp_path / "data"
        import_everybody(world, data, env)
        with Daemon(data, env) as daemon:
            daemon.wait_until_done()
            alone = [creator["accounts"][0] for creator in everybody(daemon) if len(creator["accounts"]) == 1]
            assert daemon.terminate() == 0
        channels = [one["platform_user_id"] for one in alone if one["platform"] == "youtube"][:4]
        profiles = [one for one in alone if one["platform"] == "instagram"][:4]
        renamed, robbed, left, joined = channels
        for channel, profile in zip([renamed, robbed, left], profiles, strict=False):
            link_each_other(world, channel, profile)
        ids = [f"instagram:{one['platform_user_id']}" for one in profiles]
        with Daemon(data, env | later(world, 29)) as daemon:
            for channel, profile in zip([renamed, robbed, left], ids, strict=False):
                wait_for(partial(are_one, daemon, profile, f"youtube:{channel}"), "the creator of two")
            assert daemon.terminate() == 0

        happen(world, "rename", renamed, name="quiteanothername")
        happen(world, "rename", profiles[1]["platform_user_id"], name="moved.away")
        happen(world, "rename", profiles[3]["platform_user_id"], name=profiles[1]["handle"])
        link_each_other(world, joined, profiles[2])
        news = {(f"youtube:{renamed}", "quiteanothername"), (ids[3], profiles[1]["handle"])}
        with Daemon(data, env | later(world, 58)) as daemon:
            wait_for(partial(are_one, daemon, ids[2], f"youtube:{joined}"), "the link that is new")
            wait_for(partial(are_one, daemon, f"youtube:{left}"), "the end of a link that is gone")
            wait_for(lambda: news <= set(shown(daemon)), "the new names")
            assert are_one(daemon, ids[0], f"youtube:{renamed}"), "a new name takes an account from its creator"
            assert are_one(daemon, ids[3]), "who takes a name over takes its owner's place"
            assert f"youtube:{robbed}" not in whose(daemon, ids[3])
            accounts = [account for account, _ in shown(daemon)]
            assert len(accounts) == len(set(accounts))
            assert daemon.terminate() == 0


def are_one(daemon: Daemon, *accounts: str) -> bool:
    return whose(daemon, accounts[0]) == sorted(accounts)


def later(world: Simulator, days: int) -> dict[str, str]:
    at = datetime.fromtimestamp(world.now, UTC) + timedelta(days=days)
    return {"POKEDEXD_DAEMON__CLOCK_AT": at.isoformat(), "POKEDEXD_PIPELINE__RESEND_AFTER_SECONDS": "5"}


def shown(daemon: Daemon) -> list[tuple[str, str]]:
    """Every account that search shows, with the handle that it is shown under."""
    accounts = [account for creator in everybody(daemon) for account in creator["accounts"]]
    return [(f"{one['platform']}:{one['platform_user_id']}", one["handle"]) for one in accounts]
