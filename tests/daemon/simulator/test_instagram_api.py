"""The Graph API's Business Discovery as the simulator plays it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quart import Response
from quart_trio import QuartTrio

from daemon.simulator.app import create_simulator
from daemon.simulator.events import AccountEvent, Delete, Rename, Restore
from daemon.simulator.faults import Faults
from daemon.simulator.graph_fields import Field, parse_fields
from daemon.simulator.instagram import kind_of, served_version
from daemon.simulator.quota import DEFAULT_LIMITS
from daemon.simulator.tokens import HOUR_SECONDS, GraphToken, TokenBook
from daemon.simulator.world import Post, Profile, World

NOW = 1_790_000_000
CALLER = "17841400000000001"
USER_FIELDS = "id,username,name,biography,website,followers_count,media_count"
MEDIA_FIELDS = "id,caption,like_count,comments_count,view_count,timestamp,media_type,media_product_type,permalink,media_url,children{id}"


class Clock:
    def __init__(self) -> None:
        self.at = float(NOW)

    def __call__(self) -> float:
        return self.at


def post(number: int, **changes: Any) -> Post:
    plain = Post(
        id=f"178000000000{number:05d}", taken_at=NOW - 100 - number * 100, caption=f"post {number}", likes=5, comments=2
    )
    return msgspec.structs.replace(plain, **changes)


def made_world(posts: int = 7) -> World:
    profile = Profile(
        id="17841400000000777",
        username="luna.lab",
        name="Luna",
        biography="",
        followers=12_345,
        posts=[post(number) for number in range(posts)],
    )
    return World(now=NOW, profiles={profile.username: profile})


def token(**changes: Any) -> GraphToken:
    return msgspec.structs.replace(GraphToken(name="one", token="t1", ig_user_id=CALLER), **changes)


def played(
    world: World | None = None,
    *,
    clock: Callable[[], float] = lambda: float(NOW),
    faults: Faults | None = None,
    tokens: tuple[GraphToken, ...] | None = None,
    events: tuple[AccountEvent, ...] = (),
) -> QuartTrio:
    return create_simulator(
        world or made_world(),
        clock=clock,
        faults=faults or Faults(),
        limits=DEFAULT_LIMITS,
        key="demo",
        tokens=(token(),) if tokens is None else tokens,
        events=events,
    )


async def ask(
    app: QuartTrio, fields: str, *, access: str = "t1", node: str = CALLER, version: int = 25, **params: str
) -> Response:
    return await app.test_client().get(
        f"/graph/v{version}.0/{node}",
        query_string={"fields": fields} | params,
        headers={"Authorization": f"Bearer {access}"} if access else {},
    )


def discovery(username: str = "luna.lab", fields: str = USER_FIELDS) -> str:
    return f"business_discovery.username({username}){{{fields}}}"


async def user(app: QuartTrio, **asked: str) -> dict[str, Any]:
    reply = await ask(app, discovery(**asked))
    assert reply.status_code == 200, await reply.get_data()
    found: dict[str, Any] = (await reply.get_json())["business_discovery"]
    return found


async def code(reply: Response) -> tuple[int, int | None]:
    error = (await reply.get_json())["error"]
    return error["code"], error.get("error_subcode")


async def test_counts_are_exact_integers_and_empty_fields_are_left_out() -> None:
    found = await user(played())
    assert found == {
        "id": "17841400000000777",
        "username": "luna.lab",
        "name": "Luna",
        "followers_count": 12_345,
        "media_count": 7,
    }


async def test_only_the_fields_asked_for_come_and_the_id_always() -> None:
    assert await user(played(), fields="followers_count") == {"id": "17841400000000777", "followers_count": 12_345}


async def test_the_reply_names_the_caller_and_the_version_that_answered() -> None:
    reply = await ask(played(), discovery(), version=19)
    assert (await reply.get_json())["id"] == CALLER
    assert reply.headers["facebook-api-version"] == "v21.0" == served_version(1)


async def test_media_are_walked_by_cursor_to_an_empty_page_without_next_links() -> None:
    app, found, after = played(), [], ""
    for _ in range(4):
        media = (await user(app, fields=f"media{after}.limit(3){{id,caption}}"))["media"]
        if not media["data"]:
            break
        assert set(media["paging"]) == {"cursors"}
        found += [item["caption"] for item in media["data"]]
        after = f".after({media['paging']['cursors']['after']})"
    assert media == {"data": []}
    assert found == [f"post {number}" for number in range(7)]


async def test_a_post_that_comes_between_two_pages_shifts_nothing() -> None:
    world = made_world()
    first = (await user(played(world), fields="media.limit(3){id}"))["media"]
    world.profiles["luna.lab"].posts.append(post(99, taken_at=NOW))
    after = first["paging"]["cursors"]["after"]
    second = (await user(played(world), fields=f"media.after({after}).limit(3){{caption}}"))["media"]
    assert [item["caption"] for item in second["data"]] == ["post 3", "post 4", "post 5"]


async def test_25_media_come_when_no_limit_is_asked() -> None:
    assert len((await user(played(made_world(40)), fields="media{id}"))["media"]["data"]) == 25


async def test_timestamps_have_an_offset_without_a_colon() -> None:
    media = (await user(played(), fields="media.limit(1){timestamp}"))["media"]
    assert media["data"][0]["timestamp"] == "2026-09-21T14:11:40+0000"


async def test_hidden_likes_leave_the_field_out_for_all_media_of_the_account() -> None:
    app = played(faults=Faults(hidden_likes_share=1.0))
    items = (await user(app, fields=f"media{{{MEDIA_FIELDS}}}"))["media"]["data"]
    assert all("like_count" not in item and item["comments_count"] == 2 for item in items)


async def test_media_urls_are_missing_by_switch() -> None:
    fields = "media{media_url}"
    assert all("media_url" in item for item in (await user(played(), fields=fields))["media"]["data"])
    app = played(faults=Faults(missing_media_url_share=1.0))
    assert not any("media_url" in item for item in (await user(app, fields=fields))["media"]["data"])


async def test_media_are_of_every_kind_and_only_carousels_have_children() -> None:
    items = (await user(played(made_world(60)), fields=f"media.limit(60){{{MEDIA_FIELDS}}}"))["media"]["data"]
    kinds = {(item["media_type"], item["media_product_type"]) for item in items}
    assert {("IMAGE", "FEED"), ("CAROUSEL_ALBUM", "FEED"), ("VIDEO", "REELS")} <= kinds
    assert all(("children" in item) == (item["media_type"] == "CAROUSEL_ALBUM") for item in items)
    assert all(("view_count" in item) == (item["media_type"] == "VIDEO") for item in items)


def test_a_kind_that_the_world_states_is_kept() -> None:
    assert kind_of(post(1, media_type="VIDEO", product_type="REELS")) == ("VIDEO", "REELS")


@pytest.mark.parametrize("username", ["nobody", "luna", "LUNA_LAB"])
async def test_a_username_that_nobody_has_is_110(username: str) -> None:
    assert await code(await ask(played(), discovery(username))) == (110, 2_207_013)


@pytest.mark.parametrize(
    "fields",
    [
        "business_discovery.username(luna.lab){id",
        "business_discovery.username(luna.lab){id,ig_id}",
        "business_discovery.username(luna.lab){media{saved_count}}",
        "business_discovery.username(luna lab){id}",
        "business_discovery.username(luna.lab){media.after(x).limit(3){id}}",
        "business_discovery.username(luna.lab){media.limit(0){id}}",
        "followers_count",
        "",
    ],
)
async def test_bad_fields_are_100(fields: str) -> None:
    assert (await code(await ask(played(), fields)))[0] == 100


async def test_fields_that_are_not_public_are_refused_by_switch() -> None:
    app = played(faults=Faults(private_fields_refused=True))
    assert await code(await ask(app, discovery())) == (100, None)
    assert (await ask(app, discovery(fields="id,username,biography"))).status_code == 200


async def test_large_pages_are_refused_by_switch_and_smaller_ones_served() -> None:
    app = played(faults=Faults(reduce_data_above=10))
    reply = await ask(app, discovery(fields="media.limit(25){id}"))
    error = (await reply.get_json())["error"]
    assert (error["code"], "reduce the amount of data" in error["message"]) == (1, True)
    assert (await ask(app, discovery(fields="media.limit(10){id}"))).status_code == 200


async def test_the_token_may_stand_in_the_query() -> None:
    assert (await ask(played(), discovery(), access="", access_token="t1")).status_code == 200


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (token(token="other"), (190, None)),
        (token(revoked=True), (190, 458)),
        (token(expires_at=float(NOW)), (190, 463)),
        (token(permitted=False), (10, None)),
        (token(app_secret="s"), (100, None)),
        (token(ig_user_id="17841400000000002"), (100, 33)),
    ],
)
async def test_a_token_that_does_not_serve_is_refused(held: GraphToken, expected: tuple[int, int | None]) -> None:
    assert await code(await ask(played(tokens=(held,)), discovery())) == expected


async def test_a_token_expires_on_the_clock() -> None:
    clock = Clock()
    app = played(clock=clock, tokens=(token(expires_at=NOW + 60.0),))
    assert (await ask(app, discovery())).status_code == 200
    clock.at += 60
    assert await code(await ask(app, discovery())) == (190, 463)


async def test_a_token_with_a_secret_needs_its_proof() -> None:
    held = token(app_secret="s")
    app = played(tokens=(held,))
    assert (await ask(app, discovery(), appsecret_proof=held.proof())).status_code == 200
    assert await code(await ask(app, discovery(), appsecret_proof="0" * 64)) == (100, None)


async def test_usage_is_said_from_ten_percent_on_and_falls_after_an_hour() -> None:
    clock = Clock()
    app = played(clock=clock, tokens=(token(calls_per_hour=50),))
    seen = [(await ask(app, discovery())).headers.get("X-App-Usage") for _ in range(6)]
    assert seen[:4] == [None] * 4
    assert [json.loads(one)["call_count"] for one in seen[4:] if one] == [10, 12]
    clock.at += HOUR_SECONDS
    assert "X-App-Usage" not in (await ask(app, discovery())).headers


async def test_a_call_over_the_rolling_hour_is_refused_and_booked() -> None:
    clock = Clock()
    app = played(clock=clock, tokens=(token(calls_per_hour=2),))
    for _ in range(2):
        assert (await ask(app, discovery())).status_code == 200
    refused = await ask(app, discovery())
    assert await code(refused) == (4, None)
    books = await (await app.test_client().get("/_simulator/accounting")).get_json()
    assert books["tokens"]["one"] == {"calls_per_hour": 2, "charged": 2, "over_limit": 1, "most_in_an_hour": 2}
    assert books["endpoints"]["business_discovery"] == {"asked": 3, "served": 2, "charged": 2, "refused": 1}
    clock.at += HOUR_SECONDS
    assert (await ask(app, discovery())).status_code == 200


@given(
    st.integers(1, 5),
    st.lists(st.floats(0, 4_000), min_size=1, max_size=60),
)
def test_no_hour_holds_more_calls_than_its_token_allows(calls_per_hour: int, waits: list[float]) -> None:
    clock = Clock()
    granted: list[float] = []
    book = TokenBook([token(calls_per_hour=calls_per_hour)], clock)
    for wait in waits:
        clock.at += wait
        before = sum(clock.at - HOUR_SECONDS < at for at in granted)
        charged = book.charge(book.tokens["one"])
        assert charged == (before < calls_per_hour)
        granted += [clock.at] * charged
    assert book.charged["one"] + book.over_limit["one"] == len(waits)
    assert book.most_in_an_hour["one"] <= calls_per_hour


async def test_faults_come_as_graph_errors() -> None:
    throttled = {await code(await ask(app, discovery())) for app in [played(faults=Faults(throttle_share=1, seed=seed)) for seed in range(8)]}  # fmt: skip
    assert throttled == {(4, None), (17, None)}
    reply = await ask(played(faults=Faults(unavailable_share=1.0)), discovery())
    error = (await reply.get_json())["error"]
    assert (error["code"], error["is_transient"]) == (2, True)
    assert (await ask(played(faults=Faults(html_error_share=1.0)), discovery())).content_type == "text/html"
    broken = await ask(played(faults=Faults(malformed_share=1.0)), discovery())
    with pytest.raises(json.JSONDecodeError):
        json.loads(await broken.get_data())


async def test_faults_strike_only_the_surfaces_named() -> None:
    app = played(faults=Faults(unavailable_share=1.0, only=("youtube",)))
    assert (await ask(app, discovery())).status_code == 200
    reply = await app.test_client().get("/youtube/v3/videoCategories?part=snippet&key=demo")
    assert reply.status_code == 503


async def test_a_renamed_account_is_found_under_its_new_name_only_with_the_same_id() -> None:
    clock = Clock()
    rename = Rename(account="17841400000000777", name="luna.world", at=NOW + 10.0)
    app = played(clock=clock, events=(rename,))
    assert (await user(app))["username"] == "luna.lab"
    assert await code(await ask(app, discovery("luna.world"))) == (110, 2_207_013)
    clock.at += 10
    assert await code(await ask(app, discovery())) == (110, 2_207_013)
    assert (await user(app, username="luna.world"))["id"] == "17841400000000777"


async def test_a_deleted_account_may_come_back() -> None:
    clock = Clock()
    account = "17841400000000777"
    app = played(clock=clock, events=(Restore(account=account, at=NOW + 20.0), Delete(account=account, at=NOW + 10.0)))
    statuses = []
    for _ in range(3):
        statuses.append((await ask(app, discovery())).status_code)
        clock.at += 10
    assert statuses == [200, 400, 200]


async def test_a_token_is_revoked_at_run_time_by_its_name() -> None:
    app = played()
    client = app.test_client()
    event = json.dumps({"kind": "revoke_token", "name": "one"})
    assert (await client.post("/_simulator/events", data=event)).status_code == 200
    assert await code(await ask(app, discovery())) == (190, 458)
    unknown = json.dumps({"kind": "revoke_token", "name": "nobody"})
    assert (await client.post("/_simulator/events", data=unknown)).status_code == 404


async def test_a_post_now_is_the_newest_medium() -> None:
    app = played()
    event = json.dumps({"kind": "post", "account": "17841400000000777", "title": "just now"})
    posted = await (await app.test_client().post("/_simulator/events", data=event)).get_json()
    media = (await user(app, fields="media_count,media.limit(1){id,caption,timestamp}"))["media"]["data"]
    assert [(item["id"], item["caption"]) for item in media] == [(posted["posted"][0], "just now")]
    assert (await user(app))["media_count"] == 8


def test_the_command_line_plays_a_living_world_with_as_many_tokens_as_asked() -> None:
    command = [sys.executable, "-m", "daemon.simulator", "--creators", "20", "--live", "--parent-pipe"]
    process = subprocess.Popen(
        [*command, "--instagram-tokens", "2", "--instagram-calls", "7"],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    try:
        said = json.loads(process.stdout.readline())
        with httpx2.Client(base_url=said["url"], trust_env=False) as client:
            names = client.get("/_simulator/accounts?platform=instagram&names=1").json()
            params = {"fields": discovery(names[0], "username"), "access_token": "graph-demo-2"}
            found = client.get("/graph/v25.0/17841499000000002", params=params)
            books = client.get("/_simulator/accounting").json()["tokens"]
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()
    assert found.json()["business_discovery"]["username"] == names[0]
    assert (len(names), process.returncode) == (said["profiles"], 0)
    assert {name: (book["calls_per_hour"], book["charged"]) for name, book in books.items()} == {
        "demo-1": (7, 0),
        "demo-2": (7, 1),
    }


NAMES = st.text("abc_", min_size=1, max_size=5)
MODIFIERS = st.dictionaries(NAMES, st.text("xyz019.=-", max_size=5), max_size=2)
TREES: st.SearchStrategy[dict[str, Field]] = st.recursive(
    st.dictionaries(NAMES, st.just(Field(name="")), max_size=3),
    lambda inner: st.dictionaries(
        NAMES, st.builds(lambda modifiers, fields: Field(name="", modifiers=modifiers, fields=fields), MODIFIERS, inner)
    ),
    max_leaves=8,
)


def named(tree: dict[str, Field]) -> dict[str, Field]:
    return {
        name: Field(name=name, modifiers=field.modifiers, fields=named(field.fields)) for name, field in tree.items()
    }


def written(tree: dict[str, Field]) -> str:
    def one(field: Field) -> str:
        modifiers = "".join(f".{name}({value})" for name, value in field.modifiers.items())
        return field.name + modifiers + (f"{{{written(field.fields)}}}" if field.fields else "")

    return ",".join(map(one, tree.values()))


@given(TREES.filter(bool).map(named))
def test_fields_are_read_as_they_were_written(tree: dict[str, Field]) -> None:
    assert parse_fields(written(tree)) == tree


@given(st.text("ab.,(){}1", max_size=30))
def test_whatever_is_sent_as_fields_is_read_or_refused(text: str) -> None:
    try:
        parse_fields(text)
    except ValueError:
        assert not text or set(text) & set(".,(){}")
