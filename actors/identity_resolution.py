"""Facts of one account → scored pairs → creators, all within one transaction.

The outcome is a function of what is stored, never of the order in which it came: whenever a block's crowd changes what
its value is worth, every pair that shares it is weighed anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from actors.identity_clusters import Pair, Thresholds, pair_of, resolve
from actors.identity_evidence import COMMON, EVERYDAY, FEW, MANY, Evidence, evidence_of, explicit, name_each_other
from actors.identity_facts import BIO_NAMES, CONTENT_NAMES, OWNER, WORD
from actors.identity_weights import Weights, probability, score_of
from proto.identity import BlockKey, IdentityDecision, IdentityFacts, IdentityPair, Standing
from proto.ids import AccountKey, CreatorId, creator_id_of, split_account_key
from proto.records import EmbeddingRecord, IdentityLink
from stores.belonging import Membership, Rearranged, arrange, founded_at, members_of
from stores.catalog import get_account
from stores.codec import decode
from stores.env import Txn
from stores.identity import (
    decisions_of,
    delete_pair,
    get_facts,
    get_pair,
    members,
    pairs_of,
    put_facts,
    put_pair,
)

MOST_ALIKE = MANY
"""A value that more accounts share is worth so little that it ties no two of them by itself."""
MOST_NAMED = 50
"""Likewise for how many name one account."""
FOUNDER = [("founder", 1.0)]
"""The evidence of the account that names its creator."""
_NAMING = (BIO_NAMES, CONTENT_NAMES)
_OF_NAMES = (OWNER, *_NAMING)
_TIES_NOBODY = (*_OF_NAMES, WORD)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    weights: Weights
    thresholds: Thresholds


class Weighed(msgspec.Struct, kw_only=True):
    """``stirred``: accounts of which a pair changed; ``compared``: pairs that were looked at."""

    stirred: set[AccountKey] = set()
    compared: int = 0


def take_in(txn: Txn, facts: IdentityFacts, rules: Rules) -> Weighed:
    """Stores an account's facts and weighs every pair that they may change."""
    account = facts.account_key
    old = get_facts(txn, account)
    keys, old_keys = set(facts.keys), set(old.keys) if old else set()
    moved = sorted(keys ^ old_keys)
    before = {key: _worth(txn, key) for key in moved}
    put_facts(txn, facts, sorted(keys - old_keys), sorted(old_keys - keys))
    return _weigh(txn, account, keys, [key for key in moved if before[key] != _worth(txn, key)], rules)


def candidates(txn: Txn, account: AccountKey) -> list[tuple[Pair, Evidence, bool]]:
    """Every pair of the account that is weighed, what is said of it and whether it is explicit, whatever it is worth."""
    facts = get_facts(txn, account)
    if facts is None:
        return []
    pairs = sorted({pair_of(account, other) for other in _partners(txn, facts.keys) if other != account})
    found = ((pair, _evidence(txn, *pair)) for pair in pairs)
    return [(pair, *evidence) for pair, evidence in found if evidence is not None]


def settle(txn: Txn, accounts: Iterable[AccountKey], rules: Rules, now: int) -> Rearranged:
    """Puts these accounts, and all that are tied to them, into the creators that the pairs make of them."""
    near, pairs, decisions = _neighbourhood(txn, accounts, rules.thresholds)
    resolved = resolve(near, pairs, decisions, rules.thresholds)
    for before, after in zip(pairs, resolved.pairs, strict=True):
        if before != after:
            put_pair(txn, after)
    merged = {(pair.first, pair.second): pair for pair in resolved.pairs if pair.standing is Standing.MERGED}
    said = {(one.first, one.second) for one in decisions if one.same}
    return arrange(txn, [_membership(txn, cluster, merged, said, now) for cluster in resolved.clusters], now)


def _weigh(
    txn: Txn, account: AccountKey, keys: set[BlockKey], stirred_keys: Sequence[BlockKey], rules: Rules
) -> Weighed:
    wanted = {pair_of(account, other) for other in _partners(txn, keys) if other != account}
    wanted |= {(pair.first, pair.second) for pair in pairs_of(txn, account)}
    for key in stirred_keys:
        wanted |= _pairs_in(txn, key)
    weighed = Weighed(compared=len(wanted), stirred={account})
    for first, second in sorted(wanted):
        if _weigh_pair(txn, first, second, rules):
            weighed.stirred |= {first, second}
    return weighed


