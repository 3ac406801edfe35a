"""How well the local classifier tells what creators are about, against labels that others gave them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.aggregation import FIELDS
from daemon.evaluation.niche_world import (
    BRAND_NICHES,
    BRANDS,
    INSTAGRAM,
    INSTAGRAM_NICHES,
    YOUTUBE,
    Labelled,
    labelled_creators,
)
from models.embedding_port import EmbeddingPort, Vectors
from models.local_classifier import Label, LocalClassifier
from models.packing import weighted_mean
from models.taxonomy import Taxonomy
from proto.ids import Platform

Tell = Callable[[str, float], None]
EMBEDDED_AT_ONCE = 500
CLASSIFIED_AT_ONCE = 500
ALL, TUNED_ON, REPORTED = "all", "odd", "even"
FEW = 20
"""A language or country with fewer creators is not shown."""


class Outcome(msgspec.Struct, kw_only=True, frozen=True):
    """What was said of one creator. ``top``: the best guess even when nothing was said; ``right``: the word was."""

    label: str
    top: str
    right: bool
    right_of_three: bool
    confidence: float
    abstained: bool
    language: str
    country: str


class Score(msgspec.Struct, kw_only=True):
    """Shares of creators that are right. Abstaining is wrong.

    ``top1``, ``top3_plain``, ``confident_half_plain``: every creator counts alike; ``balanced`` (of the first guess),
    ``top3`` and ``confident_half`` (of which the classifier is surest): every label does. ``n``: creators.
    """

    n: int
    top1: float
    balanced: float
    top3: float
    top3_plain: float
    macro_f1: float
    confident_half: float
    confident_half_plain: float
    abstained: float


class Source(Score, kw_only=True):
    """The score of the classifier, and what it is to be seen beside. ``baselines``: the largest label for all; cues alone; the nearest description. ``abstention``: coverage and share
    right (each creator alike) at rising thresholds. ``confusion``: label → what was said → creators. ``baselines_by_language``: baseline → language →
    ``balanced``."""

    baselines: dict[str, Score]
    baselines_by_language: dict[str, dict[str, float]]
    by_language: dict[str, Score]
    by_country: dict[str, Score]
    by_label: dict[str, float]
    abstention: list[tuple[float, float, float]]
    confusion: dict[str, dict[str, int]]


class Report(msgspec.Struct, kw_only=True):
    """By where the labels come from, None where the folders hold none of that kind; the names are what scripts read.

    ``part``: every second creator, or all.
    """

    part: str
    model: str
    taxonomy_version: str
    creators_per_second: float
    youtube_category: Source | None = None
    instagram_category: Source | None = None
    brand_category: Source | None = None

    @property
    def sources(self) -> dict[str, Source]:
        """Those that there are."""
        found = {name: getattr(self, name) for name in (YOUTUBE, INSTAGRAM, BRANDS)}
        return {name: source for name, source in found.items() if source is not None}


def evaluate(
    folders: Sequence[Path], model: EmbeddingPort, taxonomy: Taxonomy, part: str, tell: Tell, clock: Callable[[], float]
) -> Report:
    """``part``: ``odd`` is what constants may be chosen on, ``even`` what is to be reported, ``all`` both.

    Raises Malformed for folders without labelled creators.
    """
    creators = _part(labelled_creators(folders), part)
    vectors = _embedded(creators, model, tell)
    fields = [_fields(one, vectors) for one in creators]
    classifier = LocalClassifier(taxonomy, model.embed, model_id=model.model_id)
    began = clock()
    labels = _labels(classifier, creators, fields, tell)
    seconds = clock() - began
    cues_alone = _labels(LocalClassifier(taxonomy, None), creators, [{} for _ in creators], lambda *_: None)
    nearest = _nearest_descriptions(taxonomy, model, fields)
    judge = _Judge(taxonomy)
    sources = {}
    for source in dict.fromkeys(one.source for one in creators):
        rows = [index for index, one in enumerate(creators) if one.source == source]
        sources[source] = _source(
            [judge.outcome(creators[index], labels[index]) for index in rows],
            {
                "cues alone": [judge.outcome(creators[index], cues_alone[index]) for index in rows],
                "nearest description": [judge.outcome(creators[index], nearest[index]) for index in rows],
            },
        )
    return Report(
        part=part,
        model=model.model_id,
        taxonomy_version=taxonomy.version,
        creators_per_second=len(creators) / seconds if seconds else 0.0,
        **sources,
    )


class _Judge:
    """What counts as right: a niche that the taxonomy maps to the label, as far as labels are YouTube's categories."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._categories = {niche.id: set(niche.youtube) for niche in taxonomy.niches}

    def outcome(self, creator: Labelled, label: Label) -> Outcome:
        guesses = [niche for niche, _ in label.candidates]
        said = label.primary_niche
        return Outcome(
            label=creator.label,
            top=said or "",
            right=said is not None and self._fits(creator, said),
            right_of_three=any(self._fits(creator, niche) for niche in guesses),
            confidence=label.confidence,
            abstained=said is None,
            language=creator.language,
            country=creator.country,
        )

    def _fits(self, creator: Labelled, niche: str) -> bool:
        if creator.source == YOUTUBE:
            return creator.label in self._categories.get(niche, ())
        return niche in (INSTAGRAM_NICHES | BRAND_NICHES)[creator.label]


