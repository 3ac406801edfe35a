"""The identity stage with its inbox and outboxes: what it says to the stages behind it."""

from __future__ import annotations

import functools
from collections.abc import Collection

import msgspec
import trio

from actors import Meter, Outbox
from actors.identity import IdentityResolver
from actors.reading import with_extracted
from daemon.config import Config
from daemon.pipeline import identity_rules
from proto.ids import CreatorId, Platform, creator_id_of
from proto.messages import AccountEmbedded, AnyWork, CreatorResolved, CreatorRetired
from proto.records import CreatorAccount, Normalised
from stores.avatars import due_avatars, put_avatar
from stores.belonging import present_id
from stores.blocking import Blocking
from stores.catalog import get_account, put_account
from stores.env import Environment, Txn
from stores.identity import handles_of, pairs_of
from stores.work import Work, enqueue

NOW = 1_790_000_000
CHANNEL = "UCabcdefghijklmnopqrstuA"


def account(platform: Platform, user_id: str, at: int, *, handle: str, name: str = "", bio: str = "") -> CreatorAccount:
    said = CreatorAccount(
        platform=platform, platform_user_id=user_id, handle=handle, display_name=name, bio=bio, fetched_at=at
    )
    read = with_extracted(Normalised(account_key=said.key, account=said, items=[])).account
    assert read is not None
    return read


async def resolved(env: Environment, *accounts: CreatorAccount) -> list[AnyWork]:
    """The accounts as they are now go through the stage, one after the other; what it tells the others."""
    return [message for one in accounts for message in await _through(env, one)]


async def _through(env: Environment, *accounts: CreatorAccount, pictured: Collection[Platform] = ()) -> list[AnyWork]:
    into, inbox = trio.open_memory_channel[AnyWork](len(accounts))
    resolved_to, resolved_from = trio.open_memory_channel[AnyWork](50)
    retired_to, retired_from = trio.open_memory_channel[AnyWork](50)
    for one in accounts:

        def arrive(txn: Txn, one: CreatorAccount) -> AnyWork:
            put_account(txn, one)
            return enqueue(txn, AccountEmbedded(account_key=one.key), one.fetched_at)

        await into.send(await env.write(functools.partial(arrive, one=one)))
    into.close()
    await IdentityResolver(
        inbox,
        Outbox(resolved_to, Meter()),
        Outbox(retired_to, Meter()),
        env=env,
        work=Work(env),
        rules=identity_rules(Config()),
        threads=Blocking("identity", 1, trio.to_thread.run_sync),
        recent_items=20,
        pictured=pictured,
        now=lambda: float(accounts[-1].fetched_at),
        batch=64,
        meter=Meter(),
    ).run()
    resolved_to.close()
    retired_to.close()
    return [message async for message in resolved_from] + [message async for message in retired_from]


async def creator_of(env: Environment, one: CreatorAccount) -> CreatorId | None:
    stored = await env.read(lambda txn: get_account(txn, one.key))
    assert stored is not None
    return stored.creator_id


def youtube(at: int, *, handle: str = "gearbox", name: str = "Gear Box", bio: str = "") -> CreatorAccount:
    return account(Platform.YOUTUBE, CHANNEL, at, handle=handle, name=name, bio=bio)


def instagram(user_id: str, at: int, *, handle: str, name: str = "", bio: str = "") -> CreatorAccount:
    return account(Platform.INSTAGRAM, user_id, at, handle=handle, name=name, bio=bio)


async def test_a_creator_that_comes_late_is_merged_into_the_older_and_leaves_the_indexes(env: Environment) -> None:
    channel = youtube(NOW, bio="")
    profile = instagram("1", NOW + 10, handle="zanzibar")
    first = await resolved(env, channel, profile)
    assert {message.creator_id for message in first if isinstance(message, CreatorResolved)} == {
        creator_id_of(channel.key),
        creator_id_of(profile.key),
    }
    linked = youtube(NOW + 20, bio="instagram.com/zanzibar")
    back = instagram("1", NOW + 30, handle="zanzibar", bio=f"youtube.com/channel/{CHANNEL}")
    told = await resolved(env, linked, back)
    assert [message.creator_id for message in told if isinstance(message, CreatorRetired)] == [
        creator_id_of(profile.key)
    ]
    assert await creator_of(env, profile) == creator_id_of(channel.key)
    assert await env.read(lambda txn: present_id(txn, creator_id_of(profile.key))) == creator_id_of(channel.key)


