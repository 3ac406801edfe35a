"""Taking somebody, or what may be kept no longer, out of every database. Functions of a transaction, in bounded pieces.

`HANDLED` and `UNTOUCHED` together name every database of the environment: a new one has to be put into either.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from proto.ids import AccountKey, CreatorId, Platform, RawId, Row, account_key, creator_id_of, split_account_key
from proto.messages import AccountEmbedded, AccountUpserted, AnyWork, Stage
from proto.records import (
    AuditEvent,
    ContentItem,
    Creator,
    CreatorAccount,
    CreatorList,
    DeadLetter,
    Event,
    IdentityLink,
    Job,
    JobKind,
    LoggedQuery,
    Note,
    Priority,
    SavedSearch,
)
from stores.audit import OPERATOR, Actor, without_names
from stores.avatars import drop_avatar, get_avatar
from stores.belonging import drop_formers, old_formers
from stores.catalog import (
    ACCOUNTS,
    _free_handle,
    _handle_key,
    accounts_of,
    delete_creator,
    get_account,
    get_creator,
    put_creator,
    unlog,
    write_account,
)
from stores.codec import decode, encode, pack_id, unpack_id
from stores.content import ITEMS, Months, _block, _key, months_of, remove_items
from stores.env import DATABASES, Environment, Txn
from stores.history import DAILY_DAYS, SECONDS_PER_DAY, kept_days
from stores.identity import (
    decisions_of,
    delete_decision,
    delete_pair,
    drop_facts,
    forget_handles,
    old_handles,
    pairs_of,
    take_back,
)
from stores.labels import drop_labelling
from stores.lists import replace_creators
from stores.notes import replace_noted
from stores.query_log import without_candidates
from stores.raw import drop_raw
from stores.schedule import find_job, jobs_of, plan_job, put_job, settle_job
from stores.subscriptions import forget_subscription
from stores.work import ROWS, enqueue

HANDLED = frozenset(
    (
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
        "raw",
        "raw_by_account",
        "schedule",
        "schedule_due",
        "schedule_by_account",
        "leases",
        "work",
        "dead_letters",
        "identity_links",
        "identity_facts",
        "identity_keys",
        "identity_words",
        "identity_pairs",
        "identity_review",
        "identity_decisions",
        "identity_backlog",
        "handle_history",
        "founders",
        "former_creators",
        "former_by_account",
        "retired_creators",
        "avatars",
        "avatars_due",
        "labellings",
        "labellings_due",
        "lists",
        "list_steps",
        "hidden",
        "notes",
        "saved_searches",
        "query_log",
        "index_log",
        "index_sequence",
        "audit",
        "events",
        "subscriptions",
        "subscriptions_due",
        "subscription_by_token",
    )
)
UNTOUCHED = frozenset(
    ("ledger", "llm_spend", "tenants", "keys", "sessions", "list_visits", "meta", "push_tally", "pauses", "tasks")
)
"""Budgets, pauses, tasks (which count accounts and name none), tenants, their keys and sessions, settings, visits and tallies of posts by the hour speak of no account; what `mark_erasure` keeps in ``meta`` is taken out by itself."""

PIECES = 500
"""Jobs, months of content, raw pages and snapshots taken out in one transaction at most."""
COPIED = 10_000
"""Rows copied in one transaction when the store is written anew."""
MENTIONED_IN = ("dead_letters", "events", "audit", "query_log", "lists", "notes", "saved_searches")
"""Databases whose texts may name an account; all but the first keep their rows, with a keyed hash in place of the name."""

_MARK = b"erasure:"
_STAGES = list(Stage)


class Subject(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Who is to be erased. Either of id and handle may be empty; ``alias`` stands in their place in what stays."""

    platform: Platform
    user_id: str
    handle: str
    alias: str
    former: tuple[str, ...] = ()
    """Handles that it had before, and nobody else has now; they are hidden as well."""
    creator_ids: tuple[CreatorId, ...] = ()
    """Under which logged queries may have it as a candidate."""

    @property
    def key(self) -> AccountKey:
        return account_key(self.platform, self.user_id)


