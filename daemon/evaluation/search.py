"""How well search ranks: judged sets, whose documents are taken in as creators, asked of the product's own searcher."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from daemon.config import Config
from daemon.control import weights_of
from daemon.evaluation.judged_sets import Document, JudgedSet, Part, part_of
from daemon.evaluation.plain_bm25 import PlainBm25
from daemon.evaluation.ranking_metrics import average_precision, interval_of_mean, ndcg, recall, reciprocal_rank
from daemon.evaluation.search_store import Intake, Made, OpenSearch, open_search
from daemon.indexing import FIELD_NAMES
from models.embedding_port import EmbeddingPort
from proto.ids import CreatorId, Platform
from proto.records import CreatorAccount
from stores.env import Environment
from stores.ports import RRF, WEIGHTED, RankedHit, SearchQuery, Weights

Tell = Callable[[str, float], None]
DEPTH = 1_000
"""Places of a ranking that are looked at."""
TAKEN_IN_AT_ONCE = 500
MAP_SIZE_BYTES = 4 << 30
NOW = 1_700_000_000
"""Any instant: nothing here depends on time."""
SWEPT_DEPTH = 10
SWEPT_QUALITY = (0.0, 0.05, 0.1)
SWEPT_STEPS = 20
KEYWORD, SEMANTIC, HYBRID, HYBRID_RRF, PLAIN, SHUFFLED = (
    "keyword",
    "semantic",
    "hybrid",
    "hybrid_rrf",
    "plain_bm25",
    "shuffled",
)


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """Means over queries."""

    ndcg_10: float = msgspec.field(name="ndcg@10")
    map: float
    recall_100: float = msgspec.field(name="recall@100")
    mrr: float


class Gap(msgspec.Struct, kw_only=True, frozen=True):
    """nDCG@10 of a fusion less that of the better single method, query by query, with its 95 % interval."""

    mean: float
    low: float
    high: float
    against: str


class Report(msgspec.Struct, kw_only=True):
    """Of one set, or the mean over sets, each set alike. ``semantic``: of the best single field (``semantic_field``).

    ``fields``: of each vector field that there is. ``plain_bm25``: the textbook's, on the same words. ``shuffled``: of
    ``hybrid``, each query judged by another's judgments: what chance gives. ``intervals``: of nDCG@10, by method.
    """

    documents: int
    queries: int
    part: str
    keyword: Figures
    semantic: Figures
    hybrid: Figures
    hybrid_rrf: Figures
    semantic_field: str
    fields: dict[str, Figures]
    plain_bm25: Figures
    shuffled: Figures
    intervals: dict[str, tuple[float, float]]
    differences: dict[str, Gap]
    milliseconds_per_query: float
    """Of ``hybrid``, in the median."""


class SweepPoint(msgspec.Struct, kw_only=True, frozen=True):
    """nDCG@10 of weighted fusion under these weights, by set and in the mean."""

    keyword: float
    vector: float
    quality: float
    sets: dict[str, float]
    mean: float


class Reports(msgspec.Struct, kw_only=True):
    """``sweep``: on the odd queries; empty unless it was asked for."""

    sets: dict[str, Report]
    mean: Report
    weights: Weights
    model: str
    sweep: list[SweepPoint]

    def as_json(self) -> bytes:
        """Of one set its own report; of several ``{"sets": {name: …}, "mean": …}``."""
        if len(self.sets) > 1:
            return msgspec.json.encode(self)
        (alone,) = self.sets.values()
        return msgspec.json.encode(msgspec.to_builtins(alone) | ({"sweep": self.sweep} if self.sweep else {}))


class Method(msgspec.Struct, kw_only=True, frozen=True):
    """A way to search."""

    weights: Weights
    fusion: str = WEIGHTED


def _now() -> float:
    return float(NOW)


Measured = dict[str, NDArray[np.float64]]
"""By method: [queries, 4], the columns in the order of `Figures`."""


class _Taken:
    """A set in a store of its own, with the searcher over it."""

    def __init__(self, judged: JudgedSet, opened: OpenSearch, names: Mapping[CreatorId, str]) -> None:
        self.judged, self._searcher, self._names = judged, opened.searcher, names
        self.fields = [
            name for name in FIELD_NAMES if opened.keeper.fields[name].holds(opened.keeper.columns.rows()).any()
        ]

    async def ranked(self, query: str, method: Method, depth: int = DEPTH) -> list[str]:
        page = await self._searcher.search(
            SearchQuery(text=query, limit=depth, weights=method.weights, fusion=method.fusion)
        )
        return [self._names[hit.creator_id] for hit in page.hits if _is_found(hit)]


def _is_found(hit: RankedHit) -> bool:
    """What only another method found scores nothing."""
    return hit.score > 0


async def evaluate(
    sets: Sequence[JudgedSet],
    model: EmbeddingPort,
    config: Config,
    part: Part,
    tell: Tell,
    *,
    sweep: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> Reports:
    """Briefs are not interpreted: the documents are papers as often as creators."""
    weights = weights_of(config)
    measured: dict[str, Measured] = {}
    reports: dict[str, Report] = {}
    swept: list[list[float]] = []
    for one in sets:
        with tempfile.TemporaryDirectory(prefix="pokedexd-eval-") as folder:
            env = Environment(Path(folder), map_size_bytes=MAP_SIZE_BYTES, durable=False)
            try:
                names = await _take_in(one, env, model, config)
                async with open_search(Path(folder), env, model, config, _now) as opened:
                    taken = _Taken(part_of(one, part), opened, names)
                    measured[one.name], milliseconds = await _measure(taken, weights, tell, clock)
                    reports[one.name] = _report(taken, measured[one.name], part, milliseconds)
                    if sweep:
                        odd = _Taken(part_of(one, Part.ODD), opened, names)
                        swept.append(await _swept(odd, weights, tell))
            finally:
                env.close()
    return Reports(
        sets=reports,
        mean=_mean(reports, measured, part),
        weights=weights,
        model=model.model_id,
        sweep=_sweep_points(weights, list(reports), swept),
    )


def methods_of(fields: Sequence[str], weights: Weights) -> dict[str, Method]:
    """Every way that is compared; ``fields`` are those that the creators have."""
    keyword = Weights(keyword=1.0, vector=0.0, quality=0.0, fields=weights.fields)
    found = {KEYWORD: Method(weights=keyword)}
    for field in fields:
        alone = {name: float(name == field) for name in FIELD_NAMES}
        found[field] = Method(weights=Weights(keyword=0.0, vector=1.0, quality=0.0, fields=alone))
    return found | {HYBRID: Method(weights=weights), HYBRID_RRF: Method(weights=weights, fusion=RRF)}


def creator_of(name: str, document: Document) -> Made:
    """A channel of the title's name, whose bio is the text; its id holds nothing that a query could ask for."""
    user_id = "UC" + hashlib.blake2b(name.encode(), digest_size=11).hexdigest()
    account = CreatorAccount(
        platform=Platform.YOUTUBE,
        platform_user_id=user_id,
        display_name=document.title or name,
        bio=document.text,
        fetched_at=NOW,
    )
    return Made(accounts=(account,))


