from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.platforms.youtube import YouTubeAdapter, duration_seconds, rounding_step
from proto.errors import AuthFailed, Malformed, PokedexError, Rejected, Throttled, Unavailable
from proto.ids import AccountKey, Platform, account_key
from proto.records import LISTINGS, ContentType, Job, JobKind, Priority, RawPage

UCA, UCB = "UC" + "a" * 21 + "A", "UC" + "b" * 21 + "Q"


def adapter(handler: Any = None, timeout_seconds: float = 5) -> YouTubeAdapter:
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler or replying(500, b"")))
    return YouTubeAdapter(
        client,
        base_url="http://127.0.0.1/youtube/v3/",
        feeds_url="http://127.0.0.1/feeds/videos.xml",
        keys=["secret"],
        now=lambda: 1_000.0,
        timeout_seconds=timeout_seconds,
    )


def job(kind: JobKind, entity: str, account: str = UCA) -> Job:
    return Job(
        platform=Platform.YOUTUBE,
        kind=kind,
        entity=entity,
        account_key=account_key(Platform.YOUTUBE, account),
        priority=Priority.ACTIVE,
        due_at=0,
    )


def page(kind: JobKind, body: Any, account: str = UCA) -> RawPage:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    key = account_key(Platform.YOUTUBE, account)
    return RawPage(platform=Platform.YOUTUBE, kind=kind, account_key=key, fetched_at=9, request="", body=data)


def replying(status: int, body: Any, headers: dict[str, str] | None = None) -> Any:
    async def handler(_request: httpx2.Request) -> httpx2.Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx2.Response(status, content=data, headers=headers or {})

    return handler


def error(status: int, reason: str, message: str = "no", **extra: Any) -> Any:
    body = {"error": {"code": status, "message": message, "errors": [{"reason": reason, "domain": "d"}]} | extra}
    return replying(status, body)


async def test_a_pack_of_channels_becomes_a_page_each_and_the_unknown_are_named() -> None:
    seen: list[httpx2.Request] = []

    async def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={"items": [{"id": UCB, "snippet": {"title": "B"}}]})

    fetched = await adapter(handler).perform(
        [job(JobKind.PROFILE, UCA, UCA), job(JobKind.PROFILE, UCB, UCB)], "general"
    )
    assert [one.account_key for one in fetched.pages] == [account_key(Platform.YOUTUBE, UCB)]
    assert [one.entity for one in fetched.missing] == [UCA]
    assert seen[0].url.params["id"] == f"{UCA},{UCB}"
    assert seen[0].url.params["maxResults"] == "50"
    assert seen[0].headers["x-goog-api-key"] == "secret"
    assert "secret" not in str(seen[0].url)
    assert "secret" not in fetched.pages[0].request


async def test_missing_items_mean_nothing_was_found() -> None:
    fetched = await adapter(replying(200, {"kind": "youtube#channelListResponse"})).perform(
        [job(JobKind.PROFILE, UCA)], "general"
    )
    assert fetched.pages == []
    assert len(fetched.missing) == 1


async def test_channels_that_nobody_asked_for_are_left_out() -> None:
    other, absurd = {"id": UCA[:-1] + "Z", "snippet": {}}, {"id": "x" * 600, "snippet": {}}
    body = {"items": [{"id": UCA, "snippet": {}}, other, absurd]}
    fetched = await adapter(replying(200, body)).perform([job(JobKind.PROFILE, UCA)], "general")
    assert [page.account_key for page in fetched.pages] == [account_key(Platform.YOUTUBE, UCA)]
    found = await adapter(replying(200, {"items": [absurd]})).perform([job(JobKind.LOOKUP, "@a")], "general")
    assert (found.pages, [one.entity for one in found.missing]) == ([], ["@a"])


