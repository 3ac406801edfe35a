"""What was done to a list, step by step, and up to where its visitors have seen it. Functions of a transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from proto.ids import CreatorId
from proto.records import CreatorList, ListStep, ListVisit
from stores.codec import decode, encode, pack_id
from stores.env import Txn

STEPS_KEPT = 500
"""Of a list. Who was away for longer is told that what came before is not known."""
MAX_VISITOR_BYTES = 200


class Since(msgspec.Struct, kw_only=True, frozen=True):
    """What became of a list after a version. Who was put in and taken out again is in none of these."""

    version: int
    complete: bool
    """False where steps behind that version are no longer kept."""
    added: tuple[CreatorId, ...] = ()
    removed: tuple[CreatorId, ...] = ()
    triaged: tuple[CreatorId, ...] = ()
    """Of those that are in the list."""
    renamed: bool = False
    reordered: bool = False
    actors: tuple[str, ...] = ()
    """Who did so."""


def step_between(old: CreatorList, fresh: CreatorList, actor: str) -> ListStep:
    before, after = set(old.creator_ids), set(fresh.creator_ids)
    stayed = [one for one in fresh.creator_ids if one in before]
    return ListStep(
        version=fresh.version,
        at=fresh.changed_at,
        actor=actor,
        added=[one for one in fresh.creator_ids if one not in before],
        removed=[one for one in old.creator_ids if one not in after],
        triaged=[one for one in stayed if old.entries.get(one) != fresh.entries.get(one)],
        renamed=old.name != fresh.name,
        reordered=stayed != [one for one in old.creator_ids if one in after],
    )


def append_step(txn: Txn, of: CreatorList, step: ListStep) -> None:
    """The oldest goes when there are many."""
    txn.put("list_steps", _prefix(of) + pack_id(step.version), encode(step))
    if step.version > STEPS_KEPT:
        txn.delete("list_steps", _prefix(of) + pack_id(step.version - STEPS_KEPT))


def since(txn: Txn, found: CreatorList, version: int) -> Since:
    """``version`` 0: all that ever happened."""
    steps = [decode(ListStep, value) for _, value in txn.scan("list_steps", _prefix(found))]
    later = [one for one in steps if one.version > version]
    held = set(found.creator_ids)
    came, gone, triaged = _folded(later)
    return Since(
        version=version,
        complete=found.version - version <= len(later) or not _cut(found, steps, version),
        added=tuple(one for one in found.creator_ids if one in came),
        removed=tuple(one for one in gone if one not in held),
        triaged=tuple(one for one in found.creator_ids if one in triaged),
        renamed=any(one.renamed for one in later),
        reordered=any(one.reordered for one in later),
        actors=tuple(dict.fromkeys(one.actor for one in later if one.actor)),
    )


def visited(txn: Txn, found: CreatorList, visitor: str) -> ListVisit:
    """The last visit; version 0 for who never was there."""
    stored = txn.get("list_visits", _visit_key(found, visitor))
    return decode(ListVisit, stored) if stored else ListVisit(version=0, at=0)


def visit(txn: Txn, found: CreatorList, visitor: str, version: int, now: int) -> None:
    """An earlier version than the one that was seen already stays."""
    if version >= visited(txn, found, visitor).version:
        txn.put("list_visits", _visit_key(found, visitor), encode(ListVisit(version=version, at=now)))


def forget_steps(txn: Txn, of: CreatorList) -> None:
    """With the visits."""
    for database in ("list_steps", "list_visits"):
        for key in [key for key, _ in txn.scan(database, _prefix(of))]:
            txn.delete(database, key)


def replace_in_steps(txn: Txn, gone: Collection[CreatorId]) -> int:
    """No step names them any more; returns how many did."""
    met = 0
    for key, value in list(txn.scan("list_steps")):
        step = decode(ListStep, value)
        named = {*step.added, *step.removed, *step.triaged}
        if named.isdisjoint(gone):
            continue
        met += 1
        kept = {name: _without(getattr(step, name), gone) for name in ("added", "removed", "triaged")}
        txn.put("list_steps", key, encode(msgspec.structs.replace(step, **kept)))
    return met


def _folded(steps: Sequence[ListStep]) -> tuple[set[CreatorId], list[CreatorId], set[CreatorId]]:
    """Who came and was not there before, who went and was, and of whom something was said."""
    came: set[CreatorId] = set()
    gone: dict[CreatorId, None] = {}
    triaged: set[CreatorId] = set()
    for step in steps:
        for one in step.added:
            if one in gone:
                del gone[one]
            else:
                came.add(one)
        for one in step.removed:
            if one in came:
                came.discard(one)
            else:
                gone[one] = None
        triaged.update(step.triaged)
    return came, list(gone), triaged


def _cut(found: CreatorList, steps: Sequence[ListStep], version: int) -> bool:
    """Whether steps behind a version are missing. An erasure raises the version without a step, and is not told."""
    oldest = steps[0].version if steps else found.version
    return version < oldest - 1 and oldest > 1


def _without(ids: Sequence[CreatorId], gone: Collection[CreatorId]) -> list[CreatorId]:
    return [one for one in ids if one not in gone]


def _prefix(of: CreatorList) -> bytes:
    return f"{of.tenant_id}\0{of.list_id}\0".encode()


def _visit_key(found: CreatorList, visitor: str) -> bytes:
    return _prefix(found) + visitor.encode(errors="replace")[:MAX_VISITOR_BYTES]