async def _take_in(judged: JudgedSet, env: Environment, model: EmbeddingPort, config: Config) -> dict[CreatorId, str]:
    """The documents' names by creator."""
    made = {name: creator_of(name, document) for name, document in judged.documents.items()}
    intake, waiting = Intake(env, model, config, _now), list(made.values())
    for at in range(0, len(waiting), TAKEN_IN_AT_ONCE):
        await intake.take_in(waiting[at : at + TAKEN_IN_AT_ONCE])
    return {one.creator_id: name for name, one in made.items()}


async def _measure(taken: _Taken, weights: Weights, tell: Tell, clock: Callable[[], float]) -> tuple[Measured, float]:
    """And how many milliseconds a hybrid search takes in the median."""
    judged, methods = taken.judged, methods_of(taken.fields, weights)
    plain = PlainBm25({name: f"{one.title} {one.text}" for name, one in judged.documents.items()})
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in (*methods, PLAIN, SHUFFLED)}
    others = _shifted(list(judged.gains.values()))
    spent: list[float] = []
    for place, (query, gains) in enumerate(judged.gains.items()):
        text = judged.queries[query]
        for name, method in methods.items():
            began = clock()
            ranked = await taken.ranked(text, method)
            rows[name].append(_figures_of(ranked, gains))
            if name == HYBRID:
                spent.append(clock() - began)
                rows[SHUFFLED].append(_figures_of(ranked, others[place]))
        rows[PLAIN].append(_figures_of(plain.ranked(text, DEPTH), gains))
        tell(judged.name, (place + 1) / len(judged.gains))
    return {name: np.array(found) for name, found in rows.items()}, float(np.median(spent)) * 1_000


