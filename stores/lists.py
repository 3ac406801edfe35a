"""What a tenant notes of creators: lists of them, and those it wants to see no more. Functions of a transaction.

Ids are kept as they were put in and followed through merges when they are read, so that undoing a merge restores lists
too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from proto.errors import Conflict, Malformed, NotFound
from proto.ids import CreatorId, Row
from proto.records import CreatorList, ListEntry, ListStep, Record
from stores.belonging import MOVES, present_id
from stores.codec import decode, encode, pack_id, unpack_id
from stores.edits import check_version
from stores.env import Txn
from stores.list_steps import append_step, forget_steps, replace_in_steps, step_between
from stores.ports import Rows

MAX_LISTS = 1_000
"""Of one tenant."""
MAX_MEMBERS = 50_000
"""Of one list; it is one value of the store."""
MAX_HIDDEN = 50_000
MAX_NAME_CHARS = 100
MAX_REASON_CHARS = 500
STATES = ("", "shortlist", "maybe", "no")
"""What may be said of a creator in a list; nothing: undecided."""
CHANGES = "list_changes:"
"""Beginning of the names of kept counters: changes to what a tenant noted."""


class Triage(msgspec.Struct, frozen=True):
    """What is to be said of a creator in a list."""

    state: str = ""
    reason: str = ""


class _Head(Record):
    """The beginning of a stored `Creator`, which is all that is decoded of it."""

    creator_id: CreatorId
    row: Row


def lists_of(txn: Txn, tenant_id: str) -> list[CreatorList]:
    """By name."""
    found = [decode(CreatorList, value) for _, value in txn.scan("lists", _prefix(tenant_id))]
    return sorted(found, key=lambda one: (one.name.casefold(), one.list_id))


def get_list(txn: Txn, tenant_id: str, list_id: str) -> CreatorList:
    """Raises NotFound."""
    stored = txn.get("lists", _key(tenant_id, list_id))
    if stored is None:
        raise NotFound(f"no list {list_id}")
    return decode(CreatorList, stored)


def find_list(txn: Txn, tenant_id: str, name: str) -> CreatorList | None:
    """By its id, or else by its name in any case."""
    stored = txn.get("lists", _key(tenant_id, name))
    if stored is not None:
        return decode(CreatorList, stored)
    return next((one for one in lists_of(txn, tenant_id) if one.name.casefold() == name.casefold()), None)


def create_list(
    txn: Txn,
    tenant_id: str,
    list_id: str,
    name: str,
    creator_ids: Iterable[CreatorId],
    now: int,
    actor: str = "",
) -> CreatorList:
    """Raises Conflict for a name that is taken, Malformed for one that is none, NotFound for an unknown creator."""
    if len(lists_of(txn, tenant_id)) >= MAX_LISTS:
        raise Conflict(f"there are {MAX_LISTS} lists already; delete one first")
    fresh = CreatorList(list_id=list_id, tenant_id=tenant_id, name="", created_at=now, changed_at=now)
    fresh = msgspec.structs.replace(fresh, name=_free_name(txn, fresh, name), creator_ids=_known(txn, creator_ids))
    _check_members(fresh.creator_ids)
    _put(txn, fresh)
    append_step(txn, fresh, ListStep(version=fresh.version, at=now, actor=actor, added=fresh.creator_ids))
    return fresh


def change_list(
    txn: Txn,
    tenant_id: str,
    list_id: str,
    *,
    version: int | None = None,
    name: str | None = None,
    add: Iterable[CreatorId] = (),
    remove: Iterable[CreatorId] = (),
    triage: Mapping[CreatorId, Triage] | None = None,
    move: Sequence[CreatorId] = (),
    before: CreatorId | None = None,
    now: int,
    actor: str = "",
) -> CreatorList:
    """What is so already changes nothing, the version neither. ``move``: put these in front of ``before``, or at the end.

    Raises NotFound for a list that is none and for who is not in it, Malformed, and Stale where ``version`` is given and
    another than the list's.
    """
    old = get_list(txn, tenant_id, list_id)
    check_version("the list", old.version, version, old)
    out = {present_id(txn, one) or one for one in remove}
    kept = [one for one in old.creator_ids if not out or (present_id(txn, one) or one) not in out]
    held = {present_id(txn, one) for one in kept}
    kept += [one for one in _known(txn, add) if one not in held]
    _check_members(kept)
    kept = _moved(txn, kept, move, before) if move else kept
    fresh = msgspec.structs.replace(
        old,
        creator_ids=kept,
        name=old.name if name is None else _free_name(txn, old, name),
        entries=_triaged(txn, old, kept, triage or {}, now, actor),
    )
    if fresh == old:
        return old
    fresh = msgspec.structs.replace(fresh, version=old.version + 1, changed_at=now)
    _put(txn, fresh)
    append_step(txn, fresh, step_between(old, fresh, actor))
    return fresh


def entries_of(txn: Txn, found: CreatorList) -> dict[CreatorId, ListEntry]:
    """What was said of whom, by where their ids lead now: of several that were merged, what was said last."""
    said: dict[CreatorId, ListEntry] = {}
    for creator_id, entry in sorted(found.entries.items(), key=lambda pair: pair[1].at):
        present = present_id(txn, creator_id)
        if present is not None:
            said[present] = entry
    return said


def delete_list(txn: Txn, tenant_id: str, list_id: str, version: int | None = None) -> CreatorList:
    """The list that is gone. Raises NotFound, and Stale as `change_list`."""
    old = get_list(txn, tenant_id, list_id)
    check_version("the list", old.version, version, old)
    txn.delete("lists", _key(tenant_id, list_id))
    forget_steps(txn, old)
    txn.add(CHANGES + tenant_id)
    return old


def hidden_of(txn: Txn, tenant_id: str) -> list[CreatorId]:
    """As they were hidden, in the order of their ids."""
    prefix = _prefix(tenant_id)
    return [CreatorId(unpack_id(key[len(prefix) :])) for key, _ in txn.scan("hidden", prefix)]


def hide(txn: Txn, tenant_id: str, creator_id: CreatorId, now: int) -> bool:
    """Returns whether it was shown before. Raises NotFound for an unknown creator, Conflict when too many are hidden."""
    (present,) = _known(txn, [creator_id])
    hidden = hidden_of(txn, tenant_id)
    if present in present_ids(txn, hidden):
        return False
    if len(hidden) >= MAX_HIDDEN:
        raise Conflict(f"{MAX_HIDDEN} creators are hidden already; show one again first")
    txn.put("hidden", _prefix(tenant_id) + pack_id(present), pack_id(now))
    txn.add(CHANGES + tenant_id)
    return True


def unhide(txn: Txn, tenant_id: str, creator_id: CreatorId) -> bool:
    """Returns whether it was hidden, itself or as what was merged into it."""
    wanted = present_id(txn, creator_id) or creator_id
    found = [one for one in hidden_of(txn, tenant_id) if (present_id(txn, one) or one) == wanted]
    for one in found:
        txn.delete("hidden", _prefix(tenant_id) + pack_id(one))
    txn.add(CHANGES + tenant_id, 1 if found else 0)
    return bool(found)


def present_ids(txn: Txn, creator_ids: Iterable[CreatorId]) -> list[CreatorId]:
    """Where these ids lead now, each once, in their order; those that lead nowhere are left out."""
    found = (present_id(txn, one) for one in creator_ids)
    return list(dict.fromkeys(one for one in found if one is not None))


def rows_of(txn: Txn, creator_ids: Iterable[CreatorId]) -> Rows:
    """Rows of the creators that these ids lead to, ascending."""
    stored = (txn.get("creators", pack_id(one)) for one in present_ids(txn, creator_ids))
    return np.array(sorted(decode(_Head, value).row for value in stored if value is not None), np.uint32)


def stamp_of(txn: Txn, tenant_id: str) -> tuple[int, int]:
    """Another one whenever rows of a tenant's creators may be others than before."""
    return txn.counter(CHANGES + tenant_id), txn.counter(MOVES)