class Mark(msgspec.Struct, kw_only=True, array_like=True):
    """An erasure that has begun and is to be finished, whatever happens in between."""

    subject: Subject
    row: Row | None = None
    """Of the creator it was part of: what the indexes hold of it."""
    by: Actor = OPERATOR


class Erased(msgspec.Struct, kw_only=True):
    """What one piece took out."""

    removed: dict[str, int] = {}
    """Database → rows."""
    creator_id: CreatorId | None = None
    row: Row | None = None
    creator_gone: bool = False
    following: list[AnyWork] = []
    """Stored work that decides anew who the accounts belong to that it was compared with."""
    done: bool = True
    """False while there is more: call again."""

    def note(self, database: str, rows: int = 1) -> None:
        if rows:
            self.removed[database] = self.removed.get(database, 0) + rows

    @property
    def pieces(self) -> int:
        return sum(self.removed.values())


class Expired(msgspec.Struct, kw_only=True):
    """What was too old of one account."""

    fields: bool = False
    items: int = 0
    raw_pages: int = 0
    snapshots: int = 0
    thinned: int = 0
    """Snapshots of days that a week's or four weeks' newest stands for."""
    vectors: int = 0
    former: int = 0
    """Handles that it had, states of its creator to go back to, and the hash of its picture."""
    refreshed: int = 0
    """Jobs brought forward, so that what nears its end is read again."""
    following: AnyWork | None = None
    """Stored work that computes the account's creator anew."""

    @property
    def erased(self) -> bool:
        return bool(self.fields or self.items or self.raw_pages or self.snapshots or self.vectors)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What of one account is too old; 0 for no limit. Instants in epoch seconds, days since 1970-01-01 UTC."""

    fields_before: int
    """Read before this: fields, items, raw pages, vectors."""
    refresh_before: int
    statistics_before: int
    """Day of the oldest snapshot that stays."""
    derives: bool
    asked_by_handle: bool
    """Whether jobs must keep the handle, since the platform finds nobody by id."""


def mark_erasure(txn: Txn, mark: Mark) -> None:
    txn.put("meta", _MARK + mark.subject.alias.encode(), msgspec.msgpack.encode(mark))


def marked_erasures(txn: Txn) -> list[Mark]:
    """Those not finished, in the order of their aliases."""
    return [msgspec.msgpack.decode(value, type=Mark) for _, value in txn.scan("meta", _MARK)]


def unmark_erasure(txn: Txn, subject: Subject) -> None:
    txn.delete("meta", _MARK + subject.alias.encode())


def erase_account(txn: Txn, key: AccountKey, *, handle: str = "", now: float = 0.0, limit: int = PIECES) -> Erased:
    """Takes an account out of every database but `MENTIONED_IN`, about ``limit`` rows at a time.

    The account, its creator and all work on them go in the first piece, so nothing half-erased is ever seen or worked
    on. A creator that has other accounts loses everything computed and is made anew of those.
    """
    erased = Erased()
    platform, user_id = split_account_key(key)
    if platform is Platform.YOUTUBE and user_id:  # the hub's later pushes find no callback
        erased.note("subscriptions", forget_subscription(txn, user_id))
    account = get_account(txn, key)
    if account is not None:
        _remove_account(txn, account, erased, now)
    _remove_noted(txn, key, account, erased)
    _remove_lookups(txn, key, handle or (account.handle if account else ""), erased)
    for stage in (Stage.EMBEDDER, Stage.IDENTITY):
        _remove_work(txn, stage, key, erased)
    _remove_prefixed(txn, "account_vectors", key, erased, limit)
    _remove_jobs(txn, key, erased, limit)
    _remove_identity(txn, key, erased, now)
    _remove_content(txn, key, erased, limit)
    _remove_raw(txn, key, erased, limit)
    _remove_prefixed(txn, "metrics", key, erased, limit)
    erased.done = erased.pieces < limit
    return erased


def erase_expired(txn: Txn, key: AccountKey, limits: Limits, now: float) -> Expired:
    """Takes out what of an account is too old, and brings forward the jobs that read again what soon will be.

    The account itself stays, under its id alone, so that it can be read again; its creator forgets what it was
    computed to be until the stages have computed it anew from what is left.
    """
    account = get_account(txn, key)
    if account is None:
        return Expired()
    items = _items(txn, key) if limits.refresh_before or limits.fields_before else []
    expired = _expired(txn, account, items, limits, int(now))
    for job in _to_read_again(txn, account, items, limits, int(now)):
        put_job(txn, job)
    if expired.items:
        remove_items(txn, key, [item.content_id for item in items if item.fetched_at < limits.fields_before])
    drop_pages(txn, map(RawId, _old_raw(txn, key, limits.fields_before)))
    forgotten = forget_handles(txn, key, limits.fields_before)
    drop_formers(txn, old_formers(txn, key, limits.fields_before))
    if avatar := _avatar_expired(txn, key, limits):
        drop_avatar(txn, key)
    for snapshot in (*_old_snapshots(txn, key, limits.statistics_before), *_superfluous(txn, key, limits, int(now))):
        txn.delete("metrics", snapshot)
    for vector in _old_vectors(txn, account, limits):
        txn.delete("account_vectors", vector)
    if expired.fields:
        _blank_account(txn, account, now, keep_job_handles=limits.asked_by_handle)
    if expired.fields or expired.items or expired.vectors:
        expired.following = _compute_anew(txn, account, now, blank=bool(expired.fields or expired.vectors))
    elif forgotten or avatar:  # whom they spoke for is weighed anew
        expired.following = enqueue(txn, AccountEmbedded(account_key=key), now)
    return expired


def expired_of(txn: Txn, key: AccountKey, limits: Limits, now: float) -> Expired:
    """What `erase_expired` would do. Reads only."""
    account = get_account(txn, key)
    if account is None:
        return Expired()
    items = _items(txn, key) if limits.refresh_before or limits.fields_before else []
    return _expired(txn, account, items, limits, int(now))


def stray_raw(
    txn: Txn,
    known: Sequence[AccountKey],
    after: AccountKey | None,
    last: AccountKey | None,
    before: Mapping[Platform, int],
    limit: int,
) -> tuple[list[RawId], AccountKey | None]:
    """Pages read before their platform's instant whose account never came into the catalogue, such as unreadable ones.

    Of accounts behind ``after`` up to ``last`` (None: from the first, to the end), of which ``known`` are in it, and of
    ``limit`` such accounts at most: then the last that was looked at is returned as well.
    """
    found: list[RawId] = []
    held, strays = {key.encode() for key in known}, 0
    start = b"" if after is None else after.encode() + b"\1"
    while (entry := next(txn.scan("raw_by_account", start=start), None)) is not None:
        owner = entry[0].partition(b"\0")[0]
        if last is not None and owner > last.encode():
            break
        start = owner + b"\1"
        if owner in held:
            continue
        key = AccountKey(owner.decode())
        found += [RawId(raw_id) for raw_id in _old_raw(txn, key, before[split_account_key(key)[0]])]
        strays += 1
        if strays == limit:
            return found, key
    return found, None


def drop_pages(txn: Txn, raw_ids: Iterable[RawId]) -> None:
    """With the work that waits for them."""
    for raw_id in raw_ids:
        _remove_work(txn, Stage.NORMALISER, raw_id, Erased())
        drop_raw(txn, raw_id)


def _expired(txn: Txn, account: CreatorAccount, items: Sequence[ContentItem], limits: Limits, now: int) -> Expired:
    return Expired(
        fields=_fields_expired(account, limits),
        items=sum(item.fetched_at < limits.fields_before for item in items),
        raw_pages=len(_old_raw(txn, account.key, limits.fields_before)),
        snapshots=len(_old_snapshots(txn, account.key, limits.statistics_before)),
        thinned=len(_superfluous(txn, account.key, limits, now)),
        vectors=len(_old_vectors(txn, account, limits)),
        former=len(old_handles(txn, account.key, limits.fields_before))
        + len(old_formers(txn, account.key, limits.fields_before))
        + _avatar_expired(txn, account.key, limits),
        refreshed=len(_to_read_again(txn, account, items, limits, now)),
    )


def mentions(txn: Txn, database: str, subject: Subject, after: bytes, limit: int) -> tuple[list[bytes], bytes | None]:
    """Keys in one of `MENTIONED_IN` that name the subject, of ``limit`` rows behind ``after``, and where to go on."""
    names, ids = _names(subject), _ids(database, subject)
    found: list[bytes] = []
    last: bytes | None = None
    pairs = zip(txn.scan(database, start=after + b"\0" if after else None), range(limit), strict=False)
    for (key, value), number in pairs:
        last = key if number == limit - 1 else None
        if any(one in value for one in ids) or (names is not None and names.search(_text(value))):
            found.append(key)
    return found, last


def scrub(txn: Txn, database: str, subject: Subject, keys: Iterable[bytes]) -> int:
    """Removes these dead letters, or puts the alias in place of the name in these rows; returns how many it met."""
    names = _names(subject)
    count = 0
    for key in keys:
        value = txn.get(database, key)
        if value is None:
            continue
        count += 1
        if database == "dead_letters":
            txn.delete(database, key)
        else:
            txn.put(database, key, encode(_scrubbed(database, value, subject, names)))
    return count


def expire_letters(txn: Txn, before: Mapping[Platform, int], after: bytes, limit: int) -> tuple[int, bytes | None]:
    """Removes, of the first ``limit`` dead letters behind a key, those that name a platform and were last seen before its
    instant (0 for none): they quote what it said. Returns how many, and where to go on; None at the end."""
    pairs = list(islice(txn.scan("dead_letters", start=after), limit))
    old = [key for key, value in pairs if txn.if_whole(partial(_is_old_letter, key, value, before))]
    for key in old:
        txn.delete("dead_letters", key)
    return len(old), pairs[-1][0] + b"\0" if len(pairs) == limit else None


def _is_old_letter(key: bytes, value: bytes, before: Mapping[Platform, int]) -> bool:
    until = max((instant for platform, instant in before.items() if platform.value.encode() in value), default=0)
    return until > 0 and decode(DeadLetter, value, "dead_letters", key).last_seen_at < until


def write_anew(env: Environment, folder: Path, *, map_size_bytes: int) -> None:
    """Blocking: a store in an empty folder with nothing but the live rows of this one, durable on return.

    LMDB's own compacting copy drops freed pages but keeps its tree as it is, and the inner pages of a tree go on
    holding keys as separators long after the rows were deleted (seen with LMDB 0.9.36: in 200 of 200 erasures).
    Raises lmdb.Error or OSError when the disk does not have room.
    """
    fresh = lmdb.open(
        str(folder), map_size=map_size_bytes, max_dbs=len(DATABASES), sync=False, metasync=False, mode=0o600
    )
    try:
        for database in DATABASES:
            _copy_rows(env, fresh, database)
        fresh.sync(True)
    finally:
        fresh.close()


def _copy_rows(env: Environment, fresh: Any, database: str) -> None:
    handle = fresh.open_db(database.encode())
    with env.snapshot() as txn:
        rows = txn.scan(database)
        while page := list(islice(rows, COPIED)):
            with fresh.begin(write=True, db=handle) as target:
                for key, value in page:
                    target.put(key, value, append=True)


def _remove_account(txn: Txn, account: CreatorAccount, erased: Erased, now: float) -> None:
    key = account.key
    if txn.get("account_by_handle", _handle_key(account.platform, account.handle)) == key.encode():
        _free_handle(txn, account)
        erased.note("account_by_handle")
    if account.creator_id is not None:
        _remove_from_creator(txn, account, account.creator_id, erased, now)
    erased.note("identity_links", txn.delete("identity_links", key.encode()))
    txn.delete("accounts", key.encode())
    txn.add(ACCOUNTS, -1)
    erased.note("accounts")


def _remove_from_creator(txn: Txn, account: CreatorAccount, creator_id: CreatorId, erased: Erased, now: float) -> None:
    """The creator goes with its only account; one with others is blanked and made anew."""
    packed = pack_id(creator_id)
    erased.note("account_by_creator", txn.delete("account_by_creator", packed + account.key.encode()))
    creator = get_creator(txn, creator_id)
    if creator is None:
        return
    erased.creator_id, erased.row = creator_id, creator.row
    for stage in (Stage.AGGREGATOR, Stage.ENRICHER, Stage.INDEXER):
        _remove_work(txn, stage, str(creator_id), erased)
    for database_key in _keys(txn, "embeddings", packed):
        txn.delete("embeddings", database_key)
        erased.note("embeddings")
    erased.note("labellings", drop_labelling(txn, creator_id))
    _remove_letter(txn, Stage.ENRICHER, str(creator_id), "bad_answer", erased)
    others = accounts_of(txn, creator_id)
    if others:  # without it they may be no one's in common, and the creator's id may be made of it
        put_creator(txn, _blank(creator, [one.key for one in others]))
        for one in others:
            _hide_in_link(txn, one.key, account)
            erased.following.append(enqueue(txn, AccountEmbedded(account_key=one.key), now))
        return
    _remove_creator(txn, creator, erased)


def _remove_creator(txn: Txn, creator: Creator, erased: Erased) -> None:
    erased.note("index_log", unlog(txn, creator.creator_id))
    txn.delete("rows", creator.row.to_bytes(4, "big"))
    delete_creator(txn, creator.creator_id)
    erased.note("creators")
    erased.creator_gone = True


def _remove_noted(txn: Txn, key: AccountKey, account: CreatorAccount | None, erased: Erased) -> None:
    """What tenants noted of the creator that the account founded; of one that goes on, it is said of who is left."""
    gone = [creator_id_of(key)]
    left: list[AccountKey] = []
    if account is not None and account.creator_id is not None:
        left = [AccountKey(name[8:].decode()) for name in _keys(txn, "account_by_creator", pack_id(account.creator_id))]
        gone += [] if left else [account.creator_id]
    instead = [creator_id_of(one) for one in left]
    for database, rows in replace_creators(txn, gone, instead).items():
        erased.note(database, rows)
    erased.note("notes", replace_noted(txn, gone, instead))


def _remove_identity(txn: Txn, key: AccountKey, erased: Erased, now: float) -> None:
    """Whom it was compared with may be worth more to each other now."""
    met = drop_facts(txn, key)
    erased.note("identity_facts", bool(met))
    for pair in pairs_of(txn, key):
        met.append(pair.second if pair.first == key else pair.first)
        erased.note("identity_pairs", delete_pair(txn, pair.first, pair.second))
    for decision in decisions_of(txn, key):
        erased.note("identity_decisions", delete_decision(txn, decision.first, decision.second))
    for other in dict.fromkeys(met):
        if other != key:
            erased.following.append(enqueue(txn, AccountEmbedded(account_key=other), now))
    erased.note("former_creators", drop_formers(txn, old_formers(txn, key)))
    erased.note("identity_backlog", take_back(txn, key))
    erased.note("handle_history", forget_handles(txn, key))
    erased.note("avatars", drop_avatar(txn, key))
    packed = pack_id(creator_id_of(key))
    erased.note("founders", txn.delete("founders", packed))
    erased.note("retired_creators", txn.delete("retired_creators", packed))


def _hide_in_link(txn: Txn, key: AccountKey, account: CreatorAccount) -> None:
    """Another account's evidence may name the one that goes."""
    stored = txn.get("identity_links", key.encode())
    if stored is None:
        return
    link = decode(IdentityLink, stored)
    names = _names_of(account.platform_user_id, account.handle)
    link.evidence = [(what, weight) for what, weight in link.evidence if names is None or not names.search(what)]
    txn.put("identity_links", key.encode(), encode(link))


