"""What the taxonomy's niches and styles are called, as briefs are read by it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from models.taxonomy import Niche, Secondary, Style, Taxonomy
from stores.briefs_words import BriefVocabulary, Term

MIN_LETTERS = 4
"""A cue shorter than that is too often another word."""


def brief_vocabulary(taxonomy: Taxonomy) -> BriefVocabulary:
    """Niches and styles by their names; a taxonomy that gives none is read by names and cues. Narrower subjects, whose
    words only boost, by names and cues."""
    known = Counter(cue for niche in taxonomy.niches for cue in niche.all_cues)
    return BriefVocabulary(
        niches=[_term(niche, known) for niche in taxonomy.niches],
        subjects=[_subject(part, niche) for niche in taxonomy.niches for part in niche.secondary],
        styles=[_term(style, known) for style in taxonomy.styles if style.names or not _is_a_niche(style, taxonomy)],
    )


def _term(label: Niche | Style, known: Counter[str]) -> Term:
    words = {language: tuple(names) for language, names in label.names.items()}
    if not words:
        own = {language: _whole(cue for cue in cues if known[cue] <= 1) for language, cues in label.cues.items()}
        words = {"": tuple(_named(label.name)), **own}
    return Term(label=label.id, name=label.name, words=words)


def _is_a_niche(style: Style, taxonomy: Taxonomy) -> bool:
    """A style that is called like a niche ("Lifestyle") says less than the niche."""
    return any(style.id == niche.id for niche in taxonomy.niches)


def _subject(part: Secondary, niche: Niche) -> Term:
    words = {"": (*_named(part.name), *_whole(part.cues))}
    return Term(label=part.id, name=part.name, parent=niche.id, words=words)


def _named(name: str) -> list[str]:
    """ "Vegetarian and vegan cooking" → itself and the parts that are one word: each may be said alone."""
    pieces = [piece.strip().lower() for piece in re.split(r",| and |\(|\)", name) if piece.strip()]
    return [name.lower(), *(piece for piece in pieces if len(pieces) == 1 or " " not in piece)]


def _whole(cues: Iterable[str]) -> tuple[str, ...]:
    """Those long enough to mean one thing; beginnings of words as if they were words."""
    return tuple(cue.rstrip("*") for cue in cues if len(cue) >= MIN_LETTERS)
