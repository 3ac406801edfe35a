"""The seams on which another storage backend can be put. Every call is async, idempotent and free of engine syntax."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from proto.ids import CreatorId, Row
from stores.filter_ast import Node

RELEVANCE = "relevance"
WEIGHTED, RRF = "weighted", "rrf"

Vector = NDArray[np.float32]
Rows = NDArray[np.uint32]
Scores = NDArray[np.float32]


class TextDocument(msgspec.Struct, kw_only=True, frozen=True):
    """What keyword search sees of a creator. Texts are raw; the index folds them."""

    row: Row
    creator_id: CreatorId
    name: str
    names: tuple[str, ...] = ()
    """Every account's display name."""
    handles: tuple[str, ...] = ()
    """Every account's handle and platform user id."""
    bio: str = ""
    niche: str = ""
    summary: str = ""
    titles: str = ""
    prominence: float = 0.0
    """0..1: the order of suggestions where many begin alike."""
    words: dict[str, Any] | None = None
    """What `stores.text_index.words_of` makes of the texts, where that was done elsewhere already."""


class TextHits(msgspec.Struct, kw_only=True, frozen=True):
    """Result of a keyword query, best first."""

    rows: Rows
    scores: Scores
    """In 0..1: 1.0 for a creator whose name or handle equals the query, else BM25 by a documented normalisation."""
    exact: NDArray[np.bool_]
    """Per row: the whole query equals a name, a handle or a platform user id."""
    total: int
    """How many creators match, without the limit."""
    words: tuple[str, ...]
    """The query's words after folding."""


class TextIndex(Protocol):
    """Keyword search over creators. Losable: rebuilt from the catalogue."""

    @property
    def checkpoint(self) -> int:
        """The index log's sequence number that this index has durably taken in."""
        ...

    async def upsert(self, documents: Sequence[TextDocument]) -> None: ...

    async def delete(self, rows: Sequence[Row]) -> None: ...

    async def commit(self, checkpoint: int) -> None:
        """Makes earlier changes durable and visible to queries."""
        ...

    async def query(self, text: str, limit: int) -> TextHits:
        """Never raises for odd input; an empty text matches nothing."""
        ...

    async def suggest(self, prefix: str, limit: int) -> list[Suggestion]:
        """Of whom a name or handle begins so, or goes on so at a later word: whole ones first, then by prominence."""
        ...

    async def count(self) -> int: ...

    def lookup(self, text: str) -> TextLookup:
        """Blocking."""
        ...


class TextLookup(Protocol):
    """One parsed query against one state of the index. All methods are blocking. ``need``: how many of the words
    outside of phrases a creator must hold (None: all)."""

    words: tuple[str, ...]
    """Folded, each once."""
    demands: tuple[int, ...]
    """How many of the words outside of phrases may be asked for, from all of them on down."""
    long: bool
    """Whether it is a question or a description, to be scored by BM25 however few of the words are held."""

    @property
    def widens(self) -> bool:
        """Whether niches may stand for any of the words."""
        ...

    def near(self) -> Rows:
        """Whose name or handle is the whole text but for a typo or for spaces, ascending."""
        ...

    def exact(self) -> Rows:
        """Whose name, handle or platform user id equals the whole query, ascending."""
        ...

    def estimate(self, need: int | None = None) -> int:
        """About how many `count` counts, at most, without a search."""
        ...

    def count(self, need: int | None = None) -> int:
        """Creators that hold all that is asked for, but of the words ``need`` only."""
        ...

    def best(self, limit: int, need: int | None = None) -> tuple[Rows, Scores]:
        """Of those that `count` counts, by BM25, best first."""
        ...

    def every(self, need: int | None = None, within: NDArray[np.bool_] | None = None) -> tuple[Rows, Scores]:
        """All that `count` counts, or those of them ``within`` a mask by row, with their BM25, in any order."""
        ...

    def among(self, rows: Rows, need: int | None = None) -> tuple[Rows, Scores]:
        """Those of ``rows`` that `count` counts, with their BM25, in any order."""
        ...

    def admitted(self, rows: Rows) -> Rows:
        """Those of ``rows`` that hold every phrase and nothing that is excluded, ascending."""
        ...

    def barring(self, row: Row) -> tuple[str, ...]:
        """The phrases that a creator lacks, quoted, and what it holds of the excluded, after a minus."""
        ...