def _remove_lookups(txn: Txn, key: AccountKey, handle: str, erased: Erased) -> None:
    """Imports that asked for the account by a name; they stand under it as daemon/importing.py writes it."""
    platform, _ = split_account_key(key)
    bare = handle.lstrip("@")
    for entity in (bare, bare.casefold(), "@" + bare, "@" + bare.casefold(), f"user/{bare}") if bare else ():
        job = find_job(txn, platform, JobKind.LOOKUP, entity)
        if job is not None:
            settle_job(txn, job, None)
            erased.note("schedule")


def _remove_jobs(txn: Txn, key: AccountKey, erased: Erased, limit: int) -> None:
    for job in _jobs(txn, key, limit):
        settle_job(txn, job, None)
        erased.note("schedule")


def _jobs(txn: Txn, key: AccountKey, limit: int) -> list[Job]:
    """The account's jobs, leased ones included: those of its index, and those of its id that have none."""
    platform, user_id = split_account_key(key)
    unnamed = [find_job(txn, platform, kind, user_id) for kind in JobKind] if user_id else []
    found = [*jobs_of(txn, key, limit), *(job for job in unnamed if job is not None)]
    return list({(job.kind, job.entity): job for job in found}.values())


def _remove_content(txn: Txn, key: AccountKey, erased: Erased, limit: int) -> None:
    """Whole months, newest first; the list of months goes with the last of them."""
    months = months_of(txn, key)
    for month in months[-limit:]:
        items = _block(txn, key, month)
        txn.delete("content", _key(key, month))
        txn.add(ITEMS, -len(items))
        erased.note("content")
    left = months[:-limit]
    if left:
        txn.put("content_months", key.encode(), encode(Months(months=left)))
    else:
        erased.note("content_months", txn.delete("content_months", key.encode()))


