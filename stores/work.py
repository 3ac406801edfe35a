"""Work left to do, one item per stage and entity, written in the transaction that causes it; and dead letters."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

import msgspec

from proto.messages import AnyWork, Stage
from proto.records import DeadLetter, WorkItem
from stores.codec import decode, encode
from stores.env import Environment, Txn
from stores.scan import Pair, scan_tables

ROWS = "work_rows"
REVISION = "revision"
_STAGES = list(Stage)


TABLES = ("work", "dead_letters")
"""Databases of the environment that this store owns."""


class Work:
    """Unfinished work. A stage clears its item in the transaction that stores what the stage did."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    async def scan(self, cursor: bytes, limit: int) -> tuple[list[Pair], bytes | None]:
        """See `stores.ports.Scannable`."""
        return await scan_tables(self._env, TABLES, cursor, limit)

    async def current(self, messages: Sequence[AnyWork]) -> list[AnyWork]:
        """Those that are still to be done; one that was done, or stands again under a later revision, is left out."""
        return await self._env.read(lambda txn: [message for message in messages if is_current(txn, message)])

    async def pending(self) -> int:
        """Items, and accounts that were put off: kept counters, no scan."""
        return await self._env.read(lambda txn: txn.counter(ROWS) + txn.entries("identity_backlog"))

    async def revision(self) -> int:
        """The latest that was given out."""
        return await self._env.read(lambda txn: txn.counter(REVISION))

    async def after(self, key: bytes, limit: int) -> list[tuple[bytes, WorkItem]]:
        """Items in key order (stage by stage) behind a key; ``b""`` begins at the first. Without those that cannot be read."""

        def look(txn: Txn) -> list[tuple[bytes, WorkItem]]:
            found: list[tuple[bytes, WorkItem]] = []
            for at, value in txn.scan("work", start=key + b"\0" if key else None):
                if len(found) == limit:
                    break
                item = txn.if_whole(partial(decode, WorkItem, value, "work", at))
                found += [(at, item)] if item is not None else []
            return found

        return await self._env.read(look)

    async def begin_attempt(self, keys: Sequence[bytes], now: float, max_attempts: int) -> tuple[list[AnyWork], int]:
        """Counts one more try of each item; returns the messages to send again and how many became dead letters."""

        def change(txn: Txn) -> tuple[list[AnyWork], int]:
            again: list[AnyWork] = []
            dead = 0
            for key in keys:
                stored = txn.get("work", key)
                if stored is None:
                    continue
                item = txn.if_whole(partial(decode, WorkItem, stored, "work", key))
                if item is None:
                    continue
                message = decode_message(item.message)
                if item.attempts >= max_attempts:
                    bury(txn, message, "retries", f"given up after {item.attempts} attempts", int(now))
                    dead += 1
                    continue
                tried = msgspec.structs.replace(item, attempts=item.attempts + 1)
                txn.put("work", key, encode(tried))
                again.append(message)
            return again, dead

        return await self._env.write(change)

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        def look(txn: Txn) -> list[DeadLetter]:
            return [decode(DeadLetter, value) for _, value in _first(txn, "dead_letters", limit)]

        return await self._env.read(look)

    async def dead_letter_count(self) -> int:
        return await self._env.read(lambda txn: txn.entries("dead_letters"))


def enqueue(txn: Txn, message: AnyWork, now: float) -> AnyWork:
    """Stores the message as work to do and returns it with its revision; an older item of the entity is replaced."""
    sealed = msgspec.structs.replace(message, revision=txn.add(REVISION))
    key = _key(sealed)
    if txn.get("work", key) is None:
        txn.add(ROWS)
    item = WorkItem(message=msgspec.msgpack.encode(sealed), revision=sealed.revision, enqueued_at=int(now))
    txn.put("work", key, encode(item))
    return sealed


def has_work(txn: Txn, message: AnyWork) -> bool:
    """Whether the stage has anything to do for the entity."""
    return txn.get("work", _key(message)) is not None


def is_current(txn: Txn, message: AnyWork) -> bool:
    stored = txn.get("work", _key(message))
    return stored is not None and decode(WorkItem, stored).revision == message.revision


def complete(txn: Txn, message: AnyWork) -> bool:
    """Clears the item unless it was enqueued again since; False when there was nothing to clear."""
    if not is_current(txn, message):
        return False
    txn.delete("work", _key(message))
    txn.add(ROWS, -1)
    return True


def bury(txn: Txn, message: AnyWork, reason: str, detail: str, now: int) -> None:
    """Moves a work item to the dead letters."""
    complete(txn, message)
    put_dead_letter(
        txn,
        DeadLetter(
            letter_id="",
            stage=message.stage.value,
            entity=message.entity,
            reason=reason,
            detail=detail,
            payload=msgspec.msgpack.encode(message),
            first_seen_at=now,
            last_seen_at=now,
        ),
    )


def put_dead_letter(txn: Txn, letter: DeadLetter) -> DeadLetter:
    """Files a letter; the same stage, entity and reason again raises its count."""
    old = find_dead_letter(txn, letter.stage, letter.entity, letter.reason)
    letter_id = _letter_id(letter.stage, letter.entity, letter.reason)
    if old is not None:
        letter = msgspec.structs.replace(letter, first_seen_at=old.first_seen_at, count=old.count + 1)
    letter = msgspec.structs.replace(letter, letter_id=letter_id)
    txn.put("dead_letters", letter_id.encode(), encode(letter))
    return letter


def find_dead_letter(txn: Txn, stage: str, entity: str, reason: str) -> DeadLetter | None:
    stored = txn.get("dead_letters", _letter_id(stage, entity, reason).encode())
    return decode(DeadLetter, stored) if stored else None


def _letter_id(stage: str, entity: str, reason: str) -> str:
    return hashlib.blake2b(f"{stage}\0{entity}\0{reason}".encode(), digest_size=8).hexdigest()


def decode_message(data: bytes) -> AnyWork:
    """Raises msgspec.ValidationError for a message kind this version does not know."""
    message: AnyWork = msgspec.msgpack.decode(data, type=AnyWork)
    return message


def stage_in(key: bytes) -> Stage:
    """Whose work it is that stands under a key."""
    return _STAGES[key[0]]


def _key(message: AnyWork) -> bytes:
    return bytes((_STAGES.index(message.stage),)) + message.entity.encode()


def _first(txn: Txn, database: str, limit: int) -> list[tuple[bytes, bytes]]:
    return [pair for pair, _ in zip(txn.scan(database), range(limit), strict=False)]