class VectorIndex(Protocol):
    """Nearest creators of one field. Losable: rebuilt from the stored embeddings."""

    @property
    def field(self) -> str: ...

    @property
    def model_id(self) -> str: ...

    @property
    def dims(self) -> int: ...

    @property
    def path(self) -> Path:
        """Of the snapshot."""
        ...

    @property
    def checkpoint(self) -> int:
        """The index log's sequence number that the last saved snapshot covers."""
        ...

    async def upsert(self, rows: Sequence[Row], vectors: Vector) -> None:
        """``vectors``: float32 (n, dims), unit length. Raises ValueError for other shapes or non-finite values."""
        ...

    async def delete(self, rows: Sequence[Row]) -> None:
        """Rows that are not there are no error."""
        ...

    async def nearest(self, vector: Vector, limit: int) -> tuple[Rows, Scores]:
        """Cosine similarity, best first; fewer than ``limit`` when there are fewer. Exact below a set size."""
        ...

    async def similarities(self, vector: Vector, rows: Rows) -> tuple[Scores, NDArray[np.bool_]]:
        """Exact cosine for these rows, and a mask of those that have this field (0 where not)."""
        ...

    def nearest_now(
        self,
        vector: Vector,
        limit: int,
        within: NDArray[np.bool_] | None = None,
        passing: Rows | None = None,
        *,
        hasty: bool = False,
    ) -> tuple[Rows, Scores]:
        """Blocking. As `nearest`, of those ``within`` a mask by row. ``passing``: the rows that it lets pass, ascending, where
        they are known. ``hasty``: with less work, where little is lost by it."""
        ...

    def plan_of(self, passing: int | None, limit: int) -> str:
        """How `nearest_now` would look for them; None: all pass."""
        ...

    def similarities_now(self, vector: Vector, rows: Rows) -> tuple[Scores, NDArray[np.bool_]]:
        """Blocking. As `similarities`."""
        ...

    def confuses(self, passing: int, limit: int) -> bool:
        """Whether `nearest_now` would compare one and all of so many that pass, by less than what is stored of them."""
        ...

    def stored_similarities_now(self, vector: Vector, rows: Rows) -> tuple[Scores, NDArray[np.bool_]]:
        """Blocking. Cosine of these rows, ascending, as they are stored, and a mask of those for which it is known (0 where
        not)."""
        ...

    def vectors_of(self, rows: Sequence[Row]) -> Vector:
        """Blocking. [m, dims] of those of ``rows`` that have this field."""
        ...

    async def save(self, checkpoint: int) -> None:
        """Writes a snapshot: temp file, fsync, rename, and a sidecar with checksum, dims, model and checkpoint."""
        ...

    async def count(self) -> int: ...


class Scannable(Protocol):
    """Every durable store can be walked: the migration to another backend reads it so."""

    async def scan(self, cursor: bytes, limit: int) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        """At most ``limit`` pairs after ``cursor`` (empty: from the start) and the cursor of the next page, None at
        the end. A pair that stays in the store through the whole walk is met exactly once."""
        ...


class TextMatch(msgspec.Struct, kw_only=True, frozen=True):
    """Creators that match by keyword and pass the filters."""

    rows: Rows
    """Ascending."""
    scores: Scores
    """Along ``rows``, 0..1, as in `TextHits`, relative to the best of those that pass."""
    exact: NDArray[np.bool_]
    head: NDArray[np.bool_]
    """Along ``rows``: among the best, whose likeness in meaning is computed too."""
    total: int
    """How many match; ``rows`` may hold the head alone."""
    complete: bool
    """Whether ``rows`` holds all of them."""
    words: tuple[str, ...]
    needed: int
    """How many of the words were asked for in the end."""
    others: Callable[[Rows], tuple[Rows, Scores]] | None = None
    """Blocking; where ``rows`` is the head alone: which of some rows match, ascending, with their scores."""


