"""Masks and facets over a million creators against bare numpy that does the same, in turn; reading; taking in.

The least of many rounds says what the work costs, the median what it took beside whatever else the machine did."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from proto.ids import AccountKey, CreatorId, Row
from proto.records import Activity, Creator
from stores.codec import decode, encode
from stores.columns import Columns
from stores.filter_masks import MaskContext
from stores.filters import decode_filter, encode_filter, parse_filter

CREATORS, ROWS, ROUNDS = 1_000_000, 100_000, 30
DISTINCT = 5_000
"""Creators that are made; the columns hold each many times."""
NOW = 1_790_000_000
DAY = 86_400
NICHES, SUBJECTS, COUNTRIES = 26, 140, 26
TEXTS = (
    "platform = youtube AND followers 5k TO 50k AND niche IN [n1, n2, n3]",
    "country = CD AND engagement_rate >= 3% AND last_posted < 30d",
    "followers 5k TO 50k AND NOT niche = n1 AND secondary_niche = s5",
)
Bare = Callable[[], Any]


def bench_filters(seed: int) -> Table:
    columns, some = Columns(), [make_creator(random.Random(f"{seed}/{number}"), number) for number in range(DISTINCT)]
    stored = [encode(creator) for creator in some]
    loading = _in_turn(lambda: _taken_in(columns, some, 0), lambda: [decode(Creator, one) for one in stored], 5)
    for begin in range(DISTINCT, CREATORS, DISTINCT):
        _taken_in(columns, some, begin)
    context = MaskContext(now=NOW)
    rows = np.sort(np.random.default_rng(seed).choice(CREATORS, ROWS, replace=False)).astype(np.uint32)
    bare = _BareArrays(some)
    table = _headed(f"filters: {CREATORS:,} creators, {columns.bytes_a_row()} bytes each, seed {seed}")
    for text, by_hand in zip(TEXTS, (bare.first, bare.second, bare.third), strict=True):
        node = parse_filter(text)
        assert np.array_equal(columns.mask(node, context), by_hand())
        _add(table, f"mask: {text}", _in_turn(lambda node=node: columns.mask(node, context), by_hand))  # type: ignore[misc]
    for name, codes in (("niche", [bare.niche]), ("secondary_niche", bare.subjects), ("country", [bare.country])):
        _add(
            table,
            f"facet: {name} of {ROWS:,}",
            _in_turn(
                lambda name=name: columns.facet(name, rows),  # type: ignore[misc]
                lambda codes=codes: [np.bincount(one.take(rows)) for one in codes],  # type: ignore[misc]
            ),
        )
    as_json = encode_filter(parse_filter(TEXTS[0]))
    reading = _in_turn(lambda: parse_filter(TEXTS[0]), lambda: decode_filter(as_json))
    _add(table, "reading the first as text, against JSON", reading)
    _add(table, f"taking in {DISTINCT:,} creators, against decoding them", loading)
    return table


class _BareArrays:
    """The same values in plain arrays, and the filters written out."""

    def __init__(self, some: list[Creator]) -> None:
        times = CREATORS // len(some)

        def column(values: list[Any], kind: Any) -> NDArray[Any]:
            return np.tile(np.array(values, kind), times)

        self.followers = column([one.total_followers for one in some], np.float64)
        self.engagement = column([one.engagement_rate for one in some], np.float64)
        self.posted = column([one.last_content_at for one in some], np.float64)
        self.niche = column([int((one.primary_niche or "n")[1:]) for one in some], np.uint8)
        self.subjects = [column([int(one.secondary_niches[at][1:]) for one in some], np.uint8) for at in range(2)]
        self.country = column([ord((one.country or "C")[-1]) - 65 for one in some], np.uint8)
        self.youtube = column([any("youtube" in key for key in one.account_keys) for one in some], bool)

    def first(self) -> NDArray[np.bool_]:
        size = (self.followers >= 5_000) & (self.followers <= 50_000)
        mask: NDArray[np.bool_] = self.youtube & size & ((self.niche == 1) | (self.niche == 2) | (self.niche == 3))
        return mask

    def second(self) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = (self.country == 3) & (self.engagement >= 0.03) & (self.posted > NOW - 30 * DAY)
        return mask

    def third(self) -> NDArray[np.bool_]:
        size = (self.followers >= 5_000) & (self.followers <= 50_000)
        mask: NDArray[np.bool_] = size & (self.niche != 1) & ((self.subjects[0] == 5) | (self.subjects[1] == 5))
        return mask


def make_creator(dice: random.Random, number: int) -> Creator:
    platforms = dice.sample(("youtube", "instagram"), dice.randint(1, 2))
    counts = {platform: int(10 ** dice.uniform(2, 7)) for platform in platforms}
    return Creator(
        creator_id=CreatorId(number),
        row=Row(number),
        name=f"creator {number}",
        account_keys=[AccountKey(f"{platform}:{number}") for platform in platforms],
        primary_niche=f"n{dice.randrange(NICHES)}",
        secondary_niches=[f"s{one}" for one in dice.sample(range(SUBJECTS), 2)],
        content_style=f"t{dice.randrange(8)}",
        country=f"C{chr(65 + dice.randrange(COUNTRIES))}",
        language="en",
        total_followers=sum(counts.values()),
        followers_by_platform=counts,
        engagement_rate=dice.random() / 10,
        posts_per_week=dice.random() * 7,
        growth_30d=dice.random() / 10,
        derived_activity=Activity.ACTIVE,
        last_content_at=NOW - dice.randrange(90 * DAY),
        oldest_fetched_at=NOW - dice.randrange(28 * DAY),
        has_email=True,
        has_website=False,
    )


def _taken_in(columns: Columns, creators: list[Creator], begin: int) -> None:
    for at in range(0, len(creators), 1_000):
        page = creators[at : at + 1_000]
        columns.upsert_all([Row(begin + at + number) for number in range(len(page))], page)


def _in_turn(ours: Bare, bare: Bare, rounds: int = ROUNDS) -> tuple[list[float], list[float]]:
    """Milliseconds of each, one after the other, so that what else the machine does falls on both."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, times in zip((ours, bare), taken, strict=True):
            started = time.perf_counter()
            call()
            times.append((time.perf_counter() - started) * 1_000)
    return taken


def _headed(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("what", "p50 ms", "least ms", "bare p50 ms", "bare least ms", "ratio of the least"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    return table


def _add(table: Table, what: str, taken: tuple[list[float], list[float]]) -> None:
    figures = [figure for times in taken for figure in (float(np.percentile(times, 50)), min(times))]
    ratio = figures[1] / figures[3]
    table.add_row(what.replace("[", "\\["), *(f"{figure:.3f}" for figure in figures), f"{ratio:.2f}")
