from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import httpx2
import msgspec
import pytest
import trio

from actors import Meter, Outbox
from actors.discovery import DAY_SECONDS, DiscoveryBudgets
from actors.fetcher import MAX_TRIES, Fetcher
from actors.lane import Lane
from actors.platforms.adapter import Fetched
from actors.platforms.youtube import YouTubeAdapter
from actors.token_bucket import TokenBucket
from proto.errors import AuthFailed, Malformed, Rejected, Throttled
from proto.ids import Platform, account_key
from proto.messages import AccountUpserted, FetchPermitted, RawStored
from proto.records import ContentItem, CreatorAccount, Event, Job, JobKind, Normalised, Priority, RawPage
from stores.catalog import put_account, put_normalised, snapshots_of
from stores.content import recent_items
from stores.env import Environment
from stores.journal import Journal
from stores.ledger import Budget, Ledger
from stores.schedule import PackRule, Schedule
from stores.suppression import Suppression
from stores.work import Work, decode_message

NOW = 1_790_000_000
CHANNEL = "UC" + "a" * 22
ANNA = account_key(Platform.YOUTUBE, CHANNEL)


Perform = Callable[[Job], Fetched]


class Scripted(YouTubeAdapter):
    """Calls are answered by a function of the first job of their pack."""

    answer: Perform

    async def perform(self, jobs: Sequence[Job], bucket: str) -> Fetched:
        assert bucket
        await trio.lowlevel.checkpoint()
        return self.answer(jobs[0])


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


async def performed(
    env: Environment,
    folder: Path,
    packs: Sequence[Sequence[Job]],
    answer: Perform,
    *,
    now: int = NOW,
    lane: Lane,
    searches: int = 9,
    forgotten: Sequence[tuple[Platform, str]] = (),
) -> list[Event]:
    """What is told while two fetchers make these calls; the daily budgets of new accounts are ``searches`` each.

    Who is ``forgotten`` asked for it while the call was under way.
    """
    told, suppression = list[Event](), Suppression.open(folder / "suppression")
    permits, inbox = trio.open_memory_channel[FetchPermitted](len(packs))
    pages, _pages = trio.open_memory_channel[RawStored](len(packs))
    silent, _silent = trio.open_memory_channel[AccountUpserted](len(packs))
    async with httpx2.AsyncClient() as client, trio.open_nursery() as nursery:
        adapter = Scripted(client, base_url="", feeds_url="", keys=(), now=lambda: float(now), timeout_seconds=1)
        adapter.answer = partial(_meanwhile, answer, partial(suppression.add, forgotten))
        for pack in packs:
            await permits.send(FetchPermitted(platform=Platform.YOUTUBE, jobs=tuple(pack), bucket="general"))
        await permits.aclose()
        for number in range(2):
            fetcher = Fetcher(
                inbox.clone(),
                Outbox(pages, Meter()),
                Outbox(silent, Meter()),
                adapter=adapter,
                discovery=DiscoveryBudgets(charts=searches, searches=searches),
                suppression=suppression,
                env=env,
                schedule=Schedule(env),
                ledger=Ledger(env, [Budget(platform=Platform.YOUTUBE, bucket="general", units=100)]),
                journal=Journal(env, told.append),
                lane=lane,
                now=lambda: float(now),
                jitter=random.Random(number),
                stop=trio.Event(),
                meter=Meter(),
            )
            nursery.start_soon(fetcher.run)
    suppression.close()
    return told


def _meanwhile(answer: Perform, happens: Callable[[], object], asked: Job) -> Fetched:
    happens()
    return answer(asked)


async def fetched(env: Environment, folder: Path, jobs: Sequence[Job], *errors: Exception) -> list[Event]:
    """What is told when the calls for this pack fail so, one after the other; the last one stays."""
    left = list(errors)

    def answer(_job: Job) -> Fetched:
        raise left.pop(0) if len(left) > 1 else left[0]

    await Schedule(env).put(jobs)
    return await performed(env, folder, [jobs], answer, lane=Lane({"api": TokenBucket(1, 1)}))


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
    revisit = job(JobKind.REVISIT, "v1")
    await env.write(lambda txn: put_normalised(txn, said, NOW))
    await Schedule(env).put([revisit])
    lane = Lane({"api": TokenBucket(1, 1)})
    await performed(env, tmp_path, [[revisit]], lambda _job: Fetched(pages=[], missing=[revisit]), lane=lane)
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


