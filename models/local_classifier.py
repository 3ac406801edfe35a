"""Labels without a language model: cue words and vector similarity, weighed together; says nothing when unsure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cues import CueIndex
from models.summary import CreatorFacts as CreatorFacts
from models.summary import summary as summary
from models.taxonomy import Taxonomy
from proto.ids import Platform

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]

VERSION = "local-3"
"""Part of the stored model name: raise it with every change of the rules, so that labels are made anew."""

# Weights and margins: a handful for all niches, chosen on every second of the labelled creators that
# `pokedexd eval niche` measures, and reported on the others. Figures hardly move when one is halved or doubled.
CUE_WEIGHT = 5.0
MEAN_WEIGHT, NEAREST_WEIGHT = 4.0, 4.0
"""Of the likeness to the mean of what describes a niche, and to the few of these texts that are nearest."""
NEAREST = 3
CATEGORY_WEIGHT = 2.5
DOUBT = 1.5
"""Cue votes that every creator is taken to lack: a single chance hit must not decide."""
TITLE_VOTE, TAG_VOTE, JOINED_VOTE, BIO_VOTE, NAME_VOTE, HANDLE_VOTE = 0.5, 1.0, 0.5, 2.0, 2.0, 2.0
"""``JOINED``: of a cue that is found only in a tag that joins words."""
MAX_VOTES_PER_TEXT = 1.5
CONTENT_SHARE = 0.7
"""Of a creator's content vectors in the similarity, the rest is the bio's; one alone takes all."""
MIN_CONFIDENCE = 0.05
MIN_MARGIN = 0.01
"""Of the best over the second: closer than this is a coin toss."""
MAX_SECONDARY = 3
MIN_SECONDARY_TEXTS = 2
"""How many texts must speak of a secondary niche."""
MIN_STYLE_TEXTS = 2
MAX_TEXTS, MAX_TEXT_CHARS = 60, 400
"""Of titles, captions and tags; more of them adds time and no knowledge."""


class CreatorTexts(msgspec.Struct, frozen=True, kw_only=True):
    """What a creator writes. ``categories``: the platform's category id of each item, as far as known; ``platforms``: of
    each account."""

    name: str = ""
    bio: str = ""
    titles: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    handles: tuple[str, ...] = ()
    platforms: tuple[Platform, ...] = ()


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What a creator is about. ``candidates``: the best three niches with their confidence, also when abstaining."""

    primary_niche: str | None
    secondary_niches: tuple[str, ...]
    content_style: str | None
    confidence: float
    candidates: tuple[tuple[str, float], ...]


