"""Pairs and decisions → which accounts are one creator's. Pure, and the same in whatever order they came."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from actors.identity_weights import log_odds
from proto.identity import IdentityDecision, IdentityPair, Standing
from proto.ids import AccountKey, split_account_key

RIVAL_LOG_ODDS = 1.0
"""An account that fits so much worse at most is a rival: then neither is merged without a person's word."""
CHAIN_LOG_ODDS = 3.0
"""What a link needs above the threshold to tie an account to others with which it has nothing in common."""

Pair = tuple[AccountKey, AccountKey]


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities: from ``merge`` on pairs are merged, from ``review`` on a person is asked."""

    merge: float
    review: float

    @property
    def merge_from(self) -> float:
        """In log-odds, as the other two."""
        return log_odds(self.merge)

    @property
    def review_from(self) -> float:
        return log_odds(self.review)

    @property
    def kept_from(self) -> float:
        """A pair below is neither shown nor a rival."""
        return min(self.review_from, self.tied_from)

    @property
    def tied_from(self) -> float:
        """From here on a pair may change what becomes of others."""
        return self.merge_from - RIVAL_LOG_ODDS


class Resolved(msgspec.Struct, kw_only=True):
    """``clusters``: sorted, each sorted; ``pairs``: those given, with their standing."""

    clusters: list[list[AccountKey]]
    pairs: list[IdentityPair]


def pair_of(one: AccountKey, other: AccountKey) -> Pair:
    return (one, other) if one < other else (other, one)


def resolve(
    accounts: Iterable[AccountKey],
    pairs: Sequence[IdentityPair],
    decisions: Sequence[IdentityDecision],
    thresholds: Thresholds,
) -> Resolved:
    """The accounts, which pairs of ``tied_from`` and decisions must tie to no others, as clusters.

    Operators' words come first, then accounts that name each other, then the best fits; what would put two accounts of
    a platform into one creator, or tie strangers together by a weak link, waits for a review.
    """
    same = sorted((one.first, one.second) for one in decisions if one.same)
    apart = {(one.first, one.second) for one in decisions if not one.same}
    known = {(pair.first, pair.second): pair for pair in pairs}
    clusters = _Clusters(accounts, apart, {*same, *(at for at, pair in known.items() if pair.explicit)})
    for first, second in same:
        clusters.join(first, second)
    rivals = _Rivals((pair for at, pair in known.items() if at not in apart), clusters, thresholds)
    waiting: dict[Pair, str] = {}
    for at, pair in sorted(known.items(), key=lambda one: (-one[1].explicit, -one[1].score, one[0])):
        if pair.score < thresholds.merge_from or at in apart or clusters.together(*at):
            continue
        why = rivals.of(pair, known) or clusters.refuses(pair, known, thresholds)
        if why:
            waiting[at] = why
        else:
            clusters.join(*at)
    return Resolved(
        clusters=clusters.sorted(),
        pairs=[_standing(pair, clusters, apart, waiting) for _, pair in sorted(known.items())],
    )


class _Clusters:
    """``allowed``: pairs of which both may be one creator's though on one platform."""

    def __init__(self, accounts: Iterable[AccountKey], apart: set[Pair], allowed: set[Pair]) -> None:
        self._members = {account: [account] for account in sorted(accounts)}
        self._apart, self._allowed = apart, allowed

    def together(self, one: AccountKey, other: AccountKey) -> bool:
        return self._members[one] is self._members[other]

    def join(self, one: AccountKey, other: AccountKey) -> None:
        mine, theirs = self._members[one], self._members[other]
        if mine is not theirs and not self._parted(mine, theirs):
            mine += theirs
            for account in theirs:
                self._members[account] = mine

    def refuses(self, pair: IdentityPair, known: Mapping[Pair, IdentityPair], thresholds: Thresholds) -> str:
        mine, theirs = self._members[pair.first], self._members[pair.second]
        cross = [(a, b) for a in mine for b in theirs]
        if self._parted(mine, theirs):
            return "an operator said that they are two"
        if any(_platform(a) == _platform(b) and pair_of(a, b) not in self._allowed for a, b in cross):
            return "the creator has another account on this platform"
        others = [known.get(pair_of(a, b)) for a, b in cross]
        backed = all(other is not None and other.score >= thresholds.review_from for other in others)
        if backed or pair.explicit or pair.score >= thresholds.merge_from + CHAIN_LOG_ODDS:
            return ""
        return "too weak a link to tie it to the creator's other accounts"

    def sorted(self) -> list[list[AccountKey]]:
        once = {id(members): sorted(members) for members in self._members.values()}
        return sorted(once.values())

    def _parted(self, mine: Iterable[AccountKey], theirs: Sequence[AccountKey]) -> bool:
        return any(pair_of(a, b) in self._apart for a in mine for b in theirs)


class _Rivals:
    """Which pairs compete for an account; those that an operator called two people are none."""

    def __init__(self, pairs: Iterable[IdentityPair], clusters: _Clusters, thresholds: Thresholds) -> None:
        self._clusters = clusters
        self._by_account: defaultdict[AccountKey, list[IdentityPair]] = defaultdict(list)
        for pair in pairs:
            if pair.score >= thresholds.tied_from:
                self._by_account[pair.first].append(pair)
                self._by_account[pair.second].append(pair)

    def of(self, pair: IdentityPair, known: Mapping[Pair, IdentityPair]) -> str:
        """Whether another account on the platform of one side fits the other side about as well, or better.

        Accounts that name each other are not parted by one that only names one of them and fits about as well: anybody
        can name anybody. To put them before one that fits better was tried: it merges twins (0.998 to 0.995).
        """
        if pair.explicit:
            return ""
        for mine, theirs in ((pair.first, pair.second), (pair.second, pair.first)):
            for rival in self._by_account[mine]:
                other = rival.second if rival.first == mine else rival.first
                if other == theirs or _platform(other) != _platform(theirs) or self._clusters.together(other, theirs):
                    continue
                if _mutual(pair) and not _mutual(rival):
                    continue
                fused = known.get(pair_of(theirs, other))
                fits = rival.score >= pair.score - RIVAL_LOG_ODDS
                if fits and not (fused is not None and fused.explicit):
                    return "another account of this platform fits as well"
        return ""


def _standing(pair: IdentityPair, clusters: _Clusters, apart: set[Pair], waiting: Mapping[Pair, str]) -> IdentityPair:
    at = (pair.first, pair.second)
    standing = Standing.MERGED if clusters.together(*at) else Standing.REJECTED if at in apart else Standing.REVIEW
    why = waiting.get(at, "") if standing is Standing.REVIEW else ""
    return msgspec.structs.replace(pair, standing=standing, why=why)


def _mutual(pair: IdentityPair) -> bool:
    """Whether the two name each other."""
    return any(what.startswith("link:mutual") for what, _ in pair.evidence)


def _platform(account: AccountKey) -> str:
    return split_account_key(account)[0]