def score(outcomes: Sequence[Outcome]) -> Score:
    """Of at least one."""
    surest = sorted(outcomes, key=lambda one: (one.abstained, -one.confidence))[: (len(outcomes) + 1) // 2]
    return Score(
        n=len(outcomes),
        top1=_share(outcomes, lambda one: one.right),
        balanced=_balanced(outcomes, lambda one: one.right),
        top3=_balanced(outcomes, lambda one: one.right_of_three),
        top3_plain=_share(outcomes, lambda one: one.right_of_three),
        macro_f1=_macro_f1(outcomes),
        confident_half=_balanced(surest, lambda one: one.right),
        confident_half_plain=_share(surest, lambda one: one.right),
        abstained=_share(outcomes, lambda one: one.abstained),
    )


def _source(outcomes: Sequence[Outcome], baselines: Mapping[str, Sequence[Outcome]]) -> Source:
    beside = {"largest label": _largest(outcomes), **baselines}
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    for one in outcomes:
        confusion[one.label][one.top] += 1
    return Source(
        **msgspec.structs.asdict(score(outcomes)),
        baselines={name: score(found) for name, found in beside.items()},
        baselines_by_language={
            name: {language: one.balanced for language, one in _by(found, lambda one: one.language).items()}
            for name, found in beside.items()
        },
        by_language=_by(outcomes, lambda one: one.language),
        by_country=_by(outcomes, lambda one: one.country),
        by_label={label: _share(group, lambda one: one.right) for label, group in _groups(outcomes).items()},
        abstention=_abstention(outcomes),
        confusion={label: dict(said.most_common()) for label, said in sorted(confusion.items())},
    )


def _largest(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Everybody is said to be what most are."""
    largest = Counter(one.label for one in outcomes).most_common(3)
    first, three = largest[0][0], {label for label, _ in largest}
    return [
        msgspec.structs.replace(
            one, top=first, right=one.label == first, right_of_three=one.label in three, confidence=1.0, abstained=False
        )
        for one in outcomes
    ]


def _abstention(outcomes: Sequence[Outcome]) -> list[tuple[float, float, float]]:
    """(threshold, share of creators as sure as that, share right among them)."""
    found = []
    for step in range(10):
        threshold = step / 10
        sure = [one for one in outcomes if not one.abstained and one.confidence >= threshold]
        if sure:
            found.append((threshold, len(sure) / len(outcomes), _share(sure, lambda one: one.right)))
    return found


def _macro_f1(outcomes: Sequence[Outcome]) -> float:
    """Mean over labels. A wrong word counts against the label that most creators of whom it is said carry."""
    means: dict[str, Counter[str]] = defaultdict(Counter)
    for one in outcomes:
        if one.right:
            means[one.top][one.label] += 1
    meant = {top: labels.most_common(1)[0][0] for top, labels in means.items()}
    false = Counter(meant.get(one.top, "") for one in outcomes if not one.right and not one.abstained)
    scores = []
    for label, group in _groups(outcomes).items():
        hits = sum(one.right for one in group)
        scores.append(2 * hits / (len(group) + hits + false[label]) if hits else 0.0)
    return float(np.mean(scores))


def _by(outcomes: Sequence[Outcome], word: Callable[[Outcome], str]) -> dict[str, Score]:
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        if word(one):
            groups[word(one)].append(one)
    largest = sorted(groups.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    return {name: score(group) for name, group in largest if len(group) >= FEW}


def _groups(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        groups[one.label].append(one)
    return dict(sorted(groups.items()))


def _balanced(outcomes: Sequence[Outcome], good: Callable[[Outcome], bool]) -> float:
    return float(np.mean([_share(group, good) for group in _groups(outcomes).values()]))


def _share(outcomes: Sequence[Outcome], good: Callable[[Outcome], bool]) -> float:
    return float(np.mean([good(one) for one in outcomes]))


def _part(creators: Sequence[Labelled], part: str) -> list[Labelled]:
    """Every second one of each source, in the order of their keys; the first is odd."""
    if part == ALL:
        return list(creators)
    seen: Counter[str] = Counter()
    found = []
    for one in creators:
        seen[one.source] += 1
        if (seen[one.source] % 2 == 1) == (part == TUNED_ON):
            found.append(one)
    return found


def _embedded(creators: Sequence[Labelled], model: EmbeddingPort, tell: Tell) -> dict[str, Vectors]:
    """As stored: in float16."""
    texts = sorted({one.bio for one in creators if one.bio} | {pack.text for one in creators for pack in one.packs})
    found: dict[str, Vectors] = {}
    for begin in range(0, len(texts), EMBEDDED_AT_ONCE):
        some = texts[begin : begin + EMBEDDED_AT_ONCE]
        found.update(zip(some, model.embed(some).astype(np.float16).astype(np.float32), strict=True))
        tell("embedding", (begin + len(some)) / len(texts))
    return found


def _fields(creator: Labelled, vectors: Mapping[str, Vectors]) -> dict[str, Vectors]:
    """The vector fields of the creator, as the Aggregator makes them."""
    platform, found = Platform(creator.platform), {}
    if creator.bio:
        found[FIELDS[platform, "bio"]] = vectors[creator.bio]
    if creator.packs:
        packs = creator.packs
        found[FIELDS[platform, "content"]] = weighted_mean(
            [vectors[pack.text] for pack in packs], [pack.weight for pack in packs]
        )
    return found


def _labels(
    classifier: LocalClassifier, creators: Sequence[Labelled], fields: Sequence[Mapping[str, Vectors]], tell: Tell
) -> list[Label]:
    """What the platform itself calls its content is withheld."""
    found: list[Label] = []
    for begin in range(0, len(creators), CLASSIFIED_AT_ONCE):
        some = slice(begin, begin + CLASSIFIED_AT_ONCE)
        texts = [msgspec.structs.replace(one.texts, categories=()) for one in creators[some]]
        found += classifier.classify_many(texts, fields[some])
        tell("labelling", len(found) / len(creators))
    return found


def _nearest_descriptions(
    taxonomy: Taxonomy, model: EmbeddingPort, fields: Sequence[Mapping[str, Vectors]]
) -> list[Label]:
    """The plain rule: the niche whose description is most like the mean of the creator's vectors."""
    described = model.embed([niche.description for niche in taxonomy.niches])
    names = [niche.id for niche in taxonomy.niches]
    found = []
    for one in fields:
        mean = np.mean(list(one.values()), axis=0) if one else np.zeros(model.dims, np.float32)
        found.append(_plain_label(names, described @ mean))
    return found


def _plain_label(names: Sequence[str], cosines: NDArray[np.float32]) -> Label:
    order = np.argsort(-cosines, kind="stable")[:3]
    candidates = tuple((names[index], float(cosines[index])) for index in order)
    nothing = not cosines.any()
    return Label(
        primary_niche=None if nothing else candidates[0][0],
        secondary_niches=(),
        content_style=None,
        confidence=candidates[0][1],
        candidates=() if nothing else candidates,
    )