QUERIES = ("art", "baking", "chess")
SEARCHES = PackRule(kind=JobKind.SEARCH, size=1, alone=True)


async def searched(env: Environment, folder: Path, now: int) -> list[tuple[str, str]]:
    """Searches made on a day that allows for two new accounts, while each finds the same three on any page."""
    made, lane, schedule = list[tuple[str, str]](), Lane({}), Schedule(env)

    def answer(asked: Job) -> Fetched:
        made.append((asked.entity, asked.page_token))
        names = [account_key(Platform.YOUTUBE, f"UC{asked.entity:_<21}{number}") for number in range(3)]
        return Fetched(pages=[], missing=[], found=names, next_page_token="p3")

    while packs := await schedule.lease(Platform.YOUTUBE, [SEARCHES], now, packs=9, flush=True):
        await performed(env, folder, packs, answer, now=now, lane=lane, searches=2)
        if lane.rests(JobKind.SEARCH, now):
            assert not lane.rests(JobKind.SEARCH, now + DAY_SECONDS)
            break
    return made


async def test_searches_take_turns_and_read_a_page_until_all_of_it_is_taken(env: Environment, tmp_path: Path) -> None:
    """The one that was read longest ago goes first, and none is made once the day's budget is spent."""
    asked = [
        msgspec.structs.replace(job(JobKind.SEARCH, query, page_token="p2"), account_key=None) for query in QUERIES
    ]
    await Schedule(env).put(asked)
    days = [await searched(env, tmp_path, NOW + day * DAY_SECONDS) for day in range(5)]
    assert days[:3] == [[("art", "p2")], [("baking", "p2")], [("chess", "p2")]]
    assert days[3] == [("art", "p2"), ("baking", "p2")]  # what is left of both are two
    assert days[4] == [("chess", "p2"), ("art", "p3"), ("baking", "p2")]


async def test_no_search_is_made_on_a_day_whose_budget_is_spent(env: Environment, tmp_path: Path) -> None:
    """Not even by a process that has just begun; what is due stays as it is."""
    asked = msgspec.structs.replace(job(JobKind.SEARCH, "art", page_token="p2"), account_key=None)
    await Schedule(env).put([asked])
    lane = Lane({})
    told = await performed(env, tmp_path, [[asked]], lambda _: pytest.fail("a call"), lane=lane, searches=0)
    assert told == []
    assert lane.rests(JobKind.SEARCH, NOW)
    assert await Schedule(env).get(Platform.YOUTUBE, JobKind.SEARCH, "art") == asked


