"""Accounts, their content and vectors, and the creators made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice

import msgspec

from proto.ids import AccountKey, CreatorId, Platform
from proto.records import (
    ContentCounts,
    ContentItem,
    Creator,
    CreatorAccount,
    EmbeddingRecord,
    MetricSnapshot,
    Normalised,
    VitalSigns,
)
from stores.codec import decode, encode, pack_id, unpack_id
from stores.content import (
    ITEMS,
    Title,
    items_since,
    put_counts,
    put_items,
    recent_items,
    recent_titles,
    remove_items,
)
from stores.env import Environment, Txn
from stores.history import SECONDS_PER_DAY, TRACKED_DAYS, tracked
from stores.identity import note_handle
from stores.scan import Pair, scan_tables

ACCOUNTS = "accounts"
CREATORS = "creators"
LABELLED = "labelled:"
"""Beginning of the names of kept counters: creators with a niche, by who gave it."""
NEXT_ROW = "next_row"
INDEX_SEQUENCE = "index_sequence"
EARLIER = b"\0"
"""Ends the key of a creator's vector that was of another model before: it answers until all creators have new ones."""


class AccountBundle(msgspec.Struct, kw_only=True):
    """What the Embedder needs of an account."""

    account: CreatorAccount
    items: list[ContentItem]
    vectors: dict[str, EmbeddingRecord]
    history: list[MetricSnapshot] = []
    """Its own counts by the day, oldest first; only where they were asked for."""


class CreatorBundle(msgspec.Struct, kw_only=True):
    """A creator with everything it is made of; accounts in the order of their keys."""

    creator: Creator
    accounts: list[AccountBundle]
    embeddings: dict[str, EmbeddingRecord]


class ShownCreator(msgspec.Struct, kw_only=True, frozen=True):
    """A creator as hits show it."""

    creator: Creator
    accounts: list[CreatorAccount]
    titles: list[list[Title]]
    """Along ``accounts``, newest first; empty where they were not asked for."""


class CatalogCounts(msgspec.Struct, kw_only=True, frozen=True):
    creators: int
    accounts: int
    content_items: int


TABLES = (
    "accounts",
    "account_by_handle",
    "account_by_creator",
    "creators",
    "rows",
    "content",
    "content_months",
    "metrics",
    "account_vectors",
    "embeddings",
    "identity_links",
    "index_log",
    "index_sequence",
)
"""Databases of the environment that this store owns."""


