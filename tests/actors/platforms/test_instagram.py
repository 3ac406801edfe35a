from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.platforms.instagram import (
    OTHER_FIELDS,
    PUBLIC_FIELDS,
    PUBLIC_SECONDS,
    InstagramAdapter,
    Token,
    appsecret_proof,
)
from proto.errors import AuthFailed, Malformed, PokedexError, Rejected, Throttled, Unavailable
from proto.ids import Platform, account_key
from proto.records import LISTINGS, ContentType, Job, JobKind, Priority, RawPage

ID = "17841407673135339"
KEY = account_key(Platform.INSTAGRAM, ID)
MEDIA = {
    "id": "1",
    "caption": "hello",
    "like_count": 5,
    "comments_count": 2,
    "timestamp": "2026-08-12T09:30:00+0000",
    "media_type": "VIDEO",
    "media_product_type": "REELS",
    "view_count": 99,
    "permalink": "https://www.instagram.com/reel/x/",
}
PROFILE = {
    "id": ID,
    "username": "some.one",
    "name": "Some One",
    "biography": "bio",
    "website": "https://a.example",
    "followers_count": 64_976,
    "media_count": 436,
    "media": {"data": [MEDIA], "paging": {"cursors": {"before": "b", "after": "c1"}}},
}


def reply(profile: dict[str, Any]) -> dict[str, Any]:
    return {"business_discovery": profile, "id": "17841406338772941"}


class Api:
    """Answers with what it is given, in turn, and notes the requests."""

    def __init__(self, *answers: tuple[int, Any], headers: dict[str, str] | None = None) -> None:
        self._answers, self._headers = list(answers), headers or {}
        self.requests: list[httpx2.Request] = []

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        status, body = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx2.Response(status, content=data, headers=self._headers)

    def fields(self) -> str:
        return str(self.requests[-1].url.params["fields"])


def adapter(api: Api, secret: str = "", clock: Sequence[float] = (1_000.0,)) -> InstagramAdapter:
    token = Token(access_token="s3cret", ig_user_id="178", app_secret=secret)
    return InstagramAdapter(
        httpx2.AsyncClient(transport=httpx2.MockTransport(api)),
        base_url="http://127.0.0.1/v25.0/",
        tokens={"token:a": token},
        now=lambda: clock[0],
        timeout_seconds=5,
    )


def job(kind: JobKind = JobKind.PROFILE, entity: str = ID, handle: str = "some.one", **more: Any) -> Job:
    return Job(
        platform=Platform.INSTAGRAM,
        kind=kind,
        entity=entity,
        account_key=KEY,
        priority=Priority.ACTIVE,
        due_at=0,
        handle=handle,
        **more,
    )


def page(profile: dict[str, Any] | bytes, kind: JobKind = JobKind.PROFILE) -> RawPage:
    body = profile if isinstance(profile, bytes) else json.dumps(reply(profile)).encode()
    return RawPage(platform=Platform.INSTAGRAM, kind=kind, account_key=KEY, fetched_at=9, request="", body=body)


def refusal(code: int, message: str = "no", status: int = 400, **more: Any) -> tuple[int, Any]:
    return status, {"error": {"message": message, "type": "OAuthException", "code": code} | more}


async def test_one_call_brings_the_profile_and_its_newest_media() -> None:
    api = Api((200, reply(PROFILE)), headers={"X-App-Usage": '{"call_count":28,"total_time":31,"total_cputime":25}'})
    one = adapter(api, secret="app")
    fetched = await one.perform([job()], "token:a")
    assert api.fields().startswith("business_discovery.username(some.one){id,username,")
    assert "media.limit(25){id,caption," in api.fields()
    request = api.requests[0]
    assert request.url.path == "/v25.0/178"
    assert request.headers["authorization"] == "Bearer s3cret"
    assert request.url.params["appsecret_proof"] == appsecret_proof(
        Token(access_token="s3cret", ig_user_id="", app_secret="app")
    )
    (raw,) = fetched.pages
    assert (raw.account_key, raw.kind, fetched.usage) == (KEY, JobKind.PROFILE, 0.31)
    assert "s3cret" not in raw.request
    said = one.normalise(raw)
    assert said.account is not None
    assert (said.account.handle, said.account.followers, said.account.followers_step) == ("some.one", 64_976, None)
    assert (said.next_page_token, said.listed) == ("", 1)
    (item,) = said.items
    assert (item.content_type, item.views, item.likes, item.detailed) == (ContentType.REEL, 99, 5, True)
    assert item.published_at == 1_786_527_000


