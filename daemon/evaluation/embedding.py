"""How well an embedding model finds what belongs together: judged retrieval sets, and halves of channels' titles."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from daemon.evaluation.judged_sets import read_judgments, read_rows
from daemon.evaluation.ranking_metrics import ndcg, recall
from daemon.simulator.files import VIDEOS
from models.embedding_port import EmbeddingPort, Vectors
from models.packing import clean
from proto.errors import Malformed

Tell = Callable[[str, float], None]
FIRST_OF_MANY = 100
MIN_TITLES = 2
"""Of a channel: one in each half."""
HALF_TITLES = 10
MIN_CHANNELS = 30
"""In a country with fewer, chance alone finds the other half often."""
EMBEDDED_AT_ONCE = 200
EVERYWHERE = "channels, all countries"


class RetrievalSet(msgspec.Struct, kw_only=True, frozen=True):
    """``relevant``: query → documents that belong to it, each worth as much."""

    name: str
    documents: dict[str, str]
    queries: dict[str, str]
    relevant: dict[str, frozenset[str]]


class Score(msgspec.Struct, kw_only=True, frozen=True):
    """Means over queries; every document is compared (no index)."""

    documents: int
    queries: int
    ndcg_10: float
    recall_100: float


class Report(msgspec.Struct, kw_only=True):
    """``mean``: over the sets, each alike."""

    model: str
    dims: int
    sets: dict[str, Score]
    mean: Score
    texts_per_second: float


def evaluate(sets: Sequence[RetrievalSet], model: EmbeddingPort, tell: Tell, clock: Callable[[], float]) -> Report:
    """Texts as the daemon embeds them, cut where the model ends."""
    began, found = clock(), dict[str, Score]()
    texts = 0
    for number, one in enumerate(sets, 1):
        found[one.name] = _score(one, model)
        texts += len(one.documents) + len(one.queries)
        tell(model.model_id, number / len(sets))
    scores = list(found.values())
    mean = Score(
        documents=sum(one.documents for one in scores),
        queries=sum(one.queries for one in scores),
        ndcg_10=float(np.mean([one.ndcg_10 for one in scores])),
        recall_100=float(np.mean([one.recall_100 for one in scores])),
    )
    return Report(
        model=model.model_id,
        dims=model.dims,
        sets=found,
        mean=mean,
        texts_per_second=texts / max(clock() - began, 1e-9),
    )


def read_sets(folder: Path) -> list[RetrievalSet]:
    """Folders in BEIR's layout (``corpus.jsonl.gz``, ``queries.jsonl``, ``qrels.tsv``), here or in ``retrieval``, by
    language where documents state one; and channels of trending videos, by country.

    Raises Malformed for files that cannot be read, and when there is none.
    """
    found: list[RetrievalSet] = []
    for corpus in sorted([*folder.glob("*/corpus.jsonl.gz"), *folder.glob("retrieval/*/corpus.jsonl.gz")]):
        found += _judged(corpus.parent)
    if (folder / VIDEOS).exists():
        found += _halves(folder / VIDEOS)
    if not found:
        raise Malformed(f"{folder}: nothing to measure on; expected {VIDEOS}, or folders with corpus.jsonl.gz")
    return found


def _score(one: RetrievalSet, model: EmbeddingPort) -> Score:
    names = list(one.documents)
    documents = _embedded(model, list(one.documents.values()))
    queries = _embedded(model, [one.queries[query] for query in one.relevant])
    found = []
    for vector, relevant in zip(queries, one.relevant.values(), strict=True):
        order = np.argsort(-(documents @ vector), kind="stable")[:FIRST_OF_MANY]
        ranked = [names[place] for place in order]
        gains = dict.fromkeys(relevant, 1.0)
        found.append((ndcg(ranked, gains), recall(ranked, gains, FIRST_OF_MANY)))
    means = np.mean(found, axis=0)
    return Score(documents=len(names), queries=len(one.relevant), ndcg_10=float(means[0]), recall_100=float(means[1]))


def _embedded(model: EmbeddingPort, texts: Sequence[str]) -> Vectors:
    parts = [model.embed(texts[at : at + EMBEDDED_AT_ONCE]) for at in range(0, len(texts), EMBEDDED_AT_ONCE)]
    return np.concatenate(parts)


def _judged(folder: Path) -> Iterator[RetrievalSet]:
    documents: dict[str, dict[str, str]] = defaultdict(dict)
    for row in read_rows(folder / "corpus.jsonl.gz", ("_id",)):
        text = f"{row.get('title') or ''}. {row.get('text') or ''}"
        documents[str(row.get("language") or "")][str(row["_id"])] = text
    queries = {str(row["_id"]): str(row["text"]) for row in read_rows(folder / "queries.jsonl", ("_id", "text"))}
    judged: dict[str, set[str]] = defaultdict(set)
    for query, document, worth in read_judgments(folder / "qrels.tsv"):
        if worth > 0:
            judged[query].add(document)
    for language, texts in sorted(documents.items()):
        relevant = {query: frozenset(judged[query] & texts.keys()) for query in queries if judged[query] & texts.keys()}
        if relevant:
            name = f"{folder.name}, {language}" if language else folder.name
            yield RetrievalSet(name=name, documents=texts, queries=queries, relevant=relevant)


def _halves(path: Path) -> Iterator[RetrievalSet]:
    """Of each channel every second title, oldest first, is to find the others among those of all channels."""
    titles: dict[str, dict[str, str]] = defaultdict(dict)
    regions: dict[str, Counter[str]] = defaultdict(Counter)
    for row in read_rows(path, ()):
        channel = str(row.get("channel_id") or "")
        titles[channel].setdefault(str(row.get("title") or ""), str(row.get("published_at") or ""))
        regions[channel][str(row.get("region") or "")] += 1
    halves: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for channel, dated in titles.items():
        ordered = [clean(title) for title in sorted(dated, key=lambda title: (dated[title], title))]
        if channel and len(ordered) >= MIN_TITLES:
            country = min(regions[channel], key=lambda region: (-regions[channel][region], region))
            odd, even = ordered[::2][:HALF_TITLES], ordered[1::2][:HALF_TITLES]
            for place in (country, ""):
                halves[place][channel] = (". ".join(odd), ". ".join(even))
    for place, pairs in sorted(halves.items()):
        if len(pairs) >= MIN_CHANNELS:
            yield RetrievalSet(
                name=f"channels, {place}" if place else EVERYWHERE,
                documents={channel: even for channel, (_, even) in pairs.items()},
                queries={channel: odd for channel, (odd, _) in pairs.items()},
                relevant={channel: frozenset([channel]) for channel in pairs},
            )