class Catalog:
    """Reads for everyone; writes are functions of a transaction below, which stages combine with their work items."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    async def scan(self, cursor: bytes, limit: int) -> tuple[list[Pair], bytes | None]:
        """See `stores.ports.Scannable`."""
        return await scan_tables(self._env, TABLES, cursor, limit)

    async def counts(self) -> CatalogCounts:
        """Kept counters; no scan."""
        return await self._env.read(
            lambda txn: CatalogCounts(
                creators=txn.counter(CREATORS), accounts=txn.counter(ACCOUNTS), content_items=txn.counter(ITEMS)
            )
        )

    async def account(self, key: AccountKey) -> CreatorAccount | None:
        return await self._env.read(lambda txn: get_account(txn, key))

    async def account_by_handle(self, platform: Platform, handle: str) -> AccountKey | None:
        return await self._env.read(lambda txn: find_by_handle(txn, platform, handle))

    async def account_bundles(self, keys: Sequence[AccountKey], items: int) -> list[AccountBundle | None]:
        return await self._env.read(lambda txn: [account_bundle(txn, key, items) for key in keys])

    async def creator(self, creator_id: CreatorId) -> Creator | None:
        return await self._env.read(lambda txn: get_creator(txn, creator_id))

    async def creator_bundles(
        self, ids: Sequence[CreatorId], items: int, *, history_since: int | None = None
    ) -> list[CreatorBundle | None]:
        """``history_since``: the day from which on the accounts' counts are wanted as well."""
        return await self._env.read(
            lambda txn: [creator_bundle(txn, creator_id, items, history_since) for creator_id in ids]
        )

    async def whole_bundles(self, ids: Sequence[CreatorId], items: int) -> list[CreatorBundle]:
        """Of those that are there and can be read; for index rebuilds."""

        def look(txn: Txn) -> list[CreatorBundle | None]:
            return [txn.if_whole(partial(creator_bundle, txn, creator_id, items)) for creator_id in ids]

        return [bundle for bundle in await self._env.read(look) if bundle is not None]

    async def embeddings(self, creator_id: CreatorId) -> dict[str, EmbeddingRecord]:
        """By field."""
        return await self._env.read(lambda txn: creator_embeddings(txn, creator_id))

    async def creators_with_accounts(
        self, ids: Sequence[CreatorId]
    ) -> list[tuple[Creator, list[CreatorAccount]] | None]:
        def look(txn: Txn) -> list[tuple[Creator, list[CreatorAccount]] | None]:
            pairs: list[tuple[Creator, list[CreatorAccount]] | None] = []
            for creator_id in ids:
                creator = get_creator(txn, creator_id)
                pairs.append((creator, _own_accounts(txn, creator)) if creator else None)
            return pairs

        return await self._env.read(look)

    async def shown(self, ids: Sequence[CreatorId], titles: int) -> list[ShownCreator | None]:
        """What a page of hits shows, in one look: creators, accounts and, of each account, its newest titles.

        One of whom something cannot be read is left out, as one who is gone: a search answers with all others.
        """
        return await self._env.read(lambda txn: _all_shown(txn, ids, titles))

    def shown_now(self, ids: Sequence[CreatorId], titles: int) -> list[ShownCreator | None]:
        """Blocking: the same, for code that already runs in a thread."""
        with self._env.snapshot() as txn:
            return _all_shown(txn, ids, titles)

    async def recent_content(self, creator_id: CreatorId, limit: int) -> list[ContentItem]:
        """Newest first, over all the creator's accounts."""

        def look(txn: Txn) -> list[ContentItem]:
            items = [item for account in accounts_of(txn, creator_id) for item in recent_items(txn, account.key, limit)]
            return sorted(items, key=lambda item: (-item.published_at, item.content_id))[:limit]

        return await self._env.read(look)

    async def creator_ids(self, after: CreatorId | None, limit: int) -> list[CreatorId]:
        """Ids in ascending order, beginning after one; for index rebuilds."""

        def look(txn: Txn) -> list[CreatorId]:
            start = pack_id(after + 1) if after is not None else None
            pairs = zip(txn.scan("creators", start=start), range(limit), strict=False)
            return [CreatorId(unpack_id(key)) for (key, _), _ in pairs]

        return await self._env.read(look)

    async def account_keys(self, after: AccountKey | None, limit: int) -> list[AccountKey]:
        def look(txn: Txn) -> list[AccountKey]:
            start = after.encode() + b"\0" if after is not None else None
            pairs = zip(txn.scan("accounts", start=start), range(limit), strict=False)
            return [AccountKey(key.decode()) for (key, _), _ in pairs]

        return await self._env.read(look)

    async def changed_since(self, sequence: int, limit: int) -> list[tuple[int, CreatorId]]:
        """The index log after a sequence number: each creator once, under its latest number, oldest first."""

        def look(txn: Txn) -> list[tuple[int, CreatorId]]:
            pairs = zip(txn.scan("index_log", start=pack_id(sequence + 1)), range(limit), strict=False)
            return [(unpack_id(key), CreatorId(unpack_id(value))) for (key, value), _ in pairs]

        return await self._env.read(look)

    async def index_sequence(self) -> int:
        return await self._env.read(lambda txn: txn.counter(INDEX_SEQUENCE))

    async def meta(self, name: str) -> str:
        """A named setting kept in the store, empty when absent."""
        return await self._env.read(lambda txn: (txn.get("meta", name.encode()) or b"").decode())

    async def put_meta(self, name: str, value: str) -> None:
        await self._env.write(lambda txn: txn.put("meta", name.encode(), value.encode()))


