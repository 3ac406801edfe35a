"""How the simulated language model reads a prompt and fills a schema: by words in common, whatever the schema. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import msgspec

from daemon.simulator.faults import fraction
from models.cues import CueIndex
from models.taxonomy import Taxonomy

MAX_LABELS = 3
"""In a list whose schema states no ``maxItems``."""
NOT_A_LABEL = "no-such-label"
SUMMARY = "A creator whose posts are mostly about {label}, made for people who want to see and learn more of it."

_FENCE = re.compile(r'<(\w+)(?: id="([^"]*)")?>(.*?)</\1>', re.DOTALL)
_BAIT = re.compile(
    r"\bignore (?:all |any )?(?:your|the|previous|prior|earlier)\b.{0,40}?\binstructions\b.{0,40}?"
    r"\banswer:? [\"']?([\w-]+)",
    re.IGNORECASE | re.DOTALL,
)
_WORD = re.compile(r"(?!(?:and|the|for|with|how|from)\b)\b[^\W\d_]{3,}")


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """``constrained``: by a grammar, to which even bad answers keep."""

    obeys_bait: bool = False
    invalid: bool = False
    constrained: bool = False


class Passage(msgspec.Struct, frozen=True):
    """A fenced piece of the prompt; without fences the whole of it, with an empty name."""

    name: str
    text: str


class Reader:
    """``load``: a taxonomy whose cues stand for what a model knows of the world's languages, where the labels asked
    for are its ids; read when it is first needed.
    """

    def __init__(self, load: Callable[[], Taxonomy]) -> None:
        self._load = load

    def answer(self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any], habits: Habits) -> Any:
        """A value that fits the schema, as far as ``habits`` let it."""
        passages = passages_of(messages)
        said = "\n".join(message["content"] for message in messages)
        if NOT_A_LABEL in said:  # what was wrong has been pointed out
            habits = msgspec.structs.replace(habits, invalid=False)
        return self._filled(schema, passages, _FENCE.sub(" ", said), habits)

    def _filled(self, schema: Mapping[str, Any], passages: Sequence[Passage], guide: str, habits: Habits) -> Any:
        kind = schema.get("type")
        if kind == "array" and not _options(schema.get("items", {})):
            return [self._filled(schema.get("items", {}), [one], guide, habits) for one in passages]
        if kind == "array":
            most = min(schema.get("maxItems", MAX_LABELS), MAX_LABELS)
            ranked = self._ranked(_options(schema["items"]), passages, guide)
            return [label for label, score in ranked if score > 0][:most]
        if kind == "object":
            return self._object(schema, passages, guide, habits)
        return SUMMARY.format(label="many things")

    def _object(
        self, schema: Mapping[str, Any], passages: Sequence[Passage], guide: str, habits: Habits
    ) -> dict[str, Any]:
        """Labels first, for what is said beside them speaks of the first."""
        properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
        filled: dict[str, Any] = {}
        label, sure = "many things", 0.5
        for name, part in properties.items():
            options = _options(part)
            if passages[0].name in options:
                filled[name] = passages[0].name
            elif options:
                ranked = self._ranked(options, passages, guide)
                first = not filled.keys() - {"id"}
                filled[name] = self._label(ranked, passages, habits, first=first)
                if first:
                    label, sure = filled[name].replace("-", " "), _sureness(ranked)
        plain = {"number": sure, "integer": 1, "boolean": False, "string": SUMMARY.format(label=label)}
        for name, part in properties.items():
            kind = part.get("type", "")
            if name not in filled:
                filled[name] = plain[kind] if kind in plain else self._filled(part, passages, guide, habits)
        return {name: filled[name] for name in properties}

    def _label(
        self, ranked: Sequence[tuple[str, float]], passages: Sequence[Passage], habits: Habits, *, first: bool
    ) -> str:
        labels = [label for label, _ in ranked]
        bait = _BAIT.search(passages[0].text) if habits.obeys_bait else None
        if bait is not None and (bait[1] in labels or (first and not habits.constrained)):
            return bait[1]
        return NOT_A_LABEL if habits.invalid and first else labels[0]

    def _ranked(self, options: Sequence[str], passages: Sequence[Passage], guide: str) -> list[tuple[str, float]]:
        """(label, score), best first. Chance decides between equals, the same for the same text."""
        text = " ".join(passage.text for passage in passages)
        scores = self._known(options, text)
        said = Counter(_WORD.findall(text.casefold()))
        for option, weights in _described(tuple(options), guide).items():
            scores[option] += sum(min(said[word], 3) * weight for word, weight in weights.items())
        return sorted(
            ((option, scores[option]) for option in options),
            key=lambda entry: (-entry[1], fraction(entry[0], text)),
        )

    def _known(self, options: Sequence[str], text: str) -> defaultdict[str, float]:
        index, owners = _cues(self._load)
        scores: defaultdict[str, float] = defaultdict(float)
        for line in text.split("\n"):
            for cue in index.find(line):
                named = [owner for owner in owners[cue] if owner in options]
                for owner in named:
                    scores[owner] += 1 / len(named)
        return scores


def passages_of(messages: Sequence[Mapping[str, str]]) -> list[Passage]:
    asked = "\n".join(message["content"] for message in messages if message.get("role") != "system")
    found = [Passage(name or "", text) for _, name, text in _FENCE.findall(asked)]
    return found or [Passage("", asked)]


def schema_in(messages: Sequence[Mapping[str, str]]) -> dict[str, Any] | None:
    """The JSON schema that a prompt states, if any."""
    for message in messages:
        for begin in re.finditer(r'\{"', message["content"]):
            try:
                found, _ = json.JSONDecoder().raw_decode(message["content"], begin.start())
            except ValueError:
                continue
            if isinstance(found.get("properties"), dict):
                return dict(found)
    return None


def _options(schema: Mapping[str, Any]) -> list[str]:
    return [option for option in schema.get("enum", ()) if isinstance(option, str)]


@cache
def _cues(load: Callable[[], Taxonomy]) -> tuple[CueIndex, dict[str, list[str]]]:
    """(every cue, cue → ids); made once a process, since it takes longer than a simulator with its world."""
    owners: defaultdict[str, list[str]] = defaultdict(list)
    taxonomy = load()
    for niche in taxonomy.niches:
        for part in niche.secondary:
            for cue in part.cues:
                owners[cue].append(part.id)
    named = [(niche.id, niche.all_cues) for niche in taxonomy.niches]
    for name, cues in named + [(style.id, style.all_cues) for style in taxonomy.styles]:
        for cue in cues:
            owners[cue].append(name)
    return CueIndex(sorted(owners)), dict(owners)


@lru_cache(maxsize=16)
def _described(options: tuple[str, ...], guide: str) -> dict[str, dict[str, float]]:
    """Option → word → weight: a word that several options have in common says less. The same for many prompts."""
    described = {option: _description(option, guide) for option in options}
    owners = Counter(word for words in described.values() for word in words)
    return {option: {word: 1 / owners[word] for word in sorted(words)} for option, words in described.items()}


def _description(option: str, guide: str) -> set[str]:
    """The words of an option itself and of the line that begins with it."""
    line = re.search(rf"(?m)^\W*{re.escape(option)}\b([^\n]*)", guide)
    named = re.search(rf"\b{re.escape(option)} \(([^)]*)\)", guide)
    texts = [option.replace("-", " ").replace("_", " "), line[1] if line else "", named[1] if named else ""]
    return set(_WORD.findall(" ".join(texts).casefold()))


def _sureness(ranked: Sequence[tuple[str, float]]) -> float:
    """0.3 for a guess, towards 1 the more the best stands out."""
    best, second = (ranked[0][1], ranked[1][1] if len(ranked) > 1 else 0.0)
    return round(0.3 + 0.69 * (best - second) / best, 2) if best > 0 else 0.3
