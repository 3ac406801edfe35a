"""Keeps a hub's subscriptions: asks for the channels that are lively, renews their leases, gives up the others."""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial

import httpx2
import msgspec
import trio

from actors import Meter
from actors.cadence import activity_of
from actors.push_trust import Verdict, judge
from proto.ids import Platform, account_key, split_account_key
from proto.records import AccountStatus, Activity, CreatorAccount, Event
from stores.catalog import accounts_page, get_account
from stores.content import recent_items
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.subscriptions import (
    AGAIN_SECONDS,
    LONGEST_LEASE_SECONDS,
    Mode,
    State,
    Subscription,
    begin_request,
    forget_subscription,
    is_trusted,
    is_wanted,
    next_action_at,
    next_due,
    prune_tallies,
    put_off,
    put_trusted,
    subscribed,
    tallies,
    unwant,
    want,
)

PAGE = 200
"""Accounts looked at in one snapshot."""
BEAT_SECONDS = 2.0
"""Between pages; a million accounts are walked in under three hours."""
SHORTEST_REST_SECONDS, LONGEST_REST_SECONDS = 60.0, 3_600.0
"""Between walks, as long as the walk took: a few new channels need not wait for an hour, many are not walked always."""
IDLE_SECONDS = 60.0
"""Between looks for what is due, while nothing is."""
JUDGE_SECONDS = 300.0
"""Between verdicts on the hub; adds to `actors.push_trust.notice_seconds`."""
VERIFY_SECONDS = 60
"""How long the hub may take to verify what it accepted, before it is asked again; doubles with each request."""
UNVERIFIED = 3
"""Accepted requests for one channel without a verification, after which the operator is told, once a day."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 30.0, 3_600.0
"""How long a hub that fails is left alone altogether; doubles, and is jittered down to half."""
LONGEST_RETRY_AFTER_SECONDS = 86_400.0


class HubSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the hub is and what it is told. ``topic_url`` and ``callback_url`` end where id and token follow."""

    hub_url: str
    topic_url: str
    callback_url: str
    lease_seconds: int
    max_subscriptions: int
    requests_per_second: float
    timeout_seconds: float


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request came to nothing. ``passing``: the hub's fault, to be tried again; else a hard refusal."""

    reason: str
    passing: bool
    retry_after_seconds: float = 0.0


