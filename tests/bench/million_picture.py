"""The growth of a store, drawn: import rates by size, the product's and the bare graphs'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Protocol

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 360, 70, 50, 40
INK, PRODUCT, BARE = "#333", "#0b6e99", "#b5651d"


class Taken(Protocol):
    """A part of an import."""

    creators: int
    seconds: float


class Sized(Protocol):
    creators: int
    resident_mib: float


def draw(chunks: Sequence[Taken], bare: Sequence[Taken], sizes: Mapping[int, Sized]) -> str:
    """An SVG document. Creators a second over how many there were; the memory of each size below the axis."""
    ends = list(accumulate(one.creators for one in chunks))
    product = [(end, one.creators / one.seconds) for end, one in zip(ends, chunks, strict=True)]
    step = chunks[0].creators if chunks else 1
    graphs = [((at + 1) * step, step / one.seconds) for at, one in enumerate(bare)]
    widest = max([end for end, _ in (*product, *graphs)], default=1)
    highest = max([rate for _, rate in (*product, *graphs)], default=1.0) * 1.1
    marks = "".join(_mark(share, widest, highest) for share in (0.25, 0.5, 0.75, 1.0))
    notes = "".join(
        f'<text x="{_x(one.creators, widest):.0f}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{one.resident_mib / 1_024:.1f} GiB</text>"
        for one in sizes.values()
        if one.creators >= widest * 0.08
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="sans-serif" '
        f'font-size="12" fill="{INK}"><title>Creators imported a second, by how many there are</title>'
        f'<text x="{LEFT}" y="20">creators imported a second: '
        f'<tspan fill="{PRODUCT}">pokedexd</tspan>, <tspan fill="{BARE}">bare graphs</tspan>; memory below</text>'
        f"{marks}{_line(product, widest, highest, PRODUCT)}{_line(graphs, widest, highest, BARE)}{notes}</svg>\n"
    )


def _mark(share: float, widest: int, highest: float) -> str:
    x, y = _x(widest * share, widest), _y(highest * share, highest)
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{highest * share:,.0f}</text>'
        f'<text x="{x:.0f}" y="{HEIGHT - 28}" text-anchor="middle">{widest * share:,.0f}</text>'
    )


def _line(points: Sequence[tuple[int, float]], widest: int, highest: float, colour: str) -> str:
    placed = " ".join(f"{_x(end, widest):.1f},{_y(rate, highest):.1f}" for end, rate in points)
    return f'<polyline points="{placed}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _x(creators: float, widest: int) -> float:
    return LEFT + (WIDTH - 10 - LEFT) * creators / widest


def _y(rate: float, highest: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * rate / highest
