from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
import trio
import trio.testing

from daemon.simulator.app import create_simulator, serve_simulator
from daemon.simulator.faults import Faults
from daemon.simulator.quota import DEFAULT_LIMITS
from daemon.simulator.world import Channel, Video, World
from daemon.simulator.youtube import floor_to_three_figures, iso_duration
from tests.conftest import QUIET_SECONDS

KEY = "right"
NOW = 1_790_000_000
BIG, SMALL, HIDDEN, ZERO, EMPTY = ("UC" + letter * 21 + "A" for letter in "abcde")
UPLOADS = 120


class Clock:
    """Wall time that a test sets."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Api:
    """The YouTube of one simulator, called with the right key."""

    def __init__(
        self,
        world: World | None = None,
        *,
        clock: Clock | None = None,
        faults: Faults | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> None:
        app = create_simulator(
            world or small_world(),
            clock=clock or Clock(),
            faults=faults or Faults(),
            limits=DEFAULT_LIMITS | dict(limits or {}),
            key=KEY,
        )
        self.client = app.test_client()

    async def raw(self, endpoint: str, **params: str) -> tuple[int, bytes]:
        response = await self.client.get(f"/youtube/v3/{endpoint}", query_string={"key": KEY} | params)
        return response.status_code, await response.get_data(as_text=False)

    async def get(self, endpoint: str, **params: str) -> Any:
        status, body = await self.raw(endpoint, **params)
        assert status == 200, body
        return json.loads(body)

    async def fail(self, endpoint: str, **params: str) -> tuple[int, str, str]:
        """Status, reason and domain of an error; its shape is checked on the way."""
        status, body = await self.raw(endpoint, **params)
        error = json.loads(body)["error"]
        assert error["code"] == status
        assert error["message"]
        assert error["errors"][0]["message"]
        return status, error["errors"][0]["reason"], error["errors"][0]["domain"]

    async def books(self) -> Any:
        return await (await self.client.get("/_simulator/accounting")).get_json()


def video_id(number: int) -> str:
    return f"v{number:09}A"


def small_world() -> World:
    channels = [
        Channel(id=BIG, title="Big", handle="BigOne", subscribers=1_987_654, view_count=10**10),
        Channel(id=SMALL, title="Small", subscribers=987),
        Channel(id=HIDDEN, title="Hidden"),
        Channel(id=ZERO, title="Zero", hidden_as_zero=True),
        Channel(id=EMPTY, title="Empty", subscribers=1_000),
    ]
    videos = [
        Video(
            id=video_id(number), channel_id=BIG, title=f"No {number}", published_at=NOW - 3_600 * number, views=number
        )
        for number in range(UPLOADS)
    ]
    videos[1].hidden, videos[2].hidden = "private", "deleted"
    videos[3].likes = 7
    videos.append(Video(id="tomorrow--A", channel_id=BIG, title="To come", published_at=NOW + 86_400))
    videos.append(Video(id="small-----A", channel_id=SMALL, title="Small", published_at=NOW - 60))
    return World(now=NOW, channels={one.id: one for one in channels}, videos={one.id: one for one in videos}).link()


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


async def walk(api: Api, playlist: str, size: int) -> list[dict[str, Any]]:
    """The pages of a playlist from the first to the last."""
    pages = [await api.get("playlistItems", part="contentDetails,snippet", playlistId=playlist, maxResults=str(size))]
    while token := pages[-1].get("nextPageToken"):
        pages.append(
            await api.get(
                "playlistItems",
                part="contentDetails,snippet",
                playlistId=playlist,
                maxResults=str(size),
                pageToken=token,
            )
        )
    return pages


# channels.list


async def test_channels_are_found_by_id_and_unknown_ids_are_left_out_in_silence() -> None:
    unknown = "UC" + "z" * 21 + "A"
    reply = await Api().get("channels", part="snippet", id=f"{SMALL},{unknown},{BIG}")
    assert {item["id"]: item["snippet"]["title"] for item in reply["items"]} == {BIG: "Big", SMALL: "Small"}
    assert reply["kind"] == "youtube#channelListResponse"
    assert reply["pageInfo"] == {"totalResults": 2, "resultsPerPage": 2}


async def test_items_are_absent_when_no_channel_is_known() -> None:
    reply = await Api().get("channels", part="snippet", id="UC" + "z" * 21 + "A")
    assert "items" not in reply
    assert reply["pageInfo"]["totalResults"] == 0


async def test_an_id_that_is_asked_for_twice_is_answered_once() -> None:
    reply = await Api().get("channels", part="snippet", id=f"{BIG},{BIG}")
    assert [item["id"] for item in reply["items"]] == [BIG]


@pytest.mark.parametrize("handle", ["@BigOne", "bigone", "@BIGONE"])
async def test_a_channel_is_found_by_handle_whatever_its_case(handle: str) -> None:
    reply = await Api().get("channels", part="snippet", forHandle=handle)
    assert [item["id"] for item in reply["items"]] == [BIG]
    assert reply["items"][0]["snippet"]["customUrl"] == "@bigone"


@pytest.mark.parametrize("handle", ["@nobody", "", "@"])
async def test_an_unknown_handle_finds_nothing(handle: str) -> None:
    assert "items" not in await Api().get("channels", part="snippet", forHandle=handle)


async def test_only_the_parts_that_were_asked_for_are_answered() -> None:
    reply = await Api().get("channels", part="contentDetails", id=BIG)
    assert reply["items"][0].keys() == {"kind", "etag", "id", "contentDetails"}
    assert reply["items"][0]["contentDetails"]["relatedPlaylists"]["uploads"] == "UU" + BIG[2:]


async def test_counts_are_strings_and_subscribers_have_three_figures() -> None:
    reply = await Api().get("channels", part="statistics", id=f"{BIG},{SMALL}")
    found = {item["id"]: item["statistics"] for item in reply["items"]}
    assert found[BIG] == {
        "viewCount": "10000000000",
        "subscriberCount": "1980000",
        "hiddenSubscriberCount": False,
        "videoCount": str(UPLOADS - 2),
    }
    assert found[SMALL]["subscriberCount"] == "987"


async def test_hidden_subscribers_are_absent_or_zero() -> None:
    reply = await Api().get("channels", part="statistics", id=f"{HIDDEN},{ZERO}")
    found = {item["id"]: item["statistics"] for item in reply["items"]}
    assert found[HIDDEN]["hiddenSubscriberCount"] is found[ZERO]["hiddenSubscriberCount"] is True
    assert "subscriberCount" not in found[HIDDEN]
    assert found[ZERO]["subscriberCount"] == "0"


@pytest.mark.parametrize(
    ("count", "shown"), [(0, 0), (999, 999), (1_000, 1_000), (1_234, 1_230), (9_999, 9_990), (123_456_789, 123_000_000)]
)
def test_subscribers_are_rounded_down_to_three_figures(count: int, shown: int) -> None:
    assert floor_to_three_figures(count) == shown


# videos.list


async def test_private_deleted_unknown_and_coming_videos_are_left_out() -> None:
    asked = [video_id(number) for number in range(5)] + ["unknown---A", "tomorrow--A"]
    reply = await Api().get("videos", part="snippet", id=",".join(asked))
    assert sorted(item["id"] for item in reply["items"]) == [video_id(0), video_id(3), video_id(4)]


async def test_a_video_appears_at_its_time() -> None:
    clock = Clock()
    api = Api(clock=clock)
    assert (await api.get("videos", part="snippet", id="tomorrow--A"))["items"] == []
    clock.now += 86_400
    reply = await api.get("videos", part="snippet", id="tomorrow--A")
    assert reply["items"][0]["snippet"]["publishedAt"] == "2026-09-22T14:13:20Z"
    assert (await walk(api, "UU" + BIG[2:], 5))[0]["items"][0]["contentDetails"]["videoId"] == "tomorrow--A"


async def test_hidden_likes_and_closed_comments_are_absent() -> None:
    reply = await Api().get("videos", part="statistics", id=f"{video_id(3)},{video_id(4)}")
    found = {item["id"]: item["statistics"] for item in reply["items"]}
    assert found[video_id(3)] == {"viewCount": "3", "likeCount": "7", "favoriteCount": "0"}
    assert found[video_id(4)] == {"viewCount": "4", "favoriteCount": "0"}


@pytest.mark.parametrize(
    ("length", "text"), [(0, "P0D"), (45, "PT45S"), (60, "PT1M"), (3_600, "PT1H"), (3_723, "PT1H2M3S")]
)
def test_durations_are_iso_8601(length: int, text: str) -> None:
    assert iso_duration(length) == text


# playlistItems.list


@pytest.mark.parametrize("size", [1, 7, 40, 50])
async def test_a_walk_over_all_pages_meets_every_upload_once_newest_first(size: int) -> None:
    pages = await walk(Api(), "UU" + BIG[2:], size)
    met = [item["contentDetails"]["videoId"] for page in pages for item in page["items"]]
    assert met == [video_id(number) for number in range(UPLOADS)]
    assert len(pages) == -(-UPLOADS // size)
    assert all(page["pageInfo"] == {"totalResults": UPLOADS, "resultsPerPage": size} for page in pages)
    positions = [item["snippet"]["position"] for page in pages for item in page["items"]]
    assert positions == list(range(UPLOADS))


async def test_a_page_has_five_items_unless_told() -> None:
    reply = await Api().get("playlistItems", part="contentDetails", playlistId="UU" + BIG[2:])
    assert len(reply["items"]) == reply["pageInfo"]["resultsPerPage"] == 5


async def test_private_and_deleted_videos_stay_listed_without_details() -> None:
    pages = await walk(Api(), "UU" + BIG[2:], 5)
    titles = [item["snippet"]["title"] for item in pages[0]["items"]]
    assert titles == ["No 0", "Private video", "Deleted video", "No 3", "No 4"]
    dated = ["videoPublishedAt" in item["contentDetails"] for item in pages[0]["items"]]
    assert dated == [True, False, False, True, True]


@pytest.mark.parametrize("playlist", ["UU" + EMPTY[2:], "UU" + "z" * 21 + "A", "PLsomething", BIG])
async def test_a_playlist_without_uploads_or_owner_is_not_found(playlist: str) -> None:
    answer = await Api().fail("playlistItems", part="snippet", playlistId=playlist)
    assert answer == (404, "playlistNotFound", "youtube.playlistItem")


@pytest.mark.parametrize("token", ["nonsense", "!", "äöü", "CAUQAA", "cGFnZTp4"])
async def test_a_bad_page_token_is_refused(token: str) -> None:
    answer = await Api().fail("playlistItems", part="snippet", playlistId="UU" + BIG[2:], pageToken=token)
    assert answer == (400, "invalidPageToken", "youtube.parameter")


# requests that are wrong


async def test_fifty_ids_are_answered_and_one_more_is_an_error() -> None:
    api, ids = Api(), [video_id(number) for number in range(10, 61)]
    assert len((await api.get("videos", part="snippet", id=",".join(ids[:50])))["items"]) == 50
    for endpoint in ("videos", "channels"):
        answer = await api.fail(endpoint, part="snippet", id=",".join(ids))
        assert answer == (400, "invalidFilters", "youtube.parameter")


@pytest.mark.parametrize(
    ("endpoint", "params", "reason"),
    [
        ("channels", {"id": BIG}, "missingRequiredParameter"),
        ("channels", {"part": "snippet"}, "missingRequiredParameter"),
        ("channels", {"part": "snippet", "id": ","}, "missingRequiredParameter"),
        ("playlistItems", {"part": "snippet"}, "missingRequiredParameter"),
        ("videos", {"part": "snippet,colour", "id": video_id(0)}, "unknownPart"),
        ("playlistItems", {"part": "snippet", "playlistId": "UU" + BIG[2:], "maxResults": "51"}, "invalidParameter"),
        ("playlistItems", {"part": "snippet", "playlistId": "UU" + BIG[2:], "maxResults": "-1"}, "invalidParameter"),
    ],
)
async def test_a_wrong_request_is_refused_with_its_reason(endpoint: str, params: dict[str, str], reason: str) -> None:
    status, given, _ = await Api().fail(endpoint, **params)
    assert (status, given) == (400, reason)


@pytest.mark.parametrize("key", ["wrong", ""])
async def test_a_wrong_or_missing_key_is_refused_and_costs_nothing(key: str) -> None:
    api = Api()
    status, body = await api.raw("channels", part="snippet", id=BIG, key=key)
    error = json.loads(body)["error"]
    assert status in (400, 403)
    assert error["code"] == status
    assert error["errors"][0]["reason"] in ("badRequest", "forbidden")
    assert error["status"] in ("INVALID_ARGUMENT", "PERMISSION_DENIED")
    assert (await api.books())["charged"].get("general", 0) == 0


# quota


async def test_an_empty_bucket_refuses_until_the_day_ends() -> None:
    api = Api(limits={"general": 2})
    for _ in range(2):
        await api.get("channels", part="snippet", id=BIG)
    for _ in range(3):
        answer = await api.fail("channels", part="snippet", id=BIG)
        assert answer == (403, "quotaExceeded", "youtube.quota")
    books = await api.books()
    assert (books["charged"]["general"], books["calls_over_limit"]) == (2, {"general": 3})


async def test_a_refused_request_is_charged_too() -> None:
    api = Api()
    await api.fail("channels", part="snippet")
    assert (await api.books())["charged"]["general"] == 1


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("2026-01-10T08:00:00", "2026-01-11T08:00:00"),
        ("2026-07-10T07:00:00", "2026-07-11T07:00:00"),
        ("2026-03-08T08:00:00", "2026-03-09T07:00:00"),
        ("2026-11-01T07:00:00", "2026-11-02T08:00:00"),
    ],
    ids=["winter", "summer", "the short day", "the long day"],
)
async def test_the_day_goes_from_midnight_to_midnight_pacific(begin: str, end: str) -> None:
    clock = Clock(seconds(begin) - 1)
    api = Api(clock=clock, limits={"general": 1})
    await api.get("videoCategories", part="snippet")
    clock.now = seconds(begin)
    await api.get("videoCategories", part="snippet")
    clock.now = seconds(end) - 1
    assert (await api.fail("videoCategories", part="snippet"))[1] == "quotaExceeded"
    clock.now = seconds(end)
    await api.get("videoCategories", part="snippet")


# faults


async def outcomes(seed: int, count: int = 60) -> list[tuple[int, bool]]:
    """Status and whether the body is JSON, of each of several calls."""
    faults = Faults(seed=seed, unavailable_share=0.2, html_error_share=0.2, throttle_share=0.2, malformed_share=0.2)
    api = Api(faults=faults)
    found = []
    for _ in range(count):
        status, body = await api.raw("channels", part="snippet", id=BIG)
        try:
            json.loads(body)
            found.append((status, True))
        except ValueError:
            found.append((status, False))
    return found


async def test_the_same_seed_meets_the_same_faults_in_the_same_order() -> None:
    first = await outcomes(seed=4)
    assert set(first) == {(200, True), (200, False), (403, True), (500, False), (503, True)}
    assert await outcomes(seed=4) == first
    assert await outcomes(seed=5) != first


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        ("unavailable_share", (503, "backendError", "global")),
        ("throttle_share", (403, "rateLimitExceeded", "usageLimits")),
    ],
)
async def test_a_fault_has_the_shape_of_the_apis_error(share: str, expected: tuple[int, str, str]) -> None:
    api = Api(faults=Faults(**{share: 1.0}))  # type: ignore[arg-type]
    assert await api.fail("channels", part="snippet", id=BIG) == expected


async def test_without_faults_every_call_is_answered() -> None:
    api = Api()
    assert [(await api.raw("channels", part="snippet", id=BIG))[0] for _ in range(30)] == [200] * 30


async def test_a_slow_answer_is_whole_and_takes_its_time(autojump_clock: trio.testing.MockClock) -> None:
    api = Api(faults=Faults(slow_share=1.0, slow_seconds=60))
    begin = trio.current_time()
    reply = await api.get("channels", part="snippet", id=BIG)
    assert len(reply["items"]) == 1
    assert trio.current_time() - begin == pytest.approx(60)


async def test_a_cut_connection_is_an_error_to_the_client(autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = QUIET_SECONDS
    app = create_simulator(small_world(), clock=Clock(), faults=Faults(cut_share=1.0), limits=DEFAULT_LIMITS, key=KEY)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        url: str = await nursery.start(
            lambda task_status: serve_simulator(app, port=0, stop=stop, task_status=task_status)
        )
        async with httpx2.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.get(f"{url}/youtube/v3/channels?part=snippet&id={BIG}&key={KEY}")
        stop.set()


# the simulator's own pages


async def test_the_books_say_what_was_served_to_whom() -> None:
    api = Api()
    await api.get("channels", part="snippet", id=f"{BIG},{SMALL}")
    await api.get("channels", part="snippet", id=BIG)
    await api.fail("videos", part="snippet")
    books = await api.books()
    assert books["calls"] == {"channels": 2, "videos": 1}
    assert books["served"]["channels"] == {BIG: 2, SMALL: 1}
    assert books["errors"] == {"missingRequiredParameter": 1}


async def test_etags_have_the_shape_of_the_apis_and_follow_the_content() -> None:
    api = Api()
    first, again = [await api.get("channels", part="snippet", id=BIG) for _ in range(2)]
    other = await api.get("channels", part="snippet", id=SMALL)
    assert len(first["items"][0]["etag"]) == 27
    assert first["items"][0]["etag"] == again["items"][0]["etag"] != other["items"][0]["etag"]


async def test_an_unchanged_list_is_not_sent_again_but_is_charged() -> None:
    clock = Clock()
    api = Api(clock=clock)
    path = f"/youtube/v3/playlistItems?part=snippet&playlistId=UU{BIG[2:]}&key={KEY}"
    etag = (await (await api.client.get(path)).get_json())["etag"]
    again = await api.client.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, await again.get_data(as_text=False)) == (304, b"")
    clock.now += 86_400
    changed = await api.client.get(path, headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert (await changed.get_json())["etag"] != etag
    assert (await api.books())["charged"]["general"] == 3