class Subscriber:
    """One request at a time, so that a hub that hangs is asked once a time-out. Judges the hub now and then."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        settings: HubSettings,
        *,
        env: Environment,
        journal: Journal,
        now: Callable[[], float],
        jitter: random.Random,
        stop: trio.Event,
        meter: Meter,
        mint: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        """``mint``: makes tokens and secrets; 32 random bytes, base64url, are far below the hub's 200 (2.2)."""
        self._client, self._settings, self._env, self._journal = client, settings, env, journal
        self._now, self._jitter, self._stop, self._meter, self._mint = now, jitter, stop, meter, mint
        self._wanted = trio.Event()
        """Set when a walk changed something, so that nobody waits for it."""
        self._after = ""
        self._failures = 0
        self._held_until = 0.0
        self._complained_at = -math.inf

    async def run(self) -> None:
        """Returns soon after ``stop``, even amid a request, which the next process then makes again."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._walk)
            nursery.start_soon(self._judge)
            nursery.start_soon(self._request)
            await self._stop.wait()
            nursery.cancel_scope.cancel("stop")

    async def _walk(self) -> None:
        began = trio.current_time()
        while True:
            if not await self.walk_page():
                await trio.sleep(BEAT_SECONDS)
                continue
            took_seconds = trio.current_time() - began
            await trio.sleep(min(max(took_seconds, SHORTEST_REST_SECONDS), LONGEST_REST_SECONDS))
            began = trio.current_time()

    async def _judge(self) -> None:
        while True:
            await self.judge_hub()
            await trio.sleep(JUDGE_SECONDS)

    async def _request(self) -> None:
        while True:
            wait_seconds = await self._wait_seconds()
            if wait_seconds <= 0:
                await self.request_next()
                await trio.sleep(1.0 / self._settings.requests_per_second)
                continue
            with trio.move_on_after(min(wait_seconds, IDLE_SECONDS)):
                await self._wanted.wait()
            self._wanted = trio.Event()

    async def _wait_seconds(self) -> float:
        """Until there is something to ask for, as far as is known now."""
        due_at = await self._env.read(next_action_at)
        return math.inf if due_at is None else max(due_at, self._held_until) - self._now()

    async def walk_page(self) -> bool:
        """Wants and gives up the channels of the next page of accounts; True when the walk has come to its end."""
        now, after = self._now(), self._after
        with self._meter.working():
            ids, changed = await self._env.read(lambda txn: self._look(txn, after, now))
            if changed:
                await self._settle_all([(*one, self._mint(), self._mint()) for one in changed], now)
        self._after = ids[-1] if len(ids) == PAGE else ""
        return not self._after

    def _look(self, txn: Txn, after: str, now: float) -> tuple[list[str], list[tuple[str, bool]]]:
        """A page of channels in key order, and those of them that may change, with whether they are lively."""
        prefix = account_key(Platform.YOUTUBE, "").encode()
        behind = account_key(Platform.YOUTUBE, after) if after else None
        keys, accounts = accounts_page(txn, prefix, behind, PAGE)
        looked = ((one.platform_user_id, txn.if_whole(partial(_is_lively, txn, one, now))) for one in accounts)
        judged = [(channel_id, lively) for channel_id, lively in looked if lively is not None]
        room = self._room(txn)
        changed = [one for one in judged if room < 0 or is_wanted(txn, one[0]) != one[1]]
        return [split_account_key(key)[1] for key in keys], changed

    async def _settle_all(self, channels: list[tuple[str, bool, str, str]], now: float) -> None:
        def change(txn: Txn) -> None:
            for one in channels:
                self._settle(txn, *one, now)

        await self._env.write(change)
        self._wanted.set()

    def _settle(self, txn: Txn, channel_id: str, lively: bool, token: str, secret: str, now: float) -> None:
        room = self._room(txn)
        if not lively or room < 0:
            unwant(txn, channel_id, now)
        elif room > 0:
            want(txn, channel_id, now, token=token, secret=secret)

    def _room(self, txn: Txn) -> int:
        """How many more channels may be subscribed; negative when there are too many."""
        return self._settings.max_subscriptions - subscribed(txn)

    async def request_next(self) -> bool:
        """Asks the hub for what has been due for longest; False when nothing is."""
        now = self._now()
        asked = await self._env.write(lambda txn: self._begin(txn, now))
        if asked is None:
            return False
        with self._meter.working():
            refused = await self._ask(asked)
        self._meter.handled += 1
        if refused is not None:
            await self._put_off(asked, refused)
            return True
        self._failures = 0
        if asked.attempts >= UNVERIFIED:
            await self._complain(asked)
        return True

    def _begin(self, txn: Txn, now: float) -> Subscription | None:
        """An account that is no longer there takes its subscription with it."""
        while (due := next_due(txn, now)) is not None:
            if get_account(txn, account_key(Platform.YOUTUBE, due.channel_id)) is not None:
                wait = min(VERIFY_SECONDS * 2**due.attempts, AGAIN_SECONDS)
                return begin_request(txn, due, now, now + wait)
            forget_subscription(txn, due.channel_id)
        return None

    async def _ask(self, asked: Subscription) -> Refused | None:
        try:
            with trio.fail_after(self._settings.timeout_seconds):
                reply = await self._client.post(self._settings.hub_url, data=self._form(asked))
        except (httpx2.HTTPError, trio.TooSlowError) as error:
            return Refused(reason=f"{type(error).__name__}: {error}", passing=True)
        if reply.is_success:
            return None
        return Refused(
            reason=f"{reply.status_code} {masked(reply.text, asked)[:200]}",
            passing=reply.status_code in (408, 429) or reply.status_code >= 500,
            retry_after_seconds=retry_after(reply.headers.get("retry-after", ""), self._now()),
        )

    def _form(self, asked: Subscription) -> dict[str, str]:
        form = {
            "hub.mode": asked.mode.value,
            "hub.topic": self._settings.topic_url + asked.channel_id,
            "hub.callback": self._settings.callback_url + asked.token,
            "hub.verify": "async",
        }
        if asked.mode is Mode.SUBSCRIBE:
            form["hub.lease_seconds"] = str(min(self._settings.lease_seconds, LONGEST_LEASE_SECONDS))
            form["hub.secret"] = asked.secret
        return form

    async def _put_off(self, asked: Subscription, refused: Refused) -> None:
        """A hub that fails is left alone for all channels; one that refuses, for this one."""
        now = self._now()
        if refused.passing:
            pause = min(FIRST_PAUSE_SECONDS * 2**self._failures, LONGEST_PAUSE_SECONDS)
            self._failures = min(self._failures + 1, 10)
            pause = max(pause * self._jitter.uniform(0.5, 1.0), refused.retry_after_seconds)
            self._held_until = again_at = now + pause
        else:
            again_at = now + AGAIN_SECONDS * self._jitter.uniform(0.5, 1.0)
        state = State.PENDING if refused.passing else State.REFUSED
        await self._env.write(lambda txn: put_off(txn, asked, again_at, state))
        kind = "hub_unavailable" if refused.passing else "hub_refused"
        detail = f"{asked.mode.value}: {refused.reason}; again in {again_at - now:.0f} s"
        await self._event(kind, "warning", asked.channel_id, detail)

    async def _complain(self, asked: Subscription) -> None:
        """Most likely the hub cannot reach our callback."""
        if self._now() - self._complained_at < AGAIN_SECONDS:
            return
        self._complained_at = self._now()
        detail = f"{asked.attempts} requests accepted, none verified; is {self._settings.callback_url} reachable?"
        await self._event("hub_unverified", "warning", asked.channel_id, detail)

    async def judge_hub(self) -> Verdict:
        """Weighs pushes against polls; a changed verdict is stored and told."""
        now = self._now()

        def change(txn: Txn) -> tuple[Verdict, bool]:
            prune_tallies(txn, now)
            before = is_trusted(txn)
            verdict = judge(tallies(txn), now, trusted=before)
            if verdict.trusted != before:
                put_trusted(txn, verdict.trusted)
            return verdict, verdict.trusted != before

        verdict, changed = await self._env.write(change)
        if changed:
            await self._tell(verdict)
        return verdict

    async def _tell(self, verdict: Verdict) -> None:
        counts = f"{verdict.hits} posts told by push, {verdict.misses} found by polls first"
        if verdict.trusted:
            await self._event("hub_trusted", "info", "hub", counts)
        else:
            kind = "hub_silent" if verdict.silent else "hub_distrusted"
            await self._event(kind, "warning", "hub", f"{counts}; polls take over")

    async def _event(self, kind: str, severity: str, subject: str, detail: str) -> None:
        await self._journal.event(
            Event(at=int(self._now()), kind=kind, severity=severity, subject=subject, detail=detail[:500])
        )


def masked(text: str, asked: Subscription) -> str:
    """A hub may quote what it was sent; token and secret belong in no log."""
    return text.replace(asked.token, "…").replace(asked.secret, "…")


def retry_after(header: str, now: float) -> float:
    """Seconds that a Retry-After asks for, as a number or a date (RFC 9110 10.2.3); 0 for none, a day at most."""
    try:
        seconds = float(header) if header.isascii() and header.isdecimal() else _instant(header) - now
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)


def _instant(header: str) -> float:
    """Raises ValueError for what is no HTTP date."""
    moment = parsedate_to_datetime(header)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_lively(txn: Txn, account: CreatorAccount, now: float) -> bool:
    newest = next(iter(recent_items(txn, account.key, 1)), None)
    activity = activity_of(account, newest.published_at if newest else None, now)
    return account.status is AccountStatus.ACTIVE and activity is Activity.ACTIVE
