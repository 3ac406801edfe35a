"""Keyword search from the text of a query to scores, against the bare engine's search for the same query, turn by turn."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from proto.ids import CreatorId, Row
from stores.blocking import Blocking
from stores.keyword_match import FEW_MATCHES, HEAD, match_keywords
from stores.ports import TextDocument
from stores.text_index import TantivyTextIndex

BATCH = 5_000
VOCABULARY = 60_000
SYLLABLES = [first + vowel + last for first in "bcdfgklmnprst" for vowel in "aeiou" for last in ("", "n", "r", "l")]
FILTER_SHARES = (0.05, 0.001)


class Words:
    """Made-up words, the n-th most frequent one 1/n times as frequent as the first (Zipf's law)."""

    def __init__(self, chosen: random.Random) -> None:
        self._chosen = chosen
        made = dict.fromkeys("".join(chosen.choices(SYLLABLES, k=chosen.randint(2, 4))) for _ in range(VOCABULARY))
        self.all = list(made)
        self._weights = np.cumsum(1.0 / np.arange(1, len(self.all) + 1)).tolist()

    def some(self, count: int) -> str:
        return " ".join(self._chosen.choices(self.all, cum_weights=self._weights, k=count))


async def bench_keyword(folder: Path, creators: int, queries: int, seed: int) -> Table:
    """CPU time of the thread; queries of two and three words that stand together in a creator's bio."""
    chosen = random.Random(seed)
    words = Words(chosen)
    index = await TantivyTextIndex.create_empty(folder, blocking=lambda name, limit: Blocking(name, limit))
    bios: list[str] = []
    started = time.process_time()
    for begin in range(0, creators, BATCH):
        documents = list(_documents(words, range(begin, min(begin + BATCH, creators))))
        bios += [document.bio for document in documents[: queries // 2]]
        await index.upsert(documents)
    await index.commit(1)
    indexing = (time.process_time() - started) / creators * 1_000
    texts = [_query(chosen, bio) for bio in chosen.choices(bios, k=queries)]
    masks = {share: np.random.default_rng(seed).random(creators) < share for share in FILTER_SHARES}
    timings = _timings(index, texts, masks)
    suggested = await _suggestions(index, texts)
    await index.close()
    return _table(timings, creators, queries, indexing, suggested)


def _documents(words: Words, rows: range) -> Iterator[TextDocument]:
    for row in rows:
        yield TextDocument(
            row=Row(row),
            creator_id=CreatorId(row + 1),
            name=words.some(2),
            handles=(words.some(2).replace(" ", "") + str(row),),
            bio=words.some(30),
            niche=words.all[row % 20],
            summary=words.some(15),
            titles="\n".join(words.some(7) for _ in range(10)),
            prominence=row % 1_000 / 1_000,
        )


def _query(chosen: random.Random, bio: str) -> str:
    words = bio.split()
    begin = chosen.randrange(len(words) - 3)
    return " ".join(words[begin : begin + chosen.choice((2, 3))])


def _timings(index: TantivyTextIndex, texts: Sequence[str], masks: dict[float, Any]) -> dict[str, list[float]]:
    timings: dict[str, list[float]] = {}

    def timed(name: str, call: Callable[..., Any], *arguments: Any) -> None:
        started = time.thread_time()
        call(*arguments)
        timings.setdefault(name, []).append((time.thread_time() - started) * 1_000)

    def match(text: str, within: Any = None, every: bool = False) -> None:
        match_keywords(index.lookup(text), within, every=every)

    for text in texts:
        lookup = index.lookup(text)
        few = lookup.count() < FEW_MATCHES
        if few:
            timed(f"unfiltered, under {FEW_MATCHES} hold every word", match, text)
            timed("unfiltered, a word mistyped", match, text[1] + text[0] + text[2:])
            continue
        asked = lookup.engine_query()
        timed(f"tantivy: the same query, best {HEAD}, count, rows read", index.engine_search, asked, HEAD)
        timed("unfiltered", match, text)
        timed("unfiltered, every match fetched", match, text, None, True)
        for share, mask in masks.items():
            timed(f"within {share:.1%}", match, text, mask)
    return timings


async def _suggestions(index: TantivyTextIndex, texts: Sequence[str]) -> list[float]:
    """Wall time in ms, after one to six letters."""
    found: list[float] = []
    for at, text in enumerate(texts):
        started = time.perf_counter()
        await index.suggest(text[: at % 6 + 1], 20)
        found.append((time.perf_counter() - started) * 1_000)
    return found


def _table(
    timings: dict[str, list[float]], creators: int, queries: int, indexing: float, suggested: Sequence[float]
) -> Table:
    table = Table(
        title=f"keywords: {creators:,} creators, {queries} queries; {indexing:.2f} ms of CPU to index one creator",
        title_justify="left",
    )
    for heading in ("what", "mean ms of CPU", "p50", "p95", "mean against tantivy"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    bare = float(np.mean(next(iter(timings.values()))))
    for name, taken in timings.items():
        mean, p50, p95 = np.mean(taken), np.percentile(taken, 50), np.percentile(taken, 95)
        table.add_row(name, f"{mean:.2f}", f"{p50:.2f}", f"{p95:.2f}", f"{mean / bare:.2f}")
    p50, p95 = np.percentile(suggested, (50, 95))
    table.add_row("suggestions, wall time", f"{np.mean(suggested):.2f}", f"{p50:.2f}", f"{p95:.2f}", "")
    return table
