from __future__ import annotations

from proto.ids import creator_id_of
from proto.records import Creator, CreatorAccount, IdentityLink
from stores.belonging import Membership, arrange, founded_at
from stores.catalog import get_creator
from stores.env import Txn


def found_creator(txn: Txn, account: CreatorAccount, now: int) -> Creator:
    """The creator that a stored account is by itself."""
    creator_id = creator_id_of(account.key)
    at = founded_at(txn, account.key, now)
    link = IdentityLink(
        account_key=account.key, creator_id=creator_id, confidence=1.0, evidence=[("founder", 1.0)], at=at
    )
    arrange(txn, [Membership(creator_id=creator_id, links=(link,))], now)
    creator = get_creator(txn, creator_id)
    assert creator is not None
    return creator
