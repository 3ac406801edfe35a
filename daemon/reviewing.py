"""Who is one person: what waits for a person's word, and what a person says, which outranks every rule.

A word is stored with the work that carries it out: the identity stage, the only writer of who belongs to whom, takes it
up from there, after a restart too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import combinations

import msgspec

from actors.identity_clusters import pair_of
from actors.identity_resolution import FOUNDER
from actors.identity_weights import probability
from daemon.naming import MAX_ID_DIGITS, find_account
from daemon.web.views import account_url, instant
from proto.api import AccountIdentity, CreatorIdentity, DecisionView, EvidenceView, NamedAccount, ReviewPage, ReviewView
from proto.errors import Malformed, NotFound, Unreadable
from proto.identity import IdentityDecision, IdentityPair, Standing
from proto.ids import AccountKey, CreatorId
from proto.messages import AccountEmbedded, AnyWork
from proto.records import AuditEvent, CreatorAccount, IdentityLink
from stores.audit import OPERATOR, Actor, append_audit
from stores.belonging import get_link, members_of, present_id
from stores.catalog import get_account, get_creator
from stores.env import Environment, Txn
from stores.identity import (
    REVIEWS,
    decisions_of,
    delete_decision,
    get_pair,
    pairs_of,
    put_decision,
    put_pair,
    review_page,
)
from stores.work import enqueue

CREATOR_FORMS = "the id of a creator as searches show it, or an account of it as key, URL or handle"
PAGE = 50
MOST_MERGED = 20
"""Creators put together at once."""
MOST_ACCOUNTS = 50
"""Each is tied to each, so that what was said of the others stands when one is forgotten or split off."""

Said = tuple[list[DecisionView], list[AnyWork]]
"""What is noted, and the stored work that carries it out."""


class Reviewing:
    """Reads and words over one store."""

    def __init__(
        self, env: Environment, *, now: Callable[[], float], hand_on: Callable[[Sequence[AnyWork]], None]
    ) -> None:
        """``hand_on`` takes stored work to the identity stage at once."""
        self._env, self._now, self._hand_on = env, now, hand_on

    async def page(self, cursor: str = "", limit: int = PAGE) -> ReviewPage:
        """Pairs that wait, the likeliest first. Raises Malformed for a cursor that is none."""
        try:
            after = bytes.fromhex(cursor)
        except ValueError as error:
            raise Malformed(f"{cursor[:60]!r} is no cursor of this list") from error
        return await self._env.read(partial(_page, after=after, limit=limit))

    async def count(self) -> int:
        """A kept counter; no scan."""
        return await self._env.read(lambda txn: txn.counter(REVIEWS))

    async def of_creator(self, creator_id: CreatorId) -> CreatorIdentity | None:
        """Why each of its accounts belongs to it, and which pairs with others wait. None for an unknown creator."""
        return await self._env.read(partial(_of_creator, creator_id=creator_id))

    async def present_id(self, creator_id: CreatorId) -> CreatorId | None:
        """Where this id leads now; None for one that nobody ever had, or that was erased."""
        return await self._env.read(lambda txn: present_id(txn, creator_id))

    async def decide(self, first: str, second: str, *, same: bool, by: Actor = OPERATOR) -> list[DecisionView]:
        """A word on two accounts. Raises NotFound for one that is not known, and Malformed."""
        return await self._write(partial(_decide, references=(first, second), same=same, by=by))

    async def merge(self, references: Sequence[str], by: Actor = OPERATOR) -> list[DecisionView]:
        """All accounts of these creators (ids, or any of their accounts) are one's; earlier words against it go."""
        return await self._write(partial(_merge, references=references, by=by))

    async def split(self, reference: str, by: Actor = OPERATOR) -> list[DecisionView]:
        """The account is no other's of its creator. Raises Malformed where it is the only one."""
        return await self._write(partial(_split, reference=reference, by=by))

    async def _write(self, change: Callable[..., Said]) -> list[DecisionView]:
        """Durable on return."""
        decisions, following = await self._env.write(partial(change, now=int(self._now())), synced=True)
        self._hand_on(following)
        return decisions


