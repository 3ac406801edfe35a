from __future__ import annotations

import random
from functools import partial

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proto.ids import CreatorId, Platform, account_key, creator_id_of
from proto.records import ContentCounts, ContentItem, CreatorAccount, EmbeddingRecord, Normalised
from stores.catalog import (
    Catalog,
    account_vectors,
    get_account,
    log_indexed,
    put_account,
    put_account_vectors,
    put_creator_embeddings,
    put_normalised,
    remove_content,
    snapshots_of,
)
from stores.content import ITEMS, known_ids, month_of, months_of, put_items, recent_items
from stores.env import Environment
from tests.founding import found_creator
from tests.stores.conformance.catalog_suite import CatalogConformance

KEY = account_key(Platform.YOUTUBE, "UCa")
JAN, FEB = 1_767_300_000, 1_770_000_000


def account(**fields: object) -> CreatorAccount:
    known: dict[str, object] = {
        "platform": Platform.YOUTUBE,
        "platform_user_id": "UCa",
        "handle": "Alice",
        "fetched_at": 100,
    }
    return CreatorAccount(**(known | fields))  # type: ignore[arg-type]


def item(content_id: str, **fields: object) -> ContentItem:
    known: dict[str, object] = {"content_id": content_id, "account_key": KEY, "published_at": JAN, "fetched_at": 100}
    return ContentItem(**(known | fields))  # type: ignore[arg-type]


@pytest.fixture
def catalog(env: Environment) -> Catalog:
    return Catalog(env)


class TestLmdbCatalog(CatalogConformance):
    """The fixture above."""


async def test_an_older_state_never_replaces_a_newer(env: Environment, catalog: Catalog) -> None:
    assert await env.write(lambda txn: put_account(txn, account(bio="new", fetched_at=200)))
    assert not await env.write(lambda txn: put_account(txn, account(bio="old", fetched_at=100)))
    stored = await catalog.account(KEY)
    assert stored is not None
    assert stored.bio == "new"


async def test_a_refetch_without_news_is_no_change(env: Environment) -> None:
    assert await env.write(lambda txn: put_account(txn, account()))
    assert not await env.write(lambda txn: put_account(txn, account(fetched_at=300)))
    assert await env.write(lambda txn: put_account(txn, account(fetched_at=400, followers=7)))


async def test_what_we_decided_survives_a_refetch(env: Environment, catalog: Catalog) -> None:
    await env.write(lambda txn: put_account(txn, account()))

    def resolve(txn):  # type: ignore[no-untyped-def]
        stored = get_account(txn, KEY)
        assert stored is not None
        return found_creator(txn, stored, 1)

    creator = await env.write(resolve)
    await env.write(lambda txn: put_account(txn, account(fetched_at=500, bio="x")))
    stored = await catalog.account(KEY)
    assert stored is not None
    assert stored.creator_id == creator.creator_id == creator_id_of(KEY)
    counts = await catalog.counts()
    assert (counts.creators, counts.accounts) == (1, 1)


async def test_a_renamed_account_is_found_by_its_new_handle_only(env: Environment, catalog: Catalog) -> None:
    await env.write(lambda txn: put_account(txn, account(handle="Old")))
    await env.write(lambda txn: put_account(txn, account(handle="New", fetched_at=200)))
    assert await catalog.account_by_handle(Platform.YOUTUBE, "@new") == KEY
    assert await catalog.account_by_handle(Platform.YOUTUBE, "old") is None


async def test_rows_are_dense_in_order_of_arrival(env: Environment) -> None:
    def change(txn):  # type: ignore[no-untyped-def]
        rows = []
        for name in ("UCa", "UCb", "UCc"):
            one = account(platform_user_id=name)
            put_account(txn, one)
            rows.append(found_creator(txn, one, 1).row)
        return rows

    assert await env.write(change) == [0, 1, 2]


async def test_content_lies_in_month_blocks_and_comes_newest_first(env: Environment) -> None:
    items = [item("a"), item("b", published_at=FEB), item("c", published_at=JAN + 5)]
    assert await env.write(lambda txn: put_items(txn, KEY, items))
    assert await env.read(lambda txn: months_of(txn, KEY)) == [month_of(JAN), month_of(FEB)]
    assert [one.content_id for one in await env.read(lambda txn: recent_items(txn, KEY, 2))] == ["b", "c"]
    assert await env.read(lambda txn: txn.counter(ITEMS)) == 3


async def test_a_listing_never_replaces_details(env: Environment) -> None:
    await env.write(lambda txn: put_items(txn, KEY, [item("a", detailed=True, views=9)]))
    assert not await env.write(lambda txn: put_items(txn, KEY, [item("a", fetched_at=900)]))
    (kept,) = await env.read(lambda txn: recent_items(txn, KEY, 5))
    assert kept.views == 9
    assert await env.read(lambda txn: known_ids(txn, KEY)) == {"a": True}


async def test_an_item_that_moves_to_another_month_stands_once(env: Environment) -> None:
    await env.write(lambda txn: put_items(txn, KEY, [item("a")]))
    await env.write(lambda txn: put_items(txn, KEY, [item("a", published_at=FEB, fetched_at=200)]))
    assert await env.read(lambda txn: months_of(txn, KEY)) == [month_of(FEB)]
    assert await env.read(lambda txn: txn.counter(ITEMS)) == 1


