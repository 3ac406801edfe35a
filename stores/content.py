"""Content in blocks: one value per account and month, so that old months can be dropped or moved whole."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from proto.ids import AccountKey
from proto.records import ContentCounts, ContentItem, Record
from stores.codec import decode, encode
from stores.env import Txn

ITEMS = "content_items"
"""Kept counter: content items over all accounts."""


class Block(Record):
    """An account's items of one month, newest first; ``account_key`` inside is left empty, the key has it."""

    items: list[ContentItem]


class PackedItems(msgspec.Struct, kw_only=True):
    """All items of an account as they are stored, so that whoever stores them has no item in hand."""

    blocks: list[tuple[int, bytes]]
    """Month and encoded `Block`, months ascending."""
    published_at: list[int]
    """Of every item, newest first."""


class Title(Record):
    """The beginning of a stored `ContentItem`, of which only what is shown of it is read."""

    content_id: str
    account_key: AccountKey
    content_type: msgspec.Raw
    title_or_caption: str
    description: msgspec.Raw
    published_at: int
    views: msgspec.Raw
    likes: msgspec.Raw
    comments: msgspec.Raw
    duration_seconds: msgspec.Raw
    tags: msgspec.Raw
    platform_category: msgspec.Raw
    permalink: str


class TitleBlock(Record):
    """A `Block`, read so."""

    items: list[Title]


class Months(Record):
    """The months that hold blocks of an account, ascending."""

    months: list[int]


def month_of(published_at: int) -> int:
    """Months since year 0: year * 12 + month - 1 (UTC)."""
    moment = datetime.datetime.fromtimestamp(published_at, datetime.UTC)
    return moment.year * 12 + moment.month - 1


def put_items(txn: Txn, account: AccountKey, items: Iterable[ContentItem]) -> bool:
    """Merges items into the account's blocks by content id; returns whether anything a reader sees changed.

    Details are never replaced by a mere listing, nor newer by older; an item whose month changed moves.
    """
    incoming = {item.content_id: msgspec.structs.replace(item, account_key=AccountKey("")) for item in items}
    if not incoming:
        return False
    blocks = _load(txn, account)
    where = {item.content_id: month for month, block in blocks.items() for item in block.values()}
    touched: set[int] = set()
    seen_change, added = False, 0
    for content_id, item in incoming.items():
        month, merged = where.get(content_id), item
        if month is None:
            seen_change, added = True, added + 1
        else:
            old = blocks[month][content_id]
            merged = _merge(old, item)
            if merged == old:
                continue
            seen_change |= _seen(merged) != _seen(old)
            del blocks[month][content_id]
            touched.add(month)
        month = month_of(merged.published_at)
        blocks[month][content_id] = merged
        touched.add(month)
    if added:
        txn.add(ITEMS, added)
    _store(txn, account, blocks, touched)
    return seen_change


def pack_items(items: Iterable[ContentItem]) -> PackedItems:
    """Of items each of which stands there once."""
    months: defaultdict[int, list[ContentItem]] = defaultdict(list)
    bare = [msgspec.structs.replace(item, account_key=AccountKey("")) for item in items]
    for item in sorted(bare, key=_place):
        months[month_of(item.published_at)].append(item)
    return PackedItems(
        blocks=[(month, encode(Block(items=months[month]))) for month in sorted(months)],
        published_at=sorted((item.published_at for item in bare), reverse=True),
    )


def unpack_items(packed: PackedItems) -> list[ContentItem]:
    """Newest month first, ``account_key`` is left empty."""
    return [item for _, block in reversed(packed.blocks) for item in decode(Block, block).items]


def put_packed(txn: Txn, account: AccountKey, packed: PackedItems) -> bool:
    """As `put_items`, and cheaper where the account has none yet."""
    if months_of(txn, account):
        return put_items(txn, account, unpack_items(packed))
    for month, block in packed.blocks:
        txn.put("content", _key(account, month), block)
    if packed.blocks:
        txn.put("content_months", account.encode(), encode(Months(months=[month for month, _ in packed.blocks])))
        txn.add(ITEMS, len(packed.published_at))
    return bool(packed.blocks)