async def test_a_search_names_channels_and_nothing_else_is_kept() -> None:
    items = [
        {"id": {"channelId": UCA}, "snippet": {"channelId": UCA, "title": "A"}},
        {"snippet": {"channelId": UCA}},
        {"snippet": 5},
        {"snippet": {"channelId": "../../x"}},
        {"snippet": {"channelId": UCB}},
    ]
    asked = list[httpx2.Request]()

    async def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, json={"items": items, "nextPageToken": "p2"})

    for kind, entity in ((JobKind.SEARCH, "home workout"), (JobKind.CHART, "BR")):
        fetched = await adapter(handler).perform([job(kind, entity)], adapter().cost(kind).buckets[0])
        assert fetched.found == [account_key(Platform.YOUTUBE, one) for one in (UCA, UCB)]
        assert (fetched.pages, fetched.next_page_token) == ([], "p2")
    assert [(one.url.path, one.url.params.get("q"), one.url.params.get("regionCode")) for one in asked] == [
        ("/youtube/v3/search", "home workout", None),
        ("/youtube/v3/videos", None, "BR"),
    ]
    assert (adapter().cost(JobKind.SEARCH).buckets, adapter().cost(JobKind.CHART).buckets) == (
        ("search",),
        ("general",),
    )
    stale = job(JobKind.SEARCH, "home workout")
    stale.page_token = "gone"
    anew = await adapter(error(400, "invalidPageToken")).perform([stale], "search")
    assert (anew.found, anew.next_page_token) == ([], "")


async def test_an_error_that_is_no_text_is_told_by_its_status() -> None:
    with pytest.raises(Rejected, match="http 400"):
        await adapter(replying(400, b'{"error": {"message": "\xff"}}')).perform([job(JobKind.PROFILE, UCA)], "general")


async def test_an_absurd_pause_ends_within_a_day() -> None:
    for said, seconds in (("9" * 400, 86_400.0), ("120", 120.0), ("\u0663", None), ("soon", None), ("-1", None)):
        busy = error(429, "rateLimitExceeded")
        reply = await busy(httpx2.Request("GET", "http://127.0.0.1/"))

        async def handler(_: httpx2.Request, reply: Any = reply, said: str = said) -> httpx2.Response:
            headers = [(b"retry-after", said.encode())]
            return httpx2.Response(429, content=reply.content, headers=headers)

        with pytest.raises(Throttled) as raised:
            await adapter(handler).perform([job(JobKind.PROFILE, UCA)], "general")
        assert raised.value.retry_after_seconds == seconds, said


async def test_videos_are_given_to_the_account_that_asked() -> None:
    reply = {"items": [{"id": "v2"}, {"id": "v1"}, {"id": "stray"}]}
    jobs = [job(JobKind.CONTENT, "v1", UCA), job(JobKind.CONTENT, "v2", UCB), job(JobKind.CONTENT, "v3", UCB)]
    fetched = await adapter(replying(200, reply)).perform(jobs, "general")
    assert {one.account_key: json.loads(one.body)["items"] for one in fetched.pages} == {
        account_key(Platform.YOUTUBE, UCA): [{"id": "v1"}],
        account_key(Platform.YOUTUBE, UCB): [{"id": "v2"}],
    }
    assert [one.entity for one in fetched.missing] == ["v3"]


async def test_a_channel_without_public_uploads_has_no_page() -> None:
    fetched = await adapter(error(404, "playlistNotFound")).perform([job(JobKind.UPLOADS, UCA)], "general")
    assert (fetched.pages, fetched.missing) == ([], [])


@pytest.mark.parametrize("kind", sorted(LISTINGS))
async def test_a_further_page_of_a_list_says_why_it_was_asked_for(kind: JobKind) -> None:
    further = job(kind, UCA)
    further.page_token, further.listed_before, further.walked = "p3", 100, 250
    one = adapter(replying(200, {"items": [], "nextPageToken": "p4"}))
    (raw,) = (await one.perform([further], "general")).pages
    assert (raw.kind, raw.listed_before, raw.walked) == (kind, 100, 250)
    assert "pageToken=p3" in raw.request
    assert one.normalise(raw).next_page_token == "p4"


async def test_a_handle_is_looked_up() -> None:
    fetched = await adapter(replying(200, {"items": [{"id": UCB}]})).perform([job(JobKind.LOOKUP, "@b")], "general")
    assert fetched.looked_up == {"@b": account_key(Platform.YOUTUBE, UCB)}
    assert [one.kind for one in fetched.pages] == [JobKind.PROFILE]


