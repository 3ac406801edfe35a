"""What the numbers of a brief say: bands of followers, engagement, growth, posts a week, days since the last post."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from stores.briefs_text import Part
from stores.filter_ast import Range

MIN_BARE = 1000
"""A number that neither has a unit nor is multiplied is one of followers from here on."""
YEARS = range(1900, 2101)
ABOUT = 0.2
"""How far "about 100k" reaches to both sides."""
MAX_A_WEEK = 100
NEAR = 3
"""Parts between a number or a time and the word that says what it is about."""
SIGNS = (
    ("<=", "lte"),
    ("=<", "lte"),
    ("≤", "lte"),
    (">=", "gte"),
    ("=>", "gte"),
    ("≥", "gte"),
    ("<", "lt"),
    (">", "gt"),
)
DASHES = frozenset("-–—−~")
CURRENCIES = frozenset("$€£¥₹")
BOUND_OF = {"less": "lt", "at_most": "lte", "more": "gt", "at_least": "gte", "or_more": "gte", "or_less": "lte"}
LIMIT = {"lt": "upper", "lte": "upper", "gt": "lower", "gte": "lower"}


class Measure(msgspec.Struct, kw_only=True):
    """A range that parts ``first`` to ``last`` (with it) speak of."""

    first: int
    last: int
    column: str
    bounds: dict[str, float]
    platform: str | None = None
    """Of whose followers, where the words say so."""
    confidence: float

    @property
    def filter(self) -> Range:
        gte, gt, lte, lt = (self.bounds.get(name) for name in ("gte", "gt", "lte", "lt"))
        return Range(column=self.column, gte=gte, gt=gt, lte=lte, lt=lt)


def measures(parts: list[Part]) -> list[Measure]:
    """All of them, in their order, without overlap."""
    found: list[Measure] = []
    at = 0
    while at < len(parts):
        measure = _measure_at(parts, at, found[-1].last + 1 if found else 0)
        if measure is not None:
            found.append(measure)
            at = measure.last
        at += 1
    return found


def _measure_at(parts: list[Part], at: int, least: int) -> Measure | None:
    """``least``: the first part that no measure before has."""
    part = parts[at]
    if part.number is None:
        return _recency(parts, at, least) if part.is_a("this", "last") else None
    if _stands_alone(parts, at):
        return None
    return _rate(parts, at, least) or _cadence(parts, at, least) or _band(parts, at, least)


def _stands_alone(parts: list[Part], at: int) -> bool:
    """A small number with nothing beside it that could make it count something."""
    part = parts[at]
    if part.multiplied or (part.number or 0) >= MIN_BARE or part.gap.strip() or part.after.strip():
        return False
    return not any(parts[beside].senses for beside in (at - 1, at + 1) if 0 <= beside < len(parts))


def _is(parts: list[Part], at: int, *kinds: str) -> bool:
    return 0 <= at < len(parts) and not parts[at].senses.keys().isdisjoint(kinds)


def _gap(parts: list[Part], at: int) -> str:
    """What stands between the part before and this one."""
    return parts[at].gap.strip() if at < len(parts) else ""


# Bands


class _Span(msgspec.Struct):
    """A band while it is being read."""

    first: int
    last: int
    low: float
    high: float
    bound: str
    """``lt``, …, ``range``, ``about``, or "" for a number alone."""
    multiplied: bool


def _band(parts: list[Part], at: int, least: int) -> Measure | None:
    number = parts[at].number
    if number is None or _gap(parts, at)[-1:] in CURRENCIES or parts[at].after.strip()[:1] in ("%", *CURRENCIES):
        return None
    span = _range(parts, at, least) or _compared(parts, at, least, number)
    _take_trailing(parts, span)
    platform, has_unit = _take_unit(parts, span, least)
    _take_trailing(parts, span)
    if _is(parts, span.last + 1, "other_unit") and not has_unit:
        return None
    if not _counts_followers(parts, span, has_unit):
        return None
    return Measure(
        first=span.first,
        last=span.last,
        column="followers",
        bounds=_bounds(span),
        platform=platform,
        confidence=0.6 if not span.bound else 0.98 if has_unit else 0.9,
    )


def _range(parts: list[Part], at: int, least: int) -> _Span | None:
    """ "10-50k", "5 a 50 mil", "between 1M and 2M"."""
    between = at - 1 >= least and _is(parts, at - 1, "between")
    second = at + 1
    low_multiplied = parts[at].multiplied
    if parts[at].after.strip() not in DASHES:
        if not _is(parts, second, "to") or (_is(parts, second, "and") and not between):
            return None
        second += 1
    if not (second < len(parts) and parts[second].number is not None):
        return None
    low, high = parts[at].number or 0.0, parts[second].number or 0.0
    if parts[second].multiplied and not low_multiplied:
        low = _inherited(low, high, parts[second])
    elif low_multiplied and not parts[second].multiplied and high < low:
        high *= 1e6 if low >= 1e6 else 1e3
    if not low < high:
        return None
    first = at
    if between or (at - 1 >= least and _is(parts, at - 1, "from") and parts[at].joined):
        first = at - 1
    return _Span(first, second, low, high, "range", low_multiplied or parts[second].multiplied)


def _inherited(low: float, high: float, multiplied: Part) -> float:
    """ "10-50k" begins at 10k, "500-1M" at 500k."""
    if low >= MIN_BARE:
        return low
    size = 1e6 if high >= 1e6 and not multiplied.raw.lower().endswith("k") else 1e3
    return low * size if low * size < high else low * 1e3


def _compared(parts: list[Part], at: int, least: int, number: float) -> _Span:
    span = _Span(at, at, number, number, "", parts[at].multiplied)
    gap = _gap(parts, at)
    for sign, bound in SIGNS if gap else ():
        if gap.endswith(sign):
            span.bound = bound
            parts[at].begin = (parts[at - 1].end if at else 0) + parts[at].gap.rindex(sign)
            return span
    if gap[-1:] in ("~", "≈"):
        span.bound = "about"
    before = at - 1
    if before >= least and parts[before].senses and gap in ("", ":", ".", "'", "’"):
        for kind in ("less", "at_most", "more", "at_least", "about"):
            if _is(parts, before, kind):
                span.bound, span.first = BOUND_OF.get(kind, kind), before
                break
    return span


def _take_trailing(parts: list[Part], span: _Span) -> None:
    """ "100k+", "50k or more"."""
    if span.bound not in ("", "about"):
        return
    if _absorb(parts, span.last, "+"):
        span.bound = "gte"
        return
    for kind in ("or_more", "or_less"):
        if _is(parts, span.last + 1, kind) and parts[span.last + 1].gap.strip() in ("", ".", ","):
            span.bound, span.last = BOUND_OF[kind], span.last + 1
            return


def _absorb(parts: list[Part], at: int, sign: str) -> bool:
    """A sign that stands right after the part, "100k+", becomes the part's."""
    part = parts[at]
    if not part.after.lstrip().startswith(sign):
        return False
    length = part.after.index(sign) + len(sign)
    part.end, part.after = part.end + length, part.after[length:]
    if at + 1 < len(parts):
        parts[at + 1].gap = part.after
    return True


