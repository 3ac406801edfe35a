"""Profile pictures: whose are looked at, what is kept of them, and what that changes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import msgspec
import pytest
import trio

from actors import Meter, Outbox
from actors.avatars import AT_ONCE, AvatarReader
from daemon.outside import open_outside
from proto.errors import NotFound, PokedexError, Unavailable
from proto.ids import Platform
from proto.messages import AccountEmbedded, AnyWork
from proto.records import CreatorAccount
from stores.avatars import TRIES, bits_of, due_avatars, get_avatar, want_avatar
from stores.blocking import Blocking
from stores.catalog import put_account
from stores.env import Environment, Txn
from stores.erasure import Limits, erase_account, erase_expired, expired_of
from tests.models.test_avatar_hash import drawn, written

NOW = 1_790_000_000
URL = "https://cdn.example/v/1.jpg"


class Reply(msgspec.Struct, frozen=True):
    body: bytes


class Served:
    """Pictures by URL; notes what was asked for."""

    def __init__(self, pictures: Mapping[str, bytes | PokedexError]) -> None:
        self._pictures = pictures
        self.asked: list[str] = []

    async def get(self, url: str) -> Reply:
        self.asked.append(url)
        found = self._pictures.get(url.partition("?")[0], NotFound(f"{url}: status 404"))
        if isinstance(found, PokedexError):
            raise found
        return Reply(body=found)


def account(user_id: str = "1", url: str = URL + "?signed=1") -> CreatorAccount:
    return CreatorAccount(
        platform=Platform.INSTAGRAM,
        platform_user_id=user_id,
        handle=f"name{user_id}",
        profile_image_url=url,
        fetched_at=NOW,
    )


async def want(env: Environment, *accounts: CreatorAccount) -> None:
    def change(txn: Txn) -> None:
        for one in accounts:
            put_account(txn, one)
            want_avatar(txn, one)

    await env.write(change)


async def beat(env: Environment, served: Served, times: int = 1) -> list[AnyWork]:
    sender, receiver = trio.open_memory_channel[AnyWork](50)
    reader = AvatarReader(
        Outbox(sender, Meter()),
        env=env,
        pictures=served,
        threads=Blocking("avatars", 1, trio.to_thread.run_sync),
        now=lambda: float(NOW),
        stop=trio.Event(),
        meter=Meter(),
    )
    for _ in range(times):
        await reader.beat()
    sender.close()
    return [message async for message in receiver]


async def due(env: Environment) -> int:
    return len(await env.read(partial(due_avatars, after=None, limit=100)))


async def test_of_a_picture_a_hash_is_kept_and_the_account_is_compared_anew(env: Environment) -> None:
    picture = written(drawn(1))
    await want(env, account())
    served = Served({URL: picture})
    told = await beat(env, served, times=2)
    assert [message.entity for message in told if isinstance(message, AccountEmbedded)] == ["instagram:1"]
    assert served.asked == [URL + "?signed=1"]
    bits = await env.read(partial(bits_of, account=account()))
    assert len(bits) == 8
    assert not await env.read(lambda txn: [value for _, value in txn.scan("avatars") if picture[:64] in value])
    await want(env, account(url=URL + "?signed=again"))
    assert await due(env) == 0, "the same picture under a new signature"
    await want(env, account(url="https://cdn.example/v/2.jpg"))
    assert await due(env) == 1
    assert await env.read(partial(get_avatar, account=account().key)) is None


@pytest.mark.parametrize("answer", [b"<html>", NotFound("gone")])
async def test_what_is_no_picture_is_asked_for_once(env: Environment, answer: bytes | PokedexError) -> None:
    await want(env, account())
    served = Served({URL: answer})
    assert await beat(env, served, times=2) == []
    assert len(served.asked) == 1
    assert await env.read(partial(bits_of, account=account())) == b""


async def test_what_cannot_be_had_now_is_asked_for_again_and_given_up_in_the_end(env: Environment) -> None:
    await want(env, account())
    served = Served({URL: Unavailable("down")})
    assert await beat(env, served, times=TRIES + 3) == []
    assert len(served.asked) == TRIES
    assert await due(env) == 0


async def test_the_queue_is_walked_whole(env: Environment) -> None:
    everybody = [account(str(number), f"https://cdn.example/v/{number}.jpg") for number in range(2 * AT_ONCE + 1)]
    await want(env, *everybody)
    served = Served({one.profile_image_url: written(drawn(3)) for one in everybody})
    told = await beat(env, served, times=3)
    assert len(told) == len(everybody) == len(set(served.asked))
    assert await due(env) == 0


async def test_a_picture_in_a_private_network_is_never_asked_for(env: Environment) -> None:
    await want(env, account(url="http://127.0.0.1:9/avatar.jpg"))
    async with open_outside(max_bytes=1_000, total_seconds=5) as guarded:
        assert await beat(env, guarded) == []  # type: ignore[arg-type]
    kept = await env.read(partial(get_avatar, account=account().key))
    assert kept is not None
    assert kept.bits == b""


async def test_whoever_goes_takes_the_hash_along(env: Environment) -> None:
    await want(env, account(), account("2"))
    await beat(env, Served({URL: written(drawn(1))}))
    limits = Limits(fields_before=NOW + 1, refresh_before=0, statistics_before=0, derives=True, asked_by_handle=True)
    expired = await env.read(partial(expired_of, key=account().key, limits=limits, now=NOW + 9))
    assert expired.former == 2, "its handle and the hash"
    await env.write(partial(erase_expired, key=account().key, limits=limits, now=NOW + 9))
    await env.write(partial(erase_account, key=account("2").key, now=NOW))
    for database in ("avatars", "avatars_due"):
        assert await env.read(lambda txn, database=database: txn.entries(database)) == 0  # type: ignore[misc]


async def test_what_nobody_has_any_more_leaves_the_queue(env: Environment) -> None:
    await want(env, account())
    await env.write(lambda txn: txn.delete("accounts", account().key.encode()))
    served = Served({})
    await beat(env, served)
    assert served.asked == []
    assert await due(env) == 0