FAILURES: list[tuple[Any, type[PokedexError], dict[str, Any]]] = [
    (error(403, "quotaExceeded"), Throttled, {"daily": True}),
    (error(403, "dailyLimitExceeded"), Throttled, {"daily": True}),
    (error(403, "rateLimitExceeded"), Throttled, {"daily": False}),
    (error(429, "rateLimitExceeded", "Quota exceeded for limit 'Search Queries per day'"), Throttled, {"daily": True}),
    (replying(429, b"", {"retry-after": "7"}), Throttled, {"daily": False, "retry_after_seconds": 7.0}),
    (error(400, "badRequest", details=[{"reason": "API_KEY_INVALID"}]), AuthFailed, {}),
    (error(403, "accessNotConfigured"), AuthFailed, {}),
    (error(401, "authError"), AuthFailed, {}),
    (error(400, "invalidPageToken"), Rejected, {"reason": "invalidPageToken", "status": 400}),
    (error(404, "videoNotFound"), Rejected, {"reason": "videoNotFound"}),
    (error(503, "backendError"), Unavailable, {}),
    (replying(500, b"<html>sorry</html>"), Unavailable, {}),
    (replying(200, b"<html>sorry</html>"), Malformed, {}),
    (replying(200, {"items": {"not": "a list"}}), Malformed, {}),
    (replying(200, {"items": [{"no": "id"}]}), Malformed, {}),
    (replying(200, b"[" * 100_000), Malformed, {}),
]


@pytest.mark.parametrize(("handler", "kind", "fields"), FAILURES)
async def test_failures_are_told_apart_by_reason(
    handler: Any, kind: type[PokedexError], fields: dict[str, Any]
) -> None:
    with pytest.raises(kind) as caught:
        await adapter(handler).perform([job(JobKind.PROFILE, UCA)], "general")
    assert type(caught.value) is kind
    for name, value in fields.items():
        assert getattr(caught.value, name) == value


async def test_keys_take_turns_and_a_refused_one_is_left_out() -> None:
    asked = list[str]()

    async def handler(request: httpx2.Request) -> httpx2.Response:
        key = request.headers["X-goog-api-key"]
        asked.append(key)
        if key == "bad":
            return httpx2.Response(
                400, json={"error": {"message": "API key bad not valid", "errors": [{"reason": "keyInvalid"}]}}
            )
        return httpx2.Response(200, json={"items": []})

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    youtube = YouTubeAdapter(
        client,
        base_url="http://127.0.0.1",
        feeds_url="",
        keys=["good", "bad", "fine"],
        now=lambda: 1.0,
        timeout_seconds=5,
    )
    fetched = [await youtube.perform([job(JobKind.PROFILE, UCA)], "general") for _ in range(6)]
    assert asked.count("bad") == 1
    assert (asked.count("good"), asked.count("fine")) in ((3, 3), (2, 4), (4, 2))
    notes = [note for one in fetched for note in one.notes]
    assert [kind for kind, _ in notes] == ["key_disabled"]
    assert "key 2 of 3" in notes[0][1]
    assert "API key (key) not valid" in notes[0][1]


async def test_keys_that_are_refused_at_once_leave_one_to_ask_with() -> None:
    """Otherwise nothing would be sent in a key's place, for good."""
    asked, all_asked = list[str](), trio.Event()

    async def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers["X-goog-api-key"])
        if len(asked) == 2:
            all_asked.set()
        await all_asked.wait()
        return httpx2.Response(400, json={"error": {"message": "not valid", "errors": [{"reason": "keyInvalid"}]}})

    youtube = YouTubeAdapter(
        httpx2.AsyncClient(transport=httpx2.MockTransport(handler)),
        base_url="http://127.0.0.1",
        feeds_url="",
        keys=["bad", "worse"],
        now=lambda: 1.0,
        timeout_seconds=5,
    )
    refused = list[AuthFailed]()

    async def ask() -> None:
        try:
            await youtube.perform([job(JobKind.PROFILE, UCA)], "general")
        except AuthFailed as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        nursery.start_soon(ask)
    assert len(refused) == 2
    assert sorted(asked[:2]) == ["bad", "worse"]
    assert set(asked[2:]) < {"bad", "worse"}


