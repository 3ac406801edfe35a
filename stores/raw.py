"""What the platforms said, as received: content-addressed, compressed, found by account and time."""

from __future__ import annotations

import hashlib

import zstandard

from proto.errors import NotFound
from proto.ids import AccountKey, RawId
from proto.records import RawPage, StoredRaw
from stores.codec import decode, encode, pack_id
from stores.env import Environment, Txn
from stores.scan import Pair, scan_tables

LEVEL = 3
"""zstd level: 3 is the library's default and compresses an API reply about 6 to 1 at 300 MB/s."""


TABLES = ("raw", "raw_by_account")
"""Databases of the environment that this store owns."""


class RawStore:
    """Raw pages. The same bytes for the same account are stored once."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    async def scan(self, cursor: bytes, limit: int) -> tuple[list[Pair], bytes | None]:
        """See `stores.ports.Scannable`."""
        return await scan_tables(self._env, TABLES, cursor, limit)

    async def get(self, raw_id: RawId) -> RawPage:
        """Raises NotFound."""
        return (await self.get_many([raw_id]))[0]

    async def get_many(self, raw_ids: list[RawId]) -> list[RawPage]:
        """Raises NotFound when any is absent."""
        return await self._env.read(lambda txn: [get_raw(txn, raw_id) for raw_id in raw_ids])

    async def of_account(self, account: AccountKey) -> list[RawId]:
        """Ids of an account's pages, oldest first."""
        return await self._env.read(lambda txn: raw_ids_of(txn, account))


def raw_ids_of(txn: Txn, account: AccountKey) -> list[RawId]:
    """Of an account's pages, oldest first."""
    prefix = account.encode() + b"\0"
    return [RawId(key[len(prefix) + 8 :].hex()) for key, _ in txn.scan("raw_by_account", prefix)]


def raw_id_of(page: RawPage) -> RawId:
    digest = hashlib.blake2b(digest_size=16)
    for part in (page.platform.value, page.kind.value, page.account_key):
        digest.update(part.encode() + b"\0")
    digest.update(page.body)
    return RawId(digest.hexdigest())


def put_raw(txn: Txn, page: RawPage, raw_id: RawId, body_zstd: bytes) -> None:
    """``raw_id`` and ``body_zstd`` come from ``seal``, made outside the transaction since they cost time.

    The same bytes again only move the page to when they were last seen.
    """
    key = bytes.fromhex(raw_id)
    old = txn.get("raw", key)
    if old is not None:
        seen_at = decode(StoredRaw, old).fetched_at
        if seen_at > page.fetched_at:
            return
        txn.delete("raw_by_account", _by_account(page.account_key, seen_at, key))
    stored = StoredRaw(
        raw_id=raw_id,
        platform=page.platform,
        kind=page.kind,
        account_key=page.account_key,
        fetched_at=page.fetched_at,
        request=page.request,
        body_zstd=body_zstd,
        listed_before=page.listed_before,
        walked=page.walked,
    )
    txn.put("raw", key, encode(stored))
    txn.put("raw_by_account", _by_account(page.account_key, page.fetched_at, key), b"")


def _by_account(account: AccountKey, fetched_at: int, key: bytes) -> bytes:
    return account.encode() + b"\0" + pack_id(fetched_at) + key


def drop_raw(txn: Txn, raw_id: RawId) -> None:
    """Removes a page and every mention of it; one that is not there is no error."""
    key = bytes.fromhex(raw_id)
    value = txn.get("raw", key)
    if value is None:
        return
    txn.delete("raw", key)
    prefix = decode(StoredRaw, value).account_key.encode() + b"\0"
    for entry in [entry for entry, _ in txn.scan("raw_by_account", prefix) if entry.endswith(key)]:
        txn.delete("raw_by_account", entry)


def seal(page: RawPage) -> tuple[RawId, bytes]:
    """A page's id and its compressed body."""
    return raw_id_of(page), zstandard.ZstdCompressor(level=LEVEL).compress(page.body)


def get_raw(txn: Txn, raw_id: RawId) -> RawPage:
    value = txn.get("raw", bytes.fromhex(raw_id))
    if value is None:
        raise NotFound(f"no raw page {raw_id}")
    stored = decode(StoredRaw, value)
    return RawPage(
        platform=stored.platform,
        kind=stored.kind,
        account_key=stored.account_key,
        fetched_at=stored.fetched_at,
        request=stored.request,
        body=zstandard.ZstdDecompressor().decompress(stored.body_zstd),
        listed_before=stored.listed_before,
        walked=stored.walked,
    )