def _weigh_pair(txn: Txn, first: AccountKey, second: AccountKey, rules: Rules) -> bool:
    """Stores what the pair is worth now; returns whether that changed."""
    fresh = _score(txn, first, second, rules)
    if fresh is None or fresh.score < rules.thresholds.kept_from:
        return delete_pair(txn, first, second)
    old = get_pair(txn, first, second)
    if old is not None:
        fresh = msgspec.structs.replace(fresh, standing=old.standing, why=old.why)
    if fresh != old:
        put_pair(txn, fresh)
    return fresh != old


def _score(txn: Txn, first: AccountKey, second: AccountKey, rules: Rules) -> IdentityPair | None:
    found = _evidence(txn, first, second)
    if found is None:
        return None
    evidence, said = found
    score, parts = score_of(evidence, rules.weights)
    return IdentityPair(first=first, second=second, score=score, evidence=parts, explicit=said)


def _evidence(txn: Txn, first: AccountKey, second: AccountKey) -> tuple[Evidence, bool] | None:
    """And whether it is explicit. None for two that nothing ties."""
    one, other = get_facts(txn, first), get_facts(txn, second)
    if one is None or other is None or not _may_be_one(txn, one, other):
        return None
    found = evidence_of(one, other, lambda key: _crowd(txn, key), _cosine(txn, one, other))
    return found, explicit(one, other, found)


def _may_be_one(txn: Txn, one: IdentityFacts, other: IdentityFacts) -> bool:
    """Accounts of one platform only when each names the other; others when they share a block that is not crowded."""
    if _platform(one.account_key) == _platform(other.account_key):
        return name_each_other(one, other)
    mine, theirs = set(one.keys), set(other.keys)
    shared = {key for key in mine & theirs if key[:1] not in _TIES_NOBODY}
    shared |= {key for key in mine if key[:1] in _NAMING and OWNER + key[1:] in theirs}
    shared |= {key for key in theirs if key[:1] in _NAMING and OWNER + key[1:] in mine}
    return any(_crowd(txn, key) <= _most(key) for key in shared)


def _partners(txn: Txn, keys: Iterable[BlockKey]) -> set[AccountKey]:
    """Who shares a block with an account that stands in these."""
    found: set[AccountKey] = set()
    for key in keys:
        if key[:1] == OWNER:
            met = [account for kind in _NAMING for account in _uncrowded(txn, kind + key[1:])]
        elif key[:1] in _NAMING:
            met = members(txn, OWNER + key[1:], MOST_ALIKE) if _crowd(txn, key) <= MOST_NAMED else []
        else:
            met = _uncrowded(txn, key) if key[:1] != WORD else []
        found.update(met)
    return found


def _pairs_in(txn: Txn, key: BlockKey) -> set[Pair]:
    """Pairs that a block ties, or tied before it became crowded."""
    if key[:1] == WORD:
        known = [facts for account in members(txn, key, EVERYDAY + 1) if (facts := get_facts(txn, account)) is not None]
        return {
            pair_of(facts.account_key, other)
            for facts in known
            for other in _partners(txn, facts.keys)
            if other != facts.account_key
        }
    if key[:1] not in _OF_NAMES:
        met = members(txn, key, MOST_ALIKE + 1)
        return {pair_of(one, other) for one in met for other in met if one < other}
    owners = members(txn, OWNER + key[1:], MOST_ALIKE)
    naming = _NAMING if key[:1] == OWNER else (key[:1],)
    namers = [account for kind in naming for account in members(txn, kind + key[1:], MOST_NAMED + 1)]
    return {pair_of(owner, namer) for owner in owners for namer in namers if owner != namer}


def _uncrowded(txn: Txn, key: BlockKey) -> list[AccountKey]:
    met = members(txn, key, _most(key) + 1)
    return met if len(met) <= _most(key) else []


