"""Forgetting a person: suppressed first, then erased from the store and the indexes, until no byte of them is left.

The order is what survives a crash: once the suppression is on the disk nobody is taken in again; the mark that is
written with the first piece of the erasure lets the next start finish it; the wish for a compact store outlives both.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import lmdb
import msgspec
import trio

from daemon.clock import make_clock
from daemon.config import DaemonConfig
from daemon.naming import find_account, is_bare, names_in
from proto.errors import Malformed, Unavailable
from proto.ids import AccountKey, CreatorId, Platform, Row, account_key, creator_id_of
from proto.messages import AccountEmbedded, AnyWork
from proto.records import AuditEvent, CreatorAccount
from stores.audit import OPERATOR, Actor, append_audit
from stores.belonging import members_of
from stores.blocking import Blocking
from stores.catalog import INDEX_SEQUENCE, find_by_handle, get_account
from stores.codec import unpack_id
from stores.columns import Columns
from stores.env import Environment, Txn
from stores.erasure import (
    MENTIONED_IN,
    Erased,
    Mark,
    Subject,
    erase_account,
    mark_erasure,
    marked_erasures,
    mentions,
    scrub,
    unmark_erasure,
    write_anew,
)
from stores.files import sync_folder, write_atomic
from stores.identity import handles_of
from stores.journal import Journal
from stores.ports import TextIndex, VectorIndex
from stores.suppression import Suppression, open_journal
from stores.traces import Trace, mentioned, traces
from stores.work import enqueue

MENTIONS_PAGE = 2_000
"""Rows searched for names in one snapshot."""
COMPACT_WANTED = "store.compact-wanted"
"""File in the data directory: pages of the store may still hold what was erased."""
COMPACT_COPY = "store.compact"


class Report(msgspec.Struct, kw_only=True):
    """What became of one request to be forgotten. It does not name whom it is about."""

    alias: str
    """Keyed hash that stands for the account in the audit trail."""
    known: bool
    """Whether anything was held under that account."""
    suppressed: bool
    """False when it had been before."""
    removed: dict[str, int] = {}
    """Database → rows."""
    creator_gone: bool = False
    others: list[AccountKey] = []
    """Accounts of the same creator that stay; each is somebody's name of its own and is forgotten by its own."""
    compact_at_start: bool = True
    """Freed and inner pages of the store hold bytes until the next start writes it anew (`compact_store`)."""


class ErasableIndexes(Protocol):
    """What answers searches, as far as an erasure needs it."""

    turn: trio.Lock
    """Held while the store and the indexes lose somebody: the Indexer must not put back what it read before."""

    async def drop_row(self, row: Row) -> None:
        """No search returns it any more."""

    async def rewrite(self, checkpoint: int) -> None:
        """No byte of dropped rows stays in the files. ``checkpoint``: index sequence that the store has reached."""