def _remove_raw(txn: Txn, key: AccountKey, erased: Erased, limit: int) -> None:
    prefix = key.encode() + b"\0"
    for entry in _keys(txn, "raw_by_account", prefix, limit):
        digest = entry[len(prefix) + 8 :]
        _remove_work(txn, Stage.NORMALISER, digest.hex(), erased)
        _remove_letters_of(txn, digest.hex(), erased)
        txn.delete("raw", digest)
        txn.delete("raw_by_account", entry)
        erased.note("raw")


def _remove_prefixed(txn: Txn, database: str, key: AccountKey, erased: Erased, limit: int) -> None:
    for entry in _keys(txn, database, key.encode() + b"\0", limit):
        txn.delete(database, entry)
        erased.note(database)


def _remove_work(txn: Txn, stage: Stage, entity: str, erased: Erased) -> None:
    """Whatever its revision: a stage that has it in hand finds it done (key as in stores/work.py)."""
    if txn.delete("work", bytes((_STAGES.index(stage),)) + entity.encode()):
        txn.add(ROWS, -1)
        erased.note("work")


def _keys(txn: Txn, database: str, prefix: bytes, limit: int | None = None) -> list[bytes]:
    keys: list[bytes] = []
    for key, _ in txn.scan(database, prefix):
        if len(keys) == limit:
            break
        keys.append(key)
    return keys


