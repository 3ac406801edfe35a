"""Rankings that further pages are cut from, so that a creator is met once however much changes meanwhile."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stores.match_set import MatchSet
from stores.ports import Rows
from stores.ranking import Candidates, Ranked

NOBODY: Rows = np.zeros(0, np.uint32)


class Ranking(msgspec.Struct, kw_only=True, frozen=True):
    """A match set in its order."""

    found: MatchSet
    candidates: Candidates
    ranked: Ranked
    order: NDArray[np.intp]
    """Positions into ``found.rows``, first hit first."""
    earlier: Rows = NOBODY
    """Hits before ``order``: they were on earlier pages, of rankings that held only the best."""
    begin: int = 0
    """How many those were."""
    sure: int
    """How many of the first no creator that is left out can come before."""
    hasty: bool
    """See `VectorIndex.nearest_now`."""
    facets: dict[str, dict[str, int]] | None

    @property
    def total(self) -> int:
        """Of all pages together, so that the last one is told by it."""
        return self.begin + len(self.order) if self.found.complete else self.found.total

    def rows(self, offset: int, limit: int) -> NDArray[np.intp]:
        """Positions of the hits of a page."""
        return self.order[max(offset - self.begin, 0) : max(offset - self.begin + limit, 0)]

    def serves(self, offset: int, limit: int) -> bool:
        """Whether that page can be cut from it."""
        return offset >= self.begin and (self.found.complete or offset + limit <= self.sure)

    def without(self, served: Rows, begin: int) -> Ranking:
        """The rest, where ``served`` were hits already."""
        left = self.order[~np.isin(self.found.rows[self.order], served)]
        return msgspec.structs.replace(self, order=left, earlier=served, begin=begin)

    def served(self, offset: int) -> Rows:
        """Rows of the hits before ``offset``, of those that it knows of."""
        own = self.found.rows[self.order[: max(offset - self.begin, 0)]]
        return np.concatenate([self.earlier, own])[:offset]

    @property
    def size_bytes(self) -> int:
        arrays: list[NDArray[Any]] = [self.found.rows, self.found.keyword, self.found.exact, self.found.compared]
        arrays += [self.order, self.earlier, self.ranked.scores]
        arrays += [self.candidates.creator_ids, self.candidates.quality, self.candidates.preferred]
        arrays += [array for part in self.ranked.parts for array in (part.values, part.weights, part.shown)]
        arrays += [*self.candidates.similarities.values(), *self.candidates.having.values()]
        own = {id(array): array.nbytes for array in arrays if array.strides != (0,)}
        return sum(own.values())


class KeptRankings:
    """The latest, within a bound of memory; thread-safe. What was put out is made anew when it is asked for."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._kept: OrderedDict[str, tuple[bytes, Ranking]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, asked: bytes, ranking: Ranking) -> str:
        """Under which name it is kept; empty for one that is larger than all may be."""
        if ranking.size_bytes > self._max_bytes:
            return ""
        name = secrets.token_urlsafe(9)
        with self._lock:
            self._kept[name] = asked, ranking
            self._bytes += ranking.size_bytes
            while self._bytes > self._max_bytes:
                _, (_, old) = self._kept.popitem(last=False)
                self._bytes -= old.size_bytes
        return name

    def get(self, name: str, asked: bytes) -> Ranking | None:
        """None for one that is not kept, or is of another question."""
        with self._lock:
            kept = self._kept.get(name)
            if kept is None or kept[0] != asked:
                return None
            self._kept.move_to_end(name)
            return kept[1]