async def test_a_dead_network_is_a_passing_fault() -> None:
    async def handler(_request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    with pytest.raises(Unavailable, match="ConnectError"):
        await adapter(handler).perform([job(JobKind.PROFILE, UCA)], "general")


def test_counts_are_strings_and_absence_is_unknown() -> None:
    def followers(statistics: dict[str, Any]) -> tuple[int | None, int | None]:
        said = adapter().normalise(page(JobKind.PROFILE, {"items": [{"id": UCA, "statistics": statistics}]}))
        assert said.account is not None
        return said.account.followers, said.account.followers_step

    assert followers({"subscriberCount": "12300", "hiddenSubscriberCount": False}) == (12_300, 100)
    assert followers({"subscriberCount": "0", "hiddenSubscriberCount": True}) == (None, None)
    assert followers({"hiddenSubscriberCount": True}) == (None, None)
    assert followers({}) == (None, None)
    assert followers({"subscriberCount": "0"}) == (0, 1)
    with pytest.raises(Malformed, match="subscriberCount"):
        followers({"subscriberCount": "many"})
    with pytest.raises(Malformed):
        followers({"subscriberCount": 5})


def test_a_page_of_another_channel_is_refused() -> None:
    with pytest.raises(Malformed, match="asked for"):
        adapter().normalise(page(JobKind.PROFILE, {"items": [{"id": UCB}]}))


def test_deleted_and_private_entries_are_counted_but_not_kept() -> None:
    entries = [
        {"snippet": {"title": "Private video"}, "contentDetails": {"videoId": "p"}},
        {"snippet": {"title": "T"}, "contentDetails": {"videoId": "v", "videoPublishedAt": "2026-01-02T03:04:05Z"}},
    ]
    said = adapter().normalise(page(JobKind.UPLOADS, {"items": entries, "nextPageToken": "n"}))
    assert ([one.content_id for one in said.items], said.listed, said.next_page_token) == (["v"], 2, "n")


def test_hidden_likes_and_closed_comments_are_unknown() -> None:
    video = {
        "id": "v",
        "snippet": {"publishedAt": "2026-01-02T03:04:05Z", "channelId": UCA, "title": "T #Shorts"},
        "contentDetails": {"duration": "PT2M"},
        "statistics": {"viewCount": "10"},
    }
    (item,) = adapter().normalise(page(JobKind.CONTENT, {"items": [video]})).items
    assert (item.views, item.likes, item.comments) == (10, None, None)
    assert (item.content_type, item.duration_seconds, item.detailed) == (ContentType.SHORT, 120, True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT1H2M3S", 3723), ("PT45S", 45), ("P1DT2H", 93_600), ("P0D", None), ("", None), ("4:05", None)],
)
def test_durations(text: str, seconds: int | None) -> None:
    assert duration_seconds(text) == seconds


def test_an_absurd_item_is_refused_by_itself() -> None:
    listed = {"contentDetails": {"videoId": "v1", "videoPublishedAt": "2026-01-01T00:00:00Z"}}
    long = {"contentDetails": {"videoId": "v" * 600, "videoPublishedAt": "2026-01-01T00:00:00Z"}}
    said = adapter().normalise(page(JobKind.UPLOADS, {"items": [listed, long]}))
    assert [item.content_id for item in said.items] == ["v1"]
    assert [place for place, _ in said.refused] == ["item 1"]
    assert duration_seconds("P" + "9" * 5_000 + "D") is None
    body = b'{"items": [{"contentDetails": {"videoId": "v2", "videoPublishedAt": "2026-01-01T00:00:00Z"},'
    said = adapter().normalise(page(JobKind.UPLOADS, body + b' "snippet": {"title": "\xff"}}]}'))
    assert (said.items, len(said.refused)) == ([], 1)


def test_rounding_steps() -> None:
    assert [rounding_step(count) for count in (0, 999, 1_000, 12_300, 1_980_000)] == [1, 1, 10, 100, 10_000]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["snippet", "statistics", "contentDetails", "title", "publishedAt", "viewCount", "videoPublishedAt", "tags"]


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from([JobKind.PROFILE, JobKind.UPLOADS, JobKind.CONTENT]),
    item=st.dictionaries(
        st.sampled_from(FIELDS), JSON | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3), max_size=4
    ),
    raw=st.none() | st.binary(max_size=40),
)
def test_normalise_raises_nothing_but_malformed(kind: JobKind, item: dict[str, Any], raw: bytes | None) -> None:
    body = raw if raw is not None else {"items": [{"id": UCA} | item]}
    try:
        said = adapter().normalise(page(kind, body))
    except Malformed as refused:
        assert str(refused)
    else:
        assert said.account_key == account_key(Platform.YOUTUBE, UCA)