def _items(txn: Txn, key: AccountKey) -> list[ContentItem]:
    return [item for month in months_of(txn, key) for item in _block(txn, key, month)]


def _old_raw(txn: Txn, key: AccountKey, before: int) -> list[str]:
    """Ids of pages read before an instant; the index is in the order of time."""
    prefix = key.encode() + b"\0"
    found: list[str] = []
    for entry, _ in txn.scan("raw_by_account", prefix):
        if unpack_id(entry[len(prefix) : len(prefix) + 8]) >= before:
            break
        found.append(entry[len(prefix) + 8 :].hex())
    return found


def _old_snapshots(txn: Txn, key: AccountKey, before_day: int) -> list[bytes]:
    prefix = key.encode() + b"\0"
    limit = prefix + before_day.to_bytes(3, "big")
    found: list[bytes] = []
    for entry, _ in txn.scan("metrics", prefix):
        if entry >= limit:
            break
        found.append(entry)
    return found


def _superfluous(txn: Txn, key: AccountKey, limits: Limits, now: int) -> list[bytes]:
    """Of each series what `kept_days` does not keep, of the days that are too old to be kept singly and may stay."""
    today, prefix = now // SECONDS_PER_DAY, key.encode() + b"\0"
    begin = prefix + limits.statistics_before.to_bytes(3, "big")
    end = prefix + max(today - DAILY_DAYS + 1, 0).to_bytes(3, "big")
    series: defaultdict[bytes, dict[int, bytes]] = defaultdict(dict)
    for entry, _ in txn.scan("metrics", prefix, start=begin):
        if entry >= end:
            break
        series[entry[len(prefix) + 3 :]][int.from_bytes(entry[len(prefix) : len(prefix) + 3], "big")] = entry
    kept = {item: kept_days(days, today) for item, days in series.items()}
    return [entry for item, days in series.items() for day, entry in days.items() if day not in kept[item]]


