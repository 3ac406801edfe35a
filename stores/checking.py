"""Whether a store is whole: every record of every database is read, and what leads from one to another is followed.

`RULES` has a function for every database of the environment; a new database has to be put there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import lmdb
import msgspec
import zstandard

from proto.errors import PokedexError, Unreadable
from proto.ids import AccountKey, CreatorId, RawId
from proto.records import Creator, CreatorAccount, MetricSnapshot, StoredRaw
from stores import checking_identity, checking_tenants, checking_work
from stores.audit import AUDIT_NUMBER, verify_audit
from stores.avatars import Avatar
from stores.belonging import members_of
from stores.catalog import (
    ACCOUNTS,
    CREATORS,
    EARLIER,
    INDEX_SEQUENCE,
    LABELLED,
    NEXT_ROW,
    _handle_key,
    get_account,
    vital_signs_of,
)
from stores.checking_links import Row, Rule, Seen, has, missing, no_account, no_owner, owner_of, vector_faults
from stores.codec import decode, pack_id, shown_key, unpack_id
from stores.content import ITEMS, Block, Months, _key, month_of, months_of
from stores.env import DATABASES, Txn
from stores.identity import REVIEWS
from stores.journal import EVENT_NUMBER
from stores.query_log import QUERY_NUMBER
from stores.raw import _by_account, get_raw, raw_id_of
from stores.schedule import PENDING
from stores.subscriptions import SUBSCRIBED
from stores.work import REVISION, ROWS

Tell = Callable[[str, int, int], None]

UNREADABLE = (
    PokedexError,
    msgspec.MsgspecError,
    zstandard.ZstdError,
    lmdb.Error,
    ValueError,
    LookupError,
    OverflowError,
    AssertionError,
)
"""What reading a row raises that is not as its reader expects it."""
TOLD_EVERY = 1_000
"""Rows between two words of progress."""
FIRST, LAST = ("accounts", "creators"), ("raw",)
"""Databases, in the order in which they are read where not all may be."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """The first of its kind in a database."""

    database: str
    key: str
    """As `stores.codec.shown_key` has it; empty where it is about the whole database."""
    problem: str
    count: int = 1
    """How many rows of the database have something wrong."""


def find_faults(txn: Txn, counts: Mapping[str, int], tell: Tell) -> list[Fault]:
    """Blocking: reads the whole store. The first fault of each database, and what is wrong with its counters.

    ``counts``: rows that each database is to have, for those that are named. ``tell``: database, rows done, rows in all.
    """
    seen = Seen()
    total, before = sum(txn.entries(name) for name in DATABASES), 0
    faults: list[Fault] = []
    for database in DATABASES:
        faults += _faults_of(txn, database, seen, partial(_tell_from, tell, database, before, total))
        before += txn.entries(database)
        stated = counts.get(database)
        if stated is not None and stated != txn.entries(database):
            faults.append(Fault(database=database, key="", problem=f"has {txn.entries(database)} rows, not {stated}"))
    trail = verify_audit(txn)
    if trail.broken is not None:
        faults.append(Fault(database="audit", key=str(trail.broken), problem=trail.problem))
    return faults + [Fault(database="meta", key=f"counter:{name}", problem=text) for name, text in _counters(txn, seen)]


def find_faults_within(txn: Txn, enough: Callable[[], bool], tell: Tell) -> tuple[list[Fault], int, int]:
    """Blocking: the first fault of each database, of as many rows as are read until there are ``enough``: accounts and
    creators first, and pages, of which each is unpacked, last. How many rows were read, and how many there are."""
    total, done = sum(txn.entries(name) for name in DATABASES), 0
    faults: list[Fault] = []
    for database in sorted(DATABASES, key=_turn_of):
        read = Counter[str]()
        faults += _faults_of(txn, database, Seen(), partial(_tell_from, tell, database, done, total), enough, read)
        done += read[database]
        if enough():
            break
    return faults, done, total


def _turn_of(database: str) -> int:
    return FIRST.index(database) - len(FIRST) if database in FIRST else int(database in LAST)


def _tell_from(tell: Tell, database: str, before: int, total: int, done: int) -> None:
    tell(database, before + done, total)


def _faults_of(
    txn: Txn,
    database: str,
    seen: Seen,
    tell: Callable[[int], None],
    enough: Callable[[], bool] = lambda: False,
    read: Counter[str] | None = None,
) -> list[Fault]:
    """``read``: where it is noted how many rows were read."""
    first: Fault | None = None
    count = number = 0
    for number, (key, value) in enumerate(txn.scan(database), 1):
        problem = _problem(database, Row(txn, key, value, seen))
        if problem:
            count += 1
            first = first or Fault(database=database, key=shown_key(database, key), problem=problem)
        if number % TOLD_EVERY == 0:
            tell(number)
            if enough():
                break
    if read is not None:
        read[database] = number
    return [msgspec.structs.replace(first, count=count)] if first is not None else []


def _problem(database: str, row: Row) -> str:
    """Empty for a sound row. Whatever cannot be read says so by an error of its own kind; a row that leads to one of
    another database which cannot be read has no fault of its own."""
    try:
        return next(RULES[database](row), "")
    except Unreadable as error:
        return error.reason if error.database == database else ""
    except UNREADABLE as error:
        return str(error) or type(error).__name__


def _counters(txn: Txn, seen: Seen) -> Iterator[tuple[str, str]]:
    exact = {
        ACCOUNTS: txn.entries("accounts"),
        CREATORS: txn.entries("creators"),
        ITEMS: seen["content_items"],
        ROWS: txn.entries("work"),
        PENDING: seen["first_jobs"],
        REVIEWS: txn.entries("identity_review"),
        SUBSCRIBED: seen["subscribed"],
        LABELLED + "local": seen["local"],
        LABELLED + "llm": seen["llm"],
    }
    least = {
        NEXT_ROW: seen["rows"],
        INDEX_SEQUENCE: seen["indexed"],
        REVISION: seen["revision"],
        AUDIT_NUMBER: seen["audit"],
        EVENT_NUMBER: seen["events"],
        QUERY_NUMBER: seen["queries"],
    }
    for name, found in exact.items():
        if txn.counter(name) != found:
            yield name, f"says {txn.counter(name)}; {found} are there"
    for name, found in least.items():
        if txn.counter(name) < found:
            yield name, f"says {txn.counter(name)}; {found} is in use"


def _accounts(row: Row) -> Iterator[str]:
    account = decode(CreatorAccount, row.value)
    if account.key.encode() != row.key:
        yield f"is {account.key}"
    if account.creator_id is not None:
        yield from missing(row.txn, "creators", pack_id(account.creator_id))
        yield from missing(row.txn, "account_by_creator", pack_id(account.creator_id) + row.key)


def _by_handle(row: Row) -> Iterator[str]:
    account = get_account(row.txn, AccountKey(row.value.decode()))
    if account is None or _handle_key(account.platform, account.handle) != row.key:
        yield f"leads to {row.value.decode()}, which has another handle or is no account"


def _by_creator(row: Row) -> Iterator[str]:
    account = get_account(row.txn, AccountKey(row.key[8:].decode()))
    if account is None or account.creator_id != unpack_id(row.key[:8]):
        yield "is an account that belongs elsewhere, or none"


def _creators(row: Row) -> Iterator[str]:
    creator = decode(Creator, row.value)
    vital_signs_of(creator)
    row.seen["rows"] = max(row.seen["rows"], creator.row + 1)
    if creator.enrichment is not None and creator.primary_niche:
        row.seen[creator.enrichment.method] += 1
    if pack_id(creator.creator_id) != row.key:
        yield f"is {creator.creator_id}"
    if row.txn.get("rows", creator.row.to_bytes(4, "big")) != row.key:
        yield f"has row {creator.row}, which is another's"
    members = members_of(row.txn, creator.creator_id)
    if not members or sorted(creator.account_keys) != members:
        yield f"says that it is {creator.account_keys}, its accounts are {members}"


def _rows(row: Row) -> Iterator[str]:
    stored = row.txn.get("creators", row.value)
    if stored is None or decode(Creator, stored, "creators", row.value).row != unpack_id(row.key):
        yield "leads to a creator that is not there, or has another row"


def _content(row: Row) -> Iterator[str]:
    month, account = unpack_id(row.key[:2]), AccountKey(row.key[2:].decode())
    items = decode(Block, row.value).items
    row.seen["content_items"] += len(items)
    if month not in months_of(row.txn, account):
        yield "is of a month that the account's list of months does not have"
    if not items or any(month_of(item.published_at) != month for item in items):
        yield "holds nothing, or something of another month"
    yield from no_owner(row.txn, account.encode())


def _months(row: Row) -> Iterator[str]:
    for month in decode(Months, row.value).months:
        yield from missing(row.txn, "content", _key(AccountKey(row.key.decode()), month))


def _metrics(row: Row) -> Iterator[str]:
    snapshot = decode(MetricSnapshot, row.value)
    owner, _, rest = row.key.partition(b"\0")
    entity = rest[3:] or owner
    if snapshot.entity.encode() != entity or snapshot.day != unpack_id(rest[:3]):
        yield f"is of {snapshot.entity} on day {snapshot.day}"
    yield from no_owner(row.txn, owner)


def _account_vectors(row: Row) -> Iterator[str]:
    account, _, field = row.key.partition(b"\0")
    yield from vector_faults(row.value, field)
    yield from no_account(row.txn, account)


def _embeddings(row: Row) -> Iterator[str]:
    yield from vector_faults(row.value, row.key[8:].removesuffix(EARLIER))
    yield from missing(row.txn, "creators", row.key[:8])


def _raw(row: Row) -> Iterator[str]:
    stored = decode(StoredRaw, row.value)
    if raw_id_of(get_raw(row.txn, RawId(row.key.hex()))) != row.key.hex() or stored.raw_id != row.key.hex():
        yield "is not the page that its id is made of"
    yield from missing(row.txn, "raw_by_account", _by_account(stored.account_key, stored.fetched_at, row.key))


def _raw_by_account(row: Row) -> Iterator[str]:
    _, _, rest = row.key.partition(b"\0")
    stored = row.txn.get("raw", rest[8:])
    page = decode(StoredRaw, stored, "raw", rest[8:]) if stored else None
    if page is None or _by_account(page.account_key, page.fetched_at, rest[8:]) != row.key:
        yield "leads to a page that is not there, or is another account's or time's"


def _avatars(row: Row) -> Iterator[str]:
    decode(Avatar, row.value)
    yield from no_account(row.txn, row.key)


def _avatars_due(row: Row) -> Iterator[str]:
    if len(row.value) != 1:
        yield "does not say how often it was tried"
    yield from no_account(row.txn, owner_of(row.key).encode())


def _index_log(row: Row) -> Iterator[str]:
    row.seen["indexed"] = max(row.seen["indexed"], unpack_id(row.key))
    if row.txn.get("index_sequence", row.value) != row.key:
        yield "is not the creator's place in the log"


def _index_sequence(row: Row) -> Iterator[str]:
    if row.txn.get("index_log", row.value) != row.key:
        yield "is a place in the log that is another creator's"
    if not has(row.txn, "creators", row.key) and not has(row.txn, "retired_creators", row.key):
        yield f"is of creator {CreatorId(unpack_id(row.key))}, who is not there"


RULES: dict[str, Rule] = {
    "accounts": _accounts,
    "account_by_handle": _by_handle,
    "account_by_creator": _by_creator,
    "creators": _creators,
    "rows": _rows,
    "content": _content,
    "content_months": _months,
    "metrics": _metrics,
    "account_vectors": _account_vectors,
    "embeddings": _embeddings,
    "raw": _raw,
    "raw_by_account": _raw_by_account,
    "avatars": _avatars,
    "avatars_due": _avatars_due,
    "index_log": _index_log,
    "index_sequence": _index_sequence,
    **checking_identity.RULES,
    **checking_tenants.RULES,
    **checking_work.RULES,
}
"""Database → what is right of each of its rows."""