class Suggestion(msgspec.Struct, kw_only=True, frozen=True):
    """A creator whose name or handle begins with what was typed."""

    row: Row
    text: str
    kind: str
    """``name`` or ``handle``."""


class Weights(msgspec.Struct, kw_only=True, frozen=True):
    """``score = keyword·k + vector·Σ wᵢ·simᵢ + quality·q`` (+ 1 for an exact match); the three sum to at most 1."""

    keyword: float
    vector: float
    quality: float
    fields: dict[str, float]


class SearchQuery(msgspec.Struct, kw_only=True, frozen=True):
    """What is asked of the searcher."""

    text: str
    """What is looked for by words and meaning; what a brief's words became filters of is not in it."""
    filters: Node | None = None
    niches: tuple[str, ...] = ()
    """Niches that are preferred, not demanded."""
    limit: int = 20
    offset: int = 0
    snapshot: str = ""
    """Of the page before: its ranking goes on where it is still kept."""
    sort: str = RELEVANCE
    """``relevance``, ``followers``, ``engagement_rate``, ``growth_30d`` or ``last_posted``, the last with ``ascending``."""
    ascending: bool = False
    facets: tuple[str, ...] = ()
    weights: Weights | None = None
    """In place of those in force."""
    fusion: str = WEIGHTED
    """``weighted`` or ``rrf``."""
    diversity: float = 0.0
    """0: by score alone; towards 1 hits are spread over what they are about (MMR) on the first pages. Not where they are
    sorted by a column."""
    positive: tuple[Row, ...] = ()
    """Creators that hits are to be like, field by field; with them ``text`` may be empty."""
    negative: tuple[Row, ...] = ()
    lists: Mapping[str, Rows] = msgspec.field(default_factory=dict)
    """Of the tenant: members by list."""
    hidden: Rows | None = None
    """Of the tenant: creators that are left out."""
    features: int = 0
    """Of how many of the first hits the page tells what ranking knew."""
    tenant_id: str = "default"


class Addend(msgspec.Struct, kw_only=True, frozen=True):
    """One part of a hit's score: ``contribution = value * weight``."""

    name: str
    value: float
    weight: float
    contribution: float


class RankedHit(msgspec.Struct, kw_only=True, frozen=True):
    creator_id: CreatorId
    row: Row
    score: float
    addends: tuple[Addend, ...]
    exact: bool
    compared: bool = True
    """Whether its likeness in meaning was computed: not for keyword matches behind the head."""


class Relaxation(msgspec.Struct, kw_only=True, frozen=True):
    """A condition which, left out alone, leaves something to be found."""

    dropped: Node
    total: int


class SearchPage(msgspec.Struct, kw_only=True, frozen=True):
    """A page of the ranked match set; ``total`` counts the whole set."""

    hits: tuple[RankedHit, ...]
    total: int
    words: tuple[str, ...]
    warnings: tuple[str, ...]
    facets: dict[str, dict[str, int]] | None = None
    relaxations: tuple[Relaxation, ...] = ()
    """Of an empty page."""
    snapshot: str = ""
    """Under which the ranking is kept for further pages."""
    plan: str = ""
    """How the vector fields were searched: ``exact``, ``graph`` or ``none``."""
    candidates: tuple[CandidateFeatures, ...] = ()
    """Of the first hits, for the query log."""


class CandidateFeatures(msgspec.Struct, kw_only=True, frozen=True):
    """What ranking knew of a candidate."""

    creator_id: CreatorId
    keyword: float
    exact: bool
    similarities: dict[str, float]
    quality: float
    score: float


class Standing(msgspec.Struct, kw_only=True, frozen=True):
    """Where one creator stands in a search, or why it is not there."""

    found: bool
    rank: int | None
    """From 1, by score."""
    total: int
    hit: RankedHit | None
    failed: tuple[Node, ...]
    """Conditions of the filters that it does not meet."""
    keyword_match: bool
    missing_words: tuple[str, ...]
    """Words of the query that it does not hold."""
    barring: tuple[str, ...] = ()
    """As in `TextLookup.barring`."""
    vector_ranks: dict[str, int]
    """By field that it has: its place among those that pass the filters, from 1."""
    candidates: int
    """How many of each field are taken."""
