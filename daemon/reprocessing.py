"""Stored pages read again with the present adapters: what that would change in the catalogue, and changing it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import groupby
from typing import Any

import httpx2
import msgspec

from actors.platforms.instagram import InstagramAdapter
from actors.platforms.youtube import YouTubeAdapter
from actors.reading import with_extracted
from daemon.raw_export import read_page
from daemon.web.views import instant
from proto.errors import Malformed, NotFound
from proto.ids import AccountKey, Platform, RawId
from proto.messages import AccountUpserted
from proto.records import ContentItem, CreatorAccount, Job, JobKind, Normalised, Priority, RawPage
from stores.catalog import get_account, put_normalised
from stores.codec import unpack_id
from stores.content import recent_items
from stores.env import Environment, Txn
from stores.raw import drop_raw
from stores.schedule import put_job
from stores.work import enqueue

PAGES_AT_ONCE = 200
"""Pages of one transaction; more only when a single account has more."""
EXAMPLES = 3
LISTED = 1_000
"""Unreadable pages and items that are told one by one; the others are counted."""
VALUE_CHARS = 80
ALL_ITEMS = 1 << 40

ACCOUNT_OWN = frozenset(
    (
        "fetched_at",
        "content_fetched_at",
        "touched_at",
        "next_due_at",
        "creator_id",
        "misses",
        "feed_failures",
        "importance",
        "importance_stated",
    )
)
ITEM_OWN = frozenset(("account_key", "fetched_at"))
"""Fields that are ours, or that say when something was read: no difference between two readings."""
REVISITED = (Platform.YOUTUBE,)
"""Platforms that are asked for single items. One that appears by reprocessing may have been deleted since its page."""

Reader = Callable[[RawPage], Normalised]


class Example(msgspec.Struct, kw_only=True):
    """One difference; the values as JSON, shortened."""

    entity: str
    before: str
    after: str


class FieldDiff(msgspec.Struct, kw_only=True):
    changed: int = 0
    examples: list[Example] = []


class Unreadable(msgspec.Struct, kw_only=True):
    raw_id: RawId
    account_key: AccountKey
    fetched_at: str
    """RFC 3339."""
    reason: str
    place: str = ""
    """Which item of the page; empty for the whole page."""


class Report(msgspec.Struct, kw_only=True):
    """What came of all pages; ``forbidden`` are those of people who asked to be forgotten."""

    applied: bool
    pages: int = 0
    pages_read: int = 0
    accounts_added: int = 0
    accounts_changed: int = 0
    items_added: int = 0
    items_changed: int = 0
    account_fields: dict[str, FieldDiff] = {}
    item_fields: dict[str, FieldDiff] = {}
    forbidden: int = 0
    unreadable: int = 0
    unreadable_pages: list[Unreadable] = []


class _Entry(msgspec.Struct, frozen=True):
    """A stored page as the index by account and time names it."""

    account_key: AccountKey
    fetched_at: int
    raw_id: RawId


class _Reread(msgspec.Struct):
    """A page that could be read. Its body is let go of at once."""

    entry: _Entry
    kind: JobKind
    said: Normalised


class _Diff(msgspec.Struct):
    """An account before and after its pages were read again."""

    account: tuple[CreatorAccount | None, CreatorAccount | None]
    items: list[tuple[ContentItem | None, ContentItem]]
    """Those that differ."""


class _Rehearsed(Exception):
    """Takes a transaction back once it has shown what it would do."""

    def __init__(self, found: list[_Diff]) -> None:
        super().__init__("rehearsed")
        self.found = found


class Reprocessing:
    """Account by account, each one's pages oldest first: what is stored of an account follows from its own pages.

    Without ``apply`` every transaction is the real one, taken back at its end.
    """

    def __init__(
        self,
        env: Environment,
        *,
        readers: Mapping[Platform, Reader],
        forbids: Callable[[AccountKey, str], bool],
        now: Callable[[], float],
        apply: bool,
    ) -> None:
        self._env, self._readers, self._forbids, self._now, self._apply = env, readers, forbids, now, apply
        self._report = Report(applied=apply)

    async def run(
        self, *, platform: Platform | None = None, since: int = 0, tell: Callable[[int, int], None] = lambda _, __: None
    ) -> Report:
        """Pages of a platform (None: all) received at or after an epoch second. ``tell``: pages done, pages in all."""
        prefix = f"{platform.value}:".encode() if platform else b""
        total = await self._env.read(lambda txn: sum(one.fetched_at >= since for one in _index(txn, prefix)))
        start: bytes | None = b""
        while start is not None:
            entries, start = await self._env.read(partial(_entries, prefix=prefix, start=start, since=since))
            await self._handle(entries)
            tell(self._report.pages, total)
        return self._report

    async def _handle(self, entries: Sequence[_Entry]) -> None:
        read = [await self._read(entry) for entry in entries]
        self._report.pages += len(entries)
        refused = [entry.raw_id for entry, one in zip(entries, read, strict=True) if one == "forbidden"]
        good = [one for one in read if isinstance(one, _Reread)]
        self._report.pages_read += len(good)
        self._report.forbidden += len(refused)
        for diff in await self._write(good, refused):
            _count(self._report, diff)

    async def _read(self, entry: _Entry) -> _Reread | str:
        """What the page says, or why nothing is taken from it."""
        if self._forbids(entry.account_key, ""):
            return "forbidden"
        try:
            page = await read_page(self._env, entry.raw_id)
            said = self._reader(page.platform)(page)
        except (Malformed, NotFound) as error:
            self._note_unreadable(entry, str(error))
            return "unreadable"
        if said.account is not None and self._forbids(entry.account_key, said.account.handle):
            return "forbidden"
        for place, reason in said.refused:
            self._note_unreadable(entry, reason, place)
        return _Reread(entry, page.kind, said)

    def _reader(self, platform: Platform) -> Reader:
        reader = self._readers.get(platform)
        if reader is None:
            raise Malformed(f"{platform.value} is not ingested by this version")
        return reader

    def _note_unreadable(self, entry: _Entry, reason: str, place: str = "") -> None:
        self._report.unreadable += 1
        if len(self._report.unreadable_pages) < LISTED:
            self._report.unreadable_pages.append(
                Unreadable(
                    raw_id=entry.raw_id,
                    account_key=entry.account_key,
                    fetched_at=instant(entry.fetched_at) or "",
                    reason=reason,
                    place=place,
                )
            )

    async def _write(self, pages: Sequence[_Reread], forbidden: Sequence[RawId]) -> list[_Diff]:
        now = self._now()

        def change(txn: Txn) -> list[_Diff]:
            for raw_id in forbidden:
                drop_raw(txn, raw_id)
            accounts = groupby(pages, key=lambda one: one.entry.account_key)
            found = [_take_in(txn, key, list(group), now) for key, group in accounts]
            if not self._apply:
                raise _Rehearsed(found)
            return found

        try:
            return await self._env.write(change)
        except _Rehearsed as rehearsed:
            return rehearsed.found


@asynccontextmanager
async def open_readers(now: Callable[[], float]) -> AsyncIterator[dict[Platform, Reader]]:
    """Every adapter's way of reading pages. Nobody is called, so no key is needed."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        youtube = YouTubeAdapter(client, base_url="", feeds_url="", keys=(), now=now, timeout_seconds=1.0)
        instagram = InstagramAdapter(client, base_url="", tokens={}, now=now, timeout_seconds=1.0)
        yield {
            Platform.YOUTUBE: lambda page: with_extracted(youtube.normalise(page)),
            Platform.INSTAGRAM: lambda page: with_extracted(instagram.normalise(page)),
        }


