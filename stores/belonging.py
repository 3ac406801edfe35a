"""Which accounts make up which creator: founded, merged, split, and put back as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from proto.identity import FormerCreator
from proto.ids import AccountKey, CreatorId, Row, creator_id_of
from proto.records import Creator, IdentityLink, Record
from stores.catalog import (
    CREATORS,
    NEXT_ROW,
    delete_creator,
    get_account,
    get_creator,
    put_creator,
    put_creator_embeddings,
    unlog,
    write_account,
)
from stores.codec import decode, encode, pack_id, unpack_id
from stores.content import recent_items
from stores.env import Txn
from stores.labels import drop_labelling

ITEMS_READ = 100
"""No creator is computed of more items of an account."""


MOVES = "creator_moves"
"""Kept counter: how often an id came to lead to another creator than before, or to none."""


class Founder(Record):
    """The account that a creator id is made of, and when it first came in."""

    account_key: AccountKey
    founded_at: int


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """A creator as it is to be: its accounts, each with why it belongs there."""

    creator_id: CreatorId
    links: tuple[IdentityLink, ...]

    @property
    def accounts(self) -> list[AccountKey]:
        return sorted(link.account_key for link in self.links)

    @property
    def confidence(self) -> float:
        return min(link.confidence for link in self.links)


class Rearranged(msgspec.Struct, kw_only=True):
    """``changed``: creators with other accounts than before, or another confidence; ``retired``: those that are no more,
    and their rows."""

    changed: list[CreatorId] = []
    retired: dict[CreatorId, Row] = {}


def founder_of(txn: Txn, creator_id: CreatorId) -> Founder | None:
    stored = txn.get("founders", pack_id(creator_id))
    return decode(Founder, stored, "founders", pack_id(creator_id)) if stored else None


def founded_at(txn: Txn, account: AccountKey, now: int) -> int:
    """When the account first came in; noted as now when it never did."""
    creator_id = creator_id_of(account)
    founder = founder_of(txn, creator_id)
    if founder is None:
        link = get_link(txn, account)
        founder = Founder(account_key=account, founded_at=link.at if link else now)
        txn.put("founders", pack_id(creator_id), encode(founder))
    return founder.founded_at


def get_link(txn: Txn, account: AccountKey) -> IdentityLink | None:
    stored = txn.get("identity_links", account.encode())
    return decode(IdentityLink, stored, "identity_links", account.encode()) if stored else None


def present_id(txn: Txn, creator_id: CreatorId) -> CreatorId | None:
    """The creator that this id leads to: itself, or the one that its founding account belongs to now."""
    if txn.get("creators", pack_id(creator_id)) is not None:
        return creator_id
    founder = founder_of(txn, creator_id)
    account = get_account(txn, founder.account_key) if founder else None
    return account.creator_id if account else None


def row_of(txn: Txn, creator_id: CreatorId) -> Row | None:
    """The row that indexes hold the creator under, or did before it was merged into another."""
    creator = get_creator(txn, creator_id)
    if creator is not None:
        return creator.row
    stored = txn.get("retired_creators", pack_id(creator_id))
    return Row(unpack_id(stored)) if stored else None


def arrange(txn: Txn, memberships: Sequence[Membership], now: int) -> Rearranged:
    """Makes creators of exactly these accounts; all accounts of every creator that loses one must be among them.

    A creator that has the same accounts again as at an earlier time is put back as it was then, byte for byte.
    """
    wanted = {one.creator_id: one for one in memberships}
    before = _members_before(txn, wanted)
    done = Rearranged()
    for creator_id in sorted(before.keys() | wanted.keys()):
        had = before.get(creator_id, [])
        gets = wanted[creator_id].accounts if creator_id in wanted else []
        if had != gets:
            _keep_former(txn, creator_id, had)
            done.changed += [creator_id] if gets else []
    for creator_id, had in before.items():
        _take_out(txn, creator_id, had)
    for membership in memberships:
        moved = membership.creator_id in done.changed
        if _put_in(txn, membership, now, moved=moved) and not moved:
            done.changed.append(membership.creator_id)
    for creator_id in before.keys() - wanted.keys():
        row = _retire(txn, creator_id)
        if row is not None:
            done.retired[creator_id] = row
    return done


def old_formers(txn: Txn, account: AccountKey, read_before: int | None = None) -> list[bytes]:
    """Kept states of creators that the account was part of, those of data read before an instant or all."""
    prefix = account.encode() + b"\0"
    keys = [entry[len(prefix) :] for entry, _ in txn.scan("former_by_account", prefix)]
    formers = {key: former for key in keys if (former := _former(txn, key)) is not None}
    return [key for key, former in formers.items() if read_before is None or former.read_at < read_before]


def drop_formers(txn: Txn, keys: Iterable[bytes]) -> int:
    """Returns how many there were."""
    dropped = 0
    for key in keys:
        former = _former(txn, key)
        if former is not None:
            _delete_former(txn, key, former)
            dropped += 1
    return dropped


def _members_before(txn: Txn, wanted: Mapping[CreatorId, Membership]) -> dict[CreatorId, list[AccountKey]]:
    """The accounts that creators have now, of every creator that is concerned."""
    accounts = [get_account(txn, key) for one in wanted.values() for key in one.accounts]
    ids = {account.creator_id for account in accounts if account and account.creator_id is not None}
    ids |= {creator_id for creator_id in wanted if get_creator(txn, creator_id) is not None}
    return {creator_id: members_of(txn, creator_id) for creator_id in sorted(ids)}


def members_of(txn: Txn, creator_id: CreatorId) -> list[AccountKey]:
    prefix = pack_id(creator_id)
    return [AccountKey(key[8:].decode()) for key, _ in txn.scan("account_by_creator", prefix)]


def _take_out(txn: Txn, creator_id: CreatorId, accounts: Iterable[AccountKey]) -> None:
    for account in accounts:
        txn.delete("account_by_creator", pack_id(creator_id) + account.encode())


def _put_in(txn: Txn, membership: Membership, now: int, *, moved: bool) -> bool:
    """Whether the creator is another than it was."""
    creator_id = membership.creator_id
    for link in membership.links:
        txn.put("account_by_creator", pack_id(creator_id) + link.account_key.encode(), b"")
        _write_link(txn, link)
        account = get_account(txn, link.account_key)
        assert account is not None, "a member that is no account"
        if account.creator_id != creator_id:
            txn.add(MOVES, 0 if account.creator_id is None else 1)
            write_account(txn, msgspec.structs.replace(account, creator_id=creator_id))
    if moved and _restore_former(txn, membership):
        return True
    stored = get_creator(txn, creator_id)
    creator = stored or _new_creator(txn, creator_id, now)
    fresh = msgspec.structs.replace(
        creator, account_keys=membership.accounts, identity_confidence=membership.confidence
    )
    if fresh != stored:
        put_creator(txn, fresh)
    return fresh != creator


def _write_link(txn: Txn, link: IdentityLink) -> None:
    """One that says the same again keeps its time."""
    old = get_link(txn, link.account_key)
    if old is None or msgspec.structs.replace(old, at=link.at) != link:
        txn.put("identity_links", link.account_key.encode(), encode(link))


def _new_creator(txn: Txn, creator_id: CreatorId, now: int) -> Creator:
    """With the row that it had before, or the next one; still to be stored itself."""
    row = row_of(txn, creator_id)
    if row is None:
        row = Row(txn.add(NEXT_ROW) - 1)
    creator = Creator(creator_id=creator_id, row=row, created_at=now)
    _enter(txn, creator)
    return creator


def _enter(txn: Txn, creator: Creator) -> None:
    txn.add(CREATORS)
    txn.put("rows", creator.row.to_bytes(4, "big"), pack_id(creator.creator_id))
    if txn.delete("retired_creators", pack_id(creator.creator_id)):
        txn.add(MOVES)


def _retire(txn: Txn, creator_id: CreatorId) -> Row | None:
    """Out of everything but the index log, by which the indexes learn of it. None for one that is not there."""
    creator = get_creator(txn, creator_id)
    if creator is None:
        return None
    packed = pack_id(creator_id)
    put_creator_embeddings(txn, creator_id, [])
    txn.delete("rows", creator.row.to_bytes(4, "big"))
    delete_creator(txn, creator_id)
    drop_labelling(txn, creator_id)
    txn.add(MOVES)
    if founder_of(txn, creator_id) is not None:
        txn.put("retired_creators", packed, pack_id(creator.row))
    else:  # of one whose founding account was erased nothing is kept
        unlog(txn, creator_id)
    return creator.row


def _keep_former(txn: Txn, creator_id: CreatorId, accounts: Sequence[AccountKey]) -> None:
    creator = get_creator(txn, creator_id)
    if creator is None or not accounts or founder_of(txn, creator_id) is None:
        return
    key = _former_key(creator_id, accounts)
    read = [stored.fetched_at for one in accounts if (stored := get_account(txn, one)) is not None]
    read += [item.fetched_at for one in accounts for item in recent_items(txn, one, ITEMS_READ)]
    links = [link for one in accounts if (link := get_link(txn, one)) is not None]
    former = FormerCreator(creator=creator, account_keys=list(accounts), read_at=min(read, default=0), links=links)
    txn.put("former_creators", key, encode(former))
    for account in accounts:
        txn.put("former_by_account", account.encode() + b"\0" + key, b"")


def _restore_former(txn: Txn, membership: Membership) -> bool:
    """Its embeddings follow from its accounts, and are computed like any others; how sure it is, from its links, which
    are as old as they were where they say the same again."""
    key = _former_key(membership.creator_id, membership.accounts)
    former = _former(txn, key)
    if former is None:
        return False
    _delete_former(txn, key, former)
    if get_creator(txn, membership.creator_id) is None:
        _enter(txn, former.creator)
    put_creator(txn, msgspec.structs.replace(former.creator, identity_confidence=membership.confidence))
    for link in membership.links:
        again = [old for old in former.links if msgspec.structs.replace(old, at=link.at) == link]
        if again:
            txn.put("identity_links", link.account_key.encode(), encode(again[0]))
    return True


def _former(txn: Txn, key: bytes) -> FormerCreator | None:
    stored = txn.get("former_creators", key)
    return decode(FormerCreator, stored) if stored else None


def _delete_former(txn: Txn, key: bytes, former: FormerCreator) -> None:
    txn.delete("former_creators", key)
    for account in former.account_keys:
        txn.delete("former_by_account", account.encode() + b"\0" + key)


def _former_key(creator_id: CreatorId, accounts: Collection[AccountKey]) -> bytes:
    return pack_id(creator_id) + hashlib.blake2b("\0".join(sorted(accounts)).encode(), digest_size=8).digest()
