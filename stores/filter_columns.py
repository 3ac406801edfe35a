"""The columns that filters, facets and sorting know, and what may be said of each: one table, also for documentation."""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Collection, Mapping

import msgspec

from proto.errors import FilterError
from proto.ids import Platform
from proto.records import Activity
from proto.tiers import TIER_NAMES

TRUE, FALSE = "true", "false"
FLAG_VALUES = (TRUE, FALSE)
LABEL_METHODS = ("local", "llm")
DAY_SECONDS = 86_400
MAX_VALUE_CHARS = 200
SHOWN_CHARS = 60
"""Of what was written wrongly, in an error."""
LISTED = 20
"""Known values in an error, at most."""
MAX_NUMBER = 1e15
"""Beyond it not every whole number is one of its own."""
LIKENESS = 0.6
"""From which a name is a near match (difflib's ratio)."""

HIDDEN, LIST = "hidden", "list"
LAST_POSTED, FRESH = "last_posted_days", "fresh_days"

Vocabulary = Mapping[str, Collection[str]]
"""By column: values that exist, where that is known only at run time (niches and styles of the taxonomy, lists)."""


class Kind(enum.StrEnum):
    """What may be asked of a column."""

    CATEGORY = "category"
    """One value: ``=``, ``!=``, ``IN``."""
    CATEGORIES = "categories"
    """Any number of values, each asked for by itself: ``=`` means that it is among them."""
    NUMBER = "number"
    """A range, or one number."""
    FLAG = "flag"
    """``true`` or ``false``; the name alone means true."""


class Unit(enum.StrEnum):
    """What a number counts, hence how it may be written."""

    COUNT = "count"
    """With ``k``, ``m``, ``b``."""
    RATE = "rate"
    """As it is, or in percent."""
    SHARE = "share"
    """1 is the whole; or in percent."""
    DAYS = "days"
    """Whole seconds tell; with ``h``, ``d``, ``w``, ``mo`` (30 days), ``y`` (365)."""


class Spelling(enum.Enum):
    """How values are written; what differs in case alone is the same."""

    LOWER = "lower"
    UPPER = "upper"
    EXACT = "exact"


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """What a filter may name."""

    name: str
    kind: Kind
    about: str
    unit: Unit | None = None
    """Of numbers."""
    values: tuple[str, ...] = ()
    """All that there are; empty where they are open."""
    form: str = ""
    """A regular expression that every value fits."""
    form_about: str = ""
    spelling: Spelling = Spelling.LOWER
    aliases: tuple[str, ...] = ()
    facet: bool = False
    """Whether creators are counted by it."""
    tenant: bool = False
    """Whether it is the asking tenant's own, and not the creator's."""


def _category(name: str, about: str, **more: object) -> Column:
    return Column(name=name, kind=Kind.CATEGORY, about=about, facet=True, **more)  # type: ignore[arg-type]


def _number(name: str, unit: Unit, about: str, aliases: tuple[str, ...] = ()) -> Column:
    return Column(name=name, kind=Kind.NUMBER, unit=unit, about=about, aliases=aliases)


def _flag(name: str, about: str, *, aliases: tuple[str, ...] = (), tenant: bool = False) -> Column:
    return Column(name=name, kind=Kind.FLAG, about=about, values=FLAG_VALUES, aliases=aliases, tenant=tenant)