class ClosedIndexes:
    """Nobody has them open, so they go altogether; the next start builds them from the store."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.turn = folder, trio.Lock()

    async def drop_row(self, row: Row) -> None:
        del row

    async def rewrite(self, checkpoint: int) -> None:
        del checkpoint
        shutil.rmtree(self._folder, ignore_errors=True)


class OpenIndexes:
    """Those of a running daemon; ``earlier`` as for the Indexer. ``rewrite_text`` builds the text index anew from the
    store, ``save_columns`` writes their snapshot anew; ``folder`` holds the graphs, of which those that are not open are
    dropped, since they can be rebuilt."""

    def __init__(
        self,
        *,
        text: TextIndex,
        fields: Mapping[str, VectorIndex],
        earlier: Mapping[str, VectorIndex],
        columns: Columns,
        folder: Path,
        rewrite_text: Callable[[], Awaitable[None]],
        save_columns: Callable[[], Awaitable[None]],
        turn: trio.Lock,
        threads: Blocking,
    ) -> None:
        self._save_columns = save_columns
        self._text, self._fields, self._earlier, self._columns = text, fields, earlier, columns
        self._folder, self._rewrite_text, self.turn, self._threads = folder, rewrite_text, turn, threads

    async def drop_row(self, row: Row) -> None:
        self._columns.remove(row)
        await self._text.delete([row])
        for index in self._graphs():
            await index.delete([row])

    async def rewrite(self, checkpoint: int) -> None:
        await self._text.commit(checkpoint)
        await self._rewrite_text()
        await self._save_columns()
        graphs = self._graphs()
        for index in graphs:
            await index.save(checkpoint)
        await self._threads.call(_drop_unopened, self._folder, [index.path.name for index in graphs])

    def _graphs(self) -> list[VectorIndex]:
        return [*self._fields.values(), *self._earlier.values()]


class Forgetting:
    """Erases accounts from a store that is open, and from the indexes over it."""

    def __init__(
        self,
        *,
        env: Environment,
        data_dir: Path,
        suppression: Suppression,
        indexes: ErasableIndexes,
        threads: Blocking,
        now: Callable[[], float],
        hand_on: Callable[[Sequence[AnyWork]], None] = lambda _: None,
    ) -> None:
        """``hand_on`` takes stored work to the identity stage at once, where there is one."""
        self._env, self._data_dir, self._suppression, self._indexes = env, data_dir, suppression, indexes
        self._threads, self._now, self._hand_on = threads, now, hand_on

    async def forget(self, references: Sequence[str], by: Actor = OPERATOR) -> list[Report]:
        """Account keys, ids, handles or URLs, as in imports; one report each. Raises Malformed for any that is none,
        before anything is done, and Unavailable when the suppression cannot be written."""
        marks = [Mark(subject=await self._subject(text), by=by) for text in references]
        named = {mark.subject.key for mark in marks}
        reports = []
        for mark in marks:
            others = [one for one in await self._env.read(partial(_others, subject=mark.subject)) if one not in named]
            added = await self._threads.call(self._suppression.add, _names_of(mark.subject))
            report = Report(alias=mark.subject.alias, known=False, suppressed=bool(added), others=others)
            await self._erase(mark, report)
            reports.append(report)
        await self._clean(marks)
        return reports

    async def forget_again(self) -> list[Report]:
        """Erases whomever the journal has and the store has all the same, as after the restore of an older backup.

        The journal stays as it is: a handle that somebody had then may be another's by now. Returns one report for each
        name: an account may be there under its id, and in some text under its handle.
        """
        subjects = await self._env.read(partial(_forgotten, suppression=self._suppression))
        return await self._erase_all([Mark(subject=subject) for subject in subjects])

    async def resume(self) -> list[Report]:
        """Finishes what a crash cut short; one report each. For the start, before the flow."""
        return await self._erase_all(await self._env.read(marked_erasures))

    async def _erase_all(self, marks: Sequence[Mark]) -> list[Report]:
        reports = [Report(alias=mark.subject.alias, known=True, suppressed=False) for mark in marks]
        for mark, report in zip(marks, reports, strict=True):
            await self._erase(mark, report)
        if marks:
            await self._clean(marks)
        return reports

    async def _subject(self, text: str) -> Subject:
        account = await self._env.read(lambda txn: find_account(txn, text))
        if account is not None:
            platform, user_id, handle = account.platform, account.platform_user_id, account.handle
        else:
            platform, user_id, handle = _unknown(text)
        whom = Trace(platform, user_id, handle)
        return await self._env.read(partial(_subject_of, whom=whom, suppression=self._suppression))

    async def _erase(self, mark: Mark, report: Report) -> None:
        """Out of the store, then out of what answers searches."""
        await self._threads.call(write_atomic, self._data_dir / COMPACT_WANTED, b"")
        async with self._indexes.turn:
            await self._erase_stored(mark, report)
            if mark.row is not None:
                await self._indexes.drop_row(mark.row)
        await self._scrub(mark.subject, report)
        report.known = report.known or bool(report.removed)

    async def _erase_stored(self, mark: Mark, report: Report) -> None:
        while True:
            erased = await self._env.write(partial(_erase_piece, mark=mark, now=self._now()), synced=True)
            for database, rows in erased.removed.items():
                report.removed[database] = report.removed.get(database, 0) + rows
            mark.row = erased.row if erased.row is not None else mark.row
            report.creator_gone = report.creator_gone or erased.creator_gone
            self._hand_on(erased.following)
            if erased.done:
                return

    async def _scrub(self, subject: Subject, report: Report) -> None:
        for database in MENTIONED_IN:
            after: bytes | None = b""
            while after is not None:
                keys, after = await self._env.read(
                    partial(mentions, database=database, subject=subject, after=after, limit=MENTIONS_PAGE)
                )
                if keys:
                    met = await self._env.write(
                        partial(scrub, database=database, subject=subject, keys=keys), synced=True
                    )
                    report.removed[database] = report.removed.get(database, 0) + met

    async def _clean(self, marks: Sequence[Mark]) -> None:
        """No byte stays in the index files; then the erasures are done, and are noted without a name."""
        if any(mark.row is not None for mark in marks):
            async with self._indexes.turn:
                await self._indexes.rewrite(await self._env.read(lambda txn: txn.counter(INDEX_SEQUENCE)))
        finish = partial(_finish, marks=marks, now=int(self._now()))
        self._hand_on(await self._env.write(finish, synced=True))


def forget_offline(
    data_dir: Path, journal: Path, references: Sequence[str], *, map_size_bytes: int, daemon: DaemonConfig
) -> list[Report]:
    """Blocking; without a daemon: the indexes go, and the store is written anew at once.

    Raises StoreBusy while a daemon has the data directory, Malformed for a reference that is none, Unavailable without
    the store's own ``journal``.
    """
    env = Environment(data_dir, map_size_bytes=map_size_bytes)
    with contextlib.closing(env), contextlib.closing(open_journal(env, journal)) as suppression:
        now = make_clock(daemon, env)
        Journal(env, lambda _: None).ensure_default_tenant(int(now()))  # whose the erasure is noted as
        forgetting = Forgetting(
            env=env,
            data_dir=data_dir,
            suppression=suppression,
            indexes=ClosedIndexes(data_dir / "indexes"),
            threads=Blocking("forgetting", 1, trio.to_thread.run_sync),
            now=now,
        )
        reports = trio.run(forgetting.forget, references)
    compacted = compact_store(data_dir, map_size_bytes=map_size_bytes)
    return [msgspec.structs.replace(report, compact_at_start=not compacted) for report in reports]


def compact_store(data_dir: Path, *, map_size_bytes: int = 64 << 30) -> bool:
    """Before the store is opened: writes it anew, without a trace of deleted rows, where an erasure asked for that.

    Blocking; needs as much free disk as the store has data, and the data directory for itself. Returns whether it was
    done. Raises StoreBusy, or Unavailable when the disk does not have room; the store is then as it was.
    """
    wanted, copy = data_dir / COMPACT_WANTED, data_dir / COMPACT_COPY
    if not wanted.exists():
        shutil.rmtree(copy, ignore_errors=True)
        return False
    env = Environment(data_dir, map_size_bytes=map_size_bytes)  # holds the directory until the copy is in place
    try:
        if not _unfinished(env):
            _replace_store(env, data_dir / "store", copy, map_size_bytes)
            wanted.unlink()
            sync_folder(data_dir)
            return True
        return False
    except (OSError, lmdb.Error) as error:
        raise Unavailable(f"{data_dir}: the store cannot be compacted: {error}") from error
    finally:
        env.close()
        shutil.rmtree(copy, ignore_errors=True)


def _unfinished(env: Environment) -> int:
    """Erasures that are to be finished first: what they are about is still in the store."""
    with env.snapshot() as txn:
        return len(marked_erasures(txn))


def _replace_store(env: Environment, store: Path, copy: Path, map_size_bytes: int) -> None:
    """LMDB keeps the old file, by now nameless, until it is closed; nothing is written to it any more."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(mode=0o700)
    write_anew(env, copy, map_size_bytes=map_size_bytes)
    (copy / "data.mdb").replace(store / "data.mdb")
    sync_folder(store)