PAGES = st.lists(
    st.builds(
        lambda number, fetched_at, month, detailed: item(
            f"v{number}",
            fetched_at=fetched_at,
            detailed=detailed,
            published_at=JAN + month * 2_700_000,
            views=fetched_at if detailed else None,
        ),
        number=st.integers(0, 4),
        fetched_at=st.integers(1, 1_000_000),
        month=st.integers(0, 3),
        detailed=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda one: (one.content_id, one.fetched_at),
)


@settings(max_examples=40, deadline=None)
@given(pages=PAGES, seed=st.integers(0, 1_000))
def test_the_order_of_pages_does_not_matter(
    pages: list[ContentItem], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shuffled = pages[:] + pages[:3]
    random.Random(seed).shuffle(shuffled)
    ends = []
    for order in (pages, shuffled):
        env = Environment(tmp_path_factory.mktemp("order"), map_size_bytes=1 << 24)
        try:
            for one in order:
                said = Normalised(account_key=KEY, items=[one])
                env.write_now(partial(put_normalised, page=said, fetched_at=one.fetched_at))
            with env.snapshot() as txn:
                ends.append((recent_items(txn, KEY, 100), months_of(txn, KEY), txn.counter(ITEMS)))
        finally:
            env.close()
    assert ends[0] == ends[1]


async def test_vectors_are_replaced_by_field(env: Environment) -> None:
    def record(field: str, digest: str) -> EmbeddingRecord:
        return EmbeddingRecord(field=field, model_id="m", dims=1, input_hash=digest, vector=b"\0\0", updated_at=1)

    await env.write(lambda txn: put_account_vectors(txn, KEY, [record("bio", "1"), record("content.0", "2")], []))
    await env.write(lambda txn: put_account_vectors(txn, KEY, [record("bio", "3")], ["content.0"]))
    kept = await env.read(lambda txn: account_vectors(txn, KEY))
    assert {name: one.input_hash for name, one in kept.items()} == {"bio": "3"}
    await env.write(
        lambda txn: put_creator_embeddings(txn, CreatorId(5), [record("yt_bio", "1"), record("yt_content", "1")])
    )
    await env.write(lambda txn: put_creator_embeddings(txn, CreatorId(5), [record("yt_bio", "2")]))
    bundle = await env.read(lambda txn: [key for key, _ in txn.scan("embeddings")])
    assert len(bundle) == 1


async def test_the_index_log_holds_each_creator_once(env: Environment, catalog: Catalog) -> None:
    for creator_id in (7, 8, 7, 9, 7):
        await env.write(partial(log_indexed, creator_id=CreatorId(creator_id)))
    assert await catalog.changed_since(0, 10) == [(2, 8), (4, 9), (5, 7)]
    assert await catalog.changed_since(4, 10) == [(5, 7)]
    assert await catalog.index_sequence() == 5


def test_records_survive_appended_fields() -> None:
    class Grown(CreatorAccount, array_like=True):
        extra: str = "new"

    old = msgspec.msgpack.encode(account())
    assert msgspec.msgpack.decode(old, type=Grown).extra == "new"
    assert (
        msgspec.msgpack.decode(msgspec.msgpack.encode(Grown(**msgspec.structs.asdict(account()))), type=CreatorAccount)
        == account()
    )


async def test_young_content_leaves_counts_of_each_day(env: Environment) -> None:
    """Of the newest reading of a day, whichever comes first; what is old when it is first met leaves none."""
    key, day = account_key(Platform.YOUTUBE, "UCseries"), 86_400
    noon = 20_000 * day + day // 2

    def page_of(content_id: str, published_at: int, read_at: int, views: int) -> Normalised:
        known = {"account_key": key, "published_at": published_at, "fetched_at": read_at, "views": views}
        return Normalised(account_key=key, items=[item(content_id, **known, detailed=True)])

    pages = [
        (page_of("young", noon - day, noon, 10), noon),
        (page_of("young", noon - day, noon + 60, 12), noon + 60),
        (Normalised(account_key=key, counts=[ContentCounts(content_id="young", views=30, likes=3)]), noon + 2 * day),
        (page_of("old", noon - 40 * day, noon, 99), noon),
    ]
    for order in (pages, pages[::-1]):
        for page, read_at in order:
            await env.write(partial(put_normalised, page=page, fetched_at=read_at))
        series = await env.read(partial(snapshots_of, account=key))
        assert [(one.entity, one.day, one.views, one.likes) for one in series] == [
            ("young", 20_000, 12, None),
            ("young", 20_002, 30, 3),
        ]
        await env.write(lambda txn: [txn.delete("metrics", k) for k in [k for k, _ in txn.scan("metrics")]])


async def test_counts_of_items_that_are_unknown_removed_or_old_leave_none(env: Environment) -> None:
    """The Normaliser may meet them after the item went, or when it is too old to be tracked."""
    day = 86_400
    noon = 20_000 * day + day // 2
    known = [
        item(name, published_at=noon - days * day, fetched_at=noon, detailed=True)
        for name, days in (("young", 1), ("gone", 1), ("tracked", 20), ("old", 30))
    ]
    names = ("young", "gone", "tracked", "old", "unknown")
    counts = Normalised(account_key=KEY, counts=[ContentCounts(content_id=name, views=9) for name in names])
    await env.write(lambda txn: put_normalised(txn, Normalised(account_key=KEY, items=known), noon))
    await env.write(lambda txn: remove_content(txn, KEY, ["gone"]))
    await env.write(lambda txn: put_normalised(txn, counts, noon + 9 * day))
    series = await env.read(lambda txn: snapshots_of(txn, KEY))
    assert [(one.entity, one.day) for one in series] == [
        ("tracked", 20_000),
        ("young", 20_000),
        ("tracked", 20_009),
        ("young", 20_009),
    ]
    await env.write(lambda txn: put_normalised(txn, counts, noon + 10 * day))
    later = await env.read(lambda txn: snapshots_of(txn, KEY))
    assert [one.entity for one in later if one.day == 20_010] == ["young"]
