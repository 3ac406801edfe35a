"""Starts: what is read of the store, and that the columns are the same whichever way they came."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.config import Config
from daemon.evaluation.virtual_time import VirtualThreads
from daemon.indexing import MOST_AHEAD, IndexKeeper, bring_up_columns, fill_columns
from daemon.readiness import Readiness
from proto.errors import Unavailable
from proto.ids import AccountKey, CreatorId, Platform, creator_id_of
from proto.records import CreatorAccount, IdentityLink
from stores.belonging import Membership, arrange, founded_at, members_of
from stores.blocking import Blocking
from stores.catalog import INDEX_SEQUENCE, Catalog, get_account, get_creator, log_indexed, put_account, put_creator
from stores.codec import unpack_id
from stores.column_files import ColumnFiles
from stores.columns import Columns
from stores.env import Environment, Txn
from stores.erasure import Limits, Mark, Subject, erase_account, erase_expired, mark_erasure, unmark_erasure
from tests.reading import counted_reads
from tests.stores.test_column_files import contents_of
from tests.stores.test_columns import random_creator

NOW = 1_790_000_000
CREATORS = 60
Contents = Mapping[int, Mapping[str, object]]


@pytest.fixture
def reads() -> Iterator[Counter[str]]:
    """How many values of each database were read."""
    with counted_reads() as counted:
        yield counted


MakeKeeper = Callable[..., IndexKeeper]


@pytest.fixture
def make_keeper(env: Environment, threads: VirtualThreads, tmp_path: Path) -> MakeKeeper:
    def made(derives: tuple[Platform, ...] = tuple(Platform)) -> IndexKeeper:
        return IndexKeeper(
            tmp_path / "data",
            env=env,
            catalog=Catalog(env),
            niche_words=lambda _: "",
            synonyms={},
            derives=derives,
            recent_items=20,
            config=Config().search,
            readiness=Readiness(),
            blocking=lambda name, limit: Blocking(name, limit, threads),
        )

    return made


class Story:
    """Random changes to a store, each as the stages make it, and live columns that follow as the Indexer has them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.env = Environment(folder / "data", map_size_bytes=1 << 28, durable=False)
        self.files, self.dice = ColumnFiles(folder), random.Random(seed)
        self.live = Columns()
        self.unfinished: list[Mark] = []
        self.waiting: list[AccountKey] = []
        """Whose creators are to be computed anew."""
        self.write(self._begun)
        self.save()

    def write(self, change: Callable[[Txn], object]) -> None:
        self.env.write_now(change, synced=False)

    def _begun(self, txn: Txn) -> None:
        for number in range(30):
            self.arrange(txn, [self.put(txn, number)])

    def put(self, txn: Txn, number: int) -> list[AccountKey]:
        platform = Platform.YOUTUBE if number % 2 else Platform.INSTAGRAM
        account = CreatorAccount(platform=platform, platform_user_id=str(number), display_name="A", fetched_at=NOW)
        put_account(txn, account)
        if self.dice.random() < 0.8:  # of others no row is kept once they are merged
            founded_at(txn, account.key, NOW)
        return [account.key]

    def arrange(self, txn: Txn, groups: Sequence[list[AccountKey]]) -> None:
        memberships = []
        for keys in groups:
            owner, sure = creator_id_of(min(keys)), self.dice.choice((0.7, 0.9, 1.0))
            links = tuple(IdentityLink(account_key=key, creator_id=owner, confidence=sure, at=NOW) for key in keys)
            memberships.append(Membership(creator_id=owner, links=links))
        done = arrange(txn, memberships, NOW)
        for creator_id, row in done.retired.items():
            self.live.remove(row)
            log_indexed(txn, creator_id)
        for creator_id in done.changed:
            self.index(txn, creator_id)

    def index(self, txn: Txn, creator_id: CreatorId) -> None:
        """As the stages from the Aggregator on do."""
        stored = get_creator(txn, creator_id)
        assert stored is not None
        creator = msgspec.structs.replace(
            random_creator(self.dice, stored.row),
            creator_id=creator_id,
            account_keys=stored.account_keys,
            identity_confidence=stored.identity_confidence,
        )
        put_creator(txn, creator)
        self.live.upsert(creator.row, creator)
        log_indexed(txn, creator_id)

    def save(self) -> None:
        with self.env.snapshot() as txn:
            checkpoint = txn.counter(INDEX_SEQUENCE)
        self.files.put_in_place(self.files.write(self.live, checkpoint))

    def change(self) -> None:
        self.write(self._changed)

    def merge_or_part(self) -> None:
        self.write(self._rearranged)

    def expire(self) -> None:
        """A policy takes out what was read of an account; nobody has computed its creator anew yet."""
        limits = Limits(
            fields_before=NOW + 1, refresh_before=0, statistics_before=0, derives=True, asked_by_handle=False
        )
        self.write(lambda txn: self.waiting.append(self._expired(txn, limits)))

    def work(self) -> None:
        """What waits is done."""

        def change(txn: Txn) -> None:
            for owner in self.owners_waiting(txn):
                self.index(txn, owner)

        self.write(change)
        self.waiting.clear()

    def owners_waiting(self, txn: Txn) -> set[CreatorId]:
        accounts = (get_account(txn, key) for key in self.waiting)
        return {one.creator_id for one in accounts if one is not None and one.creator_id is not None}

    def _expired(self, txn: Txn, limits: Limits) -> AccountKey:
        key = self.dice.choice(keys_in(txn))
        erase_expired(txn, key, limits, NOW + 1)
        return key

    def come(self) -> None:
        self.write(lambda txn: self.arrange(txn, [self.put(txn, self.dice.randrange(30, 99))]))

    def forget(self) -> None:
        self.write(self._forgotten)

    def finish(self) -> None:
        """As `Forgetting._clean` does."""

        def change(txn: Txn) -> None:
            for mark in self.unfinished:
                unmark_erasure(txn, mark.subject)

        self.save()
        self.write(change)
        self.unfinished.clear()

    def both_ways(self) -> tuple[set[int], Contents, Contents]:
        """The rows of whom work waits, what the snapshot and the index log give, and what the store gives."""
        fresh, loaded = Columns(), Columns()
        with self.env.snapshot() as txn:
            fill_columns(fresh, txn)
            bring_up_columns(loaded, txn, self.files.load(loaded, txn.counter(INDEX_SEQUENCE)))
            creators = [get_creator(txn, owner) for owner in self.owners_waiting(txn)]
        return {int(one.row) for one in creators if one}, contents_of(loaded), contents_of(fresh)

    def _changed(self, txn: Txn) -> None:
        self.index(txn, self.dice.choice(owners_in(txn)))

    def _rearranged(self, txn: Txn) -> None:
        some = self.dice.sample(owners_in(txn), 2)
        keys = [key for owner in some for key in members_of(txn, owner)]
        self.dice.shuffle(keys)
        at = self.dice.randrange(len(keys))
        self.arrange(txn, [part for part in (keys[:at], keys[at:]) if part])

    def _forgotten(self, txn: Txn) -> None:
        keys = keys_in(txn)
        if len(keys) < 5:
            return
        key = self.dice.choice(keys)
        platform, _, user_id = key.partition(":")
        erased = erase_account(txn, key, now=NOW)
        mark = Mark(subject=Subject(platform=Platform(platform), user_id=user_id, handle="", alias=key), row=erased.row)
        mark_erasure(txn, mark)
        self.unfinished.append(mark)
        if erased.row is not None:
            self.live.remove(erased.row)