async def test_a_renamed_account_keeps_its_creator(env: Environment) -> None:
    channel = youtube(NOW, bio="instagram.com/gear.box")
    await resolved(env, channel, instagram("1", NOW + 1, handle="gear.box", name="Gear Box"))
    await resolved(env, instagram("1", NOW + 60, handle="somewhere.else", name="Gear Box"))
    assert await creator_of(env, instagram("1", 0, handle="")) == creator_id_of(channel.key)


async def test_who_takes_over_the_handle_stays_somebody_else(env: Environment) -> None:
    channel = youtube(NOW, bio="instagram.com/gear.box")
    await resolved(env, channel, instagram("1", NOW + 1, handle="gear.box", name="Gear Box"))
    thief = instagram("2", NOW + 90, handle="gear.box", name="Zoe Zander")
    await resolved(env, instagram("1", NOW + 60, handle="gearbox.official", name="Gear Box"), thief)
    assert await creator_of(env, thief) == creator_id_of(thief.key)
    assert await creator_of(env, channel) == creator_id_of(channel.key)


async def test_a_bio_that_links_somebody_else_takes_the_creator_there(env: Environment) -> None:
    channel = youtube(NOW, handle="zanzibar", name="Gear Box", bio="instagram.com/gear.box")
    first, second = (
        instagram("1", NOW + 1, handle="gear.box", name="Gear Box"),
        instagram("2", NOW + 1, handle="box.of.gear", name="Gear Box"),
    )
    await resolved(env, channel, first, second)
    assert await creator_of(env, first) == creator_id_of(channel.key)
    assert await creator_of(env, second) == creator_id_of(second.key)
    moved = youtube(NOW + 60, handle="zanzibar", name="Gear Box", bio="instagram.com/box.of.gear")
    told = await resolved(env, moved)
    assert await creator_of(env, second) == creator_id_of(channel.key)
    assert await creator_of(env, first) == creator_id_of(first.key)
    assert creator_id_of(first.key) in {message.creator_id for message in told if isinstance(message, CreatorResolved)}


async def test_a_crowd_that_links_to_a_creator_does_not_take_it_apart(env: Environment) -> None:
    channel = youtube(NOW, bio="instagram.com/zanzibar")
    profile = instagram("1", NOW, handle="zanzibar", bio=f"youtube.com/channel/{CHANNEL}")
    crowd = [
        instagram(f"9{at}", NOW + at, handle=f"other{at}", bio=f"youtube.com/channel/{CHANNEL} instagram.com/zanzibar")
        for at in range(60)
    ]
    await resolved(env, channel, profile, *crowd)
    assert await creator_of(env, profile) == await creator_of(env, channel)
    again = youtube(NOW + 100, bio="My instagram.com/zanzibar")
    await resolved(env, again)
    assert await creator_of(env, profile) == await creator_of(env, channel)
    assert await creator_of(env, crowd[0]) != await creator_of(env, channel)


async def test_a_handle_in_any_script_and_of_any_length_is_remembered(env: Environment) -> None:
    long = youtube(NOW, handle="日本" * 60)
    await resolved(env, long, youtube(NOW + 9, handle="ö" * 150))
    held = await env.read(lambda txn: handles_of(txn, long.key))
    assert {len(handle.encode()) for handle in held} == {198, 200}


async def test_a_picture_in_common_counts_until_the_account_has_another(env: Environment) -> None:
    bits = bytes(range(8))
    accounts = [
        msgspec.structs.replace(one, profile_image_url=f"https://cdn.example/{one.key}.jpg")
        for one in (youtube(NOW, handle="gearbox", name=""), instagram("1", NOW, handle="gear.box.two"))
    ]
    both = (Platform.YOUTUBE, Platform.INSTAGRAM)
    await _through(env, *accounts, pictured=both)
    for wanted in await env.read(functools.partial(due_avatars, after=None, limit=9)):
        await env.write(functools.partial(put_avatar, wanted=wanted, bits=bits, now=NOW))
    evidence = await evidence_after(env, *accounts, pictured=both)
    assert "avatar:same_rare" in evidence
    another = msgspec.structs.replace(accounts[0], profile_image_url="https://cdn.example/another.jpg")
    assert "avatar:same_rare" not in await evidence_after(env, another, accounts[1], pictured=both)
    assert len(await env.read(functools.partial(due_avatars, after=None, limit=9))) == 1
    await _through(env, *accounts)
    assert not await env.read(lambda txn: txn.entries("avatars") + txn.entries("avatars_due")), "nobody looks any more"


async def evidence_after(env: Environment, *accounts: CreatorAccount, pictured: Collection[Platform] = ()) -> set[str]:
    await _through(env, *accounts, pictured=pictured)
    pairs = await env.read(functools.partial(pairs_of, account=accounts[0].key))
    return {what for pair in pairs for what, _ in pair.evidence}
