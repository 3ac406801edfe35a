from __future__ import annotations

import itertools

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors import Meter, Outbox
from actors.policy import DAY_SECONDS, policies
from actors.reaper import PAGE, Reaper
from actors.vital_signs import vital_signs
from proto.ids import AccountKey, Platform, RawId, account_key, creator_id_of
from proto.messages import AnyWork, RawStored
from proto.records import (
    AccountStatus,
    ContentCounts,
    ContentItem,
    CreatorAccount,
    DeadLetter,
    EmbeddingRecord,
    Enrichment,
    Event,
    Job,
    JobKind,
    Normalised,
    Priority,
    RawPage,
    VitalSigns,
)
from stores.catalog import (
    get_account,
    get_creator,
    put_account,
    put_account_vectors,
    put_creator,
    put_creator_embeddings,
    put_normalised,
    snapshots_of,
)
from stores.codec import encode, pack_id
from stores.content import put_items, recent_items
from stores.env import DATABASES, Environment, Txn
from stores.erasure import drop_pages
from stores.imports import Remembered, piece_key, recall, remember
from stores.journal import Journal
from stores.raw import put_raw, seal
from stores.schedule import find_job, put_job
from stores.work import enqueue, is_current, put_dead_letter
from tests.conftest import EPOCH
from tests.founding import found_creator

ANNA = account_key(Platform.YOUTUBE, "UC4RqWPDDs0KvlpZNW3F-6gQ")
COMPUTED = (b"about fitness", b"a vital sign")
WORDS = (b"Anna Quux", b"annaquux", b"my secret bio", b"title of a video", b"raw reply", *COMPUTED)
"""Every text that the platform said of Anna, or that was computed of it."""
Told = list[Event]


class World:
    """A store, a reaper over it, and a clock that is set by hand."""

    def __init__(self, env: Environment, derived_data: str = "denied") -> None:
        self.env, self.at, self.told = env, float(EPOCH), Told()
        self.stop = trio.Event()
        self.sent, self.received = trio.open_memory_channel[AnyWork](10_000)
        self.reaper = Reaper(
            Outbox(self.sent, Meter()),
            env=env,
            journal=Journal(env, self.told.append),
            policies=policies(derived_data),
            now=lambda: self.at,
            stop=self.stop,
            meter=Meter(),
        )

    async def after_days(self, days: float) -> None:
        """Time passes, and one walk."""
        self.at = EPOCH + days * DAY_SECONDS
        await self.walk()

    async def walk(self) -> int:
        beats = 1
        while not await self.reaper.beat():
            beats += 1
        return beats

    async def account(self, key: AccountKey = ANNA) -> CreatorAccount:
        found = await self.env.read(lambda txn: get_account(txn, key))
        assert found is not None
        return found

    async def job(self, kind: JobKind, entity: str, platform: Platform = Platform.YOUTUBE) -> Job | None:
        return await self.env.read(lambda txn: find_job(txn, platform, kind, entity))

    async def readable(self) -> list[bytes]:
        """Which of the words stand anywhere in the store."""

        def look(txn: Txn) -> bytes:
            return b"\n".join(key + b"\0" + value for name in DATABASES for key, value in txn.scan(name))

        everything = await self.env.read(look)
        return [word for word in WORDS if word in everything]