def _page(txn: Txn, after: bytes, limit: int) -> ReviewPage:
    pairs, following = review_page(txn, after, limit)
    return ReviewPage(
        pairs=[_review(txn, pair) for pair in pairs],
        total=txn.counter(REVIEWS),
        cursor=following.hex() if following is not None else None,
    )


def _of_creator(txn: Txn, creator_id: CreatorId) -> CreatorIdentity | None:
    present = present_id(txn, creator_id)
    creator = get_creator(txn, present) if present is not None else None
    if creator is None or present is None:
        return None
    members = members_of(txn, present)
    outside = [pair for key in members for pair in pairs_of(txn, key) if not {pair.first, pair.second} <= set(members)]
    links = [link for key in members if (link := get_link(txn, key)) is not None]
    said = {(one.first, one.second): one for key in members for one in decisions_of(txn, key)}
    return CreatorIdentity(
        creator_id=str(present),
        confidence=creator.identity_confidence,
        accounts=[_account_identity(txn, link) for link in links],
        others=[_review(txn, pair) for pair in sorted(outside, key=lambda pair: -pair.score)],
        decisions=[_view(one) for one in sorted(said.values(), key=lambda one: (one.first, one.second))],
    )


def _decide(txn: Txn, references: Sequence[str], same: bool, now: int, by: Actor) -> Said:
    first, second = (_account(txn, reference).key for reference in references)
    if first == second:
        raise Malformed(f"{references[0]!r} and {references[1]!r} are one account; expected two")
    creators = {_creator_id(txn, first), _creator_id(txn, second)}
    if same and len(creators) == 2:
        return _merge(txn, [first, second], now, by)
    return _say(txn, [(first, second)], now, by, same=same)


def _merge(txn: Txn, references: Sequence[str], now: int, by: Actor) -> Said:
    if not 2 <= len(references) <= MOST_MERGED:
        raise Malformed(f"{len(references)} creators; expected 2 to {MOST_MERGED}")
    ids = list(dict.fromkeys(_creator_id(txn, reference) for reference in references))
    if len(ids) < 2:
        raise Malformed(f"{', '.join(references)}: one creator already")
    creators = [members_of(txn, creator_id) for creator_id in ids]
    accounts = [key for members in creators for key in members]
    if len(accounts) > MOST_ACCOUNTS:
        raise Malformed(f"{len(accounts)} accounts in all; a creator merged by hand has at most {MOST_ACCOUNTS}")
    said = [one for key in accounts for one in decisions_of(txn, key) if not one.same]
    against = {(one.first, one.second) for one in said if {one.first, one.second} <= set(accounts)}
    for first, second in against:
        delete_decision(txn, first, second)
    pairs = [(one, other) for ones, others in combinations(creators, 2) for one in ones for other in others]
    return _say(txn, pairs, now, by, same=True, against=against)


def _split(txn: Txn, reference: str, now: int, by: Actor) -> Said:
    account = _account(txn, reference)
    members = members_of(txn, account.creator_id) if account.creator_id is not None else []
    others = [key for key in members if key != account.key]
    if not others:
        raise Malformed(f"{reference}: the only account of its creator; there is nothing to split")
    return _say(txn, [(account.key, other) for other in others], now, by, same=False)


