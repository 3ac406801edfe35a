"""Rules of `stores.checking` for who is one person: facts, blocks, pairs, decisions, former creators."""

from __future__ import annotations

from collections.abc import Iterator

from proto.identity import FormerCreator, IdentityDecision, IdentityFacts, IdentityPair, Standing
from proto.ids import Platform, creator_id_of
from proto.records import IdentityLink
from stores.belonging import Founder, _former_key
from stores.catalog import get_account
from stores.checking_links import Row, Rule, has, missing, no_account, owner_of
from stores.codec import decode, pack_id, unpack_id
from stores.identity import WORD, HandleHeld, _pair_key, _review_key, get_facts, get_pair

BLOCK_BYTES = (9, 10)
"""Of a block's key: kind and hash, of names with a platform between; see `proto.identity`."""
_PLATFORMS = tuple(platform.value.encode() + b":" for platform in Platform)


def _links(row: Row) -> Iterator[str]:
    link = decode(IdentityLink, row.value)
    account = get_account(row.txn, link.account_key)
    if link.account_key.encode() != row.key:
        yield f"is of {link.account_key}"
    if account is None or account.creator_id != link.creator_id:
        yield f"leads to creator {link.creator_id}, the account to {account.creator_id if account else 'nobody'}"


def _facts(row: Row) -> Iterator[str]:
    facts = decode(IdentityFacts, row.value)
    if facts.account_key.encode() != row.key:
        yield f"is of {facts.account_key}"
    yield from no_account(row.txn, row.key)
    for block in facts.keys:
        yield from missing(row.txn, "identity_keys", block + row.key)


def _keys(row: Row) -> Iterator[str]:
    size = next((size for size in BLOCK_BYTES if row.key[size:].startswith(_PLATFORMS)), 0)
    block, account = row.key[:size], owner_of(row.key[size:])
    facts = get_facts(row.txn, account)
    if facts is None or block not in facts.keys:
        yield f"names {account}, whose facts do not know of it"
    if block[:1] == WORD and not has(row.txn, "identity_words", block):
        yield "is a word that is not counted"


def _words(row: Row) -> Iterator[str]:
    standing, counted = sum(1 for _ in row.txn.scan("identity_keys", row.key)), int.from_bytes(row.value, "big")
    if standing != counted:
        yield f"counts {counted} accounts; {standing} have the word"


def _pairs(row: Row) -> Iterator[str]:
    one, _, other = row.key.partition(b"\0")
    if not has(row.txn, "identity_pairs", other + b"\0" + one):
        yield "is half a pair"
    yield from no_account(row.txn, one)
    if not row.value:
        return
    pair = decode(IdentityPair, row.value)
    if _pair_key(pair.first, pair.second) != row.key:
        yield f"is of {pair.first} and {pair.second}"
    if has(row.txn, "identity_review", _review_key(pair)) != (pair.standing is Standing.REVIEW):
        yield f"is {pair.standing.value}, which the queue of reviews does not say"


def _review(row: Row) -> Iterator[str]:
    first, _, second = row.key[4:].partition(b"\0")
    pair = get_pair(row.txn, owner_of(first), owner_of(second))
    if pair is None or _review_key(pair) != row.key:
        yield "waits for a review of a pair that is not there"


def _decisions(row: Row) -> Iterator[str]:
    decision = decode(IdentityDecision, row.value)
    if row.key not in (_pair_key(decision.first, decision.second), _pair_key(decision.second, decision.first)):
        yield f"is of {decision.first} and {decision.second}"
    one, _, other = row.key.partition(b"\0")
    if row.txn.get("identity_decisions", other + b"\0" + one) != row.value:
        yield "says something else from the other side"


def _backlog(row: Row) -> Iterator[str]:
    yield from no_account(row.txn, row.key)


def _handles(row: Row) -> Iterator[str]:
    held = decode(HandleHeld, row.value)
    if held.first_seen_at > held.last_seen_at:
        yield f"was row.seen first at {held.first_seen_at}, last at {held.last_seen_at}"
    yield from no_account(row.txn, owner_of(row.key).encode())


def _founders(row: Row) -> Iterator[str]:
    founder = decode(Founder, row.value)
    if pack_id(creator_id_of(founder.account_key)) != row.key:
        yield f"is founded by {founder.account_key}, whose id is another"
    yield from no_account(row.txn, founder.account_key.encode())


def _formers(row: Row) -> Iterator[str]:
    former = decode(FormerCreator, row.value)
    if _former_key(former.creator.creator_id, former.account_keys) != row.key:
        yield f"is of creator {former.creator.creator_id} with other accounts"
    for account in former.account_keys:
        yield from missing(row.txn, "former_by_account", account.encode() + b"\0" + row.key)


def _former_by_account(row: Row) -> Iterator[str]:
    yield from missing(row.txn, "former_creators", row.key.partition(b"\0")[2])


def _retired(row: Row) -> Iterator[str]:
    row.seen["rows"] = max(row.seen["rows"], unpack_id(row.value) + 1)
    if has(row.txn, "creators", row.key):
        yield "is retired and yet a creator"
    yield from missing(row.txn, "founders", row.key)


RULES: dict[str, Rule] = {
    "identity_links": _links,
    "identity_facts": _facts,
    "identity_keys": _keys,
    "identity_words": _words,
    "identity_pairs": _pairs,
    "identity_review": _review,
    "identity_decisions": _decisions,
    "identity_backlog": _backlog,
    "handle_history": _handles,
    "founders": _founders,
    "former_creators": _formers,
    "former_by_account": _former_by_account,
    "retired_creators": _retired,
}