def _all_shown(txn: Txn, ids: Sequence[CreatorId], titles: int) -> list[ShownCreator | None]:
    return [txn.if_whole(partial(_shown, txn, creator_id, titles)) for creator_id in ids]


def _shown(txn: Txn, creator_id: CreatorId, titles: int) -> ShownCreator | None:
    creator = get_creator(txn, creator_id)
    if creator is None:
        return None
    accounts = _own_accounts(txn, creator)
    newest = [recent_titles(txn, account.key, titles) for account in accounts] if titles else []
    return ShownCreator(creator=creator, accounts=accounts, titles=newest)


def get_account(txn: Txn, key: AccountKey) -> CreatorAccount | None:
    stored = txn.get("accounts", key.encode())
    return decode(CreatorAccount, stored, "accounts", key.encode()) if stored else None


def find_by_handle(txn: Txn, platform: Platform, handle: str) -> AccountKey | None:
    """Who has this handle, as far as is known."""
    found = txn.get("account_by_handle", _handle_key(platform, handle))
    return AccountKey(found.decode()) if found else None


def put_account(txn: Txn, account: CreatorAccount) -> bool:
    """Stores an account unless a newer state is there; returns whether anything a reader sees changed.

    What we decided ourselves (creator, due time) is kept from the stored state.
    """
    old = get_account(txn, account.key)
    if account.handle:
        note_handle(txn, account.key, account.handle, account.fetched_at)
    if old is not None:
        if old.fetched_at > account.fetched_at:
            _put_snapshot(txn, account)  # what comes late is news of its own day
            return False
        account = msgspec.structs.replace(
            account,
            creator_id=old.creator_id,
            content_fetched_at=max(old.content_fetched_at or 0, account.content_fetched_at or 0) or None,
            next_due_at=account.next_due_at or old.next_due_at,
            touched_at=max(old.touched_at or 0, account.fetched_at),
            importance=old.importance,
            importance_stated=old.importance_stated,
            feed_failures=old.feed_failures,
        )
        if old.handle and old.handle != account.handle:
            _free_handle(txn, old)
    else:
        txn.add(ACCOUNTS)
        account = msgspec.structs.replace(account, touched_at=account.fetched_at)
    write_account(txn, account)
    if account.handle and not _held_later(txn, account):
        txn.put("account_by_handle", _handle_key(account.platform, account.handle), account.key.encode())
    _put_snapshot(txn, account)
    return old is None or _seen(old) != _seen(account)


def _held_later(txn: Txn, account: CreatorAccount) -> bool:
    """Whether another account was seen under this handle since: pages come in any order. Seen at once, the first key has
    it, so that one order is as good as the other."""
    holder = find_by_handle(txn, account.platform, account.handle)
    other = get_account(txn, holder) if holder not in (None, account.key) else None
    if other is None or _handle_key(other.platform, other.handle) != _handle_key(account.platform, account.handle):
        return False
    return (other.fetched_at, account.key) > (account.fetched_at, other.key)


def _free_handle(txn: Txn, account: CreatorAccount) -> None:
    """A handle that somebody else took meanwhile stays theirs."""
    key = _handle_key(account.platform, account.handle)
    if txn.get("account_by_handle", key) == account.key.encode():
        txn.delete("account_by_handle", key)


def write_account(txn: Txn, account: CreatorAccount) -> None:
    txn.put("accounts", account.key.encode(), encode(account))


def put_normalised(txn: Txn, page: Normalised, fetched_at: int) -> bool:
    """Stores what a page says; returns whether anything a reader sees changed."""
    changed = put_account(txn, page.account) if page.account is not None else False
    changed = put_items(txn, page.account_key, page.items) or changed
    if page.counts:
        changed = put_counts(txn, page.account_key, page.counts, fetched_at) or changed
    young = items_since(txn, page.account_key, fetched_at - TRACKED_DAYS * SECONDS_PER_DAY) if page.counts else []
    for snapshot in content_snapshots(page, young, fetched_at):
        _put(txn, page.account_key, snapshot)
    return changed