LOOKED_UP = msgspec.structs.replace(job(JobKind.LOOKUP, "user/Anna"), account_key=None)
PAGE = RawPage(
    platform=Platform.YOUTUBE, kind=JobKind.PROFILE, account_key=ANNA, fetched_at=NOW, request="GET", body=b"{}"
)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (LOOKED_UP, Fetched(pages=[PAGE], missing=[], looked_up={"user/Anna": ANNA})),
        (LOOKED_UP, Fetched(pages=[], missing=[LOOKED_UP])),
        (job(JobKind.PROFILE, CHANNEL), Fetched(pages=[PAGE], missing=[])),
        (job(JobKind.PROFILE, CHANNEL), Fetched(pages=[], missing=[job(JobKind.PROFILE, CHANNEL)])),
        (job(JobKind.FEED, CHANNEL), Fetched(pages=[], missing=[job(JobKind.FEED, CHANNEL)])),
        (job(JobKind.UPLOADS, CHANNEL, MAX_TRIES - 1), Malformed(f"a list of {CHANNEL}")),
        (job(JobKind.PROFILE, CHANNEL), Rejected(f"a bad {CHANNEL}", reason="badRequest", status=400)),
        (LOOKED_UP, Rejected("a bad Anna", reason="badRequest", status=400)),
    ],
)
@pytest.mark.parametrize("erased", [True, False])
async def test_an_answer_about_somebody_forgotten_meanwhile_leaves_nothing(
    env: Environment, tmp_path: Path, asked: Job, answer: Fetched | Exception, *, erased: bool
) -> None:
    """Neither page, job, letter nor event, be the erasure over when the answer comes or still to come."""

    def reply(_job: Job) -> Fetched:
        if isinstance(answer, Exception):
            raise answer
        return answer

    await Schedule(env).put([asked])
    if erased:
        await Schedule(env).settle(asked, None)
    told = await performed(
        env,
        tmp_path,
        [[asked]],
        reply,
        lane=Lane({}),
        forgotten=[(Platform.YOUTUBE, CHANNEL), (Platform.YOUTUBE, "@anna")],
    )
    assert told == []
    with env.snapshot() as txn:
        assert [key for name in ("raw", "raw_by_account", "dead_letters", "work") for key, _ in txn.scan(name)] == []
        left = [key for key, _ in txn.scan("schedule")]
    assert left == [] or (not erased and isinstance(answer, Exception))  # the erasure takes the job itself


async def test_a_look_up_that_leads_to_somebody_forgotten_goes_no_further(env: Environment, tmp_path: Path) -> None:
    """By a name that nobody knew when they were forgotten, such as one of an account renamed since."""
    await Schedule(env).put([LOOKED_UP])
    answer = Fetched(pages=[PAGE], missing=[], looked_up={"user/Anna": ANNA})
    nobody = [(Platform.YOUTUBE, CHANNEL)]
    await performed(env, tmp_path, [[LOOKED_UP]], lambda _job: answer, lane=Lane({}), forgotten=nobody)
    with env.snapshot() as txn:
        assert [key for name in ("raw", "schedule", "dead_letters", "work") for key, _ in txn.scan(name)] == []


async def test_an_id_that_leads_nowhere_is_told_and_given_up(env: Environment, tmp_path: Path) -> None:
    """Imported, or named by somebody; one that is in the catalogue comes back for ever, since it may return."""
    asked = job(JobKind.PROFILE, CHANNEL)
    await Schedule(env).put([asked])
    for misses in (1, 2, 3):
        waits = await Schedule(env).get(Platform.YOUTUBE, JobKind.PROFILE, CHANNEL)
        assert waits is not None
        assert waits.attempts == misses - 1
        await performed(env, tmp_path, [[waits]], lambda one: Fetched(pages=[], missing=[one]), lane=Lane({}))
        (letter,) = await Work(env).dead_letters()
        assert (letter.entity, letter.reason, letter.count) == (f"profile:{CHANNEL}", "not_found", misses)
    assert await Schedule(env).get(Platform.YOUTUBE, JobKind.PROFILE, CHANNEL) is None


async def test_a_name_of_old_is_looked_up_once_a_month(env: Environment, tmp_path: Path) -> None:
    """It is no handle of the account, so nothing else would tell that it is known when it is named again."""
    answer = Fetched(pages=[PAGE], missing=[], looked_up={"user/Anna": ANNA})
    await Schedule(env).put([LOOKED_UP])
    await performed(env, tmp_path, [[LOOKED_UP]], lambda _job: answer, lane=Lane({}))
    again = await Schedule(env).get(Platform.YOUTUBE, JobKind.LOOKUP, "user/Anna")
    assert again is not None
    assert (again.account_key, again.due_at, again.first) == (ANNA, NOW + 28 * DAY_SECONDS, False)
    handle = msgspec.structs.replace(LOOKED_UP, entity="@anna")
    await Schedule(env).put([handle])
    answer = Fetched(pages=[PAGE], missing=[], looked_up={"@anna": ANNA})
    await performed(env, tmp_path, [[handle]], lambda _job: answer, lane=Lane({}))
    assert await Schedule(env).get(Platform.YOUTUBE, JobKind.LOOKUP, "@anna") is None
