"""Packed creators → the store, in one transaction with the work they cause."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import msgspec

from actors.cadence import KEPT_ITEMS, VisitPolicy, visits
from actors.given_packing import Packed
from actors.identity_resolution import FOUNDER
from proto.identity import IdentityDecision
from proto.ids import AccountKey, Platform
from proto.messages import AccountUpserted, AnyWork, CreatorAggregated, CreatorEnriched
from proto.records import Activity, CreatorAccount, IdentityLink
from stores.belonging import Membership, arrange, founded_at
from stores.catalog import (
    CreatorBundle,
    get_account,
    get_creator,
    put_account,
    put_account_vectors,
    put_creator,
    put_creator_embeddings,
    put_first_embeddings,
)
from stores.content import PackedItems, put_packed
from stores.env import Txn
from stores.identity import put_decision, put_off
from stores.labels import put_labelling
from stores.ports import TextDocument
from stores.schedule import put_job
from stores.suppression import Suppression
from stores.work import enqueue

ADDED, KNOWN, FORGOTTEN = "added", "known", "forgotten"
BY = "import"
"""Who says that accounts of one line are one person's."""


class TakenIn(msgspec.Struct, kw_only=True):
    """``work`` is stored; ``bundle`` is what there is to index, of a creator that came with all it needs."""

    verdict: str
    work: list[AnyWork] = []
    bundle: CreatorBundle | None = None
    text: TextDocument | None = None
    """What keyword search sees of it."""
    notes: list[str] = []
    """What of the line was left out, besides what its reading left out."""


def lacking(txn: Txn, packed: Packed) -> dict[AccountKey, list[str]]:
    """What is known of accounts and would be lost, as the line does not say it."""
    found: dict[AccountKey, list[str]] = {}
    for account in packed.accounts:
        names = packed.unsaid.get(account.key)
        known = get_account(txn, account.key) if names else None
        if names and known is not None and known.fetched_at <= account.fetched_at:
            lost = [name for name in names if getattr(known, name) not in ("", None)]
            found |= {account.key: lost} if lost else {}
    return found


def notes_on(lacked: Mapping[AccountKey, Sequence[str]]) -> list[str]:
    return [
        f'an account stays as it is known, of which the line does not say {", ".join(names)} (say all, be it "" or null)'
        for names in lacked.values()
    ]


class TakingIn:
    """The rules, for one import."""

    def __init__(self, *, suppression: Suppression, visits_of: Mapping[Platform, VisitPolicy], now: int) -> None:
        self._suppression, self._visits_of, self._now = suppression, visits_of, now

    def put(self, txn: Txn, packed: Packed) -> TakenIn:
        """Nobody of a line of which one account asked to be forgotten is taken in: the rest would tell of it. A line with
        an account that is known brings news of its accounts, and changes nothing about whose they are."""
        accounts = packed.accounts
        if any(self._suppression.forbids(account.key, account.handle) for account in accounts):
            return TakenIn(verdict=FORGOTTEN)
        if any(get_account(txn, account.key) is not None for account in accounts):
            lacked = lacking(txn, packed)
            return TakenIn(verdict=KNOWN, work=self._put_news(txn, packed, lacked), notes=notes_on(lacked))
        for items, part in zip(packed.items, packed.bundle.accounts, strict=True):
            part.account = msgspec.structs.replace(
                self._scheduled(txn, part.account, items), creator_id=packed.bundle.creator.creator_id
            )  # known already, so that it is written once
            put_account(txn, part.account)
            put_packed(txn, part.account.key, items)
            put_account_vectors(txn, part.account.key, part.vectors.values(), ())
        bundle = self._put_creator(txn, packed)
        return self._handed_on(txn, packed, bundle)

    def _put_news(self, txn: Txn, packed: Packed, lacked: Container[AccountKey]) -> list[AnyWork]:
        """It goes the way of what a platform tells; of accounts that are ``lacked`` something the content alone."""
        work: list[AnyWork] = []
        for account, items in zip(packed.accounts, packed.items, strict=True):
            new = get_account(txn, account.key) is None
            told = self._scheduled(txn, account, items) if new else account
            changed = account.key not in lacked and put_account(txn, told)
            if put_packed(txn, account.key, items) or changed:
                work.append(enqueue(txn, AccountUpserted(account_key=account.key), self._now))
        return work

    def _put_creator(self, txn: Txn, packed: Packed) -> CreatorBundle:
        computed = packed.bundle.creator
        keys, founder = [account.key for account in packed.accounts], packed.founder
        for key in keys:  # of accounts that came in at once, the first key would found the creator
            founded_at(txn, key, self._now + (key != founder))
        self._say_one_person(txn, keys)
        links = tuple(
            IdentityLink(
                account_key=key,
                creator_id=computed.creator_id,
                confidence=1.0,
                evidence=FOUNDER if key == founder else [],
                decided_by="rule" if key == founder else "operator",
                at=self._now,
            )
            for key in keys
        )
        new = get_creator(txn, computed.creator_id) is None
        arrange(txn, [Membership(creator_id=computed.creator_id, links=links)], self._now)
        arranged = get_creator(txn, computed.creator_id)
        assert arranged is not None, "it was arranged a moment ago"
        creator = msgspec.structs.replace(computed, row=arranged.row, created_at=arranged.created_at)
        put_creator(txn, creator)
        embeddings = list(packed.bundle.embeddings.values())
        if new:
            put_first_embeddings(txn, creator.creator_id, embeddings)
        else:
            put_creator_embeddings(txn, creator.creator_id, embeddings)
        bundle = msgspec.structs.replace(packed.bundle, creator=creator)
        if packed.labelling is not None:
            put_labelling(txn, creator.creator_id, packed.labelling)
        return bundle

    def _say_one_person(self, txn: Txn, keys: list[AccountKey]) -> None:
        """A word on each pair: what the rules find in their texts may not tie them."""
        for at, first in enumerate(keys):
            for second in keys[at + 1 :]:
                put_decision(txn, IdentityDecision(first=first, second=second, same=True, at=self._now, actor=BY))

    def _handed_on(self, txn: Txn, packed: Packed, bundle: CreatorBundle) -> TakenIn:
        """To the first stage that has something left to do; whom they belong with otherwise is looked at later."""
        unembedded = set(packed.unembedded)
        for account in packed.accounts:
            if account.key not in unembedded:
                put_off(txn, account.key)
        if unembedded:
            messages: list[AnyWork] = [AccountUpserted(account_key=key) for key in sorted(unembedded)]
            return TakenIn(verdict=ADDED, work=[enqueue(txn, message, self._now) for message in messages])
        creator_id = bundle.creator.creator_id
        if packed.text is None:
            return TakenIn(verdict=ADDED, work=[enqueue(txn, CreatorAggregated(creator_id=creator_id), self._now)])
        return TakenIn(
            verdict=ADDED,
            work=[enqueue(txn, CreatorEnriched(creator_id=creator_id), self._now)],
            bundle=bundle,
            text=packed.text,
        )

    def _scheduled(self, txn: Txn, account: CreatorAccount, items: PackedItems) -> CreatorAccount:
        newest = items.published_at[: KEPT_ITEMS[Activity.ACTIVE]]
        planned = visits(account, newest, self._visits_of[account.platform], self._now)
        for job in planned:
            put_job(txn, job)
        return msgspec.structs.replace(account, next_due_at=planned[0].due_at)
