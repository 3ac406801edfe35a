"""Days of a small living world in virtual time: the real stages, stores and adapters against the simulated platforms."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import trio
import trio.testing
from quart_trio import QuartTrio

from actors import Meter
from actors.cadence import VisitPolicy
from actors.subscriber import HubSettings, Subscriber
from daemon.evaluation.ingestion import LIMITS, Flow, InProcess, Run, make_world
from daemon.simulator.faults import Faults
from daemon.simulator.world import World
from daemon.web import hub
from daemon.web.hub import HubServices
from proto.ids import AccountKey, Platform, account_key
from proto.records import ContentItem, CreatorAccount, Event, Normalised
from stores.catalog import get_account
from stores.codec import decode
from stores.content import recent_items
from stores.env import Txn
from stores.journal import Journal
from stores.subscriptions import TOPICS
from stores.suppression import Suppression

DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600
POLICY = VisitPolicy(cadence="adaptive", feeds=True)


HUB = HubSettings(
    hub_url="http://platform/hub/subscribe",
    topic_url=TOPICS[1],
    callback_url="http://127.0.0.1/websub/",
    lease_seconds=432_000,
    max_subscriptions=1_000,
    requests_per_second=2.0,
    timeout_seconds=30.0,
)


class Played(Run):
    """A world whose accounts are all known when it begins; then things happen to it."""

    flow: Flow

    def __init__(
        self, world: World, folder: Path, clock: trio.testing.MockClock, *, policy: VisitPolicy, tokens: int, calls: int
    ) -> None:
        super().__init__(world, policy, 1, folder, clock)
        self.world, self._clock = world, clock
        self._tokens, self._calls = tokens, calls
        self.met: Counter[str] = Counter()

    @asynccontextmanager
    async def playing_with_push(self) -> AsyncIterator[Played]:
        """Also the hub, the callback and the stage that keeps the subscriptions."""
        callback = QuartTrio("callback", static_folder=None)
        hub_client = httpx2.AsyncClient(transport=InProcess(callback))
        async with self.playing(hub_client=hub_client):
            env, journal, stop = self.flow.env, Journal(self.flow.env, lambda _: None), trio.Event()
            self.pushes = Counter[str]()
            nobody = Suppression.open(self._folder / "callback-suppression")
            services = HubServices(
                env=env,
                journal=journal,
                covers=nobody.covers,
                now=self.now,
                observe=lambda outcome: self.pushes.update([outcome]),
            )
            hub.register(callback, services)
            async with (
                httpx2.AsyncClient(transport=InProcess(self.platform), base_url="http://platform") as client,
                self.platform.test_app(),
                trio.open_nursery() as nursery,
            ):
                subscriber = Subscriber(
                    client,
                    HUB,
                    env=env,
                    journal=journal,
                    now=self.now,
                    jitter=random.Random(1),
                    stop=stop,
                    meter=Meter(),
                )
                nursery.start_soon(subscriber.run)
                yield self
                stop.set()
            nobody.close()

    @asynccontextmanager
    async def playing(
        self, faults: Faults | None = None, hub_client: httpx2.AsyncClient | None = None
    ) -> AsyncIterator[Played]:
        await self.load()
        self._began = self._clock.current_time()
        self.platform = self._platform(
            LIMITS, self._calls, faults or Faults(), living=True, tokens=self._tokens, hub_client=hub_client
        )
        await self._spread_visits()
        async with self._flow(self.platform, LIMITS, self._calls, self._tokens) as self.flow:
            yield self

    def note(self, said: Normalised) -> None:
        super().note(said)
        self.met.update(item.content_id for item in said.items)

    async def happen(self, kind: str, **fields: Any) -> Any:
        """Something happens to the world at once (daemon/simulator/events.py)."""
        return await self._post("events", {"kind": kind, **fields})

    async def switch(self, **faults: Any) -> None:
        """Sets the faults that are named, and all others to nothing."""
        await self._post("faults", faults)

    async def books(self) -> dict[str, Any]:
        reply = await self.platform.test_client().get("/_simulator/accounting")
        found: dict[str, Any] = json.loads(await reply.get_data(as_text=True))
        return found

    async def _post(self, what: str, body: object) -> Any:
        reply = await self.platform.test_client().post(
            f"/_simulator/{what}", data=msgspec.json.encode(body), headers={"Content-Type": "application/json"}
        )
        text = await reply.get_data(as_text=True)
        assert reply.status_code < 300, text
        return json.loads(text)

    async def account(self, key: AccountKey) -> CreatorAccount:
        found = await self.flow.env.read(lambda txn: get_account(txn, key))
        assert found is not None, key
        return found

    async def accounts(self, platform: Platform) -> list[CreatorAccount]:
        def look(txn: Txn) -> list[CreatorAccount]:
            return [decode(CreatorAccount, value) for _, value in txn.scan("accounts", platform.value.encode() + b":")]

        return await self.flow.env.read(look)

    async def items(self, key: AccountKey) -> list[ContentItem]:
        return await self.flow.env.read(lambda txn: recent_items(txn, key, 500))

    async def events(self) -> list[Event]:
        return await Journal(self.flow.env, lambda _: None).recent_events(1_000)

    async def told(self) -> Counter[str]:
        return Counter(event.kind for event in await self.events())


def small_world(accounts: int, seed: int = 3) -> World:
    return make_world(accounts, seed)


def channel_key(channel: str) -> AccountKey:
    return account_key(Platform.YOUTUBE, channel)


def profile_key(profile: str) -> AccountKey:
    return account_key(Platform.INSTAGRAM, profile)