def fill(txn: Txn, key: AccountKey, at: int) -> None:
    """An account as read, computed and scheduled at an instant; its page lies uncompressed enough to be searched."""
    platform, user_id = Platform(key.partition(":")[0]), key.partition(":")[2]
    account = CreatorAccount(
        platform=platform,
        platform_user_id=user_id,
        handle="annaquux",
        display_name="Anna Quux",
        bio="my secret bio",
        followers=12_300,
        fetched_at=at,
    )
    put_account(txn, account)
    creator = found_creator(txn, get_account(txn, key) or account, at)
    signs = vital_signs([], [], at).overall
    enrichment = Enrichment(method="local", model="m", prompt_version="", taxonomy_version="", input_hash="", at=at)
    labelled = msgspec.structs.replace(
        creator,
        name="Anna Quux",
        account_keys=[key],
        llm_summary="about fitness",
        enrichment=enrichment,
        vital_signs=encode(VitalSigns(at=at, overall=signs, by_platform={"a vital sign": signs})),
    )
    put_creator(txn, labelled)
    video = ContentItem(
        content_id="v1", account_key=key, title_or_caption="title of a video", published_at=at, fetched_at=at
    )
    put_items(txn, key, [video])
    put_account_vectors(txn, key, [vector("bio", at)], [])
    put_creator_embeddings(txn, creator.creator_id, [vector("yt_bio", at)])
    page = RawPage(
        platform=platform, kind=JobKind.PROFILE, account_key=key, fetched_at=at, request="GET", body=b"raw reply"
    )
    raw_id, _ = seal(page)
    put_raw(txn, page, raw_id, page.body)
    for kind, entity in ((JobKind.PROFILE, user_id), (JobKind.REVISIT, "v1"), (JobKind.LOOKUP, "user/annaquux")):
        put_job(txn, job(key, kind, entity, at + 60 * DAY_SECONDS))
    payload = msgspec.msgpack.encode(job(key, JobKind.STATS, "v1", at))
    put_dead_letter(
        txn, DeadLetter(letter_id="", stage="f", entity="e", reason="r", detail="", payload=payload, last_seen_at=at)
    )


def job(key: AccountKey, kind: JobKind, entity: str, due_at: int) -> Job:
    return Job(
        platform=Platform(key.partition(":")[0]),
        kind=kind,
        entity=entity,
        account_key=key,
        priority=Priority.LONG_TAIL,
        due_at=due_at,
        first=False,
        handle="annaquux",
    )


def vector(field: str, at: int) -> EmbeddingRecord:
    return EmbeddingRecord(field=field, model_id="m", dims=1, input_hash="h", vector=b"\0\0", updated_at=at)


@pytest.fixture
async def denied(env: Environment) -> World:
    await env.write(lambda txn: fill(txn, ANNA, EPOCH))
    return World(env)


@pytest.fixture
async def granted(env: Environment) -> World:
    await env.write(lambda txn: fill(txn, ANNA, EPOCH))
    return World(env, "granted")


async def test_what_is_young_is_left_alone(granted: World) -> None:
    await granted.after_days(25.9)
    assert await granted.readable() == list(WORDS)
    profile = await granted.job(JobKind.PROFILE, "UC4RqWPDDs0KvlpZNW3F-6gQ")
    assert profile is not None
    assert profile.priority is Priority.LONG_TAIL
    assert granted.told == []


async def test_what_nears_its_end_is_read_again_before_all_else(granted: World) -> None:
    await granted.after_days(26.5)
    for kind, entity in ((JobKind.PROFILE, "UC4RqWPDDs0KvlpZNW3F-6gQ"), (JobKind.REVISIT, "v1")):
        found = await granted.job(kind, entity)
        assert found is not None
        assert found.priority is Priority.RETENTION_EXPIRY
        assert found.due_at == granted.at
    assert await granted.readable() == list(WORDS)


async def test_an_item_that_is_not_kept_fresh_is_left_to_expire(granted: World) -> None:
    stray = ContentItem(content_id="v2", account_key=ANNA, published_at=EPOCH, fetched_at=EPOCH)
    await granted.env.write(lambda txn: put_items(txn, ANNA, [stray]))
    await granted.after_days(26.5)
    assert await granted.job(JobKind.REVISIT, "v2") is None


async def test_without_the_grant_nothing_that_youtube_said_is_readable_after_28_days(denied: World) -> None:
    await denied.after_days(27.9)
    assert await denied.readable() == [word for word in WORDS if word not in COMPUTED]
    await denied.after_days(28)
    assert await denied.readable() == []
    await denied.after_days(30)
    assert await denied.env.read(lambda txn: txn.entries("metrics")) == 0