def _index(txn: Txn, prefix: bytes, start: bytes = b"") -> Iterable[_Entry]:
    """Entries by account, each account's by time. ``start``: where to begin, as an entry's key."""
    for key, _ in txn.scan("raw_by_account", prefix, start or None):
        yield _Entry(AccountKey(key[:-25].decode()), unpack_id(key[-24:-16]), RawId(key[-16:].hex()))


def _entries(txn: Txn, prefix: bytes, start: bytes, since: int) -> tuple[list[_Entry], bytes | None]:
    """Whole accounts, and the key at which the next ones begin (None: there are no more)."""
    found: list[_Entry] = []
    for entry in _index(txn, prefix, start):
        if len(found) >= PAGES_AT_ONCE and entry.account_key != found[-1].account_key:
            return found, entry.account_key.encode() + b"\0"
        if entry.fetched_at >= since:
            found.append(entry)
    return found, None


def _take_in(txn: Txn, key: AccountKey, pages: Sequence[_Reread], now: float) -> _Diff:
    """Writes what an account's pages say, and what the stages behind must know of it."""
    account, items = get_account(txn, key), _items(txn, key)
    for page in pages:
        _put(txn, page)
    diff = _Diff((account, get_account(txn, key)), _changed_items(items, _items(txn, key)))
    if diff.account[1] is not None and (account is None or diff.items or _fields(*diff.account, ACCOUNT_OWN)):
        enqueue(txn, AccountUpserted(account_key=key), now)
    for old, item in diff.items:
        if old is None and key.partition(":")[0] in REVISITED:
            put_job(txn, _revisit(key, item, diff.account[1], int(now)))
    return diff


