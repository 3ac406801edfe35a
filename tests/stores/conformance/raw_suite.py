"""What every RawStore must do; ``put`` gives the backend's transactions."""

from __future__ import annotations

import pytest

from proto.errors import NotFound
from proto.ids import AccountKey, Platform, RawId, account_key
from proto.records import JobKind, RawPage
from stores.env import Environment
from stores.raw import RawStore, put_raw, seal

ALICE = account_key(Platform.YOUTUBE, "UCalice")


def page(body: bytes = b'{"id": 1}', **fields: object) -> RawPage:
    known: dict[str, object] = {
        "platform": Platform.YOUTUBE,
        "kind": JobKind.PROFILE,
        "account_key": ALICE,
        "fetched_at": 1_000,
        "request": "GET /channels?id=UCalice",
        "body": body,
    }
    return RawPage(**(known | fields))  # type: ignore[arg-type]


class RawConformance:
    async def put(self, env: Environment, one: RawPage) -> RawId:
        raw_id, body_zstd = seal(one)
        await env.write(lambda txn: put_raw(txn, one, raw_id, body_zstd))
        return raw_id

    @pytest.mark.parametrize("body", [b"", b"{}", b"\0\xff" * 9, b"long " * 50_000])
    async def test_a_page_comes_back_as_it_was(self, env: Environment, raw: RawStore, body: bytes) -> None:
        one = page(body, listed_before=50, walked=100)
        assert await raw.get(await self.put(env, one)) == one

    async def test_pages_come_in_the_order_asked(self, env: Environment, raw: RawStore) -> None:
        ids = [await self.put(env, page(body)) for body in (b"1", b"2", b"3")]
        assert [one.body for one in await raw.get_many(ids[::-1])] == [b"3", b"2", b"1"]

    async def test_an_unknown_page_is_not_found(self, env: Environment, raw: RawStore) -> None:
        known = await self.put(env, page())
        with pytest.raises(NotFound):
            await raw.get(RawId("00" * 16))
        with pytest.raises(NotFound):
            await raw.get_many([known, RawId("00" * 16)])

    async def test_the_same_bytes_are_stored_once_and_last_seen_counts(self, env: Environment, raw: RawStore) -> None:
        first = await self.put(env, page(fetched_at=1_000))
        for fetched_at in (2_000, 1_500):
            assert await self.put(env, page(fetched_at=fetched_at)) == first
        assert await raw.of_account(ALICE) == [first]
        assert (await raw.get(first)).fetched_at == 2_000

    async def test_an_accounts_pages_come_oldest_first(self, env: Environment, raw: RawStore) -> None:
        late = await self.put(env, page(b"late", fetched_at=3_000))
        early = await self.put(env, page(b"early", fetched_at=900))
        longer_key = AccountKey(ALICE + "s")
        other = await self.put(env, page(b"other", account_key=longer_key, fetched_at=1_000))
        assert await raw.of_account(ALICE) == [early, late]
        assert await raw.of_account(longer_key) == [other]
        assert await raw.of_account(AccountKey("youtube:nobody")) == []