def replace_creators(txn: Txn, gone: Sequence[CreatorId], instead: Sequence[CreatorId]) -> dict[str, int]:
    """Nothing that any tenant noted names a creator that is ``gone``; who goes on of it stands there in its place, also
    where a list is full: nothing may keep somebody from being forgotten.

    Returns how many rows of which database held one of them.
    """
    changed = {
        "lists": _replace_in_lists(txn, set(gone), instead),
        "list_steps": replace_in_steps(txn, set(gone)),
        "hidden": _replace_hidden(txn, set(gone), instead),
    }
    return {database: rows for database, rows in changed.items() if rows}


def _replace_in_lists(txn: Txn, gone: set[CreatorId], instead: Sequence[CreatorId]) -> int:
    found = [decode(CreatorList, value) for _, value in txn.scan("lists")]
    met = [one for one in found if not gone.isdisjoint(one.creator_ids)]
    for one in met:
        ids = [other for member in one.creator_ids for other in (instead if member in gone else [member])]
        entries = _entries_after(one.entries, gone, instead)
        _put(
            txn,
            msgspec.structs.replace(
                one, creator_ids=list(dict.fromkeys(ids)), entries=entries, version=one.version + 1
            ),
        )
    return len(met)


def _entries_after(
    entries: Mapping[CreatorId, ListEntry], gone: set[CreatorId], instead: Sequence[CreatorId]
) -> dict[CreatorId, ListEntry]:
    """What was said of who is gone holds for the first of who goes on of it, as notes do."""
    kept = {member: entry for member, entry in entries.items() if member not in gone}
    said = [entry for member, entry in sorted(entries.items(), key=lambda pair: -pair[1].at) if member in gone]
    return {instead[0]: said[0], **kept} if instead and said else kept


