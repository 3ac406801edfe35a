"""Words that stand for a niche, out of the taxonomy: "workout" and "treino" find who is labelled as Fitness. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from models.taxonomy import Taxonomy
from stores.analysis import stem, tokens
from stores.stop_words import STOP_WORDS

SHORTEST = 4
"""Letters of a cue that stands for its niche by itself; shorter ones mean too much else."""
MOST_NICHES = 2
"""A cue of more niches than this stands for none."""


def niche_synonyms(taxonomy: Taxonomy) -> dict[str, tuple[str, ...]]:
    """By stemmed word: the words that only the names of its niches have. Cues of several words, and of scripts without
    spaces, whose words are pairs of characters, are left out."""
    named: dict[str, tuple[str, list[str]]] = {}
    for niche in taxonomy.niches:
        named[niche.id] = niche.name, [cue for cues in niche.cues.values() for cue in cues]
        named |= {part.id: (part.name, part.cues) for part in niche.secondary}
    uses = Counter(word for name, _ in named.values() for word in _telling(name))
    found: defaultdict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
    for label, (name, cues) in named.items():
        own = tuple(word for word in _telling(name) if uses[word] == 1)
        for word in _words_of(cues) if own else ():
            if word not in own:
                found[word][label] = own
    return {
        word: tuple(one for words in niches.values() for one in words)
        for word, niches in sorted(found.items())
        if len(niches) <= MOST_NICHES
    }


def _words_of(cues: Iterable[str]) -> set[str]:
    parts = [tokens(cue) for cue in cues]
    return {stem(words[0]) for words in parts if len(words) == 1 and len(words[0]) >= SHORTEST}


def _telling(name: str) -> list[str]:
    return [stem(word) for word in dict.fromkeys(tokens(name)) if word not in STOP_WORDS]