def _crowd(txn: Txn, key: BlockKey) -> int:
    """How many stand in a block, up to one more than may."""
    return len(members(txn, key, _most(key) + 1))


def _most(key: BlockKey) -> int:
    """Accounts of a block that are looked at."""
    return {WORD: EVERYDAY, BIO_NAMES: MOST_NAMED, CONTENT_NAMES: MOST_NAMED}.get(key[:1], MOST_ALIKE)


def _worth(txn: Txn, key: BlockKey) -> int:
    """A number that changes with what a block's crowd makes of its value."""
    crowd = _crowd(txn, key)
    limits = {OWNER: (1,), WORD: (COMMON, EVERYDAY)}.get(key[:1], (FEW, MANY, _most(key)))
    return sum(crowd > limit for limit in limits)


def _cosine(txn: Txn, one: IdentityFacts, other: IdentityFacts) -> float | None:
    """Of the stored bio vectors, when both have one of the same model."""
    if not one.vector_hash or not other.vector_hash:
        return None
    stored = [txn.get("account_vectors", facts.account_key.encode() + b"\0bio") for facts in (one, other)]
    records = [decode(EmbeddingRecord, value) for value in stored if value]
    if len(records) < 2 or records[0].model_id != records[1].model_id:
        return None
    mine, theirs = (np.frombuffer(record.vector, "<f2").astype(np.float32) for record in records)
    return float(mine @ theirs)


def _neighbourhood(
    txn: Txn, accounts: Iterable[AccountKey], thresholds: Thresholds
) -> tuple[list[AccountKey], list[IdentityPair], list[IdentityDecision]]:
    """The accounts, all that pairs, decisions or a creator in common tie to them, and what ties them."""
    near: set[AccountKey] = set()
    pairs: dict[Pair, IdentityPair] = {}
    decisions: dict[Pair, IdentityDecision] = {}
    waiting = list(accounts)
    while waiting:
        account = waiting.pop()
        if account in near or (stored := get_account(txn, account)) is None:
            continue
        near.add(account)
        if stored.creator_id is not None:
            waiting += members_of(txn, stored.creator_id)
        for pair in pairs_of(txn, account):
            pairs[pair.first, pair.second] = pair
            if pair.score >= thresholds.tied_from:
                waiting += [pair.first, pair.second]
        for decision in decisions_of(txn, account):
            decisions[decision.first, decision.second] = decision
            if decision.same:
                waiting += [decision.first, decision.second]
    within = [pair for at, pair in sorted(pairs.items()) if near.issuperset(at)]
    return sorted(near), within, [one for at, one in sorted(decisions.items()) if near.issuperset(at)]


def _membership(
    txn: Txn, cluster: Sequence[AccountKey], merged: Mapping[Pair, IdentityPair], said: set[Pair], now: int
) -> Membership:
    """The oldest account names the creator; each other one belongs by the pair that ties it best."""
    since = {account: founded_at(txn, account, now) for account in cluster}
    lead = min(cluster, key=lambda account: (since[account], account))
    creator_id = creator_id_of(lead)
    links = [
        IdentityLink(account_key=lead, creator_id=creator_id, confidence=1.0, evidence=FOUNDER, at=since[lead])
        if account == lead
        else _link(account, creator_id, cluster, merged, said, now)
        for account in cluster
    ]
    return Membership(creator_id=creator_id, links=tuple(links))


def _link(
    account: AccountKey,
    creator_id: CreatorId,
    cluster: Sequence[AccountKey],
    merged: Mapping[Pair, IdentityPair],
    said: set[Pair],
    now: int,
) -> IdentityLink:
    at = [pair_of(account, other) for other in cluster if other != account]
    by_operator = any(pair in said for pair in at)
    best = max((merged[pair] for pair in at if pair in merged), key=lambda pair: pair.score, default=None)
    return IdentityLink(
        account_key=account,
        creator_id=creator_id,
        confidence=1.0 if by_operator or best is None else round(probability(best.score), 6),
        evidence=best.evidence if best is not None else [],
        decided_by="operator" if by_operator else "rule",
        at=now,
    )


def _platform(account: AccountKey) -> str:
    return split_account_key(account)[0]
