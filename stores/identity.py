"""What identity resolution knows: facts of each account, blocks of accounts alike, scored pairs, operators' decisions."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import msgspec

from proto.identity import BlockKey, IdentityDecision, IdentityFacts, IdentityPair, Standing
from proto.ids import AccountKey
from proto.records import Record
from stores.codec import decode, encode
from stores.env import Environment, Txn
from stores.scan import Pair, scan_tables

TABLES = (
    "identity_facts",
    "identity_keys",
    "identity_words",
    "identity_pairs",
    "identity_review",
    "identity_decisions",
    "identity_backlog",
    "handle_history",
    "founders",
    "former_creators",
    "former_by_account",
    "retired_creators",
)
"""Databases of the environment that this store owns."""

WORD = b"t"
"""Kind of the block of a display name's word, which ties nobody and only tells how common the word is.

Its accounts are counted as they come and go: thousands may share a word, and every comparison asks how many.
"""

REVIEWS = "identity_reviews"
"""Kept counter: pairs that wait for a person's word."""

MOST_MET = 50
"""No more accounts than so many are tied by one block (actors/identity_resolution.py)."""
_NEGATIVE = 1 << 31


class HandleHeld(Record):
    """When an account was seen under a handle: first and last, in epoch seconds."""

    first_seen_at: int
    last_seen_at: int


class IdentityStore:
    """Reads for everyone; writes are functions of a transaction below."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    async def scan(self, cursor: bytes, limit: int) -> tuple[list[Pair], bytes | None]:
        """See `stores.ports.Scannable`."""
        return await scan_tables(self._env, TABLES, cursor, limit)


def get_facts(txn: Txn, account: AccountKey) -> IdentityFacts | None:
    stored = txn.get("identity_facts", account.encode())
    return decode(IdentityFacts, stored, "identity_facts", account.encode()) if stored else None


def put_facts(txn: Txn, facts: IdentityFacts, joined: Iterable[BlockKey], left: Iterable[BlockKey]) -> None:
    """``joined`` and ``left``: blocks that the account stands in from now on, and no more."""
    name = facts.account_key.encode()
    txn.put("identity_facts", name, encode(facts))
    for key in left:
        _leave(txn, key, name)
    for key in joined:
        txn.put("identity_keys", key + name, b"")
        _count(txn, key, 1)


def drop_facts(txn: Txn, account: AccountKey) -> list[AccountKey]:
    """Takes an account out of every block; returns whom it met there, who may be worth more to others now."""
    facts = get_facts(txn, account)
    if facts is None:
        return []
    name = account.encode()
    for key in facts.keys:
        _leave(txn, key, name)
    txn.delete("identity_facts", name)
    return sorted({met for key in facts.keys for met in members(txn, key, MOST_MET)})


def members(txn: Txn, key: BlockKey, limit: int) -> list[AccountKey]:
    """Accounts in a block, in the order of their keys; at most ``limit``."""
    entries = islice(txn.scan("identity_keys", key), limit)
    return [AccountKey(entry[len(key) :].decode()) for entry, _ in entries]


def word_count(txn: Txn, key: BlockKey) -> int:
    """In how many accounts' display names a word stands; ``key``: of the kind `WORD`."""
    stored = txn.get("identity_words", key)
    return int.from_bytes(stored, "big") if stored else 0


def get_pair(txn: Txn, first: AccountKey, second: AccountKey) -> IdentityPair | None:
    """``first`` < ``second``."""
    stored = txn.get("identity_pairs", _pair_key(first, second))
    return decode(IdentityPair, stored) if stored else None


def pairs_of(txn: Txn, account: AccountKey) -> list[IdentityPair]:
    """Every stored pair that the account is part of."""
    prefix = account.encode() + b"\0"
    found: list[IdentityPair] = []
    for key, value in txn.scan("identity_pairs", prefix):
        other = AccountKey(key[len(prefix) :].decode())
        pair = decode(IdentityPair, value) if value else get_pair(txn, other, account)
        assert pair is not None, "half a pair"
        found.append(pair)
    return found


def put_pair(txn: Txn, pair: IdentityPair) -> None:
    """With its place in the review queue, should it wait there."""
    delete_pair(txn, pair.first, pair.second)
    txn.put("identity_pairs", _pair_key(pair.first, pair.second), encode(pair))
    txn.put("identity_pairs", _pair_key(pair.second, pair.first), b"")
    if pair.standing is Standing.REVIEW:
        txn.put("identity_review", _review_key(pair), b"")
        txn.add(REVIEWS)


