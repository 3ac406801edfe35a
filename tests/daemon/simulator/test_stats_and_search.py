"""videos:batchGetStats, search.list, the popular chart, and the buckets that pay for them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quart import Response
from quart_trio import QuartTrio

from daemon.simulator.app import create_simulator
from daemon.simulator.faults import FaultDraw, Faults, fraction
from daemon.simulator.posting import DAY_SECONDS
from daemon.simulator.quota import DEFAULT_LIMITS, Quota
from daemon.simulator.search import REACHABLE_HITS
from daemon.simulator.world import Channel, Video, World

NOW = 1_790_000_000


class Clock:
    def __init__(self) -> None:
        self.at = float(NOW)

    def __call__(self) -> float:
        return self.at


def channel_id(number: int) -> str:
    return f"UC{number:021d}Q"


def video(number: int, of: int = 0, **changes: Any) -> Video:
    plain = Video(
        id=f"video{number:05d}A",
        channel_id=channel_id(of),
        title=f"cats & dogs {number}",
        published_at=NOW - 1_000 * (number + 1),
        category_id="15",
        duration_seconds=213,
        views=100 * number,
        likes=7,
        comments=None,
        language="en",
    )
    return msgspec.structs.replace(plain, **changes)


def made_world(*videos: Video) -> World:
    channels = [
        Channel(id=channel_id(0), title="Cats <3", country="US", description="all about cats " * 30, published_at=1),
        Channel(id=channel_id(1), title="Hunde", country="DE", default_language="de", published_at=1),
    ]
    return World(now=NOW, channels={one.id: one for one in channels}, videos={one.id: one for one in videos}).link()


def played(
    world: World,
    *,
    clock: Clock | None = None,
    faults: Faults | None = None,
    key: str = "demo",
    limits: dict[str, int] | None = None,
) -> QuartTrio:
    return create_simulator(
        world, clock=clock or Clock(), faults=faults or Faults(), limits=DEFAULT_LIMITS | (limits or {}), key=key
    )


async def ask(app: QuartTrio, path: str, etag: str = "", **params: str) -> Response:
    asked = {"part": "snippet", "key": "demo"} | params
    return await app.test_client().get(f"/youtube/v3/{path}", query_string=asked, headers={"If-None-Match": etag})


async def reply(app: QuartTrio, path: str, **params: str) -> dict[str, Any]:
    answer = await ask(app, path, "", **params)
    body: dict[str, Any] = await answer.get_json()
    assert answer.status_code == 200, body
    return body


async def reason(answer: Response) -> tuple[int, str]:
    return answer.status_code, (await answer.get_json())["error"]["errors"][0]["reason"]


async def books(app: QuartTrio) -> dict[str, Any]:
    found: dict[str, Any] = await (await app.test_client().get("/_simulator/accounting")).get_json()
    return found


# batchGetStats


async def test_stats_are_strings_with_a_google_duration_and_without_title_or_channel() -> None:
    app = played(made_world(video(1)))
    body = await reply(app, "videos:batchGetStats", part="id,snippet,contentDetails,statistics", id=video(1).id)
    (item,) = body["items"]
    assert (body["kind"], item.pop("etag") != "") == ("youtube#batchGetStatsResponse", True)
    assert item == {
        "kind": "youtube#videoStats",
        "id": video(1).id,
        "snippet": {"publishTime": "2026-09-21T13:40:00Z"},
        "contentDetails": {"duration": "213s", "durationMillis": "213000"},
        "statistics": {"viewCount": "100", "likeCount": "7"},
    }


async def test_stats_take_ids_one_by_one_or_joined_and_leave_out_the_unknown() -> None:
    app = played(made_world(video(1), video(2), video(3, hidden="deleted")))
    query = f"part=statistics&key=demo&id={video(1).id}&id={video(2).id},{video(3).id}&id=nothing"
    answer = await app.test_client().get(f"/youtube/v3/videos:batchGetStats?{query}")
    assert {item["id"] for item in (await answer.get_json())["items"]} == {video(1).id, video(2).id}


async def test_more_than_50_ids_are_refused_and_charged() -> None:
    app = played(made_world(video(1)))
    answer = await ask(app, "videos:batchGetStats", id=",".join(f"v{number}" for number in range(51)))
    assert await reason(answer) == (400, "invalidFilters")
    assert (await books(app))["charged"] == {"stats": 1}


async def test_stats_are_not_atomic_by_switch() -> None:
    world = made_world(*map(video, range(40)))
    ids = ",".join(world.videos)
    app = played(world, faults=Faults(stats_missing_share=0.3))
    assert 15 <= len((await reply(app, "videos:batchGetStats", id=ids))["items"]) < 40
    assert len((await reply(app, "videos", id=ids))["items"]) == 40


# search


async def test_search_titles_are_escaped_and_descriptions_cut() -> None:
    body = await reply(played(made_world(video(1))), "search", q="cats", type="video,channel", maxResults="50")
    titles = {item["snippet"]["title"] for item in body["items"]}
    assert titles == {"cats &amp; dogs 1", "Cats &lt;3"}
    assert max(len(item["snippet"]["description"]) for item in body["items"]) == 160
    assert body["regionCode"] == "US"


async def test_search_finds_by_words_type_channel_time_category_and_length() -> None:
    videos = (
        video(1),
        video(2, of=1, title="hunde", language="de"),
        video(3, category_id="10"),
        video(4, duration_seconds=2_000),
    )
    app = played(made_world(*videos))

    async def found(**params: str) -> set[str]:
        items = (await reply(app, "search", **({"type": "video"} | params)))["items"]
        return {next(iter(set(item["id"].values()) - {item["id"]["kind"]})) for item in items}

    ids = [one.id for one in videos]
    assert await found() == set(ids)
    assert await found(q="hunde") == {ids[1]}
    assert await found(q="HUNDE", type="channel") == {channel_id(1)}
    assert await found(q="nothing") == set()
    assert await found(channelId=channel_id(1)) == {ids[1]}
    assert await found(videoCategoryId="10") == {ids[2]}
    assert await found(videoDuration="long") == {ids[3]}
    assert await found(relevanceLanguage="de") == {ids[1]}
    limit = datetime.fromtimestamp(videos[1].published_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert await found(publishedAfter=limit) == {ids[0], ids[1]}
    assert await found(publishedBefore=limit) == {ids[2], ids[3]}


@pytest.mark.parametrize(("order", "first"), [("date", 0), ("viewCount", 4), ("title", 0), ("relevance", 4)])
async def test_search_orders(order: str, first: int) -> None:
    app = played(made_world(*map(video, range(5))))
    items = (await reply(app, "search", type="video", order=order))["items"]
    assert items[0]["id"]["videoId"] == video(first).id


async def test_each_page_of_a_search_is_a_call_and_500_hits_can_be_reached() -> None:
    app, token, seen = played(made_world(*map(video, range(REACHABLE_HITS + 60)))), "", []
    while True:
        body = await reply(app, "search", type="video", maxResults="50", **({"pageToken": token} if token else {}))
        seen += [item["id"]["videoId"] for item in body["items"]]
        token = body.get("nextPageToken", "")
        if not token:
            break
    assert len(seen) == len(set(seen)) == REACHABLE_HITS
    assert (await books(app))["buckets"]["search"]["charged"] == 10


async def test_a_post_beside_the_schedule_is_found_at_once_and_a_deleted_video_no_more() -> None:
    app = played(made_world(video(1)))

    async def found() -> set[str]:
        return {item["snippet"]["title"] for item in (await reply(app, "search", type="video"))["items"]}

    async def happen(**event: str) -> None:
        await app.test_client().post("/_simulator/events", data=json.dumps(event))

    assert await found() == {"cats &amp; dogs 1"}
    await happen(kind="post", account=channel_id(0), title="fresh")
    assert await found() == {"cats &amp; dogs 1", "fresh"}
    await happen(kind="delete_video", video=video(1).id)
    assert await found() == {"fresh"}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"videoCategoryId": "10"}, "invalidSearchFilter"),
        ({"type": "song"}, "invalidParameter"),
        ({"order": "chaos"}, "invalidParameter"),
        ({"publishedAfter": "yesterday"}, "invalidParameter"),
        ({"type": "video", "videoDuration": "endless"}, "invalidParameter"),
        ({"part": "statistics"}, "unknownPart"),
    ],
)
async def test_a_search_that_makes_no_sense_is_refused(params: dict[str, str], expected: str) -> None:
    assert await reason(await ask(played(made_world(video(1))), "search", "", **params)) == (400, expected)


# the chart


async def test_the_chart_is_of_recent_videos_by_views_in_a_region_and_category() -> None:
    old = video(9, published_at=NOW - 20 * DAY_SECONDS, views=10**9)
    app = played(
        made_world(video(1), video(2), video(3, of=1), video(4, category_id="10"), video(5, hidden="private"), old)
    )

    async def chart(**params: str) -> list[str]:
        body = await reply(app, "videos", chart="mostPopular", maxResults="50", **params)
        return [item["id"] for item in body["items"]]

    assert await chart() == [video(number).id for number in (4, 3, 2, 1)]
    assert await chart(regionCode="DE") == [video(3).id]
    assert await chart(regionCode="US", videoCategoryId="10") == [video(4).id]
    assert (await books(app))["charged"] == {"general": 3}


async def test_the_chart_is_paged() -> None:
    app = played(made_world(*map(video, range(1, 8))))
    first = await reply(app, "videos", chart="mostPopular")
    second = await reply(app, "videos", chart="mostPopular", pageToken=first["nextPageToken"])
    assert [len(body["items"]) for body in (first, second)] == [5, 2]
    assert "nextPageToken" not in second


async def test_an_unknown_chart_category_or_region_is_refused() -> None:
    app = played(made_world(video(1)))
    assert await reason(await ask(app, "videos", chart="newest")) == (400, "videoChartNotFound")
    assert (await ask(app, "videos", chart="mostPopular", videoCategoryId="99")).status_code == 400
    for region in ("de", "ZZ", "UK"):
        answer = await ask(app, "videos", chart="mostPopular", regionCode=region)
        assert await reason(answer) == (400, "invalidRegionCode"), region


# buckets


async def test_the_three_buckets_are_charged_apart() -> None:
    app = played(made_world(video(1)))
    for path in ("videos", "videos:batchGetStats", "videos:batchGetStats"):
        await reply(app, path, id=video(1).id)
    for _ in range(3):
        await reply(app, "search", type="video")
    assert (await books(app))["charged"] == {"general": 1, "stats": 2, "search": 3}


@pytest.mark.parametrize(("path", "bucket"), [("search", "search"), ("videos:batchGetStats", "stats")])
async def test_an_empty_bucket_of_its_own_answers_a_429_that_says_per_day(path: str, bucket: str) -> None:
    app = played(made_world(video(1)), limits={bucket: 1})
    assert (await ask(app, path, id=video(1).id)).status_code == 200
    answer = await ask(app, path, id=video(1).id)
    error = (await answer.get_json())["error"]
    assert (answer.status_code, error["status"], "per day" in error["message"]) == (429, "RESOURCE_EXHAUSTED", True)
    assert "PerDay" in error["details"][0]["metadata"]["quota_limit"]
    assert (await ask(app, "videos", id=video(1).id)).status_code == 200
    found = await books(app)
    assert found["buckets"][bucket] == {"limit": 1, "charged": 1, "over_limit": 1, "most_in_a_day": 1}
    assert found["endpoints"][path] == {"asked": 2, "served": 1, "charged": 1, "refused": 1}
    assert found["calls_over_limit"] == {bucket: 1}


async def test_an_empty_general_bucket_answers_quota_exceeded_until_midnight_in_california() -> None:
    clock = Clock()
    app = played(made_world(video(1)), clock=clock, limits={"general": 1})
    await reply(app, "videos", id=video(1).id)
    assert await reason(await ask(app, "videos", id=video(1).id)) == (403, "quotaExceeded")
    clock.at = datetime(2026, 9, 22, tzinfo=ZoneInfo("America/Los_Angeles")).timestamp() - 1
    assert (await ask(app, "videos", id=video(1).id)).status_code == 403
    clock.at += 1
    assert (await ask(app, "videos", id=video(1).id)).status_code == 200


@given(st.lists(st.floats(0, 40_000), max_size=60))
def test_no_day_of_california_is_charged_more_than_its_limit(waits: list[float]) -> None:
    clock = Clock()
    quota, charged = Quota({"search": 3}, clock), 0
    for wait in waits:
        clock.at += wait
        charged += quota.charge("search")
    assert quota.books()["search"]["most_in_a_day"] <= 3
    assert charged + quota.refused["search"] == len(waits)


async def test_several_keys_share_the_project_and_one_may_be_revoked() -> None:
    app = played(made_world(video(1)), key="one,two", limits={"general": 3})
    for key in ("one", "two"):
        await reply(app, "videos", id=video(1).id, key=key)
    assert (await books(app))["charged"] == {"general": 2}
    await app.test_client().post("/_simulator/events", data=json.dumps({"kind": "revoke_token", "name": "one"}))
    assert await reason(await ask(app, "videos", id=video(1).id, key="one")) == (400, "badRequest")
    assert (await ask(app, "videos", id=video(1).id, key="two")).status_code == 200
    assert await reason(await ask(app, "videos", id=video(1).id, key="two")) == (403, "quotaExceeded")


# etags


async def test_a_list_that_has_not_changed_is_304_and_charged() -> None:
    app = played(made_world(video(1), video(2)))
    ids = f"{video(1).id},{video(2).id}"
    etag = (await reply(app, "videos", id=ids))["etag"]
    assert len(etag) == 27
    again = await ask(app, "videos", etag, id=ids)
    assert (again.status_code, await again.get_data()) == (304, b"")
    assert (await ask(app, "videos", etag, id=video(1).id)).status_code == 200
    assert (await books(app))["charged"] == {"general": 3}


async def test_an_etag_follows_the_content_and_sometimes_nothing_at_all() -> None:
    etags = {(await reply(played(made_world(video(1, views=views))), "videos", part="statistics", id=video(1).id))["etag"] for views in (1, 2)}  # fmt: skip
    assert len(etags) == 2
    app = played(made_world(video(1)), faults=Faults(etag_flip_share=1.0))
    assert len({(await reply(app, "videos", id=video(1).id))["etag"] for _ in range(3)}) == 3


# faults


@given(st.integers(0, 2**32), st.lists(st.sampled_from(["youtube", "feeds"]), max_size=50))
def test_the_same_seed_draws_the_same_faults(seed: int, surfaces: list[str]) -> None:
    faults = Faults(seed=seed, unavailable_share=0.3, slow_share=0.2, latency_seconds=0.1)
    first, second = FaultDraw(faults), FaultDraw(faults)
    drawn = [first.next(surface) for surface in surfaces]
    assert drawn == [second.next(surface) for surface in surfaces]
    first.replace(faults)
    assert drawn == [first.next(surface) for surface in surfaces]


@given(st.floats(0, 1), st.floats(0, 1), st.integers(), st.text())
def test_a_larger_share_chooses_whom_a_smaller_one_chose(one: float, other: float, seed: int, name: str) -> None:
    draw = FaultDraw(Faults(seed=seed))
    assert draw.chosen(min(one, other), name) <= draw.chosen(max(one, other), name)


def test_a_share_chooses_that_share() -> None:
    chosen = sum(fraction(1, "feeds", number) < 0.3 for number in range(10_000))
    assert chosen == pytest.approx(3_000, abs=150)