def remove_content(txn: Txn, account: AccountKey, content_ids: Iterable[str]) -> None:
    """Takes out what the platform no longer has, with its counts over time."""
    gone = set(content_ids)
    remove_items(txn, account, gone)
    prefix = account.encode() + b"\0"
    items = {content_id.encode() for content_id in gone}
    for key in [key for key, _ in txn.scan("metrics", prefix) if key[len(prefix) + 3 :] in items]:
        txn.delete("metrics", key)


def content_snapshots(page: Normalised, known: Iterable[ContentItem], fetched_at: int) -> list[MetricSnapshot]:
    """The day's counts of tracked content, be they read with its details or, of ``known`` items, by themselves."""
    young = {item.content_id for item in known if tracked(item.published_at, fetched_at)}
    counted: list[ContentItem | ContentCounts] = [
        *(item for item in page.items if item.detailed and tracked(item.published_at, fetched_at)),
        *(one for one in page.counts if one.content_id in young),
    ]
    return [
        MetricSnapshot(
            entity=one.content_id,
            day=fetched_at // SECONDS_PER_DAY,
            views=one.views,
            likes=one.likes,
            comments=one.comments,
            read_at=fetched_at,
        )
        for one in counted
    ]


def account_bundle(txn: Txn, key: AccountKey, items: int) -> AccountBundle | None:
    account = get_account(txn, key)
    if account is None:
        return None
    return AccountBundle(account=account, items=recent_items(txn, key, items), vectors=account_vectors(txn, key))


def account_vectors(txn: Txn, key: AccountKey) -> dict[str, EmbeddingRecord]:
    pairs = txn.scan("account_vectors", key.encode() + b"\0")
    records = (decode(EmbeddingRecord, value, "account_vectors", key) for key, value in pairs)
    return {record.field: record for record in records}


def put_account_vectors(txn: Txn, key: AccountKey, records: Iterable[EmbeddingRecord], gone: Iterable[str]) -> None:
    for record in records:
        txn.put("account_vectors", key.encode() + b"\0" + record.field.encode(), encode(record))
    for field in gone:
        txn.delete("account_vectors", key.encode() + b"\0" + field.encode())


def get_creator(txn: Txn, creator_id: CreatorId) -> Creator | None:
    stored = txn.get("creators", pack_id(creator_id))
    return decode(Creator, stored, "creators", pack_id(creator_id)) if stored else None


def vital_signs_of(creator: Creator) -> VitalSigns | None:
    """None until they are computed."""
    stored = creator.vital_signs
    return decode(VitalSigns, stored, "creators", pack_id(creator.creator_id)) if stored else None


def creators_page(txn: Txn, after: CreatorId | None, limit: int) -> tuple[list[Creator], CreatorId | None]:
    """Those among the next ``limit`` that can be read, in the order of their ids, and where to go on; None at the end."""
    start = pack_id(after + 1) if after is not None else None
    pairs = list(islice(txn.scan("creators", start=start), limit))
    creators = (txn.if_whole(partial(decode, Creator, value, "creators", key)) for key, value in pairs)
    last = CreatorId(unpack_id(pairs[-1][0])) if len(pairs) == limit else None
    return [creator for creator in creators if creator is not None], last


def accounts_page(
    txn: Txn, prefix: bytes, after: AccountKey | None, limit: int
) -> tuple[list[AccountKey], list[CreatorAccount]]:
    """The next ``limit`` keys, and the accounts of those that can be read, in the order of their keys."""
    start = after.encode() + b"\0" if after is not None else prefix
    pairs = list(islice(txn.scan("accounts", prefix, start), limit))
    accounts = (txn.if_whole(partial(decode, CreatorAccount, value, "accounts", key)) for key, value in pairs)
    return [AccountKey(key.decode()) for key, _ in pairs], [one for one in accounts if one is not None]