def _old_vectors(txn: Txn, account: CreatorAccount, limits: Limits) -> list[bytes]:
    """All of them once the texts have gone, or where nothing may be derived. The Embedder replaces single ones."""
    if limits.derives and not _fields_expired(account, limits):
        return []
    return _keys(txn, "account_vectors", account.key.encode() + b"\0")


def _avatar_expired(txn: Txn, key: AccountKey, limits: Limits) -> bool:
    avatar = get_avatar(txn, key)
    return avatar is not None and (avatar.read_at < limits.fields_before or not limits.derives)


def _fields_expired(account: CreatorAccount, limits: Limits) -> bool:
    """An account that holds nothing was read at no time."""
    return 0 < account.fetched_at < limits.fields_before


def _to_read_again(
    txn: Txn, account: CreatorAccount, items: Sequence[ContentItem], limits: Limits, now: int
) -> list[Job]:
    """Visits and revisits whose data nears its end, and that do not stand at the head of the queue yet.

    Of items, only those that are kept fresh (they have a revisit); the others are left to expire.
    """
    jobs: list[Job] = []
    if limits.fields_before <= account.fetched_at < limits.refresh_before:
        jobs.append(_urgent(account, JobKind.PROFILE, account.platform_user_id, now))
    for item in items:
        if limits.fields_before <= item.fetched_at < limits.refresh_before:
            revisit = _urgent(account, JobKind.REVISIT, item.content_id, now)
            if find_job(txn, revisit.platform, revisit.kind, revisit.entity) is not None:
                jobs.append(revisit)
    standing = [(job, find_job(txn, job.platform, job.kind, job.entity)) for job in jobs]
    return [job for job, old in standing if old is None or old.priority > job.priority or old.due_at > now]


