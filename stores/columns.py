"""Attributes of creators as numpy columns by dense row, for ranking, filtering and counting without the store."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib.metadata import version
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from proto.errors import FilterError
from proto.ids import CreatorId, Platform, Row
from proto.records import Creator
from proto.tiers import TIER_NAMES, TIERS
from stores.column_arrays import Bits, Category, Numbers, Slots, Stored
from stores.filter_ast import Node
from stores.filter_columns import FACETS, FALSE, HIDDEN, TRUE, near, shown
from stores.filter_masks import MaskContext, Reading
from stores.filters import columns_of
from stores.ports import Rows
from stores.ranking import audience_of, quality_of
from stores.row_sets import rows_of

VERSION = 1
"""Raised when a column comes to hold something else of the same creator: snapshots made before are then of no use."""

FIRST_CAPACITY = 1_024
GROWTH = 1.25

NUMBERS = {
    "followers": "total_followers",
    "posts_per_week": "posts_per_week",
    "engagement_rate": "engagement_rate",
    "growth_30d": "growth_30d",
    "views_per_follower": "views_per_follower",
    "sponsored_share": "sponsored_share",
    "identity_confidence": "identity_confidence",
    "last_posted": "last_content_at",
    "fresh": "oldest_fetched_at",
}
"""Columns and the fields of `Creator` that they hold; the last two are instants (epoch seconds), 0 for never."""
INSTANTS = ("last_posted", "fresh")
OWN = ("present", "creator_id", "quality")
"""Arrays of `Columns` itself."""
LABELS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "niche": ("primary_niche", str),
    "style": ("content_style", str),
    "country": ("country", str.upper),
    "language": ("language", str.lower),
    "activity": ("derived_activity", str),
    "email": ("has_email", lambda stated: TRUE if stated else FALSE),
    "website": ("has_website", lambda stated: TRUE if stated else FALSE),
}
"""Columns, the fields of `Creator` that they hold, and how a value is spelt."""
_numbers_of, _labels_of = attrgetter(*NUMBERS.values()), attrgetter(*(field for field, _ in LABELS.values()))
_BOUNDS = [below for below, _ in TIERS] + [np.inf]
_TIERS = np.array([*TIER_NAMES, None], object)
"""By where followers stand among the bounds; NaN sorts behind them all."""
_PLATFORMS = tuple(platform.value for platform in Platform)


class Columns:
    """One writer; readers in other threads take the arrays as they are, since growing replaces them whole.

    A row's values are written before it counts as present, and the number of rows last of all, so that whoever read
    that number finds all arrays to be at least as long.
    """

    def __init__(self, derives: Collection[Platform] = tuple(Platform)) -> None:
        """``derives``: the platforms of whose data quality and tier may be computed."""
        self._derives = derives
        self.creator_id = np.zeros(FIRST_CAPACITY, np.int64)
        self.quality = np.zeros(FIRST_CAPACITY, np.float32)
        self.present = np.zeros(FIRST_CAPACITY, bool)
        self._numbers = {name: Numbers(FIRST_CAPACITY) for name in NUMBERS}
        self._followers_on = {name: Numbers(FIRST_CAPACITY) for name in _PLATFORMS}
        self._labels = {name: Category(FIRST_CAPACITY, spelt) for name, (_, spelt) in LABELS.items()}
        self._tiers, self._methods = Category(FIRST_CAPACITY), Category(FIRST_CAPACITY)
        self._platforms, self._subjects = Bits(FIRST_CAPACITY, _PLATFORMS), Slots(FIRST_CAPACITY)
        self._stored: dict[str, Stored] = {
            **self._numbers,
            **{f"followers.{name}": numbers for name, numbers in self._followers_on.items()},
            **self._labels,
            "tier": self._tiers,
            "label_method": self._methods,
            "platform": self._platforms,
            "secondary_niche": self._subjects,
        }
        self._end = 0
        """Behind the last row that was ever present."""
        self.changed = False
        """Since the latest snapshot was begun."""

    def quality_of(self, creator: Creator) -> float:
        """0..1, of what may be computed."""
        return quality_of(creator, self._derives)

    def upsert(self, row: Row, creator: Creator) -> None:
        self.upsert_all([row], [creator])

    def upsert_all(self, rows: Sequence[Row], creators: Sequence[Creator]) -> None:
        """Many at once are several times cheaper than one after the other. Of a row that comes twice the last stands."""
        if not rows:
            return
        at = np.array(rows, np.uint32)
        end = int(at.max()) + 1
        if end > len(self.present):
            self._grow(end)
        self.creator_id[at] = [creator.creator_id for creator in creators]
        self.quality[at] = [self.quality_of(creator) for creator in creators]
        self._put_numbers(at, creators)
        self._put_labels(at, creators)
        self.present[at] = True
        self._end = max(self._end, end)
        self.changed = True

    def remove(self, row: Row) -> None:
        self.remove_all([row])

    def remove_all(self, rows: Sequence[Row] | Rows) -> None:
        """Leaves nothing of them behind. A row that is not there is no error."""
        at = np.array(rows, np.uint32)
        at = at[at < len(self.present)]
        if not len(at):
            return
        self.present[at] = False
        self.creator_id[at], self.quality[at] = 0, 0.0
        for stored in self._stored.values():
            stored.clear(at)
        self.changed = True

    def rows_of(self, creator_ids: Sequence[CreatorId]) -> Rows:
        """Those under which these creators stand, ascending; whoever is not there has none."""
        wanted = np.isin(self.creator_id, np.array(creator_ids, np.int64))
        return rows_of(wanted & self.present)

    @property
    def mark(self) -> str:
        """Of all that decides what the arrays hold of a creator; a snapshot under another one is of no use."""
        kinds = [(name, type(stored).__name__) for name, stored in self._stored.items()]
        fields = [*NUMBERS.items(), *((name, field) for name, (field, _) in LABELS.items())]
        made = (VERSION, version("pokedexd"), sys.byteorder, kinds, fields, _PLATFORMS, TIERS, sorted(self._derives))
        return hashlib.blake2b(msgspec.json.encode(made), digest_size=16).hexdigest()

    def parts(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Every array up to the last row there is, each under its column's name: first who is present, since whoever
        counts as present has all other values by then. Names of codes are to be read after the codes."""
        end = self._end
        for name in OWN:
            yield name, getattr(self, name)[:end]
        for name, stored in self._stored.items():
            for array in stored.arrays():
                yield name, array[:end]

    def names(self) -> dict[str, tuple[str, ...]]:
        """Of each column, what its codes stand for."""
        return {name: stored.names() for name, stored in self._stored.items()}

    def restore(self, parts: Mapping[str, Sequence[NDArray[Any]]], names: Mapping[str, Sequence[str]]) -> None:
        """Takes over what `parts` and `names` gave under the same mark, in place of all there is. For the start, before
        anybody reads."""
        for name, stored in self._stored.items():
            stored.restore(parts[name], names[name])
        for name in OWN:
            (array,) = parts[name]
            setattr(self, name, array)
        self._end = len(self.present)

    def rows(self) -> Rows:
        """Every present row, ascending."""
        return rows_of(self.present)

    def known(self, rows: Rows) -> Rows:
        """Those rows that stand for a creator; an index may be a moment ahead or behind."""
        inside = rows[rows < len(self.present)]
        known: NDArray[np.uint32] = inside[self.present[inside]]
        return known

    def count(self) -> int:
        return int(self.present.sum())

    def mask(self, node: Node | None, context: MaskContext) -> NDArray[np.bool_]:
        """By row, up to the last there is: who is there and meets the filter.

        Hidden creators are left out, unless the filter itself asks about `hidden`. Raises FilterError for what is no
        column; names and values must be spelt as `check_filter` gives them.
        """
        end = self._end
        return self._passing(node, slice(0, end), end, context)

    def passing(self, node: Node | None, rows: Rows, context: MaskContext) -> NDArray[np.bool_]:
        """`mask` at known rows only, along them."""
        return self._passing(node, rows, len(rows), context)

    def facet(self, name: str, rows: Rows) -> dict[str, int]:
        """How many of these known rows have each value; the most frequent first, ties by value, none with 0. A creator
        counts for each of its platforms and narrower subjects, and not at all where the value is unknown.

        Raises FilterError for what is no facet.
        """
        stored = self._stored.get(name)
        if name not in FACETS or stored is None or isinstance(stored, Numbers):
            hint = near(name, FACETS) or f"facets are {', '.join(FACETS)}"
            raise FilterError(f"unknown facet {shown(name)}; {hint}", column=name)
        return dict(sorted(stored.counts(rows).items(), key=lambda one: (-one[1], one[0])))

    def values(self, name: str) -> tuple[str, ...]:
        """Every value of a facet that a creator has or had, in no order."""
        stored = self._stored[name]
        return () if isinstance(stored, Numbers) else stored.values()

    def sort_values(self, name: str, rows: Rows) -> NDArray[np.float64]:
        """Along known rows; NaN where unknown, to be last in every order. ``last_posted``: an instant.

        Raises FilterError for what is not sorted by.
        """
        stored = self._stored.get(name)
        if not isinstance(stored, Numbers):
            hint = near(name, NUMBERS) or f"it may be {', '.join(NUMBERS)}"
            raise FilterError(f"no sorting by {shown(name)}; {hint}", column=name)
        return stored.values[rows]

    def bytes_a_row(self) -> int:
        """Memory for a creator, not counting what is held ready for more."""
        own = self.creator_id.itemsize + self.quality.itemsize + self.present.itemsize
        return own + sum(stored.bytes_a_row() for stored in self._stored.values())

    def _put_numbers(self, at: Rows, creators: Sequence[Creator]) -> None:
        values = np.array(list(map(_numbers_of, creators)), np.float64).T
        for (name, stored), column in zip(self._numbers.items(), values, strict=True):
            if name in INSTANTS:
                column[column == 0] = np.nan
            stored.put(at, column)
        counts = [creator.followers_by_platform for creator in creators]
        for name, stored in self._followers_on.items():
            stored.put(at, np.array([one.get(name) for one in counts], np.float64))

    def _put_labels(self, at: Rows, creators: Sequence[Creator]) -> None:
        values = zip(*map(_labels_of, creators), strict=True)
        for stored, column in zip(self._labels.values(), values, strict=True):
            stored.put(at, column)
        audiences = np.array([audience_of(creator, self._derives) for creator in creators], np.float64)
        self._tiers.put(at, _TIERS[np.searchsorted(_BOUNDS, audiences, side="right")].tolist())
        self._methods.put(at, [one.enrichment.method if one.enrichment else None for one in creators])
        self._platforms.put(at, [_platforms(creator) for creator in creators])
        self._subjects.put(at, [_subjects(creator) for creator in creators])

    def _passing(self, node: Node | None, where: slice | Rows, length: int, context: MaskContext) -> NDArray[np.bool_]:
        reading = Reading(self._stored, where, length, context)
        mask = self.present[where].copy()
        if node is not None:
            mask &= reading.holds(node)
        if len(context.hidden) and HIDDEN not in columns_of(node):
            mask &= ~reading.members(context.hidden)
        return mask

    def _grow(self, needed: int) -> None:
        capacity = max(needed, int(len(self.present) * GROWTH))
        more = capacity - len(self.present)
        for stored in self._stored.values():
            stored.grow(capacity)
        self.creator_id = np.concatenate([self.creator_id, np.zeros(more, np.int64)])
        self.quality = np.concatenate([self.quality, np.zeros(more, np.float32)])
        self.present = np.concatenate([self.present, np.zeros(more, bool)])


def _platforms(creator: Creator) -> list[str]:
    return [key.partition(":")[0] for key in creator.account_keys]


def _subjects(creator: Creator) -> list[str] | None:
    """Whoever has a niche is known to have no narrower subject where none is noted."""
    return creator.secondary_niches if creator.secondary_niches or creator.primary_niche else None