def delete_pair(txn: Txn, first: AccountKey, second: AccountKey) -> bool:
    """Returns whether there was one."""
    old = get_pair(txn, first, second)
    if old is None:
        return False
    txn.delete("identity_pairs", _pair_key(first, second))
    txn.delete("identity_pairs", _pair_key(second, first))
    if txn.delete("identity_review", _review_key(old)):
        txn.add(REVIEWS, -1)
    return True


def review_page(txn: Txn, after: bytes, limit: int) -> tuple[list[IdentityPair], bytes | None]:
    """Pairs that wait for a person's word, the likeliest first, behind a place, and the place to go on from."""
    entries = list(
        islice((key for key, _ in txn.scan("identity_review", start=after + b"\0" if after else None)), limit)
    )
    named = [key[4:].split(b"\0") for key in entries]
    found = [get_pair(txn, AccountKey(one.decode()), AccountKey(other.decode())) for one, other in named]
    return [pair for pair in found if pair is not None], entries[-1] if len(entries) == limit else None


def decisions_of(txn: Txn, account: AccountKey) -> list[IdentityDecision]:
    """What operators decided of pairs that the account is part of."""
    prefix = account.encode() + b"\0"
    return [decode(IdentityDecision, value) for _, value in txn.scan("identity_decisions", prefix)]


def put_decision(txn: Txn, decision: IdentityDecision) -> None:
    """An earlier one of the same pair is replaced."""
    for one, other in ((decision.first, decision.second), (decision.second, decision.first)):
        txn.put("identity_decisions", _pair_key(one, other), encode(decision))


def delete_decision(txn: Txn, first: AccountKey, second: AccountKey) -> bool:
    """Returns whether there was one."""
    txn.delete("identity_decisions", _pair_key(second, first))
    return txn.delete("identity_decisions", _pair_key(first, second))


def put_off(txn: Txn, account: AccountKey) -> None:
    """Whether the account belongs with others is looked at when there is time."""
    txn.put("identity_backlog", account.encode(), b"")


def take_back(txn: Txn, account: AccountKey) -> bool:
    """Returns whether it was put off."""
    return txn.delete("identity_backlog", account.encode())


def first_put_off(txn: Txn, limit: int) -> list[AccountKey]:
    pairs = zip(txn.scan("identity_backlog"), range(limit), strict=False)
    return [AccountKey(key.decode()) for (key, _), _ in pairs]


def note_handle(txn: Txn, account: AccountKey, handle: str, seen_at: int) -> None:
    """In whatever order pages come, the history is the same."""
    key = _handle_key(account, handle)
    stored = txn.get("handle_history", key)
    held = decode(HandleHeld, stored) if stored else HandleHeld(first_seen_at=seen_at, last_seen_at=seen_at)
    seen = msgspec.structs.replace(
        held, first_seen_at=min(held.first_seen_at, seen_at), last_seen_at=max(held.last_seen_at, seen_at)
    )
    if stored is None or seen != held:
        txn.put("handle_history", key, encode(seen))


def handles_of(txn: Txn, account: AccountKey) -> dict[str, HandleHeld]:
    """Every handle that the account was seen under, case-folded."""
    prefix = account.encode() + b"\0"
    return {key[len(prefix) :].decode(): decode(HandleHeld, value) for key, value in txn.scan("handle_history", prefix)}


def old_handles(txn: Txn, account: AccountKey, before: int | None = None) -> list[str]:
    """Handles last seen before an instant, or all."""
    held = handles_of(txn, account)
    return [handle for handle in held if before is None or held[handle].last_seen_at < before]


def forget_handles(txn: Txn, account: AccountKey, before: int | None = None) -> int:
    """Those of `old_handles`; returns how many."""
    old = old_handles(txn, account, before)
    for handle in old:
        txn.delete("handle_history", _handle_key(account, handle))
    return len(old)


def _leave(txn: Txn, key: BlockKey, name: bytes) -> None:
    if txn.delete("identity_keys", key + name):
        _count(txn, key, -1)


def _count(txn: Txn, key: BlockKey, delta: int) -> None:
    if key[:1] != WORD:
        return
    count = word_count(txn, key) + delta
    if count > 0:
        txn.put("identity_words", key, count.to_bytes(4, "big"))
    else:
        txn.delete("identity_words", key)


def _pair_key(one: AccountKey, other: AccountKey) -> bytes:
    return one.encode() + b"\0" + other.encode()


def _review_key(pair: IdentityPair) -> bytes:
    """The highest score first."""
    place = _NEGATIVE - int(max(min(pair.score, 1e6), -1e6) * 1_000)
    return place.to_bytes(4, "big") + _pair_key(pair.first, pair.second)


def _handle_key(account: AccountKey, handle: str) -> bytes:
    """A store's key has an end; it must not fall within a letter."""
    cut = handle.casefold().lstrip("@").encode()[:200].decode(errors="ignore")
    return account.encode() + b"\0" + cut.encode()
