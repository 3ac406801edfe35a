"""How long a brief takes to become filters: as people write them, as long as a query may be, and hostile ones."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from rich.table import Table

from daemon.brief_words import brief_vocabulary
from models.taxonomy import Taxonomy
from stores.analysis import MAX_QUERY_CHARS
from stores.briefs import BriefVocabulary, parse_brief

BRIEFS = Path(__file__).parents[1] / "stores"
ROUNDS = 20
HOSTILE = ("1 ", "1k-", "a ", "no ", "not the ", "in on ", "youtube, ", "brazil or ", "between 1 and ", "posted last ")


def bench_briefs() -> Table:
    vocabulary = brief_vocabulary(Taxonomy.load())
    briefs = [
        line.split("\t")[1]
        for path in sorted(BRIEFS.glob("briefs_*.tsv"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    joined = [" ".join([*briefs[at:], *briefs[:at]]) for at in range(len(briefs))]
    table = Table(
        title=f"briefs read, {len(briefs)} of them {ROUNDS} times",
        caption=f"twice the length takes {_growth(joined, vocabulary):.1f} times as long; hostile texts "
        f"{_growth([text * MAX_QUERY_CHARS for text in HOSTILE], vocabulary):.1f} times",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("what", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for what, texts in (
        ("as written", briefs),
        (f"{MAX_QUERY_CHARS} characters", [text[:MAX_QUERY_CHARS] for text in joined]),
        (f"{MAX_QUERY_CHARS} hostile characters", [(text * MAX_QUERY_CHARS)[:MAX_QUERY_CHARS] for text in HOSTILE]),
    ):
        taken = _milliseconds(texts, vocabulary)
        table.add_row(what, f"{statistics.median(taken):.2f}", f"{taken[int(0.99 * len(taken))]:.2f}")
    return table


def _growth(texts: list[str], vocabulary: BriefVocabulary) -> float:
    whole = _milliseconds([text[:MAX_QUERY_CHARS] for text in texts], vocabulary)
    half = _milliseconds([text[: MAX_QUERY_CHARS // 2] for text in texts], vocabulary)
    return sum(whole) / sum(half)


def _milliseconds(texts: list[str], vocabulary: BriefVocabulary) -> list[float]:
    """Of the thread's own time, sorted."""
    taken = []
    for _ in range(ROUNDS):
        for text in texts:
            started = time.thread_time()
            parse_brief(text, vocabulary)
            taken.append((time.thread_time() - started) * 1000)
    return sorted(taken)
