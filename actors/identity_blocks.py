"""Blocks of accounts alike, as one step of identity resolution sees them: who stands in them, and who meets whom."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence

from actors.identity_clusters import Pair, pair_of
from actors.identity_evidence import COMMON, EVERYDAY, FEW, MANY, name_each_other
from actors.identity_facts import BIO_NAMES, CONTENT_NAMES, OWNER
from proto.identity import BlockKey, IdentityFacts
from proto.ids import AccountKey
from stores.env import Txn
from stores.identity import WORD, get_facts, members, put_facts, word_count

MOST_ALIKE = MANY
"""A value that more accounts share is worth so little that it ties no two of them by itself."""
MOST_NAMED = 50
"""Likewise for how many name one account."""
_NAMING = (BIO_NAMES, CONTENT_NAMES)
_OF_NAMES = (OWNER, *_NAMING)
_TIES_NOBODY = (*_OF_NAMES, WORD)


class Blocks:
    """Reads each block and each account's facts once; lives as long as one step within one transaction."""

    def __init__(self, txn: Txn) -> None:
        self._txn = txn
        self._members: dict[BlockKey, list[AccountKey]] = {}
        self._facts: dict[AccountKey, IdentityFacts | None] = {}

    def facts(self, account: AccountKey) -> IdentityFacts | None:
        if account not in self._facts:
            self._facts[account] = get_facts(self._txn, account)
        return self._facts[account]

    def members(self, key: BlockKey) -> list[AccountKey]:
        """In key order, up to one more than are looked at."""
        if key not in self._members:
            self._members[key] = members(self._txn, key, _most(key) + 1)
        return self._members[key]

    def crowd(self, key: BlockKey) -> int:
        """How many stand in a block, up to one more than are looked at."""
        return word_count(self._txn, key) if key[:1] == WORD else len(self.members(key))

    def put(self, facts: IdentityFacts) -> list[BlockKey]:
        """Stores an account's facts; returns the blocks whose value is worth something else to all in them now."""
        account, old = facts.account_key, self.facts(facts.account_key)
        keys, old_keys = set(facts.keys), set(old.keys) if old else set()
        joined, left = sorted(keys - old_keys), sorted(old_keys - keys)
        before = {key: self._worth(key) for key in (*joined, *left)}
        put_facts(self._txn, facts, joined, left)
        self._facts[account] = facts
        self._follow(account, joined, left)
        return [key for key in sorted(before) if before[key] != self._worth(key)]

    def partners(self, keys: Iterable[BlockKey]) -> set[AccountKey]:
        """Who shares a block with an account that stands in these."""
        found: set[AccountKey] = set()
        keys = set(keys)
        for key in keys:
            if key[:1] == OWNER:
                met = [account for kind in _NAMING for account in self._uncrowded(kind + key[1:])]
            elif key[:1] in _NAMING:
                owners = self._uncrowded(OWNER + key[1:])
                met = owners if self.crowd(key) <= MOST_NAMED else [one for one in owners if self._names(one, keys)]
            else:
                met = self._uncrowded(key) if key[:1] != WORD else []
            found.update(met)
        return found

    def pairs_in(self, key: BlockKey) -> set[Pair]:
        """Pairs that a block ties, or tied before it became crowded."""
        if key[:1] == WORD:
            return self._pairs_around(members(self._txn, key, EVERYDAY + 1))
        if key[:1] not in _OF_NAMES:
            met = self.members(key)
            return {pair_of(one, other) for one in met for other in met if one < other}
        owners = self.members(OWNER + key[1:])
        naming = _NAMING if key[:1] == OWNER else (key[:1],)
        namers = [account for kind in naming for account in self.members(kind + key[1:])]
        return {pair_of(owner, namer) for owner in owners for namer in namers if owner != namer}

    def tie(self, one: IdentityFacts, other: IdentityFacts) -> bool:
        """Whether two accounts share a block that is not crowded, or one names the other."""
        mine, theirs = set(one.keys), set(other.keys)
        shared = {key for key in mine & theirs if key[:1] not in _TIES_NOBODY}
        named = {key for key in mine if key[:1] in _NAMING and OWNER + key[1:] in theirs}
        named |= {key for key in theirs if key[:1] in _NAMING and OWNER + key[1:] in mine}
        return (
            any(self._is_tie(key) for key in shared)
            or any(self._is_tie(key) and self._is_tie(OWNER + key[1:]) for key in named)
            or name_each_other(one, other)
        )

    def _is_tie(self, key: BlockKey) -> bool:
        return self.crowd(key) <= _most(key)

    def _names(self, account: AccountKey, keys: set[BlockKey]) -> bool:
        """Whether the account's bio names who stands in these blocks."""
        facts = self.facts(account)
        return facts is not None and any(key[:1] == BIO_NAMES and OWNER + key[1:] in keys for key in facts.keys)

    def _pairs_around(self, accounts: Sequence[AccountKey]) -> set[Pair]:
        known = [facts for account in accounts if (facts := self.facts(account)) is not None]
        return {
            pair_of(facts.account_key, other)
            for facts in known
            for other in self.partners(facts.keys)
            if other != facts.account_key
        }

    def _follow(self, account: AccountKey, joined: Sequence[BlockKey], left: Sequence[BlockKey]) -> None:
        """What was read of the blocks, as it is after a change."""
        for key in joined:
            if (met := self._members.get(key)) is not None:
                insort(met, account)
                del met[_most(key) + 1 :]
        for key in left:
            self._members.pop(key, None)

    def _uncrowded(self, key: BlockKey) -> list[AccountKey]:
        met = self.members(key)
        return met if len(met) <= _most(key) else []

    def _worth(self, key: BlockKey) -> int:
        """A number that changes with what a block's crowd makes of its value."""
        crowd = self.crowd(key)
        limits = {OWNER: (1, MOST_ALIKE), WORD: (COMMON, EVERYDAY)}.get(key[:1], (FEW, MANY, _most(key)))
        return sum(crowd > limit for limit in limits)


def _most(key: BlockKey) -> int:
    """Accounts of a block that are looked at."""
    return MOST_NAMED if key[:1] in _NAMING else MOST_ALIKE