def _take_unit(parts: list[Part], span: _Span, least: int) -> tuple[str | None, bool]:
    """(platform, whether a unit stands beside it), with the span grown over what was read."""
    after, platform = span.last + 1, None
    while after < len(parts) and after <= span.last + 2 and _is(parts, after, "of") and parts[after].joined:
        after += 1
    if _is(parts, after, "platform") and _is(parts, after + 1, "unit"):
        platform, after = parts[after].senses["platform"][0], after + 1
    if _is(parts, after, "unit") and _gap(parts, after) in ("", "+", ".", "'", "’"):
        span.last = after
        return platform or _unit_platform(parts[after]), True
    before = span.first - 1
    while before > least and _is(parts, before, "between", "filler", "verb") and not _is(parts, before, "unit"):
        before -= 1
    if before >= max(least, span.first - 3) and _is(parts, before, "unit"):
        platform = _unit_platform(parts[before])
        span.first = before
        return platform, True
    return None, False


def _unit_platform(part: Part) -> str | None:
    return next((value for value in part.senses["unit"] if value != "any"), None)


def _counts_followers(parts: list[Part], span: _Span, has_unit: bool) -> bool:
    if has_unit:
        return span.high >= 1
    if not span.multiplied and (span.high < MIN_BARE or int(span.high) in YEARS):
        return False
    if span.bound:
        return True
    on_a_platform = _is(parts, span.last + 1, "locative") and _is(parts, span.last + 2, "platform")
    return on_a_platform or (_is(parts, span.first - 1, "with") and not _named(parts, span.last + 1))