def _urgent(account: CreatorAccount, kind: JobKind, entity: str, now: int) -> Job:
    return Job(
        platform=account.platform,
        kind=kind,
        entity=entity,
        account_key=account.key,
        priority=Priority.RETENTION_EXPIRY,
        due_at=now,
        first=False,
        handle=account.handle,
    )


def _blank_account(txn: Txn, account: CreatorAccount, now: float, *, keep_job_handles: bool) -> None:
    """Leaves its id, where it belongs and how we treat it, so that it can be read again."""
    _free_handle(txn, account)
    drop_avatar(txn, account.key)
    for other in drop_facts(txn, account.key):
        enqueue(txn, AccountEmbedded(account_key=other), now)
    for job in [] if keep_job_handles else _jobs(txn, account.key, PIECES):
        if job.kind is JobKind.LOOKUP:  # by a name that the platform, or a page of it, once said
            settle_job(txn, job, None)
        else:
            plan_job(txn, msgspec.structs.replace(job, handle=""))
    write_account(
        txn,
        CreatorAccount(
            platform=account.platform,
            platform_user_id=account.platform_user_id,
            status=account.status,
            creator_id=account.creator_id,
            next_due_at=account.next_due_at,
            misses=account.misses,
            touched_at=account.touched_at,
            feed_failures=account.feed_failures,
            importance=account.importance,
            importance_stated=account.importance_stated,
        ),
    )


def _compute_anew(txn: Txn, account: CreatorAccount, now: float, *, blank: bool) -> AnyWork:
    """What was computed goes at once where its source has gone; the stages compute the rest from what is left."""
    creator = get_creator(txn, account.creator_id) if account.creator_id is not None else None
    if creator is not None and blank:
        for stage in (Stage.AGGREGATOR, Stage.ENRICHER, Stage.INDEXER):
            _remove_work(txn, stage, str(creator.creator_id), Erased())
        for database_key in _keys(txn, "embeddings", pack_id(creator.creator_id)):
            txn.delete("embeddings", database_key)
        put_creator(txn, _blank(creator, creator.account_keys))
    return enqueue(txn, AccountUpserted(account_key=account.key), now)


