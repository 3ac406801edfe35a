"""The simulator's own endpoints: its books, its world, its switches, and what shall happen."""

from __future__ import annotations

from typing import get_args

import msgspec
from quart import Response, request
from quart_trio import QuartTrio

from daemon.simulator.accounting import Accounting
from daemon.simulator.events import (
    AccountEvent,
    AnyEvent,
    FeedsDown,
    KillHub,
    PostNow,
    ReviveHub,
    RevokeToken,
    VideoEvent,
)
from daemon.simulator.faults import FaultDraw, Faults
from daemon.simulator.feeds import Feeds
from daemon.simulator.hub import Hub
from daemon.simulator.llm import Llm
from daemon.simulator.present import PresentWorld
from daemon.simulator.quota import Quota
from daemon.simulator.replies import json_reply
from daemon.simulator.tokens import TokenBook
from daemon.simulator.world import Video

_EVENTS: msgspec.json.Decoder[AnyEvent | list[AnyEvent]] = msgspec.json.Decoder(AnyEvent | list[AnyEvent])


class Control:
    """Below ``/_simulator``: accounting, accounts, world, faults, events."""

    def __init__(
        self,
        present: PresentWorld,
        draw: FaultDraw,
        books: Accounting,
        quota: Quota,
        tokens: TokenBook,
        feeds: Feeds,
        hub: Hub,
        llm: Llm,
        keys: set[str],
    ) -> None:
        self._present, self._draw, self._books, self._quota = present, draw, books, quota
        self._tokens, self._feeds, self._hub, self._llm = tokens, feeds, hub, llm
        self.keys = keys
        """The API keys that count."""

    def add_to(self, app: QuartTrio) -> None:
        app.add_url_rule("/_simulator/accounting", "accounting", self._accounting)
        app.add_url_rule("/_simulator/accounts", "accounts", self._accounts)
        app.add_url_rule("/_simulator/world", "world", self._described)
        app.add_url_rule("/_simulator/faults", "faults", self._faults, methods=["GET", "POST"])
        app.add_url_rule("/_simulator/events", "events", self._events, methods=["POST"])

    def happen(self, event: AnyEvent) -> str:
        """The id of what a post made, else "". Raises KeyError for what does not exist."""
        if isinstance(event, get_args(AccountEvent)):
            self._present.happen(event)
            return self._posted(event.account) if isinstance(event, PostNow) else ""
        if isinstance(event, get_args(VideoEvent)):
            self._hub.changed(self._present.happen_to_video(event), event)
        elif isinstance(event, FeedsDown):
            begin = self._present.clock() if event.at is None else event.at
            self._feeds.outage(event.share, begin, event.seconds)
        elif isinstance(event, RevokeToken):
            self._revoke(event.name)
        elif isinstance(event, (KillHub, ReviveHub)):
            self._hub.dead = isinstance(event, KillHub)
        return ""

    def _posted(self, account: str) -> str:
        made = self._present.last_extra(account)
        if isinstance(made, Video):
            self._hub.posted(made)
        return made.id

    def _revoke(self, name: str) -> None:
        """A token by its name, or a YouTube key."""
        if name in self.keys:
            self.keys.discard(name)
        else:
            self._tokens.revoke(name)

    async def _accounting(self) -> Response:
        return json_reply(
            self._books.books(
                self._quota.charged(),
                dict(self._quota.refused),
                buckets=self._quota.books(),
                tokens=self._tokens.books(),
                hub=dict(self._hub.counts) | {"subscriptions": len(self._hub.subscriptions)},
                llm=self._llm.books(),
            )
        )

    async def _accounts(self) -> Response:
        """Ids, sorted; ``names=1``: of Instagram the usernames of today, by which alone accounts are found."""
        world = self._present.world
        if request.args.get("platform") != "instagram":
            return json_reply(sorted(world.channels))
        if request.args.get("names"):
            return json_reply(sorted(profile.username for profile in self._present.profiles()))
        return json_reply(sorted(profile.id for profile in world.profiles.values()))

    async def _described(self) -> Response:
        world = self._present.world
        return json_reply(
            {
                "now": world.now,
                "channels": len(world.channels),
                "videos": len(world.videos),
                "profiles": len(world.profiles),
                "posts": sum(len(profile.posts) for profile in world.profiles.values()),
                "clock": self._present.clock(),
            }
        )

    async def _faults(self) -> Response:
        """The switches; a POST sets all of them, those not named to their defaults."""
        if request.method == "POST":
            try:
                self._draw.replace(msgspec.json.decode(await request.get_data(), type=Faults))
            except msgspec.DecodeError as error:
                return json_reply({"error": str(error)}, 400)
        return json_reply(msgspec.to_builtins(self._draw.faults))

    async def _events(self) -> Response:
        """One event or a list; of the posts among them the ids."""
        try:
            given = _EVENTS.decode(await request.get_data())
            made = [self.happen(event) for event in (given if isinstance(given, list) else [given])]
        except msgspec.DecodeError as error:
            return json_reply({"error": str(error)}, 400)
        except KeyError as error:
            return json_reply({"error": f"there is no {error.args[0]}"}, 404)
        return json_reply({"posted": [one for one in made if one]})