def _others(txn: Txn, subject: Subject) -> list[AccountKey]:
    """The creator's other accounts."""
    account = get_account(txn, subject.key) if subject.user_id else None
    if account is None or account.creator_id is None:
        return []
    return [key for key in members_of(txn, account.creator_id) if key != account.key]


def _creators_of(key: AccountKey, account: CreatorAccount | None) -> tuple[CreatorId, ...]:
    """The creator that it founded, and the one that it is part of."""
    own = creator_id_of(key)
    creator_id = account.creator_id if account is not None else None
    return (own,) if creator_id is None or creator_id == own else (own, creator_id)


def _subject_of(txn: Txn, whom: Trace, suppression: Suppression) -> Subject:
    key = account_key(whom.platform, whom.user_id)
    subject = Subject(
        platform=whom.platform,
        user_id=whom.user_id,
        handle=whom.handle,
        alias=suppression.alias((whom.platform, whom.user_id or "@" + whom.handle)),
        creator_ids=_creators_of(key, get_account(txn, key)) if whom.user_id else (),
    )
    return msgspec.structs.replace(subject, former=_former_of(txn, subject))


def _forgotten(txn: Txn, suppression: Suppression) -> list[Subject]:
    """Everybody in the store whom the journal has; who has an account there, with its handle."""
    found: dict[tuple[Platform, str], Trace] = {}
    for whom in traces(txn):
        by_id = bool(whom.user_id) and suppression.covers(account_key(whom.platform, whom.user_id))
        if by_id or (whom.handle and suppression.contains_handle(whom.platform, whom.handle)):
            found.setdefault((whom.platform, whom.user_id or "@" + whom.handle), whom)
    for name in mentioned(txn):
        for platform in Platform:
            if suppression.covers(account_key(platform, name)):
                found.setdefault((platform, name), Trace(platform, name, ""))
            elif suppression.contains_handle(platform, name):
                found.setdefault((platform, "@" + name), Trace(platform, "", name))
    return [_subject_of(txn, whom, suppression) for whom in found.values()]


