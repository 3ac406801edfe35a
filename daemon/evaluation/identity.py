"""How well accounts of one person are found: precision and recall against known pairs, on the real store and rules.

Accounts go through the same transactions as in the daemon, in a data directory of their own; only the pipeline between
them is left out.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import msgspec

from actors.identity_clusters import Pair, Thresholds, resolve
from actors.identity_evidence import Evidence
from actors.identity_facts import facts_of
from actors.identity_resolution import Rules, candidates, settle, take_in
from actors.identity_weights import score_of
from proto.identity import IdentityPair
from proto.ids import AccountKey, split_account_key
from proto.records import ContentItem, CreatorAccount
from stores.catalog import get_account, put_account
from stores.env import Environment, Txn
from stores.identity import handles_of

FOLDED = 200
"""Accounts resolved in one transaction."""
CURVE = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.96, 0.97, 0.98, 0.99, 0.995, 0.999)
"""Thresholds of the precision-recall curve."""
WORST = 10
"""Mistakes shown."""
Z = 1.96
"""Of a confidence interval of 95 %."""

Tell = Callable[[str, float], None]


class Known(msgspec.Struct, kw_only=True):
    """An account of a world of which it is known who is who; what the resolver sees is the account and its items."""

    account: CreatorAccount
    items: list[ContentItem]
    person: str
    trap: str = ""
    """Which kind of look-alike it is part of; empty for none."""


class Figure(msgspec.Struct, kw_only=True):
    """``n``: pairs that are one person's; the intervals are Wilson's, of 95 %; F1's by way of the Jaccard index, the
    share of right pairs among all merged or wanted ones, of which F1 is a function."""

    precision: float
    recall: float
    f1: float
    n: int
    merged: int
    wrong: int
    precision_interval: tuple[float, float]
    recall_interval: tuple[float, float]
    f1_interval: tuple[float, float]


class Mistake(msgspec.Struct, kw_only=True):
    """A pair that was merged and is not one person's."""

    first: str
    second: str
    names: tuple[str, str]
    score: float
    evidence: list[tuple[str, float]]


class Speed(msgspec.Struct, kw_only=True):
    accounts: int
    seconds: float
    accounts_per_second: float
    compared_per_account: float
    milliseconds_per_account: list[float]
    """Of each tenth of the accounts, in the order in which they came."""


class World(msgspec.Struct, kw_only=True):
    """Accounts that were taken in: every candidate pair with its evidence, and who was merged with whom."""

    names: dict[AccountKey, str]
    evidence: dict[Pair, Evidence]
    explicit: set[Pair]
    """Of which the accounts name each other (`actors.identity_evidence.explicit`)."""
    merged: set[Pair]
    speed: Speed


