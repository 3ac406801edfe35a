"""What a tenant writes of a creator: a text and tags, whatever lists it is in. Functions of a transaction.

Notes lie under the id that the creator had. Of creators that were merged the notes are shown as one; it is one from the
next change on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from proto.errors import Conflict, Malformed, NotFound
from proto.ids import CreatorId, creator_id_of
from proto.records import Note
from stores.belonging import members_of, present_id
from stores.codec import decode, encode, pack_id
from stores.edits import check_version
from stores.env import Txn

MAX_NOTES = 50_000
"""Of one tenant."""
MAX_TEXT_CHARS = 10_000
MAX_TAGS = 20
MAX_TAG_CHARS = 40


def note_of(txn: Txn, tenant_id: str, creator_id: CreatorId) -> Note | None:
    """Of the creator that the id leads to; None where nothing is noted."""
    present = present_id(txn, creator_id)
    if present is None:
        return None
    found = [decode(Note, value) for key in _keys(txn, tenant_id, present) if (value := txn.get("notes", key))]
    return _joined(tenant_id, present, found) if found else None


def notes_of(txn: Txn, tenant_id: str) -> list[Note]:
    """By creator; of creators that are there."""
    by_creator: dict[CreatorId, list[Note]] = {}
    for _, value in txn.scan("notes", _prefix(tenant_id)):
        note = decode(Note, value)
        present = present_id(txn, note.creator_id)
        if present is not None:
            by_creator.setdefault(present, []).append(note)
    return [_joined(tenant_id, creator_id, notes) for creator_id, notes in sorted(by_creator.items())]


def has_tag(note: Note, tag: str) -> bool:
    """In any case."""
    return tag.casefold() in (one.casefold() for one in note.tags)


def write_note(
    txn: Txn,
    tenant_id: str,
    creator_id: CreatorId,
    *,
    text: str | None = None,
    tags: Iterable[str] | None = None,
    version: int | None = None,
    now: int,
    actor: str = "",
) -> Note | None:
    """None for what is not given: it stays. A note without text and tags is none, and is gone. ``version`` 0: there is none
    yet.

    Raises NotFound for an unknown creator, Malformed, Conflict when there are too many, and Stale where ``version`` is
    given and another than the note's.
    """
    present = present_id(txn, creator_id)
    if present is None:
        raise NotFound(f"no creator {creator_id}")
    old = note_of(txn, tenant_id, present)
    check_version("the note", old.version if old else 0, version, old)
    fresh = Note(
        tenant_id=tenant_id,
        creator_id=present,
        text=_text(text) if text is not None else old.text if old else "",
        tags=_tags(tags) if tags is not None else old.tags if old else [],
        at=now,
        version=(old.version if old else 0) + 1,
        actor=actor,
    )
    if old is None and sum(1 for _ in txn.scan("notes", _prefix(tenant_id))) >= MAX_NOTES:
        raise Conflict(f"there are {MAX_NOTES} notes already; delete one first")
    for key in _keys(txn, tenant_id, present):
        txn.delete("notes", key)
    if not fresh.text and not fresh.tags:
        return None
    txn.put("notes", _key(tenant_id, present), encode(fresh))
    return fresh


def replace_noted(txn: Txn, gone: Collection[CreatorId], instead: Sequence[CreatorId]) -> int:
    """Notes of who is gone stay with the first of who goes on of it, or go. Returns how many there were."""
    found = [(key, decode(Note, value)) for key, value in txn.scan("notes") if CreatorId(_id_in(key)) in gone]
    for key, note in found:
        txn.delete("notes", key)
        if instead and txn.get("notes", _key(note.tenant_id, instead[0])) is None:
            moved = msgspec.structs.replace(note, creator_id=instead[0])
            txn.put("notes", _key(note.tenant_id, instead[0]), encode(moved))
    return len(found)


def _joined(tenant_id: str, creator_id: CreatorId, notes: Sequence[Note]) -> Note:
    """One note, with the version of all of them together, so that it only grows."""
    latest = max(notes, key=lambda one: one.at)
    return Note(
        tenant_id=tenant_id,
        creator_id=creator_id,
        text="\n\n".join(dict.fromkeys(one.text for one in notes if one.text)),
        at=latest.at,
        tags=_distinct(tag for one in notes for tag in one.tags),
        version=sum(one.version for one in notes),
        actor=latest.actor,
    )


def _text(text: str) -> str:
    text = text.strip()
    if len(text) > MAX_TEXT_CHARS or "\0" in text:
        raise Malformed(f"a note has {MAX_TEXT_CHARS:,} characters at most, not {len(text):,}")
    return text


def _tags(tags: Iterable[str]) -> list[str]:
    found = _distinct(" ".join(one.split()) for one in tags)
    wrong = next((one for one in found if not one or len(one) > MAX_TAG_CHARS or not one.isprintable()), None)
    if wrong is not None:
        raise Malformed(f"a tag has 1 to {MAX_TAG_CHARS} printable characters, not {wrong[:60]!r}")
    if len(found) > MAX_TAGS:
        raise Malformed(f"a note has {MAX_TAGS} tags at most, not {len(found)}")
    return found


def _distinct(tags: Iterable[str]) -> list[str]:
    """In any case."""
    kept: dict[str, str] = {}
    for one in tags:
        kept.setdefault(one.casefold(), one)
    return list(kept.values())


def _keys(txn: Txn, tenant_id: str, present: CreatorId) -> list[bytes]:
    """Where notes of a creator may lie: under every id that leads to it, which are those of its accounts."""
    ids = [present, *(creator_id_of(one) for one in members_of(txn, present))]
    return [_key(tenant_id, one) for one in dict.fromkeys(ids) if present_id(txn, one) == present]


def _prefix(tenant_id: str) -> bytes:
    return tenant_id.encode() + b"\0"


def _key(tenant_id: str, creator_id: CreatorId) -> bytes:
    return _prefix(tenant_id) + pack_id(creator_id)


def _id_in(key: bytes) -> int:
    return int.from_bytes(key[-8:], "big")