def keys_in(txn: Txn) -> list[AccountKey]:
    return [AccountKey(key.decode()) for key, _ in txn.scan("accounts")]


def owners_in(txn: Txn) -> list[CreatorId]:
    """Creators with accounts."""
    return sorted({CreatorId(unpack_id(key[:8])) for key, _ in txn.scan("account_by_creator")})


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    steps=st.lists(
        st.sampled_from(("change", "merge_or_part", "expire", "come", "forget", "finish", "save", "work")), max_size=25
    ),
)
def test_columns_of_a_snapshot_are_those_of_the_store(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: list[str]
) -> None:
    story = Story(tmp_path_factory.mktemp("story"), seed)
    try:
        for step in steps:
            getattr(story, step)()
        waiting, loaded, fresh = story.both_ways()
        assert {row: loaded[row] for row in loaded.keys() - waiting} == {
            row: fresh[row] for row in fresh.keys() - waiting
        }
        story.work()
        _, loaded, fresh = story.both_ways()
        assert loaded == fresh
    finally:
        story.env.close()


def put_creators(txn: Txn, rows: Iterable[int], seed: int) -> None:
    dice = random.Random(seed)
    for row in rows:
        put_creator(txn, random_creator(dice, row))
        log_indexed(txn, CreatorId(1_000 + row))


