from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest
import trio

from actors import Meter, Outbox
from actors.discovery import DiscoveryBudgets
from actors.fetcher import MAX_TRIES, Fetcher
from actors.lane import Lane
from actors.platforms.adapter import Fetched
from actors.platforms.youtube import YouTubeAdapter
from actors.token_bucket import TokenBucket
from proto.errors import AuthFailed, Malformed, Rejected, Throttled
from proto.ids import Platform, account_key
from proto.messages import AccountUpserted, FetchPermitted, RawStored
from proto.records import ContentItem, CreatorAccount, Event, Job, JobKind, Normalised, Priority
from stores.catalog import put_account, put_normalised, snapshots_of
from stores.content import recent_items
from stores.env import Environment
from stores.journal import Journal
from stores.ledger import Budget, Ledger
from stores.schedule import Schedule
from stores.suppression import Suppression
from stores.work import Work, decode_message

NOW = 1_790_000_000
CHANNEL = "UC" + "a" * 22
ANNA = account_key(Platform.YOUTUBE, CHANNEL)


class Answering(YouTubeAdapter):
    """Calls end in these, be they errors or replies, one after the other; the last one stays."""

    answers: list[Exception | Fetched]

    async def perform(self, jobs: Sequence[Job], bucket: str) -> Fetched:
        assert jobs
        assert bucket
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def job(
    kind: JobKind, entity: str, attempts: int = 0, *, page_token: str = "", listed_before: int = 0, walked: int = 0
) -> Job:
    return Job(
        platform=Platform.YOUTUBE,
        kind=kind,
        entity=entity,
        account_key=ANNA,
        priority=Priority.BACKFILL,
        due_at=NOW,
        attempts=attempts,
        page_token=page_token,
        listed_before=listed_before,
        walked=walked,
    )


async def fetched(env: Environment, folder: Path, jobs: Sequence[Job], *answers: Exception | Fetched) -> list[Event]:
    """What is told when the calls for this pack end so, one after the other."""
    told, nobody = list[Event](), Suppression.open(folder / "suppression")
    await Schedule(env).put(jobs)
    permits, inbox = trio.open_memory_channel[FetchPermitted](1)
    pages, _pages = trio.open_memory_channel[RawStored](1)
    silent, _silent = trio.open_memory_channel[AccountUpserted](1)
    async with httpx2.AsyncClient() as client, permits:
        adapter = Answering(client, base_url="", feeds_url="", keys=(), now=lambda: float(NOW), timeout_seconds=1)
        adapter.answers = list(answers)
        await permits.send(FetchPermitted(platform=Platform.YOUTUBE, jobs=tuple(jobs), bucket="general"))
        await permits.aclose()
        await Fetcher(
            inbox,
            Outbox(pages, Meter()),
            Outbox(silent, Meter()),
            adapter=adapter,
            discovery=DiscoveryBudgets(),
            suppression=nobody,
            env=env,
            schedule=Schedule(env),
            ledger=Ledger(env, [Budget(platform=Platform.YOUTUBE, bucket="general", units=100)]),
            journal=Journal(env, told.append),
            lane=Lane({"api": TokenBucket(1, 1)}),
            now=lambda: float(NOW),
            jitter=random.Random(1),
            stop=trio.Event(),
            meter=Meter(),
        ).run()
    nobody.close()
    return told


@pytest.mark.parametrize("error", [ValueError("year 60000"), OverflowError("int too large"), Malformed("no list")])
async def test_an_absurd_reply_is_tried_again_later(env: Environment, tmp_path: Path, error: Exception) -> None:
    asked = job(JobKind.PROFILE, CHANNEL)
    (told,) = await fetched(env, tmp_path, [asked], error)
    assert (told.kind, told.subject) == ("fetch_failed", CHANNEL)
    assert str(error) in told.detail
    again = await Schedule(env).get(Platform.YOUTUBE, JobKind.PROFILE, CHANNEL)
    assert again is not None
    assert (again.attempts, again.due_at > NOW, str(error) in again.last_error) == (1, True, True)


@pytest.mark.parametrize("kind", [JobKind.CONTENT, JobKind.UPLOADS])
async def test_content_that_is_given_up_does_not_hold_its_account(
    env: Environment, tmp_path: Path, kind: JobKind
) -> None:
    """An account travels on once nothing more is awaited of it, be it that the last piece never comes."""
    account = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id=CHANNEL, fetched_at=NOW - 5)
    await env.write(lambda txn: put_account(txn, account))
    entity = CHANNEL if kind is JobKind.UPLOADS else "v1"
    await fetched(env, tmp_path, [job(kind, entity, MAX_TRIES - 1)], ValueError("absurd"))
    ((_, item),) = await Work(env).after(b"", 10)
    waiting = decode_message(item.message)
    assert isinstance(waiting, AccountUpserted)
    assert waiting.account_key == ANNA
    assert await Work(env).dead_letter_count() == 1


