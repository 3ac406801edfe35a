"""Where the lines, bars and labels of pictures stand: pure arithmetic, in the units of their view boxes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import msgspec

WIDTH, HEIGHT = 480, 180
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 10, 24
"""Room for labels."""
TICKS = 4
DAY_SECONDS = 86_400
DAILY_DAYS = 29
Point = tuple[float, float]
"""Day and value."""


class Tick(msgspec.Struct, frozen=True):
    at: float
    label: str


class LineChart(msgspec.Struct, kw_only=True, frozen=True):
    """``lines``: a path for each run of readings without a gap; ``dots``: readings that stand alone."""

    lines: list[str]
    dots: list[tuple[float, float]]
    across: list[Tick]
    up: list[Tick]
    summary: str
    """In words, for who cannot see it."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Of a bar that is 100 wide."""

    at: float
    width: float
    name: str
    number: int
    """Which of the shades."""


def line_chart(points: Sequence[Point]) -> LineChart | None:
    """Of at least two readings; neighbours further apart than `gap_days` are not joined."""
    if len(points) < 2:
        return None
    days = [day for day, _ in points]
    marks = nice_ticks(min(value for _, value in points), max(value for _, value in points), TICKS)
    low, high = marks[0], marks[-1]
    span = (days[-1] - days[0]) or 1.0

    def place(point: Point) -> Point:
        x = LEFT + (point[0] - days[0]) / span * (WIDTH - LEFT - RIGHT)
        y = TOP + (high - point[1]) / ((high - low) or 1.0) * (HEIGHT - TOP - BOTTOM)
        return round(x, 1), round(y, 1)

    runs = list(_runs(points))
    return LineChart(
        lines=[path([place(one) for one in run]) for run in runs if len(run) > 1],
        dots=[place(run[0]) for run in runs if len(run) == 1],
        across=[Tick(place((day, low))[0], day_label(day)) for day in _days_between(days[0], days[-1])],
        up=[Tick(place((days[0], value))[1], short(value)) for value in marks],
        summary=in_words(points),
    )


def spark(values: Sequence[float | None], step: int = 3, height: int = 24) -> str:
    """A path through values at equal distances; None is a gap. Empty for fewer than two values. In whole units, since
    a page has many; ``step * (len(values) - 1)`` wide."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    drawn, pen = "", None
    for at, value in enumerate(values):
        if value is None:
            pen = None
            continue
        share = (value - low) / (high - low) if high > low else 0.5
        y = round(1 + (1 - share) * (height - 2))
        drawn += f"M{at * step} {y}" if pen is None else f"l{step} {y - pen}"
        pen = y
    return drawn


def path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def stacked(parts: Iterable[tuple[str, float]], whole: float = 0.0) -> list[Piece]:
    """Side by side; those below a thousandth of the whole are left out, and nothing is below 0 wide."""
    named = [(number, name, max(0.0, value)) for number, (name, value) in enumerate(parts)]
    total = whole or sum(value for _, _, value in named)
    pieces, at = [], 0.0
    for number, name, value in named:
        width = round(100 * value / total, 2) if total else 0.0
        if width >= 0.1:
            pieces.append(Piece(at=round(at, 2), width=width, name=name, number=number))
            at += width
    return pieces


def percent_of(part: float, whole: float) -> float:
    """0..100, for the width of a bar."""
    return round(max(0.0, min(100.0, 100 * part / whole)), 1) if whole else 0.0


FINEST_SHARE = 1e-9
"""Values that differ by less, against their size, are one for a chart."""


def nice_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round values from at or below ``low`` to at or above ``high``."""
    if high - low <= FINEST_SHARE * max(1.0, abs(low), abs(high)):
        low, high = low - max(1.0, abs(low) * 0.05), high + max(1.0, abs(high) * 0.05)
    raw = (high - low) / max(wanted, 1)
    size = 10 ** math.floor(math.log10(raw))
    step = next((size * one for one in (1, 2, 2.5, 5) if size * one >= raw), 10 * size)
    first = math.floor(low / step)
    return [round(step * (first + at), 10) for at in range(math.ceil(high / step) - first + 1)]


def short(value: float) -> str:
    for step, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= step:
            return f"{value / step:.4g}{letter}"
    return f"{value:.4g}"


def day_label(day: float) -> str:
    when = datetime.fromtimestamp(day * DAY_SECONDS, UTC)
    return f"{when.day} {when:%b}"


def gap_days(age_days: float) -> float:
    """So many days without a reading are a gap: readings are a day apart, and a week once they are a month old."""
    return 3.0 if age_days < DAILY_DAYS else 10.0


def _runs(points: Sequence[Point]) -> Iterable[list[Point]]:
    last = points[-1][0]
    run = [points[0]]
    for before, after in pairwise(points):
        if after[0] - before[0] > gap_days(last - before[0]):
            yield run
            run = []
        run.append(after)
    yield run


def _days_between(first: float, last: float) -> list[float]:
    steps = min(TICKS, max(1, int(last - first)))
    return [first + (last - first) * at / steps for at in range(steps + 1)]


def in_words(points: Sequence[Point]) -> str:
    (first, begin), (last, end) = points[0], points[-1]
    gaps = len(list(_runs(points))) - 1
    text = f"from {short(begin)} on {day_label(first)} to {short(end)} on {day_label(last)}, {len(points)} readings"
    return text + (f", {gaps} gaps" if gaps > 1 else ", one gap" if gaps else "")