_ALL = (
    Column(
        name="platform",
        kind=Kind.CATEGORIES,
        about="platforms on which the creator has an account",
        values=tuple(platform.value for platform in Platform),
        facet=True,
    ),
    _number("followers", Unit.COUNT, "followers of all accounts that show them, added up"),
    *(
        _number(f"followers.{platform.value}", Unit.COUNT, f"followers on {platform.value}, of all its accounts there")
        for platform in Platform
    ),
    _category("niche", "what the creator is mainly about; unknown while it has no label"),
    Column(
        name="secondary_niche",
        kind=Kind.CATEGORIES,
        about="narrower subjects; known to be none for a creator that has a niche and no narrower subject",
        facet=True,
    ),
    Column(name="any_niche", kind=Kind.CATEGORIES, about="the niche and the narrower subjects together"),
    _category("style", "how the creator speaks of it"),
    _category(
        "country",
        "as the platform states it: ISO 3166-1 alpha-2",
        spelling=Spelling.UPPER,
        form="[A-Z]{2}",
        form_about="two letters (ISO 3166-1), such as BR",
    ),
    _category(
        "language",
        "stated, or told from the texts: ISO 639-1",
        form="[a-z]{2,3}",
        form_about="two letters (ISO 639-1), such as pt",
    ),
    _category(
        "activity",
        "active: content within 7 days; semi_active: within 30; long_tail: neither, when last computed",
        values=tuple(activity.value for activity in Activity),
    ),
    _category(
        "tier", "by the followers of which a figure may be made: below 10k, 100k, 500k, 1m, or more", values=TIER_NAMES
    ),
    _number(LAST_POSTED, Unit.DAYS, "days since the newest content known", ("last_posted",)),
    _number("posts_per_week", Unit.RATE, "items a week, of all accounts"),
    _number(
        "engagement_rate",
        Unit.SHARE,
        "median of (likes + comments) by views, or by followers on platforms that count views of few items",
        ("engagement",),
    ),
    _number("growth_30d", Unit.SHARE, "change of the followers within 30 days, as a share", ("growth",)),
    _number("views_per_follower", Unit.RATE, "median over the newest items"),
    _number("sponsored_share", Unit.SHARE, "share of the newest items that disclose a sponsor"),
    _number("identity_confidence", Unit.SHARE, "how sure it is that all accounts are one person's"),
    _category("label_method", "who said last what the creator is about", values=LABEL_METHODS),
    _flag("email", "an e-mail address is stated", aliases=("has_email",)),
    _flag("website", "a page outside the platforms is linked; pages of links count", aliases=("has_website",)),
    _number(
        FRESH,
        Unit.DAYS,
        "days since the least fresh of the accounts that still exist was read; at most so many, since a reading that "
        "changed nothing is noted within a week",
        ("fresh",),
    ),
    Column(
        name=LIST,
        kind=Kind.CATEGORIES,
        about="your lists that the creator is on, by their ids",
        spelling=Spelling.EXACT,
        tenant=True,
    ),
    _flag(HIDDEN, "you hid the creator; without this column hidden creators are left out", tenant=True),
)

COLUMNS: Mapping[str, Column] = {column.name: column for column in _ALL}
FACETS = tuple(column.name for column in _ALL if column.facet)
_CANONICAL = {alias: column.name for column in _ALL for alias in (column.name, *column.aliases)}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where in a filter something stands."""

    position: int | None = None
    pointer: str | None = None

    def error(self, text: str, column: str = "", hint: str = "") -> FilterError:
        """``text`` at this place; ``hint``: what to do instead."""
        where = "" if self.position is None else f" at character {self.position}"
        where = where if self.pointer is None else f" at {self.pointer or '/'}"
        after = f"; {hint}" if hint else ""
        return FilterError(f"{text}{where}{after}", column=column, position=self.position, pointer=self.pointer)


def column_of(name: str, place: Place) -> Column:
    """By its name or an alias, whatever the case. Raises FilterError for one that there is not."""
    found = _CANONICAL.get(name.lower())
    if found is None:
        hint = near(name.lower(), _CANONICAL) or f"columns are {', '.join(COLUMNS)}"
        raise place.error(f"unknown column {shown(name)}", name, hint)
    return COLUMNS[found]


def value_of(column: Column, value: str, vocabulary: Vocabulary, place: Place) -> str:
    """A value as the column spells it. Raises FilterError for one that cannot be, or that the vocabulary lacks."""
    if column.kind is Kind.NUMBER:
        raise place.error(f"{column.name} is a number", column.name, f"give a range, such as {column.name} >= 5")
    if len(value) > MAX_VALUE_CHARS:
        raise place.error(f"a value of {column.name} has more than {MAX_VALUE_CHARS} characters", column.name)
    spelt = _spelt(column, value)
    known = column.values or vocabulary.get(column.name)
    if known is not None and spelt not in known:
        listed = f"known are {', '.join(sorted(known)[:LISTED])}" if known else f"there is no {column.name} yet"
        hint = near(spelt, known) or listed
        raise place.error(f"unknown value {shown(value)} of {column.name}", column.name, hint)
    if column.form and not (value.isascii() and re.fullmatch(column.form, spelt)):
        raise place.error(f"{shown(value)} is no value of {column.name}", column.name, f"expected {column.form_about}")
    return spelt


def number_of(column: Column, value: float, place: Place) -> float:
    """Raises FilterError for a number out of bounds, or a column that holds none."""
    if column.kind is not Kind.NUMBER:
        raise place.error(f"{column.name} is no number", column.name, "use = or IN")
    if not abs(value) <= MAX_NUMBER:
        raise place.error(f"a bound of {column.name} is beyond {MAX_NUMBER:g}", column.name)
    return float(value)


def near(name: str, known: Collection[str]) -> str:
    """A hint at the likest of the known names; empty where none is like it."""
    close = difflib.get_close_matches(name[:MAX_VALUE_CHARS], list(known), 1, LIKENESS)
    return f"did you mean {close[0]!r}?" if close else ""


def shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…")


def seconds_of(days: float) -> int:
    """Of a bound in days: instants are whole seconds."""
    return round(days * DAY_SECONDS)


def _spelt(column: Column, value: str) -> str:
    if column.spelling is Spelling.EXACT:
        return value
    return value.upper() if column.spelling is Spelling.UPPER else value.lower()