def _say(
    txn: Txn,
    pairs: Sequence[tuple[AccountKey, AccountKey]],
    now: int,
    by: Actor,
    *,
    same: bool,
    against: Collection[tuple[AccountKey, AccountKey]] = (),
) -> Said:
    """The words, the work that carries them out and their place in the audit trail are one transaction.

    ``against``: pairs of which the opposite was said, and is no more.
    """
    touched = dict.fromkeys(key for pair in pairs for key in pair)
    opposite = {(one.first, one.second) for key in touched for one in decisions_of(txn, key) if one.same != same}
    said = [
        IdentityDecision(first=a, second=b, same=same, at=now, actor=by.actor)
        for a, b in (pair_of(*pair) for pair in pairs)
    ]
    for decision in said:
        put_decision(txn, decision)
        _answer(txn, decision)
        _audit(txn, decision, now, by)
    following = [enqueue(txn, AccountEmbedded(account_key=key), now) for key in touched]
    replaced = opposite | set(against)
    return [_view(one, replaces=(one.first, one.second) in replaced) for one in said], following


def _audit(txn: Txn, decision: IdentityDecision, now: int, by: Actor) -> None:
    detail = f"{decision.first} and {decision.second}: {'one person' if decision.same else 'two people'}"
    entry = AuditEvent(at=now, tenant_id=by.tenant_id, actor=by.actor, action="identity", detail=detail)
    append_audit(txn, entry)


def _answer(txn: Txn, decision: IdentityDecision) -> None:
    """The pair waits for nobody any more, though its accounts are still to be rearranged: who looks again does not find
    it."""
    pair = get_pair(txn, decision.first, decision.second)
    if pair is not None and pair.standing is Standing.REVIEW:
        standing = Standing.MERGED if decision.same else Standing.REJECTED
        put_pair(txn, msgspec.structs.replace(pair, standing=standing, why=""))


def _creator_id(txn: Txn, reference: str) -> CreatorId:
    """By its id, retired ones too, or by one of its accounts."""
    if reference.isascii() and reference.isdecimal() and len(reference) <= MAX_ID_DIGITS:
        found = present_id(txn, CreatorId(int(reference)))
        if found is not None:
            return found
    try:
        creator_id = _account(txn, reference).creator_id
    except Unreadable:
        raise
    except (Malformed, NotFound) as error:
        raise type(error)(f"{error}; expected {CREATOR_FORMS}") from error
    if creator_id is None:
        raise Malformed(f"{reference}: has no creator yet; it is still on its way")
    return creator_id


def _account(txn: Txn, reference: str) -> CreatorAccount:
    account = find_account(txn, reference)
    if account is None:
        raise NotFound(f"{reference[:200]!r}: no such account or creator is known")
    return account


def _review(txn: Txn, pair: IdentityPair) -> ReviewView:
    return ReviewView(
        first=_named(txn, pair.first),
        second=_named(txn, pair.second),
        probability=round(probability(pair.score), 4),
        log_odds=round(pair.score, 4),
        evidence=_evidence(pair.evidence),
        standing=pair.standing.value,
        why=pair.why,
    )


def _account_identity(txn: Txn, link: IdentityLink) -> AccountIdentity:
    return AccountIdentity(
        account=_named(txn, link.account_key),
        confidence=link.confidence,
        decided_by=link.decided_by,
        since=instant(link.at) or "",
        evidence=_evidence([] if link.evidence == FOUNDER else link.evidence),
    )


def _evidence(parts: Sequence[tuple[str, float]]) -> list[EvidenceView]:
    split = [(*part.partition(":")[::2], weight) for part, weight in parts]
    return [EvidenceView(kind=kind, level=level, log_odds=round(weight, 4)) for kind, level, weight in split]


def _named(txn: Txn, key: AccountKey) -> NamedAccount:
    account = get_account(txn, key)
    if account is None:
        return NamedAccount(account=key)
    return NamedAccount(
        account=key,
        creator_id=str(account.creator_id) if account.creator_id is not None else None,
        display_name=account.display_name,
        handle=account.handle,
        url=account_url(account),
    )


def _view(decision: IdentityDecision, *, replaces: bool = False) -> DecisionView:
    return DecisionView(
        first=decision.first,
        second=decision.second,
        same=decision.same,
        actor=decision.actor,
        at=instant(decision.at) or "",
        replaces=replaces,
    )