async def test_a_start_reads_only_who_changed_since_the_snapshot(
    env: Environment, make_keeper: MakeKeeper, reads: Counter[str]
) -> None:
    await env.write(partial(put_creators, rows=range(CREATORS), seed=1))
    first = make_keeper()
    await first.open_text()
    await first.save()
    await first.close()
    again = make_keeper()
    reads.clear()
    await again.open_text()
    await again.close()
    assert reads["creators"] == 0
    assert again.columns.count() == CREATORS
    await env.write(partial(put_creators, rows=(3, 8, CREATORS), seed=2))
    third = make_keeper()
    reads.clear()
    await third._threads.call(third._load_columns)
    assert reads["creators"] == 3, "of whom one is new"
    expected = Columns()
    with env.snapshot() as txn:
        fill_columns(expected, txn)
    assert contents_of(third.columns) == contents_of(expected)
    assert third.columns.changed


async def test_a_snapshot_that_cannot_be_used_goes_and_the_store_is_read(
    env: Environment, make_keeper: MakeKeeper, reads: Counter[str]
) -> None:
    await env.write(partial(put_creators, rows=range(CREATORS), seed=1))
    keeper = make_keeper()
    await keeper._threads.call(keeper._load_columns)
    await keeper.save_columns()
    reads.clear()
    denied = make_keeper((Platform.INSTAGRAM,))
    await denied._threads.call(denied._load_columns)
    assert reads["creators"] == 1 + CREATORS, "and where they begin"
    assert denied.columns.changed
    assert not (denied._folder / "columns.json").exists()


async def test_a_snapshot_that_fails_is_due_again(
    env: Environment, make_keeper: MakeKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    await env.write(partial(put_creators, rows=range(CREATORS), seed=1))
    keeper = make_keeper()
    await keeper._threads.call(keeper._load_columns)

    def refuse(*_: object) -> None:
        raise Unavailable("no room")

    monkeypatch.setattr(ColumnFiles, "write", refuse)
    with pytest.raises(Unavailable):
        await keeper.save()
    assert keeper.columns.changed
    monkeypatch.undo()
    await keeper.save()
    assert not keeper.columns.changed


async def test_a_text_index_may_be_ahead_by_what_a_crash_takes_and_no_further(
    env: Environment, make_keeper: MakeKeeper
) -> None:
    await env.write(partial(put_creators, rows=range(3), seed=1))
    for ahead, stands in ((MOST_AHEAD, True), (MOST_AHEAD + 1, False)):
        keeper = make_keeper()
        text = await keeper.open_text()
        await text.commit(3 + ahead)
        await keeper.close()
        again = make_keeper()
        assert (await again.open_text()).checkpoint == (3 + ahead if stands else 3)
        await again.close()
