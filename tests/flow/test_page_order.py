"""The same pages twice, late and shuffled end in the same state: what arrives when must not matter."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import httpx2
import msgspec
import trio
import trio.testing

from actors import Meter, Outbox
from actors.discovery import DiscoveryBudgets
from actors.normaliser import Normaliser
from actors.platforms.instagram import InstagramAdapter
from actors.platforms.youtube import YouTubeAdapter
from daemon.evaluation.ingestion import policies_of
from daemon.evaluation.virtual_time import VirtualThreads
from proto.ids import Platform, RawId
from proto.messages import AnyWork, RawStored
from proto.records import JobKind, RawPage
from stores.env import Environment, Txn
from stores.raw import get_raw, put_raw, seal
from stores.suppression import Suppression
from stores.work import Work, enqueue
from tests.flow.played import DAY_SECONDS, POLICY, Played, small_world

SEED, SHUFFLES = 20_261_123, 10
STATE = ("accounts", "account_by_handle", "content", "content_months", "metrics", "dead_letters")
"""What a reader may see. Creators are found later, and what is fetched next is another matter."""
State = dict[str, dict[str, str]]


async def pages_of_two_days(folder: Path, clock: trio.testing.MockClock) -> tuple[list[RawPage], float]:
    """Every page that two days of a small living world left behind, oldest first, and when that was over."""
    play = Played(small_world(16), folder, clock, policy=POLICY, tokens=1, calls=200)
    async with play.playing():
        for channel in list(play.world.channels)[:4]:
            await play.happen("rename", account=channel, name=f"new.{channel[-6:]}")
            await play.happen("post", account=channel)
        await trio.sleep(2 * DAY_SECONDS)

        def look(txn: Txn) -> list[RawPage]:
            return [get_raw(txn, RawId(key.hex())) for key, _ in txn.scan("raw")]

        pages = await play.flow.env.read(look)
    return sorted(pages, key=lambda page: (page.fetched_at, page.account_key, page.kind)), play.now()


def _arrive(txn: Txn, page: RawPage) -> AnyWork:
    raw_id, body = seal(page)
    put_raw(txn, page, raw_id, body)
    return enqueue(txn, RawStored(raw_id=raw_id, platform=page.platform), page.fetched_at)


async def state_after(pages: list[RawPage], folder: Path, threads: VirtualThreads, now: float) -> State:
    """What the Normaliser makes of these pages in this order, each taken in before the next comes."""
    env = Environment(folder, map_size_bytes=1 << 30, run_sync=threads, durable=False)
    nobody = Suppression.open(folder / "suppression")
    async with httpx2.AsyncClient() as client:
        normaliser = partial(
            Normaliser,
            env=env,
            work=Work(env),
            adapters={
                Platform.YOUTUBE: YouTubeAdapter(
                    client, base_url="", feeds_url="", keys=(), now=lambda: now, timeout_seconds=1
                ),
                Platform.INSTAGRAM: InstagramAdapter(
                    client, base_url="", tokens={}, now=lambda: now, timeout_seconds=1
                ),
            },
            now=lambda: now,
            suppression=nobody,
            visits_of=policies_of(POLICY),
            backfill_items={Platform.YOUTUBE: 50, Platform.INSTAGRAM: 25},
            discovery=DiscoveryBudgets(),
            discovered_on=(),
            batch=8,
            meter=Meter(),
        )
        for begin in range(0, len(pages), 20):
            part = pages[begin : begin + 20]
            into, inbox = trio.open_memory_channel[AnyWork](len(part))
            out, _following = trio.open_memory_channel[AnyWork](len(part))
            for page in part:
                await into.send(await env.write(partial(_arrive, page=page)))
            into.close()
            await normaliser(inbox, Outbox(out, Meter())).run()
    with env.snapshot() as txn:
        found = {name: {key.hex(): value.hex() for key, value in txn.scan(name)} for name in STATE}
    nobody.close()
    env.close()
    return found


def profiles_first(pages: list[RawPage]) -> list[RawPage]:
    """The first profile of each account: nothing else is ever asked of one before that is taken in."""
    first: dict[str, RawPage] = {}
    for page in pages:
        if page.kind is JobKind.PROFILE:
            first.setdefault(page.account_key, page)
    return list(first.values())


def differences(found: dict[str, str], expected: dict[str, str]) -> list[tuple[str, object, object]]:
    """(key, what stands there, what should), readable."""
    keys = sorted(found.keys() | expected.keys())
    return [
        (bytes.fromhex(key).decode(errors="replace"), _shown(found.get(key)), _shown(expected.get(key)))
        for key in keys
        if found.get(key) != expected.get(key)
    ]


def _shown(value: str | None) -> object:
    return None if value is None else msgspec.msgpack.decode(bytes.fromhex(value)[1:])


async def test_pages_twice_late_and_shuffled_end_in_the_same_state(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, threads: VirtualThreads
) -> None:
    pages, now = await pages_of_two_days(tmp_path / "played", autojump_clock)
    expected = await state_after(profiles_first(pages) + pages, tmp_path / "in order", threads, now)
    assert len(expected["accounts"]) > 10
    assert len(expected["content"]) > 10
    for number in range(SHUFFLES):
        dice = random.Random(f"{SEED}/{number}")
        print(f"seed {SEED}, shuffle {number}: {len(pages)} pages")
        known = [page for page in pages if page.kind is not JobKind.STATS]  # counts are asked of known items only
        later = pages + dice.sample(pages, len(pages) // 3)
        dice.shuffle(known)
        dice.shuffle(later)
        order = profiles_first(pages) + known + later
        found = await state_after(order, tmp_path / f"shuffled {number}", threads, now)
        for name in STATE:
            assert differences(found[name], expected[name]) == [], name