class LocalClassifier:
    """Prepared once; blocking, and safe to share between threads. Works on cues alone when there is no model."""

    def __init__(self, taxonomy: Taxonomy, embed: Embed | None, *, model_id: str = "vectors") -> None:
        """``embed`` and ``model_id``: of the model whose vectors will be given; ``embed`` is None when there is none."""
        self.vectors_of = model_id if embed is not None else ""
        """Id of the model whose vectors it compares."""
        self.model_id = f"{VERSION}+{model_id if embed is not None else 'cues'}"
        self._niches = [niche.id for niche in taxonomy.niches]
        self._votes = _niche_votes(taxonomy)
        self._secondary = _owners({part.id: part.cues for niche in taxonomy.niches for part in niche.secondary})
        self._parent_of = taxonomy.parent_of
        self._styles = _owners({style.id: style.all_cues for style in taxonomy.styles})
        self._cues = CueIndex(sorted(self._votes))
        self._style_cues = CueIndex(sorted(self._styles))
        self._categories = _category_votes(taxonomy)
        self._rarer = {
            platform: np.array([niche.rarer.get(platform, 0.0) for niche in taxonomy.niches]) for platform in Platform
        }
        self._described = _Described(taxonomy, embed) if embed is not None else None

    def classify(self, texts: CreatorTexts, vectors: Mapping[str, Vectors]) -> Label:
        """``vectors``: the creator's fields (``yt_bio``, ``yt_content``, …), unit length; may be empty."""
        found = self._found(texts)
        votes = self._cue_votes(found)
        logits = (
            CUE_WEIGHT * votes / (votes.sum() + DOUBT)
            + self._similarities(vectors)
            + CATEGORY_WEIGHT * self._category_shares(texts.categories)
        )
        if not logits.any():
            return Label(primary_niche=None, secondary_niches=(), content_style=None, confidence=0.0, candidates=())
        confidences = _confidences(logits - self._rareness(texts.platforms), votes)
        order = np.argsort(-confidences, kind="stable")[:3]
        candidates = tuple((self._niches[index], round(float(confidences[index]), 4)) for index in order)
        best, second = candidates[0][1], candidates[1][1]
        sure = best >= MIN_CONFIDENCE and best - second >= MIN_MARGIN
        return Label(
            primary_niche=candidates[0][0] if sure else None,
            secondary_niches=self._secondary_niches(found, {name for name, _ in candidates}) if sure else (),
            content_style=self._style(texts),
            confidence=best,
            candidates=candidates,
        )

    def classify_many(self, texts: Sequence[CreatorTexts], vectors: Sequence[Mapping[str, Vectors]]) -> list[Label]:
        """One label a creator, in order."""
        return [self.classify(one, fields) for one, fields in zip(texts, vectors, strict=True)]

    def _found(self, texts: CreatorTexts) -> list[tuple[float, set[str]]]:
        """(vote, cues) of each text."""
        found = [(vote, self._cues.find(text)) for vote, text in _parts(texts)]
        for tag in _tags(texts):
            known = self._cues.find(tag)
            found.append((TAG_VOTE, known) if known else (JOINED_VOTE, self._cues.find_joined(tag)))
        names = {cue for text in (texts.name, *texts.handles) for cue in self._cues.find_joined(text)}
        return [*found, (HANDLE_VOTE, names)]

    def _cue_votes(self, found: Sequence[tuple[float, set[str]]]) -> NDArray[np.float64]:
        """[niches]: votes of all texts, a text having at most ``MAX_VOTES_PER_TEXT`` for a niche."""
        totals = np.zeros(len(self._niches))
        for weight, cues in found:
            if not cues:
                continue
            votes = np.zeros(len(self._niches))
            for cue in sorted(cues):
                for niche, vote in self._votes[cue]:
                    votes[niche] += vote
            totals += weight * np.minimum(votes, MAX_VOTES_PER_TEXT)
        return totals

    def _rareness(self, platforms: Sequence[Platform]) -> NDArray[np.float64]:
        """[niches]: log-odds against each, the mean over the accounts."""
        if not platforms:
            return np.zeros(len(self._niches))
        return np.asarray(np.mean([self._rarer[platform] for platform in platforms], axis=0))

    def _similarities(self, vectors: Mapping[str, Vectors]) -> NDArray[np.float64]:
        """[niches]: weighted cosines to what describes each, measured from the centre of all descriptions."""
        if self._described is None:
            return np.zeros(len(self._niches))
        # A vector of another width comes from a model that is being replaced.
        width = self._described.centre.shape
        usable = [(field, vector) for field, vector in sorted(vectors.items()) if vector.shape == width]
        bios = [vector for field, vector in usable if field.endswith("_bio") and vector.any()]
        contents = [vector for field, vector in usable if not field.endswith("_bio") and vector.any()]
        groups = [(share, group) for share, group in ((CONTENT_SHARE, contents), (1 - CONTENT_SHARE, bios)) if group]
        if not groups:
            return np.zeros(len(self._niches))
        total = sum(share for share, _ in groups)
        mean = sum(share / total * np.mean(group, axis=0) for share, group in groups)
        return self._described.likeness(np.asarray(mean))

    def _category_shares(self, categories: Sequence[str]) -> NDArray[np.float64]:
        """[niches]: how much of the platform's own categories speaks for each niche."""
        shares = np.zeros(len(self._niches))
        for category, count in Counter(categories).items():
            for niche, vote in self._categories.get(category, ()):
                shares[niche] += vote * count / len(categories)
        return shares

    def _secondary_niches(self, found: Sequence[tuple[float, set[str]]], candidates: set[str]) -> tuple[str, ...]:
        """Those of the candidates that most texts speak of."""
        votes: Counter[str] = Counter()
        for _, cues in found:
            votes.update({name for cue in cues for name in self._secondary.get(cue, ())})
        eligible = [
            (count, name)
            for name, count in votes.items()
            if count >= MIN_SECONDARY_TEXTS and self._parent_of[name] in candidates
        ]
        return tuple(name for _, name in sorted(eligible, key=lambda entry: (-entry[0], entry[1]))[:MAX_SECONDARY])

    def _style(self, texts: CreatorTexts) -> str | None:
        votes: Counter[str] = Counter()
        for text in [*(text for _, text in _parts(texts)), *_tags(texts)]:
            votes.update({name for cue in self._style_cues.find(text) for name in self._styles[cue]})
        ranked = sorted(votes.items(), key=lambda entry: (-entry[1], entry[0]))[:2]
        if not ranked or ranked[0][1] < MIN_STYLE_TEXTS or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
            return None
        return ranked[0][0]


