"""What was searched for, with the candidates and what ranking knew of them: to try other weights on, and to learn from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec
import numpy as np
from numpy.typing import NDArray

from proto.ids import CreatorId
from proto.records import LoggedQuery
from stores.codec import decode, encode, pack_id
from stores.env import Txn
from stores.ports import CandidateFeatures
from stores.tenants import removed_tenants

QUERY_NUMBER = "query_number"
EXPIRED = 1_000
"""Taken out in one transaction at most."""
PLAIN = ("keyword", "exact", "quality", "score")
"""Columns of `LoggedQuery.features` before those of the vector fields."""


class LoggedCandidate(msgspec.Struct, kw_only=True):
    """A candidate as it is read out. ``similarities`` names the vector fields that the creator had."""

    creator_id: str
    rank: int
    keyword: float
    exact: bool
    quality: float
    score: float
    similarities: dict[str, float]


def append_queries(txn: Txn, queries: Sequence[LoggedQuery]) -> None:
    """Under numbers of their own, in this order; not of tenants that are gone by now."""
    gone = removed_tenants(txn)
    for query in queries:
        if query.tenant_id in gone:
            continue
        number = txn.add(QUERY_NUMBER)
        txn.put("query_log", _key(query.tenant_id, number), encode(msgspec.structs.replace(query, number=number)))


def queries_after(txn: Txn, tenant_id: str, after: int, limit: int) -> list[LoggedQuery]:
    """Oldest first, behind a number."""
    pairs = txn.scan("query_log", _prefix(tenant_id), start=_key(tenant_id, after + 1))
    return [decode(LoggedQuery, value, "query_log", key) for key, value in islice(pairs, limit)]


def latest_queries(txn: Txn, tenant_id: str, limit: int) -> list[LoggedQuery]:
    """Newest first; reads no more numbers than were given out."""
    found: list[LoggedQuery] = []
    number = txn.counter(QUERY_NUMBER)
    while number > 0 and len(found) < limit:
        block = queries_after(txn, tenant_id, max(number - EXPIRED, 0), EXPIRED)
        found += [one for one in reversed(block) if one.number <= number]
        number -= EXPIRED
    return found[:limit]


def expire_queries(txn: Txn, before: int) -> int:
    """Takes out the oldest that were noted before an instant, `EXPIRED` of each tenant at most; returns how many."""
    tenants = [key for key, _ in txn.scan("tenants")]
    old = [key for tenant in tenants for key in _old(txn, tenant.decode(), before)]
    for key in old:
        txn.delete("query_log", key)
    return len(old)


def packed_candidates(candidates: Sequence[CandidateFeatures]) -> tuple[bytes, list[str], bytes]:
    """The last three fields of a `LoggedQuery`."""
    fields = sorted({field for one in candidates for field in one.similarities})
    ids = b"".join(pack_id(one.creator_id) for one in candidates)
    rows = [
        [one.keyword, float(one.exact), one.quality, one.score]
        + [one.similarities.get(field, float("nan")) for field in fields]
        for one in candidates
    ]
    return ids, fields, np.array(rows, "<f4").tobytes()


def candidates_of(query: LoggedQuery) -> list[LoggedCandidate]:
    """Best first."""
    ids, features = ids_of(query), _features(query)
    return [
        LoggedCandidate(
            creator_id=str(creator_id),
            rank=rank,
            keyword=float(row[0]),
            exact=bool(row[1]),
            quality=float(row[2]),
            score=float(row[3]),
            similarities={
                field: float(value)
                for field, value in zip(query.fields, row[len(PLAIN) :], strict=True)
                if not np.isnan(value)
            },
        )
        for rank, (creator_id, row) in enumerate(zip(ids, features, strict=True), 1)
    ]


def ids_of(query: LoggedQuery) -> list[CreatorId]:
    """Of the candidates, best first."""
    return [CreatorId(int(one)) for one in np.frombuffer(query.creator_ids, ">u8")]


def without_candidates(query: LoggedQuery, gone: Iterable[CreatorId]) -> LoggedQuery:
    """The same query, which names none of these creators."""
    kept = ~np.isin(np.frombuffer(query.creator_ids, ">u8"), np.array(list(gone), np.uint64))
    return msgspec.structs.replace(
        query,
        creator_ids=np.frombuffer(query.creator_ids, ">u8")[kept].tobytes(),
        features=_features(query)[kept].tobytes(),
    )


def _features(query: LoggedQuery) -> NDArray[np.float32]:
    columns = len(PLAIN) + len(query.fields)
    return np.frombuffer(query.features, "<f4").reshape(-1, columns)


def _old(txn: Txn, tenant_id: str, before: int) -> list[bytes]:
    found: list[bytes] = []
    for key, value in islice(txn.scan("query_log", _prefix(tenant_id)), EXPIRED):
        if decode(LoggedQuery, value, "query_log", key).at >= before:
            break
        found.append(key)
    return found


def _prefix(tenant_id: str) -> bytes:
    return tenant_id.encode() + b"\0"


def _key(tenant_id: str, number: int) -> bytes:
    return _prefix(tenant_id) + pack_id(number)
