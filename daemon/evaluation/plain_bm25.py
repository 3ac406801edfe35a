"""BM25 as textbooks have it, over whole documents: what keyword search is compared with."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping

from stores.analysis import tokens

K1, B = 1.2, 0.75
"""Robertson and Zaragoza 2009, section 3.5: 1.2 < k1 < 2 and 0.5 < b < 0.8; these are what engines default to."""


class PlainBm25:
    """Any word of the query is enough, and counts as often as it is there; no fields, no boosts, no stop words."""

    def __init__(self, documents: Mapping[str, str]) -> None:
        self._postings: dict[str, dict[str, int]] = defaultdict(dict)
        self._lengths: dict[str, int] = {}
        for name, text in documents.items():
            words = tokens(text)
            self._lengths[name] = len(words)
            for word, count in Counter(words).items():
                self._postings[word][name] = count
        self._average = sum(self._lengths.values()) / max(len(self._lengths), 1) or 1.0

    def ranked(self, query: str, limit: int) -> list[str]:
        """Best first; ties by name."""
        scores: dict[str, float] = defaultdict(float)
        for word, asked in Counter(tokens(query)).items():
            postings = self._postings.get(word, {})
            rarity = math.log(1 + (len(self._lengths) - len(postings) + 0.5) / (len(postings) + 0.5))
            for name, count in postings.items():
                longer = 1 - B + B * self._lengths[name] / self._average
                scores[name] += asked * rarity * count * (K1 + 1) / (count + K1 * longer)
        return sorted(scores, key=lambda name: (-scores[name], name))[:limit]