def put_counts(txn: Txn, account: AccountKey, counts: Iterable[ContentCounts], fetched_at: int) -> bool:
    """Newer counts of known items; those of unknown items are dropped. Returns whether anything changed."""
    newer = {one.content_id: one for one in counts}
    blocks = _load(txn, account)
    touched: set[int] = set()
    for month, block in blocks.items():
        for content_id in block.keys() & newer.keys():
            item, one = block[content_id], newer[content_id]
            if _counted_at(item) > fetched_at:
                continue
            merged = msgspec.structs.replace(
                item, views=one.views, likes=one.likes, comments=one.comments, counted_at=fetched_at
            )
            if merged != item:
                block[content_id] = merged
                touched.add(month)
    _store(txn, account, blocks, touched)
    return bool(touched)


def remove_items(txn: Txn, account: AccountKey, content_ids: Iterable[str]) -> int:
    """Returns how many were there. Their counts over time stay: see `stores.catalog.remove_content`."""
    gone = set(content_ids)
    blocks = _load(txn, account)
    touched: set[int] = set()
    removed = 0
    for month, block in blocks.items():
        for content_id in block.keys() & gone:
            del block[content_id]
            touched.add(month)
            removed += 1
    _store(txn, account, blocks, touched)
    txn.add(ITEMS, -removed)
    return removed


def recent_items(txn: Txn, account: AccountKey, limit: int) -> list[ContentItem]:
    """The newest items, newest first."""
    found: list[ContentItem] = []
    for month in reversed(months_of(txn, account)):
        if len(found) >= limit:
            break
        found.extend(_block(txn, account, month))
    return [msgspec.structs.replace(item, account_key=account) for item in found[:limit]]


def recent_titles(txn: Txn, account: AccountKey, limit: int) -> list[Title]:
    """Of the newest items, newest first; ``account_key`` is left empty."""
    found: list[Title] = []
    for month in reversed(months_of(txn, account)):
        if len(found) >= limit:
            break
        stored = txn.get("content", _key(account, month))
        found += decode(TitleBlock, stored, "content", _key(account, month)).items if stored else []
    return found[:limit]


def items_since(txn: Txn, account: AccountKey, since: int) -> list[ContentItem]:
    """Everything published since the month of an instant; ``account_key`` is left empty."""
    months = [month for month in months_of(txn, account) if month >= month_of(since)]
    return [item for month in months for item in _block(txn, account, month)]


def known_ids(txn: Txn, account: AccountKey) -> dict[str, bool]:
    """Every content id of the account, and whether its details were read."""
    return {item.content_id: item.detailed for month in months_of(txn, account) for item in _block(txn, account, month)}


def months_of(txn: Txn, account: AccountKey) -> list[int]:
    stored = txn.get("content_months", account.encode())
    return decode(Months, stored, "content_months", account.encode()).months if stored else []


def _merge(old: ContentItem, new: ContentItem) -> ContentItem:
    kept, other = (old, new) if (old.detailed, old.fetched_at) > (new.detailed, new.fetched_at) else (new, old)
    if other.counted_at <= _counted_at(kept):
        return kept
    return msgspec.structs.replace(
        kept, views=other.views, likes=other.likes, comments=other.comments, counted_at=other.counted_at
    )


def _counted_at(item: ContentItem) -> int:
    """When its counts were read."""
    return max(item.counted_at, item.fetched_at)


def _seen(item: ContentItem) -> ContentItem:
    return msgspec.structs.replace(item, fetched_at=0, counted_at=0)


def _load(txn: Txn, account: AccountKey) -> defaultdict[int, dict[str, ContentItem]]:
    blocks: defaultdict[int, dict[str, ContentItem]] = defaultdict(dict)
    for month in months_of(txn, account):
        blocks[month] = {item.content_id: item for item in _block(txn, account, month)}
    return blocks


def _block(txn: Txn, account: AccountKey, month: int) -> list[ContentItem]:
    stored = txn.get("content", _key(account, month))
    return decode(Block, stored, "content", _key(account, month)).items if stored else []


def _store(txn: Txn, account: AccountKey, blocks: dict[int, dict[str, ContentItem]], touched: Iterable[int]) -> None:
    for month in touched:
        items = sorted(blocks[month].values(), key=_place)
        if items:
            txn.put("content", _key(account, month), encode(Block(items=items)))
        else:
            txn.delete("content", _key(account, month))
    months = sorted(month for month, items in blocks.items() if items)
    if months != months_of(txn, account):
        txn.put("content_months", account.encode(), encode(Months(months=months)))


def _place(item: ContentItem) -> tuple[int, str]:
    """In a block."""
    return -item.published_at, item.content_id


def _key(account: AccountKey, month: int) -> bytes:
    return month.to_bytes(2, "big") + account.encode()