def _blank(creator: Creator, account_keys: Sequence[AccountKey]) -> Creator:
    """The same creator as if nothing had been computed of it yet."""
    return Creator(
        creator_id=creator.creator_id,
        row=creator.row,
        account_keys=list(account_keys),
        identity_confidence=creator.identity_confidence,
        created_at=creator.created_at,
    )


def _remove_letters_of(txn: Txn, raw_id: str, erased: Erased) -> None:
    """Letters about a page by its id alone (identity as in stores/work.py)."""
    for reason in ("malformed", "retries"):
        _remove_letter(txn, Stage.NORMALISER, raw_id, reason, erased)


def _remove_letter(txn: Txn, stage: Stage, entity: str, reason: str, erased: Erased) -> None:
    identity = f"{stage.value}\0{entity}\0{reason}".encode()
    letter_id = hashlib.blake2b(identity, digest_size=8).hexdigest()
    erased.note("dead_letters", txn.delete("dead_letters", letter_id.encode()))


def _names(subject: Subject) -> re.Pattern[str] | None:
    return _names_of(subject.user_id, subject.handle, *subject.former, *map(str, subject.creator_ids))


def _names_of(user_id: str, *handles: str) -> re.Pattern[str] | None:
    """Finds an id or handle that stands by itself: not within a longer one, in any case. None for no name at all."""
    wanted = [re.escape(name) for name in (user_id, *(handle.lstrip("@") for handle in handles)) if name]
    if not wanted:
        return None
    return re.compile(rf"(?<![\w-])(?<!\w\.)@?(?:{'|'.join(wanted)})(?![\w-]|\.\w)", re.IGNORECASE)


def _text(value: bytes) -> str:
    """Every text in a stored record, those in its payload included."""
    return "\n".join(_strings(msgspec.msgpack.decode(value[1:])))


def _strings(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, bytes):
        yield from _payload_strings(found)
    elif isinstance(found, dict):
        for name, one in found.items():
            yield from _strings(name)
            yield from _strings(one)
    elif isinstance(found, list):
        for one in found:
            yield from _strings(one)


def _payload_strings(payload: bytes) -> Iterator[str]:
    try:
        yield from _strings(msgspec.msgpack.decode(payload))
    except (msgspec.DecodeError, UnicodeDecodeError):
        yield payload.decode(errors="replace")


def _scrubbed(
    database: str, value: bytes, subject: Subject, names: re.Pattern[str] | None
) -> Event | AuditEvent | LoggedQuery | CreatorList | Note | SavedSearch:
    def hide(text: str) -> str:
        return text if names is None else names.sub(f"erased-{subject.alias}", text)

    if database == "events":
        event = decode(Event, value)
        return msgspec.structs.replace(event, subject=hide(event.subject), detail=hide(event.detail))
    if database == "query_log":
        query = without_candidates(decode(LoggedQuery, value), subject.creator_ids)
        return msgspec.structs.replace(query, text=hide(query.text), rest=hide(query.rest), filter=hide(query.filter))
    if database == "lists":
        found = decode(CreatorList, value)
        entries = {
            one: msgspec.structs.replace(entry, reason=hide(entry.reason)) for one, entry in found.entries.items()
        }
        return msgspec.structs.replace(found, name=hide(found.name), entries=entries)
    if database == "notes":
        note = decode(Note, value)
        return msgspec.structs.replace(note, text=hide(note.text), tags=[hide(one) for one in note.tags])
    if database == "saved_searches":
        search = decode(SavedSearch, value)
        return msgspec.structs.replace(search, name=hide(search.name), query=hide(search.query))
    entry = decode(AuditEvent, value)
    return without_names(entry, hide(entry.detail))


def _ids(database: str, subject: Subject) -> list[bytes]:
    """How the subject's creators stand in a row of the database."""
    return [pack_id(one) for one in subject.creator_ids] if database == "query_log" else []
