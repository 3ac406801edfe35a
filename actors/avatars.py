"""Looks at profile pictures, where the operator wants that: a hash of each is kept, the picture never."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import trio

from actors import Meter, Outbox
from models.avatar_hash import difference_hash
from proto.errors import PokedexError, Throttled, Unavailable
from proto.ids import AccountKey
from proto.messages import AccountEmbedded, AnyWork
from stores.avatars import Wanted, due_avatars, put_avatar, put_off
from stores.blocking import Blocking
from stores.env import Environment, Txn
from stores.work import enqueue

AT_ONCE = 4
BEAT_SECONDS = 1.0
"""Between so many pictures and the next: nobody's CDN is asked more often."""
REST_SECONDS = 60.0
"""Between walks through the queue."""


class Reply(Protocol):
    @property
    def body(self) -> bytes: ...


class Pictures(Protocol):
    """As `daemon.outside.Outside`, which reaches public addresses only."""

    async def get(self, url: str) -> Reply:
        """Raises PokedexError."""


class AvatarReader:
    """Works off the queue of `stores.avatars`; whose picture tells something new is compared again."""

    def __init__(
        self,
        outbox: Outbox[AnyWork],
        *,
        env: Environment,
        pictures: Pictures,
        threads: Blocking,
        now: Callable[[], float],
        stop: trio.Event,
        meter: Meter,
    ) -> None:
        self._outbox = outbox
        self._env, self._pictures, self._threads = env, pictures, threads
        self._now, self._stop, self._meter = now, stop, meter
        self._after: AccountKey | None = None

    async def run(self) -> None:
        """The source of its own work; returns once asked to stop."""
        while not self._stop.is_set():
            ended = await self.beat()
            with trio.move_on_after(REST_SECONDS if ended else BEAT_SECONDS):
                await self._stop.wait()

    async def beat(self) -> bool:
        """Looks at the next few pictures; True at the end of the queue, behind which it begins anew."""
        wanted = await self._env.read(partial(due_avatars, after=self._after, limit=AT_ONCE))
        with self._meter.working():
            async with trio.open_nursery() as nursery:
                for one in wanted:
                    nursery.start_soon(self._look_at, one)
        self._meter.handled += len(wanted)
        self._after = wanted[-1].account_key if len(wanted) == AT_ONCE else None
        return self._after is None

    async def _look_at(self, wanted: Wanted) -> None:
        try:
            bits = await self._bits_of(wanted)
        except (Unavailable, Throttled):
            await self._env.write(partial(put_off, wanted=wanted, now=int(self._now())))
            return

        def change(txn: Txn) -> AnyWork | None:
            if not put_avatar(txn, wanted, bits, int(self._now())):
                return None
            return enqueue(txn, AccountEmbedded(account_key=wanted.account_key), self._now())

        following = await self._env.write(change)
        if following is not None:
            await self._outbox.send(following)

    async def _bits_of(self, wanted: Wanted) -> bytes:
        """Empty for what is refused, gone or no picture. Raises Unavailable or Throttled."""
        if not wanted.url:
            return b""
        try:
            reply = await self._pictures.get(wanted.url)
            return await self._threads.call(difference_hash, reply.body)
        except (Unavailable, Throttled):
            raise
        except PokedexError:
            return b""