def _parts(texts: CreatorTexts) -> list[tuple[float, str]]:
    """(vote, text) of all but tags, each text once."""
    written = dict.fromkeys(text[:MAX_TEXT_CHARS] for text in (*texts.titles, *texts.captions)[:MAX_TEXTS] if text)
    about = [(NAME_VOTE, texts.name), (BIO_VOTE, texts.bio[: 4 * MAX_TEXT_CHARS])]
    return [(vote, text) for vote, text in about if text] + [(TITLE_VOTE, text) for text in written]


def _tags(texts: CreatorTexts) -> list[str]:
    """Each once."""
    tags = dict.fromkeys(tag.casefold()[:MAX_TEXT_CHARS] for tag in texts.tags[: 4 * MAX_TEXTS] if tag)
    return list(tags)[:MAX_TEXTS]


def _confidences(logits: NDArray[np.float64], votes: NDArray[np.float64]) -> NDArray[np.float64]:
    """[niches]: softmax, less sure where few cues speak for the best: likeness alone is a hint."""
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    own = votes[int(np.argmax(shares))]
    return np.asarray(shares * (own + 1.0) / (own + 2.0))


def _owners(cues_of: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    owners: dict[str, list[str]] = {}
    for name, cues in cues_of.items():
        for cue in dict.fromkeys(cues):
            owners.setdefault(cue, []).append(name)
    return owners


def _niche_votes(taxonomy: Taxonomy) -> dict[str, list[tuple[int, float]]]:
    """Cue → (niche, vote): a cue that several niches claim gives each a part."""
    owners = _owners({niche.id: niche.all_cues for niche in taxonomy.niches})
    place = {niche.id: index for index, niche in enumerate(taxonomy.niches)}
    return {cue: [(place[name], 1 / len(names)) for name in names] for cue, names in owners.items()}


def _category_votes(taxonomy: Taxonomy) -> dict[str, list[tuple[int, float]]]:
    owners = _owners({niche.id: niche.youtube for niche in taxonomy.niches})
    place = {niche.id: index for index, niche in enumerate(taxonomy.niches)}
    return {category: [(place[name], len(names) ** -0.5) for name in names] for category, names in owners.items()}


class _Described:
    """What describes each niche as vectors: its description, those of its secondaries, examples."""

    def __init__(self, taxonomy: Taxonomy, embed: Embed) -> None:
        groups = [
            [
                niche.description,
                *(f"{niche.name}: {part.name}. {part.description}" for part in niche.secondary),
                *niche.examples,
            ]
            for niche in taxonomy.niches
        ]
        vectors = embed([text for group in groups for text in group])
        ends = np.cumsum([len(group) for group in groups])
        rows = np.split(vectors, ends[:-1])
        self.centre: Vectors = np.mean([part.mean(axis=0) for part in rows], axis=0)
        self._means = np.stack([_unit(part.mean(axis=0) - self.centre) for part in rows])
        self._texts = np.stack([_unit(vector - self.centre) for vector in vectors])
        self._starts = np.concatenate([[0], ends])

    def likeness(self, vector: Vectors) -> NDArray[np.float64]:
        """[niches]"""
        place = _unit(vector - self.centre)
        cosines = self._texts @ place
        nearest = [
            np.sort(cosines[start:end])[-NEAREST:].mean()
            for start, end in zip(self._starts, self._starts[1:], strict=False)
        ]
        return np.asarray(MEAN_WEIGHT * (self._means @ place) + NEAREST_WEIGHT * np.array(nearest), np.float64)


def _unit(vector: Vectors) -> Vectors:
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length if length > 0 else vector, np.float32)
