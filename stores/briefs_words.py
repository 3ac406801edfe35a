"""The words that briefs are read by: those of the files beside this one, and a taxonomy's, which the caller passes in."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any

import msgspec

from stores.analysis import fold

WORD = re.compile("[^\\W_](?:[^\\W_]|[\u0300-\u036f])*")
JOINTS = frozenset(("", "-", "'", "’", ".", "\u2011"))
"""What may stand between the words of one phrase, beside white space."""
MAX_JOINT = 4

STRUCTURE = frozenset(("language", "speaking", "country", "demonym", "city", "platform", "platform_creator"))

Senses = dict[str, tuple[str, ...]]
"""What a phrase can be, as kind → values: ``{"demonym": ("ES",), "language": ("es",)}``."""


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """A label of the taxonomy and what people call it."""

    label: str
    name: str
    """As shown to people."""
    parent: str = ""
    """Of a narrower subject: its niche."""
    words: Mapping[str, tuple[str, ...]]
    """By ISO 639-1 code; under "" those of no language in particular."""


class BriefVocabulary:
    """Phrases and what they can mean. Built once; reading many briefs with one is safe from any thread."""

    def __init__(self, niches: Iterable[Term] = (), subjects: Iterable[Term] = (), styles: Iterable[Term] = ()) -> None:
        """``niches``: primary ones; ``subjects``: narrower ones, whose words never filter."""
        self.names: dict[tuple[str, str], str] = {}
        """(kind, value) → words for people."""
        self.parents: dict[str, str] = {}
        """Narrower subject → niche."""
        self._senses: defaultdict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
        words, places = _read("briefs.toml"), _read("briefs_places.toml")
        self._german_heads = tuple(fold(word) for word in _listed(words.pop("german_heads")["endings"]))
        self._add_sections(words)
        self._add_places(places)
        for kind, terms in (("niche", niches), ("subject", subjects), ("style", styles)):
            for term in terms:
                self._add_term(kind, term)
        self.phrases: dict[str, Senses] = {
            phrase: {kind: tuple(values) for kind, values in senses.items()} for phrase, senses in self._senses.items()
        }
        self.longest: dict[str, int] = {}
        """First word → words in the longest phrase that begins with it."""
        for phrase in self.phrases:
            first, count = phrase.partition(" ")[0], phrase.count(" ") + 1
            self.longest[first] = max(count, self.longest.get(first, 0))
        self._tiers = tuple(phrase for phrase, senses in self.phrases.items() if "tier" in senses and " " not in phrase)
        self.multipliers = {
            fold(word): float(size) for size, listed in words["multiplier"].items() for word in _listed(listed)
        }
        self.number = _number_pattern([word for listed in words["multiplier"].values() for word in _listed(listed)])

    def parted(self, word: str) -> tuple[int, Senses, Senses] | None:
        """Where a folded word is two written together, "reiseblogger" or "microinfluencer": (letters of the first,
        what it is, what the second is)."""
        for ending in self._german_heads:
            if len(word) > len(ending) + 2 and word.endswith(ending):
                at = len(word) - len(ending)
                for first in (word[:at], word[: at - 1] if word[at - 1] in "s" else ""):
                    if "niche" in self.phrases.get(first, ()) or "tier" in self.phrases.get(first, ()):
                        return at, self.phrases[first], self.phrases[ending]
        for first in self._tiers:
            second = self.phrases.get(word[len(first) :]) if word.startswith(first) else None
            if second is not None and ("creator" in second or "platform_creator" in second):
                return len(first), self.phrases[first], second
        return None

    def _add_sections(self, sections: Mapping[str, Mapping[str, str]]) -> None:
        for kind, by_value in sections.items():
            for value, listed in by_value.items():
                for phrase in _listed(listed):
                    self._add(phrase, kind, *value.split("|"))

    def _add_places(self, places: Mapping[str, Any]) -> None:
        for code, place in places["country"].items():
            self.names["country", code] = next(_listed(place["names"])).title()
            for kind, key in (("country", "names"), ("demonym", "demonyms"), ("city", "cities")):
                for phrase in _listed(place[key]):
                    self._add(phrase, kind, code)
        for codes, listed in places["regions"].items():
            for phrase in _listed(listed):
                self._add(phrase, "country", *codes.split("|"))
        for phrase in _listed(places["unsure"]["words"]):
            self._add(phrase, "unsure", "")

    def _add_term(self, kind: str, term: Term) -> None:
        self.names[kind, term.label] = term.name
        if term.parent:
            self.parents[term.label] = term.parent
        for language, phrases in term.words.items():
            for phrase in phrases:
                if kind == "subject" and self._has_structure(phrase):
                    continue
                self._add(phrase, kind, term.label)
                if kind != "subject":
                    self._add(phrase, "spoken", language)

    def _has_structure(self, phrase: str) -> bool:
        """A phrase that would hide the place, language or platform in it, as "english speaking" does."""
        words = WORD.findall(fold(phrase))
        return len(words) > 1 and any(
            not STRUCTURE.isdisjoint(self._senses[word]) for word in words if word in self._senses
        )

    def _add(self, phrase: str, kind: str, *values: str) -> None:
        key = " ".join(WORD.findall(fold(phrase)))
        if key:
            self._senses[key][kind].update(dict.fromkeys(values))


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("stores").joinpath(name).read_text(encoding="utf-8"))


def _listed(text: str) -> Iterator[str]:
    """``"stem|a|b, word"`` → ``stema``, ``stemb``, ``word``; ``"stem|a|b on"`` → ``stema on``, ``stemb on``."""
    for item in text.split(","):
        stem, *endings = item.strip().split("|")
        if not endings:
            yield from [stem] if stem else []
            continue
        last, space, tail = endings[-1].partition(" ")
        for ending in [*endings[:-1], last]:
            yield stem + ending + space + tail


def _number_pattern(multipliers: list[str]) -> re.Pattern[str]:
    """A number in any of the usual spellings, with a word or letter that multiplies it. Each digit is looked at a fixed
    number of times, so hostile input costs no more than its length. No ``++`` behind a group: Python 3.11 before 3.11.4, which
    Debian has, matches it wrongly."""
    spelled = sorted({form for word in multipliers for form in (word, fold(word)) if " " not in word}, key=len)
    listed = "|".join(re.escape(word) for word in reversed(spelled))
    space = "[ \u00a0\u202f]"
    return re.compile(
        rf"(?<!\w)(?<![0-9][.,])((?>[0-9]{{1,3}}(?:{space}[0-9]{{3}}(?![0-9]))+)|(?>[0-9]+(?:[.,'’][0-9]+)*))"
        rf"(?:{space}?({listed})(?!\w))?(?!\w)",
        re.IGNORECASE,
    )
