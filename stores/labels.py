"""Whom a language model is asked about and when, what it said, and what that cost a day."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import msgspec

from proto.ids import CreatorId
from proto.labelling import Labelling, Spend
from stores.codec import decode, encode, pack_id, unpack_id
from stores.env import Environment, Txn
from stores.scan import Pair, scan_tables

TABLES = ("labellings", "labellings_due", "llm_spend")
"""Databases of the environment that this store owns."""
DAY_SECONDS = 86_400
MOST_COUNTED = 10_000


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What may be spent in a day over all models; ``micros`` 0: as much as the tokens cost."""

    tokens: int
    micros: int = 0


class Labels:
    """The store as others see it: walked for a backup or a move."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    async def scan(self, cursor: bytes, limit: int) -> tuple[list[Pair], bytes | None]:
        """See `stores.ports.Scannable`."""
        return await scan_tables(self._env, TABLES, cursor, limit)


def get_labelling(txn: Txn, creator_id: CreatorId) -> Labelling | None:
    stored = txn.get("labellings", pack_id(creator_id))
    return decode(Labelling, stored, "labellings", pack_id(creator_id)) if stored else None


def put_labelling(txn: Txn, creator_id: CreatorId, labelling: Labelling) -> None:
    """With its place in the queue."""
    _unqueue(txn, creator_id)
    txn.put("labellings", pack_id(creator_id), encode(labelling))
    if labelling.due_at:
        txn.put("labellings_due", pack_id(labelling.due_at) + pack_id(creator_id), b"")


def drop_labelling(txn: Txn, creator_id: CreatorId) -> bool:
    """Returns whether there was one."""
    _unqueue(txn, creator_id)
    return txn.delete("labellings", pack_id(creator_id))


def ask_again(txn: Txn, creator_id: CreatorId, now: int) -> None:
    """At once and whatever was said of the same texts, as an operator wants it."""
    labelling = get_labelling(txn, creator_id) or Labelling()
    put_labelling(txn, creator_id, msgspec.structs.replace(labelling, asked_digest="", due_at=now))


def due_creators(txn: Txn, now: int, limit: int) -> list[CreatorId]:
    """Those that have waited longest first."""
    found: list[CreatorId] = []
    for key, _ in islice(txn.scan("labellings_due"), limit):
        if unpack_id(key[:8]) > now:
            break
        found.append(CreatorId(unpack_id(key[8:])))
    return found


def waiting(txn: Txn, now: int) -> int:
    """How many are due; counted up to ``MOST_COUNTED``."""
    return len(due_creators(txn, now, MOST_COUNTED))


def spent_on(txn: Txn, now: float) -> dict[str, Spend]:
    """Of each model on the day of ``now``."""
    prefix = pack_id(int(now) // DAY_SECONDS)
    return {key[8:].decode(): decode(Spend, value) for key, value in txn.scan("llm_spend", prefix)}


def reserve(txn: Txn, name: str, now: float, *, tokens: int, micros: int, allowance: Allowance) -> bool:
    """Before a call goes out; False when the day's allowance does not bear it."""
    spends = spent_on(txn, now)
    if sum(one.tokens for one in spends.values()) + tokens > allowance.tokens:
        return False
    micros_spent = sum(one.micros + one.reserved_micros for one in spends.values())
    if allowance.micros and micros_spent + micros > allowance.micros:
        return False
    spend = spends.get(name, Spend())
    spend.reserved_tokens += tokens
    spend.reserved_micros += micros
    _put_spend(txn, name, now, spend)
    return True


def settle(
    txn: Txn, name: str, reserved_at: float, *, reserved: tuple[int, int], used: Sequence[int], micros: int
) -> None:
    """After it. ``reserved``: (tokens, micros) as reserved then; ``used``: (prompt, completion) tokens."""
    spend = spent_on(txn, reserved_at).get(name, Spend())
    spend.reserved_tokens = max(spend.reserved_tokens - reserved[0], 0)
    spend.reserved_micros = max(spend.reserved_micros - reserved[1], 0)
    spend.calls += 1
    spend.prompt_tokens += used[0]
    spend.completion_tokens += used[1]
    spend.micros += micros
    _put_spend(txn, name, reserved_at, spend)


def _put_spend(txn: Txn, name: str, now: float, spend: Spend) -> None:
    txn.put("llm_spend", pack_id(int(now) // DAY_SECONDS) + name.encode(), encode(spend))


def _unqueue(txn: Txn, creator_id: CreatorId) -> None:
    old = get_labelling(txn, creator_id)
    if old is not None and old.due_at:
        txn.delete("labellings_due", pack_id(old.due_at) + pack_id(creator_id))