async def test_an_expired_account_stays_under_its_id_so_that_it_can_be_read_again(denied: World) -> None:
    await denied.after_days(28)
    account = await denied.account()
    assert account == CreatorAccount(
        platform=Platform.YOUTUBE,
        platform_user_id="UC4RqWPDDs0KvlpZNW3F-6gQ",
        creator_id=account.creator_id,
        touched_at=EPOCH,
    )
    assert await denied.job(JobKind.PROFILE, account.platform_user_id) is not None

    def read_again(txn: Txn) -> None:
        assert account.creator_id is not None
        creator = get_creator(txn, account.creator_id)
        assert creator is not None
        assert (creator.account_keys, creator.name) == ([ANNA], "")
        put_account(txn, msgspec.structs.replace(account, display_name="Anna", fetched_at=int(denied.at)))

    await denied.env.write(read_again)
    assert (await denied.account()).display_name == "Anna"


async def test_whose_data_went_is_work_for_the_embedder(denied: World) -> None:
    await denied.after_days(28)
    waiting = await denied.env.read(lambda txn: [value for _, value in txn.scan("work")])
    assert len(waiting) == 1
    assert b"AccountUpserted" in waiting[0]


async def test_with_the_grant_counts_outlive_the_texts(granted: World) -> None:
    await granted.after_days(40)
    assert await granted.readable() == []
    assert await granted.env.read(lambda txn: txn.entries("metrics")) == 1
    await granted.after_days(1_100)
    assert await granted.env.read(lambda txn: txn.entries("metrics")) == 0


async def test_without_the_grant_vectors_go_at_once(denied: World) -> None:
    await denied.after_days(0)
    assert await denied.env.read(lambda txn: (txn.entries("account_vectors"), txn.entries("embeddings"))) == (0, 0)
    assert (await denied.account()).display_name == "Anna Quux"


async def test_with_the_grant_vectors_stay(granted: World) -> None:
    await granted.after_days(0)
    assert await granted.env.read(lambda txn: (txn.entries("account_vectors"), txn.entries("embeddings"))) == (1, 1)


async def test_other_platforms_keep_what_is_current_until_they_deny_the_account(env: Environment) -> None:
    key = account_key(Platform.INSTAGRAM, "178")
    await env.write(lambda txn: fill(txn, key, EPOCH))
    world = World(env)
    await world.after_days(400)
    assert await world.readable() == list(WORDS)

    async def missed(times: int) -> None:
        account = await world.account(key)
        lost = msgspec.structs.replace(account, misses=times, status=AccountStatus.GONE, fetched_at=int(world.at))
        await env.write(lambda txn: put_account(txn, lost))
        await world.walk()

    await missed(2)
    assert await world.readable() == list(WORDS)
    await missed(3)
    await env.write(lambda txn: [txn.delete("dead_letters", key) for key in [k for k, _ in txn.scan("dead_letters")]])
    assert await world.readable() == [b"annaquux"], "in the job: the platform finds nobody by id"
    assert (await world.account(key)).status is AccountStatus.GONE
    assert await env.read(lambda txn: txn.entries("metrics")) == 0


async def test_work_on_a_page_that_expired_goes_with_it(denied: World) -> None:

    def waiting(txn: Txn) -> object:
        (raw_id,) = [key.hex() for key, _ in txn.scan("raw")]
        return enqueue(txn, RawStored(raw_id=RawId(raw_id), platform=Platform.YOUTUBE), EPOCH)

    message = await denied.env.write(waiting)
    await denied.after_days(28)
    assert isinstance(message, RawStored)
    assert not await denied.env.read(lambda txn: is_current(txn, message))