async def test_an_item_that_the_platform_has_no_more_goes_with_its_counts_over_time(
    env: Environment, tmp_path: Path
) -> None:
    items = [
        ContentItem(content_id=name, account_key=ANNA, published_at=NOW - 5, fetched_at=NOW, views=7, detailed=True)
        for name in ("v1", "v12")
    ]
    profile = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id=CHANNEL, fetched_at=NOW)
    said = Normalised(account_key=ANNA, account=profile, items=items)
    await env.write(lambda txn: put_normalised(txn, said, NOW))
    revisit = job(JobKind.REVISIT, "v1")
    await fetched(env, tmp_path, [revisit], Fetched(pages=[], missing=[revisit]))
    assert await env.read(lambda txn: [one.content_id for one in recent_items(txn, ANNA, 9)]) == ["v12"]
    assert await env.read(lambda txn: [one.entity for one in snapshots_of(txn, ANNA)]) == [ANNA, "v12"]


REFUSED = Rejected("a bad id", reason="badRequest", status=400)
PACK = [job(JobKind.CONTENT, f"v{number}") for number in range(4)]


async def waiting(env: Environment) -> dict[str, tuple[int, bool]]:
    """Of each job of the pack that is left: its attempts, and whether it waits for a later time."""
    found = [await Schedule(env).get(Platform.YOUTUBE, JobKind.CONTENT, one.entity) for one in PACK]
    return {one.entity: (one.attempts, one.due_at > NOW) for one in found if one is not None}


@pytest.mark.parametrize(
    ("refusal", "later", "told"),
    [
        (AuthFailed("key refused", bucket="general"), False, "key_disabled"),
        (Throttled("slow down", bucket="general", daily=False, retry_after_seconds=5), False, "rate_limited"),
        (Throttled("the day is over", bucket="general", daily=True), True, "quota_exceeded"),
    ],
)
async def test_what_refuses_one_of_a_pack_refuses_the_rest_unasked(
    env: Environment, tmp_path: Path, refusal: Exception, *, later: bool, told: str
) -> None:
    """The pack is refused, its first member falls, the second meets the refusal; no further call goes out."""
    events = await fetched(env, tmp_path, PACK, REFUSED, REFUSED, refusal, AssertionError("a further call"))
    assert [event.kind for event in events] == ["dead_letter", told]
    assert await waiting(env) == {one.entity: (0, later) for one in PACK[1:]}


async def test_an_absurd_reply_to_one_of_a_pack_is_its_own(env: Environment, tmp_path: Path) -> None:
    await fetched(env, tmp_path, PACK, REFUSED, ValueError("year 60000"), REFUSED, OverflowError("too large"), REFUSED)
    assert await waiting(env) == {"v0": (1, True), "v2": (1, True)}
    assert await Work(env).dead_letter_count() == 2


DEAD_TOKEN = Rejected("the page token is no longer valid", reason="invalidPageToken", status=400)


@pytest.mark.parametrize("kind", [JobKind.BACKFILL, JobKind.NEWS])
async def test_a_list_whose_page_token_died_is_walked_anew_once(
    env: Environment, tmp_path: Path, kind: JobKind
) -> None:
    await fetched(env, tmp_path, [job(kind, CHANNEL, page_token="p4", listed_before=150)], DEAD_TOKEN)
    anew = await Schedule(env).get(Platform.YOUTUBE, kind, CHANNEL)
    assert anew is not None
    assert (anew.page_token, anew.listed_before, anew.walked, anew.due_at) == ("", 0, 150, NOW)
    assert await Work(env).dead_letter_count() == 0

    await Schedule(env).settle(anew, None)
    await fetched(env, tmp_path, [job(kind, CHANNEL, page_token="p9", listed_before=400, walked=150)], DEAD_TOKEN)
    assert await Schedule(env).get(Platform.YOUTUBE, kind, CHANNEL) is None
    assert await Work(env).dead_letter_count() == 1


@pytest.mark.parametrize("kind", [JobKind.CHART, JobKind.SEARCH])
async def test_what_comes_back_after_it_was_given_up_begins_anew(
    env: Environment, tmp_path: Path, kind: JobKind
) -> None:
    await fetched(env, tmp_path, [job(kind, "US", page_token="p2", listed_before=50)], REFUSED)
    back = await Schedule(env).get(Platform.YOUTUBE, kind, "US")
    assert back is not None
    assert (back.page_token, back.listed_before, back.due_at > NOW) == ("", 0, True)