@pytest.mark.parametrize(("listed", "token"), [(1, ""), (12, ""), (13, "c1"), (25, "c1")])
async def test_a_page_less_than_half_full_is_the_last(listed: int, token: str) -> None:
    """A cursor comes with every page; asking behind the last one would double what an account costs."""
    media = [MEDIA | {"id": str(number)} for number in range(listed)]
    api = Api((200, reply(PROFILE | {"media": {"data": media, "paging": {"cursors": {"after": "c1"}}}})))
    one = adapter(api)
    (raw,) = (await one.perform([job()], "token:a")).pages
    assert one.normalise(raw).next_page_token == token


async def test_usage_is_unknown_when_the_platform_does_not_say() -> None:
    assert (await adapter(Api((200, reply(PROFILE)))).perform([job()], "token:a")).usage is None
    odd = Api((200, reply(PROFILE)), headers={"X-App-Usage": "soon"})
    assert (await adapter(odd).perform([job()], "token:a")).usage is None
    business = '{"178":[{"type":"instagram","call_count":4,"estimated_time_to_regain_access":7}]}'
    full = Api((200, reply(PROFILE)), headers={"X-Business-Use-Case-Usage": business})
    assert (await adapter(full).perform([job()], "token:a")).usage == 1.0


@pytest.mark.parametrize("kind", sorted(LISTINGS))
async def test_older_media_are_asked_for_by_cursor(kind: JobKind) -> None:
    api = Api((200, reply({"id": ID, "username": "some.one", "media": {"data": [MEDIA]}})))
    one = adapter(api)
    fetched = await one.perform([job(kind, page_token="c1", listed_before=25, walked=75)], "token:a")
    assert "media.after(c1).limit(25){" in api.fields()
    assert "biography" not in api.fields()
    (raw,) = fetched.pages
    assert (raw.kind, raw.listed_before, raw.walked) == (kind, 25, 75)
    said = one.normalise(raw)
    assert (said.account, len(said.items), said.next_page_token) == (None, 1, "")


async def test_a_lookup_finds_the_id_behind_a_username() -> None:
    api = Api((200, reply(PROFILE)))
    fetched = await adapter(api).perform([job(JobKind.LOOKUP, "Some.One", "")], "token:a")
    assert "username(some.one)" in api.fields()
    assert fetched.looked_up == {"Some.One": KEY}


async def test_a_username_that_somebody_else_took_is_a_miss_and_a_new_account() -> None:
    other = "17841400000000000"
    fetched = await adapter(Api((200, reply(PROFILE | {"id": other})))).perform([job()], "token:a")
    assert [one.entity for one in fetched.missing] == [ID]
    assert [one.account_key for one in fetched.pages] == [account_key(Platform.INSTAGRAM, other)]


@pytest.mark.parametrize(("code", "subcode"), [(110, 2207013), (24, 2207006)])
async def test_a_name_that_leads_nowhere_is_missing(code: int, subcode: int) -> None:
    fetched = await adapter(Api(refusal(code, error_subcode=subcode))).perform([job()], "token:a")
    assert [one.entity for one in fetched.missing] == [ID]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        *[(refusal(code), Throttled) for code in (4, 17, 32, 613, 80002)],
        *[(refusal(code, error_subcode=463), AuthFailed) for code in (190, 102, 10, 200, 299, 341, 368)],
        (refusal(2, is_transient=True, status=500), Unavailable),
        (refusal(1), Unavailable),
        (refusal(99, is_transient=True), Unavailable),
        (refusal(99), Rejected),
        (refusal(4, status=200), Throttled),
        ((502, b"<html>"), Unavailable),
        ((400, b"<html>"), Rejected),
        ((200, b"{}"), Malformed),
        ((200, b"[" * 100_000), Malformed),
        ((200, reply(PROFILE | {"id": "../x"})), Malformed),
    ],
)
async def test_failures_are_told_apart_by_their_code(answer: tuple[int, Any], kind: type[PokedexError]) -> None:
    with pytest.raises(kind) as caught:
        await adapter(Api(answer)).perform([job()], "token:a")
    assert "s3cret" not in str(caught.value)
    if isinstance(caught.value, Throttled):
        assert (caught.value.bucket, caught.value.retry_after_seconds) == ("token:a", 3_600.0)
    if isinstance(caught.value, AuthFailed):
        assert caught.value.bucket == "token:a"


ALL_FIELDS = f"{{{','.join(PUBLIC_FIELDS + OTHER_FIELDS)},media"
ONLY_PUBLIC = f"{{{','.join(PUBLIC_FIELDS)},media"


