"""Perceptual hashes of profile pictures, and whose pictures are still to be looked at; no picture is stored."""

from __future__ import annotations

import hashlib
from itertools import islice
from urllib.parse import urlsplit

import msgspec

from proto.ids import AccountKey
from proto.records import CreatorAccount, Record
from stores.catalog import get_account
from stores.codec import decode, encode
from stores.env import Environment, Txn
from stores.scan import Pair, scan_tables

TABLES = ("avatars", "avatars_due")
"""Databases of the environment that this store owns."""
TRIES = 4
"""So often a picture that cannot be had now is asked for."""


class Avatar(Record):
    """``image``: which picture; ``bits``: its hash, empty for one that tells nothing or is not to be had."""

    image: bytes
    bits: bytes
    read_at: int


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A picture to be looked at."""

    account_key: AccountKey
    url: str
    image: bytes


class Avatars:
    """Reads for everyone; writes are functions of a transaction below."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    async def scan(self, cursor: bytes, limit: int) -> tuple[list[Pair], bytes | None]:
        """See `stores.ports.Scannable`."""
        return await scan_tables(self._env, TABLES, cursor, limit)


def image_of(url: str) -> bytes:
    """Which picture a URL leads to: CDNs sign it anew with every page, in its query, which is left out."""
    try:
        parts = urlsplit(url)
    except ValueError:  # such as of a bracket that is not closed
        return b""
    return hashlib.blake2b(f"{parts.netloc}{parts.path}".encode(), digest_size=8).digest() if parts.netloc else b""


def get_avatar(txn: Txn, account: AccountKey) -> Avatar | None:
    stored = txn.get("avatars", account.encode())
    return decode(Avatar, stored, "avatars", account.encode()) if stored else None


def bits_of(txn: Txn, account: CreatorAccount) -> bytes:
    """The hash of the picture that the account has now; empty while none is known."""
    known = get_avatar(txn, account.key)
    return known.bits if known is not None and known.image == image_of(account.profile_image_url) else b""


def want_avatar(txn: Txn, account: CreatorAccount) -> None:
    """Puts the account's picture in the queue unless it was looked at; what is known of an earlier one goes."""
    image, known = image_of(account.profile_image_url), get_avatar(txn, account.key)
    if known is not None and known.image == image:
        return
    drop_avatar(txn, account.key)
    if image:
        txn.put("avatars_due", account.key.encode(), b"\0")


def due_avatars(txn: Txn, after: AccountKey | None, limit: int) -> list[Wanted]:
    """In the order of their accounts' keys, behind one."""
    start = after.encode() + b"\0" if after else None
    keys = [AccountKey(key.decode()) for key, _ in islice(txn.scan("avatars_due", start=start), limit)]
    urls = {key: account.profile_image_url for key in keys if (account := get_account(txn, key)) is not None}
    return [Wanted(account_key=key, url=urls.get(key, ""), image=image_of(urls.get(key, ""))) for key in keys]


def put_avatar(txn: Txn, wanted: Wanted, bits: bytes, now: int) -> bool:
    """Returns whether the account shows something else than before. One that has another picture by now stays due."""
    account = get_account(txn, wanted.account_key)
    if account is not None and image_of(account.profile_image_url) != wanted.image:
        return False
    before = get_avatar(txn, wanted.account_key)
    drop_avatar(txn, wanted.account_key)
    if account is None or not wanted.image:
        return False
    txn.put("avatars", wanted.account_key.encode(), encode(Avatar(image=wanted.image, bits=bits, read_at=now)))
    return bits != (before.bits if before else b"")


def put_off(txn: Txn, wanted: Wanted, now: int) -> None:
    """One that could not be had stays due; after `TRIES` times it counts as one that tells nothing."""
    key = wanted.account_key.encode()
    stored = txn.get("avatars_due", key)
    if stored is None:
        return
    if stored[0] + 1 < TRIES:
        txn.put("avatars_due", key, bytes((stored[0] + 1,)))
    else:
        put_avatar(txn, wanted, b"", now)


def drop_avatar(txn: Txn, account: AccountKey) -> bool:
    """Out of the queue too. Returns whether there was a hash."""
    txn.delete("avatars_due", account.encode())
    return txn.delete("avatars", account.encode())