def put_creator(txn: Txn, creator: Creator) -> None:
    old = get_creator(txn, creator.creator_id)
    _count_labels(txn, old, -1)
    _count_labels(txn, creator, 1)
    txn.put("creators", pack_id(creator.creator_id), encode(creator))


def delete_creator(txn: Txn, creator_id: CreatorId) -> None:
    _count_labels(txn, get_creator(txn, creator_id), -1)
    txn.delete("creators", pack_id(creator_id))
    txn.add(CREATORS, -1)


def label_counts(txn: Txn) -> dict[str, int]:
    """Creators with a niche, by who gave it; kept counters."""
    return {method: max(txn.counter(LABELLED + method), 0) for method in ("local", "llm")}


def _count_labels(txn: Txn, creator: Creator | None, delta: int) -> None:
    if creator is not None and creator.enrichment is not None and creator.primary_niche:
        txn.add(LABELLED + creator.enrichment.method, delta)


def accounts_of(txn: Txn, creator_id: CreatorId) -> list[CreatorAccount]:
    """By the accounts themselves, for whoever computes the creator's record from them."""
    return _accounts(
        txn, (AccountKey(key[8:].decode()) for key, _ in txn.scan("account_by_creator", pack_id(creator_id)))
    )


def _own_accounts(txn: Txn, creator: Creator) -> list[CreatorAccount]:
    """The same, by what the creator's record says, which `pokedexd verify` compares: a look-up less."""
    return _accounts(txn, sorted(creator.account_keys))


def _accounts(txn: Txn, keys: Iterable[AccountKey]) -> list[CreatorAccount]:
    return [account for key in keys if (account := get_account(txn, key)) is not None]


def creator_bundle(
    txn: Txn, creator_id: CreatorId, items: int, history_since: int | None = None
) -> CreatorBundle | None:
    creator = get_creator(txn, creator_id)
    if creator is None:
        return None
    accounts = [
        AccountBundle(
            account=account,
            items=recent_items(txn, account.key, items),
            vectors=account_vectors(txn, account.key),
            history=[] if history_since is None else account_history(txn, account.key, history_since),
        )
        for account in accounts_of(txn, creator_id)
    ]
    return CreatorBundle(creator=creator, accounts=accounts, embeddings=creator_embeddings(txn, creator_id))


def creator_embeddings(txn: Txn, creator_id: CreatorId) -> dict[str, EmbeddingRecord]:
    pairs = txn.scan("embeddings", pack_id(creator_id))
    records = (decode(EmbeddingRecord, value, "embeddings", key) for key, value in pairs if not key.endswith(EARLIER))
    return {record.field: record for record in records}


def put_first_embeddings(txn: Txn, creator_id: CreatorId, records: Iterable[EmbeddingRecord]) -> None:
    """Of a creator that is new, so that there is none to replace."""
    for record in records:
        txn.put("embeddings", pack_id(creator_id) + record.field.encode(), encode(record))


def put_creator_embeddings(txn: Txn, creator_id: CreatorId, records: Sequence[EmbeddingRecord]) -> None:
    """Replaces the creator's embeddings by these; one that another model made is kept beside (`EARLIER`)."""
    held = creator_embeddings(txn, creator_id)
    for field in held.keys() - {record.field for record in records}:
        key = pack_id(creator_id) + field.encode()
        txn.delete("embeddings", key)
        txn.delete("embeddings", key + EARLIER)
    for record in records:
        key = pack_id(creator_id) + record.field.encode()
        _keep_earlier(txn, key, held.get(record.field), record)
        txn.put("embeddings", key, encode(record))


def _keep_earlier(txn: Txn, key: bytes, held: EmbeddingRecord | None, fresh: EmbeddingRecord) -> None:
    """The first that was replaced stays, through several changes; it goes when its own model is back."""
    stored = txn.get("embeddings", key + EARLIER)
    if stored is not None:
        if decode(EmbeddingRecord, stored, "embeddings", key + EARLIER).model_id == fresh.model_id:
            txn.delete("embeddings", key + EARLIER)
    elif held is not None and held.model_id != fresh.model_id:
        txn.put("embeddings", key + EARLIER, encode(held))


