"""The versioned list of what creators can be about, and in which style they speak of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from models.cues import MAX_WORDS, MIN_PREFIX
from proto.errors import Malformed
from proto.ids import Platform

Id = Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]
Text = Annotated[str, Meta(min_length=1, max_length=200)]
Cue = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[^*]+\*?$")]
Language = Annotated[str, Meta(pattern="^[a-z]{2}$")]


class Part(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Base of every table of the file."""


class Secondary(Part, frozen=True):
    """A narrower subject within a niche; its cues speak for the niche too, and its description describes it."""

    id: Id
    name: Text
    cues: Annotated[list[Cue], Meta(min_length=1)]
    description: str = ""


class Niche(Part, frozen=True):
    """A primary niche. ``description`` is what vectors are compared with."""

    id: Id
    name: Text
    description: Text
    youtube: list[Annotated[str, Meta(pattern="^[0-9]+$")]]
    """Video category ids whose uploads this niche may explain."""
    iab: list[Annotated[str, Meta(pattern="^[0-9A-Za-z]+$")]]
    """Unique ids of IAB Content Taxonomy 3.1."""
    secondary: list[Secondary]
    cues: dict[Language, list[Cue]]
    names: dict[Language, list[Text]] = {}
    """What people call it who look for creators; briefs are read by them."""
    examples: list[Text] = []
    """As creators of the niche would write: compared with vectors, like the description."""
    topics: list[Annotated[str, Meta(pattern="^/m/[0-9a-z_]+$")]] = []
    """Ids of YouTube's topics."""
    rarer: dict[Platform, Annotated[float, Meta(ge=0.0, le=5.0)]] = {}
    """How much rarer than others its creators are on a platform, in log-odds."""

    @property
    def all_cues(self) -> list[str]:
        """Its own in every language and its secondaries', each once."""
        own = [cue for cues in self.cues.values() for cue in cues]
        return list(dict.fromkeys(own + [cue for part in self.secondary for cue in part.cues]))


class Style(Part, frozen=True):
    id: Id
    name: Text
    description: Text
    cues: dict[Language, list[Cue]]
    names: dict[Language, list[Text]] = {}

    @property
    def all_cues(self) -> list[str]:
        return list(dict.fromkeys(cue for cues in self.cues.values() for cue in cues))


class _File(Part, frozen=True):
    version: Text
    niche: Annotated[list[Niche], Meta(min_length=2)]
    style: Annotated[list[Style], Meta(min_length=1)]


class Taxonomy:
    """Names, cues and mappings, looked up by id."""

    def __init__(self, version: str, niches: list[Niche], styles: list[Style]) -> None:
        self.version, self.niches, self.styles = version, niches, styles
        self.niche_ids = frozenset(niche.id for niche in niches)
        self.style_ids = frozenset(style.id for style in styles)
        self.parent_of = {part.id: niche.id for niche in niches for part in niche.secondary}
        self._names: dict[str, str] = {style.id: style.name for style in styles}
        self._names |= {part.id: part.name for niche in niches for part in niche.secondary}
        self._names |= {niche.id: niche.name for niche in niches}

    @classmethod
    def load(cls, path: Path | None = None) -> Taxonomy:
        """From ``path``, else the one that comes with the package. Raises Malformed naming file, place and remedy."""
        place = path or resources.files("models").joinpath("taxonomy.toml")
        try:
            parsed = msgspec.toml.decode(place.read_bytes(), type=_File)
        except OSError as error:
            raise Malformed(
                f"{place}: cannot be read ({error}); name another file, or none for the built-in"
            ) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"{place}: {error}; compare with the built-in taxonomy") from error
        for problem in _problems(parsed):
            raise Malformed(f"{place}: {problem}")
        return cls(parsed.version, parsed.niche, parsed.style)

    def values(self) -> dict[str, tuple[str, ...]]:
        """Every label, by the column of search filters that holds it."""
        niches, subjects = tuple(niche.id for niche in self.niches), tuple(self.parent_of)
        styles = tuple(style.id for style in self.styles)
        return {"niche": niches, "secondary_niche": subjects, "any_niche": niches + subjects, "style": styles}

    def name_of(self, label: str) -> str:
        """The words for a niche, secondary niche or style. A label of an older version is shown by its id."""
        return self._names.get(label, label.replace("-", " "))


def _problems(parsed: _File) -> Iterator[str]:
    """What the types cannot say; each text names the place and what to do."""
    niche_ids = [name for niche in parsed.niche for name in (niche.id, *(part.id for part in niche.secondary))]
    for ids, kind in ((niche_ids, "niche"), ([style.id for style in parsed.style], "style")):
        yield from (f"{kind} id {name!r} stands twice; rename one" for name, count in Counter(ids).items() if count > 1)
    entries: list[Niche | Style] = [*parsed.niche, *parsed.style]
    for entry in entries:
        for cue in entry.all_cues:
            if len(cue.split()) > MAX_WORDS:
                yield f"{entry.id}: cue {cue!r} has more than {MAX_WORDS} words; shorten it"
            if cue.endswith("*") and len(cue) <= MIN_PREFIX:
                yield f"{entry.id}: cue {cue!r} matches nearly everything; put {MIN_PREFIX} letters before the star"
