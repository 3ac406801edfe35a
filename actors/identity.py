"""Accounts → creators: which of them are one person's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from actors import CurrentBatches, Inbox, Meter, Outbox
from actors.identity_facts import facts_of
from actors.identity_resolution import Rules, settle, take_in
from proto.identity import IdentityFacts
from proto.ids import AccountKey, Platform
from proto.messages import AccountEmbedded, AccountGiven, AnyWork, CreatorResolved, CreatorRetired
from stores.avatars import bits_of, drop_avatar, want_avatar
from stores.blocking import Blocking
from stores.catalog import AccountBundle, account_bundle, get_account
from stores.env import Environment, Txn
from stores.identity import handles_of
from stores.work import Work, complete, enqueue


class IdentityResolver:
    """Single: the only writer of which account belongs to whom. Facts are read off texts in a thread of their own.

    ``retired`` takes creators that are merged into others to whoever indexes, past the stages that compute;
    ``pictured``: platforms whose accounts' pictures are looked at (`actors.avatars`).
    """

    def __init__(
        self,
        inbox: Inbox[AnyWork],
        outbox: Outbox[AnyWork],
        retired: Outbox[AnyWork],
        *,
        env: Environment,
        work: Work,
        rules: Rules,
        threads: Blocking,
        recent_items: int,
        pictured: Collection[Platform],
        now: Callable[[], float],
        batch: int,
        meter: Meter,
    ) -> None:
        self._inbox, self._outbox, self._retired = inbox, outbox, retired
        self._env, self._work, self._rules, self._threads = env, work, rules, threads
        self._pictured = pictured
        self._recent_items, self._now, self._batch, self._meter = recent_items, now, batch, meter

    async def run(self) -> None:
        async for messages in CurrentBatches(self._inbox, self._batch, self._work):
            with self._meter.working():
                following = await self._handle([m for m in messages if isinstance(m, AccountEmbedded | AccountGiven)])
            self._meter.handled += len(messages)
            for message in following:
                await (self._retired if isinstance(message, CreatorRetired) else self._outbox).send(message)

    async def _handle(self, messages: list[AccountEmbedded | AccountGiven]) -> list[AnyWork]:
        """Facts are of a snapshot: should an account change meanwhile, a later message brings it back."""
        facts = await self._threads.call(self._read, messages)

        def change(txn: Txn) -> list[AnyWork]:
            following: list[AnyWork] = []
            for message, known in zip(messages, facts, strict=True):
                if complete(txn, message) and known is not None and get_account(txn, message.account_key) is not None:
                    following += self._resolve(txn, known, given=isinstance(message, AccountGiven))
            return following

        return await self._env.write(change)

    def _read(self, messages: Sequence[AccountEmbedded | AccountGiven]) -> list[IdentityFacts | None]:
        with self._env.snapshot() as txn:
            read = [self._known(txn, message.account_key) for message in messages]
        return [None if known is None else _facts(*known) for known in read]

    def _known(self, txn: Txn, key: AccountKey) -> tuple[AccountBundle, list[str], bytes] | None:
        bundle = account_bundle(txn, key, self._recent_items)
        if bundle is None:
            return None
        avatar = bits_of(txn, bundle.account) if bundle.account.platform in self._pictured else b""
        return bundle, list(handles_of(txn, key)), avatar

    def _resolve(self, txn: Txn, facts: IdentityFacts, *, given: bool) -> list[AnyWork]:
        """``given``: what its creator is computed of stands already, unless it comes to be another's."""
        now = int(self._now())
        self._follow_picture(txn, facts.account_key)
        weighed = take_in(txn, facts, self._rules)
        rearranged = settle(txn, weighed.stirred, self._rules, now)
        account = get_account(txn, facts.account_key)
        assert account is not None and account.creator_id is not None, "settled without a creator"
        concerned = {*rearranged.changed} if given else {*rearranged.changed, account.creator_id}
        said: list[AnyWork] = [CreatorResolved(creator_id=creator_id) for creator_id in sorted(concerned)]
        said += [CreatorRetired(creator_id=creator_id, row=row) for creator_id, row in rearranged.retired.items()]
        return [enqueue(txn, message, now) for message in said]

    def _follow_picture(self, txn: Txn, key: AccountKey) -> None:
        """Where pictures are looked at no more, what they told goes."""
        account = get_account(txn, key)
        if account is not None and account.platform in self._pictured:
            want_avatar(txn, account)
        else:
            drop_avatar(txn, key)


def _facts(bundle: AccountBundle, handles: Sequence[str], avatar: bytes) -> IdentityFacts:
    vector = bundle.vectors.get("bio")
    vector_hash = vector.input_hash if vector is not None else ""
    return facts_of(bundle.account, bundle.items, former_handles=handles, vector_hash=vector_hash, avatar=avatar)