async def test_fields_that_are_refused_are_not_asked_for_again_that_day() -> None:
    api = Api(refusal(100, "Tried accessing nonexisting field (name)"), (200, reply(PROFILE)))
    clock = [1_790_000_000.0]
    one = adapter(api, clock=clock)
    with pytest.raises(Unavailable):
        await one.perform([job()], "token:a")
    first = await one.perform([job()], "token:a")
    assert [kind for kind, _ in first.notes] == ["fields_refused"]
    assert ONLY_PUBLIC in api.fields()
    second = await one.perform([job(handle="some.other")], "token:a")
    assert (second.notes, ONLY_PUBLIC in api.fields()) == ([], True)
    clock[0] += PUBLIC_SECONDS
    await one.perform([job()], "token:a")
    assert ALL_FIELDS in api.fields()


async def test_a_call_that_is_refused_for_another_reason_costs_nobody_else_a_field() -> None:
    """Code 100 also says that a cursor is dead or a name is none: display names would be lost for its sake."""
    api = Api(refusal(100), refusal(100), refusal(100), (200, reply(PROFILE)))
    one = adapter(api)
    with pytest.raises(Unavailable):
        await one.perform([job(handle="odd")], "token:a")
    assert ALL_FIELDS in api.fields()
    with pytest.raises(Rejected):
        await one.perform([job(handle="odd")], "token:a")
    assert ONLY_PUBLIC in api.fields()
    with pytest.raises(Rejected):
        await one.perform([job(kind=JobKind.BACKFILL, page_token="dead")], "token:a")
    await one.perform([job()], "token:a")
    assert ALL_FIELDS in api.fields()
    with pytest.raises(Rejected):
        await adapter(Api(refusal(100))).perform([job(handle="Not A Name")], "token:a")


async def test_too_much_data_halves_what_is_asked_for_until_it_works() -> None:
    api = Api(refusal(1, "Please reduce the amount of data you're asking for"), (200, reply(PROFILE)))
    one = adapter(api)
    with pytest.raises(Unavailable):
        await one.perform([job()], "token:a")
    await one.perform([job()], "token:a")
    assert "media.limit(12)" in api.fields()
    await one.perform([job()], "token:a")
    assert "media.limit(25)" in api.fields()


def test_hidden_likes_and_empty_fields_are_unknown() -> None:
    bare = {"id": ID, "username": "x", "media": {"data": [{"id": "1", "timestamp": "2026-08-12T09:30:00+0000"}]}}
    said = adapter(Api((200, {}))).normalise(page(bare))
    assert said.account is not None
    assert (said.account.followers, said.account.bio, said.account.display_name) == (None, "", "x")
    assert (said.items[0].likes, said.items[0].comments, said.items[0].title_or_caption) == (None, None, "")


@pytest.mark.parametrize(
    "broken", [{"timestamp": "soon"}, {"timestamp": ""}, {"like_count": "5"}, {"id": 7}, {"comments_count": -1}]
)
def test_a_broken_item_is_refused_by_itself(broken: dict[str, Any]) -> None:
    media = {"data": [MEDIA | broken, MEDIA, MEDIA | {"media_product_type": "STORY"}]}
    said = adapter(Api((200, {}))).normalise(page(PROFILE | {"media": media}))
    assert [item.content_id for item in said.items] == ["1"]
    assert [place for place, _ in said.refused] == ["item 0"]


def test_a_page_of_somebody_else_is_malformed() -> None:
    with pytest.raises(Malformed):
        adapter(Api((200, {}))).normalise(page(PROFILE | {"id": "9"}))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        adapter(Api((200, {}))).normalise(page(body))


def test_recorded_replies_are_read(shared_data: Path) -> None:
    folder = shared_data / "api_fixtures" / "instagram"
    one = adapter(Api((200, {})))
    said = one.normalise(page((folder / "discovery__user_fields.json").read_bytes()))
    assert said.account is not None
    assert (said.account.handle, said.account.followers, said.account.media_count) == (
        "facebookfordevelopers",
        64_976,
        436,
    )
    assert said.account.bio.startswith("Follow us for updates on Facebook’s business tools")
    for name in ("users__medias_p1.json", "users__medias_p2.json", "medias__media_default.json"):
        recorded = json.loads((folder / name).read_bytes())
        edge = recorded if "data" in recorded else {"data": [recorded]}
        read = one.normalise(page(PROFILE | {"media": edge}))
        assert read.refused == []
        assert len(read.items) == len(edge["data"])
        for item, media in zip(read.items, edge["data"], strict=True):
            assert (item.content_id, item.likes, item.permalink) == (
                media["id"], media.get("like_count"), media.get("permalink", ""),
            )  # fmt: skip