def take_in_world(known: Sequence[Known], rules: Rules, tell: Tell, name: str = "accounts") -> World:
    """Blocking: every account in the order given, through a store in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="pokedexd-eval-") as folder:
        env = Environment(Path(folder), durable=False)
        try:
            speed = _take_in(env, known, rules, lambda share: tell(name, share))
            with env.snapshot() as txn:
                keys = [one.account.key for one in known]
                found = [one for key in keys for one in candidates(txn, key)]
                return World(
                    names={one.account.key: _name(one.account) for one in known},
                    evidence={pair: evidence for pair, evidence, _ in found},
                    explicit={pair for pair, _, explicit in found if explicit},
                    merged=_merged(txn, keys),
                    speed=speed,
                )
        finally:
            env.close()


def mixed(known: Sequence[Known], seed: int) -> list[Known]:
    """As accounts come in life: in no order."""
    return random.Random(seed).sample(known, len(known))


def measure(
    world: World,
    wanted: set[Pair],
    touching: set[AccountKey],
    certain: set[Pair],
    merged: set[Pair] | None = None,
) -> Figure:
    """Precision of the merges that touch any of these accounts, and recall of the pairs that are wanted.

    ``certain``: all pairs that are one person's; ``merged``: instead of what the world merged.
    """
    found = {pair for pair in (world.merged if merged is None else merged) if touching & set(pair)}
    hits, met = len(found & certain), len(found & wanted)
    precision, recall = hits / len(found) if found else 1.0, met / len(wanted) if wanted else 1.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    union = len(found | wanted)
    jaccard = wilson(f1 / (2 - f1) * union, union)
    return Figure(
        precision=round(precision, 4),
        recall=round(recall, 4),
        f1=round(f1, 4),
        n=len(wanted),
        merged=len(found),
        wrong=len(found) - hits,
        precision_interval=wilson(hits, len(found)),
        recall_interval=wilson(met, len(wanted)),
        f1_interval=(round(2 * jaccard[0] / (1 + jaccard[0]), 4), round(2 * jaccard[1] / (1 + jaccard[1]), 4)),
    )


def curve(
    world: World, wanted: set[Pair], touching: set[AccountKey], certain: set[Pair], rules: Rules
) -> dict[str, Figure]:
    """The figures at other thresholds."""
    return {
        f"{merge:g}": measure(world, wanted, touching, certain, merged_at(world, touching, rules, merge))
        for merge in CURVE
    }


def by_evidence(
    world: World, touching: set[AccountKey], certain: set[Pair], rules: Rules
) -> dict[str, dict[str, float | int]]:
    """Merges by the weightiest kind of evidence for them: how many, and how many of them are right."""
    counts: dict[str, Counter[bool]] = defaultdict(Counter)
    for pair in world.merged:
        if touching & set(pair):
            _, parts = score_of(world.evidence.get(pair, []), rules.weights)
            best = max(parts, key=lambda part: part[1], default=("tied by another account", 0.0))
            counts[best[0]][pair in certain] += 1
    return {
        kind: {"merged": found.total(), "precision": round(found[True] / found.total(), 4)}
        for kind, found in sorted(counts.items(), key=lambda one: -one[1].total())
    }


def mistakes(world: World, touching: set[AccountKey], certain: set[Pair], rules: Rules) -> list[Mistake]:
    """The merges that are wrong, the surest first."""
    wrong = [pair for pair in world.merged if touching & set(pair) and pair not in certain]
    scored = [(score_of(world.evidence.get(pair, []), rules.weights), pair) for pair in wrong]
    scored.sort(key=lambda one: (-one[0][0], one[1]))
    return [
        Mistake(
            first=pair[0],
            second=pair[1],
            names=(world.names[pair[0]], world.names[pair[1]]),
            score=round(score, 3),
            evidence=[(part, round(weight, 3)) for part, weight in parts],
        )
        for (score, parts), pair in scored[:WORST]
    ]


def wilson(hits: float, n: int) -> tuple[float, float]:
    """Interval of a share (Wilson 1927)."""
    if n == 0:
        return (0.0, 1.0)
    share, spread = hits / n, Z * Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return (round(max(middle - half, 0.0), 4), round(min(middle + half, 1.0), 4))


def pairs_by_person(known: Iterable[Known]) -> set[Pair]:
    people: dict[str, list[AccountKey]] = defaultdict(list)
    for one in known:
        people[one.person].append(one.account.key)
    return _pairs_within(people.values())


def _take_in(env: Environment, known: Sequence[Known], rules: Rules, tell: Callable[[float], None]) -> Speed:
    compared, seconds = 0, []
    for at in range(0, len(known), FOLDED):
        part = known[at : at + FOLDED]
        started = time.perf_counter()
        compared += env.write_now(partial(_take_in_part, part=part, rules=rules), synced=False)
        seconds += [(time.perf_counter() - started) / len(part)] * len(part)
        tell((at + len(part)) / len(known))
    total = sum(seconds)
    tenth = max(len(seconds) // 10, 1)
    return Speed(
        accounts=len(known),
        seconds=round(total, 3),
        accounts_per_second=round(len(known) / total, 1) if total else 0.0,
        compared_per_account=round(compared / max(len(known), 1), 3),
        milliseconds_per_account=[
            round(1_000 * sum(seconds[at : at + tenth]) / tenth, 3) for at in range(0, tenth * 10, tenth)
        ],
    )


def _take_in_part(txn: Txn, part: Sequence[Known], rules: Rules) -> int:
    return sum(_take_in_one(txn, one, rules) for one in part)


def _take_in_one(txn: Txn, one: Known, rules: Rules) -> int:
    put_account(txn, one.account)
    key = one.account.key
    weighed = take_in(txn, facts_of(one.account, one.items, former_handles=handles_of(txn, key)), rules)
    settle(txn, weighed.stirred, rules, one.account.fetched_at)
    return weighed.compared


def _merged(txn: Txn, keys: Iterable[AccountKey]) -> set[Pair]:
    """Every two accounts of one creator."""
    groups: dict[int, list[AccountKey]] = defaultdict(list)
    for key in keys:
        account = get_account(txn, key)
        assert account is not None and account.creator_id is not None, "an account without a creator"
        groups[account.creator_id].append(key)
    return _pairs_within(groups.values())


def _pairs_within(groups: Iterable[Iterable[AccountKey]]) -> set[Pair]:
    return {pair for group in groups for pair in combinations(sorted(group), 2)}


def merged_at(world: World, touching: set[AccountKey], rules: Rules, merge: float) -> set[Pair]:
    thresholds = Thresholds(merge=merge, review=min(rules.thresholds.review, merge))
    pairs = [_pair(world, at, rules.weights) for at in world.evidence]
    pairs = [pair for pair in pairs if pair.score >= thresholds.kept_from]
    accounts = {key for pair in pairs for key in (pair.first, pair.second)}
    clusters = resolve(accounts, pairs, [], thresholds).clusters
    return _pairs_within(cluster for cluster in clusters if touching & set(cluster))


def _pair(world: World, at: Pair, weights: Mapping[str, float]) -> IdentityPair:
    score, parts = score_of(world.evidence[at], weights)
    return IdentityPair(first=at[0], second=at[1], score=score, evidence=parts, explicit=at in world.explicit)


def _name(account: CreatorAccount) -> str:
    platform, _ = split_account_key(account.key)
    return f"{platform.value} {account.display_name or account.handle} @{account.handle}"