def _put(txn: Txn, page: _Reread) -> None:
    """An old page does not tell that an account is still there."""
    said, account = page.said, page.said.account
    if account is None:
        put_normalised(txn, said, page.entry.fetched_at)
        return
    old = get_account(txn, account.key)
    if old is not None:
        account = msgspec.structs.replace(account, status=old.status, misses=old.misses)
    put_normalised(txn, msgspec.structs.replace(said, account=account), page.entry.fetched_at)


def _revisit(key: AccountKey, item: ContentItem, account: CreatorAccount | None, now: int) -> Job:
    return Job(
        platform=Platform(key.partition(":")[0]),
        kind=JobKind.REVISIT,
        entity=item.content_id,
        account_key=key,
        priority=Priority.LONG_TAIL,
        due_at=now,
        first=False,
        handle=account.handle if account else "",
    )


def _items(txn: Txn, key: AccountKey) -> dict[str, ContentItem]:
    return {item.content_id: item for item in recent_items(txn, key, ALL_ITEMS)}


def _changed_items(
    before: Mapping[str, ContentItem], after: Mapping[str, ContentItem]
) -> list[tuple[ContentItem | None, ContentItem]]:
    pairs = [(before.get(content_id), item) for content_id, item in after.items()]
    return [(old, item) for old, item in pairs if old is None or _fields(old, item, ITEM_OWN)]


def _fields(
    before: msgspec.Struct | None, after: msgspec.Struct | None, ignored: frozenset[str]
) -> dict[str, tuple[Any, Any]]:
    """Field → (before, after) of those that differ; empty when one of the two is not there."""
    if before is None or after is None:
        return {}
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in after.__struct_fields__}
    return {name: pair for name, pair in pairs.items() if name not in ignored and pair[0] != pair[1]}


def _count(report: Report, diff: _Diff) -> None:
    before, after = diff.account
    if after is not None:
        fields = _fields(before, after, ACCOUNT_OWN)
        report.accounts_added += before is None
        report.accounts_changed += bool(fields)
        _note(report.account_fields, after.key, fields)
    for old, item in diff.items:
        report.items_added += old is None
        report.items_changed += old is not None
        _note(report.item_fields, item.content_id, _fields(old, item, ITEM_OWN))


def _note(into: dict[str, FieldDiff], entity: str, fields: Mapping[str, tuple[Any, Any]]) -> None:
    for name, (before, after) in fields.items():
        diff = into.setdefault(name, FieldDiff())
        diff.changed += 1
        if len(diff.examples) < EXAMPLES:
            diff.examples.append(Example(entity=entity, before=_shown(before), after=_shown(after)))


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= VALUE_CHARS else text[: VALUE_CHARS - 1] + "…"