def _shifted(gains: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """Each query gets the judgments of the one half the list away."""
    half = max(len(gains) // 2, 1)
    return [*gains[half:], *gains[:half]]


def _figures_of(ranked: Sequence[str], gains: Mapping[str, float]) -> tuple[float, ...]:
    return ndcg(ranked, gains), average_precision(ranked, gains), recall(ranked, gains), reciprocal_rank(ranked, gains)


def _report(taken: _Taken, measured: Measured, part: Part, milliseconds: float) -> Report:
    figures = {name: _figures(values.mean(axis=0)) for name, values in measured.items()}
    best = max(taken.fields, key=lambda field: figures[field].ndcg_10)
    measured[SEMANTIC], figures[SEMANTIC] = measured[best], figures[best]
    return Report(
        documents=len(taken.judged.documents),
        queries=len(taken.judged.gains),
        part=part.value,
        **{name: figures[name] for name in (KEYWORD, SEMANTIC, HYBRID, HYBRID_RRF, PLAIN, SHUFFLED)},
        semantic_field=best,
        fields={field: figures[field] for field in taken.fields},
        intervals=_intervals([measured]),
        differences=_gaps([measured]),
        milliseconds_per_query=milliseconds,
    )


def _mean(reports: Mapping[str, Report], measured: Mapping[str, Measured], part: Part) -> Report:
    """Every set counts alike."""
    everything = list(measured.values())
    shared = [name for name in everything[0] if all(name in one for one in everything)]
    figures = {name: _figures(np.mean([one[name].mean(axis=0) for one in everything], axis=0)) for name in shared}
    best = {one.semantic_field for one in reports.values()}
    return Report(
        documents=sum(one.documents for one in reports.values()),
        queries=sum(one.queries for one in reports.values()),
        part=part.value,
        **{name: figures[name] for name in (KEYWORD, SEMANTIC, HYBRID, HYBRID_RRF, PLAIN, SHUFFLED)},
        semantic_field=best.pop() if len(best) == 1 else "the best of each set",
        fields={name: figures[name] for name in FIELD_NAMES if name in shared},
        intervals=_intervals(everything),
        differences=_gaps(everything),
        milliseconds_per_query=float(np.mean([one.milliseconds_per_query for one in reports.values()])),
    )


def _figures(means: NDArray[np.float64]) -> Figures:
    first, second, third, fourth = (float(one) for one in means)
    return Figures(ndcg_10=first, map=second, recall_100=third, mrr=fourth)


def _intervals(sets: Sequence[Measured]) -> dict[str, tuple[float, float]]:
    names = (KEYWORD, SEMANTIC, HYBRID, HYBRID_RRF, PLAIN, SHUFFLED)
    return {name: interval_of_mean([one[name][:, 0] for one in sets]) for name in names}


def _gaps(sets: Sequence[Measured]) -> dict[str, Gap]:
    """Against the single method that is the better one on the whole."""
    singles = {name: float(np.mean([one[name][:, 0].mean() for one in sets])) for name in (KEYWORD, SEMANTIC)}
    better = max(singles, key=lambda name: singles[name])
    found = {}
    for name in (HYBRID, HYBRID_RRF):
        differences = [one[name][:, 0] - one[better][:, 0] for one in sets]
        low, high = interval_of_mean(differences)
        mean = float(np.mean([values.mean() for values in differences]))
        found[name] = Gap(mean=mean, low=low, high=high, against=better)
    return found


def _grid(fields: Mapping[str, float]) -> list[Weights]:
    """Shares of the keyword match from none to all, at a few shares of quality."""
    return [
        Weights(
            keyword=round((1 - quality) * step / SWEPT_STEPS, 4),
            vector=round((1 - quality) * (1 - step / SWEPT_STEPS), 4),
            quality=quality,
            fields=dict(fields),
        )
        for quality in SWEPT_QUALITY
        for step in range(SWEPT_STEPS + 1)
    ]


async def _swept(taken: _Taken, weights: Weights, tell: Tell) -> list[float]:
    """nDCG@10 of the set, point by point of the grid."""
    grid, found = _grid(weights.fields), list[float]()
    for place, one in enumerate(grid, 1):
        values = [
            ndcg(await taken.ranked(taken.judged.queries[query], Method(weights=one), SWEPT_DEPTH), gains)
            for query, gains in taken.judged.gains.items()
        ]
        found.append(float(np.mean(values)))
        tell(f"{taken.judged.name}, weights", place / len(grid))
    return found


def _sweep_points(weights: Weights, names: Sequence[str], swept: Sequence[Sequence[float]]) -> list[SweepPoint]:
    if not swept:
        return []
    return [
        SweepPoint(
            keyword=one.keyword,
            vector=one.vector,
            quality=one.quality,
            sets={name: found[place] for name, found in zip(names, swept, strict=True)},
            mean=float(np.mean([found[place] for found in swept])),
        )
        for place, one in enumerate(_grid(weights.fields))
    ]