async def test_pages_of_accounts_that_never_came_in_expire_too(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever they stand: before, between and behind those that did, at the ends of the walk's pages too."""
    monkeypatch.setattr("actors.reaper.PAGE", 2)
    monkeypatch.setattr("actors.reaper.FOLDED_PAGES", 1)
    dropped = list[int]()

    def counted(txn: Txn, raw_ids: list[RawId]) -> None:
        dropped.append(len(raw_ids))
        drop_pages(txn, raw_ids)

    monkeypatch.setattr("actors.reaper.drop_pages", counted)
    known = [account_key(Platform.YOUTUBE, f"UC{number}") for number in (2, 4, 6, 8)]
    stray = [account_key(Platform.YOUTUBE, f"UC{number}") for number in (1, 3, 5, 7, 9)]
    elsewhere = account_key(Platform.INSTAGRAM, "5")

    def filling(txn: Txn) -> None:
        for key in known:
            put_account(txn, CreatorAccount(platform=Platform.YOUTUBE, platform_user_id=key.partition(":")[2]))
        for key, at in [(key, at) for key in (*stray, elsewhere) for at in (EPOCH, EPOCH + DAY_SECONDS)]:
            page = RawPage(
                platform=Platform(key.partition(":")[0]),
                kind=JobKind.SEARCH,
                account_key=key,
                fetched_at=at,
                request="",
                body=str(at).encode(),
            )
            put_raw(txn, page, *seal(page))
            enqueue(txn, RawStored(raw_id=seal(page)[0], platform=page.platform), at)

    async def left() -> list[int]:
        return await env.read(lambda txn: [txn.entries(name) for name in ("raw", "raw_by_account", "work")])

    await env.write(filling)
    world = World(env)
    await world.after_days(27.9)
    assert await left() == [12, 12, 12]
    await world.after_days(28.5)
    assert await left() == [7, 7, 7]
    assert world.told[-1].detail == "5 raw_pages"
    assert dropped == [1] * 5, "one write each"
    await world.after_days(40)
    assert await left() == [2, 2, 2], "Instagram names no figure"


async def test_what_was_taken_out_is_told_once_a_walk(granted: World) -> None:
    await granted.after_days(28)
    (event,) = granted.told
    assert event.kind == "policy_erasure"
    assert event.detail == "1 accounts, 1 items, 1 raw_pages, 1 letters"
    await granted.after_days(28.5)
    assert len(granted.told) == 1


async def test_a_walk_goes_a_page_at_a_time_and_misses_nobody(env: Environment) -> None:
    keys = [account_key(Platform.YOUTUBE, f"UC{number:022}") for number in range(2 * PAGE + 1)]
    accounts = [
        CreatorAccount(platform=Platform.YOUTUBE, platform_user_id=key.partition(":")[2], bio="x", fetched_at=EPOCH)
        for key in keys
    ]
    await env.write(lambda txn: [put_account(txn, account) for account in accounts])
    world = World(env)
    world.at = EPOCH + 28 * DAY_SECONDS
    assert await world.walk() == 3
    assert {(await world.account(key)).bio for key in keys} == {""}
    assert await world.walk() == 3


async def test_nothing_due_is_nothing_written(granted: World) -> None:
    await granted.walk()
    before = granted.env.changes
    await granted.walk()
    assert granted.env.changes - before <= 1, "letters alone are looked through in a transaction"


async def test_an_import_that_nobody_ends_is_remembered_for_a_week(
    granted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stores.imports.PIECES", 2)
    old, young = [piece_key("abcdef12", at) for at in range(5)], piece_key("abcdef12", 5)

    def fill_pieces(txn: Txn) -> None:
        for key in old:
            remember(txn, key, Remembered(digest=b"d", kinds=b"\0", written_at=EPOCH))
        remember(txn, young, Remembered(digest=b"d", kinds=b"\0", written_at=EPOCH + DAY_SECONDS))

    async def left() -> list[bytes]:
        return await granted.env.read(lambda txn: [key for key in (*old, young) if recall(txn, key, b"d")])

    await granted.env.write(fill_pieces)
    await granted.after_days(6.9)
    assert await left() == [*old, young]
    await granted.after_days(7.1)
    assert await left() == [young]


async def test_it_works_by_itself_until_it_is_asked_to_stop(
    denied: World, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(denied.reaper.run)
        await trio.sleep(10)
        denied.at += 28 * DAY_SECONDS
        await trio.sleep(3_700)
        assert await denied.readable() == []
        denied.stop.set()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ages=st.lists(st.floats(0, 60), min_size=1, max_size=6), answer=st.sampled_from(["granted", "denied"]))
async def test_whatever_its_age_no_item_outlives_28_days(
    tmp_path_factory: pytest.TempPathFactory, ages: list[float], answer: str
) -> None:
    env = Environment(tmp_path_factory.mktemp("store"), map_size_bytes=1 << 28)
    world = World(env, answer)
    read_at = [EPOCH - int(age * DAY_SECONDS) for age in ages]
    items = [
        ContentItem(content_id=f"v{number}", account_key=ANNA, published_at=EPOCH, fetched_at=at)
        for number, at in enumerate(read_at)
    ]

    def story(txn: Txn) -> None:
        fill(txn, ANNA, EPOCH)
        put_items(txn, ANNA, items)

    await env.write(story)
    await world.walk()
    left = await env.read(lambda txn: recent_items(txn, ANNA, 100))
    young = {f"v{number}" for number, at in enumerate(read_at) if EPOCH - at < 28 * DAY_SECONDS}
    assert {item.content_id for item in left} == young | {"v1"}
    env.close()


async def test_series_are_thinned_with_age_and_nobody_is_told(granted: World) -> None:
    """A month by the day, half a year by the week; of content too. No rule of a platform asks for it: no event."""
    first = EPOCH // DAY_SECONDS

    def change(txn: Txn) -> None:
        for day in range(first, first + 100):
            read = CreatorAccount(
                platform=Platform.YOUTUBE,
                platform_user_id=ANNA.partition(":")[2],
                display_name="Anna",
                followers=day,
                fetched_at=day * DAY_SECONDS,
            )
            said = Normalised(account_key=ANNA, account=read, counts=[ContentCounts(content_id="v1", views=day)])
            put_normalised(txn, said, day * DAY_SECONDS)

    await granted.env.write(change)
    granted.told.clear()
    await granted.after_days(99)
    series = await granted.env.read(lambda txn: snapshots_of(txn, ANNA))
    ages = sorted(first + 99 - one.day for one in series if one.entity == ANNA)
    assert ages[:30] == list(range(30))
    assert len(ages) == 30 + 11  # ten or eleven weeks
    assert {later - sooner for sooner, later in itertools.pairwise(ages[31:])} <= {7}
    of_item = sorted(first + 99 - one.day for one in series if one.entity == "v1")
    assert len(of_item) == 5, "its first 29 days, by the week"
    assert {later - sooner for sooner, later in itertools.pairwise(of_item[1:])} == {7}
    assert [event.detail for event in granted.told if "snapshots" in event.detail] == []
    before = len(series)
    await granted.walk()
    assert len(await granted.env.read(lambda txn: snapshots_of(txn, ANNA))) == before


@pytest.mark.parametrize("database", ["accounts", "creators", "content", "dead_letters"])
async def test_a_record_that_cannot_be_read_holds_up_no_walk(denied: World, database: str) -> None:
    """Nothing of whom it is about is taken for a stranger's; all others' data goes when its time has come."""
    bert = account_key(Platform.YOUTUBE, "UCbert")
    await denied.env.write(lambda txn: fill(txn, bert, EPOCH))

    def cut(txn: Txn) -> None:
        hers = [pack_id(creator_id_of(ANNA))] if database == "creators" else []
        hers += [key for key, _ in txn.scan(database) if ANNA.encode() in key or database == "dead_letters"]
        txn.put(database, hers[0], (txn.get(database, hers[0]) or b"")[:-2])

    await denied.env.write(cut)
    await denied.after_days(31)
    assert [name for name, _ in denied.env.damaged] == [database]
    raw = await denied.env.read(lambda txn: [key.partition(b"\0")[0] for key, _ in txn.scan("raw_by_account")])
    assert raw == ([] if database == "dead_letters" else [ANNA.encode()])
    assert (await denied.account(bert)).bio == ""