def _named(parts: list[Part], at: int) -> bool:
    """What is counted has a name that is not known to be followers."""
    return at < len(parts) and parts[at].joined and not parts[at].senses


def _bounds(span: _Span) -> dict[str, float]:
    if span.bound == "range":
        return {"gte": span.low, "lte": span.high}
    if span.bound == "about":
        return {"gte": round(span.low * (1 - ABOUT)), "lte": round(span.low * (1 + ABOUT))}
    return {span.bound or "gte": span.low}


# Rates, posts a week, days


def _rate(parts: list[Part], at: int, least: int) -> Measure | None:
    """ "engagement above 5 %", "growing 10% a month"."""
    number, after = parts[at].number, at + 1
    sign = parts[at].after.strip()
    if number is None or number > 100 or not (sign.startswith("%") or _is(parts, after, "percent")):
        return None
    last = after if _is(parts, after, "percent") else at
    span = _compared(parts, at, least, number / 100)
    if not span.bound and sign.startswith("%+"):
        span.bound = "gte"
    for kind, column in (("engagement", "engagement_rate"), ("grows", "growth_30d")):
        near = [
            other
            for other in range(max(least, span.first - NEAR), min(len(parts), last + NEAR + 1))
            if parts[other].is_a(kind)
        ]
        if near:
            _absorb(parts, at, "%")
            first, end = min(span.first, *near), max(last, *near)
            bound = span.bound if span.bound in LIMIT else "gte"
            return Measure(first=first, last=end, column=column, bounds={bound: span.low}, confidence=0.9)
    return None


def _cadence(parts: list[Part], at: int, least: int) -> Measure | None:
    """ "at least 3 videos per week"."""
    number, after = parts[at].number, at + 1
    if number is None or number > MAX_A_WEEK or parts[at].multiplied or not _is(parts, after, "times"):
        return None
    unit = after + 2 if _is(parts, after + 1, "per") else after + 1
    if not _is(parts, unit, "days") or unit == after + 1:
        return None
    span = _compared(parts, at, least, number)
    bound = span.bound if span.bound in LIMIT else "gte"
    first = span.first - 1 if span.first > least and _is(parts, span.first - 1, "posted") else span.first
    a_week = round(number * 7 / float(parts[unit].senses["days"][0]), 3)
    return Measure(first=first, last=unit, column="posts_per_week", bounds={bound: a_week}, confidence=0.9)


def _recency(parts: list[Part], at: int, least: int) -> Measure | None:
    """ "posted this week", "active in the last 30 days"."""
    if parts[at].is_a("this"):
        days, last = float(parts[at].senses["this"][0]), at
    elif parts[at].is_a("last"):
        counted = at + 1 < len(parts) and parts[at + 1].number is not None
        last = at + 2 if counted else at + 1
        if not _is(parts, last, "days"):
            return None
        number = parts[at + 1].number if counted else None
        if not counted and at > least and parts[at - 1].number is not None:  # "ces 30 derniers jours"
            number, at = parts[at - 1].number, at - 1
        days = float(parts[last].senses["days"][0]) * (number or 1.0)
    else:
        return None
    verbs = [other for other in _around(parts, at, last, least) if parts[other].is_a("posted")]
    if not verbs:
        return None
    first, end = min(at, *verbs), max(last, *verbs)
    return Measure(first=first, last=end, column="last_posted_days", bounds={"lte": days}, confidence=0.95)


def _around(parts: list[Part], first: int, last: int, least: int) -> Iterator[int]:
    """The parts beside, as far as only small words are between."""
    for other in range(first - 1, max(least, first - NEAR) - 1, -1):
        yield other
        if parts[other].is_a("posted") or not parts[other].is_a("filler", "locative", "article", "last"):
            break
    for other in range(last + 1, min(len(parts), last + NEAR)):
        yield other
        if parts[other].is_a("posted") or not parts[other].is_a("filler", "locative", "article"):
            break