def _replace_hidden(txn: Txn, gone: set[CreatorId], instead: Sequence[CreatorId]) -> int:
    found = [(key, value) for key, value in txn.scan("hidden") if unpack_id(key[-8:]) in gone]
    for key, value in found:
        txn.delete("hidden", key)
        for other in instead:
            txn.put("hidden", key[:-8] + pack_id(other), value)
        txn.add(CHANGES + key[:-9].decode())
    return len(found)


def _moved(txn: Txn, kept: Sequence[CreatorId], move: Sequence[CreatorId], before: CreatorId | None) -> list[CreatorId]:
    """Raises NotFound for who is not in the list."""
    places = {present_id(txn, one) or one: one for one in kept}
    taken = [_place_of(txn, places, one) for one in dict.fromkeys(move)]
    target = _place_of(txn, places, before) if before is not None else None
    rest = [one for one in kept if one not in set(taken) - {target}]
    at = rest.index(target) if target is not None else len(rest)
    return list(dict.fromkeys([*rest[:at], *taken, *rest[at:]]))


def _place_of(txn: Txn, places: Mapping[CreatorId, CreatorId], creator_id: CreatorId) -> CreatorId:
    place = places.get(present_id(txn, creator_id) or creator_id)
    if place is None:
        raise NotFound(f"creator {creator_id} is not in the list")
    return place


def _triaged(
    txn: Txn,
    old: CreatorList,
    kept: Sequence[CreatorId],
    triage: Mapping[CreatorId, Triage],
    now: int,
    actor: str,
) -> dict[CreatorId, ListEntry]:
    """What was said of who is still there, with what is said now. Raises NotFound and Malformed."""
    there = set(kept)
    entries = {one: entry for one, entry in old.entries.items() if one in there}
    if not triage:
        return entries
    places = {present_id(txn, one) or one: one for one in kept}
    for creator_id, said in triage.items():
        place = _place_of(txn, places, creator_id)
        _check_triage(said)
        before = entries.pop(place, ListEntry())
        if (before.state, before.reason) == (said.state, said.reason):
            entries |= {place: before} if before != ListEntry() else {}
        elif said != Triage():
            entries[place] = ListEntry(state=said.state, reason=said.reason, at=now, actor=actor)
    return entries


def _check_triage(said: Triage) -> None:
    if said.state not in STATES:
        raise Malformed(f"a state is one of {', '.join(STATES[1:])}, or nothing; not {said.state[:40]!r}")
    if len(said.reason) > MAX_REASON_CHARS or not said.reason.replace("\n", " ").isprintable():
        raise Malformed(f"a reason has {MAX_REASON_CHARS} printable characters at most")


def _known(txn: Txn, creator_ids: Iterable[CreatorId]) -> list[CreatorId]:
    """Where they lead now, each once. Raises NotFound."""
    found: dict[CreatorId, None] = {}
    for creator_id in creator_ids:
        present = present_id(txn, creator_id)
        if present is None:
            raise NotFound(f"no creator {creator_id}")
        found[present] = None
    return list(found)


def _free_name(txn: Txn, mine: CreatorList, name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise Malformed(f"a list's name has 1 to {MAX_NAME_CHARS} printable characters")
    taken = find_list(txn, mine.tenant_id, name)
    if taken is not None and taken.list_id != mine.list_id:
        raise Conflict(f"there is a list {taken.name!r} already: {taken.list_id}")
    return name


def _check_members(creator_ids: Sequence[CreatorId]) -> None:
    if len(creator_ids) > MAX_MEMBERS:
        raise Malformed(f"a list has {MAX_MEMBERS} creators at most, not {len(creator_ids)}")


def _put(txn: Txn, one: CreatorList) -> None:
    txn.put("lists", _key(one.tenant_id, one.list_id), encode(one))
    txn.add(CHANGES + one.tenant_id)


def _prefix(tenant_id: str) -> bytes:
    return tenant_id.encode() + b"\0"


def _key(tenant_id: str, list_id: str) -> bytes:
    return _prefix(tenant_id) + list_id.encode(errors="replace")[:100]