def drop_earlier(txn: Txn, after: bytes, limit: int) -> bytes | None:
    """Takes out vectors of models before, of ``limit`` vectors behind the key ``after``; None when that was all."""
    keys = [key for (key, _), _ in zip(txn.scan("embeddings", start=after), range(limit), strict=False)]
    for key in keys:
        if key.endswith(EARLIER):
            txn.delete("embeddings", key)
    return keys[-1] + b"\0" if len(keys) == limit else None


def log_indexed(txn: Txn, creator_id: CreatorId) -> int:
    """Notes that the indexes took this creator in; the log holds each creator once, so it cannot grow past them."""
    key = pack_id(creator_id)
    old = txn.get("index_sequence", key)
    if old is not None:
        txn.delete("index_log", old)
    sequence = txn.add(INDEX_SEQUENCE)
    txn.put("index_log", pack_id(sequence), key)
    txn.put("index_sequence", key, pack_id(sequence))
    return sequence


def unlog(txn: Txn, creator_id: CreatorId) -> bool:
    """Takes a creator out of the index log; returns whether it was there."""
    sequence = txn.get("index_sequence", pack_id(creator_id))
    if sequence is None:
        return False
    txn.delete("index_sequence", pack_id(creator_id))
    return txn.delete("index_log", sequence)


def _put_snapshot(txn: Txn, account: CreatorAccount) -> None:
    _put(txn, account.key, snapshot_of(account))


def snapshot_of(account: CreatorAccount) -> MetricSnapshot:
    """Its counts as of the day on which it was read."""
    return MetricSnapshot(
        entity=account.key,
        day=account.fetched_at // SECONDS_PER_DAY,
        followers=account.followers,
        views=account.total_views,
        media_count=account.media_count,
        read_at=account.fetched_at,
        followers_step=account.followers_step,
    )


def _put(txn: Txn, account: AccountKey, snapshot: MetricSnapshot) -> None:
    """One snapshot a day, of the account and of each of its items: the newest of the day stands.

    The day comes before the item, so that what is too old stands first.
    """
    item = "" if snapshot.entity == account else snapshot.entity
    key = account.encode() + b"\0" + snapshot.day.to_bytes(3, "big") + item.encode()
    stored = txn.get("metrics", key)
    wanted = encode(snapshot)
    if stored is not None:
        before = decode(MetricSnapshot, stored, "metrics", key)
        if (before.read_at, stored) >= (snapshot.read_at, wanted):  # read at once: whichever comes first, one stands
            return
    txn.put("metrics", key, wanted)


def snapshots_of(txn: Txn, account: AccountKey) -> list[MetricSnapshot]:
    """The account's and its items', oldest day first."""
    pairs = txn.scan("metrics", account.encode() + b"\0")
    return [decode(MetricSnapshot, value, "metrics", key) for key, value in pairs]


def account_history(txn: Txn, account: AccountKey, since_day: int) -> list[MetricSnapshot]:
    """The account's own from a day on, oldest first: one seek a day that has any, however many items it has."""
    prefix = account.encode() + b"\0"
    found: list[MetricSnapshot] = []
    day = max(since_day, 0)
    while (entry := next(txn.scan("metrics", prefix, start=prefix + day.to_bytes(3, "big")), None)) is not None:
        key, value = entry
        if len(key) == len(prefix) + 3:
            found.append(decode(MetricSnapshot, value, "metrics", key))
        day = int.from_bytes(key[len(prefix) : len(prefix) + 3], "big") + 1
    return found


def _seen(account: CreatorAccount) -> CreatorAccount:
    return msgspec.structs.replace(
        account, fetched_at=0, next_due_at=None, content_fetched_at=None, misses=0, touched_at=None, feed_failures=0
    )


def _handle_key(platform: Platform, handle: str) -> bytes:
    return f"{platform.value}:{handle.casefold().lstrip('@')}".encode()[:500]
