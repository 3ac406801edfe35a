"""Facts of one account → scored pairs → creators, all within one transaction.

The outcome is a function of what is stored, never of the order in which it came: whenever a block's crowd changes what
its value is worth, every pair that shares it is weighed anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from actors.identity_blocks import Blocks
from actors.identity_clusters import Pair, Thresholds, pair_of, resolve
from actors.identity_evidence import Evidence, evidence_of, explicit, name_each_other
from actors.identity_weights import Weights, probability, score_of
from proto.identity import IdentityDecision, IdentityFacts, IdentityPair, Standing
from proto.ids import AccountKey, CreatorId, creator_id_of, split_account_key
from proto.records import EmbeddingRecord, IdentityLink
from stores.belonging import Membership, Rearranged, arrange, founded_at, members_of
from stores.catalog import get_account
from stores.codec import decode
from stores.env import Txn
from stores.identity import (
    decisions_of,
    delete_pair,
    get_pair,
    pairs_of,
    put_pair,
)

FOUNDER = [("founder", 1.0)]
"""The evidence of the account that names its creator."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever changes them has everybody weighed anew."""

    weights: Weights
    thresholds: Thresholds
    pictures: bool = False
    """Whether profile pictures are compared."""


class Weighed(msgspec.Struct, kw_only=True):
    """``stirred``: accounts of which a pair changed; ``compared``: pairs that were looked at."""

    stirred: set[AccountKey] = set()
    compared: int = 0


def take_in(txn: Txn, facts: IdentityFacts, rules: Rules) -> Weighed:
    """Stores an account's facts and weighs every pair that they may change."""
    blocks, account = Blocks(txn), facts.account_key
    stirred_keys = blocks.put(facts)
    wanted = {pair_of(account, other) for other in blocks.partners(facts.keys) if other != account}
    wanted |= {(pair.first, pair.second) for pair in pairs_of(txn, account)}
    for key in stirred_keys:
        wanted |= blocks.pairs_in(key)
    weighed = Weighed(compared=len(wanted), stirred={account})
    for pair in sorted(wanted):
        if _weigh(txn, blocks, pair, rules):
            weighed.stirred |= set(pair)
    return weighed


def candidates(txn: Txn, account: AccountKey) -> list[tuple[Pair, Evidence, bool]]:
    """Every pair of the account that is weighed, what is said of it and whether it is explicit, whatever it is worth."""
    blocks = Blocks(txn)
    facts = blocks.facts(account)
    if facts is None:
        return []
    pairs = sorted({pair_of(account, other) for other in blocks.partners(facts.keys) if other != account})
    found = ((pair, _evidence(txn, blocks, pair)) for pair in pairs)
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


def _weigh(txn: Txn, blocks: Blocks, pair: Pair, rules: Rules) -> bool:
    """Stores what the pair is worth now; returns whether that changed."""
    fresh = _score(txn, blocks, pair, rules)
    if fresh is None or fresh.score < rules.thresholds.kept_from:
        return delete_pair(txn, *pair)
    old = get_pair(txn, *pair)
    if old is not None:
        fresh = msgspec.structs.replace(fresh, standing=old.standing, why=old.why)
    if fresh != old:
        put_pair(txn, fresh)
    return fresh != old


def _score(txn: Txn, blocks: Blocks, pair: Pair, rules: Rules) -> IdentityPair | None:
    found = _evidence(txn, blocks, pair)
    if found is None:
        return None
    evidence, said = found
    score, parts = score_of(evidence, rules.weights)
    return IdentityPair(first=pair[0], second=pair[1], score=score, evidence=parts, explicit=said)


def _evidence(txn: Txn, blocks: Blocks, pair: Pair) -> tuple[Evidence, bool] | None:
    """And whether it is explicit. None for two that nothing ties; of one platform, two that do not name each other."""
    one, other = map(blocks.facts, pair)
    if one is None or other is None:
        return None
    one_platform = _platform(pair[0]) == _platform(pair[1])
    if not (name_each_other(one, other) if one_platform else blocks.tie(one, other)):
        return None
    found = evidence_of(one, other, blocks.crowd, _cosine(txn, one, other))
    return found, explicit(one, other, found)


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
    """The accounts, all that pairs, decisions or a creator in common tie to them, and what ties them.

    A word that two are two people brings the other as well: their pair, however little it is worth, waits no more.
    """
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