def _former_of(txn: Txn, subject: Subject) -> tuple[str, ...]:
    """What is written of whoever has such a handle now is about them."""
    had = handles_of(txn, subject.key).keys() - {subject.handle.casefold()}
    return tuple(one for one in sorted(had) if find_by_handle(txn, subject.platform, one) in (None, subject.key))


def _unknown(text: str) -> tuple[Platform, str, str]:
    """Platform, id and handle, one of the latter empty. Raises Malformed for a name that may be anybody's."""
    if is_bare(text.strip()):
        likely = " or ".join(f"{name.platform.value}:{name.handle}" for name in names_in(text))
        raise Malformed(
            f"{text}: nothing is held under that name; to keep it out from now on, say of which platform: {likely}"
        )
    (name,) = names_in(text)
    return name.platform, name.user_id, name.handle


def _names_of(subject: Subject) -> list[tuple[Platform, str]]:
    names = [subject.user_id] if subject.user_id else []
    if subject.handle:
        names.append("@" + subject.handle.lstrip("@"))
    return [(subject.platform, name) for name in names]


def _erase_piece(txn: Txn, mark: Mark, now: float) -> Erased:
    """One piece, and with it the mark that has it finished."""
    subject = mark.subject
    erased = erase_account(txn, subject.key, handle=subject.handle, now=now)
    row = erased.row if erased.row is not None else mark.row
    mark_erasure(txn, Mark(subject=subject, row=row, by=mark.by))
    return erased


def _finish(txn: Txn, marks: Sequence[Mark], now: int) -> list[AnyWork]:
    """A creator that goes on with other accounts is computed and indexed anew, whoever indexed it meanwhile."""
    following: list[AnyWork] = []
    stored_marks = {mark.subject.alias: mark for mark in marked_erasures(txn)}
    for asked in marks:
        subject, mark = asked.subject, stored_marks.get(asked.subject.alias)
        stored = txn.get("rows", mark.row.to_bytes(4, "big")) if mark is not None and mark.row is not None else None
        if stored is not None:
            left = members_of(txn, CreatorId(unpack_id(stored)))[:1]
            following += [enqueue(txn, AccountEmbedded(account_key=key), now) for key in left]
        unmark_erasure(txn, subject)
        _audit(txn, f"forgotten: erased-{subject.alias} ({subject.platform.value})", now, asked.by)
    return following


def _audit(txn: Txn, detail: str, now: int, by: Actor) -> None:
    entry = AuditEvent(at=now, tenant_id=by.tenant_id, actor=by.actor, action="erasure", detail=detail)
    append_audit(txn, entry)


def _drop_unopened(folder: Path, opened: Sequence[str]) -> None:
    """Graphs that nobody has open would keep the vector; the next start builds them from the store."""
    for path in folder.glob("*.hnsw*"):
        if not path.name.startswith(tuple(opened)):
            path.unlink(missing_ok=True)