RECORDED = {
    "channels__info_multiple.json": JobKind.PROFILE,
    "channel_info_multi.json": JobKind.PROFILE,
    "playlist_items__playlist_items_paged_1.json": JobKind.UPLOADS,
    "playlist_items__playlist_items_paged_2.json": JobKind.UPLOADS,
    "playlist_items__playlist_items_multi.json": JobKind.UPLOADS,
    "videos__videos_info_multi.json": JobKind.CONTENT,
    "videos__videos_info_single.json": JobKind.CONTENT,
    "videos__videos_chart_paged_1.json": JobKind.CONTENT,
    "videos__videos_chart_paged_2.json": JobKind.CONTENT,
}


@pytest.mark.parametrize("name", sorted(RECORDED))
async def test_recorded_replies_are_read_whole(name: str, shared_data: Path) -> None:
    """Every item of a recorded reply becomes an account or content with the values that the reply states."""
    kind = RECORDED[name]
    recorded = json.loads((shared_data / "api_fixtures" / "youtube" / name).read_text())
    owners = [_owner(kind, item) for item in recorded["items"]]
    jobs = [job(kind, _entity(kind, item), owner) for item, owner in zip(recorded["items"], owners, strict=True)]
    fetched = await adapter(replying(200, recorded)).perform(jobs[:1] if kind is JobKind.UPLOADS else jobs, "general")
    assert fetched.missing == []
    said = [adapter().normalise(one) for one in fetched.pages]
    if kind is JobKind.PROFILE:
        for item in recorded["items"]:
            (account,) = [one.account for one in said if one.account and one.account.platform_user_id == item["id"]]
            assert account.display_name == item["snippet"]["title"]
            assert account.bio == item["snippet"]["description"]
            assert account.total_views == stated_views(item)
        return
    items = {one.content_id: one for page_said in said for one in page_said.items}
    expected = [
        item for item in recorded["items"] if item["snippet"]["title"] not in ("Private video", "Deleted video")
    ]
    assert len(items) == len(expected)
    for item in expected:
        assert items[_entity(kind, item)].title_or_caption == item["snippet"]["title"]
        if kind is JobKind.CONTENT:
            assert items[item["id"]].views == stated_views(item)


def stated_views(item: dict[str, Any]) -> int | None:
    views = item.get("statistics", {}).get("viewCount")
    return None if views is None else int(views)


def _owner(kind: JobKind, item: dict[str, Any]) -> str:
    return str(item["id"] if kind is JobKind.PROFILE else item["snippet"]["channelId"])


def _entity(kind: JobKind, item: dict[str, Any]) -> str:
    return str(item["snippet"]["resourceId"]["videoId"] if kind is JobKind.UPLOADS else item["id"])


def test_the_account_key_of_a_page_is_kept() -> None:
    said = adapter().normalise(page(JobKind.UPLOADS, {"items": []}))
    assert said.account_key == AccountKey(f"youtube:{UCA}")


async def test_that_feeds_fail_and_that_they_are_well_again_is_told_by_whatever_feed_tips_the_scale() -> None:
    """Also by one that answers: feeds are well again after a row of such, and a first window may end with one."""
    good = b'<feed xmlns="http://www.w3.org/2005/Atom"><title>t</title></feed>'
    statuses = [404] * 8 + [200] * 50

    async def handler(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(statuses.pop(0), content=good)

    one = adapter(handler)
    told = list[str]()
    while statuses:
        told += [kind for kind, _ in (await one.perform([job(JobKind.FEED, UCA)], "")).notes]
    assert told == ["feeds_failing", "feeds_well"]
