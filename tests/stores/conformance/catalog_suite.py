"""What every Catalog must do; ``change`` gives the backend's transactions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import TypeVar

from proto.ids import AccountKey, CreatorId, Platform, account_key
from proto.records import ContentItem, Creator, CreatorAccount, EmbeddingRecord
from stores.catalog import (
    Catalog,
    put_account,
    put_account_vectors,
    put_creator,
    put_creator_embeddings,
)
from stores.content import put_items
from stores.env import Environment, Txn
from tests.founding import found_creator

T = TypeVar("T")

NOW = 1_790_000_000
NOBODY = AccountKey("youtube:nobody")
NO_CREATOR = CreatorId(404)


def account(user_id: str, **fields: object) -> CreatorAccount:
    known: dict[str, object] = {"platform": Platform.YOUTUBE, "platform_user_id": user_id, "fetched_at": NOW}
    return CreatorAccount(**(known | fields))  # type: ignore[arg-type]


def item(content_id: str, owner: AccountKey, published_at: int) -> ContentItem:
    return ContentItem(content_id=content_id, account_key=owner, published_at=published_at, fetched_at=NOW)


def embedding(field: str) -> EmbeddingRecord:
    return EmbeddingRecord(field=field, model_id="m", dims=1, input_hash="h", vector=b"\0\0", updated_at=NOW)


def key_of(user_id: str) -> AccountKey:
    return account_key(Platform.YOUTUBE, user_id)


class CatalogConformance:
    async def change(self, env: Environment, function: Callable[[Txn], T]) -> T:
        return await env.write(function)

    async def founded(self, env: Environment, *user_ids: str) -> list[Creator]:
        """One creator for each account."""

        def found(txn: Txn) -> list[Creator]:
            creators = []
            for user_id in user_ids:
                put_account(txn, account(user_id))
                creators.append(found_creator(txn, account(user_id), NOW))
            return creators

        return await self.change(env, found)

    async def test_what_is_absent_is_none(self, catalog: Catalog) -> None:
        assert await catalog.account(NOBODY) is None
        assert await catalog.creator(NO_CREATOR) is None
        assert await catalog.account_by_handle(Platform.YOUTUBE, "nobody") is None
        assert await catalog.account_bundles([NOBODY], 5) == [None]
        assert await catalog.creator_bundles([NO_CREATOR], 5) == [None]
        assert await catalog.creators_with_accounts([NO_CREATOR]) == [None]
        assert await catalog.recent_content(NO_CREATOR, 5) == []
        assert await catalog.changed_since(0, 5) == []

    async def test_answers_keep_the_order_of_the_question(self, env: Environment, catalog: Catalog) -> None:
        first, second = await self.founded(env, "a", "b")
        accounts = await catalog.account_bundles([key_of("b"), NOBODY, key_of("a")], 5)
        assert [bundle and bundle.account.key for bundle in accounts] == [key_of("b"), None, key_of("a")]
        wanted = [second.creator_id, NO_CREATOR, first.creator_id]
        creators = await catalog.creator_bundles(wanted, 5)
        assert [bundle and bundle.creator.row for bundle in creators] == [1, None, 0]
        pairs = await catalog.creators_with_accounts(wanted)
        assert [pair and [one.key for one in pair[1]] for pair in pairs] == [[key_of("b")], None, [key_of("a")]]

    async def test_a_bundle_holds_all_that_a_creator_is_made_of(self, env: Environment, catalog: Catalog) -> None:
        (creator,) = await self.founded(env, "a")

        def fill(txn: Txn) -> None:
            put_items(txn, key_of("a"), [item(f"v{number}", key_of("a"), NOW + number) for number in range(4)])
            put_account_vectors(txn, key_of("a"), [embedding("bio")], [])
            put_creator_embeddings(txn, creator.creator_id, [embedding("yt_bio"), embedding("yt_content")])

        await self.change(env, fill)
        (bundle,) = await catalog.creator_bundles([creator.creator_id], 2)
        assert bundle is not None
        (part,) = bundle.accounts
        assert part.account.creator_id == creator.creator_id
        assert [(one.content_id, one.account_key) for one in part.items] == [("v3", key_of("a")), ("v2", key_of("a"))]
        assert set(part.vectors) == {"bio"}
        assert set(bundle.embeddings) == {"yt_bio", "yt_content"}
        assert await catalog.account_bundles([key_of("a")], 2) == [part]

    async def test_recent_content_is_newest_first_over_months(self, env: Environment, catalog: Catalog) -> None:
        (creator,) = await self.founded(env, "a")
        month = 31 * 86_400
        items = [item(f"v{number}", key_of("a"), NOW - number * month) for number in (3, 0, 2, 1)]
        await self.change(env, lambda txn: put_items(txn, key_of("a"), items))
        found = await catalog.recent_content(creator.creator_id, 3)
        assert [one.content_id for one in found] == ["v0", "v1", "v2"]

    async def test_creators_and_accounts_are_paged_without_gaps(self, env: Environment, catalog: Catalog) -> None:
        creators = await self.founded(env, *(f"c{number}" for number in range(7)))
        ids: list[CreatorId] = []
        keys: list[AccountKey] = []
        for wanted in (3, 3, 1, 0):
            page = await catalog.creator_ids(ids[-1] if ids else None, 3)
            found = await catalog.account_keys(keys[-1] if keys else None, 3)
            assert len(page) == len(found) == wanted
            ids += page
            keys += found
        assert ids == sorted(creator.creator_id for creator in creators)
        assert keys == [key_of(f"c{number}") for number in range(7)]

    async def test_a_creator_is_replaced_whole(self, env: Environment, catalog: Catalog) -> None:
        (creator,) = await self.founded(env, "a")
        named = Creator(creator_id=creator.creator_id, row=creator.row, name="Alice", account_keys=creator.account_keys)
        await self.change(env, lambda txn: put_creator(txn, named))
        assert await catalog.creator(creator.creator_id) == named
        assert (await catalog.counts()).creators == 1

    async def test_a_handle_that_changed_owner_stays_with_the_new_one(self, env: Environment, catalog: Catalog) -> None:
        for one in (
            account("a", handle="star"),
            account("b", handle="Star", fetched_at=NOW + 1),
            account("a", handle="former", fetched_at=NOW + 2),
        ):
            await self.change(env, lambda txn, one=one: put_account(txn, one))  # type: ignore[misc]
        assert await catalog.account_by_handle(Platform.YOUTUBE, "star") == key_of("b")
        assert await catalog.account_by_handle(Platform.YOUTUBE, "former") == key_of("a")

    async def test_whose_a_handle_is_does_not_depend_on_the_order_of_pages(
        self, env: Environment, catalog: Catalog
    ) -> None:
        """It moved from one account to another, while a third claims it at the same time as that one."""
        for number, order in enumerate(permutations(range(4))):
            first, second, third = (f"{letter}{number}" for letter in "abc")
            pages = [
                account(first, handle=f"star{number}"),
                account(second, handle=f"Star{number}", fetched_at=NOW + 1),
                account(third, handle=f"star{number}", fetched_at=NOW + 1),
                account(first, handle=f"former{number}", fetched_at=NOW + 2),
            ]
            for one in [pages[at] for at in order]:
                await self.change(env, lambda txn, one=one: put_account(txn, one))  # type: ignore[misc]
            assert await catalog.account_by_handle(Platform.YOUTUBE, f"star{number}") == key_of(second), order
            assert await catalog.account_by_handle(Platform.YOUTUBE, f"former{number}") == key_of(first), order

    async def test_handles_of_two_platforms_do_not_mix(self, env: Environment, catalog: Catalog) -> None:
        other = account("7", platform=Platform.INSTAGRAM, handle="same")
        for one in (account("a", handle="same"), other):
            await self.change(env, lambda txn, one=one: put_account(txn, one))  # type: ignore[misc]
        assert await catalog.account_by_handle(Platform.YOUTUBE, "same") == key_of("a")
        assert await catalog.account_by_handle(Platform.INSTAGRAM, "@SAME") == other.key

    async def test_counts_follow_what_is_stored(self, env: Environment, catalog: Catalog) -> None:
        await self.founded(env, "a", "b")
        items = [item("v1", key_of("a"), NOW), item("v2", key_of("a"), NOW)]
        for _ in range(2):
            await self.change(env, lambda txn: put_items(txn, key_of("a"), items))
            await self.change(env, lambda txn: put_account(txn, account("a", fetched_at=NOW + 5)))
        counts = await catalog.counts()
        assert (counts.creators, counts.accounts, counts.content_items) == (2, 2, 2)

    async def test_named_settings_are_kept(self, catalog: Catalog) -> None:
        assert await catalog.meta("taxonomy") == ""
        await catalog.put_meta("taxonomy", "v2 é")
        assert await catalog.meta("taxonomy") == "v2 é"

    async def test_a_walk_meets_everything_and_ends(self, env: Environment, catalog: Catalog) -> None:
        await self.founded(env, "a", "b", "c")
        whole, end = await catalog.scan(b"", 10_000)
        assert end is None
        met: list[tuple[bytes, bytes]] = []
        cursor: bytes | None = b""
        while cursor is not None:
            pairs, cursor = await catalog.scan(cursor, 2)
            met += pairs
        assert met == whole
        assert len(met) >= 6
